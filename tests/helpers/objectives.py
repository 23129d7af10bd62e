"""Objectives whose minima or derivatives are known, and the steps of a rule on them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn
from torch.func import functional_call

from trainwell.techniques.optim.objective import Objective


def begin(rule: Any, theta: Tensor) -> list[Tensor]:
    return [torch.zeros_like(theta) for _ in rule.state]


def run(
    rule: Any, objective: Objective, theta: Tensor, steps: int, lr: float = 1.0
) -> tuple[list[float], list[float]]:
    """Values and gradient norms before every step and after the last one."""
    state, values, norms = begin(rule, theta), [], []
    for step in range(steps + 1):
        value, grad = objective.gradient(theta)
        values.append(float(value))
        norms.append(float(grad.norm()))
        if step < steps:
            rule.step(objective, theta, state, lr, step)
    return values, norms


def network(
    net: nn.Module, x: Tensor, y: Tensor, l2: float = 0.0, padding: int = 0
) -> tuple[Objective, Tensor]:
    """A module's cross-entropy as a function of its parameters in one row, and that row."""
    named = list(net.named_parameters())
    stops = list(itertools.accumulate((p.numel() for _, p in named), initial=0))

    def outputs(theta: Tensor) -> Tensor:
        parts = {
            name: theta[start:stop].view(p.shape)
            for (name, p), start, stop in zip(named, stops, stops[1:], strict=False)
        }
        found: Tensor = functional_call(net, parts, (x,))
        return found

    theta = torch.cat([p.detach().reshape(-1) for _, p in named] + [x.new_zeros(padding)])
    penalty = (lambda t: 0.5 * l2 * t.square().sum()) if l2 else None
    return Objective(outputs, lambda z: nn.functional.cross_entropy(z, y), penalty), theta


def mlp(hidden: int = 6, rows: int = 200, l2: float = 0.0, padding: int = 0) -> Any:
    """A small tanh network on digits, in single precision."""
    data = load_digits()
    x = torch.tensor(data.data[:rows] / 16, dtype=torch.float32)
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(64, hidden), nn.Tanh(), nn.Linear(hidden, 10))
    return network(net, x, torch.tensor(data.target[:rows]), l2, padding)


def logistic(scale: Tensor | float = 1.0, standardised: bool = True) -> tuple[Objective, Tensor]:
    """Logistic regression of breast_cancer: 30 features and a constant, λ = 1e-3.

    scale: the parameters are measured in other units, θ = scale · φ.
    """
    data, labels = load_breast_cancer(return_X_y=True)
    if standardised:
        data = (data - data.mean(0)) / data.std(0)
    x = torch.tensor(np.c_[data, np.ones(len(data))])
    y = torch.tensor(labels, dtype=torch.float64)

    def loss(z: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(z[:, 0], y)

    objective = Objective(
        lambda phi: (x @ (scale * phi))[:, None],
        loss,
        lambda phi: 0.5e-3 * (scale * phi).square().sum(),
    )
    return objective, torch.zeros(31, dtype=torch.float64)


def quadratic(matrix: Tensor, centre: Tensor) -> Objective:
    return Objective(lambda theta: theta, lambda z: 0.5 * (z - centre) @ matrix @ (z - centre))


def needed(values: list[float], best: float, gap: float = 1e-6) -> int:
    return next(i for i, value in enumerate(values) if value - best < gap)


BEST = 0.059829471881805  # of `logistic()`
