"""Regularisers against their formulas, for members with different strengths."""

from __future__ import annotations

import math

import pytest
import torch

from trainwell.recipe import Recipe
from trainwell.techniques.losses import CrossEntropy
from trainwell.techniques.regularize import (
    L1,
    L2,
    Dropout,
    InputDropout,
    LabelSmoothing,
    MaxNorm,
)


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


# --- dropout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.8])
def test_inverted_dropout_equals_the_lectures(drop: float) -> None:
    """Train h ∘ m with weights V and test with V scaled by the share kept, or train h ∘ m / keep
    with W = keep · V and test with W: the same network, training and testing."""
    rule, keep = Dropout(drop), 1 - drop
    stream = torch.Generator().manual_seed(0)
    h = torch.rand(50, 30, generator=stream)
    v, bias = torch.randn(30, 7, generator=stream), torch.randn(7, generator=stream)
    w = rule.scaled(v)
    torch.testing.assert_close(w, keep * v)
    lecture = rule.masked(h, torch.Generator().manual_seed(5)) @ v + bias
    inverted = rule(h, torch.Generator().manual_seed(5)) @ w + bias
    torch.testing.assert_close(lecture, inverted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(h @ rule.scaled(v) + bias, h @ w + bias, rtol=1e-6, atol=1e-6)
    # And both agree with their own mean over masks, which scaling the bias as well would not.
    many = torch.stack(
        [rule.masked(h[:1], torch.Generator().manual_seed(s)) @ v + bias for s in range(4000)]
    )
    mean, error = many.mean(dim=0), many.std(dim=0) / 4000**0.5
    assert ((mean - (h[:1] @ w + bias)).abs() < 5 * error).all()


@pytest.mark.parametrize("rule", [Dropout(0.3), InputDropout(0.3)])
def test_dropout_equals_torch_in_distribution(rule: Dropout | InputDropout) -> None:
    x = torch.full((400, 500), 3.0)
    found = rule(x, torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    theirs = torch.nn.functional.dropout(x, p=0.3)
    assert found.unique().tolist() == theirs.unique().tolist()
    for axis in (0, 1):
        rates = (found == 0).float().mean(dim=axis)
        expected = (theirs == 0).float().mean(dim=axis)
        assert float(rates.mean()) == pytest.approx(0.3, abs=0.005)
        assert float(rates.std()) == pytest.approx(float(expected.std()), rel=0.2)


def test_smoothed_targets_give_the_smoothed_loss() -> None:
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 5
    targets = LabelSmoothing(0.2).targets(labels, 5)
    by_hand = -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)
    torch.testing.assert_close(by_hand, expected)
    found = CrossEntropy()(logits[None], labels[None], 0.2)
    torch.testing.assert_close(found[0], expected)
