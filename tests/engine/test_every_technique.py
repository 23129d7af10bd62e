"""Every technique of every family trains: alone, together and one by one, again and again."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from helpers.data import LOOPED, clips, examples, members_of, pictures, table
from helpers.families import TECHNIQUES
from trainwell.data.dataset import Dataset
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.members import Examples, Member
from trainwell.engine.population import Execution, Population
from trainwell.engine.train import train
from trainwell.recipe import Recipe
from trainwell.recipe_check import check_against
from trainwell.techniques.augment.base import Augmentation
from trainwell.techniques.augment.generated import Refine
from trainwell.techniques.augment.mixing import CutMix
from trainwell.techniques.balance import Balance, Focal
from trainwell.techniques.models import AudioCnn, Cnn, ResNet
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.optim.first_order import Momentum
from trainwell.techniques.preprocess import LogMel, Standardize
from trainwell.techniques.regularize import (
    L1,
    L2,
    Dropout,
    InputDropout,
    LabelSmoothing,
    MaxNorm,
)
from trainwell.techniques.schedules import Constant

BASE = Recipe(
    model=Mlp(hidden=(10, 6)),
    regularize=(),
    optimizer=Momentum(),
    schedule=Constant(),
    lr=0.02,
    epochs=2,
    batch_size=16,
)
SMALL: dict[str, Any] = {
    "Cnn": Cnn(channels=(4,), depth=1),
    "ResNet": ResNet(channels=(4, 6)),
    "AudioCnn": AudioCnn(channels=(4, 6)),
}


def fitting(family: str, cls: Any) -> tuple[Dataset, Recipe]:
    """Data that the technique is for, and a recipe that names it with its defaults."""
    data, recipe = table(rows=96), BASE
    technique: Any = SMALL.get(cls.__name__, cls())
    place = getattr(technique, "acts_on", "")
    if place == "pictures" or cls in (Cnn, ResNet, CutMix, Refine):
        data = pictures(rows=60)
    elif place == "clips" or cls in (LogMel, AudioCnn) or cls.__name__ == "SpecAugment":
        data = clips(rows=36)
        mel = (LogMel(bands=12), Standardize(per="channel"))
        recipe = dataclasses.replace(recipe, preprocess=mel)
    if cls.__name__ in ("Newton", "NewtonCg", "Lbfgs"):
        recipe = dataclasses.replace(recipe, model=Linear(), lr=1.0)
    many = family in ("augment", "preprocess", "regularize")
    if family == "preprocess" and cls is LogMel:
        technique = LogMel(bands=12)
    if family == "preprocess" and cls is not LogMel:
        recipe = dataclasses.replace(recipe, preprocess=(technique,))
    elif family != "preprocess":
        recipe = dataclasses.replace(recipe, **{family: (technique,) if many else technique})
    check_against(recipe, data.schema)
    return data, recipe


def shared(data: Dataset, recipe: Recipe) -> Examples:
    rows = np.arange(len(data) * 3 // 4)
    layers = fit_preprocess(recipe, data.schema, data.inputs, rows, np.arange(len(data)))
    device = torch.device("cpu")
    inputs = FoldInputs(data.inputs, [layers], device, augmented=recipe.changes_signals)
    rate = getattr(data.schema, "rate", 0)
    return Examples(inputs, torch.from_numpy(data.labels), len(data.classes), device, rate=rate)


def trained(
    members: list[Member], everything: Examples, way: Execution | None
) -> tuple[list[Any], Population]:
    people = Population(members, everything, way)
    list(train(people))
    return people.trained, people


@pytest.mark.parametrize(("family", "cls"), TECHNIQUES)
def test_trains_alike_in_every_way(family: str, cls: Any) -> None:
    """Finite and the same at every repetition, alone as among others, together as one by one."""
    data, recipe = fitting(family, cls)
    everything = shared(data, recipe)
    members = members_of(data, [recipe] * 3)
    usual, people = trained(members, everything, None)
    again, _ = trained(members, everything, None)
    looped, _ = trained(members, everything, LOOPED)
    alone, _ = trained([members[1]], everything, None)
    for one, other in zip(usual, again, strict=True):
        assert one.theta.isfinite().all() and one.buffers.isfinite().all()
        assert torch.equal(one.theta, other.theta)
    for one, other in zip([*usual, usual[1]], [*looped, alone[0]], strict=True):
        close = torch.isclose(one.theta, other.theta, rtol=2e-3, atol=3e-4)
        assert close.float().mean() >= 0.98
        torch.testing.assert_close(one.theta, other.theta, rtol=0.1, atol=0.03)
    if people.execution.way != "looped":
        assert people.execution.size == 3
    assert not torch.equal(usual[0].theta, usual[1].theta) or cls.__name__ == "Zero"


# The value of each regulariser and augmentation that is to do nothing at all.
NOTHING: dict[str, Any] = {
    "L1": L1(0.0),
    "L2": L2(0.0),
    "MaxNorm": MaxNorm(1e30),
    "Dropout": Dropout(0.0),
    "InputDropout": InputDropout(0.0),
    "LabelSmoothing": LabelSmoothing(0.0),
    "Focal": Focal(0.0),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_strength_of_zero_changes_no_bit(name: str) -> None:
    data = table(rows=96)
    technique = NOTHING[name]
    field = "balance" if isinstance(technique, Balance) else "regularize"
    value = technique if field == "balance" else (technique,)
    recipe = dataclasses.replace(BASE, **{field: value})
    everything = examples(data, BASE, np.arange(72))
    with_it, _ = trained(members_of(data, [recipe] * 2), everything, None)
    without, _ = trained(members_of(data, [BASE] * 2), everything, None)
    for a, b in zip(with_it, without, strict=True):
        assert torch.equal(a.theta, b.theta)


CHANGES = [cls for _, cls in TECHNIQUES if issubclass(cls, Augmentation)]


@pytest.mark.parametrize("cls", CHANGES)
def test_augmentation_is_for_training_rows_only(cls: Any) -> None:
    """Scores, and what the network sees in them, are of clean rows; members may differ in it."""
    data, recipe = fitting("augment", cls)
    everything = shared(data, recipe)
    clean = dataclasses.replace(recipe, augment=())
    people = Population(members_of(data, [recipe, clean], seeds=[1, 1]), everything)
    alone = Population(members_of(data, [clean], seeds=[1]), everything)
    rows = torch.arange(8)[None].repeat(2, 1)
    x = everything.inputs.gather(torch.tensor([0, 0]), rows)
    assert torch.equal(x[0], x[1])
    list(train(people))
    list(train(alone))
    changed, kept = people.trained
    assert not torch.equal(changed.theta, kept.theta)
    torch.testing.assert_close(kept.theta, alone.trained[0].theta, rtol=2e-3, atol=3e-4)
