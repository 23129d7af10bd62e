"""One training over several processes, as torchrun starts them: each has a part of every batch.

A rank is one of these processes. All ranks hold the same members with the same weights; in every
step each computes the gradient of its own rows, the gradients are added, and all take the same
step. Streams of random numbers are those of the whole batch, so N ranks train as one rank does, up
to rounding. What a clock or a person decides is decided together, since ranks that take different
ways would wait for each other for ever. Without torchrun there is one rank, and nothing here costs
anything.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from trainwell.errors import Unfinished, UserError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

Value = TypeVar("Value")
TIMEOUT = timedelta(minutes=10)  # for a rank that does not answer


class Lost(Unfinished):
    """Another rank is gone; it has told why, unless it was killed."""


@dataclass(frozen=True)
class Ranks:
    """Which of the processes this is, and how many there are; the default is one alone."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def part(self, count: int, rank: int | None = None) -> slice:
        """A rank's part of `count` things in a row; without `rank` the own one.

        >>> [Ranks(0, 3).part(8, rank) for rank in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        rank = self.rank if rank is None else rank
        return slice(count * rank // self.size, count * (rank + 1) // self.size)

    def cut(self, batch: int) -> Cut | None:
        """How batches of this size are cut; None where one rank has them whole.

        Raises UserError where a rank would have no rows.
        """
        if self.size == 1:
            return None
        if batch < self.size:
            problem = f"a batch of {batch} rows cannot be cut over {self.size} processes"
            raise UserError("batch_size", problem, "Take larger batches, or fewer processes.")
        parts = [self.part(batch, rank) for rank in range(self.size)]
        return Cut(self, batch, self.part(batch), tuple(p.stop - p.start for p in parts))

    def add(self, values: Tensor) -> None:
        """Replace the values, in place, by their sum over all ranks: the same bits on each."""
        with _collective():
            torch.distributed.all_reduce(values)

    def each(self, values: Tensor) -> Tensor:
        """The values of every rank (size, ...), in the order of the ranks."""
        found = values.new_empty((self.size, *values.shape))
        with _collective():
            torch.distributed.all_gather(list(found.unbind(0)), values.contiguous())
        return found

    def agree(self, value: Value) -> Value:
        """The first rank's value, on every rank."""
        if self.size == 1:
            return value
        box: list[Value] = [value]
        with _collective():
            torch.distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def most(self, *numbers: int) -> list[int]:
        """The largest value of each number over all ranks."""
        if self.size == 1:
            return list(numbers)
        found = torch.tensor(numbers)
        with _collective():
            torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return [int(n) for n in found]

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is True on some rank."""
        return [bool(n) for n in self.most(*map(int, flags))]

    def check_same(self, what: str, digest: str) -> None:
        """Raise UserError on every rank that does not have what the first rank has."""
        if self.agree(digest) != digest:
            problem = f"{what} are not those of the first process"
            raise UserError(f"process {self.rank}", problem, "Give the same on every machine.")


@dataclass(frozen=True)
class Cut:
    """How a batch is cut over ranks: in contiguous parts, which may be uneven by one row."""

    ranks: Ranks
    batch: int  # rows of all ranks together
    mine: slice
    counts: tuple[int, ...]  # rows of each rank

    @property
    def share(self) -> float:
        """What part of the batch this rank has."""
        return self.counts[self.ranks.rank] / self.batch


@contextmanager
def _collective() -> Iterator[None]:
    """What ranks do together fails where one of them is gone."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition(". This is")[0].partition("\n")[0]
        problem = f"another process of this training has ended or does not answer ({reason})"
        raise Lost("training", problem, "Go on with trainwell resume.") from error


def ranks_of(environment: Mapping[str, str]) -> Ranks:
    """The ranks that torchrun's variables speak of; one alone without them.

    >>> ranks_of({"RANK": "1", "WORLD_SIZE": "4"})
    Ranks(rank=1, size=4)
    """
    try:
        size = int(environment.get("WORLD_SIZE") or 1)
        ranks = Ranks(int(environment["RANK"]), size) if size > 1 else Ranks()
    except (KeyError, ValueError):
        problem = "it says that there are several processes, but RANK does not say which one it is"
        raise UserError("WORLD_SIZE", problem, "Start with torchrun, or unset it.") from None
    return ranks


def device_of(ranks: Ranks) -> torch.device:
    """The GPU of this rank, or the CPU. Raises UserError where there are fewer GPUs than ranks."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if ranks.size == 1:
        return torch.device("cuda")
    local = int(os.environ.get("LOCAL_RANK", ranks.rank))
    if local >= torch.cuda.device_count():
        problem = f"there are {torch.cuda.device_count()} GPUs for more processes than that"
        raise UserError("--nproc-per-node", problem, "Give at most one process per GPU.")
    return torch.device("cuda", local)


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks of this process, joined to the others until `leave`, or until this ends.

    What is raised inside on several ranks is marked so that it is told once: `tell` is False on
    an error that another rank has told already.
    """
    ranks = ranks_of(os.environ)
    if ranks.size == 1 or torch.distributed.is_initialized():
        yield ranks
        return
    store = _join(ranks)
    try:
        yield ranks
    except (Exception, KeyboardInterrupt) as error:
        error.tell = _first_to_tell(store, error)  # type: ignore[union-attr]
        raise
    finally:
        _part_company()


def leave(ranks: Ranks) -> None:
    """Training is over: the first rank goes on alone, the others end here with exit code 0."""
    if ranks.size > 1:
        _part_company()
        if not ranks.first:
            raise SystemExit(0)


def _join(ranks: Ranks) -> Store:
    """Begin the group of processes; its store, for words that are no tensors."""
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    device, backend = device_of(ranks), "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    try:
        kept, _, _ = next(rendezvous("env://", timeout=TIMEOUT))
        store = PrefixStore(session(kept, ranks), kept)
        torch.distributed.init_process_group(
            backend, store=store, rank=ranks.rank, world_size=ranks.size, timeout=TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        problem = f"the {ranks.size} processes of this training cannot reach each other ({error})"
        raise UserError("torchrun", problem, "Look at its --rdzv-endpoint.") from None
    return store


def session(store: Store, ranks: Ranks) -> str:
    """A new name, the same on every rank, that no earlier group of processes has had.

    When torchrun starts processes again they may find the store of those before, with addresses
    where nobody answers any more. So each rank says hello by a name of its own, and the first one
    answers to that name, until all have heard it.
    """
    own = secrets.token_hex(8)
    if not ranks.first:
        store.set(f"hello/{ranks.rank}", own)
        name: str = store.get(f"answer/{own}").decode()  # waits for it
        store.set(f"heard/{name}/{ranks.rank}", "yes")
        return name
    silent, end = set(range(1, ranks.size)), time.monotonic() + TIMEOUT.total_seconds()
    while silent:
        for rank in sorted(silent):
            if store.check([f"heard/{own}/{rank}"]):
                silent.remove(rank)
            elif store.check([f"hello/{rank}"]):
                store.set(f"answer/{store.get(f'hello/{rank}').decode()}", own)
        if time.monotonic() > end:
            raise RuntimeError(f"nothing is heard of the processes {sorted(silent)}")
        time.sleep(0.02)
    return own


def _part_company() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _first_to_tell(store: Store, error: BaseException) -> bool:
    """Whether no rank has told this yet; that a rank is lost is news only where none has told."""
    text = f"{type(error).__name__} {error}"
    try:
        if isinstance(error, Lost):
            if store.add("told", 0):
                return False
        else:
            store.add("told", 1)
        return bool(store.add(f"text/{hashlib.sha256(text.encode()).hexdigest()}", 1) == 1)
    except RuntimeError:  # the store is gone with the rank that kept it
        return True
