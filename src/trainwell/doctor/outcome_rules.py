"""Rules about what came out: F04, F05, F06, F07, F10.

M members, E epochs, C classes.
"""

from __future__ import annotations

import math

import numpy as np

from trainwell.doctor import reading, series
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Finding, Measure, Remedy, Where
from trainwell.doctor.fit_rules import gap
from trainwell.doctor.label_rules import never_better_than_chance
from trainwell.doctor.thresholds import Thresholds
from trainwell.stats import wilson

PLOT, IMBALANCE, ENSEMBLE = "Performance plot", "Class imbalance", "Ensemble"


def collapsed_predictor(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """F04: one answer for all rows.

    What it sees: held-out answers of which nearly all are one class; or, without them, a
    validation that was never better than always saying the most frequent class.
    Why it matters: whatever the accuracy says, nothing was learned; never a repaired state.
    Evidence: share of the most predicted class at `one_class`, and no better than the most
    frequent class; or best loss and accuracy at chance in `agree` of the members.
    When it is wrong: data with one class in 20 of 20 rows; the answer is then right.
    Remedies: what the other findings name: rate, initial weights, data.
    Slide: "Performance plot".
    """
    usual = reading.majority(evidence)
    if usual is None:
        return None
    counts = evidence.confusion
    mask = never_better_than_chance(evidence, limits)
    base = reading.chance(evidence)
    if counts is not None and counts.sum():
        rows = float(counts.sum())
        share = float(counts.sum(axis=0).max() / rows)
        right = wilson(float(np.trace(counts)), rows, limits.confidence)
        one = share >= limits.one_class and right.low <= usual and usual < limits.one_class
        said = series.most(mask, limits.agree) or not evidence.has("val_loss") or base is None
        if not one or not (said or share >= limits.all_one_class):
            return None
        name = _names(evidence, [int(counts.sum(axis=0).argmax())])
        words = f"{reading.percent(share)} of the held-out rows are called {name}"
        measure = Measure("most_predicted_class", share, threshold=limits.one_class)
    else:
        bad = mask & ~(reading.level(evidence, limits) < limits.memorised)
        if not series.most(bad, limits.agree):
            return None
        end = reading.final_accuracy(evidence, "val_accuracy", limits)
        reached = end.value if end else usual
        words = "Validation was never better than always saying the most frequent class "
        words += f"({reading.percent(reached)} right){reading.of_members(mask)}"
        measure = Measure("validation_accuracy", reached, threshold=usual)
    return Finding(
        "F04",
        "collapsed-predictor",
        "fault",
        0.9,
        f"{words}: nothing about the inputs was learned.",
        (measure,),
        (
            Remedy("mend what the findings before this one name"),
            Remedy("overfit twenty rows first: if that fails, look for a mistake in the program"),
        ),
        Where("accuracy"),
        PLOT,
    )


def minority_ignored(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """F05: a rare class is hardly ever found.

    What it sees: classes of very different frequency, and a rare one whose recall is surely below
    half the mean recall.
    Why it matters: accuracy hides it.
    Evidence: upper end of Wilson's interval of its recall below `recall_share` of the mean, with
    `imbalance` between the largest class and it.
    When it is wrong: classes that cannot be told apart: then only the larger one is found.
    Remedies: class weights; oversampling; logit adjustment; report balanced accuracy.
    Slide: "Class imbalance".
    """
    counts = evidence.confusion
    if counts is None or len(counts) < 2 or not counts.sum():
        return None
    rows = counts.sum(axis=1)
    known = rows > 0
    recall = np.where(known, np.diag(counts) / np.maximum(rows, 1), np.nan)
    mean = series.average(recall[known])
    sizes = np.array(evidence.class_counts) if len(evidence.class_counts) == len(rows) else rows
    # Each class is a test of its own: all of them together may err as often as one.
    every = 1 - (1 - limits.confidence) / max(int(known.sum()), 1)
    missed = [
        c
        for c in np.flatnonzero(known)
        if sizes.max() >= limits.imbalance * max(sizes[c], 1)
        and wilson(float(counts[c, c]), float(rows[c]), every).high < limits.recall_share * mean
    ]
    if not missed:
        return None
    worst = min(missed, key=lambda c: float(recall[c]))
    found = wilson(float(counts[worst, worst]), float(rows[worst]), every)
    return Finding(
        "F05",
        "minority-ignored",
        "warning",
        0.9,
        f"Of the rows of {_names(evidence, [int(c) for c in missed])}, the network finds "
        f"{reading.percent(found.value)} at worst (at most {reading.percent(found.high)}), of all "
        f"classes {reading.percent(mean)} on average; the class is "
        f"{sizes.max() / max(sizes[worst], 1):.0f} times rarer than the largest.",
        (
            Measure("recall", found.value, found.low, found.high, limits.recall_share * mean),
            Measure("imbalance", float(sizes.max() / max(sizes[worst], 1)), threshold=3.0),
        ),
        (
            Remedy("weight the classes", (("balance", "ClassWeights()"),)),
            Remedy("show rare rows more often", (("balance", "Oversample()"),)),
            Remedy("adjust the logits by the frequencies", (("balance", "LogitAdjust()"),)),
        ),
        Where("recall", classes=tuple(int(c) for c in missed)),
        IMBALANCE,
    )


def _names(evidence: Evidence, numbers: list[int]) -> str:
    names = [
        evidence.class_names[c] if c < len(evidence.class_names) else f"class {c}" for c in numbers
    ]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def too_good(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """F06: validation is better than it can be.

    What it sees: validation accuracy surely above that of training, or nearly perfect where a
    linear model is far from it.
    Why it matters: validation rows may be in the training set, or a column gives the answer away.
    Evidence: gap surely below -`too_good`; or `almost_all` with a linear model under
    `linear_weak`.
    When it is wrong: training measured in train mode (dropout, augmentation): then silence.
    Remedies: look for duplicates and for columns that give the answer away.
    Slide: "Performance plot".
    """
    found, end = gap(evidence, limits), reading.final_accuracy(evidence, "val_accuracy", limits)
    if not evidence.clean_train or end is None:
        return None
    linear = evidence.reference.get("linear")
    perfect = linear is not None and linear < limits.linear_weak and end.value >= limits.almost_all
    above = found is not None and found.high < -limits.too_good / 2
    above = above and found is not None and found.value <= -limits.too_good
    if not perfect and not above:
        return None
    words = f"Validation accuracy is {reading.percent(end.value)}"
    if above and found is not None:
        words += f", {reading.points(-found.value)} above that of training"
    if perfect and linear is not None:
        words += f", while a linear model reaches {reading.percent(linear)}"
    return Finding(
        "F06",
        "too-good-to-be-true",
        "note",
        0.5,
        words + ": see whether validation rows are also in the training set.",
        (Measure("validation_accuracy", end.value, end.low, end.high, limits.almost_all),),
        (
            Remedy("take rows out of validation that are in training too"),
            Remedy("look for a column that gives the answer away"),
        ),
        Where("accuracy"),
        PLOT,
    )


def no_verdict(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """F07: the numbers are too uncertain for a verdict on the fit.

    What it sees: an interval of validation accuracy wider than ± `half_width`, from few rows or
    from seeds that disagree.
    Why it matters: a remedy that gains less than this cannot be told from chance.
    Evidence: Wilson's interval over all held-out rows where votes were counted; else the wider
    of Wilson's over the rows of one member and Student's over members.
    When it is wrong: never; it says what cannot be said.
    Remedies: cross-validation with more folds; more seeds; more held-out rows.
    Slide: "Performance plot".
    """
    end = reading.final_accuracy(evidence, "val_accuracy", limits)
    counts = evidence.confusion
    if counts is not None and counts.sum():
        end = wilson(float(np.trace(counts)), float(counts.sum()), limits.confidence)
    if end is None:
        return None
    half = (min(1.0, end.high) - max(0.0, end.low)) / 2
    if half <= limits.half_width:
        return None
    return Finding(
        "F07",
        "no-verdict",
        "note",
        0.9,
        f"Validation accuracy is {reading.percent(end.value)} ± {reading.points(half)}: "
        "differences smaller than that cannot be told from chance.",
        (Measure("half_width", half, threshold=limits.half_width),),
        (Remedy("more folds and seeds, or more held-out rows"),),
        Where("accuracy"),
        PLOT,
    )


def ensemble_pays(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """F10: several members together are better than one.

    What it sees: accuracy of the members' mean answer on held-out rows above the mean of their own.
    Why it matters: it costs nothing more to train.
    Evidence: the gain above `ensemble` and two standard errors of the accuracy's change.
    When it is wrong: one member per row has no ensemble; the gain is then 0: silence.
    Remedies: keep the mean of all members.
    Slide: "Ensemble".
    """
    counts = evidence.confusion
    if counts is None or not counts.sum() or evidence.members < 2 or not evidence.best:
        return None
    accuracy = reading.curves(evidence, "val_accuracy")
    own = [
        row[place - 1]
        for row, place in zip(accuracy, evidence.best, strict=False)
        if 0 < place <= len(row)
    ]
    alone = series.over_members(np.array(own, dtype=np.float64), limits.confidence)
    if alone is None:
        return None
    rows = float(counts.sum())
    together = float(np.trace(counts)) / rows
    gain = together - alone.value
    # Rows whose answer changes are few: at least as many as the gain, at most the errors of both.
    error = math.sqrt(max(gain, 1 / rows) / rows)
    if gain < limits.ensemble or gain < 2 * error:
        return None
    return Finding(
        "F10",
        "ensemble-pays",
        "note",
        0.8,
        f"All members together reach {reading.percent(together)} on held-out rows, one alone "
        f"{reading.percent(alone.value)} on average.",
        (Measure("gain", gain, gain - 2 * error, gain + 2 * error, limits.ensemble),),
        (Remedy("keep the mean of all members"),),
        Where("accuracy"),
        ENSEMBLE,
    )
