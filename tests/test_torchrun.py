"""`torchrun -m trainwell`: one run, one folder, one voice; failures end all, and resume goes on."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trainwell

FIT = ["fit", "digits", "--folds", "1", "--seeds", "1", "--set", "epochs=3", "--set", "lr=0.05"]
FIT += ["--no-coach"]
# Adam divides by the size of a gradient, which turns roundings into other weights within an epoch.
PLAIN = ["--set", "optimizer=Momentum(0.9)"]
ALONE = [sys.executable, "-m", "trainwell"]
MISHAP = """
import os, sys
from trainwell.cli import main
from trainwell.engine.share import Share
take, taken = Share.step, 0
def step(*given):
    global taken
    taken += 1
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if taken == (80 if "fit" in sys.argv else 10) and first and os.environ["RANK"] == "1":
        os._exit(9)
    take(*given)
Share.step = step
main()
"""


def torchrun(size: int, *program: str) -> list[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*run, "--nproc-per-node", str(size), *program]


def ended(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    own = {
        "TRAINWELL_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        # The package that is tested, also where it was found by a relative path.
        "PYTHONPATH": str(Path(trainwell.__file__).parents[1].resolve()),
    }
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torchrun")


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    """The run of one process."""
    done = ended([*ALONE, *FIT, *PLAIN, "--out", "alone"], folder)
    assert done.returncode == 0, done.stderr
    return folder / "alone"


def alike(run: Path, expected: Path) -> None:
    """Equal curves and scores, up to rounding."""
    a, b = (json.loads((r / "run.json").read_text()) for r in (run, expected))
    for key in ("data", "split", "recipe", "parameters", "classes", "ladder"):
        assert a[key] == b[key], key
    for part in ("test", "validation"):
        assert score(a[part], "log_loss") == pytest.approx(score(b[part], "log_loss"), abs=5e-3)
        assert score(a[part], "accuracy") == pytest.approx(score(b[part], "accuracy"), abs=0.006)
    texts = [(r / "history.csv").read_text().splitlines() for r in (run, expected)]
    curves = [list(csv.DictReader(lines)) for lines in texts]
    assert len(curves[0]) == len(curves[1]) == 3
    for row, other in zip(*curves, strict=True):
        assert (row["epoch"], row["lr"]) == (other["epoch"], other["lr"])
        for name in ("train_loss", "val_loss"):
            assert float(row[name]) == pytest.approx(float(other[name]), abs=5e-3)


def score(scores: dict[str, Any], name: str) -> float:
    return float(scores[name]["value"])


def test_two_processes_give_the_run_of_one(folder: Path, alone: Path) -> None:
    own = folder / "two"
    own.mkdir()
    done = ended(torchrun(2, "-m", "trainwell", *FIT, *PLAIN), own)
    assert done.returncode == 0, done.stderr
    (run,) = (own / "runs").iterdir()
    alike(run, alone)
    assert json.loads((run / "run.json").read_text())["environment"]["processes"] == 2
    assert done.stdout.count("sealed test examples") == 1
    assert done.stderr.count("reading the data") == 1
    assert (run / "log.txt").read_text().count("reading") <= 1
    assert {p.name for p in own.iterdir()} == {"runs", "cache"}
    assert not (run / "checkpoint").exists()


@pytest.fixture(scope="module")
def died(folder: Path) -> Path:
    """A run of two processes, one of which ends in the midst of training."""
    (folder / "mishap.py").write_text(MISHAP)
    words = [*FIT, *PLAIN, "--out", "died", "--checkpoint", "0.05s"]
    done = ended(torchrun(2, "mishap.py", *words), folder)
    assert done.returncode != 0
    assert "exitcode  : 9" in done.stderr
    assert "this is a bug" not in done.stderr
    return folder / "died"


def test_a_process_that_dies_leaves_a_checkpoint(died: Path) -> None:
    assert not (died / "run.json").exists()
    assert list((died / "checkpoint").glob("training-*.safetensors"))


def test_torchrun_starts_again_and_goes_on(folder: Path, died: Path, alone: Path) -> None:
    """The first attempt to resume dies as well; the second one finishes."""
    done = ended(torchrun(2, "--max-restarts", "2", "mishap.py", "resume", str(died)), folder)
    assert done.returncode == 0, done.stderr
    assert "going on where the run was left" in done.stderr
    assert "error: training" in done.stderr or "SIGTERM" in done.stderr
    alike(died, alone)


def test_a_complete_run_is_shown_once(folder: Path, alone: Path) -> None:
    done = ended(torchrun(2, "-m", "trainwell", "resume", str(alone)), folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sealed test examples") == 1


def test_a_mistake_is_told_once(folder: Path) -> None:
    done = ended(torchrun(2, "-m", "trainwell", "fit", "nothing-here"), folder)
    assert done.returncode != 0
    assert done.stderr.count("error: nothing-here") == 1
    assert "this is a bug" not in done.stderr
