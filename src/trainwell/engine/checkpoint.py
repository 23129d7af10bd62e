"""Checkpoints: everything that a training needs to go on to the same bits, in one file.

A safetensors file: weights, running statistics, optimiser state and best weights as tensors, and
in its metadata, as JSON, the position (epoch, share, step), the best scores, which members are
left, and the history so far. Random streams need no storing: each is made from the member's seed
and the epoch's number. The file is written aside, synced to the disk and renamed, so that there is
always a whole one; reading it never runs code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainwell.engine.members import Member, Trained
from trainwell.engine.population import Execution, Population
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.errors import UserError
from trainwell.files import write_whole
from trainwell.recipe import to_toml

FORMAT = 2


def save(path: Path, population: Population, history: Sequence[EpochScore]) -> None:
    """Write the population as it is between two steps, scores and probes of its epochs so far.

    Raises UserError where the file cannot be written; an older one is then still there.
    """
    from safetensors.torch import save as to_bytes

    p = population
    tensors = {
        "theta": p.theta,
        "buffers": p.buffers,
        "best_theta": p.best_theta,
        "best_buffers": p.best_buffers,
        "shrunk": p.shrunk,
    }
    tensors |= {f"state{i}": s for i, s in enumerate(p.state)}
    if p.before is not None:
        tensors["before"] = p.before
    for i, trained in p.done.items():
        tensors |= {f"done{i}.theta": trained.theta, f"done{i}.buffers": trained.buffers}
    facts = {
        "format": FORMAT,
        "members": digest(_all_members(p)),
        "ids": p.ids,
        "epochs": p.epochs,
        "place": p.place,
        "best": [[repr(loss), repr(accuracy)] for loss, accuracy in p.best],  # exact, also inf
        "best_epoch": p.best_epoch,
        "done": {str(i): _ending(t) for i, t in p.done.items()},
        "execution": dataclasses.asdict(p.execution),
        "history": [[repr(v) for v in dataclasses.astuple(s)] for s in history],
        "probes": [[probe.layer, *map(repr, _but_layer(probe))] for probe in p.probes],
    }
    whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    try:
        write_whole(path, to_bytes(whole, {"trainwell": json.dumps(facts)}), sync=True)
    except OSError as error:
        problem = f"the checkpoint cannot be written ({error.strerror or error})"
        todo = "Make room or give another folder; the last good checkpoint is still there."
        raise UserError(str(path), problem, todo) from None


@dataclasses.dataclass(frozen=True, eq=False)
class Saved:
    """The content of a checkpoint."""

    path: Path
    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def execution(self) -> Execution:
        """How its population was run; going on differently would change bits."""
        return Execution(**self.facts["execution"])


def restore(saved: Saved, population: Population) -> list[EpochScore]:
    """Put a population, just built from the same members, where the checkpoint was written.

    Returns the scores so far. Raises UserError for a file that is damaged or of other members.
    """
    p, path, facts, tensors = population, saved.path, saved.facts, saved.tensors
    if facts["members"] != digest(p.members):
        problem = "the checkpoint is of other data, another recipe or other seeds"
        raise UserError(str(path), problem, "Resume with the data of the run, unchanged.")
    try:
        for i, ending in facts["done"].items():
            theta, buffers = tensors[f"done{i}.theta"], tensors[f"done{i}.buffers"]
            p.done[int(i)] = Trained(p.members[int(i)], theta, buffers, **_numbers(ending))
        p.members, p.samplers = (
            [given[i] for i in facts["ids"]] for given in (p.members, p.samplers)
        )
        p.ids, p.epochs, p.place = list(facts["ids"]), facts["epochs"], tuple(facts["place"])
        p.best = [(float(loss), float(accuracy)) for loss, accuracy in facts["best"]]
        p.best_epoch = list(facts["best_epoch"])

        def mine(name: str) -> Tensor:
            # A copy: the file's memory is aligned differently, which changes bits of convolutions.
            return tensors[name].to(p.device, copy=True)

        p.theta, p.buffers, p.shrunk = mine("theta"), mine("buffers"), mine("shrunk")
        p.best_theta, p.best_buffers = mine("best_theta"), mine("best_buffers")
        p.state = tuple(mine(f"state{i}") for i in range(len(p.state)))
        p.grad = torch.zeros_like(p.theta)
        if p.before is not None:
            p.before = mine("before")
        if p.members:
            p.rebuild()
        p.probes = [_probe(row) for row in facts["probes"]]
        history = [_score(row) for row in facts["history"]]
        p.losses = [[s.val_loss for s in history if s.member == i] for i in p.ids]
        return history
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(path, error) from None


def read(path: Path) -> Saved:
    """A checkpoint from its file; raises UserError where it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["trainwell"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}, expected {FORMAT}")
        return Saved(path, facts, tensors)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    problem = f"the checkpoint cannot be read ({type(error).__name__}: {error})"
    return UserError(str(path), problem, "Remove it to train this part again.")


def digest(members: Sequence[Member]) -> str:
    """What tells these members from others: recipes, rows and seeds."""
    found = hashlib.sha256()
    for m in members:
        found.update(f"{to_toml(m.recipe)}{m.fold} {m.seed} {m.most_steps}".encode())
        found.update(np.ascontiguousarray(m.train).tobytes())
        found.update(np.ascontiguousarray(m.validation).tobytes())
    return found.hexdigest()


def _all_members(population: Population) -> list[Member]:
    """Every member in the order given, finished or not."""
    left = dict(zip(population.ids, population.members, strict=True))
    everyone = left | {i: t.member for i, t in population.done.items()}
    return [everyone[i] for i in sorted(everyone)]


def _ending(trained: Trained) -> dict[str, Any]:
    return {
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "accuracy": repr(trained.accuracy),
        "log_loss": repr(trained.log_loss),
        "diverged": trained.diverged,
        "shrunk": trained.shrunk,
    }


def _numbers(ending: dict[str, Any]) -> dict[str, Any]:
    exact = {name: float(ending[name]) for name in ("accuracy", "log_loss")}
    return ending | exact


def _but_layer(probe: Probe) -> list[float]:
    return [v for v in dataclasses.astuple(probe) if not isinstance(v, str)]


def _probe(row: Sequence[str]) -> Probe:
    layer, member, epoch, *numbers = row
    return Probe(int(member), int(epoch), layer, *map(float, numbers))


def _score(row: Sequence[str]) -> EpochScore:
    member, epoch, *numbers = row
    return EpochScore(int(member), int(epoch), *map(float, numbers))
