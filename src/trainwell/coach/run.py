"""The coach inside a fit: from trained networks to better ones, within the budget that is left."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trainwell.arms import Arena, Arm, Cell
from trainwell.budget import COACH_SECONDS, COACH_TIMES, LEAST_TO_COACH
from trainwell.clock import now
from trainwell.coach.balancing import Balanced, Balancer
from trainwell.coach.finished import Before
from trainwell.coach.loop import TRIES, Coach, Coached
from trainwell.coach.telling import counted, level
from trainwell.comparing_arms import score_of
from trainwell.doctor.evidence import Evidence
from trainwell.engine.members import Trained
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.trainer import Seen
from trainwell.progress import Progress
from trainwell.recipe import fields_as_text, starting_recipe
from trainwell.training import CLOSING_SHARE, Work, stop_at_interrupt

UNITS = 10.0  # trainings of one network for each of the first ones, at most
ONE_ROUND = COACH_TIMES  # trainings for each of the first ones: about what one round takes
LEAST_SHARE = 0.2  # of it, from which on the time left can be told
ENSEMBLE_SHARE = 0.15  # of the budget, kept for the choice of an ensemble


@dataclass(frozen=True, eq=False)
class After:
    """What training gave, after the coach: as before where nothing was proved to help.

    arms: everything else that was trained in the same folds, by `arena`; an ensemble may want it.
    told: what run.json says of the coach as a whole.
    """

    trained: list[Trained]
    history: list[EpochScore]
    probes: list[Probe]
    evidence: Evidence
    decisions: list[dict[str, Any]]
    arena: Arena | None = None
    arms: tuple[Arm, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)


def not_run(why: str) -> dict[str, Any]:
    """What run.json says of a coach that did not run.

    >>> not_run("it was switched off")["words"]
    'not run, because it was switched off'
    """
    return {"ran": False, "words": f"not run, because {why}"}


def kept_from(work: Work) -> str:
    """Why the coach is not run at all; "" where it is."""
    seconds = work.budget.seconds
    if not work.options.coach:
        return "it was switched off (--no-coach)"
    if work.interrupted:
        return "the run was interrupted"
    if work.trainer.examples.ranks.size > 1:
        return "the networks are computed by several processes together"
    if work.budget.left <= 0:
        return "the time budget was over after training"
    if work.options.budget is not None and seconds < LEAST_TO_COACH:
        return (
            f"a budget of {seconds:g} s leaves no time for the coach: "
            f"it begins at {LEAST_TO_COACH:g} s"
        )
    return ""


def coached(
    work: Work,
    trained: Sequence[Trained],
    history: Sequence[EpochScore],
    probes: Sequence[Probe],
    evidence: Evidence,
    earlier: Before | None = None,
) -> After:
    """Diagnose, try remedies, keep what is proved; `work` then holds the recipe that was kept.

    Nothing where `kept_from` says so. Networks that diverged before their first epoch was over
    count as knowing nothing. earlier: what a finished run tried; it is not tried again.
    """
    before = After(list(trained), list(history), list(probes), evidence, [])
    if why := kept_from(work):
        before.told.update(not_run(why))
        work.progress.say(f"coach: {before.told['words']}")
        return before
    work.progress.stage("coaching: diagnose, remedy, retrain, prove")
    arena = Arena(
        work.data,
        work.split,
        work.options.seed,
        work.device,
        work.options.jobs,
        probing=True,
        # Which way is quickest differs from day to day, and with it the last bits. A budget is kept
        # by the clock anyway.
        steady=work.options.budget is None,
    )
    arena.show = shown = Shown(work.progress)
    arena.adopt(work.recipe, work.trainer)
    cells = [Cell(t.member.fold, t.member.seed) for t in trained]
    start = dataclasses.replace(
        arena.arm(work.recipe, cells, trained),
        evidence=evidence,
        history=tuple(history),
        probes=tuple(probes),
    )
    usual = starting_recipe(work.data.schema, len(work.split.folds[0].train))
    unit = max(work.recipe.epochs, usual.epochs)  # a training too short is no measure of cost
    deadline = _deadline(work)
    allowed = _units(work, unit, len(trained), deadline)
    coach = Coach(
        arena,
        work.deciding.name,
        units=allowed * len(trained),
        unit=unit,
        deadline=deadline,
        checks=evidence.checks,
        say=work.progress.say,
        tried={} if earlier is None else dict(earlier.tried),
        given=work.options.budget is not None,
    )
    shown.epochs, shown.began = coach.units * unit, now()
    shown.ends = deadline if coach.given else None
    first = _first(work, start, coach)
    if earlier is not None:
        work.progress.say(f"not tried again, as {work.options.coach_from} did: {earlier.words}")
    # A budget is kept by the clock, whatever that leaves to the rounds.
    least = min(allowed, ONE_ROUND) if work.options.budget is None else 0.0
    with stop_at_interrupt(arena):
        balancer = _balancer(work, arena, len(trained), deadline)
        if earlier is not None:
            balancer.skip = earlier.balances
        balanced, found = improve(start, balancer, coach, least * len(trained))
    work.interrupted = arena.stopped
    torch.set_num_threads(work.threads)
    decisions = [d.to_json() for d in found.decisions]
    told = {
        "ran": bool(found.decisions),
        "words": _in_all(found, earlier),
        "ended": found.ended,
        "rounds": found.rounds,
        "cost": found.cost,
        "first": first,
        "recipe": fields_as_text(found.recipe),
        "before": [] if earlier is None else earlier.kept,
    }
    work.progress.say(f"coach: {told['words']}")
    seen = {id(a): a for a in (start, balanced.arm, *coach.proved)}  # each once, in their order
    arms = tuple(a for a in seen.values() if a is not found.arm)
    if found.arm is start:
        return dataclasses.replace(before, decisions=decisions, arena=arena, arms=arms, told=told)
    work.recipe = found.recipe
    work.inputs = arena.trainer(found.recipe).examples.inputs
    kept = [t for t in found.arm.trained if t is not None]
    return After(
        kept,
        list(found.arm.history),
        list(found.arm.probes),
        coach.evidence(found.arm),
        decisions,
        arena,
        arms,
        told,
    )


def _first(work: Work, start: Arm, coach: Coach) -> dict[str, Any]:
    """What is known of the recipe as it was given: fields, score, networks that diverged, and
    what the doctor found; told, since it is gone from the run once a remedy is adopted."""
    found = coach.findings(start)
    for finding in found:
        work.progress.say(
            f"found: {finding.name.replace('-', ' ')} ({finding.code}); {finding.words}"
        )
    return {
        "recipe": fields_as_text(start.recipe),
        "score": float(score_of(start, coach.metric).mean()),
        "score_words": level(float(score_of(start, coach.metric).mean()), coach.metric),
        "networks": len(start.cells),
        "diverged": sum(t.diverged for t in start.trained if t is not None),
        "findings": [f.to_json() for f in found],
    }


def _in_all(found: Coached, earlier: Before | None) -> str:
    """One line: how many remedies, how far they went, how many were adopted, why it ended."""
    words = f"{counted(found.decisions)}; no further round: {found.ended}"
    if not found.decisions:
        words = f"not run, because {found.ended}"
    if earlier is None:
        return words
    names = len({k["tried"] for k in earlier.kept})
    return f"{words} ({names} that the run before had tried already)"


def improve(start: Arm, balancer: Balancer, coach: Coach, least: float) -> tuple[Balanced, Coached]:
    """Remedies for uneven classes first, then the coach's rounds: what came of the first, and of
    both together.

    What the first cost is no longer there for the rounds; but uneven classes are no reason to
    overlook everything else, so that they have `least` units in any case.
    """
    first = balancer.improve(start)
    booked = first.cost * start.recipe.epochs / (coach.unit or start.recipe.epochs)
    coach.units = max(coach.units - booked, least)
    coach.tried |= dict.fromkeys(first.tried, TRIES)
    then = coach.improve(first.arm)
    scale = booked / first.cost if first.cost else 1.0  # to the rounds' unit of cost
    mine = [dataclasses.replace(d, cost=d.cost * scale) for d in first.decisions]
    both = (*mine, *then.decisions)
    return first, dataclasses.replace(then, decisions=both, cost=booked + then.cost)


def _balancer(work: Work, arena: Arena, networks: int, deadline: float) -> Balancer:
    """The comparison of remedies for uneven classes: as far as the time goes, where a budget was
    given; else by work alone, as the coach itself."""
    given = work.options.budget is not None
    return Balancer(
        arena,
        work.deciding.name,
        units=_units(work, work.recipe.epochs, networks, deadline) * networks,
        unit_seconds=work.epoch_seconds * work.recipe.epochs if given else 0.0,
        deadline=deadline,
        say=work.progress.say,
    )


def _units(work: Work, unit: int, networks: int, deadline: float) -> float:
    """Trainings of `unit` epochs, for each of the first networks, that the coach may cost.

    With a budget as many as there is time for, by how long the first networks took. Without one the
    coach is limited by work alone, so that the same command does the same everywhere: what takes
    COACH_SECONDS on the nominal machine of `budget`, but one round, and never more than UNITS.
    """
    if work.options.budget is not None:
        each = work.epoch_seconds * unit * networks
        return min(UNITS, max(0.0, deadline - now()) / each) if each else UNITS
    seconds = work.size.seconds * unit / work.size.epochs
    return min(UNITS, max(ONE_ROUND, COACH_SECONDS / seconds))


def _deadline(work: Work) -> float:
    """When the coach ends (`clock.now()`): in time for the ensemble, and for scoring."""
    share = CLOSING_SHARE + (ENSEMBLE_SHARE if work.options.ensemble else 0.0)
    return now() + (1 - share) * work.budget.seconds - work.budget.used


@dataclass(eq=False)
class Shown:
    """How far the coach is: of the work that it may cost, or of its time where that was given.

    epochs: of one network, that it may cost; began, ends: `clock.now()`. It may end long before,
    when there is nothing left to try; a step's own share says nothing about the steps to come.
    """

    progress: Progress
    epochs: float = math.inf
    began: float = 0.0
    ends: float | None = None
    done: int = 0  # epochs of steps that are over
    last: int = 0  # of the step that goes on
    share: float = 0.0

    def __call__(self, seen: Seen) -> None:
        """Told by the trainer while it works; its count begins anew with every step."""
        if seen.epochs < self.last:
            self.done += self.last
        self.last = seen.epochs
        total = self.done + self.last
        share = total / max(self.epochs, 1.0)
        if self.ends is not None:
            share = max(share, (now() - self.began) / max(self.ends - self.began, 1e-9))
        self.share = min(1.0, max(self.share, share))
        words = f"{total} epochs of candidates"
        self.progress.update(self.share, words, self.share >= LEAST_SHARE)
