"""Rules about what came out: D10, F04, F05, F06, F07, F10.

M members, E epochs, C classes.
"""

from __future__ import annotations

import math

import numpy as np

from trainwell.data.dataset import IntArray
from trainwell.doctor import reading, series
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Finding, Measure, Remedy, Where
from trainwell.doctor.fit_rules import gap
from trainwell.doctor.thresholds import Thresholds
from trainwell.stats import wilson

PLOT, IMBALANCE, ENSEMBLE = "Performance plot", "Class imbalance", "Ensemble"


def never_better_than_chance(evidence: Evidence, limits: Thresholds) -> reading.Mask:
    """Members (M,) whose validation loss never surely fell below that of a guess, and whose best
    accuracy can be that of the most frequent class."""
    base, usual = reading.chance(evidence), reading.majority(evidence)
    loss, error = reading.curves(evidence, "val_loss"), reading.curves(evidence, "val_error")
    accuracy = reading.curves(evidence, "val_accuracy")
    if base is None or usual is None or not evidence.has("val_loss"):
        return np.zeros(evidence.members, np.bool_)
    found = []
    for k, curve in enumerate(loss):
        finite = np.where(np.isfinite(curve), curve, np.inf)
        best = int(np.argmin(finite)) if finite.size else 0
        lowest = finite[best] if finite.size else np.inf
        slack = error[k, best] if error.size and np.isfinite(error[k, best]) else 0.0
        no_better = lowest >= base * (1 - limits.pinned) - limits.rise_errors * slack
        right = accuracy[k, best] if accuracy.size else math.nan
        rows = evidence.val_rows or 100
        by_chance = not right * rows > rows * usual + 2.6 * math.sqrt(rows * usual * (1 - usual))
        found.append(bool(no_better and by_chance and np.isfinite(curve).any()))
    return np.array(found, np.bool_)


def finds_classes(table: IntArray | None) -> bool:
    """Whether a confusion matrix (C, C), rows true, shows a balanced accuracy surely above 1 / C.

    Of uneven classes accuracy may well be that of a guess, and the log loss too when a remedy for
    imbalance has moved the outputs, while rare classes are found.
    """
    if table is None:
        return False
    table = np.asarray(table)
    rows = table.sum(axis=1)
    there = rows > 0
    found, rows = table.diagonal()[there], rows[there]
    share = (found + 1) / (rows + 2)  # drawn in, so that few rows do not look certain
    error = math.sqrt(float((share * (1 - share) / rows).sum())) / len(rows)
    return bool((found / rows).mean() - 2.6 * error > 1 / len(rows))


def labels_not_learnable(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """D10: the labels have nothing to do with the inputs.

    What it sees: validation never better than a guess from the class frequencies, although the
    network learned its training rows by heart, or although simple models do no better either.
    Why it matters: no network can learn labels of other rows.
    Evidence: best validation loss within `pinned` of the labels' entropy and accuracy within the
    interval of the most frequent class, in `agree` of the members; training loss below
    `learned` × chance, or reference models at chance.
    When it is wrong: data whose classes need another representation altogether.
    Remedies: join rows and labels by key; shuffle both alike.
    Slide: "Shuffle".
    """
    mask = never_better_than_chance(evidence, limits)
    usual = reading.majority(evidence)
    if usual is None or not series.most(mask, limits.agree) or finds_classes(evidence.confusion):
        return None
    learned = reading.level(evidence, limits) < limits.memorised
    by_heart = series.most(learned & mask, limits.agree)
    best = max(evidence.reference.values(), default=None)
    rows = evidence.val_rows or 100
    reach = usual + 2.6 * math.sqrt(usual * (1 - usual) / rows)
    hopeless = best is not None and best <= reach
    if best is not None and not hopeless:
        return None
    if not by_heart and not hopeless:
        return None
    accuracy = reading.final_accuracy(evidence, "val_accuracy", limits)
    reached = accuracy.value if accuracy else math.nan
    words = "Validation was never better than a guess from the class frequencies"
    words += f" ({reading.percent(reached)} right, a guess {reading.percent(usual)})"
    words += reading.of_members(mask)
    if by_heart:
        words += ", although the network learns its training rows by heart"
    if hopeless:
        words += "; simple models find nothing either"
    words += ". The labels seem to belong to other rows."
    return Finding(
        "D10",
        "labels-not-learnable",
        "fault",
        0.9 if hopeless and by_heart else 0.8,
        words,
        (
            Measure(
                "validation_accuracy",
                reached,
                accuracy.low if accuracy else None,
                accuracy.high if accuracy else None,
                reach,
            ),
        ),
        (
            Remedy("join inputs and labels by a key, not by their order"),
            Remedy("shuffle inputs and labels with the same permutation"),
        ),
        Where("loss"),
        "Shuffle",
    )


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
