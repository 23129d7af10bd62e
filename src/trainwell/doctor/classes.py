"""Classes and their rows: sizes, order, names, and how many rows validate.

Shapes: n training rows, C classes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from trainwell.data.dataset import IntArray
from trainwell.data.imbalance import EVEN, VERY_UNEVEN, imbalance_of
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.sample import Sample, counted, listed, unsaid
from trainwell.seeding import numpy_stream
from trainwell.stats import wilson

if TYPE_CHECKING:
    from trainwell.techniques.shuffle import Shuffle

FEW = 20
SORTED, MIXED = -4.0, 0.5
HALF_WIDTH = 0.05
BATCH = 32


def class_imbalance(sample: Sample) -> Check:
    """Classes of very different size.

    What it sees: rows per class outside the test part.
    Why it matters: a network does well on the average by ignoring rare classes.
    Evidence: rows of the largest over those of the smallest class: above 3 a note, above 10 a
    warning; exp(H) / C, with H the entropy of the shares, 1 for equal classes: below 0.5 a warning.
    When it is wrong: rare classes may be easy; recall per class after training tells.
    Remedies: weights, resampling, balanced batches, augmentation of the rare class.
    Slide: "Class imbalance".
    """
    counts = np.bincount(sample.data.labels[sample.split.development], minlength=sample.classes)
    found = imbalance_of(counts, sample.data.classes)
    level: Level = "pass"
    if found.ratio > VERY_UNEVEN or found.evenness < EVEN:
        level = "warning"
    elif found.imbalanced:
        level = "note"
    mend = (
        Remedy("look at recall per class and balanced accuracy, not at accuracy alone"),
        Remedy("move the decision towards rare classes", (("balance", "LogitAdjust()"),)),
        Remedy("weigh classes by their size", (("balance", "ClassWeights()"),)),
        Remedy("show rare rows more often", (("balance", "Oversample()"),)),
    )
    return Check(
        "D08", "class-imbalance", level, found.ratio, VERY_UNEVEN, found.words,
        mend if level != "pass" else (), "Class imbalance",
    )  # fmt: skip


def few_rows_per_class(sample: Sample) -> Check:
    """Classes with hardly any training rows.

    What it sees: training rows of the smallest class in the fold that has fewest of it.
    Why it matters: it cannot be learned, nor its recall be measured.
    Evidence: fewer than 20: a note.
    When it is wrong: classes that lie far apart need few rows.
    Remedies: collect more; augment the rare class; join classes.
    Slide: "Class imbalance".
    """
    data, folds = sample.data, sample.split.folds
    counts = [np.bincount(data.labels[f.train], minlength=sample.classes) for f in folds]
    if not counts:
        return unsaid("D08", "too-few-rows-per-class", "there is no training part")
    least = np.minimum.reduce(counts)
    has = np.bincount(data.labels[sample.split.development], minlength=sample.classes) > 0
    few = np.flatnonzero((least < FEW) & has)
    smallest = int(least[has].min())
    shown = ", ".join(f'"{data.classes[c]}" {least[c]}' for c in few[:6])
    words = (
        f"{counted(len(few), 'class', 'classes')} with fewer than {FEW} training rows: {shown}."
        if len(few)
        else f"Every class has at least {smallest:,} training rows in every fold."
    )
    mend = (Remedy("collect more rows of them, or join classes"),) if len(few) else ()
    return Check(
        "D08", "too-few-rows-per-class", "note" if len(few) else "pass", float(smallest), FEW,
        words, mend, "Class imbalance",
    )  # fmt: skip


def sorted_order(sample: Sample, shuffle: Shuffle = "every_epoch", batch: int = BATCH) -> Check:
    """Rows that come sorted by class, and are shown that way.

    What it sees: labels of the training rows in the order of the file.
    Why it matters: batches of one class pull the weights to and fro; batch norm sees one class.
    Evidence: runs of equal labels against those of a random order (Barton and David 1957), z;
    mean entropy of the classes in a batch over that in random order. Sorted (z < -4) and shown so:
    fault where the entropy ratio is below 0.5, else a warning. Shuffled anyway: a note.
    When it is wrong: batches of as many rows as there are do not care.
    Remedies: shuffle in every epoch.
    Slide: "Shuffle".
    """
    name = "sorted-order"
    if not sample.split.folds:
        return unsaid("D09", name, "there is no training part", "Shuffle")
    y = sample.data.labels[sample.split.folds[0].train]
    if shuffle == "by_class":
        y = np.sort(y, kind="stable")
    z, ratio = runs_test(y), entropy_ratio(y, batch, sample.seed_for("order"))
    runs = 1 + int((y[1:] != y[:-1]).sum())
    words = (
        f"{runs:,} runs of equal labels in {len(y):,} training rows in "
        f"{'the order of classes' if shuffle == 'by_class' else 'file order'} (z = {z:.1f}); "
        f"batches of {batch} in that order hold {ratio:.0%} of the entropy of mixed ones"
    )
    level: Level = "pass"
    if z < SORTED:
        if shuffle in ("never", "by_class"):
            level = "fault" if ratio < MIXED else "warning"
            shown = (
                "Rows are shown sorted"
                if ratio < MIXED
                else "Rows of a class tend to be shown after each other"
            )
            words = f"{shown}: {words}"
        else:
            level = "note"
            order = (
                "The file is sorted by class"
                if ratio < MIXED
                else "In the file rows of a class tend to follow each other"
            )
            words = f"{order}, and rows are shuffled for training: {words}"
    mend = (Remedy("shuffle in every epoch", (("shuffle", "every_epoch"),)),)
    return Check(
        "D09", name, level, z, SORTED, words + ".",
        mend if level in ("warning", "fault") else (), "Shuffle",
    )  # fmt: skip


def runs_test(y: IntArray) -> float:
    """z of the number of runs in labels (n,) under a random order; strongly negative: sorted.

    >>> round(runs_test(np.repeat([0, 1], 50)), 1), abs(runs_test(np.array([0, 1]))) < 2
    (-9.8, True)
    """
    n = len(y)
    counts = np.bincount(y).astype(np.float64)
    two, three = float((counts**2).sum()), float((counts**3).sum())
    if n < 3:
        return 0.0
    mean = (n * (n + 1) - two) / n
    variance = (two * (two + n * (n + 1)) - 2 * n * three - n**3) / (n**2 * (n - 1))
    runs = 1 + int((y[1:] != y[:-1]).sum())
    return float((runs - mean) / math.sqrt(variance)) if variance > 1e-9 else 0.0


def entropy_ratio(y: IntArray, batch: int, seed: int) -> float:
    """Mean entropy of the labels in batches in this order, over that in a random order."""
    whole = len(y) // batch * batch
    if not whole:
        return 1.0
    mixed = numpy_stream(seed).permutation(y)
    here, there = (_entropy(some[:whole].reshape(-1, batch)) for some in (y, mixed))
    return max(0.0, here / there) if there > 0 else 1.0


def _entropy(batches: IntArray) -> float:
    classes = int(batches.max()) + 1
    flat = batches + classes * np.arange(len(batches))[:, None]
    counts = np.bincount(flat.ravel(), minlength=classes * len(batches)).reshape(-1, classes)
    shares = counts / batches.shape[1]
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return abs(float((shares * logs).sum(axis=1).mean()))


def label_coding(sample: Sample) -> Check:
    """Classes that are none: without rows, with one row, or one class under two spellings.

    What it sees: names and counts of the classes.
    Why it matters: a class without rows is a unit that only learns to be silent; two spellings
    split one class in two that no network can tell apart.
    Evidence: names that are equal but for case, spaces and marks between words, and classes
    without a row outside the test part: warning. A single row: note.
    When it is wrong: "a" and "A" as characters to read are two classes.
    Remedies: one spelling per class; more rows.
    Slide: "Class imbalance".
    """
    data = sample.data
    spelled: dict[str, list[str]] = defaultdict(list)
    for word in data.classes:
        spelled["".join(word.casefold().replace("_", " ").replace("-", " ").split())].append(word)
    letters = all(len(word.strip()) == 1 for word in data.classes)
    twice = [] if letters else [names for names in spelled.values() if len(names) > 1]
    counts = np.bincount(data.labels[sample.split.development], minlength=sample.classes)
    unseen = [data.classes[c] for c in np.flatnonzero(counts == 0)]
    single = [data.classes[c] for c in np.flatnonzero(counts == 1)]
    parts = [
        *(f"spelled in {len(names)} ways: {listed(names)}" for names in twice[:5]),
        *([f"without a row to train on, hence never learned: {listed(unseen)}"] if unseen else []),
        *([f"with one row only: {listed(single)}"] if single else []),
    ]
    level: Level = "warning" if twice or unseen else "note" if single else "pass"
    words = (
        f"Classes {'; '.join(parts)}."
        if parts
        else f"{sample.classes} classes, all with rows and with names of their own."
    )
    value = float(len(twice) + len(unseen) + len(single))
    mend = (
        *((Remedy("write one spelling for each class"),) if twice else ()),
        *((Remedy("give training rows of every class, or leave it out"),) if parts else ()),
    )
    return Check("D11", "label-coding", level, value, 0.0, words, mend, "Class imbalance")


def validation_too_small(sample: Sample, accuracy: float | None) -> Check:
    """So few validation rows that differences between trainings cannot be seen.

    What it sees: different rows that some fold validates on.
    Why it matters: a difference smaller than the interval is no difference.
    Evidence: half the width of the 95 % Wilson interval at the accuracy of a simple model
    (at 80 % where there is none): above 5 points a note.
    When it is wrong: comparisons on the same rows are sharper than single intervals.
    Remedies: a larger validation part; more folds.
    Slide: "Performance plot".
    """
    folds = sample.split.folds
    held = np.zeros(len(sample.data), np.bool_)
    for fold in folds:
        held[fold.validation] = True
    count = int(held.sum())
    if not count:
        return unsaid("D15", "validation-too-small", "there is no validation part")
    p = 0.8 if accuracy is None else accuracy
    interval = wilson(p * count, count)
    half = (interval.high - interval.low) / 2
    words = (
        f"{counted(count, 'validation row')} in {counted(len(folds), 'fold')} measure an "
        f"accuracy of {p:.0%} within ±{100 * half:.1f} points"
    )
    small = half > HALF_WIDTH
    if small:
        words += "; smaller differences cannot be told from chance"
    mend = (
        Remedy("validate on more rows, for instance with --folds 10, or repeat with more seeds"),
    )
    return Check(
        "D15", "validation-too-small", "note" if small else "pass", half, HALF_WIDTH, words + ".",
        mend if small else (), "Performance plot",
    )  # fmt: skip
