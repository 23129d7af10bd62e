"""Tables: delimiters, encodings, names, numbers, dates, labels, damage."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from corpus.case import Case, Ended, fit, reads

GOOD = [(f"{i % 2 * 3 + i / 50:.2f}", f"{i * 7 % 11}.5", ("ash", "oak")[i % 2]) for i in range(40)]
HEADER = ("a", "b", "class")
FIRST = (0.0, 0.5)


def text(
    rows: Sequence[Sequence[object]] = GOOD,
    header: Sequence[str] = HEADER,
    mark: str = ",",
    end: str = "\n",
) -> str:
    """A table as text."""
    return end.join(mark.join(map(str, row)) for row in [header, *rows]) + end


def put(content: str | bytes, name: str = "t.csv") -> Callable[[Path], object]:
    """Writes one file."""
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def changed(row: int, column: int, value: str) -> str:
    """The good table with one cell changed; row 0 stands in line 2."""
    rows = [list(r) for r in GOOD]
    rows[row][column] = value
    return text(rows)


def with_column(values: Sequence[object], name: str = "c") -> str:
    """The good table with one more input."""
    rows = [(r[0], r[1], v, r[2]) for r, v in zip(GOOD, values, strict=True)]
    return text(rows, ("a", "b", name, "class"))


def labelled(labels: Sequence[object]) -> str:
    """The two good inputs with other labels."""
    return text([(*GOOD[i % 40][:2], label) for i, label in enumerate(labels)])


def parquet(make: Callable[[], dict[str, object]]) -> Callable[[Path], object]:
    """Writes t.parquet with these columns beside good ones."""

    def write(folder: Path) -> None:
        import pandas as pd

        columns = {"a": [float(r[0]) for r in GOOD], "class": [r[2] for r in GOOD]} | make()
        pd.DataFrame(columns).to_parquet(folder / "t.parquet")

    return write


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "t.csv", "w") as archive:
        archive.writestr("inner.csv", text())


def harmless(ended: Ended) -> str:
    page = (ended.folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    return page


def escaped(ended: Ended) -> None:
    assert "&lt;script&gt;alert" in harmless(ended)


def left_out(column: str, why: str) -> Callable[[Ended], object]:
    return reads("t.csv", rows=40, note=f'Column "{column}" is left out: {why}')


good = reads("t.csv", 40, ("ash", "oak"), ("a", "b"), first=FIRST)
FIT = fit("t.csv")
big = "9" * 30
MANY = "n,class\n" + "".join(f"{i % 977}.5,w{i % 100000}\n" for i in range(200_001))
BOMB = gzip.compress(b"1,2\n" * (1 << 18)) * 64  # 64 MB in 80 KB


def error(name: str, content: str | bytes, *says: str, argv: tuple[str, ...] = FIT) -> Case:
    return Case(name, put(content), argv, "error", says)


def fine(name: str, content: str | bytes, seen: Callable[[Ended], object], *says: str) -> Case:
    return Case(name, put(content), FIT, "fine", says, seen)


DIALECTS = [
    error("unknown delimiter", text(mark="~"), "t.csv", "at least two columns"),
    fine("semicolons", text(mark=";"), good),
    fine("tabs", text(mark="\t"), good),
    fine("bars", text(mark="|"), good),
    fine("spaces", text(mark=" "), good),
    error("semicolons in some lines", text(GOOD[:20]) + text(GOOD[20:], mark=";"), "t.csv"),
    error("a row too long", text([*GOOD[:5], ("1", "2", "ash", "9"), *GOOD]), "line 7", "3 cells"),
    fine(
        "rows too short",
        text([*GOOD, ("1",), ("1", "2")]).replace("1\n1,2\n", ""),
        good,
    ),
    error("a row without its label", text([*GOOD, ("1", "2.5")]), 'column "class"', "line 42"),
    fine("windows line ends", text(end="\r\n"), good),
    fine("old mac line ends", text(end="\r"), good),
    fine("blank lines", "\n\n" + text().replace("\noak", "\n\n"), good),
    fine("remarks above", "# made by hand\n" + text(), good),
    fine("sep=", "sep=;\n" + text(mark=";"), good),
    fine("a delimiter at each end", text(end=",\n"), left_out("column 4", "it holds no value")),
    error("an open quote", changed(3, 0, '"1'), "t.csv"),
    fine(
        "a line end inside quotes",
        text([(*r[:2], f'"{r[2]}\nx"') for r in GOOD]),
        reads("t.csv", 40, ("ash\nx", "oak\nx")),
    ),
    fine("no header", text(GOOD[1:], GOOD[0]), reads("t.csv", 40, ("ash", "oak"), note="counted")),
    error("a field of a megabyte", changed(0, 0, "x" * (1 << 20)), "t.csv"),
]
ENCODINGS = [
    fine("utf-8 with mark", b"\xef\xbb\xbf" + text().encode(), good),
    fine("utf-16", text().encode("utf-16"), good),
    fine("utf-16 big end", b"\xfe\xff" + text().encode("utf-16-be"), good),
    error("utf-16 without mark", text().encode("utf-16-le"), "t.csv", "binary"),
    error("half of utf-16", text().encode("utf-16")[:-1], "t.csv", "UTF-16"),
    error("utf-32", text().encode("utf-32"), "t.csv", "binary"),
    fine(
        "windows letters",
        text([(*r[:2], r[2] + "ä€") for r in GOOD]).encode("cp1252"),
        reads("t.csv", 40, ("ashä€", "oakä€"), note="Windows-1252"),
    ),
    error(
        "two encodings in one file",
        text(GOOD[:39]).replace("ash", "äsh").encode() + "1,2,äsh\n".encode("latin-1"),
        *("t.csv, line 41", "UTF-8"),
    ),
    error("zero bytes inside", text().replace("ash", "a\0sh"), "t.csv", "binary"),
    error("a picture called csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "t.csv"),
    Case("a zip called csv", zipped, FIT, "error", ("t.csv",)),
    fine(
        "letters that look alike",
        text([(*r[:2], ("é", "e\u0301")[i % 2]) for i, r in enumerate(GOOD)]),
        reads("t.csv", 40, note="differ in nothing but"),
    ),
]
DAMAGE = [
    error("empty", "", "t.csv", "empty"),
    error("white space only", " \n\t\n", "t.csv", "empty"),
    error("a header only", text([]), "t.csv", "rows"),
    error("a title only", "title\n", "t.csv"),
    error("one row", text(GOOD[:1]), "t.csv"),
    error("two rows of two classes", text(GOOD[:2]), "class"),
    error("a web page", "<!DOCTYPE html>\n<html><body>\n<p>404</p>\n</body></html>\n", "t.csv"),
    error("a list of objects", '[{"a": 1, "class": "x"}, {"a": 2, "class": "y"}]', "t.csv"),
    Case("half of a gzip", put(gzip.compress(text().encode())[:-20], "t.csv.gz"),
         fit("t.csv.gz"), "error", ("t.csv.gz", "cannot be read")),
    Case("a gzip of nothing", put(gzip.compress(b""), "t.csv.gz"), fit("t.csv.gz"), "error",
         ("t.csv.gz", "empty")),
    Case("an empty gzip", put(b"", "t.csv.gz"), fit("t.csv.gz"), "error", ("t.csv.gz", "empty")),
    Case("a gzip that unpacks without end", put(BOMB, "t.csv.gz"), fit("t.csv.gz"), "error",
         ("t.csv.gz", "unpacked"), patches=(("trainwell.data.dialect.MOST_TEXT", 8 << 20),)),
    Case("a good gzip", put(gzip.compress(text().encode()), "t.csv.gz"), fit("t.csv.gz"), "fine",
         seen=reads("t.csv.gz", 40, ("ash", "oak"), ("a", "b"), first=FIRST)),
    Case("a spreadsheet", put(b"PK\3\4", "t.xlsx"), fit("t.xlsx"), "error", ("t.xlsx", ".csv")),
    error("no such file", text(), "u.csv", "t.csv", argv=fit("u.csv")),
    error("half of the last line", text()[:-9], "line 41"),
]  # fmt: skip
NAMES = [
    error("a name twice", text(header=("a", "a", "class")), '"a"', "1, 2"),
    error("a name twice but for spaces", text(header=("a", " a ", "class")), '"a"'),
    fine("no name for a column", text(header=("", "b", "class")),
         reads("t.csv", 40, columns=("column 1", "b"), note="has no name")),
    fine("no names at all", text(header=("", "", "")),
         reads("t.csv", 40, ("ash", "oak"), ("column 1", "column 2"), note="the last one")),
    fine("a script for a name", text(header=("<script>alert(1)</script>", "b", "class")), harmless),
    fine("a script for a class", text().replace("ash", "<script>alert(1)</script>"), escaped),
    fine("a control character in a name", text(header=("a\x1b[2J", "b", "class")),
         reads("t.csv", 40)),
    fine("a formula for a class", text().replace("ash", "=cmd|'/C calc'!A0"), reads("t.csv", 40)),
    error("no such target", text(), "--target clas", '"class"', argv=fit("t.csv", "--target", "clas")),
    error("no such group", text(), "--group x", argv=fit("t.csv", "--group", "x")),
    error("the target for a group", text(), "--group class", argv=fit("t.csv", "--group", "class",
          "--target", "class")),
    error("no plain target", text([(i / 7, i / 3, i / 11) for i in range(40)], ("a", "b", "c")),
          "--target"),
    fine("five thousand columns",
         text([(*[f"{i}.{j}" for j in range(5000)], "xy"[i % 2]) for i in range(12)],
              [*(f"c{j}" for j in range(5000)), "class"]),
         reads("t.csv", 12, ("x", "y"), shape=(5000,))),
]  # fmt: skip
NUMBERS = [
    error("an infinite value", changed(3, 0, "inf"), "line 5", 'column "a"', "finite"),
    error("a negative infinite value", changed(3, 1, "-Infinity"), "line 5", 'column "b"'),
    error("a number beyond all", changed(3, 0, "1e999"), "line 5", "finite"),
    error("an integer beyond all", changed(3, 0, "9" * 400), "line 5", 'column "a"'),
    fine("enormous integers", with_column([int(big) - i * 10**28 for i in range(40)]),
         reads("t.csv", 40, columns=("a", "b", "c"), first=(0.0, 0.5, float(big)))),
    fine("integers of 64 bits", with_column([2**63 + i * 10**15 for i in range(40)]),
         reads("t.csv", 40, first=(0.0, 0.5, 2.0**63))),
    error("a word among numbers", changed(3, 0, "abc"), "line 5", 'column "a"', '"abc"'),
    error("a number with underscores", changed(3, 0, "1_000"), "line 5", '"1_000"'),
    error("a hexadecimal number", changed(3, 0, "0x1F"), "line 5", '"0x1F"'),
    fine("missing markers", changed(3, 0, "n/a"), reads("t.csv", 40, columns=("a", "b"))),
    fine("a constant column", with_column([1] * 40), left_out("c", "it holds one value only")),
    fine("a column without values", with_column([""] * 40), left_out("c", "it holds no value")),
    error("no value in any input", text([("", "", r[2]) for r in GOOD]), "column to learn from"),
    fine("decimal commas", text([(r[0].replace(".", ","), *r[1:]) for r in GOOD], mark=";"),
         reads("t.csv", 40, first=FIRST, note="decimal marks")),
    fine("amounts of money", with_column([f"${i}.50" for i in range(40)]),
         reads("t.csv", 40, first=(0.0, 0.5, 0.5))),
    fine("tiny numbers", with_column([f"{i + 1}e-320" for i in range(40)]),
         reads("t.csv", 40, columns=("a", "b", "c"))),
    error("numbers as large as doubles go", with_column([f"{i}e306" for i in range(40)]), "diverged"),
]  # fmt: skip
DATES = [
    fine("dates", with_column([f"2024-02-{i % 28 + 1:02}" for i in range(40)]),
         reads("t.csv", 40, columns=("a", "b", "c"), first=(0.0, 0.5, 19754.0))),
    fine("dates with two meanings", with_column([f"{i % 12 + 1}/{i % 7 + 1}/2024" for i in range(40)]),
         reads("t.csv", 40, note="month/day/year")),
    fine("a date that is none", with_column(["2024-02-30", *(f"2024-03-{i % 9 + 1:02}" for i in range(39))]),
         reads("t.csv", 40, columns=("a", "b", "c"))),
    fine("dates before and after all calendars", with_column(["0001-01-01", "9999-12-31"] * 20),
         reads("t.csv", 40, columns=("a", "b", "c"))),
    error("dates for labels", labelled([f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}" for i in range(40)]),
          "expected classes"),
]  # fmt: skip
LABELS = [
    error("a constant target", labelled(["ash"] * 40), 'column "class"', "two classes"),
    error("a target without values", labelled([""] * 40), 'column "class"'),
    error("one blank label", changed(3, 2, ""), 'column "class"', "line 5"),
    error("a label of spaces", changed(3, 2, "   "), 'column "class"', "line 5"),
    error("a hundred thousand classes", MANY, "t.csv", "classes"),
    fine("a class of one row", labelled(["ash"] * 20 + ["oak"] * 19 + ["elm"]),
         reads("t.csv", 40, ("ash", "elm", "oak")), "elm"),
    error("as many classes as rows", labelled(range(40)), "expected classes, got 40"),
    error("labels with fractions", labelled([i / 7 for i in range(40)]), "expected classes"),
    error("numbers and words for labels", labelled(["1", "2"] * 18 + ["two"] * 4), '"two"'),
    error("an infinite label", labelled(["1", "2", "inf", "1"] * 10), 'column "class"', "finite"),
    fine("numbers for labels", labelled([3, 10] * 20), reads("t.csv", 40, ("3", "10"))),
    fine("labels with zeros behind", labelled(["1.0", "2.0"] * 20), reads("t.csv", 40, ("1", "2"))),
    fine("enormous labels", labelled([big, big[:-1] + "8"] * 20),
         reads("t.csv", 40, (big[:-1] + "8", big))),
    fine("labels next to each other beyond 2^53", labelled([2**53, 2**53 + 1] * 20),
         reads("t.csv", 40, (str(2**53), str(2**53 + 1)))),
    fine("truth values for labels", labelled([True, False] * 20),
         reads("t.csv", 40, ("False", "True"))),
    fine("labels with spaces around", labelled([" ash", "oak "] * 20),
         reads("t.csv", 40, ("ash", "oak"))),
    fine("labels that differ in case", labelled(["ash", "Ash"] * 20),
         reads("t.csv", 40, note="nothing but case")),
    fine("none and null", labelled(["none", "some"] * 20), reads("t.csv", 40, ("none", "some"))),
]  # fmt: skip
PARQUET = [
    Case("half of a parquet file", lambda f: (
        parquet(dict)(f), put((f / "t.parquet").read_bytes()[:200], "t.parquet")(f)),
        fit("t.parquet"), "error", ("t.parquet", "Parquet")),
    Case("an empty parquet file", put(b"", "t.parquet"), fit("t.parquet"), "error", ("t.parquet",)),
    Case("csv called parquet", put(text(), "t.parquet"), fit("t.parquet"), "error",
         ("t.parquet", "Parquet")),
    Case("lists in cells", parquet(lambda: {"c": [[i, i] for i in range(40)]}), fit("t.parquet"),
         "fine", seen=reads("t.parquet", 40, columns=("a",), note='"c" is left out')),
    Case("objects in cells", parquet(lambda: {"c": [{"x": i} for i in range(40)]}),
         fit("t.parquet"), "fine", seen=reads("t.parquet", 40, columns=("a",))),
    Case("bytes in cells", parquet(lambda: {"c": [bytes([i]) for i in range(40)]}),
         fit("t.parquet"), "fine", seen=reads("t.parquet", 40, columns=("a",))),
    Case("lengths of time", parquet(lambda: {"c": np.arange(40, dtype="timedelta64[s]")}),
         fit("t.parquet"), "fine", seen=reads("t.parquet", 40)),
    Case("an infinite number in a parquet file",
         parquet(lambda: {"c": [*range(39), float("inf")]}), fit("t.parquet"), "error",
         ("row 39", 'column "c"', "finite")),
]  # fmt: skip
CASES = [*DIALECTS, *ENCODINGS, *DAMAGE, *NAMES, *NUMBERS, *DATES, *LABELS, *PARQUET]
