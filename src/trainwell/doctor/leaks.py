"""Columns that know the answer: leaks and row numbers.

Shapes: n rows of a sample, D columns, C classes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import each_column
from trainwell.data.dataset import Dataset, IntArray, TableSchema
from trainwell.data.split import sample_rows
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.sample import Sample, counted, listed, unsaid
from trainwell.doctor.simple_models import Floats, balanced, equal_say, parts_of
from trainwell.doctor.views import view

ALONE, AHEAD = 0.98, 3.0  # of one column: share of the score of all, and times the next
RARER = 10.0  # times as rare are its errors as those of the next, where it is hardly ever wrong
UNIQUE = 0.95
BINS = 32
FINER = 5  # columns that do best are cut again where classes change
MOST_INPUTS = 1024


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
    said = [g.chances * equal_say(y, classes) for g in (sample.linear, sample.neighbours)]
    whole = max(above(balanced(y, chances.argmax(axis=1), classes)) for chances in said)
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
