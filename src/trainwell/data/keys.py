"""Which rows are exact duplicates: a number per row, equal where rows are equal."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import chunks

_CHUNK = 4 << 20  # bytes of rows that are made comparable at a time
IntArray = npt.NDArray[np.int64]


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
    return _numbered(row_hashes(inputs))


def row_hashes(inputs: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """The hash (N, 2) of every row (N, ...): it depends on nothing but the row itself."""
    blake, width, start = hashlib.blake2b, inputs[0].size * inputs.itemsize, 0
    hashes = np.empty((len(inputs), 2), np.uint64)
    for chunk in chunks(inputs, _CHUNK):
        rows = np.ascontiguousarray(chunk)
        if rows.dtype.kind == "f":
            # One bit pattern for every NaN, and one for both zeros.
            rows = np.where(np.isnan(rows), rows.dtype.type(np.nan), rows) + rows.dtype.type(0)
        data = rows.reshape(-1).view(np.uint8).data
        found = b"".join(
            blake(data[at : at + width], digest_size=16).digest()
            for at in range(0, len(data), width)
        )
        hashes[start : start + len(rows)] = np.frombuffer(found, np.uint64).reshape(-1, 2)
        start += len(rows)
    return hashes


def _numbered(hashes: npt.NDArray[np.uint64]) -> IntArray:
    """Numbers (N,) of the hashes (N, 2), in the order in which they first appear."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: equal ones as they appear
    ranked = hashes[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    number = np.argsort(np.argsort(order[begins])).astype(np.int64)
    keys = np.empty(len(order), np.int64)
    keys[order] = number[np.cumsum(begins) - 1]
    return keys
