"""A table as it was read, before its columns are understood: CSV, Parquet or DataFrame."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainwell.data.dataset import IntArray
from trainwell.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

PARQUET_SUFFIXES = (".parquet", ".pq")
CSV_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data", ".psv")
MISSING = frozenset({"", "na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "<na>", "?"})
# On a tie the later one wins: a comma may be a decimal comma, the others hardly occur in numbers.
DELIMITERS = (",", "|", ";", "\t")
_SAMPLE_LINES, _HEAD = 50, 1 << 20
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_REMARK = re.compile(r"(sep=.|#[^,;|\t\n]*)\n")
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True)
class Rows:
    """A pandas frame and where each of its rows stands.

    numbers: (N,) the line in the file (first line 1), or the row in the frame (first row 0).
    """

    name: str
    frame: pd.DataFrame
    numbers: IntArray
    word: str = "row"
    notes: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """Where a row stands, in words: "data.csv, line 17"."""
        return f"{self.name}, {self.word} {self.numbers[row]}"

    def places(self) -> tuple[str, ...]:
        """Where every row stands."""
        start = f"{self.name}, {self.word} "
        return tuple(start + str(number) for number in self.numbers.tolist())


def is_missing(word: str) -> bool:
    """Whether a word of a table stands for a missing value.

    >>> is_missing(" N/A "), is_missing("none")
    (True, False)
    """
    return word.strip().lower() in MISSING


def is_table_file(path: Path) -> bool:
    """Whether the file's name says that it is a table."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith((*CSV_SUFFIXES, *PARQUET_SUFFIXES))


def load_rows(source: Path | pd.DataFrame, name: str = "DataFrame") -> Rows:
    """A table from a file, or from a DataFrame called `name`.

    Raises DataError when the file cannot be parsed, has no rows, or has two columns of one name.
    """
    if not isinstance(source, Path):
        rows = Rows(name, source.reset_index(drop=True), np.arange(len(source)))
    elif source.name.lower().endswith(PARQUET_SUFFIXES):
        rows = _load_parquet(source)
    else:
        rows = _load_csv(source)
    rows = _named_columns(rows)
    if not len(rows.frame):
        raise DataError(rows.name, "expected rows of data, got none", "Name another file.")
    return rows


def _load_parquet(path: Path) -> Rows:
    import pandas as pd

    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError, NotImplementedError) as error:
        raise DataError(
            str(path),
            f"cannot be read as a Parquet file ({error})",
            "Write the file again, or save the table as CSV.",
        ) from error
    return Rows(path.name, frame.reset_index(drop=True), np.arange(len(frame)))


def _named_columns(rows: Rows) -> Rows:
    """The same rows with every column named by a word, no two alike."""
    names, notes = [], list(rows.notes)
    for position, name in enumerate(rows.frame.columns, 1):
        word = "_".join(map(str, name)) if isinstance(name, tuple) else str(name).strip()
        if not word or word == "nan":
            notes.append(f'Column {position} has no name and is called "column {position}".')
            word = f"column {position}"
        names.append(word)
    for name, count in Counter(names).items():
        if count > 1:
            positions = [str(i) for i, other in enumerate(names, 1) if other == name]
            raise DataError(
                rows.name,
                f'expected every column to have its own name, got "{name}" for the columns '
                f"{', '.join(positions)}",
                "Rename or remove all but one of them.",
            )
    return Rows(rows.name, rows.frame.set_axis(names, axis=1), rows.numbers, rows.word, (*notes,))


def read_text(path: Path) -> str:
    """The text of a file (gzip or not) in UTF-8, UTF-16 with its mark, cp1252 or Latin-1."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            str(path), f"cannot be read ({error})", "Check the file, or copy it again."
        ) from error
    marked = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise DataError(str(path), "is not text in UTF-16", "Save it as CSV in UTF-8.")
    if "\0" in text:
        raise DataError(
            str(path),
            "expected a table in text (CSV), got a binary file",
            "Save the table as CSV or Parquet.",
        )
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _records(text: str, delimiter: str, name: str, count: int | None = None) -> list[list[str]]:
    """The first `count` non-empty lines, cut into stripped cells."""
    # A few lines are wanted of what may be a very long text.
    end = -1 if count is None else text.find("\n", _HEAD)
    head = text if end < 0 else text[: end + 1]
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        found = itertools.islice((r for r in reader if "".join(r).strip() or len(r) > 1), count)
        return [[cell.strip() for cell in record] for record in found]
    except csv.Error as error:
        raise DataError(
            f"{name}, line {reader.line_num}", f"cannot be cut into cells ({error})", "Correct it."
        ) from error


def _without_remarks(text: str) -> str:
    """The text with what stands above the table emptied, so that lines keep their numbers.

    That is "sep=;", as spreadsheets write it, and lines of remarks that begin with #.
    """
    at = 0
    while match := _REMARK.match(text, at):
        at = match.end()
    return "\n" * text.count("\n", 0, at) + text[at:]


def _delimiter(text: str, name: str) -> str:
    """The delimiter that cuts most lines into as many cells as the first line."""
    best, best_score = "", (0.0, 1)
    failed: DataError | None = None
    for delimiter in (*DELIMITERS, " "):
        try:
            widths = [len(record) for record in _records(text, delimiter, name, _SAMPLE_LINES)]
        except DataError as error:  # a whole line in one cell is too long for the csv module
            failed = error
            continue
        if not widths or widths[0] < 2 or (delimiter == " " and best):
            continue
        score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
        if score >= best_score:
            best, best_score = delimiter, score
    if not best:
        raise failed or DataError(
            name,
            "expected at least two columns, separated by a comma, semicolon, tab or |, got one",
            "Name a table with a column of labels and at least one column of inputs.",
        )
    return best


def _has_header(records: list[list[str]]) -> bool:
    """Whether the first line names the columns.

    A word above numbers says yes; a number above numbers says no, unless the numbers of the
    first line simply count on (0, 1, 2, ... is how frames without names are written).
    """
    first, rest = records[0], records[1:]
    numbers = [float(cell) for cell in first if _NUMBER.fullmatch(cell)]
    if not numbers or not rest:
        return True
    if len(numbers) > 2 and set(np.diff(numbers)) == {1.0}:
        return True
    above = data = 0
    for position, cell in enumerate(first):
        below = [r[position] for r in rest if position < len(r) and not is_missing(r[position])]
        if below and all(_NUMBER.fullmatch(value) for value in below) and not is_missing(cell):
            if _NUMBER.fullmatch(cell):
                data += 1
            else:
                above += 1
    return above > 0 or data == 0


def _decimal(records: list[list[str]], delimiter: str) -> str:
    """The decimal mark: a comma where numbers are written so and none has a point."""
    cells = [cell for record in records[1:] for cell in record]
    if delimiter == "," or not any(_COMMA_NUMBER.fullmatch(cell) for cell in cells):
        return "."
    pointed = any("." in cell and _NUMBER.fullmatch(cell) for cell in cells)
    return "." if pointed else ","


def _load_csv(path: Path) -> Rows:
    """A CSV file of any usual dialect; the frame's numbers and words are typed by pandas."""
    import pandas as pd

    text = read_text(path)
    if not text.strip():
        raise DataError(str(path), "expected a table, got an empty file", "Name another file.")
    text = _without_remarks(text)
    delimiter = _delimiter(text, path.name)
    records = _records(text, delimiter, path.name, _SAMPLE_LINES)
    header = _has_header(records)
    names = records[0] if header else [f"column {i}" for i in range(1, len(records[0]) + 1)]
    _check_width(path.name, text, delimiter, len(names), records[1:2])
    markers = sorted({form for m in MISSING for form in (m, m.upper(), m.title(), "NaN", "<NA>")})
    try:
        frame = pd.read_csv(
            io.BytesIO(text.encode()),
            sep=delimiter,
            header=0 if header else None,
            names=list(range(len(names))),
            index_col=False,
            decimal=_decimal(records, delimiter),
            keep_default_na=False,
            na_values=markers,
            skipinitialspace=True,
            low_memory=False,
        )
    except (pd.errors.ParserError, ValueError) as error:
        _check_width(path.name, text, delimiter, len(names), None)
        raise DataError(
            path.name, f"cannot be read as a table ({error})", "Correct the line."
        ) from error
    notes = () if header else (f"{path.name} has no line of column names; they are counted.",)
    lines = _line_numbers(text, delimiter, len(frame) + header)[header:]
    frame.columns = pd.Index(names)
    return _without_empty(Rows(path.name, frame, lines, "line", notes))


def _check_width(
    name: str, text: str, delimiter: str, width: int, records: list[list[str]] | None
) -> None:
    """Raise DataError for the first line with more cells than there are columns."""
    for position, record in enumerate(records or _records(text, delimiter, name)):
        if len(record) > width:
            number = position + 1 if records is None else 2
            line = _line_numbers(text, delimiter, 0)[number - 1]
            raise DataError(
                f"{name}, line {line}",
                f"expected {width} cells, as many as there are columns, got {len(record)}",
                f'Remove the surplus, or put a cell that holds "{delimiter}" in quotes.',
            )


def _line_numbers(text: str, delimiter: str, expected: int) -> IntArray:
    """The line on which every non-empty record begins, the header's included."""
    if '"' not in text:
        lines = text.split("\n")
        found = [number for number, line in enumerate(lines, 1) if line.strip()]
    else:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
        )
        found, begin = [], 1
        with suppress(csv.Error):  # a cell too long for the csv module: rows are counted instead
            for record in reader:
                if "".join(record).strip() or len(record) > 1:
                    found.append(begin)
                begin = reader.line_num + 1
    if expected and len(found) != expected:
        return np.arange(1, expected + 1)
    return np.array(found, np.int64)


def _without_empty(rows: Rows) -> Rows:
    """The rows without those that have no value at all."""
    empty = rows.frame.isna().all(axis=1).to_numpy(bool)
    if not empty.any():
        return rows
    note = (
        f"{int(empty.sum())} lines without any value were left out "
        f"(first: line {rows.numbers[empty][0]})."
    )
    kept = rows.frame[~empty].reset_index(drop=True)
    return Rows(rows.name, kept, rows.numbers[~empty], rows.word, (*rows.notes, note))
