"""Line searches: how far to go along a direction p in which f falls.

Slide: "Newton's method". With φ(t) = f(θ + t p) and φ'(0) < 0, a step t is long enough to be worth
it and short enough to be safe when it meets Armijo's condition, φ(t) ≤ φ(0) + c₁ t φ'(0), and, in
`wolfe`, |φ'(t)| ≤ c₂ |φ'(0)|. Near a minimum the fall is smaller than the rounding of f, which is
allowed for (Hager and Zhang 2005). Values that are not finite count as too high.
Source: Nocedal and Wright 2006, chapter 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from trainwell.techniques.optim.objective import Objective

ARMIJO, CURVATURE = 1e-4, 0.9  # c₁ and c₂, the usual numbers for Newton-like directions
TRIALS = 20
EDGE = 0.1  # of an interval, which a trial keeps away from its ends
NARROW = 1e-9  # an interval, relative to its place, in which there is nothing left to find
FAR = 10.0  # a step is at most so many times the step before


@dataclass(frozen=True, eq=False)
class Point:
    """A trial: step t, θ + t p, f and ∇f there (`backtrack` asks for no gradient), φ'(t)."""

    t: float
    theta: Tensor
    value: float
    grad: Tensor
    slope: float


def rounding(value: float, theta: Tensor) -> float:
    """What f may differ by for no reason but rounding, where it is about `value`."""
    from torch import finfo

    return 4 * finfo(theta.dtype).eps * abs(value)


def backtrack(objective: Objective, begin: Point, direction: Tensor, t: float) -> Point | None:
    """The first of t, t/2, t/4, ... that meets Armijo's condition; None if there is none."""
    slack = rounding(begin.value, begin.theta)
    for _ in range(TRIALS):
        theta = begin.theta + t * direction
        value = float(objective.value(theta))
        if math.isfinite(value) and value <= begin.value + ARMIJO * t * begin.slope + slack:
            return Point(t, theta, value, begin.grad, begin.slope)
        t /= 2
    return None


def wolfe(objective: Objective, begin: Point, direction: Tensor, t: float) -> Point | None:
    """A step that meets the strong Wolfe conditions, t tried first.

    Steps grow until a good one must lie between two of them; then that interval shrinks (Nocedal
    and Wright, algorithms 3.5 and 3.6). When trials run out: the lowest point that met Armijo's
    condition; None if there is none.
    """
    slack = rounding(begin.value, begin.theta)
    before = low = begin  # low: the lowest point so far that met Armijo's condition
    high: Point | None = None  # the other end of the interval
    for _ in range(TRIALS):
        here = _look(objective, begin, direction, t)
        finite = math.isfinite(here.value) and math.isfinite(here.slope)
        enough = finite and here.value <= begin.value + ARMIJO * t * begin.slope + slack
        if enough and abs(here.slope) <= -CURVATURE * begin.slope:
            return here
        if not enough or here.value >= low.value:
            high = here
        else:
            ahead = 1.0 if high is None else high.t - here.t
            high = low if here.slope * ahead >= 0 else high
            before, low = low, here
        if high is not None and abs(high.t - low.t) <= NARROW * high.t:
            break
        t = _beyond(before, low) if high is None else _between(low, high)
    return None if low is begin else low


def _look(objective: Objective, begin: Point, direction: Tensor, t: float) -> Point:
    theta = begin.theta + t * direction
    value, grad = objective.gradient(theta)
    return Point(t, theta, float(value), grad, float(grad @ direction))


def _between(low: Point, high: Point) -> float:
    """A step inside the interval, not too near its ends."""
    ends = sorted((low.t, high.t))
    margin = EDGE * (ends[1] - ends[0])
    return _cubic(low, high, ends[0] + margin, ends[1] - margin)


def _beyond(before: Point, low: Point) -> float:
    """A longer step, at most ten times as long."""
    return _cubic(before, low, low.t + 0.01 * (low.t - before.t), FAR * low.t)


def _cubic(a: Point, b: Point, least: float, most: float) -> float:
    """Where the cubic through values and slopes of a and b is lowest, held within limits.

    Their middle where there is no such place (Nocedal and Wright, equation 3.59).
    """
    width = b.t - a.t
    d1 = a.slope + b.slope - 3 * (b.value - a.value) / width
    inside = d1 * d1 - a.slope * b.slope
    if inside >= 0:  # not so for numbers that are not finite
        d2 = math.copysign(math.sqrt(inside), width)
        below = b.slope - a.slope + 2 * d2
        t = b.t - width * (b.slope + d2 - d1) / below if below else math.nan
        if math.isfinite(t):
            return min(max(t, least), most)
    return (least + most) / 2
