"""Does an augmentation keep the labels? A reference network looks at augmented held-out rows.

A reference that errs on a changed row does not prove that the label broke: it may simply never have
seen such rows. A label counts as broken where the row has become a good example of another class:
the reference is sure of that class, and the row lies among that class's training rows, as near as
clean rows lie to their own. The same is counted on clean rows, and taken off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.auditing.likeness import Floats32
from trainwell.data.dataset import BoolArray, IntArray
from trainwell.doctor.simple_models import nearest
from trainwell.stats import Interval, wilson

Floats = npt.NDArray[np.float64]
SURE = 0.9  # of the reference; less where it is less sure of clean rows it gets right
NEAR = 0.95  # quantile of the distances of clean rows to their own class


@dataclass(frozen=True, eq=False)
class Judged:
    """What a fold's reference says about some rows (n,).

    labels: class numbers (n,). shares: (n, C) what is right to say about each (1 and 0, unless rows
    are mixed). chances: probabilities (n, C). near: distance (n, C) to the nearest training row of
    each class.
    """

    labels: IntArray
    shares: Floats
    chances: Floats
    near: Floats


@dataclass(frozen=True)
class Labels:
    """How labels fare.

    broken: share of augmented rows that became another class, more than clean rows seem to. kept:
    1 - broken, at most 1. worst: the class that loses most, what it turns into, and its share.
    affinity: accuracy of the reference on augmented over clean held-out rows.
    """

    kept: Interval
    broken: Interval
    worst: tuple[int, int, Interval] | None
    affinity: Interval
    clean_accuracy: float
    rows: int


def distances_by_class(rows: Floats32, train: Floats32, labels: IntArray, classes: int) -> Floats:
    """Distance (n, C) of rows (n, d) to the nearest training row (t, d) of every class."""
    found = np.full((len(rows), classes), np.inf)
    for c in range(classes):
        mine = train[labels == c]
        if len(mine):
            found[:, c] = np.sqrt(nearest(rows, mine, 1)[0][:, 0])
    return found


def judge_labels(clean: Judged, changed: Judged, classes: int) -> Labels:
    """Kept and broken labels, over all rows and for the worst class.

    clean: held-out rows as they are; changed: augmented ones, or extra samples. The interval of a
    difference of two shares is Newcombe's, from two Wilson intervals; for the worst of C classes
    each has confidence 1 - 0.05 / C.
    """
    limits = _limits(clean)
    before, _ = broken_rows(clean, *limits)
    after, into = broken_rows(changed, *limits)
    broken = difference(int(after.sum()), len(after), int(before.sum()), len(before))
    worst: tuple[int, int, Interval] | None = None
    for c in np.unique(changed.labels[after]).tolist():
        mine, was = changed.labels == c, clean.labels == c
        share = difference(
            int((mine & after).sum()),
            int(mine.sum()),
            int((was & before).sum()),
            int(was.sum()),
            1 - 0.05 / classes,
        )
        if worst is None or share.low > worst[2].low:
            target = int(np.bincount(into[mine & after], minlength=classes).argmax())
            worst = (c, target, share)
    kept = Interval(*(min(1.0, 1 - b) for b in (broken.value, broken.high, broken.low)))
    right = _agreed(clean)
    affinity = ratio(_agreed(changed), right)
    return Labels(kept, broken, worst, affinity, float(right.mean()), len(after))


def _agreed(some: Judged) -> Floats:
    """How right the reference's guess is (n,)."""
    found: Floats = some.shares[np.arange(len(some.labels)), some.chances.argmax(1)]
    return found


def _limits(clean: Judged) -> tuple[float, float]:
    """How sure a guess must be, and how near to the rows of its class, to count."""
    own = clean.near[np.arange(len(clean.labels)), clean.labels]
    sure = clean.chances.max(1)[clean.chances.argmax(1) == clean.labels]
    limit = min(SURE, float(np.quantile(sure, 0.2))) if len(sure) else SURE
    own = own[np.isfinite(own)]
    return limit, float(np.quantile(own, NEAR)) if len(own) else 0.0


def broken_rows(some: Judged, sure: float, usual: float) -> tuple[BoolArray, IntArray]:
    """Which rows (n,) look like good examples of a class that is not theirs, and of which."""
    rows, guess = np.arange(len(some.labels)), some.chances.argmax(1)
    own = np.where(some.shares > 0, some.near, np.inf).min(1)
    there = some.near[rows, guess]
    found: BoolArray = (
        (some.shares[rows, guess] == 0)
        & (some.chances[rows, guess] >= sure)
        & (there <= usual)
        & (there < own)
    )
    return found, guess.astype(np.int64)


def joined(some: Sequence[Judged]) -> Judged:
    """What several folds say, as one."""
    return Judged(
        np.concatenate([j.labels for j in some]),
        np.concatenate([j.shares for j in some]),
        np.concatenate([j.chances for j in some]),
        np.concatenate([j.near for j in some]),
    )


def difference(
    after: int, of_after: int, before: int, of_before: int, confidence: float = 0.95
) -> Interval:
    """The difference of two shares, after / of_after - before / of_before, Newcombe's interval.

    >>> d = difference(30, 100, 10, 100)
    >>> print(f"{d.value:.2f} {d.low:.2f} {d.high:.2f}")
    0.20 0.09 0.31
    """
    if not of_after or not of_before:
        return Interval(math.nan, -1.0, 1.0)
    a, b = wilson(after, of_after, confidence), wilson(before, of_before, confidence)
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value, low, high)


def ratio(agreed: Floats, right: Floats) -> Interval:
    """The ratio of two means, of (n,) and (m,) values, with the delta method's interval."""
    base, top = float(right.mean()), float(agreed.mean())
    if min(len(agreed), len(right)) < 2 or base == 0:
        return Interval(math.nan, 0.0, math.inf)
    errors = [float(v.std(ddof=1)) / math.sqrt(len(v)) for v in (agreed, right)]
    value = top / base
    half = 1.96 * math.hypot(errors[0] / base, value * errors[1] / base)
    return Interval(value, max(0.0, value - half), value + half)
