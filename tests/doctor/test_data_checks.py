"""Checks of data: each against a planted fault and its healthy twin, and quiet on real data."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from helpers.data import clips, labelled, pictures, table
from trainwell.checking import checkup
from trainwell.data.dataset import Column, Dataset, TableSchema
from trainwell.data.read import read
from trainwell.data.samples import is_present
from trainwell.data.split import Fold, SealedTest, Split, make_split
from trainwell.doctor.data_checks import data_checks
from trainwell.doctor.finding import Check
from trainwell.recipe import Recipe
from trainwell.techniques.preprocess import Center, LogMel, Raw, Standardize

NAMES = [
    ("D04", "missing-values"),
    ("D11", "label-coding"),
    ("D10", "misaligned-labels"),
    ("D01", "unscaled-inputs"),
    ("D02", "shrunk-twice"),
    ("D12", "drift-between-parts"),
    ("D09", "sorted-order"),
    ("D13", "leaking-column"),
    ("D13", "identifier-column"),
    ("D05", "duplicates-across-parts"),
    ("D05", "near-duplicates"),
    ("D07", "probably-wrong-labels"),
    ("D06", "conflicting-labels"),
    ("D08", "class-imbalance"),
    ("D08", "too-few-rows-per-class"),
    ("D03", "constant-columns"),
    ("D15", "validation-too-small"),
]
EMBEDDED = ["iris", "wine", "breast_cancer", "digits"]
FILES = ["letter", "shuttle", "satellite", "credit", "fsdd"]
TRUE = {"shuttle": {"class-imbalance"}}  # what is true of a healthy set


@cache
def sample(name: str) -> Dataset:
    if not is_present(name):
        pytest.skip(f"{name} is not there; name its folder in TRAINWELL_DATA")
    return read(name)


def checks(data: Dataset, seed: int = 0, split: Split | None = None, **k: Any) -> dict[str, Check]:
    """Checks by name, with time enough on a busy machine."""
    split = split or make_split(data, seed=seed, folds=5, test=0.2)
    return {c.name: c for c in data_checks(data, split, seed, seconds=120, **k)}


def loud(found: dict[str, Check]) -> set[str]:
    return {name for name, c in found.items() if c.level in ("warning", "fault")}


def with_column(data: Dataset, values: npt.NDArray[Any], name: str = "extra") -> Dataset:
    assert isinstance(data.schema, TableSchema)
    schema = dataclasses.replace(
        data.schema, columns=(*data.schema.columns, Column(name, "number"))
    )
    inputs = np.column_stack([data.inputs, values]).astype(np.float32)
    return dataclasses.replace(data, inputs=inputs, schema=schema)


def flipped(data: Dataset, share: float, seed: int) -> Dataset:
    """Some labels replaced by another class at random."""
    rng = np.random.default_rng(seed)
    labels, wrong = data.labels.copy(), rng.random(len(data)) < share
    count = len(data.classes)
    labels[wrong] = (labels[wrong] + rng.integers(1, count, wrong.sum())) % count
    return dataclasses.replace(data, labels=labels)


@pytest.mark.parametrize("data", [table(), pictures(), clips()], ids=lambda d: d.name)
def test_every_check_is_made_for_every_kind(data: Dataset) -> None:
    split = make_split(data, seed=0, folds=3, test=0.2)
    found = data_checks(data, split, seconds=120)
    assert [(c.code, c.name) for c in found] == NAMES
    assert all(c.words.endswith(".") and "nan" not in c.words for c in found)
    assert split.sealed.openings == ()


def test_labels_of_the_test_part_change_nothing() -> None:
    data = sample("wine")
    split = make_split(data, seed=0, folds=5, test=0.2)
    labels = data.labels.copy()
    sealed = np.setdiff1d(np.arange(len(data)), split.development)
    labels[sealed] = (labels[sealed] + 1) % 3
    other = dataclasses.replace(data, labels=labels)
    assert data_checks(data, split, seconds=120) == data_checks(other, split, seconds=120)


def test_what_there_is_no_time_for_is_said() -> None:
    data = table()
    found = data_checks(data, make_split(data, seed=0, folds=3, test=0.2), seconds=0)
    assert [(c.code, c.name) for c in found] == NAMES
    late = [c.name for c in found if "time for checks was up" in c.words]
    assert "near-duplicates" in late and "missing-values" not in late


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", EMBEDDED)
def test_healthy_data_raise_no_warning(name: str, seed: int) -> None:
    assert loud(checks(sample(name), seed)) == set()


@pytest.mark.parametrize("name", FILES)
def test_healthy_files_raise_no_warning(name: str) -> None:
    assert loud(checks(sample(name))) == TRUE.get(name, set())


def test_few_digits_raise_no_warning() -> None:
    data = sample("mnist")
    some = np.random.default_rng(0).permutation(60_000)[:5000]
    few = read((data.inputs[some], data.labels[some]))
    assert loud(checks(few)) == set()
    assert checks(flipped(few, 0.1, 0))["probably-wrong-labels"].level == "warning"


# Labels


@pytest.mark.parametrize("share", [0.1, 0.2])
@pytest.mark.parametrize("name", ["wine", "breast_cancer", "digits", "satellite"])
def test_wrong_labels_are_found_and_their_share_is_estimated(name: str, share: float) -> None:
    for seed in range(2):
        data = flipped(sample(name), share, seed)
        found = checks(data, seed)["probably-wrong-labels"]
        assert found.level == "warning", found.words
        assert found.value == pytest.approx(share, abs=0.07)
        assert data.names[0].split()[0].split(",")[0] in found.words  # rows are named


def test_labels_are_not_judged_where_models_are_weak() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    x = rng.normal(size=(600, 5)) + 0.6 * y[:, None] * (np.arange(5) == 0)  # 62 % at best
    found = checks(labelled(y, x))
    assert found["probably-wrong-labels"].words.startswith("Not decided")
    assert found["misaligned-labels"].level == "pass"


@pytest.mark.parametrize("tails", ["light", "heavy"])
@pytest.mark.parametrize("distance", [1.5, 2.0, 2.5])
def test_overlapping_classes_are_no_wrong_labels(distance: float, tails: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 1500)
        size = (1500, 4)
        x = rng.normal(size=size) if tails == "light" else rng.standard_t(3, size=size)
        x[:, 0] += distance * y
        assert checks(labelled(y, x), seed)["probably-wrong-labels"].level == "pass"


def test_labels_of_other_rows() -> None:
    levels = []
    for name in ("wine", "breast_cancer", "digits"):
        data = sample(name)
        assert checks(data)["misaligned-labels"].level == "pass"
        for seed in range(4):
            mixed = np.random.default_rng(seed).permutation(data.labels)
            found = checks(dataclasses.replace(data, labels=mixed))
            levels.append(found["misaligned-labels"].level)
            assert found["probably-wrong-labels"].level == "pass"
    assert "pass" not in levels
    assert levels.count("warning") >= 10  # p is below 0.05 in one of twenty by chance


def test_labels_of_uneven_classes_that_lie_apart_from_each_other_belong_to_their_rows() -> None:
    """Two inputs of equal or of opposite sign: no single one tells, and a vote of neighbours for
    the larger class never calls the other."""
    levels = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        y = (np.arange(630) % 21 == 0).astype(np.int64)
        side = rng.choice([-1.5, 1.5], 630)
        x = rng.normal(size=(630, 5))
        x[:, :2] = 0.7 * x[:, :2] + np.stack([side, np.where(y, -side, side)], axis=1)
        assert checks(labelled(y, x))["misaligned-labels"].level in ("pass", "note")
        levels.append(checks(labelled(rng.permutation(y), x))["misaligned-labels"].level)
    assert levels.count("warning") >= 3


def test_the_only_input_that_tells_uneven_classes_apart_is_no_leak() -> None:
    """Simple models on all inputs find the rare class as well, once they look for it."""
    y = (np.arange(630) % 21 == 0).astype(np.int64)
    levels = []
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(630, 5))
        x[:, 0] += 2 * y
        found = checks(labelled(y, x))
        levels.append(found["leaking-column"].level)
        assert found["misaligned-labels"].level == "pass"
    assert levels.count("pass") >= 3  # it may also do better alone
    x[:, 0] = y
    assert checks(labelled(y, x))["leaking-column"].level == "warning"


def test_one_input_of_thousands_is_enough_to_belong_together() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = rng.normal(size=(400, 3000)).astype(np.float32)
    x[:, 7] += 2 * y
    assert checks(labelled(y, x))["misaligned-labels"].level == "pass"
    assert checks(labelled(rng.permutation(y), x))["misaligned-labels"].level == "warning"


def test_equal_rows_with_different_labels_set_a_ceiling() -> None:
    data = sample("digits")
    inputs, labels = data.inputs.copy(), data.labels.copy()
    inputs[1:41:2] = inputs[:40:2]
    labels[1:41:2] = (labels[:40:2] + 1) % 10
    split = make_split(data, seed=0, folds=5, test=0)
    bad = dataclasses.replace(data, inputs=inputs, labels=labels)
    found = checks(bad, split=make_split(bad, seed=0, folds=5, test=0))["conflicting-labels"]
    assert found.level == "warning"
    assert found.value == 40 / len(data)
    assert f"{1 - 20 / len(data):.2%}" in found.words
    assert checks(data, split=split)["conflicting-labels"].value == 0


# Classes


def test_imbalance() -> None:
    for counts, level in (((100, 90), "pass"), ((100, 25), "note"), ((300, 25), "warning")):
        y = np.repeat([0, 1], counts)
        split = whole(len(y))
        found = checks(labelled(y), split=split)["class-imbalance"]
        assert found.level == level and found.value == pytest.approx(counts[0] / counts[1])


def whole(rows: int) -> Split:
    """One fold over all rows."""
    every = np.arange(rows)
    held = every % 4 == 0
    fold = Fold(every[~held], every[held])
    return Split(every, (fold,), SealedTest(every[:0]), ())


def test_classes_with_few_rows() -> None:
    found = checks(sample("wine"))
    assert found["too-few-rows-per-class"].level == "pass"
    data = labelled(np.repeat([0, 1, 2], [100, 60, 8]))
    rare = checks(data, split=whole(len(data)))["too-few-rows-per-class"]
    assert rare.level == "note" and '"c2" 6' in rare.words


def test_one_class_in_two_spellings_and_a_class_without_rows() -> None:
    data = table(classes=3)
    twice = dataclasses.replace(data, classes=("cat", "Cat ", "dog"))
    assert checks(twice)["label-coding"].level == "warning"
    spare = dataclasses.replace(data, classes=("cat", "cow", "dog", "emu"))
    found = checks(spare)["label-coding"]
    assert found.level == "warning" and '"emu"' in found.words
    letters = dataclasses.replace(data, classes=("a", "A", "b"))
    assert checks(letters)["label-coding"].level == "pass"


def test_sorted_order_matters_where_rows_are_not_shuffled() -> None:
    data = sample("iris")
    levels = {
        how: checks(data, shuffle=how)["sorted-order"].level
        for how in ("every_epoch", "once", "never", "by_class")
    }
    assert levels == {"every_epoch": "note", "once": "note", "never": "fault", "by_class": "fault"}
    mixed = np.random.default_rng(0).permutation(len(data))
    shuffled = dataclasses.replace(data, inputs=data.inputs[mixed], labels=data.labels[mixed])
    assert checks(shuffled, shuffle="never")["sorted-order"].level == "pass"


def test_few_validation_rows_are_said() -> None:
    data = table(rows=60)
    assert checks(data)["validation-too-small"].level == "note"
    assert checks(sample("digits"))["validation-too-small"].level == "pass"


# Inputs


def test_scale_is_judged_by_what_the_network_sees() -> None:
    wine, iris = sample("wine"), sample("iris")
    levels = [
        checks(wine)["unscaled-inputs"].level,
        checks(wine, preprocess=(Standardize(),))["unscaled-inputs"].level,
        checks(wine, preprocess=(Raw(),))["unscaled-inputs"].level,
        checks(wine, preprocess=(Center(),))["unscaled-inputs"].level,
        checks(iris, preprocess=(Raw(),))["unscaled-inputs"].level,
        checks(iris, preprocess=(Center(),))["unscaled-inputs"].level,
    ]
    assert levels == ["pass", "pass", "fault", "fault", "warning", "pass"]
    assert "proline" in checks(wine)["unscaled-inputs"].words
    assert checks(sample("digits"), preprocess=(Raw(),))["unscaled-inputs"].level == "pass"
    assert checks(clips(), preprocess=(LogMel(),))["unscaled-inputs"].level == "fault"
    good = checks(clips(), preprocess=(LogMel(), Standardize()))
    assert good["unscaled-inputs"].level == "pass"


def test_pixels_divided_twice() -> None:
    data = sample("digits")
    dark = dataclasses.replace(data, inputs=(data.inputs // 16).astype(np.uint8))
    assert checks(dark)["shrunk-twice"].level == "note"
    assert checks(dark, preprocess=(Raw(),))["shrunk-twice"].level == "warning"
    assert checks(data, preprocess=(Raw(),))["shrunk-twice"].level == "pass"
    small = dataclasses.replace(sample("iris"), inputs=sample("iris").inputs / 255)
    assert checks(small)["shrunk-twice"].level == "pass"
    assert checks(small, preprocess=(Raw(),))["shrunk-twice"].level == "warning"


def test_constant_columns_are_named() -> None:
    data = sample("wine")
    found = checks(with_column(data, np.ones(len(data)), "always one"))["constant-columns"]
    assert found.level == "note" and '"always one"' in found.words
    assert checks(data)["constant-columns"].level == "pass"


@pytest.mark.parametrize("mark", [-999.0, 9999.0, 1e6])
def test_numbers_that_stand_for_missing_ones(mark: float) -> None:
    data = sample("breast_cancer")
    rng = np.random.default_rng(0)
    inputs = data.inputs.copy()
    inputs[rng.random(len(data)) < 0.04, 3] = mark
    found = checks(dataclasses.replace(data, inputs=inputs))["missing-values"]
    assert found.level == "warning" and f"{mark:g}" in found.words and '"mean area"' in found.words


def test_missing_and_infinite_values() -> None:
    data = sample("wine")
    inputs = data.inputs.copy()
    inputs[::3, 2] = np.nan
    found = checks(dataclasses.replace(data, inputs=inputs))
    assert found["missing-values"].level == "note" and loud(found) == set()
    inputs[5, 2] = np.inf
    split = make_split(data, seed=0, folds=5, test=0)
    found = checks(dataclasses.replace(data, inputs=inputs), split=split)
    assert found["missing-values"].level == "fault"


# Leaks


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_a_column_that_knows_the_answer(name: str) -> None:
    data = sample(name)
    rng = np.random.default_rng(0)
    for column in (data.labels, data.labels + rng.normal(0, 0.1, len(data))):
        found = checks(with_column(data, column))["leaking-column"]
        assert found.level == "warning" and '"extra"' in found.words
    assert checks(with_column(data, rng.normal(size=len(data))))["leaking-column"].level == "pass"


def test_a_pixel_that_knows_the_answer() -> None:
    data = sample("digits")
    inputs = data.inputs.copy()
    inputs[:, 0, 0, 7] = data.labels * 20
    found = checks(dataclasses.replace(data, inputs=inputs))["leaking-column"]
    assert found.level == "warning" and "line 1, column 8" in found.words


def test_a_column_that_numbers_the_rows() -> None:
    iris, cancer = sample("iris"), sample("breast_cancer")
    sort = checks(with_column(iris, np.arange(len(iris))))["identifier-column"]
    assert sort.level == "warning"  # the file is sorted by class
    mixed = np.random.default_rng(0).permutation(len(cancer)) + 1000
    found = checks(with_column(cancer, mixed))["identifier-column"]
    assert found.level == "note" and '"extra"' in found.words
    assert checks(cancer)["identifier-column"].level == "pass"


# Drift


def test_parts_that_were_prepared_differently() -> None:
    data = sample("breast_cancer")
    test = np.arange(len(data)) % 4 == 0
    official = dataclasses.replace(data, official_test=test)
    assert checks(official)["drift-between-parts"].level == "pass"
    inputs = data.inputs.copy()
    inputs[test] *= 1.5
    found = checks(dataclasses.replace(official, inputs=inputs))["drift-between-parts"]
    assert found.level == "warning" and "deviations apart" in found.words


@pytest.mark.parametrize("seed", range(6))
def test_random_parts_do_not_differ(seed: int) -> None:
    for name in ("iris", "wine", "digits"):
        assert checks(sample(name), seed)["drift-between-parts"].level == "pass"


def test_a_file_is_called_sorted_only_where_batches_are_of_one_class() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3))
    mixed = (rng.random(600) < 0.5).astype(np.int64)
    stays = rng.random(600) < 0.4  # rows whose class is that of the row before
    clumped = mixed.copy()
    for i in range(1, 600):
        clumped[i] = clumped[i - 1] if stays[i] else mixed[i]
    found = {}
    for name, y in (("clumped", clumped), ("sorted", np.sort(mixed))):
        data = labelled(y, x)
        found[name] = checks(data)["sorted-order"]
        assert found[name].level == "note"
    assert "rows of a class tend to follow each other" in found["clumped"].words
    assert "The file is sorted by class" in found["sorted"].words
    shown = checks(labelled(clumped, x), shuffle="never")["sorted-order"]
    assert shown.level == "warning" and "sorted:" not in shown.words


def test_one_column_and_many_are_said_in_good_english() -> None:
    data = with_column(table(), np.ones(len(table())), "still")
    assert '1 column never changes: "still"' in checks(data)["constant-columns"].words
    data = with_column(data, np.ones(len(data)), "quiet")
    assert "2 columns never change" in checks(data)["constant-columns"].words


def test_one_problem_is_one_row_of_data_and_network_together() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    data = labelled(y, 1000 * rng.normal(size=(300, 4)) + 500 * y[:, None])
    recipe = Recipe(preprocess=(Center(),))
    split = make_split(data, seed=0, folds=3, test=0.2)
    found = checkup(data, recipe, split, 0, 60.0)
    for code in ("D01", "D02"):
        assert len([c for c in found.checks if c.code == code]) == 1
    assert found.worst == "fault"
    keys = [(c.code, c.name) for c in found.checks]
    assert len(keys) == len(set(keys))
