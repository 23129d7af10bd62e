"""How the adaptive rules are related, on one sequence of gradients: numbers without chance.

RMSprop against an Adagrad that forgets, s ← ρ s + g², with the rate times √(1 - ρ): the largest
relative difference of their steps. Adam, after 5000 steps, against RMSprop whose gradient is
replaced by a running mean, which is momentum.
And what became of the effective rate after 1000 equal gradients.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainwell.claims.rules import Measured
from trainwell.claims.trials import Setup
from trainwell.techniques.optim.first_order import Adagrad, Adam, RmsProp

RATE, KEEP, MEAN, LATE = 0.01, 0.99, 0.9, 5000
RATES = torch.full((1, 1), RATE, dtype=torch.float64)


def run(setup: Setup) -> Measured:
    """The differences, and the share of the first rates that is left."""
    alone = np.ones(setup.size.repetitions)
    return Measured(
        {
            "difference": {
                "RMSprop, leaky Adagrad": leaky_adagrad(setup.seed) * alone,
                "Adam, RMSprop with momentum": rmsprop_with_momentum(setup.seed) * alone,
            },
            "left": {
                "Adagrad": rate_left("adagrad") * alone,
                "RMSprop": rate_left("rmsprop") * alone,
            },
        }
    )


def leaky_adagrad(seed: int) -> float:
    """Largest relative difference over 300 steps of RMSprop and of s ← ρ s + g²."""
    gradients, w, square = _gradients(300, seed), _zeros(), _zeros()
    total, worst = _zeros(), 0.0
    for t, g in enumerate(gradients):
        before = w.clone()
        RmsProp.update(w, g, (square,), RATES, t, _zeros()[0] + 1, decay=KEEP, eps=0.0)
        total = KEEP * total + g**2
        step = RATE / np.sqrt(1 - KEEP) * g / total.sqrt()
        worst = max(worst, _apart(before - w, step))
    return worst


def rmsprop_with_momentum(seed: int) -> float:
    """Largest relative difference over the last 300 of 5300 steps; before, Adam's are corrected."""
    gradients, w = _gradients(LATE + 300, seed), _zeros()
    m, v, mean, square, worst = _zeros(), _zeros(), _zeros(), _zeros(), 0.0
    for t, g in enumerate(gradients):
        before = w.clone()
        Adam.update(w, g, (m, v), RATES, t, _zeros()[0] + 1, beta1=MEAN, beta2=KEEP, eps=0.0)
        square = KEEP * square + (1 - KEEP) * g**2
        mean = MEAN * mean + (1 - MEAN) * g
        if t >= LATE:
            worst = max(worst, _apart(before - w, RATE * mean / square.sqrt()))
    return worst


def rate_left(rule: str) -> float:
    """The effective rate after 1000 equal gradients, over that after 100."""
    w, state, found = _zeros(), _zeros(), []
    for t in range(1000):
        before, g = w.clone(), _zeros() + 1
        if rule == "adagrad":
            Adagrad.update(w, g, (state,), RATES, t, _zeros()[0] + 1, eps=1e-10)
        else:
            RmsProp.update(w, g, (state,), RATES, t, _zeros()[0] + 1, decay=0.9, eps=1e-10)
        found.append(float((before - w)[0, 0]))
    return found[-1] / found[99]


def _gradients(steps: int, seed: int) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(steps, 1, 20, generator=stream, dtype=torch.float64)


def _zeros() -> Tensor:
    return torch.zeros(1, 20, dtype=torch.float64)


def _apart(a: Tensor, b: Tensor) -> float:
    """The norm of the difference over the norm of b: cancellation in one weight does not count."""
    return float((a - b).norm() / b.norm())
