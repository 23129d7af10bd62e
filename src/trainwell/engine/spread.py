"""Many members over processes, on one machine or on a cluster.

Parts are handed to workers: joblib's loky processes on this machine, tasks of a Ray cluster, or
the workers of whatever cluster joblib's current backend leads to (Dask). Each worker computes with
one thread. Large arrays reach workers as memory maps, one copy per machine. A worker that is lost
takes nothing with it: its parts are given out again, and go on from their checkpoints.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import torch

from trainwell.engine.members import Examples
from trainwell.engine.parts import LOOK, Outcome, Part, train_part
from trainwell.engine.score import EpochScore
from trainwell.engine.sending import Sent
from trainwell.engine.workers import Workers, import_ray
from trainwell.errors import Unfinished
from trainwell.files import write_whole
from trainwell.memory import peak_megabytes

ATTEMPTS = 3  # for a part whose worker is lost again and again
LOST = "TerminatedWorkerError"  # of loky
# Ray gives parts out again by itself; these it raises when that has not helped.
GIVEN_UP = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "ObjectLostError")
ORPHAN = 1.0  # seconds between two looks whether the process that asked is still there


@dataclass(frozen=True)
class Told:
    """How far a part is, as its worker tells it: members × epochs done, and their accuracies."""

    done: int
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Task:
    """A part on its way to a worker."""

    number: int
    part: Part
    messages: Path  # file for what the worker tells
    parent: int | None = None  # process without which the worker has no reason to live


def train_parts(
    parts: Sequence[Part],
    examples: Examples,
    workers: Workers,
    folder: Path,
    stage: str,
    show: Callable[[dict[int, Told]], None],
    asked_to_stop: Callable[[], bool],
) -> list[Outcome]:
    """Train all parts on `workers`; an Outcome per part.

    folder: for messages between workers and this process, on a disk that both can see (workers
    that cannot see it train as well, but are not seen doing it). Raises Unfinished when workers
    were lost ATTEMPTS times and no part was finished in between.
    """
    found: dict[int, Outcome] = {}
    count = workers.count or 1
    messages = [folder / f"told-{stage}-{i}.json" for i in range(len(parts))]
    sent = Sent(examples, here=workers.where == "here")
    attempts = 0
    with _watching(messages, show, asked_to_stop, parts[0].stop_file):
        while len(found) < len(parts):
            todo = [i for i in range(len(parts)) if i not in found]
            # Parts that wait for a worker get their share of the time, see Part.turns.
            tasks = [
                Task(i, replace(parts[i], turns=-(-(len(todo) - place) // count)), messages[i])
                for place, i in enumerate(todo)
            ]
            try:
                run = _on_ray if workers.where == "ray" else _by_joblib
                for number, outcome in run(tasks, sent, replace(workers, count=count)):
                    found[number] = outcome
                    attempts = 0
            except Exception as error:
                if type(error).__name__ != LOST:
                    raise
                attempts += 1
                if attempts >= ATTEMPTS:
                    raise _given_up(error) from None
                if attempts == ATTEMPTS - 1:
                    count = 1  # memory may have been short
    return [found[i] for i in range(len(parts))]


def _given_up(error: Exception) -> Unfinished:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    problem = f"worker processes were lost {ATTEMPTS} times ({first})"
    return Unfinished("training", problem, "Memory may be short: give fewer workers with --jobs.")


def _by_joblib(
    tasks: Sequence[Task], sent: Sent, workers: Workers
) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come, with the numbers of their parts."""
    from joblib import Parallel, delayed, parallel_config

    count = min(workers.count or 1, len(tasks))
    # A single job would run in this process; so there are two, of which one has nothing to do.
    options: dict[str, Any] = {"n_jobs": max(2, count), "pre_dispatch": count, "batch_size": 1}
    options["return_as"] = "generator_unordered"
    if workers.where == "joblib":
        with Parallel(**options) as parallel:
            yield from parallel(delayed(_work)(task, sent) for task in tasks)
        return
    mine = [replace(task, parent=os.getpid()) for task in tasks]
    # Also a worker that has not been given anything yet must not outlive this process.
    options |= {"initializer": _begin, "initargs": (os.getpid(),)}
    with (
        parallel_config("loky", inner_max_num_threads=1),
        Parallel(**options, mmap_mode="c") as parallel,
    ):
        # Ctrl-C reaches all processes of a terminal, and only this one shall decide what to do:
        # a worker inherits what is blocked while it is started. Python's tracker of resources,
        # which is started with the first worker, would end the blocking.
        resource_tracker.ensure_running()
        with _blocked(signal.SIGINT):
            outcomes = parallel(delayed(_work)(task, sent) for task in mine)
        yield from outcomes


@contextmanager
def _blocked(number: int) -> Iterator[None]:
    """Hold back a signal; one that comes meanwhile is handled afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _on_ray(tasks: Sequence[Task], sent: Sent, workers: Workers) -> Iterator[tuple[int, Outcome]]:
    """The same by tasks of Ray, which gives a task of a lost worker or machine out again.

    Ray's backend for joblib would keep no results when a worker is lost.
    """
    ray = import_ray()
    work = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_work)
    data = ray.put(sent)  # once; workers of a machine share one copy
    queue: deque[Task] = deque(tasks)
    running: set[Any] = set()
    try:
        while queue or running:
            while queue and len(running) < (workers.count or len(tasks)):
                running.add(work.remote(queue.popleft(), data))
            done, _ = ray.wait(list(running), num_returns=1)
            running -= set(done)
            yield ray.get(done[0])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        if type(error).__name__ in GIVEN_UP:
            raise _given_up(error) from None
        raise
    finally:
        for one in running:
            ray.cancel(one, force=True)


def _work(task: Task, sent: Sent) -> tuple[int, Outcome]:
    """In a worker: train a part, tell how far it is, stop when the stop file appears."""
    torch.set_num_threads(1)
    part = task.part
    if task.parent not in (None, os.getpid()):  # joblib may have to work in the same process
        _end_with(task.parent)
    message, told, looked, stop = Told(0, ()), 0.0, 0.0, False

    def tell(scores: Sequence[EpochScore]) -> None:
        nonlocal message, told
        accuracy = tuple(s.val_accuracy for s in scores if s.epoch == scores[-1].epoch)
        message = Told(message.done + len(scores), accuracy)
        if time.monotonic() - told > LOOK:
            told = time.monotonic()
            _tell(task.messages, message)

    def asked() -> bool:
        nonlocal looked, stop
        if part.stop_file is not None and time.monotonic() - looked > LOOK:
            looked, stop = time.monotonic(), part.stop_file.exists()
        return stop

    outcome = train_part(part, sent.examples(), tell, asked)
    _tell(task.messages, message)
    return task.number, replace(outcome, peak_mb=peak_megabytes())


def _begin(parent: int) -> None:
    """The first thing that a worker does: leave Ctrl-C to its parent, and end with it."""
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(parent)


def _end_with(parent: int | None) -> None:
    """End this worker soon after the process that started it, even if that one was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN)
        os._exit(1)

    name = "trainwell-orphan"
    if all(thread.name != name for thread in threading.enumerate()):
        threading.Thread(target=watch, name=name, daemon=True).start()


@contextmanager
def _watching(
    messages: Sequence[Path],
    show: Callable[[dict[int, Told]], None],
    asked_to_stop: Callable[[], bool],
    stop_file: Path | None,
) -> Iterator[None]:
    """A thread that reads what workers tell, and passes on the wish to stop."""
    over = threading.Event()

    def look() -> None:
        told = {i: _told(path) for i, path in enumerate(messages)}
        show({i: t for i, t in told.items() if t is not None})

    def watch() -> None:
        while not over.wait(LOOK):
            if asked_to_stop() and stop_file is not None:
                with suppress(OSError):
                    stop_file.touch()
            look()

    thread = threading.Thread(target=watch, name="trainwell-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    look()


def _tell(path: Path, message: Told) -> None:
    with suppress(OSError):  # training matters more
        write_whole(path, json.dumps(asdict(message)).encode())


def _told(path: Path) -> Told | None:
    try:
        message: dict[str, Any] = json.loads(path.read_bytes())
        return Told(int(message["done"]), tuple(map(float, message["accuracy"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None
