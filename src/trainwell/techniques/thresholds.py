"""Offsets of the outputs that make the best decisions on given rows; see balance.ThresholdMove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Metric = Literal["balanced_accuracy", "macro_f1"]
ROUNDS = 20  # passes over all classes, at most


def best_offsets(logits: Floats, labels: Ints, starts: Sequence[Floats], metric: Metric) -> Floats:
    """Offsets (C,), the first 0: the best that coordinate ascent finds from these starts.

    logits (n, C), labels (n,). Of starts that end equally well the first one counts.
    """
    ends = [_climb(logits, labels, start, metric) for start in starts]
    scores = [decided(logits, labels, end, metric) for end in ends]
    best: Floats = ends[int(np.argmax(scores))]
    best -= best[0]
    return best


def decided(logits: Floats, labels: Ints, offsets: Floats, metric: Metric) -> float:
    """The metric of the decisions argmax(logits + offsets); classes without rows do not count."""
    classes = logits.shape[1]
    told = (logits + offsets).argmax(axis=1)
    table = np.bincount(labels * classes + told, minlength=classes**2).reshape(classes, classes)
    return float(_metric(np.diag(table), table.sum(axis=0), table.sum(axis=1), metric))


def _metric(right: Ints, told: Ints, rows: Ints, metric: Metric) -> npt.NDArray[np.float64]:
    """From right decisions, decisions and rows of each class (..., C): the mean over classes."""
    there = rows > 0
    above, below = (right, rows) if metric == "balanced_accuracy" else (2 * right, told + rows)
    each: Floats = (above[..., there] / below[..., there]).mean(axis=-1)
    return each


def _climb(logits: Floats, labels: Ints, start: Floats, metric: Metric) -> Floats:
    """Coordinate ascent: one class's offset after another, each to its best place."""
    offsets, reached = start.copy(), decided(logits, labels, start, metric)
    for _ in range(ROUNDS):
        before = reached
        for c in range(len(offsets)):
            found, value = _line(logits, labels, offsets, c, metric)
            if value > reached + 1e-12:
                offsets[c], reached = found, value
        if reached <= before:
            break
    return offsets


def _line(
    logits: Floats, labels: Ints, offsets: Floats, c: int, metric: Metric
) -> tuple[float, float]:
    """The best offset of class c with the others as they are, and its value, over all offsets.

    With o rising, rows go over to class c one after another: at o = their lead of the best other
    class. All places are tried at once from cumulative counts.
    """
    classes = logits.shape[1]
    moved = logits + offsets
    moved[:, c] = -np.inf
    other = moved.argmax(axis=1)
    lead = moved[np.arange(len(moved)), other] - logits[:, c]
    order = np.argsort(lead, kind="stable")
    lead, other, own = lead[order], other[order], labels[order]
    rows = np.bincount(labels, minlength=classes)
    # Counts (n + 1, C) after 0, 1, ... n rows have gone over to c.
    goes = np.eye(classes, dtype=np.int64)
    begin = np.zeros((1, classes), np.int64)
    told = np.bincount(other, minlength=classes) - np.vstack([begin, goes[other].cumsum(axis=0)])
    told[:, c] = np.arange(len(lead) + 1)
    hit = goes[other] * (other == own)[:, None]
    right = hit.sum(axis=0) - np.vstack([begin, hit.cumsum(axis=0)])
    right[:, c] = np.concatenate([[0], np.cumsum(own == c)])
    values = _metric(right, told, rows, metric)
    # Between equal leads there is no offset: only the last of them is a place.
    values[1:-1][np.diff(lead) <= 1e-9 * (1 + np.abs(lead[1:]))] = -np.inf
    best = int(values.argmax())
    edges = np.concatenate([[lead[0] - 2.0], lead, [lead[-1] + 2.0]])
    return float((edges[best] + edges[best + 1]) / 2), float(values[best])
