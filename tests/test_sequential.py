"""Looks before the end: published limits, and how often alike arms are stopped as different."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from helpers import comparing
from helpers.comparing import stopped
from trainwell.sequential import LOOKS, levels, next_step, spent


def z(p):
    return [round(float(reference.norm.isf(x / 2)), 3) for x in p]


def test_limits_equal_published_ones():
    """Lan-DeMets limits for equally spaced looks, two-sided 5 %, as in Reboussin et al. (2000)."""
    assert z(levels((1, 2, 3, 4, 5))) == [4.877, 3.357, 2.680, 2.290, 2.031]
    assert z(levels((1, 2))) == [2.963, 1.969]
    assert z(levels((1, 2, 3, 4, 5), spending="even")) == [2.438, 2.427, 2.410, 2.397, 2.386]


def test_one_look_is_no_sequence():
    assert levels((20,)) == pytest.approx((0.05,), abs=1e-6)
    assert spent(1.0) == pytest.approx(0.05) == spent(1.0, spending="even")


@pytest.mark.parametrize("spending", ["late", "even"])
def test_all_of_alpha_is_spent_and_no_more(spending):
    """A walk of 20 normal steps crosses the limits at its looks in 5 % of cases."""
    walk = np.random.default_rng(0).normal(size=(100_000, 20)).cumsum(axis=1)
    at = np.array(LOOKS)
    scores = np.abs(walk[:, at - 1]) / np.sqrt(at)
    crossed = (scores > reference.norm.isf(np.array(levels(spending=spending)) / 2)).any(axis=1)
    assert crossed.mean() == pytest.approx(0.05, abs=0.0021)  # 3 standard errors


@pytest.mark.parametrize("looks", [(), (5, 5), (10, 5), (0, 5)])
def test_looks_must_rise(looks):
    with pytest.raises(ValueError, match="rising"):
        levels(looks)


def test_seeds_between_looks_are_refused():
    with pytest.raises(ValueError, match="must have one of"):
        next_step(np.ones(6), np.zeros(6), [0] * 6, range(6), 0.2)
    with pytest.raises(ValueError, match="share"):
        spent(0.0)


def different(ends):
    return np.mean([end.startswith(("stop: better", "stop: worse")) for end in ends])


@pytest.mark.parametrize("spending", ["late", "even"])
@pytest.mark.parametrize("folds", [1, 5])
def test_looking_three_times_still_errs_in_5_percent_at_most(folds, spending):
    a, b = comparing.normal(np.random.default_rng(2), 150, folds, 20, fold=0)
    assert different(stopped(a, b, LOOKS, spending)) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("spending", ["late", "even"])
@pytest.mark.parametrize("folds", [1, 5, 10])
def test_looking_three_times_errs_in_5_percent_at_most_of_2000(folds, spending):
    bound = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    a, b = comparing.normal(np.random.default_rng(2), 2000, folds, 20, fold=0)
    assert different(stopped(a, b, LOOKS, spending)) <= bound
    a, b = comparing.collapses(np.random.default_rng(3), 2000, folds, 20)
    assert different(stopped(a, b, LOOKS, spending)) <= bound
    if folds > 1:
        a, b = comparing.normal(np.random.default_rng(4), 2000, folds, 20)
        assert different(stopped(a, b, LOOKS, spending)) <= bound


def test_large_differences_and_none_stop_early():
    a, b = comparing.normal(np.random.default_rng(2), 60, 10, 20, fold=0, difference=0.02)
    assert np.mean([end == "stop: better at 10" for end in stopped(a, b, LOOKS)]) > 0.95
    assert np.mean([end == "stop: worse at 10" for end in stopped(b, a, LOOKS)]) > 0.95
    a, b = comparing.normal(np.random.default_rng(2), 60, 10, 20, fold=0, seed=0.003)
    early = [
        end.startswith("stop: no difference") and "20" not in end for end in stopped(a, b, LOOKS)
    ]
    assert np.mean(early) > 0.9


def test_undecided_at_the_last_look_is_not_shown():
    a, b = comparing.normal(np.random.default_rng(2), 10, 5, 20, fold=0.05)
    assert "stop: not shown at 20" in stopped(a, b, LOOKS)
