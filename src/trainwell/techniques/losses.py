"""Losses: `(logits, labels) -> one loss per member`. Slide: "Activation and loss function".

Logits are (K, B, C) for K members, labels (K, B); the result is the mean over each member's batch,
(K,). Class weights (K, C) make it a weighted mean, Σ_i w_{y_i} ℓ_i / Σ_i w_{y_i}. Options that only
some losses know (smoothing, focus) are refused by a recipe whose loss does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt

from trainwell.callstring import check_fields

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

    smooths: ClassVar[bool] = True
    focuses: ClassVar[bool] = True

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        smoothing: float | Tensor = 0.0,
        class_weights: Tensor | None = None,
        focus: float | Tensor = 0.0,
    ) -> Tensor:
        """Mean loss of each member (K,) over its batch.

        smoothing: one number, or (K,) where members differ. class_weights: (K, C). focus: γ of the
        focal loss (see balance.Focal), one number or (K,).
        """
        from torch.nn import functional

        # torch works along the classes one number at a time where they do not fill a register;
        # with the examples last the same sum takes a half to a tenth of the time.
        few = logits.is_cpu and logits.shape[2] < VECTOR and logits.numel() > SMALL
        focused = not isinstance(focus, float) or focus > 0
        if class_weights is not None or not isinstance(smoothing, float) or focused:
            axis = 1 if few else 2
            return _general(logits, labels, smoothing, class_weights, focus if focused else 0, axis)
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


def soft_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float | Tensor = 0.0) -> Tensor:
    """Cross-entropy with probabilities as targets: what a student learns from a teacher.

    Equation: L = -(1/B) Σ_i Σ_c t_ic log softmax(z_i)[c]; label smoothing s moves t to
    (1-s) t + s/C. Shapes: logits and targets (K, B, C), smoothing one number or (K,), result (K,).
    With one-hot targets it is CrossEntropy. Source: slide "Ensemble"; Hinton et al. 2015.

    >>> import torch
    >>> soft_cross_entropy(torch.zeros(1, 2, 10), torch.full((1, 2, 10), 0.1))
    tensor([2.3026])
    """
    share = smoothing if isinstance(smoothing, float) else smoothing[:, None, None]
    moved = (1 - share) * targets + share / targets.shape[2]
    return -(moved * logits.log_softmax(dim=2)).sum(dim=2).mean(dim=1)


def _general(
    logits: Tensor,
    labels: Tensor,
    smoothing: float | Tensor,
    class_weights: Tensor | None,
    focus: float | Tensor,
    axis: int,
) -> Tensor:
    """Options in which members may differ; the classes lie along `axis` (1 or 2)."""
    from torch import where

    classes = logits.shape[2]
    nll = (logits.transpose(1, 2) if axis == 1 else logits).log_softmax(axis).neg()
    right = nll.gather(axis, labels.unsqueeze(axis)).squeeze(axis)  # (K, B)
    factor = None
    if not isinstance(focus, int):  # (1 - p)^γ, from -log p; a slope at p = 1 would be infinite
        power = focus if isinstance(focus, float) else focus[:, None]
        factor = (-(-right).expm1()).clamp(min=1e-7) ** power
        right = right * factor
    if class_weights is None:
        count: float | Tensor = float(labels.shape[1])
    else:
        own = class_weights.gather(1, labels)
        right, count = right * own, own.sum(dim=1)
    loss = right.sum(dim=1)
    if not isinstance(smoothing, float) or smoothing:
        if factor is not None:
            nll = nll * factor.unsqueeze(axis)
        even = nll.sum(dim=3 - axis)  # (K, C)
        even = (even if class_weights is None else even * class_weights).sum(dim=1) / classes
        # where: a logit of -inf must not reach members without smoothing as 0 · inf.
        mixed = (1 - smoothing) * loss + smoothing * even
        loss = mixed if isinstance(smoothing, float) else where(smoothing > 0, mixed, loss)
    return loss / count


@dataclass(frozen=True)
class MeanSquared:
    """Squared distance between the outputs and the one-hot label.

    Equation: L = (1/B) Σ_i ½ ‖p_i - t_i‖², t_i = one-hot label, p = softmax(z) with on="softmax"
    (half the Brier score), p = z with on="logits". Through the softmax the gradient is
    J(p)(p - t), which vanishes where the network is confidently wrong: that is the case against it,
    and from bad initial weights it may stay where it is. On the logits the square loss trains about
    as well as cross-entropy (Hui and Belkin), but their softmax is then no probability.
    Shapes: logits (K, B, C), labels (K, B), result (K,). Label smoothing moves t. For comparisons;
    cross-entropy is the default.
    Source: slide "Activation and loss function"; Brier 1950; Hui and Belkin 2021.

    >>> import torch
    >>> MeanSquared(on="logits")(torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), torch.tensor([[0, 0]]))
    tensor([0.2500])
    """

    on: Literal["softmax", "logits"] = "softmax"
    smooths: ClassVar[bool] = True
    focuses: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        smoothing: float | Tensor = 0.0,
        class_weights: Tensor | None = None,
        focus: float | Tensor = 0.0,
    ) -> Tensor:
        """Mean loss of each member (K,); arguments as for CrossEntropy, without focus."""
        from torch.nn import functional

        classes = logits.shape[2]
        share = smoothing if isinstance(smoothing, float) else smoothing[:, None, None]
        target = functional.one_hot(labels, classes).to(logits.dtype)
        target = (1 - share) * target + share / classes
        outputs = logits.softmax(dim=2) if self.on == "softmax" else logits
        return _mean(0.5 * (outputs - target).square().sum(dim=2), labels, class_weights)


@dataclass(frozen=True)
class Hinge:
    """The loss of a multi-class support vector machine: the right class must lead by a margin.

    Equation: L = (1/B) Σ_i Σ_{c ≠ y_i} max(0, z_ic - z_{i y_i} + m), m = margin. Examples that lead
    by the margin give no gradient any more. The outputs are scores, not probabilities: accuracy
    may be good where the log loss (their softmax) is not. Shapes: logits (K, B, C), labels (K, B),
    result (K,). Default m = 1: another one only changes the scale of the weights.
    Source: slide "Class imbalance" (the SVM); CS231n notes, linear classification; Weston and
    Watkins 1999.

    >>> import torch
    >>> Hinge()(torch.tensor([[[2.0, 1.5, -1.0]]]), torch.tensor([[0]]))
    tensor([0.5000])
    """

    margin: Annotated[float, Gt(0)] = 1.0
    smooths: ClassVar[bool] = False
    focuses: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        smoothing: float | Tensor = 0.0,
        class_weights: Tensor | None = None,
        focus: float | Tensor = 0.0,
    ) -> Tensor:
        """Mean loss of each member (K,); arguments as for CrossEntropy, without smoothing."""
        right = logits.gather(2, labels.unsqueeze(2))
        each = (logits - right + self.margin).clamp(min=0).sum(dim=2) - self.margin
        return _mean(each, labels, class_weights)


def _mean(each: Tensor, labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """Mean of the examples' losses (K, B), weighted by class where weights (K, C) are given."""
    if class_weights is None:
        return each.mean(dim=1)
    own = class_weights.gather(1, labels)
    return (each * own).sum(dim=1) / own.sum(dim=1)


Loss = CrossEntropy | MeanSquared | Hinge


def weighted(
    loss: Loss,
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    smoothing: float | Tensor = 0.0,
    class_weights: Tensor | None = None,
    focus: float | Tensor = 0.0,
) -> Tensor:
    """Mean loss of each member (K,) where every example's own term counts by a weight (K, B).

    Equation: L = (1/B) Σ_i v_i ℓ_i, v = weights, which have the mean 1 over all rows, not over this
    batch: so its expectation is Σ v ℓ / Σ v over all rows. With class weights w the terms and B are
    Σ_i v_i w_{y_i} ℓ_i and Σ_i w_{y_i}. Other arguments as for CrossEntropy.

    >>> import torch
    >>> weighted(CrossEntropy(), torch.zeros(1, 2, 2), torch.tensor([[0, 1]]),
    ...          torch.tensor([[1.5, 0.5]]))
    tensor([0.6931])
    """
    from torch import Tensor

    # Every example as a batch of its own, so that any loss gives one number for each.
    batch = labels.shape[1]
    spread, by_class, power = (
        v.repeat_interleave(batch, dim=0) if isinstance(v, Tensor) else v
        for v in (smoothing, class_weights, focus)
    )
    alone = loss(logits.flatten(0, 1)[:, None], labels.view(-1, 1), spread, by_class, power)  # type: ignore[arg-type]
    each = alone.view_as(labels) * weights
    if class_weights is None:
        return each.mean(dim=1)
    own = class_weights.gather(1, labels)  # a batch of one has divided by it
    return (each * own).sum(dim=1) / own.sum(dim=1)
