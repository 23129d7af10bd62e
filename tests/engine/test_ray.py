"""Members over a Ray cluster: a real one of two nodes, on this machine.

Run by `make test-ray`, which installs Ray into an environment of its own.
"""
# ruff: noqa: E402

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster
from ray.util.joblib import register_ray
from safetensors import safe_open

import trainwell
from helpers.data import labelled
from helpers.rigged import rigged
from helpers.spreading import BASE, same, some
from trainwell.engine import timing
from trainwell.engine.parts import Store
from trainwell.engine.trainer import Trainer
from trainwell.errors import Unfinished

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
LONG = dataclasses.replace(BASE, epochs=400, patience=400)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one core each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    paths = os.pathsep.join(p for p in sys.path if p)
    ray.init(
        address=made.address,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": paths}},
    )
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(autouse=True)
def _two_cores(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many members at once here as there, and a whole cluster before each test."""
    monkeypatch.setattr(timing, "cores", lambda: 2)
    while len(cluster.list_all_nodes()) < 2:
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()


def test_same_bits_as_in_one_process() -> None:
    members, ex = some(7)
    expected = Trainer(ex, jobs=1).train(members, "training")
    for jobs in ("ray", "ray:1"):
        same(Trainer(ex, jobs=jobs).train(members, "training"), expected)


def test_workers_read_the_object_store(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = labelled(np.arange(3000) % 3, rng.normal(size=(3000, 200)).astype(np.float32))
    members, ex = some(4, dataclasses.replace(BASE, epochs=2), wide)
    Trainer(ex, jobs="ray").train(rigged(members, "note", tmp_path), "training")
    notes = [json.loads(p.read_text()) for p in tmp_path.glob("*.json")]
    assert notes
    for note in notes:
        assert (note["threads"], note["openmp"], note["tiny"]) == (1, "1", 0.0)
        assert note["maps"]


@pytest.mark.parametrize("kept", [True, False], ids=["checkpoints", "no checkpoints"])
def test_a_killed_worker_loses_nothing(tmp_path: Path, kept: bool) -> None:
    members, ex = some()
    expected = Trainer(ex, jobs=1).train(members, "training")
    trap = tmp_path / "trap"
    trap.touch()
    trainer = Trainer(ex, Store(tmp_path / "run" if kept else None, every=0.0), jobs="ray")
    found = trainer.train(rigged(members, "kill once", trap, after=6), "training")
    assert not trap.exists(), "no worker was killed"
    same(found, expected)


def epochs_of(path: Path) -> int:
    with safe_open(path, "pt") as file:
        return int(json.loads(file.metadata()["trainwell"])["epochs"])


def test_a_node_that_goes_away_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    members, ex = some(6, LONG)
    expected = Trainer(ex, jobs=1).train(members, "training")
    worker = next(n for n in cluster.list_all_nodes() if n is not cluster.head_node)
    run, begun = tmp_path / "run", []

    def leave() -> None:
        while len(list(run.glob("*.safetensors"))) < 2:  # both nodes are at work
            time.sleep(0.01)
        begun.extend(epochs_of(path) for path in run.glob("*.safetensors"))
        cluster.remove_node(worker, allow_graceful=False)

    thread = threading.Thread(target=leave)
    thread.start()
    found = Trainer(ex, Store(run, every=0.0), jobs="ray").train(members, "training")
    thread.join()
    assert len(cluster.list_all_nodes()) == 1
    assert len(begun) == 2 and max(begun) < LONG.epochs // 2  # one of them was lost halfway
    same(found, expected)


def test_a_part_that_always_kills_its_worker(tmp_path: Path) -> None:
    members, ex = some(4)
    with pytest.raises(Unfinished, match="worker processes were lost 3 times"):
        Trainer(ex, jobs="ray").train(rigged(members, "kill", tmp_path), "training")


def test_an_exception_in_a_worker_is_raised(tmp_path: Path) -> None:
    members, ex = some(4)
    with pytest.raises(ValueError, match="made on purpose") as caught:
        Trainer(ex, jobs="ray").train(rigged(members, "raise", tmp_path), "training")
    assert type(caught.value) is ValueError
    assert "rigged.py" in str(caught.value.__cause__)


def test_fit_under_the_backend_of_joblib(tmp_path: Path) -> None:
    """`with joblib.parallel_config("ray")` is the same as jobs="ray"."""
    register_ray()
    options: dict[str, Any] = {"settings": {"epochs": 3, "lr": 0.01}, "folds": 2, "seeds": 2}
    alone = trainwell.fit("iris", out=tmp_path / "alone", jobs=1, **options)
    asked = trainwell.fit("iris", out=tmp_path / "asked", jobs="ray:2", **options)
    with joblib.parallel_config("ray", n_jobs=2):
        inside = trainwell.fit("iris", out=tmp_path / "inside", **options)
    weights = [
        (r.folder / "model" / "weights.safetensors").read_bytes() for r in (alone, asked, inside)
    ]
    assert weights[0] == weights[1] == weights[2]
