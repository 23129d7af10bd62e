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
    """Scores of two arms, cell by cell (n,); folds (n,) say which rows judged.

    low, high: the interval of the mean difference B - A; equal: half the width of the region in
    which a difference does not matter. unit: "points", where scores are shares of 1, or that of a
    score without an upper end, such as "nats".
    """

    names: tuple[str, str]
    a: Floats
    b: Floats
    folds: Sequence[int]
    low: float
    high: float
    equal: float
    unit: str = "points"

    @property
    def shares(self) -> bool:
        """Whether scores are shares of 1, to be told in per cent."""
        return self.unit == "points"

    def told(self, score: float) -> str:
        """A score in words."""
        return f"{score:.1%}" if self.shares else f"{score:.4g}"


def paired(pairs: Pairs, *, name: str, title: str, desc: str, width: float = 720) -> str:
    """Left: a line from A to B for every cell. Right: the differences, their mean and interval."""
    height, top, bottom = 300.0, 34.0, 262.0
    values = np.concatenate([pairs.a, pairs.b])
    pad = 0.08 * max(float(np.ptp(values)), 0.01)
    most = 1.0 if pairs.shares else np.inf
    y = Scale(
        max(float(values.min()) - pad, 0.0), min(float(values.max()) + pad, most), bottom, top
    )
    left, right = 60.0, 0.42 * width
    parts = [svg.line(left, y(t), right, y(t), "grid") for t in y.ticks(5)]
    parts += [
        svg.text(left - 7, y(t) + 4, words, "tick", "end")
        for t, words in zip(y.ticks(5), svg.tick_words(y.ticks(5), pairs.shares), strict=True)
    ]
    at_a, at_b = left + 0.2 * (right - left), right - 0.2 * (right - left)
    for place, label, part in ((at_a, pairs.names[0], "muted"), (at_b, pairs.names[1], "val")):
        parts.append(svg.text(place, top - 14, svg.shorten(label, 18), f"name {part}", "middle"))
    for a, b, fold in zip(pairs.a, pairs.b, pairs.folds, strict=True):
        told = f"fold {fold}\n{pairs.names[0]} {pairs.told(a)}\n{pairs.names[1]} {pairs.told(b)}"
        parts.append(svg.path([(at_a, y(a)), (at_b, y(b))], "line muted"))
        parts.append(svg.circle(at_a, y(a), 4, "dot muted", told))
        parts.append(svg.circle(at_b, y(b), 4, "dot val", told))
    parts += _differences(pairs, 0.56 * width, width - 16, top, bottom)
    return svg.document(name, width, height, title, desc, parts)


def _differences(pairs: Pairs, left: float, right: float, top: float, bottom: float) -> list[str]:
    """Differences on a horizontal axis, in the unit: one dot per cell, below them the interval."""
    scale, digits = (100.0, 2) if pairs.shares else (1.0, 4)
    points = scale * (pairs.b - pairs.a)
    low, high, equal = scale * pairs.low, scale * pairs.high, scale * pairs.equal
    ends = [abs(e) for e in (low, high) if np.isfinite(e)]
    most = max(float(np.abs(points).max()), *ends, 2 * equal, 0.0) * 1.1
    x = Scale(-most, most, left, right)
    parts = [svg.rect(x(-equal), top, x(equal) - x(-equal), bottom - top, "shade muted")]
    parts += [svg.line(x(t), top, x(t), bottom, "grid") for t in x.ticks(5)]
    parts += [
        svg.text(x(t), bottom + 16, f"{t:+g}" if t else "0", "tick", "middle") for t in x.ticks(5)
    ]
    parts.append(svg.line(x(0), top, x(0), bottom, "axis"))
    parts.append(svg.text(right, bottom + 32, f"difference in {pairs.unit}", "tick", "end"))
    order = np.argsort(points, kind="stable")
    step = min(16.0, (bottom - top - 50) / max(len(points), 1))
    for i, k in enumerate(order.tolist()):
        told = f"fold {pairs.folds[k]}: {points[k]:+.{digits}f} {pairs.unit}"
        parts.append(svg.circle(x(float(points[k])), top + 12 + step * i, 4, "dot val", told))
    at = bottom - 16
    if np.isfinite(low) and np.isfinite(high):
        parts.append(svg.line(x(low), at, x(high), at, "whisker val"))
    mean = float(points.mean())
    parts.append(svg.circle(x(mean), at, 6, "dot val", f"mean {mean:+.{digits}f}"))
    return parts
