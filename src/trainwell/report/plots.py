"""The pictures of the report: pure functions from numbers to SVG text (and one to a PNG).

Every picture takes a `name` that is unique in its page and a `width` in CSS pixels; text keeps
its size, so a page shows a narrower drawing on a phone instead of a shrunken one. Colours are
CSS classes: `train`, `val` and `test` for the parts, `muted` for what stands back.
"""

from __future__ import annotations

import base64
import io
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
class Row:
    """A dot with a whisker; ends that are None are not drawn. `note` stands on the right."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    part: Part = "val"
    note: str = ""


@dataclass(frozen=True)
class Rung:
    """One learning rate of a ladder and the log loss it reached."""

    lr: float
    value: float | None
    low: float | None
    high: float | None
    diverged: bool = False


# ---- curves ---------------------------------------------------------------------------------


def curves(
    series: Sequence[Series],
    *,
    name: str,
    title: str,
    desc: str,
    percent: bool = False,
    best: Sequence[float] = (),
    width: float = 356,
    height: float = 236,
) -> str:
    """Lines over epochs with bands, best epochs of the members as marks on the axis."""
    series = [s for s in map(_measured, series) if s.epochs.size]
    if not series:
        return _nothing(name, title, desc, width)
    left, right, top, bottom = 44.0, width - 70, 12.0, height - 34
    ends = [float(s.epochs[i]) for s in series for i in (0, -1)]
    x = Scale(min(ends), max(ends), left, right)
    low, high = _range(series, percent)
    y = Scale(low, high, bottom, top)
    parts = _left_axis(y, left, right, percent)
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
    for s in series:
        parts.append(svg.path(_line_points(s, x, y), f"line {s.part}"))
        if s.epochs.size == 1:
            parts.append(svg.circle(x(float(s.epochs[0])), y(float(s.mean[0])), 3, f"dot {s.part}"))
    parts += _end_labels(series, y, right)
    parts += _hover(series, x, top, bottom, percent)
    return svg.document(name, width, height, title, desc, parts)


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
                a, m, b = (_value(float(v), percent) for v in (s.low[i], s.mean[i], s.high[i]))
                told.append(f"{s.label} {m}" + (f" ({a} to {b})" if a != b else ""))
        at = x(epoch) if len(epochs) > 1 else (x.start + x.end) / 2
        a, b = max(at - step / 2, x.start), min(at + step / 2, x.end)
        strips.append(svg.rect(a, top, b - a, bottom - top, "hit", "\n".join(told)))
    return strips


def _value(value: float, percent: bool) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.3g}"


def _nothing(name: str, title: str, desc: str, width: float) -> str:
    words = svg.text(width / 2, 30, "nothing was recorded", "tick", "middle")
    return svg.document(name, width, 48, title, desc, [words])


# ---- dots with whiskers ---------------------------------------------------------------------


def intervals(
    rows: Sequence[Row],
    *,
    name: str,
    title: str,
    desc: str,
    percent: bool = True,
    width: float = 720,
    row_height: float = 30,
    guide: bool = True,
) -> str:
    """One row per estimate: name, dot with whisker, number. The first row's interval is shaded."""
    if not rows:
        return _nothing(name, title, desc, width)
    letters = max(6, int(width / 36))
    labels = [svg.shorten(r.label, letters) for r in rows]
    left = 14 + 7.2 * max(map(len, labels))
    note = 12 + 6.6 * max(len(r.note) for r in rows)
    x = _value_scale(rows, percent, left, width - 10 - note)
    bottom = 10 + row_height * len(rows)
    ticks = x.ticks(5 if width > 500 else 3)
    parts = [svg.line(x(t), 6, x(t), bottom, "grid") for t in ticks]
    first = rows[0]
    if guide and first.low is not None and first.high is not None:
        shade = x(first.high) - x(first.low)
        parts.append(svg.rect(x(first.low), 6, shade, bottom - 6, f"shade {first.part}"))
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        y = 10 + row_height * (i + 0.5)
        parts.append(
            svg.text(
                left - 12, y + 4.5, label, "label", "end", row.label if label != row.label else ""
            )
        )
        parts += _dot(row, x, y, percent)
        parts.append(svg.text(width - 4, y + 4.5, row.note, "number", "end"))
    for t, words in zip(ticks, svg.tick_words(ticks, percent), strict=True):
        parts.append(svg.text(x(t), bottom + 17, words, "tick", "middle"))
    return svg.document(name, width, bottom + 26, title, desc, parts)


def recall(
    rows: Sequence[Row], *, name: str, title: str, desc: str, width: float = 356, most: int = 30
) -> str:
    """Recall of each class with its whisker; of more than `most` classes only the lowest."""
    if len(rows) > most:
        rows = sorted(rows, key=lambda r: 2.0 if r.value is None else r.value)[:most]
    return intervals(
        rows, name=name, title=title, desc=desc, width=width, row_height=22, guide=False
    )


def _value_scale(rows: Sequence[Row], percent: bool, start: float, end: float) -> Scale:
    every = [v for r in rows for v in (r.value, r.low, r.high) if v is not None]
    every = [v for v in every if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(every), max(every)
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    pad = 0.06 * (high - low)
    low, high = low - pad, high + pad
    return (
        Scale(max(low, 0.0), min(high, 1.0), start, end)
        if percent
        else Scale(low, high, start, end)
    )


def _dot(row: Row, x: Scale, y: float, percent: bool) -> list[str]:
    if row.value is None or not math.isfinite(row.value):
        return [svg.text(x.start + 4, y + 4.5, "no examples", "tick")]
    parts, told = [], f"{row.label}: {_value(row.value, percent)}"
    if row.low is not None and row.high is not None:
        told += f" ({_value(row.low, percent)} to {_value(row.high, percent)})"
        parts.append(svg.line(x(row.low), y, x(row.high), y, f"whisker {row.part}"))
        parts += [
            svg.line(x(e), y - 3.5, x(e), y + 3.5, f"whisker {row.part}")
            for e in (row.low, row.high)
        ]
    parts.append(svg.circle(x(row.value), y, 4.5, f"dot {row.part}"))
    parts.append(svg.rect(x.start, y - 10, x.end - x.start, 20, "hit", told))
    return parts


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
    """Validation loss over learning rates (log axis); the chosen one filled, × where diverged."""
    rungs = sorted((r for r in rungs if r.lr > 0), key=lambda r: r.lr)
    fine = [r for r in rungs if r.value is not None and math.isfinite(r.value) and not r.diverged]
    if not fine:
        return _nothing(name, title, desc, width)
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
    if r.diverged or r.value is None or not math.isfinite(r.value):
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


# ---- counts ---------------------------------------------------------------------------------


def bars(
    counts: Sequence[tuple[str, int]], *, name: str, title: str, desc: str, width: float = 356
) -> str:
    """Examples per class: named bars, or above 40 classes a sorted skyline without names."""
    if not counts:
        return _nothing(name, title, desc, width)
    most = max(1, *(n for _, n in counts))
    if len(counts) > 40:
        return _skyline(counts, most, name, title, desc, width)
    labels = [svg.shorten(label, 18) for label, _ in counts]
    left, row = 12 + 7.2 * max(map(len, labels)), 22.0
    x = Scale(0, most, left, width - 12 - 7.2 * len(f"{most:,}"))
    parts = []
    for i, ((full, n), label) in enumerate(zip(counts, labels, strict=True)):
        y = row * i + 4
        parts.append(
            svg.text(left - 8, y + 13.5, label, "label", "end", full if full != label else "")
        )
        parts.append(svg.rect(left, y + 3, x(n) - left, row - 8, "bar", f"{full}: {n:,}"))
        parts.append(svg.text(x(n) + 6, y + 13.5, f"{n:,}", "number"))
    return svg.document(name, width, row * len(counts) + 8, title, desc, parts)


def _skyline(
    counts: Sequence[tuple[str, int]], most: int, name: str, title: str, desc: str, width: float
) -> str:
    ordered = sorted(counts, key=lambda c: -c[1])
    y = Scale(0, most, 150, 10)
    step = (width - 54) / len(ordered)
    parts = [svg.line(44, y(t), width - 10, y(t), "grid") for t in y.ticks(3)]
    parts += [svg.text(37, y(t) + 4, f"{t:,.0f}", "tick", "end") for t in y.ticks(3)]
    for i, (label, n) in enumerate(ordered):
        gap = 1 if step > 3 else 0
        parts.append(
            svg.rect(44 + i * step, y(n), step - gap, 150 - y(n), "bar", f"{label}: {n:,}")
        )
    words = f"{len(ordered)} classes, most frequent first"
    parts.append(svg.text(width - 10, 168, words, "tick", "end"))
    return svg.document(name, width, 176, title, desc, parts)


# ---- confusion ------------------------------------------------------------------------------


def confusion(
    table: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    name: str,
    title: str,
    desc: str,
    width: float = 420,
) -> str:
    """A heat map: rows true, columns said; shade = share of the row; counts up to 30 classes."""
    size = len(classes)
    if size == 0 or len(table) != size:
        return _nothing(name, title, desc, width)
    named = size <= 30
    labels = [svg.shorten(c, 12) for c in classes] if named else []
    longest = max(map(len, labels), default=0)
    turned = named and longest > 3
    left = 30 + 6.6 * longest if named else 30.0
    top = (24 + 4.7 * longest if turned else 36.0) if named else 22.0
    cell = min((width - left - 6) / size, 44.0)
    right = left + cell * size
    parts = [
        svg.text(left, 12, "said by the network →", "tick"),
        svg.text(12, top + 2, "true class →", "tick", "end", turn=-90),
    ]
    for i, label in enumerate(labels):
        middle = cell * (i + 0.5)
        parts.append(svg.text(left - 6, top + middle + 4, label, "label", "end", _full(classes[i])))
        if turned:
            parts.append(svg.text(left + middle, top - 6, label, "label", turn=-40))
        else:
            parts.append(svg.text(left + middle, top - 7, label, "label", "middle"))
    for i, row in enumerate(table):
        parts += _cells(i, row, classes, left, top, cell, named)
    overhang = 4.7 * longest if turned else 0
    return svg.document(
        name, max(right + 4 + overhang, 180), top + cell * size + 6, title, desc, parts
    )


def _full(label: str) -> str:
    return label if len(label) > 12 else ""


def _cells(
    i: int,
    row: Sequence[int],
    classes: Sequence[str],
    left: float,
    top: float,
    cell: float,
    named: bool,
) -> list[str]:
    """One row of the heat map. Right answers and errors have their own colour."""
    parts, total = [], max(sum(row), 1)
    gap = 1.0 if cell > 6 else 0.0
    y = top + cell * i
    parts.append(svg.rect(left, y, cell * len(row) - gap, cell - gap, "empty"))
    for j, n in enumerate(row):
        if n == 0:
            continue
        share = n / total
        ink = 0.12 + 0.88 * (share if i == j else math.sqrt(share))
        x, css = left + cell * j, "right" if i == j else "wrong"
        told = f"{classes[i]} said to be {classes[j]}: {n:,} of {sum(row):,} ({100 * share:.1f} %)"
        parts.append(svg.rect(x, y, cell - gap, cell - gap, css, told, opacity=ink))
        if named and cell >= 13:
            size = "count small" if len(str(n)) * 7.5 > cell - 4 else "count"
            css = f"{size} on" if ink > 0.55 else size
            parts.append(svg.text(x + (cell - gap) / 2, y + cell / 2 + 3.5, str(n), css, "middle"))
    return parts


# ---- pictures -------------------------------------------------------------------------------


def thumbnails(images: npt.NDArray[np.uint8], columns: int = 10, side: int = 64) -> str:
    """A contact sheet of pictures (N, C, H, W) as the data URI of one PNG.

    C = 1 (grey), 3 (RGB) or 4 (RGBA); larger pictures are reduced to `side` pixels. The gaps
    and the unused end of the last row are transparent.

    >>> thumbnails(np.zeros((3, 1, 8, 8), np.uint8))[:22]
    'data:image/png;base64,'
    """
    from PIL import Image

    if images.ndim != 4 or images.shape[1] not in (1, 3, 4) or 0 in images.shape:
        raise ValueError(f"pictures must be (N, 1 or 3 or 4, H, W), got {images.shape}")
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    count, channels, height, width = images.shape
    shrink = min(1.0, side / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    gap = max(1, round(max(size) / 16))
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    sheet = Image.new("RGBA", (columns * (size[0] + gap), rows * (size[1] + gap)), (0, 0, 0, 0))
    for i, picture in enumerate(np.ascontiguousarray(images, dtype=np.uint8)):
        pixels = picture[0] if channels == 1 else picture.transpose(1, 2, 0)
        tile = Image.fromarray(np.ascontiguousarray(pixels)).convert(modes[channels])
        if tile.size != size:
            tile = tile.resize(size, Image.Resampling.LANCZOS)
        place = ((i % columns) * (size[0] + gap), (i // columns) * (size[1] + gap))
        sheet.paste(tile, place)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
