"""Simulated comparisons: scores of two arms on folds × seeds, under models whose truth is known.

Shapes: R comparisons, K folds, S seeds. Each model returns scores a, b (R, K, S); the true
difference is that of the arguments. Spreads are in shares: 0.01 is a point.
"""

from __future__ import annotations

import numpy as np

from trainwell.paired import PairedDifference, paired_difference
from trainwell.sequential import next_step

SHAPES = ((3, 1), (5, 1), (5, 3), (10, 3))


def normal(
    rng, comparisons, folds, seeds, fold=0.01, seed=0.01, shared=0.0, rho=None, difference=0.0
):
    """Differences with a part per fold, per training, and per seed number in all folds alike.

    rho: correlation between the folds' parts; by default 1/K, the share of held-out rows, as the
    correction of Nadeau and Bengio supposes.
    """
    shape, rho = (comparisons, folds, seeds), 1 / folds if rho is None else rho
    common = rng.normal(size=(comparisons, 1, 1)) * rho**0.5
    own = rng.normal(size=(comparisons, folds, 1)) * (1 - rho) ** 0.5
    noise = seed * rng.normal(size=shape) + shared * rng.normal(size=(comparisons, 1, seeds))
    b = 0.9 + 0.02 * rng.normal(size=(comparisons, folds, 1)) + np.zeros(shape)
    return b + difference + fold * (common + own) + noise, b


def rows(rng, comparisons, folds, seeds, rows=100, taste=0.0, sure=0.5):
    """Scores that count right rows: each row has a chance to be found, arms and seeds draw anew.

    taste: how far the arms' chances differ from row to row (0: the arms are alike); over all rows
    they are as good. sure: below 1, most rows are found always or never.
    """
    per = rows // folds
    chance = rng.beta(4 * sure, sure, size=(comparisons, folds, 1, per))
    lean = taste * rng.choice([-1.0, 1.0], size=chance.shape) * np.minimum(chance, 1 - chance)
    found = [
        rng.random((comparisons, folds, seeds, per)) < chance + sign * lean for sign in (1, -1)
    ]
    return found[0].mean(axis=-1), found[1].mean(axis=-1)


def collapses(rng, comparisons, folds, seeds, share=0.1, noise=0.01):
    """Alike arms in which a share of trainings falls from 0.9 to 0.1."""
    shape = (2, comparisons, folds, seeds)
    scores = 0.9 + noise * rng.normal(size=shape)
    a, b = np.where(rng.random(shape) < share, 0.1, scores)
    return a, b


def judged(a, b, rows=None, confidence=0.95) -> list[PairedDifference]:
    """The paired difference of each simulated comparison."""
    _, folds, seeds = a.shape
    fold, seed = (index.ravel() for index in np.indices((folds, seeds)))
    share = 1 / max(folds, 2)
    return [
        paired_difference(x.ravel(), y.ravel(), fold, seed, share, rows, confidence, number)
        for number, (x, y) in enumerate(zip(a, b, strict=True))
    ]


def coverage(found, truth=0.0) -> float:
    """The share of intervals that hold the truth."""
    return float(np.mean([f.interval.low <= truth <= f.interval.high for f in found]))


def stopped(a, b, looks, spending="late", rows=None) -> list[str]:
    """How a comparison that looks at `looks` seeds ends, for each simulated one (R, K, S)."""
    ends = []
    for x, y in zip(a, b, strict=True):
        for look in looks:
            fold, seed = (index.ravel() for index in np.indices((len(x), look)))
            cells = x[:, :look].ravel(), y[:, :look].ravel(), fold, seed, 1 / max(len(x), 2)
            end = next_step(*cells, rows, looks, spending=spending)
            if end != "go on":
                break
        ends.append(f"{end} at {look}")
    return ends
