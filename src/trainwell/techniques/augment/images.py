"""Augmentation that moves the pixels of pictures. Slide: "Data augmentation".

B pictures of C channels, H rows and W columns; values in [0, 1], or bytes, which become such
values. Every technique says for each pixel of the new picture where in the old one it comes from,
measured in pixels (x to the right, y down), so that a circle stays a circle in pictures that are
not square; values between pixels are bilinear. `Affine` composes its movements before it resamples,
once: each resampling blurs a little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Le, Lt

from trainwell.callstring import check_fields
from trainwell.techniques.augment.base import Augmentation, Place, column
from trainwell.techniques.augment.resample import (
    Fill,
    blur,
    convolved,
    moved,
    pixels,
    random_bits,
    resampled,
    unit,
    zoom,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Shift(Augmentation):
    """Move every picture by a random number of pixels, also by parts of a pixel.

    Equation: x'(p) = x(p - t), t = strength · pixels · (u₁, u₂), u ~ U(-1, 1) drawn anew for every
    picture. Shapes: (B, C, H, W) to the same. Default 2: 7 % of the width of MNIST's digits; more
    than the margin cuts parts off. For objects that are not centred the same way everywhere; not
    where the place itself tells the class.
    Source: slide "Data augmentation" (distorted characters); LeCun et al. 1998.

    >>> import torch
    >>> Shift(1)(torch.eye(3)[None, None], seed=4).round(decimals=1)
    tensor([[[[1.0000, 0.1000, 0.0000],
              [0.1000, 0.8000, 0.1000],
              [0.0000, 0.1000, 0.8000]]]])
    """

    pixels: Annotated[float, Ge(0)] = 2.0
    fill: Fill = "edge"
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Two numbers in [-1, 1) for each picture: to the right and down."""
        return (unit((shape[0], 2), generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The moved pictures; see Augmentation."""
        right, down = (drawn[0].mT * strength * self.pixels).unbind()
        return moved(x, strength, self.fill, right=right, down=down)


@dataclass(frozen=True)
class Rotate(Augmentation):
    """Turn every picture about its middle by a random angle.

    Equation: x'(p) = x(R⁻¹ p), R the rotation by strength · degrees · u, u ~ U(-1, 1) drawn anew
    for every picture. Shapes: (B, C, H, W) to the same. Default 15: written characters lean that
    much, and no character turns into another; 180 makes 6 and 9 one class.
    Source: slide "Data augmentation" (distorted characters); Ciresan et al. 2010.

    >>> import torch
    >>> Rotate(180)(torch.eye(3)[None, None], strength=0)
    tensor([[[[1., 0., 0.],
              [0., 1., 0.],
              [0., 0., 1.]]]])
    """

    degrees: Annotated[float, Ge(0)] = 15.0
    fill: Fill = "edge"
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """A number in [-1, 1) for each picture; positive turns against the clock."""
        return (unit(shape[:1], generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The turned pictures; see Augmentation."""
        angle = drawn[0] * strength * math.radians(self.degrees)
        return moved(x, strength, self.fill, angle=angle)


@dataclass(frozen=True)
class Scale(Augmentation):
    """Enlarge or shrink every picture about its middle by a random factor.

    Equation: x'(p) = x(p / s), s = (1 + strength · factor)ᵘ, u ~ U(-1, 1) drawn anew for every
    picture; with u in the exponent, twice as large is as likely as half as large. Shapes:
    (B, C, H, W) to the same size. Default 0.15: from 87 % to 115 %, as usual for characters.
    Source: slide "Data augmentation" (distorted characters); Ciresan et al. 2010.

    >>> import torch
    >>> Scale(1)(torch.eye(4)[None, None], seed=5).round(decimals=1)
    tensor([[[[0.5000, 0.4000, 0.1000, 0.0000],
              [0.4000, 0.7000, 0.3000, 0.1000],
              [0.1000, 0.3000, 0.7000, 0.4000],
              [0.0000, 0.1000, 0.4000, 0.5000]]]])
    """

    factor: Annotated[float, Ge(0)] = 0.15
    fill: Fill = "edge"
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """A number in [-1, 1) for each picture; positive enlarges."""
        return (unit(shape[:1], generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The scaled pictures; see Augmentation."""
        return moved(x, strength, self.fill, zoom=zoom(drawn[0], strength, self.factor))


@dataclass(frozen=True)
class Shear(Augmentation):
    """Slant every picture, as handwriting slants, by a random angle.

    Equation: x'(p) = x(S⁻¹ p), S = [[1, k], [0, 1]], k = strength · u · tan(degrees),
    u ~ U(-1, 1) drawn anew for every picture: rows move sideways, the middle row stays. Shapes:
    (B, C, H, W) to the same. Default 10: about the difference between two hands.
    Source: slide "Data augmentation" (distorted characters); LeCun et al. 1998.

    >>> import torch
    >>> Shear(45)(torch.ones(1, 1, 3, 1).expand(1, 1, 3, 3), seed=1).min()
    tensor(1.)
    """

    degrees: Annotated[float, Ge(0), Lt(90)] = 10.0
    fill: Fill = "edge"
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """A number in [-1, 1) for each picture; positive moves the lower rows to the right."""
        return (unit(shape[:1], generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The slanted pictures; see Augmentation."""
        slant = drawn[0] * strength * math.tan(math.radians(self.degrees))
        return moved(x, strength, self.fill, slant=slant)


@dataclass(frozen=True)
class Affine(Augmentation):
    """Slant, scale, turn and shift every picture at random, in one resampling.

    Equation: x'(p) = x((R S s)⁻¹ (p - t)): first Scale and Shear, then Rotate, then Shift, each
    with random numbers of its own; 0 leaves a movement out. Shapes: (B, C, H, W) to the same.
    Defaults: those of the four, together about the range of written characters; halve them where
    accuracy on training data falls. Sharper and faster than four resamplings after each other.
    Source: slide "Data augmentation" (distorted characters); Ciresan et al. 2010.

    >>> import torch
    >>> x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    >>> changed = Affine()(x, strength=torch.tensor([1.0, 0.0]))
    >>> [torch.equal(a, b) for a, b in zip(x, changed)]
    [False, True]
    """

    degrees: Annotated[float, Ge(0)] = 15.0
    shift: Annotated[float, Ge(0)] = 2.0
    scale: Annotated[float, Ge(0)] = 0.15
    shear: Annotated[float, Ge(0), Lt(90)] = 10.0
    fill: Fill = "edge"
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Five numbers in [-1, 1) for each picture: angle, right, down, size, slant."""
        return (unit((shape[0], 5), generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The moved pictures; see Augmentation."""
        angle, right, down, size, slant = drawn[0].unbind(1)
        return moved(
            x,
            strength,
            self.fill,
            angle=angle * strength * math.radians(self.degrees),
            right=right * strength * self.shift,
            down=down * strength * self.shift,
            zoom=zoom(size, strength, self.scale),
            slant=slant * strength * math.tan(math.radians(self.shear)),
        )


@dataclass(frozen=True)
class Elastic(Augmentation):
    """Distort every picture as if drawn on rubber: each pixel moves a little with its neighbours.

    Equation: x'(p) = x(p + α s (G_σ * u)(p)), u ~ U(-1, 1)² drawn anew for every pixel, G_σ a
    Gaussian of deviation σ = sigma pixels and sum 1, α = alpha pixels, s = strength. Outside of the
    picture u is zero. Shapes: (B, C, H, W) to the same. Defaults 34 and 4, for pictures of 28 × 28:
    pixels move by one pixel on average; both grow with the width of the picture. A large σ comes
    near to a shift, a small one to noise. The best known one for written characters; not for
    pictures of rigid things.
    Source: slide "Data augmentation" (distorted characters); Simard, Steinkraus and Platt 2003.

    >>> import torch
    >>> Elastic(alpha=8)(torch.ones(1, 3, 5, 4)).shape
    torch.Size([1, 3, 5, 4])
    """

    alpha: Annotated[float, Ge(0)] = 34.0
    sigma: Annotated[float, Gt(0), Le(1000)] = 4.0
    fill: Fill = "edge"
    acts_on: ClassVar[Place] = "pictures"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Two numbers in [-1, 1) for each pixel (B, 2, H, W): to the right and down."""
        # 16 bits are plenty for numbers of which hundreds are averaged.
        return (random_bits((shape[0], 2, *shape[-2:]), generator) * 2.0**-15,)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The distorted pictures; see Augmentation."""
        import torch

        (field,) = drawn
        height, width = x.shape[-2:]
        over_rows, over_columns = (blur(n, self.sigma).to(x.device) for n in (height, width))
        # From pixels to the units of the grid.
        scale = torch.tensor([2 / width, 2 / height], device=x.device).view(2, 1, 1)
        amount = (scale * self.alpha * column(strength, x)).expand(len(x), 2, 1, 1)
        across, down = pixels(width, x), pixels(height, x)
        start = torch.stack(torch.meshgrid(across, down, indexing="xy")) * scale

        def grid(rows: slice) -> Tensor:
            moves = convolved(field[rows], over_rows, over_columns, self.sigma)
            return moves.mul_(amount[rows]).add_(start)

        return resampled(x, grid, strength, self.fill)
