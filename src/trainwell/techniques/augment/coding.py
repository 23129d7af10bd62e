"""Rows as generating networks see them, and back: pictures in [-1, 1], tables in standard units.

Shapes: n examples, D columns of a table, E columns of the encoded table.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwell.data.dataset import Feature, Schema, TableSchema

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]


class Coder(Protocol):
    """Encodes rows of the data's own type, and decodes what a network has made."""

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Start and stop of the encoded columns of each category."""

    def encode(self, inputs: Array) -> Tensor:
        """Rows (n, ...) of the data's own type as float32."""

    def decode(self, x: Tensor) -> Array:
        """Encoded rows in the data's own type."""


def coder_of(inputs: Array, schema: Schema) -> Coder:
    """The coder for data of this kind, fitted on these training rows."""
    if isinstance(schema, TableSchema):
        return TableCoder.fit(inputs.astype(np.float64), schema.features, inputs.dtype)
    return PictureCoder()


@dataclass(frozen=True)
class PictureCoder:
    """uint8 pictures (n, C, H, W) to [-1, 1] and back.

    >>> coder = PictureCoder()
    >>> coder.decode(coder.encode(np.array([[[[0, 128, 255]]]], np.uint8))).tolist()
    [[[[0, 128, 255]]]]
    """

    blocks: tuple[tuple[int, int], ...] = ()

    def encode(self, inputs: Array) -> Tensor:
        """Pictures in [-1, 1]."""
        return torch.from_numpy(inputs.astype(np.float32)) / 127.5 - 1

    def decode(self, x: Tensor) -> Array:
        """Pictures as bytes."""
        return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


@dataclass(frozen=True, eq=False)
class TableCoder:
    """Rows (n, D) to (n, E): numbers in standard deviations, a column for each level of a category.

    Missing numbers become the training median, missing categories the most frequent level: what
    comes back has no missing cells. Back: a number stays within the range of the training rows and
    is whole where all of theirs are; a category takes its largest share.
    """

    numbers: tuple[int, ...]  # columns
    categories: tuple[tuple[int, int, int], ...]  # column, levels, most frequent level
    median: Floats  # (n,), as all that follows
    middle: Floats
    spread: Floats
    low: Floats
    high: Floats
    whole: npt.NDArray[np.bool_]
    dtype: np.dtype[np.generic]

    @classmethod
    def fit(
        cls, rows: Floats, features: tuple[Feature, ...], dtype: np.dtype[np.generic]
    ) -> TableCoder:
        """From training rows (n, D), NaN where a cell is missing."""
        numbers = tuple(j for j, f in enumerate(features) if not f.levels)
        known = [c[~np.isnan(c)] if (~np.isnan(c)).any() else np.zeros(1) for c in rows.T]
        categories = []
        for j, f in enumerate(features):
            if f.levels:
                counts = np.bincount(known[j].astype(np.int64), minlength=len(f.levels))
                categories.append((j, len(f.levels), int(counts.argmax())))
        mine = [known[j] for j in numbers]
        spread = np.array([c.std() for c in mine])
        return cls(
            numbers,
            tuple(categories),
            np.array([np.median(c) for c in mine]),
            np.array([c.mean() for c in mine]),
            np.where(spread > 0, spread, 1.0),
            np.array([c.min() for c in mine]),
            np.array([c.max() for c in mine]),
            np.array([(c == c.round()).all() for c in mine], np.bool_),
            dtype,
        )

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Encoded columns of each category, behind those of the numbers."""
        stops = len(self.numbers) + np.cumsum([0, *(n for _, n, _ in self.categories)])
        return tuple((int(a), int(b)) for a, b in pairwise(stops))

    def encode(self, inputs: Array) -> Tensor:
        """Encoded rows (n, E)."""
        rows = inputs.astype(np.float64)
        own = rows[:, self.numbers]
        parts = [(np.where(np.isnan(own), self.median, own) - self.middle) / self.spread]
        for j, levels, usual in self.categories:
            codes = np.where(np.isnan(rows[:, j]), usual, rows[:, j]).astype(np.int64)
            parts.append(np.eye(levels)[codes])
        return torch.from_numpy(np.concatenate(parts, axis=1)).float()

    def decode(self, x: Tensor) -> Array:
        """Rows (n, D) of the table."""
        encoded = x.double().numpy()
        found = np.empty((len(encoded), len(self.numbers) + len(self.categories)))
        own = encoded[:, : len(self.numbers)] * self.spread + self.middle
        own = np.where(self.whole, own.round(), own)
        found[:, self.numbers] = own.clip(self.low, self.high)
        for (j, _, _), (start, stop) in zip(self.categories, self.blocks, strict=True):
            found[:, j] = encoded[:, start:stop].argmax(axis=1)
        return found.astype(self.dtype)
