"""How the text of a CSV file is cut into lines and cells."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from trainwell.data.dataset import IntArray
from trainwell.errors import DataError

MISSING = frozenset({"", "na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "<na>", "?"})
# Words that stand for a missing value where every other value is a number. Among words they
# may well mean something ("none" = no alarm), so there they stay.
MISSING_AMONG_NUMBERS = frozenset(
    {"-", "--", "---", ".", "..", "none", "nil", "missing", "unknown", "not available", "n.a."}
    | {"n.a", "undefined", "not known", "void", "#value!", "#div/0!", "#ref!"}
)
# On a tie the later one wins: a comma may be a decimal comma, the others hardly occur in numbers.
DELIMITERS = (",", "|", ";", "\t")
SAMPLE_LINES, _HEAD = 50, 1 << 20
MOST_TEXT = 4 << 30  # bytes of a table in text, unpacked: a gzip of a megabyte may hold more
_OLD = {"cp1252": "Windows-1252", "latin-1": "Latin-1"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_REMARK = re.compile(r"(sep=.|#[^,;|\t\n]*)\n")


def is_missing(word: str) -> bool:
    """Whether a word of a table stands for a missing value.

    >>> is_missing(" N/A "), is_missing("none")
    (True, False)
    """
    return word.strip().lower() in MISSING


def read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file (gzip or not), and notes: UTF-8, UTF-16 with its mark, cp1252 or Latin-1.

    Raises DataError for a file that cannot be read, is no text, mixes encodings, or is too large.
    """
    try:
        content = _unpacked(path)
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
    notes: tuple[str, ...] = ()
    if "\0" in text:
        raise DataError(
            str(path),
            "expected a table in text (CSV), got a binary file",
            "Save the table as CSV or Parquet.",
        )
    if encoding in _OLD:
        _refuse_mixed(path, content.splitlines())
        notes = (f"{path.name} is not in UTF-8; its letters are read as {_OLD[encoding]}.",)
    text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    return text, notes


def _unpacked(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is a gzip; never more than MOST_TEXT of them."""
    if path.stat().st_size > MOST_TEXT:
        raise _too_large(path, "it is")
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
        content = packed.read(MOST_TEXT + 1)
    if len(content) > MOST_TEXT:
        raise _too_large(path, "unpacked it is")
    return content


def _too_large(path: Path, what: str) -> DataError:
    return DataError(
        str(path),
        f"expected a table of at most {MOST_TEXT >> 20} MB of text; {what} larger",
        "Save it as Parquet, or its numbers as .npy files, which are read piece by piece.",
    )


def _refuse_mixed(path: Path, lines: Iterable[bytes]) -> None:
    """Raise DataError where some lines of a file are UTF-8 and others are not."""
    line = _mixed_at(lines)
    if line:
        raise DataError(
            f"{path.name}, line {line}",
            "expected one encoding, got letters that are no UTF-8 in a file whose others are",
            "Save the whole file in UTF-8.",
        )


def _mixed_at(lines: Iterable[bytes]) -> int:
    """The first line that is no UTF-8, counted from 1, where another is and is not plain ASCII.

    Letters of old encodings seldom make valid UTF-8; 0 for a file that is all in an old one.

    >>> _mixed_at(["ä".encode(), "ä".encode("latin-1")])
    2
    """
    first, valid = 0, False
    for number, line in enumerate(lines, 1):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            valid = True
        except UnicodeDecodeError:
            first = first or number
        if first and valid:
            return first
    return 0


def text_pieces(path: Path, size: int) -> Iterator[str]:
    """What `read_text` gives, in pieces of about `size` characters that end where a record does."""
    encoding = _encoding(path)
    try:
        with _opened(path) as binary, io.TextIOWrapper(binary, encoding) as file:
            while text := file.read(size):
                # A record ends with its line, unless a quote is open there.
                rest = [text, file.readline()]
                quotes = text.count('"') + rest[-1].count('"')
                while quotes % 2 and (line := file.readline()):
                    rest.append(line)
                    quotes += line.count('"')
                yield "".join(rest)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _encoding(path: Path) -> str:
    """The first encoding that fits the whole file, which is looked through by blocks."""
    try:
        with _opened(path) as file:
            marked = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
            for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252", "latin-1"):
                file.seek(0)
                decoder = codecs.getincrementaldecoder(encoding)()
                try:
                    while block := file.read(_HEAD):
                        if "\0" in decoder.decode(block):
                            raise DataError(
                                str(path),
                                "expected a table in text (CSV), got a binary file",
                                "Save the table as CSV or Parquet.",
                            )
                    decoder.decode(b"", final=True)
                    if encoding in _OLD:
                        file.seek(0)
                        _refuse_mixed(path, file)
                    return encoding
                except UnicodeDecodeError:
                    continue
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    raise DataError(str(path), "is not text in UTF-16", "Save it as CSV in UTF-8.")


def _unreadable(path: Path, error: Exception) -> DataError:
    problem = f"cannot be read ({error})"
    return DataError(str(path), problem, "Check the file, or copy it again.")


def cut_records(text: str, delimiter: str, name: str, count: int | None = None) -> list[list[str]]:
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


def without_remarks(text: str) -> str:
    """The text with what stands above the table emptied, so that lines keep their numbers.

    That is "sep=;", as spreadsheets write it, and lines of remarks that begin with #.
    """
    at = 0
    while match := _REMARK.match(text, at):
        at = match.end()
    return "\n" * text.count("\n", 0, at) + text[at:]


def find_delimiter(text: str, name: str, one_will_do: bool = False) -> str:
    """The delimiter that cuts most lines into as many cells as the first line.

    one_will_do: a table of one column is no mistake; its delimiter is a comma.
    """
    best, best_score = "", (0.0, 1)
    failed: DataError | None = None
    for delimiter in (*DELIMITERS, " "):
        try:
            widths = [len(record) for record in cut_records(text, delimiter, name, SAMPLE_LINES)]
        except DataError as error:  # a whole line in one cell is too long for the csv module
            failed = error
            continue
        if not widths or widths[0] < 2 or (delimiter == " " and best):
            continue
        score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
        if score >= best_score:
            best, best_score = delimiter, score
    if not best and one_will_do and not failed:
        return ","
    if not best:
        raise failed or DataError(
            name,
            "expected at least two columns, separated by a comma, semicolon, tab or |, got one",
            "Name a table with a column of labels and at least one column of inputs.",
        )
    return best


def has_header(records: list[list[str]]) -> bool:
    """Whether the first line names the columns.

    A word above numbers says yes; a number above numbers says no, unless the numbers of the
    first line simply count on (0, 1, 2, ... is how frames without names are written).
    """
    first, rest = records[0], records[1:]
    numbers = [float(cell) for cell in first if NUMBER.fullmatch(cell)]
    if not numbers or not rest:
        return True
    if len(numbers) > 2 and set(np.diff(numbers)) == {1.0}:
        return True
    above = data = 0
    for position, cell in enumerate(first):
        below = [r[position] for r in rest if position < len(r) and not is_missing(r[position])]
        if below and all(NUMBER.fullmatch(value) for value in below) and not is_missing(cell):
            if NUMBER.fullmatch(cell):
                data += 1
            else:
                above += 1
    return above > 0 or data == 0


def check_width(
    name: str,
    text: str,
    delimiter: str,
    width: int,
    records: list[list[str]] | None,
    before: int = 0,
) -> None:
    """Raise DataError for the first line with more cells than there are columns.

    before: lines of the file before this text.
    """
    for position, record in enumerate(records or cut_records(text, delimiter, name)):
        if len(record) > width:
            number = position + 1 if records is None else 2
            line = line_numbers(text, delimiter, 0)[number - 1] + before
            raise DataError(
                f"{name}, line {line}",
                f"expected {width} cells, as many as there are columns, got {len(record)}",
                f'Remove the surplus, or put a cell that holds "{delimiter}" in quotes.',
            )


def line_numbers(text: str, delimiter: str, expected: int) -> IntArray:
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


def short_lines(text: str, delimiter: str, width: int, suspects: IntArray) -> IntArray:
    """Which of the records that begin on the `suspects` lines have fewer than `width` cells."""
    lines = [line + "\n" for line in text.split("\n")] if len(suspects) else []
    found = []
    with suppress(csv.Error):
        for number in suspects.tolist():
            rest = (lines[i] for i in range(number - 1, len(lines)))  # a record may take several
            record = next(csv.reader(rest, delimiter=delimiter, skipinitialspace=True), [])
            if len(record) < width:
                found.append(number)
    return np.array(found, np.int64)
