"""Parts of the data that differ in their inputs.

Shapes: a, b rows of two parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trainwell.data.dataset import Dataset, IntArray, TableSchema
from trainwell.data.split import sample_rows
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.sample import Sample, sealed_rows, unsaid
from trainwell.doctor.simple_models import Floats, linear_guess
from trainwell.doctor.views import affordable, view

SHIFT, SURE = 0.5, 1e-6  # standardised difference of means, and p of the two samples' test
TELLS = 0.75  # area under the curve of telling two parts apart
PART_ROWS = 2000
LEAST = 30
MOST_INPUTS = 1024


@dataclass(frozen=True)
class Drift:
    """How two parts differ.

    shift: largest standardised difference of means among columns that differ for sure, `name`
    of that column; auc: of telling the parts apart, with its lower 95 % end.
    """

    auc: float
    low: float
    shift: float
    name: str
    rows: int

    @property
    def found(self) -> bool:
        """Whether the parts differ."""
        return self.low > TELLS or self.shift > SHIFT


def drift(sample: Sample) -> Check:
    """Validation or test rows that are unlike the training rows.

    What it sees: inputs of the parts; labels play no part.
    Why it matters: the score then measures other data than those that are learned from.
    Evidence: per column the difference of means over the pooled deviation, above 0.5 with
    Kolmogorov-Smirnov p < 1e-6 after Holm; and a linear classifier on features and their squares
    that tells the parts apart out of sample, lower end of its AUC above 0.75. Warning; a
    note where parts are whole groups, which differ by intention.
    When it is wrong: a test part of later or other data is unlike on purpose.
    Remedies: one pre-processing for all parts; divide again at random or by groups.
    Slide: "Data pre-processing".
    """
    code, name, slide = "D12", "drift-between-parts", "Data pre-processing"
    data, split = sample.data, sample.split
    most = affordable(data, 2 * PART_ROWS) // 2
    pairs: list[tuple[str, IntArray, IntArray]] = []
    if split.folds:
        pairs.append(("validation", split.folds[0].train, split.folds[0].validation))
    sealed = sealed_rows(data, split)
    if len(sealed):
        pairs.append(("test", split.development, sealed))
    found: list[tuple[str, Drift]] = []
    none = np.zeros(len(data), np.int64)
    for number, (part, train, held) in enumerate(pairs):
        if min(len(train), len(held)) >= LEAST:
            stream = sample.seed_for(f"drift {number}")
            some = sample_rows(train, none, most, stream), sample_rows(held, none, most, stream)
            found.append((part, drift_between(data, *some, stream)))
    if not found:
        return unsaid(code, name, f"parts have fewer than {LEAST} rows", slide)
    worst = max(found, key=lambda f: (f[1].found, f[1].low))
    words = "; ".join(
        f"{part} rows are told from training rows with AUC {d.auc:.2f} (at least {d.low:.2f}, "
        f"{d.rows:,} rows)"
        + (f', "{d.name}" lies {d.shift:.1f} deviations apart' if d.shift > SHIFT else "")
        for part, d in found
    )
    level: Level = "pass"
    if worst[1].found:
        level = "warning"
        if data.groups is not None:
            level, words = "note", f"{words}; parts are whole groups, which differ by intention"
    mend = (
        Remedy("prepare all parts by one pipeline, fitted on training rows"),
        Remedy("divide again, at random or by groups, if the test part need not be unlike"),
    )
    return Check(
        code, name, level, worst[1].auc, TELLS, words[0].upper() + words[1:] + ".",
        mend if level != "pass" else (), slide,
    )  # fmt: skip


def drift_between(data: Dataset, one: IntArray, other: IntArray, seed: int) -> Drift:
    """How rows (a,) and rows (b,) differ in their inputs."""
    features = view(data, np.concatenate([one, other]))
    part = np.repeat([0, 1], [len(one), len(other)])
    both = np.concatenate([features, features**2], axis=1)
    both -= both.mean(axis=0)
    guess = linear_guess(both.astype(np.float32), part, 2, seed)
    odds = np.log(guess.chances[:, 1] + 1e-12) - np.log(guess.chances[:, 0] + 1e-12)
    auc = _auc(odds, part)
    low = auc - 1.96 * _auc_error(auc, len(one), len(other))
    shift, name = 0.0, ""
    if isinstance(data.schema, TableSchema):
        step = -(-len(data.schema.features) // MOST_INPUTS)
        names = [f.name for f in data.schema.features[::step]]
        columns = [data.inputs[one][:, ::step].T, data.inputs[other][:, ::step].T]
        words = [bool(f.levels) for f in data.schema.features[::step]]
        tests = [
            (0.0, 1.0) if w else _difference(a.astype(np.float64), b.astype(np.float64))
            for a, b, w in zip(*columns, words, strict=True)
        ]
        shift, name = _worst(tests, names)
    return Drift(auc, low, shift, name, len(one) + len(other))


def _worst(tests: list[tuple[float, float]], names: list[str]) -> tuple[float, str]:
    """The largest difference of means among the columns that Holm's procedure keeps."""
    order = sorted(range(len(tests)), key=lambda j: tests[j][1])
    kept: list[int] = []
    for rank, j in enumerate(order):
        if tests[j][1] * (len(tests) - rank) >= SURE:
            break
        kept.append(j)
    if not kept:
        return 0.0, ""
    best = max(kept, key=lambda j: tests[j][0])
    return tests[best][0], names[best]


def _difference(a: Floats, b: Floats) -> tuple[float, float]:
    """Standardised difference of means, and p of the Kolmogorov-Smirnov test."""
    from scipy.special import kolmogorov  # not scipy.stats: that takes 0.7 s to import

    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if min(len(a), len(b)) < LEAST:
        return 0.0, 1.0
    spread = math.sqrt((a.var() + b.var()) / 2)
    gap = abs(float(a.mean() - b.mean()))
    values = np.sort(np.concatenate([a, b]))
    steps = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (a, b)]
    distance = float(np.abs(steps[0] - steps[1]).max())
    size = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    p = float(kolmogorov((size + 0.12 + 0.11 / size) * distance))
    return (gap / spread if spread > 0 else math.inf if gap > 0 else 0.0), p


def _auc(scores: Floats, part: IntArray) -> float:
    """Area under the curve: how often a row of part 1 has the higher score; ties count half.

    >>> _auc(np.array([0.0, 1.0, 1.0, 2.0]), np.array([0, 0, 1, 1]))
    0.875
    """
    zero = np.sort(scores[part == 0])
    one = scores[part == 1]
    below = np.searchsorted(zero, one, "left") + np.searchsorted(zero, one, "right")
    return float(below.mean() / 2 / len(zero))


def _auc_error(auc: float, a: int, b: int) -> float:
    """Standard error of an area under the curve (Hanley and McNeil 1982)."""
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    square = auc * (1 - auc) + (b - 1) * (q1 - auc * auc) + (a - 1) * (q2 - auc * auc)
    return math.sqrt(max(square, 0.0) / (a * b))
