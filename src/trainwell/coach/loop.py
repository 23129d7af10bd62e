"""The closed loop: diagnose → remedy → retrain → prove, until nothing helps or the budget ends.

In every round the candidates of `remedies` are screened by short trainings, each at a few rates
of its own (`screening`); the best are proved in the cells (folds and seeds) of the recipe that is
to be beaten, beside a placebo (`proving`). One change at a time; what does not win is undone; every
try is written down.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trainwell.arms import Arena, Arm
from trainwell.auditing.looks import Reference
from trainwell.auditing.worth import judge_of, worth_trying
from trainwell.clock import now
from trainwell.coach.changes import Candidate
from trainwell.coach.decision import Decision
from trainwell.coach.proving import Proved, Prover
from trainwell.coach.record import Round
from trainwell.coach.remedies import POOR, RATE_CODES, START_CODES, candidates
from trainwell.coach.screening import Screen, Screened, about
from trainwell.coach.telling import line
from trainwell.doctor.collect import described
from trainwell.doctor.diagnose import diagnose
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Check, Finding
from trainwell.metrics import Metric, confusion
from trainwell.recipe import Recipe
from trainwell.techniques.augment.generated import SampleMaker

POOL, PROVED = 8, 2  # candidates of a round that are screened, and of these proved
FEW = 4  # candidates that are screened even where that takes more than SCREENING
AT_ONCE = 3  # remedies of one problem that are tried before those of the next
SCREENING = 0.3  # of what is left, that screening may take in a round
CLOSE = 0.03  # in the score of short trainings: the second candidate is proved too
TRIES = 2  # how often a recipe may be screened; later rounds have longer trainings


@dataclass(frozen=True, eq=False)
class Coached:
    """What the loop ended with: the recipe, its trainings, and everything that was tried."""

    recipe: Recipe
    arm: Arm
    decisions: tuple[Decision, ...]
    findings: tuple[Finding, ...]  # about the recipe that was kept
    cost: float  # in trainings of one network
    rounds: int
    ended: str = ""  # why there was no further round


@dataclass(eq=False)
class Coach:
    """The loop's tools and its budget.

    units: trainings of one network that it may cost; unit: how many epochs count as one, None for
    those of the first recipe. checks: what was found before training. say: told of every step.
    given: whether somebody gave the budget; else it is the usual limit of work.
    """

    arena: Arena
    metric: Metric = "accuracy"
    units: float = 60.0
    deadline: float | None = None  # `clock.now()`
    rounds: int = 12
    unit: int | None = None
    checks: tuple[Check, ...] = ()
    say: Callable[[str], None] = lambda words: None
    used: float = 0.0
    tried: dict[Recipe, int] = field(default_factory=dict)  # without a rate; how often
    proved: list[Arm] = field(default_factory=list)  # all that was trained in the cells
    refused: list[tuple[Candidate, str]] = field(default_factory=list)  # before any training
    judge: Reference | None = None  # the first arm's networks, which look at augmented rows
    given: bool = False
    ended: str = ""  # why there was no further round

    def improve(self, start: Arm) -> Coached:
        """Improve on an arm (a recipe that was trained in its cells)."""
        arm, decisions = start, []
        unit = self.unit or start.recipe.epochs
        prover = Prover(self.arena, self.metric, unit, self.deadline)
        findings = self.findings(arm)
        rounds = 0
        for number in range(1, self.rounds + 1):
            self.refused.clear()
            wanted = self._wanted(findings, arm, prover)
            begun = Round(number, arm, findings, *_gap(arm), self.metric)
            decisions += begun.refusals(self.refused)
            if not wanted:
                break
            rounds = number
            better, made = self._round(begun, wanted, prover)
            decisions += made
            if better is not None:
                arm = better
                findings = self.findings(arm)
        else:
            self.ended = f"{self.rounds} rounds are the most"
        return Coached(arm.recipe, arm, tuple(decisions), findings, self.used, rounds, self.ended)

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

    def _wanted(self, findings: Sequence[Finding], arm: Arm, prover: Prover) -> list[Candidate]:
        """The next candidates, as many as the budget can screen, if it can prove one of them.

        None may take more than the half of what is left: a training ten times as long would be
        all that is tried. Single rates are left out where a search for the rate is among them.
        """
        gap, error = _gap(arm)
        rows = len(self.arena.split.folds[0].train)
        left, wide = self.units - self.used, _wide(findings, error)
        found = candidates(findings, arm.recipe, self.arena.data.schema, gap, error, rows)
        found = _in_turn([c for c in found if c.recipe.lr is None or _more_than_rate(c, arm)])
        found.sort(key=lambda c: self.tried.get(_rateless(c), 0))
        wanted: list[Candidate] = []
        for candidate in found:
            if self.tried.get(_rateless(candidate), 0) >= TRIES or len(wanted) == POOL:
                continue
            more = [*wanted, candidate]
            proof = prover.cost(arm, [candidate])
            screening = about(more, arm.recipe, wide, prover.unit)
            own = len(arm.cells) * candidate.recipe.epochs / prover.unit
            cheap = len(wanted) < FEW or screening <= SCREENING * left
            fits = cheap and screening + proof <= left and own <= left / 2
            if fits and self._worth(candidate, arm):
                wanted = more
        self.ended = self._over(found, wanted)
        return [] if self.ended else wanted

    def _over(self, found: Sequence[Candidate], wanted: Sequence[Candidate]) -> str:
        """Why there is no further round, in words; "" where there is one."""
        if not self._may(0.0):
            if self.arena.stopped:
                return "it was interrupted"
            if self.arena.late or (self.deadline is not None and now() >= self.deadline):
                return "the time for the coach is over"
            return "the budget is used up" if self.given else "the work it may cost is done"
        if wanted:
            return ""
        if not found:
            return "there is nothing that it would try"
        if all(self.tried.get(_rateless(c), 0) >= TRIES for c in found):
            return "everything that it would try was tried"
        what = "the budget leaves" if self.given else "a run without a budget may cost"
        return f"what is left to try would cost more than {what}"

    def _worth(self, candidate: Candidate, arm: Arm) -> bool:
        """Whether an augmentation keeps labels and changes something, as the audit looks at it
        before any training; refused ones are told and not asked about again."""
        augment = candidate.recipe.augment
        if not augment or augment == arm.recipe.augment or any(t is None for t in arm.trained):
            return True
        if any(isinstance(a, SampleMaker) for a in augment):
            return True  # its samples are checked when they are made
        if self.judge is None:
            self.judge = judge_of(self.arena, arm)
        found = worth_trying(augment, self.judge)
        if not found.trying:
            self.tried[_rateless(candidate)] = TRIES
            self.refused.append((candidate, found.words))
            self.say(f"{candidate.name}: refused; {found.words}")
        return found.trying

    def _may(self, cost: float) -> bool:
        """Whether there is budget for trainings of this cost."""
        in_time = self.deadline is None or now() < self.deadline
        stopped = self.arena.late or self.arena.stopped
        return in_time and not stopped and self.used + cost <= self.units

    def _round(
        self, begun: Round, wanted: Sequence[Candidate], prover: Prover
    ) -> tuple[Arm | None, list[Decision]]:
        """Screen and prove; the arm that is adopted, if one is, and what was decided."""
        arm = begun.arm
        began, before = time.monotonic(), self.used
        for candidate in wanted:
            key = _rateless(candidate)
            self.tried[key] = self.tried.get(key, 0) + 1
        self.say(f"trying {', '.join(c.name for c in wanted)}")
        left = self.units - self.used
        proof = max(prover.cost(arm, [c]) for c in wanted)  # of one, which must be left
        cost = min(SCREENING * left, left - proof)
        wide = _wide(begun.findings, begun.error)
        screen = Screen(self.arena, self.metric, prover.unit, wide, cost, self.deadline)
        screened, used = screen.run(arm, wanted)
        self.used += used
        chosen = _chosen(screened, wanted)
        wished = {c.name for c in chosen}
        while chosen and not self._may(prover.cost(arm, chosen)):
            chosen.pop()
        proved: list[Proved] = []
        if chosen:
            for candidate in chosen:
                self.tried[_rateless(candidate)] = TRIES
            prover.used = 0.0
            proved = prover.prove(arm, chosen, self.units - self.used)
            self.used += prover.used
            self.proved += [*(p.arm for p in proved if p.arm is not None), *prover.whole_placebo()]
        made = begun.decisions(proved, screened, wished)
        if not proved and (self.arena.late or self.arena.stopped):
            what = "the user" if self.arena.stopped else "the budget"
            words = f"{what} ended the short trainings"
            made = [replace(d, outcome="not trained", words=words, told=words) for d in made]
        share = 1 / max(len(made), 1)
        spent, seconds = self.used - before, time.monotonic() - began
        made = [replace(d, cost=spent * share, seconds=round(seconds * share, 2)) for d in made]
        for d in made:
            self.say(line(d))
        better = [p.arm for p in proved if p.outcome == "adopted"]
        return better[0] if better else None, made


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


def _chosen(screened: Sequence[Screened], wanted: Sequence[Candidate]) -> list[Candidate]:
    """Whom to prove: the best in short trainings, and of those close to it the one that comes
    first in the order of causes; in that order."""
    order = [c.name for c in wanted]
    best = screened[0]
    close = [s for s in screened if s.kept and s.value >= best.value - CLOSE]
    first = min(close, key=lambda s: order.index(s.candidate.name))
    if first is not best:
        return [first.candidate, best.candidate]
    return [s.candidate for s in close[:PROVED]]


def _in_turn(found: Sequence[Candidate]) -> list[Candidate]:
    """Candidates in their order, but of each problem AT_ONCE before its others: a family of many
    remedies would leave no room for the next cause."""
    rank: dict[str, int] = {}
    turns = []
    for candidate in found:
        place = rank.get(candidate.because, 0)
        rank[candidate.because] = place + 1
        turns.append(place // AT_ONCE)
    order = sorted(range(len(found)), key=lambda i: turns[i])  # stable
    return [found[i] for i in order]


def _wide(findings: Sequence[Finding], error: float) -> bool:
    """Whether the present rate is no place to start from."""
    codes = (*RATE_CODES, *START_CODES)
    return error > 2 * POOR or any(f.code in codes for f in findings)


def _more_than_rate(candidate: Candidate, arm: Arm) -> bool:
    return replace(candidate.recipe, lr=arm.recipe.lr) != arm.recipe


def _rateless(candidate: Candidate) -> Recipe:
    return replace(candidate.recipe, lr=None)


def _gap(arm: Arm) -> tuple[float, float]:
    """Training minus validation accuracy, and training error, at the best epochs, in the mean."""
    evidence = arm.evidence
    if evidence is None or not evidence.has("train_accuracy", "val_accuracy"):
        return 0.0, 1.0
    train, val = evidence.series["train_accuracy"], evidence.series["val_accuracy"]
    # Of a network that diverged in its first epoch there may be no row at all.
    places = [(m, max(b, 1) - 1) for m, b in enumerate(evidence.best) if m < len(train)]
    mine, held = [train[m, e] for m, e in places], [val[m, e] for m, e in places]
    if not (np.isfinite(mine).any() and np.isfinite(held).any()):
        return 0.0, 1.0
    a, b = float(np.nanmean(mine)), float(np.nanmean(held))
    return (a - b, 1 - a) if math.isfinite(a - b) else (0.0, 1.0)
