"""Rows that may be more than fit into memory: read by chunks, kept in memory or in a file.

A file is mapped read-only: the system reads what is touched and may drop it again, so it takes
no memory that could run out. Everything that goes over all rows does so by `chunks`.
"""

from __future__ import annotations

import math
import mmap
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from trainwell.errors import DataError
from trainwell.files import cache_dir
from trainwell.memory import available_memory

Array = npt.NDArray[Any]
CHUNK_BYTES = 8 << 20  # of rows that are looked at together
COLUMN_BYTES = 64 << 20  # of columns that are gathered in one pass
READ_BYTES = 256 << 20  # stored arrays up to this size are read, larger ones are mapped ...
READ_SHARE = 8  # ... and so are those above 1/8 of the memory there is
KEEP_SHARE = 4  # what has to be decoded is kept in memory up to 1/4 of it, else in a file


def read_limit() -> int:
    """Bytes up to which a stored array is read into memory.

    Mapping costs nothing, but a mapped file must not be changed while it is in use; a small one
    had better be read.
    """
    return min(READ_BYTES, available_memory() // READ_SHARE)


def keep_limit() -> int:
    """Bytes up to which rows that have to be made (decoded, joined) are kept in memory."""
    return available_memory() // KEEP_SHARE


def chunk_rows(row_bytes: int, size: int = CHUNK_BYTES) -> int:
    """How many rows of `row_bytes` make a chunk of at most `size` bytes; at least 1.

    >>> chunk_rows(1 << 20), chunk_rows(1 << 30)
    (8, 1)
    """
    return max(1, size // max(1, row_bytes))


def chunks(rows: Array, size: int = CHUNK_BYTES) -> Iterator[Array]:
    """All rows (N, ...) in order, in views of at most `size` bytes (or one row)."""
    step = chunk_rows(_row_bytes(rows.shape[1:], rows.dtype), size)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
        release(rows)


def each_column(inputs: Array, rows: npt.NDArray[np.int64] | None = None) -> Iterator[Array]:
    """The columns (n,) of a table (N, D) one after another, of all rows or of some (n,).

    A pass over the table gathers as many columns as fit into `COLUMN_BYTES` (at least one).
    """
    count, width = len(inputs) if rows is None else len(rows), inputs.shape[1]
    step = chunk_rows(count * inputs.itemsize, COLUMN_BYTES)
    for first in range(0, width, step):
        block = np.empty((min(step, width - first), count), inputs.dtype)
        some = slice(first, first + step)
        at = chunk_rows(len(block) * inputs.itemsize)
        for start in range(0, count, at):
            stop = start + at
            block[:, start:stop] = inputs[
                slice(start, stop) if rows is None else rows[start:stop], some
            ].T
            release(inputs)
        yield from block


def release(rows: Array) -> None:
    """Forget the pages of a mapped file that were touched; other arrays stay as they are.

    They are read again when they are needed, mostly from the system's own cache. Otherwise
    the process would be counted as holding the whole file after one pass over it.
    """
    mapped = _map_of(rows)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def is_mapped(rows: Array) -> bool:
    """Whether the rows lie in a mapped file, or are a view of such rows."""
    return _map_of(rows) is not None


def _map_of(rows: Array) -> mmap.mmap | None:
    """The read-only map below an array; None for a map that may hold what no file holds."""
    base: object = rows
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) and memoryview(base).readonly else None


def map_file(
    file: IO[bytes], dtype: np.dtype[Any], offset: int, shape: tuple[int, ...], order: str = "C"
) -> Array:
    """An array in an open file, mapped read-only; the file may be closed afterwards."""
    if math.prod(shape) == 0:
        return np.empty(shape, dtype)
    column = order == "F"
    # A plain array: views of np.memmap are slow to make, and tensors do not take them as gladly.
    return np.memmap(file, dtype, "r", offset, shape, "F" if column else "C").view(np.ndarray)


def scratch_file(size: int) -> IO[bytes]:
    """An empty file for `size` bytes in the cache folder; it is gone when it is no longer used.

    The cache folder and not the one for temporary files, which on many systems lies in memory.
    Raises DataError when there is no room for it.
    """
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise _no_room(f"{size >> 20} MB are needed and {free >> 20} MB are free")
        return tempfile.TemporaryFile(dir=folder, prefix=".rows-")
    except OSError as error:
        raise _no_room(str(error)) from error


def _no_room(why: str) -> DataError:
    return DataError(
        str(cache_dir()),
        f"the data do not fit into memory, and cannot be put into this folder ({why})",
        "Make room there, name another folder in TRAINWELL_CACHE, or give less data.",
    )


class Store:
    """Rows (n, *shape) that come in chunks, `most` of them: held in memory, or in a scratch file.

    limit: bytes up to which they are held in memory; None: a share of the memory there is.

    >>> rows = Store((2,), np.uint8, most=3)
    >>> rows.append(np.array([[1, 2], [3, 4]], np.uint8))
    >>> rows.array().tolist()
    [[1, 2], [3, 4]]
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, most: int, limit: int | None = None
    ) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.count = 0
        size = most * _row_bytes(self.shape, self.dtype)
        large = size > (keep_limit() if limit is None else limit)
        self._file = scratch_file(size) if large else None
        self._held = np.empty((0 if large else most, *self.shape), self.dtype)

    def append(self, rows: Array) -> None:
        """Add rows (n, *shape); raises DataError when the disk is full."""
        if self._file is None:
            self._held[self.count : self.count + len(rows)] = rows
        else:
            try:
                # Written, not stored through a map: a full disk is then an error, not a crash.
                self._file.write(np.ascontiguousarray(rows, self.dtype).reshape(-1).data)
            except OSError as error:
                raise _no_room(str(error)) from error
        self.count += len(rows)

    def array(self) -> Array:
        """All rows; nothing can be added afterwards."""
        if self._file is None:
            return self._held[: self.count]
        with self._file as file:  # the map outlives it
            try:
                file.flush()
            except OSError as error:
                raise _no_room(str(error)) from error
            return map_file(file, self.dtype, 0, (self.count, *self.shape))


def joined(parts: Sequence[Array], limit: int | None = None) -> Array:
    """The rows of all parts, one after another; in a scratch file where they are too many.

    >>> joined([np.zeros((2, 1)), np.ones((1, 1))]).tolist()
    [[0.0], [0.0], [1.0]]
    """
    dtype = np.result_type(*parts)
    rows = Store(parts[0].shape[1:], dtype, sum(len(part) for part in parts), limit)
    for part in parts:
        for chunk in chunks(part):
            rows.append(chunk)
    return rows.array()


def converted(rows: Array, dtype: npt.DTypeLike, limit: int | None = None) -> Array:
    """The rows (N, ...) in another type, by chunks; those that have it already as they are."""
    if rows.dtype == np.dtype(dtype):
        return rows
    made = Store(rows.shape[1:], dtype, len(rows), limit)
    for chunk in chunks(rows):
        made.append(chunk.astype(dtype))
    return made.array()


def _row_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize
