"""Rules about the fit: F01 over-fitting, F02 under-fitting, F03 too much regularisation, D14.

M members, E epochs, C classes. A gap is over-fitting only where it costs; no gap is a matter of
capacity only where something else does better and the learning rate is not to blame.
"""

from __future__ import annotations

import math

import numpy as np

from trainwell.doctor import reading, series
from trainwell.doctor.evidence import Evidence, Floats
from trainwell.doctor.finding import Finding, Level, Measure, Remedy, Where
from trainwell.doctor.rate_rules import (
    learning_rate_too_high,
    learning_rate_too_low,
    rate_is_cleared,
)
from trainwell.doctor.stopping_rules import rise_since_best, stopped_too_early
from trainwell.doctor.thresholds import Thresholds
from trainwell.stats import Interval

SLIDE = "Performance plot"
REGULARISED = ("regularised", "more dropout", "more L2")  # arms of a race
LARGER = ("wider", "deeper", "longer")
ROSE_TOO = 0.1  # of the rise in validation loss, above which the training loss rose with it


def gap(evidence: Evidence, limits: Thresholds) -> Interval | None:
    """Training minus validation accuracy at the end, with an interval over members and rows.

    Half the interval: the larger of Student's over members and 1.96 √(p(1-p)/n + q(1-q)/m) over
    the n and m rows that were scored, since members may share their rows. None where neither can
    be told.
    """
    train = series.tails(reading.curves(evidence, "train_accuracy"), 1e-9)
    val = series.tails(reading.curves(evidence, "val_accuracy"), 1e-9)
    train, val = (np.where(np.isfinite(v), v, np.nan) for v in (train, val))
    over = series.over_members(train - val, limits.confidence)
    if over is None:
        return None
    halves = [over.value - over.low] if math.isfinite(over.low) else []
    if evidence.val_rows:
        p, q = series.average(train), series.average(val)
        n, m = evidence.sample_rows or evidence.val_rows, evidence.val_rows
        # Laplace's rule: where all rows are right, the error is not known to be nothing.
        p, q = (min(max(p, 0.0), 1.0) * n + 1) / (n + 2), (min(max(q, 0.0), 1.0) * m + 1) / (m + 2)
        halves.append(1.96 * math.sqrt(p * (1 - p) / n + q * (1 - q) / m))
    if not halves:
        return None
    return Interval(over.value, over.value - max(halves), over.value + max(halves))


def overfitting(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """F01: training rows are learned by heart.

    What it sees: training accuracy surely above validation accuracy, and a validation loss that
    rose since its minimum while the training loss did not, or a race arm with more regularisation
    that wins.
    Why it matters: what is learned at the end holds for the training rows alone.
    Evidence: lower end of the gap above `gap` and `gap_share` of the validation error; a warning
    if it is also above `gap_large` and the loss rose by `loss_rise` and `rise_errors` standard
    errors, or an arm wins; otherwise a note.
    When it is wrong: a network that reaches 100 % on training rows is healthy while validation
    does not suffer. Rows of one person or clip in both parts hide a gap. Where both losses rise
    together training is unstable or was cut off, which says nothing about learning by heart.
    Remedies: more data or augmentation; L2 and dropout 0.5; stop earlier; a smaller network.
    Slide: "Performance plot" (big gap = overfitting: increase regularization strength).
    """
    found = gap(evidence, limits)
    if found is None or reading.is_stuck(evidence, limits):
        return None
    val = series.average(series.tails(reading.curves(evidence, "val_accuracy"), 1e-9))
    bound = max(limits.gap, limits.gap_share * (1 - val))
    if found.low <= bound:
        return None
    mask, rise = _risen(evidence, limits)
    risen = series.most(mask, limits.agree)
    duels = [reading.duel(evidence, name, limits) for name in REGULARISED]
    won = [d for d in duels if d is not None and d.wins(limits)]
    lost = any(d is not None for d in duels) and not won
    if not risen and not won and found.low <= limits.gap_large:
        return None
    sure = bool(won) or (risen and found.low > limits.gap_large and not lost)
    level: Level = "warning" if sure else "note"
    confidence = (0.9 if won else 0.8 if sure else 0.5) - (0.15 if not evidence.clean_train else 0)
    words = (
        f"Training accuracy is {reading.points(found.value)} above that of validation "
        f"({reading.points(found.low)} at least)"
    )
    if risen:
        words += f", and validation loss rose by {reading.percent(rise)} since its minimum"
    if won:
        words += f"; with more regularisation a race saved {reading.percent(won[0].loss.value)}"
        words += " of the validation loss"
    words += ": the network learns its training rows by heart."
    if level == "note":
        words += " Whether more regularisation would help is not shown."
    if not evidence.clean_train:
        words += " Training accuracy was measured while training, which hides or adds some points."
    remedies = [
        Remedy("more training data, or augmentation"),
        Remedy("L2 and dropout 0.5", (("regularize", "(L2(0.0001), Dropout(0.5))"),)),
        Remedy("stop after some epochs without a better score", (("patience", "10"),)),
        Remedy("a smaller network"),
    ]
    return Finding(
        "F01",
        "overfitting",
        level,
        confidence,
        words,
        (
            Measure("gap", found.value, found.low, found.high, bound),
            Measure("rise_of_validation_loss", rise, threshold=limits.loss_rise),
        ),
        (*(Remedy(f"as in the race: {d.arm.name}", d.arm.changes) for d in won), *remedies),
        Where("accuracy"),
        SLIDE,
    )


def _risen(evidence: Evidence, limits: Thresholds) -> tuple[reading.Mask, float]:
    """Members whose validation loss rose materially since its minimum, while their training loss
    did not rise with it; and by how much, the mean over members."""
    loss, error = reading.curves(evidence, "val_loss"), reading.curves(evidence, "val_error")
    train = reading.curves(evidence, "train_loss")
    found = [rise_since_best(c, e) for c, e in zip(loss, error, strict=True)]
    share = np.array([f[1] for f in found])
    errors = np.array([f[2] for f in found])
    mask = (share >= limits.loss_rise) & (np.isnan(errors) | (errors >= limits.rise_errors))
    rows = zip(train, loss, found, strict=True)
    mask &= ~np.array([_rose_too(t, v, int(f[0])) for t, v, f in rows], dtype=np.bool_)
    mean = series.average(share[np.isfinite(share)]) if np.isfinite(share).any() else 0.0
    return mask, mean


def _rose_too(train: Floats, val: Floats, since: int) -> bool:
    """Whether the training loss (E,) rose by ROSE_TOO of the rise of the validation loss, from the
    epoch at place `since` to the end; False where it was not written down."""
    known = np.flatnonzero(np.isfinite(train))
    if not len(known):
        return False
    before = known[known <= since]
    start = float(train[before[-1] if len(before) else known[0]])
    rise = float(series.part(train[known], 0.9).mean()) - start
    return rise > ROSE_TOO * (float(series.part(val, 0.9).mean()) - float(val[since]))


def underfitting(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """F02: the network is too small for what the data allow.

    What it sees: no gap, and a training accuracy below what a simple model reaches on held-out
    rows, or a larger network in a race; and a learning rate that is not to blame.
    Why it matters: more capacity would learn what this network cannot.
    Evidence: upper end of the gap below `no_gap`; training accuracy surely `reach` below the
    reference, or a win of an arm "wider" or "deeper".
    When it is wrong: a low rate or too few epochs look the same; they are looked into first.
    Remedies: train longer; twice the width; one layer more; less regularisation.
    Slide: "Performance plot" (no gap: increase model capacity).
    """
    found = gap(evidence, limits)
    if found is None or found.low > limits.no_gap or len(evidence.points) <= limits.brief:
        return None
    train = reading.final_accuracy(evidence, "train_accuracy", limits)
    duels = [(n, reading.duel(evidence, n, limits)) for n in LARGER]
    won = [(n, d) for n, d in duels if d is not None and d.wins(limits)]
    best = max(evidence.reference.items(), key=lambda item: item[1], default=None)
    if train is None:
        return None
    below = best is not None and reading.all_below(evidence, train, best[1] - limits.reach)
    if not won and not below:
        return None
    cleared = bool(won) or rate_is_cleared(evidence, limits)
    if any(
        rule(evidence, limits)
        for rule in (learning_rate_too_high, learning_rate_too_low, stopped_too_early)
    ):
        # Another rate helps, and yet its networks too stay far below a simple model.
        if not evidence.race or best is None or not below:
            return None
        raced = max(float(np.mean(arm.accuracy)) for arm in evidence.race)
        if raced > best[1] - limits.race_fault or reading.is_stuck(evidence, limits):
            return None
        cleared = True
    if below and best is not None:
        why = f"a simple model ({best[0]}) reaches {reading.percent(best[1])} on held-out rows"
        bound = best[1] - limits.reach
    else:
        name, duel = won[0][0], won[0][1]
        why = f"a network trained {name} gained {reading.points(duel.accuracy.value)} in a race"
        bound = train.value + limits.reach
    return Finding(
        "F02",
        "underfitting",
        "warning" if cleared else "note",
        0.9 if won else 0.8 if cleared else 0.5,
        f"Training accuracy is {reading.percent(train.value)} with no gap to validation, while "
        f"{why}: the network is too small for these data"
        + (
            "."
            if cleared
            else ", or its learning rate is wrong; a race over rates has not been run."
        ),
        (
            Measure("gap", found.value, found.low, found.high, limits.no_gap),
            Measure("train_accuracy", train.value, train.low, train.high, bound),
        ),
        (
            *(Remedy(f"as in the race: {n}", d.arm.changes) for n, d in won),
            Remedy("train longer", (("epochs", str(2 * (evidence.setup.epochs or 30))),)),
            Remedy("twice the width, then one layer more"),
            Remedy("less regularisation", (("regularize", "(L2(0.0001),)"),)),
        ),
        Where("accuracy"),
        SLIDE,
    )


def too_much_regularisation(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """F03: regularisation keeps the network from learning.

    What it sees: a race arm without regularisation that wins; or dropout or L2 that are strong,
    a training accuracy no better than validation, and a loss that hardly fell.
    Why it matters: the penalty, not the data, decides what the weights become.
    Evidence: the race; without one `dropout_strong` or `l2_strong`, no gap, and a training loss
    above `linear_level` × chance, measured in eval mode.
    When it is wrong: on noisy data strong regularisation is right: a note without a race, unless
    almost nothing was learned.
    Remedies: less dropout; less L2.
    Slide: "Regularization" (dropout: typically p = 0.5).
    """
    setup = evidence.setup
    against = reading.duel(evidence, "regularisation off", limits)
    strong = []
    if (setup.dropout or 0.0) >= limits.dropout_strong:
        strong.append(f"dropout of {setup.dropout:g}")
    if (setup.l2 or 0.0) >= limits.l2_strong:
        strong.append(f"L2 of {setup.l2:g}")
    levels = reading.level(evidence, limits)
    mask = levels >= limits.over_level
    wins = against is not None and against.wins(limits)
    if not wins:
        found = gap(evidence, limits)
        no_gap = found is not None and found.low <= 0
        if against is not None or not strong or not no_gap:
            return None
        if not series.most(mask, limits.agree):
            return None
    severe = series.most(levels >= limits.learned, limits.agree)
    stuck = reading.is_stuck(evidence, limits) and bool(strong)
    reached = series.average(levels)
    what = " and ".join(strong) or "regularisation"
    words = f"With {what}, the training loss is still {reading.percent(reached)} of what a guess "
    words += "costs, and validation is as good as training: the network is held back."
    if wins and against:
        words = f"Without regularisation, a race gained {reading.points(against.accuracy.value)} "
        words += f"and saved {reading.percent(against.loss.value)} of the validation loss: {what} "
        words += "holds the network back."
    return Finding(
        "F03",
        "too-much-regularisation",
        "fault" if stuck else "warning" if wins or severe else "note",
        0.9 if wins else 0.75 if severe else 0.5,
        words,
        (Measure("loss_over_chance", reached, threshold=limits.over_level),),
        (
            Remedy("less of it", (("regularize", "(L2(0.0001), Dropout(0.2))"),)),
            Remedy("none, to see", (("regularize", "()"),)),
        ),
        Where("accuracy"),
        "Regularization",
    )


def augmentation_hurts(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """D14: augmented examples are unlike the data.

    What it sees: in a race, that the training without augmentation is surely better.
    Why it matters: what is learned from examples that do not occur is lost on those that do.
    Evidence: paired accuracy or loss of the arm "no augmentation".
    When it is wrong: a short race favours the plain data, which are learned faster.
    Remedies: weaker augmentation; none.
    Slide: "Data augmentation" (one word of warning).
    """
    against = reading.duel(evidence, "no augmentation", limits)
    if against is None or not against.wins(limits):
        return None
    accuracy = against.accuracy
    return Finding(
        "D14",
        "augmentation-hurts",
        "warning",
        0.9,
        f"Without augmentation, {against.runs} trainings with the same start were "
        f"{reading.points(abs(accuracy.value))} {'less' if accuracy.value < 0 else 'more'} "
        "accurate and had "
        f"{reading.percent(against.loss.value)} less validation loss.",
        (
            Measure(
                "accuracy_gained", accuracy.value, accuracy.low, accuracy.high, limits.race_gain
            ),
        ),
        (
            Remedy("weaken it: smaller shifts, less noise"),
            Remedy("train without it", (("augment", "()"),)),
        ),
        Where("accuracy"),
        "Data augmentation",
    )
