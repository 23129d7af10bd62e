"""Labels that are wrong, and labels that do not belong to their inputs.

Shapes: n rows of the sample, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import IntArray
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.sample import Sample, counted, unsaid
from trainwell.doctor.simple_models import balanced, equal_say, linear_fit, parts_of, vote
from trainwell.seeding import numpy_stream
from trainwell.stats import Interval, wilson

Floats = npt.NDArray[np.float64]
WRONG = 0.03  # share of wrong labels, by the lower end of the interval
SKILL = 0.4  # accuracy above that of guessing below which simple models cannot judge labels
BEYOND = 1.1  # times the share that overlap explains
WEAKER = 0.05  # accuracy that linear discriminants lack, from which they expect too many errors
PERMUTATIONS, CHANCE = 39, 0.05
CLEAR = 4.0  # deviations of shuffled scores from which a score is beyond chance
PER_CLASS = 30  # rows per class that the permutation test needs


def wrong_labels(sample: Sample) -> Check:
    """Labels that contradict what the rest of the data says with confidence.

    What it sees: rows far inside one class, by two simple models, that carry another label.
    Why it matters: a network learns wrong labels by heart and gives them back; they cap its score.
    Evidence: out-of-sample probabilities of linear discriminants and nearest neighbours. Rows on
    whose class both agree are ranked by their confidence; the upper half is taken as known (a weak
    model's errors lie in the lower half). Their share of other labels estimates the rate (anchor
    points: Liu and Tao 2016; the diagonal of the confident joint: Northcutt et al. 2021).
    Warning when its Wilson interval lies above 3 %, above what the linear discriminants themselves
    expect where classes overlap (1 minus their confidence), and the share in the upper quarter is
    not less than half of it: honest errors thin out with confidence, wrong labels do not.
    When it is wrong: not decided where simple models are little better than guessing. Classes with
    heavy tails have honest rows deep inside another class, which look the same as wrong labels.
    Remedies: correct the listed rows; label smoothing; stop early.
    Slide: "Regularization".
    """
    code, name, slide = "D07", "probably-wrong-labels", "Regularization"
    if not sample.enough or len(sample.rows) < 60:
        return unsaid(code, name, "there are too few rows for simple models", slide)
    y = sample.labels
    guess = float(np.bincount(y).max() / len(y))
    skill = (sample.better.accuracy - guess) / max(1e-9, 1 - guess)
    if skill < SKILL:
        return unsaid(
            code, name,
            f"simple models get {sample.better.accuracy:.1%} right where the largest class has "
            f"{guess:.1%}, too little to call a label wrong", slide,
        )  # fmt: skip
    noise = label_noise(y, sample.linear.chances, sample.neighbours.chances)
    share, suspects, rows = noise.share, noise.suspects, sample.rows[noise.suspects]
    level: Level = "warning" if share.low > WRONG and not noise.overlap else "pass"
    most = 5 if level == "warning" else 2
    told = sample.neighbours.classes[suspects]
    shown = "; ".join(
        f'{sample.data.names[r]}: "{sample.data.classes[sample.data.labels[r]]}", more like '
        f'"{sample.data.classes[c]}"'
        for r, c in zip(rows[:most].tolist(), told[:most].tolist(), strict=True)
    )
    words = (
        f"Of {noise.known:,} rows whose class two simple models know with confidence, "
        f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%}) carry another label"
    )
    if noise.overlap and share.low > WRONG:
        words += ", as classes that overlap make it"
    if level == "warning":
        words += (
            f", so about {share.value:.0%} of all labels may be wrong. Looked at {len(y):,} "
            f"of {len(sample.split.development):,} rows"
        )
    if shown and len(rows):
        words += f". First suspects: {shown}"
    mend = (
        Remedy("look at the rows that are named, and correct their labels"),
        Remedy("smooth the labels",
               (("regularize", "(L2(0.0001), Dropout(0.2), LabelSmoothing())"),)),
        Remedy("stop early", (("patience", "5"),)),
    )  # fmt: skip
    found = mend if level == "warning" else ()
    return Check(code, name, level, share.value, WRONG, words + ".", found, slide)


@dataclass(frozen=True, eq=False)
class Noise:
    """What confident rows say about labels.

    share: of other labels among the `known` surest rows; suspects: places of those rows, surest
    first; overlap: whether classes that overlap explain that share.
    """

    share: Interval
    suspects: IntArray
    known: int
    overlap: bool


def label_noise(y: IntArray, first: Floats, second: Floats) -> Noise:
    """Wrong labels by two models' out-of-sample probabilities (n, C), the first of them linear."""
    classes = second.argmax(axis=1)
    agreed = np.flatnonzero(first.argmax(axis=1) == classes)
    if len(agreed) < 20:
        return Noise(Interval(0.0, 0.0, 1.0), agreed[:0], len(agreed), True)
    sure = np.sqrt(first.max(axis=1) * second.max(axis=1))[agreed]
    order = agreed[np.argsort(-sure, kind="stable")]
    other, expected = classes[order] != y[order], 1 - first.max(axis=1)[order]
    half, quarter = (wilson(int(other[:n].sum()), n) for n in (len(order) // 2, len(order) // 4))
    more = half.low > BEYOND * float(expected[: len(order) // 2].mean())
    if (classes == y).mean() > (first.argmax(axis=1) == y).mean() + WEAKER:
        # The linear model doubts more than it should: believe it where it is surest only.
        more = more or quarter.low > BEYOND * float(expected[: len(order) // 4].mean())
    overlap = not more or quarter.value < 0.5 * half.value
    surest = order[: len(order) // 2]
    return Noise(half, surest[other[: len(surest)]], len(surest), overlap)


def misaligned_labels(sample: Sample) -> Check:
    """Labels that belong to other rows than they stand at.

    What it sees: simple models that predict the labels no better than shuffled ones.
    Why it matters: nothing can be learned; usually inputs and labels were sorted or joined apart.
    Evidence: balanced accuracy of nearest neighbours, or of linear discriminants on held-out rows
    where that is higher, against 39 random permutations of the labels. Where classes are uneven
    both decide as if they were equally frequent: else they hardly ever call a rare one, with any
    labels. Warning when p > 0.05,
    there are at least 30 rows per class, and no single input differs between classes either; a
    note when p is lower but the score less than 4 deviations from the shuffled ones (of uneven
    classes: and no single input differs).
    When it is wrong: tasks that only a network can solve.
    Remedies: join inputs and labels by a key; shuffle both alike.
    Slide: "Shuffle".
    """
    code, name = "D10", "misaligned-labels"
    if not sample.enough:
        return unsaid(code, name, "there are too few rows for simple models", "Shuffle")
    stream = numpy_stream(sample.seed_for("permutations"))
    y = sample.labels
    real = _best_score(sample, y)
    drawn = [_best_score(sample, stream.permutation(y)) for _ in range(PERMUTATIONS)]
    p = (1 + sum(d >= real for d in drawn)) / (1 + len(drawn))
    words = (
        f"Simple models reach a balanced accuracy of {real:.1%}; with shuffled labels "
        f"{np.mean(drawn):.1%} on average, {max(drawn):.1%} at most (p = {p:.3f}, "
        f"{counted(len(y), 'row')})."
    )
    level: Level = "pass"
    beyond = (real - float(np.mean(drawn))) / max(float(np.std(drawn)), 1e-9)
    # Few rows of a rare class make shuffled scores vary: a good one is not far beyond them.
    uneven = bool((equal_say(y, sample.classes) != 1).any())
    unsure = p > CHANCE or (uneven and beyond < CLEAR)
    column_p = _column_test(sample, stream) if unsure else 1.0
    if column_p < CHANCE:
        words += f" Single inputs do tell classes apart (p = {column_p:.3f})."
        p = column_p
    elif p <= CHANCE and beyond < CLEAR:
        level = "note"
        words += f" That is {beyond:.1f} deviations from chance: "
        words += (
            "with so few rows of a class it is not sure that labels fit the inputs."
            if uneven
            else "the labels hardly fit the inputs."
        )
    if p > CHANCE:
        enough = len(y) >= PER_CLASS * len(np.unique(y))
        level = "warning" if enough else "note"
        words += (
            " The labels seem not to belong to these inputs."
            if enough
            else " That is no better than chance, with too few rows to be sure."
        )
    mend = (
        Remedy("join inputs and labels by a key instead of by position"),
        Remedy("where rows are shuffled before reading, shuffle inputs and labels alike"),
    )
    return Check(code, name, level, p, CHANCE, words, mend if level != "pass" else (), "Shuffle")


def _column_test(sample: Sample, stream: np.random.Generator) -> float:
    """p of the largest share of its variance that classes explain in any one input.

    Models drown where one input of thousands matters; this does not.
    """
    keep = slice(0, None, len(sample.rows) // 1000 + 1)
    x = sample.data.inputs[sample.rows[keep]].reshape(len(sample.labels[keep]), -1)
    x = np.nan_to_num(x[:, :: x.shape[1] // 10_000 + 1].astype(np.float32), posinf=0, neginf=0)
    x -= x.mean(axis=0)
    total = np.square(x).sum(axis=0)
    x = x[:, total > 0] / np.sqrt(total[total > 0])
    y = sample.labels[keep]
    counts = np.maximum(np.bincount(y, minlength=sample.classes), 1)[:, None]

    def explained(labels: IntArray) -> float:
        marks = (labels == np.arange(sample.classes)[:, None]).astype(np.float32)
        return float((np.square(marks @ x) / counts).sum(axis=0).max(initial=0.0))

    real = explained(y)
    drawn = [explained(stream.permutation(y)) for _ in range(PERMUTATIONS)]
    return (1 + sum(d >= real for d in drawn)) / (1 + len(drawn))


def _best_score(sample: Sample, y: IntArray) -> float:
    """Balanced accuracy of the better of two simple models for these labels (n,)."""
    weight = equal_say(y, sample.classes)
    near = (vote(y, sample.places, sample.classes) * weight).argmax(axis=1)
    held = parts_of(y, 0) == 0
    x = sample.view
    if len(y) > 2500:  # enough to tell from chance
        keep = slice(0, None, len(y) // 2500 + 1)
        held, x, y_linear = held[keep], x[keep], y[keep]
    else:
        y_linear = y
    weights, bias = linear_fit(x[~held], y_linear[~held], sample.classes)
    guess = (x[held] @ weights + bias + np.log(weight)).argmax(axis=1)
    return max(balanced(y, near, sample.classes), balanced(y_linear[held], guess, sample.classes))
