"""The difference of two classifiers on the very same rows: interval and p.

Models that exist are compared here: rows are the only chance. Whether a recipe is better than
another is asked over folds and seeds (`paired.py`). Shapes: N rows, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.ensemble.measures import equal_rows
from trainwell.metrics import SMALLEST, Metric, from_totals
from trainwell.paired import no_narrower
from trainwell.significance import mcnemar
from trainwell.stats import Interval, bca, bca_ends
from trainwell.swaps import flip_test, swap_test

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
RESAMPLES = 2000
CELLS = 4_000_000  # counts of resamples held at once


@dataclass(frozen=True)
class RowDifference:
    """Score of B minus score of A on the same rows; of log loss, too: there less is better."""

    interval: Interval
    p: float

    @property
    def shown(self) -> bool:
        """Whether interval and test agree that they differ."""
        return self.p <= 0.05 and (self.interval.low > 0 or self.interval.high < 0)


def row_difference(
    labels: Ints, a: Floats, b: Floats, metric: Metric = "accuracy", seed: int = 0
) -> RowDifference:
    """B - A of a metric for probabilities a and b, (N, C) each, and labels (N,).

    Interval: BCa bootstrap over rows; for metrics that count rows never narrower than what n rows
    leave open (`no_narrower`): equal scores of 36 rows do not show that two models are equal. n is
    N, for means over classes C² / Σ 1/n_c, what their variance is worth. p: McNemar's mid p for
    accuracy, a swap test for balanced accuracy and macro F1, flipped signs for log loss.
    Sources: Efron (1987); McNemar (1947); Smucker, Allan and Carterette (2007).

    >>> y = np.arange(200) % 2
    >>> right, wrong = np.eye(2)[y], np.eye(2)[1 - y]
    >>> d = row_difference(y, np.where(np.arange(200)[:, None] < 30, wrong, right), right)
    >>> d.shown, round(d.interval.value, 2)
    (True, 0.15)
    """
    y = np.asarray(labels, np.int64)
    if metric == "log_loss":
        rows = np.arange(len(y))
        change = np.log(np.clip(a[rows, y], SMALLEST, 1)) - np.log(np.clip(b[rows, y], SMALLEST, 1))
        return RowDifference(bca(change, np.mean, seed, RESAMPLES), flip_test(change, seed=seed))
    said_a, said_b = a.argmax(axis=1), b.argmax(axis=1)
    classes = a.shape[1]
    interval = _counted(y, said_a, said_b, classes, metric, seed)
    if metric == "accuracy":
        return RowDifference(interval, mcnemar(said_b == y, said_a == y).mid)
    return RowDifference(interval, swap_test(y, said_a, said_b, classes, metric, seed=seed))


def _counted(
    y: Ints, said_a: Ints, said_b: Ints, classes: int, metric: Metric, seed: int
) -> Interval:
    """BCa over rows of a metric that counts: rows with equal label and decisions are one kind."""
    kinds, counts = np.unique(np.stack([y, said_a, said_b], axis=1), axis=0, return_counts=True)
    true, of_a, of_b = (np.eye(classes)[kinds[:, i]] for i in range(3))

    def difference(weights: Floats) -> Floats:
        """B - A where the kinds (U,) stand for so many rows (R, U)."""
        scores = []
        for of in (of_a, of_b):
            right = true * of
            totals = np.stack([weights @ right, weights @ true, weights @ of], axis=1)
            scores.append(from_totals(totals, metric))
        return np.asarray(scores[1] - scores[0])

    n, rng = len(y), np.random.default_rng(seed)
    draws, step = [], max(1, CELLS // len(counts))  # many classes make many kinds
    for start in range(0, RESAMPLES, step):
        drawn = rng.multinomial(n, counts / n, min(step, RESAMPLES - start))
        draws.append(difference(drawn.astype(np.float64)))
    value = float(difference(counts[None].astype(np.float64))[0])
    without = [
        difference((counts - (np.arange(len(counts)) == some[:, None])).astype(np.float64))
        for some in np.array_split(np.arange(len(counts)), -(-len(counts) // step))
    ]
    ends = bca_ends(value, np.concatenate(draws), np.concatenate(without), counts.astype(float))
    return no_narrower(ends, equal_rows(y, metric))
