"""Losses: `(logits, labels) -> one loss per member`. Slide: "Activation and loss function"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

VECTOR = 16  # floats in the widest vector register of a CPU
SMALL = 512  # logits below which the change of layout costs more than it brings


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy between the softmax of the outputs and the true class.

    Equation: L = -(1/B) Σ_i log softmax(z_i)[y_i], on raw outputs z (never after a softmax of
    one's own). Shapes: logits (K, B, C), labels (K, B), result (K,). "The default setting in most
    training" (slide "Activation and loss function"): its gradient p - y does not vanish where the
    network is confidently wrong, unlike that of the squared error.
    With label smoothing s and class weights w, as torch defines them:
    L = Σ_i [(1-s) w_{y_i} ℓ_i(y_i) + s/C Σ_c w_c ℓ_i(c)] / Σ_i w_{y_i}, where ℓ_i = -log softmax.
    Source: slide "Activation and loss function"; CS231n notes, linear classification.

    >>> import torch
    >>> CrossEntropy()(torch.zeros(1, 2, 10), torch.tensor([[3, 7]]))
    tensor([2.3026])
    """

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        smoothing: float | Tensor = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of each member (K,) over its batch.

        smoothing: one number, or (K,) where members differ. class_weights: (K, C).
        """
        from torch.nn import functional

        # torch works along the classes one number at a time where they do not fill a register;
        # with the examples last the same sum takes a half to a tenth of the time.
        few = logits.is_cpu and logits.shape[2] < VECTOR and logits.numel() > SMALL
        if class_weights is not None or not isinstance(smoothing, float):
            return _general(logits, labels, smoothing, class_weights, axis=1 if few else 2)
        if len(logits) == 1:  # torch's own mean: fewer operations where their number counts
            return functional.cross_entropy(
                logits[0], labels[0], label_smoothing=smoothing
            ).unsqueeze(0)
        if few:
            each = functional.cross_entropy(
                logits.transpose(1, 2), labels, reduction="none", label_smoothing=smoothing
            )
        else:
            each = functional.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=smoothing
            ).view_as(labels)
        return each.mean(dim=1)


def _general(
    logits: Tensor,
    labels: Tensor,
    smoothing: float | Tensor,
    class_weights: Tensor | None,
    axis: int,
) -> Tensor:
    """Smoothing or weights that differ between members; the classes lie along `axis` (1 or 2)."""
    from torch import where

    classes = logits.shape[2]
    nll = (logits.transpose(1, 2) if axis == 1 else logits).log_softmax(axis).neg()
    right = nll.gather(axis, labels.unsqueeze(axis)).squeeze(axis)  # (K, B)
    if class_weights is None:
        count: float | Tensor = float(labels.shape[1])
    else:
        own = class_weights.gather(1, labels)
        right, count = right * own, own.sum(dim=1)
    loss = right.sum(dim=1)
    if not isinstance(smoothing, float) or smoothing:
        even = nll.sum(dim=3 - axis)  # (K, C)
        even = (even if class_weights is None else even * class_weights).sum(dim=1) / classes
        # where: a logit of -inf must not reach members without smoothing as 0 · inf.
        mixed = (1 - smoothing) * loss + smoothing * even
        loss = mixed if isinstance(smoothing, float) else where(smoothing > 0, mixed, loss)
    return loss / count


Loss = CrossEntropy
