"""Learning-rate schedules: pure functions of the epoch, `(epoch, epochs) -> multiplier in [0, 1]`.

`epoch` may be fractional (the engine asks at every step), `epochs` is the planned length of the
run. Slide: "Learning rate".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from trainwell.callstring import check_fields


@dataclass(frozen=True)
class Constant:
    """Keep one learning rate throughout training.

    Equation: m(e) = 1. The lecture's first attempt ("a fixed learning rate, eg. 0.1").
    Use it to compare rates; annealing usually ends better on noisy data.
    Source: slide "Learning rate".

    >>> Constant()(12.0, 30)
    1.0
    """

    def __call__(self, epoch: float, epochs: int) -> float:
        return 1.0


@dataclass(frozen=True)
class StepDecay:
    """Divide the learning rate in equal steps.

    Equation: m(e) = factor^⌊e / every⌋ with e the epoch. Defaults are the lecture's: "reducing
    the rate by 2 every, say, 5 epochs". `every` should be well below the number of epochs.
    Source: slide "Learning rate"; CS231n notes, part 3.

    >>> StepDecay(factor=0.5, every=5)(12.0, 30)
    0.25
    """

    factor: Annotated[float, Gt(0), Lt(1)] = 0.5
    every: Annotated[int, Ge(1)] = 5  # epochs

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, epoch: float, epochs: int) -> float:
        return self.factor ** (int(epoch) // self.every)


@dataclass(frozen=True)
class Cosine:
    """Anneal the learning rate along half a cosine, after a short linear warm-up.

    Equation: with u = e / epochs and w = warmup, m = 0.1 + 0.9 u / w for u < w, then
    m = ½ (1 + cos(π (u - w) / (1 - w))). The default for starting recipes: no step size to
    choose, and it ends at zero, so the last epochs average out the noise of the mini-batches.
    Source: Loshchilov and Hutter 2017 (SGDR), without restarts; slide "Learning rate" (anneal).

    >>> [round(Cosine(warmup=0.0)(e, 4), 3) for e in (0, 1, 2, 3, 4)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    warmup: Annotated[float, Ge(0), Lt(1)] = 0.0  # share of the run

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, epoch: float, epochs: int) -> float:
        u = min(epoch / epochs, 1.0)
        if u < self.warmup:
            return 0.1 + 0.9 * u / self.warmup  # from 0, the first steps would do nothing
        return 0.5 * (1 + math.cos(math.pi * (u - self.warmup) / (1 - self.warmup)))


Schedule = Constant | StepDecay | Cosine
