"""A table as it was read, before its columns are understood: CSV, Parquet or DataFrame."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import IntArray
from trainwell.data.dialect import (
    MISSING,
    MISSING_AMONG_NUMBERS,
    SAMPLE_LINES,
    check_width,
    cut_records,
    find_delimiter,
    has_header,
    line_numbers,
    read_text,
    short_lines,
    without_remarks,
)
from trainwell.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

PARQUET_SUFFIXES = (".parquet", ".pq")
CSV_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data", ".psv")
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")
# 1,200 and 1,200,000 may be whole numbers with marked thousands; 0,125 cannot.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_AMOUNT = re.compile(r"[+-]?(\d+(,\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Rows:
    """A pandas frame and where each of its rows stands.

    numbers: (N,) the line in the file (first line 1), or the row in the frame (first row 0).
    comma_columns: columns whose numbers have a decimal comma in the file.
    """

    name: str
    frame: pd.DataFrame
    numbers: IntArray
    word: str = "row"
    notes: tuple[str, ...] = ()
    comma_columns: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """Where a row stands, in words: "data.csv, line 17"."""
        return f"{self.name}, {self.word} {self.numbers[row]}"

    def places(self) -> tuple[str, ...]:
        """Where every row stands."""
        start = f"{self.name}, {self.word} "
        return tuple(start + str(number) for number in self.numbers.tolist())


def is_table_file(path: Path) -> bool:
    """Whether the file's name says that it is a table."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith((*CSV_SUFFIXES, *PARQUET_SUFFIXES))


def load_rows(
    source: Path | pd.DataFrame,
    name: str = "DataFrame",
    *,
    text: Collection[str] = (),
    commas: Collection[str] = (),
    one_will_do: bool = False,
) -> Rows:
    """A table from a file, or from a DataFrame called `name`.

    text: columns of a CSV file that are words whatever they look like ("007" is no 7).
    one_will_do: a CSV file may have one column only, without any label.
    commas: columns in which 1,200 is 1.2 and not 1200, unless another cell of it tells.
    Raises DataError when the file cannot be parsed, has no rows, or has two columns of one name.
    """
    if not isinstance(source, Path):
        rows = Rows(name, source.reset_index(drop=True), np.arange(len(source)))
    elif source.name.lower().endswith(PARQUET_SUFFIXES):
        rows = _load_parquet(source)
    else:
        rows = _load_csv(source, text, commas, one_will_do)
    rows = named_columns(rows)
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


def named_columns(rows: Rows) -> Rows:
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
    return replace(rows, frame=rows.frame.set_axis(names, axis=1), notes=tuple(notes))


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written: what parts its cells, its columns, and whether it names them."""

    delimiter: str
    names: tuple[str, ...]
    header: bool


def _load_csv(
    path: Path, words: Collection[str], commas: Collection[str], one_will_do: bool
) -> Rows:
    """A CSV file of any usual dialect; the frame's numbers and words are typed by pandas."""
    text, said = read_text(path)
    if not text.strip():
        raise DataError(str(path), "expected a table, got an empty file", "Name another file.")
    text = without_remarks(text)
    dialect = find_dialect(text, path.name, one_will_do)
    rows = parse_csv(text, path.name, dialect, words, commas)
    return replace(rows, notes=(*said, *rows.notes))


def find_dialect(text: str, name: str, one_will_do: bool = False) -> Dialect:
    """The dialect of a text, from its first lines; one_will_do: a single column is a table, too."""
    delimiter = find_delimiter(text, name, one_will_do)
    records = cut_records(text, delimiter, name, SAMPLE_LINES)
    header = has_header(records)
    names = records[0] if header else [f"column {i}" for i in range(1, len(records[0]) + 1)]
    check_width(name, text, delimiter, len(names), records[1:2])
    return Dialect(delimiter, tuple(names), header)


def parse_csv(
    text: str,
    name: str,
    dialect: Dialect,
    words: Collection[str] = (),
    commas: Collection[str] = (),
    before: int = 0,
) -> Rows:
    """The rows of a text; words and commas as for `load_rows`.

    before: lines of the file before this text; where there are any, the text has no line of names.
    """
    import pandas as pd

    delimiter, names = dialect.delimiter, dialect.names
    header = dialect.header and not before
    markers = sorted({form for m in MISSING for form in (m, m.upper(), m.title(), "NaN", "<NA>")})
    try:
        frame = pd.read_csv(
            io.BytesIO(text.encode()),
            sep=delimiter,
            header=0 if header else None,
            names=list(range(len(names))),
            index_col=False,
            dtype={
                i: object
                for i, column in enumerate(names)
                if (column or f"column {i + 1}") in words
            },
            keep_default_na=False,
            na_values=markers,
            skipinitialspace=True,
            low_memory=False,
        )
    except (pd.errors.ParserError, ValueError) as error:
        check_width(name, text, delimiter, len(names), None, before)
        raise DataError(
            name, f"cannot be read as a table ({error})", "Correct the line."
        ) from error
    unnamed = not dialect.header and not before
    notes = (f"{name} has no line of column names; they are counted.",) if unnamed else ()
    lines = line_numbers(text, delimiter, len(frame) + header)[header:] + before
    frame.columns = pd.Index(names)
    rows = _without_empty(Rows(name, frame, lines, "line", notes))
    rows = _with_short(rows, text, delimiter, before)
    return _with_commas(rows, delimiter, words, commas) if "," in text else rows


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
    return replace(rows, frame=kept, numbers=rows.numbers[~empty], notes=(*rows.notes, note))


def _with_short(rows: Rows, text: str, delimiter: str, before: int) -> Rows:
    """The same rows, with a note on lines that end before the last column."""
    suspects = rows.numbers[rows.frame.iloc[:, -1].isna().to_numpy(bool)] - before
    short = short_lines(text, delimiter, rows.frame.shape[1], suspects) + before
    if not len(short):
        return rows
    note = (
        f"Lines with fewer cells than there are columns: {len(short)} (first: line {short[0]}); "
        "the cells they lack are taken as missing."
    )
    return replace(rows, notes=(*rows.notes, note))


def _with_commas(
    rows: Rows, delimiter: str, text: Collection[str], commas: Collection[str]
) -> Rows:
    """The same rows, with 3,5 read as 3.5 in columns where the comma is a decimal mark."""
    import pandas as pd

    frame = rows.frame.copy(deep=False)
    decimal: list[str] = []
    thousands: list[str] = []
    for place, name in enumerate(map(str, frame.columns)):
        series = frame.iloc[:, place]
        if name in text or series.dtype.kind in "biuf":
            continue
        codes, values = pd.factorize(series)
        words = [str(value).strip() for value in values]
        mark = comma_means(words, np.bincount(codes[codes >= 0], minlength=len(words)))
        if mark == "thousands or decimal":
            mark = "decimal" if name in commas else "thousands"
        if mark == "decimal" and (delimiter != "," or name in commas):
            frame[frame.columns[place]] = _points(words)[codes]  # the code -1 is missing: the last
            decimal.append(name)
        elif mark == "thousands":
            thousands.append(name)
    notes = [
        f"Commas are read as {what} in "
        + (f"{len(names)} columns (first: " if len(names) > 1 else "one column (")
        + f'"{names[0]}").'
        for names, what in (
            (decimal, "decimal marks (3,5 is 3.5)"),
            (thousands, "marks of thousands (1,200 is 1200)"),
        )
        if names
    ]
    return replace(rows, frame=frame, notes=(*rows.notes, *notes), comma_columns=tuple(decimal))


def _points(words: list[str]) -> npt.NDArray[Any]:
    """Numbers with decimal commas as floats, or as words with points if there are other words.

    A missing one is put behind them.
    """
    texts = [
        word.replace(",", ".") if "," in word and _COMMA_NUMBER.fullmatch(word) else word
        for word in words
    ]
    with suppress(ValueError):
        if "_" not in "".join(texts):  # "1_000" is a number to Python, not to us
            return np.array([*map(float, texts), np.nan])
    return np.array([*texts, np.nan], object)


def comma_means(words: list[str], counts: IntArray) -> str:
    """What commas are in a column of different words, each found so many times.

    "decimal", "thousands", "thousands or decimal" where every cell fits both, or "" where the
    column has no numbers with a comma, or holds more than a few cells that are no numbers.

    >>> comma_means(["1,5", "2,250"], np.ones(2)), comma_means(["1,200", "999"], np.ones(2))
    ('decimal', 'thousands or decimal')
    """
    commas = [word for word in words if "," in word]
    many = any(word.count(",") > 1 and _THOUSANDS.fullmatch(word) for word in commas)
    if not many and not any(map(_COMMA_NUMBER.fullmatch, commas)):
        return ""
    pointed = any("." in word and _AMOUNT.fullmatch(word) for word in words)
    numeric = np.array([_AMOUNT.fullmatch(word) is not None for word in words], bool)
    other = [place for place in np.flatnonzero(~numeric) if not _is_marker(words[place])]
    if counts[other].sum() > 0.05 * (counts[numeric].sum() + counts[other].sum()):
        return ""
    if all(_THOUSANDS.fullmatch(word) for word in commas if _COMMA_NUMBER.fullmatch(word)):
        return "thousands" if many or pointed else "thousands or decimal"
    return "" if many or pointed else "decimal"


def _is_marker(word: str) -> bool:
    return word.lower() in MISSING_AMONG_NUMBERS
