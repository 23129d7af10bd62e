"""Metrics against scikit-learn, intervals against scipy and against simulated coverage."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from sklearn import metrics as sklearn_metrics

from trainwell import metrics, stats


def simulated(rng, n, classes=4, shift=2.0, prior=None):
    """Labels and calibrated probabilities (n, C) of a classifier that is often right."""
    labels = rng.choice(classes, n, p=prior)
    scores = rng.normal(size=(n, classes))
    scores[np.arange(n), labels] += shift
    odds = np.exp(shift * scores) * (1.0 if prior is None else np.asarray(prior))
    return labels, odds / odds.sum(axis=1, keepdims=True)


@st.composite
def predictions(draw):
    classes = draw(st.integers(1, 6))
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    odds = rng.exponential(size=(n, classes)) ** draw(st.sampled_from([0.2, 1.0, 8.0]))
    return rng.integers(0, classes, n), odds / odds.sum(axis=1, keepdims=True)


# ---- against scikit-learn and scipy ---------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_sklearn(seed):
    labels, p = simulated(np.random.default_rng(seed), 300, prior=[0.7, 0.2, 0.08, 0.02])
    said = p.argmax(axis=1)
    assert metrics.accuracy(labels, p) == pytest.approx(
        sklearn_metrics.accuracy_score(labels, said)
    )
    assert metrics.balanced_accuracy(labels, p) == pytest.approx(
        sklearn_metrics.recall_score(labels, said, average="macro", labels=np.unique(labels))
    )
    f1 = sklearn_metrics.f1_score(labels, said, average="macro", zero_division=0)
    assert metrics.macro_f1(labels, p) == pytest.approx(f1)
    assert metrics.log_loss(labels, p) == pytest.approx(
        sklearn_metrics.log_loss(labels, p, labels=range(4))
    )
    table = sklearn_metrics.confusion_matrix(labels, said, labels=range(4))
    assert (metrics.confusion(labels, said, 4) == table).all()
    recall = sklearn_metrics.recall_score(labels, said, average=None, zero_division=0)
    precision = sklearn_metrics.precision_score(labels, said, average=None, zero_division=0)
    for row, r, q in zip(metrics.per_class(labels, said, 4), recall, precision, strict=True):
        assert row.recall.value == pytest.approx(r)
        assert row.precision.value == pytest.approx(q)


@pytest.mark.parametrize("n", [1, 2, 17, 360])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_equals_scipy(n, confidence):
    for k in {0, 1, n // 2, n - 1, n}:
        ours = stats.wilson(k, n, confidence)
        theirs = reference.binomtest(k, n).proportion_ci(confidence, method="wilson")
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_mean_interval_equals_scipy():
    values = [0.91, 0.94, 0.90, 0.97]
    ours = stats.mean_interval(values)
    theirs = reference.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_one_value_has_no_interval():
    one = stats.mean_interval([0.5])
    assert (one.low, one.high) == (-math.inf, math.inf)
    assert one.to_json() == {"value": 0.5, "low": None, "high": None}


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_bca_equals_scipy(statistic):
    values = np.random.default_rng(3).exponential(size=60)
    ours = stats.bca(values, statistic, seed=0, resamples=5000)
    theirs = reference.bootstrap(
        (values,), statistic, n_resamples=5000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.1 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.1 * width)


def test_bca_of_rows_with_two_columns():
    rows = np.random.default_rng(0).normal(size=(40, 2)) + np.array([1.0, 0.0])
    found = stats.bca(rows, lambda r: float(r[:, 0].mean() - r[:, 1].mean()), seed=0)
    assert found.low < 1.0 < found.high


def test_calibration_error_by_hand():
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.45, 0.55]])
    labels = np.array([0, 1, 0, 1])  # bin of 0.95: one of two right; bin of 0.55: both right
    assert metrics.calibration_error(labels, p) == pytest.approx((0.9 + 0.9) / 4)
    assert metrics.calibration_error(np.array([0]), np.array([[1.0, 0.0]])) == 0.0


# ---- coverage -------------------------------------------------------------------------------


def test_wilson_covers():
    rng = np.random.default_rng(0)
    for p, n in [(0.9, 100), (0.98, 360), (0.6, 40)]:
        hits = rng.binomial(n, p, size=4000)
        ends = {k: stats.wilson(k, n) for k in np.unique(hits).tolist()}
        share = np.mean([ends[k].low <= p <= ends[k].high for k in hits.tolist()])
        assert 0.93 <= share <= 0.975


def test_scores_cover():
    rng = np.random.default_rng(1)
    prior = np.array([0.4, 0.35, 0.25])
    labels, p = simulated(rng, 300_000, 3, prior=prior)
    names = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
    truth = {
        "accuracy": metrics.accuracy(labels, p),
        "balanced_accuracy": metrics.balanced_accuracy(labels, p),
        "macro_f1": metrics.macro_f1(labels, p),
        "log_loss": metrics.log_loss(labels, p),
    }
    hits = dict.fromkeys([*names, "ece"], 0)
    for seed in range(2000):
        found = metrics.score(*simulated(rng, 400, 3, prior=prior), seed, resamples=400)
        for name in names:
            interval = getattr(found, name)
            hits[name] += interval.low <= truth[name] <= interval.high
        hits["ece"] += found.ece.low == 0.0  # calibrated: the true error is 0
    shares = {name: count / 2000 for name, count in hits.items()}
    assert all(0.93 <= shares[name] <= 0.97 for name in names), shares
    assert shares["ece"] >= 0.95


def test_groups_cover_and_rows_would_not():
    """Forty speakers of unlike difficulty: only intervals over speakers keep their promise."""
    rng = np.random.default_rng(2)
    speaker = np.repeat(np.arange(40), 10)
    labels = np.zeros(400, dtype=int)
    by_groups = by_rows = 0
    for seed in range(2000):
        right = rng.random(400) < rng.beta(4, 1, size=40)[speaker]  # mean 0.8
        p = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        a = metrics.score(labels, p, seed, speaker, resamples=200).accuracy
        b = stats.wilson(int(right.sum()), 400)
        by_groups += a.low <= 0.8 <= a.high
        by_rows += b.low <= 0.8 <= b.high
    assert 0.92 <= by_groups / 2000 <= 0.97
    assert by_rows / 2000 < 0.88


# ---- invariants and edges -------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(predictions(), st.booleans())
def test_scores_are_ordered_and_repeatable(case, grouped):
    labels, p = case
    groups = labels % 2 if grouped else None
    found = metrics.score(labels, p, 7, groups, resamples=50)
    assert found == metrics.score(labels, p, 7, groups, resamples=50)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece"):
        interval = getattr(found, name)
        assert -1e-12 <= interval.low <= interval.value + 1e-12
        assert interval.value - 1e-12 <= interval.high <= 1 + 1e-12
    loss = found.log_loss
    assert 0 <= loss.low <= loss.value <= loss.high <= metrics.WORST_LOG_LOSS + 1e-9
    assert found.accuracy.value == metrics.accuracy(labels, p)
    assert found.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy(labels, p))
    assert found.macro_f1.value == pytest.approx(metrics.macro_f1(labels, p))
    assert found.log_loss.value == pytest.approx(metrics.log_loss(labels, p))
    assert found.ece.value == pytest.approx(metrics.calibration_error(labels, p))


@settings(max_examples=60, deadline=None)
@given(predictions(), st.randoms(use_true_random=False))
def test_order_and_names_of_classes_do_not_matter(case, random):
    labels, p = case
    order = list(range(len(labels)))
    random.shuffle(order)
    names = list(range(p.shape[1]))
    random.shuffle(names)
    renamed = np.argsort(names)[labels[order]]
    for metric in (
        metrics.accuracy,
        metrics.balanced_accuracy,
        metrics.macro_f1,
        metrics.log_loss,
        metrics.calibration_error,
    ):
        assert metric(renamed, p[order][:, names]) == pytest.approx(metric(labels, p))


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilson_is_symmetric(k, n):
    k = min(k, n)
    a, b = stats.wilson(k, n), stats.wilson(n - k, n)
    assert (a.low, a.high) == pytest.approx((1 - b.high, 1 - b.low))
    assert a.low <= a.value <= a.high


def test_more_rows_narrow_the_interval():
    rng = np.random.default_rng(0)
    few = metrics.score(*simulated(rng, 200), 0)
    many = metrics.score(*simulated(rng, 5000), 0)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
        a, b = getattr(few, name), getattr(many, name)
        assert b.high - b.low < a.high - a.low


@pytest.mark.parametrize("groups", [None, np.arange(30) % 6])
def test_all_right_is_not_certain(groups):
    labels = np.arange(30) % 3
    found = metrics.score(labels, np.eye(3)[labels], 0, groups)
    assert found.accuracy.value == found.macro_f1.value == found.balanced_accuracy.value == 1.0
    for interval in (found.accuracy, found.balanced_accuracy, found.macro_f1):
        assert 0.5 < interval.low < 0.95
        assert interval.high == 1.0
    assert found.log_loss.value == 0.0 < found.log_loss.high
    if groups is not None:
        assert found.accuracy.low == stats.wilson(6, 6).low


def test_all_wrong():
    labels = np.arange(30) % 3
    found = metrics.score(labels, np.eye(3)[(labels + 1) % 3], 0)
    assert found.accuracy.value == found.macro_f1.value == found.balanced_accuracy.value == 0.0
    assert found.accuracy.high > 0 and found.macro_f1.high > 0
    assert found.log_loss.value == pytest.approx(metrics.WORST_LOG_LOSS)
    assert found.ece.value == 1.0


@pytest.mark.parametrize("groups", [None, np.array(["only"])])
def test_one_row(groups):
    found = metrics.score(np.array([1]), np.array([[0.3, 0.7]]), 0, groups)
    assert found.n == 1
    assert found.accuracy == stats.wilson(1, 1)
    assert found.log_loss.low < found.log_loss.value < found.log_loss.high


def test_absent_class():
    labels = np.array([0, 0, 1, 1])
    p = np.eye(3)[[0, 0, 1, 0]]
    assert metrics.balanced_accuracy(labels, p) == 0.75
    assert metrics.macro_f1(labels, p) == pytest.approx((0.8 + 2 / 3) / 2)
    absent = metrics.per_class(labels, p.argmax(axis=1), 3)[2]
    assert (absent.n, absent.predicted) == (0, 0)
    assert absent.recall.to_json() == {"value": None, "low": 0.0, "high": 1.0}


def test_json_of_scores():
    found = json.loads(
        json.dumps(metrics.score(*simulated(np.random.default_rng(0), 50), 0).to_json())
    )
    names = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"]
    assert list(found) == [*names, "n"]
    assert all(list(found[name]) == ["value", "low", "high"] for name in names)
    assert found["n"] == 50


@pytest.mark.parametrize(
    ("labels", "p"),
    [
        ([], np.zeros((0, 2))),
        ([0, 1], np.full((3, 2), 0.5)),
        ([2], np.array([[0.5, 0.5]])),
        ([-1], np.array([[0.5, 0.5]])),
        ([0], np.array([[np.nan, 0.5]])),
        ([0], np.array([[3.0, -2.0]])),
    ],
)
def test_nonsense_is_refused(labels, p):
    with pytest.raises(ValueError, match=r"labels|probabilities"):
        metrics.score(np.array(labels, dtype=int), p, 0)


def test_wilson_refuses_impossible_counts():
    with pytest.raises(ValueError, match="successes"):
        stats.wilson(3, 2)


def test_equal_probabilities_are_certain_of_ln_c() -> None:
    """Whatever the labels turn out to be, every row costs ln C: an interval would be nonsense."""
    labels = np.array([0, 1, 2] * 3)
    found = metrics.score(labels, np.full((9, 3), 1 / 3), seed=0).log_loss
    assert found.value == pytest.approx(np.log(3))
    assert found.low == found.value == found.high
