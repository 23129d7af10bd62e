"""Augmentation of tables, and of any inputs after pre-processing. Slide: "Data augmentation"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from trainwell.callstring import check_fields
from trainwell.techniques.augment.base import Augmentation, Place, column

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Jitter(Augmentation):
    """Add Gaussian noise to the inputs while training.

    Equation: x' = x + σ ε, ε ~ N(0, 1) drawn anew for every value and step, σ = noise in units
    of the pre-processed input (1 = a standard deviation after Standardize). For small σ it acts
    like L2 on the slope of the network. Shapes: (B, ...) to the same. Default 0.1: below the
    spread within a class of most tables; more than 0.3 hides fine differences.
    Source: slide "Data augmentation" (add noise); Bishop 1995.

    >>> import torch
    >>> Jitter(0.1)(torch.zeros(2, 3), seed=1, strength=torch.tensor([1.0, 0.0]))
    tensor([[0.0661, 0.0267, 0.0062],
            [0.0000, 0.0000, 0.0000]])
    """

    noise: Annotated[float, Ge(0)] = 0.1
    acts_on: ClassVar[Place] = "features"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Normal numbers (B, ...), one for every value."""
        import torch

        return (torch.randn(shape, generator=generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The noisy inputs; see Augmentation."""
        (noise,) = drawn
        return x + noise * column(strength, x) * self.noise
