"""What every augmentation shares: random numbers and arithmetic are two separate steps.

`draw` makes the random numbers of a batch from one generator, `apply` is a pure function of the
batch and these numbers. So every member of a population has its own stream, a batch can be cut over
processes, and members that change their inputs in the same way are computed together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Where an augmentation acts: on pictures (B, C, H, W) in [0, 1] or clips (B, T) in [-1, 1], before
# the pre-processing; on either, or the columns of a table, before it ("inputs"); or on features
# (B, ...), behind it.
Place = Literal["pictures", "clips", "inputs", "features"]
SIGNALS = ("pictures", "clips", "inputs")  # what acts before the pre-processing


class Augmentation(ABC):
    """Changed copies of a batch, with random numbers of their own for every example."""

    acts_on: ClassVar[Place]

    @abstractmethod
    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """The random numbers for a batch of this shape (B, ...): CPU tensors, (B, ...) each."""

    @abstractmethod
    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The changed batch, new, for inputs (B, ...) and numbers as `draw` made them.

        strength: times the technique's own; one number, or (B,) for each example; 0 changes
        nothing, not even the last bit. rate: samples per second, where inputs are clips.
        """

    def __call__(
        self,
        x: Tensor,
        seed: int = 0,
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """Draw and apply: for use without the engine; arguments as for `apply`."""
        import torch

        drawn = self.draw(tuple(x.shape), torch.Generator().manual_seed(seed))
        return self.apply(x, tuple(d.to(x.device) for d in drawn), strength, rate)


def column(strength: float | Tensor, x: Tensor) -> float | Tensor:
    """The strength in a shape that multiplies x (B, ...): a number, or (B, 1, ...)."""
    return (
        strength if isinstance(strength, int | float) else strength.view(-1, *[1] * (x.dim() - 1))
    )
