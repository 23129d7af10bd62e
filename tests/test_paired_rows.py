"""Differences on the same rows: against known formulas, and how often they are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from trainwell import metrics, paired_rows
from trainwell.metrics import Metric
from trainwell.paired_rows import row_difference
from trainwell.significance import mcnemar


def said(rng: np.random.Generator, labels: np.ndarray, recalls: tuple[float, ...]) -> np.ndarray:
    """Probabilities (N, C) of a classifier that finds each class with its own chance."""
    classes = len(recalls)
    right = rng.random(len(labels)) < np.asarray(recalls)[labels]
    other = (labels + rng.integers(1, classes, len(labels))) % classes
    return 0.8 * np.eye(classes)[np.where(right, labels, other)] + 0.2 / classes


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"])
def test_the_difference_is_that_of_the_scores(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 500, p=(0.8, 0.15, 0.05))
    a, b = said(rng, labels, (0.9, 0.5, 0.3)), said(rng, labels, (0.8, 0.8, 0.8))
    found = row_difference(labels, a, b, metric)
    scores = [metrics.score(labels, p, 0).to_json()[metric]["value"] for p in (a, b)]
    assert found.interval.value == pytest.approx(scores[1] - scores[0])
    assert found.interval.low <= found.interval.value <= found.interval.high
    turned = row_difference(labels, b, a, metric)
    assert turned.interval.value == pytest.approx(-found.interval.value)
    if metric == "accuracy":
        right = [p.argmax(axis=1) == labels for p in (a, b)]
        assert found.p == mcnemar(right[1], right[0]).mid


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_intervals_cover_and_alike_models_are_seldom_told_apart(metric: Metric) -> None:
    """Of new rows: 95 % of the intervals hold the true difference; 5 % of equal pairs differ."""
    rng = np.random.default_rng(1)
    weights = np.array([0.8, 0.2])
    for recalls, true in (((0.9, 0.6), None), ((0.9, 0.9), 0.0)):
        of_a = (0.9, 0.9)
        gain = np.asarray(recalls) - of_a
        true = float(gain.mean() if metric == "balanced_accuracy" else gain @ weights)
        covered, shown = 0, 0
        for _ in range(100):
            labels = rng.choice(2, 400, p=weights)
            found = row_difference(
                labels, said(rng, labels, of_a), said(rng, labels, recalls), metric
            )
            covered += found.interval.low <= true <= found.interval.high
            shown += found.shown
        assert covered >= 89  # binomial(100, 0.95), 99 %
        assert (shown <= 11) if true == 0 else (shown >= 50)


@pytest.mark.parametrize(("rows", "half"), [(36, 0.096), (800, 0.0048)])
def test_equal_models_leave_open_what_so_few_rows_leave_open(rows: int, half: float) -> None:
    labels = np.arange(rows) % 2
    p = np.eye(2)[labels]
    found = row_difference(labels, p, p)
    assert found.interval.high == -found.interval.low == pytest.approx(half, abs=0.0005)
    assert found.p == 1.0


def test_many_classes_are_resampled_by_parts_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 60, 1500)
    a, b = (said(rng, labels, (chance,) * 60) for chance in (0.7, 0.75))
    whole = row_difference(labels, a, b, "balanced_accuracy")
    monkeypatch.setattr(paired_rows, "CELLS", 50_000)
    assert row_difference(labels, a, b, "balanced_accuracy") == whole
