"""Two or three real processes train as one does, decide together and end together."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.data import LOOPED, VMAPPED, members_of, population, table
from helpers.parallel import (
    BASE,
    Ended,
    Found,
    agreements,
    cases,
    gone,
    norms,
    norms_of_rank,
    train_cases,
    train_few,
)
from helpers.ranks import together
from trainwell.callstring import members as kinds
from trainwell.engine.distributed import Cut, Ranks, device_of, joined, ranks_of, session
from trainwell.engine.population import Population
from trainwell.engine.stack import DropoutMasks
from trainwell.errors import UserError
from trainwell.techniques.losses import Loss
from trainwell.techniques.models.mlp import Mlp


@pytest.fixture(scope="module")
def alone() -> Mapping[str, Found]:
    return train_cases(Ranks())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Mapping[str, Found]]:
    return together(2, train_cases, tmp_path_factory.mktemp("two"))


def alike(found: Found, expected: Found) -> None:
    """The same training up to rounding."""
    torch.testing.assert_close(found.first, expected.first, rtol=1e-4, atol=1e-6)
    for a, b in zip(found.trained, expected.trained, strict=True):
        torch.testing.assert_close(a.theta, b.theta, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a.buffers, b.buffers, rtol=1e-4, atol=1e-5)
        assert a.best_epoch == b.best_epoch
    for s, t in zip(found.history, expected.history, strict=True):
        assert (s.member, s.epoch, s.lr) == (t.member, t.epoch, t.lr)
        assert s.val_loss == pytest.approx(t.val_loss, abs=1e-5)
        assert s.train_loss == pytest.approx(t.train_loss, abs=1e-5)


@pytest.mark.parametrize("name", cases())
def test_two_ranks_train_as_one(
    name: str, alone: Mapping[str, Found], two: list[Mapping[str, Found]]
) -> None:
    alike(two[0][name], alone[name])


@pytest.mark.parametrize("name", cases())
def test_ranks_have_the_same_bits(name: str, two: list[Mapping[str, Found]]) -> None:
    first, other = (found[name] for found in two)
    assert torch.equal(first.first, other.first)
    assert first.history == other.history
    for a, b in zip(first.trained, other.trained, strict=True):
        assert torch.equal(a.theta, b.theta)
        assert torch.equal(a.buffers, b.buffers)


def test_three_ranks_train_as_one(alone: Mapping[str, Found], tmp_path: Path) -> None:
    """Of batches of 15 rows: 5 each; two ranks had 7 and 8."""
    for found in together(3, train_few, tmp_path):
        for name in found:
            alike(found[name], alone[name])


def test_joint_norm_is_the_norm_of_the_whole_batch(tmp_path: Path) -> None:
    """In float64, four rows on one rank and three on the other, far from zero."""
    expected, ranks = norms(None), together(2, norms_of_rank, tmp_path)
    for name, rows in (("maps", 0), ("vectors", 2)):
        y, below, by_weight, by_bias, mean, var = expected[name]
        each = [found[name] for found in ranks]
        close(torch.cat([e[0] for e in each], rows), y)
        close(torch.cat([e[1] for e in each], rows), below)
        close(each[0][2] + each[1][2], by_weight)
        close(each[0][3] + each[1][3], by_bias)
        for e in each:
            close(e[4], mean)
            close(e[5], var)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


# --- deciding together, ending together --------------------------------------------------------


def test_all_ranks_hear_the_same(tmp_path: Path) -> None:
    found = together(3, agreements, tmp_path)
    for rank in found:
        assert rank["agree"] == {"rank": 0}
        assert rank["most"] == [2, 0]
        assert rank["any"] == [True, False]
        assert rank["each"].tolist() == [[0, 7], [1, 7], [2, 7]]
    assert "mistake" not in found[0]
    assert "the data are not those of the first process" in found[1]["mistake"]


def test_a_rank_that_is_gone_is_noticed(tmp_path: Path) -> None:
    first, last = together(2, gone, tmp_path, ends_early=[1])
    assert last is None
    assert "another process of this training has ended or does not answer" in first


@pytest.mark.parametrize("asking", [0, 1])
def test_whoever_is_asked_to_stop_all_stop(asking: int, tmp_path: Path) -> None:
    first, other = together(2, Ended(tmp_path / "part", asking=asking), tmp_path)
    assert first.stopped and other.stopped
    assert len(first.history) == len(other.history) == 2
    assert first.history == other.history
    assert (tmp_path / "part").exists()


def test_one_deadline_ends_all(tmp_path: Path) -> None:
    first, other = together(2, Ended(seconds=0.0), tmp_path)
    assert first.late and other.late
    assert first.history == other.history == []


def test_another_number_of_ranks_goes_on(tmp_path: Path) -> None:
    """Begun by two, gone on with by one and by three, who have no checkpoint of their own."""
    expected = Ended()(Ranks())
    assert len(expected.history) == 6
    together(2, Ended(tmp_path / "part", asking=1), tmp_path)
    content = (tmp_path / "part").read_bytes()
    for size in (1, 3):
        (tmp_path / "part").write_bytes(content)
        work = Ended(tmp_path / "part")
        outcomes = [work(Ranks())] if size == 1 else together(size, work, tmp_path)
        for outcome in outcomes:
            alike(of(outcome), of(expected))


def of(outcome: Any) -> Found:
    return Found(torch.zeros(()), list(outcome.trained.values()), outcome.history)


def test_a_store_of_earlier_processes_does_not_mislead() -> None:
    """Started again in the same store, in any order, all ranks agree on a name that is new."""
    store, names = torch.distributed.HashStore(), set()
    for first_late in (True, False):
        with ThreadPoolExecutor(3) as pool:
            order = [1, 2, 0] if first_late else [0, 2, 1]
            tasks = []
            for rank in order:
                tasks.append(pool.submit(session, store, Ranks(rank, 3)))
                time.sleep(0.05)
            (name,) = {task.result(timeout=20) for task in tasks}
        names.add(name)
    assert len(names) == 2


# --- parts and streams -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 7, 16])
def test_parts_are_the_whole(count: int) -> None:
    parts = [Ranks(rank, 3).part(count) for rank in range(3)]
    assert [i for part in parts for i in range(count)[part]] == list(range(count))
    cut = Ranks(1, 3).cut(count)
    assert cut is not None
    assert cut.counts == tuple(part.stop - part.start for part in parts)
    assert max(cut.counts) - min(cut.counts) <= 1


def test_masks_do_not_depend_on_the_number_of_ranks() -> None:
    def masks(cut: Cut | None, rows: int) -> list[Tensor]:
        made = DropoutMasks("1", [0.5, 0.2], torch.device("cpu"), cut)
        made.start_epoch([3, 4], 2, 9, done=2)
        return [made.next(torch.Size((2, 6, rows))) for _ in range(7)]

    whole = masks(None, 7)
    parts = [masks(Ranks(rank, 2).cut(7), rows) for rank, rows in ((0, 3), (1, 4))]
    for step, mask in enumerate(whole):
        assert torch.equal(torch.cat([p[step] for p in parts], dim=2), mask)


@pytest.mark.parametrize("kind", kinds(Loss), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_weighted_parts_of_a_loss_are_the_loss(kind: Any, smoothing: float, weighted: bool) -> None:
    """Parts weigh as many as their rows, or their rows' class weights."""
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[0, 0, 0, 1, 2, 1, 1], [2, 1, 0, 0, 0, 0, 1]])
    weights = torch.tensor([[1.0, 5.0, 2.0], [0.5, 1.0, 9.0]]).double() if weighted else None
    own = torch.ones_like(logits[..., 0]) if weights is None else weights.gather(1, labels)
    loss, total = kind(), torch.zeros(2, dtype=torch.float64)
    for part in (slice(0, 3), slice(3, 7)):
        share = own[:, part].sum(dim=1) / own.sum(dim=1)
        total += share * loss(logits[:, part], labels[:, part], smoothing, weights)
    close(total, loss(logits, labels, smoothing, weights))


# --- mistakes ----------------------------------------------------------------------------------


def test_a_batch_smaller_than_the_ranks_is_refused() -> None:
    with pytest.raises(UserError, match="a batch of 2 rows cannot be cut over 3 processes"):
        Ranks(0, 3).cut(2)


def test_batch_norm_under_vmap_is_refused() -> None:
    people = population(table(), members_of(table(), [BASE] * 2), LOOPED)
    examples = dataclasses.replace(people.examples, ranks=Ranks(0, 2))
    with pytest.raises(UserError, match="batch norm that run by vmap"):
        Population(people.members, examples, VMAPPED)
    plain = dataclasses.replace(BASE, model=Mlp(hidden=(4,), norm="none"))
    Population(members_of(table(), [plain] * 2), examples, VMAPPED)


def test_environment() -> None:
    assert ranks_of({}) == ranks_of({"WORLD_SIZE": "1"}) == Ranks()
    for broken in ({"WORLD_SIZE": "2"}, {"WORLD_SIZE": "two"}, {"WORLD_SIZE": "2", "RANK": ""}):
        with pytest.raises(UserError, match="RANK does not say which"):
            ranks_of(broken)


def test_without_torchrun_nothing_is_begun() -> None:
    with joined() as ranks:
        assert ranks == Ranks()
        assert not torch.distributed.is_initialized()
        assert ranks.cut(16) is None


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of(Ranks()) == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device_of(Ranks(5, 8)) == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="there are 2 GPUs"):
        device_of(Ranks(6, 8))
