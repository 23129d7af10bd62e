"""What several rules read out of evidence: chance, what was learned, layers, duels of a race.

M members, E epochs. All functions are pure, and answer None or nan where evidence is missing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.doctor import series
from trainwell.doctor.evidence import Arm, Evidence, Floats, Layer
from trainwell.doctor.thresholds import Thresholds
from trainwell.stats import Interval, wilson

Mask = npt.NDArray[np.bool_]
_ROUNDING = 1e-3  # a log loss can come out as much below zero in half precision
RATE = re.compile(r"lr (x|/)([0-9.e+-]+)")


def classes(evidence: Evidence) -> int | None:
    """How many classes there are, from whatever says it."""
    counted = len(evidence.class_counts) or len(evidence.class_names)
    if evidence.confusion is not None:
        counted = counted or len(evidence.confusion)
    return evidence.classes or counted or None


def chance(evidence: Evidence) -> float | None:
    """Log loss of a guess from the class frequencies, nats: their entropy, or ln C; None where the
    loss is no log loss, since it is negative somewhere.

    >>> round(chance(Evidence(np.zeros(0), {}, classes=10)), 3)
    2.303
    """
    if is_score(evidence):
        return None
    counts = np.array([n for n in evidence.class_counts if n > 0], dtype=np.float64)
    if len(counts) > 1:
        shares = counts / counts.sum()
        return float(-(shares * np.log(shares)).sum())
    number = classes(evidence)
    return math.log(number) if number and number > 1 else None


def is_score(evidence: Evidence) -> bool:
    """Whether a loss falls below zero: then it is a score, of which no ratio means anything."""
    losses = [evidence.series[n] for n in ("train_loss", "val_loss") if n in evidence.series]
    return any(bool((v[np.isfinite(v)] < -_ROUNDING).any()) for v in losses)


def majority(evidence: Evidence) -> float | None:
    """Accuracy of always saying the most frequent class, of held-out rows where known."""
    if evidence.confusion is not None and evidence.confusion.sum():
        return float(evidence.confusion.sum(axis=1).max() / evidence.confusion.sum())
    if evidence.class_counts and sum(evidence.class_counts):
        return max(evidence.class_counts) / sum(evidence.class_counts)
    number = classes(evidence)
    return 1 / number if number else None


def curves(evidence: Evidence, name: str) -> Floats:
    """A series (M, E); all nan where it was not written down."""
    found = evidence.series.get(name)
    if found is None:
        return np.full((evidence.members, len(evidence.points)), np.nan)
    return found


def broken(evidence: Evidence) -> Mask:
    """Members (M,) whose loss was not finite at some point while they trained.

    `diverged` says it where it was written down. Else nan at the end of one member's curve is its
    end; nan while another series still counts is a loss of nan, and so is a point without a number
    of any member.
    """
    losses = [curves(evidence, n) for n in ("train_loss", "val_loss") if n in evidence.series]
    found = np.zeros(evidence.members, np.bool_)
    for number, said in enumerate(evidence.diverged[: len(found)]):
        found[number] = said
    if len(evidence.diverged) == evidence.members:  # whoever trained has said it
        for loss in losses:
            found |= np.isinf(loss).any(axis=1) if loss.size else False
        return found
    if not losses or not losses[0].size:
        return found
    every = np.stack([s for s in evidence.series.values() if s.shape == losses[0].shape])
    # A point without a number of any member: nobody has said who diverged.
    living = (~np.isnan(every)).any(axis=0) | np.isnan(every).all(axis=(0, 1))
    for loss in losses:
        # A series that is not written down at every point (validation, now and then) proves less.
        sparse = bool(np.isnan(loss).mean() > 0.5) and not np.isnan(loss).all()
        found |= np.isinf(loss).any(axis=1)
        if not sparse:
            last = series.lengths(np.where(living, 0.0, np.nan))
            places = np.arange(loss.shape[1]) < last[:, None]
            holes = np.isnan(loss) & places
            # Losses that are nan to the end of what the member did, not a gap in the middle.
            done = np.maximum(last - 1, 0)
            found |= holes[np.arange(len(loss)), done] if loss.shape[1] else False
    return found


def is_brief(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether points are steps, and too few of them to say anything about rate and length."""
    if evidence.unit != "step":
        return False
    steps = float(evidence.points[-1]) if len(evidence.points) else 0.0
    return steps < max(limits.few_steps, limits.few_epochs * (evidence.setup.steps or 0))


def trend(evidence: Evidence, name: str) -> Floats:
    """A series (M, E) without the noise of single batches: points that are steps are smoothed over
    a twentieth of the training, epochs stay as they are."""
    values = curves(evidence, name)
    if evidence.unit == "epoch" or values.shape[1] < 10 or not len(values):
        return values
    width = max(3, values.shape[1] // 20)
    smooth = [series.smoothed(curve, width) for curve in values]
    return np.where(np.isfinite(values), np.stack(smooth), values)


def level(evidence: Evidence, limits: Thresholds) -> Floats:
    """Training loss of the end over chance (M,): 1 has learned nothing; nan where unknown."""
    base = chance(evidence)
    if base is None:
        return np.full(evidence.members, np.nan)
    return series.tails(curves(evidence, "train_loss"), limits.tail) / base


def is_stuck(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether most members' training loss stayed near chance, or was not finite."""
    values = level(evidence, limits)
    ok = ~np.isnan(values) | broken(evidence)
    return series.most((values >= limits.stuck)[ok] | broken(evidence)[ok], limits.agree)


def has_learned(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether most members' training loss fell well below chance."""
    values = level(evidence, limits)
    return series.most(values < limits.learned, limits.agree)


def effort(evidence: Evidence) -> Floats | None:
    """Learning rate of each point and member (M, E), where it was written down."""
    return evidence.series.get("lr")


def best_level(evidence: Evidence) -> Floats:
    """Lowest validation loss over chance (M,), training loss without one; nan where unknown."""
    base = chance(evidence)
    loss = curves(evidence, "val_loss" if evidence.has("val_loss") else "train_loss")
    if base is None or not loss.shape[1]:
        return np.full(evidence.members, np.nan)
    found: Floats = np.where(np.isfinite(loss), loss, np.inf).min(axis=1) / base
    return found


def early_shares(evidence: Evidence) -> Floats:
    """Share of each member's fall in training loss (M,) that the first quarter of rates brought."""
    rates, loss = effort(evidence), trend(evidence, "train_loss")
    return np.array(
        [
            series.early_share(curve, None if rates is None else rates[k])
            for k, curve in enumerate(loss)
        ]
    )


def annealed_at(evidence: Evidence, limits: Thresholds) -> int | None:
    """Point from which on the rate stays below `decay_done` of its peak; None: never."""
    rates = effort(evidence)
    if rates is None or not rates.size or not np.isfinite(rates).any():
        return None
    one = middle(rates, axis=0)
    one = one[: int(np.flatnonzero(np.isfinite(one))[-1]) + 1]  # until the last member ended
    small = ~(one >= limits.decay_done * np.nanmax(one))
    if not small[-1]:
        return None
    return int(len(small) - np.argmin(small[::-1])) if not small.all() else None


def is_annealed_early(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether the rate was annealed away early, while most members' loss was falling."""
    place = annealed_at(evidence, limits)
    rates = effort(evidence)
    count = 0 if rates is None else int(series.lengths(rates).max(initial=0))
    if place is None or place < 2 or place > limits.decay_early * count:
        return False
    loss = curves(evidence, "train_loss")
    # Before the collapse, over the points in which the rate was still worth something.
    before = loss[:, max(0, place // 2 - 1)], loss[:, max(1, place // 2)]
    with np.errstate(invalid="ignore", divide="ignore"):
        fall = 1 - before[1] / before[0]
    return series.most(fall >= limits.decay_falling, limits.agree)


def weight_layers(evidence: Evidence) -> list[Layer]:
    """Layers with weights, from the input on."""
    return [layer for layer in evidence.layers if layer.kind == "weight"]


def unit_layers(evidence: Evidence) -> list[Layer]:
    """Layers of units, from the input on; not what is left of weights that are no numbers."""
    weights = {layer.name for layer in weight_layers(evidence)}
    return [
        layer for layer in evidence.layers if layer.kind == "units" and layer.name not in weights
    ]


def measured(layers: list[Layer], name: str) -> Floats:
    """One measure of all layers that have it (L, M, E + 1); (0, 0, 0) where none has."""
    found = [layer.measures[name] for layer in layers if name in layer.measures]
    return np.stack(found) if found else np.zeros((0, 0, 0))


def middle(values: Floats, axis: int = -1) -> Floats:
    """Median along an axis without nan; nan where there is nothing else."""
    kept = np.where(np.isfinite(values), values, np.nan)
    empty = np.isnan(kept).all(axis=axis, keepdims=True)
    found: Floats = np.nanmedian(np.where(empty, 0.0, kept), axis=axis)
    return np.where(np.squeeze(empty, axis=axis), np.nan, found)


@dataclass(frozen=True)
class Duel:
    """An arm of a race against the control: what it gained, by paired runs.

    loss: share of the control's validation loss; accuracy: in points of one.
    """

    arm: Arm
    runs: int
    loss: Interval
    accuracy: Interval

    def wins(self, limits: Thresholds) -> bool:
        """Whether the arm is surely better, by an accuracy that matters.

        Sure by accuracy, or by a loss that fell relevantly.
        """
        sure = self.accuracy.low > 0 or self.leans(limits)
        return self.runs >= limits.race_runs and sure and self.accuracy.value >= limits.race_gain

    def leans(self, limits: Thresholds) -> bool:
        """Whether the arm surely has a relevantly lower loss, whatever its accuracy."""
        falls = self.loss.low > 0 and self.loss.value >= limits.race_loss
        return self.runs >= limits.race_runs and falls and self.accuracy.high > 0


def duel(evidence: Evidence, name: str, limits: Thresholds) -> Duel | None:
    """The arm of this name against the control; None without either, or without pairs."""
    arms = {arm.name: arm for arm in evidence.race}
    if name not in arms or "control" not in arms:
        return None
    arm, control = arms[name], arms["control"]
    loss = series.paired(arm.loss, control.loss, limits.confidence)
    accuracy = series.paired(-arm.accuracy, -control.accuracy, limits.confidence)
    if loss is None or accuracy is None:
        return None
    # Runs share held-out rows: other rows would give another gain, by the rows that change.
    rows = evidence.val_rows or math.inf
    half = 1.96 * math.sqrt(max(abs(accuracy.value), 1 / rows) / rows)
    half = max(half, accuracy.value - accuracy.low)
    accuracy = Interval(accuracy.value, accuracy.value - half, accuracy.value + half)
    both = np.concatenate([control.loss[np.isfinite(control.loss)], [0.0]])
    scale = float(both[:-1].mean()) if len(both) > 1 else max(loss.value, 1e-12)
    scale = max(scale, 1e-12)
    share = Interval(loss.value / scale, loss.low / scale, loss.high / scale)
    return Duel(arm, len(arm.loss), share, accuracy)


def rate_duels(evidence: Evidence, limits: Thresholds) -> list[tuple[float, Duel]]:
    """Arms that change the learning rate alone: the factor, and the duel with the control."""
    found = []
    for arm in evidence.race:
        match = RATE.fullmatch(arm.name)
        against = duel(evidence, arm.name, limits) if match else None
        if match and against:
            factor = float(match[2])
            found.append((factor if match[1] == "x" else 1 / factor, against))
    return found


def final_accuracy(evidence: Evidence, name: str, limits: Thresholds) -> Interval | None:
    """Accuracy at the end, averaged over members, with an interval over members *and* rows.

    The wider of Student's interval over members and Wilson's over the rows of one member.
    """
    ends = series.tails(curves(evidence, name), 1e-9)
    over = series.over_members(ends, limits.confidence)
    if over is None:
        return None
    rows = evidence.val_rows if name.startswith("val") else evidence.sample_rows
    if not rows:
        return over if math.isfinite(over.low) else None
    by_rows = wilson(min(max(over.value, 0.0), 1.0) * rows, rows, limits.confidence)
    if not math.isfinite(over.low):
        return by_rows
    return Interval(over.value, min(over.low, by_rows.low), max(over.high, by_rows.high))


def all_below(evidence: Evidence, train: Interval, bound: float) -> bool:
    """Whether training accuracy is surely below a bound: in the mean, or in every single member
    (members that end far apart have a wide interval)."""
    ends = series.tails(curves(evidence, "train_accuracy"), 1e-9)
    known = ends[np.isfinite(ends)]
    each = len(known) >= 3 and bool((known < bound - 0.05).all())
    return train.high < bound or each


def has(evidence: Evidence, need: str) -> bool:
    """Whether the evidence holds what a rule needs; "a|b": one of them."""
    return any(_holds(evidence, one) for one in need.split("|"))


def _holds(evidence: Evidence, need: str) -> bool:
    if need == "classes":
        return bool(
            evidence.classes
            or evidence.class_counts
            or evidence.class_names
            or evidence.confusion is not None
        )
    if need == "diverged":
        return bool(broken(evidence).any())
    if need.startswith("race:"):
        return need[5:] in {arm.name for arm in evidence.race}
    if need.startswith("setup."):
        return getattr(evidence.setup, need[6:]) is not None
    if need in ("confusion", "race", "reference", "ladder"):
        held = getattr(evidence, need)
        return held is not None and len(held) > 0
    return evidence.has(need)


def percent(share: float) -> str:
    """A share in words.

    >>> percent(0.0312), percent(0.5)
    ('3.1 %', '50 %')
    """
    if not math.isfinite(share):
        return "an unknown share"
    value = 100 * share
    return f"{value:.0f} %" if abs(value) >= 9.95 else f"{value:.1f} %"


def growth(share: float) -> str:
    """How much something rose, in words: from 200 % on, to how many times.

    >>> growth(0.4), growth(9.0)
    ('by 40 %', 'to 10 times')
    """
    return f"to {1 + share:.3g} times" if share > 2 else f"by {percent(share)}"


def points(difference: float) -> str:
    """A difference of accuracies in words.

    >>> points(0.031)
    '3.1 points'
    """
    return f"{100 * difference:.1f} points"


def when(evidence: Evidence, index: int) -> str:
    """A point in words: 'epoch 3'."""
    if not len(evidence.points):
        return "the start"
    return f"{evidence.unit} {evidence.points[min(index, len(evidence.points) - 1)]:g}"


def of_members(mask: Mask) -> str:
    """How many members, in words; nothing for a single training.

    >>> of_members(np.array([True, True, False]))
    ' (2 of 3 trainings)'
    """
    return f" ({int(mask.sum())} of {len(mask)} trainings)" if len(mask) > 1 else ""
