"""Tests of "no difference": sign flips, McNemar's test, and Holm's adjustment for many of them.

A p value is the share of equally surprising results where nothing differs; a small one speaks
against that. Each test here needs no normal distribution. Pure functions: same arguments and
seed, same p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EXACT = 12  # up to so many differences all 2^n patterns of signs are tried
FLIPS = 10_000  # beyond, so many random ones


@dataclass(frozen=True)
class McNemar:
    """Two classifiers on the same N rows: who alone was right, and the p values.

    exact: binomial, never too small. mid: half of the observed result's own probability taken
    off, which is less cautious and in practice still honest; the one to use. continuity: the
    χ² of textbooks with continuity correction, for 25 or more disagreements.
    """

    only_a: int
    only_b: int
    exact: float
    mid: float
    continuity: float


def sign_flip(differences: npt.ArrayLike, seed: int = 0) -> float:
    """The two-sided p of paired differences (n,), by flipping their signs.

    Where both arms are alike, each difference could as well have had the other sign. p is the
    share of sign patterns whose |sum| is at least the observed one: of all 2^n up to n = EXACT,
    else of FLIPS random ones and the observed one, (1 + hits) / (1 + FLIPS), so that it is never
    0. What depends on each other (cells of one fold) must be summed before: it flips together.
    Sources: Fisher (1935), The design of experiments; Phipson and Smyth (2010) for the 1.

    >>> sign_flip([0.01, 0.02, 0.03, 0.01, 0.02, 0.01])
    0.03125
    """
    d = np.asarray(differences, dtype=np.float64).ravel()
    if d.size == 0 or not np.isfinite(d).all():
        raise ValueError("differences must be one or more finite numbers")
    d = d[d != 0]  # flips change nothing there
    if d.size == 0:
        return 1.0
    d = d / np.abs(d).max()  # sums near the smallest numbers would lose ties
    exact = d.size <= EXACT
    bits: npt.NDArray[np.integer]
    if exact:
        bits = (np.arange(2**d.size)[:, None] >> np.arange(d.size)) & 1
    else:
        random = np.random.default_rng(seed)
        eight = random.integers(0, 256, (FLIPS, -(-d.size // 8)), dtype=np.uint8)  # bits per byte
        bits = np.unpackbits(eight, axis=1, count=d.size)
    sums = np.abs(2 * (bits @ d) - d.sum())
    hits = int(np.count_nonzero(sums >= abs(d.sum()) - 1e-9))  # ties count whatever the rounding
    return hits / len(bits) if exact else (1 + hits) / (1 + FLIPS)


def smallest_sign_flip(differences: npt.ArrayLike) -> float:
    """The smallest p that flips of these differences can give: 2 / 2^n, zeros not counted.

    Five differences never get below 0.0625: they cannot decide at 0.05, whatever they are.

    >>> smallest_sign_flip([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625
    """
    count = int(np.count_nonzero(np.asarray(differences)))
    if count > EXACT:
        return max(2.0 ** (1 - count), 1 / (1 + FLIPS))
    return min(1.0, 2.0 ** (1 - count))


def mcnemar(right_a: npt.ArrayLike, right_b: npt.ArrayLike) -> McNemar:
    """McNemar's test: were two fixed classifiers right on the same rows (N,) equally often?

    Only rows on which exactly one was right say something, n = b + c of them. Where both are as
    good, b is binomial(n, 1/2). exact = 2 P(X <= min(b, c)); mid = exact - P(X = min(b, c));
    continuity = P(χ²₁ >= (|b - c| - 1)² / n). No disagreement: 1.
    It says nothing about other training runs of the same recipes: they are fixed here.
    Sources: McNemar (1947); Fagerland, Lydersen and Laake (2013) recommend mid.

    >>> a = [True] * 9 + [False]
    >>> b = [False] * 8 + [True] * 2
    >>> m = mcnemar(a, b)
    >>> m.only_a, m.only_b, round(m.exact, 4), round(m.mid, 4), round(m.continuity, 4)
    (8, 1, 0.0391, 0.0215, 0.0455)
    """
    from scipy.special import bdtr

    x, y = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"both must be (N,), got {x.shape} and {y.shape}")
    b, c = int(np.count_nonzero(x & ~y)), int(np.count_nonzero(y & ~x))
    n, few = b + c, min(b, c)
    if n == 0:
        return McNemar(0, 0, 1.0, 1.0, 1.0)
    tail = 2 * float(bdtr(few, n, 0.5))
    point = math.exp(
        math.lgamma(n + 1) - math.lgamma(few + 1) - math.lgamma(n - few + 1) - n * math.log(2)
    )
    chi = max(0.0, abs(b - c) - 1) ** 2 / n
    continuity = math.erfc(math.sqrt(chi / 2))
    return McNemar(b, c, min(1.0, tail), min(1.0, tail - point), continuity)


def holm(p: npt.ArrayLike) -> Floats:
    """Adjusted p values (k,) of k comparisons looked at together, in the given order.

    The i-th smallest is multiplied by k - i + 1, never below the one before, at most 1. Calling
    those at most 0.05 real errs anywhere among the k in at most 5 % of cases, however they
    depend on each other. Source: Holm (1979).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p values must be (k,) numbers in [0, 1]")
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
