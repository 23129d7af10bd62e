"""Votes, weights, stack and temperatures against formulas, scikit-learn and scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from trainwell.ensemble.calibrate import scaled, temperature, temperatures
from trainwell.ensemble.combine import (
    fit_stack,
    log_odds,
    log_odds_weights,
    majority_vote,
    soft_vote,
    votes,
)
from trainwell.ensemble.distil import soft_targets
from trainwell.ensemble.rows import Floats, Ints, cross_fitted, paired, parts, together
from trainwell.errors import UserError
from trainwell.metrics import log_loss
from trainwell.stats import bca

NAN = np.nan


def made(
    m: int = 4, n: int = 60, c: int = 3, seed: int = 0, holes: bool = False
) -> tuple[Floats, Ints]:
    """Members that see the true class through noise of their own."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    z = 1.5 * np.eye(c)[y] + rng.normal(size=(m, n, c)) * np.linspace(0.7, 1.6, m)[:, None, None]
    p = np.exp(z)
    p /= p.sum(axis=2, keepdims=True)
    if holes:
        gone = rng.random((m, n)) < 0.4
        gone[0] &= ~gone.all(axis=0)
        p[gone] = NAN
    return p, y


def test_votes_are_those_of_scikit_learn() -> None:
    from sklearn.ensemble import VotingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = rng.normal(size=(300, 4)) + np.eye(3, 4)[y] * 1.5
    models = [
        ("a", LogisticRegression()),
        ("b", GaussianNB()),
        ("c", DecisionTreeClassifier(max_depth=3, random_state=0)),
    ]
    weights = [3.0, 1.0, 2.0]
    theirs = VotingClassifier(models, voting="soft", weights=weights).fit(x[:150], y[:150])
    members = np.stack([m.predict_proba(x[150:]) for m in theirs.estimators_])
    np.testing.assert_allclose(soft_vote(members, weights), theirs.predict_proba(x[150:]))
    hard = VotingClassifier(models, voting="hard", weights=weights).fit(x[:150], y[:150])
    wins = np.sort(votes(members, weights), axis=1)
    clear = wins[:, -1] - wins[:, -2] > 1e-6  # they break ties by the number of the class
    assert clear.sum() > 100
    assert (majority_vote(members, weights) == hard.predict(x[150:]))[clear].all()


def test_the_lectures_arithmetic() -> None:
    """Independent voters with .90, .88 and .80: .9488, with log-odds weights as without."""
    rates = np.array([0.90, 0.88, 0.80])
    weights = log_odds(1 - rates, classes=2)
    np.testing.assert_allclose(weights, np.log(rates / (1 - rates)))
    assert weights.max() < weights.sum() - weights.max()  # none overrules the two others
    for w in (None, weights):
        total = 0.0
        for right in itertools.product([0, 1], repeat=3):
            members = np.array([[[r, 1 - r]] for r in right], np.float64) * 0.8 + 0.1
            chance = np.prod(np.where(right, rates, 1 - rates))
            total += float(chance) * (majority_vote(members, w)[0] == 0)
        assert round(total, 4) == 0.9488


def test_ties_go_to_the_higher_mean() -> None:
    members = np.array([[[0.6, 0.4]], [[0.1, 0.9]]])
    assert majority_vote(members).tolist() == [1]
    assert votes(members).tolist() == [[0.5, 0.5]]


def test_only_those_that_may_judge_a_row_do() -> None:
    members = np.array([[[0.9, 0.1], [NAN, NAN]], [[0.5, 0.5], [0.2, 0.8]]])
    np.testing.assert_allclose(soft_vote(members, [3, 1]), [[0.8, 0.2], [0.2, 0.8]])
    np.testing.assert_allclose(soft_vote(members, [1, 0]), [[0.9, 0.1], [0.2, 0.8]])
    assert majority_vote(members).tolist() == [0, 1]


@pytest.mark.parametrize("holes", [False, True])
def test_log_odds_weights_count_the_rows_of_each(holes: bool) -> None:
    members, y = made(holes=holes)
    found = log_odds_weights(members, y)
    for p, w in zip(members, found, strict=True):
        own = ~np.isnan(p[:, 0])
        e = ((p[own].argmax(axis=1) != y[own]).sum() + 0.5) / (own.sum() + 1)
        assert w == pytest.approx(max(np.log((1 - e) * 2 / e), 0))
    assert log_odds([0.9], 3) == 0  # worse than chance
    assert log_odds_weights(np.ones((2, 4, 2)) * [0.9, 0.1], np.ones(4, np.int64)).tolist() == [
        1,
        1,
    ]


@given(st.integers(0, 10_000), st.booleans())
def test_invariants_of_votes(seed: int, holes: bool) -> None:
    members, _ = made(m=4, n=12, seed=seed, holes=holes)
    rng = np.random.default_rng(seed)
    weights, order = rng.random(4) + 0.01, rng.permutation(4)
    mean = soft_vote(members, weights)
    np.testing.assert_allclose(mean.sum(axis=1), 1)
    np.testing.assert_allclose(votes(members, weights).sum(axis=1), 1)
    np.testing.assert_allclose(soft_vote(members[order], weights[order]), mean)
    np.testing.assert_allclose(soft_vote(members, 7 * weights), mean)
    twice, half = np.concatenate([members, members]), np.concatenate([weights, weights]) / 2
    np.testing.assert_allclose(soft_vote(twice, half), mean)
    np.testing.assert_array_equal(majority_vote(twice, half), majority_vote(members, weights))


def test_a_stack_is_scikit_learns_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    members, y = made(n=200)
    strength = 0.05
    ours = fit_stack(members, y, strength, around_mean=False)
    logs = np.log(members)
    logs -= logs.mean(axis=2, keepdims=True)
    x = logs.transpose(1, 0, 2).reshape(200, -1)
    theirs = LogisticRegression(C=1 / (strength * 200), tol=1e-8, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(ours(members), theirs.predict_proba(x), atol=2e-4)


def test_a_strong_stack_is_the_geometric_mean() -> None:
    members, y = made(n=300)
    found = fit_stack(members, y, strength=1e6)
    wanted = np.exp(np.log(members).mean(axis=0) + found.bias)
    np.testing.assert_allclose(
        found(members), wanted / wanted.sum(axis=1, keepdims=True), atol=1e-4
    )
    holed, y = made(n=300, holes=True)
    assert np.isfinite(fit_stack(holed, y)(holed)).all()


def test_cross_fitting_keeps_rows_from_what_they_taught() -> None:
    members, y = made(n=101)
    seen: list[int] = []

    def learn(some: Floats, labels: Ints) -> object:
        seen.append(len(labels))
        taught = {tuple(row) for row in some[0]}

        def answer(others: Floats) -> Floats:
            assert not taught & {tuple(row) for row in others[0]}
            return soft_vote(others)

        return answer

    out = cross_fitted(learn, members, y, folds=5, repeats=3)  # type: ignore[arg-type]
    np.testing.assert_allclose(out, np.broadcast_to(soft_vote(members), out.shape))
    assert len(seen) == 15
    assert min(seen) >= 80


def test_a_stack_of_noise_looks_good_on_its_own_rows_only() -> None:
    members, y = made(m=3, n=90)
    noise = np.random.default_rng(1).dirichlet(np.ones(3), (8, 90))
    everyone = np.concatenate([members, noise])
    own = log_loss(y, fit_stack(everyone, y, strength=1e-4)(everyone))
    honest = cross_fitted(lambda m, k: fit_stack(m, k, strength=1e-4), everyone, y)[0]
    assert own < 0.5 * log_loss(y, honest)


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_parts_share_out_classes_and_keep_groups(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(0, 3, 40), rng.integers(0, 8, 40)
    part = parts(labels, count, seed)
    assert np.ptp(np.bincount(part, minlength=count)) <= 1
    for c in range(3):
        assert np.ptp(np.bincount(part[labels == c], minlength=count)) <= 1
    if len(np.unique(groups)) >= count:
        part = parts(labels, count, seed, groups)
        assert set(part) == set(range(count))
        assert all(len(set(part[groups == g])) == 1 for g in set(groups))


def test_folds_of_one_kind_speak_together() -> None:
    a, b = np.full((4, 2), NAN), np.full((4, 2), NAN)
    a[:2], b[2:] = [0.9, 0.1], [0.3, 0.7]
    found = together(np.stack([a, b, np.full((4, 2), 0.5)]), [0, 0, 1])
    assert found[0].tolist() == [[0.9, 0.1]] * 2 + [[0.3, 0.7]] * 2
    assert np.isnan(together(np.stack([a, np.full((4, 2), 0.5)]), [0, 1])[0, 2:]).all()


def test_paired_intervals() -> None:
    rng = np.random.default_rng(0)
    d = rng.exponential(size=(80, 2)) - [0.5, 1.0]
    for k, found in enumerate(paired(d, seed=1)):
        wanted = bca(d[:, k], np.mean, seed=2)
        assert found.value == pytest.approx(wanted.value)
        assert found.low == pytest.approx(wanted.low, abs=0.03)
        assert found.high == pytest.approx(wanted.high, abs=0.03)
    few = np.zeros(100)
    few[:5] = 1
    assert paired(few[:, None], seed=0)[0].low == 0  # five signs prove nothing
    alike = paired(np.repeat(d, 10, axis=0), 0, np.repeat(np.arange(80), 10))[0]
    plain = paired(d, 0)[0]
    assert alike.low == pytest.approx(plain.low)  # ten copies of a row are no more evidence
    assert paired(np.ones((30, 1)), 0, np.zeros(30, np.int64))[0].low == -np.inf


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_temperature_is_the_minimum_that_scipy_finds(true: float, prior: float) -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 800)
    y = (scaled(p, true).cumsum(axis=1) < rng.random((800, 1))).sum(axis=1)
    found = temperature(p, y, prior)

    def loss(log_t: float) -> float:
        q = scaled(p, np.exp(log_t))
        own = -np.log(q[np.arange(800), y]).mean()
        return float((800 * own - prior * np.log(q).mean()) / (800 + prior))

    wanted = np.exp(
        minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x
    )
    assert found == pytest.approx(wanted, rel=1e-4)
    assert found == pytest.approx(true, rel=0.25)


def test_temperature_at_its_ends() -> None:
    sure, y = np.array([[0.9, 0.1]] * 20), np.zeros(20, np.int64)
    assert temperature(sure, y, prior=0) == 0.05
    assert 0.05 < temperature(sure, y) < 1  # one row that says nothing
    assert temperature(sure, 1 - y) == 20
    assert temperature(np.full((4, 2), 0.5), np.array([0, 0, 0, 1])) == 1
    assert temperature(np.array([[1.0, 0.0]] * 9), np.array([0] * 8 + [1])) > 5


@given(st.integers(0, 10_000), st.floats(0.05, 20))
def test_no_temperature_changes_what_is_predicted(seed: int, t: float) -> None:
    p = np.round(np.random.default_rng(seed).dirichlet(np.ones(4), 20), 3)
    out = scaled(p, t)
    best = out[np.arange(20), p.argmax(axis=1)]
    assert (best == out.max(axis=1)).all()
    np.testing.assert_allclose(out.sum(axis=1), 1)


def test_every_member_has_its_temperature() -> None:
    members, y = made(holes=True)
    found = temperatures(members, y)
    own = ~np.isnan(members[1, :, 0])
    assert found[1] == temperature(members[1, own], y[own])
    warm = scaled(members, found)
    np.testing.assert_array_equal(np.isnan(warm), np.isnan(members))
    np.testing.assert_allclose(warm[1, own], scaled(members[1, own], found[1]))


def test_soft_targets() -> None:
    members, y = made(m=1)
    mixed = soft_targets(members[0], y, share=0.25)
    np.testing.assert_allclose(mixed, 0.75 * np.eye(3)[y] + 0.25 * members[0], rtol=1e-5)
    np.testing.assert_allclose(soft_targets(members[0], y, 1, 4), scaled(members[0], 4), rtol=1e-5)
    for share, teacher in ((1.5, members[0]), (0.5, members[0][:5])):
        with pytest.raises(UserError, match="expected"):
            soft_targets(teacher, y, share)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (np.ones((3, 2)), "expected (members, rows, classes), got the shape (3, 2)"),
        (np.array([[[NAN, 0.5]]]), "nan for some classes only"),
        (np.full((2, 3, 2), NAN), "no member judges row 0 (3 such rows)"),
    ],
)
def test_mistakes_are_named(members: Floats, said: str) -> None:
    with pytest.raises(UserError) as error:
        soft_vote(members)
    assert said in str(error.value)


def test_other_mistakes() -> None:
    members, y = made()
    for weights in ([1.0], [-1.0, 1, 1, 1], [NAN, 1, 1, 1]):
        with pytest.raises(UserError, match="one per member"):
            soft_vote(members, weights)
    with pytest.raises(UserError, match=r"\(0, 1\)"):
        log_odds([0.0], 2)
    with pytest.raises(UserError, match="cannot be shared out"):
        parts(y, 3, 0, np.zeros(len(y), np.int64))
    with pytest.raises(ValueError, match="must be > 0"):
        scaled(members[0], 0.0)
