"""Are augmented rows like the data? Two samples told apart, coverage, near copies.

Pure functions of features (n, d). "In the end, no one knows whether we have done data augmentation
correctly": these numbers say how far it went, not whether that helps (slide "Data augmentation").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import IntArray
from trainwell.doctor.duplicates import CHANCE, NEIGHBOUR, near_twins
from trainwell.doctor.simple_models import linear_fit, nearest, parts_of
from trainwell.stats import Interval, wilson

Floats32 = npt.NDArray[np.float32]
BALL = 5  # the neighbour whose distance is the radius of a row's surroundings


@dataclass(frozen=True)
class TwoSample:
    """The classifier two-sample test: how well original and augmented rows are told apart.

    accuracy: out of sample, of the better of two classifiers, with a Wilson interval; 0.5: not at
    all. p: of the hypothesis that both are samples of one distribution, doubled for two looks.
    """

    accuracy: Interval
    p: float


def two_sample(original: Floats32, changed: Floats32, seed: int) -> TwoSample:
    """Tell original (a, d) from changed rows (b, d), made from other originals.

    Two classifiers are fitted on one half of the rows and judged on the other: linear discriminants
    on features and their squares, and five nearest neighbours. Under equal distributions the share
    t of m judged rows that is right is about N(1/2, 1/(4 m)); p is doubled for the two looks.
    Source: Lopez-Paz and Oquab 2017 (C2ST).
    """
    n = min(len(original), len(changed))
    if n < 10:
        return TwoSample(Interval(math.nan, 0.0, 1.0), 1.0)
    both = np.concatenate([original[:n], changed[:n]])
    both = np.asarray((both - both.mean(0)) / max(float(both.std()), 1e-9), np.float32)
    part = np.repeat([0, 1], n)
    held = parts_of(part, seed, 2) == 0
    wide = np.concatenate([both, both**2], axis=1)
    weights, bias = linear_fit(wide[~held], part[~held], 2)
    guess = (wide[held] @ weights + bias).argmax(axis=1)
    places = nearest(both[held], both[~held], BALL)[1]
    votes = part[~held][places].mean(axis=1) > 0.5
    m = int(held.sum())
    right = max(int((guess == part[held]).sum()), int((votes == part[held]).sum()))
    z = (right / m - 0.5) * 2 * math.sqrt(m)
    return TwoSample(wilson(right, m), min(1.0, 2 * (1 - NormalDist().cdf(z))))


def coverage(train: Floats32, held: Floats32, changed: Floats32) -> Interval:
    """Share of held-out rows (h, d) with an augmented row in their surroundings.

    A row's surroundings reach to its fifth nearest training row (t, d). `changed`: rows that were
    made from as many training rows. 1: augmented rows lie wherever the data do; 0: nowhere there.
    Source: Naeem et al. 2020 (coverage), measured on held-out rows.
    """
    if len(train) <= BALL or not len(held) or not len(changed):
        return wilson(0, 0)
    radius = nearest(held, train, BALL)[0][:, -1]
    reach = nearest(held, changed, 1)[0][:, 0]
    return wilson(int((reach <= radius * (1 + 1e-6)).sum()), len(held))


def realism(train: Floats32, held: Floats32, changed: Floats32) -> Interval:
    """Share of augmented held-out rows (m, d) that lie as near to a training row as 95 % of the
    held-out rows (h, d) do. Source: Kynkäänniemi et al. 2019 (precision), on held-out rows."""
    if not len(train) or not len(held) or not len(changed):
        return wilson(0, 0)
    usual = float(np.quantile(nearest(held, train, 1)[0][:, 0], 0.95))
    return wilson(int((nearest(changed, train, 1)[0][:, 0] <= usual).sum()), len(changed))


def leaks(train: Floats32, held: Floats32, extra: Floats32) -> tuple[Interval, Interval]:
    """Shares of held-out rows (h, d) with a near copy among the extra rows (m, d), and among the
    training rows (t, d).

    A near copy is far nearer than the sixth nearest training row: nearer than chance gives to one
    row in 200, in the dimension of the data (see the doctor's near-duplicates). What training rows
    have of them is what is usual for these data.
    """
    if len(train) < 30 or not len(held) or not len(extra):
        return wilson(0, 0), wilson(0, 0)
    squares, _ = nearest(held, train, NEIGHBOUR)
    distances = np.sqrt(squares.astype(np.float64))
    twins, _, limit = near_twins(distances)
    reach = np.sqrt(nearest(held, extra, 1)[0][:, 0].astype(np.float64))
    # as many tries as training rows had would find more by chance: d ~ (m / t)^(1 / dimension)
    copies = reach < limit * distances[:, -1]
    return wilson(int(copies.sum()), len(held)), wilson(int(twins.sum()), len(held))


def leaking(among_extra: Interval, among_train: Interval) -> bool:
    """Whether extra rows hold more copies of held-out rows than chance and the data themselves."""
    usual = among_train.high if among_train.value > CHANCE else CHANCE
    return among_extra.low > max(2 * CHANCE, usual)


def change(clean: Floats32, changed: Floats32) -> float:
    """How far rows move (n, d), in standard deviations of the data: root of mean squares."""
    spread = float(np.asarray(clean - clean.mean(0), np.float64).std())
    moved = float(np.sqrt(np.square(changed.astype(np.float64) - clean).mean()))
    return moved / max(spread, 1e-12)


def copied(train: Floats32, extra: Floats32) -> float:
    """Share of extra rows (m, d) that are training rows (t, d): nearer than a hundredth of the
    usual distance between neighbours."""
    usual = float(np.median(np.sqrt(nearest(train, train, 1, same=True)[0][:, 0])))
    reach = np.sqrt(nearest(extra, train, 1)[0][:, 0])
    return float((reach <= max(0.01 * usual, 1e-6)).mean())


def spread_rows(rows: IntArray, most: int) -> IntArray:
    """At most so many of the rows, evenly spread."""
    step = max(1, -(-len(rows) // most))
    return rows[::step]
