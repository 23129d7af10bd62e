"""Statistics of curves, against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from trainwell.doctor import series

NOISY = 3 - 0.1 * np.arange(20.0) + np.random.default_rng(0).normal(0, 0.2, 20)


def test_slope_and_its_t_are_those_of_linear_regression() -> None:
    from scipy.stats import linregress

    expected = linregress(np.arange(20), NOISY)
    value, t = series.slope(NOISY)
    assert value == pytest.approx(expected.slope)
    assert t == pytest.approx(expected.slope / expected.stderr)


def test_theil_sen_is_that_of_scipy() -> None:
    from scipy.stats import theilslopes

    assert series.theil_sen(NOISY) == pytest.approx(theilslopes(NOISY).slope)


def test_t_of_a_slope_is_within_two_for_19_of_20_noises() -> None:
    rng = np.random.default_rng(1)
    ts = np.array([series.slope(rng.normal(size=40))[1] for _ in range(400)])
    assert 0.02 < (abs(ts) > 2.02).mean() < 0.08


def test_curvature_tells_a_bend_from_a_line() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.05, 30)
    assert abs(series.curvature_t(np.linspace(2, 1, 30) + noise)) < 3
    assert series.curvature_t(2 * np.exp(-np.arange(30) / 5) + noise) > 5


def test_a_schedule_does_not_bend_the_early_share() -> None:
    """Half a cosine of rates over a loss that falls in proportion to the rate is a line."""
    rates = 1 + np.cos(np.linspace(0, np.pi, 60))
    loss = 3 - np.cumsum(rates) / rates.sum()
    assert series.early_share(loss) > 0.4
    assert series.early_share(loss, rates) == pytest.approx(0.25, abs=0.01)
    assert series.early_share(np.exp(-np.arange(40.0))) > 0.95
    assert math.isnan(series.early_share(np.arange(9.0)))


def test_paired_differences_count_a_diverged_run_as_bad_but_not_as_infinite() -> None:
    better, worse = np.array([0.1, 0.1, 0.1]), np.array([0.2, 0.3, math.inf])
    found = series.paired(better, worse)
    assert found is not None
    assert found.value == pytest.approx((0.1 + 0.2 + 0.5) / 3)
    assert series.paired(better[:1], worse[:1]) is None
    assert series.paired(np.full(2, math.inf), np.full(2, math.inf)) is None


def test_tails_and_lengths_know_where_a_member_ended() -> None:
    curves = np.array([[4, 3, 2, 1], [4, 3, math.nan, math.nan], [math.nan] * 4])
    assert series.lengths(curves).tolist() == [4, 2, 0]
    assert series.tails(curves, 0.5).tolist()[:2] == [1.5, 3.0]
    assert math.isnan(series.tails(curves, 0.5)[2])


CURVES = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12),
    elements=st.one_of(st.floats(0, 1e6), st.just(math.nan), st.just(math.inf), st.just(1.0)),
)


@given(CURVES)
def test_no_curve_breaks_a_statistic(curves: np.ndarray) -> None:
    series.lengths(curves)
    assert series.tails(curves, 0.2).shape == (len(curves),)
    series.over_members(curves.ravel())
    for curve in curves:
        finite = np.where(np.isinf(curve), np.nan, curve)
        for statistic in (series.slope, series.theil_sen, series.curvature_t, series.early_share):
            statistic(finite)
        assert 0 <= series.rises(curve) <= 1 and 0 <= series.turns(curve) <= 1
        series.residual_spread(curve)
        assert series.running_minimum(curve).shape == curve.shape
        assert series.smoothed(finite).shape == curve.shape
