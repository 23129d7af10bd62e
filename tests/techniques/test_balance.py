"""Remedies for class imbalance against scikit-learn, imbalanced-learn and the papers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTE as Reference
from imblearn.over_sampling import RandomOverSampler
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.class_weight import compute_class_weight

from helpers.data import examples, labelled
from trainwell.data.dataset import Dataset
from trainwell.engine.members import Examples, Member
from trainwell.engine.sampling import Sampler
from trainwell.recipe import Recipe, edit, from_toml, to_toml
from trainwell.techniques.balance import (
    ClassWeights,
    EffectiveNumber,
    LogitAdjust,
    Oversample,
    Smote,
    ThresholdMove,
)
from trainwell.techniques.preprocess import Standardize
from trainwell.techniques.thresholds import decided


def test_equals_balanced_of_scikit_learn() -> None:
    counts = torch.tensor([120, 6, 20])
    labels = np.repeat([0, 1, 2], counts.numpy())
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(ClassWeights().weights(counts).numpy(), expected, rtol=1e-6)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30), st.floats(0, 1))
def test_the_mean_over_rows_is_one(counts: list[int], power: float) -> None:
    rows = torch.tensor(counts)
    weights = ClassWeights(power=power).weights(rows)
    assert weights.dtype == torch.float32 and weights.isfinite().all()
    assert ((weights > 0) == (rows > 0)).all()
    assert float((rows * weights.double()).sum()) == pytest.approx(sum(counts), rel=1e-5)
    for a, b in itertools.pairwise(counts):  # w_a / w_b = (n_b / n_a)^power
        if a and b:
            ratio = float(weights[counts.index(a)] / weights[counts.index(b)])
            assert ratio == pytest.approx((b / a) ** power, rel=1e-4)


def test_powers_by_hand() -> None:
    counts = torch.tensor([16, 4, 0])
    assert ClassWeights(power=0.0).weights(counts).tolist() == [1, 1, 0]
    half = ClassWeights(power=0.5).weights(counts)
    torch.testing.assert_close(half, torch.tensor([5 / 6, 5 / 3, 0.0]))
    torch.testing.assert_close(ClassWeights().weights(counts), torch.tensor([0.625, 2.5, 0.0]))
    assert ClassWeights().weights(torch.zeros(3)).tolist() == [0, 0, 0]


def test_a_recipe_has_it_or_not() -> None:
    assert Recipe().balance is None
    assert 'balance = "None"' in to_toml(Recipe()).splitlines()
    weighted = edit(Recipe(), {"balance": "ClassWeights"}, "--set")
    assert weighted.balance == ClassWeights()
    assert edit(weighted, {"balance": "None"}, "--set") == Recipe()
    assert edit(weighted, {"balance": None}, "--set") == Recipe()
    assert from_toml(to_toml(weighted), Recipe(), "r") == weighted
    assert from_toml('balance = "None"', weighted, "r") == Recipe()
    assert from_toml('balance = "ClassWeights(0.5)"', weighted, "r").balance == ClassWeights(0.5)


def test_effective_number_by_the_paper() -> None:
    counts = torch.tensor([5000, 500, 5, 0])
    raw = [(1 - 0.999) / (1 - 0.999**n) for n in (5000, 500, 5)]
    found = EffectiveNumber(beta=0.999).weights(counts)
    assert found[3] == 0
    np.testing.assert_allclose(found[:3] / found[0], np.array(raw) / raw[0], rtol=1e-5)
    assert float((counts * found.double()).sum()) == pytest.approx(5505, rel=1e-5)
    # Without overlap (β → 1) rows count as in balanced weights, with β = 0 all classes alike.
    near = EffectiveNumber(beta=1 - 1e-9).weights(counts)
    np.testing.assert_allclose(near, ClassWeights().weights(counts), rtol=1e-4)
    assert EffectiveNumber(beta=0.0).weights(counts).tolist() == pytest.approx([1, 1, 1, 0])


@given(
    st.lists(st.integers(0, 10**5), min_size=1, max_size=20).filter(any),
    st.integers(1, 10**5),
    st.floats(0, 1),
)
def test_oversampling_gives_every_class_its_share(
    counts: list[int], total: int, power: float
) -> None:
    found = Oversample(power=power).shares(np.array(counts), total)
    assert found.sum() == total and (found >= 0).all()
    assert (found[np.array(counts) == 0] == 0).all()
    there = np.array([n ** (1 - power) if n else 0 for n in counts])
    assert np.abs(found - there / there.sum() * total).max() <= 1
    if power == 1:
        assert np.ptp(found[np.array(counts) > 0]) <= 1


def imbalanced(seed: int = 0) -> Dataset:
    """Two classes of 120 and 12 rows."""
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [120, 12])
    inputs = random.normal(size=(132, 3)) * [1, 2, 0.5] + 4 * labels[:, None]
    return labelled(labels, inputs)


def sampler(balance: Any, seed: int = 3) -> tuple[Sampler, Dataset, Examples]:
    data = imbalanced()
    recipe = Recipe(balance=balance, batch_size=30, lr=0.1, preprocess=(Standardize(),))
    rows = np.arange(132)
    shared = examples(data, recipe, rows)
    return Sampler(Member(recipe, 0, rows, rows, seed), shared), data, shared


def test_an_epoch_of_oversampling() -> None:
    """imbalanced-learn's RandomOverSampler gives classes equal numbers too, in a longer epoch."""
    made, data, _ = sampler(Oversample())
    orders = [made.epoch(e).rows.numpy() for e in range(40)]
    for rows in orders:
        assert len(rows) == 120  # whole batches, as without
        assert np.bincount(data.labels[rows]).tolist() == [60, 60]
        rare = np.bincount(rows, minlength=132)[120:]
        assert (rare == 5).all()  # equally often
        assert np.bincount(rows, minlength=132)[:120].max() == 1
    frequent = np.bincount(np.concatenate(orders), minlength=132)[:120]
    assert frequent.min() > 5  # every row has its turn
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[1], sampler(Oversample())[0].epoch(1).rows)
    first = np.concatenate([data.labels[o[:30]] for o in orders])  # in random order
    assert first.mean() == pytest.approx(0.5, abs=0.06)
    _, y = RandomOverSampler(random_state=0).fit_resample(data.inputs, data.labels)
    assert np.bincount(y).tolist() == [120, 120]


def test_new_rows_of_smote_lie_between_neighbours() -> None:
    """The same as imbalanced-learn: on a segment to one of five nearest rows, anywhere on it."""
    balance = Smote(neighbours=3)
    made, data, shared = sampler(balance)
    order = made.epoch(0)
    assert order.partners is not None and order.shift is not None
    rows, partners, shift = order.rows.numpy(), order.partners.numpy(), order.shift.numpy()
    assert np.bincount(data.labels[rows]).tolist() == [60, 60]
    assert (shift[data.labels[rows] == 0] == 0).all()  # frequent rows stay what they are
    new = shift > 0
    assert new.sum() == 60 - 12  # every rare row itself once
    assert (data.labels[partners] == data.labels[rows]).all()
    features = shared.inputs.gather(torch.tensor([0]), torch.arange(132)[None])[0].numpy()
    rare = np.arange(120, 132)
    near = NearestNeighbors(n_neighbors=4).fit(features[rare])
    allowed = near.kneighbors(features[rare], return_distance=False)[:, 1:]
    for row, partner in zip(rows[new], partners[new], strict=True):
        assert partner - 120 in allowed[row - 120]
    many = np.concatenate([made.epoch(e).shift for e in range(60)])
    assert stats.kstest(many[many > 0], "uniform").pvalue > 0.01


def test_smote_makes_the_rows_that_imbalanced_learn_makes() -> None:
    """Same distribution: coordinates of many new rows of both do not differ."""
    made, data, shared = sampler(Smote())
    features = shared.inputs.gather(torch.tensor([0]), torch.arange(132)[None])[0].numpy()
    ours = []
    for e in range(30):
        order = made.epoch(e)
        assert order.partners is not None and order.shift is not None
        x, other = features[order.rows], features[order.partners]
        new = (order.shift > 0).numpy()
        ours.append((x + order.shift.numpy()[:, None] * (other - x))[new])
    theirs = [
        Reference(random_state=s).fit_resample(features, data.labels)[0][132:] for s in range(15)
    ]
    for axis in range(3):
        one, two = np.concatenate(ours)[:, axis], np.concatenate(theirs)[:, axis]
        assert stats.ks_2samp(one, two).pvalue > 0.01


def test_few_or_equal_rows_have_neighbours_too() -> None:
    assert Smote().nearest(np.zeros((1, 2))).tolist() == [[0]]
    assert Smote().nearest(np.array([[0.0], [1.0]])).tolist() == [[1], [0]]
    equal = Smote(neighbours=2).nearest(np.zeros((6, 2)))
    assert equal.shape == (6, 2)
    assert (equal != np.arange(6)[:, None]).all()


def test_logit_adjustment_is_bayes_rule() -> None:
    """Menon et al.: both forms give the balanced posterior; here with the true log odds."""
    counts = torch.tensor([900, 90, 10])
    prior = counts / counts.sum()
    likelihood = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    posterior = (likelihood * prior).log()
    adjusted = (posterior - LogitAdjust(when="prediction").offsets(counts)).softmax(dim=1)
    torch.testing.assert_close(adjusted, likelihood / likelihood.sum(dim=1, keepdim=True))
    half = LogitAdjust(tau=0.5).offsets(counts)
    torch.testing.assert_close(half, 0.5 * prior.log())
    assert LogitAdjust().offsets(torch.tensor([5, 0])).isfinite().all()


def brute(logits: Any, labels: Any, metric: Any) -> float:
    """The best value over all thresholds of two classes."""
    edges = np.unique((logits[:, 0] - logits[:, 1]).round(6))  # ties stay together
    places = np.concatenate([[edges[0] - 1], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1]])
    score = balanced_accuracy_score if metric == "balanced_accuracy" else macro
    return max(score(labels, (logits + np.array([0, o])).argmax(axis=1)) for o in places)


def macro(labels: Any, told: Any) -> float:
    return float(f1_score(labels, told, average="macro", labels=np.unique(labels)))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
@pytest.mark.parametrize("seed", range(10))
def test_moved_thresholds_are_the_best_of_two_classes(metric: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = (random.random(80) < 0.2).astype(int)
    labels[:2] = [0, 1]
    logits = random.normal(size=(80, 2)).round(1) + np.eye(2)[labels]  # with ties
    counts = np.bincount(labels)
    offsets = ThresholdMove(metric=metric).moved(logits, labels, counts)
    assert offsets[0] == 0
    found = decided(logits, labels, offsets, metric)
    assert found == pytest.approx(brute(logits, labels, metric), abs=1e-12)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_moved_thresholds_of_several_classes_are_no_worse_than_their_starts(metric: Any) -> None:
    random = np.random.default_rng(5)
    labels = random.choice(5, size=400, p=[0.6, 0.2, 0.1, 0.08, 0.02])
    counts = np.bincount(labels, minlength=6)  # the last class has no rows at all
    prior = np.log(np.maximum(counts, 0.5) / 400)
    logits = random.normal(size=(400, 6)) + 2 * np.eye(6)[labels] + prior
    offsets = ThresholdMove(metric=metric).moved(logits, labels, counts)
    assert np.isfinite(offsets).all()
    plain = decided(logits, labels, np.zeros(6), metric)
    adjusted = decided(logits, labels, -prior, metric)
    assert decided(logits, labels, offsets, metric) >= max(plain, adjusted)
    told = (logits + offsets).argmax(axis=1)
    score = balanced_accuracy_score if metric == "balanced_accuracy" else macro
    if 5 not in told:
        assert decided(logits, labels, offsets, metric) == pytest.approx(score(labels, told))
