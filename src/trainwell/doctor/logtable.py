"""A log as a table of numbers: from delimited text, JSON records or TensorBoard's scalars.

A cell that is empty was not written at that time; a cell that says "nan" was, and tells that the
training came to an end there. The two are kept apart.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.doctor.tensorboard import Scalar
from trainwell.errors import UserError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_NAN = {"nan", "-nan", "+nan", "nan(ind)", "-nan(ind)", "1.#qnan", "-1.#ind"}
_MISSING = {"", "none", "null", "na", "n/a", "-", "?"}
_NUMBERS = 0.5  # of a column's cells must be numbers, or it is one of texts


@dataclass(frozen=True, eq=False)
class Table:
    """Columns by name, each (N,) with nan where a cell is missing or not a number.

    said: where a number or the word "nan" was written. bad: columns with cells that are neither,
    and how many. texts: columns of texts, as they are written; only they may name members.
    """

    values: Mapping[str, Floats]
    said: Mapping[str, Bools]
    bad: Mapping[str, int]
    texts: Mapping[str, Sequence[str]]
    form: str  # "CSV", "JSON", "TensorBoard"

    @property
    def rows(self) -> int:
        """How many rows."""
        return max((len(v) for v in self.values.values()), default=0)

    def take(self, chosen: Bools) -> Table:
        """The rows that are chosen."""
        places = np.flatnonzero(chosen)
        return Table(
            {n: v[chosen] for n, v in self.values.items()},
            {n: s[chosen] for n, s in self.said.items()},
            self.bad,
            {n: [t[int(i)] for i in places] for n, t in self.texts.items()},
            self.form,
        )


def read_text(path: Path) -> Table:
    """A file with a header and one row a line, or JSON records; raises UserError.

    Separators , ; tab and |, decimal commas where the separator is another, a byte-order mark,
    any line ends, and a last line that is cut off are understood.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        todo = "Give the file that the training wrote its history to."
        raise UserError(str(path), f"cannot be read ({error.strerror})", todo) from None
    if not raw.strip():
        raise UserError(str(path), "expected a log, the file is empty", "Train for an epoch first.")
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    if b"\0" in raw[:4096] and not wide:
        problem = "expected text (CSV, TSV or JSON), got bytes"
        raise UserError(str(path), problem, "Give the CSV file, or TensorBoard's event file.")
    text = raw.decode("utf-16" if wide else "utf-8-sig", "replace").lstrip("\r\n \t")
    if not text.strip():  # a mark of the encoding and nothing more
        raise UserError(str(path), "expected a log, the file is empty", "Train for an epoch first.")
    if text[0] in "[{":
        return from_records(_records(text, path))
    return _delimited(text, path)


def _records(text: str, path: Path) -> list[dict[str, Any]]:
    """A list of objects, one in a file of its own, or one a line; the last line may be cut off."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # also numbers of thousands of digits, and deep brackets
        lines = [line for line in text.splitlines() if line.strip()]
        found: list[Any] = []
        for number, line in enumerate(lines, 1):
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):
                if number == len(lines) and found:
                    break
                problem = "expected one JSON object a line"
                todo = "Write a list of objects, or one object a line."
                raise UserError(f"{path}, line {number}", problem, todo) from None
        value = found
    if isinstance(value, dict) and isinstance(value.get("log_history"), list):
        value = value["log_history"]  # trainer_state.json of Transformers
    if isinstance(value, dict):
        lists = {k: v for k, v in value.items() if isinstance(v, list)}
        long = max((len(v) for v in lists.values()), default=0)
        if long:  # Keras' History.history: lists by name
            value = [{k: v[i] for k, v in lists.items() if i < len(v)} for i in range(long)]
        else:
            value = [value]
    return [record for record in value if isinstance(record, dict)]


def from_records(records: Sequence[Mapping[str, Any]]) -> Table:
    """A table out of one mapping a row; only numbers and texts are kept."""
    names = list(dict.fromkeys(n for r in records for n in r))
    cells: dict[str, list[str]] = {}
    for name in names:
        column = [r.get(name) for r in records]
        if all(v is None or isinstance(v, int | float | str) for v in column):
            cells[name] = ["" if v is None else str(v) for v in column]
    return _table(cells, "JSON")


def _delimited(text: str, path: Path) -> Table:
    head = text.split("\n", 1)[0]
    separator = max(",;\t|", key=head.count)
    if not head.count(separator):
        separator = ","
    reader = csv.reader(io.StringIO(text.replace("\0", "")), delimiter=separator)
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        problem = f"line {reader.line_num} cannot be read as CSV ({error})"
        raise UserError(str(path), problem, "Mend or remove that line.") from None
    if not rows:
        raise UserError(str(path), "expected a log, the file is empty", "Train for an epoch first.")
    header = [name.strip().lstrip("# ") for name in rows[0]]
    if all(_number(name) is not None for name in header if name):
        problem = f'expected names of columns in the first line, got "{head.strip()[:60]}"'
        todo = "Put a header above the numbers, for instance epoch,train_loss,val_loss."
        raise UserError(str(path), problem, todo)
    body = [r for r in rows[1:] if r != rows[0]]  # appending writes the header a second time
    if not body:
        problem = "expected a row per epoch below the header, got none"
        raise UserError(str(path), problem, "Train for an epoch first.")
    cells = {
        name: [r[place].strip() if place < len(r) else "" for r in body]
        for place, name in enumerate(header)
        if name
    }
    if separator != ",":
        cells = {n: [c.replace(",", ".") for c in column] for n, column in cells.items()}
    return _table(cells, "CSV")


def _number(cell: str) -> float | None:
    try:
        return float(cell.rstrip("%"))
    except ValueError:
        return None


def _table(cells: Mapping[str, list[str]], form: str) -> Table:
    values, said, bad, texts = {}, {}, {}, {}
    for name, column in cells.items():
        try:  # the whole column at once, where nothing is wrong with it
            numbers = np.array(column, dtype=np.float64)
            told = np.ones(len(column), bool)
            wrong = 0
        except ValueError:
            numbers, told, wrong = _mixed(column)
        if wrong and wrong > _NUMBERS * (told.sum() + wrong):
            texts[name] = column
            continue
        if wrong:
            bad[name] = wrong
        values[name], said[name] = numbers, told
    return Table(values, said, bad, texts, form)


def _mixed(column: Sequence[str]) -> tuple[Floats, Bools, int]:
    numbers, told, wrong = np.full(len(column), np.nan), np.zeros(len(column), bool), 0
    for place, cell in enumerate(column):
        if cell.lower() in _MISSING:
            continue
        number = float("nan") if cell.lower() in _NAN else _number(cell)
        if number is None:
            wrong += 1
        else:
            numbers[place], told[place] = number, True
    return numbers, told, wrong


def from_scalars(found: Iterable[Scalar]) -> Table:
    """A sparse table: a row per step, a column per tag; a tag told twice at a step keeps the last.

    A resumed training goes back to an earlier step: what was written after it before is dropped.
    """
    log: dict[str, dict[int, float]] = {}
    for scalar in found:
        known = log.setdefault(scalar.tag, {})
        if known and scalar.step < next(reversed(known)):
            for step in [s for s in known if s >= scalar.step]:
                del known[step]
        known[scalar.step] = scalar.value
    steps = sorted({s for known in log.values() for s in known})
    place = {s: i for i, s in enumerate(steps)}
    values = {tag: np.full(len(steps), np.nan) for tag in log}
    said = {tag: np.zeros(len(steps), bool) for tag in log}
    for tag, known in log.items():
        at = [place[s] for s in known]
        values[tag][at], said[tag][at] = list(known.values()), True
    every = np.array(steps, np.float64)
    return Table(
        {"step": every} | values, {"step": np.ones(len(steps), bool)} | said, {}, {}, "TensorBoard"
    )
