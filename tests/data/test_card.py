"""The lines about columns, the rows that are shown, and the repeats that are named."""

from __future__ import annotations

import numpy as np

from trainwell.data.card import column_table, example_rows, first_repeats
from trainwell.data.dataset import Column, Dataset, ImageSchema, TableSchema


def planted() -> Dataset:
    columns = (
        Column("width", "number"),
        Column("when", "date", ("ISO8601",)),
        Column("colour", "category", ("red", "blue", "green")),
        Column("new", "boolean"),
    )
    rows = [
        [1.5, 19000, 1, 6, 0, 0, 1],
        [np.nan, 19010, 1, 2, 0, 1, 0],
        [-2.0, np.nan, np.nan, np.nan, np.nan, 1, 1],
        [1.5, 19000, 1, 6, 0, 0, 1],
    ]
    names = [f"line {k}" for k in range(2, 6)]
    labels = np.array([1, 1, 0, 1])
    schema = TableSchema(columns, "kind")
    return Dataset("planted", schema, np.array(rows, np.float32), labels, ("a", "b"), names)


def test_every_column_has_its_line() -> None:
    width, when, colour, new = column_table(planted())
    assert width == {"name": "width", "type": "number", "missing": 1, "low": -2.0, "high": 1.5}
    assert (when["low"], when["high"], when["missing"]) == ("2022-01-08", "2022-01-18", 1)
    assert colour["levels"] == 2 and colour["frequent"] == {"red": 2, "blue": 2}
    assert new["frequent"] == {"yes": 3, "no": 1}


def test_examples_are_of_every_class_and_of_the_rows_that_may_be_shown() -> None:
    found = example_rows(planted(), np.array([1, 2, 3]))
    assert [(e["where"], e["label"]) for e in found] == [
        ("line 3", "b"),
        ("line 4", "a"),
        ("line 5", "b"),
    ]
    assert found[0]["values"] == ["–", "2022-01-18", "blue", "no"]
    assert found[1]["values"] == ["-2", "–", "blue", "yes"]
    assert example_rows(planted(), np.array([2])) == [found[1]]


def test_the_first_repeats_are_named_with_what_they_repeat() -> None:
    assert first_repeats(planted()) == [["line 2", "line 5"]]
    inputs = np.zeros((9, 1, 2, 2), np.uint8)
    inputs[:2] = [[[[1, 0], [0, 0]]], [[[2, 0], [0, 0]]]]
    names = [f"{k}.png" for k in range(9)]
    data = Dataset("d", ImageSchema(1, 2, 2), inputs, np.zeros(9, np.int64), ("a",), names)
    assert first_repeats(data) == [["2.png", f"{k}.png"] for k in range(3, 8)]
    assert column_table(data) == example_rows(data, np.arange(9)) == []
