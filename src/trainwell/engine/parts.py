"""Parts: members that train together in one process, with their checkpoint.

A part is what a worker is given. Its checkpoint lies in the store's folder, so that a part that
was lost, with its process or with the whole machine, goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from trainwell import clock
from trainwell.engine import checkpoint
from trainwell.engine.distributed import Ranks
from trainwell.engine.members import Examples, Member, Trained
from trainwell.engine.population import Execution, Population
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.train import score_begun, train
from trainwell.errors import UserError
from trainwell.files import write_whole

Value = TypeVar("Value")
LOOK = 0.25  # seconds between two looks at the clock's demands and the stop file


class Store:
    """The folder in which a run keeps what it needs to go on: decisions, clock, checkpoints.

    Without a folder nothing is kept. Decisions that a clock or a measurement made are kept by
    name, since going on must not decide them anew.
    """

    def __init__(self, folder: Path | None = None, every: float = 60.0) -> None:
        """every: seconds between two checkpoints of a part."""
        self.folder, self.every = folder, every
        self.state: dict[str, Any] = {"used": 0.0, "decisions": {}}
        self.told = time.monotonic()
        self.trouble: str | None = None  # why the state could not be written
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.stop_file.unlink(missing_ok=True)
        except OSError as error:
            problem = f"the folder for checkpoints cannot be written ({error.strerror or error})"
            raise UserError(str(folder), problem, "Choose another folder with --out.") from None
        if (folder / "state.json").exists():
            self.state = _read_state(folder / "state.json")

    @property
    def stop_file(self) -> Path:
        """A file that asks all workers to stop at their next step."""
        return (self.folder or Path()) / "stop"

    def path(self, stage: str, number: int) -> Path | None:
        """Where the checkpoint of a part lies."""
        return None if self.folder is None else self.folder / f"{stage}-{number}.safetensors"

    def once(self, name: str, decide: Callable[[], Any]) -> Any:
        """The value decided under this name before, or else a new one (JSON), which is kept."""
        decisions = self.state["decisions"]
        if name not in decisions:
            decisions[name] = decide()
            self.write()
        return decisions[name]

    def clock(self, used: float, at_least: float = 5.0) -> None:
        """Note the seconds of the budget used so far, when that was not done a moment ago."""
        self.state["used"] = used
        if time.monotonic() - self.told >= at_least:
            self.write()

    def remove(self) -> None:
        """Remove everything; the run is complete."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def write(self) -> None:
        """Write decisions and clock; where that is not possible `trouble` says why."""
        self.told = time.monotonic()
        if self.folder is None:
            return
        path = self.folder / "state.json"
        try:
            write_whole(path, json.dumps(self.state).encode(), sync=True)
            self.trouble = None
        except OSError as error:
            self.trouble = f"{path}: cannot be written ({error.strerror or error})"


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        float(state["used"]), dict(state["decisions"])
        return state
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"the run's state cannot be read ({error})"
        raise UserError(str(path), problem, "Train again.") from None


@dataclass(frozen=True, eq=False)
class Part:
    """Some members, how they run, and what ends them."""

    members: tuple[Member, ...]
    execution: Execution
    checkpoint: Path | None
    every: float  # seconds between checkpoints
    deadline: float | None  # `clock.now()` at which training ends with the best so far
    stop_file: Path | None
    precision: torch.dtype | None = None
    probing: bool = False
    keep_begun: bool = False  # score a first epoch that the deadline cuts
    turns: int = 1  # parts that one worker trains until the deadline, this one and later ones


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a part gave: members by their place in the part, and every epoch's scores."""

    trained: dict[int, Trained]
    history: list[EpochScore]
    probes: list[Probe]
    late: bool = False  # the deadline ended it
    stopped: bool = False  # it was asked to stop
    trouble: str | None = None  # why a checkpoint could not be written
    peak_mb: int = 0  # the most memory its worker has held; 0 in the process that asked


def train_part(
    part: Part,
    examples: Examples,
    tell: Callable[[Sequence[EpochScore]], None],
    stop: Callable[[], bool],
) -> Outcome:
    """Train a part to its end, its deadline, or until `stop()` answers True.

    tell: called with the scores of every epoch, also of those before a restored checkpoint.
    A part that was ended early keeps a checkpoint from which it can go on.
    """
    path = part.checkpoint
    there = checkpoint.read(path) if path is not None and path.exists() else None
    saved = examples.ranks.agree(there)
    execution = saved.execution if saved else part.execution
    population = Population(part.members, examples, execution, part.precision, part.probing)
    history = checkpoint.restore(saved, population) if saved else []
    if history:
        tell(history)
    clock = _Clock(part, stop, examples.ranks)
    for scores in train(population, clock.pause):
        history += scores
        if scores:
            clock.epoch_done()
            tell(scores)
        late = clock.late() if scores else clock.over()
        late, stopped, due = examples.ranks.any(late, stop(), clock.due())
        if late or stopped or due:
            clock.save(population, history)
        if late or stopped:
            if part.keep_begun and not stopped and (cut := score_begun(population)):
                history += cut
                tell(cut)
            break
    else:
        late = stopped = False
        clock.save(population, history)
    population.finish(range(len(population.members)))
    return Outcome(
        population.done, history, population.probes, late and not stopped, stopped, clock.trouble
    )


class _Clock:
    """When a part should save itself, and when its time is over."""

    def __init__(self, part: Part, stop: Callable[[], bool], ranks: Ranks) -> None:
        self.part, self.stop, self.ranks = part, stop, ranks
        self.between = self.left = 1  # steps between two looks of several ranks, and until the next
        now = time.monotonic()
        self.save_at, self.look_at, self.epoch_began = now + part.every, now, now
        self.looked = now
        self.epoch_seconds = 0.0  # of the last epoch, scoring included
        self.deadline = part.deadline
        if self.deadline is not None:  # the time that is left, shared with parts that wait
            self.deadline = clock.now() + (self.deadline - clock.now()) / part.turns
        self.trouble: str | None = None

    def pause(self) -> bool:
        """Whether training should hand over between two steps; cheap enough for every step."""
        now = time.monotonic()
        if self.ranks.size > 1:
            return self._pause_together(now)
        if now < self.look_at:
            return False
        self.look_at = now + LOOK
        return self.due() or self.over() or self.stop()

    def _pause_together(self, now: float) -> bool:
        """The same answer on every rank: they look after a number of steps they have agreed on."""
        self.left -= 1
        if self.left:
            return False
        rate = self.between / max(now - self.looked, 1e-6)  # steps per second
        wanted = max(1, min(int(LOOK * rate), 2 * self.between))
        asked = self.due() or self.over() or self.stop()
        answer, self.between = self.ranks.most(int(asked), wanted)
        self.left, self.looked = self.between, now
        return bool(answer)

    def due(self) -> bool:
        return self.part.checkpoint is not None and time.monotonic() >= self.save_at

    def over(self) -> bool:
        return self.deadline is not None and clock.now() >= self.deadline

    def late(self) -> bool:
        """Over, or another epoch would be."""
        return self.deadline is not None and clock.now() + self.epoch_seconds >= self.deadline

    def epoch_done(self) -> None:
        now = time.monotonic()
        self.epoch_seconds, self.epoch_began = now - self.epoch_began, now

    def save(self, population: Population, history: Sequence[EpochScore]) -> None:
        """Write the checkpoint; training goes on where that fails, it may be over by then."""
        if self.part.checkpoint is not None:
            try:
                checkpoint.save(self.part.checkpoint, population, history)
                self.trouble = None
            except UserError as error:
                self.trouble = str(error)
        self.save_at = time.monotonic() + self.part.every
