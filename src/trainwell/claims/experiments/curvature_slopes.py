"""Do momentum or adaptive rules move as Newton's method does: in proportion to 1 / curvature?

On a quadratic with curvatures h from 1 to 1000 along the axes each rule takes 400 steps; in the
second half the effective step of a weight is the mean |step| over the mean |gradient|. Newton's
method has log(effective step) = const - log h: a slope of -1. Two starts, since with equal
distances gradients are ∝ h, and any rule that divides by the gradient looks like Newton's; noise of
spread √h as mini-batches have, or none. Shapes: R repetitions, P weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwell.claims.rules import Measured
from trainwell.claims.trials import Setup
from trainwell.techniques.optim.first_order import AdaDelta, Adam, Momentum, RmsProp, Sgd

Floats = npt.NDArray[np.float64]
WEIGHTS, STEEPEST, STEPS = 20, 1000.0, 400
NEAR = 1e-3  # of the first distance: where the flattest direction counts as solved
Step = Callable[[Tensor, Tensor, tuple[Tensor, ...], int], None]


def run(setup: Setup) -> Measured:
    """Slopes of each rule by start and noise; steps of plain descent and of momentum."""
    count = setup.size.repetitions
    slopes, away = {}, {}
    for rule, (step, kept) in rules().items():
        for start in ("equal distances", "equal gradients"):
            for noise in (True, False):
                name = f"{rule}, {start}" + ("" if noise else ", no noise")
                slopes[name] = slope_of(step, kept, start, noise, count, setup.seed)
                away[name] = slopes[name] + 1
    steps = {
        "descent": np.full(count, float(steps_to_solve(0.0))),
        "momentum": np.full(count, float(steps_to_solve(best_momentum()))),
    }
    return Measured({"slope": slopes, "from Newton": away, "iterations": steps})


def rules() -> dict[str, tuple[Step, int]]:
    """Each rule as one step on weights (R, P), and how many arrays of state it keeps."""
    one = torch.ones(WEIGHTS, dtype=torch.float64)

    def rate(value: float) -> Tensor:
        return torch.full((1, 1), value, dtype=torch.float64)

    low = 0.5 / STEEPEST
    return {
        "SGD": (lambda w, g, s, t: Sgd.update(w, g, (), rate(low), t, one), 0),
        "momentum": (
            lambda w, g, s, t: Momentum.update(w, g, (s[0],), rate(low), t, one, momentum=0.9),
            1,
        ),
        "RMSprop": (
            lambda w, g, s, t: RmsProp.update(
                w, g, (s[0],), rate(1e-3), t, one, decay=0.9, eps=1e-8
            ),
            1,
        ),
        "Adam": (
            lambda w, g, s, t: Adam.update(
                w, g, (s[0], s[1]), rate(1e-3), t, one, beta1=0.9, beta2=0.999, eps=1e-8
            ),
            2,
        ),
        "AdaDelta": (
            lambda w, g, s, t: AdaDelta.update(
                w, g, (s[0], s[1]), rate(1.0), t, one, decay=0.95, eps=1e-6
            ),
            2,
        ),
        "Newton": (lambda w, g, s, t: w.sub_(0.1 * g / curvatures()), 0),
    }


def curvatures() -> Tensor:
    """h (P,), evenly spaced in powers of ten."""
    return torch.logspace(0, float(np.log10(STEEPEST)), WEIGHTS, dtype=torch.float64)


def slope_of(step: Step, kept: int, start: str, noise: bool, count: int, seed: int) -> Floats:
    """The slope (R,) of log effective step on log curvature."""
    h, stream = curvatures(), torch.Generator().manual_seed(seed)
    w = (torch.ones(WEIGHTS) if start == "equal distances" else 1 / h).double().repeat(count, 1)
    state = tuple(torch.zeros_like(w) for _ in range(kept))
    moved, asked = torch.zeros_like(w), torch.zeros_like(w)
    for t in range(STEPS):
        g = h * w
        if noise:
            g = g + h.sqrt() * torch.randn(w.shape, generator=stream, dtype=torch.float64)
        before = w.clone()
        step(w, g, state, t)
        if t >= STEPS // 2:
            moved += (w - before).abs()
            asked += g.abs()
    y = (moved / asked.clamp(min=1e-300)).clamp(min=1e-300).log()
    x = h.log() - h.log().mean()
    return np.asarray((y @ x / (x @ x)).numpy())


def best_momentum() -> float:
    """β = ((√κ - 1) / (√κ + 1))² for the condition number κ."""
    root = float(np.sqrt(STEEPEST))
    return ((root - 1) / (root + 1)) ** 2


def steps_to_solve(beta: float) -> int:
    """Steps until every weight is within NEAR of the minimum, at the best rate for this β."""
    h = curvatures().numpy()
    rate = (2 / (1 + STEEPEST)) if beta == 0 else 4 / (1 + np.sqrt(STEEPEST)) ** 2
    w, v = np.ones(WEIGHTS), np.zeros(WEIGHTS)
    for t in range(1, 100_000):
        v = beta * v - rate * h * w
        w = w + v
        if np.abs(w).max() < NEAR:
            return t
    return 100_000
