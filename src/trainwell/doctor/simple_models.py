"""Quick classifiers without networks: what the data allow, and rows that contradict the rest.

Shapes: n rows, d features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import Dataset, IntArray
from trainwell.data.imbalance import UNEVEN
from trainwell.data.split import Split, sample_rows
from trainwell.doctor.views import Floats32, affordable, view
from trainwell.seeding import numpy_stream, stream_seed

NEIGHBOURS = 10
PARTS = 5
BLOCK = 1024
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Guess:
    """Out-of-sample probabilities (n, C) of one simple model, and how often it is right."""

    name: str
    chances: Floats
    accuracy: float

    @property
    def classes(self) -> IntArray:
        """The likeliest class of each row (n,)."""
        found: IntArray = self.chances.argmax(axis=1)
        return found


def nearest(queries: Floats32, base: Floats32, k: int, same: bool = False) -> tuple[Any, Any]:
    """Squared distances and places (q, k) of the k nearest base rows, nearest first.

    same: queries are the base rows, and a row is no neighbour of itself.
    """
    import torch

    base_t, squares = torch.from_numpy(base), torch.from_numpy((base * base).sum(1))
    distances, places = [], []
    for start in range(0, len(queries), BLOCK):
        block = torch.from_numpy(queries[start : start + BLOCK])
        found = squares - 2 * (block @ base_t.T)
        if same:
            index = torch.arange(len(block))
            found[index, start + index] = torch.inf
        low, where = torch.topk(found, k, dim=1, largest=False)
        distances.append((low + block.square().sum(1, keepdim=True)).clamp_min(0).numpy())
        places.append(where.numpy())
    return np.concatenate(distances), np.concatenate(places)


def vote(labels: IntArray, places: IntArray, classes: int) -> Floats:
    """Probabilities (q, C) from the labels (n,) of neighbours (q, k), with one vote for shares."""
    prior = np.bincount(labels, minlength=classes) / len(labels)
    votes = np.zeros((len(places), classes))
    rows = np.arange(len(places))
    for column in places.T:
        votes[rows, labels[column]] += 1
    shared: Floats = (votes + prior) / (places.shape[1] + 1)
    return shared


def linear_fit(x: Floats32, y: IntArray, classes: int) -> tuple[Floats, Floats]:
    """Weights (d, C) and biases (C,) of linear discriminants with a shrunken covariance."""
    counts = np.bincount(y, minlength=classes)
    means = np.zeros((classes, x.shape[1]))
    np.add.at(means, y, x.astype(np.float64))
    means /= np.maximum(counts, 1)[:, None]
    inner = (x - means[y]).astype(np.float32)
    cov = (inner.T @ inner).astype(np.float64) / max(1, len(x) - classes)
    size = x.shape[1]
    shrink = min(0.5, size / (size + len(x)))
    scale = max(float(np.trace(cov)) / size, 1e-9)
    cov = (1 - shrink) * cov + (shrink * scale + 1e-6 * scale) * np.eye(size)
    weights = np.linalg.solve(cov, means.T)
    with np.errstate(divide="ignore"):
        prior = np.log(counts / len(y))
    return weights, prior - 0.5 * (means.T * weights).sum(0)


def softmax(scores: Floats) -> Floats:
    """Probabilities (n, C) from scores (n, C)."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    made: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return made


def parts_of(labels: IntArray, seed: int, parts: int = PARTS) -> IntArray:
    """A part 0..parts-1 for each row (n,), every class spread evenly."""
    order = numpy_stream(seed, "parts").permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    part = np.empty(len(labels), np.int64)
    part[by_class] = np.arange(len(labels)) % parts
    return part


def linear_guess(x: Floats32, y: IntArray, classes: int, seed: int) -> Guess:
    """Linear discriminants, each row by those of the four fifths that it is not in."""
    part, chances = parts_of(y, seed), np.zeros((len(y), classes))
    for number in range(PARTS):
        held = part == number
        weights, bias = linear_fit(x[~held], y[~held], classes)
        chances[held] = softmax(x[held] @ weights + bias)
    return Guess("linear", chances, float((chances.argmax(1) == y).mean()))


def neighbour_guess(y: IntArray, places: IntArray, classes: int) -> Guess:
    """Nearest neighbours: each row by those around it, itself aside."""
    chances = vote(y, places, classes)
    return Guess("neighbours", chances, float((chances.argmax(1) == y).mean()))


def equal_say(y: IntArray, classes: int) -> Floats:
    """Factors (C,) by which probabilities become those of equally frequent classes, where the
    labels y (n,) are uneven: else no simple model ever calls a rare class. Ones where they are not.

    >>> equal_say(np.array([0, 0, 0, 0, 1]), 2).tolist()
    [1.25, 5.0]
    """
    counts = np.bincount(y, minlength=classes)
    there = counts[counts > 0]
    if there.max() <= UNEVEN * there.min():
        return np.ones(classes)
    return np.asarray(len(y) / np.maximum(counts, 1))


def balanced(y: IntArray, guess: IntArray, classes: int) -> float:
    """Mean recall over the classes that occur."""
    counts = np.bincount(y, minlength=classes)
    right = np.bincount(y[y == guess], minlength=classes)
    return float((right[counts > 0] / counts[counts > 0]).mean())


def reference_scores(data: Dataset, split: Split, seed: int = 0) -> dict[str, float]:
    """Validation accuracies of simple models by name: what the data allow without a network.

    "linear" (logistic regression), "neighbours" (ten nearest), and for tables "tree" (a random
    forest of 40); fitted on training rows of the first fold and scored on its validation rows,
    some thousands of each. Pictures and sound are made small first (see views), so networks can
    do better. Takes about two seconds.
    """
    from sklearn.linear_model import LogisticRegression

    fold = split.folds[0]
    most = affordable(data, 6000)
    train = sample_rows(fold.train, data.labels, most, stream_seed(seed, "reference"))
    held = sample_rows(fold.validation, data.labels, min(2000, most), stream_seed(seed, "scored"))
    if len(np.unique(data.labels[train])) < 2:
        return {}
    both = view(data, np.concatenate([train, held]))
    x, z = both[: len(train)], both[len(train) :]
    y, truth = data.labels[train], data.labels[held]
    fewer = sample_rows(np.arange(len(y)), y, max(500, 600_000 // x.shape[1]), seed)
    model = LogisticRegression(C=1.0, max_iter=300, tol=3e-3)
    found = {"linear": _score(model, x[fewer], y[fewer], z, truth)}
    k = min(NEIGHBOURS, len(x))
    guess = vote(y, nearest(z, x, k)[1], len(data.classes)).argmax(1)
    found["neighbours"] = float((guess == truth).mean())
    if data.kind == "table":
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            40, random_state=stream_seed(seed, "tree") % 2**32, max_features="sqrt"
        )
        found["tree"] = _score(forest, x, y, z, truth)
    return found


def _score(model: Any, x: Floats32, y: IntArray, z: Floats32, truth: IntArray) -> float:
    """Accuracy of a scikit-learn model."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digit does not matter
        model.fit(x, y)
    return float((model.predict(z) == truth).mean())
