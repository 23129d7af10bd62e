"""Losses equal torch or their formula for every member, with smoothing and class weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.metrics import brier_score_loss
from torch import Tensor
from torch.nn import functional

from trainwell.data.dataset import ImageSchema
from trainwell.errors import RecipeError
from trainwell.recipe import Recipe
from trainwell.recipe_check import check_against
from trainwell.techniques.balance import Focal
from trainwell.techniques.losses import SMALL, VECTOR, CrossEntropy, Hinge, MeanSquared
from trainwell.techniques.regularize import LabelSmoothing

# (members, batch, classes): few and many classes, small and large batches, one member and several.
SHAPES = [(1, 8, 3), (1, 300, 10), (3, 8, 5), (4, 100, 2), (4, 100, 15), (4, 100, 16), (2, 40, 26)]
SMOOTHING = [0.0, 0.2]


def made(shape: tuple[int, int, int], scale: float = 5.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    members, batch, classes = shape
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    labels = torch.randint(0, classes, (members, batch), generator=generator)
    weights = torch.rand(members, classes, generator=generator, dtype=torch.float64) + 0.1
    weights[-1] = 0.7  # one member whose classes all weigh the same
    return logits.requires_grad_(), labels, weights


def by_torch(
    logits: Tensor, labels: Tensor, smoothing: list[float], weights: Tensor | None
) -> Tensor:
    return torch.stack(
        [
            functional.cross_entropy(
                logits[k],
                labels[k],
                weight=None if weights is None else weights[k],
                label_smoothing=smoothing[k],
            )
            for k in range(len(logits))
        ]
    )


def check(found: Tensor, expected: Tensor, logits: Tensor) -> None:
    """Same losses, same gradients, also where members count differently in the sum."""
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    share = torch.arange(1.0, len(found) + 1, dtype=torch.float64)
    (ours,) = torch.autograd.grad(found @ share, logits)
    (theirs,) = torch.autograd.grad(expected @ share, logits, retain_graph=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-13)


def test_shapes_take_every_path() -> None:
    paths = {(c < VECTOR, k * b * c > SMALL) for k, b, c in SHAPES}
    assert paths >= {(True, True), (True, False), (False, True)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", SMOOTHING)
def test_one_number(shape: tuple[int, int, int], weighted: bool, smoothing: float) -> None:
    logits, labels, weights = made(shape)
    given = weights if weighted else None
    found = CrossEntropy()(logits, labels, smoothing, given)
    check(found, by_torch(logits, labels, [smoothing] * shape[0], given), logits)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_members_differ_in_smoothing(shape: tuple[int, int, int], weighted: bool) -> None:
    logits, labels, weights = made(shape)
    amounts = [0.1 * k for k in range(shape[0])]  # the first member has none
    given = weights if weighted else None
    found = CrossEntropy()(logits, labels, torch.tensor(amounts, dtype=torch.float64), given)
    check(found, by_torch(logits, labels, amounts, given), logits)


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_weights_change_nothing(shape: tuple[int, int, int]) -> None:
    logits, labels, weights = made(shape)
    found = CrossEntropy()(logits, labels, 0.0, torch.full_like(weights, 3.0))
    check(found, CrossEntropy()(logits, labels), logits)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 40, 7)])
def test_gradient_is_the_derivative(shape: tuple[int, int, int], weighted: bool) -> None:
    logits, labels, weights = made(shape, scale=1.0)
    amounts = torch.tensor([0.0, 0.3], dtype=torch.float64)
    for smoothing in (0.0, amounts):

        def loss(z: Tensor, smoothing: float | Tensor = smoothing) -> Tensor:
            return CrossEntropy()(z, labels, smoothing, weights if weighted else None)

        assert torch.autograd.gradcheck(loss, (logits,))


@pytest.mark.parametrize("shape", SHAPES)
def test_large_logits_are_safe(shape: tuple[int, int, int]) -> None:
    members, _, classes = shape
    logits, labels, weights = made(shape)
    huge = (logits.detach().sign() * 1e4).float().requires_grad_()
    for smoothing in (0.0, 0.1, torch.full((members,), 0.1)):
        for given in (None, weights.float()):
            loss = CrossEntropy()(huge, labels, smoothing, given)
            (gradient,) = torch.autograd.grad(loss.sum(), huge)
            assert loss.isfinite().all() and gradient.isfinite().all()
    right = functional.one_hot(labels, classes) * 1e4
    assert (CrossEntropy()(right.float(), labels) == 0).all()
    wrong = CrossEntropy()(-right.float(), labels)
    torch.testing.assert_close(wrong, torch.full_like(wrong, 1e4), rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("shape", [(3, 8, 5), (4, 100, 10), (2, 40, 26)])
def test_a_broken_member_breaks_alone(shape: tuple[int, int, int], bad: float) -> None:
    logits, labels, weights = made(shape)
    broken = logits.detach().clone()
    broken[1, 2, labels[1, 2]] = bad
    broken.requires_grad_()
    others = [k for k in range(shape[0]) if k != 1]
    amounts = torch.full((shape[0],), 0.1, dtype=torch.float64)
    for smoothing in (0.0, 0.1, amounts):
        for given in (None, weights):
            before = CrossEntropy()(logits, labels, smoothing, given)
            after = CrossEntropy()(broken, labels, smoothing, given)
            assert not after[1].isfinite()
            assert torch.equal(before[others], after[others])
            (gradient,) = torch.autograd.grad(after.sum(), broken)
            assert gradient[others].isfinite().all()


def test_members_without_smoothing_stay_plain() -> None:
    """An output of -inf for a wrong class is no trouble without smoothing, and with it infinite."""
    logits = torch.zeros(2, 1, 3)
    logits[:, 0, 2] = float("-inf")
    logits.requires_grad_()
    loss = CrossEntropy()(logits, torch.zeros(2, 1, dtype=torch.long), torch.tensor([0.0, 0.5]))
    assert loss[0].item() == pytest.approx(0.6931472)
    assert loss[1].item() == float("inf")
    (gradient,) = torch.autograd.grad(loss[0], logits)
    assert gradient.isfinite().all()


# Focal loss, squared error and hinge.


def focal_by_hand(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    p = logits.softmax(dim=2).gather(2, labels[:, :, None])[:, :, 0]
    return (Focal(gamma).factor(p) * -p.log()).mean(dim=1)


@pytest.mark.parametrize("shape", SHAPES)
def test_focal_loss_equals_its_formula(shape: tuple[int, int, int]) -> None:
    logits, labels, _ = made(shape, scale=1.0)
    check(CrossEntropy()(logits, labels, focus=2.0), focal_by_hand(logits, labels, 2.0), logits)
    gammas = [0.5 * k for k in range(shape[0])]  # the first member has plain cross-entropy
    found = CrossEntropy()(logits, labels, focus=torch.tensor(gammas, dtype=torch.float64))
    each = [focal_by_hand(logits[k : k + 1], labels[k : k + 1], g) for k, g in enumerate(gammas)]
    check(found, torch.cat(each), logits)


def test_focal_loss_of_right_and_of_hopeless_examples_is_finite() -> None:
    logits = torch.tensor([[[200.0, 0.0], [0.0, 200.0]]], requires_grad=True)
    loss = CrossEntropy()(logits, torch.tensor([[0, 0]]), focus=0.5)
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    assert loss.item() == pytest.approx(100.0, rel=1e-3) and slope.isfinite().all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("on", ["softmax", "logits"])
def test_mean_squared_equals_torch(shape: tuple[int, int, int], weighted: bool, on: Any) -> None:
    logits, labels, weights = made(shape)
    amounts = torch.tensor([0.1 * k for k in range(shape[0])], dtype=torch.float64)
    outputs = logits.softmax(dim=2) if on == "softmax" else logits
    target = functional.one_hot(labels, shape[2]).double()
    target = target * (1 - amounts[:, None, None]) + amounts[:, None, None] / shape[2]
    each = functional.mse_loss(outputs, target, reduction="none").sum(dim=2) / 2
    own = weights.gather(1, labels) if weighted else torch.ones_like(each)
    expected = (each * own).sum(dim=1) / own.sum(dim=1)
    found = MeanSquared(on=on)(logits, labels, amounts, weights if weighted else None)
    check(found, expected, logits)
    if shape[0] > 1 and not weighted:
        check(MeanSquared(on=on)(logits, labels, 0.1)[1:2], expected[1:2], logits)


def test_half_the_brier_score() -> None:
    logits, labels, _ = made((1, 40, 2))
    p = logits[0].softmax(dim=1)[:, 1].detach()
    brier = brier_score_loss(labels[0], p)  # one class's side of two: half of the whole
    assert MeanSquared()(logits, labels).item() == pytest.approx(brier, rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_hinge_equals_torch(shape: tuple[int, int, int], margin: float) -> None:
    logits, labels, weights = made(shape)
    reference = torch.nn.MultiMarginLoss(margin=margin, reduction="none")
    each = torch.stack([reference(z, y) for z, y in zip(logits, labels, strict=True)]) * shape[2]
    check(Hinge(margin)(logits, labels), each.mean(dim=1), logits)
    own = weights.gather(1, labels)
    expected = (each * own).sum(dim=1) / own.sum(dim=1)
    check(Hinge(margin)(logits, labels, 0.0, weights), expected, logits)


def test_recipes_refuse_what_a_loss_does_not_know() -> None:
    schema = ImageSchema(1, 8, 8)
    wrong = Recipe(loss=Hinge(), regularize=(LabelSmoothing(),), balance=Focal())
    with pytest.raises(RecipeError) as found:
        check_against(wrong, schema)
    assert list(found.value.mistakes) == [
        "regularize: LabelSmoothing does not go with loss=Hinge()",
        "balance: Focal is a factor of CrossEntropy, got loss=Hinge()",
    ]
    check_against(Recipe(loss=MeanSquared(), regularize=(LabelSmoothing(),)), schema)
