"""Regularisation: global, not per layer, and never on biases or batch-norm parameters.

Slides: "Regularization", "Dropout". L2 acts on the gradient, dropout inside the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Lt

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class L2:
    """Pull every weight towards zero in proportion to its size.

    Equation: loss + ½ λ ‖W‖², hence gradient + λ W, with λ = strength. One global strength; biases
    and norm parameters are left alone ("no regularization on bias weights"). The penalty is not
    part of the reported loss. Default 1e-4: mild; 1e-3 is usual for a few hundred examples.
    Source: slide "Regularization"; CS231n notes, part 2.

    >>> import torch
    >>> grad = torch.zeros(2)
    >>> L2.add_gradient(0.1, torch.tensor([3.0, 3.0]), grad, torch.tensor([1.0, 0.0]))
    >>> grad  # the second entry is a bias
    tensor([0.3000, 0.0000])
    """

    strength: Annotated[float, Ge(0)] = 1e-4

    def __post_init__(self) -> None:
        check_fields(self)

    @staticmethod
    def add_gradient(
        strength: float | Tensor, theta: Tensor, grad: Tensor, weights: Tensor
    ) -> None:
        """Add λ θ to `grad` in place, where `weights` is 1 (weights) and not 0 (biases, norm).

        Shapes: θ and grad (K, P), weights (P,), strength a number or (K, 1) for K members.
        """
        if isinstance(strength, float):
            grad.addcmul_(theta, weights, value=strength)
        else:
            grad.addcmul_(theta, weights * strength)


@dataclass(frozen=True)
class Dropout:
    """Drop hidden units at random while training, each with probability `drop`.

    Equation: h ∘ m / (1 - drop) with m ~ Bernoulli(1 - drop), one selection per example and step;
    nothing at prediction. This inverted form equals the lecture's (train h ∘ m, "scale all weights
    by p during testing" with p the share *kept*). Default 0.5 as on the slide ("typically
    p = 0.5"); for narrow nets 0.1 to 0.3 is better.
    Source: slides "Dropout"; Srivastava et al. 2014.

    >>> Dropout(drop=0.5)
    Dropout(drop=0.5)
    """

    drop: Annotated[float, Ge(0), Lt(1)] = 0.5  # probability of being dropped, not kept

    def __post_init__(self) -> None:
        check_fields(self)


Regularizer = L2 | Dropout
