"""Offsets of the outputs that make the best decisions on given rows; see balance.ThresholdMove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Metric = Literal["balanced_accuracy", "macro_f1"]
ROUNDS = 8  # passes over all classes, at most


def best_offsets(logits: Floats, labels: Ints, starts: Sequence[Floats], metric: Metric) -> Floats:
    """Offsets (C,), the first 0: the best that coordinate ascent finds from these starts.

    logits (n, C), labels (n,). Of starts that end equally well the first one counts. Classes
    without rows keep their place: decisions are made, and offsets moved, between the others, whose
    mean stays where it was. With rows of one class alone nothing is moved.
    """
    there = np.unique(labels)
    if len(there) < 2:
        unmoved: Floats = starts[0] - starts[0][0]
        return unmoved
    own = np.searchsorted(there, labels)
    ends, scores = [], []
    for start in starts:
        moved = _climb(logits[:, there], own, start[there], metric)
        end = start.astype(float)
        end[there] = moved - moved.mean() + start[there].mean()
        ends.append(end)
        scores.append(decided(logits[:, there], own, moved, metric))
    best: Floats = ends[int(np.argmax(scores))]
    best -= best[0]
    return best


def decided(logits: Floats, labels: Ints, offsets: Floats, metric: Metric) -> float:
    """The metric of the decisions argmax(logits + offsets); classes without rows do not count."""
    classes = logits.shape[1]
    told = (logits + offsets).argmax(axis=1)
    table = np.bincount(labels * classes + told, minlength=classes**2).reshape(classes, classes)
    right, said, rows = np.diag(table), table.sum(axis=0), table.sum(axis=1)
    return float(_of_classes(right, said, rows, metric)[rows > 0].mean())


def _of_classes(right: Ints, said: Ints, rows: Ints, metric: Metric) -> Floats:
    """Recall or F1 of classes, from right decisions, all decisions for them, and their rows."""
    recall = metric == "balanced_accuracy"
    above, below = (right, rows) if recall else (2 * right, said + rows)
    each: Floats = above / np.maximum(below, 1)
    return each


def _climb(logits: Floats, labels: Ints, start: Floats, metric: Metric) -> Floats:
    """Coordinate ascent: one class's offset after another, each to its best place."""
    offsets, reached = start.astype(float), decided(logits, labels, start, metric)
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
    class. Each row that goes changes two classes, c and the one that loses it, so that cumulative
    sums of these changes give the value at every place. Every class has rows.
    """
    classes = logits.shape[1]
    moved = logits + offsets
    moved[:, c] = -np.inf
    other = moved.argmax(axis=1)
    lead = moved[np.arange(len(moved)), other] - logits[:, c]
    order = np.argsort(lead, kind="stable")
    lead, other, own = lead[order], other[order], labels[order]
    rows = np.bincount(labels, minlength=classes)
    said, hit = np.bincount(other, minlength=classes), other == own
    right = np.bincount(other[hit], minlength=classes)
    # The class that loses a row: its decisions and right ones after that row and all before it.
    by_class = np.argsort(other, kind="stable")
    start = np.concatenate([[0], np.cumsum(said)[:-1]])
    gone = np.arange(len(other)) - np.repeat(start, said) + 1
    hits = np.cumsum(hit[by_class])
    hits -= np.repeat(np.concatenate([[0], hits])[start], said)
    k = other[by_class]
    after = _of_classes(right[k] - hits, said[k] - gone, rows[k], metric)
    last = hits - hit[by_class]
    fall = np.empty(len(other))
    fall[by_class] = after - _of_classes(right[k] - last, said[k] - gone + 1, rows[k], metric)
    # The class that gains it.
    gained = np.concatenate([[0], np.cumsum(own == c)])
    rise = _of_classes(gained, np.arange(len(lead) + 1), np.full(1, rows[c]), metric)
    values = _of_classes(right, said, rows, metric).sum() + np.concatenate([[0], np.cumsum(fall)])
    values = (values + rise) / classes
    # Between equal leads there is no offset: only the last of them is a place.
    values[1:-1][np.diff(lead) <= 1e-9 * (1 + np.abs(lead[1:]))] = -np.inf
    best = int(values.argmax())
    edges = np.concatenate([[lead[0] - 2.0], lead, [lead[-1] + 2.0]])
    return float((edges[best] + edges[best + 1]) / 2), float(values[best])
