"""Auditing one augmentation after the other: looks, strengths, trainings, verdicts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from trainwell.arms import Arm, Cell, some_cells
from trainwell.auditing.changed import changed_rows
from trainwell.auditing.decide import Evidence, decide
from trainwell.auditing.gains import (
    Arms,
    Audited,
    Step,
    adjusted,
    combination,
    diversity,
    mean_difference,
    shifted_gains,
)
from trainwell.auditing.looks import Reference
from trainwell.auditing.shifted import shifts
from trainwell.auditing.subjects import Subject
from trainwell.auditing.trials import Trials
from trainwell.clock import now
from trainwell.comparing_arms import difference as arm_difference
from trainwell.errors import Interrupted, UserError
from trainwell.progress import Progress
from trainwell.recipe import Recipe
from trainwell.techniques.augment.own import Own
from trainwell.verdict import verdict

FEWEST_EPOCHS = 6
TUNING_SHARE = 0.15
SLACK = 1.5  # of the time that trainings are expected to take


@dataclass(frozen=True)
class Plan:
    """How much is trained. strengths: times an augmentation's own; sweep: cells that choose among
    them; cells: those that decide."""

    strengths: tuple[float, ...]
    sweep: tuple[Cell, ...]
    cells: tuple[Cell, ...]

    def size(self, subjects: int) -> tuple[int, int]:
        """Arms and networks to train for so many subjects, the reference, and the combination."""
        strengths = len(self.strengths) if self.sweep else 0
        swept = len(self.sweep) * strengths
        arms = 2 + subjects * (1 + strengths)
        return arms, len(self.sweep) + 2 * len(self.cells) + subjects * (swept + len(self.cells))


@dataclass(eq=False)
class Auditor:
    """Audits one subject after the other, as long as time allows."""

    trials: Trials
    plan: Plan
    subjects: Sequence[Subject]
    progress: Progress
    deadline: float | None = None  # `clock.now()`
    combine: bool = True
    notes: list[str] = field(default_factory=list)

    def run(self) -> list[Audited]:
        """The verdicts; those that time or Ctrl-C did not allow are missing."""
        self._try_functions()
        self._settle()
        reference = self._reference()
        if reference is None:
            self._too_late()
        audited: list[Audited] = []
        for number, subject in enumerate(self.subjects):
            self.progress.stage(f"{subject.name} ({number + 1} of {len(self.subjects)})")
            one = self._audited(reference, subject)
            if one is None:
                break
            audited.append(one)
        audited = adjusted(audited, self.trials.arena.data.classes)
        both = combination(audited) if self.combine and not self._over() else None
        if both is not None:
            self.progress.stage(f"together: {both.name}")
            one = self._audited(reference, both, sweep=False)
            audited += [one] if one is not None else []
            audited = adjusted(audited, self.trials.arena.data.classes)
        done = {a.subject.name for a in audited}
        left = [s.name for s in self.subjects if s.name not in done]
        why = "interrupted" if self.trials.stop else "the time ended"
        if left:
            self.notes.append(f"{why} before these were audited: {', '.join(left)}")
        untrained = [a.subject.name for a in audited if a.found is None]
        if untrained:
            words = f"{why} before these were trained: {', '.join(untrained)}"
            self.notes.append(f"{words}; only what needs no training is said of them")
        return audited

    def _try_functions(self) -> None:
        """Call functions of one's own on a few rows: mistakes are better known before trainings."""
        arena = self.trials.arena
        rows = arena.split.folds[0].validation[:8]
        for subject in self.subjects:
            if any(isinstance(a, Own) for a in subject.augment):
                changed_rows(arena, self.trials.recipe, 0, rows, subject.augment, 0)

    def _too_late(self) -> NoReturn:
        if self.trials.stop:
            raise Interrupted("Interrupted before anything was audited.")
        problem = "the time ended before the networks without augmentation were trained"
        raise UserError("--budget", problem, "Give more time, or fewer rows with --rows.")

    def _over(self) -> bool:
        late = self.deadline is not None and now() > self.deadline
        return self.trials.stop or late

    def _settle(self) -> None:
        """Epochs that fit the time, and one learning rate, that of the arm without augmentation.

        Early stopping is off: all arms take equal steps.
        """
        trials, arena = self.trials, self.trials.arena
        recipe = dataclasses.replace(trials.recipe, augment=())
        if self.deadline is not None:
            recipe = self._fitted(recipe, self.deadline)
        recipe = dataclasses.replace(recipe, patience=recipe.epochs)
        if recipe.lr is None and not trials.stop:
            self.progress.stage("the learning rate, of networks without augmentation")
            until = None
            if self.deadline is not None:
                until = now() + TUNING_SHARE * (self.deadline - now())
            recipe, _ = arena.tuned([recipe], until)[0]
        self.trials.recipe = recipe

    def _fitted(self, recipe: Recipe, deadline: float) -> Recipe:
        """The recipe with as many epochs as fit; where these are very few, strengths are looked at
        and not tried in training."""
        self.progress.stage("how long a training takes")
        once, each = self._times(recipe)
        left = (1 - TUNING_SHARE) * (deadline - now()) / SLACK

        def fitting() -> int:
            arms, networks = self.plan.size(len(self.subjects))
            return int((left - arms * once) / (networks * each))

        epochs = fitting()
        if epochs < FEWEST_EPOCHS and self.plan.sweep:
            self.plan = replace(self.plan, sweep=())
            epochs = fitting()
            self.notes.append("strengths were not tried in training: the time allows one only")
        folds = len(self.trials.arena.split.folds)
        if epochs < FEWEST_EPOCHS and len(self.plan.cells) > folds:
            each = len(self.plan.cells) // folds
            self.plan = replace(self.plan, cells=self.plan.cells[:folds])
            epochs = fitting()
            self.notes.append(
                f"1 training per fold instead of {each}, to fit the time: intervals are wider"
            )
        epochs = max(FEWEST_EPOCHS, epochs)
        if epochs >= recipe.epochs:
            return recipe
        self.notes.append(
            f"{epochs} epochs instead of {recipe.epochs}, to fit the time; augmentations gain more "
            "when trained longer"
        )
        return dataclasses.replace(recipe, epochs=epochs)

    def _times(self, recipe: Recipe) -> tuple[float, float]:
        """Seconds that an arm takes besides its epochs, and those of one epoch of one network."""
        arena, usual = self.trials.arena, recipe.lr or recipe.optimizer.usual_rate
        cells = self.plan.cells[: len(arena.split.folds)]
        seconds = []
        for epochs in (1, 1, 4):  # the first time workers start and files are read
            brief = dataclasses.replace(recipe, epochs=epochs, patience=epochs, lr=usual)
            start = now()
            arena.train([brief], cells, self.deadline)
            seconds.append(now() - start)
            if self._over():
                self._too_late()
        each = max((seconds[2] - seconds[1]) / (3 * len(cells)), 1e-5)
        return max(seconds[1] - each * len(cells), 0.0), each

    def _reference(self) -> Arms | None:
        """The arm without augmentation, in all cells."""
        self.progress.stage("networks without augmentation")
        sweep = self.plan.sweep
        arm = self.trials.train(None, [*sweep, *self.plan.cells], self.deadline)
        if arm is None:
            return None
        first = len(sweep)
        decisive = some_cells(arm, range(first, len(arm.cells)))
        swept = some_cells(arm, range(first)) if first else None
        return Arms(Reference(self.trials, decisive), decisive, swept)

    def _audited(self, arms: Arms, subject: Subject, sweep: bool = True) -> Audited | None:
        """One subject: looks, strengths, and the trainings that decide."""
        if self.trials.stop:
            return None
        in_time = not self._over()
        strengths = self.plan.strengths if sweep and subject.can_scale and in_time else (1.0,)
        strengths = tuple(s for s in strengths if s <= subject.most) or (1.0,)
        steps = [Step(s, arms.judge.look(subject.at(s), thorough=in_time)) for s in strengths]
        good = [s for s in steps if not s.evidence.breaks and not s.evidence.leaks]
        best = min(good or steps, key=lambda s: abs(math.log(s.strength)))
        if len(good) > 1 and arms.sweep is not None:
            steps = self._swept(arms, subject, steps, good)
            known = [s for s in steps if s.gain is not None]
            best = max(known, key=lambda s: (round(s.gain or 0.0, 6), -s.strength), default=best)
        chosen = subject.at(best.strength)
        arm = None
        if not self._over():
            arm = self.trials.train(chosen, self.plan.cells, self.deadline)
        if arm is None:  # what was seen without training is kept
            classes = self.trials.arena.data.classes
            return Audited(chosen, best.evidence, decide(best.evidence, classes), tuple(steps))
        return self._judged(arms, chosen, arm, best.evidence, tuple(steps))

    def _swept(
        self, arms: Arms, subject: Subject, steps: Sequence[Step], good: Sequence[Step]
    ) -> list[Step]:
        """The strengths, with gains in the cells that choose for the good ones, as time allows."""
        assert arms.sweep is not None
        found = []
        for step in steps:
            arm = None
            if step in good and not self._over():
                arm = self.trials.train(subject.at(step.strength), self.plan.sweep, self.deadline)
            if arm is not None:
                gain = float((arm.accuracy - arms.sweep.accuracy).mean())
                step = replace(step, gain=gain)
            found.append(step)
        return found

    def _judged(
        self, arms: Arms, subject: Subject, arm: Arm, seen: Evidence, steps: tuple[Step, ...]
    ) -> Audited:
        """The verdict on a trained subject, as if it were the only one (see `adjusted`)."""
        trials, split = self.trials, self.trials.arena.split
        found = arm_difference(split, (arms.none, arm), "accuracy")
        shifted = shifted_gains(trials, arms, arm)
        kinds = {s.name: s for s in shifts(trials.arena.data.schema)}
        others = [d for name, d in shifted.items() if not kinds[name].is_kin(subject.augment)]
        evidence = replace(
            seen,
            gain=verdict(found),
            diversity=diversity(trials, arms, arm, subject),
            elsewhere=mean_difference(split, others) if others else None,
        )
        cells = tuple(
            (c.fold, c.seed, float(a), float(b))
            for c, a, b in zip(arm.cells, arms.none.accuracy, arm.accuracy, strict=True)
        )
        return Audited(
            subject,
            evidence,
            decide(evidence, trials.arena.data.classes),
            steps,
            found,
            tuple((name, mean_difference(split, [d])) for name, d in shifted.items()),
            cells,
        )
