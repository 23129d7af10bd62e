"""Augmentation that mirrors, cuts or covers pictures, or changes their brightness.

Slide: "Data augmentation". B pictures of C channels, H rows and W columns; values in [0, 1], or
bytes, which become such values. What moves pixels to places between pixels stands in images.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from trainwell.callstring import check_fields
from trainwell.techniques.augment.base import Augmentation, Place, column
from trainwell.techniques.augment.resample import (
    Fill,
    by_blocks,
    random_bits,
    unit,
    values,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Flip(Augmentation):
    """Mirror pictures, each with a given probability.

    Equation: x'(i, j) = x(i, W-1-j) with probability strength · p, p = probability (horizontal,
    left to right), and likewise for the rows (vertical). Shapes: (B, C, H, W) to the same. Default:
    left to right for half of the pictures, as fits photographs; vertical for views from above. Not
    for characters: mirrored, they are others or none.
    Source: slide "Data augmentation"; Krizhevsky et al. 2012.

    >>> import torch
    >>> Flip(probability=1)(torch.tensor([[[[0.1, 0.2, 0.3]]]]))
    tensor([[[[0.3000, 0.2000, 0.1000]]]])
    """

    horizontal: bool = True
    vertical: bool = False
    probability: Annotated[float, Ge(0), Le(1)] = 0.5
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Two numbers in [0, 1) for each picture: for left to right and for upside down."""
        import torch

        return (torch.rand((shape[0], 2), generator=generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The pictures, some of them mirrored; see Augmentation."""
        chosen = (drawn[0].mT < strength * self.probability).view(2, -1, 1, 1, 1)
        weight = chosen.float() if x.is_floating_point() else chosen.byte() * 255
        ways = [(-1, weight[0])] * self.horizontal + [(-2, weight[1])] * self.vertical

        def flip(old: Tensor, rows: slice, out: Tensor) -> None:
            for axis, weight in ways:
                old = mirrored(old, weight[rows], axis, out)
            out.copy_(values(old, out))

        return by_blocks(x, flip)


@dataclass(frozen=True)
class Crop(Augmentation):
    """Pad every picture and cut its old size out again at a random place.

    Equation: x'(i, j) = x(i + d₁, j + d₂), d whole numbers from -r to r, all equally likely,
    r = strength · pad, rounded. Shapes: (B, C, H, W) to the same. Default 4: usual for photographs
    of 32 × 32; 2 for characters of 28 × 28. Like Shift, but no pixel is blurred.
    Source: slide "Data augmentation"; He et al. 2015.

    >>> import torch
    >>> Crop(1, fill="zero")(torch.eye(3)[None, None], seed=0)
    tensor([[[[0., 0., 0.],
              [1., 0., 0.],
              [0., 1., 0.]]]])
    """

    pad: Annotated[int, Ge(0)] = 4
    fill: Fill = "edge"
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Two numbers in [0, 1) for each picture: how far down and to the right it is cut."""
        import torch

        return (torch.rand((shape[0], 2), generator=generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The cut pictures; see Augmentation."""
        if isinstance(strength, int | float):
            most = round(strength * self.pad)
            reach: float | Tensor = most
        else:
            reach = (strength * self.pad).round()
            most = int(reach.max()) if len(x) else 0
        down, right = ((drawn[0].mT * (2 * reach + 1)).floor() - reach).long().unbind()
        most = min(most, max(x.shape[-2:]))  # there is nothing else to see further away
        down, right = down.clamp(-most, most), right.clamp(-most, most)

        def move(old: Tensor, rows: slice, out: Tensor) -> None:
            out.copy_(values(cut(old, down[rows], right[rows], most, self.fill), out))

        return by_blocks(x, move)


@dataclass(frozen=True)
class PixelNoise(Augmentation):
    """Add Gaussian noise to every pixel, as a camera does in the dark.

    Equation: x' = clip(x + strength · σ ε, 0, 1), ε ~ N(0, 1) drawn anew for every pixel and
    channel, σ = sigma in units of the full range. Shapes: (B, C, H, W) to the same. Default 0.05:
    13 of 255 grey levels, well visible; 0.2 hides fine strokes.
    Source: slide "Data augmentation" (add noise); Bishop 1995.

    >>> import torch
    >>> PixelNoise(0.1)(torch.full((1, 1, 1, 4), 0.5), seed=1)
    tensor([[[[0.5009, 0.7769, 0.6682, 0.4790]]]])
    """

    sigma: Annotated[float, Ge(0)] = 0.05
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Normal numbers (B, C, H, W), one for every value."""
        # Looked up, as torch.randn takes twice as long: 65536 steps are far finer than 8-bit grey.
        import torch

        places = random_bits(shape, generator).view(torch.uint16).int()
        return (quantiles().index_select(0, places.view(-1)).view(shape),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The noisy pictures; see Augmentation."""
        import torch

        (noise,) = drawn
        sigma = column(strength, x) * self.sigma

        def add(old: Tensor, rows: slice, out: Tensor) -> None:
            change = noise[rows] * (sigma if isinstance(sigma, float) else sigma[rows])
            torch.add(values(old, out), change, out=out).clamp_(0, 1)

        return by_blocks(x, add)


@dataclass(frozen=True)
class Erase(Augmentation):
    """Cover a random rectangle of some pictures, so that no single part decides.

    Equation: with probability p, x' = v inside a rectangle of area a · H · W and of height to width
    r; a ~ strength · U(least, most), log r ~ U(log aspect, -log aspect), at a random place where it
    fits; v is noise ~ U(0, 1) for every value, or 0. Shapes: (B, C, H, W) to the same. Defaults:
    those of the paper. For objects that others may hide; not for small signs, which vanish whole.
    Source: slide "Data augmentation"; Zhong et al. 2020.

    >>> import torch
    >>> Erase(least=0.25, most=0.25, aspect=1, probability=1, filling="zero")(
    ...     torch.ones(1, 1, 4, 4), seed=1
    ... )
    tensor([[[[1., 1., 1., 1.],
              [1., 1., 1., 1.],
              [0., 0., 1., 1.],
              [0., 0., 1., 1.]]]])
    """

    least: Annotated[float, Ge(0), Le(1)] = 0.02
    most: Annotated[float, Ge(0), Le(1)] = 0.4
    aspect: Annotated[float, Gt(0), Le(1)] = 0.3
    probability: Annotated[float, Ge(0), Le(1)] = 0.5
    filling: Literal["noise", "zero"] = "noise"
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """For each picture five numbers in [0, 1): whether, area, shape, place; and the noise."""
        import torch

        five = torch.rand((shape[0], 5), generator=generator)
        if self.filling == "zero":
            return (five,)
        return five, random_bits(shape, generator) * 2.0**-16 + 0.5

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The pictures, some of them partly covered; see Augmentation."""
        import torch

        across, along = self.inside(x, drawn[0], strength)

        def cover(old: Tensor, rows: slice, out: Tensor) -> None:
            hole = along[rows] * across[rows]
            torch.mul(values(old, out), 1 - hole, out=out)
            if self.filling == "noise":
                out.addcmul_(drawn[1][rows], hole)

        return by_blocks(x, cover)

    def inside(self, x: Tensor, five: Tensor, strength: float | Tensor) -> tuple[Tensor, Tensor]:
        """1 in the columns (B, 1, 1, W) and in the rows (B, 1, H, 1) of the rectangles, else 0."""
        import torch

        rows, columns = x.shape[-2:]
        whether, size, shape, down, right = five.unbind(1)
        share = (self.least + (self.most - self.least) * size) * strength
        area = share.clamp(max=1) * (whether < self.probability) * (rows * columns)
        # A shape that would not fit is made as long as the picture: the area stays.
        height = (area * self.aspect ** (2 * shape - 1)).sqrt()
        height = torch.maximum(height, area / columns).clamp(max=rows).round().clamp(min=1)
        width = (area / height).round().clamp(max=columns)
        return (
            stretch((right * (columns - width + 1)).floor(), width, columns)[:, None, None, :],
            stretch((down * (rows - height + 1)).floor(), height, rows)[:, None, :, None],
        )


@dataclass(frozen=True)
class BrightnessContrast(Augmentation):
    """Make pictures brighter or darker, and their contrast higher or lower, at random.

    Equation: x' = clip(m + g (x - m) + b, 0, 1), m the mean of the picture, g = 1 + strength ·
    contrast · u₂ (never below 0), b = strength · brightness · u₁, u ~ U(-1, 1) drawn anew for every
    picture. Shapes: (B, C, H, W) to the same. Defaults 0.2: another lamp, another camera. Without
    use where pictures are standardised one by one, which takes both away again.
    Source: slide "Data augmentation", slide "Data pre-processing" (over-exposed pictures);
    Krizhevsky et al. 2012.

    >>> import torch
    >>> BrightnessContrast(contrast=0)(torch.tensor([[[[0.4, 0.6]]]]), seed=0)
    tensor([[[[0.3985, 0.5985]]]])
    """

    brightness: Annotated[float, Ge(0)] = 0.2
    contrast: Annotated[float, Ge(0)] = 0.2
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Two numbers in [-1, 1) for each picture: for brightness and for contrast."""
        return (unit((shape[0], 2), generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The pictures in another light; see Augmentation."""
        import torch

        light, gain = (drawn[0].mT * strength).unbind()
        gain = (1 + self.contrast * gain).clamp(min=0)
        light, gain = self.brightness * light.view(-1, 1, 1, 1), gain.view(-1, 1, 1, 1)

        def light_up(old: Tensor, rows: slice, out: Tensor) -> None:
            old = values(old, out)
            mean = old.mean((1, 2, 3), keepdim=True)
            offset = mean * (1 - gain[rows]) + light[rows]
            torch.mul(old, gain[rows], out=out).add_(offset).clamp_(0, 1)

        return by_blocks(x, light_up)


def stretch(first: Tensor, length: Tensor, size: int) -> Tensor:
    """1 for `length` pixels from the `first` on, else 0: (B, size)."""
    import torch

    at = torch.arange(size, dtype=torch.float32, device=first.device)
    first = first[:, None]
    return ((at >= first) & (at < first + length[:, None])).float()


def mirrored(x: Tensor, weight: Tensor, axis: int, out: Tensor) -> Tensor:
    """Pictures the other way along an axis where weight (B, 1, 1, 1) is not 0 but 1, or 255.

    Values by linear interpolation, which is exact at its ends, into `out`; bytes by their bits.
    Both are several times faster than torch.where.
    """
    import torch

    if x.is_floating_point():
        return torch.lerp(x, x.flip(axis), weight, out=out)
    return x.flip(axis).bitwise_xor_(x).bitwise_and_(weight).bitwise_xor_(x)


def cut(x: Tensor, down: Tensor, right: Tensor, most: int, fill: Fill) -> Tensor:
    """Pictures moved up by `down` and left by `right` whole pixels (B,), `most` at the farthest."""
    import torch
    from torch.nn.functional import pad

    count, channels, height, width = x.shape
    padded = pad(x, (most,) * 4, "replicate" if fill == "edge" else "constant").contiguous()
    # Every new row lies in the padded batch as it is: where it begins is all there is to know.
    begin = torch.arange(count * channels, device=x.device).view(count, channels, 1)
    begin = begin * padded.shape[2] + torch.arange(height, device=x.device) + most
    begin = (begin + down[:, None, None]) * padded.shape[3] + most + right[:, None, None]
    every = padded.as_strided((max(0, padded.numel() - width + 1), width), (1, 1))
    return every.index_select(0, begin.view(-1)).view(x.shape)


@lru_cache
def quantiles() -> Tensor:
    """65536 equally likely values of the standard normal distribution."""
    import torch

    steps = torch.arange(1 << 16, dtype=torch.float64)
    found: Tensor = torch.special.ndtri((steps + 0.5) / (1 << 16))
    return found.float()
