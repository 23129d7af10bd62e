"""Carrying out trainings: groups, parts, time, what can be taken up again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from helpers.data import members_of, table
from helpers.spreading import BASE, same, some
from trainwell.clock import now
from trainwell.engine.members import Member
from trainwell.engine.parts import Store
from trainwell.engine.population import Execution
from trainwell.engine.timing import Choice
from trainwell.engine.trainer import Trainer, _places


def two_groups() -> list[Member]:
    """Members that cannot share a population: other batches."""
    members, _ = some(4)
    other = dataclasses.replace(BASE, batch_size=8)
    return [dataclasses.replace(m, recipe=other if i % 2 else BASE) for i, m in enumerate(members)]


def test_members_of_several_groups_keep_their_places() -> None:
    members = two_groups()
    _, ex = some(4)
    seen: list[float] = []
    trainer = Trainer(ex, jobs=1, show=lambda s: seen.append(s.share))
    found = trainer.train(members, "training")
    assert sorted(found.trained) == [0, 1, 2, 3]
    assert all(found.trained[i].member is m for i, m in enumerate(members))
    assert {s.member for s in found.history} == {0, 1, 2, 3}
    assert set(trainer.choices) == {"training-0", "training-1"}
    assert seen == sorted(seen)
    assert not (found.late or found.stopped)


def test_every_group_gets_its_share_of_the_time() -> None:
    members = [
        dataclasses.replace(m, recipe=dataclasses.replace(m.recipe, epochs=10**6, patience=10**6))
        for m in two_groups()
    ]
    _, ex = some(4)
    trainer = Trainer(ex, jobs=1)
    found = trainer.train(members, "training", now() + 3)
    assert found.late and trainer.late
    assert all(found.trained[i].epochs > 0 for i in range(4))


def test_no_time_at_all_trains_nobody() -> None:
    members, ex = some(3)
    found = Trainer(ex, jobs=1).train(members, "training", now() - 1)
    assert found.late
    assert found.trained == {} and found.history == []


def test_asked_to_stop(tmp_path: Path) -> None:
    """What was trained until then is kept, and can go on to the same bits."""
    members, ex = some(4)
    expected = Trainer(ex, jobs=1).train(members, "training")
    trainer = Trainer(ex, Store(tmp_path / "run"), jobs=1)

    def show(seen: object) -> None:
        trainer.stop = True

    trainer.show = show  # type: ignore[assignment]
    found = trainer.train(members, "training")
    assert found.stopped and not found.late
    assert [t.epochs for t in found.trained.values()] == [1] * 4
    same(Trainer(ex, Store(tmp_path / "run"), jobs=1).train(members, "training"), expected)


@pytest.mark.parametrize("jobs", [1, None, 3])
def test_a_run_goes_on_with_other_workers(tmp_path: Path, jobs: int | None) -> None:
    """Parts are those that the run began with; only who trains them changes."""
    members, ex = some(6)
    expected = Trainer(ex, jobs=2).train(members, "training")
    begun = Trainer(ex, Store(tmp_path / "run"), jobs=2)
    begun.stop = True
    begun.train(members, "training")
    found = Trainer(ex, Store(tmp_path / "run"), jobs=jobs).train(members, "training")
    same(found, expected)


def choice(size: int, part: int) -> Choice:
    return Choice(Execution("stacked", size), 1, 2, part, 0.0, {})


def test_places() -> None:
    assert _places(5, choice(1, 5), 99) == [[0, 1, 2, 3, 4]]
    assert _places(5, choice(2, 2), 99) == [[0, 1], [2, 3], [4]]
    # Memory for five: a part still ends where a share ends, or what is computed together changes.
    assert [len(p) for p in _places(12, choice(2, 12), 5)] == [4, 4, 4]
    # Memory for less than a share.
    assert [len(p) for p in _places(6, choice(4, 6), 3)] == [3, 3]


def test_members_that_end_leave_the_shares_of_others_as_they_are() -> None:
    """Patience ends some; the others' bits are those of a population of their share alone."""
    data = table(200)
    recipes = [dataclasses.replace(BASE, epochs=20, patience=p) for p in (1, 20, 2, 20, 20, 1)]
    members = members_of(data, recipes)
    _, ex = some(1, BASE, data)
    found = Trainer(ex, jobs=1).train(members, "training")
    assert len({t.epochs for t in found.trained.values()}) > 1
    same(Trainer(ex, jobs=2).train(members, "training"), found)
