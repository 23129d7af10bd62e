"""Every update rule equals torch.optim, step by step, for members with different numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainwell.callstring import members
from trainwell.techniques.optim.first_order import (
    AdaDelta,
    Adagrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    RmsProp,
    Sgd,
)
from trainwell.techniques.optim.matrix import Muon, orthogonal
from trainwell.techniques.optim.rules import ClosureRule, GradientRule, Optimizer

STEPS, SIZE = 80, 9
PLACES = ((0, 4, (2, 2)), (4, 6, (1, 2)))  # for rules that know matrices; the rest are biases
LR = [0.5, 0.01, 1e-3, 0.1]
ALL = torch.ones(SIZE, dtype=torch.float64)  # every parameter is a weight


def column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def plain(cls: Any, theta: Tensor, lr: float, options: dict[str, float]) -> torch.optim.Optimizer:
    """The same rule by torch."""
    if cls in (Sgd, Momentum, Nesterov):
        momentum = options.get("momentum", 0.0)
        return torch.optim.SGD([theta], lr=lr, momentum=momentum, nesterov=cls is Nesterov)
    if cls is Adagrad:
        return torch.optim.Adagrad([theta], lr=lr, eps=options["eps"])
    if cls is AdaDelta:
        return torch.optim.Adadelta([theta], lr=lr, rho=options["decay"], eps=options["eps"])
    if cls is RmsProp:
        return torch.optim.RMSprop([theta], lr=lr, alpha=options["decay"], eps=options["eps"])
    betas = options["beta1"], options["beta2"]
    if cls is Adam:
        return torch.optim.Adam([theta], lr=lr, betas=betas, eps=options["eps"])
    assert cls is AdamW
    decay = options["decay"]
    return torch.optim.AdamW([theta], lr=lr, betas=betas, eps=options["eps"], weight_decay=decay)


ADAM = {
    "beta1": [0.0, 0.5, 0.9, 0.95],
    "beta2": [0.9, 0.99, 0.999, 0.9999],
    "eps": [1e-8, 1e-3, 1.0, 1e-8],
}
OPTIONS: dict[Any, dict[str, list[float]]] = {
    Sgd: {},
    Momentum: {"momentum": [0.0, 0.5, 0.9, 0.99]},
    Nesterov: {"momentum": [0.1, 0.5, 0.9, 0.99]},
    Adagrad: {"eps": [1e-10, 1e-3, 1.0, 1e-10]},
    RmsProp: {"decay": [0.0, 0.5, 0.9, 0.99], "eps": [1e-8, 1e-3, 1.0, 1e-8]},
    AdaDelta: {"decay": [0.0, 0.5, 0.9, 0.95], "eps": [1e-6, 1e-3, 1.0, 1e-6]},
    Adam: ADAM,
    AdamW: {**ADAM, "decay": [0.0, 0.5, 0.01, 0.1]},
    Muon: {
        **ADAM,
        "momentum": [0.0, 0.5, 0.9, 0.95],
        "iterations": [1, 3, 5, 6],
        "decay": [0.0, 0.5, 0.01, 0.1],
    },
}


def update(
    cls: Any,
    theta: Tensor,
    grad: Tensor,
    state: tuple[Tensor, ...],
    lr: Tensor,
    step: int,
    weights: Tensor,
    **hyper: Any,
) -> None:
    """As the engine calls it."""
    where = {"matrices": PLACES} if cls is Muon else {}
    cls.update(theta, grad, state, lr, step, weights, **where, **hyper)


def test_no_rule_is_forgotten() -> None:
    assert set(OPTIONS) == set(members(GradientRule))
    assert set(members(Optimizer)) == {*members(GradientRule), *members(ClosureRule)}


@pytest.mark.parametrize("cls", [cls for cls in OPTIONS if cls is not Muon])
def test_equals_torch_step_by_step(cls: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    begin = torch.randn(4, SIZE, generator=generator, dtype=torch.float64)
    target = torch.randn(4, SIZE, generator=generator, dtype=torch.float64)
    theta = begin.clone()
    state = tuple(torch.zeros_like(theta) for _ in cls.state)
    hyper = {name: column(values) for name, values in OPTIONS[cls].items()}
    copies = [begin[k : k + 1].clone().requires_grad_() for k in range(4)]
    optimizers = [
        plain(cls, copies[k], LR[k], {n: v[k] for n, v in OPTIONS[cls].items()}) for k in range(4)
    ]
    for step in range(STEPS):
        decay = 0.97**step  # a schedule: rates change from step to step
        noise = torch.randn(4, SIZE, generator=generator, dtype=torch.float64)
        noise[:, 0] = 0  # one weight whose gradient is now and then exactly zero
        grad = theta - target + noise if step % 7 else torch.zeros_like(theta)
        for k, optimizer in enumerate(optimizers):
            copies[k].grad = grad[k : k + 1].clone()
            optimizer.param_groups[0]["lr"] = LR[k] * decay
            optimizer.step()
        cls.update(theta, grad, state, column(LR) * decay, step, ALL, **hyper)
        together = torch.cat([c.detach() for c in copies])
        torch.testing.assert_close(theta, together, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("cls", OPTIONS)
def test_numbers_and_columns_agree(cls: Any) -> None:
    """Where all members agree, the engine passes a number instead of a column."""
    hyper = {name: values[2] for name, values in OPTIONS[cls].items()}
    begin = torch.randn(3, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    results = []
    for numbers in (hyper, {n: column([v] * 3) for n, v in hyper.items()}):
        theta = begin.clone()
        state = tuple(torch.zeros_like(theta) for _ in cls.state)
        for step in range(50):
            update(cls, theta, theta.sin(), state, column([0.1] * 3), step, ALL, **numbers)
        results.append(theta)
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cls", OPTIONS)
def test_works_in_place_and_leaves_the_gradient(cls: Any) -> None:
    theta, grad = torch.ones(2, SIZE), torch.full((2, SIZE), 0.5)
    state = tuple(torch.zeros_like(theta) for _ in cls.state)
    kept = theta
    lr = torch.tensor([[0.1], [0.0]])
    update(cls, theta, grad, state, lr, 0, ALL.float(), **_defaults(cls))
    assert kept is theta
    assert (grad == 0.5).all()
    assert (theta[0] < 1).all()
    assert (theta[1] == 1).all()  # a rate of zero moves nothing
    assert all((s != 0)[:, PLACES[-1][0] :].all() for s in state)


@pytest.mark.parametrize("cls", OPTIONS)
def test_members_do_not_meet(cls: Any) -> None:
    """A member whose numbers are no longer finite leaves the others alone, bit by bit."""
    begin = torch.randn(2, SIZE, generator=torch.Generator().manual_seed(1))
    results = []
    for broken in (False, True):
        theta = begin.clone()
        state = tuple(torch.zeros_like(theta) for _ in cls.state)
        for step in range(5):
            grad = theta.cos()
            grad[1] = float("inf") if broken else grad[1]
            lr = torch.tensor([[0.1], [0.2]])
            update(cls, theta, grad, state, lr, step, ALL.float(), **_defaults(cls))
        results.append(theta)
    assert torch.equal(results[0][0], results[1][0])
    assert not results[1][1].isfinite().any()


@pytest.mark.parametrize("cls", OPTIONS)
def test_zero_gradients_keep_finite_weights(cls: Any) -> None:
    theta = torch.ones(1, SIZE)
    state = tuple(torch.zeros_like(theta) for _ in cls.state)
    for step in range(3):
        lr = torch.tensor([[0.1 if step else 0.0]])
        update(
            cls, theta, torch.zeros(1, SIZE), state, lr, step, torch.zeros(SIZE), **_defaults(cls)
        )
    assert (theta == 1).all()


@pytest.mark.parametrize("several", [False, True])
def test_decay_leaves_biases_alone(several: bool) -> None:
    """AdamW on weights and Adam on the rest, as torch does with two groups of parameters."""
    generator = torch.Generator().manual_seed(5)
    begin = torch.randn(1, SIZE, generator=generator, dtype=torch.float64)
    weights = torch.tensor([1.0] * 5 + [0.0] * 4, dtype=torch.float64)
    numbers = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "decay": 0.3}
    hyper = {n: column([v]) if several else v for n, v in numbers.items()}
    theta, state = begin.clone(), (torch.zeros_like(begin), torch.zeros_like(begin))
    parts = [begin[:, :5].clone().requires_grad_(), begin[:, 5:].clone().requires_grad_()]
    groups = [{"params": [parts[0]]}, {"params": [parts[1]], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.05, betas=(0.9, 0.99), weight_decay=0.3)
    for step in range(30):
        grad = torch.randn(1, SIZE, generator=generator, dtype=torch.float64)
        parts[0].grad, parts[1].grad = grad[:, :5].clone(), grad[:, 5:].clone()
        reference.step()
        AdamW.update(theta, grad, state, column([0.05]), step, weights, **hyper)
        together = torch.cat([p.detach() for p in parts], dim=1)
        torch.testing.assert_close(theta, together, rtol=1e-11, atol=1e-12)


def test_usual_rates() -> None:
    adaptive = {Adam: 2e-3, AdamW: 2e-3, Muon: 5e-3, RmsProp: 1e-3, Adagrad: 0.02, AdaDelta: 1.0}
    plain_rules = {Momentum: 0.05, Nesterov: 0.05, Sgd: 0.1}
    full_steps = dict.fromkeys(members(ClosureRule), 1.0)
    found = {cls: cls.usual_rate for cls in members(Optimizer)}  # type: ignore[attr-defined]
    assert found == adaptive | plain_rules | full_steps


def power_of_curvature(cls: Any, lr: float, begin: Tensor, curvature: Tensor) -> float:
    """e in |step| / |gradient| ~ curvature ** e, on a quadratic with noisy gradients."""
    generator = torch.Generator().manual_seed(0)
    theta = begin.clone()
    state = tuple(torch.zeros_like(theta) for _ in cls.state)
    moved, seen = torch.zeros_like(theta), torch.zeros_like(theta)
    for step in range(300):
        noise = torch.randn(theta.shape, generator=generator, dtype=torch.float64)
        grad, before = curvature * theta + curvature.sqrt() * noise, theta.clone()
        weights = torch.ones(len(curvature))
        update(cls, theta, grad, state, column([lr]), step, weights, **_defaults(cls))
        moved += (theta - before).square()
        seen += grad.square()
    x, y = curvature.log()[0], (moved / seen).sqrt().log()[0]
    return float(torch.linalg.lstsq(torch.stack([x, x * 0 + 1], 1), y[:, None])[0][0])


@pytest.mark.parametrize("power", [0.0, -0.5, -1.0])
def test_what_is_true_of_momentum_and_adadelta_as_newton(power: float) -> None:
    """Newton's step is the gradient times 1 / curvature, whatever the start."""
    curvature = torch.logspace(0, 3, 20, dtype=torch.float64)[None]
    begin = curvature**power
    assert abs(power_of_curvature(Sgd, 1e-4, begin, curvature)) < 0.01
    assert -0.25 < power_of_curvature(Momentum, 1e-4, begin, curvature) < 0.05
    if power < 0:
        assert -0.6 < power_of_curvature(AdaDelta, 1.0, begin, curvature) < -0.4
    else:  # gradients go with the curvature: to divide by their size is to divide by it
        assert power_of_curvature(AdaDelta, 1.0, begin, curvature) < -0.9


# Muon.

ROW = (  # a small network's row: weight, bias, kernels, norm, last weight, bias and padding
    (0, 15, (5, 3)),
    (20, 44, (2, 3, 2, 2)),
    (46, 56, (2, 5)),
)
WIDTH = 64


def straightforward(gradient: Tensor, iterations: int) -> Tensor:
    """Newton-Schulz for one matrix, as in the paper."""
    x = gradient / max(float(gradient.norm()), 1e-7)
    for _ in range(iterations):
        a = x @ x.T
        x = 3.4445 * x - 4.7750 * a @ x + 2.0315 * a @ a @ x
    return x


def test_muon_equals_its_formula_and_adamw_on_the_rest() -> None:
    """Four members with different numbers, and kernels taken as matrices, in double precision."""
    generator = torch.Generator().manual_seed(2)
    options = OPTIONS[Muon]
    begin = torch.randn(4, WIDTH, generator=generator, dtype=torch.float64)
    weights = torch.zeros(WIDTH, dtype=torch.float64)
    for start, stop, _ in ROW:
        weights[start:stop] = 1
    theta, state = begin.clone(), (torch.zeros_like(begin), torch.zeros_like(begin))
    hyper = {name: column(values) for name, values in options.items()}
    hidden, rest = [(0, 15, 5, 3), (20, 44, 2, 12)], [*range(15, 20), *range(44, WIDTH)]
    bare = [i for i in rest if not weights[i]]
    head = [i for i in rest if weights[i]]
    want, memory = begin.clone(), torch.zeros_like(begin)
    parts = [[begin[k, head].clone(), begin[k, bare].clone()] for k in range(4)]
    others = []
    for k in range(4):
        betas = options["beta1"][k], options["beta2"][k]
        groups = [
            {"params": [parts[k][0]], "weight_decay": options["decay"][k]},
            {"params": [parts[k][1]], "weight_decay": 0.0},
        ]
        others.append(torch.optim.AdamW(groups, lr=LR[k], betas=betas, eps=options["eps"][k]))
    for step in range(20):
        grad = torch.randn(4, WIDTH, generator=generator, dtype=torch.float64)
        for k in range(4):
            mu, lr, decay = options["momentum"][k], LR[k], options["decay"][k]
            memory[k] = mu * memory[k] + (1 - mu) * grad[k]
            ahead = (1 - mu) * grad[k] + mu * memory[k]
            for start, stop, out, into in hidden:
                o = straightforward(
                    ahead[start:stop].view(out, into), int(options["iterations"][k])
                )
                w = want[k, start:stop]
                w -= lr * (0.2 * math.sqrt(max(out, into)) * o.flatten() + decay * w)
            for part, places in zip(parts[k], (head, bare), strict=True):
                part.grad = grad[k, places].clone()
            others[k].step()
            want[k, head], want[k, bare] = parts[k]
        Muon.update(theta, grad, state, column(LR), step, weights, matrices=ROW, **hyper)
        torch.testing.assert_close(theta, want, rtol=1e-10, atol=1e-11)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_muon_equals_torch_to_its_half_precision(shape: tuple[int, int]) -> None:
    """torch iterates in bfloat16, which has three digits."""
    size, generator = math.prod(shape), torch.Generator().manual_seed(4)
    theta = torch.randn(1, size + 2, generator=generator)
    copy = theta[0, :size].view(shape).clone().requires_grad_()
    begin = copy.detach().clone()
    reference = torch.optim.Muon(
        [copy], lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    state = (torch.zeros_like(theta), torch.zeros_like(theta))
    places = ((0, size, shape), (size, size + 2, (1, 2)))
    numbers = _defaults(Muon) | {"decay": 0.1}
    for step in range(30):
        grad = torch.randn(1, size + 2, generator=generator)
        copy.grad = grad[0, :size].view(shape).clone()
        reference.step()
        lr = torch.tensor([[0.01]])
        ones = torch.ones(size + 2)
        Muon.update(theta, grad, state, lr, step, ones, matrices=places, **numbers)
    moved = (copy.detach() - begin).norm()
    assert (theta[0, :size].view(shape) - copy.detach()).norm() < 0.01 * moved


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000), st.floats(-6, 6))
def test_orthogonal(m: int, n: int, seed: int, size: float) -> None:
    """Singular values come near one; the size of a matrix is without influence, and zero stays."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(3, m, n, generator=generator, dtype=torch.float64)
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    even = u @ torch.diag_embed((s / s.amax(1, keepdim=True)).clamp(min=0.02)) @ vt
    found = orthogonal(even)
    values = u.mT @ found @ vt.mT  # the singular vectors stay
    sizes = values.diagonal(dim1=1, dim2=2)
    assert (sizes > 0.6).all() and (sizes < 1.3).all()
    assert (values - torch.diag_embed(sizes)).abs().max() < 1e-10
    torch.testing.assert_close(orthogonal(even * 10**size), found, rtol=1e-8, atol=1e-10)
    assert (orthogonal(torch.zeros(2, m, n)) == 0).all()


def test_a_network_without_hidden_layer_gets_adamw() -> None:
    generator = torch.Generator().manual_seed(6)
    begin = torch.randn(2, SIZE, generator=generator)
    grad = torch.randn(2, SIZE, generator=generator)
    lr, numbers = torch.tensor([[0.1], [0.2]]), _defaults(Muon)
    results = []
    for cls in (Muon, AdamW):
        theta, state = begin.clone(), (torch.zeros_like(begin), torch.zeros_like(begin))
        hyper = {n: v for n, v in numbers.items() if n in AdamW.__annotations__}
        where: dict[str, Any] = {}
        if cls is Muon:
            where = {"matrices": ((0, 6, (2, 3)),)}
            hyper = numbers
        cls.update(theta, grad, state, lr, 0, ALL.float(), **where, **hyper)
        results.append(theta)
    assert torch.equal(*results)


def test_adadelta_is_insensitive_to_the_scale_of_the_loss() -> None:
    """Its claim: no rate to choose. A loss a thousand times larger gives nearly the same path."""
    ends = []
    for scale in (1.0, 1000.0):
        theta = torch.linspace(-1, 1, SIZE, dtype=torch.float64)[None] + 0.07
        state = (torch.zeros_like(theta), torch.zeros_like(theta))
        for step in range(100):
            grad = scale * theta
            AdaDelta.update(theta, grad, state, column([1.0]), step, ALL, decay=0.95, eps=1e-6)
        ends.append(theta)
    torch.testing.assert_close(ends[0], ends[1], rtol=0.05, atol=2e-3)


def _defaults(cls: Any) -> dict[str, float]:
    return {name: getattr(cls(), name) for name in OPTIONS[cls]}
