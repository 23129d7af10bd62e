"""Scenes of the audit's benchmark: data, folds and a network, in which cases are planted.

Shapes: N rows of the originals, K folds of `train` and `held` rows each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainwell.data.dataset import Column, Dataset, IntArray, TableSchema
from trainwell.data.read import read
from trainwell.data.split import Fold, SealedTest, Split, sample_rows
from trainwell.recipe import Recipe
from trainwell.techniques.augment.base import Augmentation
from trainwell.techniques.models import Mlp
from trainwell.techniques.preprocess import LogMel, Standardize
from trainwell.techniques.regularize import L2

FOLDS = 10


@dataclass(frozen=True, eq=False)
class Scene:
    """Data with folds, and the recipe (with a rate) that trains there."""

    name: str
    data: Dataset
    split: Split
    recipe: Recipe


def scene(
    name: str,
    data: Dataset,
    train: int,
    held: int,
    recipe: Recipe,
    seed: int,
    unlike: Callable[[Dataset, IntArray], Any] | None = None,
    folds: int = FOLDS,
) -> Scene:
    """Folds with disjoint held-out rows, each with `train` of the other rows.

    unlike: what makes other inputs of the held-out rows (from the data and row numbers); training
    rows stay as they are. The changed rows lie behind the originals.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data))
    used = order[: folds * held]
    made = []
    for number in range(folds):
        mine = used[number * held : (number + 1) * held]
        others = np.sort(np.setdiff1d(order, mine))
        made.append((sample_rows(others, data.labels, train, seed + number), np.sort(mine)))
    if unlike is not None:
        count = len(data)
        everything = np.arange(count)
        data = dataclasses.replace(
            data,
            inputs=np.concatenate([data.inputs, unlike(data, everything)]),
            labels=np.concatenate([data.labels, data.labels]),
            names=[f"row {i}" for i in range(2 * count)],
            groups=None,
            official_test=None,
        )
        made = [(train_rows, held_rows + count) for train_rows, held_rows in made]
    parts = tuple(Fold(a, b) for a, b in made)
    development = np.unique(np.concatenate([np.concatenate(pair) for pair in made]))
    return Scene(
        name, data, Split(development, parts, SealedTest(np.empty(0, np.int64)), ()), recipe
    )


def augmented(technique: Augmentation, seed: int) -> Callable[[Dataset, IntArray], Any]:
    """Inputs of pictures or clips changed by a technique, in their own type."""

    def make(data: Dataset, rows: IntArray) -> Any:
        raw = torch.from_numpy(np.ascontiguousarray(data.inputs[rows]))
        rate = getattr(data.schema, "rate", 0)
        if data.kind == "images":
            made = technique(raw.float() / 255, seed)
            return (made * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        made = technique(raw.float() / 32768, seed, rate=rate)
        return (made * 32768).round().clamp(-32768, 32767).to(torch.int16).numpy()

    return make


def small_net(steps: int, batch: int, rows: int, width: int = 128, **fields: Any) -> Recipe:
    """A network of one hidden layer, trained for so many steps."""
    epochs = max(1, round(steps / (rows // batch)))
    return Recipe(
        model=Mlp((width,)),
        preprocess=fields.get("preprocess", (Standardize(per="channel"),)),
        regularize=(L2(1e-4),),
        lr=fields.get("lr", 2e-3),
        batch_size=batch,
        epochs=epochs,
        patience=epochs,
    )


# ---- data -------------------------------------------------------------------------------------


def some_of(name: str, rows: int, seed: int) -> Dataset:
    """Some rows of a sample set."""
    data = read(name)
    keep = sample_rows(np.arange(len(data)), data.labels, rows, seed)
    return dataclasses.replace(
        data,
        inputs=np.ascontiguousarray(data.inputs[keep]),
        labels=data.labels[keep],
        names=[data.names[i] for i in keep],
        groups=None if data.groups is None else data.groups[keep],
        official_test=None,
    )


def digits(seed: int) -> Scene:
    """scikit-learn's digits, few training rows."""
    recipe = small_net(600, 50, 400)
    return scene("digits", some_of("digits", 1797, seed), 400, 170, recipe, seed)


def halved(data: Dataset) -> Dataset:
    """Pictures at half their size."""
    count, channels, height, width = data.inputs.shape
    x = data.inputs.reshape(count, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
    schema = dataclasses.replace(data.schema, height=height // 2, width=width // 2)
    return dataclasses.replace(data, schema=schema, inputs=x.round().astype(np.uint8))


def mnist(
    seed: int, unlike: Augmentation | None = None, name: str = "mnist", source: str = "mnist"
) -> Scene:
    """1000 training rows of MNIST or Fashion-MNIST at half size; held-out rows perhaps changed."""
    recipe = small_net(700, 50, 1000, lr=1e-3)
    change = None if unlike is None else augmented(unlike, seed)
    return scene(name, halved(some_of(source, 4000, seed)), 1000, 250, recipe, seed, change)


def long_mnist(seed: int) -> Scene:
    """1000 training rows of MNIST at full size, trained until they are known by heart: where moved
    and distorted digits are known to help. Trained for half as long at half the size they do not.
    """
    recipe = small_net(1500, 50, 1000, 256, lr=1e-3)
    return scene("mnist, long training", some_of("mnist", 4000, seed), 1000, 250, recipe, seed)


def spoken(seed: int, unlike: Augmentation | None = None, name: str = "fsdd") -> Scene:
    """Spoken digits of one speaker or two, half a second each; held-out clips perhaps changed."""
    data = read("fsdd")
    groups = np.asarray(data.groups)
    speakers = np.unique(groups)
    mine = np.isin(groups, speakers[[seed % len(speakers), (seed + 1) % len(speakers)]])
    data = dataclasses.replace(
        data,
        schema=dataclasses.replace(data.schema, samples=4800),
        inputs=np.ascontiguousarray(data.inputs[mine][:, :4800]),
        labels=data.labels[mine],
        names=[n for n, m in zip(data.names, mine, strict=True) if m],
        groups=None,
    )
    recipe = small_net(
        150, 40, 400, lr=2e-3, preprocess=(LogMel(bands=24), Standardize(per="channel"))
    )
    change = None if unlike is None else augmented(unlike, seed)
    return scene(name, data, 400, 95, recipe, seed, change)


def strangers(seed: int) -> Scene:
    """Spoken digits, each of the speakers held out in turn."""
    data = read("fsdd")
    groups = np.asarray(data.groups)
    data = dataclasses.replace(
        data,
        schema=dataclasses.replace(data.schema, samples=4800),
        inputs=np.ascontiguousarray(data.inputs[:, :4800]),
    )
    recipe = small_net(
        300, 40, 600, lr=1e-3, preprocess=(LogMel(bands=24), Standardize(per="channel"))
    )
    folds = []
    for s in np.unique(groups):
        rows = [np.flatnonzero(groups != s), np.flatnonzero(groups == s)]
        folds.append(
            Fold(
                sample_rows(rows[0], data.labels, 600, seed),
                sample_rows(rows[1], data.labels, 250, seed),
            )
        )
    development = np.arange(len(data))
    split = Split(development, tuple(folds), SealedTest(np.empty(0, np.int64)), ())
    return Scene("strangers", data, split, recipe)


def clouds(seed: int, classes: int = 4, columns: int = 12, apart: float = 1.6) -> Dataset:
    """Clouds of points around centres that lie opposite each other: 0 against 1, 2 against 3."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(classes // 2, columns))
    half *= apart / np.linalg.norm(half, axis=1, keepdims=True) * 1.5
    centres = np.stack([half, -half], axis=1).reshape(classes, columns)
    y = np.arange(6000) % classes
    x = centres[y] + rng.normal(size=(len(y), columns))
    return table(x, y, "clouds")


def table(x: Any, y: Any, name: str) -> Dataset:
    """A table of numbers as a data set."""
    schema = TableSchema(tuple(Column(f"x{j}", "number") for j in range(x.shape[1])), "y")
    return Dataset(
        name,
        schema,
        np.asarray(x, np.float32),
        np.asarray(y, np.int64),
        tuple(f"class {c}" for c in range(int(np.max(y)) + 1)),
        [f"row {i}" for i in range(len(y))],
    )


def cloud_scene(seed: int) -> Scene:
    """Plenty of points: nothing is to be gained, and losses show."""
    recipe = small_net(400, 50, 1000, 64, preprocess=(Standardize(),))
    return scene("clouds", clouds(seed), 1000, 300, recipe, seed)


def fragile(seed: int) -> Scene:
    """One exact column among many rough ones; in the held-out rows it is rougher than they."""
    rng = np.random.default_rng(seed)
    y = np.arange(6000) % 2
    signal = (2 * y - 1)[:, None].astype(np.float64)
    x = np.concatenate(
        [signal + 0.1 * rng.normal(size=(6000, 1)), signal + 3.0 * rng.normal(size=(6000, 14))], 1
    )
    data = table(x, y, "fragile")

    def rough(data: Dataset, rows: IntArray) -> Any:
        made = data.inputs[rows].copy()
        made[:, 0] += 5.0 * np.random.default_rng(seed + 1).normal(size=len(rows))
        return made

    recipe = small_net(300, 50, 1000, 64, preprocess=(Standardize(),))
    return scene("rough test", data, 1000, 300, recipe, seed, rough)


def letters(seed: int) -> Scene:
    """Letters described by 16 numbers."""
    recipe = small_net(600, 50, 1200, preprocess=(Standardize(),))
    return scene("letter", some_of("letter", 4000, seed), 1200, 280, recipe, seed)
