"""The run folder: what a training leaves behind, and how it is read again.

run.json        the result: scores with intervals, data facts, recipe, members, environment
recipe.toml     the recipe with its learning rate; `fit --recipe` reads it
history.csv     member, epoch, learning rate, losses and accuracies
findings.json   what the doctor found, worst first; doctor.json: its checks and races
probes.csv      member, epoch, layer: norms of gradient, weights and update; activations
oof.npz         out-of-fold probabilities and the split
model/          weights (safetensors) and card (JSON)
log.txt         what was said while it ran
report.html     the report, drawn from the files above
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import hashlib
import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import chunk_rows, release
from trainwell.data.dataset import IntArray
from trainwell.engine.probes import Probe, rows_of_csv
from trainwell.engine.score import EpochScore
from trainwell.errors import UserError
from trainwell.files import cache_dir, write_whole

HISTORY = (
    *("member", "epoch", "lr", "train_loss", "train_accuracy"),
    *("val_loss", "val_accuracy", "val_error"),  # the last: standard error of val_loss
)
# What reading the damaged files of a run may raise.
_DAMAGE = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, RecursionError),
    *(csv.Error, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Run:
    """A finished run: its folder and the content of run.json."""

    folder: Path
    result: Mapping[str, Any]

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"


def new_folder(out: str | Path | None, name: str) -> Path:
    """Create the folder of a new run; raises UserError where that is not possible.

    Without `out` it is runs/NAME-DATE-TIME under the current folder.
    """
    if out is None:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
        folder = Path("runs") / f"{safe}-{stamp}"
        number = 2
        while folder.exists():
            folder, number = Path("runs") / f"{safe}-{stamp}-{number}", number + 1
    else:
        folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_empty(folder)
        probe = folder / "log.txt"
        probe.touch()
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def check_folder(out: str | Path | None) -> None:
    """Raise the UserError that `new_folder` would raise, before work that a folder is made for.

    Nothing is left behind: a folder of another name is made beside, and removed.
    """
    folder = Path("runs") if out is None else Path(out)
    try:
        if out is not None and folder.exists():
            _check_empty(folder)
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryDirectory(prefix=".trainwell-", dir=folder):
            pass
    except OSError as error:
        raise _unwritable(Path(out or folder), error) from None


def _check_empty(folder: Path) -> None:
    # A log alone is what a run leaves that ended in a mistake; it is no reason to refuse.
    if any(p.name != "log.txt" for p in folder.iterdir()):
        todo = "Choose another folder with --out, or remove this one."
        raise UserError(str(folder), "the folder for the run is not empty", todo)


@contextmanager
def held(folder: Path | None) -> Iterator[None]:
    """Keep other processes out of a run folder; None keeps nobody out.

    The lock is on the folder itself: no file is left, and it is gone with the process, however
    that ends. Raises UserError when another process holds it. Where folders cannot be locked
    (Windows, some network drives) there is no lock.
    """
    if folder is None:
        yield
        return
    descriptor = None
    with suppress(ImportError, OSError):
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            problem = "another trainwell process is at work on this run: it is in use"
            raise UserError(str(folder), problem, "Wait until it has ended.") from None
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _unwritable(folder: Path, error: OSError) -> UserError:
    problem = f"the folder for the run cannot be written ({error.strerror})"
    return UserError(str(folder), problem, "Choose another folder with --out.")


def openings_so_far(
    inputs: npt.NDArray[Any], labels: npt.NDArray[Any], rows: IntArray, run: str
) -> int:
    """How often these very test rows have been opened on this machine, this time included.

    inputs (N, ...) and labels (N,) of all rows; rows: numbers of the test rows; run: a name that
    this run keeps when it is resumed, so that it counts once.
    Counted in a small file in the cache folder, over all runs; 1 where it cannot be kept.
    """
    digest = hashlib.sha256()
    step = chunk_rows(inputs[:1].nbytes)
    for start in range(0, len(rows), step):
        digest.update(np.ascontiguousarray(inputs[rows[start : start + step]]).data)
        release(inputs)
    digest.update(np.ascontiguousarray(labels[rows]).data)
    path = cache_dir() / "openings.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            file.seek(0)
            words = [line.split() for line in file]
            before = sum(w[0] == digest.hexdigest() and w[1:] != [run] for w in words if w)
            file.write(f"{digest.hexdigest()} {run}\n")
    except OSError:
        return 1
    return before + 1


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole; numbers that are not finite must have become None before."""
    write_whole(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode("utf-8"))


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays by name into one compressed .npz."""
    np.savez_compressed(path, allow_pickle=False, **arrays)


def write_history(path: Path, scores: Iterable[EpochScore]) -> None:
    """One line per member and epoch, sorted by member."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HISTORY)
        for s in sorted(scores, key=lambda s: (s.member, s.epoch)):
            writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in _values(s)])


def write_probes(path: Path, probes: Sequence[Probe]) -> None:
    """One line per member, epoch and layer."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows_of_csv(sorted(probes, key=lambda p: (p.member, p.epoch))))


def _values(score: EpochScore) -> list[float | int]:
    return [getattr(score, name) for name in HISTORY]


def load_run(folder: str | Path) -> Run:
    """A run from its folder; raises UserError when it holds none."""
    path = Path(folder)
    where = path / "run.json"
    try:
        result = json.loads(where.read_text(encoding="utf-8"))
        if not isinstance(result, dict):
            raise ValueError("no JSON object")
        return Run(path, result)
    except FileNotFoundError:
        todo = "Name a folder that trainwell fit has written and finished."
        raise UserError(str(path), "holds no finished run (run.json)", todo) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(str(where), f"cannot be read ({error})", "Train again.") from None


@contextlib.contextmanager
def whole(path: Path) -> Iterator[None]:
    """A file of a run that is damaged is a mistake that names it."""
    try:
        yield
    except UserError as error:
        raise UserError(str(path), f"is damaged ({error})", "Train again.") from None
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
        raise UserError(str(path), problem, "Train again.") from None
    except _DAMAGE as error:
        problem = f"is damaged ({type(error).__name__}: {str(error)[:80]})"
        raise UserError(str(path), problem, "Train again.") from None
