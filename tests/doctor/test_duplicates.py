"""Equal and nearly equal rows: planted ones, counts against an independent count, healthy sets."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from trainwell.data.dataset import Dataset
from trainwell.data.read import read
from trainwell.data.samples import is_present
from trainwell.data.split import Fold, SealedTest, Split, make_split
from trainwell.doctor.data_checks import reference_scores
from trainwell.doctor.duplicates import (
    CHANCE,
    NEAR,
    duplicates,
    near_duplicates,
    near_twins,
    twins_of,
)
from trainwell.doctor.sample import Sample
from trainwell.doctor.simple_models import nearest
from trainwell.doctor.views import shift_distances


@cache
def sample(name: str) -> Dataset:
    if not is_present(name):
        pytest.skip(f"{name} is not there; name its folder in TRAINWELL_DATA")
    return read(name)


def looked(data: Dataset, split: Split | None = None, seed: int = 0) -> Sample:
    split = split or make_split(data, seed=seed, folds=5, test=0.2)
    return Sample(data, split, seed, float("inf"))


@pytest.mark.parametrize("share", [0.0, 0.005, 0.05, 0.2])
def test_twins_of_training_rows_in_the_validation_part(share: float) -> None:
    data = sample("digits")
    inputs, rows = data.inputs.copy(), np.arange(len(data))
    held, train = rows[:400], rows[400:]
    count = round(share * 400)
    inputs[held[:count]] = inputs[train[:count]]
    split = Split(rows, (Fold(train, held),), SealedTest(rows[:0]), ())
    found = duplicates(looked(dataclasses.replace(data, inputs=inputs), split))
    assert found.value == count / 400
    assert found.level == ("pass" if not share else "warning" if share < 0.01 else "fault")
    assert duplicates(looked(dataclasses.replace(data, inputs=inputs))).value == 0  # our own split


def test_twins_in_an_official_test_part_are_counted_and_left_out() -> None:
    data = sample("digits")
    inputs, test = data.inputs.copy(), np.arange(len(data)) < 300
    inputs[:30] = inputs[300:330]
    found = duplicates(looked(dataclasses.replace(data, inputs=inputs, official_test=test)))
    assert found.level == "note" and found.value == 0
    assert "30 test rows (10.00%)" in found.words and "30 training rows left out" in found.words


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist", "letter"])
def test_counts_are_those_of_an_independent_count(name: str) -> None:
    data = sample(name)
    assert data.official_test is not None
    rows = [row.tobytes() for row in data.inputs]
    train = [r for r, t in zip(rows, data.official_test, strict=True) if not t]
    test = [r for r, t in zip(rows, data.official_test, strict=True) if t]
    known = set(train)
    twins = sum(r in known for r in test)
    words = duplicates(looked(data)).words
    assert f"inside the {len(test):,} test rows {len(test) - len(set(test)):,} row" in words
    if twins:
        assert f"{twins} test rows ({twins / len(test):.2%})" in words
        left = [r for r in train if r not in set(test)]
    else:
        assert words.startswith("No held-out row equals a training row")
        left = train
    assert f"Inside the development rows {len(left) - len(set(left)):,} row" in words


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "satellite", "fsdd"])
def test_changed_copies_are_found(name: str) -> None:
    data = sample(name)
    rng = np.random.default_rng(0)
    assert near_duplicates(looked(data)).level == "pass"
    count = len(data) // 10
    rows = rng.permutation(len(data))
    to, of = rows[:count], rows[count : 2 * count]
    spread = data.inputs.astype(np.float64).std(axis=0 if data.kind == "table" else None)
    copies = data.inputs[of] + rng.normal(size=data.inputs[of].shape) * 0.02 * spread
    if data.kind != "table":
        limits = np.iinfo(data.inputs.dtype)
        copies = np.clip(np.round(copies), limits.min, limits.max)
    inputs, labels = data.inputs.copy(), data.labels.copy()
    inputs[to], labels[to] = copies, data.labels[of]
    found = near_duplicates(looked(dataclasses.replace(data, inputs=inputs, labels=labels)))
    assert found.level == "warning", found.words


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist"])
@pytest.mark.parametrize("step", [(0, 1), (1, 0), (-1, 1)])
def test_copies_moved_by_a_pixel_are_found(name: str, step: tuple[int, int]) -> None:
    data = sample(name)
    rows = np.random.default_rng(0).permutation(len(data))[:4000]
    copied = rows[-100:]
    # The edge is repeated, as a new crop of a larger picture has no rim of nothing.
    padded = np.pad(data.inputs[copied], ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    moved = np.roll(padded, step, axis=(2, 3))[:, :, 1:-1, 1:-1]
    copies = np.arange(len(data), len(data) + 100)
    data = dataclasses.replace(
        data,
        inputs=np.concatenate([data.inputs, moved]),
        labels=np.concatenate([data.labels, data.labels[copied]]),
        names=(*data.names, *("copy",) * 100),
        groups=None,
        group_names=(),
        official_test=None,
    )
    near, _, twin, _, _ = twins_of(data, np.concatenate([copies, rows[:300]]), rows[300:])
    assert (near[:100] & (twin[:100] == copied)).mean() >= 0.9
    assert near[100:].mean() <= 0.02


def test_shift_distances_are_those_of_all_crops() -> None:
    rng = np.random.default_rng(0)
    queries = rng.random((3, 6, 7), np.float32)
    others = rng.random((3, 2, 6, 7), np.float32)
    others[0, 0] = np.roll(queries[0], (1, -1), axis=(0, 1)) * 0.5 + 0.2  # moved and paler
    found = shift_distances(queries, others)
    for i, j in np.ndindex(found.shape):
        crops = [others[i, j, y : y + 4, x : x + 5] for y in range(3) for x in range(3)]
        r = max(np.corrcoef(queries[i, 1:-1, 1:-1].ravel(), c.ravel())[0, 1] for c in crops)
        assert found[i, j] == pytest.approx(np.sqrt(2 - 2 * r), abs=1e-3)
    assert found[0, 0] < 1e-3


@pytest.mark.parametrize("dimensions", [2, 5, 12])
@pytest.mark.parametrize("seed", range(5))
def test_independent_rows_have_hardly_a_near_twin(dimensions: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6000, dimensions)).astype(np.float32)
    squares, _ = nearest(x[:1500], x[1500:], 6)
    near, size, _ = near_twins(np.sqrt(squares.astype(np.float64)))
    assert near.mean() < 2.5 * CHANCE
    assert size == pytest.approx(dimensions, rel=0.25)


@pytest.mark.parametrize(
    ("name", "linear", "neighbours"),
    [("wine", 0.9, 0.9), ("breast_cancer", 0.9, 0.9), ("digits", 0.93, 0.95)],
)
def test_reference_scores_are_those_of_usual_models(
    name: str, linear: float, neighbours: float
) -> None:
    data = sample(name)
    split = make_split(data, seed=0, folds=5, test=0.2)
    found = reference_scores(data, split, 0)
    assert found["linear"] > linear and found["neighbours"] > neighbours
    assert ("tree" in found) == (data.kind == "table")
    assert found == reference_scores(data, split, 0) and split.sealed.openings == ()


@pytest.mark.parametrize(
    ("share", "level", "limit"), [(0.03, "note", CHANCE), (0.3, "warning", NEAR)]
)
def test_near_copies_are_told_in_plain_words(share: float, level: str, limit: float) -> None:
    """The threshold that is named is the one that fired; no distances, no dimensions."""
    data = sample("satellite")
    rng = np.random.default_rng(0)
    rows, count = rng.permutation(len(data)), round(share * len(data))
    inputs = data.inputs.copy()
    of = inputs[rows[count : 2 * count]]
    inputs[rows[:count]] = of + rng.normal(size=of.shape) * 0.02 * inputs.std(axis=0)
    found = near_duplicates(looked(dataclasses.replace(data, inputs=inputs)))
    assert (found.level, found.threshold) == (level, limit)
    assert "look like changed copies (chance alone gives about 0.5%)" in found.words
    assert not {"distance", "dimensions", "sixth"} & set(found.words.split())
