"""Several processes that train together, on this machine."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from trainwell.engine.distributed import Ranks, joined

SECONDS = 120  # until processes that hang are ended


def together(
    size: int, work: Callable[[Ranks], Any], folder: Path, ends_early: Sequence[int] = ()
) -> list[Any]:
    """What `work` gives on each of `size` ranks; it must be a function of an importable module.

    ends_early: ranks that end without a result, for which None is given.
    """
    context = multiprocessing.get_context("spawn")
    paths = [folder / f"rank{rank}.pt" for rank in range(size)]
    port = free_port()
    processes = [
        context.Process(target=_child, args=(rank, size, port, work, path))
        for rank, path in enumerate(paths)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
    assert [p.exitcode for p in processes] == [0] * size
    return [
        None if rank in ends_early else torch.load(path, weights_only=False)
        for rank, path in enumerate(paths)
    ]


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _child(rank: int, size: int, port: int, work: Callable[[Ranks], Any], path: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with joined() as ranks:
        torch.save(work(ranks), path)
