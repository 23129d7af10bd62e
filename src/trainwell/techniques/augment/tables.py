"""Augmentation of tables; it acts on inputs after pre-processing. Slide: "Data augmentation"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Jitter:
    """Add Gaussian noise to the inputs while training.

    Equation: x' = x + σ ε, ε ~ N(0, 1) drawn anew for every value and step, σ = strength in units
    of the pre-processed input (1 = a standard deviation after Standardize). For small σ it acts
    like L2 on the slope of the network. Default 0.1: below the spread within a class of most
    tables; more than 0.3 hides fine differences.
    Source: slide "Data augmentation" (add noise); Bishop 1995.

    >>> import torch
    >>> Jitter.apply(torch.zeros(2, 1, 3), torch.tensor([0.1, 0.0]), torch.ones(2, 1, 3))
    tensor([[[0.1000, 0.1000, 0.1000]],
    <BLANKLINE>
            [[0.0000, 0.0000, 0.0000]]])
    """

    strength: Annotated[float, Ge(0)] = 0.1

    def __post_init__(self) -> None:
        check_fields(self)

    @staticmethod
    def apply(x: Tensor, strength: Tensor, noise: Tensor) -> Tensor:
        """The noisy inputs, new; shapes: x and noise (K, B, ...), strength (K,) per member."""
        return x.addcmul(noise, strength.view(-1, *[1] * (x.dim() - 1)))
