"""Which mistakes are shown, and why: planted ones are found, in order, with their odd values."""

from __future__ import annotations

import numpy as np
import pytest

from trainwell.data.dataset import Column, Dataset, ImageSchema, TableSchema
from trainwell.mistakes import pictured, unusual_values, worst_mistakes
from trainwell.results import reliability_table


def table(inputs: np.ndarray, labels: np.ndarray) -> Dataset:
    columns = [Column("width", "number"), Column("when", "date"), Column("height", "number")]
    columns.append(Column("colour", "category", ("red", "blue")))
    schema = TableSchema(tuple(columns), "kind")
    names = [f"line {i}" for i in range(len(labels))]
    return Dataset("planted", schema, inputs, labels, ("no", "yes"), names)


@pytest.fixture
def planted() -> Dataset:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 7)).astype(np.float32)
    inputs[:, 6] = 0
    inputs[3, 0] = 40.0  # width
    inputs[3, 5] = -9.0  # height: 1 width, 4 parts of the date, then height
    inputs[3, 2] = 1e6  # a part of a date says nothing
    inputs[3, 6] = 1
    inputs[4, 0] = np.nan
    return table(inputs, rng.integers(0, 2, 200))


def test_the_surest_mistakes_come_first_and_right_answers_never(planted: Dataset) -> None:
    rows = np.arange(100)
    sure = np.linspace(0.5, 0.99, 100)
    said = planted.labels[rows].copy()
    said[[3, 50, 80]] = 1 - said[[3, 50, 80]]
    probabilities = np.where(said[:, None] == np.arange(2), sure[:, None], 1 - sure[:, None])
    found = worst_mistakes(planted, rows, probabilities, np.arange(100, 200))
    assert [m["row"] for m in found] == [80, 50, 3]
    assert found[0]["confidence"] == pytest.approx(sure[80])
    assert found[0]["given"] == pytest.approx(1 - sure[80])
    assert found[2]["where"] == "line 3"
    assert found[2]["label"] == planted.classes[planted.labels[3]] != found[2]["said"]
    odd = {u["column"]: u for u in found[2]["unusual"]}
    assert {"width", "height", "colour"} <= set(odd) <= {"width", "height", "colour", "when"}
    assert odd["width"]["value"] == 40.0
    low, high = odd["width"]["usual"]
    assert -2.5 < low < -1 < 1 < high < 2.5


def test_only_training_rows_say_what_is_usual(planted: Dataset) -> None:
    shifted = planted.inputs.copy()
    shifted[:100, [0, 5]] += 1000  # rows that are judged
    moved = table(shifted, planted.labels)
    (found,) = unusual_values(moved, np.array([10]), np.arange(100, 200))
    assert all(u["usual"][1] < 10 for u in found)


def test_a_missing_value_is_not_unusual(planted: Dataset) -> None:
    planted.inputs[4] = np.nan
    assert unusual_values(planted, np.array([4]), np.arange(100, 200)) == [[]]


def test_ordinary_values_are_not_named(planted: Dataset) -> None:
    """Something is always furthest from the middle; only what few training rows reach is odd."""
    training = np.arange(100, 200)
    ordinary = planted.inputs.copy()
    ordinary[7] = np.median(planted.inputs[training], axis=0)
    data = table(ordinary, planted.labels)
    assert unusual_values(data, np.array([7]), training) == [[]]
    rng = np.random.default_rng(1)
    many = table(rng.normal(size=(2000, 7)).astype(np.float32), np.zeros(2000, np.int64))
    found = unusual_values(many, np.arange(1000), np.arange(1000, 2000))
    named = np.mean([sum(u["column"] in ("width", "height") for u in mine) for mine in found])
    assert 0.1 < named < 0.3  # two columns, one value in ten of each


def test_rare_words_and_dates_are_told_in_words(planted: Dataset) -> None:
    inputs = planted.inputs.copy()
    inputs[:, 1] = 19000 + np.arange(200) % 100  # days
    inputs[5, 1], inputs[5, 6] = 25000, 1
    (found,) = unusual_values(
        table(inputs, planted.labels), np.array([5]), np.arange(100, 200), most=9
    )
    told = {u["column"]: u for u in found}
    assert told["when"]["value"] == "2038-06-13"
    assert told["when"]["usual"] == ["2022-01-12", "2022-04-12"]
    assert told["colour"] == {"column": "colour", "value": "blue", "share": 0.0}


def test_a_constant_column_and_a_column_without_values() -> None:
    inputs = np.zeros((50, 7), np.float32)
    inputs[:, 6] = np.arange(50) % 2
    inputs[:, 5] = np.nan
    inputs[0, 0], inputs[0, 5] = 3.0, 2.0
    (found,) = unusual_values(
        table(inputs, np.zeros(50, np.int64)), np.array([0]), np.arange(1, 50)
    )
    assert [(u["column"], u["value"]) for u in found] == [("width", 3.0)]


def test_pictures_come_in_the_order_of_the_mistakes() -> None:
    inputs = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 4, 4), np.uint8)
    names = [str(i) for i in range(10)]
    labels = np.zeros(10, np.int64)
    data = Dataset("pictures", ImageSchema(1, 4, 4), inputs, labels, ("a", "b"), names)
    probabilities = np.tile([0.9, 0.1], (10, 1))
    probabilities[[2, 7]] = [[0.3, 0.7], [0.1, 0.9]]
    found = worst_mistakes(data, np.arange(10), probabilities, np.arange(10))
    assert pictured(data, found)[:, 0, 0, 0].tolist() == [7, 2]
    assert pictured(data, []) is None


def test_reliability_of_a_calibrated_and_an_overconfident_network() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1.0, 5000)
    labels = (rng.random(5000) > sure).astype(np.int64)  # 0 with probability `sure`
    fair = np.stack([sure, 1 - sure], axis=1)
    bins = reliability_table(labels, fair)
    assert len(bins) == 10 and sum(b["n"] for b in bins) == 5000
    inside = sum(b["accuracy"]["low"] <= b["confidence"] <= b["accuracy"]["high"] for b in bins)
    assert inside >= 8
    bold = np.stack([0.5 + sure / 2, 0.5 - sure / 2], axis=1)
    outside = [
        b for b in reliability_table(labels, bold) if b["confidence"] > b["accuracy"]["high"]
    ]
    assert len(outside) >= 8


def test_reliability_keeps_equally_sure_rows_together() -> None:
    probabilities = np.tile([0.8, 0.2], (100, 1))
    bins = reliability_table(np.zeros(100, np.int64), probabilities)
    assert [(b["n"], b["accuracy"]["value"]) for b in bins] == [(100, 1.0)]
    assert reliability_table(np.zeros(3, np.int64), probabilities[:3])[0]["n"] == 3
