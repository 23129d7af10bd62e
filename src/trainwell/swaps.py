"""Are two classifiers alike on these rows? Permutation tests in which rare classes count.

McNemar's test counts rows, so that a class of eight rows cannot move it. Here the decisions of the
two are swapped row by row, at random: where nothing differs, every pattern of swaps is as likely,
and the share of patterns with as large a difference of the metric is p. For accuracy that is
McNemar's test; for balanced accuracy and macro F1 each class has its say. With a few rows of a
class decisions say little; what the probabilities of the right class add, row by row, is tested by
flipping signs in the same way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trainwell.metrics import Metric, from_totals
from trainwell.stats import Array

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SWAPS, AT_ONCE = 9_999, 500  # patterns of swaps that are tried; so many together
TEMPERATURES = np.geomspace(0.2, 5.0, 41)
CLIP = 1e-6  # probabilities below count as this: one row must not outweigh all others


def swap_test(
    labels: Array,
    said_a: Array,
    said_b: Array,
    classes: int,
    metric: Metric,
    groups: Array | None = None,
    seed: int = 0,
) -> float:
    """Two-sided p of the difference of a metric between two classifiers' decisions, each (N,).

    groups (N,): rows of one group are swapped together, since they are no independent evidence.
    p = (1 + patterns with at least this difference) / (1 + SWAPS), never 0; no row on which they
    differ: 1. It takes both as they are and says nothing about other trainings of theirs.
    Source: Smucker, Allan and Carterette 2007 (randomisation test); Phipson and Smyth 2010.

    >>> truth = np.repeat([0, 1], [90, 10])
    >>> swap_test(truth, np.zeros(100, int), truth, 2, "balanced_accuracy") < 0.01
    True
    """
    truth, a, b = (np.asarray(x, np.int64) for x in (labels, said_a, said_b))
    differ = a != b
    if not differ.any():
        return 1.0
    y, units = truth[differ], np.arange(int(differ.sum()))
    if groups is not None:
        units = np.unique(np.asarray(groups)[differ], return_inverse=True)[1].ravel()
    changes = np.zeros(
        (int(units.max()) + 1, 2 * classes)
    )  # found and said, when a unit is swapped
    for said, sign in ((b[differ], 1.0), (a[differ], -1.0)):
        right = said == y
        np.add.at(changes, (units[right], y[right]), sign)
        np.add.at(changes, (units, classes + said), sign)
    start_a, start_b = (_totals(truth, said, classes) for said in (a, b))
    true = np.bincount(truth, minlength=classes).astype(float)

    def difference(moved: Floats) -> Floats:
        """B - A after these changes (R, 2C) have gone from B to A."""
        values = [
            from_totals(
                np.stack(
                    [
                        totals[:, :classes],
                        np.broadcast_to(true, (len(totals), classes)),
                        totals[:, classes:],
                    ],
                    axis=1,
                ),
                metric,
            )
            for totals in (start_a + moved, start_b - moved)
        ]
        return np.asarray(values[1] - values[0])

    seen = abs(float(difference(np.zeros((1, 2 * classes)))[0]))
    rng, hits, done = np.random.default_rng(seed), 0, 0
    while done < SWAPS:
        size = min(AT_ONCE, SWAPS - done)
        swapped = rng.integers(0, 2, (size, len(changes)), dtype=np.int8).astype(np.float64)
        hits += int((np.abs(difference(swapped @ changes)) >= seen - 1e-12).sum())
        done += size
    return (1 + hits) / (1 + SWAPS)


def balanced_losses(labels: Array, probabilities: Array) -> Floats:
    """What each row (N,) adds to the mean over classes of their mean log losses.

    probabilities (N, C) are taken at the temperature T at which that mean is lowest, p^(1/T)
    made to sum to 1: a classifier that is only more or less timid is not better or worse by it.

    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    >>> sharp = p**3 / (p**3).sum(axis=1, keepdims=True)
    >>> y = np.array([0, 1, 1])
    >>> bool(abs(balanced_losses(y, p).sum() - balanced_losses(y, sharp).sum()) < 0.01)
    True
    """
    y = np.asarray(labels, np.int64)
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-300))
    weights = 1 / class_sizes(y)
    each = []
    for temperature in TEMPERATURES:
        z = logs / temperature
        top = z.max(axis=1)
        right = z[np.arange(len(y)), y] - top - np.log(np.exp(z - top[:, None]).sum(axis=1))
        each.append(-np.maximum(right, np.log(CLIP)) * weights)
    best = int(np.argmin([loss.sum() for loss in each]))
    return np.asarray(each[best])


def class_sizes(labels: Array) -> Floats:
    """n_y C of each row (N,): 1 / that is its weight in a mean over classes of their means.

    >>> class_sizes([0, 0, 0, 1]).tolist()
    [6.0, 6.0, 6.0, 2.0]
    """
    y = np.asarray(labels, np.int64)
    counts = np.bincount(y)
    return np.asarray(counts[y] * np.count_nonzero(counts), np.float64)


def flip_test(differences: Array, groups: Array | None = None, seed: int = 0) -> float:
    """Two-sided p of differences (N,) row by row: signs flipped at random, as in `swap_test`.

    significance.sign_flip for many rows: chunk by chunk, and with whole groups flipped together.

    >>> flip_test(np.ones(20)) < 0.001, flip_test(np.array([1.0, -1.0]))
    (True, 1.0)
    """
    d: Floats = np.asarray(differences, np.float64)
    if groups is not None:
        number = np.unique(groups, return_inverse=True)[1].ravel()
        d = np.bincount(number, d).astype(np.float64)
    d = d[d != 0]
    if not len(d):
        return 1.0
    d = d / np.abs(d).max()
    rng, hits, done = np.random.default_rng(seed), 0, 0
    while done < SWAPS:
        size = min(AT_ONCE, SWAPS - done)
        kept = rng.integers(0, 2, (size, len(d)), dtype=np.int8).astype(np.float32)
        sums = 2 * (kept @ d.astype(np.float32)).astype(np.float64) - d.sum()
        hits += int((np.abs(sums) >= abs(d.sum()) - 1e-5 * len(d)).sum())
        done += size
    return (1 + hits) / (1 + SWAPS)


def _totals(labels: Ints, said: Ints, classes: int) -> Floats:
    """Rows found and rows said of each class, (2C,)."""
    found = np.bincount(labels[labels == said], minlength=classes)
    return np.concatenate([found, np.bincount(said, minlength=classes)]).astype(float)
