"""The paired picture of a comparison: each cell's two scores, and the differences with interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.report import svg
from trainwell.report.svg import Scale

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Scores of two arms, cell by cell (n,), shares; folds (n,) say which rows judged.

    low, high: the interval of the mean difference B - A; equal: half the width of the region in
    which a difference does not matter.
    """

    names: tuple[str, str]
    a: Floats
    b: Floats
    folds: Sequence[int]
    low: float
    high: float
    equal: float


def paired(pairs: Pairs, *, name: str, title: str, desc: str, width: float = 720) -> str:
    """Left: a line from A to B for every cell. Right: the differences, their mean and interval."""
    height, top, bottom = 300.0, 34.0, 262.0
    values = np.concatenate([pairs.a, pairs.b])
    pad = 0.08 * max(float(np.ptp(values)), 0.01)
    y = Scale(max(float(values.min()) - pad, 0.0), min(float(values.max()) + pad, 1.0), bottom, top)
    left, right = 60.0, 0.42 * width
    parts = [svg.line(left, y(t), right, y(t), "grid") for t in y.ticks(5)]
    parts += [
        svg.text(left - 7, y(t) + 4, words, "tick", "end")
        for t, words in zip(y.ticks(5), svg.tick_words(y.ticks(5), True), strict=True)
    ]
    at_a, at_b = left + 0.2 * (right - left), right - 0.2 * (right - left)
    for place, label, part in ((at_a, pairs.names[0], "muted"), (at_b, pairs.names[1], "val")):
        parts.append(svg.text(place, top - 14, svg.shorten(label, 18), f"name {part}", "middle"))
    for a, b, fold in zip(pairs.a, pairs.b, pairs.folds, strict=True):
        told = f"fold {fold}\n{pairs.names[0]} {a:.1%}\n{pairs.names[1]} {b:.1%}"
        parts.append(svg.path([(at_a, y(a)), (at_b, y(b))], "line muted"))
        parts.append(svg.circle(at_a, y(a), 4, "dot muted", told))
        parts.append(svg.circle(at_b, y(b), 4, "dot val", told))
    parts += _differences(pairs, 0.56 * width, width - 16, top, bottom)
    return svg.document(name, width, height, title, desc, parts)


def _differences(pairs: Pairs, left: float, right: float, top: float, bottom: float) -> list[str]:
    """Differences in points on a horizontal axis: one dot per cell, below them the interval."""
    points = 100 * (pairs.b - pairs.a)
    ends = [100 * e for e in (pairs.low, pairs.high) if np.isfinite(e)]
    most = max(float(np.abs(points).max()), *map(abs, ends), 200 * pairs.equal, 1.0) * 1.1
    x = Scale(-most, most, left, right)
    equal = 100 * pairs.equal
    parts = [svg.rect(x(-equal), top, x(equal) - x(-equal), bottom - top, "shade muted")]
    parts += [svg.line(x(t), top, x(t), bottom, "grid") for t in x.ticks(5)]
    parts += [
        svg.text(x(t), bottom + 16, f"{t:+g}" if t else "0", "tick", "middle") for t in x.ticks(5)
    ]
    parts.append(svg.line(x(0), top, x(0), bottom, "axis"))
    parts.append(svg.text(right, bottom + 32, "difference in points", "tick", "end"))
    order = np.argsort(points, kind="stable")
    step = min(16.0, (bottom - top - 50) / max(len(points), 1))
    for i, k in enumerate(order.tolist()):
        told = f"fold {pairs.folds[k]}: {points[k]:+.2f} points"
        parts.append(svg.circle(x(float(points[k])), top + 12 + step * i, 4, "dot val", told))
    at = bottom - 16
    if np.isfinite(pairs.low) and np.isfinite(pairs.high):
        parts.append(svg.line(x(100 * pairs.low), at, x(100 * pairs.high), at, "whisker val"))
    parts.append(
        svg.circle(x(float(points.mean())), at, 6, "dot val", f"mean {points.mean():+.2f}")
    )
    return parts
