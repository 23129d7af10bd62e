"""The network against each baseline, on the very same rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwell import metrics
from trainwell.baselines import Baseline, against_baselines, telling_columns
from trainwell.data.dataset import Column, Dataset, TableSchema
from trainwell.metrics import contributions
from trainwell.terminal import better_baseline


def data_of(labels: np.ndarray, groups: np.ndarray | None = None) -> Dataset:
    schema = TableSchema((Column("x", "number"),), "y")
    names = [str(k) for k in range(len(labels))]
    group_names = () if groups is None else tuple(map(str, range(groups.max() + 1)))
    inputs = np.zeros((len(labels), 1), np.float32)
    return Dataset("d", schema, inputs, labels, ("a", "b"), names, groups, group_names)


def says(predicted: np.ndarray) -> np.ndarray:
    return np.eye(2)[predicted]


def compared(network, other, labels, metric="accuracy", groups=None):
    found = [Baseline("linear", "", says(other))]
    rows = np.arange(len(labels))
    return against_baselines(data_of(labels, groups), rows, says(network), found, metric, 0)[0]


def test_rows_that_both_get_wrong_do_not_hide_a_difference() -> None:
    """Both are wrong on the same 300 of 1000 rows; 40 more are what one of them gets right."""
    labels = np.arange(1000) % 2
    network, other = labels.copy(), labels.copy()
    network[:300] = 1 - labels[:300]
    other[:340] = 1 - labels[:340]
    own, theirs = (metrics.score(labels, says(p), 0).accuracy for p in (network, other))
    assert own.low < theirs.high  # by overlapping intervals nothing would be shown
    found = compared(network, other, labels)
    assert found["verdict"] == "better"
    assert found["difference"]["value"] == pytest.approx(0.04)
    assert 0.02 < found["difference"]["low"] < 0.04 < found["difference"]["high"] < 0.06
    assert (found["only_network_right"], found["only_baseline_right"]) == (40, 0)
    assert compared(other, network, labels)["verdict"] == "worse"


def test_equal_classifiers_and_few_rows() -> None:
    labels = np.arange(400) % 2
    half = np.where(np.arange(400) < 40, 1 - labels, labels)
    other = np.where((np.arange(400) >= 20) & (np.arange(400) < 62), 1 - labels, labels)
    assert compared(half, other, labels)["verdict"] == "not shown"
    # Two that agree on 400 rows may differ by a point on others; on 4000 they do not.
    assert compared(half, half, labels)["verdict"] == "not shown"
    many = [np.tile(rows, 10) for rows in (half, half, labels)]
    assert compared(*many)["verdict"] == "no difference that matters"
    assert compared(*many, groups=np.arange(4000) // 400)["verdict"] == "not shown"


def test_rows_of_one_group_are_no_independent_evidence() -> None:
    labels, groups = np.arange(600) % 2, np.arange(600) // 100
    network, other = labels.copy(), labels.copy()
    other[:60] = 1 - labels[:60]  # of one group alone
    assert compared(network, other, labels)["verdict"] == "better"
    assert compared(network, other, labels, groups=groups)["verdict"] == "not shown"


@given(st.integers(0, 10_000), st.sampled_from(["accuracy", "balanced_accuracy", "macro_f1"]))
def test_contributions_average_to_the_score(seed: int, metric) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 4, 30), rng.integers(0, 4, 30)
    score = getattr(metrics, metric)(labels, np.eye(4)[predicted])
    assert contributions(labels, predicted, 4, metric).mean() == pytest.approx(score)


def test_contributions_have_the_spread_that_a_bootstrap_finds() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(3, 3000, p=[0.9, 0.07, 0.03])
    predicted = np.where(rng.random(3000) < 0.8, labels, rng.integers(0, 3, 3000))
    for metric in ("balanced_accuracy", "macro_f1"):
        ours = contributions(labels, predicted, 3, metric).std() / 3000**0.5
        draws = []
        for _ in range(300):
            some = rng.integers(0, 3000, 3000)
            draws.append(getattr(metrics, metric)(labels[some], np.eye(3)[predicted[some]]))
        assert ours == pytest.approx(np.std(draws), rel=0.2)


def test_the_terminal_says_which_baseline_is_better() -> None:
    interval = {"value": -0.446, "low": -0.48, "high": -0.41}
    against = {"metric": "accuracy", "difference": interval, "verdict": "worse"}
    worse = {"name": "linear", "test": {"n": 9}, "against": against}
    shown = worse | {"against": against | {"verdict": "not shown"}}
    (empty, line) = better_baseline({"test": {"n": 9}, "baselines": [shown, worse]})
    assert empty == ""
    assert line.startswith("linear is better by 44.6 points (41.0 to 48.0): use it, or ")
    late = better_baseline({"test": {"n": 9}, "baselines": [worse], "out_of_time": True})
    assert "more time" in late[1]
    assert better_baseline({"test": {"n": 9}, "baselines": [shown]}) == []


def test_trees_of_wide_tables_see_the_columns_that_tell_classes_apart() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    inputs = rng.normal(size=(200, 1200)).astype(np.float32)
    telling = [3, 700, 1199]
    inputs[:, telling] += 2 * labels[:, None]
    inputs[::7, 5] = np.nan
    inputs[:, 6] = 1.0
    chosen = telling_columns(inputs, labels, 50)
    assert len(chosen) == 50 and set(telling) <= set(chosen.tolist())
    assert telling_columns(inputs[:, :9], labels, 50).tolist() == list(range(9))
