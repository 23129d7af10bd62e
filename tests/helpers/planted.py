"""Small trainings with a planted fault, and healthy ones, as evidence for the doctor's rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from helpers.data import examples, labelled
from trainwell.data.dataset import Dataset
from trainwell.doctor.collect import collect
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.race import race, rate_arms
from trainwell.engine.members import Member
from trainwell.engine.trainer import Trainer
from trainwell.recipe import Recipe, edit

# Small enough for seconds, and good: what the planted faults are faults against.
HEALTHY: Mapping[str, str] = {
    "model": "Mlp(hidden=(64, 64), norm='none')",
    "regularize": "(L2(1e-4),)",
    "lr": "0.003",
    "batch_size": "32",
    "epochs": "25",
    "patience": "25",
}


@cache
def known(name: str, rows: int = 1200, noise: float = 0.0, swapped: bool = False) -> Dataset:
    """Data of scikit-learn, shuffled; noise: share of rows with another label; swapped: all."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    rng = np.random.default_rng(3)
    order = rng.permutation(len(found.target))[:rows]
    x, y = found.data[order], found.target[order].astype(np.int64)
    if noise:
        other = rng.random(len(y)) < noise
        y = np.where(other, rng.integers(0, y.max() + 1, len(y)), y)
    if swapped:
        y = rng.permutation(y)
    return labelled(y, x)


def recipe_of(changes: Mapping[str, str]) -> Recipe:
    """The healthy recipe with some fields changed, as text."""
    return edit(Recipe(), {**HEALTHY, **changes}, "planted")


def members_for(
    data: Dataset, recipe: Recipe, seeds: Sequence[int], train: int | None
) -> list[Member]:
    """Members with other seeds on the same rows: the last quarter is held out."""
    cut = len(data) * 3 // 4
    rows = np.arange(len(data))
    mine = rows[: cut if train is None else train]
    return [Member(recipe, 0, mine, rows[cut:], seed) for seed in seeds]


def evidence_of(
    data: Dataset,
    changes: Mapping[str, str],
    seeds: Sequence[int] = (0, 1, 2),
    train: int | None = None,
    racing: bool = False,
    arms: Mapping[str, Mapping[str, str]] | None = None,
) -> Evidence:
    """Train and collect; racing: also with twice and half the rate; arms: further ones."""
    recipe = recipe_of(changes)
    members = members_for(data, recipe, seeds, train)
    trainer = Trainer(examples(data, recipe, members[0].train), jobs=1, probing=True)
    result = trainer.train(members, "training")
    trained = [result.trained[i] for i in range(len(members))]
    evidence = collect(trained, result.history, result.probes)
    wanted = {**(rate_arms(recipe.lr or 0.0) if racing else {}), **(arms or {})}
    counts = np.bincount(data.labels[members[0].train], minlength=len(data.classes))
    return dataclasses.replace(
        evidence,
        classes=len(data.classes),
        class_counts=tuple(int(n) for n in counts),
        race=race(members, wanted, trainer) if wanted else (),
    )
