"""Carrying out trainings: groups, the way they run, parts, processes, checkpoints.

Whoever has members to train (ladder, folds × seeds, comparisons) hands them to a `Trainer` and
gets back trained members and their history, wherever and however they were computed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from trainwell.clock import now
from trainwell.engine.members import Examples, Member, Trained, plan
from trainwell.engine.parts import Outcome, Part, Store, train_part
from trainwell.engine.population import build
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.spread import Told, train_parts
from trainwell.engine.stack import layout
from trainwell.engine.threads import cores
from trainwell.engine.timing import Choice, choose, untimed
from trainwell.engine.workers import Workers, find_workers

POPULATION_BYTES = 2 << 30  # of weights, gradients, optimiser state and best weights at once


@dataclass(frozen=True, eq=False)
class Result:
    """What some trainings gave; members by their place in the list that was given."""

    trained: dict[int, Trained]
    history: list[EpochScore]
    probes: list[Probe]
    late: bool  # the deadline ended them
    stopped: bool  # somebody asked to stop


@dataclass(frozen=True)
class Seen:
    """How far trainings are, for a display."""

    share: float
    epochs: int  # members × epochs that are done
    accuracy: tuple[float, ...]  # validation accuracies of members, as of late


def unseen(seen: Seen) -> None:
    """Show nothing."""


@dataclass(eq=False)
class Trainer:
    """How trainings of one run are carried out."""

    examples: Examples
    store: Store = field(default_factory=Store)
    jobs: int | str | None = None  # workers, as `parse_jobs` reads them
    deadline: float | None = None  # `clock.now()`
    remembered: Path | None = None  # file of earlier timings
    precision: torch.dtype | None = None
    probing: bool = False
    steady: bool = False  # run in the usual way, unmeasured, so that repetitions give equal bits
    show: Callable[[Seen], None] = unseen
    say: Callable[[str], None] = lambda words: None
    stop: bool = False  # set from outside: end at the next step, keep the best so far
    choices: dict[str, Choice] = field(default_factory=dict)  # by stage and group
    late: bool = False  # a deadline ended some training
    workers: Workers | None = None  # as found when training begins
    workers_mb: int = 0  # the most memory that worker processes have held together

    def train(
        self,
        members: Sequence[Member],
        stage: str,
        deadline: float | None = None,
        keep_begun: bool = False,
    ) -> Result:
        """Train all members; `stage` names their checkpoints.

        deadline: an earlier one for these members. Members whose turn did not come before it, or
        before somebody asked to stop, are missing in the result. keep_begun: a first epoch that the
        deadline cuts is scored and kept (in comparisons it must not be: arms take equal steps).
        """
        trained: dict[int, Trained] = {}
        history: list[EpochScore] = []
        probes: list[Probe] = []
        late = stopped = False
        self._total, self._done = sum(m.recipe.epochs for m in members), 0
        self.workers = find_workers(self.jobs)
        groups = plan(members)
        work = [sum(m.steps * m.recipe.epochs for m in (members[i] for i in g)) for g in groups]
        end = deadline or self.deadline
        for number, group in enumerate(groups):
            some = [members[i] for i in group]
            own = None if end is None else _share_of_time(end, work[number:])
            outcomes = self._group(some, f"{stage}-{number}", own, keep_begun)
            scores: list[EpochScore] = []
            for places, outcome in outcomes:
                trained |= {group[places[i]]: t for i, t in outcome.trained.items() if _begun(t)}
                scores += [replace(s, member=group[places[s.member]]) for s in outcome.history]
                probes += [replace(p, member=group[places[p.member]]) for p in outcome.probes]
                late, stopped = late or outcome.late, stopped or outcome.stopped
            # In the order of one process, whatever order workers have finished in.
            history += sorted(scores, key=lambda s: (s.epoch, s.member))
            self.late = self.late or late
            if stopped:
                break
        probes.sort(key=lambda p: (p.epoch, p.member))
        self.stop = self.stop or stopped  # perhaps it was another process that was asked
        return Result(trained, history, probes, late, stopped)

    def _group(
        self, members: Sequence[Member], stage: str, deadline: float | None, keep_begun: bool
    ) -> list[tuple[list[int], Outcome]]:
        """Train members that can share a population; the places of each part's members with it."""
        choice = self._choice(members, stage)
        places = _places(len(members), choice, self._most(members[0]))
        parts = [
            Part(
                tuple(members[i] for i in mine),
                choice.execution,
                self.store.path(stage, number),
                self.store.every,
                deadline,
                None if self.store.folder is None else self.store.stop_file,
                self.precision,
                self.probing and stage.startswith("training"),
                keep_begun,
            )
            for number, mine in enumerate(places)
        ]
        workers = self.workers or Workers("here", min(choice.processes, cores()))
        if self.examples.device.type != "cpu" or self.examples.ranks.size > 1:
            workers = Workers("here", 1)
        if workers.where != "here" or min(workers.count or 1, len(parts)) > 1:
            outcomes = self._spread(parts, workers, stage)
        else:
            outcomes = self._here(parts, choice.threads)
        troubles = [o.trouble for o in outcomes if o and o.trouble]
        for trouble in dict.fromkeys([*troubles, *filter(None, [self.store.trouble])]):
            self.say(f"{trouble} Training went on without it.")
        return [(mine, o) for mine, o in zip(places, outcomes, strict=True) if o is not None]

    def _choice(self, members: Sequence[Member], stage: str) -> Choice:
        """How these members run; decided once, since going on otherwise would change bits."""

        def decide() -> dict[str, object]:
            if self.steady or self.examples.ranks.size > 1:
                return untimed(members, self.examples).to_json()
            return choose(
                members, self.examples, self.workers, self.remembered, self.precision
            ).to_json()

        decided = self.store.once(f"run {stage}", decide)
        choice = Choice.from_json(self.examples.ranks.agree(decided))
        self.choices[stage] = choice
        if stage.startswith("training"):
            self.say(f"run {choice}")
        return choice

    def _most(self, member: Member) -> int:
        """Members whose weights and optimiser state fit into memory together."""
        size = layout(build(member, self.examples))[0][-1].stop
        return max(1, POPULATION_BYTES // (4 * size * (5 + len(member.recipe.optimizer.state))))

    def _here(self, parts: Sequence[Part], threads: int) -> list[Outcome | None]:
        """One part after another in this process."""
        if self.examples.ranks.size > 1:  # begun elsewhere, perhaps, with all cores for itself
            threads = min(threads, cores())
        torch.set_num_threads(threads)
        found: list[Outcome | None] = [None] * len(parts)

        def tell(scores: Sequence[EpochScore]) -> None:
            self._done += len(scores)
            last = scores[-1].epoch
            accuracy = tuple(s.val_accuracy for s in scores if s.epoch == last)
            self.show(Seen(self._done / self._total, self._done, accuracy))

        for number, part in enumerate(parts):
            part = replace(part, turns=len(parts) - number)
            outcome = train_part(part, self.examples, tell, lambda: self.stop)
            found[number] = outcome
            if outcome.stopped:
                break
        return found

    def _spread(
        self, parts: Sequence[Part], workers: Workers, stage: str
    ) -> Sequence[Outcome | None]:
        """All parts over workers."""
        before = self._done

        def show(told: dict[int, Told]) -> None:
            self._done = before + sum(t.done for t in told.values())
            accuracy = tuple(a for t in told.values() for a in t.accuracy)
            if accuracy:
                self.show(Seen(min(1.0, self._done / self._total), self._done, accuracy))

        with tempfile.TemporaryDirectory(prefix="trainwell-") as aside:
            folder = (self.store.folder or Path(aside)).absolute()
            here = [
                replace(
                    part,
                    # Workers may live in another folder.
                    checkpoint=part.checkpoint and part.checkpoint.absolute(),
                    stop_file=folder / self.store.stop_file.name,
                )
                for part in parts
            ]
            outcomes = train_parts(
                here, self.examples, workers, folder, stage, show, lambda: self.stop
            )
        self._done = before + sum(len(o.history) for o in outcomes)
        held = sorted((o.peak_mb for o in outcomes), reverse=True)[: workers.count]
        self.workers_mb = max(self.workers_mb, sum(held))
        return outcomes


def _begun(trained: Trained) -> bool:
    """Whether there was time for an epoch, or for the loss to become infinite."""
    return trained.epochs > 0 or trained.diverged


def _share_of_time(end: float, work: Sequence[float]) -> float:
    """When the first of some groups should end (`clock.now()`), so that all get their share."""
    start = now()
    return start + (end - start) * work[0] / sum(work)


def _places(members: int, choice: Choice, most: int) -> list[list[int]]:
    """Which members form a part; a part ends where a share ends, unless memory is too small."""
    size, share = min(choice.part, most), choice.execution.size
    if share < size < members:
        size -= size % share
    return [list(range(i, min(i + size, members))) for i in range(0, members, size)]
