"""Sign flips, McNemar and Holm against scipy, formulas by hand, and simulated alike arms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from trainwell.significance import (
    EXACT,
    FLIPS,
    holm,
    mcnemar,
    sign_flip,
    smallest_sign_flip,
)


@pytest.mark.parametrize("n", [2, 3, 8, 12])
def test_exact_flips_equal_scipy(n):
    d = np.random.default_rng(n).normal(0.5, 1, n)
    expected = reference.permutation_test(
        (d,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert sign_flip(d) == pytest.approx(expected.pvalue)


def test_random_flips_are_near_the_exact_p():
    d = np.random.default_rng(1).normal(0.4, 1, 15)
    signs = 1 - 2 * ((np.arange(2**15)[:, None] >> np.arange(15)) & 1)
    exact = np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-12)
    assert sign_flip(d) == pytest.approx(exact, abs=4 * np.sqrt(exact / FLIPS))
    assert sign_flip(d) == sign_flip(d)
    assert sign_flip(d, seed=1) != sign_flip(d)


def test_flips_of_ties_and_of_nothing():
    assert sign_flip([0.0, 0.0, 0.0]) == 1.0 == smallest_sign_flip([0.0])
    assert sign_flip([0.1] * 6) == sign_flip([0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]) == 2 / 64
    assert sign_flip([0.1 + 0.2, -0.3]) == 1.0  # a tie but for rounding
    assert sign_flip([5e-324] * 6) == 2 / 64
    assert sign_flip(np.ones(40)) == 1 / (FLIPS + 1) == smallest_sign_flip(np.ones(40))
    with pytest.raises(ValueError, match="finite"):
        sign_flip([])
    with pytest.raises(ValueError, match="finite"):
        sign_flip([0.1, np.nan])


@given(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0]), min_size=1, max_size=EXACT))
@settings(max_examples=60, deadline=None)
def test_flips_do_not_care_for_order_scale_or_sign(d):
    p = sign_flip(d)
    assert p == sign_flip(d[::-1]) == sign_flip([-x for x in d]) == sign_flip([7 * x for x in d])
    assert smallest_sign_flip(d) <= p <= 1


@pytest.mark.parametrize("tails", [2, 30])  # degrees of freedom: 2 has no variance
@pytest.mark.parametrize("n", [8, 16])
def test_flips_of_alike_arms_are_below_the_level_as_often_as_they_may(n, tails):
    d = np.random.default_rng(n).standard_t(tails, (1500, n))
    below = np.mean([sign_flip(row, seed) <= 0.05 for seed, row in enumerate(d)])
    assert below == pytest.approx(0.05, abs=0.017)  # 3 standard errors


@pytest.mark.parametrize(("b", "c"), [(8, 1), (1, 8), (5, 5), (0, 6), (30, 14), (400, 330), (1, 0)])
def test_mcnemar_equals_the_formulas(b, c):
    a = np.repeat([True, False, True, False], [b, c, 50, 20])
    other = np.repeat([False, True, True, False], [b, c, 50, 20])
    found, n = mcnemar(a, other), b + c
    assert (found.only_a, found.only_b) == (b, c)
    exact = reference.binomtest(b, n).pvalue
    assert found.exact == pytest.approx(exact)
    point = reference.binom.pmf(min(b, c), n, 0.5)
    by_hand = 2 * reference.binom.cdf(min(b, c), n, 0.5) - point
    assert found.mid == pytest.approx(by_hand)
    chi = max(0, abs(b - c) - 1) ** 2 / n
    assert found.continuity == pytest.approx(reference.chi2.sf(chi, 1))


def test_mcnemar_of_fagerlands_example():
    """Airway responsiveness, 1 against 7 changes: exact 0.0703, mid 0.0391 (Fagerland 2013)."""
    found = mcnemar([True] + [False] * 7, [False] + [True] * 7)
    assert round(found.exact, 4) == 0.0703
    assert round(found.mid, 4) == 0.0391


def test_mcnemar_without_disagreement_and_with_wrong_shapes():
    found = mcnemar([True, False], [True, False])
    assert (found.exact, found.mid, found.continuity) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        mcnemar([True, False], [True, False, True])


def test_mid_p_of_alike_classifiers_stays_below_the_level():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 2000, 200)) < 0.8
    found = [mcnemar(x, y) for x, y in zip(a, b, strict=True)]
    assert np.mean([f.mid <= 0.05 for f in found]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([f.exact <= 0.05 for f in found]) <= 0.05


def test_holm_by_hand():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1; then never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.5, 1.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_what_the_step_down_rule_rejects(p):
    adjusted = holm(p)
    rejected = np.zeros(len(p), dtype=bool)
    for step, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] * (len(p) - step) > 0.05:
            break
        rejected[i] = True
    assert ((adjusted <= 0.05) == rejected).all()
    assert (adjusted >= np.asarray(p)).all()
