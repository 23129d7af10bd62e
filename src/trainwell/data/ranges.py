"""What training rows look like in a few numbers, to tell new inputs that lie far outside of it.

A network answers everything, and mostly with confidence; an input unlike any it was trained on
deserves a word. This is a mark on single measures, no test of whether the answer is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import chunk_rows, each_column, release
from trainwell.data.dataset import BoolArray, ImageSchema, IntArray, Schema, TableSchema

Floats = npt.NDArray[np.float64]
SOME_ROWS = 1 << 15  # pictures or clips that are measured, evenly spread; quartiles of a table too
SHOWN = 3  # measures named for one input
PICTURES = ("brightness", "contrast", "detail", "colour")
CLIPS = ("loudness", "pitch", "silence")


@dataclass(frozen=True, eq=False)
class Ranges:
    """The range of each measure over the training rows, and the step beyond it that is still usual.

    names (S,); low, high, step (S,): an input is far outside where a measure lies below low - step
    or above high + step, with step the distance of the quartiles (half the range where that is 0).
    """

    names: tuple[str, ...]
    low: Floats
    high: Floats
    step: Floats

    def outside(self, schema: Schema, inputs: npt.NDArray[Any]) -> BoolArray:
        """Which measures (N, S) of inputs (N, *schema.shape) lie far outside; missing ones do not.

        >>> from trainwell.data.dataset import Column
        >>> schema = TableSchema((Column("a", "number"),), "y")
        >>> ranges = fit_ranges(schema, np.array([[0.0], [1.0], [2.0], [3.0]]), np.arange(4))
        >>> ranges.outside(schema, np.array([[4.0], [5.0], [np.nan]])).ravel().tolist()
        [False, True, False]
        """
        if isinstance(schema, TableSchema):
            places = {feature.name: j for j, feature in enumerate(schema.features)}
            found = inputs[:, [places[name] for name in self.names]].astype(np.float64)
        else:
            found = measured(schema, inputs)
        # Constant measures have no step; what rounding makes of them is no other value.
        slack = self.step + 1e-6 * np.maximum(np.abs(self.low), np.abs(self.high))
        beyond: BoolArray = (found < self.low - slack) | (found > self.high + slack)
        return beyond

    def words(self, outside: BoolArray) -> list[str]:
        """The names of the measures outside, for each input (N, S); "" for a usual one."""
        words = [""] * len(outside)
        for row in np.flatnonzero(outside.any(axis=1)).tolist():
            names = [self.names[s] for s in np.flatnonzero(outside[row])]
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            words[row] = ", ".join(names[:SHOWN]) + more
        return words

    def to_json(self) -> dict[str, Any]:
        """Plain data; `ranges_from_json` gives the value back."""
        numbers = {name: getattr(self, name).tolist() for name in ("low", "high", "step")}
        return {"names": list(self.names)} | numbers


def ranges_from_json(data: Mapping[str, Any] | None) -> Ranges | None:
    """The inverse; None for a model that was written without."""
    if data is None:
        return None
    low, high, step = (np.array(data[name], np.float64) for name in ("low", "high", "step"))
    return Ranges(tuple(data["names"]), low, high, step)


def fit_ranges(schema: Schema, inputs: npt.NDArray[Any], rows: IntArray) -> Ranges:
    """The ranges over the training `rows` of `inputs` (N, *schema.shape)."""
    if isinstance(schema, TableSchema):
        features = zip(schema.features, each_column(inputs, rows), strict=True)
        columns = [
            (f.name, column[~np.isnan(column)].astype(np.float64))
            for f, column in features
            if not f.levels
        ]
        kept = [(name, column) for name, column in columns if len(column)]
        return _ranges([name for name, _ in kept], [column for _, column in kept])
    some = rows[np.unique(np.linspace(0, len(rows) - 1, min(SOME_ROWS, len(rows)), dtype=int))]
    step, parts = chunk_rows(8 * int(np.prod(schema.shape))), []
    for start in range(0, len(some), step):
        parts.append(measured(schema, inputs[some[start : start + step]]))
        release(inputs)
    names = PICTURES if isinstance(schema, ImageSchema) else CLIPS
    return _ranges(names, list(np.concatenate(parts).T))


def _ranges(names: Sequence[str], columns: Sequence[Floats]) -> Ranges:
    low = np.array([column.min() for column in columns])
    high = np.array([column.max() for column in columns])
    thin = [column[:: -(-len(column) // SOME_ROWS)] for column in columns]
    quartiles = [np.diff(np.percentile(column, [25, 75]))[0] for column in thin]
    step = np.array(quartiles).reshape(-1)
    return Ranges(tuple(names), low, high, np.where(step > 0, step, (high - low) / 2))


def measured(schema: Schema, inputs: npt.NDArray[Any]) -> Floats:
    """Pictures (N, C, H, W) as PICTURES (N, 4), or clips (N, T) as CLIPS (N, 3)."""
    values = inputs.astype(np.float32)
    if isinstance(schema, ImageSchema):
        mean, spread = values.mean(axis=(1, 2, 3)), values.std(axis=(1, 2, 3))
        axes = [a for a in (2, 3) if values.shape[a] > 1]
        steps = [np.abs(np.diff(values, axis=a)).mean(axis=(1, 2, 3)) for a in axes]
        detail = np.mean(steps, axis=0) if steps else np.zeros(len(values))
        colour = values.mean(axis=(2, 3)).std(axis=1)
        return np.stack([mean, spread, detail, colour], axis=1).astype(np.float64)
    power = np.square(values).mean(axis=1)
    crossings = (values[:, 1:] * values[:, :-1] < 0).mean(axis=1)
    peak = np.abs(values).max(axis=1, keepdims=True)
    silent = (np.abs(values) <= 0.01 * peak).mean(axis=1)
    loudness = 10 * np.log10(power + 1.0)  # decibels above one step of the 65536
    return np.stack([loudness, crossings, silent], axis=1).astype(np.float64)
