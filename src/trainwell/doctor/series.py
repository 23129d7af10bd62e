"""Statistics of curves: pure functions of (M, E) arrays, M members over E epochs.

nan: not measured, or after the member's end. Nothing here knows what a curve means.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt

from trainwell.doctor.evidence import Floats
from trainwell.stats import Interval, mean_interval

Counts = npt.NDArray[np.int64]


def lengths(curves: Floats) -> Counts:
    """Points of each member (M,) until its last number.

    >>> lengths(np.array([[1.0, 2.0, np.nan], [np.nan, np.nan, np.nan]])).tolist()
    [2, 0]
    """
    known = ~np.isnan(curves)
    places = np.arange(1, curves.shape[1] + 1)
    found: Counts = np.where(known, places, 0).max(axis=1, initial=0).astype(np.int64)
    return found


def part(curve: Floats, begin: float, end: float = 1.0) -> Floats:
    """The finite numbers of one curve (E,) in a share of its length, one at least.

    >>> part(np.array([4.0, 3.0, 2.0, 1.0]), 0.5)
    array([2., 1.])
    """
    curve = curve[np.isfinite(curve)]
    n = len(curve)
    last = max(1, math.ceil(end * n - 1e-9))
    first = min(math.floor(begin * n + 1e-9), last - 1)
    return curve[first:last]


def tails(curves: Floats, share: float) -> Floats:
    """Mean over the last part of each member's curve (M,); infinite where that is not finite.

    >>> tails(np.array([[3.0, 2.0, 1.0], [3.0, np.inf, np.nan]]), 0.5).tolist()
    [1.5, inf]
    """
    found = np.full(len(curves), np.nan)
    for k, count in enumerate(lengths(curves)):
        if count:
            curve = curves[k, :count]
            last = curve[-max(1, math.ceil(share * count)) :]
            last = last[~np.isnan(last)]
            found[k] = last.mean() if len(last) else np.nan
    return found


def smoothed(curve: Floats, width: int = 3) -> Floats:
    """Running mean over `width` points, fewer at the ends; nan is left out.

    >>> smoothed(np.array([0.0, 3.0, 0.0, 3.0])).tolist()
    [1.5, 1.0, 2.0, 1.5]
    """
    if curve.size == 0:
        return curve
    half = width // 2
    sides = np.full(half, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([sides, curve, sides]), 2 * half + 1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of windows without any number
        found: Floats = np.nanmean(windows, axis=1)
    return found


def slope(y: Floats, x: Floats | None = None) -> tuple[float, float]:
    """Least-squares slope of y (n,) over x and its Student t; (0, 0) for fewer than three points.

    Points of a curve are not independent, so that t is larger than it should be: it orders
    curves, and rules ask several members to agree. A perfect line has an infinite t.

    >>> slope(np.array([3.0, 2.0, 1.0]))
    (-1.0, -inf)
    """
    x = np.arange(len(y), dtype=np.float64) if x is None else x
    ok = np.isfinite(y) & np.isfinite(x)
    x, y = x[ok], y[ok]
    if len(y) < 3 or np.ptp(x) == 0:
        return 0.0, 0.0
    dx, dy = x - x.mean(), y - y.mean()
    value = float(dx @ dy) / float(dx @ dx)
    rest = dy - value * dx
    error = math.sqrt(float(rest @ rest) / (len(y) - 2) / float(dx @ dx))
    if abs(value) < 1e-15:
        return 0.0, 0.0
    return value, value / error if error > 1e-12 * abs(value) else math.copysign(math.inf, value)


def theil_sen(y: Floats, x: Floats | None = None) -> float:
    """Median slope over all pairs of points: a single outlier does not move it.

    Source: Sen (1968), JASA 63. At most 200 points, evenly chosen, enter.

    >>> theil_sen(np.array([0.0, 1.0, 99.0, 3.0, 4.0]))
    1.0
    """
    x = np.arange(len(y), dtype=np.float64) if x is None else x
    ok = np.isfinite(y) & np.isfinite(x)
    x, y = x[ok], y[ok]
    if len(y) > 200:
        chosen = np.linspace(0, len(y) - 1, 200).astype(np.int64)
        x, y = x[chosen], y[chosen]
    first, second = np.triu_indices(len(y), 1)
    run = x[second] - x[first]
    rise = (y[second] - y[first])[run != 0]
    return float(np.median(rise / run[run != 0])) if len(rise) else 0.0


def curvature_t(y: Floats) -> float:
    """Student's t of the quadratic term of a parabola through y (n,); 0 for under four points.

    >>> curvature_t(np.array([9.0, 4.0, 1.0, 0.0, 1.0])) > 1e6
    True
    """
    y = y[np.isfinite(y)]
    n = len(y)
    if n < 4:
        return 0.0
    x = np.linspace(-1, 1, n)
    design = np.stack([np.ones(n), x, x**2 - np.mean(x**2)], axis=1)
    solution, *_ = np.linalg.lstsq(design, y, rcond=None)
    rest = y - design @ solution
    error = math.sqrt(float(rest @ rest) / (n - 3) / float(design[:, 2] @ design[:, 2]))
    value = float(solution[2])
    return 0.0 if abs(value) < 1e-15 else value / max(error, 1e-12 * abs(value))


def early_share(y: Floats, effort: Floats | None = None, quarter: float = 0.25) -> float:
    """Share of the whole fall of y (n,) that the first quarter of the effort has brought.

    effort: (n,) what each point cost, for instance its learning rate: with it a schedule does not
    bend the measure. A straight line has 0.25, a curve that falls fast and settles near 1. nan
    where y does not fall, or has fewer than five points.

    >>> early_share(np.linspace(2.0, 1.0, 9))
    0.25
    """
    ok = np.isfinite(y)
    y = y[ok]
    if len(y) < 5:
        return math.nan
    cost = np.ones(len(y)) if effort is None else np.where(np.isfinite(effort), effort, 0.0)[ok]
    spent = np.cumsum(cost) - cost[0]
    fall = y[0] - y[-1]
    if fall <= 1e-9 * max(1.0, abs(y[0])) or spent[-1] <= 0:
        return math.nan
    return float((y[0] - np.interp(quarter * spent[-1], spent, y)) / fall)


def rises(y: Floats, skip: int = 3) -> float:
    """Share of steps upwards after the first `skip` points; 0 for fewer than three steps.

    >>> rises(np.array([5.0, 4.0, 3.0, 4.0, 3.0, 4.0, 3.0]))
    0.5
    """
    steps = np.diff(y[np.isfinite(y)][skip - 1 :])
    return float((steps > 0).mean()) if len(steps) >= 3 else 0.0


def turns(y: Floats) -> float:
    """Share of inner points at which the direction changes: 2/3 for pure noise, 0 for a trend.

    >>> turns(np.array([1.0, 2.0, 1.0, 2.0]))
    1.0
    """
    steps = np.diff(y[np.isfinite(y)])
    return float((steps[1:] * steps[:-1] < 0).mean()) if len(steps) > 1 else 0.0


def residual_spread(y: Floats) -> float:
    """Standard deviation around a straight line; nan for fewer than four points.

    >>> residual_spread(np.array([1.0, 2.0, 3.0, 4.0])) < 1e-9
    True
    """
    y = y[np.isfinite(y)]
    if len(y) < 4:
        return math.nan
    x = np.arange(len(y)) - (len(y) - 1) / 2
    rest = y - y.mean() - x * (x @ y) / (x @ x)
    return float(np.sqrt(rest @ rest / (len(y) - 2)))


def running_minimum(y: Floats) -> Floats:
    """The lowest number so far; nan is skipped.

    >>> running_minimum(np.array([3.0, np.nan, 4.0, 1.0])).tolist()
    [3.0, 3.0, 3.0, 1.0]
    """
    found: Floats = np.fmin.accumulate(y) if y.size else y
    return found


def over_members(values: Floats, confidence: float = 0.95) -> Interval | None:
    """Mean over members (M,) that are finite, with Student's interval; None without any.

    One member's interval is the whole line: only what a rule knows within its curve can speak.

    >>> i = over_members(np.array([1.0, 2.0, 3.0, np.nan]))
    >>> i.value, round(i.low, 2)
    (2.0, -0.48)
    """
    finite = values[np.isfinite(values)]
    return mean_interval(finite, confidence) if len(finite) else None


def average(values: Floats) -> float:
    """Mean of what is finite; nan where nothing is.

    >>> average(np.array([1.0, np.nan, 3.0, np.inf]))
    2.0
    """
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def most(mask: npt.NDArray[np.bool_], share: float) -> bool:
    """Whether at least this share of members, and one at least, has a symptom.

    >>> most(np.array([True, True, False]), 0.6)
    True
    """
    return bool(len(mask) and mask.any() and mask.mean() >= share)


def paired(better: Floats, worse: Floats, confidence: float = 0.95) -> Interval | None:
    """Mean of worse - better over runs (S,), with Student's interval: above 0 where better is.

    A loss that is not finite counts as twice the largest finite one (a diverged run is bad, not
    infinitely so). None for fewer than two runs, or where nothing is finite.

    >>> i = paired(np.array([0.1, 0.2, 0.1]), np.array([0.5, 0.7, 0.5]))
    >>> round(i.value, 3), i.low > 0
    (0.433, True)
    """
    if len(better) != len(worse) or len(better) < 2:
        return None
    both = np.stack([better, worse])
    finite = both[np.isfinite(both)]
    if not len(finite):
        return None
    both = np.where(np.isfinite(both), both, 2 * np.abs(finite).max())
    return mean_interval(both[1] - both[0], confidence)
