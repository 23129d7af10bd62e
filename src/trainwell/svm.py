"""Support vector machines as yardsticks where classes are uneven.

Slide: "Class imbalance": "For SVM, the classifier strongly favors the class with more samples
(though adjustable)". Both sides of the remark stand in the report: plain, and with classes
weighted by their size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import IntArray
from trainwell.seeding import numpy_stream

ROWS = 3_000  # training rows, at most: the time of an SVM grows with their square
LEAST = 50  # rows of a class that are kept, where it has as many
CELLS = 40_000_000  # scored rows × support vectors at once

Floats = npt.NDArray[np.float64]


def svm_rows(rows: IntArray, labels: IntArray, size: int, seed: int) -> IntArray:
    """At most about `size` of the rows (n,), sorted: classes in proportion, of none under LEAST.

    In proportion alone a class of ten rows among thousands would be gone.
    """
    if len(rows) <= size:
        return rows
    order = numpy_stream(seed, "svm").permutation(rows)
    own = labels[order]
    counts = np.bincount(own)
    wanted = np.minimum(counts, np.maximum(np.ceil(size * counts / len(rows)), LEAST)).astype(int)
    by_class = order[np.argsort(own, kind="stable")]
    ends = np.cumsum(counts)
    kept = [by_class[end - n : end - n + w] for end, n, w in zip(ends, counts, wanted, strict=True)]
    return np.sort(np.concatenate(kept))


def svm_votes(
    features: npt.NDArray[np.float32],
    labels: IntArray,
    score: npt.NDArray[np.float32],
    classes: int,
    weighted: bool,
) -> Floats:
    """Decisions (n, C) as ones and zeros of an SVM with RBF kernel, scikit-learn's defaults.

    C = 1, γ = 1 / (D var(x)); pairs of classes vote. weighted: C of class c is N / (C n_c).
    features (m, D), labels (m,) train; score (n, D) are decided. An SVM gives no probabilities.
    """
    from sklearn.svm import SVC

    model = SVC(class_weight="balanced" if weighted else None)
    model.fit(features, labels)
    step = max(1, CELLS // max(1, len(model.support_)))
    said = np.concatenate(
        [model.predict(score[i : i + step]) for i in range(0, len(score), step)]
    ).astype(np.int64)
    return np.eye(classes)[said]
