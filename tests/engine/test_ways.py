"""Stacked, by vmap or one by one: the same numbers, for every model, optimiser and option."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.data import LOOPED, STACKED, VMAPPED, digits, examples, members_of, table, varied
from trainwell.callstring import members as choices
from trainwell.data.dataset import Dataset
from trainwell.engine.alone import Alone
from trainwell.engine.members import Member, Trained, plan
from trainwell.engine.population import Execution, Population
from trainwell.engine.score import EpochScore
from trainwell.engine.stack import Stack, can_stack
from trainwell.engine.train import train
from trainwell.engine.vmapped import Vmapped, can_vmap
from trainwell.recipe import Model, Recipe
from trainwell.techniques.augment.mixing import MixUp
from trainwell.techniques.augment.tables import Jitter
from trainwell.techniques.balance import (
    ClassWeights,
    EffectiveNumber,
    Focal,
    LogitAdjust,
    Oversample,
    Smote,
)
from trainwell.techniques.init import He, SmallRandom, Xavier
from trainwell.techniques.models import AudioCnn, Cnn, Mlp, ResNet
from trainwell.techniques.optim.first_order import Adam, Momentum
from trainwell.techniques.optim.rules import ClosureRule, Optimizer
from trainwell.techniques.preprocess import Standardize
from trainwell.techniques.regularize import L1, L2, Dropout, InputDropout, LabelSmoothing, MaxNorm
from trainwell.techniques.schedules import Constant, Cosine, StepDecay

BASE = Recipe(
    model=Mlp(hidden=(12, 8)), regularize=(), lr=2e-3, epochs=2, batch_size=16, optimizer=Adam()
)
BASE_OF = {
    "table": BASE,
    "images": dataclasses.replace(BASE, preprocess=(Standardize(per="channel"),)),
}
SMALL: dict[type, Any] = {
    Mlp: Mlp(hidden=(12, 8)),
    Cnn: Cnn(channels=(4, 6), depth=1),
    ResNet: ResNet(channels=(2,)),  # few numbers: Newton has a matrix of their squares
    AudioCnn: AudioCnn(channels=(2, 3), ranges=2),
}


# Three networks that are no plain sequence of known layers.


class Residual(nn.Module):
    """A sum of two paths, layer norm, and batch norm inside."""

    def __init__(self, inputs: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, 10, bias=False)  # batch norm takes the mean away
        self.norm = nn.BatchNorm1d(10)
        self.inner = nn.Sequential(nn.Linear(10, 10), nn.LayerNorm(10), nn.Tanh())
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(10, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.first(x.flatten(1))).relu()
        found: Tensor = self.last(self.drop(h + self.inner(h)))
        return found


class Noisy(nn.Module):
    """Draws random numbers of its own while training: vmap refuses it."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if self.training:
            x = x + 0.1 * torch.randn(x.shape)
        found: Tensor = self.last(x)
        return found


@dataclass(frozen=True)
class Own:
    """A model that somebody brings along."""

    kind: str = "residual"

    def build(
        self, shape: tuple[int, ...], classes: int, dropout: float, blocks: object = ()
    ) -> nn.Module:
        inputs = torch.Size(shape).numel()
        return (
            Residual(inputs, classes, dropout)
            if self.kind == "residual"
            else Noisy(inputs, classes)
        )


def owned(recipe: Recipe, kind: str) -> Recipe:
    """The recipe with a model that is in no family."""
    changed = dataclasses.replace(recipe)
    object.__setattr__(changed, "model", Own(kind))
    return changed


def trained(
    members: Sequence[Member], data: Dataset, execution: Execution | None
) -> tuple[list[Trained], list[EpochScore], Population]:
    """All on one pre-processing, whoever the members are."""
    people = Population(members, examples(data, BASE_OF[data.kind], np.arange(150)), execution)
    history = [score for scores in train(people) for score in scores]
    return people.trained, history, people


def same(one: Sequence[Trained], other: Sequence[Trained]) -> None:
    """Equal to rounding.

    Adaptive rules divide by the size of the gradient: a weight whose gradient is nothing but
    rounding still moves by the learning rate. One in fifty may therefore differ.
    """
    for a, b in zip(one, other, strict=True):
        close = torch.isclose(a.theta, b.theta, rtol=2e-3, atol=3e-4)
        assert close.float().mean() >= 0.98, (a.theta - b.theta).abs().max()
        torch.testing.assert_close(a.theta, b.theta, rtol=0.1, atol=0.03)
        torch.testing.assert_close(a.buffers, b.buffers, rtol=2e-2, atol=5e-3)
        assert a.log_loss == pytest.approx(b.log_loss, rel=1e-2, abs=1e-3)
        assert (a.epochs, a.best_epoch, a.diverged) == (b.epochs, b.best_epoch, b.diverged)


def uneven(data: Dataset) -> Dataset:
    """The same rows with most of the second class named like the first."""
    labels = data.labels.copy()
    labels[(labels == 1) & (np.arange(len(labels)) % 4 > 0)] = 0
    return dataclasses.replace(data, labels=labels)


def few(data: Dataset, recipes: Sequence[Recipe]) -> list[Member]:
    """One member per recipe, each with its own seed and its own rows."""
    return [
        dataclasses.replace(m, train=m.train[k : 160 + k], validation=m.validation[: 30 + k])
        for k, m in enumerate(members_of(data, recipes))
    ]


# Everything in which the members of one population may differ, three at a time.
OPTIONS: dict[str, dict[str, list[Any]]] = {
    "rate and schedule": {
        "lr": [1e-3, 5e-3, 2e-2],
        "schedule": [Constant(), Cosine(0.2), StepDecay(0.5, 1)],
    },
    "L1": {"regularize": [(L1(1e-3),), (), (L1(1e-2),)]},
    "L2": {"regularize": [(L2(1e-2),), (), (L2(0.3),)]},
    "max norm": {"regularize": [(MaxNorm(0.5),), (), (MaxNorm(1.5),)]},
    "dropout": {"regularize": [(Dropout(0.1),), (Dropout(0.5),), (Dropout(0.8),)]},
    "label smoothing": {"regularize": [(LabelSmoothing(0.1),), (), (LabelSmoothing(0.3),)]},
    "class weights": {"balance": [None, ClassWeights(), ClassWeights(0.5)]},
    "init": {"init": [He(), Xavier(), SmallRandom()]},
    "jitter": {"augment": [(Jitter(0.05),), (), (Jitter(0.5),)]},
    "mixed examples": {"augment": [(MixUp(1.0),), (), (Jitter(0.1), MixUp(0.4))]},
    "input dropout": {"regularize": [(InputDropout(0.2),), (), (InputDropout(0.5),)]},
    "penalties on biases": {"regularize": [(L2(0.1, True),), (), (L1(0.01, biases=True), L2(0.1))]},
    "weights by effective number": {"balance": [EffectiveNumber(0.9), None, EffectiveNumber(0.99)]},
    "oversampling": {"balance": [Oversample(), None, Oversample(0.5)]},
    "new rows": {"balance": [Smote(), None, Smote(neighbours=2)]},
    "adjusted logits": {"balance": [LogitAdjust(), None, LogitAdjust(tau=2.0)]},
    "focal loss": {"balance": [Focal(), None, Focal(gamma=0.5)]},
    "Adam": {"optimizer": [Adam(), Adam(0.5, 0.9), Adam(0.8, 0.99, 1e-4)]},
    "momentum": {"optimizer": [Momentum(), Momentum(0.5), Momentum(0.0)]},
    "patience": {"patience": [1, 2, 20], "epochs": [4, 4, 4]},
}
EVERYTHING: dict[str, list[Any]] = {
    "lr": [1e-3, 5e-3, 2e-3],
    "schedule": [Constant(), Cosine(0.2), StepDecay(0.5, 1)],
    "regularize": [
        (L1(1e-4), L2(1e-3), MaxNorm(2.0), Dropout(0.2), LabelSmoothing(0.1)),
        (Dropout(0.4),),
        (L2(0.01), Dropout(0.1), MaxNorm(1.0)),
    ],
    "balance": [ClassWeights(), Focal(), Oversample()],
    "init": [He(), Xavier(), SmallRandom(0.1)],
    "augment": [(Jitter(0.05),), (), (Jitter(0.1), MixUp())],
}


@pytest.mark.parametrize("rule", choices(Optimizer), ids=lambda c: c.__name__)
@pytest.mark.parametrize("model", choices(Model), ids=lambda c: c.__name__)
def test_every_model_with_every_optimiser(model: type, rule: type) -> None:
    """Members that differ in everything at once."""
    convolves = model in (Cnn, ResNet, AudioCnn)
    data = digits() if convolves else table(rows=220)
    base = dataclasses.replace(
        BASE,
        model=SMALL.get(model, model()),
        optimizer=rule(),
        preprocess=(Standardize(per="channel" if convolves else "feature"),),
    )
    if rule in choices(ClosureRule):  # one step each: a Hessian takes a pass per parameter
        base = dataclasses.replace(base, epochs=1, batch_size=160)
        if model is ResNet:
            base = dataclasses.replace(base, model=ResNet(channels=(2,), blocks=1))
    members = few(data, varied(base, **EVERYTHING))
    assert plan(members) == [[0, 1, 2]]
    looped, history, plain = trained(members, data, LOOPED)
    if rule in choices(ClosureRule):  # they train one by one, also among others
        for k, member in enumerate(members):
            (alone,), _, people = trained([member], data, None)
            assert people.execution == LOOPED
            assert torch.equal(alone.theta, looped[k].theta)
            assert looped[k].best_epoch  # and they learn
        with pytest.raises(ValueError, match="one by one"):
            trained(members, data, STACKED)
        return
    assert can_stack(plain.network) == (model is not ResNet)
    for way in (VMAPPED,) if model is ResNet else (STACKED, VMAPPED):
        found, scores, people = trained(members, data, way)
        same(found, looped)
        assert [(s.member, s.epoch, s.lr) for s in scores] == [
            (s.member, s.epoch, s.lr) for s in history
        ]
        kind = Stack if way is STACKED else Vmapped
        assert all(isinstance(s.network, kind) for s in people.shares)


@pytest.mark.parametrize("way", [STACKED, VMAPPED], ids=str)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_member_alone_equals_the_same_member_among_others(option: str, way: Execution) -> None:
    """Each option by itself, and it does change the result."""
    data = uneven(table(rows=220)) if "balance" in OPTIONS[option] else table(rows=220)
    recipes = varied(BASE, **OPTIONS[option])
    members = few(data, recipes)
    assert plan(members) == [[0, 1, 2]]
    together, _, _ = trained(members, data, way)
    for k, member in enumerate(members):
        (alone,), _, _ = trained([member], data, None)
        same([alone], [together[k]])
    plain = few(data, [BASE] * 3)
    without, _, _ = trained(plain, data, way)
    changed = [not torch.equal(a.theta, b.theta) for a, b in zip(together, without, strict=True)]
    assert sum(changed) >= 2


def test_one_of_thirty_two() -> None:
    data = table(rows=220)
    recipes = [dataclasses.replace(BASE, lr=1e-3 * (1 + k % 5)) for k in range(32)]
    members = members_of(
        data, [dataclasses.replace(r, regularize=(Dropout(0.2),)) for r in recipes]
    )
    together, _, _ = trained(members, data, None)
    for k in (0, 13, 31):
        (alone,), _, _ = trained([members[k]], data, None)
        same([alone], [together[k]])


@pytest.mark.parametrize("rule", choices(Optimizer), ids=lambda c: c.__name__)
def test_any_module_by_vmap(rule: type) -> None:
    data = table(rows=220)
    recipes = [
        owned(r, "residual")
        for r in varied(dataclasses.replace(BASE, optimizer=rule()), **EVERYTHING)
    ]
    members = few(data, recipes)
    found, _, people = trained(members, data, None)
    if rule in choices(ClosureRule):
        assert people.execution == LOOPED
        return
    assert people.execution == Execution("vmapped", 3)
    assert not can_stack(people.network)
    assert len(people.statistics) == 2
    looped, _, alone = trained(members, data, LOOPED)
    assert all(isinstance(s.network, Alone) for s in alone.shares)
    same(found, looped)


def test_a_module_that_vmap_refuses_runs_alone() -> None:
    """Its own random numbers come from the member's stream: the same again, whoever is beside."""
    data = table(rows=220)
    members = few(data, [owned(BASE, "noisy")] * 3)
    found, _, people = trained(members, data, None)
    assert people.execution == LOOPED
    assert not can_vmap(people.network, torch.zeros(people.examples.inputs.shape))
    torch.manual_seed(9)
    (alone,), _, _ = trained([members[1]], data, None)
    assert torch.equal(alone.theta, found[1].theta)


@pytest.mark.parametrize("way", [STACKED, VMAPPED, LOOPED], ids=str)
def test_halving_leaves_the_others_as_they_are(way: Execution) -> None:
    """Successive halving: the worse half is dropped after epochs 2 and 4; who stays has the bits
    of a training in which nobody was dropped."""
    data = table(rows=220)
    base = dataclasses.replace(BASE, regularize=(Dropout(0.2), L2(1e-3)), epochs=6)
    rates = [1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0]
    members = members_of(data, varied(base, lr=rates), seeds=[1] * 8)
    undisturbed, _, _ = trained(members, data, way)
    people = Population(members, examples(data, BASE, np.arange(150)), way)
    for scores in train(people):
        if scores and scores[0].epoch in (2, 4):
            order = sorted(range(len(scores)), key=lambda k: scores[k].val_loss)
            people.finish(order[len(scores) // 2 :])
    found = people.trained
    assert sorted(t.epochs for t in found) == [2] * 4 + [4] * 2 + [6] * 2
    for a, b in zip(found, undisturbed, strict=True):
        if a.epochs == 6 and way is VMAPPED:  # its products are computed by other routines
            same([a], [b])
        elif a.epochs == 6:
            assert torch.equal(a.theta, b.theta)
            assert torch.equal(a.buffers, b.buffers)


def test_the_members_must_share_a_computation() -> None:
    data = table()
    members = members_of(data, [BASE, dataclasses.replace(BASE, batch_size=8)])
    with pytest.raises(ValueError, match="cannot share a population"):
        Population(members, examples(data, BASE, np.arange(90)))


def test_mixed_precision_learns_the_same() -> None:
    """bfloat16 in the layers: about three digits, hence only roughly the same losses."""
    data = digits()
    for model, way in ((Mlp(hidden=(16,)), STACKED), (Cnn(channels=(4,), depth=1), LOOPED)):
        recipe = dataclasses.replace(
            BASE, model=model, preprocess=(Standardize(per="channel"),), epochs=3
        )
        members = few(data, [recipe] * 2)
        exact, _, _ = trained(members, data, way)
        shared = examples(data, recipe, np.arange(150))
        mixed = Population(members, shared, way, precision=torch.bfloat16)
        list(train(mixed))
        for a, b in zip(mixed.trained, exact, strict=True):
            assert a.theta.dtype == torch.float32
            assert not torch.equal(a.theta, b.theta)
            assert a.log_loss == pytest.approx(b.log_loss, rel=0.1)
