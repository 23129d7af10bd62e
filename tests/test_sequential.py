"""Looks before the end: published limits, and how often alike arms are stopped as different."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from helpers import comparing
from helpers.comparing import stopped
from trainwell.comparing import looks_up_to
from trainwell.sequential import LOOKS, last_level, levels, next_step, spent


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


@pytest.mark.parametrize("seeds", [*range(1, 41), 64, 100, 333, 777, 999, 1000])
def test_as_many_seeds_as_may_be_asked_for_have_levels(seeds):
    """The first looks of many have next to nothing to spend: they say "go on" to whatever."""
    looks = looks_up_to(seeds)
    found = levels(looks)
    assert all(0 < p <= 0.05 + 1e-9 for p in found)
    assert found[-1] > 0.03
    for difference in (0.0, 0.5):
        a = 0.4 + difference + 0.001 * np.arange(3)
        step = next_step(a, np.full(3, 0.4), range(3), [0] * 3, 0.3, 500, looks)
        assert step == ("stop: not shown" if seeds == 1 else "go on")


def test_what_is_spent_keeps_its_digits():
    """Far out 1 + erf(x) is 0; the reference counts on there."""
    for share in (1 / 2, 1 / 14, 1 / 64):
        z0 = reference.norm.ppf(0.05 / 4)
        assert spent(share) == pytest.approx(4 * reference.norm.cdf(z0 / np.sqrt(share)), rel=1e-9)


@pytest.mark.parametrize("spending", ["late", "even"])
@pytest.mark.parametrize("seeds", [3, 5, 12, 20])
def test_an_end_that_nobody_planned_spends_what_is_left(seeds, spending):
    """Looks at 5, 10, 20 were planned; time was over after `seeds`: 5 % in all, not more."""
    walk = np.random.default_rng(1).normal(size=(100_000, 20)).cumsum(axis=1)
    planned = dict(zip(LOOKS, levels(spending=spending), strict=True))
    made = {look: p for look, p in planned.items() if look < seeds}
    made[seeds] = last_level(LOOKS, seeds, spending=spending)
    crossed = np.zeros(len(walk), dtype=bool)
    for look, p in made.items():
        crossed |= np.abs(walk[:, look - 1]) / np.sqrt(look) > reference.norm.isf(p / 2)
    assert crossed.mean() == pytest.approx(0.05, abs=0.0021)
    with pytest.raises(ValueError, match=r"1\.\.20"):
        last_level(LOOKS, 21)


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
