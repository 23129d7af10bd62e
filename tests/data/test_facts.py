"""Facts and row keys."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainwell.data.dataset import AudioSchema, Column, Dataset, ImageSchema, TableSchema
from trainwell.data.facts import facts
from trainwell.data.keys import row_keys

tables = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=5),
    elements=st.sampled_from([0.0, -0.0, 1.0, float("nan")]),
)


@given(tables)
def test_keys_are_equal_exactly_where_rows_are(rows: np.ndarray) -> None:
    keys = row_keys(rows)
    for i in range(len(rows)):
        for j in range(len(rows)):
            assert (keys[i] == keys[j]) == np.array_equal(rows[i], rows[j], equal_nan=True)


@given(tables, st.randoms())
def test_keys_move_with_the_rows(rows: np.ndarray, random: object) -> None:
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    keys, moved = row_keys(rows)[order], row_keys(rows[order])
    assert ((keys[:, None] == keys) == (moved[:, None] == moved)).all()


def test_keys_of_other_nans_bytes_and_nothing() -> None:
    odd = np.array([[0x7FC00001], [0x7FC00000], [0xFFC00000]], np.uint32).view(np.float32)
    assert row_keys(odd).tolist() == [0, 0, 0]
    assert row_keys(np.array([[1], [2], [1]], np.int16)).tolist() == [0, 1, 0]
    assert row_keys(np.zeros((0, 3))).tolist() == []
    assert row_keys(np.zeros((2, 0))).tolist() == [0, 0]


def test_keys_copy_no_more_than_a_part_of_the_rows() -> None:
    for rows in (np.ones((600, 40_000), np.uint8), np.ones((600, 10_000), np.float32)):
        rows[1:] += np.arange(599, dtype=rows.dtype)[:, None] % 200
        tracemalloc.start()
        keys = row_keys(rows)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert keys.max() == 199 and keys[201] == 0
        assert peak < 0.7 * rows.nbytes


def test_keys_of_rows_that_lie_apart() -> None:
    rows = np.arange(24, dtype=np.float64).reshape(4, 6)[:, ::2]
    assert row_keys(np.stack([rows, -rows], axis=2)[[0, 1, 0]]).tolist() == [0, 1, 0]
    assert row_keys(rows.T).tolist() == [0, 1, 2]


def test_facts_of_a_table() -> None:
    data = Dataset(
        "t",
        TableSchema((Column("a", "number"), Column("b", "number")), "y"),
        np.array([[1, np.nan], [1, np.nan], [1, 2], [1, 3]], np.float32),
        np.array([0, 1, 1, 1]),
        ("no", "yes"),
        ("0", "1", "2", "3"),
        groups=np.array([0, 0, 1, 1]),
        group_names=("p", "q"),
        official_test=np.array([False, True, False, False]),
    )
    found = facts(data)
    json.dumps(found, allow_nan=False)
    assert found["classes"] == {"no": 1, "yes": 3} and found["imbalance"] == 3.0
    assert found["duplicates"] == 1 and found["conflicting_rows"] == 2
    assert found["official_test_duplicates"] == 1
    assert found["missing"] == {"b": 2} and found["missing_cells"] == 2
    assert found["constant_features"] == ["a"] and found["range"] == [1.0, 3.0]
    assert found["groups"] == {"p": 2, "q": 2}


def test_facts_of_pictures_and_clips() -> None:
    pixels = np.array([[[[0, 1]]], [[[0, 2]]]], np.uint8)
    labels, names = np.array([0, 1]), ("x", "y")
    found = facts(Dataset("p", ImageSchema(1, 1, 2), pixels, labels, ("a", "b"), names))
    assert found["picture"] == {"channels": 1, "height": 1, "width": 2}
    assert found["constant_features"] == 1
    clips = np.array([[5, 0, 0, 0], [0, 0, 0, 0]], np.int16)
    found = facts(Dataset("c", AudioSchema(2, 4), clips, labels, ("a", "b"), names))
    assert found["clips"]["longest_seconds"] == 0.5 and found["clips"]["silent"] == 1
    json.dumps(found, allow_nan=False)
