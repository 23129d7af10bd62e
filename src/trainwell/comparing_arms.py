"""Two arms that were trained in the same cells: what may be said about B - A.

Over folds and seeds with an interval and a sign-flip test (`paired`), and over all held-out rows,
each judged by the mean of its networks. Whoever trains the arms (`comparing`, the coach, the
audit) asks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainwell.arms import Arena, Arm, Ladders, tuning_words
from trainwell.data.dataset import IntArray
from trainwell.data.split import Split
from trainwell.ensemble.measures import equal_rows
from trainwell.metrics import Metric, row_losses
from trainwell.paired import PairedDifference, paired_difference
from trainwell.recipe import fields_as_text
from trainwell.significance import mcnemar
from trainwell.swaps import flip_test, swap_test
from trainwell.verdict import LEVEL, Comparison, Unit, unit_of, verdict

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
RowsTest = Literal["McNemar's test", "swap test", "sign-flip test of the rows' losses"]


@dataclass(frozen=True, eq=False)
class Compared:
    """Two arms after training, and what may be said about B - A."""

    names: tuple[str, str]
    metric: Metric
    arms: tuple[Arm, Arm]
    comparison: Comparison
    confidence: float  # of the interval: 95 %, after several looks that of the last look
    rows: int  # held-out rows of all folds together
    seconds: float
    data: str
    rows_p: float | None = None  # of all held-out rows (`rows_p`), where it was asked for
    rows_test: RowsTest | None = None  # the test it comes from
    ladders: Ladders = (None, None)  # how each arm found its learning rate; None: it was given
    notes: tuple[str, ...] = ()  # what the reader should know besides
    interrupted: bool = False  # by Ctrl-C; what is said rests on the seeds that were complete

    @property
    def mcnemar_p(self) -> float | None:
        """McNemar's p of the two arms' votes, where that is the test of the rows."""
        return self.rows_p if self.rows_test == "McNemar's test" else None

    @property
    def unit(self) -> Unit:
        """In what differences are told."""
        return unit_of(self.metric)

    def scores(self, which: int) -> Floats:
        """Scores (n,) of an arm, cell by cell; of the log loss the negative: more is better."""
        return score_of(self.arms[which], self.metric)

    def measured(self, which: int) -> Floats:
        """What was measured of an arm (n,), cell by cell; of the log loss the loss itself."""
        return np.asarray(getattr(self.arms[which], self.metric))

    @property
    def tuned(self) -> str:
        """Who tuned the learning rate, with how many trials, in words."""
        return tuning_words(self.ladders)

    def to_json(self) -> dict[str, Any]:
        """As `compare --json` prints it; the difference is B - A of the metric as such."""
        return {
            "data": self.data,
            "a": self.names[0],
            "b": self.names[1],
            "metric": self.metric,
            **self.comparison.to_json(),
            "confidence": self.confidence,
            "rows_test": self.rows_test,
            "rows_p": self.rows_p,
            "mcnemar_p": self.mcnemar_p,
            "cells": [
                {"fold": c.fold, "seed": c.seed, "a": float(a), "b": float(b)}
                for c, a, b in zip(
                    self.arms[0].cells, self.measured(0), self.measured(1), strict=True
                )
            ],
            "unit": self.unit.name,
            "region": self.unit.region,
            "tuned": self.tuned,
            "notes": list(self.notes),
            "interrupted": self.interrupted,
            "recipes": {
                "a": fields_as_text(self.arms[0].recipe),
                "b": fields_as_text(self.arms[1].recipe),
            },
            "seconds": round(self.seconds, 2),
        }


def compared(
    arena: Arena,
    arms: tuple[Arm, Arm],
    metric: Metric,
    adjusted_p: float | None = None,
    level: float = LEVEL,
) -> Compared:
    """What may be said about two arms that were trained in the same cells.

    level: of the look after which it is said (`sequential.levels`), 0.05 where there was one only.
    """
    found = difference(arena.split, arms, metric, arena.data.labels, 1 - level)
    return Compared(
        ("A", "B"),
        metric,
        arms,
        verdict(
            found,
            adjusted_p=adjusted_p,
            unit=unit_of(metric),
            same=arms[0].recipe == arms[1].recipe,
            level=level,
        ),
        found.confidence,
        sum(len(f.validation) for f in arena.split.folds),
        0.0,
        arena.data.name,
    )


def difference(
    split: Split,
    arms: tuple[Arm, Arm],
    metric: Metric,
    labels: IntArray | None = None,
    confidence: float = 1 - LEVEL,
) -> PairedDifference:
    """Mean of B - A over folds and seeds, with interval and p.

    labels: of all rows of the data, for the number of rows behind the score (`rows_behind`).
    """
    cells = arms[0].cells
    a, b = (score_of(arm, metric) for arm in arms)
    rows = rows_behind(split, labels, metric)
    folds, seeds = [c.fold for c in cells], [c.seed for c in cells]
    return paired_difference(b, a, folds, seeds, held_out_share(split), rows, confidence)


def rows_behind(split: Split, labels: IntArray | None, metric: Metric) -> float | None:
    """How many held-out rows a metric rests on, for the least width of an interval.

    All of them for the accuracy; for balanced accuracy and macro F1 the number of equal rows that
    a mean over classes is worth, C² / Σ 1/n_c: ten rows of a class leave its recall open however
    many rows others have. None: a log loss counts no rows, or the labels are not known.
    """
    if metric == "log_loss" or (labels is None and metric != "accuracy"):
        return None
    held = np.concatenate([f.validation for f in split.folds])
    return float(len(held)) if labels is None else equal_rows(labels[held], metric)


def held_out_share(split: Split) -> float:
    """The share of the rows that a fold holds out, the mean over folds."""
    return float(
        np.mean([len(f.validation) / (len(f.train) + len(f.validation)) for f in split.folds])
    )


def score_of(arm: Arm, metric: Metric) -> Floats:
    """Scores (n,) of an arm; of the log loss the negative, so that more is better everywhere."""
    return -arm.log_loss if metric == "log_loss" else np.asarray(getattr(arm, metric))


def rows_p(arena: Arena, arms: tuple[Arm, Arm], metric: Metric) -> float:
    """The p of two arms on all held-out rows, each row by the mean over its networks.

    Accuracy: McNemar's test of what they decide. Where classes count alike: decisions swapped row
    by row (`swaps`). The log loss: signs of the rows' differences flipped. Rows of one group are
    no independent evidence, and go together. `rows_test` names the test.
    """
    data = arena.data
    if metric == "accuracy" and data.groups is None:
        return mcnemar(*votes(arena, arms)).mid
    (rows, a), (_, b) = (held_out(arena, arm) for arm in arms)
    labels = data.labels[rows]
    groups = data.groups_of(rows)
    if metric == "log_loss":
        return flip_test(row_losses(labels, a) - row_losses(labels, b), groups)
    said = [p.argmax(axis=1) for p in (a, b)]
    return swap_test(labels, said[0], said[1], len(data.classes), metric, groups)


def rows_test(metric: Metric, grouped: bool = False) -> RowsTest:
    """The test that `rows_p` makes. grouped: whether rows come in groups.

    >>> rows_test("accuracy"), rows_test("accuracy", grouped=True)
    ("McNemar's test", 'swap test')
    """
    if metric == "log_loss":
        return "sign-flip test of the rows' losses"
    return "McNemar's test" if metric == "accuracy" and not grouped else "swap test"


def votes(arena: Arena, arms: tuple[Arm, Arm]) -> tuple[Bools, Bools]:
    """Whether each held-out row is right by the mean over seeds, for both arms (n,)."""
    (rows, a), (_, b) = (held_out(arena, arm) for arm in arms)
    labels = arena.data.labels[rows]
    return a.argmax(axis=1) == labels, b.argmax(axis=1) == labels


def held_out(arena: Arena, arm: Arm) -> tuple[IntArray, Floats]:
    """Held-out rows (n,), fold by fold, and the mean (n, C) of what their networks say."""
    rows, found = [], []
    for number, fold in enumerate(arena.split.folds):
        some = [p for p, c in zip(arm.probabilities, arm.cells, strict=True) if c.fold == number]
        # One that diverged at once says nothing; only if all have, the fold counts as unknown.
        some = [p for p in some if np.isfinite(p).all()] or some
        if some:
            rows.append(fold.validation)
            found.append(np.nan_to_num(np.mean(some, axis=0)))
    return np.concatenate(rows), np.concatenate(found)
