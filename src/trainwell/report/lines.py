"""Pictures with axes: training curves over epochs and the ladder of learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainwell.report import svg
from trainwell.report.svg import Scale

Floats = npt.NDArray[np.float64]
Part = Literal["train", "val", "test", "muted"]


@dataclass(frozen=True)
class Series:
    """A line with a band over E epochs: all arrays (E,); nan where nothing was measured."""

    label: str
    part: Part
    epochs: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Single:
    """One network's line over E epochs: epochs and values (E,)."""

    member: int
    part: Part
    epochs: Floats
    values: Floats


@dataclass(frozen=True)
class Rung:
    """One learning rate of a ladder and the log loss it reached."""

    lr: float
    value: float | None
    low: float | None
    high: float | None
    diverged: bool = False


@dataclass(frozen=True)
class Region:
    """Epochs that a finding speaks of, and its number in the list."""

    label: str
    start: float
    end: float
    words: str = ""


def value_words(value: float, percent: bool) -> str:
    """A value as the pictures write it: 98.3 %, or three digits."""
    return f"{100 * value:.1f} %" if percent else f"{value:.3g}"


def nothing(name: str, title: str, desc: str, width: float) -> str:
    """The picture of no numbers."""
    words = svg.text(width / 2, 30, "nothing was recorded", "tick", "middle")
    return svg.document(name, width, 48, title, desc, [words])


# ---- curves ---------------------------------------------------------------------------------


def curves(
    series: Sequence[Series],
    *,
    name: str,
    title: str,
    desc: str,
    percent: bool = False,
    best: Sequence[float] = (),
    regions: Sequence[Region] = (),
    singles: Sequence[Single] = (),
    width: float = 356,
    height: float = 236,
) -> str:
    """Lines over epochs with bands, best epochs of the members as marks on the axis.

    regions: epochs that findings speak of, shaded and numbered. singles: lines of single networks,
    drawn but hidden until the page's reader chooses some. Between the first two series, training
    and validation, the gap is shaded.
    """
    series = [s for s in map(_measured, series) if s.epochs.size]
    if not series:
        return nothing(name, title, desc, width)
    beside = max(78.0, 8 + 7.0 * max(len(s.label) for s in series))
    left, right, top, bottom = 44.0, width - beside, 12.0, height - 34
    ends = [float(s.epochs[i]) for s in series for i in (0, -1)]
    x = Scale(min(ends), max(ends), left, right)
    low, high = _range(series, percent)
    y = Scale(low, high, bottom, top)
    shades, badges = _shaded(regions, x, top, bottom)
    parts = shades
    parts += _left_axis(y, left, right, percent)
    parts += _epoch_axis(x, bottom)
    for mark in sorted({b for b in best if math.isfinite(b) and x.low <= b <= x.high}):
        parts.append(svg.line(x(mark), bottom, x(mark), bottom - 5, "mark"))
    if middle := sorted(b for b in best if math.isfinite(b) and x.low <= b <= x.high):
        at = x(middle[len(middle) // 2])
        parts.append(svg.line(at, top, at, bottom, "guide"))
    for s in series:
        px, bottom_edge, top_edge = _decimated(s.epochs, s.low, s.high, x)
        ring = [*zip(px, map(y, top_edge), strict=True)]
        ring += reversed([*zip(px, map(y, bottom_edge), strict=True)])
        parts.append(svg.path(ring, f"band {s.part}", closed=True))
    parts.append(_gap(series, x, y))
    for s in series:
        parts.append(svg.path(_line_points(s, x, y), f"line {s.part}"))
        if s.epochs.size == 1:
            parts.append(svg.circle(x(float(s.epochs[0])), y(float(s.mean[0])), 3, f"dot {s.part}"))
    parts += [_single(one, x, y) for one in singles]
    parts += _end_labels(series, y, right)
    parts += badges
    parts += _hover(series, x, top, bottom, percent)
    return svg.document(name, width, height, title, desc, parts)


def _gap(series: Sequence[Series], x: Scale, y: Scale) -> str:
    """The area between the means of two series, over the epochs that both have."""
    if len(series) != 2:
        return ""
    a, b = series
    both = np.intersect1d(a.epochs, b.epochs)
    if len(both) < 2:
        return ""
    both = both[:: -(-len(both) // int(x.end - x.start))]  # a pixel is enough for one epoch
    upper = [(x(float(e)), y(float(m))) for e, m in zip(both, _at(a, both), strict=True)]
    lower = [(x(float(e)), y(float(m))) for e, m in zip(both, _at(b, both), strict=True)]
    return svg.path([*upper, *reversed(lower)], "gap", closed=True)


def _at(s: Series, epochs: Floats) -> Floats:
    return s.mean[np.searchsorted(s.epochs, epochs)]


def _single(one: Single, x: Scale, y: Scale) -> str:
    """The line of one network."""
    ok = np.isfinite(one.values) & np.isfinite(one.epochs)
    flat = Series("", one.part, one.epochs[ok], *(one.values[ok],) * 3)
    if not flat.epochs.size:
        return ""
    return svg.path(_line_points(flat, x, y), f"line single {one.part} net{one.member}")


def _shaded(
    regions: Sequence[Region], x: Scale, top: float, bottom: float
) -> tuple[list[str], list[str]]:
    """The regions, and their numbers, side by side where they begin together."""
    shades: list[str] = []
    badges: list[str] = []
    taken: dict[int, int] = {}
    for region in regions:
        start, end = max(region.start, x.low), min(region.end, x.high)
        if not start <= end:
            continue
        left, right = x(start), x(end)
        if right - left < 6:  # one epoch is a place, not a stretch
            left, right = max(x.start, left - 3), min(x.end, right + 3)
        shades.append(svg.rect(left, top, right - left, bottom - top, "region"))
        place = taken.get(round(left), 0)
        taken[round(left)] = place + 1
        at = min(left + 9 + 15 * place, x.end - 8)
        badges.append(svg.circle(at, top + 9, 7, "badge", region.words))
        badges.append(svg.text(at, top + 13, region.label, "badge-number", "middle"))
    return shades, badges


def _measured(s: Series) -> Series:
    """The series without epochs where the mean is missing; band ends default to the mean."""
    ok = np.isfinite(s.mean) & np.isfinite(s.epochs)
    mean = s.mean[ok]
    low = np.where(np.isfinite(s.low[ok]), s.low[ok], mean)
    high = np.where(np.isfinite(s.high[ok]), s.high[ok], mean)
    return Series(s.label, s.part, s.epochs[ok], mean, low, high)


def _range(series: Sequence[Series], percent: bool) -> tuple[float, float]:
    """The ends of the value axis; a few wild values do not flatten the rest."""
    every = np.concatenate([np.r_[s.mean, s.low, s.high] for s in series])
    low, high = float(every.min()), float(every.max())
    usual = float(np.quantile(every, 0.9))
    if not percent and high - low > 6 * (usual - low) > 0:
        high = low + 3 * (usual - low)
    if high - low < 1e-9:
        pad = 0.02 if percent else max(abs(high) * 0.1, 1e-3)
        low, high = low - pad, high + pad
    pad = 0.04 * (high - low)
    low, high = low - pad, high + pad
    return (max(low, 0.0), min(high, 1.0) if percent else high)


def _decimated(epochs: Floats, low: Floats, high: Floats, x: Scale) -> tuple[Any, Any, Any]:
    """Pixels, smallest low and largest high: one of each per pixel at most."""
    pixels = np.array([round(x(float(e))) for e in epochs])
    starts = np.flatnonzero(np.r_[True, np.diff(pixels) > 0])
    if len(starts) == len(epochs):
        return [x(float(e)) for e in epochs], low.tolist(), high.tolist()
    lows, highs = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    return pixels[starts].tolist(), lows.tolist(), highs.tolist()


def _line_points(s: Series, x: Scale, y: Scale) -> list[tuple[float, float]]:
    """At most two points per pixel: the smallest and the largest value there."""
    px, low, high = _decimated(s.epochs, s.mean, s.mean, x)
    points: list[tuple[float, float]] = []
    for at, a, b in zip(px, low, high, strict=True):
        points += [(at, y(a))] if a == b else [(at, y(a)), (at, y(b))]
    return points


def _left_axis(y: Scale, left: float, right: float, percent: bool) -> list[str]:
    ticks = y.ticks(4)
    parts = [svg.line(left, y(t), right, y(t), "grid") for t in ticks]
    words = svg.tick_words(ticks, percent)
    return parts + [
        svg.text(left - 7, y(t) + 4, w, "tick", "end") for t, w in zip(ticks, words, strict=True)
    ]


def _epoch_axis(x: Scale, bottom: float) -> list[str]:
    ticks = [t for t in x.ticks(5) if t == round(t)]
    parts = [svg.line(x.start, bottom, x.end, bottom, "axis")]
    parts += [svg.text(x(t), bottom + 16, f"{t:.0f}", "tick", "middle") for t in ticks]
    return [*parts, svg.text(x.end, bottom + 31, "epoch", "tick", "end")]


def _end_labels(series: Sequence[Series], y: Scale, right: float) -> list[str]:
    """Each line's name at its end, moved apart where they would touch."""
    wanted = sorted((y(float(s.mean[-1])) + 4, s.label, s.part) for s in series)
    placed: list[float] = []
    for at, _, _ in wanted:
        placed.append(max(at, placed[-1] + 15) if placed else at)
    excess = max(0.0, placed[-1] - (y.start + 2))
    return [
        svg.text(right + 7, at - excess, label, f"name {part}")
        for at, (_, label, part) in zip(placed, wanted, strict=True)
    ]


def _hover(
    series: Sequence[Series], x: Scale, top: float, bottom: float, percent: bool
) -> list[str]:
    """Invisible strips whose titles read out the values; at most about 120 of them."""
    epochs = np.unique(np.concatenate([s.epochs for s in series]))
    epochs = epochs[:: max(1, math.ceil(len(epochs) / 120))]
    step = (x.end - x.start) / max(len(epochs) - 1, 1)
    found = [
        {float(e): i for i, e in enumerate(s.epochs)} for s in series
    ]  # epoch to its place in the series
    strips = []
    for epoch in epochs.tolist():
        told = [f"epoch {epoch:.0f}"]
        for s, places in zip(series, found, strict=True):
            if (i := places.get(epoch)) is not None:
                a, m, b = (value_words(float(v), percent) for v in (s.low[i], s.mean[i], s.high[i]))
                told.append(f"{s.label} {m}" + (f" ({a} to {b})" if a != b else ""))
        at = x(epoch) if len(epochs) > 1 else (x.start + x.end) / 2
        start, end = max(at - step / 2, x.start), min(at + step / 2, x.end)
        strips.append(svg.rect(start, top, end - start, bottom - top, "hit", "\n".join(told)))
    return strips


# ---- learning rates -------------------------------------------------------------------------


def ladder(
    rungs: Sequence[Rung],
    chosen: float | None,
    *,
    name: str,
    title: str,
    desc: str,
    width: float = 356,
    height: float = 236,
) -> str:
    """Validation loss over learning rates (log axis); the chosen one filled, × where
    diverged, a small grey dot above where a rate was not tried."""
    rungs = sorted((r for r in rungs if r.lr > 0), key=lambda r: r.lr)
    fine = [r for r in rungs if r.value is not None and math.isfinite(r.value) and not r.diverged]
    if not fine:
        return nothing(name, title, desc, width)
    left, right, top, bottom = 44.0, width - 16, 30.0, height - 34
    x = Scale(rungs[0].lr / 1.3, rungs[-1].lr * 1.3, left, right, log=True)
    values = [float(r.value or 0.0) for r in fine]
    ends = [v for r in fine for v in (r.low, r.high) if v is not None and math.isfinite(v)]
    low, high = min(values + ends), max(values + ends)
    if high > low + 8 * (float(np.median(values)) - low) > low:
        high = low + 8 * (float(np.median(values)) - low)
    pad = 0.06 * (high - low) or 0.1
    y = Scale(max(low - pad, 0.0), high + pad, bottom, top)
    parts = _left_axis(y, left, right, False)
    parts.append(svg.line(left, bottom, right, bottom, "axis"))
    for t in x.ticks(4):
        parts.append(svg.text(x(t), bottom + 16, f"{t:g}", "tick", "middle"))
    parts.append(svg.text(right, bottom + 31, "learning rate", "tick", "end"))
    parts.append(svg.path([(x(r.lr), y(float(r.value or 0.0))) for r in fine], "line muted"))
    for r in rungs:
        parts += _rung(r, chosen is not None and math.isclose(r.lr, chosen, rel_tol=1e-6), x, y)
    return svg.document(name, width, height, title, desc, parts)


def _rung(r: Rung, is_chosen: bool, x: Scale, y: Scale) -> list[str]:
    at, top, bottom = x(r.lr), y.end, y.start
    strip = (at - 9, top - 14, 18, bottom - top + 14)
    if r.value is None and not r.diverged:
        mark = svg.circle(at, top - 9, 2.5, "dot muted")
        return [mark, svg.rect(*strip, "hit", f"{r.lr:g}: not tried, there was no time")]
    if r.value is None or r.diverged or not math.isfinite(r.value):
        cross = svg.text(at, top - 4, "×", "cross", "middle")
        return [cross, svg.rect(*strip, "hit", f"{r.lr:g}: diverged")]
    part = "val" if is_chosen else "muted"
    parts, told = [], f"learning rate {r.lr:g}\nlog loss {r.value:.3g}"
    if r.low is not None and r.high is not None:
        told += f" ({r.low:.3g} to {r.high:.3g})"
        parts.append(svg.line(at, y(r.low), at, y(r.high), f"whisker {part}"))
    parts.append(svg.circle(at, y(r.value), 5 if is_chosen else 3.5, f"dot {part}"))
    if is_chosen:
        parts.append(
            svg.line(at, top - 6, at, y(r.high if r.high is not None else r.value) - 4, "guide")
        )
        parts.append(svg.text(at, top - 12, f"chosen {r.lr:g}", "name val", "middle"))
    return [*parts, svg.rect(*strip, "hit", told)]
