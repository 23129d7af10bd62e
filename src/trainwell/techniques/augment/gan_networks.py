"""The two networks of a conditional GAN, for pictures and for tables, and what both look through.

Shapes: B examples, L latent numbers, C classes (or channels, where said), H × W pixels, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot, pad, relu
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2  # of the leaky ReLU of discriminators
SHIFT_SHARE, HOLE_SHARE = 0.125, 0.4  # of a side: how far pictures move, how large a hole is
TABLE_NOISE = 0.1  # standard deviations


def halvings(height: int, width: int) -> int:
    """How often a picture of this size is halved, so that some four pixels a side are left.

    >>> [halvings(side, side) for side in (8, 28, 32, 64)]
    [1, 2, 3, 4]
    """
    return max(1, int(max(height, width) / 4).bit_length() - 1)


class PictureGenerator(nn.Module):
    """Latent numbers (B, L) and labels (B,) to pictures (B, C, H, W) in [-1, 1]."""

    def __init__(self, shape: tuple[int, ...], classes: int, latent: int, width: int) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        steps = halvings(self.height, self.width)
        self.small = [-(-side // 2**steps) for side in (self.height, self.width)]
        self.classes, self.first = classes, 2 * width
        self.start = nn.Linear(latent + classes, self.first * self.small[0] * self.small[1])
        sizes = [self.first] + [max(width // 2**i, 8) for i in range(steps)]
        self.norms = nn.ModuleList(nn.GroupNorm(4, n) for n in sizes)
        self.blocks = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(sizes)
        )
        self.last = nn.Conv2d(sizes[-1], channels, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Pictures for latent numbers and labels."""
        x = self.start(torch.cat([z, one_hot(y, self.classes).to(z.dtype)], dim=1))
        x = relu(self.norms[0](x.view(len(x), self.first, *self.small)))
        for block, norm in zip(self.blocks, list(self.norms)[1:], strict=True):
            x = relu(norm(block(x)))
        found: Tensor = self.last(x)[:, :, : self.height, : self.width].tanh()
        return found


class PictureDiscriminator(nn.Module):
    """Pictures (B, C, H, W) with labels (B,) to how real they look (B,); spectral norm throughout.

    The label enters by a projection: ψ(h) + ⟨e_y, h⟩ (Miyato and Koyama 2018).
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int) -> None:
        super().__init__()
        channels, height, wide = shape
        steps = halvings(height, wide)
        sizes = [channels, max(2 * width // 2 ** (steps - 1), 8)]
        for _ in range(steps - 1):
            sizes.append(2 * sizes[-1])
        self.blocks = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairwise(sizes)
        )
        for _ in range(steps):
            height, wide = (height + 2 - 4) // 2 + 1, (wide + 2 - 4) // 2 + 1
        self.hidden = spectral_norm(nn.Linear(sizes[-1] * height * wide, 2 * width))
        self.out = spectral_norm(nn.Linear(2 * width, 1))
        self.embedding = spectral_norm(nn.Embedding(classes, 2 * width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores; above 0 looks real."""
        for block in self.blocks:
            x = leaky_relu(block(x), SLOPE)
        x = leaky_relu(self.hidden(x.flatten(1)), SLOPE)
        found: Tensor = self.out(x)[:, 0] + (self.embedding(y) * x).sum(dim=1)
        return found


class TableGenerator(nn.Module):
    """Latent numbers (B, L) and labels (B,) to encoded rows (B, D).

    blocks: start and stop of the columns of each category, which become shares that sum to 1.
    """

    def __init__(
        self,
        columns: int,
        blocks: Sequence[tuple[int, int]],
        classes: int,
        latent: int,
        width: int,
    ) -> None:
        super().__init__()
        self.classes, self.blocks = classes, tuple(blocks)
        hidden = 4 * width
        self.layers = nn.Sequential(
            nn.Linear(latent + classes, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, columns),
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Rows for latent numbers and labels."""
        raw: Tensor = self.layers(torch.cat([z, one_hot(y, self.classes).to(z.dtype)], dim=1))
        if not self.blocks:
            return raw
        parts, done = [], 0
        for start, stop in self.blocks:
            parts += [raw[:, done:start], raw[:, start:stop].softmax(dim=1)]
            done = stop
        return torch.cat([*parts, raw[:, done:]], dim=1)


class TableDiscriminator(nn.Module):
    """Encoded rows (B, D) with labels (B,) to how real they look (B,); spectral norm throughout."""

    def __init__(self, columns: int, classes: int, width: int) -> None:
        super().__init__()
        hidden = 4 * width
        self.first = spectral_norm(nn.Linear(columns, hidden))
        self.second = spectral_norm(nn.Linear(hidden, hidden))
        self.out = spectral_norm(nn.Linear(hidden, 1))
        self.embedding = spectral_norm(nn.Embedding(classes, hidden))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores; above 0 looks real."""
        x = leaky_relu(self.first(x), SLOPE)
        x = leaky_relu(self.second(x), SLOPE)
        found: Tensor = self.out(x)[:, 0] + (self.embedding(y) * x).sum(dim=1)
        return found


def disturbed(x: Tensor, stream: torch.Generator) -> Tensor:
    """What the discriminator sees: x (B, ...) changed at random, real and made rows alike.

    Pictures: brightness, a shift by up to an eighth of each side, a hole of two fifths of each
    side. Rows: noise. Differentiable, so that the generator learns through it; since both kinds of
    rows are changed alike, what is generated is not. Without it a discriminator learns a small set
    by heart. Source: Zhao et al. 2020 (DiffAugment).
    """
    if x.dim() == 2:
        return x + TABLE_NOISE * torch.randn(x.shape, generator=stream)
    batch, _, height, width = x.shape
    x = x + torch.rand(batch, 1, 1, 1, generator=stream) - 0.5
    places = []
    for side in (height, width):
        most = int(SHIFT_SHARE * side + 0.5)
        by = torch.randint(0, 2 * most + 1, (batch, 1), generator=stream)
        places.append((most, by + torch.arange(side)))
    (up, rows), (left, columns) = places
    # Beyond the border there is what lies at the border.
    x = pad(x, (left, left, up, up), mode="replicate")
    x = x[torch.arange(batch)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    x = x.permute(0, 3, 1, 2)
    inside = []
    for side in (height, width):
        half = HOLE_SHARE * side / 2
        middle = torch.rand(batch, 1, generator=stream) * side
        inside.append((torch.arange(side) + 0.5 - middle).abs() < half)
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return x.masked_fill(hole, 0.0)
