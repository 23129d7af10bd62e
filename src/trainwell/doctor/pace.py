"""How often a loop is looked at, so that looking costs a small share of its time."""

from __future__ import annotations

import math
import time

SHARE = 0.012  # of the loop's time, for sampled steps; hooks that stay cost as much again
CREDIT = 0.006  # seconds that may be spent before that share is kept: short loops are seen too
_DIAGNOSES = 0.003  # of the loop's time, for diagnoses while it runs
_FIRST = 5.0  # seconds before the first of them
_SAMPLES = 250  # the interval is at least a 250th of the steps done: logs stay short


class Pace:
    """When the next step is sampled. every: fixed interval in steps; None: by cost."""

    def __init__(self, every: int | None) -> None:
        self._every = every
        self._start = self._spent = 0.0
        self._diagnosis = self._last_diagnosis = 0.0
        self.next_step = 1

    def begin(self) -> None:
        """The loop begins."""
        self._start = self._last_diagnosis = time.perf_counter()

    def spent(self, start: float) -> None:
        """Own work was done since this reading of the clock."""
        self._spent += time.perf_counter() - start

    def arrived(self, steps: int) -> None:
        """The next step is sampled: none is planned beyond it until it is done."""
        self.next_step = 1 << 62

    def plan(self, steps: int, samples: int) -> None:
        """After a sampled step: when the next one is."""
        if self._every is not None:
            self.next_step = steps + self._every
            return
        elapsed = time.perf_counter() - self._start
        own = self._spent / max(1, samples)
        debt = self._spent + own - CREDIT - SHARE * elapsed
        step = max(1e-6, (elapsed - self._spent) / max(1, steps))
        wait = math.ceil(debt / (SHARE * step)) if debt > 0 else 1
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
