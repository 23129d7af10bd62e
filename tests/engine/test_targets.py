"""Soft targets: a teacher's probabilities in place of labels, in every way of running."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from helpers.data import LOOPED, STACKED, WAYS, examples, members_of, table, varied
from trainwell.engine.members import Examples, Member, Trained
from trainwell.engine.population import Execution, Population
from trainwell.engine.sending import Sent
from trainwell.engine.train import train
from trainwell.errors import UserError
from trainwell.recipe import Recipe
from trainwell.techniques.augment.mixing import MixUp
from trainwell.techniques.balance import ClassWeights, Focal
from trainwell.techniques.losses import CrossEntropy, MeanSquared, soft_cross_entropy
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.optim.second_order import Lbfgs, Newton, NewtonCg
from trainwell.techniques.regularize import L2, LabelSmoothing

BASE = Recipe(model=Mlp(hidden=(12,)), regularize=(), lr=5e-3, epochs=2, batch_size=16)


def with_targets(recipe: Recipe, targets: Any) -> tuple[list[Member], Examples]:
    data = table()
    members = members_of(data, varied(recipe, lr=[5e-3, 2e-2]), [0, 1])
    made = examples(data, recipe, members[0].train)
    return members, dataclasses.replace(made, targets=targets)


def result(recipe: Recipe, targets: Any, execution: Execution = STACKED) -> list[Trained]:
    members, data = with_targets(recipe, targets)
    if execution == LOOPED:  # closure rules train one at a time
        people = [Population([m], data, LOOPED) for m in members]
    else:
        people = [Population(members, data, execution)]
    for p in people:
        list(train(p))
    return [t for p in people for t in p.trained]


def one_hot() -> torch.Tensor:
    return functional.one_hot(torch.from_numpy(table().labels), 3).float()


def soft() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.dirichlet(np.ones(3), len(table())).astype(np.float32))


def close(a: list[Trained], b: list[Trained]) -> None:
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one.theta, other.theta, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_that_of_torch(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 5, 3), torch.rand(2, 5, 3).softmax(dim=2)
    wanted = [
        functional.cross_entropy(z, t, label_smoothing=smoothing)
        for z, t in zip(logits, targets, strict=True)
    ]
    torch.testing.assert_close(soft_cross_entropy(logits, targets, smoothing), torch.stack(wanted))
    both = soft_cross_entropy(logits, targets, torch.tensor([0.0, 0.2]))
    assert both[0] == soft_cross_entropy(logits, targets)[0]


def test_with_one_hot_targets_it_is_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 5, 3), torch.tensor([[0, 1, 2, 0, 1], [2, 2, 1, 0, 0]])
    hot = functional.one_hot(labels, 3).float()
    torch.testing.assert_close(soft_cross_entropy(logits, hot), CrossEntropy()(logits, labels))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    "changes",
    [{}, {"augment": (MixUp(),)}, {"regularize": (LabelSmoothing(0.1),)}],
    ids=["plain", "mixed", "smoothed"],
)
def test_one_hot_targets_train_as_labels_do(way: Execution, changes: dict[str, Any]) -> None:
    recipe = dataclasses.replace(BASE, **changes)
    close(result(recipe, one_hot(), way), result(recipe, None, way))


@pytest.mark.parametrize("rule", [Newton(), NewtonCg(), Lbfgs()], ids=repr)
def test_closure_rules_learn_targets_too(rule: Any) -> None:
    # One convex problem: elsewhere a line search makes different networks of different roundings.
    changes = {"epochs": 1, "model": Linear(), "regularize": (L2(0.05),), "batch_size": 90}
    recipe = dataclasses.replace(BASE, optimizer=rule, **changes)
    close(result(recipe, one_hot(), LOOPED), result(recipe, None, LOOPED))


def test_soft_targets_are_the_same_in_every_way_and_change_what_is_learned() -> None:
    stacked = result(BASE, soft())
    close(stacked, result(BASE, soft(), LOOPED))
    assert not torch.allclose(stacked[0].theta, result(BASE, None)[0].theta, atol=1e-3)


@pytest.mark.parametrize(
    "changes", [{"loss": MeanSquared()}, {"balance": ClassWeights()}, {"balance": Focal()}]
)
def test_what_knows_labels_only_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="soft targets are learned by cross-entropy"):
        result(dataclasses.replace(BASE, **changes), soft())


def test_targets_reach_workers() -> None:
    _, data = with_targets(BASE, soft())
    sent = Sent(data).examples()
    assert sent.targets is not None
    assert torch.equal(sent.targets, soft())
