"""SimGAN: simulated pictures refined towards real ones that have no labels. Slide: "Data
augmentation" (a method to use two neural networks).

The refiner R changes a simulated picture; the discriminator D says of every patch whether it is
refined or real. R is held near to what the simulator drew, so that the label stays right. Source:
Shrivastava et al. 2017. Shapes: n simulated, m real, B pictures of a batch, C channels, H × W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, leaky_relu, relu

from trainwell.seeding import stream_seed, torch_stream
from trainwell.techniques.augment.coding import PictureCoder

Bytes = npt.NDArray[np.uint8]

BATCH = 32
BUFFER = 50 * BATCH  # refined pictures that are remembered
SMALL = 16  # pixels of the shorter side
BLOCKS = 4  # of the refiner
REFINER_STEPS = 2  # K_g; K_d is 1
WARM = 0.1  # share of the steps in which the discriminator learns alone, before the others
BORDER: Literal["replicate"] = (
    "replicate"  # zeros would be grey in pictures from -1 to 1, and show at borders
)
LOOKS, SHOWN, AT_ONCE = 4, 10, 256


class Refiner(nn.Module):
    """Pictures (B, C, H, W) in [-1, 1] to refined ones; residual blocks that keep the size.

    The last layer says what to add to a picture, and begins at nothing: R is first the identity.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1, padding_mode=BORDER)
        self.ones, self.twos = (
            nn.ModuleList(
                nn.Conv2d(width, width, 3, padding=1, padding_mode=BORDER) for _ in range(BLOCKS)
            )
            for _ in range(2)
        )
        self.last = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Refined pictures."""
        h = relu(self.first(x))
        for one, two in zip(self.ones, self.twos, strict=True):
            h = relu(h + two(relu(one(h))))
        found: Tensor = x + self.last(h)
        return found


class PatchDiscriminator(nn.Module):
    """Pictures (B, C, H, W) to a map of logits: is the patch around each place refined?

    A place sees 9 × 9 pixels, 5 × 5 where pictures are small (under SMALL pixels): a patch is a
    part of a picture, so that no artefact can hide, and what the whole shows is not judged.
    """

    def __init__(self, channels: int, width: int, side: int) -> None:
        super().__init__()
        steps = (
            ((channels, 1), (width, 1)) if side < SMALL else ((channels, 1), (width, 2), (width, 1))
        )
        self.layers = nn.ModuleList(
            [nn.Conv2d(a, width, 3, step, 1, padding_mode=BORDER) for a, step in steps]
        )
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of "refined"."""
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        found: Tensor = self.out(x)[:, 0]
        return found


@dataclass(frozen=True, eq=False)
class Refined:
    """Refined pictures (n, C, H, W); looks: steps, and the first SHOWN at that step."""

    pictures: Bytes
    looks: tuple[tuple[int, Bytes], ...]


def refine(
    simulated: Bytes,
    real: Bytes,
    seed: int,
    steps: int = 400,
    keep: float = 0.3,
    width: int = 16,
    lr: float = 1e-3,
) -> Refined:
    """Refine simulated pictures (n, C, H, W) towards real ones (m, C, H, W), both uint8.

    Losses: L_R = mean over patches of -log(1 - D(R(x))) + λ |R(x) - x|, λ = keep, |·| the mean over
    pixels in [-1, 1]; L_D = -log D(R(x)) - log(1 - D(r)) for real r, mean over patches; D(·) is the
    probability of "refined". Half of the refined pictures that D sees come from a history of
    earlier ones, so that R cannot bring back an artefact that D has forgotten. First D learns
    alone, then two steps of R follow on one of D. Unlike the paper's, R adds to its picture and so
    begins as the identity instead of learning it, and the rule is Adam without momentum (with it
    the two swing to and fro). The same seed gives the same bits on one machine. Source: Shrivastava
    et al. 2017, algorithm 1.
    """
    coder = PictureCoder()
    x, r = coder.encode(simulated), coder.encode(real)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "refine-init"))
        refiner, judge = (
            Refiner(x.shape[1], width),
            PatchDiscriminator(x.shape[1], 2 * width, min(x.shape[2:])),
        )
    rules = [
        torch.optim.Adam(net.parameters(), lr=lr, betas=(0.0, 0.99), fused=True)
        for net in (refiner, judge)
    ]
    stream = torch_stream(seed, "refine")
    warm = max(1, round(WARM * steps))
    history = _History(stream)
    for _ in range(warm):
        _judge_step(refiner, judge, rules[1], _some(x, stream), _some(r, stream), history)
    looks = [(0, simulated[:SHOWN])]
    at = {max(1, steps * i // LOOKS) for i in range(1, LOOKS + 1)}
    for step in range(1, steps + 1):
        for _ in range(REFINER_STEPS):
            _refiner_step(refiner, judge, rules[0], _some(x, stream), keep)
        _judge_step(refiner, judge, rules[1], _some(x, stream), _some(r, stream), history)
        if step in at:
            looks.append((step, _applied(refiner, x[:SHOWN], coder)))
    return Refined(_applied(refiner, x, coder), tuple(looks))


def _some(x: Tensor, stream: torch.Generator) -> Tensor:
    return x[torch.randint(len(x), (BATCH,), generator=stream)]


def _applied(refiner: Refiner, x: Tensor, coder: PictureCoder) -> Bytes:
    with torch.no_grad():
        found = torch.cat([refiner(part) for part in torch.split(x, AT_ONCE)])
    return coder.decode(found).astype(np.uint8, copy=False)


def _refiner_step(
    refiner: Refiner,
    judge: PatchDiscriminator,
    rule: torch.optim.Optimizer,
    x: Tensor,
    keep: float,
) -> None:
    """One step of the refiner."""
    refined = refiner(x)
    judge.requires_grad_(False)
    patches = judge(refined)  # to be taken for real: 0
    judge.requires_grad_(True)
    loss = binary_cross_entropy_with_logits(patches, torch.zeros_like(patches))
    loss = loss + keep * (refined - x).abs().mean()
    rule.zero_grad(set_to_none=True)
    loss.backward()
    rule.step()


def _judge_step(
    refiner: Refiner,
    judge: PatchDiscriminator,
    rule: torch.optim.Optimizer,
    x: Tensor,
    r: Tensor,
    history: _History,
) -> None:
    """One step of the discriminator, on a batch that is half history."""
    with torch.no_grad():
        refined = history.mixed(refiner(x))
    both = judge(torch.cat([refined, r]))
    truth = torch.cat([torch.ones_like(both[: len(refined)]), torch.zeros_like(both[len(x) :])])
    loss = binary_cross_entropy_with_logits(both, truth)
    rule.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    rule.step()


class _History:
    """Refined pictures of earlier steps."""

    def __init__(self, stream: torch.Generator) -> None:
        self.stream = stream
        self.held: Tensor | None = None

    def mixed(self, refined: Tensor) -> Tensor:
        """The batch with its second half from the history, which then takes in half of the batch.

        Until the history is full it takes in half of each batch; then these replace random ones.
        """
        half = len(refined) // 2
        if self.held is None or len(self.held) < half:
            self.held = refined[:half] if self.held is None else torch.cat([self.held, refined])
            return refined
        places = torch.randint(len(self.held), (len(refined) - half,), generator=self.stream)
        found = torch.cat([refined[:half], self.held[places]])
        if len(self.held) < BUFFER:
            self.held = torch.cat([self.held, refined[:half]])
        else:
            gone = torch.randperm(len(self.held), generator=self.stream)[:half]
            self.held[gone] = refined[:half]
        return found
