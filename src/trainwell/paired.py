"""The difference of two arms that were trained on the same folds with the same seeds.

Shapes: n cells (trainings of one arm), K folds, S seeds per fold. A cell is one fold's training
rows with one seed; its score is measured on that fold's held-out rows. Scores are shares (0.97)
or anything else of which more is better; differences are a - b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from trainwell.significance import sign_flip, smallest_sign_flip
from trainwell.stats import Floats, Interval, bca_ends

Ints = npt.NDArray[np.int64]

FEW_FOLDS = 6  # below, flips of whole folds cannot reach p = 0.05: 2 / 2^5 = 0.0625
MOST_SEEDS = 1000  # nobody trains more: what would take more counts as out of reach
_NORMAL = NormalDist()


@dataclass(frozen=True)
class PairedDifference:
    """What K folds × S seeds say about a - b.

    interval: for new rows, new training sets and new seeds, if K > 1; for new seeds on these very
    rows, if K = 1. p: of `sign_flip`; smallest_p: the smallest that so many cells can give.
    flipped: what was flipped together, "folds" or "trainings".
    between: variance of the fold means (of the cells, if K = 1). within: variance between the
    seeds of a fold; None with one seed. test_share: held-out rows of a fold over all rows.
    rows: held-out rows of all folds together, or as many equal ones as their mean is worth; None:
    not known. cells: those with a difference.
    """

    interval: Interval
    p: float
    smallest_p: float
    flipped: str
    folds: int
    seeds: int
    between: float
    within: float | None
    test_share: float
    rows: float | None
    cells: int
    confidence: float = 0.95


def paired_difference(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    folds: npt.ArrayLike,
    seeds: npt.ArrayLike,
    test_share: float,
    rows: float | None = None,
    confidence: float = 0.95,
    flip_seed: int = 0,
) -> PairedDifference:
    """The mean difference a - b of scores (n,) on the same cells, with interval and p.

    folds, seeds: names (n,) of each cell's fold and seed. Differences are averaged over the
    seeds of each fold, d_k, because these share training and held-out rows; then
    mean ± t(K-1) √((1/K + test_share / (1 - test_share)) s²), s² the variance of the d_k. The
    second term is for training sets that overlap. Simulated coverage is 95 % where the d_k are
    as dependent as the term supposes, and up to 99 % where seeds alone make the noise; variances
    that separate seeds from folds fell to 90 %, those over all cells to 81 %.
    One fold: mean ± t(S-1) s / √S over seeds, which says nothing about other rows.
    rows: distinct held-out rows N of all folds; where each class has the same say, as many equal
    rows as such a mean is worth (C² / Σ 1/n_c). Scores that count few rows tie, and ties look
    like certainty: no interval is narrower than ± z² / (N + z²), what N rows without a single
    disagreement leave open (Wilson), nor than ± z √(d (1 - d) / N), d the size of the mean
    difference: for it at least d N rows changed sides, and if none changed back, their number
    still varies so much from one set of N rows to another. Without `rows`, equal differences leave
    everything open.
    p flips whole folds; below FEW_FOLDS, where that could never decide, single trainings.
    Sources: Nadeau and Bengio (2003), Machine Learning 52; Bouckaert and Frank (2004).

    >>> a = [0.97, 0.98, 0.96, 0.97, 0.99, 0.98]
    >>> b = [0.95, 0.97, 0.95, 0.94, 0.97, 0.97]
    >>> d = paired_difference(a, b, [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], 1 / 3)
    >>> print(f"{d.interval.value:.4f} {d.interval.low:.4f} {d.interval.high:.4f} {d.p}")
    0.0167 0.0053 0.0280 0.03125
    """
    d, fold, of_fold, count = _cells(a, b, folds, seeds)
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must lie between 0 and 1, got {test_share}")
    if rows is not None and rows < 1:
        raise ValueError(f"rows must be 1 or more, got {rows}")
    per_fold = np.bincount(fold, minlength=count)
    means = of_fold / per_fold
    residual = d - means[fold]
    within = None
    if len(d) > count:
        within = float((residual**2).sum()) / (len(d) - count)
    units = d if count == 1 else means
    between = float(units.var(ddof=1)) if len(units) > 1 else math.inf
    flips = means if count >= FEW_FOLDS else d
    value = float(means.mean())
    found = PairedDifference(
        Interval(value, value, value),
        sign_flip(flips, flip_seed),
        smallest_sign_flip(flips),
        "folds" if count >= FEW_FOLDS else "trainings",
        count,
        max(1, round(len(d) / count)),
        between,
        within,
        test_share,
        rows,
        int(np.count_nonzero(d)),
        confidence,
    )
    half = float(_half_widths(found, _variances(found))[0])
    interval = Interval(value, value - half, value + half)
    return replace(found, interval=interval)


def least_half_width(difference: float, rows: float, confidence: float = 0.95) -> float:
    """Half the width that a mean difference of hits on N rows has at least, whatever resamples say.

    The larger of z² / (N + z²), what N rows without a single disagreement leave open (Wilson), and
    z √(d (1 - d) / N), d the size of the difference: at least d N rows changed sides, and how many
    do varies from one set of N rows to another. rows: N, or as many equal rows as a weighted mean
    is worth.

    >>> round(least_half_width(0.0, 100), 4), round(least_half_width(0.5, 100), 4)
    (0.037, 0.098)
    """
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    changed = min(abs(difference), 1.0)  # the share of rows that changed sides
    return max(z * math.sqrt(changed * (1 - changed) / rows), z * z / (rows + z * z))


def no_narrower(interval: Interval, rows: float, confidence: float = 0.95) -> Interval:
    """The interval of a mean difference of hits on N shared rows, widened to `least_half_width`.

    For two models that exist, judged on the same rows: where they agree on all of them resamples
    do not differ, and a bootstrap would claim certainty. Ends stay inside [-1, 1].

    >>> found = no_narrower(Interval(0.0, 0.0, 0.0), 360)
    >>> round(found.low, 4), round(found.high, 4)
    (-0.0106, 0.0106)
    """
    half, value = least_half_width(interval.value, rows, confidence), interval.value
    low, high = min(interval.low, value - half), max(interval.high, value + half)
    return Interval(value, max(low, -1.0), min(high, 1.0))


def bootstrap_difference(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    folds: npt.ArrayLike,
    seeds: npt.ArrayLike,
    resamples: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The mean difference with a BCa bootstrap interval over whole folds (cells, if one fold).

    Folds are drawn with replacement, each with all its seeds. It supposes no shape, but knows
    nothing of training sets that overlap, and covers too little with few folds (simulated,
    nominal 95 %): 84, 89, 93 and 95 % with 5, 10, 20 and 40 independent ones, 67 to 81 % with
    those of one cross-validation. A second opinion for many independent splits; verdicts use
    `paired_difference`. Source: Efron (1987), JASA 82.

    >>> b = [0.5] * 4
    >>> bootstrap_difference([0.5, 0.6, 0.7, 0.8], b, range(4), [0] * 4).value.__round__(3)
    0.15
    """
    d, fold, of_fold, count = _cells(a, b, folds, seeds)
    units = of_fold / np.bincount(fold, minlength=count) if count > 1 else d
    n = len(units)
    picks = np.random.default_rng(seed).integers(0, n, (resamples, n))
    left_out = (units.sum() - units) / (n - 1) if n > 1 else np.empty(0)
    return bca_ends(float(units.mean()), units[picks].mean(axis=1), left_out, None, confidence)


def seeds_to_settle(
    found: PairedDifference, region: float = 0.005, level: float = 0.05
) -> int | None:
    """How many more seeds per fold would settle it, if the estimate stays; None: no number would.

    Settled is an interval that leaves 0 out, or one inside ± region. With S' seeds its variance
    is (1/K + share / (1 - share)) σ² + τ² / K S', with τ² the variance between seeds (`within`)
    and σ² = between - τ² / S what remains of the folds: rows limit that part, seeds cannot mend
    it. Never fewer than let the sign-flip test reach `level`. With one seed nothing tells the
    two apart: all is taken for noise of seeds, and the number is a least one, as it is where
    the interval has no ends yet. 0: settled already. None also beyond MOST_SEEDS.

    >>> found = paired_difference([0.9, 0.8, 0.9], [0.9, 0.9, 0.8], range(3), [0] * 3, 1 / 3, 300)
    >>> seeds_to_settle(found) is None or seeds_to_settle(found) > 0
    True
    """
    now, value = found.interval, abs(found.interval.value)
    if max(abs(now.low), abs(now.high)) <= region:
        return 0
    if (now.low > 0 or now.high < 0) and found.p <= level:
        return 0
    more = np.arange(1, MOST_SEEDS + 1)
    half = _half_widths(found, _variances(found, more), more)
    enough = np.ones(len(more), dtype=bool)
    if found.folds < FEW_FOLDS:  # trainings are flipped, and more seeds are more of them
        trainings = np.maximum(found.cells, 1) / found.seeds * (found.seeds + more)
        enough = 2.0 ** (1 - np.floor(trainings)) <= level
    if not math.isfinite(now.low):  # nothing is known of the spread yet
        half = np.zeros(len(more))
    settled = np.flatnonzero((value >= half) & enough | (value + half <= region))
    return int(more[settled[0]]) if settled.size else None


def pairs_needed(difference: float, spread: float, power: float = 0.8, level: float = 0.05) -> int:
    """How many independent pairs show a true difference, at standard deviation `spread` of pairs.

    The smallest n for which Student's test at `level` (two-sided) says so with probability
    `power`: about 7.85 (spread / difference)² + 2 for 80 %. For folds that overlap, the variance
    of K folds is 1/K + 1/(K-1) instead of 1/K of s²: they count for about half as many.

    >>> pairs_needed(0.01, 0.01), pairs_needed(0.005, 0.01), pairs_needed(0.02, 0.01)
    (10, 34, 5)
    """
    from scipy.special import nctdtr, stdtrit

    if not (difference > 0 and spread > 0):
        raise ValueError("difference and spread must be above 0")
    n = np.arange(2, 100_001, dtype=np.float64)
    shift = difference / spread * np.sqrt(n)
    enough = shift > 40  # power 1 for certain; the noncentral t is slow there
    n_asked, shift_asked = n[~enough], shift[~enough]
    found = 1 - nctdtr(n_asked - 1, shift_asked, stdtrit(n_asked - 1, 1 - level / 2))
    reached = np.concatenate([found >= power, enough[enough]])
    if not reached.any():
        raise ValueError(f"more than {int(n[-1])} pairs would be needed")
    return int(n[np.argmax(reached)])


def _cells(
    a: npt.ArrayLike, b: npt.ArrayLike, folds: npt.ArrayLike, seeds: npt.ArrayLike
) -> tuple[Floats, Ints, Floats, int]:
    """Differences (n,), each one's fold in 0..K-1, their sums per fold (K,), and K."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    names, numbers = np.asarray(folds), np.asarray(seeds)
    shapes = {x.shape, y.shape, names.shape, numbers.shape}
    if len(shapes) != 1 or x.ndim != 1 or x.size == 0:
        raise ValueError(f"a, b, folds and seeds must all be (n,) with n > 0, got {shapes}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("scores must be finite: give a training that diverged its worst score")
    known, fold = np.unique(names, return_inverse=True)
    both = np.stack([fold, np.unique(numbers, return_inverse=True)[1]], axis=1)
    if len(np.unique(both, axis=0)) < len(both):
        raise ValueError("each fold and seed may occur only once")
    d = x - y
    d[np.abs(d) < 1e-12] = 0.0  # 0.3 - (0.1 + 0.2) is a tie
    sums = np.bincount(fold, weights=d).astype(np.float64)
    return d, fold.astype(np.int64), sums, len(known)


def _variances(found: PairedDifference, more: npt.ArrayLike = 0) -> Floats:
    """The variance of the mean difference with `more` seeds (m,) per fold than there are."""
    extra = np.atleast_1d(np.asarray(more, dtype=np.float64))
    seeds = found.seeds + extra
    if found.folds == 1:
        return np.asarray(found.between / seeds, dtype=np.float64)
    factor = 1 / found.folds + found.test_share / (1 - found.test_share)
    noise = found.between if found.within is None else found.within / found.seeds
    noise = min(noise, found.between)  # the share of the fold means' variance that seeds can mend
    spread = found.between - noise + noise * found.seeds / seeds
    return np.asarray(factor * spread, dtype=np.float64)


def _half_widths(found: PairedDifference, variances: Floats, more: npt.ArrayLike = 0) -> Floats:
    """Half the width of the interval for each variance (m,), with `more` seeds."""
    from scipy.special import stdtrit

    tail = (1 + found.confidence) / 2
    freedom = np.full(len(variances), found.folds - 1.0)
    if found.folds == 1:
        freedom = found.seeds + np.atleast_1d(np.asarray(more, dtype=np.float64)) - 1
    known = (freedom > 0) & np.isfinite(variances)
    if found.rows is None:
        known &= variances > 1e-24  # rounding of equal differences
    half = np.full(len(variances), np.inf)
    half[known] = stdtrit(freedom[known], tail) * np.sqrt(variances[known])
    if found.rows is not None:
        least = least_half_width(found.interval.value, found.rows, found.confidence)
        half = np.maximum(half, least)
    return half
