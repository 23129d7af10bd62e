"""Second-order rules against exact matrices, closed forms, scipy and torch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor, nn

from helpers.objectives import BEST, begin, logistic, mlp, needed, network, quadratic, run
from trainwell.callstring import members
from trainwell.errors import UserError
from trainwell.techniques.optim.directions import (
    conjugate_gradients,
    newton_directions,
    two_loops,
)
from trainwell.techniques.optim.objective import Objective
from trainwell.techniques.optim.rules import ClosureRule
from trainwell.techniques.optim.second_order import (
    Lbfgs,
    Newton,
    NewtonCg,
)

RULES: list[Any] = [Newton(), NewtonCg(), Lbfgs(), Lbfgs(history=3)]
every = pytest.mark.parametrize("rule", RULES, ids=str)


def test_no_rule_is_forgotten() -> None:
    assert {type(rule) for rule in RULES} == set(members(ClosureRule))
    assert all(rule.closure for rule in RULES)


# Newton.


@given(st.integers(1, 6), st.integers(0, 1000))
def test_newton_needs_one_step_on_a_quadratic(size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    matrix = root @ root.T + 0.1 * torch.eye(size)
    centre = torch.randn(size, generator=generator, dtype=torch.float64)
    theta = torch.randn(size, generator=generator, dtype=torch.float64)
    Newton().step(quadratic(matrix, centre), theta, (), 1.0, 0)
    torch.testing.assert_close(theta, centre, rtol=1e-8, atol=1e-8)


def test_newton_on_logistic_regression() -> None:
    """The published count, 8 steps; near the minimum the digits double from step to step."""
    objective, theta = logistic()
    values, norms = run(Newton(), objective, theta, 9)
    assert values[-1] == pytest.approx(BEST, abs=1e-14)
    assert needed(values, BEST) == 8
    assert norms[7] == pytest.approx(1.8e-4, rel=0.05)
    assert norms[8] == pytest.approx(1.5e-6, rel=0.05)
    assert norms[9] == pytest.approx(1.0e-10, rel=0.05)
    # |g'| ≤ c |g|², with one c for all
    assert all(norms[k + 1] < 60 * norms[k] ** 2 for k in (6, 7, 8))


def test_newton_does_not_see_the_units() -> None:
    """Parameters in other units take the same path; gradient descent and L-BFGS do not."""
    scale = 10 ** torch.linspace(-4, 4, 31, dtype=torch.float64)
    paths = []
    for units in (torch.ones(31, dtype=torch.float64), scale):
        objective, phi = logistic(units)
        path = []
        for step in range(9):
            Newton().step(objective, phi, (), 1.0, step)
            path.append(units * phi)
        paths.append(torch.stack(path))
    torch.testing.assert_close(*paths, rtol=1e-6, atol=1e-8)
    objective, theta = logistic(standardised=False)  # raw features: from 1e-3 to 1e3
    values, _ = run(Newton(), objective, theta, 12)
    assert needed(values, values[-1]) == 8
    for units, steps in ((1.0, 40), (scale, 40)):
        objective, theta = logistic(units)
        values, _ = run(Lbfgs(), objective, theta, steps)
        assert (values[-1] - BEST < 1e-6) == (units is not scale)


@given(st.integers(2, 8), st.integers(0, 1000))
def test_newton_directions_descend_on_indefinite_hessians(size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    hessian = root + root.T
    hessian[0] = hessian[:, 0] = 0  # something that nothing depends on
    grad = torch.randn(size, generator=generator, dtype=torch.float64)
    found = newton_directions(hessian, grad, 1e-6)
    assert found
    assert all(float(grad @ p) < 0 for p in found)


def test_newton_directions_take_eigenvalues_by_size() -> None:
    hessian = torch.tensor([[4.0, 1.0], [1.0, 9.0]], dtype=torch.float64)
    grad = torch.tensor([1.0, -2.0], dtype=torch.float64)
    (exact,) = newton_directions(hessian, grad, 1e-6)
    torch.testing.assert_close(exact, -torch.linalg.solve(hessian, grad))
    saddle = torch.diag(torch.tensor([4.0, -9.0], dtype=torch.float64))
    first, *_ = newton_directions(saddle, grad, 1e-6)
    torch.testing.assert_close(first, torch.tensor([-1 / 4, 2 / 9], dtype=torch.float64))
    assert newton_directions(saddle * math.nan, grad, 1e-6) == []


def test_newton_leaves_a_saddle() -> None:
    saddle = Objective(lambda t: t, lambda z: z[0] ** 2 - z[1] ** 2 + 0.25 * z[1] ** 4)
    theta = torch.tensor([1.0, 1e-3], dtype=torch.float64)
    run(Newton(), saddle, theta, 15)
    torch.testing.assert_close(theta.abs(), torch.tensor([0.0, 2**0.5], dtype=torch.float64))


def test_newton_refuses_large_networks() -> None:
    theta = torch.zeros(3001)
    objective = Objective(lambda t: t, lambda z: z.square().sum())
    with pytest.raises(UserError, match=r"P = 3001 parameters.*Lbfgs\(\)"):
        Newton().step(objective, theta, (), 1.0, 0)


def test_newton_on_a_small_network() -> None:
    """Indefinite far from the minimum; with padding, which stays as it is."""
    objective, theta = mlp(padding=6)
    values, _ = run(Newton(), objective, theta, 9)
    assert values[-1] < 0.02
    assert (theta[-6:] == 0).all()


# Newton with conjugate gradients.


@given(st.integers(1, 8), st.integers(0, 1000))
def test_conjugate_gradients_solve(size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    matrix = root @ root.T + 0.1 * torch.eye(size)
    b, start = torch.randn(2, size, generator=generator, dtype=torch.float64)
    exact = torch.linalg.solve(matrix, b)
    for x in (torch.zeros_like(b), start, exact):
        found, rest = conjugate_gradients(lambda v: matrix @ v, b, x, 3 * size, 1e-12)
        torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(rest, b - matrix @ found, rtol=1e-5, atol=1e-7)
    # After i products the best of a space of i dimensions: f falls from product to product.
    quadratics = []
    for i in range(size + 1):
        found, _ = conjugate_gradients(lambda v: matrix @ v, b, torch.zeros_like(b), i, 1e-12)
        quadratics.append(float(0.5 * found @ matrix @ found - b @ found))
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(quadratics))


def test_conjugate_gradients_end_by_relative_progress() -> None:
    """On a spectrum with a long tail, more tolerance means fewer products."""
    diagonal = torch.logspace(-4, 0, 200, dtype=torch.float64)
    counts = []
    for tolerance in (5e-2, 5e-3, 5e-4, 5e-5):
        products = []

        def product(v: Tensor, seen: list[int] = products) -> Tensor:
            seen.append(1)
            return diagonal * v

        conjugate_gradients(product, torch.ones_like(diagonal), 0 * diagonal, 500, tolerance)
        counts.append(len(products))
    assert counts == sorted(counts) and counts[0] >= 10 and counts[-1] < 500
    assert counts[0] < 0.5 * counts[-1]


def test_conjugate_gradients_stop_at_negative_curvature() -> None:
    b = torch.tensor([0.0, 1.0])
    found, rest = conjugate_gradients(lambda v: -v, b, torch.zeros(2), 10, 1e-3)
    assert (found == 0).all() and torch.equal(rest, b)


def test_newton_cg_on_a_quadratic_damps_less_and_less() -> None:
    """There the model is right: λ becomes 2/3 of itself until there is nothing left to win."""
    theta = torch.zeros(4, dtype=torch.float64)
    matrix = torch.diag(torch.tensor([1.0, 10.0, 100.0, 1000.0], dtype=torch.float64))
    objective, rule = quadratic(matrix, torch.ones_like(theta)), NewtonCg(damping=0.9)
    state = begin(rule, theta)
    for step in range(4):
        rule.step(objective, theta, state, 1.0, step)
        assert state[1].tolist() == pytest.approx(4 * [0.9 * (2 / 3) ** (step + 1)])
    # Each step leaves λ / (λ + h) of a distance along curvature h.
    left = math.prod(0.9 * (2 / 3) ** k / (1 + 0.9 * (2 / 3) ** k) for k in range(4))
    assert 1 - float(theta[0]) == pytest.approx(left, rel=0.05)


def test_newton_cg_damps_more_where_the_model_is_wrong() -> None:
    """A step that would end much too high: halved, and λ becomes 3/2 of itself."""
    steep = Objective(lambda t: t, lambda z: (1 + z.square()).sqrt().sum())
    rule, theta = NewtonCg(damping=1e-3), torch.full((3,), 5.0, dtype=torch.float64)
    state = begin(rule, theta)
    rule.step(steep, theta, state, 1.0, 0)
    assert (theta.abs() < 5).all()
    assert state[1].tolist() == pytest.approx(3 * [1.5e-3])


def test_newton_cg_trains_a_network_in_few_steps() -> None:
    objective, theta = mlp(hidden=16, padding=2)
    values, _ = run(NewtonCg(), objective, theta, 12)
    assert values[-1] < 1e-3
    assert (theta[-2:] == 0).all()
    objective, theta = logistic()
    values, _ = run(NewtonCg(), objective, theta, 12)
    assert needed(values, BEST) <= 10


# L-BFGS.


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 1000))
def test_two_loops_equal_the_matrix(size: int, pairs: int, seed: int) -> None:
    """The recursion H ← (I - ρ s yᵀ) H (I - ρ y sᵀ) + ρ s sᵀ, written out."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    s = torch.randn(pairs, size, generator=generator, dtype=torch.float64)
    y = s @ (root @ root.T + 0.1 * torch.eye(size))  # changes of a convex quadratic's gradient
    grad = torch.randn(size, generator=generator, dtype=torch.float64)
    unit = torch.eye(size, dtype=torch.float64)
    h = unit * (y[0] @ s[0]) / (y[0] @ y[0])
    for a, b in reversed(list(zip(s, y, strict=True))):  # the newest comes first
        rho = 1 / (a @ b)
        left = unit - rho * torch.outer(a, b)
        h = left @ h @ left.T + rho * torch.outer(a, a)
    empty = torch.zeros(2, size, dtype=torch.float64)
    found = two_loops(list(torch.cat([s, empty])), list(torch.cat([y, empty])), grad)
    torch.testing.assert_close(found, h @ grad, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(two_loops(list(empty), list(empty), grad), grad)


def test_lbfgs_needs_as_many_iterations_as_scipy() -> None:
    objective, theta = logistic()
    values, _ = run(Lbfgs(), objective, theta, 45)
    reference: list[float] = []

    def function(w: Any) -> tuple[float, Any]:
        value, grad = objective.gradient(torch.tensor(w))
        return float(value), grad.numpy()

    scipy.optimize.minimize(
        function,
        np.zeros(31),
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": 10, "gtol": 1e-9, "ftol": 1e-14},
        callback=lambda intermediate_result: reference.append(intermediate_result.fun),
    )
    own, theirs = needed(values, BEST), needed(reference, BEST) + 1
    assert own <= 1.2 * theirs + 1
    assert values == sorted(values, reverse=True)


def test_lbfgs_takes_the_steps_of_torch() -> None:
    """Equal to torch's, step by step, as long as the first trial of the line search is good."""
    diagonal = torch.linspace(1, 3, 12, dtype=torch.float64)
    objective = Objective(lambda t: t, lambda z: (diagonal * z**2).sum() + (z**4).sum())
    theta = torch.linspace(-1, 1.5, 12, dtype=torch.float64)
    copy = theta.clone().requires_grad_()
    reference = torch.optim.LBFGS(
        [copy], lr=1.0, max_iter=1, history_size=4, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        reference.zero_grad()
        loss = objective.loss(copy)
        loss.backward()
        return loss.detach()

    rule = Lbfgs(history=4)
    state = begin(rule, theta)
    for step in range(10):
        rule.step(objective, theta, state, 1.0, step)
        reference.step(closure)
        torch.testing.assert_close(theta, copy.detach(), rtol=1e-9, atol=1e-10)


def test_lbfgs_skips_pairs_without_curvature_and_keeps_the_newest_first() -> None:
    objective, theta = logistic()
    rule = Lbfgs(history=3)
    state, path = begin(rule, theta), [theta.clone()]
    for step in range(5):
        rule.step(objective, theta, state, 1.0, step)
        path.append(theta.clone())
    for i in range(3):
        torch.testing.assert_close(state[i], path[5 - i] - path[4 - i])
        change = objective.gradient(path[5 - i])[1] - objective.gradient(path[4 - i])[1]
        torch.testing.assert_close(state[3 + i], change)
    bent = Objective(lambda t: t, lambda z: torch.cos(z).sum() + 0.5 * z.sum())
    theta = torch.tensor([0.1], dtype=torch.float64)
    state = begin(rule, theta)
    kept = theta.clone()
    rule.step(bent, theta, state, 1e-3, 0)
    assert theta != kept
    assert float(state[0] @ state[3]) >= 0


def test_lbfgs_begins_anew_where_its_pairs_mislead() -> None:
    objective, theta = logistic()
    rule = Lbfgs(history=2)
    state = begin(rule, theta)
    for vector in state:
        vector.fill_(math.inf)  # what a broken step would have left
    kept = theta.clone()
    rule.step(objective, theta, state, 1.0, 0)
    assert torch.equal(theta, kept) and all((v == 0).all() for v in state)
    rule.step(objective, theta, state, 1.0, 1)
    assert not torch.equal(theta, kept)


def test_lbfgs_reaches_a_low_loss_sooner_than_adam() -> None:
    """1e-4, counted in gradients; Adam at its best rate. (To 1e-2 they need equally many.)"""
    objective, theta = mlp(hidden=16)
    start, rule, state = theta.clone(), Lbfgs(), begin(Lbfgs(), theta)
    while float(objective.gradient(theta)[0]) > 1e-4 and objective.cost < 200:
        objective.cost -= 1  # looking is no part of it
        rule.step(objective, theta, state, 1.0, 0)
    own, best = objective.cost - 1, 400
    for lr in (0.03, 0.1, 0.2):
        theta, steps = start.clone(), 0
        adam = torch.optim.Adam([theta], lr=lr)
        value, theta.grad = objective.gradient(theta)
        while value > 1e-4 and steps < best:
            adam.step()
            steps += 1
            value, theta.grad = objective.gradient(theta)
        best = min(best, steps)
    assert own < 0.25 * best, (own, best)


# What holds for all of them.


@every
def test_the_loss_never_rises(rule: Any) -> None:
    objective, theta = mlp(l2=1e-3)
    values, _ = run(rule, objective, theta, 8)
    assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(values))
    assert values[-1] < 0.7 * values[0]


@every
def test_a_loss_that_is_constant_changes_nothing(rule: Any) -> None:
    theta = torch.tensor([1.0, 2.0, 3.0])
    run(rule, Objective(lambda t: torch.ones(2), lambda z: z.sum()), theta, 2)
    assert theta.tolist() == [1, 2, 3]


@every
def test_deterministic_and_going_on_is_exact(rule: Any) -> None:
    """State vectors are all that a rule remembers."""
    ends = []
    for stop in (None, None, 1, 3):
        objective, theta = mlp()
        state = begin(rule, theta)
        for step in range(6):
            if step == stop:
                theta, state = theta.clone(), [vector.clone() for vector in state]
                rule = type(rule)(**vars(rule))
                objective, _ = mlp()
            rule.step(objective, theta, state, 1.0, step)
        ends.append((theta, *state))
    for other in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], other, strict=True))


@every
def test_works_on_views_of_rows(rule: Any) -> None:
    objective, row = mlp()
    rows = row.repeat(3, 1)
    states = [torch.zeros_like(rows) for _ in rule.state]
    rule.step(objective, rows[1], [s[1] for s in states], 1.0, 0)
    assert torch.equal(rows[0], row) and torch.equal(rows[2], row)
    assert not torch.equal(rows[1], row)
    assert all((s[0] == 0).all() and (s[2] == 0).all() for s in states)
    assert not rows.requires_grad


@every
def test_the_rate_multiplies_the_first_trial(rule: Any) -> None:
    objective, theta = mlp()
    kept = theta.clone()
    rule.step(objective, theta, begin(rule, theta), 0.0, 0)
    assert torch.equal(theta, kept)
    trials = []
    for lr in (1.0, 0.5):
        seen: list[Tensor] = []

        def outputs(theta: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(theta.detach().clone())
            return theta

        theta = torch.tensor([2.0, 1.0, -3.0], dtype=torch.float64)
        start = theta.clone()
        rule.step(Objective(outputs, lambda z: z.square().sum()), theta, begin(rule, theta), lr, 0)
        trials.append(next(t for t in seen if not torch.equal(t, start)) - start)
    torch.testing.assert_close(trials[1], trials[0] / 2)


@every
@pytest.mark.parametrize("what", ["value", "everywhere", "theta", "gradient"])
def test_not_finite_leaves_theta(rule: Any, what: str) -> None:
    theta = torch.tensor([1.0, -2.0, 0.5])
    start = theta.clone()

    def loss(z: Tensor) -> Tensor:
        if what == "everywhere":
            return z.sum() * math.nan
        if what == "gradient":
            return (z - start).abs().sqrt().sum()  # infinite slope where it starts
        return torch.where((z == start).all(), z.square().sum(), torch.inf)

    if what == "theta":
        theta[1] = start[1] = math.inf
    objective = Objective(lambda t: t, loss)
    state = begin(rule, theta)
    for step in range(3):
        rule.step(objective, theta, state, 1.0, step)
    assert torch.equal(theta, start)
    assert all(vector.isfinite().all() for vector in state)


@every
def test_recovers_where_only_short_steps_are_finite(rule: Any) -> None:
    walled = Objective(lambda t: t, lambda z: -torch.log(z).sum() + 50 * z.sum())
    theta = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    run(rule, walled, theta, 40)
    torch.testing.assert_close(
        theta, torch.full((3,), 0.02, dtype=torch.float64), rtol=1e-3, atol=0
    )


@every
def test_small_batches_do_no_harm(rule: Any) -> None:
    """Another batch every step: not what the rules are made for, but they must stay finite."""
    objectives = []
    data = load_digits()
    for k in range(6):
        x = torch.tensor(data.data[32 * k : 32 * k + 32] / 16, dtype=torch.float32)
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 10))
        objective, theta = network(net, x, torch.tensor(data.target[32 * k : 32 * k + 32]), 1e-2)
        objectives.append(objective)
    state = begin(rule, theta)
    first = float(objectives[0].value(theta))
    for step in range(12):
        before = float(objectives[step % 6].value(theta))
        rule.step(objectives[step % 6], theta, state, 1.0, step)
        assert float(objectives[step % 6].value(theta)) <= before * (1 + 1e-6)
    assert theta.isfinite().all()
    assert float(objectives[0].value(theta)) < first
