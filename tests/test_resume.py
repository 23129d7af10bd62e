"""A run that was killed goes on to the same bits as one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwell
from helpers.command import start
from helpers.data import table
from helpers.openings import but_openings
from trainwell.errors import UserError

# A network with every kind of state: ladder, dropout, batch norm, Adam, several populations'
# worth of members, early stopping.
FIT = ["breast_cancer", "--seed", "3", "--folds", "3", "--seeds", "2", "--set", "epochs=40"]
FAST = ["--set", "patience=25", "--checkpoint", "0.02s", "--quiet", "--test", "0.3", "--no-coach"]


def finished(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def same_results(one: Path, other: Path) -> None:
    """Weights, curves, probes and predictions are equal to the last bit."""
    for name in ("model/weights.safetensors", "model/model.json", "history.csv", "probes.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    with np.load(one / "oof.npz") as a, np.load(other / "oof.npz") as b:
        assert all(np.array_equal(a[key], b[key]) for key in a.files)
    a, b = (json.loads((run / "run.json").read_text()) for run in (one, other))
    for key in ("test", "validation", "members", "ladder", "recipe", "test_openings"):
        assert a[key] == b[key], key
    assert but_openings(a["warnings"]) == but_openings(b["warnings"])
    assert a["ensemble"] == b["ensemble"]


def killed_and_resumed(
    tmp_path: Path, kills: int, seed: int, *options: str, longest: float = 0.6
) -> Path:
    """A run that is killed at random moments, each time resumed, and then left alone."""
    rng = random.Random(seed)
    cache, run = tmp_path / "cache", tmp_path / f"killed{seed}"
    done = 0
    words = ["fit", *FIT, *FAST, *options, "--out", str(run)]
    while done < kills:
        process = start(*words, folder=tmp_path, cache=cache)
        # The request is written when training begins; from there on the run can be resumed.
        while process.poll() is None and not (run / "checkpoint" / "request.json").exists():
            time.sleep(0.005)
        if words[0] == "resume":
            state = run / "checkpoint" / "state.json"
            before = state.stat().st_mtime_ns if state.exists() else 0
            while process.poll() is None and state.exists() and state.stat().st_mtime_ns == before:
                time.sleep(0.005)
        time.sleep(rng.uniform(0, longest))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            break  # it was quicker
        done += 1
        words = ["resume", str(run), "--quiet"]
    assert done, "no kill hit the run"
    finished(start("resume", str(run), "--quiet", folder=tmp_path, cache=cache))
    return run


def undisturbed(tmp_path: Path, *options: str) -> Path:
    run = tmp_path / "undisturbed"
    words = ["fit", *FIT, *FAST, *options, "--out", str(run)]
    finished(start(*words, folder=tmp_path, cache=tmp_path / "cache"))
    assert not (run / "checkpoint").exists()
    return run


def test_killed_and_resumed_gives_the_same_bits(tmp_path: Path) -> None:
    expected = undisturbed(tmp_path)
    same_results(killed_and_resumed(tmp_path, 3, seed=1), expected)


def test_killed_while_other_kinds_are_trained(tmp_path: Path) -> None:
    """The kinds to be trained are decided once, and each goes on from its checkpoint."""
    words = ["fit", "iris", "--folds", "2", "--seeds", "1", "--set", "epochs=40", "--set"]
    words += ["lr=0.01", "--checkpoint", "0.1s", "--quiet"]
    expected, run, cache = tmp_path / "expected", tmp_path / "killed", tmp_path / "cache"
    finished(start(*words, "--out", str(expected), folder=tmp_path, cache=cache))
    assert len(json.loads((expected / "run.json").read_text())["ensemble"]["kinds"]) > 1
    process = start(*words, "--out", str(run), folder=tmp_path, cache=cache)
    while process.poll() is None and not list(run.glob("checkpoint/training-others-*")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    finished(start("resume", str(run), "--quiet", folder=tmp_path, cache=cache))
    same_results(run, expected)


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    """Fifty kills over ten runs, also while checkpoints are written (every 20 ms)."""
    expected = undisturbed(tmp_path)
    for seed in range(10):
        same_results(killed_and_resumed(tmp_path, 5, seed), expected)


def test_ctrl_c_and_resume_gives_the_same_bits(tmp_path: Path) -> None:
    expected = undisturbed(tmp_path)
    run = tmp_path / "interrupted"
    cache = tmp_path / "cache"
    process = start("fit", *FIT, *FAST, "--out", str(run), folder=tmp_path, cache=cache)
    while process.poll() is None and not list(run.glob("checkpoint/training-*.safetensors")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert f"trainwell resume {run}" in output
    assert json.loads((run / "run.json").read_text())["interrupted"]
    finished(start("resume", str(run), "--quiet", folder=tmp_path, cache=cache))
    again = json.loads((run / "run.json").read_text())
    assert not again["interrupted"]
    assert again["test_openings"] == 1
    same_results(run, expected)
    # A run that is complete is shown as it is.
    stamp = (run / "run.json").stat().st_mtime_ns
    assert "breast_cancer" in finished(start("resume", str(run), folder=tmp_path, cache=cache))
    assert (run / "run.json").stat().st_mtime_ns == stamp


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """No file may grow beyond 60 kB: state and request fit, checkpoints and weights do not."""
    resource = pytest.importorskip("resource")
    expected = undisturbed(tmp_path)
    run, cache = tmp_path / "full", tmp_path / "cache"
    words = ["fit", *FIT, *FAST, "--out", str(run)]
    process = subprocess.run(
        [sys.executable, "-m", "trainwell", *words],
        # Without measuring coverage there, which has files of its own to write.
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
        | {"TRAINWELL_CACHE": str(cache)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 2, process.stderr
    assert "cannot be written (File too large" in process.stderr
    assert f"trainwell resume {run}" in process.stderr
    assert "Traceback" not in process.stderr
    assert "checkpoint cannot be written" in (run / "log.txt").read_text()
    assert not list(run.rglob("*.part"))
    finished(start("resume", str(run), "--quiet", folder=tmp_path, cache=cache))
    same_results(run, expected)


# --- what cannot be resumed --------------------------------------------------------------------


def test_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        trainwell.resume(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no run that could go on"):
        trainwell.resume(tmp_path)


def begun(tmp_path: Path, source: Any) -> Path:
    """A run that was ended by Ctrl-C's wish before its first step."""
    from trainwell import fitting
    from trainwell.errors import Interrupted
    from trainwell.fitting import carry_out
    from trainwell.request import Request

    def stopped(work: Any) -> None:
        raise Interrupted("stopped")

    request = Request(source, folds=2, seeds=1, settings={"epochs": 3, "lr": 0.01}, coach=False)
    before, fitting.train_members = fitting.train_members, stopped  # type: ignore[assignment]
    try:
        with pytest.raises(Interrupted):
            carry_out(Request(**{**request.__dict__, "out": tmp_path / "run"}), quiet=True)
    finally:
        fitting.train_members = before
    return tmp_path / "run"


def test_other_data_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "flowers.csv"
    data = table()
    lines = [
        ",".join(map(str, [*row, data.classes[c]]))
        for row, c in zip(data.inputs, data.labels, strict=True)
    ]
    path.write_text("a,b,c,d,e,label\n" + "\n".join(lines) + "\n")
    run = begun(tmp_path, path)
    changed = path.read_text().replace(lines[5], lines[6])
    kept = path.read_text()
    path.write_text(changed)
    with pytest.raises(UserError, match="not those that the run began with"):
        trainwell.resume(run)
    path.write_text(kept)
    assert trainwell.resume(run).result["test"]["n"] > 0


def test_data_from_memory_must_be_given_again(tmp_path: Path) -> None:
    data = table()
    source = (data.inputs, data.labels)
    run = begun(tmp_path, source)
    with pytest.raises(UserError, match="data from memory"):
        trainwell.resume(run)
    assert trainwell.resume(run, source=source).result["kind"] == "table"


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path, "iris")
    state = run / "checkpoint" / "state.json"
    whole = state.read_text()
    state.write_text(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="state cannot be read"):
        trainwell.resume(run)
    state.write_text(whole)
    request = run / "checkpoint" / "request.json"
    request.write_text(request.read_text().replace('"seeds"', '"sheds"'))
    with pytest.raises(UserError, match="cannot be read"):
        trainwell.resume(run)
