"""What each remedy of the coach gained, as a picture of intervals around zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainwell.report import svg
from trainwell.report.numbers import known
from trainwell.report.svg import Scale

ROW = 26.0
MATTERS = 0.5  # points; less is no difference that matters


def gains(
    decisions: Sequence[Mapping[str, Any]],
    *,
    name: str,
    title: str,
    desc: str,
    width: float = 720,
) -> str:
    """One row per remedy that was compared: gain in points with its interval, and the placebo.

    decisions: of run.json. Shaded: what would not matter. Remedies without a comparison (screened
    out, not trained) are left to the table. No comparison: no picture.
    """
    rows = [d for d in decisions if known((d.get("difference") or {}).get("value")) is not None]
    if not rows:
        return ""
    letters = int(width / 16)
    labels = [svg.shorten(str(d.get("tried")), letters) for d in rows]
    left = 14 + 6.9 * max(map(len, labels))
    values = [100 * v for d in rows for v in _ends(d)]
    values += [100 * p for d in rows if (p := known(d.get("placebo"))) is not None]
    low, high = min(-1.0, *values), max(1.0, *values)
    pad = 0.04 * (high - low)
    x = Scale(low - pad, high + pad, left, width - 96)
    bottom = 8 + ROW * len(rows)
    parts = [svg.rect(x(-MATTERS), 4, x(MATTERS) - x(-MATTERS), bottom - 4, "shade muted")]
    parts += [svg.line(x(t), 4, x(t), bottom, "grid") for t in x.ticks(5)]
    parts.append(svg.line(x(0), 4, x(0), bottom, "axis"))
    for i, (d, label) in enumerate(zip(rows, labels, strict=True)):
        parts += _row(d, label, x, 8 + ROW * (i + 0.5), left, width)
    ticks = x.ticks(5)
    for t, words in zip(ticks, svg.tick_words(ticks), strict=True):
        parts.append(svg.text(x(t), bottom + 16, words, "tick", "middle"))
    parts.append(svg.text(width, bottom + 16, "points gained", "tick", "end"))
    return svg.document(name, width, bottom + 24, title, desc, parts)


def _row(
    d: Mapping[str, Any], label: str, x: Scale, y: float, left: float, width: float
) -> list[str]:
    difference = d["difference"]
    part = "val" if d.get("outcome") == "adopted" else "muted"
    ends = _ends(d)
    told = f"{d.get('tried')}: {100 * difference['value']:+.1f} points"
    if len(ends) == 3:
        told += f" ({100 * ends[0]:+.1f} to {100 * ends[2]:+.1f})"
    parts = [svg.text(left - 10, y + 4.5, label, "label", "end")]
    if len(ends) == 3:
        parts.append(svg.line(x(100 * ends[0]), y, x(100 * ends[2]), y, f"whisker {part}"))
    parts.append(svg.circle(x(100 * difference["value"]), y, 4.5, f"dot {part}", told))
    placebo = known(d.get("placebo"))
    if placebo is not None:
        at = x(100 * placebo)
        parts.append(svg.line(at, y - 6, at, y + 6, "whisker train"))
    parts.append(svg.text(width, y + 4.5, str(d.get("outcome") or ""), "number", "end"))
    return parts


def _ends(d: Mapping[str, Any]) -> list[float]:
    """Low end, value and high end as far as they are known."""
    found = [known(d["difference"].get(k)) for k in ("low", "value", "high")]
    return [v for v in found if v is not None]
