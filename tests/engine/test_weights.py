"""Weights of examples: in every loss, in scores, in what classes count, in training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from helpers.data import STACKED, WAYS, examples, members_of, table, varied
from trainwell.engine.members import Examples, Member
from trainwell.engine.population import Execution, Population
from trainwell.engine.score import evaluate
from trainwell.engine.share import class_counts
from trainwell.engine.train import train
from trainwell.recipe import Linear, Momentum, Recipe
from trainwell.techniques.losses import CrossEntropy, Hinge, Loss, MeanSquared, weighted
from trainwell.techniques.schedules import Constant

TIMES = torch.tensor([1, 3, 2, 1, 1, 4])
PLAIN = Recipe(
    model=Linear(),
    optimizer=Momentum(),
    schedule=Constant(),
    regularize=(),
    lr=0.05,
    epochs=4,
    batch_size=10**9,
)


@pytest.mark.parametrize("smoothing", [0.0, torch.tensor([0.0, 0.2])])
@pytest.mark.parametrize("loss", [CrossEntropy(), MeanSquared(), MeanSquared(on="logits"), Hinge()])
def test_a_weighted_loss_is_that_of_repeated_rows(
    loss: Loss, smoothing: float | torch.Tensor
) -> None:
    torch.manual_seed(0)
    logits, y = torch.randn(2, 6, 3), torch.randint(0, 3, (2, 6))
    weights = (TIMES / TIMES.float().mean()).expand(2, 6)
    rows = torch.repeat_interleave(torch.arange(6), TIMES)
    options = (smoothing if loss.smooths else 0.0, None, 1.5 if loss.focuses else 0.0)
    found = weighted(loss, logits, y, weights, *options)
    torch.testing.assert_close(found, loss(logits[:, rows], y[:, rows], *options))
    by_class = torch.rand(2, 3) + 0.5
    options = (options[0], by_class, options[2])
    found = weighted(loss, logits, y, weights, *options)
    own = by_class.gather(1, y)  # the two have different divisors
    found = found * own.sum(1) / (own * weights).sum(1)
    torch.testing.assert_close(found, loss(logits[:, rows], y[:, rows], *options))


def with_weights(times: np.ndarray) -> Examples:
    data = table(len(times))
    weights = torch.from_numpy(times / times.mean()).float()
    made = examples(data, PLAIN, np.arange(len(data)))
    return dataclasses.replace(made, weights=weights)


def repeated(member: Member, times: np.ndarray) -> Member:
    train, validation = (np.repeat(r, times[r]) for r in (member.train, member.validation))
    return dataclasses.replace(member, train=train, validation=validation)


@pytest.mark.parametrize("execution", WAYS, ids=str)
def test_training_with_weights_is_training_on_repeated_rows(execution: Execution) -> None:
    times = np.random.default_rng(0).integers(1, 4, 120)
    times[90:] = np.resize([2, 1], 30)
    times[:90] = np.resize([1, 2], 90)  # the mean over each part is that over all
    members = members_of(table(120), varied(PLAIN, lr=[0.05, 0.02]))
    heavy = with_weights(times)
    light = dataclasses.replace(heavy, weights=None)
    one = Population(members, heavy, execution)
    two = Population([repeated(m, times) for m in members], light, execution)
    for first, second in zip(train(one), train(two), strict=True):
        for a, b in zip(first, second, strict=True):
            assert (a.val_loss, a.val_accuracy) == pytest.approx((b.val_loss, b.val_accuracy), 1e-4)
    for a, b in zip(one.trained, two.trained, strict=True):
        torch.testing.assert_close(a.theta, b.theta, rtol=1e-4, atol=1e-5)


def test_scores_count_by_weights() -> None:
    times = np.random.default_rng(0).integers(1, 4, 120)
    members = members_of(table(120), [PLAIN, PLAIN])
    heavy = with_weights(times)
    rows = torch.arange(60).repeat(2, 1)
    mask = torch.ones(2, 60, dtype=torch.bool)
    mask[1, 40:] = False
    loss, accuracy, error = evaluate(Population(members, heavy, STACKED), rows, mask)
    light = Population(members, dataclasses.replace(heavy, weights=None), STACKED)
    for k, count in ((0, 60), (1, 40)):
        many = torch.from_numpy(np.repeat(np.arange(count), times[:count])).repeat(2, 1)
        same = evaluate(light, many, torch.ones_like(many, dtype=torch.bool))
        torch.testing.assert_close(loss[k], same[0][k])
        torch.testing.assert_close(accuracy[k], same[1][k])
    assert bool((error > 0).all())
    ones = dataclasses.replace(heavy, weights=torch.ones(120))
    for a, b in zip(
        evaluate(Population(members, ones, STACKED), rows, mask),
        evaluate(light, rows, mask),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_classes_count_by_weights() -> None:
    times = np.arange(1, 121)
    (member,) = members_of(table(120), [PLAIN])
    heavy = with_weights(times)
    expected = np.bincount(np.arange(90) % 3, times[:90]) / times.mean()
    np.testing.assert_allclose(class_counts(member, heavy).numpy(), expected, rtol=1e-6)
