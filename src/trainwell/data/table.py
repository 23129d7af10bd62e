"""Tables (CSV, Parquet, DataFrame) as a float matrix with labels."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import Store, chunks, converted, each_column
from trainwell.data.columns import (
    FloatArray,
    as_known,
    date_note,
    encode_column,
    infer_column,
    to_words,
)
from trainwell.data.dataset import (
    Column,
    Dataset,
    IntArray,
    NewData,
    Precision,
    TableSchema,
)
from trainwell.data.rows import Rows, load_rows
from trainwell.data.target import choose_target, class_order, encode_labels, find_column
from trainwell.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

# A column of words is free text or a name tag where more than this share of its values differ.
NEAR_UNIQUE, FEW_WORDS = 0.5, 10
COUNTER_ROWS = 20  # a column that counts 1, 2, 3, ... over so many rows is a row number


def read_table(
    source: Path | pd.DataFrame,
    *,
    target: str | None = None,
    group: str | None = None,
    name: str | None = None,
) -> Dataset:
    """A labelled table; every column but target and group is an input.

    Inputs are float32 (N, D), or float64 where float32 would make different values equal.
    Raises DataError for a file that cannot be parsed, a target that cannot be found or is no
    class, a value of the wrong type, an infinite number, or a table without usable inputs.
    """
    rows = load_rows(source, name or "DataFrame")
    notes = list(rows.notes)
    if target is None:
        kept = rows.frame.drop(columns=[find_column(rows, group, "--group")] if group else [])
        target, note = choose_target(Rows(rows.name, kept, rows.numbers, rows.word))
        notes.append(note)
    target = find_column(rows, target, "--target")
    labels, classes = encode_labels(rows.frame[target], f'column "{target}"', rows.name, rows.place)
    notes += _alike(classes)
    groups: IntArray | None = None
    group_names: tuple[str, ...] = ()
    ignored: list[str] = []
    if group is not None:
        group = find_column(rows, group, "--group")
        groups, group_names = _read_groups(rows, group, target)
        ignored.append(group)
    columns, left_out = _choose_columns(rows, {target, *ignored})
    ignored += [column for column, _ in left_out]
    notes += [f'Column "{column}" is left out: {why}.' for column, why in left_out]
    notes += [note for c in columns if (note := date_note(rows.frame[c.name], c))]
    commas = tuple(c.name for c in columns if c.name in rows.comma_columns)
    schema = TableSchema(columns, target, ignored=tuple(ignored), comma_columns=commas)
    inputs = narrowed(_matrix(rows, schema)[0])
    return Dataset(
        name=name or rows.name,
        schema=replace(schema, precision=precision_of(inputs)),
        inputs=inputs,
        labels=labels,
        classes=classes,
        names=rows.places(),
        groups=groups,
        group_names=group_names,
        notes=tuple(notes),
    )


def _alike(classes: tuple[str, ...]) -> list[str]:
    """A note for each two classes whose names differ in case, or in how letters are composed."""
    alike = {name: normalize("NFKC", name).casefold() for name in classes}
    return [
        f'The classes "{one}" and "{two}" differ in nothing but '
        + ("case." if one.casefold() == two.casefold() else "the way their letters are written.")
        for one, two in pairwise(sorted(classes, key=lambda name: (alike[name], name)))
        if alike[one] == alike[two]
    ]


def _read_groups(rows: Rows, group: str, target: str) -> tuple[IntArray, tuple[str, ...]]:
    if group == target:
        raise DataError(f"--group {group}", "is the column of the labels", "Name another column.")
    words = to_words(rows.frame[group])
    missing = [row for row, word in enumerate(words) if word is None]
    if missing:
        raise DataError(
            f'{rows.place(missing[0])}, column "{group}"',
            f"expected a group in every row, got none in {len(missing)} of {len(words)}",
            "Fill the groups in, or remove these rows.",
        )
    names = class_order(set(words.tolist()))
    numbers = {word: number for number, word in enumerate(names)}
    return np.array([numbers[word] for word in words], np.int64), names


def _choose_columns(
    rows: Rows, taken: set[str]
) -> tuple[tuple[Column, ...], list[tuple[str, str]]]:
    """The columns that can be learned from, and the others with the reason."""
    columns, left_out = [], []
    for name in map(str, rows.frame.columns):
        if name in taken:
            continue
        series = rows.frame[name]
        column = infer_column(series, name, rows)
        why = _useless(series, column)
        if why:
            left_out.append((name, why))
        else:
            columns.append(column)
    if not columns:
        reasons = "; ".join(f'"{name}": {why}' for name, why in left_out[:5])
        raise DataError(
            rows.name,
            "expected at least one column to learn from, got none"
            + (f" ({reasons})" if reasons else ""),
            "Add columns that describe the rows.",
        )
    return tuple(columns), left_out


def _useless(series: pd.Series[Any], column: Column) -> str:
    """Why nothing can be learned from a column, or an empty string."""
    if column.type == "category":
        values = list(to_words(series))
        known = [word for word in values if word is not None]
        distinct = len(column.levels)
        if distinct >= FEW_WORDS and distinct > NEAR_UNIQUE * len(known):
            return f"{distinct} different words in {len(known)} rows, a name or free text"
        if distinct == 0:
            return "it holds no value"
        return "it holds one value only" if distinct == 1 and len(known) == len(values) else ""
    known_series = series.dropna()
    if not len(known_series):
        return "it holds no value"
    if len(known_series) == len(series) and known_series.nunique() == 1:
        return "it holds one value only"
    whole = len(known_series) == len(series) and series.dtype.kind in "iu"
    if column.type == "number" and whole and len(series) >= COUNTER_ROWS:
        counted = np.diff(series.to_numpy(np.float64))
        if (counted == 1).all():
            return "it counts the rows"
    return ""


def _matrix(rows: Rows, schema: TableSchema) -> tuple[FloatArray, dict[str, IntArray]]:
    """The input matrix (N, D) of a table, and the rows with an unknown word, by column."""
    parts: list[FloatArray] = []
    unknown: dict[str, IntArray] = {}
    for column in schema.columns:
        values, new = encode_column(rows.frame[column.name], column, rows)
        parts.append(values)
        if len(new):
            unknown[column.name] = new
    return np.concatenate(parts, axis=1), unknown


def _unknown_note(rows: Rows, column: str, where: IntArray) -> str:
    """Which words of a column training did not know."""
    new = sorted(set(to_words(rows.frame[column].iloc[where])))
    shown = ", ".join(f'"{word}"' for word in new[:3]) + (", ..." if len(new) > 3 else "")
    return f'Column "{column}": {shown} did not occur in training; taken as missing.'


def narrowed(inputs: npt.NDArray[Any], limit: int | None = None) -> npt.NDArray[Any]:
    """The matrix (N, D) as float32, or float64 where that would lose what tells values apart.

    A column is lost in float32 when numbers overflow, when any of few different values become
    equal, or when more than a tenth of many do (account numbers, times in nanoseconds).
    limit: bytes up to which a converted matrix is held in memory (None: chosen).

    >>> narrowed(np.array([[0.1], [0.2]])).dtype
    dtype('float32')
    >>> narrowed(np.array([[1e12], [1e12 + 1]])).dtype
    dtype('float64')
    """
    if inputs.dtype == np.float32:
        return inputs
    lossy = any(_is_lost(column.astype(np.float64)) for column in each_column(inputs))
    return converted(inputs, np.float64 if lossy else np.float32, limit)


def _is_lost(column: FloatArray) -> bool:
    """Whether float32 would make different values of a float64 column (N,) equal."""
    with np.errstate(over="ignore"):
        narrow = column.astype(np.float32)
    if np.isinf(narrow).any():
        return True
    # Whole numbers up to 2^24 are exact, which spares the two sorts of most columns.
    if np.array_equal(column, narrow, equal_nan=True):
        return False
    different = np.unique(column)
    lost = len(different) - len(np.unique(different.astype(np.float32)))
    return lost > (0.1 * len(different) if len(different) > 1000 else 0)


def precision_of(inputs: npt.NDArray[Any]) -> Precision:
    """The type of narrowed inputs, as the schema keeps it."""
    return "float32" if inputs.dtype == np.float32 else "float64"


def with_precision(
    inputs: npt.NDArray[Any], schema: TableSchema, place: Callable[[int], str]
) -> npt.NDArray[Any]:
    """New rows (N, D) in the precision of training, so that no row depends on its neighbours.

    Raises DataError for a number that is too large for it; place: where a row stands.
    """
    taken = Store(inputs.shape[1:], schema.precision, len(inputs))
    for chunk in chunks(inputs):
        with np.errstate(over="ignore"):
            values = chunk.astype(schema.precision)
        lost = np.argwhere(np.isinf(values))
        if len(lost):
            row, column = lost[0]
            raise DataError(
                f'{place(taken.count + row)}, column "{schema.features[column].name}"',
                f"expected a number of the size of those in training, got {chunk[row, column]}",
                "Correct the cell, or leave it empty if the value is not known.",
            )
        taken.append(values)
    return taken.array()


def read_table_like(
    source: Path | pd.DataFrame,
    schema: TableSchema,
    classes: Collection[str] = (),
    group: str | None = None,
) -> NewData:
    """Rows to predict, in the columns a model was trained on; their order does not matter.

    classes: names of the classes; group: a column of groups that is read where it is there.
    Raises DataError for missing columns, columns that were not there in training, and values
    of the wrong type. The target and columns left out in training may be there or not.
    """
    words = text_columns(schema)
    rows = load_rows(source, text=words, commas=schema.comma_columns, one_will_do=True)
    return rows_like(rows, schema, classes, group)


def text_columns(schema: TableSchema) -> list[str]:
    """Columns of new files that are words whatever they look like."""
    words = [column.name for column in schema.columns if column.type == "category"]
    return [*words, schema.target, *schema.ignored]


def rows_like(
    rows: Rows, schema: TableSchema, classes: Collection[str] = (), group: str | None = None
) -> NewData:
    """The same for rows that were read already."""
    names = set(map(str, rows.frame.columns))
    wanted = [column.name for column in schema.columns]
    missing = [name for name in wanted if name not in names]
    extra = sorted(names - {*wanted, *schema.ignored, schema.target})
    if missing:
        hint = did_you_mean(missing[0], extra) if extra else ""
        raise DataError(
            rows.name,
            f"expected the {len(wanted)} columns of the training data, got a table without "
            f"{_quoted(missing)}",
            f"Add the missing columns (cells may be empty). {hint}".strip(),
        )
    if extra:
        raise DataError(
            rows.name,
            f"expected the {len(wanted)} columns of the training data, got also {_quoted(extra)}",
            "Remove or rename these columns.",
        )
    inputs, unknown = _matrix(rows, schema)
    columns: list[list[str]] = [[] for _ in range(len(inputs))]
    for name, where in unknown.items():
        for row in where.tolist():
            columns[row].append(name)
    labels = _words_like(rows, schema.target, classes) if schema.target in names else None
    return NewData(
        inputs=with_precision(inputs, schema, rows.place),
        names=rows.places(),
        labels=labels,
        notes=(*rows.notes, *(_unknown_note(rows, *found) for found in unknown.items())),
        groups=_groups_like(rows, group),
        unknown=tuple(", ".join(found) for found in columns) if unknown else None,
    )


def _words_like(rows: Rows, column: str, known: Collection[str]) -> tuple[str, ...] | None:
    """Labels or groups of new rows, "" where a row has none; None where no row has one."""
    found = as_known(to_words(rows.frame[column]), known)
    words = ["" if word is None else word for word in found]
    return tuple(words) if any(words) else None


def _groups_like(rows: Rows, group: str | None) -> tuple[str, ...] | None:
    """The column of groups in words, None where there is no such column or nothing in it."""
    names = list(map(str, rows.frame.columns))
    if group is None or group.lower() not in map(str.lower, names):
        return None
    return _words_like(rows, find_column(rows, group, "--group"), ())


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{n}"' for n in names[:10]) + (", ..." if len(names) > 10 else "")
