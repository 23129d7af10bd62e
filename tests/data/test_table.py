"""Tables: dialects, column types, targets, and the text of every error."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainwell.data.dataset import schema_from_json, schema_to_json
from trainwell.data.table import narrowed, read_table, read_table_like
from trainwell.errors import DataError

BASE = "a,b,species\n" + "".join(f"{i},{i * i / 8:.4f},{'xyz'[i % 3]}\n" for i in range(5, 65, 2))


def write(folder: Path, text: str | bytes, name: str = "data.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def lines(header: str, row: object, count: int = 60) -> str:
    """A CSV text of `count` rows; row(i) gives one."""
    return header + "\n" + "".join(row(i) + "\n" for i in range(count))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (BASE, "utf-8"),
        (BASE, "utf-8-sig"),
        (BASE, "utf-16"),
        (BASE.replace(",", ";"), "utf-8"),
        (BASE.replace(",", ";").replace(".", ","), "utf-8"),
        (BASE.replace(",", "\t").replace("\n", "\r\n"), "utf-8"),
        (BASE.replace(",", "|").replace("\n", "\r"), "utf-8"),
        (BASE.replace(",", " ").rstrip(), "utf-8"),
        (re.sub(r"[^,\n]+", r'"\g<0>"', BASE), "utf-8"),
        (BASE.replace(",", ", "), "utf-8"),
        (BASE.replace("\n", "\n\n"), "utf-8"),
    ],
)
def test_dialects_give_the_same_table(tmp_path: Path, text: str, encoding: str) -> None:
    got = read_table(write(tmp_path, text, encoding=encoding))
    want = read_table(write(tmp_path, BASE, "plain.csv"))
    assert got.inputs.dtype == np.float32
    np.testing.assert_array_equal(got.inputs, want.inputs)
    np.testing.assert_array_equal(got.labels, want.labels)
    assert got.classes == ("x", "y", "z")
    assert got.schema.columns == want.schema.columns  # type: ignore[union-attr]


def test_gzip_and_cp1252(tmp_path: Path) -> None:
    text = BASE.replace("x\n", "é\n")
    path = write(tmp_path, gzip.compress(text.encode("cp1252")), "data.csv.gz")
    assert read_table(path).classes == ("y", "z", "é")


def test_names_are_lines_even_after_blank_lines_and_quoted_breaks(tmp_path: Path) -> None:
    text = 'a,b,y\n1,"two\nlines",no\n\n2,one,yes\n3,one,no\n'
    data = read_table(write(tmp_path, text))
    assert data.names == ("data.csv, line 2", "data.csv, line 5", "data.csv, line 6")
    assert data.classes == ("no", "yes")


def test_parquet_and_frame_agree_with_csv(tmp_path: Path) -> None:
    frame = pd.read_csv(write(tmp_path, BASE))
    frame.to_parquet(tmp_path / "data.parquet")
    from_frame, from_parquet = read_table(frame), read_table(tmp_path / "data.parquet")
    np.testing.assert_array_equal(from_frame.inputs, from_parquet.inputs)
    np.testing.assert_array_equal(from_frame.inputs, read_table(tmp_path / "data.csv").inputs)
    assert from_parquet.names[0] == "data.parquet, row 0"


def test_damaged_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read as a Parquet file"):
        read_table(write(tmp_path, b"PAR1 nothing", "data.parquet"))


def test_column_types(tmp_path: Path) -> None:
    text = lines(
        "num,flag,word,day,slash,y",
        lambda i: (
            f"{'NA' if i == 3 else i * 0.5},{'yes' if i % 2 else 'No'},"
            f"{['red', 'Blue', '?'][i % 3]},"
            f"2024-03-{i % 28 + 1:02d} 10:30,{i % 28 + 1}/3/2024,{i % 2}"
        ),
    )
    data = read_table(write(tmp_path, text))
    types = {c.name: c.type for c in data.schema.columns}  # type: ignore[union-attr]
    assert types == {
        "num": "number", "flag": "boolean", "word": "category", "day": "date", "slash": "date"
    }  # fmt: skip
    assert data.schema.columns[2].levels == ("Blue", "red")  # type: ignore[union-attr]
    assert np.isnan(data.inputs[3, 0]) and np.isnan(data.inputs[2, 2])
    assert data.inputs[0, :3].tolist() == [0.0, 0.0, 1.0]
    # 2024-03-01 was a Friday, 19783 days after 1970-01-01
    assert data.inputs[0, 3:].tolist() == [19783.0, 3.0, 4.0, 10.5, 19783.0, 3.0, 4.0, 0.0]
    assert len(data.schema.features) == data.inputs.shape[1]  # type: ignore[union-attr]
    assert schema_from_json(schema_to_json(data.schema)) == data.schema


def test_words_that_mean_missing_among_numbers(tmp_path: Path) -> None:
    data = read_table(write(tmp_path, BASE.replace("5,3.1250", "5,unknown")))
    assert data.schema.columns[1].type == "number"  # type: ignore[union-attr]
    assert np.isnan(data.inputs[0, 1])


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    text = lines("id,same,empty,text,v,y", lambda i: f"{i},7,,note {i},{i % 7},{i % 2}")
    data = read_table(write(tmp_path, text))
    assert [c.name for c in data.schema.columns] == ["v"]  # type: ignore[union-attr]
    assert data.schema.ignored == ("id", "same", "empty", "text")  # type: ignore[union-attr]
    said = " ".join(data.notes)
    assert '"id" is left out: it counts the rows' in said
    assert '"same" is left out: it holds one value only' in said
    assert '"empty" is left out: it holds no value' in said
    assert '"text" is left out: 60 different words in 60 rows' in said


def test_groups(tmp_path: Path) -> None:
    text = lines("who,v,y", lambda i: f"p{i % 12},{i % 7},{i % 2}")
    data = read_table(write(tmp_path, text), group="WHO")
    assert data.groups is not None
    assert data.group_names[data.groups[11]] == "p11"
    assert data.schema.ignored == ("who",)  # type: ignore[union-attr]
    gap = text.replace("p3,3,1", ",3,1", 1)
    with pytest.raises(DataError, match=r'line 5, column "who": expected a group in every row'):
        read_table(write(tmp_path, gap), group="who")


def test_float64_only_where_float32_loses_values() -> None:
    rng = np.random.default_rng(0)
    assert narrowed(rng.normal(size=(5000, 2))).dtype == np.float32
    assert narrowed(np.array([[1e15], [1e15 + 1]])).dtype == np.float64
    assert narrowed(np.array([[1e300], [1.0]])).dtype == np.float64
    assert narrowed(np.array([[np.nan], [0.1]])).dtype == np.float32


@pytest.mark.parametrize(
    ("header", "row", "target"),
    [
        ("a,LABEL,c", lambda i: f"{i % 9},{i % 2},{i % 5}", "LABEL"),
        ("a,b,kind", lambda i: f"{i % 9},{i * 0.37},{'uv'[i % 2]}", "kind"),
        ("a,b,c", lambda i: f"{i % 9 * 1.5},{i * 0.37},{i % 3}", "c"),
        ("u,0.5,1.5", lambda i: f"{'uv'[i % 2]},{i * 0.37},{i * 1.7}", "column 1"),
        ("status,target,c", lambda i: f"{i % 2},{i % 3},{i % 5}", "target"),
    ],
)
def test_target_is_proposed(tmp_path: Path, header: str, row: object, target: str) -> None:
    data = read_table(write(tmp_path, lines(header, row)))
    assert data.schema.target == target  # type: ignore[union-attr]
    assert any(f'"{target}"' in note for note in data.notes)


def test_labels_in_numeric_order_and_booleans(tmp_path: Path) -> None:
    data = read_table(write(tmp_path, lines("v,y", lambda i: f"{i % 7},{i % 12}.0")))
    assert data.classes == tuple(map(str, range(12)))
    data = read_table(write(tmp_path, lines("v,y", lambda i: f"{i % 7},{i % 2 == 0}")))
    assert data.classes == ("False", "True")
    assert data.classes[data.labels[0]] == "True"


def test_no_header(tmp_path: Path) -> None:
    data = read_table(write(tmp_path, "5.1,3.5,setosa\n" * 3 + "4.9,3.0,virginica\n" * 3))
    assert len(data) == 6
    assert data.names[0] == "data.csv, line 1"
    assert "no line of column names" in data.notes[0]
    counted = read_table(
        write(tmp_path, lines("0,1,2,label", lambda i: f"{i % 5},7.5,{i},{i % 2}"))
    )
    assert len(counted) == 60


ERRORS = [
    (BASE + "1,2,x,4\n", r"data.csv, line 32: expected 3 cells.*got 4"),
    (BASE.replace("3.1250,z", "3.1250,z,9"), r"data.csv, line 2: expected 3 cells"),
    (
        BASE.replace("9,10.1250", "9,abc"),
        r'line 4, column "b": expected a number, got "abc" \(29 of 30 .* numbers\)\. Correct the',
    ),
    (
        BASE.replace("9,10.1250", "9,-inf"),
        r'line 4, column "b": expected a finite number, got -inf',
    ),
    (
        BASE.replace(",z\n", ",\n"),
        r'"species": expected a label in every row, got none in 10 of 30 \(.*line 2; .* Remove',
    ),
    (BASE.replace(",z\n", ",1\n"), r'line 2.*expected labels of one kind, got the number "1"'),
    (re.sub("[xy]\n", "z\n", BASE), r'expected at least two classes, got only "z"'),
    ("a,a,y\n1,2,0\n3,4,1\n", r'got "a" for the columns 1, 2. Rename'),
    ("a,y\n", r"expected rows of data, got none"),
    ("", r"expected a table, got an empty file"),
    ("abc\n1\n", r"expected at least two columns"),
    (b"\x00\x01\x02", r"got a binary file"),
    (b"\xff\xfea", r"is not text in UTF-16"),
    (b"\x1f\x8b00", r"cannot be read"),
    (lines("a,y", lambda i: f"{i % 7},{i * 1.7}"), r"expected classes, got 60 different numbers"),
    (lines("a,y", lambda i: f"{i % 7},w{i}"), r"expected classes, got 60 different words"),
    (
        lines("sex,b", lambda i: f"{'uv'[i % 2]},{i * 1.7}"),
        r'plainly the label, found none; it may be "sex"',
    ),
    (
        lines("a,b,c", lambda i: f"{i % 7 * 0.3},{'uv'[i % 2]},{i * 1.7}"),
        r'plainly the label, found none; it may be "b". Name it with --target',
    ),
    (lines("a,y", lambda i: f"7,{i % 2}"), r'at least one column to learn from, got none \("a"'),
]


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_errors_say_where_what_and_what_to_do(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_table(write(tmp_path, text))
    assert caught.value.todo


def test_wrong_option_names(tmp_path: Path) -> None:
    path = write(tmp_path, BASE)
    with pytest.raises(DataError, match=r'--target specis: .* Did you mean "species"\?'):
        read_table(path, target="specis")
    with pytest.raises(DataError, match=r"--group who: data.csv has no such column"):
        read_table(path, group="who")
    with pytest.raises(DataError, match=r"is the column of the labels"):
        read_table(path, target="species", group="species")


def test_new_rows_in_any_column_order_with_and_without_target(tmp_path: Path) -> None:
    text = lines(
        "id,when,c,v,y", lambda i: f"{i},{i % 28 + 1}/3/2024,{'pqr'[i % 3]},{i % 7},{i % 2}"
    )
    data = read_table(write(tmp_path, text))
    new = read_table_like(tmp_path / "data.csv", data.schema)  # type: ignore[arg-type]
    np.testing.assert_array_equal(new.inputs, data.inputs)
    assert new.labels == tuple(data.classes[i] for i in data.labels)
    frame = pd.DataFrame({"v": [3], "c": ["new"], "when": ["3/4/2024"]})
    new = read_table_like(frame, data.schema)  # type: ignore[arg-type]
    assert new.labels is None
    assert new.inputs[0, 1] == 4.0  # the day comes first, as in training
    assert np.isnan(new.inputs[0, 4])
    assert '"new" did not occur in training' in new.notes[0]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"a": [1]}, r'got a table without "b"'),
        ({"a": [1], "B": [2]}, r'Did you mean "B"\?'),
        ({"a": [1], "b": [2], "c": [3]}, r'got also "c". Remove or rename'),
        ({"a": [1], "b": ["x"]}, r'DataFrame, row 0, column "b": expected a number, got "x"'),
        ({"a": [1], "b": [np.inf]}, r"expected a finite number, got inf"),
    ],
)
def test_new_rows_that_do_not_fit(
    tmp_path: Path, frame: dict[str, list[object]], message: str
) -> None:
    schema = read_table(write(tmp_path, BASE)).schema
    with pytest.raises(DataError, match=message):
        read_table_like(pd.DataFrame(frame), schema)  # type: ignore[arg-type]


def test_wrong_dates_and_truth_values(tmp_path: Path) -> None:
    text = lines("when,flag,y", lambda i: f"2024-03-{i % 28 + 1:02d},{'ft'[i % 2]},{i % 3}")
    schema = read_table(write(tmp_path, text)).schema
    for cells, message in (
        (["soon", "t"], r'expected a date, got "soon"'),
        (["2024-03-01", "x"], r'expected a truth value, got "x"'),
    ):
        frame = pd.DataFrame([cells], columns=["when", "flag"])
        with pytest.raises(DataError, match=message):
            read_table_like(frame, schema)  # type: ignore[arg-type]


cell = st.text(alphabet=st.sampled_from("abÄ ,;|\t\"'\n."), min_size=1, max_size=6).map(
    lambda word: f"w{word}w"
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    words=st.lists(cell, min_size=2, max_size=4, unique=True),
    numbers=st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_written_table_is_read_back(
    tmp_path: Path, words: list[str], numbers: list[float], delimiter: str, encoding: str, end: str
) -> None:
    # Two numbers added so that the column is no constant.
    values = np.array([*numbers, 0.5, 1.5], np.float32)
    tags = [words[i % len(words)] for i in range(len(values))]
    frame = pd.DataFrame({"value": values, "tag": tags, "class": [0, 1] * 5})
    path = tmp_path / "data.csv"
    frame.to_csv(path, sep=delimiter, encoding=encoding, lineterminator=end, index=False)
    data = read_table(path)
    np.testing.assert_allclose(data.inputs[:, 0], values, rtol=1e-6)
    levels = data.schema.columns[1].levels  # type: ignore[union-attr]
    assert [levels[int(code)] for code in data.inputs[:, 1]] == tags


def test_frames_of_newer_types() -> None:
    count = 30
    frame = pd.DataFrame(
        {
            "whole": pd.array([None, *range(count - 1)], dtype="Int64"),
            "flag": pd.array([None, *[True, False] * 14, True], dtype="boolean"),
            "kind": pd.Categorical([3, 1] * 15),
            "zone": pd.date_range("2024-01-01", periods=count, freq="D", tz="Europe/Berlin"),
            "odd": [[i] for i in range(count)],
            "mixed": [True, False, None] * 10,
            "y": ["Cat", "cat", "dog"] * 10,
        }
    )
    data = read_table(frame)
    types = {c.name: c.type for c in data.schema.columns}  # type: ignore[union-attr]
    assert types == {
        "whole": "number", "flag": "boolean", "kind": "category", "zone": "date", "mixed": "boolean"
    }  # fmt: skip
    assert np.isnan(data.inputs[0, :2]).all() and data.inputs[1, :3].tolist() == [0, 1, 0]
    assert data.inputs[0, 3:7].tolist() == [19722, 12, 6, 23]  # midnight in Berlin, in UTC
    assert any('"Cat" and "cat" differ in nothing but case' in note for note in data.notes)
    again = read_table_like(frame, data.schema)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.inputs, data.inputs)


def test_a_very_long_first_line(tmp_path: Path) -> None:
    header = ",".join(["y", *(f"{'long' * 300}{j}" for j in range(1000))])
    rows = "".join(f"{i % 2}{f',{i % 3}' * 1000}\n" for i in range(6))
    assert read_table(write(tmp_path, f"{header}\n{rows}")).inputs.shape == (6, 1000)


def test_a_cell_too_long_for_the_csv_module(tmp_path: Path) -> None:
    rows = "".join(
        f'{i % 3},"{"x" * (200_000 if i == 55 else 3)} {i}",{i % 2}\n' for i in range(60)
    )
    data = read_table(write(tmp_path, f"a,text,y\n{rows}"))
    assert len(data) == 60 and data.names[59] == "data.csv, line 61"
    with pytest.raises(DataError, match=r"data.csv, line 2: cannot be cut into cells"):
        read_table(write(tmp_path, f'a,text,y\n1,"{"x" * 200_000}",1\n'))


def test_amounts_are_numbers(tmp_path: Path) -> None:
    text = lines("price,share,big,y", lambda i: f'-${i}.50,{i} %,"{i + 1},0{i % 9}0",{i % 2}')
    data = read_table(write(tmp_path, text))
    assert {c.type for c in data.schema.columns} == {"number"}  # type: ignore[union-attr]
    assert data.inputs[3].tolist() == [-3.5, 3, 4030]


@pytest.mark.parametrize("above", ["sep=,\n", "# made by hand\n#\n"])
def test_remarks_above_the_table(tmp_path: Path, above: str) -> None:
    data = read_table(write(tmp_path, above + BASE))
    assert len(data) == 30
    assert data.names[0] == f"data.csv, line {above.count(chr(10)) + 2}"
