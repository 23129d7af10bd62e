"""Rows of a CSV file in the form that an exported model takes; needs only numpy.

Stricter than trainwell's own reader: what it does not understand it refuses, and never guesses.
"""

from __future__ import annotations

import csv
import datetime
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

KIND = "table"
BATCH = 512
SHOWN = 3  # columns that are named for an unusual row
MISSING = {"", "na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "<na>", "?"}
TRUE, FALSE = {"true", "yes", "t", "y", "1"}, {"false", "no", "f", "n", "0"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


Batch = tuple[list[str], dict[str, Any], list[str] | None]  # names, inputs, what is unusual


def read(path: Path, card: dict[str, Any]) -> Iterator[Batch]:
    """Batches of row names, of inputs (`numbers` (b, n) and `words` (b, q)), of what is unusual."""
    if path.is_dir():
        raise SystemExit(f"{path}: expected a CSV file, got a folder")
    for names, inputs in _batches(path, card):
        yield names, inputs, unusual(inputs, card)


def _batches(path: Path, card: dict[str, Any]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    if path.suffix == ".npy":
        yield from _arrays(path, card)
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        delimiter = max(",;\t|", key=head.count)
        file.seek(0)
        rows = csv.DictReader(file, delimiter=delimiter, skipinitialspace=True)
        names = [name.strip() for name in rows.fieldnames or []]
        rows.fieldnames = names
        lacking = [c["name"] for c in card["schema"]["columns"] if c["name"] not in names]
        if lacking:
            raise SystemExit(f"{path}: the column {lacking[0]!r} of the training data is missing")
        batch: list[dict[str, Any]] = []
        places: list[str] = []
        for row in rows:
            batch.append(row)
            places.append(f"{path.name}, line {rows.line_num}")
            if len(batch) == BATCH:
                yield places, encoded(batch, places, card)
                batch, places = [], []
        if batch:
            yield places, encoded(batch, places, card)


def _arrays(path: Path, card: dict[str, Any]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """A table of numbers alone, (N, D) in the order of the training data."""
    if len(card["inputs"]) != 1 or card["inputs"][0]["name"] != "numbers":
        raise SystemExit(f"{path}: the model also takes words: give a CSV file")
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    for start in range(0, len(values), BATCH):
        some = np.array(values[start : start + BATCH], card["schema"]["precision"])
        yield [f"row {start + i}" for i in range(len(some))], {"numbers": some}


def unusual(inputs: dict[str, Any], card: dict[str, Any]) -> list[str] | None:
    """Columns of each row far outside of the training rows, or with a word that is new to all of
    them; "" where nothing is. None where the card does not hold the ranges."""
    ranges = card.get("ranges")
    if ranges is None:
        return None
    columns: list[list[str]] = [[] for _ in range(len(next(iter(inputs.values()))))]
    places = {entry["name"]: entry["columns"] for entry in card["inputs"]}
    low, high, step = (np.array(ranges[key], np.float64) for key in ("low", "high", "step"))
    if ranges["names"]:
        where = [places["numbers"].index(name) for name in ranges["names"]]
        values = inputs["numbers"][:, where].astype(np.float64)
        slack = step + 1e-6 * np.maximum(np.abs(low), np.abs(high))
        beyond = (values < low - slack) | (values > high + slack)
        for row in np.flatnonzero(beyond.any(axis=1)).tolist():
            names = [ranges["names"][i] for i in np.flatnonzero(beyond[row])]
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            columns[row].append(", ".join(names[:SHOWN]) + more)
    known = [c for c in card["schema"]["columns"] if c["type"] == "category"]
    for j, column in enumerate(known):
        new = ~np.isin(inputs["words"][:, j].astype(str), ["", *column["levels"]])
        for row in np.flatnonzero(new).tolist():
            columns[row].append(column["name"])
    return [", ".join(found) for found in columns]


def encoded(
    rows: list[dict[str, Any]], places: list[str], card: dict[str, Any]
) -> dict[str, np.ndarray[Any, Any]]:
    """Rows of cells by column name, as the model's inputs."""
    schema = card["schema"]
    numbers: list[list[float]] = []
    words: list[list[str]] = []
    for row, place in zip(rows, places, strict=True):
        found: list[float] = []
        said: list[str] = []
        for column in schema["columns"]:
            cell = (row.get(column["name"]) or "").strip()
            try:
                if column["type"] == "category":
                    said.append("" if cell.lower() in MISSING else _word(cell, column["levels"]))
                else:
                    comma = column["name"] in schema["comma_columns"]
                    found += _values(cell, column, comma)
            except ValueError as error:
                raise SystemExit(f"{place}, column {column['name']!r}: {error}") from None
        numbers.append(found)
        words.append(said)
    inputs: dict[str, np.ndarray[Any, Any]] = {}
    for entry in card["inputs"]:
        if entry["name"] == "numbers":
            inputs["numbers"] = np.array(numbers, entry["type"])
        else:
            inputs["words"] = np.array(words, object)
    return inputs


def _word(cell: str, levels: list[str]) -> str:
    """A word; where all that training knew were numbers, 007 and 7.0 are 7."""
    if cell in levels or not all(_typed(level) == level for level in levels):
        return cell
    return _typed(cell) or cell


def _typed(word: str) -> str | None:
    if word.lower() in ("true", "false"):
        return word.capitalize()
    if not NUMBER.fullmatch(word):
        return None
    value = float(word)
    return str(int(value)) if value.is_integer() else str(value)


def _values(cell: str, column: dict[str, Any], comma: bool) -> list[float]:
    """The one number of a cell, or the four of a date; NaN where it is missing."""
    if column["type"] == "date":
        return _date(cell, column["levels"][0] if column["levels"] else "ISO8601")
    if cell.lower() in MISSING:
        return [math.nan]
    if column["type"] == "boolean":
        if cell.lower() in TRUE | FALSE:
            return [float(cell.lower() in TRUE)]
        raise ValueError(f"expected yes or no, got {cell!r}")
    text = cell.replace(",", ".") if comma and re.fullmatch(r"[+-]?\d+,\d+", cell) else cell
    if not NUMBER.fullmatch(text):
        raise ValueError(f"expected a number, got {cell!r}; leave it empty if it is not known")
    return [float(text)]


def _date(cell: str, form: str) -> list[float]:
    """Days since 1970, month, weekday (Monday 0), hour with its fraction."""
    if cell.lower() in MISSING:
        return [math.nan] * 4
    if form == "ISO8601":
        time = datetime.datetime.fromisoformat(cell)
        if time.tzinfo is not None:
            time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    else:
        form += " %H:%M:%S" if cell.count(":") == 2 else " %H:%M" if ":" in cell else ""
        time = datetime.datetime.strptime(cell, form)
    days = (time - datetime.datetime(1970, 1, 1)).days
    return [float(days), float(time.month), float(time.weekday()), time.hour + time.minute / 60]
