"""The same recipe against itself: how often is it called better or worse? Prints a table.

    OMP_NUM_THREADS=1 python -m benchmarks.aa [--comparisons 100] [--folds 5] [--seeds 3]

Each comparison draws its own folds (and, of digits, its own 500 rows), trains two arms of the same
recipe with different seeds on them, and asks `trainwell.verdict`. Nothing differs but chance, so
every "better" and "worse" is false; at most 5 in 100 are allowed.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits, load_wine
from sklearn.model_selection import StratifiedKFold

from benchmarks.tasks import Floats, Ints
from trainwell.data.dataset import Column, TableSchema
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.members import Examples, Member
from trainwell.engine.trainer import Trainer
from trainwell.paired import PairedDifference, paired_difference
from trainwell.recipe import Adam, Mlp, Recipe, Standardize
from trainwell.seeding import stream_seed
from trainwell.techniques.schedules import Constant
from trainwell.verdict import Comparison, verdict

CPU = torch.device("cpu")
TOGETHER = 10  # comparisons whose trainings share a population
DIGITS = 500  # rows of each comparison
RECIPE = Recipe(
    model=Mlp(hidden=(32,), norm="none"),
    preprocess=(Standardize(),),
    regularize=(),
    optimizer=Adam(),
    lr=3e-3,
    schedule=Constant(),
    epochs=30,
    batch_size=32,
    patience=10**6,
)


@dataclass(frozen=True)
class Judged:
    """One comparison of the recipe with itself."""

    found: PairedDifference
    comparison: Comparison


def data_of(name: str) -> tuple[Floats, Ints]:
    """Inputs (N, D) and labels (N,)."""
    x, y = (load_wine if name == "wine" else load_digits)(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)


def split(y: Ints, rows: Ints, folds: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Training and held-out rows of each fold."""
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, y[rows])
    return [(rows[train], rows[held]) for train, held in cut]


def accuracies(
    x: Floats, y: Ints, parts: list[list[tuple[Ints, Ints]]], seeds: list[list[int]]
) -> npt.NDArray[np.float64]:
    """Held-out accuracy after the last epoch (comparisons, folds, seeds), all trained together."""
    schema = TableSchema(tuple(Column(f"x{i}", "number") for i in range(x.shape[1])), "y")
    flat = [fold for part in parts for fold in part]
    layers = [fit_preprocess(RECIPE, schema, x, train, np.arange(len(y))) for train, _ in flat]
    members = [
        Member(RECIPE, c * len(part) + k, *fold, seed)
        for c, part in enumerate(parts)
        for k, fold in enumerate(part)
        for seed in seeds[c]
    ]
    examples = Examples(FoldInputs(x, layers, CPU), torch.from_numpy(y), int(y.max()) + 1, CPU)
    history = Trainer(examples, jobs=1).train(members, "aa").history
    last = {s.member: s.val_accuracy for s in history if s.epoch == RECIPE.epochs}
    found = np.array([last[i] for i in range(len(members))], dtype=np.float64)
    return found.reshape(len(parts), len(parts[0]), len(seeds[0]))


def compare_with_itself(name: str, comparisons: int, folds: int, seeds: int) -> list[Judged]:
    """Train 2 × folds × seeds networks per comparison, and judge each comparison."""
    x, y = data_of(name)
    found: list[Judged] = []
    for first in range(0, comparisons, TOGETHER):
        numbers = range(first, min(first + TOGETHER, comparisons))
        parts, arms = [], []
        for number in numbers:
            rows = np.arange(len(y))
            if name == "digits":
                rows = np.random.default_rng(number).permutation(len(y))[:DIGITS]
            parts.append(split(y, rows, folds, number))
            arms.append([stream_seed(number, "aa", s) % 2**31 for s in range(2 * seeds)])
        scores = accuracies(x, y, parts, arms)
        fold, seed = (index.ravel() for index in np.indices((folds, seeds)))
        for part, score in zip(parts, scores, strict=True):
            a, b = score[:, :seeds].ravel(), score[:, seeds:].ravel()
            held = sum(len(h) for _, h in part)
            cell = paired_difference(a, b, fold, seed, 1 / folds, held)
            found.append(Judged(cell, verdict(cell)))
    return found


def main() -> None:
    """Print one row per data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=100)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print("| data | trainings | better or worse | p ≤ 0.05 | interval without 0 |", end="")
    print(" no difference | not shown | spread between seeds, points | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in ("wine", "digits"):
        begun = time.monotonic()
        judged = compare_with_itself(name, chosen.comparisons, chosen.folds, chosen.seeds)
        count = Counter(j.comparison.verdict for j in judged)
        low_p = sum(j.found.p <= 0.05 for j in judged)
        without = sum(j.found.interval.low > 0 or j.found.interval.high < 0 for j in judged)
        spread = 100 * np.sqrt(np.mean([j.found.within or 0.0 for j in judged]))
        trainings = 2 * chosen.folds * chosen.seeds * len(judged)
        print(
            f"| {name} | {trainings} | {count['better'] + count['worse']} of {len(judged)} | "
            f"{low_p} | {without} | {count['no difference that matters']} | {count['not shown']} | "
            f"{spread:.1f} | {time.monotonic() - begun:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
