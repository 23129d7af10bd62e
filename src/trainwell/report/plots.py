"""The pictures of the report: pure functions from numbers to SVG text (and one to a PNG).

Every picture takes a `name` that is unique in its page and a `width` in CSS pixels; text keeps
its size, so a page shows a narrower drawing on a phone instead of a shrunken one. Colours are
CSS classes: `train`, `val` and `test` for the parts, `muted` for what stands back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.report import svg
from trainwell.report.heat import heat
from trainwell.report.lines import (
    Part,
    Region,
    Rung,
    Series,
    Single,
    curves,
    ladder,
    nothing,
    value_words,
)
from trainwell.report.media import png_uri
from trainwell.report.svg import Scale

__all__ = [
    "Part",
    "Region",
    "Row",
    "Rung",
    "Series",
    "Single",
    "bars",
    "confusion",
    "curves",
    "heat",
    "intervals",
    "ladder",
    "recall",
    "thumbnails",
]


@dataclass(frozen=True)
class Row:
    """A dot with a whisker; ends that are None are not drawn. `note` stands on the right, and
    `mark`, the number of a finding, behind it."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    part: Part = "val"
    note: str = ""
    mark: str = ""


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
    letters: int | None = None,
) -> str:
    """One row per estimate: name, dot with whisker, number. The first row's interval is shaded.

    letters: of a name, at most; None: as suits the width.
    """
    if not rows:
        return nothing(name, title, desc, width)
    labels = [svg.shorten(r.label, letters or max(6, int(width / 26))) for r in rows]
    left = 14 + 7.2 * max(map(len, labels))
    edge = width - (24 if any(r.mark for r in rows) else 4)
    note = 8 + width - edge + 6.6 * max(len(r.note) for r in rows)
    x = _value_scale(_near(rows) if guide else rows, percent, left, width - 10 - note)
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
        parts.append(svg.text(edge, y + 4.5, row.note, "number", "end"))
        if row.mark:
            parts.append(svg.circle(width - 9, y, 7, "badge"))
            parts.append(svg.text(width - 9, y + 4, row.mark, "badge-number", "middle"))
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
        rows,
        name=name,
        title=title,
        desc=desc,
        width=width,
        row_height=22,
        guide=False,
        letters=int(width / 20),
    )


def _near(rows: Sequence[Row]) -> list[Row]:
    """The rows not far below the first and the best other one: they set the axis."""
    known = [r for r in rows if r.value is not None and r.low is not None and r.high is not None]
    if len(known) < 2:
        return list(rows)
    first, best = known[0], max(known[1:], key=lambda r: r.value or 0.0)
    low = min(first.low or 0.0, best.low or 0.0)
    span = max(max(first.high or 0.0, best.high or 0.0) - low, 0.02)
    return [r for r in rows if r.value is None or r.value > low - 2 * span]


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
    if row.value < x.low:
        return [svg.text(x.start, y + 4.5, "◂ far below", "tick")]
    parts, told = [], f"{row.label}: {value_words(row.value, percent)}"
    if row.low is not None and row.high is not None:
        told += f" ({value_words(row.low, percent)} to {value_words(row.high, percent)})"
        parts.append(svg.line(x(row.low), y, x(row.high), y, f"whisker {row.part}"))
        parts += [
            svg.line(x(e), y - 3.5, x(e), y + 3.5, f"whisker {row.part}")
            for e in (row.low, row.high)
        ]
    parts.append(svg.circle(x(row.value), y, 4.5, f"dot {row.part}"))
    parts.append(svg.rect(x.start, y - 10, x.end - x.start, 20, "hit", told))
    return parts


# ---- counts ---------------------------------------------------------------------------------


def bars(
    counts: Sequence[tuple[str, int]], *, name: str, title: str, desc: str, width: float = 356
) -> str:
    """Examples per class: named bars, or above 40 classes a sorted skyline without names."""
    if not counts:
        return nothing(name, title, desc, width)
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
        return nothing(name, title, desc, width)
    named = size <= 30
    # Names may be as long as leaves cells half of the width, or 44 pixels each; 80 pixels anyway.
    wanted = min(44.0, 0.5 * width / size) * (size - 0.5)
    most = max(80.0, min(190.0, (width - 30 - wanted) / 1.77))
    labels = [svg.fitted(c, most) for c in classes] if named else []
    longest = max(map(svg.width_of, labels), default=0.0)
    turned = named and longest > 30
    left = 26 + longest if named else 30.0
    top = (40 + 0.64 * longest if turned else 36.0) if named else 22.0
    overhang = 0.77 * longest if turned else 0.0  # of the last name, from the middle of its cell
    cell = min((width - left - 6 - overhang) / (size - 0.5 if turned else size), 44.0)
    cell = max(cell, 13.0) if named else cell
    right = left + cell * size
    parts = [
        svg.text(left, 12, "said by the network →", "tick"),
        svg.text(10, top + 2, "← true class", "tick", "end", turn=-90),
    ]
    for i, (full, label) in enumerate(zip(classes, labels, strict=False)):
        middle = cell * (i + 0.5)
        tip = full if label != full else ""
        parts.append(svg.text(left - 6, top + middle + 4, label, "label", "end", tip))
        if turned:
            parts.append(svg.text(left + middle, top - 6, label, "label", turn=-40))
        else:
            parts.append(svg.text(left + middle, top - 7, label, "label", "middle"))
    for i, row in enumerate(table):
        parts += _cells(i, row, classes, left, top, cell, named)
    whole = max(right + 4, right - cell / 2 + overhang + 6, 180)
    return svg.document(name, whole, top + cell * size + 6, title, desc, parts)


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


def thumbnails(
    images: npt.NDArray[np.uint8],
    columns: int = 10,
    side: int = 64,
    there: npt.NDArray[np.bool_] | None = None,
) -> str:
    """A contact sheet of pictures (N, C, H, W) as the data URI of one PNG.

    C = 1 (grey) or 3 (RGB), of more channels the first three; larger pictures are reduced to `side`
    pixels. The gaps, the unused end of the last row and the places of pictures that are not
    `there` (N,) are transparent.

    >>> thumbnails(np.zeros((3, 1, 8, 8), np.uint8))[:22]
    'data:image/png;base64,'
    """
    from PIL import Image

    if images.ndim != 4 or images.shape[1] not in (1, 2, 3, 4) or 0 in images.shape:
        raise ValueError(f"pictures must be (N, 1 to 4, H, W), got {images.shape}")
    images = images[:, : 1 if images.shape[1] < 3 else 3]  # what can be shown of other channels
    modes = {1: "L", 3: "RGB"}
    count, channels, height, width = images.shape
    shrink = min(1.0, side / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    gap = max(1, round(max(size) / 16))
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    sheet = Image.new("RGBA", (columns * (size[0] + gap), rows * (size[1] + gap)), (0, 0, 0, 0))
    for i, picture in enumerate(np.ascontiguousarray(images, dtype=np.uint8)):
        if there is not None and not there[i]:
            continue
        pixels = picture[0] if channels == 1 else picture.transpose(1, 2, 0)
        tile = Image.fromarray(np.ascontiguousarray(pixels)).convert(modes[channels])
        if tile.size != size:
            tile = tile.resize(size, Image.Resampling.LANCZOS)
        place = ((i % columns) * (size[0] + gap), (i // columns) * (size[1] + gap))
        sheet.paste(tile, place)
    return png_uri(sheet)
