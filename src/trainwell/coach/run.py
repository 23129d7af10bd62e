"""The coach inside a fit: from trained networks to better ones, within the budget that is left."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainwell.arms import Arena, Arm, Cell
from trainwell.coach.balancing import Balancer
from trainwell.coach.loop import Coach
from trainwell.doctor.evidence import Evidence
from trainwell.engine.members import Trained
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.trainer import Seen
from trainwell.training import CLOSING_SHARE, Work, stop_at_interrupt

LEAST_SECONDS = 60.0  # for the coach, where no budget was given; else as long as training took
UNITS = 40.0  # trainings of one network for each of the first ones, at most
BALANCING = 3.0  # times the training, for remedies of class imbalance where no budget was given


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
    work.progress.stage("coaching: diagnose, remedy, retrain, prove")
    arena = Arena(
        work.data, work.split, work.options.seed, work.device, work.options.jobs, probing=True
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
    metric, spent = work.deciding.name, work.budget.used - work.began
    balancer = Balancer(
        arena,
        metric,
        UNITS * len(trained),
        spent / len(trained),
        _deadline(work, BALANCING * spent),
        work.progress.say,
    )
    with stop_at_interrupt(arena):
        balanced = balancer.improve(start)
    coach = Coach(
        arena,
        metric,
        units=UNITS * len(trained) - balanced.cost,
        deadline=_deadline(work, spent),
        checks=evidence.checks,
        say=work.progress.say,
        tried=set(balanced.tried),
    )
    with stop_at_interrupt(arena):
        found = coach.improve(balanced.arm)
    work.interrupted = arena.stopped
    torch.set_num_threads(work.threads)
    decisions = [d.to_json() for d in (*balanced.decisions, *found.decisions)]
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


def _deadline(work: Work, spent: float) -> float:
    """When the coach ends (`time.time()`): with the budget, or, where none was given, after these
    seconds, LEAST_SECONDS at least."""
    left = (1 - CLOSING_SHARE) * work.budget.seconds - work.budget.used
    if work.options.budget is None:
        left = min(left, max(LEAST_SECONDS, spent))
    return time.time() + left


def _show(work: Work, seen: Seen) -> None:
    work.progress.update(seen.share, f"{seen.epochs} epochs of candidates")
