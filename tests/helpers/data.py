"""Small data sets of the three kinds, and populations on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trainwell.data.dataset import AudioSchema, Column, Dataset, ImageSchema, TableSchema
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.members import Examples, Member
from trainwell.engine.population import Execution, Population
from trainwell.recipe import Recipe

CPU = torch.device("cpu")


def labelled(
    labels: Sequence[int] | npt.NDArray[Any],
    inputs: npt.NDArray[Any] | None = None,
    groups: Sequence[int] | npt.NDArray[Any] | None = None,
    official_test: npt.NDArray[Any] | None = None,
) -> Dataset:
    """A table with these labels; without inputs every row is different."""
    y = np.asarray(labels, np.int64)
    x = np.arange(len(y), dtype=np.float32)[:, None] if inputs is None else inputs
    columns = tuple(Column(f"x{j}", "number") for j in range(x.shape[1]))
    return Dataset(
        "made",
        TableSchema(columns, "y"),
        x.astype(np.float32),
        y,
        tuple(f"c{c}" for c in range(int(y.max()) + 1)),
        tuple(f"row {i}" for i in range(len(y))),
        None if groups is None else np.asarray(groups, np.int64),
        () if groups is None else tuple(f"g{g}" for g in range(int(np.max(groups)) + 1)),
        official_test,
    )


def table(rows: int = 120, classes: int = 3, columns: int = 5, seed: int = 0) -> Dataset:
    """Clouds around one centre per class, overlapping a little."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    x = rng.normal(size=(classes, columns))[y] * 1.5 + rng.normal(size=(rows, columns))
    return labelled(y, x * 3 + 10)


def pictures(rows: int = 90, size: int = 8, channels: int = 1) -> Dataset:
    """A bright square whose corner says the class (3)."""
    rng = np.random.default_rng(1)
    y = np.arange(rows) % 3
    x = rng.integers(0, 120, (rows, channels, size, size))
    for i, c in enumerate(y):
        x[i, :, 2 * c : 2 * c + 3, :3] += 100
    schema = ImageSchema(channels, size, size)
    names = tuple(f"{i}.png" for i in range(rows))
    return Dataset("pictures", schema, x.astype(np.uint8), y.astype(np.int64), tuple("abc"), names)


def clips(rows: int = 60, samples: int = 1600, rate: int = 8000) -> Dataset:
    """Tones in noise, one frequency per class (3)."""
    rng = np.random.default_rng(2)
    y = np.arange(rows) % 3
    hertz = np.array([300.0, 900.0, 2000.0])[y] * rng.uniform(0.9, 1.1, rows)
    wave = np.sin(2 * np.pi * hertz[:, None] * np.arange(samples) / rate)
    wave = 8000 * wave + rng.normal(0, 3000, wave.shape)
    names = tuple(f"{i}.wav" for i in range(rows))
    schema = AudioSchema(rate, samples)
    return Dataset("clips", schema, wave.astype(np.int16), y.astype(np.int64), tuple("abc"), names)


@cache
def digits() -> Dataset:
    """scikit-learn's digits as pictures."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = (found.images * 15).astype(np.uint8)[:, None]
    names = tuple(f"digit {i}" for i in range(len(x)))
    classes = tuple(map(str, range(10)))
    return Dataset("digits", ImageSchema(1, 8, 8), x, found.target.astype(np.int64), classes, names)


def fold_inputs(data: Dataset, recipe: Recipe, trains: Sequence[npt.NDArray[Any]]) -> FoldInputs:
    """Inputs whose pre-processing is fitted on each fold's training rows."""
    everything = np.arange(len(data))
    folds = [fit_preprocess(recipe, data.schema, data.inputs, t, everything) for t in trains]
    return FoldInputs(data.inputs, folds, CPU)


def members_of(
    data: Dataset, recipes: Sequence[Recipe], seeds: Sequence[int] | None = None
) -> list[Member]:
    """One member per recipe on the first three quarters of the rows, validated on the rest."""
    cut = len(data) * 3 // 4
    rows = np.arange(len(data))
    return [
        Member(recipe, 0, rows[:cut], rows[cut:], k if seeds is None else seeds[k])
        for k, recipe in enumerate(recipes)
    ]


def examples(data: Dataset, recipe: Recipe, rows: npt.NDArray[Any]) -> Examples:
    """The data with one pre-processing, fitted on these rows."""
    inputs = fold_inputs(data, recipe, [rows])
    return Examples(inputs, torch.from_numpy(data.labels), len(data.classes), CPU)


def population(
    data: Dataset, members: Sequence[Member], execution: Execution | None = None
) -> Population:
    """A population of members that share pre-processing 0."""
    return Population(members, examples(data, members[0].recipe, members[0].train), execution)


STACKED, VMAPPED = Execution("stacked", 99), Execution("vmapped", 99)
LOOPED = Execution("looped", 1)
WAYS = [STACKED, VMAPPED, LOOPED]


def varied(base: Recipe, **options: Sequence[Any]) -> list[Recipe]:
    """The recipe with the k-th value of every option, for k = 0, 1, ..."""
    count = len(next(iter(options.values())))
    return [
        dataclasses.replace(base, **{n: values[k] for n, values in options.items()})
        for k in range(count)
    ]
