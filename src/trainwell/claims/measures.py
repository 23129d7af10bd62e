"""Measures: one number per training from its curve, or from its probabilities on decision rows.

Shapes: E epochs, n decision rows, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell import metrics
from trainwell.data.dataset import IntArray
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore

Floats = npt.NDArray[np.float64]

# Of the curve on decision rows, by the weights of the last epoch.
OF_CURVES = (
    "accuracy",
    "log_loss",
    "train_accuracy",
    "train_loss",
    "early_train_loss",
    "gap",
    "loss_gap",
    "steps_to_target",
    "mean_accuracy",
    "diverged",
)
# Of the probes: before the first step, and after the last.
OF_PROBES = ("dead_at_start", "dead_at_end", "first_spread")
# Of probabilities, by the weights of the epoch that was best on validation rows.
OF_PROBABILITIES = (
    "accuracy",
    "log_loss",
    "balanced_accuracy",
    "worst_recall",
    "rare_recall",
    "ece",
    "diverged",
)
SHARES = frozenset({"accuracy", "gap", "mean_accuracy", "train_accuracy"})  # of decision rows
LOWER_IS_BETTER = frozenset(
    {"log_loss", "train_loss", "early_train_loss", "loss_gap", "gap", "steps_to_target", "ece"}
)
UNITS = {
    "log_loss": "nats",
    "train_loss": "nats",
    "early_train_loss": "nats",
    "loss_gap": "nats",
    "steps_to_target": "steps",
}


@dataclass(frozen=True)
class Ends:
    """What a training that diverged is worth: what knowing nothing gives."""

    majority: float  # share of the most frequent class
    rarest: int  # class with the fewest training rows
    classes: int
    steps: int  # of the whole training


def of_curve(
    scores: Sequence[EpochScore], ends: Ends, target: float, steps_per_epoch: int
) -> dict[str, float]:
    """All measures of one training's curve; scores: its epochs in order.

    steps_to_target: steps until the accuracy on decision rows first reaches the target; a training
    that never does counts as one step more than there were. early_train_loss: training loss after a
    tenth of the epochs; that of knowing nothing where it is not finite.
    """
    last = scores[-1] if scores else None
    finite = last is not None and math.isfinite(last.val_loss + last.train_loss)
    reached = [s.epoch for s in scores if s.val_accuracy >= target and math.isfinite(s.val_loss)]
    whole = max(1, ends.steps // max(steps_per_epoch, 1))
    seen = [s.val_accuracy if math.isfinite(s.val_loss) else ends.majority for s in scores]
    early = [s.train_loss for s in scores if s.epoch == max(1, round(0.1 * whole))]
    blank = math.log(ends.classes)
    found = {
        "early_train_loss": early[0] if early and math.isfinite(early[0]) else blank,
        "steps_to_target": float(reached[0] * steps_per_epoch if reached else ends.steps + 1),
        "mean_accuracy": float(np.mean([*seen, *[ends.majority] * (whole - len(seen))])),
        "diverged": 0.0 if finite else 1.0,
    }
    if not finite or last is None:
        return found | {
            "accuracy": ends.majority,
            "train_accuracy": ends.majority,
            "log_loss": blank,
            "train_loss": blank,
            "gap": 0.0,
            "loss_gap": 0.0,
        }
    return found | {
        "accuracy": last.val_accuracy,
        "train_accuracy": last.train_accuracy,
        "log_loss": last.val_loss,
        "train_loss": last.train_loss,
        "gap": last.train_accuracy - last.val_accuracy,
        "loss_gap": last.val_loss - last.train_loss,
    }


def of_probes(probes: Sequence[Probe]) -> dict[str, float]:
    """Dead units (share, mean over hidden layers) before the first and after the last step."""
    if not probes:
        return {}
    last = max(p.epoch for p in probes)

    def mean(epoch: int, name: str) -> float:
        some = [getattr(p, name) for p in probes if p.epoch == epoch]
        some = [v for v in some if math.isfinite(v)]
        return float(np.mean(some)) if some else 0.0

    return {
        "dead_at_start": mean(0, "dead"),
        "dead_at_end": mean(last, "dead"),
        "first_spread": mean(0, "spread"),
    }


def of_probabilities(labels: IntArray, probabilities: Floats, ends: Ends) -> dict[str, float]:
    """All measures of probabilities (n, C) for rows with these labels (n,)."""
    if not np.isfinite(probabilities).all():
        probabilities = np.full_like(probabilities, 1 / ends.classes)
        return {"diverged": 1.0} | _scores(labels, probabilities, ends.rarest)
    return {"diverged": 0.0} | _scores(labels, probabilities, ends.rarest)


def _scores(labels: IntArray, probabilities: Floats, rarest: int) -> dict[str, float]:
    right = probabilities.argmax(axis=1) == labels
    recalls = [float(right[labels == c].mean()) for c in np.unique(labels)]
    return {
        "accuracy": metrics.accuracy(labels, probabilities),
        "log_loss": metrics.log_loss(labels, probabilities),
        "balanced_accuracy": metrics.balanced_accuracy(labels, probabilities),
        "worst_recall": min(recalls),
        "rare_recall": float(right[labels == rarest].mean()) if (labels == rarest).any() else 0.0,
        "ece": metrics.calibration_error(labels, probabilities),
    }


def worth(measure: str, value: float) -> float:
    """The value, turned so that more is better."""
    return -value if measure in LOWER_IS_BETTER else value
