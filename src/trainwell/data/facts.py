"""Facts about a data set, counted and not judged: sizes, missing cells, repeated rows."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import Dataset, IntArray

TOP_COLUMNS = 10
_CHUNK = 1 << 22  # bytes of rows that are made comparable at a time


def row_keys(inputs: npt.NDArray[Any]) -> IntArray:
    """A number per row, (N,): equal where the rows (N, ...) are equal, and only there.

    Rows are numbered in the order they first appear. NaN equals NaN, and −0.0 equals 0.0.
    Rows are told apart by a hash of 128 bits, so that no copy of them has to be kept: that two
    of a billion different rows share one has a chance below 1e-20.

    >>> row_keys(np.array([[0.0, np.nan], [1.0, 2.0], [-0.0, np.nan]])).tolist()
    [0, 1, 0]
    """
    if inputs.size == 0:
        return np.zeros(len(inputs), np.int64)
    width = inputs[0].size * inputs.itemsize
    step = max(1, _CHUNK // width)
    blake, seen = hashlib.blake2b, dict[bytes, int]()
    keys = np.empty(len(inputs), np.int64)
    for first in range(0, len(inputs), step):
        rows = np.ascontiguousarray(inputs[first : first + step])
        if rows.dtype.kind == "f":
            # One bit pattern for every NaN, and one for both zeros.
            rows = np.where(np.isnan(rows), rows.dtype.type(np.nan), rows) + rows.dtype.type(0)
        data = rows.reshape(-1).view(np.uint8).data
        keys[first : first + step] = [
            seen.setdefault(blake(data[at : at + width], digest_size=16).digest(), len(seen))
            for at in range(0, len(data), width)
        ]
    return keys


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
        constant = int((pixels.min(axis=0) == pixels.max(axis=0)).sum()) if len(dataset) else 0
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
        low, high = float(np.fmin.reduce(inputs, None)), float(np.fmax.reduce(inputs, None))
        return None if np.isnan(low) else [low, high]
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
