"""What decides in an ensemble: a metric as sums over rows, so that differences have intervals.

Where classes are uneven and each shall have the same say (balanced accuracy, macro F1), log loss
counts a row of class c with N / (C n_c), too: what is chosen by the loss of all rows alike throws
rare classes away. Shapes: n rows, C classes that occur in `labels`; probabilities (n, C), nan in
rows that a member may not judge.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from trainwell.ensemble.rows import Bools, Floats, Ints, row_losses
from trainwell.metrics import Metric, balanced_accuracy_interval, macro_f1
from trainwell.paired import least_half_width
from trainwell.stats import Interval, mean_interval, wilson
from trainwell.swaps import class_sizes

Share = Literal["accuracy", "balanced_accuracy", "macro_f1"]
Measure = Literal["log loss", "share"]  # that decides


def share_of(metric: Metric) -> Share:
    """The share of right answers that goes with a deciding metric: accuracy with log loss.

    >>> share_of("log_loss"), share_of("macro_f1")
    ('accuracy', 'macro_f1')
    """
    return "accuracy" if metric == "log_loss" else metric


def weighs_classes(metric: Metric) -> bool:
    """Whether each class has the same say in a metric, however many rows it has."""
    return metric in ("balanced_accuracy", "macro_f1")


def measure_of(metric: Metric) -> Measure:
    """The measure that decides whether an ensemble is kept; why: see `select.select`.

    >>> measure_of("accuracy"), measure_of("balanced_accuracy")
    ('log loss', 'share')
    """
    return "share" if weighs_classes(metric) else "log loss"


def class_weights(labels: Ints) -> Floats:
    """The weight N / (C n_c) of each row (n,): classes weigh alike, the mean weight is 1.

    >>> class_weights(np.array([0, 0, 0, 1])).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    return np.asarray(len(labels) / class_sizes(labels))


def row_weights(labels: Ints, metric: Metric) -> Floats | None:
    """Row weights (n,) for a deciding metric, None where all rows count alike."""
    return class_weights(labels) if weighs_classes(metric) else None


def equal_rows(labels: Ints, metric: Metric) -> float:
    """How many rows the mean of a metric is worth: N, or C² / Σ (1 / n_c) where classes weigh.

    >>> equal_rows(np.array([0] * 90 + [1] * 10), "balanced_accuracy")
    36.0
    """
    if not weighs_classes(metric):
        return float(len(labels))
    counts = np.bincount(labels)
    there = counts[counts > 0].astype(np.float64)
    return float(round(len(there) ** 2 / (1 / there).sum(), 9))


def row_gains(one: Floats, other: Floats, labels: Ints, metric: Metric) -> Floats:
    """By row (n, 2): log loss saved, and the metric's share won by `one` over `other`.

    Means over rows are the differences of the two scores. Rows on which both say the same class win
    nothing, nor do those where one of them is silent. Macro F1 over the classes in `labels`:
    F(a) - F(b) = Σ_i (2 Δtp_i - F(b) Δsaid_i) / (true + said(a)), and likewise the other way round;
    the mean of both is used.

    >>> a, b = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 0, 0, 1]]
    >>> row_gains(a, b, np.array([0, 0, 1, 1]), "balanced_accuracy")[:, 1].tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    saved = row_losses(other, labels) - row_losses(one, labels)
    known = ~np.isnan(saved)
    said = [np.where(known[:, None], p, 0.0).argmax(axis=1) for p in (one, other)]
    right = [(s == labels).astype(np.float64) for s in said]
    weights = row_weights(labels, metric)
    won = right[0] - right[1]
    if metric == "macro_f1":
        won = _f1_gains((said[0], said[1]), labels, known)
    elif weights is not None:
        won = weights * won
    if weights is not None:
        saved = weights * saved
    found: Floats = np.where(known[:, None], np.stack([saved, won], axis=1), 0.0)
    return found


def _f1_gains(said: tuple[Ints, Ints], labels: Ints, known: Bools) -> Floats:
    """What each row (n,) adds to the difference of two macro F1, times n."""
    found = np.zeros(len(labels))
    classes = np.unique(labels)
    for c in classes.tolist():
        true = labels == c
        names = [(s == c) & known for s in said]
        whole = [float((true & known).sum() + s.sum()) for s in names]
        f1 = [
            2 * float((s & true).sum()) / w if w else 0.0 for s, w in zip(names, whole, strict=True)
        ]
        change = names[0].astype(np.float64) - names[1]
        for own, opposite in ((0, 1), (1, 0)):
            if whole[own]:
                found += change * (2 * true - f1[opposite]) / (2 * whole[own])
    return found * len(labels) / len(classes)


def alone(probabilities: Floats, labels: Ints, metric: Metric) -> tuple[Interval, Interval]:
    """Log loss and share of one voice (n, C), each with its interval over rows.

    Accuracy and balanced accuracy have the intervals of `metrics.score`, the log loss Student's,
    and macro F1 Student's of what each row adds to it (the delta method), never narrower than
    Wilson's of as many equal rows.
    """
    losses, weights = row_losses(probabilities, labels), row_weights(labels, metric)
    loss = mean_interval(losses if weights is None else weights * losses)
    said = probabilities.argmax(axis=1)
    if metric == "balanced_accuracy":
        return loss, balanced_accuracy_interval(labels, probabilities)
    if metric != "macro_f1":
        return loss, wilson(float((said == labels).sum()), len(labels))
    value, classes = macro_f1(labels, probabilities), np.unique(labels)
    added = np.zeros(len(labels))
    for c in classes.tolist():
        true, named = (labels == c).astype(np.float64), (said == c).astype(np.float64)
        both, either = true * named, true + named
        added += 2 * (both - either * both.sum() / either.sum()) / either.sum()
    spread = mean_interval(added * len(labels) / len(classes))
    least = least_half_width(0.0, equal_rows(labels, metric))
    half = max((spread.high - spread.low) / 2, least)
    return loss, Interval(value, max(0.0, value - half), min(1.0, value + half))
