"""Layers against epochs: one row per layer, the darker the larger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from trainwell.report import svg
from trainwell.report.svg import Scale

Floats = npt.NDArray[np.float64]


def heat(
    labels: Sequence[str],
    values: Floats,
    shades: Floats,
    words: Sequence[Sequence[str]],
    *,
    name: str,
    title: str,
    desc: str,
    marks: Mapping[int, str] | None = None,
    width: float = 356,
) -> str:
    """One row per layer (L,), one column per epoch (E,), the first epoch is 0.

    values (L, E): nan is left empty; shades (L, E) in [0, 1]: how dark; words (L, E): what a
    pointer reads out; marks: numbers of findings by row, which is framed.
    """
    rows, columns = values.shape
    letters = max(map(len, labels), default=1)
    left, right, row = 14 + 6.6 * letters, width - 26, 20.0
    x = Scale(0, max(columns, 1), left, right)
    parts = []
    step = max(1, math.ceil(columns / 120))
    for i, label in enumerate(labels):
        y = 6 + row * i
        parts.append(svg.text(left - 8, y + 13.5, label, "label", "end"))
        for j in range(0, columns, step):
            if not math.isfinite(values[i, j]):
                continue
            wide = x(min(j + step, columns)) - x(j)
            parts.append(
                svg.rect(x(j), y + 1, wide, row - 2, "cell", words[i][j], 0.04 + 0.9 * shades[i, j])
            )
        if marks and i in marks:
            parts.append(svg.rect(left - 1, y, right - left + 2, row, "frame"))
            parts.append(svg.circle(right + 14, y + row / 2, 7, "badge"))
            parts.append(svg.text(right + 14, y + row / 2 + 4, marks[i], "badge-number", "middle"))
    bottom = 6 + row * rows
    for t in (t for t in x.ticks(5) if t == round(t) and t < columns):
        middle = (x(t) + x(t + 1)) / 2
        parts.append(svg.text(middle, bottom + 15, f"{t:.0f}", "tick", "middle"))
    parts.append(svg.text(right, bottom + 30, "epoch", "tick", "end"))
    return svg.document(name, width, bottom + 34, title, desc, parts)
