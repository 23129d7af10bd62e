"""Members over processes of this machine: same bits, nothing lost, nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.command import start
from helpers.data import clips, labelled, pictures, table
from helpers.rigged import rigged, running, workers_of
from helpers.spreading import BASE, same, some
from trainwell.clock import now
from trainwell.data.bulk import map_file
from trainwell.engine.parts import Store
from trainwell.engine.sending import Sent
from trainwell.engine.trainer import Trainer
from trainwell.errors import Unfinished, UserError
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.preprocess import LogMel, Standardize

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    # Python 3.12 warns of any fork beside threads; workers are started anew, not forked.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]
CHANNEL = (Standardize(per="channel"),)


# --- the same bits -----------------------------------------------------------------------------

CASES = {
    "stacked": (table(), BASE),
    "one by one": (
        pictures(),
        dataclasses.replace(BASE, model=Cnn(), preprocess=CHANNEL, epochs=2),
    ),
    "sound": (clips(), dataclasses.replace(BASE, preprocess=(LogMel(bands=8), *CHANNEL), epochs=3)),
}


@pytest.mark.parametrize("name", CASES)
def test_same_bits_for_every_number_of_workers(name: str, tmp_path: Path) -> None:
    data, recipe = CASES[name]
    members, ex = some(7, recipe, data)
    found = {}
    for jobs in (1, 2, 3):
        trainer = Trainer(ex, jobs=jobs, remembered=tmp_path / "timings.json")
        found[jobs] = trainer.train(members, "training")
        assert sorted(found[jobs].trained) == list(range(7))
        assert (trainer.workers_mb > 0) == (jobs > 1)
    same(found[1], found[2])
    same(found[1], found[3])


def test_progress_is_told(tmp_path: Path) -> None:
    members, ex = some(4, dataclasses.replace(BASE, epochs=150, patience=150))
    seen: list[float] = []
    Trainer(ex, jobs=2, show=lambda s: seen.append(s.share)).train(members, "training")
    assert len(seen) > 1 and seen == sorted(seen)
    assert seen[-1] == 1


# --- what reaches a worker ---------------------------------------------------------------------


def test_a_worker_is_single_threaded_and_shares_the_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = labelled(np.arange(3000) % 3, rng.normal(size=(3000, 200)).astype(np.float32))
    members, ex = some(4, dataclasses.replace(BASE, epochs=2), wide)
    assert ex.inputs.bank is not None and ex.inputs.bank.nbytes > 1 << 20
    members = rigged(members, "note", tmp_path)
    Trainer(ex, jobs=2).train(members, "training")
    notes = [json.loads(p.read_text()) for p in tmp_path.glob("*.json")]
    assert notes
    for note in notes:
        assert (note["threads"], note["openmp"], note["tiny"]) == (1, "1", 0.0)
        assert note["interrupt"], "Ctrl-C would end the worker"
        sizes = [
            int(b, 16) - int(a, 16) for a, b in (m.split()[0].split("-") for m in note["maps"])
        ]
        assert max(sizes, default=0) >= ex.inputs.bank.nbytes  # a file, mapped into memory


def test_sent_examples_are_the_same_and_not_copied(tmp_path: Path) -> None:
    _, ex = some(2, dataclasses.replace(BASE, preprocess=CHANNEL), pictures())
    sent = Sent(ex)
    found = sent.examples()
    assert found.inputs.layers == []
    assert found.inputs.bank is not None and ex.inputs.bank is not None
    assert torch.equal(found.inputs.bank, ex.inputs.bank)
    assert found.inputs.bank.data_ptr() == ex.inputs.bank.data_ptr()
    assert torch.equal(found.labels, ex.labels)
    assert len(found.inputs.raw) == 0  # pre-processed once: nobody reads the rest
    for array in sent.arrays:  # as a cluster's object store hands them out
        array.flags.writeable = False
    folds, rows = torch.tensor([0]), torch.arange(5)[None]
    assert torch.equal(sent.examples().inputs.gather(folds, rows), ex.inputs.gather(folds, rows))


@pytest.mark.parametrize("order", ["C", "F"])
def test_what_lies_in_a_file_goes_by_its_name(tmp_path: Path, order: str) -> None:
    made = np.arange(6000, dtype=np.float32).reshape(300, 20)
    (tmp_path / "x.bin").write_bytes(b"head" * 4 + made.tobytes(order))  # type: ignore[arg-type]
    with (tmp_path / "x.bin").open("rb") as file:
        rows = map_file(file, made.dtype, 16, made.shape, order)
    _, ex = some(2, BASE, labelled(np.arange(300) % 3, made))
    for given in (rows, rows[100:]) if order == "C" else (rows,):
        ex.inputs.raw, ex.inputs.bank = given, None
        sent = Sent(ex)
        assert sum(a.nbytes for a in sent.arrays) < made.nbytes // 2
        assert np.array_equal(sent.examples().inputs.raw, given)
    (tmp_path / "x.bin").unlink()
    with pytest.raises(UserError, match=r"x\.bin: a worker cannot open the data"):
        sent.examples()


def test_a_file_without_a_name_is_not_copied_either() -> None:
    """Rows that had to be decoded lie in a file that is gone from its folder."""
    made = np.arange(60_000, dtype=np.float32).reshape(3000, 20)
    with tempfile.TemporaryFile() as file:
        file.write(made.tobytes())
        file.flush()
        rows = map_file(file, made.dtype, 0, made.shape)
    members, ex = some(4, dataclasses.replace(BASE, epochs=2), labelled(np.arange(3000) % 3, made))
    expected = Trainer(ex, jobs=1).train(members, "training")
    ex.inputs.raw, ex.inputs.bank = rows, None
    assert sum(a.nbytes for a in Sent(ex).arrays) < made.nbytes // 2
    assert sum(a.nbytes for a in Sent(ex, here=False).arrays) > made.nbytes
    same(Trainer(ex, jobs=2).train(members, "training"), expected)


def test_errors_can_travel() -> None:
    error = pickle.loads(pickle.dumps(UserError("here", "this is wrong", "Do that.")))
    assert str(error) == "here: this is wrong. Do that."
    assert (error.where, error.todo) == ("here", "Do that.")


# --- workers that are lost ---------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False], ids=["checkpoints", "no checkpoints"])
def test_a_killed_worker_loses_nothing(tmp_path: Path, kept: bool) -> None:
    members, ex = some()
    expected = Trainer(ex, jobs=1).train(members, "training")
    trap = tmp_path / "trap"
    trap.touch()
    store = Store(tmp_path / "run" if kept else None, every=0.0)
    trainer = Trainer(ex, store, jobs=2)
    found = trainer.train(rigged(members, "kill once", trap, after=6), "training")
    assert not trap.exists(), "no worker was killed"
    same(found, expected)


def test_a_part_that_always_kills_its_worker(tmp_path: Path) -> None:
    members, ex = some(4)
    with pytest.raises(Unfinished, match="worker processes were lost 3 times"):
        Trainer(ex, jobs=2).train(rigged(members, "kill", tmp_path), "training")


def test_an_exception_in_a_worker_is_raised_once_with_its_traceback(tmp_path: Path) -> None:
    members, ex = some(4)
    with pytest.raises(ValueError, match="made on purpose") as caught:
        Trainer(ex, jobs=2).train(rigged(members, "raise", tmp_path), "training")
    assert "rigged.py" in "".join(map(str, [caught.value.__cause__]))


# --- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_parts_that_wait_get_their_share_of_the_time(jobs: int) -> None:
    """More members than can be trained at once, and no time for all epochs: each gets some."""
    recipe = dataclasses.replace(BASE, model=Cnn(), preprocess=CHANNEL, epochs=10_000)
    recipe = dataclasses.replace(recipe, patience=10_000)
    members, ex = some(8, recipe, pictures())
    trainer = Trainer(ex, jobs=jobs)
    trainer.train(members[:2], "warm", now() + 1)  # workers are started
    found = trainer.train(members, "training", now() + 6)
    assert found.late
    epochs = [found.trained[i].epochs for i in range(8)]
    assert min(epochs) >= 1
    assert max(epochs) <= 12 * min(epochs)  # other programs use the same cores


# --- Ctrl-C, and what stays behind -------------------------------------------------------------

FIT = ["fit", "breast_cancer", "--seed", "3", "--folds", "3", "--seeds", "2", "--jobs", "2"]
FIT += ["--set", "epochs=60", "--set", "patience=60", "--set", "lr=0.005"]
FIT += ["--checkpoint", "0.1s", "--quiet", "--no-coach"]


def until_training(process: subprocess.Popen[str], run: Path) -> list[int]:
    """Wait until workers have written a checkpoint; their process numbers."""
    while process.poll() is None and not list(run.glob("checkpoint/training-*.safetensors")):
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[0]
    return workers_of(process.pid)


def gone(workers: list[int], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while any(running(w) for w in workers) and time.monotonic() < until:
        time.sleep(0.1)
    return not any(running(w) for w in workers)


def same_run(one: Path, other: Path) -> None:
    for name in ("model/weights.safetensors", "history.csv", "probes.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_interrupted_and_killed_runs_go_on_and_leave_no_process(tmp_path: Path) -> None:
    expected, run = tmp_path / "expected", tmp_path / "run"
    whole = start(*FIT, "--out", str(expected), folder=tmp_path, group=True)
    workers = until_training(whole, expected)
    assert workers
    output = whole.communicate(timeout=300)[0]
    assert whole.returncode == 0, output
    assert gone(workers)

    # Ctrl-C in a terminal goes to the whole group, workers too.
    process = start(*FIT, "--out", str(run), folder=tmp_path, group=True)
    workers = until_training(process, run)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 130, output
    assert f"trainwell resume {run}" in output
    assert "Traceback" not in output
    assert json.loads((run / "run.json").read_text())["interrupted"]
    assert gone(workers)

    # Going on, and killed while doing so: workers notice that nobody waits for them.
    (run / "checkpoint" / "stop").unlink(missing_ok=True)
    process = start("resume", str(run), "--quiet", folder=tmp_path, group=True)
    while process.poll() is None and not (workers := workers_of(process.pid)):
        time.sleep(0.01)
    time.sleep(0.5)
    process.kill()
    process.communicate()
    assert gone(workers)

    process = start("resume", str(run), "--quiet", "--jobs", "3", folder=tmp_path, group=True)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    same_run(run, expected)
