"""Open data of the zoo: small draws from eight sets, folds, and the faults that lie in the data.

A draw is what one run sees: development rows with folds, and test rows that no training touches.
Runs of one configuration have other rows; a faulty configuration and its healthy twin have the
same ones. Shapes: N rows, C classes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import AudioSchema, Column, Dataset, ImageSchema, IntArray, TableSchema
from trainwell.data.samples import load_sample
from trainwell.data.split import Fold, SealedTest, Split
from trainwell.seeding import numpy_stream

Array = npt.NDArray[Any]
POOL_ROWS = 12_000  # rows of a large set that are drawn from
CLIP = 4800  # samples kept of a spoken digit, 0.6 s


# ------------------------------------------------------------------ faults that lie in the data


@dataclass(frozen=True)
class LabelNoise:
    """A share of the development labels replaced by other classes."""

    share: float


@dataclass(frozen=True)
class ShuffledLabels:
    """Development labels in another order: nothing joins them with the inputs."""


@dataclass(frozen=True)
class Leak:
    """One more column: the label in development rows, another row's label in test rows.

    planted False: the column is noise everywhere, as the twin has it.
    """

    planted: bool = True


@dataclass(frozen=True)
class Duplicates:
    """A share of the development rows replaced by copies of others, before folds are made."""

    share: float


@dataclass(frozen=True)
class Scaled:
    """Columns multiplied by 10**u, u uniform in [0, decades]."""

    decades: float


@dataclass(frozen=True)
class Times:
    """All inputs multiplied by one number."""

    factor: float


@dataclass(frozen=True)
class Blurred:
    """Normal noise added to every column of all rows, in its standard deviations: a ceiling."""

    noise: float


@dataclass(frozen=True)
class Pixels:
    """Pictures as a table of pixels 0 to 255."""


@dataclass(frozen=True)
class Imbalanced:
    """Classes thinned out in development rows, geometrically, from 1 to 1/ratio."""

    ratio: float


@dataclass(frozen=True)
class Sorted:
    """Development rows in the order of their classes, as many files have them."""


Plant = (
    LabelNoise
    | ShuffledLabels
    | Leak
    | Duplicates
    | Scaled
    | Times
    | Blurred
    | Pixels
    | Imbalanced
    | Sorted
)


@dataclass(frozen=True)
class Material:
    """Which rows a configuration trains on: pool, development rows, folds, test rows, plants."""

    pool: str
    rows: int  # of development, divisible by folds
    folds: int
    test: int
    plants: tuple[Plant, ...] = ()


@dataclass(frozen=True, eq=False)
class Draw:
    """One run's data set (development rows first, then test rows) and its split."""

    data: Dataset
    split: Split

    @property
    def development(self) -> int:
        """Number of development rows."""
        return len(self.split.development)


# ------------------------------------------------------------------ pools


@cache
def pool(name: str) -> Dataset:
    """All rows of a set that may be drawn, without exact duplicates; large sets thinned out."""
    sample = {"mnist14": "mnist", "fashion14": "fashion_mnist"}.get(name, name)
    data = load_sample(sample)
    rows = numpy_stream(0, "pool", name).permutation(len(data))[:POOL_ROWS]
    inputs, labels, schema, classes = data.inputs, data.labels, data.schema, data.classes
    if name == "shuttle":  # three classes with enough rows to judge them
        large = np.flatnonzero(data.counts >= 2500)
        rows = np.concatenate([rows, numpy_stream(1, "pool").permutation(len(data))[:30_000]])
        rows = np.unique(rows[np.isin(labels[rows], large)])
        place = np.full(len(classes), -1)
        place[large] = np.arange(len(large))
        labels, classes = place[labels], tuple(classes[c] for c in large)
    x, y = np.asarray(inputs[np.sort(rows)]), labels[np.sort(rows)]
    if name.endswith("14"):  # half as high and wide: the mean of 2 × 2 pixels
        x = x.reshape(len(x), 1, 14, 2, 14, 2).mean(axis=(3, 5)).round().astype(np.uint8)
        schema = ImageSchema(1, 14, 14)
    if isinstance(schema, AudioSchema):
        x, schema = np.ascontiguousarray(x[:, :CLIP]), AudioSchema(schema.rate, CLIP)
    _, first = np.unique(_dataset(name, schema, x, y, classes).keys, return_index=True)
    return _dataset(name, schema, x[np.sort(first)], y[np.sort(first)], classes)


def _dataset(
    name: str,
    schema: Any,
    x: Array,
    y: IntArray,
    classes: tuple[str, ...],
    test: int = 0,
) -> Dataset:
    """A data set whose last `test` rows are its official test part."""
    held = np.arange(len(y)) >= len(y) - test if test else None
    names = tuple(f"row {i}" for i in range(len(y)))
    return Dataset(name, schema, x, y.astype(np.int64), classes, names, official_test=held)


# ------------------------------------------------------------------ draws


def draw(material: Material, run: int) -> Draw:
    """The rows of one run, with its plants, and a split whose folds are stratified and equal."""
    source = pool(material.pool)
    rng = numpy_stream(run, "draw", material.pool)
    order = rng.permutation(len(source))
    ratio = next((p.ratio for p in material.plants if isinstance(p, Imbalanced)), 1.0)
    test = order[: material.test]
    dev = _thinned(source.labels, order[material.test :], material.rows, ratio)
    x = np.concatenate([source.inputs[dev], source.inputs[test]])
    y = np.concatenate([source.labels[dev], source.labels[test]])
    schema, n = source.schema, len(dev)
    for plant in material.plants:
        stream = numpy_stream(run, "plant", type(plant).__name__)
        x, y, schema = _planted(plant, x, y, schema, n, len(source.classes), stream)
    data = _dataset(material.pool, schema, x, y, source.classes, len(test))
    fold_of = np.empty(n, np.int64)
    shuffled = rng.permutation(n)
    fold_of[shuffled[np.argsort(y[shuffled], kind="stable")]] = np.arange(n) % material.folds
    folds = tuple(
        Fold(np.flatnonzero(fold_of != f), np.flatnonzero(fold_of == f))
        for f in range(min(3, material.folds))
    )
    return Draw(data, Split(np.arange(n), folds, SealedTest(np.arange(n, len(y))), ()))


def _thinned(labels: IntArray, rows: IntArray, size: int, ratio: float) -> IntArray:
    """The first `size` rows, or fewer of each rarer class, the rarest 1 / ratio of the largest."""
    if ratio == 1.0:
        return rows[:size]
    classes = int(labels.max()) + 1
    shares = ratio ** (-np.arange(classes) / (classes - 1))
    counts = np.floor(shares / shares.sum() * size).astype(int)
    counts[0] += size - counts.sum()
    frequent = np.argsort(-np.bincount(labels, minlength=classes), kind="stable")
    chosen = [rows[labels[rows] == c][:k] for c, k in zip(frequent, counts, strict=True)]
    assert all(len(r) == k for r, k in zip(chosen, counts, strict=True)), "too few rows of a class"
    return np.sort(np.concatenate(chosen))


def _planted(
    plant: Plant,
    x: Array,
    y: IntArray,
    schema: Any,
    n: int,
    classes: int,
    rng: np.random.Generator,
) -> tuple[Array, IntArray, Any]:
    """Inputs (N, ...), labels (N,) and schema with one plant; the first n rows are development."""
    match plant:
        case LabelNoise(share):
            y, hit = y.copy(), rng.permutation(n)[: round(share * n)]
            y[hit] = (y[hit] + rng.integers(1, classes, len(hit))) % classes
        case ShuffledLabels():
            y = np.concatenate([y[rng.permutation(n)], y[n:]])
        case Leak(planted):
            told = np.concatenate([y[:n], y[n + rng.permutation(len(y) - n)]]).astype(x.dtype)
            noise = rng.normal(0, 0.05, len(y)).astype(x.dtype)
            column = told + noise if planted else told[rng.permutation(len(y))] + noise
            x, schema = np.column_stack([x, column]), _table(x.shape[1] + 1)
        case Duplicates(share):
            x, y = x.copy(), y.copy()
            order = rng.permutation(n)
            copies = order[: round(share * n)]
            originals = rng.choice(order[len(copies) :], len(copies))
            x[copies], y[copies] = x[originals], y[originals]
        case Scaled(decades):
            x = (x * 10 ** rng.uniform(0, decades, x.shape[1])).astype(x.dtype)
        case Times(factor):
            x = (x * factor).astype(x.dtype)
        case Blurred(noise):
            x = (x + noise * x[:n].std(axis=0) * rng.normal(size=x.shape)).astype(x.dtype)
        case Pixels():
            x = x.reshape(len(x), -1).astype(np.float32)
            schema = _table(x.shape[1])
        case Sorted():
            order = np.argsort(y[:n], kind="stable")
            x, y = np.concatenate([x[:n][order], x[n:]]), np.concatenate([y[:n][order], y[n:]])
        case Imbalanced():
            pass  # already drawn so
    return x, y, schema


def _table(width: int) -> TableSchema:
    """A schema of so many numbers."""
    columns = tuple(Column(f"x{j}", "number") for j in range(width))
    return TableSchema(columns, "class")


def without(material: Material, *kinds: type) -> Material:
    """The material without plants of these kinds."""
    kept = tuple(p for p in material.plants if not isinstance(p, kinds))
    return dataclasses.replace(material, plants=kept)
