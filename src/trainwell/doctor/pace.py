"""How often a loop is looked at, so that looking costs a small share of its time."""

from __future__ import annotations

import math
import time

SHARE = 0.005  # of the loop's time, for sampled steps; hooks that stay cost as much again
_UNSEEN = 1.8  # what a sampled step costs, over the time of own code: hooks slow layers down too
CREDIT = 0.004  # seconds that may be spent before that share is kept: short loops are seen too
_DIAGNOSES = 0.003  # of the loop's time, for diagnoses while it runs
_FIRST = 5.0  # seconds before the first of them
_EARLY = 5  # samples that are taken whatever they cost: steps 1, 2, 4, 8 and 16 at the latest
_SAMPLES = 250  # the interval is at least a 250th of the steps done: logs stay short


def own_time() -> float:
    """Seconds that this thread has worked: what other programs take from it does not count."""
    return time.thread_time()


class Pace:
    """When the next step is sampled. every: fixed interval in steps; None: by cost.

    Shares are of the thread's own time, so that a busy machine changes nothing.
    """

    def __init__(self, every: int | None) -> None:
        self._every = every
        self._start = self._spent = 0.0
        self._diagnosis = self._last_diagnosis = 0.0
        self.next_step = 1

    def begin(self) -> None:
        """The loop begins."""
        self._start, self._last_diagnosis = own_time(), time.perf_counter()

    def spent(self, start: float) -> None:
        """Own work was done since this reading of the clock."""
        self.spent_seconds(own_time() - start)

    def spent_seconds(self, seconds: float) -> None:
        """Own work took so long."""
        self._spent += _UNSEEN * seconds

    def arrived(self) -> None:
        """The next step is sampled: none is planned beyond it until it is done."""
        self.next_step = 1 << 62

    def plan(self, steps: int, samples: int) -> None:
        """After a sampled step: when the next one is."""
        if self._every is not None:
            self.next_step = steps + self._every
            return
        if samples == 1:
            self._spent = 0.0  # the first call of everything says nothing about those to come
        elapsed = own_time() - self._start
        own = self._spent / max(1, samples - 1)
        debt = self._spent + own - CREDIT - SHARE * elapsed
        step = max(1e-6, (elapsed - self._spent) / max(1, steps))
        wait = math.ceil(debt / (SHARE * step)) if debt > 0 else 1
        if samples < _EARLY:
            wait = min(wait, 2 ** (samples - 1))
        self.next_step = steps + max(1, wait, steps // _SAMPLES)

    def may_diagnose(self) -> bool:
        """Whether a diagnosis would stay within its share of the time."""
        now = time.perf_counter()
        wait = max(_FIRST, self._diagnosis / _DIAGNOSES)
        return now - self._last_diagnosis >= wait

    def diagnosed(self, start: float) -> None:
        """A diagnosis was made since this reading of the clock."""
        self._last_diagnosis = time.perf_counter()
        self._diagnosis = self._last_diagnosis - start
