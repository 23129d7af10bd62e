"""What a loss function wants: found out by asking it, since it may be anybody's.

Shapes: N rows, W outputs of the network for a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss = Callable[[Any, Tensor], Any]
Wants = Literal[
    "logits",  # unnormalised, a softmax is inside: cross-entropy and its relatives
    "log-probabilities",
    "probabilities",  # that sum to 1
    "binary-logits",  # a sigmoid is inside
    "binary-probabilities",
    "values",  # compared with the targets as they are: squared and absolute errors
    "unknown",
]
WANTS: tuple[tuple[Any, Wants], ...] = (
    (nn.CrossEntropyLoss, "logits"),
    (nn.MultiMarginLoss, "logits"),
    (nn.NLLLoss, "log-probabilities"),
    (nn.BCEWithLogitsLoss, "binary-logits"),
    (nn.MultiLabelSoftMarginLoss, "binary-logits"),
    (nn.BCELoss, "binary-probabilities"),
    (nn.MSELoss, "values"),
    (nn.L1Loss, "values"),
    (nn.SmoothL1Loss, "values"),
    (nn.HuberLoss, "values"),
)
FUNCTIONS: tuple[tuple[Any, Wants], ...] = (
    (functional.cross_entropy, "logits"),
    (functional.nll_loss, "log-probabilities"),
    (functional.binary_cross_entropy_with_logits, "binary-logits"),
    (functional.binary_cross_entropy, "binary-probabilities"),
    (functional.mse_loss, "values"),
    (functional.l1_loss, "values"),
)
FLAT = 1e-4  # relative change below which a loss does not depend on something


@dataclass(frozen=True)
class LossNature:
    """What a loss wants, and how it behaves at outputs that are as right as can be.

    floor: its value there; bounded: whether it stays small where outputs are certain and wrong.
    """

    wants: Wants
    floor: float = math.nan
    bounded: bool = False


def value_of(loss: Loss, outputs: Any, y: Tensor) -> float:
    """The loss as a number, mean over whatever it gives; nan where it cannot be computed."""
    try:
        with torch.no_grad():
            return float(loss(outputs, y).float().mean())
    except Exception:
        return math.nan


def nature(loss: Loss, outputs: Tensor, y: Tensor) -> LossNature:
    """What `loss` wants of outputs with the shape of these."""
    known = next((w for kind, w in WANTS if isinstance(loss, kind)), None)
    known = known or next((w for function, w in FUNCTIONS if loss is function), None)
    wants = known or _asked(loss, outputs, y)
    desired = wanted(outputs, y)
    floor, bounded = math.nan, False
    if desired is not None and wants == "logits":
        right = [value_of(loss, s * desired, y) for s in (20.0, 200.0)]
        wrong = value_of(loss, -200.0 * desired, y)
        near = max(1e-6, 1e-3 * abs(right[1]))
        floor = right[1] if abs(right[0] - right[1]) < near else math.nan
        bounded = wrong < 10.0
    return LossNature(wants, floor, bounded)


def _asked(loss: Loss, outputs: Tensor, y: Tensor) -> Wants:
    """What a loss that is not known by name wants, from its values on made-up outputs."""
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(outputs.shape, generator=generator).to(outputs)
    at = value_of(loss, z, y)
    desired = wanted(outputs, y)
    wide = z.ndim > 1 and z.shape[1] > 1
    if wide:
        even = value_of(loss, z.softmax(1), y)
        if math.isnan(at) and math.isfinite(even):
            inside = value_of(loss, 0.9 * z.sigmoid() / z.shape[1], y)
            return "probabilities" if math.isfinite(inside) else "unknown"
        shifts = torch.randn(len(z), generator=generator).to(z)
        shifted = value_of(loss, z + shifts.view(-1, *[1] * (z.ndim - 1)), y)
        if abs(shifted - at) < FLAT * (abs(at) + 1e-3):
            return "logits"
        doubled = value_of(loss, 2 * z, y)
        if not y.is_floating_point() and abs(doubled - 2 * at) < FLAT * (abs(at) + 1e-3):
            return "log-probabilities"
    if math.isnan(at):
        inside = value_of(loss, z.sigmoid(), y)
        return "binary-probabilities" if math.isfinite(inside) else "unknown"
    if desired is None:
        return "unknown"
    target = (desired + 1) / 2
    if abs(value_of(loss, target, y)) < 1e-6 and value_of(loss, 20 * desired, y) > 1:
        return "values"
    wrong = value_of(loss, -100 * desired, y)
    if abs(value_of(loss, 100 * desired, y)) < 1e-2 and 1 < wrong < 1e4:
        return "binary-logits"
    return "unknown"


def wanted(outputs: Tensor, y: Tensor) -> Tensor | None:
    """Targets as -1 and 1 in the outputs' shape; None where they are no classes."""
    if not y.is_floating_point() and y.ndim == outputs.ndim - 1 and outputs.shape[1] > 1:
        if int(y.max()) >= outputs.shape[1] or int(y.min()) < 0:
            return None
        hot = torch.full_like(outputs, -1.0).detach()
        return hot.scatter_(1, y.unsqueeze(1).long(), 1.0)
    if y.numel() == outputs.numel():
        values = y.reshape(outputs.shape).to(outputs.dtype)
        if bool(((values == 0) | (values == 1)).all()):
            return 2 * values - 1
        sums = values.sum(1) if values.ndim > 1 else values
        if values.ndim > 1 and values.shape[1] > 1 and bool(((sums - 1).abs() < 1e-3).all()):
            best = values == values.amax(1, keepdim=True)  # smoothed or mixed labels
            return 2 * best.to(values.dtype) - 1
    return None


def correct(outputs: Tensor, y: Tensor, wants: Wants) -> Tensor | None:
    """Whether each row is classified rightly (N,); None where the targets are no classes."""
    desired = wanted(outputs, y)
    if desired is None:
        return None
    if outputs.ndim > 1 and outputs.shape[1] > 1 and bool(((desired > 0).sum(1) == 1).all()):
        # `==` and not argmax: outputs that are all the same have decided nothing.
        best = outputs == outputs.amax(1, keepdim=True)
        hit = (best == (desired > 0)).all(1)
    else:
        middle = 0.0 if wants == "binary-logits" else 0.5
        hit = (outputs > middle) == (desired > 0)
    return hit.reshape(len(outputs), -1).all(1)
