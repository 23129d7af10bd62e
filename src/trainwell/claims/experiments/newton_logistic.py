"""Steps that Newton's method, L-BFGS, momentum and gradient descent take on logistic regression.

f(w) = (1/n) Σ log(1 + e^(-s_i x_i·w)) + ½ Σ_j λ_j w_j², g = Xᵀ(p - y)/n + λw, H = XᵀVX/n + diag(λ).
Steps are counted until f - f* < 1e-6. Momentum has its best numbers for the curvature at the end,
gradient descent the rate 1/L. Shapes: n examples, D features with the constant one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.claims.draws import subset
from trainwell.claims.rules import Measured
from trainwell.claims.trials import Setup
from trainwell.seeding import numpy_stream

Floats = npt.NDArray[np.float64]
STRENGTH, NEAR = 1e-3, 1e-6
MOST = {"newton": 100, "lbfgs": 2000, "momentum": 5000, "gradient": 20_000}


def run(setup: Setup) -> Measured:
    """Steps of each method, on standardized features and on features of other units."""
    found: dict[str, list[float]] = {}
    draws = setup.draws()
    for repetition in draws.repetitions:
        data = subset(draws.data, repetition.train)
        x = standardized(np.nan_to_num(data.inputs.reshape(len(data), -1).astype(np.float64)))
        y = (data.labels == 0).astype(np.float64)
        stream = numpy_stream(repetition.seed, "units")
        units = np.r_[10 ** stream.uniform(-1, 1, x.shape[1] - 1), 1.0]
        for label, scale in (("", np.ones(x.shape[1])), (", other units", units)):
            problem = Logistic(x * scale, y, STRENGTH * scale**2)
            for name, count in counted(problem).items():
                found.setdefault(name + label, []).append(float(count))
    values = {name: np.array(v) for name, v in found.items()}
    return Measured({"iterations": values}, draws.test_share)


def standardized(x: Floats) -> Floats:
    """Features of mean 0 and spread 1 (constant ones left out) and a constant one."""
    x = x[:, x.std(axis=0) > 0]
    return np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))])


@dataclass(frozen=True, eq=False)
class Logistic:
    """The function that is minimised: inputs (n, D), labels (n,) 0 or 1, strengths (D,)."""

    x: Floats
    y: Floats
    strength: Floats

    def value(self, w: Floats) -> float:
        z = self.x @ w
        return float((np.logaddexp(0.0, z) - self.y * z).mean() + 0.5 * self.strength @ w**2)

    def gradient(self, w: Floats) -> Floats:
        p = 1 / (1 + np.exp(-(self.x @ w)))
        return np.asarray(self.x.T @ (p - self.y) / len(self.y) + self.strength * w)

    def hessian(self, w: Floats) -> Floats:
        p = 1 / (1 + np.exp(-(self.x @ w)))
        curved = (self.x.T * (p * (1 - p))) @ self.x / len(self.y)
        return np.asarray(curved + np.diag(self.strength))


def newton_step(problem: Logistic, w: Floats) -> Floats:
    """w after one step -H⁻¹g, halved until the value falls enough (Armijo)."""
    g = problem.gradient(w)
    direction = -np.linalg.solve(problem.hessian(w), g)
    value, slope, t = problem.value(w), float(g @ direction), 1.0
    while problem.value(w + t * direction) > value + 1e-4 * t * slope and t > 1e-8:
        t /= 2
    return np.asarray(w + t * direction)


def counted(problem: Logistic) -> dict[str, int]:
    """Steps of every method to within 1e-6 of the minimum; one more than allowed: not reached."""
    best = np.zeros(problem.x.shape[1])
    for _ in range(60):
        best = newton_step(problem, best)
    enough = problem.value(best) + NEAR
    highest = 0.25 * np.linalg.eigvalsh(problem.x.T @ problem.x)[-1] / len(problem.y)
    steepest = float(highest + problem.strength.max())
    curved = np.linalg.eigvalsh(problem.hessian(best))
    root = float(np.sqrt(max(curved[0], 1e-12) / steepest))
    rate, beta = 4 / (steepest * (1 + root) ** 2), ((1 - root) / (1 + root)) ** 2
    return {
        "newton": _steps(lambda w: newton_step(problem, w), problem, enough, MOST["newton"]),
        "lbfgs": _lbfgs(problem, enough),
        "momentum": _steps(_Momentum(problem, rate, beta), problem, enough, MOST["momentum"]),
        "gradient": _steps(
            lambda w: w - problem.gradient(w) / steepest, problem, enough, MOST["gradient"]
        ),
    }


@dataclass(eq=False)
class _Momentum:
    problem: Logistic
    rate: float
    beta: float
    before: Floats | None = None

    def __call__(self, w: Floats) -> Floats:
        moved = 0.0 if self.before is None else self.beta * (w - self.before)
        self.before = w
        return np.asarray(w - self.rate * self.problem.gradient(w) + moved)


def _steps(step: Callable[[Floats], Floats], problem: Logistic, enough: float, most: int) -> int:
    w = np.zeros(problem.x.shape[1])
    for count in range(1, most + 1):
        w = step(w)
        if problem.value(w) < enough:
            return count
    return most + 1


def _lbfgs(problem: Logistic, enough: float) -> int:
    from scipy.optimize import minimize

    values: list[float] = []
    minimize(
        problem.value,
        np.zeros(problem.x.shape[1]),
        jac=problem.gradient,
        method="L-BFGS-B",
        callback=lambda w: values.append(problem.value(w)),
        options={"maxiter": MOST["lbfgs"], "ftol": 0.0, "gtol": 1e-12},
    )
    reached = [i + 1 for i, v in enumerate(values) if v < enough]
    return reached[0] if reached else MOST["lbfgs"] + 1
