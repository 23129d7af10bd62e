"""Learning-rate schedules: pure functions of the epoch, `(epoch, epochs) -> multiplier in [0, 1]`.

`epoch` may be fractional (the engine asks at every step), `epochs` is the planned length of the
run. A schedule that `watches` has a second part, `after(losses)`: a pure function of the validation
losses of the epochs so far, whose result multiplies the first. Slide: "Learning rate".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le, Lt

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

    watches: ClassVar[bool] = False

    def __call__(self, epoch: float, epochs: float) -> float:
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

    watches: ClassVar[bool] = False
    factor: Annotated[float, Gt(0), Lt(1)] = 0.5
    every: Annotated[int, Ge(1)] = 5  # epochs

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, epoch: float, epochs: float) -> float:
        return self.factor ** (int(epoch) // self.every)


@dataclass(frozen=True)
class ExponentialDecay:
    """Shrink the learning rate by the same share in every epoch.

    Equation: m(e) = exp(-k e) with e the epoch and k = `rate`. Default 0.05: halved every 14
    epochs, a twentieth after 60. It knows nothing of the length of the run: choose k so that
    k · epochs lies near 3; more, and the last epochs learn nothing. Smooth, where StepDecay
    jumps; k = ln 2 / 5 is its default without the steps.
    Source: slide "Learning rate" ("Exponential decay"); CS231n notes, part 3.

    >>> round(ExponentialDecay(rate=0.1)(10.0, 30), 4)
    0.3679
    """

    watches: ClassVar[bool] = False
    rate: Annotated[float, Ge(0)] = 0.05  # per epoch

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, epoch: float, epochs: float) -> float:
        return math.exp(-self.rate * epoch)


@dataclass(frozen=True)
class InverseTimeDecay:
    """Let the learning rate fall as one over time: fast at first, then ever more slowly.

    Equation: m(e) = 1 / (1 + k e) with e the epoch and k = `rate`. Default 0.1: halved after 10
    epochs, a seventh after 60. With rates that sum to infinity while their squares do not,
    stochastic gradient descent converges on convex problems (Robbins and Monro); for networks in
    few epochs it ends high, so that Cosine or LinearDecay are better.
    Source: slide "Learning rate" ("(1/t) decay"); Robbins and Monro 1951; CS231n notes, part 3.

    >>> InverseTimeDecay(rate=0.1)(10.0, 30)
    0.5
    """

    watches: ClassVar[bool] = False
    rate: Annotated[float, Ge(0)] = 0.1  # per epoch

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, epoch: float, epochs: float) -> float:
        return 1 / (1 + self.rate * epoch)


@dataclass(frozen=True)
class LinearDecay:
    """Let the learning rate fall along a straight line to its end.

    Equation: m(e) = 1 - (1 - end) u with u = e / epochs. Default end = 0, as for Cosine: the last
    epochs average out the noise of the mini-batches. As good as Cosine in most comparisons, and
    simpler; where the run may be stopped early, both are worse than StepDecay, since the rate
    is still high then. Source: slide "Learning rate" (annealing); Defazio et al. 2023.

    >>> [LinearDecay()(e, 4) for e in (0, 1, 2, 3, 4)]
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    watches: ClassVar[bool] = False
    end: Annotated[float, Ge(0), Le(1)] = 0.0  # share of the rate that is left

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, epoch: float, epochs: float) -> float:
        return 1 - (1 - self.end) * min(epoch / epochs, 1.0)


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

    watches: ClassVar[bool] = False
    warmup: Annotated[float, Ge(0), Lt(1)] = 0.0  # share of the run

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, epoch: float, epochs: float) -> float:
        u = min(epoch / epochs, 1.0)
        if u < self.warmup:
            return 0.1 + 0.9 * u / self.warmup  # from 0, the first steps would do nothing
        return 0.5 * (1 + math.cos(math.pi * (u - self.warmup) / (1 - self.warmup)))


@dataclass(frozen=True)
class OneCycle:
    """Raise the learning rate to its peak and lower it again, once, along half cosines.

    Equation: with u = e / epochs and p = `peak`, m runs from 1 / div at u = 0 to 1 at u = p, and
    down to 1 / (div · final_div) at u = 1. The recipe's rate is the peak, which may be higher
    than a fixed rate could be. Momentum runs the other way, from `high_momentum` at u = 0 to
    `low_momentum` at u = p and back (`momentum`), for rules that have one. Defaults are PyTorch's:
    0.3, 25, 10⁴, 0.85 to 0.95. Differs from torch's OneCycleLR in that its steps are epochs of any
    fraction, so that the peak lies at exactly p. For short runs; with few steps the warm-up is
    wasted. Source: slide "Learning rate"; Smith and Topin 2018.

    >>> [round(OneCycle()(e, 10), 3) for e in (0, 1.5, 3, 6.5, 10)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    >>> [round(OneCycle().momentum(e, 10), 3) for e in (0, 1.5, 3, 6.5, 10)]
    [0.95, 0.9, 0.85, 0.9, 0.95]
    """

    watches: ClassVar[bool] = False
    peak: Annotated[float, Gt(0), Lt(1)] = 0.3  # share of the run before the highest rate
    div: Annotated[float, Ge(1)] = 25.0
    final_div: Annotated[float, Ge(1)] = 1e4
    low_momentum: Annotated[float, Ge(0), Lt(1)] = 0.85
    high_momentum: Annotated[float, Ge(0), Lt(1)] = 0.95

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, epoch: float, epochs: float) -> float:
        first = 1 / self.div
        return self._cycle(epoch / epochs, first, 1.0, first / self.final_div)

    def momentum(self, epoch: float, epochs: float) -> float:
        """The momentum at a moment of training."""
        high, low = self.high_momentum, self.low_momentum
        return self._cycle(epoch / epochs, high, low, high)

    def _cycle(self, u: float, start: float, middle: float, end: float) -> float:
        if u < self.peak:
            return _half_cosine(u / self.peak, start, middle)
        return _half_cosine(min((u - self.peak) / (1 - self.peak), 1.0), middle, end)


def _half_cosine(share: float, start: float, end: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Multiply the learning rate by a factor whenever the validation loss stops falling.

    Rule: an epoch is good if its loss is below (1 - threshold) times the best so far; after more
    than `patience` epochs in a row that are not, the rate is multiplied by `factor` and the count
    begins anew. So m = factor^(number of such moments), given by `after`; called with an epoch, as
    other schedules are, it answers 1, and the engine multiplies that by `after`.
    Default factor 0.5: the lecture reduces "by 2 (or even 5)". Patience, 5 epochs, must stay well
    below the recipe's own patience, which ends the training. For runs of unknown length; where the
    length is known, Cosine or LinearDecay end better, and noisy validation losses of few rows do
    not fool them. Source: slide "Learning rate" ("Observe the validation accuracy, then try
    reducing"); rule as in PyTorch's ReduceLROnPlateau (relative threshold, no cooldown).

    >>> ReduceOnPlateau(patience=1).after([1.0, 0.5, 0.6, 0.7, 0.4])
    0.5
    >>> ReduceOnPlateau(patience=1)(3.0, 10)
    1.0
    """

    watches: ClassVar[bool] = True
    factor: Annotated[float, Gt(0), Lt(1)] = 0.5
    patience: Annotated[int, Ge(0)] = 5  # epochs
    threshold: Annotated[float, Ge(0), Lt(1)] = 1e-4  # relative

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, epoch: float, epochs: float) -> float:
        return 1.0

    def after(self, losses: Sequence[float]) -> float:
        """The multiplier behind epochs with these validation losses; a NaN is never good."""
        best, bad, multiplier = math.inf, 0, 1.0
        for loss in losses:
            if loss < best * (1 - self.threshold):
                best, bad = loss, 0
            else:
                bad += 1
            if bad > self.patience:
                multiplier, bad = multiplier * self.factor, 0
        return multiplier


# What a warm-up may lead to: everything but another warm-up.
Lasting = (
    Constant
    | StepDecay
    | ExponentialDecay
    | InverseTimeDecay
    | LinearDecay
    | Cosine
    | OneCycle
    | ReduceOnPlateau
)


@dataclass(frozen=True)
class WarmUp:
    """Raise the learning rate in a straight line at the beginning, then follow another schedule.

    Equation: with w the length of the warm-up in epochs, m = (start + (1 - start) e / w) · n(0) for
    e < w, then m = n(e - w), where n is the schedule `then` on a run of epochs - w. The length is
    `share` of the run, or `epochs` where given. Default share 0.05: some hundred steps, in which
    the statistics of Adam and batch norm settle; start 0.1, since from 0 the first steps would do
    nothing. Helps with high rates, large batches and deep networks; small networks at modest rates
    do without. WarmUp(Cosine(), share=w) is Cosine(warmup=w). One warm-up inside another is
    refused. Source: slide "Learning rate"; Goyal et al. 2017.

    >>> warm = WarmUp(then=StepDecay(every=5), epochs=2)
    >>> [round(warm(e, 20), 3) for e in (0, 1, 2, 6.9, 7)]
    [0.1, 0.55, 1.0, 1.0, 0.5]
    """

    then: Lasting = Cosine()
    share: Annotated[float, Gt(0), Le(1)] = 0.05  # of the run
    epochs: Annotated[float, Gt(0)] | None = None  # instead of the share
    start: Annotated[float, Ge(0), Le(1)] = 0.1

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def watches(self) -> bool:
        """Whether the schedule behind the warm-up watches the validation losses."""
        return self.then.watches

    def __call__(self, epoch: float, epochs: float) -> float:
        length = self.share * epochs if self.epochs is None else self.epochs
        rest = max(epochs - length, 1e-9)  # nothing is left where the whole run is a warm-up
        if epoch < length:
            return (self.start + (1 - self.start) * epoch / length) * self.then(0.0, rest)
        return self.then(epoch - length, rest)

    def momentum(self, epoch: float, epochs: float) -> float | None:
        """The momentum at a moment of training, where the schedule behind moves it (OneCycle)."""
        if not isinstance(self.then, OneCycle):
            return None
        length = self.share * epochs if self.epochs is None else self.epochs
        return self.then.momentum(max(epoch - length, 0.0), max(epochs - length, 1e-9))

    def after(self, losses: Sequence[float]) -> float:
        """The multiplier behind epochs with these validation losses; see ReduceOnPlateau."""
        return self.then.after(losses) if isinstance(self.then, ReduceOnPlateau) else 1.0


Schedule = Lasting | WarmUp
