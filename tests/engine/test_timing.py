"""How a group of members runs: decided from timings, remembered, the same for every --jobs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from helpers.data import pictures
from helpers.spreading import BASE, some
from trainwell.engine import timing
from trainwell.engine.population import Execution
from trainwell.engine.timing import Choice, Timing, choose, decide
from trainwell.engine.workers import Workers, find_workers, parse_jobs
from trainwell.errors import UserError
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.preprocess import Standardize

WHOLE, HALF, FOUR = Execution("stacked", 20), Execution("stacked", 10), Execution("stacked", 4)
ONE = Execution("looped", 1)


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "cores", lambda: 2)


def decided(seconds: dict[Execution, float], steps: float, jobs: int | None = None) -> Choice:
    timings = [Timing(e, 1, s) for e, s in seconds.items()]
    return decide(timings, 20, steps, 10, parse_jobs(jobs))


def test_short_trainings_stay_in_one_process_and_long_ones_are_spread() -> None:
    seconds = {WHOLE: 1e-4, HALF: 1e-4}
    short, long = (decided(seconds, steps) for steps in (100, 100_000))
    assert (short.execution, short.processes, short.part) == (WHOLE, 1, 20)
    assert short.seconds == pytest.approx(20 * 100 * 1e-4)
    assert (long.execution, long.processes, long.part) == (HALF, 2, 10)
    assert long.seconds == pytest.approx(10 * 100_000 * 1e-4 + timing.START)


def test_processes_must_pay() -> None:
    """All at once may be so much quicker that two processes cannot make up for it."""
    choice = decided({WHOLE: 1e-4, HALF: 1.9e-4}, 1e6)
    assert (choice.execution, choice.processes) == (WHOLE, 1)


def test_another_way_must_be_clearly_quicker() -> None:
    assert decided({WHOLE: 1e-4, HALF: 2e-4, FOUR: 0.95e-4}, 100).execution == WHOLE
    assert decided({WHOLE: 1e-4, HALF: 2e-4, FOUR: 0.5e-4}, 100).execution == FOUR


def test_threads_are_weighed_against_processes() -> None:
    timings = [Timing(ONE, 2, 6e-4), Timing(ONE, 1, 1e-3)]
    choice = decide(timings, 20, 1e5, 10, None)
    assert (choice.threads, choice.processes) == (1, 2)
    choice = decide([Timing(ONE, 2, 5e-4), Timing(ONE, 1, 1e-3)], 20, 1e5, 10, None)
    assert (choice.threads, choice.processes, choice.part) == (2, 1, 20)


def test_three_members_on_two_cores_need_two_turns() -> None:
    choice = decide([Timing(ONE, 1, 1e-3)], 3, 1e5, 2, None)
    assert choice.processes == 2
    assert choice.seconds == pytest.approx(2 * 100 + timing.START)


@pytest.mark.parametrize(("jobs", "processes"), [(1, 1), (2, 2), (3, 2)])
def test_jobs_change_no_way(jobs: int, processes: int) -> None:
    choice = decided({WHOLE: 1e-5, HALF: 1e-4}, 10, jobs)
    assert (choice.execution, choice.processes, choice.threads) == (HALF, processes, 1)
    assert decided({WHOLE: 1e-5, ONE: 1e-4}, 10, 3).processes == 3


def test_parts_are_whole_shares() -> None:
    choice = decided({WHOLE: 1e-3, ONE: 1e-4}, 10, 2)
    assert choice.part == 2  # 20 members, 2 workers, 4 parts for each at least
    assert Choice.from_json(json.loads(json.dumps(choice.to_json()))) == choice


def test_more_workers_of_a_cluster_get_smaller_shares() -> None:
    members, ex = some(8)
    choice = choose(members, ex, Workers("ray", 4), None)
    assert (choice.execution.size, choice.processes) == (2, 4)


# --- what is remembered ------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Execution]:
    """Every way that is measured, from now on."""
    found: list[Execution] = []

    def note(members: object, examples: object, execution: Execution, precision: object) -> float:
        found.append(execution)
        return 1e-4 / execution.size

    monkeypatch.setattr(timing, "time_step", note)
    return found


def test_measured_once(measured: list[Execution], tmp_path: Path) -> None:
    members, ex = some(6)
    file = tmp_path / "cache" / "timings.json"
    first = choose(members, ex, None, file)
    assert measured == [Execution("stacked", 6), Execution("stacked", 3)]
    assert choose(members, ex, None, file) == first
    for jobs in (1, 2, 3):
        assert choose(members, ex, parse_jobs(jobs), file).execution == measured[1]
    assert len(measured) == 2


def test_a_long_training_is_worth_more_measuring(measured: list[Execution]) -> None:
    members, ex = some(40, dataclasses.replace(BASE, epochs=10_000))
    choose(members, ex, None, None)
    assert [e.size for e in measured] == [40, 20, *(s for s in timing.SIZES if s < 20)]


def test_other_networks_and_machines_are_measured_anew(
    measured: list[Execution], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members, ex = some(6)
    file = tmp_path / "timings.json"
    choose(members, ex, None, file)
    wider = [
        dataclasses.replace(m, recipe=dataclasses.replace(BASE, batch_size=8)) for m in members
    ]
    choose(wider, ex, None, file)
    assert len(measured) == 4
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    choose(members, ex, None, file)
    assert len(measured) == 6


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "5", '{"KEY": 5}', '{"KEY": [{}]}'])
def test_a_damaged_file_is_no_loss(measured: list[Execution], tmp_path: Path, content: str) -> None:
    members, ex = some(6)
    file = tmp_path / "timings.json"
    choose(members, ex, None, file)
    key = next(iter(json.loads(file.read_text())))
    file.write_text(content.replace("KEY", key))
    choose(members, ex, None, file)
    assert len(measured) == 4
    assert key in json.loads(file.read_text())


def test_a_cache_that_cannot_be_written(measured: list[Execution], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    members, ex = some(6)
    choose(members, ex, None, tmp_path / "cache" / "timings.json")
    assert measured


def test_the_file_does_not_grow_forever(
    measured: list[Execution], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "KEPT", 3)
    file = tmp_path / "timings.json"
    for count in range(2, 8):
        members, ex = some(count)
        choose(members, ex, None, file)
    assert len(json.loads(file.read_text())) == 3


def test_real_steps_are_timed() -> None:
    recipe = dataclasses.replace(BASE, model=Cnn(), preprocess=(Standardize(per="channel"),))
    members, ex = some(4, recipe, pictures())
    choice = choose(members, ex, None, None)
    assert choice.measured and all(t > 0 for t in choice.measured.values())
    assert choice.seconds > 0


# --- --jobs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "jobs", ["0", "-1", "2.5", "many", "ray:", "ray:0", "rays", "ray:x", "", "²"]
)
def test_jobs_that_mean_nothing(jobs: str) -> None:
    with pytest.raises(UserError, match="--jobs: expected a whole number from 1 up, ray, or ray:N"):
        parse_jobs(jobs)


def test_nobody_asked() -> None:
    assert find_workers(None) is None
    assert find_workers(" 3 ") == Workers("here", 3)


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed.*trainwell\[ray\]"):
        find_workers("ray")
