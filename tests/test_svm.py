"""Support vector machines as yardsticks: rows that are kept, and the lecture's remark."""

from __future__ import annotations

import numpy as np

from trainwell import metrics
from trainwell.svm import LEAST, svm_rows, svm_votes


def test_rare_classes_are_kept_whole() -> None:
    labels = np.repeat([0, 1, 2, 3], [20_000, 4_000, 60, 8])
    rows = svm_rows(np.arange(len(labels)), labels, 3_000, seed=0)
    counts = np.bincount(labels[rows])
    assert counts[3] == 8 and counts[2] == LEAST
    assert abs(counts[0] / counts[1] - 5) < 0.1
    assert len(rows) < 3_100 and (np.diff(rows) > 0).all()
    few = np.arange(100)
    assert svm_rows(few, labels, 3_000, seed=0) is few


def test_it_favours_the_larger_class_and_is_adjustable() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [500, 25])
    x = (rng.normal(size=(len(y), 4)) + 0.9 * y[:, None]).astype(np.float32)
    truth = np.repeat([0, 1], 300)
    new = (rng.normal(size=(600, 4)) + 0.9 * truth[:, None]).astype(np.float32)
    plain, weighted = (svm_votes(x, y, new, 2, w) for w in (False, True))
    assert plain.shape == (600, 2) and set(np.unique(plain)) <= {0.0, 1.0}
    assert (plain.sum(axis=1) == 1).all()
    recall = [
        metrics.per_class(truth, p.argmax(axis=1), 2)[1].recall.value for p in (plain, weighted)
    ]
    assert recall[0] < 0.2 and recall[1] > recall[0] + 0.3
