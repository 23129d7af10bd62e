"""Regularisers against their formulas, for members with different strengths."""

from __future__ import annotations

import math

import pytest
import torch

from trainwell.recipe import Recipe
from trainwell.techniques.regularize import L1, L2, Dropout, LabelSmoothing, MaxNorm


def test_l1_is_the_gradient_of_its_penalty() -> None:
    theta = torch.randn(2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theta[:, 3] = 0.0  # no pull where the penalty has its kink
    weights = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    for strength in (0.5, torch.tensor([[0.5], [0.0]], dtype=torch.float64)):
        leaf = theta.clone().requires_grad_()
        column = torch.as_tensor(strength, dtype=torch.float64).expand(2, 1)
        penalty = (column * weights * leaf.abs()).sum()
        (expected,) = torch.autograd.grad(penalty, leaf)
        grad, before = torch.ones_like(theta), theta.clone()
        L1.add_gradient(strength, theta, grad, weights)
        torch.testing.assert_close(grad, 1 + expected)
        assert torch.equal(theta, before)


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 2, 3, 3)])
def test_max_norm_equals_renorm(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    limits = [0.5, 2.0, 1e6]
    expected = torch.stack([w.renorm(2, 0, c) for w, c in zip(weight, limits, strict=True)])
    found = weight.clone()
    MaxNorm.project(torch.tensor(limits, dtype=torch.float64), found)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0.0)  # renorm adds 1e-7
    norms = found.flatten(2).norm(dim=2)
    assert (norms[0] <= 0.5 * (1 + 1e-12)).all()
    assert (norms[0] >= 0.5 * (1 - 1e-12)).any()
    same = weight.clone()
    MaxNorm.project(2.0, same)
    torch.testing.assert_close(same[1], found[1], rtol=0.0, atol=0.0)


def test_max_norm_keeps_the_bits_of_what_is_within() -> None:
    weight = torch.randn(3, 20, 7, generator=torch.Generator().manual_seed(2))
    weight[0, 3] = 0.0
    before = weight.clone()
    MaxNorm.project(torch.tensor([2.5, math.inf, 1e-3]), weight)
    inside = before.norm(dim=2) <= torch.tensor([[2.5], [math.inf], [1e-3]])
    assert inside[0].any() and not inside[0].all() and inside[1].all() and not inside[2].any()
    assert torch.equal(weight[inside], before[inside])
    assert (weight[~inside] != before[~inside]).any(dim=1).all()
    everything = before.clone()
    MaxNorm.project(math.inf, everything)
    assert torch.equal(everything, before)


def test_max_norm_works_on_views_and_keeps_to_itself() -> None:
    """The weight of a layer is a part of each member's row; a NaN stays with its unit."""
    theta = torch.full((2, 10), 3.0)
    theta[0, 2] = math.nan
    MaxNorm.project(torch.tensor([1.0, 1.0]), theta[:, 2:8].view(2, 2, 3))
    assert (theta[:, :2].nan_to_num(3.0) == 3).all() and (theta[:, 8:] == 3).all()
    assert theta[0, 2:5].isnan().any()
    torch.testing.assert_close(theta[0, 5:8], torch.full((3,), 3**-0.5))
    torch.testing.assert_close(theta[1, 2:8], torch.full((6,), 3**-0.5))


def test_what_a_recipe_says() -> None:
    bare = Recipe(regularize=())
    assert (bare.penalty(L1), bare.penalty(L2), bare.max_norm) == (0, 0, math.inf)
    assert (bare.smoothing, bare.dropout, bare.input_dropout) == (0, 0, 0)
    everything = (L1(0.1), L2(0.2), MaxNorm(4.0), Dropout(0.3), LabelSmoothing(0.4))
    full = Recipe(regularize=everything)
    assert (full.penalty(L1), full.penalty(L2)) == (0.1, 0.2)
    assert (full.max_norm, full.dropout) == (4.0, 0.3)
    assert full.smoothing == 0.4
