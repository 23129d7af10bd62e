"""Yardsticks: what simple, well-known classifiers reach on the same rows.

A network that does not beat these has learned nothing that a simpler method could not.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from trainwell.data.bulk import release
from trainwell.data.dataset import Dataset, IntArray
from trainwell.data.split import sample_rows
from trainwell.engine.inputs import examples_at_once, take
from trainwell.ensemble.measures import equal_rows, share_of
from trainwell.ensemble.rows import paired
from trainwell.metrics import Metric, contributions
from trainwell.paired import no_narrower
from trainwell.seeding import stream_seed
from trainwell.significance import holm, mcnemar
from trainwell.svm import LEAST as SVM_LEAST
from trainwell.svm import ROWS as SVM_ROWS
from trainwell.svm import svm_rows, svm_votes
from trainwell.verdict import LEVEL, word_of

LINEAR_ROWS, TREE_ROWS = 10_000, 20_000  # training rows, at most: yardsticks should take seconds
LINEAR_CELLS = 10_000_000  # rows × inputs of the linear yardstick, at most
TREE_CELLS = 30_000_000  # rows × columns × classes above which fewer rows are used
TREE_COLUMNS = 1000  # columns that trees see, at most
TREES = 5_000  # in all, at most: one for each class and round
CHUNK = 2048

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Baseline:
    """A yardstick's name, what it does, and its probabilities (n, C) on the rows asked for."""

    name: str
    says: str
    probabilities: Floats
    decides_only: bool = False  # ones and zeros instead of probabilities: no log loss


def baselines(
    data: Dataset,
    fold: nn.Sequential,
    train: IntArray,
    score: IntArray,
    seed: int,
    uneven: bool = False,
) -> list[Baseline]:
    """Train every yardstick on `train` rows and predict `score` rows.

    fold: pre-processing fitted on training rows; the linear model sees what the network sees, the
    trees the raw table. Trees are for tables only: on pixels and sound they are no yardstick.
    uneven: whether classes are; then tables get support vector machines too, plain and weighted.
    """
    found = [_majority(data, train, score)]
    if len(np.unique(data.labels[train])) < 2:  # a fold of whole groups may hold one class only
        return found
    some = sample_rows(train, data.labels, LINEAR_ROWS, stream_seed(seed, "linear"))
    found.append(_linear(data, fold, some, score, len(train)))
    if data.kind == "table":
        columns = int(np.prod(data.schema.shape)) * len(data.classes)
        size = max(2000, min(TREE_ROWS, TREE_CELLS // columns))
        some = sample_rows(train, data.labels, size, stream_seed(seed, "tree"))
        found.append(_boosted_tree(data, some, score, len(train), seed))
        if uneven:
            found += _machines(data, fold, train, score, seed)
    return found


def against_baselines(
    data: Dataset,
    rows: IntArray,
    network: Floats,
    found: Sequence[Baseline],
    metric: Metric,
    seed: int,
) -> list[dict[str, Any]]:
    """The network against each baseline on the very same rows (n,): network minus baseline.

    network (n, C): its probabilities. metric: what decides; of the log loss, which not all
    baselines have, accuracy is compared. difference: BCa bootstrap over rows, or over groups where
    the data have any, never narrower than so many rows allow (see `paired.no_narrower`); p:
    McNemar's mid p by Holm over the baselines; verdict: on the network.
    """
    if not found:
        return []
    labels, classes = data.labels[rows], len(data.classes)
    groups = data.groups_of(rows)
    if groups is not None and len(np.unique(groups)) < 2:
        groups = None  # as for the scores: over rows, with a warning
    judged = share_of(metric)
    said = [p.argmax(axis=1) for p in (network, *(b.probabilities for b in found))]
    own, *others = (contributions(labels, s, classes, judged) for s in said)
    differences = np.stack([own - other for other in others], axis=1)
    rows_worth = equal_rows(labels, judged)
    # That two are equal on all rows is known of so many groups, not of so many rows.
    alike = rows_worth if groups is None else min(rows_worth, len(np.unique(groups)))
    worth = np.where(differences.any(axis=0), rows_worth, alike).tolist()
    found_between = paired(differences, seed, groups)
    intervals = [no_narrower(i, n) for i, n in zip(found_between, worth, strict=True)]
    tests = [mcnemar(said[0] == labels, s == labels) for s in said[1:]]
    adjusted = holm([t.mid for t in tests]).tolist()
    return [
        {
            "metric": judged,
            "difference": interval.to_json(),
            "only_network_right": test.only_a,
            "only_baseline_right": test.only_b,
            "p": p,
            # McNemar's test asks about accuracy alone.
            "verdict": word_of(interval, judged != "accuracy" or p <= LEVEL),
        }
        for interval, test, p in zip(intervals, tests, adjusted, strict=True)
    ]


def _majority(data: Dataset, train: IntArray, score: IntArray) -> Baseline:
    share = np.bincount(data.labels[train], minlength=len(data.classes)) / len(train)
    says = f'always the most frequent class, "{data.classes[int(share.argmax())]}"'
    return Baseline("majority", says, np.tile(share, (len(score), 1)))


def _linear(
    data: Dataset, fold: nn.Sequential, train: IntArray, score: IntArray, rows: int
) -> Baseline:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    width = _features(data, fold, train[:1]).shape[1]
    size = max(500, min(len(train), LINEAR_CELLS // width))
    train = sample_rows(train, data.labels, size, len(train))
    features, labels = _features(data, fold, train), data.labels[train]
    model = LogisticRegression(C=1.0, max_iter=200)
    with warnings.catch_warnings():
        # 200 iterations are enough for a yardstick; the last digit does not matter here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels)
    says = "multinomial logistic regression on the same inputs" + _of(len(train), rows)
    step = examples_at_once(data.inputs)
    chunks = [score[i : i + step] for i in range(0, len(score), step)]
    found = np.concatenate([model.predict_proba(_features(data, fold, c)) for c in chunks])
    return Baseline("linear", says, _spread(found, model.classes_, len(data.classes)))


def _boosted_tree(
    data: Dataset, train: IntArray, score: IntArray, rows: int, seed: int
) -> Baseline:
    from sklearn.ensemble import HistGradientBoostingClassifier

    assert data.schema.kind == "table"
    columns = telling_columns(data.inputs[train], data.labels[train], TREE_COLUMNS)
    features = data.schema.features
    words = [0 < len(features[j].levels) <= 255 for j in columns]
    rounds = max(5, min(100, TREES // len(data.classes)))
    model = HistGradientBoostingClassifier(
        categorical_features=words if any(words) else None,
        max_iter=rounds,
        early_stopping=False,  # it would hold out rows by class and refuse rare classes
        random_state=stream_seed(seed, "tree") % 2**32,
    )
    model.fit(data.inputs[train][:, columns], data.labels[train])
    says = "gradient-boosted trees, scikit-learn's defaults" + _of(len(train), rows)
    if len(columns) < len(features):
        says += f", on the {len(columns)} of {len(features)} columns whose means differ most"
    if rounds < 100:
        says += f", {rounds} rounds"
    chunks = [score[i : i + CHUNK] for i in range(0, len(score), CHUNK)]
    found = np.concatenate([model.predict_proba(data.inputs[c][:, columns]) for c in chunks])
    return Baseline("boosted tree", says, _spread(found, model.classes_, len(data.classes)))


def telling_columns(inputs: npt.NDArray[Any], labels: IntArray, most: int) -> IntArray:
    """At most so many columns (of D) of inputs (n, D), in order: those with the largest F ratio.

    F: the spread of the classes' means over that inside classes. Missing values count as the mean.

    >>> x = np.array([[0.0, 5.0], [1.0, 5.1], [0.0, 9.0], [1.0, 9.1]])
    >>> telling_columns(x, np.array([0, 0, 1, 1]), 1).tolist()
    [1]
    """
    columns = inputs.shape[1]
    if columns <= most:
        return np.arange(columns)
    from sklearn.feature_selection import f_classif

    known = inputs.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # empty and constant columns
        means = np.nan_to_num(np.nanmean(known, axis=0))
        ratio, _ = f_classif(np.where(np.isnan(known), means, known), labels)
    return np.sort(np.argsort(-np.nan_to_num(ratio, posinf=np.inf), kind="stable")[:most])


def _machines(
    data: Dataset, fold: nn.Sequential, train: IntArray, score: IntArray, seed: int
) -> list[Baseline]:
    some = svm_rows(train, data.labels, SVM_ROWS, stream_seed(seed, "svm"))
    features, labels = _features(data, fold, some), data.labels[some]
    asked, classes = _features(data, fold, score), len(data.classes)
    kept = _of(len(some), len(train))
    if kept:
        kept += f", of each class {SVM_LEAST} or all it has"
    names = {"SVM": False, "SVM, weighted": True}
    says = "support vector machine, RBF kernel, scikit-learn's defaults"
    return [
        Baseline(
            name,
            says + (", classes weighted by their size" if weighted else "") + kept,
            svm_votes(features, labels, asked, classes, weighted),
            decides_only=True,
        )
        for name, weighted in names.items()
    ]


def _features(data: Dataset, fold: nn.Sequential, rows: IntArray) -> npt.NDArray[np.float32]:
    """Inputs (n, D) as the network sees them, flattened."""
    features: npt.NDArray[np.float32] | None = None
    step = examples_at_once(data.inputs)
    with torch.inference_mode():
        for start in range(0, len(rows), step):
            found = fold(take(data.inputs, rows[start : start + step])).flatten(1).numpy()
            if features is None:
                features = np.empty((len(rows), found.shape[1]), found.dtype)
            features[start : start + len(found)] = found
            release(data.inputs)
    assert features is not None, "no rows"
    return features


def _spread(found: Floats, present: Sequence[int], classes: int) -> Floats:
    """Probabilities of the classes that were trained, as columns of all classes."""
    out = np.zeros((len(found), classes))
    out[:, np.asarray(present)] = found
    return out


def _of(used: int, rows: int) -> str:
    return "" if used == rows else f", trained on {used} of {rows} rows"
