"""The coach inside a fit: from trained networks to better ones, within the budget that is left."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainwell.arms import Arena, Arm, Cell
from trainwell.budget import COACH_SECONDS, COACH_TIMES, LEAST_TO_COACH
from trainwell.clock import now
from trainwell.coach.balancing import Balanced, Balancer
from trainwell.coach.loop import TRIES, Coach, Coached
from trainwell.doctor.evidence import Evidence
from trainwell.engine.members import Trained
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.trainer import Seen
from trainwell.recipe import starting_recipe
from trainwell.training import CLOSING_SHARE, Work, stop_at_interrupt

UNITS = 10.0  # trainings of one network for each of the first ones, at most
ONE_ROUND = COACH_TIMES  # trainings for each of the first ones: about what one round takes
ENSEMBLE_SHARE = 0.15  # of the budget, kept for the choice of an ensemble


@dataclass(frozen=True, eq=False)
class After:
    """What training gave, after the coach: as before where nothing was proved to help.

    arms: everything else that was trained in the same folds, by `arena`; an ensemble may want it.
    """

    trained: list[Trained]
    history: list[EpochScore]
    probes: list[Probe]
    evidence: Evidence
    decisions: list[dict[str, Any]]
    arena: Arena | None = None
    arms: tuple[Arm, ...] = ()


def coached(
    work: Work,
    trained: Sequence[Trained],
    history: Sequence[EpochScore],
    probes: Sequence[Probe],
    evidence: Evidence,
) -> After:
    """Diagnose, try remedies, keep what is proved; `work` then holds the recipe that was kept.

    Nothing where the networks are computed over several ranks, or when the run was interrupted.
    """
    before = After(list(trained), list(history), list(probes), evidence, [])
    if work.interrupted or work.trainer.examples.ranks.size > 1 or work.budget.left <= 0:
        return before
    if work.options.budget is not None and work.budget.seconds < LEAST_TO_COACH:
        work.progress.say(
            f"a budget of {work.budget.seconds:g} s leaves no time for the coach: "
            f"it begins at {LEAST_TO_COACH:g} s"
        )
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
    arena.show = lambda seen: _show(work, seen)
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
    )
    # A budget is kept by the clock, whatever that leaves to the rounds.
    least = min(allowed, ONE_ROUND) if work.options.budget is None else 0.0
    with stop_at_interrupt(arena):
        balancer = _balancer(work, arena, len(trained), deadline)
        balanced, found = improve(start, balancer, coach, least * len(trained))
    work.interrupted = arena.stopped
    torch.set_num_threads(work.threads)
    decisions = [d.to_json() for d in found.decisions]
    seen = {id(a): a for a in (start, balanced.arm, *coach.proved)}  # each once, in their order
    arms = tuple(a for a in seen.values() if a is not found.arm)
    if found.arm is start:
        return dataclasses.replace(before, decisions=decisions, arena=arena, arms=arms)
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
    )


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
    both = (*first.decisions, *then.decisions)
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


def _show(work: Work, seen: Seen) -> None:
    work.progress.update(seen.share, f"{seen.epochs} epochs of candidates")
