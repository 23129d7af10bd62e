"""How much to train: folds, seeds and epochs that fit the time, decided before it starts.

The plan follows from the data, the recipe and the budget alone, by counting operations for a
nominal machine of two cores. It never depends on a clock, so that the same command does the same
work everywhere; the clock only stops a training that would overrun its budget.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from trainwell.errors import UserError

# Operations per second of a nominal two-core machine, and the fixed cost of one step.
CONVOLUTION_SPEED, MATRIX_SPEED, STEP_SECONDS = 80e9, 30e9, 3e-4
# (folds, seeds) in order of preference; more members give narrower intervals and a better mean.
SIZES = ((5, 3), (5, 2), (5, 1), (3, 1), (1, 1))
SHORT, LONG = 40.0, 480.0  # seconds of training to aim at where no budget is given
TRAINING_SHARE = 0.6  # of a given budget; the rest is reading, ladder, yardsticks and scoring
COACHED_SHARE = 0.3  # of it, for more than one seed per fold where a coach comes after
LEAST_TO_COACH = 30.0  # seconds given, below which there is no time for a coach
COACH_SECONDS, COACH_TIMES = 60.0, 3.0  # without one: of a coach, or times the training's


@dataclass(frozen=True)
class Size:
    """Folds, seeds per fold, epochs, and the seconds this should take on the nominal machine."""

    folds: int
    seeds: int
    epochs: int
    seconds: float


def parse_time(text: str, option: str = "--budget", least: float = 1.0) -> float:
    """Seconds of "90", "90s", "10m" or "1.5h"; raises UserError for anything else.

    >>> parse_time("10m"), parse_time("1.5h")
    (600.0, 5400.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text.lower())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if not least <= seconds < 1e7:
        raise UserError(option, f'expected a time such as 90s, 10m or 2h, got "{text}"')
    return seconds


class Budget:
    """The clock of a run: how long it may still go on, from `started` (`time.monotonic()`).

    >>> Budget(60.0, time.monotonic()).left > 59
    True
    """

    def __init__(self, seconds: float, started: float) -> None:
        self.seconds, self.started = seconds, started

    @property
    def used(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds until the end; negative when it is over."""
        return self.seconds - self.used


def training_seconds(
    rows: int, batch: int, operations: float, convolves: bool, folds: int, seeds: int
) -> float:
    """Seconds per epoch of folds × seeds networks on the nominal machine.

    rows: outside the test part; operations: for one example forward.
    """
    speed = CONVOLUTION_SPEED if convolves else MATRIX_SPEED
    trained = rows * (1 - 1 / folds) if folds > 1 else rows * 0.9
    # Backward costs twice the forward pass; scoring after each epoch adds about a fifth.
    one = trained * operations * 3 * 1.2 / speed + trained / batch * STEP_SECONDS
    return one * folds * seeds


def plan_size(
    rows: int,
    batch: int,
    epochs: int,
    operations: float,
    convolves: bool,
    aim: float | None,
    folds: int | None,
    seeds: int | None,
    keep_epochs: bool = False,
) -> Size:
    """The first size of SIZES that fits `aim` seconds; what the user gave (not None) stays.

    Without `aim` (no budget given) it is what five folds take, but at least SHORT and at most LONG
    seconds. Where even the smallest size does not fit, the epochs are cut, but not below 3, and
    never with `keep_epochs` (the user chose them and gave no budget).

    >>> plan_size(1_400, 32, 40, 3e6, True, None, None, None)
    Size(folds=5, seeds=1, epochs=40, seconds=32.3...)
    """

    def seconds(f: int, s: int) -> float:
        return training_seconds(rows, batch, operations, convolves, f, s)

    if aim is None:
        aim = min(LONG, max(SHORT, 1.01 * seconds(folds or 5, seeds or 1) * epochs))
    sizes = dict.fromkeys((folds or f, seeds or s) for f, s in SIZES)
    for f, s in sizes:
        if seconds(f, s) * epochs <= aim:
            return Size(f, s, epochs, seconds(f, s) * epochs)
    f, s = min(sizes, key=lambda size: seconds(*size))
    if keep_epochs:
        return Size(f, s, epochs, seconds(f, s) * epochs)
    fewer = max(min(3, epochs), int(aim / seconds(f, s)))
    return Size(f, s, fewer, seconds(f, s) * fewer)


def default_budget(size: Size, coach: bool = False) -> float:
    """Seconds that a run without a given budget may take, with room for a slow machine.

    coach: whether one comes after, which is limited by work and must not be cut short by a clock.
    """
    more = max(COACH_SECONDS, COACH_TIMES * size.seconds) if coach else 0.0
    return 120.0 + 3.0 * (size.seconds + more)
