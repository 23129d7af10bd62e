"""Every update rule equals torch.optim, step by step, for members with different numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainwell.callstring import members
from trainwell.techniques.optim.first_order import (
    Adagrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    Optimizer,
    RmsProp,
    Sgd,
)

STEPS, SIZE = 80, 9
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
    Adam: ADAM,
    AdamW: {**ADAM, "decay": [0.0, 0.5, 0.01, 0.1]},
}


def test_no_rule_is_forgotten() -> None:
    assert set(OPTIONS) == set(members(Optimizer))


@pytest.mark.parametrize("cls", OPTIONS)
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
    for given in (hyper, {n: column([v] * 3) for n, v in hyper.items()}):
        theta = begin.clone()
        state = tuple(torch.zeros_like(theta) for _ in cls.state)
        for step in range(50):
            cls.update(theta, theta.sin(), state, column([0.1] * 3), step, ALL, **given)
        results.append(theta)
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cls", OPTIONS)
def test_works_in_place_and_leaves_the_gradient(cls: Any) -> None:
    theta, grad = torch.ones(2, 3), torch.full((2, 3), 0.5)
    state = tuple(torch.zeros_like(theta) for _ in cls.state)
    kept = theta
    lr = torch.tensor([[0.1], [0.0]])
    cls.update(theta, grad, state, lr, 0, torch.ones(3), **_defaults(cls))
    assert kept is theta
    assert (grad == 0.5).all()
    assert (theta[0] < 1).all()
    assert (theta[1] == 1).all()  # a rate of zero moves nothing
    assert all((s != 0).all() for s in state)


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
            cls.update(theta, grad, state, lr, step, ALL.float(), **_defaults(cls))
        results.append(theta)
    assert torch.equal(results[0][0], results[1][0])
    assert not results[1][1].isfinite().any()


@pytest.mark.parametrize("cls", OPTIONS)
def test_zero_gradients_keep_finite_weights(cls: Any) -> None:
    theta = torch.ones(1, SIZE)
    state = tuple(torch.zeros_like(theta) for _ in cls.state)
    for step in range(3):
        lr = torch.tensor([[0.1 if step else 0.0]])
        cls.update(
            theta, torch.zeros(1, SIZE), state, lr, step, torch.zeros(SIZE), **_defaults(cls)
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
    adaptive = {Adam: 2e-3, AdamW: 2e-3, RmsProp: 1e-3, Adagrad: 0.02}
    plain_rules = {Momentum: 0.05, Nesterov: 0.05, Sgd: 0.1}
    assert {cls: cls.usual_rate for cls in members(Optimizer)} == adaptive | plain_rules


def _defaults(cls: Any) -> dict[str, float]:
    return {name: getattr(cls(), name) for name in OPTIONS[cls]}
