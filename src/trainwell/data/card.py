"""What a person wants to see of the data: each column in a line, a few rows, the first repeats.

Shapes: N rows, D columns of the input matrix.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import chunks
from trainwell.data.dataset import DATE_PARTS, Column, Dataset, IntArray, TableSchema

MOST_COLUMNS = 300  # that are told one by one
EXAMPLES = 3  # rows that are shown
LEVELS = 4  # levels of a column that are named, the most frequent ones
REPEATS = 5  # pairs of equal rows that are named
BOOLEAN = ("no", "yes")


def places(schema: TableSchema) -> list[tuple[Column, int]]:
    """Each column with the place of its values in the input matrix; of a date, of its days."""
    found, place = [], 0
    for column in schema.columns:
        found.append((column, place))
        place += len(DATE_PARTS) if column.type == "date" else 1
    return found


def levels_of(column: Column) -> tuple[str, ...]:
    """The words of a column that holds some, in the order of their codes; () for numbers."""
    if column.type == "category":
        return column.levels
    return BOOLEAN if column.type == "boolean" else ()


def cell_words(column: Column, value: float) -> str:
    """A value of the input matrix as a person writes it; a dash where it is missing.

    >>> cell_words(Column("c", "category", ("red", "blue")), 1.0)
    'blue'
    >>> cell_words(Column("d", "date"), 19000.0), cell_words(Column("x", "number"), math.nan)
    ('2022-01-08', '–')
    """
    if not math.isfinite(value):
        return "–"
    if column.type == "date":
        return str(np.datetime64(int(value), "D"))
    if levels := levels_of(column):
        return levels[int(value)] if 0 <= int(value) < len(levels) else "–"
    return f"{value:.6g}"


def column_table(data: Dataset, most: int = MOST_COLUMNS) -> list[dict[str, Any]]:
    """One entry per column of a table: type, range or levels, missing cells; [] for others.

    low, high: of numbers, and of dates as words; levels: how many words there are, with the most
    frequent ones and their rows in `frequent`.
    """
    if not isinstance(data.schema, TableSchema) or not len(data):
        return []
    found = places(data.schema)[:most]
    use = [place for _, place in found]
    low, high = np.full(len(use), np.inf), np.full(len(use), -np.inf)
    missing = np.zeros(len(use), np.int64)
    counts = [np.zeros(len(levels_of(column)), np.int64) for column, _ in found]
    for chunk in chunks(data.inputs):
        values = np.asarray(chunk[:, use], np.float64)
        known = np.isfinite(values)
        missing += (~known).sum(axis=0)
        low = np.minimum(low, np.where(known, values, np.inf).min(axis=0))
        high = np.maximum(high, np.where(known, values, -np.inf).max(axis=0))
        for j, count in enumerate(counts):
            if len(count):
                codes = values[known[:, j], j].astype(np.int64)
                count += np.bincount(codes, minlength=len(count))
    return [
        _column(column, float(low[j]), float(high[j]), int(missing[j]), counts[j])
        for j, (column, _) in enumerate(found)
    ]


def _column(
    column: Column, low: float, high: float, missing: int, counts: IntArray
) -> dict[str, Any]:
    told: dict[str, Any] = {"name": column.name, "type": column.type, "missing": missing}
    if len(counts):
        words = levels_of(column)
        order = np.argsort(-counts, kind="stable")[:LEVELS].tolist()
        frequent = {words[k]: int(counts[k]) for k in order if counts[k]}
        return told | {"levels": int((counts > 0).sum()), "frequent": frequent}
    if not math.isfinite(low):
        return told | {"low": None, "high": None}
    if column.type == "date":
        return told | {"low": cell_words(column, low), "high": cell_words(column, high)}
    return told | {"low": low, "high": high}


def example_rows(
    data: Dataset, among: IntArray, most: int = EXAMPLES, columns: int = MOST_COLUMNS
) -> list[dict[str, Any]]:
    """A few of the rows `among` (n,) of a table, in words: the first of each class, then others;
    [] for pictures and sound."""
    if not isinstance(data.schema, TableSchema):
        return []
    _, first = np.unique(data.labels[among], return_index=True)
    order = [*sorted(first.tolist()), *range(min(most, len(among)))]
    rows = among[list(dict.fromkeys(order))].tolist()
    found = places(data.schema)[:columns]
    return [
        {
            "where": str(data.names[row]),
            "label": data.classes[data.labels[row]],
            "values": [cell_words(c, float(data.inputs[row, place])) for c, place in found],
        }
        for row in rows[:most]
    ]


def first_repeats(data: Dataset, most: int = REPEATS) -> list[list[str]]:
    """The first rows that repeat an earlier one, each with the row that it repeats."""
    if not len(data):
        return []
    _, first, owner = np.unique(data.keys, return_index=True, return_inverse=True)
    earlier: npt.NDArray[np.int64] = first[owner]
    again = np.flatnonzero(earlier != np.arange(len(data)))[:most]
    return [[str(data.names[int(earlier[r])]), str(data.names[int(r)])] for r in again]
