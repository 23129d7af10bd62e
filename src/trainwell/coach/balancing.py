"""The remedies for class imbalance, compared on the user's data; one is kept if it is proved.

What moves only the outputs (thresholds, the classes' shares) needs no new training: the networks
that are there are judged once more. What changes the training is screened by short trainings
where all of them would take too long, and the best are trained in the same folds and seeds as the
recipe that is to be beaten, beside a placebo: that recipe with fresh seeds. All keep its learning
rate (weights and shares leave the mean weight of a row at 1), so that no remedy wins by tuning.
Slide: "Class imbalance".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from trainwell.arms import Arena, Arm, Cell
from trainwell.clock import now
from trainwell.coach.adjusting import Adjustment, adjustment
from trainwell.coach.decision import Decision, Outcome
from trainwell.coach.proving import ANOTHER
from trainwell.coach.remedies import difference as changes_of
from trainwell.coach.telling import changed, in_short, line, reason, told
from trainwell.comparing import compared, held_out, score_of
from trainwell.comparing import difference as paired_arms
from trainwell.data.dataset import Schema
from trainwell.data.imbalance import imbalance_of
from trainwell.errors import RecipeError
from trainwell.metrics import Metric, confusion
from trainwell.recipe import Recipe
from trainwell.recipe_check import check_against
from trainwell.seeding import stream_seed
from trainwell.significance import holm
from trainwell.swaps import balanced_losses, flip_test, swap_test
from trainwell.techniques.balance import (
    Balance,
    ClassWeights,
    EffectiveNumber,
    Focal,
    LogitAdjust,
    Oversample,
    Smote,
    ThresholdMove,
)
from trainwell.verdict import LEVEL, REGION

FULL, HALF = LogitAdjust(when="prediction"), LogitAdjust(tau=0.5, when="prediction")
TRAINED: tuple[Balance, ...] = (
    LogitAdjust(),
    ClassWeights(),
    Oversample(),
    ClassWeights(power=0.5),
    EffectiveNumber(),
    Smote(),
    Focal(),
)
Floats = npt.NDArray[np.float64]
PROVED, SCREEN_CELLS, BRIEF = 2, 2, 1 / 3  # after screening; trainings per candidate; of the epochs
CODE = "imbalance"  # why a remedy is tried


@dataclass(frozen=True, eq=False)
class Balanced:
    """The arm that is kept (the first one where nothing was proved), and everything tried."""

    arm: Arm
    decisions: tuple[Decision, ...] = ()
    tried: frozenset[Recipe] = frozenset()
    cost: float = 0.0  # in trainings of one network


def posthoc(metric: Metric) -> tuple[Balance, ...]:
    """Remedies that move the outputs of trained networks."""
    return (
        FULL,
        HALF,
        ThresholdMove("macro_f1" if metric == "macro_f1" else "balanced_accuracy"),
    )


def remedies(recipe: Recipe, schema: Schema, some: Sequence[Balance]) -> list[Recipe]:
    """The recipe with each remedy that suits it and the data; the rate stays."""
    found = []
    for balance in some:
        changed = replace(recipe, balance=balance)
        try:
            check_against(changed, schema)
        except RecipeError:
            continue
        found.append(changed)
    return found


@dataclass(eq=False)
class Balancer:
    """The tools of the comparison and what it may cost.

    units: trainings of one network that it may cost; unit_seconds: what one takes; deadline:
    `clock.now()`. say: told of every step.
    """

    arena: Arena
    metric: Metric
    units: float
    unit_seconds: float = 0.0
    deadline: float | None = None
    say: Callable[[str], None] = lambda words: None
    used: float = 0.0
    made: list[Decision] = field(default_factory=list)
    saw: str = ""  # the sizes of the classes, in words
    costs: dict[Recipe, float] = field(default_factory=dict)  # trainings of each remedy
    skip: frozenset[Recipe] = frozenset()  # remedies that were compared before

    def improve(self, start: Arm) -> Balanced:
        """Compare the remedies on an arm's cells; nothing where its recipe has one already, where
        classes are even, or where the metric does not care for classes."""
        data, split = self.arena.data, self.arena.split
        sizes = imbalance_of(
            np.bincount(data.labels[split.development], minlength=len(data.classes)), data.classes
        )
        cares = self.metric in ("balanced_accuracy", "macro_f1")
        if start.recipe.balance is not None or not sizes.imbalanced or not cares:
            return Balanced(start)
        self.saw = sizes.words
        free, costly = (
            [r for r in remedies(start.recipe, data.schema, some) if r not in self.skip]
            for some in (posthoc(self.metric), TRAINED)
        )
        if not free and not costly:
            return Balanced(start)
        self.say(
            f"comparing {len(free) + len(costly)} remedies for class imbalance by "
            f"{self.metric.replace('_', ' ')}"
        )
        began = time.monotonic()
        arms = [self.moved(start, recipe) for recipe in free]
        trained, noise = self._trained(start, costly)
        seconds = time.monotonic() - began
        kept = self._judge(start, [*arms, *trained], noise)
        share = round(seconds / max(len(self.made), 1), 2)
        made = [replace(d, seconds=share, told=told(d, self.metric)) for d in self.made]
        for d in made:
            self.say(line(d))
        tried = frozenset(replace(r, lr=None) for r in (*free, *costly))
        return Balanced(kept, tuple(made), tried, self.used)

    def moved(self, start: Arm, recipe: Recipe) -> Arm:
        """The networks of an arm under a recipe that only moves their outputs."""
        assert all(t is not None for t in start.trained)
        same = [
            replace(
                t, member=replace(t.member, recipe=replace(t.member.recipe, balance=recipe.balance))
            )
            for t in start.trained
            if t is not None
        ]
        arm = self.arena.arm(recipe, start.cells, same)
        return replace(arm, evidence=start.evidence, history=start.history, probes=start.probes)

    # ---- what has to be trained -----------------------------------------------------------------

    def _trained(self, start: Arm, wanted: Sequence[Recipe]) -> tuple[list[Arm], float]:
        """Arms of the remedies that were trained in all cells, and the placebo's gain."""
        if not wanted:
            return [], 0.0
        cells = len(start.cells)
        chosen = list(wanted)
        if not self._may((len(chosen) + 1) * cells):
            some = min(SCREEN_CELLS, cells)
            per = BRIEF * some
            proofs = [n for n in (PROVED, 1) if self._may(len(wanted) * per + (n + 1) * cells)]
            if proofs:
                chosen = self._screened(start, wanted, some, proofs[0])
            else:  # no time to look at all: the first of the list has won most often
                chosen = list(wanted[:1]) if self._may(2 * cells) else []
                self.made += [
                    self._decision(start, r, "not trained", "the budget ends before")
                    for r in wanted
                    if r not in chosen
                ]
        if not chosen:
            return [], 0.0
        others = [
            Cell(c.fold, stream_seed(self.arena.seed, "placebo", c.seed) % 2**31)
            for c in start.cells
        ]
        arms = self.arena.train(chosen, start.cells, self.deadline)
        (placebo,) = self.arena.train([start.recipe], others, self.deadline)
        self.used += (len(chosen) + 1) * cells
        self._book(chosen, (1 + 1 / len(chosen)) * cells)  # each with its part of the placebo
        if any(t is None for t in placebo.trained):
            self.made += [
                self._decision(start, a.recipe, "not proved", "the budget ended before its proof")
                for a in arms
            ]
            return [], 0.0
        complete = [a for a in arms if all(t is not None for t in a.trained)]
        self.made += [
            self._decision(start, a.recipe, "not proved", "the budget ended before its proof")
            for a in arms
            if a not in complete
        ]
        return complete, float(np.mean(self._scores(placebo) - self._scores(start)))

    def _book(self, recipes: Sequence[Recipe], cost: float) -> None:
        """Write down what each of these remedies took."""
        for recipe in recipes:
            self.costs[recipe] = self.costs.get(recipe, 0.0) + cost

    def _screened(
        self, start: Arm, wanted: Sequence[Recipe], cells: int, most: int
    ) -> list[Recipe]:
        """The remedies with the best scores in short trainings, best first; what came of the
        others is written down."""
        folds = list(dict.fromkeys(c.fold for c in start.cells))[:cells]
        seed = stream_seed(self.arena.seed, "screen") % 2**31
        epochs = max(3, round(BRIEF * start.recipe.epochs))
        brief = [replace(r, epochs=min(r.epochs, epochs), patience=epochs) for r in wanted]
        arms = self.arena.train(brief, [Cell(f, seed) for f in folds], self.deadline)
        self.used += BRIEF * len(wanted) * len(folds)
        self._book(wanted, BRIEF * len(folds))
        value = [float(np.mean(self._scores(a))) for a in arms]
        order = sorted(range(len(wanted)), key=lambda i: -value[i])
        for i in order[most:]:
            words = in_short(value[i], value[order[0]], self.metric)
            found = self._decision(start, wanted[i], "screened out", words)
            self.made.append(replace(found, reached=value[i]))
        return [wanted[i] for i in order[:most]]

    def _may(self, cost: float) -> bool:
        """Whether units and time allow trainings of this cost."""
        if self.arena.late or self.arena.stopped or self.used + cost > self.units:
            return False
        return self.deadline is None or now() + cost * self.unit_seconds < self.deadline

    # ---- the proof ------------------------------------------------------------------------------

    def _judge(self, start: Arm, arms: Sequence[Arm], noise: float) -> Arm:
        """The proved remedy with the largest gain, or the arm itself; decisions are written."""
        if not arms:
            return start
        split = self.arena.split
        flips = holm([paired_arms(split, (start, a), self.metric).p for a in arms])
        step = self._step(start, arms)
        rows = adjusted([self._on_rows(start, a) for a in arms], [_tau(a) for a in arms], step)
        found = [
            (arm, self._decided(start, arm, flip, p, noise, step))
            for arm, flip, p in zip(arms, flips.tolist(), rows.tolist(), strict=True)
        ]
        won = [f for f in found if f[1].outcome == "adopted"]
        best = self._first_of_the_best(won) if won else None
        for one in found:
            lost = one in won and one is not best
            words = f"{one[1].words}; {ANOTHER}"
            kept = replace(one[1], outcome="proved, not needed", words=words) if lost else one[1]
            self.made.append(kept)
        return start if best is None else self._described(best[0])

    def _decided(
        self,
        start: Arm,
        arm: Arm,
        flip: float,
        rows: float,
        noise: float,
        step: Adjustment | None,
    ) -> Decision:
        """A remedy against the arm; flip, rows: adjusted p over cells and over rows; noise: what
        the placebo gained; step: how far outputs should be moved.

        Few cells give no small p of a sign-flip test, and a class of ten rows makes folds so
        unlike that an interval over them says little. But what a fit keeps are these very
        networks: whether they are better than those before is answered by held-out rows.
        """
        moved = arm.recipe.balance in posthoc(self.metric)
        placebo = None if moved else noise  # the same networks: nothing was drawn anew
        comparison = compared(self.arena, (start, arm), self.metric, adjusted_p=flip).comparison
        gain, words, verdict = comparison.difference, comparison.words, comparison.verdict
        outcome: Outcome = "adopted" if verdict == "better" else verdict
        if outcome == "not shown" and rows <= LEVEL:
            if step is not None and _tau(arm):
                behind = -gain.value > self._error_between(start, arm)
                if _tau(arm) == step.tau and step.gain > REGION and not behind:
                    outcome, words = "adopted", step.words(gain.value)
            elif gain.value > REGION:
                outcome = "adopted"
                words = (
                    f"better by {100 * gain.value:.1f} points on average; a test on all held-out "
                    f"rows, each class with the same weight, gives p = {rows:.2g}"
                )
        if outcome == "adopted" and placebo is not None and gain.value <= placebo:
            outcome = "not shown"
            words = f"{words}; the placebo gained as much ({100 * noise:+.1f} points)"
        decision = self._decision(start, arm.recipe, outcome, words)
        return replace(decision, difference=gain, p=flip, rows_p=rows, placebo=placebo)

    def _step(self, start: Arm, arms: Sequence[Arm]) -> Adjustment | None:
        """How far outputs should be moved towards equal classes; None where that is not what the
        metric asks for, or nothing was moved."""
        some = {_tau(a): held_out(self.arena, a)[1] for a in arms if _tau(a)}
        if self.metric != "balanced_accuracy" or not some:
            return None
        rows, plain = held_out(self.arena, start)
        data = self.arena.data
        groups = None if data.groups is None else data.groups[rows]
        return adjustment(data.labels[rows], {0.0: plain, **some}, groups)

    def _first_of_the_best(self, won: Sequence[tuple[Arm, Decision]]) -> tuple[Arm, Decision]:
        """Of the proved remedies the first, in their order, that cannot be told from the best.

        Its gain lies within one standard error of the largest: where rare rows are few, the
        largest is an accident, and the order (what moves outputs first) is what others found.
        Half an adjustment comes last: it is there to prove the direction.
        """
        best = max(won, key=lambda f: _gain(f[1]))
        for one in sorted(won, key=lambda f: f[0].recipe.balance == HALF):
            behind = _gain(best[1]) - _gain(one[1])
            if one is best or behind <= self._error_between(one[0], best[0]):
                return one
        return best

    def _error_between(self, a: Arm, b: Arm) -> float:
        """Standard error over held-out rows of the difference of two arms' balanced accuracies.

        √(Σ_c v_c / n_c) / C, v_c the mean square of the differences of a row's decisions in class
        c, drawn towards that of all rows by two of them: two equal rows are no certainty.
        """
        labels = self.arena.data.labels
        (rows, before), (_, after) = (held_out(self.arena, arm) for arm in (a, b))
        y = labels[rows]
        right = [p.argmax(axis=1) == y for p in (before, after)]
        square = (right[0] != right[1]).astype(float)
        n, total = np.bincount(y), np.bincount(y, square)
        there = n > 0
        variance = (total[there] + 2 * square.mean()) / (n[there] + 2)
        return float(np.sqrt((variance / n[there]).sum()) / there.sum())

    def _on_rows(self, a: Arm, b: Arm) -> float:
        """p over all held-out rows, each judged by the mean of its networks: that of swapped
        decisions or that of balanced losses, the smaller one doubled for having looked at two."""
        data = self.arena.data
        (rows, before), (_, after) = (held_out(self.arena, arm) for arm in (a, b))
        labels = data.labels[rows]
        groups = None if data.groups is None else data.groups[rows]
        said = (before.argmax(axis=1), after.argmax(axis=1))
        swap = swap_test(labels, said[0], said[1], len(data.classes), self.metric, groups)
        losses = [balanced_losses(labels, p) for p in (before, after)]
        gain = losses[0] - losses[1]
        flip = flip_test(gain, groups) if gain.sum() > 0 else 1.0
        return min(1.0, 2 * min(swap, flip))

    def _described(self, arm: Arm) -> Arm:
        """The arm with evidence of its own decisions."""
        if arm.evidence is None:
            return arm
        rows, chances = held_out(self.arena, arm)
        data = self.arena.data
        table = confusion(data.labels[rows], chances.argmax(axis=1), len(data.classes))
        return replace(arm, evidence=replace(arm.evidence, confusion=table))

    def _scores(self, arm: Arm) -> Floats:
        return score_of(arm, self.metric)

    def _decision(self, start: Arm, recipe: Recipe, outcome: Outcome, words: str) -> Decision:
        return Decision(
            0,
            CODE,
            self.saw,
            f"balance: {recipe.balance!r}",
            changes_of(start.recipe, recipe),
            outcome,
            words,
            cost=self.costs.get(recipe, 0.0),
            reason=reason(CODE, ()),
            changed=changed(start.recipe, recipe),
        )


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
    found[~steps] = 2 * holm(values[~steps]) if not steps.all() else []
    return np.asarray(np.minimum(found, 1.0))


def _tau(arm: Arm) -> float:
    """How far a remedy moves outputs by the classes' shares; 0: it does something else."""
    balance = arm.recipe.balance
    moves = isinstance(balance, LogitAdjust) and balance.when == "prediction"
    return balance.tau if isinstance(balance, LogitAdjust) and moves else 0.0


def _gain(decision: Decision) -> float:
    return decision.difference.value if decision.difference else 0.0
