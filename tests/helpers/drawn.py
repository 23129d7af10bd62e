"""An arena whose trainings are draws: nothing is trained, but arms, cells and votes are real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helpers.data import labelled
from trainwell import metrics
from trainwell.arms import Arena, Arm, Cell
from trainwell.data.split import Fold, SealedTest, Split
from trainwell.recipe import Recipe


@dataclass(eq=False)
class Drawn(Arena):
    """Each row is right where its odds and some chance are above 0; `better`: what a recipe of so
    many epochs adds to the odds. asked: every recipe and cell that was trained."""

    odds: Any = None
    chance: float = 0.5
    better: dict[int, float] = field(default_factory=dict)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    asked: list[tuple[Recipe, Cell]] = field(default_factory=list)

    def train(
        self, recipes: Sequence[Recipe], cells: Sequence[Cell], deadline: float | None = None
    ) -> list[Arm]:
        return [self._drawn(recipe, cells) for recipe in recipes]

    def _drawn(self, recipe: Recipe, cells: Sequence[Cell]) -> Arm:
        chances = []
        for cell in cells:
            self.asked.append((recipe, cell))
            rows = self.split.folds[cell.fold].validation
            odds = self.odds[rows] + self.better.get(recipe.epochs, 0.0)
            right = odds + self.chance * self.rng.logistic(size=len(rows)) > 0
            labels = self.data.labels[rows]
            chances.append(np.eye(2)[np.where(right, labels, 1 - labels)])
        scores = [
            (
                metrics.accuracy(self.data.labels[self.split.folds[c.fold].validation], p),
                metrics.balanced_accuracy(self.data.labels[self.split.folds[c.fold].validation], p),
                metrics.macro_f1(self.data.labels[self.split.folds[c.fold].validation], p),
            )
            for c, p in zip(cells, chances, strict=True)
        ]
        accuracy, balanced, f1 = (np.array(column) for column in zip(*scores, strict=True))
        made: Any = tuple(object() for _ in cells)
        loss = 1 - accuracy
        return Arm(recipe, tuple(cells), accuracy, balanced, f1, loss, tuple(chances), made)


def drawn(rows: int = 300, accuracy: float = 0.9, seed: int = 0, rare: float = 0.5) -> Drawn:
    """An arena of three folds; rare: the share of the second class."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(rows) % 20 < 20 * rare).astype(np.int64)
    odds = 3 * rng.normal(size=rows)
    odds += np.quantile(-odds, accuracy)
    fold_of = np.arange(rows) // 20 % 3
    folds = tuple(
        Fold(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)) for k in range(3)
    )
    everything = np.arange(rows)
    split = Split(everything, folds, SealedTest(everything[:0]), ())
    return Drawn(labelled(labels), split, odds=odds, rng=rng)
