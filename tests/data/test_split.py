"""Splits: nothing straddles, nothing is lost, rare cases are answered in words."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data import labelled
from trainwell.data.dataset import Dataset
from trainwell.data.split import SealedTest, Split, make_split, sample_rows, units_of
from trainwell.errors import DataError, UserError


def split_of(data: Dataset, seed: int = 0, folds: int = 5, test: float = 0.2) -> Split:
    return make_split(data, seed=seed, folds=folds, test=test)


def parts_of(split: Split) -> list[set[int]]:
    return [set(f.validation.tolist()) for f in split.folds]


@st.composite
def datasets(draw: st.DrawFn, groups: bool = False) -> Dataset:
    """Two to four classes of up to 30 rows in mixed order, some rows exact copies of others."""
    least = 20 if groups else 8  # fewer rows with groups: see TINY below
    counts = draw(st.lists(st.integers(least, 30), min_size=2, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(labels)
    x = np.arange(n, dtype=np.float32)[:, None]
    copies = rng.permutation(n)[: draw(st.integers(0, n // 4))]
    x[copies] = x[rng.integers(0, n, len(copies))]
    number = rng.integers(0, draw(st.integers(8, 20)), n) if groups else None
    return labelled(labels, x, number)


settings_of = {
    "seed": st.integers(0, 99),
    "folds": st.integers(1, 6),
    "test": st.sampled_from([0, 0.1, 0.2, 0.35]),
}


def check_partition(data: Dataset, split: Split) -> None:
    test = set(split.sealed.open("test").tolist())
    development = set(split.development.tolist())
    assert not test & development
    assert test | development == set(range(len(data)))
    for fold in split.folds:
        train, held = set(fold.train.tolist()), set(fold.validation.tolist())
        assert train and held
        assert not train & held
        assert train | held == development
        assert (np.diff(fold.train) > 0).all() and (np.diff(fold.validation) > 0).all()
    assert all(not a & b for a, b in itertools.combinations(parts_of(split), 2))


def check_units(data: Dataset, split: Split, kept: np.ndarray[Any, Any]) -> None:
    """Rows with one number in `kept` (N,) are all on the same side of every boundary."""
    test = split.sealed.open("test")
    assert not set(kept[test]) & set(kept[split.development])
    for fold in split.folds:
        assert not set(kept[fold.train]) & set(kept[fold.validation])


@given(data=datasets(), **settings_of)
def test_folds_partition_the_development_rows(
    data: Dataset, seed: int, folds: int, test: float
) -> None:
    split = split_of(data, seed, folds, test)
    check_partition(data, split)
    check_units(data, split, data.inputs[:, 0])
    assert len(split.folds) <= max(1, folds)
    assert (len(split.sealed) > 0) == (test > 0)
    if folds > 1:
        single = units_of(data)[0][split.development]
        validated = set().union(*parts_of(split))
        missing = set(split.development.tolist()) - validated
        # Only classes of a single unit are never validated.
        for row in missing:
            mine = data.labels[split.development] == data.labels[row]
            first = {u: data.labels[np.flatnonzero(units_of(data)[0] == u)[0]] for u in single}
            assert mine.sum() and list(first.values()).count(data.labels[row]) <= 1


@given(data=datasets(groups=True), **settings_of)
def test_groups_never_straddle(data: Dataset, seed: int, folds: int, test: float) -> None:
    try:
        split = split_of(data, seed, folds, test)
    except DataError as error:  # one connected unit holds nearly all rows
        assert "rows" in str(error)
        return
    check_partition(data, split)
    assert data.groups is not None
    check_units(data, split, data.groups)
    check_units(data, split, data.inputs[:, 0])
    check_units(data, split, units_of(data)[0])


def test_chains_of_groups_and_duplicates_are_one_unit() -> None:
    # Group 0 and 1 share a row's inputs, 1 and 2 another's; 3 stands alone.
    x = np.array([0, 1, 1, 2, 2, 3, 4, 5], np.float32)[:, None]
    data = labelled([0, 1] * 4, x, [0, 0, 1, 1, 2, 2, 3, 3])
    units, notes = units_of(data)
    assert len(set(units[:6])) == 1
    assert len(set(units)) == 2
    assert notes == ("4 groups became 2: groups that share exact duplicates stay together",)
    assert units_of(labelled([0, 1] * 4, None, [0, 0, 1, 1, 2, 2, 3, 3]))[1] == ()


@given(
    st.lists(st.integers(12, 60), min_size=2, max_size=5),
    st.integers(0, 99),
    st.integers(2, 5),
)
def test_classes_are_in_proportion(counts: list[int], seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    data = labelled(rng.permutation(np.repeat(np.arange(len(counts)), counts)))
    split = split_of(data, seed, folds, 0.2)
    test = data.labels[split.sealed.open("x")]
    inside = np.bincount(data.labels[split.development], minlength=len(counts))
    for c, count in enumerate(counts):
        assert abs((test == c).sum() - 0.2 * count) <= 1
        for fold in split.folds:
            held = (data.labels[fold.validation] == c).sum()
            assert abs(held - inside[c] / folds) <= 1
    assert split.notes == ()


@given(datasets(), st.integers(0, 99))
def test_the_same_seed_gives_the_same_split(data: Dataset, seed: int) -> None:
    a, b = split_of(data, seed), split_of(data, seed)
    assert a.sealed.open("x").tolist() == b.sealed.open("x").tolist()
    assert [f.validation.tolist() for f in a.folds] == [f.validation.tolist() for f in b.folds]


def test_another_seed_gives_another_split() -> None:
    for groups in (None, np.arange(90) // 3):
        data = labelled(np.arange(90) % 3, None, groups)
        a, b = split_of(data, 0), split_of(data, 1)
        assert a.sealed.open("x").tolist() != b.sealed.open("x").tolist()
        assert parts_of(a) != parts_of(b)
        assert parts_of(split_of(data, 0, test=0)) != parts_of(split_of(data, 1, test=0))
        if groups is None:  # the seed of the folds is not that of the test part
            again = split_of(data, 0, test=0)
            assert not np.array_equal(again.folds[0].validation, a.sealed.open("x"))


def test_changing_the_number_of_folds_leaves_the_test_part() -> None:
    data = labelled(np.arange(90) % 3)
    sealed = [split_of(data, 3, folds).sealed.open("x").tolist() for folds in (1, 2, 5, 10)]
    assert all(s == sealed[0] for s in sealed)


def test_openings_are_counted() -> None:
    split = split_of(labelled(np.arange(60) % 2))
    assert split.sealed.openings == ()
    assert len(split.sealed) == 12  # its size is no secret
    assert split.sealed.openings == ()
    split.sealed.open("final score")
    split.sealed.open("again")
    assert split.sealed.openings == ("final score", "again")
    assert SealedTest(np.array([], np.int64)).openings == ()


def test_one_fold_holds_out_one_part() -> None:
    small = split_of(labelled(np.arange(100) % 2), folds=1)
    assert [len(f.validation) for f in small.folds] == [16]
    large = split_of(labelled(np.arange(30000) % 2), folds=1)
    assert [len(f.validation) for f in large.folds] == [2400]


def test_no_test_part() -> None:
    split = split_of(labelled(np.arange(50) % 2), test=0)
    assert len(split.sealed) == 0
    assert len(split.development) == 50
    assert set().union(*parts_of(split)) == set(range(50))


def test_rare_classes() -> None:
    """Classes of 1, 2 and 3 rows beside one of 50."""
    data = labelled([0] * 50 + [1] * 3 + [2] * 2 + [3])
    split = split_of(data, test=0)
    check_partition(data, split)
    held = np.concatenate([f.validation for f in split.folds])
    assert 55 not in held  # the only row of class 3 always trains
    assert set(range(50, 55)) <= set(held.tolist())
    assert all(55 in f.train for f in split.folds)
    # At most one row of a rare class is held out at once.
    for fold in split.folds:
        assert (data.labels[fold.validation] == 2).sum() <= 2
    assert split.notes == (
        'one different row only, hence trained but not validated: "c3"',
        'fewer different rows than the 5 folds, hence not in every fold: "c1", "c2"',
    )
    tested = split_of(data, test=0.2)
    check_partition(data, tested)
    assert 55 in tested.development
    (note,) = [n for n in tested.notes if n.startswith("not in the test part, hence not measured")]
    assert '"c3"' in note


def test_a_class_whose_rows_are_all_equal_counts_as_one() -> None:
    x = np.r_[np.arange(40), [99] * 6].astype(np.float32)[:, None]
    split = split_of(labelled([0, 1] * 20 + [2] * 6, x), test=0)
    assert all(set(range(40, 46)) <= set(f.train.tolist()) for f in split.folds)


def test_one_group_per_class() -> None:
    data = labelled(np.repeat([0, 1, 2, 3], 20), None, np.repeat([0, 1, 2, 3], 20))
    split = split_of(data, test=0, folds=2)
    check_partition(data, split)
    words = "one group only, hence the folds that are validated on it do not train it: "
    assert words + '"c0", "c1", "c2", "c3"' in split.notes
    with pytest.raises(DataError, match=r"outside the test part there are 20 rows of 1 class"):
        split_of(labelled([0] * 20 + [1] * 20, None, [0] * 20 + [1] * 20))


def test_groups_of_the_test_part_are_named() -> None:
    data = labelled(np.arange(100) % 2, None, np.arange(100) // 10)
    split = split_of(data)
    assert data.groups is not None
    groups = sorted(set(data.groups[split.sealed.open("x")]))
    names = ", ".join(f"g{g}" for g in groups)
    assert split.notes[0] == f"test part: 20 rows of 2 unseen groups ({names})"


def test_fewer_groups_than_folds() -> None:
    data = labelled(np.arange(60) % 2, None, np.arange(60) // 20)
    split = split_of(data, folds=5, test=0)
    assert len(split.folds) == 3
    assert split.notes[0] == "3 folds instead of 5: there are too few groups to divide"


def test_many_rare_classes_are_named_in_one_line() -> None:
    data = labelled([0, 1] * 20 + list(range(2, 14)))
    (note,) = split_of(data, test=0).notes
    assert note.endswith('"c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9" and 4 more')


def official(labels: Any, test: Any, x: Any = None, groups: Any = None) -> Dataset:
    inputs = None if x is None else np.asarray(x, np.float32)[:, None]
    return labelled(labels, inputs, groups, np.asarray(test, bool))


def test_official_test_part_with_twins() -> None:
    labels = np.arange(60) % 2
    x = np.arange(60.0)
    x[[3, 4]] = x[59]  # two training rows are the same as a test row
    data = official(labels, np.arange(60) >= 50, x)
    split = split_of(data, test=0.2)
    assert split.sealed.open("x").tolist() == list(range(50, 60))
    assert split.development.tolist() == [i for i in range(50) if i not in (3, 4)]
    words = "2 training rows left out: their exact twins are in the test part"
    assert words in split.notes
    for fold in split.folds:
        assert set(fold.train) | set(fold.validation) == set(split.development)


def test_official_test_part_with_shared_groups() -> None:
    data = official(np.arange(40) % 2, np.arange(40) >= 30, None, np.arange(40) % 10)
    split = split_of(data)
    assert len(split.development) == 30  # only twins are left out, not groups
    assert any(
        "10 groups are in the training and in the test part (g0, g1" in n for n in split.notes
    )
    assert any("will look better than it is" in n for n in split.notes)


def test_classes_only_on_one_side_are_named() -> None:
    data = official([0, 1] * 20 + [0, 2] * 5, np.arange(50) >= 40)
    notes = split_of(data).notes
    assert 'not in the test part, hence not measured there: "c1"' in notes
    assert 'only in the test part, hence never learned: "c2"' in notes
    assert 'no training rows, hence not learned: "c2"' in notes


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0, float("nan")])
def test_wrong_shares(share: float) -> None:
    with pytest.raises(UserError, match=r"--test: expected a share from 0 to below 1, or a file"):
        split_of(labelled([0, 1] * 9), test=share)


def test_nothing_left_to_train() -> None:
    with pytest.raises(DataError, match=r"there are 0 rows of 0 class.*Give more rows"):
        split_of(official([0, 1, 0, 1], [True] * 4))
    with pytest.raises(DataError, match=r"rows of 1 class"):
        split_of(labelled([0] * 30), test=0)


TINY = [
    pytest.param([0, 1, 2], None, None, 0.2, 5, id="one row per class"),
    pytest.param([0, 1], None, None, 0.0, 5, id="two rows"),
    pytest.param([0, 0, 1, 2, 3], None, None, 0.0, 5, id="mostly single rows"),
    pytest.param([0, 0, 1, 1], None, None, 0.2, 5, id="two rows per class"),
    pytest.param([0, 1] * 30, None, None, 0.99, 5, id="nearly everything in the test part"),
    pytest.param([0, 1] * 30, [7] * 60, None, 0.0, 5, id="all rows equal"),
    pytest.param([0, 1] * 30, [7] * 60, None, 0.2, 5, id="all rows equal, test part"),
    pytest.param([0, 1] * 3, None, list(range(6)), 0.0, 5, id="rows per class"),
    pytest.param([0, 1] * 3, None, list(range(6)), 0.2, 5, id="rows per class, test"),
    pytest.param([0, 1] * 8, None, np.arange(16) % 12, 0.1, 5, id="ten parts of 8"),
    pytest.param([0, 1] * 30, None, [0] * 60, 0.2, 5, id="one group"),
    pytest.param([0, 1] * 30, None, [0] * 60, 0.0, 5, id="one group, no test part"),
    pytest.param([0, 1] * 30, None, [0] * 30 + [1] * 30, 0.2, 5, id="two groups"),
]


@pytest.mark.parametrize(("labels", "x", "groups", "test", "folds"), TINY)
def test_tiny_data_are_answered(labels: Any, x: Any, groups: Any, test: float, folds: int) -> None:
    """Either a usable split, or a DataError in our words; never a traceback."""
    inputs = None if x is None else np.asarray(x, np.float32)[:, None]
    data = labelled(labels, inputs, groups)
    try:
        split = split_of(data, folds=folds, test=test)
    except DataError as error:
        assert "Give more rows" in str(error)
        return
    check_partition(data, split)


@given(st.integers(1, 200), st.integers(0, 50))
def test_samples_keep_the_proportions(size: int, seed: int) -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 20])
    rows = np.arange(10, 160)
    found = sample_rows(rows, labels, size, seed)
    assert len(found) == min(size, 150)
    assert set(found) <= set(rows)
    assert (np.diff(found) > 0).all()
    share = np.bincount(labels[found], minlength=3) / len(found)
    assert np.abs(share - np.array([90, 40, 20]) / 150).max() <= 1.5 / len(found)
    assert np.array_equal(found, sample_rows(rows, labels, size, seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("combinations", [4, 6, 9])
def test_few_different_rows_among_many_are_divided(combinations: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = np.r_[np.arange(combinations), rng.integers(0, combinations, 300 - combinations)]
    data = labelled(rng.permutation(np.arange(300) % 2), kind.astype(np.float32)[:, None])
    split = split_of(data, seed)
    check_partition(data, split)
    assert 0 < len(split.folds) < combinations


def test_one_row_given_many_times_cannot_be_divided() -> None:
    for count in (1, 2):
        x = (np.arange(300) % count).astype(np.float32)[:, None]
        with pytest.raises(
            DataError, match=r"too few different rows|of one group|all rows are equal"
        ):
            split_of(labelled(np.arange(300) // 2 % 2, x))
