"""Deadlines are kept by a clock that does not jump."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from helpers.spreading import some
from trainwell import clock
from trainwell.engine.trainer import Trainer

ASK = "from trainwell import clock; print(repr(clock.now() - __import__('time').monotonic()))"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A process that has not asked yet, and whose parent has not either."""
    monkeypatch.setenv(clock.NAME, "")
    clock._offset.cache_clear()
    yield monkeypatch
    clock._offset.cache_clear()


def later(by: float) -> Callable[[], float]:
    real = time.time
    return lambda: real() + by


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_jump_of_the_wall_clock_changes_nothing(fresh: pytest.MonkeyPatch, jump: float) -> None:
    before = clock.now()
    assert before == pytest.approx(time.time(), abs=5)
    fresh.setattr(time, "time", later(jump))
    assert 0 <= clock.now() - before < 60


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_jump_does_not_end_a_training(fresh: pytest.MonkeyPatch, jump: float) -> None:
    members, examples = some(2)
    deadline = clock.now() + 600
    fresh.setattr(time, "time", later(jump))
    found = Trainer(examples, jobs=1).train(members, "training", deadline)
    assert not found.late
    assert sorted(found.trained) == [0, 1]
    assert Trainer(examples, jobs=1).train(members, "training", clock.now() - 1).late


def test_a_child_agrees_with_its_parent(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(time, "time", later(7200.0))  # as if the clock had been set back since
    mine = clock.now() - time.monotonic()
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(mine, abs=1e-3)


@pytest.mark.parametrize("kept", ["", "soon", "nan", "inf"])
def test_what_is_no_offset_is_taken_anew(fresh: pytest.MonkeyPatch, kept: str) -> None:
    fresh.setenv(clock.NAME, kept)
    assert clock.now() == pytest.approx(time.time(), abs=5)
    assert float(os.environ[clock.NAME]) == pytest.approx(time.time() - time.monotonic(), abs=5)
