"""What is quickest here: how many members at once, how many threads, how many processes.

The first steps of a population are taken on a copy in several ways and timed. What was found is
kept in a file of the cache folder, by model, shape, batch and machine, so that the same command
does the same again: the last bits of results depend on threads and on what is computed together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainwell.engine.members import Examples, Member
from trainwell.engine.population import Execution, Population, build, default_execution
from trainwell.engine.sampling import stacked
from trainwell.engine.stack import can_stack
from trainwell.engine.threads import cores, threads_for
from trainwell.engine.workers import Workers
from trainwell.files import write_whole
from trainwell.memory import keep_freed_memory
from trainwell.techniques.optim.rules import ClosureRule

WARM, TIMED, ENOUGH = 2, 5, 0.25  # steps before, steps timed at most, seconds of them at most
SHORT = 2.0  # seconds; trainings expected to be shorter are not worth more measuring
SCORING = 1.25  # training with scoring after each epoch, against training alone
START = 5.0  # seconds until workers have imported what they need: 1.5 on idle cores, 9 on busy ones
BETTER = 0.9  # another way must take less than this share of the usual one's time
SIZES = (32, 16, 8, 4, 1)  # members at once that are tried besides all of them
PARTS_PER_WORKER = 4  # so that a slow worker delays little
KEPT = 500  # networks whose timings are kept in the file


@dataclass(frozen=True)
class Timing:
    """What was measured: seconds per step and member of a way to run."""

    execution: Execution
    threads: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.execution}, {self.threads} threads" if self.threads > 1 else f"{self.execution}"
        )


@dataclass(frozen=True)
class Choice:
    """How a group of members trains, and what was measured to choose it."""

    execution: Execution
    threads: int
    processes: int
    part: int  # members that a worker is given at once
    seconds: float  # expected, all members together
    measured: dict[str, float]  # microseconds per step of one member, by way

    def __str__(self) -> str:
        where = "" if self.processes == 1 else f" in {self.processes} processes"
        threads = "" if self.threads == 1 else f", {self.threads} threads"
        return f"{self.execution}{where}{threads}"

    def to_json(self) -> dict[str, Any]:
        """As plain values; `from_json` gives it back."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Choice:
        """The choice of these plain values."""
        return Choice(**(value | {"execution": Execution(**value["execution"])}))


def choose(
    members: Sequence[Member],
    examples: Examples,
    workers: Workers | None,
    remembered: Path | None,
    precision: torch.dtype | None = None,
) -> Choice:
    """The quickest way to train these members, which can share a population.

    workers: what was asked for; None: this machine's cores, if they pay.
    remembered: file of earlier timings; None measures anew.
    """
    if examples.device.type != "cpu":
        workers, slots = Workers("here", 1), 1
    else:
        slots = cores() if workers is None or workers.where == "here" else workers.count or 1
    network = build(members[0], examples)
    shape = examples.inputs.shape
    threads = threads_for(network, members[0].batch, shape) if workers is None else 1
    # One share per worker at least. It follows from the number of cores and not from --jobs, so
    # that --jobs changes no bits.
    together = -(-len(members) // slots)
    name = _name(members, examples, (threads, slots, str(precision)))
    known = _remembered(remembered)
    timings = _timings(known.get(name))
    if not timings:
        before = torch.get_num_threads()
        try:
            timings = _measure(members, examples, network, together, threads, precision)
        finally:
            torch.set_num_threads(before)
        if remembered is not None:
            plain = [dataclasses.asdict(t) for t in timings]
            newest = dict(list({**known, name: plain}.items())[-KEPT:])
            with suppress(OSError):
                remembered.parent.mkdir(parents=True, exist_ok=True)
                write_whole(remembered, json.dumps(newest, indent=1).encode())
    steps = members[0].steps * members[0].recipe.epochs * SCORING
    return decide(timings, len(members), steps, together, workers)


def decide(
    timings: Sequence[Timing], members: int, steps: float, together: int, workers: Workers | None
) -> Choice:
    """What follows from timings, the usual way first.

    steps: of one member; together: members at once, at most, that leave every worker some.
    """
    measured = {str(t): round(1e6 * t.seconds, 1) for t in timings}
    shared = [t for t in timings if t.threads == 1 and t.execution.size <= together]
    if workers is not None:
        best = _quickest(shared)
        count = workers.count or 1
        return _spread(best, members, steps, count, measured)
    most = max(t.threads for t in timings)
    best = _quickest([t for t in timings if t.threads == most])
    alone = Choice(best.execution, most, 1, members, best.seconds * steps * members, measured)
    several = [_spread(t, members, steps, cores(), measured) for t in shared]
    quickest = min(several, key=lambda choice: choice.seconds, default=alone)
    return quickest if quickest.seconds < BETTER * alone.seconds else alone


def _quickest(timings: Sequence[Timing]) -> Timing:
    """The first, unless another one is clearly quicker."""
    best = timings[0]
    for other in timings[1:]:
        if other.seconds < BETTER * best.seconds:
            best = other
    return best


def _spread(
    timing: Timing, members: int, steps: float, workers: int, measured: dict[str, float]
) -> Choice:
    """Several parts for each of so many workers; all members in one part for a single one."""
    size = timing.execution.size
    shares = -(-members // size)
    processes = min(workers, shares)
    part = max(1, shares // (processes * PARTS_PER_WORKER)) * size if processes > 1 else members
    parts = -(-members // part)
    rounds = -(-parts // processes)
    seconds = rounds * part * steps * timing.seconds + (START if processes > 1 else 0.0)
    return Choice(timing.execution, 1, processes, part, seconds, measured)


def untimed(members: Sequence[Member], examples: Examples) -> Choice:
    """The usual way to train these members, without measuring; for processes that must agree."""
    network = build(members[0], examples)
    usual = default_execution(network, members, examples)
    threads = threads_for(network, members[0].batch, examples.inputs.shape)
    return Choice(usual, threads, 1, len(members), 0.0, {})


def _measure(
    members: Sequence[Member],
    examples: Examples,
    network: nn.Module,
    together: int,
    threads: int,
    precision: torch.dtype | None,
) -> list[Timing]:
    """Seconds of several ways, the usual one first."""
    usual = default_execution(network, members, examples)
    ways = [usual]
    if usual.size > together:
        ways.append(Execution(usual.way, together) if together > 1 else Execution("looped", 1))
    found = [_timed(members, examples, way, threads, precision) for way in ways]
    steps = len(members) * members[0].steps * members[0].recipe.epochs * SCORING
    if found[0].seconds * steps > SHORT:
        fixed = isinstance(members[0].recipe.optimizer, ClosureRule)
        others = [] if fixed else _others(network, usual, together)
        others = [e for e in others if e not in ways]
        found += [_timed(members, examples, way, threads, precision) for way in others]
    if threads > 1 and len(members) > 1:
        # With two processes no threads are left for each.
        best = _quickest([t for t in found if t.execution.size <= together])
        found.append(_timed(members, examples, best.execution, 1, precision))
    return found


def _timed(
    members: Sequence[Member],
    examples: Examples,
    execution: Execution,
    threads: int,
    precision: torch.dtype | None,
) -> Timing:
    torch.set_num_threads(threads)
    return Timing(execution, threads, time_step(members, examples, execution, precision))


def _others(network: nn.Module, usual: Execution, together: int) -> list[Execution]:
    """Other ways that are worth a try."""
    if usual.way == "looped" and not can_stack(network):
        return []
    way = "stacked" if can_stack(network) else usual.way
    sizes = [s for s in SIZES if s < together] if usual.size > 1 else [min(4, together)]
    return [Execution(way, s) if s > 1 else Execution("looped", 1) for s in sizes]


def time_step(
    members: Sequence[Member],
    examples: Examples,
    execution: Execution,
    precision: torch.dtype | None = None,
) -> float:
    """Seconds per step and member in this way, taken on a population that is thrown away."""
    keep_freed_memory()
    p = Population(members[: execution.size], examples, execution, precision)
    share, steps = p.shares[0], p.steps
    blank: list[list[float]] = [[]] * len(share.members)
    share.start_epoch(0, steps, 0, blank)
    order = stacked([sampler.epoch(0) for sampler in p.samplers[p.slices[0]]])
    batch = share.members[0].batch
    best, spent = float("inf"), 0.0
    for number in range(WARM + TIMED):
        step = number % steps
        if step == 0:
            share.start_epoch(0, steps, 0, blank)
        began = time.perf_counter()
        share.step(order.batch(step * batch, (step + 1) * batch), step, number)
        if examples.device.type == "cuda":
            torch.cuda.synchronize()
        took = time.perf_counter() - began
        if number >= WARM:
            best, spent = min(best, took), spent + took
            if spent > ENOUGH:
                break
    return best / len(share.members)


def _name(members: Sequence[Member], examples: Examples, how: tuple[object, ...]) -> str:
    """What timings depend on, as a key."""
    m, r = members[0], members[0].recipe
    rule = type(r.optimizer).__name__
    what = (r.model, rule, bool(r.dropout), r.augment, r.balance, m.batch, m.steps, r.epochs)
    where = (how, torch.__version__, platform.machine(), platform.node(), str(examples.device))
    text = repr((what, len(members), tuple(examples.inputs.shape), examples.classes, where))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _timings(kept: Any) -> list[Timing]:
    """Timings as they were kept; none where somebody has damaged them."""
    try:
        return [
            Timing(Execution(**t["execution"]), int(t["threads"]), float(t["seconds"]))
            for t in kept or []
        ]
    except (KeyError, TypeError, ValueError):
        return []


def _remembered(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
