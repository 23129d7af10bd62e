"""Facts about a data set, counted and not judged: sizes, missing cells, repeated rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import chunks
from trainwell.data.dataset import BoolArray, Dataset, IntArray

TOP_COLUMNS = 10


def repeats(keys: IntArray) -> int:
    """How many rows repeat an earlier one."""
    return len(keys) - len(np.unique(keys))


def conflicts(keys: IntArray, labels: IntArray) -> int:
    """How many rows have a twin (equal inputs) with another label."""
    if not len(keys):
        return 0
    low = np.full(keys.max() + 1, np.iinfo(np.int64).max)
    high = np.full(keys.max() + 1, -1)
    np.minimum.at(low, keys, labels)
    np.maximum.at(high, keys, labels)
    return int((low != high)[keys].sum())


def facts(dataset: Dataset) -> dict[str, Any]:
    """Everything countable about a data set, as plain data for a JSON file."""
    counts = dataset.counts
    present = counts[counts > 0]
    keys, ranges = dataset.keys, _ranges(dataset.inputs)
    found: dict[str, Any] = {
        "name": dataset.name,
        "kind": dataset.kind,
        "rows": len(dataset),
        "classes": dict(zip(dataset.classes, counts.tolist(), strict=True)),
        "imbalance": float(present.max() / present.min()) if len(present) else None,
        "features": int(np.prod(dataset.schema.shape)),
        "shape": list(dataset.schema.shape),
        "duplicates": repeats(keys),
        "conflicting_rows": conflicts(keys, dataset.labels),
        "range": ranges.whole,
        "skipped": len(dataset.skipped),
        "notes": list(dataset.notes),
    }
    if dataset.official_test is not None:
        test = dataset.official_test
        found["official_test_rows"] = int(test.sum())
        found["official_test_duplicates"] = int(np.isin(keys[test], keys[~test]).sum())
    if dataset.groups is not None:
        sizes = np.bincount(dataset.groups, minlength=len(dataset.group_names))
        found["groups"] = dict(zip(dataset.group_names, sizes.tolist(), strict=True))
    return found | _kind_facts(dataset, ranges)


@dataclass(frozen=True, eq=False)
class _Ranges:
    """Smallest and largest value and number of missing ones of every input, each (D,)."""

    low: npt.NDArray[Any]
    high: npt.NDArray[Any]
    missing: IntArray
    rows: int

    @property
    def constant(self) -> BoolArray:
        """Inputs that are the same in every row: one value, or missing everywhere."""
        one_value = (self.low == self.high) & (self.missing == 0)
        found: BoolArray = one_value | (self.missing == self.rows)
        return found

    @property
    def whole(self) -> list[float] | None:
        """Smallest and largest value of all inputs, missing ones aside; None: there is none."""
        if not len(self.low) or (self.missing == self.rows).all():
            return None
        return [np.fmin.reduce(self.low).item(), np.fmax.reduce(self.high).item()]


def _ranges(inputs: npt.NDArray[Any]) -> _Ranges:
    """One pass over the inputs (N, ...), chunk by chunk."""
    width = int(np.prod(inputs.shape[1:]))
    low = high = np.empty(0, inputs.dtype)
    missing = np.zeros(width, np.int64)
    for number, chunk in enumerate(chunks(inputs)):
        rows = chunk.reshape(len(chunk), width)
        least, most = np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)
        low = np.fmin(low, least) if number else least
        high = np.fmax(high, most) if number else most
        if rows.dtype.kind == "f":
            missing += np.isnan(rows).sum(axis=0)
    return _Ranges(low, high, missing, len(inputs))


def _kind_facts(dataset: Dataset, ranges: _Ranges) -> dict[str, Any]:
    """Facts that only a table, pictures or clips have."""
    schema = dataset.schema
    if schema.kind == "images":
        return {
            "picture": {
                "channels": schema.channels,
                "height": schema.height,
                "width": schema.width,
            },
            "constant_features": int(ranges.constant.sum()) if len(dataset) else 0,
        }
    if schema.kind == "audio":
        return {"clips": _clip_facts(dataset.inputs, schema.rate)}
    missing = ranges.missing
    order = np.argsort(-missing, kind="stable")[:TOP_COLUMNS]
    names = [feature.name for feature in schema.features]
    return {
        "missing_cells": int(missing.sum()),
        "missing": {names[j]: int(missing[j]) for j in order if missing[j]},
        "constant_features": [names[j] for j in np.flatnonzero(ranges.constant)],
    }


def _clip_facts(inputs: npt.NDArray[Any], rate: int) -> dict[str, Any]:
    """Rate, length, and how long the clips are without the zeros at their end."""
    samples = inputs.shape[1]
    ends = np.concatenate([_ends(chunk) for chunk in chunks(inputs)] or [np.zeros(0, np.int64)])
    seconds = ends / rate
    return {
        "rate": rate,
        "samples": samples,
        "seconds": samples / rate,
        "shortest_seconds": float(seconds.min()) if len(seconds) else None,
        "median_seconds": float(np.median(seconds)) if len(seconds) else None,
        "longest_seconds": float(seconds.max()) if len(seconds) else None,
        "silent": int((ends == 0).sum()),
    }


def _ends(clips: npt.NDArray[Any]) -> IntArray:
    """Samples of each clip (n, T) up to the last that is not zero, (n,)."""
    sounding = clips != 0
    last = clips.shape[1] - np.argmax(sounding[:, ::-1], axis=1)
    return np.where(sounding.any(axis=1), last, 0).astype(np.int64)
