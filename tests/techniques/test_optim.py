"""Every update rule equals torch.optim, step by step, for members with different numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainwell.callstring import members
from trainwell.techniques.optim.first_order import Adam, Momentum, Optimizer

STEPS, SIZE = 80, 9
LR = [0.5, 0.01, 1e-3, 0.1]


def column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def plain(cls: Any, theta: Tensor, lr: float, options: dict[str, float]) -> torch.optim.Optimizer:
    """The same rule by torch."""
    if cls is Momentum:
        return torch.optim.SGD([theta], lr=lr, momentum=options["momentum"])
    assert cls is Adam
    betas = options["beta1"], options["beta2"]
    return torch.optim.Adam([theta], lr=lr, betas=betas, eps=options["eps"])


OPTIONS = {
    Momentum: {"momentum": [0.0, 0.5, 0.9, 0.99]},
    Adam: {
        "beta1": [0.0, 0.5, 0.9, 0.95],
        "beta2": [0.9, 0.99, 0.999, 0.9999],
        "eps": [1e-8, 1e-3, 1.0, 1e-8],
    },
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
        cls.update(theta, grad, state, column(LR) * decay, step, **hyper)
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
            cls.update(theta, theta.sin(), state, column([0.1] * 3), step, **given)
        results.append(theta)
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cls", OPTIONS)
def test_works_in_place_and_leaves_the_gradient(cls: Any) -> None:
    theta, grad = torch.ones(2, 3), torch.full((2, 3), 0.5)
    state = tuple(torch.zeros_like(theta) for _ in cls.state)
    kept = theta
    cls.update(theta, grad, state, torch.tensor([[0.1], [0.0]]), 0, **_defaults(cls))
    assert kept is theta
    assert (grad == 0.5).all()
    assert (theta[0] < 1).all()
    assert (theta[1] == 1).all()  # a rate of zero moves nothing
    assert all((s != 0).all() for s in state)


def _defaults(cls: Any) -> dict[str, float]:
    return {name: getattr(cls(), name) for name in OPTIONS[cls]}
