"""Losses: `(logits, labels) -> one loss per member`. Slide: "Activation and loss function"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy between the softmax of the outputs and the true class.

    Equation: L = -(1/B) Σ_i log softmax(z_i)[y_i], on raw outputs z (never after a softmax of
    one's own). Shapes: logits (K, B, C), labels (K, B), result (K,). "The default setting in most
    training" (slide "Activation and loss function"): its gradient p - y does not vanish where the
    network is confidently wrong, unlike that of the squared error.
    Source: slide "Activation and loss function"; CS231n notes, linear classification.

    >>> import torch
    >>> CrossEntropy()(torch.zeros(1, 2, 10), torch.tensor([[3, 7]]))
    tensor([2.3026])
    """

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        from torch.nn import functional

        members, batch, classes = logits.shape
        each = functional.cross_entropy(
            logits.reshape(-1, classes), labels.reshape(-1), reduction="none"
        )
        return each.view(members, batch).mean(dim=1)


Loss = CrossEntropy
