"""Data to predict that may be more than fits into memory, read piece by piece.

Each piece is what `read_like` would give for these rows or files alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.data.dataset import AudioSchema, ImageSchema, NewData, Schema, TableSchema
from trainwell.data.dialect import text_pieces, without_remarks
from trainwell.data.folders import nothing_left
from trainwell.data.like import files_like, labels_of, read_like
from trainwell.data.npyfile import is_array_folder
from trainwell.data.rows import (
    PARQUET_SUFFIXES,
    Dialect,
    Rows,
    find_dialect,
    is_table_file,
    named_columns,
    parse_csv,
)
from trainwell.data.samples import find_sample
from trainwell.data.sources import ARRAY_SUFFIXES
from trainwell.data.table import rows_like, text_columns
from trainwell.errors import DataError

CHARACTERS = 4 << 20  # of a CSV file that are read at once
ROWS = 1 << 14  # of a table or an array that are handed on together
FILES = 1024  # pictures or clips
PACKED = 5  # how much longer a packed table is than its file, for the progress bar: a guess


@dataclass(frozen=True, eq=False)
class Piece:
    """Some of the data, in their order, and the share that is done with them."""

    new: NewData
    share: float


def pieces_like(source: Any, schema: Schema, classes: tuple[str, ...]) -> Iterator[Piece]:
    """The examples of a source that `read_like` takes, piece by piece.

    Raises DataError as `read_like` does, at the latest where the mistake lies: pieces before have
    been given by then.
    """
    path = Path(source) if isinstance(source, str | Path) else None
    if path is None or (not path.exists() and find_sample(str(source))):
        yield from _sliced(read_like(source, schema, classes))
    elif isinstance(schema, TableSchema) and path.is_file() and is_table_file(path):
        yield from _tables(path, schema, classes)
    elif not isinstance(schema, TableSchema) and path.exists() and not _holds_arrays(path):
        yield from _files(path, schema, classes)
    else:
        yield from _sliced(read_like(source, schema, classes))


def _holds_arrays(path: Path) -> bool:
    return is_array_folder(path) if path.is_dir() else path.suffix.lower() in ARRAY_SUFFIXES


def _sliced(new: NewData, since: float = 0.0, until: float = 1.0) -> Iterator[Piece]:
    """What was read at once (arrays lie in a mapped file where they are large), by some rows.

    since, until: the share that is done before and behind it.
    """
    count = len(new.inputs)
    for start in range(0, count, ROWS):
        stop = min(start + ROWS, count)
        some = replace(
            new,
            inputs=new.inputs[start:stop],
            names=new.names[start:stop],
            labels=None if new.labels is None else new.labels[start:stop],
            skipped=new.skipped if stop == count else (),
            notes=new.notes if stop == count else (),
            groups=None,
            unknown=None if new.unknown is None else new.unknown[start:stop],
        )
        yield Piece(some, since + (until - since) * stop / count)


def _tables(path: Path, schema: TableSchema, classes: tuple[str, ...]) -> Iterator[Piece]:
    done = 0.0
    for rows, share in _table_rows(path, schema):
        if len(rows.frame):
            yield from _sliced(rows_like(rows, schema, classes), done, share)
            done = share
    if not done:
        raise DataError(path.name, "expected rows of data, got none", "Name another file.")


def _table_rows(path: Path, schema: TableSchema) -> Iterator[tuple[Rows, float]]:
    """The rows of a table file by pieces, and the share that is done with each."""
    if path.name.lower().endswith(PARQUET_SUFFIXES):
        yield from _parquet_rows(path)
        return
    words, commas = text_columns(schema), schema.comma_columns
    dialect: Dialect | None = None
    packed = PACKED if path.name.lower().endswith(".gz") else 1
    before, done, size = 0, 0, packed * path.stat().st_size
    for text in text_pieces(path, CHARACTERS):
        whole, lines = text, text.count("\n")
        if dialect is None:
            text = without_remarks(text)
            if not text.strip():
                before += lines
                continue
            dialect = find_dialect(text, path.name, one_will_do=True)
        done += len(whole)
        last = len(whole) < CHARACTERS
        share = 1.0 if last else min(0.99, done / size)
        if text.strip():
            rows = parse_csv(text, path.name, dialect, words, commas, before)
            yield named_columns(rows), share
        before += lines
    if dialect is None:
        raise DataError(str(path), "expected a table, got an empty file", "Name another file.")


def _parquet_rows(path: Path) -> Iterator[tuple[Rows, float]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            start, count = 0, max(1, file.metadata.num_rows)
            for batch in file.iter_batches(ROWS):
                frame = batch.to_pandas().reset_index(drop=True)
                rows = Rows(path.name, frame, np.arange(start, start + len(frame)))
                start += len(frame)
                yield named_columns(rows), start / count
    except (ArrowException, OSError, ValueError, NotImplementedError) as error:
        problem = f"cannot be read as a Parquet file ({error})"
        todo = "Write the file again, or save the table as CSV."
        raise DataError(str(path), problem, todo) from error


def _files(
    path: Path, schema: ImageSchema | AudioSchema, classes: tuple[str, ...]
) -> Iterator[Piece]:
    """Pictures or clips, some files at a time."""
    from trainwell.data.audio import read_audio_like
    from trainwell.data.images import read_images_like

    files, names, other = files_like(path, schema)
    if len(files) <= FILES:
        yield from _sliced(read_like(path, schema, classes))
        return
    labels = dict(zip(names, labels_of(files, path, classes, None), strict=True))
    kept = 0
    for start in range(0, len(files), FILES):
        some = slice(start, start + FILES)
        if isinstance(schema, ImageSchema):
            new = read_images_like(files[some], names[some], schema, str(path), some=False)
        else:
            new = read_audio_like(files[some], names[some], schema, str(path), some=False)
        known = tuple(labels[name] for name in new.names)
        skipped = (*(other if not start else ()), *new.skipped)
        new = replace(new, labels=known if any(known) else None, skipped=skipped)
        kept += len(new.names)
        other = [*other, *new.skipped] if not kept else []
        yield Piece(new, min(1.0, (start + FILES) / len(files)))
    if not kept:
        raise nothing_left(path, other, schema.kind)
