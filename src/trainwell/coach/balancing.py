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
from trainwell.coach.balance_proof import first_of_the_best, proved
from trainwell.coach.decision import Decision, Outcome
from trainwell.coach.remedies import difference as changes_of
from trainwell.coach.telling import ANOTHER, changed, in_short, line, reason, told
from trainwell.comparing_arms import held_out, score_of
from trainwell.data.dataset import Schema
from trainwell.data.imbalance import imbalance_of
from trainwell.errors import RecipeError
from trainwell.metrics import Metric, confusion
from trainwell.recipe import Recipe
from trainwell.recipe_check import check_against
from trainwell.seeding import stream_seed
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
        same = posthoc(self.metric)  # the same networks: nothing was drawn anew
        placebos = [None if a.recipe.balance in same else noise for a in arms]
        found = proved(self.arena, self.metric, start, arms, placebos)
        best = first_of_the_best(self.arena, found)
        for one in found:
            outcome, words = one.outcome, one.words
            if outcome == "adopted" and one is not best:
                outcome, words = "proved, not needed", f"{words}; {ANOTHER}"
            made = self._decision(start, one.arm.recipe, outcome, words)
            self.made.append(
                replace(made, difference=one.gain, p=one.p, rows_p=one.rows_p, placebo=one.placebo)
            )
        return start if best is None else self._described(best.arm)

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
