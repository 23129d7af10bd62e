"""Scores of a classifier: the metrics, each class's recall, and all scores with intervals.

Shapes: N examples, C classes, G groups, R resamples. `labels` are whole numbers (N,) in 0..C-1,
`probabilities` are floats (N, C). The predicted class is the most probable one, the first of
equals. Every function is pure: the same arguments and seed give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainwell.stats import Array, Floats, Interval, bca_ends, mean_interval, wilson

Ints = npt.NDArray[np.int64]
Metric = Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]  # that may decide

ECE_BINS = 15
FEW_GROUPS = 10  # below this a bootstrap over groups covers too little (83 to 89 % of nominal 95 %)
SMALLEST = 1e-15  # probabilities below this count as this much in the log loss
WORST_LOG_LOSS = -math.log(SMALLEST)


@dataclass(frozen=True)
class ClassScore:
    """One class: `n` rows have it, `predicted` rows were said to have it."""

    n: int
    predicted: int
    recall: Interval
    precision: Interval


@dataclass(frozen=True)
class Scores:
    """What `score` measures on one part of the data (N = `n` rows)."""

    accuracy: Interval
    balanced_accuracy: Interval
    macro_f1: Interval
    log_loss: Interval
    ece: Interval
    n: int

    def to_json(self) -> dict[str, Any]:
        """The scores by name, each {"value", "low", "high"}, and n."""
        return {
            "accuracy": self.accuracy.to_json(),
            "balanced_accuracy": self.balanced_accuracy.to_json(),
            "macro_f1": self.macro_f1.to_json(),
            "log_loss": self.log_loss.to_json(),
            "ece": self.ece.to_json(),
            "n": self.n,
        }


def confusion(labels: Array, predictions: Array, classes: int) -> Ints:
    """Counts (C, C): how many rows of class i (row) were said to be class j (column).

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = np.asarray(labels, np.int64) * classes + np.asarray(predictions, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy(labels: Array, probabilities: Array) -> float:
    """Share of rows whose most probable class is the right one.

    >>> accuracy(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]))
    0.5
    """
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def balanced_accuracy(labels: Array, probabilities: Array) -> float:
    """Mean over the classes that occur in `labels` of the share found (recall).

    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([[1.0, 0.0]] * 4))
    0.5
    """
    return float(_balanced(_totals(labels, probabilities)))


def balanced_accuracy_interval(labels: Array, probabilities: Array) -> Interval:
    """Balanced accuracy with the interval of `score` for independent rows, without resampling.

    >>> found = balanced_accuracy_interval(np.array([0, 0, 0, 1]), np.eye(2)[[0, 0, 0, 1]])
    >>> found.value, found.low < 0.6
    (1.0, True)
    """
    return _balanced_interval(_totals(labels, probabilities))


def macro_f1(labels: Array, probabilities: Array) -> float:
    """Mean of F1 = 2 TP / (true + said) over the classes that occur as labels or predictions.

    A class never found counts 0, as scikit-learn's f1_score(average="macro", zero_division=0).

    >>> macro_f1(np.array([0, 0, 1, 1]), np.array([[1.0, 0.0]] * 4)).__round__(4)
    0.3333
    """
    return float(_f1(_totals(labels, probabilities)))


def log_loss(labels: Array, probabilities: Array) -> float:
    """Mean of -ln p(right class); p is clipped from below at 1e-15, so the worst is 34.5.

    >>> round(log_loss(np.array([0]), np.array([[0.5, 0.5]])), 4)
    0.6931
    """
    return float(row_losses(labels, probabilities).mean())


def row_losses(labels: Array, probabilities: Array) -> Floats:
    """-ln p(right class) of each row (N,), p clipped at 1e-15."""
    right = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(right, SMALLEST, 1.0)), dtype=np.float64)


def calibration_error(labels: Array, probabilities: Array, bins: int = ECE_BINS) -> float:
    """Expected calibration error: Σ over bins of (rows in bin / N) |accuracy - confidence|.

    Rows are put into `bins` bins of equal width (a, b] by the probability of the predicted
    class. Source: Guo et al. (2017), On calibration of modern neural networks.

    >>> round(calibration_error(np.array([0, 1]), np.array([[0.9, 0.1], [0.9, 0.1]])), 4)
    0.4
    """
    where, gaps = _gaps(labels, probabilities, bins)
    return float(np.abs(np.bincount(where, weights=gaps)).sum()) / len(labels)


def per_class(labels: Array, predictions: Array, classes: int) -> tuple[ClassScore, ...]:
    """Recall (found / there) and precision (right / said) of each class with Wilson intervals.

    >>> per_class(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)[0].recall.value
    0.5
    """
    table = confusion(labels, predictions, classes)
    rows, columns = table.sum(axis=1).tolist(), table.sum(axis=0).tolist()
    return tuple(
        ClassScore(n, said, wilson(hit, n), wilson(hit, said))
        for hit, n, said in zip(table.diagonal().tolist(), rows, columns, strict=True)
    )


def score(
    labels: Array,
    probabilities: Array,
    seed: int,
    groups: Array | None = None,
    resamples: int = 1000,
) -> Scores:
    """Five scores of `probabilities` (N, C) against `labels` (N,), each with a 95 % interval.

    Rows independent: Wilson for accuracy, and for balanced accuracy with the number of rows
    its variance is worth; a BCa bootstrap over rows for macro F1 and log loss.
    The calibration error of a finite sample lies above the true one, even of a perfectly
    calibrated classifier, and the bootstrap doubles that: its interval goes from the pivotal
    end 2 e - q(97.5 %), or 0 when perfect calibration would give such an e, up to q(97.5 %).
    `groups` (N,) given (speakers, patients): a BCa bootstrap over whole groups for everything,
    since rows of one group are no independent evidence; below FEW_GROUPS groups, where that is too
    narrow, Student's interval from the groups' own scores. A single group says nothing about
    others: the intervals are then over its rows, and the caller must say so.
    Where resamples do not differ (all right in each group) the bootstrap would claim certainty;
    then the interval is Wilson's for as many trials as there are rows, or groups. Only a predictor
    that gives every class the same probability is certain of its log loss, ln C.

    >>> p = np.array([[0.9, 0.1]] * 8 + [[0.2, 0.8]] * 2)
    >>> s = score(np.array([0] * 7 + [1] * 3), p, seed=0)
    >>> s.n, s.accuracy.value, round(s.accuracy.low, 2), round(s.accuracy.high, 2)
    (10, 0.9, 0.6, 0.98)
    """
    labels, probabilities = _checked(labels, probabilities)
    found = _score(labels, probabilities, seed, groups, resamples)
    if np.ptp(probabilities) > 0:
        return found
    value = found.log_loss.value
    return replace(found, log_loss=Interval(value, value, value))


def _score(
    labels: Ints, probabilities: Floats, seed: int, groups: Array | None, resamples: int
) -> Scores:
    rng = np.random.default_rng(seed)
    losses = row_losses(labels, probabilities)
    where, gaps = _gaps(labels, probabilities, ECE_BINS)
    if groups is not None and len(np.unique(groups)) > 1:
        return _score_groups(labels, probabilities, losses, where, gaps, groups, rng, resamples)
    total = _totals(labels, probabilities)
    accurate, balanced = wilson(int(total[0].sum()), len(labels)), _balanced_interval(total)
    table = confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    rows, columns = np.nonzero(table)
    counts = table[rows, columns]
    cells = _cells(rows, columns, len(table))
    f1 = bca_ends(
        float(_f1(total)),
        _f1(_weighted(rng.multinomial(len(labels), counts / len(labels), resamples), cells)),
        _f1(total - cells),
        counts.astype(np.float64),
    )
    f1 = Interval(f1.value, balanced.low, balanced.high) if f1.low == f1.high else f1
    loss, ece = _bootstrap_rows(losses, probabilities.max(axis=1), where, gaps, rng, resamples)
    return Scores(accurate, balanced, f1, loss, ece, len(labels))


def _checked(labels: Array, probabilities: Array) -> tuple[Ints, Floats]:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"labels must be (N,) with N > 0, got {labels.shape}")
    if probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise ValueError(
            f"probabilities must be ({len(labels)}, classes), got {probabilities.shape}"
        )
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"labels must lie in 0..{probabilities.shape[1] - 1}")
    if not (np.abs(probabilities - 0.5) <= 0.501).all():  # nan fails too
        raise ValueError("probabilities must be numbers in [0, 1]")
    return labels.astype(np.int64), np.clip(probabilities, 0.0, 1.0)


def _cells(labels: Array, predictions: Array, classes: int) -> Ints:
    """Per row (N, 3, C): found, true and said, each a one-hot of the class."""
    cells = np.zeros((len(labels), 3, classes), dtype=np.int64)
    every = np.arange(len(labels))
    cells[every, 0, labels] = np.asarray(labels) == predictions
    cells[every, 1, labels] = 1
    cells[every, 2, predictions] = 1
    return cells


def _totals(labels: Array, probabilities: Array) -> Ints:
    """Rows found, true and said of each class (3, C): enough for all scores but the losses."""
    predictions, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    found = np.bincount(labels[predictions == labels], minlength=classes)
    true = np.bincount(labels, minlength=classes)
    return np.stack([found, true, np.bincount(predictions, minlength=classes)])


def _balanced(totals: Array) -> Floats:
    """Balanced accuracy of totals (..., 3, C); nan where no class occurs."""
    found, true = totals[..., 0, :], totals[..., 1, :]
    return _mean_where(found / np.maximum(true, 1), true > 0)


def _f1(totals: Array) -> Floats:
    """Macro F1 of totals (..., 3, C); nan where no class occurs."""
    both = totals[..., 1, :] + totals[..., 2, :]
    return _mean_where(2 * totals[..., 0, :] / np.maximum(both, 1), both > 0)


def from_totals(totals: Array, metric: Metric) -> Floats:
    """Accuracy, balanced accuracy or macro F1 of rows found, true and said by class (..., 3, C).

    >>> round(float(from_totals(np.array([[9, 0], [9, 1], [10, 0]]), "balanced_accuracy")), 2)
    0.5
    """
    if metric == "balanced_accuracy":
        return _balanced(totals)
    if metric == "macro_f1":
        return _f1(totals)
    if metric == "accuracy":
        return np.asarray(totals[..., 0, :].sum(axis=-1) / totals[..., 1, :].sum(axis=-1))
    raise ValueError(f"{metric} cannot be told from counts")


def contributions(
    labels: Array, predictions: Array, classes: int, metric: Metric = "accuracy"
) -> Floats:
    """What each row (N,) brings to a score: their mean is the score, their spread its error.

    Of accuracy 1 where it is right; of balanced accuracy and macro F1 the score plus the row's
    influence on it (the infinitesimal jackknife), so that two classifiers can be compared row by
    row. Source: Efron (1982), The jackknife, the bootstrap and other resampling plans, chapter 6.

    >>> rows = contributions(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), 2, "balanced_accuracy")
    >>> float(rows.mean())
    0.5
    """
    labels, predictions = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    right: Floats = (labels == predictions).astype(np.float64)
    if metric not in ("balanced_accuracy", "macro_f1"):
        return right
    true = np.bincount(labels, minlength=classes)
    said = np.bincount(predictions, minlength=classes)
    found = np.bincount(labels, weights=right, minlength=classes)
    if metric == "balanced_accuracy":
        recall, sizes = found / np.maximum(true, 1), np.maximum(true, 1)
        present = max(int((true > 0).sum()), 1)
        influence = (right - recall[labels]) / sizes[labels]
        value = float(recall.sum()) / present
    else:
        sizes = np.maximum(true + said, 1)
        f1 = 2 * found / sizes
        present = max(int((true + said > 0).sum()), 1)
        taken = f1[labels] / sizes[labels] + f1[predictions] / sizes[predictions]
        influence = 2 * right / sizes[labels] - taken
        value = float(f1.sum()) / present
    every: Floats = value + influence * (len(labels) / present)
    return every


def _mean_where(values: Array, ok: Array) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray((values * ok).sum(axis=-1) / ok.sum(axis=-1), dtype=np.float64)


def _balanced_interval(totals: Ints) -> Interval:
    """Wilson's interval for the number of rows n' that v(1-v)/n' = Σ var(recall) / C² asks for.

    The variance p(1-p)/n of each recall uses p drawn towards the mean v by four rows, and no
    n' above C² / Σ(1/n), that of equal recalls: in simulations this covers about 95 % where the
    bootstrap and sums of Wilson intervals fall to 90 %, and it has a width when all are right.
    """
    found, true = totals[:2, totals[1] > 0]
    value = float(_balanced(totals))
    drawn = (found + 4 * value) / (true + 4)
    spread = float((drawn * (1 - drawn) / true).sum())
    trials = len(true) ** 2 / float((1 / true).sum())
    if 0 < value < 1:
        trials = min(trials, len(true) ** 2 * value * (1 - value) / spread)
    return wilson(value * trials, trials)


def _gaps(labels: Array, probabilities: Array, bins: int) -> tuple[Ints, Floats]:
    """The calibration bin of each row (N,) and its confidence minus 1 if right, else 0 (N,)."""
    confidence = np.asarray(probabilities, np.float64).max(axis=1)
    where = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return where, confidence - (probabilities.argmax(axis=1) == labels)


def _weighted(counts: Array, units: Array) -> Floats:
    """Sums of units (U, ...) taken `counts` (R, U) times: (R, ...)."""
    flat = counts.astype(np.float64) @ units.reshape(len(units), -1).astype(np.float64)
    return np.asarray(flat.reshape(len(counts), *units.shape[1:]), dtype=np.float64)


def _bootstrap_rows(
    losses: Floats,
    confidence: Floats,
    where: Ints,
    gaps: Floats,
    rng: np.random.Generator,
    resamples: int,
) -> tuple[Interval, Interval]:
    """Log loss and calibration error, resampled over rows (0.4 s for N = 70000, R = 1000)."""
    n = len(losses)
    order = np.argsort(where, kind="stable")
    losses, where, gaps = losses[order], where[order], gaps[order]
    starts = np.flatnonzero(np.r_[True, np.diff(where) > 0])
    loss_draws, ece_draws = np.empty(resamples), np.empty(resamples)
    for r in range(resamples):
        counts = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        loss_draws[r] = (counts * losses).sum() / n  # no @: BLAS would wake its threads each time
        ece_draws[r] = np.abs(np.add.reduceat(counts * gaps, starts)).sum() / n
    left_out = (losses.sum() - losses) / max(n - 1, 1)
    loss = bca_ends(float(losses.mean()), loss_draws, left_out)
    error = float(np.abs(np.add.reduceat(gaps, starts)).sum()) / n
    ece = _ece_ends(error, ece_draws, confidence[order], starts, rng)
    return _unless_certain(loss, WORST_LOG_LOSS, n), _unless_certain(ece, 1.0, n)


def _ece_ends(
    error: float, draws: Floats, confidence: Floats, starts: Ints, rng: np.random.Generator
) -> Interval:
    """See `score`; rows sorted by bin, `starts` where each bin begins."""
    top = float(np.quantile(draws, 0.975))
    spread = np.sqrt(np.add.reduceat(confidence * (1 - confidence), starts))
    perfect = np.abs(rng.normal(size=(len(draws), len(starts))) * spread).sum(axis=1)
    consistent = error <= float(np.quantile(perfect, 0.975)) / len(confidence)
    low = 0.0 if consistent else min(max(0.0, 2 * error - top), error)
    return Interval(error, low, max(top, error))


def _unless_certain(interval: Interval, worst: float, units: int) -> Interval:
    """An interval of no width replaced by Wilson's for so many units, scaled to 0..worst."""
    if interval.high > interval.low:
        return interval
    value = min(max(interval.value / worst, 0.0), 1.0)
    trials = wilson(value * units, units)
    return Interval(interval.value, trials.low * worst, trials.high * worst)


def _over_few(value: float, each: Floats, worst: float) -> Interval:
    """Student's interval from the scores of few groups (G,), around the score of all rows."""
    spread = mean_interval(each[np.isfinite(each)])
    half = (spread.high - spread.low) / 2
    return Interval(value, max(0.0, value - half), min(worst, value + half))


def _score_groups(
    labels: Ints,
    probabilities: Floats,
    losses: Floats,
    where: Ints,
    gaps: Floats,
    groups: Array,
    rng: np.random.Generator,
    resamples: int,
) -> Scores:
    """All scores, resampled over whole groups."""
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    count, classes = len(names), probabilities.shape[1]
    predictions = probabilities.argmax(axis=1)

    def spread(column: Array, width: int, weights: Array | None = None) -> Floats:
        cells = np.bincount(member * width + column, weights, count * width)
        return cells.reshape(count, width).astype(np.float64)

    totals = np.stack(
        [
            spread(labels, classes, predictions == labels),
            spread(labels, classes),
            spread(predictions, classes),
        ],
        axis=1,
    )
    others = np.column_stack(
        [np.bincount(member), np.bincount(member, losses), spread(where, ECE_BINS, gaps)]
    )
    picks = rng.integers(0, count, (resamples, count))
    counts = np.stack([np.bincount(pick, minlength=count) for pick in picks])
    drawn = (_weighted(counts, totals), _weighted(counts, others))
    whole = (totals.sum(axis=0), others.sum(axis=0))
    left_out = (whole[0] - totals, whole[1] - others)
    errors = np.abs(drawn[1][:, 2:]).sum(axis=1) / drawn[1][:, 0]
    error, top = float(np.abs(whole[1][2:]).sum()) / len(labels), float(np.quantile(errors, 0.975))
    ece = Interval(error, min(max(0.0, 2 * error - top), error), max(top, error))

    def interval(measure: Callable[[Floats, Floats], Floats], worst: float = 1.0) -> Interval:
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(measure(*whole))
            if count < FEW_GROUPS:
                few = _over_few(value, measure(totals, others), worst)
                return _unless_certain(few, worst, count)
            found = bca_ends(value, measure(*drawn), measure(*left_out))
        return _unless_certain(found, worst, count)

    return Scores(
        interval(lambda t, o: t[..., 0, :].sum(axis=-1) / o[..., 0]),
        interval(lambda t, _: _balanced(t)),
        interval(lambda t, _: _f1(t)),
        interval(lambda _, o: np.asarray(o[..., 1] / o[..., 0]), WORST_LOG_LOSS),
        _unless_certain(ece, 1.0, count),
        len(labels),
    )
