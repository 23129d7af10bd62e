"""Rules about the shape and the end of curves: R08, R09, R10, R11.

M members, E epochs. Swings and plateaus are seen often in healthy trainings: unless they cost
something, they are notes.
"""

from __future__ import annotations

import numpy as np

from trainwell.doctor import reading, series
from trainwell.doctor.evidence import Evidence, Floats
from trainwell.doctor.finding import Finding, Measure, Remedy, Where
from trainwell.doctor.thresholds import Thresholds

SLIDE = "Performance plot"


def oscillating_loss(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R08: a loss that swings and does not calm down.

    What it sees: over the last half, a spread around the trend above `swing` × the sampling noise,
    a good part of the loss and of chance, with frequent turns, no smaller than before.
    Why it matters: the last epoch is an accident; a calmer end is usually a better one.
    Evidence: spread in `agree` of the members; a warning where the loss has not fallen well below
    chance, else a note.
    When it is wrong: a constant rate on noisy data swings a little; the thresholds ask for much.
    Remedies: half the rate; anneal it; a larger batch; less momentum.
    Slide: "Performance plot".
    """
    base, loss = reading.chance(evidence), reading.curves(evidence, "train_loss")
    if base is None or loss.shape[1] < 8 or evidence.unit == "step":
        return None  # single batches swing by themselves
    noise = series.tails(reading.curves(evidence, "val_error"), 0.5)
    late = np.array([series.residual_spread(series.part(c, 0.5)) for c in loss])
    early = np.array([series.residual_spread(series.part(c, 0.1, 0.5)) for c in loss])
    level = series.tails(loss, 0.5)
    turning = np.array([series.turns(series.part(c, 0.5)) for c in loss])
    with np.errstate(invalid="ignore"):
        mask = (
            (late > limits.swing_share * level)
            & (late > limits.swing_level * base)
            & (late > limits.swing * _or_zero(noise))
            & (late > limits.calm * _or_zero(early))
            & (turning >= limits.turns)
        )
    if not series.most(mask, limits.agree):
        return None
    found = series.average(late[mask] / base)
    costs = not reading.has_learned(evidence, limits)
    lr = evidence.setup.lr
    return Finding(
        "R08",
        "oscillating-loss",
        "warning" if costs else "note",
        0.75 if costs else 0.5,
        f"Over the last half, training loss swings by {reading.percent(found)} of what a guess "
        f"costs around its trend{reading.of_members(mask)} and does not calm down.",
        (Measure("swing_over_chance", found, threshold=limits.swing_level),),
        (
            Remedy("halve the learning rate", (("lr", f"{lr / 2:.4g}"),) if lr else ()),
            Remedy("anneal the rate", (("schedule", "Cosine(warmup=0.05)"),)),
            Remedy("more rows per step", _batch(evidence)),
        ),
        Where("loss"),
        SLIDE,
    )


def _or_zero(values: Floats) -> Floats:
    """What is not known as 0."""
    return np.where(np.isfinite(values), values, 0.0)


def _batch(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    size = evidence.setup.batch_size
    return (("batch_size", str(2 * size)),) if size else ()


def plateau(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R09: a constant rate, and a loss that no longer falls.

    What it sees: in two windows, the last fifth and the one before, no slope of the training and
    the validation loss, under a constant rate, with a loss that is still well above zero.
    Why it matters: the steps are too long for what is left; smaller ones often find more.
    Evidence: Student's t of both slopes in `agree` of the members; a warning only where a race arm
    ("annealed") wins.
    When it is wrong: the loss has reached what the labels' noise allows. Hence a note.
    Remedies: step decay (half the rate every 5 epochs), exponential decay, 1/t, cosine.
    Slide: "Learning rate" (ways to anneal).
    """
    base, loss = reading.chance(evidence), reading.curves(evidence, "train_loss")
    rates = reading.effort(evidence)
    constant = evidence.setup.schedule == "Constant" or (
        rates is not None and np.isfinite(rates).any() and np.nanmin(rates) == np.nanmax(rates)
    )
    if base is None or not constant or loss.shape[1] < 15 or reading.is_stuck(evidence, limits):
        return None
    val = reading.curves(evidence, "val_loss")
    mask = np.array(
        [
            _level_twice(a, limits) and _level_twice(b, limits)
            for a, b in zip(loss, val, strict=True)
        ]
    )
    mask &= reading.level(evidence, limits) > limits.plateau_level
    if not series.most(mask, limits.agree):
        return None
    against = reading.duel(evidence, "annealed", limits)
    wins = against is not None and against.wins(limits)
    left = series.average(reading.level(evidence, limits)[mask])
    return Finding(
        "R09",
        "plateau-at-constant-rate",
        "warning" if wins else "note",
        0.9 if wins else 0.5,
        f"For the last two fifths of the training, the loss no longer falls"
        f"{reading.of_members(mask)}, at {reading.percent(left)} of what a guess costs, and the "
        "learning rate was never made smaller.",
        (Measure("loss_over_chance", left, threshold=limits.plateau_level),),
        (
            Remedy("divide the rate by 2 every 5 epochs", (("schedule", "StepDecay(every=5)"),)),
            Remedy("or anneal smoothly", (("schedule", "Cosine(warmup=0.05)"),)),
        ),
        Where("loss"),
        "Learning rate",
    )


def _level_twice(curve: Floats, limits: Thresholds) -> bool:
    """Whether neither of the last two fifths of a curve has a slope; a missing curve has none."""
    if not np.isfinite(curve).any():
        return True
    windows = series.part(curve, 0.6, 0.8), series.part(curve, 0.8)
    return all(abs(series.slope(w)[1]) < limits.slope_t for w in windows)


def stopped_too_early(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R10: the loss was still falling when training ended.

    What it sees: a validation loss (training loss, where there is none) that lost a good share in
    the last fifth of the training, in nearly every member; or a race arm ("longer") that wins.
    Why it matters: what is missing is only time.
    Evidence: the share lost, its interval over members above `still_falling`; for one member the
    t of the slope instead, and a note.
    When it is wrong: a rate too low falls just as steadily; it is looked into first.
    Remedies: twice the epochs.
    Slide: "Performance plot".
    """
    epochs = evidence.setup.epochs
    if epochs is None and evidence.unit == "epoch":
        epochs = len(evidence.points)
    more = Remedy("train twice as long", (("epochs", str(2 * epochs)),) if epochs else ())
    against = reading.duel(evidence, "longer", limits)
    if against is not None:
        if not against.wins(limits):
            return None
        return Finding(
            "R10",
            "stopped-too-early",
            "warning",
            0.9,
            f"In a race, a longer training saved {reading.percent(against.loss.value)} of the "
            f"validation loss and gained {reading.points(against.accuracy.value)}.",
            (Measure("loss_saved", against.loss.value, against.loss.low, against.loss.high),),
            (more,),
            Where("loss"),
            SLIDE,
        )
    if reading.is_brief(evidence, limits) or reading.is_score(evidence):
        return None
    name = "val_loss" if evidence.has("val_loss") else "train_loss"
    loss = reading.curves(evidence, name)
    if loss.shape[1] == 1 and evidence.unit == "epoch":
        return _single_epoch(evidence, more, limits)
    if loss.shape[1] < 2 or reading.broken(evidence).any() or reading.is_stuck(evidence, limits):
        return None
    lost = np.array([_lost(curve, limits) for curve in loss])
    over = series.over_members(lost, limits.confidence)
    low_already = reading.level(evidence, limits) < limits.perfect
    if over is None or (len(low_already) and low_already.all()):
        return None
    if loss.shape[1] <= limits.brief:
        speaks = len(lost) > 1 and bool((lost >= limits.brief_fall).all())
        speaks = speaks or _far_behind(evidence, limits)
    elif np.isfinite(over.low):
        speaks = over.low >= limits.still_falling
    else:  # one member
        t = series.slope(series.part(loss[0], 1 - 2 * limits.tail))[1]
        speaks = over.value >= 1.5 * limits.still_falling and t < -2 * limits.slope_t
    if not speaks:
        return None
    return Finding(
        "R10",
        "stopped-too-early",
        "warning" if np.isfinite(over.low) else "note",
        0.8 if np.isfinite(over.low) else 0.5,
        f"In the last fifth of the training the {'validation' if name[0] == 'v' else 'training'} "
        f"loss still fell by {reading.percent(over.value)}: it was stopped on its way.",
        (
            Measure(
                "fall_in_last_fifth",
                over.value,
                over.low if np.isfinite(over.low) else None,
                over.high if np.isfinite(over.high) else None,
                limits.still_falling,
            ),
        ),
        (more,),
        Where("loss"),
        SLIDE,
    )


def _far_behind(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether training accuracy is surely below what a simple model reaches on held-out rows."""
    train = reading.final_accuracy(evidence, "train_accuracy", limits)
    best = max(evidence.reference.values(), default=None)
    if train is None or best is None:
        return False
    return reading.all_below(evidence, train, best - limits.race_fault)


def _single_epoch(evidence: Evidence, more: Remedy, limits: Thresholds) -> Finding | None:
    """One epoch has no curve: a note, where there is much left to learn."""
    levels = reading.level(evidence, limits)
    if not series.most(levels >= limits.linear_level, limits.agree):
        return None
    left = series.average(levels)
    return Finding(
        "R10",
        "stopped-too-early",
        "note",
        0.5,
        f"There was one epoch, after which the training loss is {reading.percent(left)} of what a "
        "guess costs; whether it was still falling cannot be seen.",
        (Measure("loss_over_chance", left, threshold=limits.linear_level),),
        (more,),
        Where("loss"),
        SLIDE,
    )


def _lost(curve: Floats, limits: Thresholds) -> float:
    """Share of a loss that its last fifth (one step at least) took away; nan for one point."""
    curve = curve[np.isfinite(curve)]
    if len(curve) < 2:
        return float("nan")
    count = max(1, round(limits.tail * len(curve)))
    width = max(1, count // 3)  # several points on both sides, where there are several
    end, begin = curve[-width:].mean(), curve[-count - width : len(curve) - count].mean()
    return float(1 - end / begin) if begin > 0 else float("nan")


def trained_too_long(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R11: the best epoch was long before the end.

    What it sees: a validation loss with its minimum before `best_early` of the training, higher at
    the end by `overtrained` and more than its own uncertainty.
    Why it matters: where the last weights are used, they are worse than earlier ones. Trainings of
    this program keep those of the best epoch, so that only time was lost: a note.
    Evidence: place of the minimum and the rise since, in `agree` of the members.
    When it is wrong: accuracy may rise while the loss does; see over-fitting.
    Remedies: stop earlier, keep the best weights.
    Slide: "Performance plot".
    """
    loss, error = reading.curves(evidence, "val_loss"), reading.curves(evidence, "val_error")
    if loss.shape[1] < 5 or not evidence.has("val_loss") or reading.is_score(evidence):
        return None
    found = [rise_since_best(c, e) for c, e in zip(loss, error, strict=True)]
    place, rise, errors = (np.array(column) for column in zip(*found, strict=True))
    ends = series.lengths(loss)
    mask = (
        (place < limits.best_early * ends)
        & (rise >= limits.overtrained)
        & (np.isnan(errors) | (errors >= limits.rise_errors))
    )
    if not series.most(mask, limits.agree):
        return None
    best = float(np.median(evidence.points[place[mask].astype(np.int64)]))
    return Finding(
        "R11",
        "trained-too-long",
        "note",
        0.7,
        f"Validation loss was lowest at {evidence.unit} {best:g} of {evidence.points[-1]:g} and "
        f"rose {reading.growth(series.average(rise[mask]))} since{reading.of_members(mask)}. "
        "Where the best weights are kept, only time was lost.",
        (
            Measure("best_point", best),
            Measure("rise_since", series.average(rise[mask]), threshold=limits.overtrained),
        ),
        (Remedy("stop after some epochs without a better score", (("patience", "10"),)),),
        Where("loss", (best, float(evidence.points[-1]))),
        SLIDE,
    )


def rise_since_best(loss: Floats, error: Floats) -> tuple[float, float, float]:
    """Place of the lowest loss, the share it rose by since, and that rise in standard errors.

    The end is the mean of the last tenth. Errors are nan where they were not written down.
    """
    if not np.isfinite(loss).any():
        return 0.0, float("nan"), float("nan")
    best = int(np.nanargmin(np.where(np.isfinite(loss), loss, np.nan)))
    end = series.part(loss, 0.9).mean()
    rise = end - loss[best]
    own = error[best] if np.isfinite(error[best]) else float("nan")
    share = rise / loss[best] if loss[best] > 0 else float("nan")
    return float(best), float(share), float(rise / own) if own > 0 else float("nan")
