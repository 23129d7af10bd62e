"""Members that do something to the worker that trains them, and what is known of processes."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import torch

from trainwell.engine.members import Member

CALLS = count()  # in each worker its own


@dataclass(frozen=True, eq=False)
class Rigged(Member):
    """Something happens in a worker, but not in the process that made the member.

    act: "kill" (every time), "kill once" (the worker that finds `trap` removes it and dies),
    "raise", or "note" (what the worker is like, into the folder `trap`). after: how many times the
    training loop has asked for `steps` before, in this worker.
    """

    act: str = ""
    trap: Path = Path()
    after: int = 0
    home: int = field(default_factory=os.getpid)

    @property
    def steps(self) -> int:
        if os.getpid() != self.home and next(CALLS) >= self.after:
            self._act()
        return super().steps

    def _act(self) -> None:
        if self.act == "raise":
            raise ValueError("made on purpose")
        if self.act == "note":
            tiny = torch.tensor([1e-39]) * 1.0
            facts = {
                "threads": torch.get_num_threads(),
                "openmp": os.environ.get("OMP_NUM_THREADS"),
                "tiny": float(tiny),
                "maps": [m for m in _maps() if ".pkl" in m or "plasma" in m],
                "interrupt": signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
                or signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            }
            (self.trap / f"{os.getpid()}.json").write_text(json.dumps(facts))
        if self.act == "kill once":
            try:
                self.trap.unlink()
            except FileNotFoundError:
                return
        if self.act.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)


def rigged(
    members: list[Member], act: str, trap: Path, only: int = 0, after: int = 0
) -> list[Member]:
    """The members, of which one is rigged."""
    m = members[only]
    own = Rigged(m.recipe, m.fold, m.train, m.validation, m.seed, m.most_steps, act, trap, after)
    return [own if i == only else other for i, other in enumerate(members)]


def _maps() -> list[str]:
    with Path("/proc/self/maps").open() as file:
        return file.read().splitlines()


def children(parent: int) -> dict[int, str]:
    """Running processes that this one has started, and their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found[int(folder.name)] = words
    return found


def workers_of(parent: int) -> list[int]:
    """joblib's worker processes of this process."""
    return [pid for pid, words in children(parent).items() if "LokyProcess" in words]


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
