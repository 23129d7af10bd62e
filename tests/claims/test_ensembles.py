"""Ensemble arithmetic, ensembles, searches and curves against planted cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainwell.claims.experiments import curve_regimes, ensembles, vote_arithmetic, weak_members
from trainwell.claims.experiments.imbalance import recalls
from trainwell.claims.experiments.loss_functions import first
from trainwell.claims.experiments.rare_tokens import drawn, fitted, said
from trainwell.claims.experiments.rate_search import search
from trainwell.claims.stacked import Nets, Training, losses, trained

THREE = (0.9, 0.88, 0.8)


def test_independent_votes_as_by_simulation():
    rng = np.random.default_rng(0)
    right = rng.random((400_000, 3)) < np.array(THREE)
    simulated = (right.sum(axis=1) >= 2).mean()
    assert vote_arithmetic.independent(THREE) == pytest.approx(simulated, abs=0.002)


def test_worst_and_best_votes():
    low, high = vote_arithmetic.bounds(THREE)
    # Worst: two are wrong wherever one is, errors .1, .12 and .2 shared by pairs: .42 / 2.
    assert (low, high) == (pytest.approx(1 - 0.42 / 2), pytest.approx(1.0))
    assert low < vote_arithmetic.one_factor(THREE, 0.9) < vote_arithmetic.one_factor(THREE, 0.1)
    # One member of three alone decides nothing: two equal ones that always agree do.
    assert vote_arithmetic.bounds((0.7, 0.7, 0.7))[1] == pytest.approx(1.0)


def test_the_common_part_that_gives_the_lecture_s_number():
    common = vote_arithmetic.correlation_for(THREE, 0.93)
    assert 0.05 < common < 0.4
    assert vote_arithmetic.one_factor(THREE, common) == pytest.approx(0.93, abs=1e-6)


def test_accuracy_and_disagreement_of_members():
    labels = np.array([[0, 1, 1]])
    said_by = np.array([[[0, 1, 1], [0, 1, 0]]])  # (R, M, n)
    chance = np.eye(2)[said_by]
    assert ensembles.right(chance, labels).tolist() == [[1.0, pytest.approx(2 / 3)]]
    assert ensembles.disagreement(chance) == pytest.approx([1 / 3])
    assert ensembles.log_loss(np.full((1, 3, 2), 0.5), labels) == pytest.approx([np.log(2)])


def test_members_of_a_repetition_lie_together():
    weights = torch.arange(6.0)[:, None, None]  # two repetitions of three networks, one input
    nets = Nets((torch.cat([weights, -weights], dim=2),), (torch.zeros(6, 1, 2),))
    found = ensembles.chances(nets, torch.ones(2, 4, 1), 2)
    assert found.shape == (2, 3, 4, 2)
    assert found[1, 0, 0, 0] == pytest.approx(1 / (1 + np.exp(-6.0)))


def test_a_weak_member_that_errs_elsewhere_helps():
    labels = np.arange(90) % 3
    wrong = {"network": range(8), "forest": range(8, 17), weak_members.WEAK: range(17, 27)}
    table = {}
    for name, rows in wrong.items():
        chance = np.eye(3)[labels] * 0.8 + 0.1
        chance[list(rows)] = np.roll(chance[list(rows)], 1, axis=1)
        table[name] = chance / chance.sum(axis=1, keepdims=True)
    found = weak_members.scored(table, table, (labels, labels), 0)
    assert found["best single"] == found["network"] == pytest.approx(82 / 90)
    assert found["three"] > found["two"]
    assert found["chosen"] > found["best single"]


def test_the_search_ends_on_a_peak_and_counts_its_trials():
    for peak in range(13):
        place, tried = search(lambda i, peak=peak: -abs(i - peak), 13, 7)
        assert place == peak
        assert tried <= 8
    assert search(lambda i: 0.0, 13, 7) == (7, 5)


def test_losses_are_those_of_torch():
    logits, labels = torch.randn(2, 5, 3), torch.randint(3, (2, 5))
    truth = torch.nn.functional.one_hot(labels, 3).float()
    squared = torch.nn.functional.mse_loss(logits.softmax(2), truth, reduction="none").sum(2)
    assert losses(logits, labels, "squared_probabilities") == pytest.approx(squared)
    plain = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    assert losses(logits, labels, "cross_entropy") == pytest.approx(plain)


def test_networks_with_rates_of_their_own_are_those_trained_alone():
    x, y = torch.randn(2, 40, 3), torch.randint(2, (2, 40))
    how = Training(hidden=(4,), steps=5, batch=40, decay=False)
    seen = []
    both = trained(
        x, y, 2, how, 0, rates=torch.tensor([0.1, 0.0]), watch=lambda t, n: seen.append(t)
    )
    alone = trained(x, y, 2, how, 0, rates=torch.tensor([0.1, 0.1]))
    assert torch.allclose(both.weights[0][0], alone.weights[0][0])
    assert torch.allclose(both.biases[1][1], torch.zeros(1, 2))  # a rate of 0 moves nothing
    assert seen == [1, 2, 3, 4, 5]


def test_curves_are_called_by_their_shape():
    epochs = np.arange(20.0)
    blank = np.log(10)
    falling = 2.3 * np.exp(-epochs) + 0.001
    stuck = 0.4 + 0.1 * (-1.0) ** epochs
    assert curve_regimes.call(falling, blank) == "good"
    assert curve_regimes.call(2.3 - 0.02 * epochs, blank) == "low"
    assert curve_regimes.call(np.r_[2.0, stuck[1:]], blank) == "high"
    assert curve_regimes.call(np.full(20, 2.31), blank) == "very high"
    curves = np.stack([np.tile(c, (6, 1)) for c in (2.3 - 0.02 * epochs, falling, stuck)])
    curves += 0.01 * np.random.default_rng(0).random(curves.shape)
    assert curve_regimes.truths(curves, blank) == ["low", "good", "high"]
    assert curve_regimes.macro_f1(["low", "good"], ["low", "good"]) == 1.0


def test_recalls_and_first_times():
    assert recalls(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])) == (0.5, 1.0)
    curve = np.array([[[0.2, 0.95, 0.9], [0.1, 0.1, 0.1]]])
    assert first(curve, 0.9).tolist() == [[20.0, np.inf]]


def test_adagrad_learns_a_word_seen_once():
    stream = torch.Generator().manual_seed(0)
    truth = torch.randint(5, (400,), generator=stream)
    words, _ = drawn(640, truth, stream)
    w = fitted("Adagrad", 1.0, words, truth[words])  # no wrong classes
    seen = torch.unique(words)
    assert (said(w, seen) == truth[seen]).float().mean() > 0.95
