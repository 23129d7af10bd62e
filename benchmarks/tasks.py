"""What is trained: the same sizes, rows and numbers for every contender; and what one hands back.

Nothing here imports a framework, so that nobody's memory or import time counts another's.
"""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """Sizes of one part: all contenders train this, with Adam(0.9, 0.999, 1e-8) at rate `lr`."""

    data: str
    hidden: tuple[int, ...]  # MLP; () for the CNN
    batch: int
    epochs: int
    classes: int
    seeds: int = 1
    folds: int = 1
    rows: int | None = None  # training rows used, whole batches; None: all of the fold
    lr: float = 1e-3

    @property
    def trainings(self) -> int:
        """Networks trained in all."""
        return self.seeds * self.folds


SEEDS = Task("digits", (64, 64), batch=32, epochs=20, classes=10, seeds=32, rows=44 * 32)
LETTER = Task("letter", (128, 128), batch=128, epochs=8, classes=26, seeds=3, folds=10)
# 96 of the 60000 pictures are left out, so that no contender meets a last, smaller batch.
CNN = Task("mnist", (), batch=128, epochs=2, classes=10, rows=468 * 128)
CHANNELS = (16, 32)
SCALING_K = (1, 2, 4, 8, 16, 32, 64, 128)
SCALING_N = (1_000, 10_000, 100_000, 1_000_000)
SCALING_EPOCHS = 5  # of the runs with growing K


def sized(task: Task, quick: bool) -> Task:
    """The task itself, or a tiny version that only shows that everything runs."""
    if not quick:
        return task
    rows = None if task.rows is None else 4 * task.batch
    return dataclasses.replace(
        task,
        epochs=min(task.epochs, 2),
        seeds=min(task.seeds, 2),
        folds=min(task.folds, 4),
        rows=rows,
    )


@dataclass
class Outcome:
    """What a contender hands back."""

    seconds: float  # of training, all networks; imports and reading data are outside
    accuracies: list[float]  # of each network after its last epoch, on rows it did not train on
    trained: int  # networks really trained; `seconds` are scaled up where these are fewer
    peak_mb: float = 0.0  # of all processes together; filled in by the worker where 0
    versions: dict[str, str] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)


def load(path: Path) -> tuple[npt.NDArray[Any], Ints]:
    """Inputs and labels as the harness wrote them."""
    with np.load(path) as file:
        return file["x"], file["y"]


def fold_rows(task: Task, labels: Ints) -> list[tuple[Ints, Ints]]:
    """Training and validation rows of every fold; the same for all contenders and repeats.

    With one fold: the first `rows` rows train, in a fixed random order for small data, and the last
    rows are judged. Folds are stratified by class and of equal size.
    """
    if task.folds == 1:
        order = np.arange(len(labels))
        if task.data == "digits":
            order = np.random.default_rng(0).permutation(order)
        first = {"mnist": 60_000, "made": len(labels) - 1000}.get(task.data, len(labels) * 4 // 5)
        return [(order[:first][: task.rows], order[first:])]
    by_class = np.random.default_rng(0).permutation(len(labels))
    by_class = by_class[np.argsort(labels[by_class], kind="stable")]
    fold_of = np.empty(len(labels), np.int64)
    fold_of[by_class] = np.arange(len(labels)) % task.folds
    return [(np.flatnonzero(fold_of != f), np.flatnonzero(fold_of == f)) for f in range(task.folds)]


def standardised(x: npt.NDArray[Any], train: Ints) -> Floats:
    """All rows (N, D), or pictures (N, C, H, W) as a whole, by mean and deviation of `train`."""
    known = x[train].astype(np.float32)
    axis = 0 if x.ndim == 2 else None
    mean, deviation = known.mean(axis), known.std(axis)
    scale = 1 / np.where(deviation > 0, deviation, 1)
    return ((x - mean) * scale).astype(np.float32)


def warm_up(task: Task, x: Any, y: Ints) -> tuple[Task, Any, Ints]:
    """A little of the same work, to be done before the clock starts (lazy imports, pools)."""
    rows = None if task.rows is None else 2 * task.batch
    few = np.random.default_rng(1).permutation(len(y))[: 20 * max(100, task.batch)]
    folds = min(task.folds, 2)
    return dataclasses.replace(task, epochs=1, seeds=1, folds=folds, rows=rows), x[few], y[few]


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MiB.

    Linux carries ru_maxrss over from the process that started this one; VmHWM begins anew.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


class Clock:
    """Seconds since it was made; `mark` notes the end of an epoch."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.marks: list[float] = []

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def mark(self) -> None:
        self.marks.append(self.seconds)

    def epochs(self) -> dict[str, float]:
        """Seconds of the first and of the last epoch."""
        before = self.marks[-2] if len(self.marks) > 1 else 0.0
        return {"first_epoch": self.marks[0], "steady_epoch": self.marks[-1] - before}
