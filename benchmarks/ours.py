"""trainwell: the only place here that imports it."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import trainwell
from benchmarks.tasks import (
    CHANNELS,
    SCALING_EPOCHS,
    Clock,
    Ints,
    Outcome,
    Task,
    fold_rows,
    peak_mb,
    warm_up,
)
from trainwell.data.dataset import Column, ImageSchema, TableSchema
from trainwell.data.samples import load_sample
from trainwell.engine import train as loop
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.members import Examples, Member
from trainwell.engine.population import Population
from trainwell.engine.trainer import Trainer
from trainwell.recipe import Adam, Cnn, Mlp, Recipe, Standardize
from trainwell.techniques.schedules import Constant

CPU = torch.device("cpu")


def load_data(name: str) -> tuple[Any, Ints]:
    """Inputs and labels of a sample set, as they lie in the file."""
    if name == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        return found.data.astype(np.float32), found.target.astype(np.int64)
    data = load_sample(name)
    return np.ascontiguousarray(data.inputs), data.labels


def versions() -> dict[str, str]:
    return {"trainwell": trainwell.__version__, "torch": torch.__version__}


def recipe_of(task: Task) -> Recipe:
    """The task as a recipe: nothing that the peers do not do as well."""
    return Recipe(
        model=Mlp(hidden=task.hidden, norm="none") if task.hidden else Cnn(CHANNELS, depth=1),
        preprocess=(Standardize() if task.hidden else Standardize(per="channel"),),
        regularize=(),
        optimizer=Adam(),
        lr=task.lr,
        schedule=Constant(),
        epochs=task.epochs,
        batch_size=task.batch,
        patience=10**6,
    )


def pairs(task: Task, seed: int) -> list[tuple[int, int]]:
    """Fold and seed of every member."""
    return [(f, s) for f in range(task.folds) for s in range(seed, seed + task.seeds)]


def prepared(
    task: Task, x: Any, y: Ints, chosen: Sequence[tuple[int, int]]
) -> tuple[list[Member], Examples]:
    """One member per fold and seed chosen, and the data with each fold's pre-processing."""
    recipe, everything = recipe_of(task), np.arange(len(y))
    columns = tuple(Column(f"x{i}", "number") for i in range(x.shape[1]))
    schema = TableSchema(columns, "y") if x.ndim == 2 else ImageSchema(*x.shape[1:])
    rows = fold_rows(task, y)
    folds = [fit_preprocess(recipe, schema, x, train, everything) for train, _ in rows]
    members = [Member(recipe, fold, *rows[fold], seed) for fold, seed in chosen]
    return members, Examples(FoldInputs(x, folds, CPU), torch.from_numpy(y), task.classes, CPU)


def train(
    task: Task, x: Any, y: Ints, chosen: Sequence[tuple[int, int]], jobs: int = 1
) -> tuple[list[float], int]:
    """Train all members to their end; accuracies after the last epoch (not the best one), and the
    most memory that worker processes held."""
    members, examples = prepared(task, x, y, chosen)
    trainer = Trainer(examples, jobs=jobs)
    history = trainer.train(members, "bench").history
    last = sorted((s for s in history if s.epoch == task.epochs), key=lambda s: s.member)
    return [s.val_accuracy for s in last], trainer.workers_mb


class ScoringTime:
    """Seconds spent on scoring after epochs, which most peers do not do."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.inner = loop.score_epoch

    def __enter__(self) -> ScoringTime:
        def timed(*arguments: Any) -> Any:
            clock = Clock()
            found = self.inner(*arguments)
            self.seconds.append(clock.seconds)
            return found

        loop.score_epoch = timed
        return self

    def __exit__(self, *_: object) -> None:
        loop.score_epoch = self.inner


def tables(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    """All folds and seeds as one population, on one thread of one core."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):  # how many members run together follows from the cores
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    train(*warm_up(task, x, y), [(0, 0)])
    with ScoringTime() as scoring:
        clock = Clock()
        found, _ = train(task, x, y, pairs(task, seed))
        seconds = clock.seconds
    extra = {"scoring": sum(scoring.seconds)}
    return Outcome(seconds, found, len(found), versions=versions(), extra=extra)


def processes(task: Task, x: Any, y: Ints, seed: int, jobs: int) -> Outcome:
    """The members over worker processes that are already up, one thread each."""
    torch.set_num_threads(1)
    for _ in range(2):
        train(*warm_up(task, x, y), [(0, s) for s in range(2 * jobs)], jobs)
    clock = Clock()
    found, workers = train(task, x, y, pairs(task, seed), jobs)
    seconds = clock.seconds
    return Outcome(seconds, found, len(found), peak_mb() + workers, versions())


def two_processes(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    return processes(task, x, y, seed, 2)


def pictures(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    """The CNN; the clock of the epochs stands still while trainwell scores."""
    torch.set_num_threads(2)
    one = Population(*prepared(task, x, y, [(0, seed)]))
    with ScoringTime() as scoring:
        clock = Clock()
        last: list[Any] = []
        for scores in loop.train(one):
            clock.mark()
            last = scores
        seconds = clock.seconds
    clock.marks = [m - sum(scoring.seconds[: i + 1]) for i, m in enumerate(clock.marks)]
    extra = {"scoring": sum(scoring.seconds), **clock.epochs()}
    found = [s.val_accuracy for s in last]
    return Outcome(seconds, found, 1, versions=versions(), extra=extra)


def growing_members(task: Task, number: int, seed: int, quick: bool) -> Outcome:
    """`number` seeds of the MLP on the digits, some epochs."""
    epochs = 1 if quick else SCALING_EPOCHS
    return tables(
        dataclasses.replace(task, seeds=number, epochs=epochs), *load_data("digits"), seed
    )


def growing_rows(task: Task, number: int, seed: int, quick: bool) -> Outcome:
    """One network, one epoch on `number` rows of a made-up table of 20 columns; 1000 more judge."""
    rng = np.random.default_rng(0)
    y = np.arange(number + 1000) % task.classes
    x = rng.standard_normal((len(y), 20), np.float32)  # no larger copy: memory is measured
    x += rng.standard_normal((task.classes, 20), np.float32)[y]
    one = dataclasses.replace(task, data="made", seeds=1, epochs=1, batch=128, rows=number)
    return tables(one, x, y, seed)


def growing_processes(task: Task, number: int, seed: int, quick: bool) -> Outcome:
    """The seeds of the first part, in so many processes."""
    return processes(task, *load_data("digits"), seed, number)


if __name__ == "__main__":  # python -m benchmarks.ours NAME FILE: write a sample set for all
    inputs, labels = load_data(sys.argv[1])
    np.savez(sys.argv[2], x=inputs, y=labels)
