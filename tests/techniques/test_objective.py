"""Derivatives against those of torch, and line searches on functions that are hard for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.objectives import logistic, network
from trainwell.techniques.optim.linesearch import ARMIJO, CURVATURE, Point, backtrack, wolfe
from trainwell.techniques.optim.objective import Objective

# The objective.


def nets() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    torch.manual_seed(0)
    small = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    wide = nn.Sequential(nn.Linear(5, 40), nn.Sigmoid(), nn.Linear(40, 3))  # P > 256
    normed = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 6, bias=False),
        nn.BatchNorm1d(6),
        nn.ELU(),
        nn.Linear(6, 3),
        nn.LayerNorm(3),
    )
    return {"small": (small, (5,)), "wide": (wide, (5,)), "normed": (normed, (1, 8, 8))}


@pytest.mark.parametrize("name", ["small", "wide", "normed"])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_derivatives_equal_those_of_torch(name: str, l2: float) -> None:
    """Also with batch norm, whose running statistics are updated in place meanwhile."""
    net, shape = nets()[name]
    net.double().train()
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(20, *shape, generator=generator, dtype=torch.float64)
    objective, theta = network(net, x, torch.randint(0, 3, (20,), generator=generator), l2)
    v = torch.randn(len(theta), generator=generator, dtype=torch.float64)

    def total(t: Tensor) -> Tensor:
        return objective.loss(objective.outputs(t)) + 0.5 * l2 * t.square().sum()

    near: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11}
    exact = torch.autograd.functional.hessian(total, theta)
    torch.testing.assert_close(objective.hessian(theta), exact, **near)
    torch.testing.assert_close(objective.hessian_product(theta, v), exact @ v, **near)
    want = torch.autograd.functional.jacobian(total, theta)
    value, grad = objective.gradient(theta)
    torch.testing.assert_close(value, total(theta), **near)
    torch.testing.assert_close(objective.value(theta), value, **near)
    torch.testing.assert_close(grad, want, **near)

    z = objective.outputs(theta).detach()
    jacobian = torch.autograd.functional.jacobian(objective.outputs, theta).flatten(0, 1)
    curvature = torch.autograd.functional.hessian(objective.loss, z).view(2 * [z.numel()])
    gauss_newton = jacobian.T @ curvature @ jacobian + l2 * torch.eye(len(theta)).double()
    torch.testing.assert_close(objective.gauss_newton_product(theta, v), gauss_newton @ v, **near)
    value, grad, product = objective.gauss_newton(theta)
    torch.testing.assert_close(value, total(theta), **near)
    torch.testing.assert_close(grad, want, **near)
    torch.testing.assert_close(product(2 * v), 2 * (gauss_newton @ v), **near)
    assert not any(found.requires_grad for found in (value, grad, theta, product(v)))


def test_cost_is_counted_in_gradients() -> None:
    objective, theta = logistic()
    costs = []
    for ask in (
        lambda: objective.value(theta),
        lambda: objective.gradient(theta),
        lambda: objective.hessian_product(theta, theta),
        lambda: objective.hessian(theta),
        lambda: objective.gauss_newton_product(theta, theta),
    ):
        before = objective.cost
        ask()
        costs.append(objective.cost - before)
    assert costs == pytest.approx([1 / 3, 1, 3, 63, 11 / 3])


def test_what_does_not_depend_has_derivative_zero() -> None:
    """Linear losses and outputs have no curvature; a constant has not even a gradient."""
    theta = torch.tensor([1.0, 2.0, 3.0])
    linear = Objective(lambda t: 2 * t[:2], lambda z: z.sum(), lambda t: t[2])
    assert linear.gradient(theta)[1].tolist() == [2, 2, 1]
    assert (linear.hessian(theta) == 0).all()
    assert (linear.hessian_product(theta, theta) == 0).all()
    assert (linear.gauss_newton_product(theta, theta) == 0).all()
    constant = Objective(lambda t: torch.ones(2), lambda z: z.sum())
    assert (constant.gradient(theta)[1] == 0).all()
    assert (constant.hessian(theta) == 0).all()


# Line searches.

# Test functions of Moré and Thuente 1994: φ and where to start from.
HARD: dict[str, Callable[[Tensor], Tensor]] = {
    "one": lambda t: -t / (t * t + 2),
    "two": lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
    "wavy": lambda t: -t + 0.5 * torch.sin(9 * t) / 9 + 0.02 * t**2,
    "wall": lambda t: -t + torch.where(t > 1.7, torch.inf, 0.5 * t**2),
    "log": lambda t: -torch.log(1.001 - t) - 3 * t,  # NaN beyond 1.001
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 1e3])
def test_wolfe_conditions_hold(name: str, first: float) -> None:
    objective = Objective(lambda theta: theta, lambda z: HARD[name](z)[0])
    theta, direction = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    value, grad = objective.gradient(theta)
    start = Point(0.0, theta, float(value), grad, float(grad @ direction))
    found = wolfe(objective, start, direction, first)
    assert found is not None
    slope = float(objective.gradient(found.theta)[1])
    assert float(objective.value(found.theta)) == found.value
    assert found.theta == found.t * direction
    assert found.value <= start.value + ARMIJO * found.t * start.slope + 1e-14
    assert abs(slope) <= CURVATURE * abs(start.slope)
    shorter = backtrack(objective, start, direction, first)
    assert shorter is not None
    assert shorter.value <= start.value + ARMIJO * shorter.t * start.slope + 1e-14
    assert math.log2(first / shorter.t).is_integer()


def test_no_step_where_nothing_is_lower() -> None:
    for objective in (
        Objective(lambda theta: theta, lambda z: z.abs().sum()),  # at its minimum
        Objective(lambda theta: theta, lambda z: torch.where(z != 0, torch.nan, z).sum()),
        Objective(lambda theta: theta, lambda z: torch.where(z != 0, -torch.inf, z).sum()),
    ):
        start = Point(0.0, torch.zeros(1), 0.0, torch.ones(1), -1.0)
        assert wolfe(objective, start, -torch.ones(1), 1.0) is None
        assert backtrack(objective, start, -torch.ones(1), 1.0) is None
