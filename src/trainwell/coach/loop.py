"""The closed loop: diagnose → remedy → retrain → prove, until nothing helps or the budget ends.

In every round the candidates of `remedies` are screened by short trainings, each at a few rates
of its own; the best are proved: trained in the same cells (folds and seeds) as the recipe that is
to be beaten, beside a placebo, which is that recipe with fresh seeds. A candidate is adopted only
when the paired interval and test say so and it gains more than the placebo. One change at a time;
what does not win is undone; every try is written down.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from trainwell.arms import Arena, Arm, Cell
from trainwell.coach.remedies import RATE_CODES, Candidate, candidates, difference
from trainwell.comparing import Compared, Metric, compared, score_of
from trainwell.comparing import difference as paired_arms
from trainwell.doctor.collect import described
from trainwell.doctor.diagnose import diagnose
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Check, Finding
from trainwell.engine.ladder import rates
from trainwell.metrics import confusion
from trainwell.recipe import Recipe
from trainwell.seeding import stream_seed
from trainwell.significance import holm
from trainwell.stats import Interval

SCREENED, PROVED = 4, 2  # candidates per round that are screened, and of these proved
BRIEF = 1 / 3  # share of the epochs in screening
FACTORS = (0.4, 1.0, 2.5)  # of the present rate, at which a candidate is screened
WIDE = 7  # rates of a ladder of its own, in steps of 1-2-5

SURE = 1e-3  # McNemar's p below which the same gain in every cell is enough

Outcome = Literal[
    "adopted", "not shown", "no difference that matters", "worse", "screened out", "not trained"
]


@dataclass(frozen=True)
class Decision:
    """One thing that was tried: what was seen, what was changed, interval, verdict, cost.

    difference: of the metric, candidate minus recipe, with its interval; placebo: that of the same
    recipe with fresh seeds. cost: in trainings of one network for the recipe's epochs.
    """

    round: int
    because: str
    saw: str
    tried: str
    changes: dict[str, str]
    outcome: Outcome
    words: str
    difference: Interval | None = None
    p: float | None = None
    placebo: float | None = None
    cost: float = 0.0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data, as decisions.json holds it."""
        plain = dataclasses.asdict(self)
        plain["difference"] = None if self.difference is None else self.difference.to_json()
        return plain


@dataclass(frozen=True, eq=False)
class Coached:
    """What the loop ended with: the recipe, its trainings, and everything that was tried."""

    recipe: Recipe
    arm: Arm
    decisions: tuple[Decision, ...]
    findings: tuple[Finding, ...]  # about the recipe that was kept
    cost: float  # in trainings of one network
    rounds: int


@dataclass(eq=False)
class Coach:
    """The loop's tools and its budget.

    units: trainings of one network (of as many epochs as the first recipe's) that it may cost.
    checks: what was found before training. say: told of every step.
    """

    arena: Arena
    metric: Metric = "accuracy"
    units: float = 60.0
    deadline: float | None = None  # `time.time()`
    rounds: int = 6
    checks: tuple[Check, ...] = ()
    say: Callable[[str], None] = lambda words: None
    used: float = 0.0
    tried: set[Recipe] = field(default_factory=set)
    proved: list[Arm] = field(default_factory=list)  # all that was trained in the cells

    def improve(self, start: Arm) -> Coached:
        """Improve on an arm (a recipe that was trained in its cells)."""
        arm, decisions = start, []
        findings = self.findings(arm)
        rounds = 0
        for number in range(1, self.rounds + 1):
            wanted = self._wanted(findings, arm, start.recipe.epochs)
            if not wanted:
                break
            rounds = number
            better, made = self._round(number, arm, wanted, findings, start.recipe.epochs)
            decisions += made
            if better is not None:
                arm = better
                findings = self.findings(arm)
        return Coached(arm.recipe, arm, tuple(decisions), findings, self.used, rounds)

    def findings(self, arm: Arm) -> tuple[Finding, ...]:
        """What the doctor says about an arm: faults and warnings, worst first."""
        if arm.evidence is None:
            return ()
        found = diagnose(self.evidence(arm)).findings
        return tuple(f for f in found if f.level in ("fault", "warning"))

    def evidence(self, arm: Arm) -> Evidence:
        """What is known about an arm. Checks of the first recipe's network say nothing about
        others; those of the data do."""
        if arm.evidence is not None and arm.evidence.classes is not None:
            return arm.evidence
        of_data = tuple(c for c in self.checks if c.code.startswith("D"))
        return evidence_of(self.arena, arm, of_data)

    def _wanted(self, findings: Sequence[Finding], arm: Arm, epochs: int) -> list[Candidate]:
        """The next candidates that were not tried yet, as many as the budget can screen and prove.

        None may cost more than half of what is left: a training ten times as long would be all
        that is tried.
        """
        gap, error = _gap(arm)
        data = self.arena.data
        left = self.units - self.used
        wanted: list[Candidate] = []
        suspect = _suspects(findings)
        cost = _units(arm.recipe, epochs) * len(arm.cells)  # of the placebo
        for candidate in candidates(findings, arm.recipe, data.schema, gap, error):
            if replace(candidate.recipe, lr=None) in self.tried or len(wanted) == SCREENED:
                continue
            own = _units(candidate.recipe, epochs)
            trials = BRIEF * own * len(_rates_for(candidate.recipe, arm.recipe, suspect))
            proof = own * len(arm.cells) if len(wanted) < PROVED else 0.0
            if cost + trials + proof <= left and proof <= left / 2:
                wanted.append(candidate)
                cost += trials + proof
        return wanted if self._may(cost) else []

    def _may(self, cost: float) -> bool:
        """Whether there is budget for trainings of this cost."""
        in_time = self.deadline is None or time.time() < self.deadline
        stopped = self.arena.late or self.arena.stopped
        return in_time and not stopped and self.used + cost <= self.units

    # ---- one round -------------------------------------------------------------------------------

    def _round(
        self,
        number: int,
        arm: Arm,
        wanted: Sequence[Candidate],
        findings: Sequence[Finding],
        epochs: int,
    ) -> tuple[Arm | None, list[Decision]]:
        """Screen and prove; the arm that is adopted, if one is, and what was decided."""
        began, before = time.monotonic(), self.used
        for candidate in wanted:
            self.tried.add(replace(candidate.recipe, lr=None))
        self.say(f"trying {', '.join(c.name for c in wanted)}")
        screened = self._screen(arm, wanted, _suspects(findings), epochs)
        saw = {f.code: f.words for f in findings}

        def decision(c: Candidate, outcome: Outcome, words: str, **numbers: Any) -> Decision:
            changes = difference(arm.recipe, c.recipe)
            return Decision(
                number,
                c.because,
                saw.get(c.because, ""),
                c.name,
                changes,
                outcome,
                words,
                **numbers,
            )

        made = [
            decision(c, "screened out", f"in short trainings {PROVED} others did better")
            for c, _ in screened[PROVED:]
        ]
        chosen = [c for c, _ in screened[:PROVED]]
        cost = sum(_units(c.recipe, epochs) for c in chosen) * len(arm.cells)
        cost += len(arm.cells) * _units(arm.recipe, epochs)
        while chosen and not self._may(cost):
            made.append(decision(chosen[-1], "not trained", "the budget does not allow its proof"))
            cost -= _units(chosen.pop().recipe, epochs) * len(arm.cells)
        better = None
        if chosen:
            better, proved = self._prove(arm, chosen, epochs, decision)
            made += proved
        share = 1 / max(len(made), 1)
        spent, seconds = self.used - before, time.monotonic() - began
        made = [replace(d, cost=spent * share, seconds=round(seconds * share, 2)) for d in made]
        for d in made:
            self.say(f"{d.tried}: {d.outcome}; {d.words}")
        return better, made

    def _screen(
        self, arm: Arm, wanted: Sequence[Candidate], suspect: bool, epochs: int
    ) -> list[tuple[Candidate, float]]:
        """Candidates with the best of a few rates, by the validation score of short trainings on
        the first cell (its loss where scores tie), best first."""
        everyone = [
            (candidate, replace(candidate.recipe, lr=lr))
            for candidate in wanted
            for lr in _rates_for(candidate.recipe, arm.recipe, suspect)
        ]
        brief = [_brief(recipe) for _, recipe in everyone]
        fresh = Cell(arm.cells[0].fold, stream_seed(self.arena.seed, "screen") % 2**31)
        # Rates of one recipe are alike in shape and so share a population.
        arms = self.arena.train(brief, [fresh], self.deadline)
        self.used += sum(_units(r, epochs) for r in brief)
        best: dict[str, tuple[Candidate, float]] = {}
        for (candidate, recipe), short in zip(everyone, arms, strict=True):
            loss = float(short.log_loss[0]) if short.trained[0] is not None else math.inf
            value = -float(score_of(short, self.metric)[0]) + 1e-3 * min(loss, 100.0)
            if candidate.name not in best or value < best[candidate.name][1]:
                best[candidate.name] = (replace(candidate, recipe=recipe), value)
        return sorted(best.values(), key=lambda found: found[1])

    def _prove(
        self,
        arm: Arm,
        chosen: Sequence[Candidate],
        epochs: int,
        decision: Callable[..., Decision],
    ) -> tuple[Arm | None, list[Decision]]:
        """Train the candidates in the arm's cells, and a placebo beside them."""
        arena, cells = self.arena, arm.cells
        others = [Cell(c.fold, stream_seed(arena.seed, "placebo", c.seed) % 2**31) for c in cells]
        arms = arena.train([c.recipe for c in chosen], cells, self.deadline)
        (placebo,) = arena.train([arm.recipe], others, self.deadline)
        self.proved += [*arms, placebo]
        self.used += len(cells) * sum(_units(c.recipe, epochs) for c in chosen)
        self.used += len(cells) * _units(arm.recipe, epochs)
        if any(t is None for a in (*arms, placebo) for t in a.trained):
            words = "the budget ended before its proof"
            return None, [decision(c, "not trained", words) for c in chosen]
        noise = float(np.mean(score_of(placebo, self.metric) - score_of(arm, self.metric)))
        adjusted = holm([paired_arms(arena.split, (arm, a), self.metric).p for a in arms])
        made: list[Decision] = []
        best: tuple[float, Arm] | None = None
        for candidate, trained, p in zip(chosen, arms, adjusted.tolist(), strict=True):
            found = compared(arena, (arm, trained), self.metric, adjusted_p=p)
            outcome, words = self._outcome(found, noise)
            interval = found.comparison.difference
            made.append(
                decision(candidate, outcome, words, difference=interval, p=p, placebo=noise)
            )
            gain = -interval.value if found.comparison.lower_is_better else interval.value
            if outcome == "adopted" and (best is None or gain > best[0]):
                best = (gain, trained)
        if best is None:
            return None, made
        # One change at a time: of several that won, the largest gain is kept.
        kept = [a is best[1] for a in arms]
        made = [
            d
            if keep or d.outcome != "adopted"
            else replace(d, outcome="not shown", words="better, but another change gained more")
            for d, keep in zip(made, kept, strict=True)
        ]
        return best[1], made

    def _outcome(self, found: Compared, noise: float) -> tuple[Outcome, str]:
        """What a comparison with the placebo beside it means for a candidate."""
        comparison, words = found.comparison, found.comparison.words
        gain = comparison.difference.value
        if comparison.lower_is_better:
            gain = -gain
        plain = comparison.verdict != "better" and self._plain_to_see(found)
        if plain:
            words = (
                f"better by {100 * gain:.1f} points, in each of {len(found.arms[0].cells)} "
                f"trainings (McNemar's p over all held-out rows {found.mcnemar_p:.1g})"
            )
        if comparison.verdict == "better" or plain:
            if gain > noise:
                return "adopted", words
            return "not shown", f"{words}; the placebo gained as much ({100 * noise:+.1f} points)"
        return comparison.verdict, words

    def _plain_to_see(self, found: Compared) -> bool:
        """A gain in every cell that McNemar's test on all held-out rows confirms: then few cells
        are enough, however small the smallest p of a sign-flip test on them."""
        a, b = found.scores(0), found.scores(1)
        if self.metric in (
            "balanced_accuracy",
            "macro_f1",
        ):  # votes of all rows say little about rare classes
            spread = float(np.std(b - a))
            return bool((b - a > 0.02).all() and (b - a).mean() > 3 * spread)
        return bool((b > a).all() and (b - a).mean() > 0.01 and found.mcnemar_p < SURE)


# ---- pure helpers ------------------------------------------------------------------------------


def evidence_of(arena: Arena, arm: Arm, checks: tuple[Check, ...] = ()) -> Evidence:
    """Evidence about an arm, with what the data say."""
    assert arm.evidence is not None
    data = arena.data
    labels, said = [], []
    for member, chances in zip(arm.trained, arm.probabilities, strict=True):
        if member is not None and np.isfinite(chances).all():
            labels.append(data.labels[member.member.validation])
            said.append(chances.argmax(axis=1))
    table = None
    if labels:
        table = confusion(np.concatenate(labels), np.concatenate(said), len(data.classes))
    found = described(arm.evidence, data, arena.split)
    return replace(found, confusion=table, checks=checks)


def _suspects(findings: Sequence[Finding]) -> bool:
    """Whether the present rate is no place to start from."""
    return any(f.code in RATE_CODES for f in findings)


def _gap(arm: Arm) -> tuple[float, float]:
    """Training minus validation accuracy, and training error, at the best epochs, in the mean."""
    evidence = arm.evidence
    if evidence is None or not evidence.has("train_accuracy", "val_accuracy"):
        return 0.0, 1.0
    train, val = evidence.series["train_accuracy"], evidence.series["val_accuracy"]
    places = [(m, max(b, 1) - 1) for m, b in enumerate(evidence.best)]
    a = float(np.nanmean([train[m, e] for m, e in places]))
    b = float(np.nanmean([val[m, e] for m, e in places]))
    return (a - b, 1 - a) if math.isfinite(a - b) else (0.0, 1.0)


def _units(recipe: Recipe, epochs: int) -> float:
    """Cost of one training, in trainings of `epochs` epochs."""
    return recipe.epochs / epochs


def _brief(recipe: Recipe) -> Recipe:
    epochs = min(recipe.epochs, max(3, round(BRIEF * recipe.epochs)))
    return replace(recipe, epochs=epochs, patience=epochs)


def _rates_for(candidate: Recipe, before: Recipe, suspect: bool) -> list[float]:
    """Its own rate where it has one; else some around the present one, or a ladder where that is
    no place to start: after a finding about the rate, or with another optimiser."""
    if candidate.lr is not None:
        return [candidate.lr]
    other = type(candidate.optimizer) is not type(before.optimizer)
    alone = replace(candidate, lr=before.lr) == before  # nothing but the rate is tried
    if suspect or other or alone or before.lr is None:
        return rates(candidate.optimizer.usual_rate / 20, WIDE)
    return [float(f"{before.lr * f:.3g}") for f in FACTORS]
