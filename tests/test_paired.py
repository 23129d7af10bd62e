"""Paired differences: formulas of the papers, scipy, and coverage under models of known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from helpers import comparing
from helpers.comparing import coverage, judged
from trainwell.paired import (
    bootstrap_difference,
    least_half_width,
    no_narrower,
    paired_difference,
    pairs_needed,
    seeds_to_settle,
)
from trainwell.stats import Interval, wilson
from trainwell.verdict import verdict


def cells(folds, seeds):
    fold, seed = np.indices((folds, seeds))
    return fold.ravel(), seed.ravel()


def random_cells(folds, seeds, number=0):
    rng = np.random.default_rng(number)
    return rng.normal(0.9, 0.02, folds * seeds), rng.normal(0.88, 0.02, folds * seeds)


# ---- formulas -------------------------------------------------------------------------------


def test_one_seed_is_nadeau_and_bengio():
    a, b = random_cells(10, 1)
    found = paired_difference(a, b, *cells(10, 1), test_share=0.1)
    d = a - b
    half = reference.t.ppf(0.975, 9) * math.sqrt((1 / 10 + 0.1 / 0.9) * d.var(ddof=1))
    assert found.interval.value == pytest.approx(d.mean())
    assert found.interval.low == pytest.approx(d.mean() - half)
    assert found.interval.high == pytest.approx(d.mean() + half)
    assert (found.folds, found.seeds, found.within) == (10, 1, None)


def test_without_held_out_rows_it_is_students_paired_interval():
    a, b = random_cells(8, 1)
    found = paired_difference(a, b, *cells(8, 1), test_share=1e-12)
    expected = reference.ttest_rel(a, b).confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_seeds_of_a_fold_are_averaged_first():
    a, b = random_cells(5, 3)
    many = paired_difference(a, b, *cells(5, 3), test_share=0.2)
    x, y = a.reshape(5, 3), b.reshape(5, 3)
    one = paired_difference(x.mean(1), y.mean(1), range(5), [0] * 5, test_share=0.2)
    assert vars(many.interval) == pytest.approx(vars(one.interval))
    assert many.within == pytest.approx((x - y).var(axis=1, ddof=1).mean())
    assert many.between == pytest.approx((x - y).mean(axis=1).var(ddof=1))


def test_one_fold_is_students_interval_over_seeds():
    a, b = random_cells(1, 6)
    found = paired_difference(a, b, [0] * 6, range(6), test_share=0.2)
    expected = reference.ttest_rel(a, b).confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    assert "these held-out rows only" in verdict(found).words


def test_folds_flip_together_where_there_are_enough():
    a, b = random_cells(6, 3)
    found = paired_difference(a, b, *cells(6, 3), test_share=1 / 6)
    means = (a - b).reshape(6, 3).mean(axis=1)
    expected = reference.permutation_test(
        (means,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.flipped, found.smallest_p) == ("folds", 2 / 64)
    few = paired_difference(a[:12], b[:12], *cells(4, 3), test_share=0.25)
    assert (few.flipped, few.smallest_p) == ("trainings", 2 / 2**12)


def test_cells_may_come_in_any_order_and_with_any_names():
    a, b = random_cells(4, 3)
    fold, seed = cells(4, 3)
    found = paired_difference(a, b, fold, seed, 0.25)
    mixed = np.random.default_rng(0).permutation(12)
    names = np.array(["x", "y", "z", "w"])[fold]
    again = paired_difference(a[mixed], b[mixed], names[mixed], seed[mixed] + 70, 0.25)
    assert vars(again.interval) == pytest.approx(vars(found.interval))
    assert again.p == found.p


@given(st.integers(1, 7), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_swapping_the_arms_swaps_the_signs(folds, seeds, number):
    rng = np.random.default_rng(number)
    a, b = rng.integers(80, 100, (2, folds * seeds)) / 100
    one = paired_difference(a, b, *cells(folds, seeds), 0.2, rows=100)
    two = paired_difference(b, a, *cells(folds, seeds), 0.2, rows=100)
    assert (one.interval.low, one.interval.high) == (-two.interval.high, -two.interval.low)
    assert one.p == two.p or folds * seeds > 12
    assert seeds_to_settle(one) == seeds_to_settle(two) or folds * seeds > 12


# ---- few rows, ties, one cell ---------------------------------------------------------------


def test_ties_leave_open_what_so_few_rows_leave_open():
    a = [0.9, 0.8, 1.0]
    found = paired_difference(a, a, *cells(3, 1), test_share=1 / 3, rows=178)
    assert found.interval.high == pytest.approx(3.8415 / (178 + 3.8415), abs=1e-4)
    assert verdict(found).verdict == "not shown"
    found = paired_difference(a, a, *cells(3, 1), test_share=1 / 3, rows=1797)
    assert verdict(found).verdict == "no difference that matters"


def test_equal_differences_leave_open_what_the_rows_that_changed_leave_open():
    """Two folds of 60 rows, both 63 points worse: the rows alone leave ± 9 points open."""
    found = paired_difference([0.36, 0.34], [0.98, 0.98], *cells(2, 1), test_share=1 / 2, rows=120)
    d = 0.63
    half = found.interval.high - found.interval.value
    assert half >= 1.96 * math.sqrt(d * (1 - d) / 120) > 0.08
    tied = paired_difference([0.4, 0.4], [0.9, 0.9], *cells(2, 1), test_share=1 / 2, rows=120)
    assert tied.interval.high - tied.interval.value == pytest.approx(0.0895, abs=1e-3)


@pytest.mark.parametrize("lost", [0.05, 0.3, 0.6])
def test_rows_that_change_sides_are_covered_by_single_folds_that_tie(lost):
    """Each of 120 rows is lost with some chance, none is won: seeds and folds hide how many."""
    held = 0.0
    for k in range(121):
        tied = [1 - k / 120] * 2
        found = paired_difference(tied, [1.0] * 2, *cells(2, 1), 1 / 2, rows=120)
        inside = found.interval.low <= -lost <= found.interval.high
        held += inside * reference.binom.pmf(k, 120, lost)
    assert held >= 0.93


def test_equal_differences_of_unknown_rows_say_nothing():
    found = paired_difference([0.9] * 5, [0.8] * 5, *cells(5, 1), test_share=0.2)
    assert found.interval.to_json() == {"value": pytest.approx(0.1), "low": None, "high": None}
    assert (verdict(found).verdict, verdict(found).seeds_to_settle) == ("not shown", 1)
    assert "equal or single differences" in verdict(found).words


def test_one_training_each_says_nothing_of_others():
    found = paired_difference([0.9], [0.5], [0], [0], 0.2, rows=100)
    assert (found.interval.low, found.interval.high, found.p) == (-math.inf, math.inf, 1.0)
    assert (verdict(found).verdict, verdict(found).seeds_to_settle) == ("not shown", 5)
    assert "at least 5 more seeds" in verdict(found).words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": [0.9, np.nan]}, "worst score"),
        ({"a": [0.9]}, "all be"),
        ({"folds": [0, 0], "seeds": [1, 1]}, "only once"),
        ({"test_share": 1.0}, "between 0 and 1"),
        ({"rows": 0}, "1 or more"),
    ],
)
def test_mistakes_are_named(change, words):
    usual = {"a": [0.9, 0.8], "b": [0.7, 0.7], "folds": [0, 1], "seeds": [0, 0], "test_share": 0.5}
    with pytest.raises(ValueError, match=words):
        paired_difference(**{**usual, **change})


# ---- coverage -------------------------------------------------------------------------------

MODELS = {
    "seeds alone": {"fold": 0.0},
    "folds and seeds": {},
    "folds above all": {"seed": 0.002},
    "seed numbers shared by all folds": {"shared": 0.004},
    "a true difference": {"difference": 0.013},
}


def covered(comparisons, shape, model):
    a, b = comparing.normal(np.random.default_rng(5), comparisons, *shape, **model)
    return coverage(judged(a, b), model.get("difference", 0.0))


@pytest.mark.parametrize("shape", comparing.SHAPES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_intervals_cover(shape, model):
    assert covered(400, shape, model) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [*comparing.SHAPES, (3, 5), (5, 10)])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_intervals_cover_in_many_repetitions(shape, model):
    found = covered(2000, shape, model)
    assert found >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 2000)
    if model == MODELS["folds above all"]:  # as dependent as the correction supposes
        assert found <= 0.965


def test_students_interval_over_all_cells_would_cover_too_little():
    """The simulation can tell: without fold means and correction, 71 % instead of 95 %."""
    a, b = comparing.normal(np.random.default_rng(5), 1000, 5, 3)
    d = (a - b).reshape(1000, -1)
    half = reference.t.ppf(0.975, 14) * d.std(axis=1, ddof=1) / math.sqrt(15)
    assert np.mean(np.abs(d.mean(axis=1)) <= half) < 0.75
    assert coverage(judged(a, b)) > 0.94


@pytest.mark.parametrize("shape", comparing.SHAPES)
@pytest.mark.parametrize(("rows", "sure"), [(60, 0.5), (60, 0.05), (178, 0.1)])
def test_intervals_of_scores_that_count_few_rows_cover(shape, rows, sure):
    a, b = comparing.rows(np.random.default_rng(6), 300, *shape, rows=rows, sure=sure)
    assert np.mean(a == b) > 0.01  # ties do occur
    assert coverage(judged(a, b, rows)) >= 0.93


# ---- bootstrap ------------------------------------------------------------------------------


def test_bootstrap_equals_scipy():
    a, b = random_cells(25, 2)
    found = bootstrap_difference(a, b, *cells(25, 2), resamples=20000)
    means = (a - b).reshape(25, 2).mean(axis=1)
    expected = reference.bootstrap(
        (means,), np.mean, n_resamples=20000, method="BCa", random_state=np.random.default_rng(0)
    ).confidence_interval
    assert found.value == pytest.approx(means.mean())
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.02 * width)
    assert found.high == pytest.approx(expected.high, abs=0.02 * width)


@pytest.mark.parametrize(("folds", "low", "high"), [(5, 0.78, 0.90), (40, 0.92, 0.98)])
def test_bootstrap_covers_with_many_independent_splits_only(folds, low, high):
    a, b = comparing.normal(np.random.default_rng(3), 300, folds, 1, rho=0.0)
    found = [
        bootstrap_difference(x.ravel(), y.ravel(), *cells(folds, 1), resamples=800, seed=i)
        for i, (x, y) in enumerate(zip(a, b, strict=True))
    ]
    assert low <= np.mean([i.low <= 0 <= i.high for i in found]) <= high


# ---- how many -------------------------------------------------------------------------------


def test_pairs_needed_equals_published_sample_sizes():
    """Paired t test, two-sided 5 %, power 80 %: effect sizes 0.2, 0.5, 0.8, 1 (G*Power)."""
    assert [pairs_needed(d, 1.0) for d in (0.2, 0.5, 0.8, 1.0)] == [199, 34, 15, 10]
    assert pairs_needed(100.0, 1.0) == 2
    assert pairs_needed(0.5, 1.0, power=0.9) == 44
    with pytest.raises(ValueError, match="above 0"):
        pairs_needed(0.0, 1.0)
    with pytest.raises(ValueError, match="would be needed"):
        pairs_needed(0.001, 1.0)


def test_seeds_to_settle_settle():
    """Where so many more seeds are trained as were asked for, most comparisons are decided."""
    a, b = comparing.normal(
        np.random.default_rng(8), 150, 10, 200, fold=0.001, seed=0.02, difference=0.008
    )
    decided = []
    for x, y in zip(a, b, strict=True):
        now = verdict(judged(x[None, :, :4], y[None, :, :4])[0])
        if now.verdict != "not shown" or not now.seeds_to_settle or now.seeds_to_settle > 190:
            continue
        seeds = 4 + now.seeds_to_settle
        then = verdict(judged(x[None, :, :seeds], y[None, :, :seeds])[0])
        decided.append(then.verdict != "not shown")
    assert len(decided) > 50
    assert np.mean(decided) > 0.5


def test_seeds_cannot_mend_what_folds_or_rows_limit():
    rng = np.random.default_rng(0)
    wide = np.repeat(rng.normal(0, 0.05, 5), 4) + rng.normal(0, 1e-4, 20)
    found = paired_difference(0.8 + wide, np.full(20, 0.8), *cells(5, 4), 0.2, rows=500)
    assert verdict(found).seeds_to_settle is None
    assert "rows and folds limit" in verdict(found).words
    tied = paired_difference([0.9] * 9, [0.9] * 9, *cells(3, 3), 1 / 3, rows=90)
    assert verdict(tied).seeds_to_settle is None


def test_too_few_trainings_ask_for_enough_that_flips_can_decide():
    a, b = [0.95, 0.96, 0.95], [0.85, 0.86, 0.85]
    found = verdict(paired_difference(a, b, *cells(3, 1), 1 / 3, rows=600))
    assert found.difference.low > 0
    assert found.p == 0.25
    assert (found.verdict, found.seeds_to_settle) == ("not shown", 1)
    assert "cannot give a p below 0.25" in found.words
    assert "at least 1 more seed per fold" in found.words


def test_what_is_settled_needs_no_more_seeds():
    a, b = np.full(12, 0.9), np.full(12, 0.8) + np.arange(12) * 1e-4
    assert seeds_to_settle(paired_difference(a, b, *cells(4, 3), 0.25)) == 0
    assert seeds_to_settle(paired_difference(b, b, *cells(4, 3), 0.25, rows=2000)) == 0


def test_rows_on_which_nothing_differs_leave_something_open():
    """A bootstrap of N equal differences has no width; Wilson's interval of 0 in N has some."""
    same = no_narrower(Interval(0.0, 0.0, 0.0), 360)
    assert same.high == -same.low == pytest.approx(wilson(0, 360).high)
    assert least_half_width(0.0, 360) == pytest.approx(wilson(0, 360).high)
    all_changed = no_narrower(Interval(1.0, 1.0, 1.0), 20)
    assert all_changed.high == 1.0
    assert all_changed.low == pytest.approx(wilson(20, 20).low)
    wide = Interval(0.1, -0.4, 0.5)
    assert no_narrower(wide, 1000) == wide


@given(st.floats(-1, 1), st.integers(1, 10_000))
@settings(max_examples=50)
def test_the_least_width_is_the_one_of_paired_trainings(d, rows):
    """One rule for recipes (cells that tie) and for models (rows that tie)."""
    found = paired_difference([d] * 4, [0.0] * 4, *cells(2, 2), 0.5, rows=rows)
    half = least_half_width(found.interval.value, rows)
    assert found.interval.high - found.interval.value == pytest.approx(half)
