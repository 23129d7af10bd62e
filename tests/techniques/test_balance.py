"""Class weights against scikit-learn and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from trainwell.recipe import Recipe, edit, from_toml, to_toml
from trainwell.techniques.balance import ClassWeights


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
