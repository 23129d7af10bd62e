"""Experiments on curvature and adaptive rules against what is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainwell.claims.experiments import adaptive_family, curvature_slopes, effective_rates
from trainwell.claims.experiments.newton_logistic import (
    Logistic,
    counted,
    newton_step,
    standardized,
)

RNG = np.random.default_rng(0)


def problem(rows=120, features=4, strength=1e-3):
    x = standardized(RNG.normal(size=(rows, features)))
    y = (x @ RNG.normal(size=features + 1) + 0.5 * RNG.normal(size=rows) > 0).astype(float)
    return Logistic(x, y, np.full(features + 1, strength))


def test_gradient_and_hessian_are_the_derivatives():
    from scipy.optimize import approx_fprime

    found, w = problem(), 0.3 * RNG.normal(size=5)
    assert found.gradient(w) == pytest.approx(approx_fprime(w, found.value, 1e-7), abs=1e-5)
    columns = approx_fprime(w, found.gradient, 1e-7)
    assert found.hessian(w) == pytest.approx(columns, abs=1e-5)


def test_newton_ends_where_scikit_learn_ends():
    from sklearn.linear_model import LogisticRegression

    found, w = problem(), np.zeros(5)
    for _ in range(20):
        w = newton_step(found, w)
    # Its C counts the sum over rows; the constant column is penalised as the others are.
    made = LogisticRegression(C=1 / (120 * 1e-3), fit_intercept=False, tol=1e-10, max_iter=1000)
    made.fit(found.x, found.y)
    assert w == pytest.approx(made.coef_[0], abs=1e-4)


def test_newton_does_not_see_units_and_descent_does():
    found, scale = problem(), np.array([10.0, 0.1, 1.0, 3.0, 1.0])
    other = Logistic(found.x * scale, found.y, found.strength * scale**2)
    one, two = counted(found), counted(other)
    assert one["newton"] == two["newton"]
    assert one["newton"] < one["lbfgs"] < one["momentum"] < one["gradient"]
    assert two["gradient"] > 3 * one["gradient"]


@pytest.mark.parametrize(
    ("rule", "slope"), [("Newton", -1.0), ("SGD", 0.0), ("momentum", 0.0), ("RMSprop", -0.5)]
)
def test_slopes_under_noise_are_those_of_theory(rule, slope):
    step, kept = curvature_slopes.rules()[rule]
    found = curvature_slopes.slope_of(step, kept, "equal gradients", True, 4, 3)
    assert found == pytest.approx(slope, abs=0.12)


def test_momentum_needs_the_root_of_the_condition_number():
    plain = curvature_slopes.steps_to_solve(0.0)
    fast = curvature_slopes.steps_to_solve(curvature_slopes.best_momentum())
    assert np.log(1e3) * 1000 / 2 == pytest.approx(plain, rel=0.02)  # (1 - 2/κ)^t = 1e-3
    assert fast < 3 * np.sqrt(1000) * np.log(1e3)


def test_the_family_of_adaptive_rules_is_one():
    assert adaptive_family.leaky_adagrad(1) < 1e-9
    assert adaptive_family.rmsprop_with_momentum(1) < 1e-9
    assert adaptive_family.rate_left("adagrad") == pytest.approx(np.sqrt(0.1), rel=1e-6)
    assert adaptive_family.rate_left("rmsprop") == pytest.approx(1.0, abs=1e-4)


def test_quiet_and_loud_weights_are_told_apart():
    size = np.array([[0.0, 1.0, 2.0, 3.0, 4.0]])
    assert effective_rates.masks(size, 0.0, 0.25).tolist() == [[False, True, False, False, False]]
    assert effective_rates.masks(size, 0.75, 1.0).tolist() == [[False, False, False, False, True]]
    assert effective_rates.rank_correlation(size[0], -size[0]) == pytest.approx(-1.0)
    assert effective_rates.rank_correlation(size[0], np.ones(5)) == 0.0


def test_rules_are_steps_in_place():
    for step in effective_rates.rules(3).values():
        w, g = torch.zeros(1, 3), torch.tensor([[1.0, -1.0, 2.0]])
        step(w, g, [torch.zeros(1, 3), torch.zeros(1, 3)], 0)
        assert (w * g < 0).all()
