"""The reliability diagram: is the network right as often as it is sure?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainwell.report import svg
from trainwell.report.svg import Scale


def reliability(
    bins: Sequence[Mapping[str, Any]],
    *,
    name: str,
    title: str,
    desc: str,
    width: float = 356,
    height: float = 300,
) -> str:
    """Share right over mean confidence, a dot with its 95 % interval for each bin of rows.

    bins: of run.json. On the dotted diagonal a network that says "80 %" is right 8 times in 10;
    below it, it is too sure.
    """
    ends = [b["accuracy"]["low"] for b in bins] + [b["from"] for b in bins]
    low = max(0.0, min(ends) - 0.03)
    x = Scale(low, 1.0, 48, width - 12)
    y = Scale(low, 1.0, height - 40, 10)
    parts = [svg.line(x(t), 10, x(t), height - 40, "grid") for t in x.ticks(4)]
    parts += [svg.line(48, y(t), width - 12, y(t), "grid") for t in y.ticks(4)]
    for scale, upright in ((x, False), (y, True)):
        ticks = scale.ticks(4)
        for t, words in zip(ticks, svg.tick_words(ticks, percent=True), strict=True):
            place = (42.0, y(t) + 4) if upright else (x(t), height - 23)
            parts.append(svg.text(*place, words, "tick", "end" if upright else "middle"))
    parts.append(svg.line(x(low), y(low), x(1.0), y(1.0), "guide"))
    for b in bins:
        score, sure = b["accuracy"], b["confidence"]
        told = (
            f"{b['n']:,} rows, {100 * b['from']:.1f} to {100 * b['to']:.1f} % sure: "
            f"{100 * score['value']:.1f} % right "
            f"({100 * score['low']:.1f} to {100 * score['high']:.1f})"
        )
        parts.append(svg.line(x(sure), y(score["low"]), x(sure), y(score["high"]), "whisker val"))
        parts.append(svg.circle(x(sure), y(score["value"]), 4.5, "dot val", told))
    parts.append(svg.text(width - 12, height - 6, "how sure it is", "tick", "end"))
    parts.append(svg.text(48, height - 6, "upwards: share right", "tick"))
    return svg.document(name, width, height, title, desc, parts)
