"""Parts that differ, and columns that know the answer: drift, leaks and row numbers.

Shapes: a, b rows of two parts, n rows of a sample, D columns, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import each_column
from trainwell.data.dataset import Dataset, IntArray, TableSchema
from trainwell.data.split import sample_rows
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.sample import Sample, counted, listed, sealed_rows, unsaid
from trainwell.doctor.simple_models import Floats, balanced, linear_guess, parts_of
from trainwell.doctor.views import affordable, view

SHIFT, SURE = 0.5, 1e-6  # standardised difference of means, and p of the two samples' test
TELLS = 0.75  # area under the curve of telling two parts apart
PART_ROWS = 2000
LEAST = 30
ALONE, AHEAD = 0.98, 3.0  # of one column: share of the score of all, and times the next
RARER = 10.0  # times as rare are its errors as those of the next, where it is hardly ever wrong
UNIQUE = 0.95
BINS = 32
FINER = 5  # columns that do best are cut again where classes change
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


def leaking_column(sample: Sample) -> Check:
    """One input that gives the answer away.

    What it sees: how well each column, or pixel, predicts the class alone.
    Why it matters: such a column is often written after the fact, or is the label itself; it
    will not be there for new data.
    Evidence: balanced accuracy of 32 bins of each column, and of a decision tree on the best five,
    out of sample, above chance (0 guessing, 1 perfect). Warning where one column reaches 98 % of
    what all columns reach together and 3 times the next, or is hardly ever wrong while the next
    errs ten times as often; or is never wrong with exactly one value for each class.
    When it is wrong: a column may truly decide, as a fever decides "ill".
    Remedies: ask when the column is written; drop it.
    Slide: "Data augmentation" (similar to the test data).
    """
    code, name = "D13", "leaking-column"
    data, y, classes = sample.data, sample.labels, sample.classes
    if not sample.enough or len(y) < 50:
        return unsaid(code, name, "there are too few rows")
    keep = parts_of(y, sample.seed_for("leaks"), max(1, len(y) // 2000)) == 0
    rows, labels = sample.rows[keep], y[keep]
    names, inputs = _inputs(data, rows)
    if len(names) < 2:
        return unsaid(code, name, "there is one input only")
    part = parts_of(labels, sample.seed_for("leak parts"))
    chance = 1 / len(np.unique(labels))

    def above(score: float) -> float:
        return max(0.0, (score - chance) / (1 - chance))

    alone = np.array([above(_alone(column, labels, part, classes)) for column in inputs])
    whole = max(above(balanced(y, g.classes, classes)) for g in (sample.linear, sample.neighbours))
    for j in np.argsort(-alone)[:FINER]:
        alone[j] = max(alone[j], above(_cut_well(inputs[j], labels, part, classes)))
    best, second = (int(j) for j in np.argsort(-alone)[:2])
    rival = float(alone[second])
    value = float(alone[best])
    values = np.unique(inputs[best][np.isfinite(inputs[best])])
    copies = value > 0.999 and len(values) == len(np.unique(labels))
    ahead = value > AHEAD * rival or (
        value >= ALONE and 1 - rival > RARER * (1 - value + 2 / len(labels))
    )
    leaks = copies or (value >= max(0.3, ALONE * whole) and ahead)
    what = f'"{names[best]}"' if data.kind == "table" else names[best]
    words = (
        f"{what} alone predicts the class {value:.2f} of the way from guessing to perfect, the "
        f"next best {rival:.2f}, simple models on all inputs {whole:.2f} "
        f"({len(labels):,} rows)"
    )
    if leaks:
        words += (
            "; it holds one value for each class, as a copy of the label does"
            if copies
            else "; it knows as much as all inputs together"
        )
    mend = (
        Remedy(f"ask when {what} is written: it must be known before the class is"),
        Remedy(f"leave {what} out"),
    )
    return Check(
        code, name, "warning" if leaks else "pass", value, ALONE * whole, words + ".",
        mend if leaks else (),
    )  # fmt: skip


def _inputs(data: Dataset, rows: IntArray) -> tuple[list[str], list[npt.NDArray[np.float64]]]:
    """Names and values (n,) of single inputs; of large pictures and of sound, of their features."""
    if isinstance(data.schema, TableSchema):
        columns = [c.astype(np.float64) for c in each_column(data.inputs, rows)][:MOST_INPUTS]
        return [f.name for f in data.schema.features][:MOST_INPUTS], columns
    if data.kind == "images" and math.prod(data.schema.shape) <= MOST_INPUTS:
        flat = data.inputs[rows].reshape(len(rows), -1).T.astype(np.float64)
        _, height, width = data.schema.shape
        names = [
            f"the pixel in line {j // width % height + 1}, column {j % width + 1}"
            for j in range(len(flat))
        ]
        return names, list(flat)
    features = view(data, rows).T.astype(np.float64)
    what = "a place in the small picture" if data.kind == "images" else "a place in the spectrogram"
    return [what] * len(features), list(features)


def _alone(column: Floats, y: IntArray, part: IntArray, classes: int) -> float:
    """Balanced accuracy of one column (n,) cut into bins, each row by the other four fifths."""
    known = np.isfinite(column)
    values = np.unique(column[known])
    if len(values) < 2 and known.all():
        return 1 / max(1, len(np.unique(y)))
    if len(values) > BINS:
        edges = np.unique(np.quantile(column[known], np.linspace(0, 1, BINS + 1)[1:-1]))
    else:
        edges = values[1:]
    bins = np.searchsorted(edges, np.where(known, column, 0), side="right")
    bins[~known] = len(edges) + 1
    size = len(edges) + 2
    cells = bins * classes + y
    total = np.bincount(cells, minlength=size * classes)
    weight = 1 / np.maximum(np.bincount(y, minlength=classes), 1)
    guess = np.empty(len(y), np.int64)
    for number in range(int(part.max()) + 1):
        held = part == number
        rest = total - np.bincount(cells[held], minlength=size * classes)
        answer = (rest.reshape(size, classes) * weight).argmax(axis=1)
        guess[held] = answer[bins[held]]
    return balanced(y, guess, classes)


def _cut_well(column: Floats, y: IntArray, part: IntArray, classes: int) -> float:
    """Balanced accuracy of a tree on one column (n,), each row by the other four fifths."""
    from sklearn.tree import DecisionTreeClassifier

    x = np.where(np.isfinite(column), column, np.nanmin(column, initial=0.0) - 1)[:, None]
    guess = np.empty(len(y), np.int64)
    for number in range(int(part.max()) + 1):
        held = part == number
        tree = DecisionTreeClassifier(
            max_leaf_nodes=4 * classes, min_samples_leaf=2, class_weight="balanced", random_state=0
        )
        guess[held] = tree.fit(x[~held], y[~held]).predict(x[held])
    return balanced(y, guess, classes)


def identifier_column(sample: Sample) -> Check:
    """Columns that number the rows.

    What it sees: whole numbers, or words, that are different in nearly every row.
    Why it matters: a number of the row tells nothing about new rows, and everything about these
    where the file is sorted by class.
    Evidence: share of different values, at least 95 %; for numbers also that they rise or
    fall through the file, or fill their range. Note; warning where the column alone predicts
    the class better than half way.
    When it is wrong: a time stamp that matters; a measured whole number with a wide range.
    Remedies: leave the column out.
    Slide: "Data pre-processing".
    """
    code, name, slide = "D13", "identifier-column", "Data pre-processing"
    data, schema = sample.data, sample.data.schema
    if not isinstance(schema, TableSchema):
        return Check(code, name, "pass", None, UNIQUE, "No columns: pictures or sound.")
    rows = sample_rows(
        sample.split.development, np.zeros(len(data), np.int64),
        max(1000, 4_000_000 // max(1, data.inputs.shape[1])), sample.seed_for("identifiers"),
    )  # fmt: skip
    if len(rows) < 50:
        return unsaid(code, name, "there are too few rows", slide)
    found: list[str] = []
    worst = predictive = 0.0
    labels = data.labels[rows]
    part = parts_of(labels, sample.seed_for("identifier parts"))
    chance = 1 / max(2, len(np.unique(labels)))
    for feature, raw in zip(schema.features, each_column(data.inputs, rows), strict=True):
        column = raw.astype(np.float64)
        share = len(np.unique(column[np.isfinite(column)])) / len(column)
        if not feature.levels and not _numbers_rows(column, len(data)):
            continue
        worst = max(worst, share)
        if share >= UNIQUE:
            found.append(feature.name)
            score = _alone(column, labels, part, sample.classes)
            predictive = max(predictive, (score - chance) / (1 - chance))
    ignored = list(schema.ignored)
    left = f" The reader left out {listed(ignored)}." if ignored else ""
    if not found:
        return Check(code, name, "pass", worst, UNIQUE, f"No column numbers the rows.{left}")
    words = f"{counted(len(found), 'column')} nearly different in every row: {listed(found)}"
    level: Level = "note"
    if predictive > 0.5:
        level = "warning"
        words += f"; alone it predicts the class {predictive:.2f} of the way to perfect"
    mend = (Remedy(f"leave out {listed(found)}"),)
    return Check(code, name, level, worst, UNIQUE, f"{words}.{left}", mend, slide)


def _numbers_rows(column: Floats, rows: int) -> bool:
    """Whether whole numbers count: they go one way through the file, or fill their range."""
    known = column[np.isfinite(column)]
    if len(known) < 2 or (known != np.round(known)).any():
        return False
    steps = np.diff(known)
    one_way = max((steps > 0).mean(), (steps < 0).mean()) > 0.99
    return bool(one_way or np.ptp(known) < 1.5 * rows)
