"""Pictures that a generative adversarial network makes, as further training rows.

In every repetition a conditional GAN is trained on the labelled rows alone, and makes COPIES
times as many. Generator: noise and class to a picture; discriminator: picture and class to one
number; log-sigmoid losses, Adam at 5e-4 with β₁ = 0.5, a little noise on what the discriminator
sees.
Shapes: K repetitions side by side, N rows, D pixels, C classes, Z = 32 numbers of noise.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Nets, Training
from trainwell.claims.stacked_rows import Rows, measured, stacked_rows, tuned
from trainwell.claims.trials import Setup
from trainwell.techniques.augment.images import Affine

NOISE, HIDDEN, BATCH, RATE = 32, 128, 64, 5e-4
COPIES = 4  # generated, or distorted, rows for each real one
BLUR = 0.1  # spread of the noise on what the discriminator sees


def run(setup: Setup) -> Measured:
    """Accuracy and log loss with the real rows, with a GAN's besides, with distorted ones, with
    the GAN's alone; equal steps, and each rate chosen on validation rows."""
    rows = stacked_rows(setup)
    side = setup.data.inputs.shape[-1]
    fake = generated(rows, int(setup.claim.settings.get("gan_steps", 1500)))
    x, y = rows.train
    many = x.repeat(1, COPIES, 1)
    moved = distorted(many, side, rows.seed)
    labels_of_copies = y.repeat(1, COPIES)
    every = torch.cat([y, labels_of_copies], dim=1)
    sets = {
        "real": (torch.cat([x, many], dim=1), every),
        "with generated": (torch.cat([x, fake], dim=1), every),
        "with distorted": (torch.cat([x, moved], dim=1), every),
        "generated only": (fake, labels_of_copies),
    }
    accuracy, loss, chosen = {}, {}, {}
    for name, (inputs, labels) in sets.items():
        how = Training(hidden=(128,), steps=setup.size.steps or 300)
        accuracy[name], loss[name], rate = tuned(rows, (inputs, labels), how, (0.02, 0.05, 0.1))
        chosen[name] = {"lr": f"{rate:g}"}
    return measured(rows, {"accuracy": accuracy, "log_loss": loss}, chosen)


def distorted(x: Tensor, side: int, seed: int) -> Tensor:
    """Copies of scaled pictures (K, N, D), turned and moved a little; blank is the lowest value."""
    low, high = x.amin(), x.amax()
    pictures = ((x - low) / (high - low)).reshape(-1, 1, x.shape[2] // side, side)
    share = side / 28  # shifts are meant for pictures of 28 pixels
    changed = Affine(degrees=10, shift=2 * share, scale=0.1, shear=5)(pictures, seed=seed)
    return changed.reshape(x.shape) * (high - low) + low


def generated(rows: Rows, steps: int) -> Tensor:
    """Rows (K, COPIES · N, D) of the training labels, by GANs that saw the training rows alone."""
    x, y = rows.train
    count, _, pixels = x.shape
    stream = torch.Generator().manual_seed(rows.seed + 1)
    maker = layers((NOISE + rows.classes, HIDDEN, HIDDEN, pixels), count, stream)
    judge = layers((pixels + rows.classes, HIDDEN, HIDDEN, 1), count, stream)
    makers, judges = (
        torch.optim.Adam([*n.weights, *n.biases], lr=RATE, betas=(0.5, 0.999))
        for n in (maker, judge)
    )
    low, high = x.amin(dim=(1, 2), keepdim=True), x.amax(dim=(1, 2), keepdim=True)
    scaled = 2 * (x - low) / (high - low) - 1
    for _ in range(steps):
        picks = torch.randint(x.shape[1], (count, BATCH), generator=stream)
        real = scaled.gather(1, picks[:, :, None].expand(-1, -1, pixels))
        label = functional.one_hot(y.gather(1, picks), rows.classes).float()
        noise = torch.randn(count, BATCH, NOISE, generator=stream)
        fake = leaky(maker, torch.cat([noise, label], dim=2)).tanh()
        blur = BLUR * torch.randn(2, *real.shape, generator=stream)
        seen = torch.cat([real + blur[0], fake.detach() + blur[1]], dim=1)
        found = leaky(judge, torch.cat([seen, label.repeat(1, 2, 1)], dim=2))
        judged = functional.softplus(-found[:, :BATCH]) + functional.softplus(found[:, BATCH:])
        judges.zero_grad()
        torch.autograd.backward(judged.mean(dim=(1, 2)).sum())
        judges.step()
        fooled = leaky(judge, torch.cat([fake + blur[1], label], dim=2))
        makers.zero_grad()
        torch.autograd.backward(functional.softplus(-fooled).mean(dim=(1, 2)).sum())
        makers.step()
    with torch.no_grad():
        noise = torch.randn(count, COPIES * x.shape[1], NOISE, generator=stream)
        label = functional.one_hot(y.repeat(1, COPIES), rows.classes).float()
        made = leaky(maker, torch.cat([noise, label], dim=2)).tanh()
    return (made + 1) / 2 * (high - low) + low


def layers(widths: tuple[int, ...], count: int, stream: torch.Generator) -> Nets:
    """K networks with weights of spread √(2/n)."""
    weights = tuple(
        (torch.randn(count, a, b, generator=stream) * math.sqrt(2 / a)).requires_grad_()
        for a, b in itertools.pairwise(widths)
    )
    return Nets(weights, tuple(torch.zeros(count, 1, b).requires_grad_() for b in widths[1:]))


def leaky(nets: Nets, x: Tensor) -> Tensor:
    """Outputs (K, n, widths[-1]) of networks with leaky ReLU units, slope 0.2."""
    h, last = x, len(nets.weights) - 1
    for i, (w, b) in enumerate(zip(nets.weights, nets.biases, strict=True)):
        h = torch.baddbmm(b, h, w)
        h = h if i == last else functional.leaky_relu(h, 0.2)
    return h
