"""Rules about the learning rate: R01, R02, R03, and whether a race over rates is worth its time.

M members, E epochs. A rate that is far off shows in the curves; one that is a little off does not,
and a race with twice and half the rate decides (`suspects_rate` says when it is worth one).
"""

from __future__ import annotations

import math

import numpy as np

from trainwell.doctor import reading, series
from trainwell.doctor.evidence import Evidence, Floats
from trainwell.doctor.finding import Finding, Level, Measure, Remedy, Where
from trainwell.doctor.reading import Duel, Mask
from trainwell.doctor.signals import fades_at_start, first_broken_layer
from trainwell.doctor.thresholds import Thresholds

SLIDE = "Learning rate"
LADDER = Remedy("let a ladder of rates find it", (("lr", "None"),))


def loss_not_finite(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R01: the loss became NaN or infinite.

    What it sees: a training or validation loss that is not a number while the member trained.
    Why it matters: every later step computes with numbers that mean nothing.
    Evidence: share of members with it, and the first layer that was not finite, if probed.
    When it is wrong: a file that leaves cells empty at random points; then at the last one only.
    Remedies: look at the data where they are not finite; a smaller rate; normalise inputs.
    Slide: "Learning rate" (very high learning rate).
    """
    mask = reading.broken(evidence)
    if not mask.any():
        return None
    loss = reading.curves(evidence, "train_loss")
    begins = [
        int(np.argmax(~np.isfinite(curve))) for curve in loss[mask] if not np.isfinite(curve).all()
    ]
    where = first_broken_layer(evidence)
    words = (
        f"The loss was no longer a finite number"
        f"{' at ' + reading.when(evidence, min(begins)) if begins else ''}"
        f"{reading.of_members(mask)}; nothing after that means anything."
    )
    if where == "data":
        words += " Activations were not finite before the first step: the inputs hold NaN or"
        words += " infinite values, or the initial weights are far too large."
    elif where:
        words += f" The first layer with such numbers is {where}."
    remedies: tuple[Remedy, ...] = (Remedy("go back to the last weights that were finite"),)
    if where == "data":
        remedies = (Remedy("look for NaN and infinite values in the inputs"),)
    return Finding(
        "R01",
        "loss-not-finite",
        "fault",
        0.98,
        words,
        (Measure("share_of_members", float(mask.mean()), threshold=0.0),),
        (*remedies, *_slower(evidence)),
        Where("loss", layer=where if where and where != "data" else None),
        SLIDE,
    )


def learning_rate_too_high(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R02: the steps are too long.

    What it sees: a loss that is not finite, ends above a guess or above its own minimum, or units
    that died in the first epochs; in a race, that a smaller rate ends surely and relevantly better.
    Why it matters: steps jump over the minimum, or throw units so far that none comes back.
    Evidence: `above_chance`, `rebound`, `dead_rise` in `agree` of the members; `race_gain` and
    `race_loss` in a race, which decides wherever the curves do not shout.
    When it is wrong: initial weights or inputs far too large look the same; they come first.
    Remedies: the rate by 2, then by 5, then again; warm-up; input scaling.
    Slide: "Learning rate".
    """
    told = _very_high(evidence, limits)
    if told is None:
        won = _winner(evidence, limits, faster=False)
        return won and _from_race(evidence, won, "R02", "learning-rate-too-high", limits)
    words, mask, measure, level = told
    sure = 0.6 + 0.35 * float(mask.mean()) - (0.15 if len(mask) == 1 else 0.0)
    if level == "warning":
        if any(factor < 1 for factor, _ in reading.rate_duels(evidence, limits)):
            won = _winner(evidence, limits, faster=False)
            return won and _from_race(evidence, won, "R02", "learning-rate-too-high", limits)
        sure -= 0.2
    return Finding(
        "R02",
        "learning-rate-too-high",
        level,
        sure,
        f"{words}{reading.of_members(mask)}: steps are too long and throw the weights away "
        "from any minimum.",
        (measure,),
        (LADDER, *_slower(evidence)) if level == "fault" else _slower(evidence),
        Where("loss"),
        SLIDE,
    )


def wrong_sign(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """N13: the loss is climbed, not descended.

    What it sees: a training loss above a guess at the first point and much higher at the next,
    although the first steps were small against the weights.
    Why it matters: the sign of the loss, of the gradient or of the rate is wrong; no setting helps.
    Evidence: growth of the loss by `climb` in `agree` of the members, with updates below
    `climb_update` of the weights at the first point.
    When it is wrong: steps that are too long throw the loss up as well, but they are long.
    Remedies: minimise the loss itself: no minus before it, `maximize=False`, a positive rate.
    Slide: "Learning rate".
    """
    base, loss = reading.chance(evidence), reading.curves(evidence, "train_loss")
    updates = reading.measured(reading.weight_layers(evidence), "update")
    if base is None or loss.shape[1] < 2 or not updates.size or updates.shape[2] < 2:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        lost = ~np.isfinite(loss[:, 1]) & reading.broken(evidence)
        growth = np.where(lost, np.inf, loss[:, 1] / loss[:, 0])
        small = reading.middle(updates[:, :, 1], axis=0) <= limits.climb_update
    mask = (loss[:, 0] >= limits.above_chance * base) & (growth >= limits.climb) & small
    if not series.most(mask, limits.agree):
        return None
    first = series.average(loss[mask, 0] / base)
    return Finding(
        "N13",
        "wrong-sign",
        "fault",
        0.8,
        f"Training loss began at {reading.percent(first)} of what a guess costs and rose from the "
        f"first steps on{reading.of_members(mask)}, though they were small: it is climbed, not "
        "descended.",
        (Measure("first_loss_over_chance", first, threshold=1.0),),
        (Remedy("minimise the loss: no minus before it, maximize=False, a positive rate"),),
        Where("loss"),
        SLIDE,
    )


def _very_high(evidence: Evidence, limits: Thresholds) -> tuple[str, Mask, Measure, Level] | None:
    """What the curves alone say for a rate that is too high."""
    if fades_at_start(evidence, limits):
        return None  # a signal that never arrived is another disease
    nonfinite = reading.broken(evidence)
    if nonfinite.any() and first_broken_layer(evidence) != "data":
        measure = Measure("share_not_finite", float(nonfinite.mean()), threshold=0.0)
        return "The loss left the finite numbers", nonfinite, measure, "fault"
    if (evidence.setup.dropout or 0.0) >= limits.dropout_strong:
        return None  # such curves say nothing about the rate
    levels, loss = reading.level(evidence, limits), reading.trend(evidence, "train_loss")
    smooth = np.array([falls_smoothly(curve, limits.few_rises) for curve in loss], np.bool_)
    worse = (levels > limits.above_chance) & ~smooth
    if series.most(worse, limits.agree):
        measure = Measure("loss_over_chance", series.average(levels[worse]), threshold=1.0)
        return "Training loss ended worse than a guess", worse, measure, "fault"
    killed = silenced(evidence, limits) & (levels >= limits.learned)
    if series.most(killed, limits.agree):
        measure = Measure("silent_units_gained", 1.0, threshold=limits.dead_rise)
        words = "The first epochs silenced the units of a layer and the loss stayed high"
        return words, killed, measure, "fault"
    if reading.is_score(evidence):
        return None
    base = reading.chance(evidence)
    if base is None:
        base = float(np.nanmax(loss[:, 0])) if np.isfinite(loss[:, :1]).any() else math.inf
    lows = np.array([series.running_minimum(c)[-1] if len(c) else np.nan for c in loss])
    ends = series.tails(loss, limits.tail)
    back = (ends > limits.rebound * lows) & (ends > lows + limits.rebound_floor * base)
    if series.most(back, limits.agree) and len(evidence.points) >= 5:
        ratio = series.average(ends[back] / np.maximum(lows[back], 1e-12))
        measure = Measure("end_over_minimum", ratio, threshold=limits.rebound)
        return "Training loss fell and rose again", back, measure, "warning"
    return None


def falls_smoothly(curve: Floats, few_rises: float) -> bool:
    """Whether a curve falls all the way, nearly without steps upwards, or stands still."""
    finite = curve[np.isfinite(curve)]
    if len(finite) < 2:
        return False
    steps = np.diff(finite)
    return bool((steps > 1e-9).mean() <= few_rises and finite[-1] <= finite[0])


def silenced(evidence: Evidence, limits: Thresholds) -> Mask:
    """Members (M,) in which a layer's units all died, or ran to the ends of their range."""
    units, found = reading.unit_layers(evidence), np.zeros(evidence.members, np.bool_)
    for name in ("dead", "saturated"):
        values = reading.measured(units, name)
        if values.size and values.shape[2] > 1:
            first, last = values[:, :, 0], reading.middle(values[:, :, -2:])
            if values.shape[2] == 2:
                last = values[:, :, 1]
            with np.errstate(invalid="ignore"):
                found |= ((last >= limits.dead_all) & (last - first >= limits.dead_rise)).any(0)
    return found


def learning_rate_too_low(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R03: the steps are too short.

    What it sees: a training loss that still falls along a nearly straight line at the end; in a
    race, that a larger rate ends surely and relevantly better.
    Why it matters: the training ends long before the weights have arrived.
    Evidence: share of the whole fall that the first quarter of the summed rates brought, below
    `linear_share` in `agree` of the members, while the loss is above `linear_level` × chance; in a
    race `race_gain` and `race_loss`.
    When it is wrong: weights that begin far too small make a slow start look like a low rate.
    Remedies: the rate times 2, then 5; a ladder of rates; more epochs.
    Slide: "Learning rate".
    """
    if _very_high(evidence, limits) is not None:
        return None
    if reading.is_brief(evidence, limits) and not _unmoved(evidence, limits).all():
        return None
    mask = slow(evidence, limits)
    levels = reading.level(evidence, limits)
    shares = reading.early_shares(evidence)
    shouting = series.most(mask, limits.agree) and bool((levels[mask] >= limits.learned).all())
    decided = [factor for factor, _ in reading.rate_duels(evidence, limits) if factor > 1]
    if decided and not shouting:
        won = _winner(evidence, limits, faster=True)
        return won and _from_race(evidence, won, "R03", "learning-rate-too-low", limits)
    if not series.most(mask, limits.agree):
        return None
    over = series.over_members(shares[mask], limits.confidence)
    found = series.average(levels[mask])
    still = "unmoved" if np.isnan(shares[mask]).all() else "falling along a straight line"
    return Finding(
        "R03",
        "learning-rate-too-low",
        "fault" if shouting else "warning",
        min(0.95, 0.6 + 0.3 * float(mask.mean())) - (0.15 if len(mask) == 1 else 0.0),
        f"Training loss was still {still} at the end, at {reading.percent(found)} of what a guess "
        f"costs{reading.of_members(mask)}: the steps are too short for this many epochs.",
        (
            Measure("loss_over_chance", found, threshold=limits.linear_level),
            *(
                [Measure("fall_in_first_quarter", over.value, threshold=limits.linear_share)]
                if over
                else []
            ),
        ),
        _faster(evidence),
        Where("loss"),
        SLIDE,
    )


def slow(evidence: Evidence, limits: Thresholds) -> Mask:
    """Members (M,) whose loss falls along a line, or whose weights do not move at all."""
    levels, loss = reading.level(evidence, limits), reading.trend(evidence, "train_loss")
    found = np.zeros(evidence.members, np.bool_)
    if fades_at_start(evidence, limits) or reading.is_annealed_early(evidence, limits):
        return found
    if (evidence.setup.dropout or 0.0) >= limits.dropout_strong:
        return found  # such a curve says nothing about the rate
    rates, shares = reading.effort(evidence), reading.early_shares(evidence)
    updates = reading.measured(reading.weight_layers(evidence), "update")
    useful = still_useful(evidence, limits)
    for k, curve in enumerate(loss):
        late = 1 - series.early_share(curve, None if rates is None else rates[k], 0.75)
        line = limits.slow_start <= shares[k] < limits.linear_share and late >= limits.linear_late
        steady = line and series.rises(curve) <= limits.few_rises
        far = levels[k] >= limits.stuck and falls_smoothly(curve, limits.few_rises)
        far = far and late >= limits.linear_late
        found[k] = (steady and useful[k] and levels[k] >= limits.linear_level) or far
        if updates.size and levels[k] >= limits.stuck:
            moved = updates[:, k, 1:]
            moved = moved[np.isfinite(moved)]
            found[k] |= bool(len(moved) and moved.max() < limits.update_low)
    return found


def _unmoved(evidence: Evidence, limits: Thresholds) -> Mask:
    """Members (M,) in which no layer's weights ever move; none, where that was not measured."""
    updates = reading.measured(reading.weight_layers(evidence), "update")
    if not updates.size or updates.shape[2] < 2:
        return np.zeros(evidence.members, np.bool_)
    known = np.where(np.isfinite(updates[:, :, 1:]), updates[:, :, 1:], -np.inf).max(axis=(0, 2))
    return np.asarray((known >= 0) & (known < limits.update_low))


def still_useful(evidence: Evidence, limits: Thresholds) -> Mask:
    """Members (M,) whose validation loss falls to the end as well; all, where there is none.

    A training loss that falls along a line while validation does not is rows learned by heart.
    """
    if not evidence.has("val_loss"):
        return np.ones(evidence.members, np.bool_)
    found = []
    for curve in reading.trend(evidence, "val_loss"):
        finite = series.smoothed(curve[np.isfinite(curve)])
        if len(finite) < 5:
            found.append(True)
            continue
        last = np.argmin(finite) >= (1 - limits.tail) * len(finite) - 1
        found.append(bool(last and finite[-1] < finite[3 * len(finite) // 4]))
    return np.array(found, np.bool_)


def suspects_rate(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether a race with twice and half the rate is worth its time.

    True where no race was run and a curve is suspicious: still falling along a line, noisy and
    stuck, the rate at the edge of its ladder, or a training that has learned little.
    """
    if evidence.race or not evidence.has("train_loss") or len(evidence.points) < 2:
        return False
    levels, loss = reading.level(evidence, limits), reading.trend(evidence, "train_loss")
    if evidence.ladder is not None and evidence.ladder.get("edge"):
        return True
    worth = np.isnan(levels) | (levels > limits.perfect)
    shares = reading.early_shares(evidence)
    noisy = np.array([series.rises(c) > limits.rises for c in loss], np.bool_)
    flat = np.array([_late_fall(c) < limits.flat_tail for c in loss], np.bool_)
    with np.errstate(invalid="ignore"):
        line = (shares < limits.suspect_share) | np.isnan(shares)
    little = levels >= limits.learned
    back = reading.broken(evidence)
    return series.most(worth & (line | (noisy & flat) | little) | back, 1e-9)


def _late_fall(curve: Floats) -> float:
    """Relative fall from the middle of a curve to its end; 0 for one without numbers."""
    if not np.isfinite(curve).any():
        return 0.0
    middle, end = series.part(curve, 0.4, 0.6).mean(), series.part(curve, 0.9).mean()
    return float(1 - end / middle) if middle > 0 else 0.0


def rate_is_cleared(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether a race or a ladder has shown that the learning rate is not the trouble."""
    duels = reading.rate_duels(evidence, limits)
    raced = any(f > 1 for f, _ in duels) and not any(d.wins(limits) for _, d in duels)
    ladder = evidence.ladder is not None and not evidence.ladder.get("edge", True)
    return raced or (ladder and not duels)


def _winner(evidence: Evidence, limits: Thresholds, faster: bool) -> tuple[float, Duel] | None:
    """The best arm of larger (or smaller) rates that is surely better."""
    won = [
        (factor, against)
        for factor, against in reading.rate_duels(evidence, limits)
        if (factor > 1) == faster and (against.wins(limits) or against.leans(limits))
    ]
    return max(won, key=lambda pair: pair[1].loss.value, default=None)


def _from_race(
    evidence: Evidence, won: tuple[float, Duel], code: str, name: str, limits: Thresholds
) -> Finding:
    factor, against = won
    times = f"{factor:g} times" if factor > 1 else f"1/{1 / factor:g} of"
    fault = against.accuracy.low > 0 and against.accuracy.value >= limits.race_fault
    matters = against.wins(limits)
    loss, accuracy = against.loss, against.accuracy
    remedies = _faster(evidence) if factor > 1 else _slower(evidence)
    return Finding(
        code,
        name,
        "fault" if fault else "warning" if matters else "note",
        0.95 if fault else 0.9 if matters else 0.6,
        f"In a race over {against.runs} trainings with the same start and budget, {times} the "
        f"learning rate ended with {reading.percent(loss.value)} less validation loss and "
        f"{reading.points(abs(accuracy.value))} {'less' if accuracy.value < 0 else 'more'} "
        "accuracy.",
        (
            Measure("loss_saved", loss.value, loss.low, loss.high, limits.race_loss),
            Measure("accuracy_gained", *_three(against), threshold=limits.race_gain),
        ),
        (Remedy(f"take {times} the rate", against.arm.changes), *remedies[1:]),
        Where("loss"),
        SLIDE,
    )


def _three(against: Duel) -> tuple[float, float, float]:
    return against.accuracy.value, against.accuracy.low, against.accuracy.high


def _slower(evidence: Evidence) -> tuple[Remedy, ...]:
    lr = evidence.setup.lr
    return (
        Remedy("halve the learning rate", (("lr", f"{lr / 2:.4g}"),) if lr else ()),
        Remedy("or divide it by 5, and again", (("lr", f"{lr / 5:.4g}"),) if lr else ()),
        Remedy("begin with small steps", (("schedule", "Cosine(warmup=0.1)"),)),
        Remedy("bring every feature to zero mean and unit spread"),
    )


def _faster(evidence: Evidence) -> tuple[Remedy, ...]:
    lr = evidence.setup.lr
    return (
        Remedy("double the learning rate", (("lr", f"{lr * 2:.4g}"),) if lr else ()),
        Remedy("or take 5 times as much, and again", (("lr", f"{lr * 5:.4g}"),) if lr else ()),
        LADDER,
    )
