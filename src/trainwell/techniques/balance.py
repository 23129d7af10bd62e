"""Class imbalance: what to do when classes have very different numbers of rows.

Slide: "Class imbalance".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClassWeights:
    """Let rows of rare classes count more in the loss.

    Equation: w_c ∝ n_c^-p, scaled so that Σ_c n_c w_c = N; n_c = training rows of class c, N = all
    training rows, p = power. With p = 1, the default, w_c = N / (C n_c) for C classes: every class
    has the same say. p = 0.5 goes half the way, p = 0 is no weighting. Rare classes are found more
    often, at the price of more false alarms and of probabilities that no longer follow the shares
    of the classes. Shapes: counts (C,) to weights (C,).
    Source: slide "Class imbalance"; King and Zeng 2001.

    >>> import torch
    >>> ClassWeights().weights(torch.tensor([90, 10]))
    tensor([0.5556, 5.0000])
    """

    power: Annotated[float, Ge(0), Le(1)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def weights(self, counts: Tensor) -> Tensor:
        """Weight of each class (C,), float32, from its training rows (C,); 0 for one without."""
        rows = counts.double()
        raw = rows.clamp(min=1).pow(-self.power) * (rows > 0)
        weights: Tensor = raw * (rows.sum() / (rows * raw).sum().clamp(min=1e-300))
        return weights.float()


Balance = ClassWeights
