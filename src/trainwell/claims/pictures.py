"""The picture of a claim that a lecturer would show, drawn from what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trainwell.claims.claim import Claim
from trainwell.claims.rules import Measured
from trainwell.claims.words import number, unit_of
from trainwell.report import plots, svg
from trainwell.report.paired import Pairs, paired
from trainwell.report.svg import Scale
from trainwell.stats import Interval, mean_interval

if TYPE_CHECKING:
    from trainwell.claims.lab import Finding

Floats = npt.NDArray[np.float64]
PARTS: tuple[plots.Part, ...] = ("val", "train", "test", "muted")


def picture(finding: Finding, name: str, width: float = 720) -> str:
    """The claim's picture as SVG text; `name` is unique in its page."""
    claim, measured = finding.claim, finding.measured
    kind = claim.picture.kind
    title = f"{claim.says}: {claim.picture.measure.replace('_', ' ')}"
    desc = f"{finding.data}, {finding.size.repetitions} repetitions"
    if kind == "curves" and measured.curves:
        return _curves(claim, measured, name, title, desc, width)
    if kind == "line":
        return _line(claim, measured, name, title, desc, width)
    if kind == "paired":
        return _paired(finding, name, title, desc, width)
    return _arms(claim, measured, name, title, desc, width)


def arms_of(claim: Claim, measured: Measured) -> tuple[str, ...]:
    """The arms in the picture: those named, else all that were measured."""
    return claim.picture.arms or tuple(measured.values[claim.picture.measure])


def says_of(claim: Claim, arm: str) -> str:
    """What a reader calls an arm."""
    found = [a.says for a in claim.arms if a.name == arm]
    return (found[0] if found else "") or arm


def interval_of(values: Floats) -> Interval:
    """The mean with the interval of independent repetitions; of equal values, the value."""
    if len(values) < 2 or float(np.ptp(values)) == 0:
        return Interval(*[float(np.mean(values))] * 3)
    return mean_interval(values)


def _arms(claim: Claim, measured: Measured, name: str, title: str, desc: str, width: float) -> str:
    measure = claim.picture.measure
    scale, unit = unit_of(measure)
    percent = unit == "points"
    rows = []
    for i, arm in enumerate(arms_of(claim, measured)):
        found = interval_of(measured.values[measure][arm])
        note = f"{number(scale * found.value)}{' %' if percent else f' {unit}'}".rstrip()
        part: plots.Part = "muted" if i == 0 else "val"
        rows.append(plots.Row(says_of(claim, arm), found.value, found.low, found.high, part, note))
    return plots.intervals(
        rows,
        name=name,
        title=title,
        desc=desc,
        percent=percent,
        width=width,
        guide=False,
        letters=46 if width > 500 else None,
    )


def _curves(
    claim: Claim, measured: Measured, name: str, title: str, desc: str, width: float
) -> str:
    measure = claim.picture.measure
    assert measured.curves is not None
    series = []
    arms = arms_of(claim, measured)
    top = _top([measured.curves[measure][arm] for arm in arms]) if "loss" in measure else np.inf
    for i, arm in enumerate(arms):
        rows = np.minimum(measured.curves[measure][arm], top)
        x = np.arange(1.0, rows.shape[1] + 1) if measured.x is None else measured.x
        seen = np.isfinite(rows)
        enough = 2 * seen.sum(axis=0) >= len(rows)
        middle, low, high = (_quantile(rows[:, enough], q) for q in (0.5, 0.25, 0.75))
        part = PARTS[i % len(PARTS)]
        series.append(plots.Series(svg.shorten(arm, 18), part, x[enough], middle, low, high))
    percent = unit_of(measure)[1] == "points"
    return plots.curves(
        series, name=name, title=title, desc=desc, percent=percent, width=width, height=300
    )


def _top(curves: list[Floats]) -> float:
    """Where losses are cut off: one that diverges would hide the others."""
    return 2 * float(np.median([np.nanmedian(rows[:, 0]) for rows in curves]))


def _quantile(rows: Floats, q: float) -> Floats:
    if not rows.size:
        return np.empty(0)
    return np.asarray(np.nanquantile(rows, q, axis=0), dtype=np.float64)


def _line(claim: Claim, measured: Measured, name: str, title: str, desc: str, width: float) -> str:
    """Mean and interval of every arm over a number that belongs to it."""
    measure, height, left, top = claim.picture.measure, 300.0, 64.0, 14.0
    right, bottom = width - 20, height - 44
    arms = arms_of(claim, measured)
    where = claim.picture.x or tuple(float(i + 1) for i in range(len(arms)))
    found = [interval_of(measured.values[measure][arm]) for arm in arms]
    x = Scale(min(where), max(where), left + 14, right - 14, claim.picture.log)
    low, high = min(f.low for f in found), max(f.high for f in found)
    pad = 0.06 * (high - low or abs(high) or 1.0)
    y = Scale(low - pad, high + pad, bottom, top)
    percent = unit_of(measure)[1] == "points"
    parts = [svg.line(left, y(t), right, y(t), "grid") for t in y.ticks(5)]
    parts += [
        svg.text(left - 7, y(t) + 4, words, "tick", "end")
        for t, words in zip(y.ticks(5), svg.tick_words(y.ticks(5), percent), strict=True)
    ]
    parts.append(svg.line(left, bottom, right, bottom, "axis"))
    parts += [svg.text(x(w), bottom + 16, f"{w:g}", "tick", "middle") for w in where]
    parts.append(svg.text(right, bottom + 34, claim.picture.x_says, "tick", "end"))
    parts.append(
        svg.path([(x(w), y(f.value)) for w, f in zip(where, found, strict=True)], "line val")
    )
    scale, unit = unit_of(measure)
    for w, f, arm in zip(where, found, arms, strict=True):
        tip = f"{says_of(claim, arm)}: {number(scale * f.value)} {unit}"
        parts.append(svg.line(x(w), y(f.low), x(w), y(f.high), "whisker val"))
        parts.append(svg.circle(x(w), y(f.value), 5, "dot val", tip))
    return svg.document(name, width, height, title, desc, parts)


def _paired(finding: Finding, name: str, title: str, desc: str, width: float) -> str:
    """Two arms, repetition by repetition, and their differences."""
    claim, measured = finding.claim, finding.measured
    measure = claim.picture.measure
    a, b = arms_of(claim, measured)[:2]
    outcome = _outcome(finding, a, b)
    unit = unit_of(measure)[1]
    low, high = (outcome.low, outcome.high) if outcome else (float("nan"), float("nan"))
    first, second = measured.values[measure][a], measured.values[measure][b]
    pairs = Pairs(
        (says_of(claim, a), says_of(claim, b)),
        first,
        second,
        list(range(len(first))),
        low,
        high,
        0.005 if unit == "points" else 0.0,
        unit or measure.replace("_", " "),
    )
    return paired(pairs, name=name, title=title, desc=desc, width=width)


def _outcome(finding: Finding, a: str, b: str) -> Interval | None:
    """The interval of b - a, where a contrast has measured it."""
    for outcome in finding.decision.outcomes:
        c = outcome.contrast
        if c.measure != finding.claim.picture.measure or c.ratio or c.than_of:
            continue
        if (c.of, c.minus) == ((b,), (a,)):
            return outcome.estimate
        if (c.of, c.minus) == ((a,), (b,)):
            e = outcome.estimate
            return Interval(-e.value, -e.high, -e.low)
    return None
