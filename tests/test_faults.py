"""Faults from outside: killed in each stage, folders that vanish or are shared, Ctrl-C twice."""

from __future__ import annotations

import json
import random
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from helpers.command import start

# Small, but with every stage of a run.
QUICK = [
    "--set",
    "epochs=40",
    "--set",
    "patience=40",
    "--folds",
    "2",
    "--seeds",
    "2",
    "--seed",
    "1",
]
QUICK += ["--budget", "40s", "--checkpoint", "0.02s"]
STAGES = ("searching", "training ", "coaching", "scoring", "training yardsticks", "writing")


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    assert "Traceback" not in output, output
    return output


def wait_for(process: subprocess.Popen[str], log: Path, words: str) -> bool:
    """Wait until the log speaks of a stage; False when the process was quicker."""
    while process.poll() is None:
        if log.is_file() and words in log.read_text(encoding="utf-8"):
            return True
        time.sleep(0.002)
    return False


def weights(run: Path) -> bytes:
    return (run / "model" / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    ended(start("fit", "wine", *QUICK, "--out", "run", folder=folder))
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_any_stage_and_resumed(stage: str, undisturbed: Path, tmp_path: Path) -> None:
    """kill -9 in each stage: resume completes the run, and what training gave is the same."""
    run, rng = tmp_path / "run", random.Random(stage)
    process = start("fit", "wine", *QUICK, "--out", str(run), folder=tmp_path)
    for _ in range(2):
        if not wait_for(process, run / "log.txt", stage):
            break
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = start("resume", str(run), folder=tmp_path)
    ended(process)
    found = json.loads((run / "run.json").read_text(encoding="utf-8"))
    expected = json.loads((undisturbed / "run.json").read_text(encoding="utf-8"))
    assert found["ladder"] == expected["ladder"] and found["test_openings"] == 1
    assert (run / "report.html").is_file() and not (run / "checkpoint").exists()
    if found["recipe"] == expected["recipe"]:  # the coach may have had another time to try
        assert weights(run) == weights(undisturbed)


def test_a_run_folder_that_vanishes_ends_in_a_message(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start("fit", "wine", *QUICK, "--no-coach", "--out", str(run), folder=tmp_path)
    assert wait_for(process, run / "log.txt", "training ")
    shutil.rmtree(run)
    output, _ = process.communicate(timeout=120)
    assert process.returncode in (0, 2), output  # it may have been quick enough to write all again
    assert "Traceback" not in output
    if process.returncode == 2:
        assert str(run) in output and "run folder" in output


def test_two_fits_cannot_share_a_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    longer = [w.replace("=40", "=40000").replace("40s", "1h") for w in QUICK]
    longer += ["--set", "lr=0.001"]  # no search for a rate, which would be as long
    first = start("fit", "wine", *longer, "--no-coach", "--out", str(run), folder=tmp_path)
    assert wait_for(first, run / "log.txt", "training ")
    told = ended(start("fit", "wine", *QUICK, "--out", str(run), folder=tmp_path), code=2)
    assert str(run) in told and "empty" in told
    second = start("resume", str(run), folder=tmp_path)
    assert "in use" in ended(second, code=2)
    first.send_signal(signal.SIGINT)
    assert f"trainwell resume {run}" in ended(first, code=130)
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["interrupted"]


def test_ctrl_c_twice_ends_at_once_and_can_be_resumed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["fit", "digits", "--set", "epochs=400", "--checkpoint", "0.05s", "--no-coach"]
    words += ["--set", "lr=0.001", "--out", str(run), "--folds", "2", "--seeds", "1"]
    process = start(*words, folder=tmp_path)
    while process.poll() is None and not list(run.glob("checkpoint/training-*.safetensors")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told = ended(process, code=130)
    assert f"trainwell resume {run}" in told or "is saved in" in told


def test_data_that_may_only_be_read_are_enough(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "flowers.csv"
    rows = [f"{i % 7},{(i * 3) % 5},{'ab'[i % 2]}" for i in range(80)]
    path.write_text("\n".join(["x,y,label", *rows]), encoding="utf-8")
    path.chmod(stat.S_IRUSR)
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        words = [
            "fit",
            str(path),
            "--target",
            "label",
            "--set",
            "epochs=2",
            "--set",
            "lr=0.01",
            "--no-coach",
        ]
        ended(start(*words, "--out", str(tmp_path / "run"), folder=tmp_path))
        assert {p.name for p in folder.iterdir()} == {"flowers.csv"}
    finally:
        folder.chmod(stat.S_IRWXU)
