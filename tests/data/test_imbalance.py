"""Imbalance in numbers and words, the metric that decides, rows of tiny classes in each part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data import labelled
from trainwell.data.imbalance import (
    deciding_metric,
    few_words,
    imbalance_of,
    imbalance_table,
    too_few,
    unmeasured,
)
from trainwell.data.split import make_split
from trainwell.stats import wilson

NAMES = [f"c{c}" for c in range(20)]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any))
def test_effective_classes_lie_between_one_and_their_number(counts: list[int]) -> None:
    found = imbalance_of(np.array(counts), NAMES)
    present = [n for n in counts if n]
    assert 1 - 1e-9 <= found.effective <= len(present) + 1e-9
    assert found.ratio == max(present) / min(present)
    assert found.majority_error == pytest.approx(1 - max(present) / sum(present))


def test_equal_classes_are_all_effective() -> None:
    found = imbalance_of(np.full(7, 30), NAMES)
    assert found.effective == pytest.approx(7) and not found.imbalanced
    assert found.words == "All 7 classes have 30 rows."


@pytest.mark.parametrize(
    ("counts", "metric"),
    [((300, 100), "accuracy"), ((301, 100), "balanced_accuracy"), ((50, 0, 50), "accuracy")],
)
def test_the_metric_follows_from_the_sizes(counts: tuple[int, ...], metric: str) -> None:
    found = deciding_metric(imbalance_of(np.array(counts), NAMES))
    assert found.name == metric and not found.asked
    assert deciding_metric(imbalance_of(np.array(counts), NAMES), "log_loss").name == "log_loss"


@given(st.integers(1, 200))
def test_a_class_is_too_small_when_its_recall_would_be_known_badly(rows: int) -> None:
    interval = wilson(0.9 * rows, rows)
    assert bool(too_few(np.array([rows]), ["a"])) == (interval.high - interval.low > 0.2)


def test_words_say_what_cannot_be_measured() -> None:
    counts = np.array([400, 8, 0])
    few = too_few(counts, ("big", "tiny", "none"))
    words = few_words(few, "test")
    assert '"tiny" (8 rows' in words and '"none" (none)' in words and '"big"' not in words
    table = imbalance_table(imbalance_of(counts, ("big", "tiny", "none")), few, "test")
    assert table["majority_errors"] == 8 and table["imbalanced"]
    assert words in table["words"] and "50.0 to 1" in table["words"]


def test_classes_without_rows_are_named_and_counted() -> None:
    def found(*counts: int) -> str:
        told = unmeasured(np.array(counts), NAMES[: len(counts)], "test", "do this")
        assert told is not None and told["classes"] == [
            name for name, n in zip(NAMES, counts, strict=False) if not n
        ]
        assert told["words"].endswith(": do this") and told["share"] in told["words"]
        return str(told["words"])

    assert unmeasured(np.array([3, 1]), NAMES[:2], "test", "do this") is None
    assert 'only 1 of 2 classes could be measured, no test row is "c1"' in found(5, 0)
    assert 'only 1 of 4 classes could be measured, no test row is "c1", "c2" or "c3"' in found(
        5, 0, 0, 0
    )
    assert '2 of 7 classes could be measured, no test row is "c1", "c2", "c3" and 2 more' in found(
        5, 0, 0, 0, 0, 0, 9
    )


@pytest.mark.parametrize("folds", [1, 3, 5])
@pytest.mark.parametrize("tiny", [3, 4, 10])
def test_a_tiny_class_has_rows_in_every_part(tiny: int, folds: int) -> None:
    data = labelled(np.repeat([0, 1, 2], [900, 300, tiny]))
    for seed in range(20):
        split = make_split(data, seed=seed, folds=folds, test=0.2)
        test = split.sealed.open("test")
        assert len(test) == round(0.2 * len(data))
        assert (data.labels[test] == 2).any()
        held = [(data.labels[f.validation] == 2).sum() for f in split.folds]
        assert all((data.labels[f.train] == 2).any() for f in split.folds)
        if folds == 1:
            assert held[0] >= 1
        else:  # each of its rows validates once, in as many folds as there are rows
            rows = tiny - (data.labels[test] == 2).sum()
            assert sum(held) == rows and sum(h > 0 for h in held) == min(rows, folds)


def test_many_tiny_classes_are_spread_over_the_folds() -> None:
    data = labelled(np.concatenate([np.zeros(500, int), np.repeat(np.arange(1, 31), 3)]))
    split = make_split(data, seed=0, folds=5, test=0)
    sizes = [len(f.validation) for f in split.folds]
    assert max(sizes) - min(sizes) <= 2


def test_probabilities_for_even_classes_are_told() -> None:
    found = imbalance_of(np.array([90, 10]), ("no", "yes"))
    words = str(imbalance_table(found, (), "test", even="LogitAdjust()")["words"])
    assert "With LogitAdjust() probabilities lean towards rare classes" in words
    assert "probabilities lean" not in str(imbalance_table(found, (), "test")["words"])
