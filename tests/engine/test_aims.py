"""The validation loss that chooses the best epoch weighs classes as the training does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from helpers.data import STACKED, labelled, members_of, population
from trainwell.engine.aims import aim_of
from trainwell.engine.score import predict_logits
from trainwell.engine.train import train
from trainwell.recipe import Recipe
from trainwell.techniques.balance import (
    ClassWeights,
    EffectiveNumber,
    Focal,
    LogitAdjust,
    Oversample,
    Smote,
    ThresholdMove,
)
from trainwell.techniques.models.mlp import Mlp

COUNTS = torch.tensor([90, 10, 0])
PLAIN = Recipe(model=Mlp((8,), norm="none"), regularize=(), lr=0.05, epochs=6, patience=6)


@pytest.mark.parametrize(
    "balance", [None, Focal(), ThresholdMove(), LogitAdjust(when="prediction")], ids=str
)
def test_what_learns_the_shares_as_they_are_is_judged_by_them(balance: object) -> None:
    assert aim_of(balance, COUNTS) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("balance", [ClassWeights(), Oversample(), Smote(), LogitAdjust()], ids=str)
def test_balanced_learning_gives_every_class_the_same_weight(balance: object) -> None:
    weights = aim_of(balance, COUNTS)  # type: ignore[arg-type]
    assert weights is not None
    assert weights[0] * 90 == pytest.approx(float(weights[1] * 10)) and weights[2] == 0


def test_milder_ones_go_half_the_way() -> None:
    half, whole = aim_of(Oversample(0.5), COUNTS), aim_of(Oversample(), COUNTS)
    number = aim_of(EffectiveNumber(), COUNTS)
    assert half is not None and whole is not None and number is not None
    assert 1 < half[1] / half[0] < whole[1] / whole[0]
    assert torch.equal(number, EffectiveNumber().weights(COUNTS))


def test_the_best_epoch_has_the_lowest_aim() -> None:
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1], [180, 20]))
    data = labelled(y, rng.normal(size=(200, 3)) + y[:, None])
    weighted = dataclasses.replace(PLAIN, balance=ClassWeights())
    p = population(data, members_of(data, [PLAIN, weighted]), STACKED)
    history = [s for scores in train(p) for s in scores]
    plain, other = ([s for s in history if s.member == m] for m in (0, 1))
    assert all(s.val_aim == s.val_loss for s in plain)
    assert all(s.val_aim != s.val_loss for s in other)
    for mine, found in zip((plain, other), p.trained, strict=True):
        best = min(mine, key=lambda s: s.val_aim)
        assert (found.best_epoch, found.log_loss) == (best.epoch, best.val_aim)


def test_the_aim_is_the_weighted_mean_of_the_losses() -> None:
    rng = np.random.default_rng(1)
    y = rng.permutation(np.repeat([0, 1], [180, 20]))
    data = labelled(y, rng.normal(size=(200, 3)) + y[:, None])
    recipe = dataclasses.replace(PLAIN, balance=Oversample(), epochs=1)
    p = population(data, members_of(data, [recipe, recipe]), STACKED)
    share, rows = p.shares[0], p.validation[0]
    scores = next(iter(train(p)))
    p.epochs = 1
    losses = torch.nn.functional.cross_entropy(
        predict_logits(p, share, rows).transpose(1, 2), p.examples.labels[rows], reduction="none"
    )
    labels = p.examples.labels[rows]
    counts = np.bincount(y[:150])
    weight = torch.tensor(1 / counts)[labels]
    expected = (losses * weight).sum(dim=1) / weight.sum(dim=1)
    assert [s.val_aim for s in scores] == pytest.approx(expected.tolist(), rel=1e-5)
