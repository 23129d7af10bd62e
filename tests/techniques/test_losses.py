"""CrossEntropy equals torch for every member, in both layouts, with smoothing and class weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainwell.techniques.losses import SMALL, VECTOR, CrossEntropy

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
    (theirs,) = torch.autograd.grad(expected @ share, logits)
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
