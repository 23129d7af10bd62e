"""Stopping early without cheating: looks that are fixed before, each with its share of the 5 %.

Who looks after every seed and stops at the first p below 0.05 finds a difference between equals
in far more than 5 % of cases. Here the number of seeds at each look is chosen before, and the
error allowed is spent over the looks.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainwell.paired import paired_difference
from trainwell.verdict import REGION, Word, word_of

Spending = Literal["late", "even"]
Step = Literal[
    "stop: better", "stop: worse", "stop: no difference that matters", "stop: not shown", "go on"
]

LOOKS = (5, 10, 20)  # seeds
_STOPS: dict[Word, Step] = {
    "better": "stop: better",
    "worse": "stop: worse",
    "no difference that matters": "stop: no difference that matters",
    "not shown": "stop: not shown",
}
SMALLEST = 1e-12  # level below which nothing may be said: 1 - level would be rounded to 1
_NORMAL = NormalDist()


def spent(share: float, alpha: float = 0.05, spending: Spending = "late") -> float:
    """How much of alpha may be spent when `share` of the data is there.

    late: 4 - 4 Φ(z / √share) with Φ(z) = 1 - alpha / 4, for both sides together: nearly nothing
    at first, so that the last look costs almost nothing (like O'Brien and Fleming). even:
    alpha ln(1 + (e - 1) share), earlier stops for a harder last look (like Pocock).
    Source: Lan and DeMets (1983), Biometrika 70.

    >>> round(spent(0.5), 5), round(spent(0.5, spending="even"), 5), round(spent(1.0), 5)
    (0.00305, 0.03101, 0.05)
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share}")
    if spending == "late":
        # Φ(x) = erfc(-x / √2) / 2 keeps its digits where 1 + erf(x / √2) would lose all of them.
        return 2 * math.erfc(-_NORMAL.inv_cdf(alpha / 4) / math.sqrt(2 * share))
    return alpha * math.log(1 + (math.e - 1) * share)


def levels(
    looks: Sequence[int] = LOOKS, alpha: float = 0.05, spending: Spending = "late"
) -> tuple[float, ...]:
    """The two-sided p below which each look may stop, so that all looks together err in alpha.

    looks: seeds at each look, rising. The sum of n differences walks like Brownian motion; the
    density of walks that have not stopped is carried from look to look by numerical integration
    (Armitage, McPherson and Rowe, 1969), and each limit is set where the probability to stop
    there reaches what `spent` allows.

    >>> [f"{p:.2g}" for p in levels()], [f"{p:.2g}" for p in levels(spending="even")]
    (['1.5e-05', '0.003', '0.049'], ['0.018', '0.018', '0.026'])
    """
    if not looks or looks[0] < 1 or any(b <= a for a, b in itertools.pairwise(looks)):
        raise ValueError(f"looks must be rising numbers of seeds, got {tuple(looks)}")
    return _levels(tuple(looks), looks[-1], alpha, spending)


def last_level(
    looks: Sequence[int], seeds: int, alpha: float = 0.05, spending: Spending = "late"
) -> float:
    """The level of a look that has to be the last one: time was over, or somebody stopped it.

    seeds: per fold, at most as many as planned. What the looks before have left of alpha is spent
    there, which is what a spending function allows where the data do not decide when it ends.
    Source: Lan and DeMets (1983).

    >>> round(last_level((5, 10, 20), 5), 4), round(last_level((5, 10, 20), 15), 4)
    (0.05, 0.0496)
    """
    if not 1 <= seeds <= looks[-1]:
        raise ValueError(f"seeds must lie in 1..{looks[-1]}, got {seeds}")
    taken = tuple(look for look in looks if look < seeds)
    return _levels((*taken, seeds), looks[-1], alpha, spending)[-1]


@functools.cache
def _levels(
    looks: tuple[int, ...], planned: int, alpha: float, spending: Spending
) -> tuple[float, ...]:
    """The level of each look; the last one spends all that is left. planned: seeds in all."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    where, mass = np.zeros(1), np.ones(1)  # walks that go on: places and probabilities
    before, used, found = 0.0, 0.0, []
    for look in looks:
        share = look / planned
        step = math.sqrt(share - before)
        allowed = (alpha if look == looks[-1] else spent(share, alpha, spending)) - used
        limit = _limit(_leaving(where, mass, step), allowed, math.sqrt(share))
        found.append(math.erfc(limit / math.sqrt(2 * share)))
        places = limit * nodes
        density = np.exp(-0.5 * ((places[:, None] - where) / step) ** 2) @ mass
        where, mass = places, density * weights * limit / (step * math.sqrt(2 * math.pi))
        before, used = share, used + allowed
    return tuple(found)


def next_step(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    folds: npt.ArrayLike,
    seeds: npt.ArrayLike,
    test_share: float,
    rows: float | None = None,
    looks: Sequence[int] = LOOKS,
    region: float = REGION,
    spending: Spending = "late",
) -> Step:
    """Whether to train further seeds, from the cells (n,) so far (see `paired_difference`).

    The number of seeds must be one of `looks`. At look i, with its level p_i (see `levels`):
    "better" or "worse" if the interval of confidence 1 - p_i leaves 0 out and the sign-flip p is
    at most p_i; "no difference that matters" if it lies inside ± region. These intervals hold at
    all looks together in 95 % of cases, so either stop may be believed (Jennison and Turnbull,
    1989). At the last look what is undecided is "not shown". A level below SMALLEST (the first of
    14 seeds or more) is no chance to stop: "go on".

    >>> noise = np.random.default_rng(0).normal(0.03, 0.01, 10)
    >>> next_step(noise, np.zeros(10), [0] * 10, range(10), 0.2)
    'stop: better'
    """
    each = np.unique(np.asarray(folds), return_counts=True)[1]
    count = int(each.max())
    if count not in looks or int(each.min()) != count:
        raise ValueError(f"every fold must have one of {tuple(looks)} seeds, got {each.tolist()}")
    level = levels(looks, spending=spending)[list(looks).index(count)]
    if level < SMALLEST:
        return "go on"
    found = paired_difference(a, b, folds, seeds, test_share, rows, 1 - level)
    word = word_of(found.interval, found.p <= level, region)
    if word == "not shown" and count != looks[-1]:
        return "go on"
    return _STOPS[word]


def _leaving(
    where: npt.NDArray[np.float64], mass: npt.NDArray[np.float64], step: float
) -> Callable[[float], float]:
    """The probability that a walk that went on at `where` is beyond ± limit after the step."""
    from scipy.special import ndtr

    def beyond(limit: float) -> float:
        return float((ndtr((where - limit) / step) + ndtr((-where - limit) / step)) @ mass)

    return beyond


def _limit(beyond: Callable[[float], float], allowed: float, scale: float) -> float:
    """Where `beyond` falls to `allowed`, by halving."""
    low, high = 0.0, 10 * scale
    for _ in range(80):
        middle = (low + high) / 2
        if beyond(middle) > allowed:
            low = middle
        else:
            high = middle
    return high
