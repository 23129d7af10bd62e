"""Members to be spread over workers, and whether two trainings gave the same."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from helpers.data import examples, members_of, table
from trainwell.engine.members import Examples, Member
from trainwell.engine.trainer import Result
from trainwell.recipe import Recipe
from trainwell.techniques.models.mlp import Mlp

BASE = Recipe(model=Mlp(hidden=(16, 8)), lr=5e-3, epochs=6, batch_size=16, patience=3)


def some(count: int = 6, recipe: Recipe = BASE, data: Any = None) -> tuple[list[Member], Examples]:
    """Members whose validation parts differ in size, as those of folds do."""
    data = table() if data is None else data
    members = [
        dataclasses.replace(m, validation=m.validation[: len(m.validation) - k % 3])
        for k, m in enumerate(members_of(data, [recipe] * count))
    ]
    return members, examples(data, recipe, members[0].train)


def same(one: Result, other: Result) -> None:
    assert one.trained.keys() == other.trained.keys()
    for i, a in one.trained.items():
        b = other.trained[i]
        assert torch.equal(a.theta, b.theta) and torch.equal(a.buffers, b.buffers), i
        assert (a.epochs, a.best_epoch, a.diverged) == (b.epochs, b.best_epoch, b.diverged)
    assert one.history == other.history
