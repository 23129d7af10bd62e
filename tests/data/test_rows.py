"""What the cells of a text file mean: commas in numbers, short lines, two-sided dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trainwell.data.rows import load_rows
from trainwell.data.table import read_table, read_table_like


def write(folder: Path, text: str, name: str = "data.tsv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def column(cells: list[str]) -> str:
    return "v\ty\n" + "".join(f"{cell}\t{i % 2}\n" for i, cell in enumerate(cells))


@pytest.mark.parametrize(
    ("cells", "values", "said"),
    [
        (
            ["999", "1,200", "2,500", "850", "12,000"],
            [999, 1200, 2500, 850, 12000],
            'marks of thousands (1,200 is 1200) in one column ("v").',
        ),
        (
            ["1,250", "2,5", "850", "-0,125"],
            [1.25, 2.5, 850, -0.125],
            'decimal marks (3,5 is 3.5) in one column ("v").',
        ),
        (["1,200,000", "1,200", "7"], [1200000, 1200, 7], "thousands"),
        (["1,200.5", "1,200", "7.25"], [1200.5, 1200, 7.25], "thousands"),
        (["0,125", "0,250", ""], [0.125, 0.25, np.nan], "decimal"),
        (["2,5", "unknown", "1,75"], [2.5, np.nan, 1.75], "decimal"),
    ],
)
def test_commas_in_numbers(
    tmp_path: Path, cells: list[str], values: list[float], said: str
) -> None:
    data = read_table(write(tmp_path, column(cells)))
    np.testing.assert_array_equal(data.inputs[:, 0], np.array(values, np.float32))
    assert any("Commas are read as" in note and said in note for note in data.notes)


def test_commas_are_judged_by_all_rows(tmp_path: Path) -> None:
    data = read_table(write(tmp_path, column([f"{i},{i % 10}00" for i in range(1, 80)] + ["2,5"])))
    assert data.inputs[[0, -1], 0].tolist() == pytest.approx([1.1, 2.5])


def test_each_column_has_its_own_commas(tmp_path: Path) -> None:
    text = "a;b;c;y\n" + "".join(f"{i},5;{i + 1},000;{i}.25;{i % 2}\n" for i in range(9))
    data = read_table(write(tmp_path, text, "data.csv"))
    assert data.inputs[3].tolist() == [3.5, 4000, 3.25]


def test_words_with_commas_stay_words(tmp_path: Path) -> None:
    text = column(["3,5", "S", "M", "L"] * 5)
    data = read_table(write(tmp_path, text))
    assert data.schema.columns[0].levels == ("3,5", "L", "M", "S")  # type: ignore[union-attr]


def test_new_commas_mean_what_they_meant_in_training(tmp_path: Path) -> None:
    data = read_table(write(tmp_path, column(["1,250", "2,5", "850", "0,125"])))
    new = write(tmp_path, "v\ty\n1,200\t0\n", "new.tsv")
    assert read_table_like(new, data.schema).inputs[0, 0] == np.float32(1.2)  # type: ignore[arg-type]
    quoted = write(tmp_path, 'v,y\n"1,200",0\n', "new.csv")
    assert read_table_like(quoted, data.schema).inputs[0, 0] == np.float32(1.2)  # type: ignore[arg-type]
    data = read_table(write(tmp_path, column(["999", "1,200", "850"])))
    assert read_table_like(new, data.schema).inputs[0, 0] == 1200  # type: ignore[arg-type]


def test_short_lines_are_noted(tmp_path: Path) -> None:
    text = 'y,a,b\n0,1,2\n\n1,"3"\n0,"x\ny",4\n1,5,\n0,6\n1,7,8\n'
    rows = load_rows(write(tmp_path, text, "data.csv"))
    assert rows.frame["b"].isna().tolist() == [False, True, False, True, True, False]
    (note,) = rows.notes
    assert "fewer cells than there are columns: 2 (first: line 4)" in note
    assert not load_rows(write(tmp_path, "a,b\n1,\n2,3\n", "data.csv")).notes


def test_dates_that_fit_two_forms_are_noted(tmp_path: Path) -> None:
    for days, doubt in ((range(1, 9), True), (range(8, 16), False)):
        cells = [f"0{day % 9 + 1}/{day:02d}/2024" for day in days]
        data = read_table(write(tmp_path, column(cells)))
        assert data.schema.columns[0].levels == ("%m/%d/%Y",)  # type: ignore[union-attr]
        assert any("are read as month/day/year" in note for note in data.notes) == doubt


def test_a_frame_of_words_is_left_alone() -> None:
    frame = pd.DataFrame({"a": ["1,200", "7", "8"], "y": [0, 1, 0]})
    assert load_rows(frame).frame is not None and load_rows(frame).notes == ()
