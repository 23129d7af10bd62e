"""Training of a class-conditional GAN on few rows. Slide: "Data augmentation".

The discriminator D learns to tell real rows from made ones, the generator G to make rows that D
takes for real; both know the label. What lets it work on small sets: both kinds of rows are changed
alike before D sees them (gan_networks.disturbed), spectral norm keeps D from being too sure, and
rows are made by a moving average of G's weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from trainwell.seeding import stream_seed, torch_stream
from trainwell.techniques.augment.gan_networks import (
    PictureDiscriminator,
    PictureGenerator,
    TableDiscriminator,
    TableGenerator,
    disturbed,
)

AVERAGE = 0.995  # share that the averaged generator keeps in a step
LOOKS = 4  # pictures of the progress, the last of the finished generator
SHOWN = 4  # rows of each class in a look
AT_ONCE = 512  # rows made at once


@dataclass(frozen=True)
class Plan:
    """How long, and how large."""

    steps: int
    latent: int
    width: int
    batch: int
    lr: float


@dataclass(frozen=True, eq=False)
class Generator:
    """A trained generator, and what it made along the way.

    looks: steps and rows (C · SHOWN, ...), class after class, from the same latent numbers.
    """

    network: nn.Module
    latent: int
    looks: tuple[tuple[int, Tensor], ...]

    def make(self, labels: Tensor, stream: torch.Generator) -> Tensor:
        """New encoded rows (n, ...) for labels (n,)."""
        z = torch.randn(len(labels), self.latent, generator=stream)
        with torch.no_grad():
            parts = zip(torch.split(z, AT_ONCE), torch.split(labels, AT_ONCE), strict=True)
            return torch.cat([self.network(a, b) for a, b in parts])


def train_gan(
    x: Tensor,
    y: Tensor,
    classes: int,
    plan: Plan,
    seed: int,
    blocks: Sequence[tuple[int, int]] = (),
) -> Generator:
    """Train on encoded rows x (n, C, H, W) in [-1, 1] or (n, D), with labels y (n,).

    Losses: hinge, L_D = E max(0, 1 - D(x, y)) + E max(0, 1 + D(G(z, y), y)), L_G = -E D(G(z, y),
    y), labels of made rows drawn as those of real ones; Adam with β = (0, 0.9) for both. blocks:
    columns of the categories of a table. The same seed gives the same bits on one machine with the
    same number of threads. Source: Goodfellow et al. 2014; Miyato et al. 2018.
    """
    generator, discriminator = _networks(x, classes, plan, seed, blocks)
    averaged = copy.deepcopy(generator).requires_grad_(False)
    rules = [
        torch.optim.Adam(net.parameters(), lr=lr, betas=(0.0, 0.9), fused=True)
        for net, lr in ((generator, plan.lr), (discriminator, 2 * plan.lr))
    ]
    stream = torch_stream(seed, "gan")
    show = torch.randn(classes * SHOWN, plan.latent, generator=stream)
    kinds = torch.arange(classes).repeat_interleave(SHOWN)
    own: list[Tensor] = list(generator.parameters())
    mean: list[Tensor] = list(averaged.parameters())
    batch, looks = min(plan.batch, len(x)), []
    at = {max(1, plan.steps * i // LOOKS) for i in range(1, LOOKS + 1)}
    for step in range(1, plan.steps + 1):
        rows = torch.randint(len(x), (batch,), generator=stream)
        _discern(generator, discriminator, rules[1], x[rows], y[rows], plan.latent, stream)
        labels = y[torch.randint(len(x), (batch,), generator=stream)]
        _imitate(generator, discriminator, rules[0], labels, plan.latent, stream)
        # A short memory at first, else the average would be of the initial weights.
        keep = min(AVERAGE, step / (step + 10))
        torch._foreach_lerp_(mean, own, 1 - keep)
        if step in at:
            with torch.no_grad():
                looks.append((step, averaged(show, kinds)))
    return Generator(averaged, plan.latent, tuple(looks))


def _networks(
    x: Tensor, classes: int, plan: Plan, seed: int, blocks: Sequence[tuple[int, int]]
) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "gan-init"))
        shape = tuple(x.shape[1:])
        if len(shape) == 3:
            return (
                PictureGenerator(shape, classes, plan.latent, plan.width),
                PictureDiscriminator(shape, classes, plan.width),
            )
        return (
            TableGenerator(shape[0], blocks, classes, plan.latent, plan.width),
            TableDiscriminator(shape[0], classes, plan.width),
        )


def _discern(
    generator: nn.Module,
    discriminator: nn.Module,
    rule: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    latent: int,
    stream: torch.Generator,
) -> None:
    """One step of the discriminator, on real and made rows of the same labels."""
    with torch.no_grad():
        made = generator(torch.randn(len(y), latent, generator=stream), y)
    both = disturbed(torch.cat([x, made]), stream)
    real, fake = discriminator(both, torch.cat([y, y])).chunk(2)
    loss = relu(1 - real).mean() + relu(1 + fake).mean()
    rule.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    rule.step()


def _imitate(
    generator: nn.Module,
    discriminator: nn.Module,
    rule: torch.optim.Optimizer,
    labels: Tensor,
    latent: int,
    stream: torch.Generator,
) -> None:
    """One step of the generator."""
    made = generator(torch.randn(len(labels), latent, generator=stream), labels)
    discriminator.requires_grad_(False)
    loss = -discriminator(disturbed(made, stream), labels).mean()
    rule.zero_grad(set_to_none=True)
    loss.backward()
    rule.step()
    discriminator.requires_grad_(True)
