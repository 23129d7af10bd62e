"""Trainings of the audit: with and without, in the same cells, with equal steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed_copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwell import model as models
from trainwell.arms import Arena, Arm, Cell
from trainwell.auditing.changed import Floats, Rows
from trainwell.auditing.subjects import Extra, Samples, Subject, as_inputs
from trainwell.data.dataset import Dataset, IntArray
from trainwell.engine.members import Member, Trained
from trainwell.recipe import Recipe
from trainwell.recipe_check import check_against
from trainwell.seeding import numpy_stream, stream_seed

AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Added:
    """A data set with extra samples behind its own rows, and which of them each fold may use."""

    data: Dataset
    rows: tuple[IntArray, ...]  # by fold


@dataclass(eq=False)
class Trials:
    """Where arms are trained: an arena, and the recipe (with a rate) without augmentation."""

    arena: Arena
    recipe: Recipe
    added: dict[int, tuple[Extra, Added, Arena]] = field(default_factory=dict)

    @property
    def stop(self) -> bool:
        """Whether somebody asked to stop."""
        return self.arena.stop

    @stop.setter
    def stop(self, asked: bool) -> None:
        self.arena.stop = asked
        for _, _, other in self.added.values():
            other.stop = asked

    def train(
        self, subject: Subject | None, cells: Sequence[Cell], deadline: float | None = None
    ) -> Arm | None:
        """The arm with a subject (None: without any) in these cells; None where time ended it.

        Every member takes the steps of the arm without augmentation: extra samples change what is
        shown, not how much is trained.
        """
        recipe, arena = self.recipe, self.arena
        members = [arena.member(recipe, cell) for cell in cells]
        if subject is not None:
            recipe = dataclasses.replace(recipe, augment=subject.augment)
            check_against(recipe, arena.data.schema)
            members = [
                changed_copy(m, recipe=dataclasses.replace(m.recipe, augment=subject.augment))
                for m in members
            ]
        where = arena
        if subject is not None and subject.extra is not None:
            where, members = self._with_extra(subject, members)
        trainer = where.trainer(recipe)
        jobs = trainer.jobs
        if subject is not None and subject.in_memory:
            trainer.jobs = 1  # its code cannot be found from other processes
        result = trainer.train(members, "training", deadline)
        trainer.jobs = jobs
        arena.late, arena.stopped = arena.late or result.late, arena.stopped or result.stopped
        if result.late or result.stopped or len(result.trained) < len(members):
            return None
        return where.arm(recipe, cells, [result.trained[i] for i in range(len(members))])

    def samples(self, subject: Subject) -> Added:
        """The data with a subject's extra samples."""
        extra = subject.extra
        assert extra is not None
        if id(extra) not in self.added:
            added = self._added(extra)
            arena = dataclasses.replace(self.arena, data=added.data, trainers={})
            self.added[id(extra)] = (extra, added, arena)
        return self.added[id(extra)][1]

    def _added(self, extra: Extra) -> Added:
        data = self.arena.data
        parts: list[npt.NDArray[Any]] = []
        labels: list[IntArray] = []
        rows: list[IntArray] = []
        start = len(data)
        for number, fold in enumerate(self.arena.split.folds):
            if parts and isinstance(extra, Samples):
                rows.append(rows[0])
                continue
            seed = stream_seed(self.arena.seed, "extra", number) % 2**31
            x, y = as_inputs(extra, data, fold.train, seed)
            parts.append(x)
            labels.append(y)
            rows.append(np.arange(start, start + len(y)))
            start += len(y)
        everything = dataclasses.replace(
            data,
            inputs=np.concatenate([data.inputs, *parts]),
            labels=np.concatenate([data.labels, *labels]),
            names=[f"row {i}" for i in range(start)],
            groups=None,
            official_test=None,
        )
        return Added(everything, tuple(rows))

    def _with_extra(
        self, subject: Subject, members: Sequence[Member]
    ) -> tuple[Arena, list[Member]]:
        """An arena that holds the extra samples, and members that train on them as well."""
        added = self.samples(subject)
        arena = self.added[id(subject.extra)][2]
        found = []
        for member in members:
            mine = added.rows[member.fold]
            count = min(len(mine), round(subject.strength * len(mine)))
            some = np.sort(numpy_stream(member.seed, "extra").permutation(mine)[:count])
            train = np.concatenate([member.train, some])
            found.append(changed_copy(member, train=train, most_steps=member.steps))
        return arena, found


def networks(arena: Arena, recipe: Recipe, trained: Sequence[Trained]) -> models.Model:
    """The trained networks with the pre-processing of their folds."""
    layers = arena.trainer(recipe).examples.inputs.layers
    return models.assemble(arena.data.schema, arena.data.classes, layers, trained)


@torch.inference_mode()
def chances(parts: Sequence[models.Part], features: Tensor) -> Floats:
    """Probabilities (n, C) of networks for features (n, ...), their mean."""
    found = []
    for part in parts:
        some = [part.probabilities(x).numpy() for x in torch.split(features, AT_ONCE)]
        found.append(np.concatenate(some))
    mean: Floats = np.mean(found, axis=0)
    return mean


def log_loss(probabilities: Floats, labels: Floats) -> float:
    """Mean -Σ y log p, for probabilities and label shares (n, C)."""
    return float(-(labels * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1).mean())


def accuracies(
    parts: Sequence[models.Part], rows: Sequence[Rows], which: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Accuracy (n,) of each network on the rows of its fold. which: place in `rows` of each."""
    found = []
    for part, place in zip(parts, which, strict=True):
        guess = chances([part], rows[place].features).argmax(axis=1)
        found.append(float(rows[place].labels[np.arange(len(guess)), guess].mean()))
    return np.array(found)
