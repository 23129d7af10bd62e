"""Facts about a data set, counted and not judged: sizes, missing cells, repeated rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import Dataset, IntArray

TOP_COLUMNS = 10


def row_keys(inputs: npt.NDArray[Any]) -> IntArray:
    """A number per row, (N,): equal exactly where the rows (N, ...) are equal.

    Rows are numbered in the order they first appear. NaN equals NaN, and −0.0 equals 0.0.

    >>> row_keys(np.array([[0.0, np.nan], [1.0, 2.0], [-0.0, np.nan]])).tolist()
    [0, 1, 0]
    """
    if inputs.size == 0:
        return np.zeros(len(inputs), np.int64)
    rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1)
    if rows.dtype.kind == "f":
        # One bit pattern for every NaN, and one for both zeros.
        rows = np.where(np.isnan(rows), rows.dtype.type(np.nan), rows) + rows.dtype.type(0)
    width = rows.shape[1] * rows.itemsize
    data = rows.tobytes()
    seen: dict[bytes, int] = {}
    keys = [
        seen.setdefault(data[start : start + width], len(seen))
        for start in range(0, len(data), width)
    ]
    return np.array(keys, np.int64)


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
    keys = row_keys(dataset.inputs)
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
        "range": _value_range(dataset.inputs),
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
    return found | _kind_facts(dataset)


def _kind_facts(dataset: Dataset) -> dict[str, Any]:
    """Facts that only a table, pictures or clips have."""
    schema = dataset.schema
    if schema.kind == "images":
        pixels = dataset.inputs.reshape(len(dataset), -1)
        constant = int((pixels == pixels[:1]).all(axis=0).sum()) if len(dataset) else 0
        return {
            "picture": {
                "channels": schema.channels,
                "height": schema.height,
                "width": schema.width,
            },
            "constant_features": constant,
        }
    if schema.kind == "audio":
        return {"clips": _clip_facts(dataset.inputs, schema.rate)}
    missing = np.isnan(dataset.inputs).sum(axis=0)
    order = np.argsort(-missing, kind="stable")[:TOP_COLUMNS]
    names = [feature.name for feature in schema.features]
    return {
        "missing_cells": int(missing.sum()),
        "missing": {names[j]: int(missing[j]) for j in order if missing[j]},
        "constant_features": [
            name
            for name, column in zip(names, dataset.inputs.T, strict=True)
            if len(np.unique(column)) <= 1
        ],
    }


def _value_range(inputs: npt.NDArray[Any]) -> list[float] | None:
    """Smallest and largest value, missing ones aside."""
    if inputs.size == 0:
        return None
    if inputs.dtype.kind == "f":
        known = inputs[~np.isnan(inputs)]
        return [float(known.min()), float(known.max())] if known.size else None
    return [int(inputs.min()), int(inputs.max())]


def _clip_facts(inputs: npt.NDArray[Any], rate: int) -> dict[str, Any]:
    """Rate, length, and how long the clips are without the zeros at their end."""
    samples = inputs.shape[1]
    sounding = inputs != 0
    ends = np.where(sounding.any(axis=1), samples - np.argmax(sounding[:, ::-1], axis=1), 0)
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
