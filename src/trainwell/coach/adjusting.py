"""How far outputs are moved towards equal classes: the direction is proved, the step estimated.

Dividing a network's probabilities by the classes' shares to the power τ (`LogitAdjust`) needs no
training, and leaves one question that few rows can answer. With two rows of a class, decisions say
nothing; how probable the right class was says more. Its mean, each class with the same weight, is
the balanced accuracy to be expected of somebody who answers by these chances (at the temperature
with the lowest log loss). Does a first small step towards equal classes raise it? A small step
makes few rows worse, so that its direction shows where a whole one's does not; and outputs that
know only the shares gain nothing by it.

How far to go is then read off the balanced log loss: half of the way, or to τ = 1, which aims at
the balanced error where probabilities are right (Menon et al. 2021). Timid probabilities (label
smoothing) would be moved too far by τ = 1; the loss shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainwell.ensemble.calibrate import scaled, temperature
from trainwell.stats import Array
from trainwell.swaps import Floats, balanced_losses, class_sizes, flip_test


@dataclass(frozen=True)
class Adjustment:
    """The step with the lowest balanced log loss on held-out rows, and the p of its direction.

    tau: 0 where standing still is best. gain: of the expected balanced accuracy, to that step.
    """

    tau: float
    gain: float
    p: float

    def words(self, decided: float) -> str:
        """What was found, for the decision log. decided: the gain of the decisions themselves.

        >>> Adjustment(1.0, 0.043, 0.0004).words(0.012)
        'right classes get +4.3 points of probability, each class counting alike (direction: \
p = 0.0004); decisions +1.2 points'
        """
        return (
            f"right classes get {100 * self.gain:+.1f} points of probability, each class counting "
            f"alike (direction: p = {self.p:.2g}); decisions {100 * decided:+.1f} points"
        )


def adjustment(
    labels: Array, said: Mapping[float, Floats], groups: Array | None = None
) -> Adjustment:
    """The step towards equal classes that held-out rows ask for.

    labels (N,); said: of each τ that was tried the chances (N, C), of 0 the plain ones; groups
    (N,): rows of one group are no independent evidence.

    >>> y = np.repeat([0, 1], [90, 10])
    >>> common = np.where(np.arange(100) < 90, 0.95, 0.6)  # rare rows look a little less common
    >>> plain = np.stack([common, 1 - common], axis=1)
    >>> moved = plain / np.array([0.9, 0.1])
    >>> adjustment(y, {0.0: plain, 1.0: moved / moved.sum(axis=1, keepdims=True)}).tau
    1.0
    """
    y = np.asarray(labels, np.int64)
    losses = {tau: float(balanced_losses(y, p).sum()) for tau, p in said.items()}
    tau = min(losses, key=lambda t: (losses[t], t))
    heat = temperature(said[0.0], y)
    before, after = (scaled(said[t], heat)[np.arange(len(y)), y] for t in (0.0, tau))
    gain = float(((after - before) / class_sizes(y)).sum())
    return Adjustment(tau, gain, direction_test(y, scaled(said[0.0], heat), groups))


def direction_test(labels: Array, probabilities: Array, groups: Array | None = None) -> float:
    """p of a first step towards equal classes: does it raise the expected balanced accuracy?

    That is Σ_i w_i p_i(y_i), w_i = 1 / (n_y C); its slope along p_c / π_c^τ is, at τ = 0,
    Σ_i w_i p_i(y_i) (Σ_c p_i(c) log π_c - log π_y). The signs of the rows' parts are flipped
    (`flip_test`); a slope that is not upwards gives 1. Rare rows pull one way and common ones the
    other whatever is true, which makes the test careful: it errs less often than its p says.
    Source: Rao 1948 (score test).

    >>> y = np.repeat([0, 1], [90, 10])
    >>> direction_test(y, np.tile([0.9, 0.1], (100, 1)))  # it knows the shares and nothing else
    1.0
    """
    y, p = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
    counts = np.bincount(y, minlength=p.shape[1])
    logs = np.log(np.maximum(counts, 0.5) / counts.sum())
    slope = p[np.arange(len(y)), y] * (p @ logs - logs[y]) / class_sizes(y)
    return flip_test(slope, groups) if slope.sum() > 1e-9 else 1.0


def expected_gain(labels: Array, before: Floats, after: Floats) -> Floats:
    """What each row (N,) adds to the gain of the expected balanced accuracy, from chances (N, C).

    before: of the plain recipe, taken at the temperature with the lowest log loss; after: of a
    remedy, which may aim at even classes, at that with the lowest balanced log loss. Where nothing
    can be known, both expect 1 / C, however differently they say so.

    >>> y = np.repeat([0, 1], [90, 10])
    >>> guess, even = np.tile([0.9, 0.1], (100, 1)), np.full((100, 2), 0.5)
    >>> bool(abs(expected_gain(y, guess, even).sum()) < 1e-9)
    True
    """
    y = np.asarray(labels, np.int64)
    weights, rows = 1 / class_sizes(y), np.arange(len(y))
    plain = scaled(before, temperature(before, y))[rows, y]
    moved = scaled(after, temperature(after, y, weights=weights))[rows, y]
    return np.asarray(weights * (moved - plain))
