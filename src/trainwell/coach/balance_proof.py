"""Which remedies for class imbalance are proved, and which of those is kept.

Few cells (folds and seeds) give no small p of a sign-flip test, and a class of ten rows makes folds
so unlike that an interval over them says little. But what a fit keeps are these very networks:
whether they are better than those before is answered by held-out rows, by p values of what
is asked for (decisions, or the expected balanced accuracy), never of another quantity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from trainwell.arms import Arena, Arm
from trainwell.coach.adjusting import Adjustment, adjustment, expected_gain
from trainwell.coach.decision import Outcome
from trainwell.comparing_arms import compared, held_out, rows_p
from trainwell.comparing_arms import difference as paired_arms
from trainwell.metrics import Metric
from trainwell.significance import holm
from trainwell.stats import Array, Interval
from trainwell.swaps import class_sizes, flip_test
from trainwell.techniques.balance import LogitAdjust
from trainwell.verdict import LEVEL, REGION

Floats = npt.NDArray[np.float64]
SURE = 2.0  # standard errors of a gain over rows that counts as proved
BEHIND = 0.5  # by which decisions may be worse after a step whose direction is shown


@dataclass(frozen=True, eq=False)
class Judged:
    """What came of one remedy: gain over the arm before, p over cells and over rows (adjusted),
    and what the placebo gained (None: the networks are the same)."""

    arm: Arm
    outcome: Outcome
    words: str
    gain: Interval
    p: float
    rows_p: float
    placebo: float | None

    @property
    def tau(self) -> float:
        """How far the remedy moves outputs; 0: it does something else."""
        return tau_of(self.arm)


def proved(
    arena: Arena,
    metric: Metric,
    start: Arm,
    arms: Sequence[Arm],
    placebos: Sequence[float | None],
) -> list[Judged]:
    """Every arm (k,) against the one before, in the same cells; placebos (k,)."""
    flips = holm([paired_arms(arena.split, (start, a), metric).p for a in arms])
    step = _step(arena, metric, start, arms)
    taus = [tau_of(a) for a in arms]
    alone = [
        step.p if step is not None and tau else on_rows(arena, metric, start, a)
        for a, tau in zip(arms, taus, strict=True)
    ]
    rows = adjusted(alone, taus, step)
    numbers = zip(arms, placebos, flips.tolist(), rows.tolist(), strict=True)
    found = [_judged(arena, metric, (start, a), flip, p, noise) for a, noise, flip, p in numbers]
    return found if step is None else _stepped(arena, start, found, step)


def _judged(
    arena: Arena,
    metric: Metric,
    arms: tuple[Arm, Arm],
    flip: float,
    rows: float,
    placebo: float | None,
) -> Judged:
    comparison = compared(arena, arms, metric, adjusted_p=flip).comparison
    gain, words, verdict = comparison.difference, comparison.words, comparison.verdict
    outcome: Outcome = "adopted" if verdict == "better" else verdict
    moves = metric == "balanced_accuracy" and tau_of(arms[1])  # judged by its direction
    if outcome == "not shown" and rows <= LEVEL and gain.value > REGION and not moves:
        outcome = "adopted"
        words = (
            f"better by {100 * gain.value:.1f} points on average; a test on all held-out rows, "
            f"each class with the same weight, gives p = {rows:.2g}"
        )
    if outcome == "adopted" and placebo is not None and gain.value <= placebo:
        outcome = "not shown"
        words = f"{words}; the placebo gained as much ({100 * placebo:+.1f} points)"
    return Judged(arms[1], outcome, words, gain, flip, rows, placebo)


# ---- moving outputs ---------------------------------------------------------------------------


def tau_of(arm: Arm) -> float:
    """How far a remedy moves outputs by the classes' shares; 0: it does something else."""
    balance = arm.recipe.balance
    if isinstance(balance, LogitAdjust) and balance.when == "prediction":
        return balance.tau
    return 0.0


def _step(arena: Arena, metric: Metric, start: Arm, arms: Sequence[Arm]) -> Adjustment | None:
    """How far outputs should be moved towards equal classes; None where that is not what the
    metric asks for, or nothing was moved."""
    some = {tau_of(a): held_out(arena, a)[1] for a in arms if tau_of(a)}
    if metric != "balanced_accuracy" or not some:
        return None
    rows, plain = held_out(arena, start)
    said = {0.0: plain, **some}
    return adjustment(arena.data.labels[rows], said, arena.data.groups_of(rows))


def _stepped(arena: Arena, start: Arm, found: Sequence[Judged], step: Adjustment) -> list[Judged]:
    """With the step that the rows ask for adopted, where its direction is shown and it gains."""

    def behind(one: Judged) -> bool:
        return -one.gain.value > BEHIND * error_between(arena, start, one.arm)

    chosen = next((f for f in found if f.tau and f.tau == step.tau), None)
    shown = chosen is not None and chosen.outcome == "not shown" and chosen.rows_p <= LEVEL
    if chosen is None or not shown or step.gain <= REGION or behind(chosen):
        return list(found)

    def told(one: Judged) -> Judged:
        if one is chosen:
            return replace(one, outcome="adopted", words=step.words(one.gain.value))
        if not one.tau or one.outcome != "not shown":
            return one
        words = f"its direction is shown; tau={step.tau:g} has the lower loss, classes alike"
        return replace(one, outcome="proved, not needed", words=words)

    return [told(one) for one in found]


def adjusted(p: Sequence[float], taus: Sequence[float], step: Adjustment | None) -> Floats:
    """p values (k,) over rows for having been looked at together.

    Half of the error is given to the one hypothesis that was named before as the likeliest and
    costs nothing: that outputs should be moved towards equal classes. Its p stands for every step
    (taus (k,): not 0 where a remedy is one); all others share the other half by Holm's method.

    >>> adjusted([0.3, 0.01, 0.02], [1.0, 0.0, 0.0], Adjustment(1.0, 0.05, 0.001)).round(3).tolist()
    [0.002, 0.04, 0.04]
    """
    values, steps = np.asarray(p, np.float64), np.asarray(taus) != 0
    if step is None:
        return holm(values)
    found = np.full(len(values), 2 * step.p)
    found[~steps] = 2 * holm(values[~steps])
    return np.asarray(np.minimum(found, 1.0))


# ---- rows -------------------------------------------------------------------------------------


def on_rows(arena: Arena, metric: Metric, a: Arm, b: Arm) -> float:
    """p over all held-out rows of the metric's gain, each row by the mean of its networks.

    That of swapped decisions; for balanced accuracy also that of the rows' parts of the expected
    one, the smaller one doubled for having looked at two. There a gain must also be SURE standard
    errors large: of two rare rows that did not change a permutation learns no doubt.
    """
    if metric != "balanced_accuracy":
        return rows_p(arena, (a, b), metric)
    (rows, before), (_, after) = (held_out(arena, arm) for arm in (a, b))
    labels = arena.data.labels[rows]
    expected = expected_gain(labels, before, after)
    decided = decided_gain(labels, before, after)
    p = [
        flip_test(expected, arena.data.groups_of(rows)) if sure(labels, expected) else 1.0,
        rows_p(arena, (a, b), metric) if sure(labels, decided) else 1.0,
    ]
    return min(1.0, 2 * min(p))


def sure(labels: Array, gains: Floats) -> bool:
    """Whether the sum of rows' parts (N,) of a gain is above the region and SURE errors large."""
    return bool(gains.sum() > max(REGION, SURE * row_error(labels, gains)))


def row_error(labels: Array, gains: Floats) -> float:
    """Standard error of the sum of rows' parts (N,) of a mean over classes of means.

    √(Σ_c v_c / n_c) / C, v_c the mean square in class c of what its rows bring to its mean, drawn
    towards that of all rows by two of them: two equal rows are no certainty.

    >>> y = np.repeat([0, 1], [100, 2])
    >>> gains = np.where(np.arange(102) < 10, 1 / 200, 0.0)  # of one common row in ten
    >>> round(row_error(y, gains), 3)
    0.08
    """
    y = np.asarray(labels, np.int64)
    square = (gains * class_sizes(y)) ** 2
    n, total = np.bincount(y), np.bincount(y, square)
    there = n > 0
    variance = (total[there] + 2 * square.mean()) / (n[there] + 2)
    return float(np.sqrt((variance / n[there]).sum()) / there.sum())


def decided_gain(labels: Array, before: Floats, after: Floats) -> Floats:
    """What each row (N,) adds to the gain of the balanced accuracy, from chances (N, C)."""
    was, now = (p.argmax(axis=1) == labels for p in (before, after))
    return np.asarray((now.astype(np.float64) - was) / class_sizes(labels))


def error_between(arena: Arena, a: Arm, b: Arm) -> float:
    """`row_error` of the difference of two arms' balanced accuracies."""
    (rows, before), (_, after) = (held_out(arena, arm) for arm in (a, b))
    labels = arena.data.labels[rows]
    return row_error(labels, decided_gain(labels, before, after))


def first_of_the_best(arena: Arena, found: Sequence[Judged]) -> Judged | None:
    """Of the proved remedies the first, in their order, that cannot be told from the best.

    Its gain lies within one standard error of the largest: where rare rows are few, the largest
    is an accident, and the order (what moves outputs first) is what others found. Half an
    adjustment comes last.
    """
    won = [f for f in found if f.outcome == "adopted"]
    if not won:
        return None
    best = max(won, key=lambda f: f.gain.value)
    for one in sorted(won, key=lambda f: 0 < f.tau < 1):
        behind = best.gain.value - one.gain.value
        if one is best or behind <= error_between(arena, one.arm, best.arm):
            return one
    return best
