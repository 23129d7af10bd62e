"""Whether generated samples are worth anything: their labels, copies, and what they teach.

Three questions, answered from training rows alone: does a reference classifier see the label that a
sample is meant to have; is a sample just a training row again; does a classifier that has seen
nothing but samples know the real rows? A fourth answer needs held-out rows (`held_out`) and only
informs. Shapes: n real rows, m samples, E numbers of an encoded row, C classes.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import IntArray
from trainwell.stats import Interval, bca, wilson

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

HIDDEN, STEPS, BATCH = 128, 1000, 32  # of the reference classifier
MOST_ROWS = 5_000  # that it is trained on
COPY_QUANTILE = 0.01  # of the distances between real rows, below which a sample is a copy
LEAST_KEPT = 0.1  # of what was drawn; with less the samples are refused
# Of the way from chance to what real rows teach: so far must the reference recognise the labels of
# what was drawn, and so far must the samples teach; with less they are refused. The first stands
# for itself: of pure noise, too, those are kept that look to the reference like their label, and a
# classifier trained on these learns what the reference knows.
LEAST_GOOD = 0.5


@dataclass(frozen=True)
class Distances:
    """Quartiles of the distances to the nearest training row."""

    low: float
    median: float
    high: float

    @staticmethod
    def of(distances: Floats) -> Distances:
        """The quartiles of some distances (n,); nan without any."""
        if not len(distances):
            return Distances(math.nan, math.nan, math.nan)
        return Distances(*(float(q) for q in np.quantile(distances, (0.25, 0.5, 0.75))))


@dataclass(frozen=True)
class SampleReport:
    """What was made of some training rows, and how good it is.

    taught: accuracy on the training rows of a classifier that was trained on samples alone;
    known: cross-validated accuracy of one that was trained on real rows; both decide about
    refusing. tstr, trtr: train on synthetic (or real), test on held-out real rows; gap: tstr - trtr
    row by row. They decide nothing.
    """

    technique: str
    real: int  # training rows
    wanted: int
    drawn: int
    doubted: int  # drawn, but the reference classifier doubts their label
    copies: int  # drawn, but nearly a training row
    kept: int
    kept_by_class: tuple[int, ...]
    nearest_real: Distances  # of each training row to the nearest other one
    nearest_made: Distances  # of each sample drawn to the nearest training row
    copy_distance: float  # below it a sample is a copy
    known: float
    taught: float
    refused: str = ""  # why samples are not used; "" where they are
    seconds: float = 0.0
    tstr: Interval | None = None
    trtr: Interval | None = None
    gap: Interval | None = None

    @property
    def words(self) -> str:
        """One sentence for people."""
        if self.refused:
            return f"{self.technique}: no samples are added: {self.refused}"
        found = (
            f"{self.technique}: {self.kept} samples are added to {self.real} training rows; of "
            f"{self.drawn} drawn {self.doubted} had a doubtful label and {self.copies} were nearly "
            "copies of training rows"
        )
        if self.tstr is None or self.trtr is None:
            return found
        return (
            f"{found}; trained on samples alone {100 * self.tstr.value:.1f} % of held-out real "
            f"rows are right, on real rows {100 * self.trtr.value:.1f} %"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for run.json; numbers that are not finite are null."""
        plain = dataclasses.asdict(self) | {"kept_by_class": list(self.kept_by_class)}
        return {name: _finite(value) for name, value in plain.items()} | {"words": self.words}

    @staticmethod
    def from_json(data: dict[str, Any]) -> SampleReport:
        """The inverse of `to_json`."""
        known = {f.name for f in dataclasses.fields(SampleReport)}
        own = {k: v for k, v in data.items() if k in known}
        own["kept_by_class"] = tuple(own["kept_by_class"])
        for name in ("nearest_real", "nearest_made"):
            own[name] = Distances(**{k: _number(v) for k, v in own[name].items()})
        for name in ("copy_distance", "known", "taught", "seconds"):
            own[name] = _number(own[name])
        for name in ("tstr", "trtr", "gap"):
            if own.get(name) is not None:
                own[name] = Interval(**{k: _number(v) for k, v in own[name].items()})
        return SampleReport(**own)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


# ---- labels ---------------------------------------------------------------------------------


class Reference:
    """A small network of scikit-learn's, trained on encoded rows: the judge of labels."""

    def __init__(self, x: Floats, y: IntArray, classes: int, seed: int) -> None:
        """x (n, E), y (n,); of more than MOST_ROWS rows some are drawn."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        rows = np.random.default_rng(seed).permutation(len(x))[:MOST_ROWS]
        self.classes, self.only = classes, y[rows]
        self.net: Any = None
        if len(np.unique(self.only)) < 2:
            return
        batch = min(BATCH, len(rows))
        epochs = math.ceil(STEPS * batch / len(rows))
        self.net = MLPClassifier(
            (HIDDEN,), alpha=1e-3, batch_size=batch, max_iter=epochs, random_state=seed % 2**32
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it is given so many steps
            self.net.fit(x[rows], self.only)

    def probabilities(self, x: Floats) -> npt.NDArray[np.float64]:
        """(m, C); a class that was never seen has probability 0."""
        found = np.zeros((len(x), self.classes))
        if not len(x):
            return found
        if self.net is None:
            found[:, self.only[:1]] = 1.0
        else:
            found[:, self.net.classes_] = self.net.predict_proba(x)
        return found

    def right(self, x: Floats, y: IntArray) -> Bools:
        """Which rows (m,) it puts into their class."""
        hits: Bools = self.probabilities(x).argmax(axis=1) == y
        return hits


def cross_validated(x: Floats, y: IntArray, classes: int, seed: int) -> float:
    """Accuracy on each half of the rows of a reference that was trained on the other half."""
    half = np.random.default_rng(seed).permutation(len(x)) % 2 == 0
    hits = [
        Reference(x[a], y[a], classes, seed).right(x[~a], y[~a]) for a in (half, ~half) if a.any()
    ]
    return float(np.concatenate(hits).mean())


# ---- copies ---------------------------------------------------------------------------------


class Neighbours:
    """Distances to training rows, and between them: those of rows the others have not seen."""

    def __init__(self, x: Floats) -> None:
        """x (n, E): encoded training rows."""
        from sklearn.neighbors import NearestNeighbors

        self.index = NearestNeighbors(n_neighbors=1).fit(x)
        one = len(x) < 2
        self.between: Floats = np.zeros(0) if one else self.index.kneighbors()[0][:, 0]
        # Rows that occur twice would allow anything: a tenth of the usual distance is a copy too.
        usual = 0.0 if one else float(np.median(self.between))
        quantile = 0.0 if one else float(np.quantile(self.between, COPY_QUANTILE))
        self.copy_distance = max(quantile, usual / 10)

    def nearest(self, x: Floats) -> tuple[Floats, IntArray]:
        """The distance of each row (m, E) to its nearest training row, and which one that is."""
        if not len(x):
            return np.zeros(0), np.zeros(0, np.int64)
        distance, place = self.index.kneighbors(x)
        return distance[:, 0], place[:, 0].astype(np.int64)


# ---- what they teach ------------------------------------------------------------------------


def refusal(report: SampleReport, chance: float) -> str:
    """Why samples should not be used; "" where nothing speaks against them.

    chance: the share of the most frequent class.
    """
    if report.kept < LEAST_KEPT * report.drawn or not report.kept:
        return (
            f"of {report.drawn} drawn only {report.kept} could be kept ({report.doubted} with a "
            f"doubtful label, {report.copies} nearly copies)"
        )
    least = chance + LEAST_GOOD * (report.known - chance)
    sure = 1 - report.doubted / report.drawn
    if sure < least:
        return (
            f"only {100 * sure:.0f} % of what was drawn shows its label to a reference classifier, "
            f"which knows {100 * report.known:.0f} % of real rows it has not seen; chance is "
            f"{100 * chance:.0f} %"
        )
    if report.taught < least:
        return (
            f"a classifier trained on them alone knows {100 * report.taught:.0f} % of the training "
            f"rows; one trained on real rows knows {100 * report.known:.0f} % of rows it has not "
            f"seen, chance is {100 * chance:.0f} %"
        )
    return ""


def held_out(
    report: SampleReport,
    real: tuple[Floats, IntArray],
    made: tuple[Floats, IntArray],
    test: tuple[Floats, IntArray],
    classes: int,
    seed: int,
) -> SampleReport:
    """The report with what samples and real rows teach about held-out rows; each (x, y).

    Source: Esteban et al. 2017 (train on synthetic, test on real); Ravuri and Vinyals 2019.
    """
    if not len(made[0]) or not len(test[0]):
        return report
    hits = [Reference(x, y, classes, seed).right(*test) for x, y in (made, real)]
    tstr, trtr = (wilson(float(h.sum()), len(h)) for h in hits)
    difference = hits[0].astype(float) - hits[1].astype(float)
    gap = bca(difference, lambda d: float(d.mean()), seed)
    return dataclasses.replace(report, tstr=tstr, trtr=trtr, gap=gap)
