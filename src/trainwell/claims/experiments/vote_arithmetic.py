"""What a majority of three classifiers with given accuracies can reach: exact numbers.

Independent errors, the worst and the best case over all joint distributions, and the common part of
the errors (the correlation of what decides, in a one-factor model) at which the majority is exactly
as good as the lecture says. A majority of three that is right counts as right; with more than two
classes a tie of three different words can only add to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from trainwell.claims.rules import Measured
from trainwell.claims.trials import Setup


def run(setup: Setup) -> Measured:
    """Shares of right majorities; the correlation that gives the lecture's number."""
    settings = setup.claim.settings
    accuracies = [float(a) for a in settings["accuracies"]]
    alone = np.ones(setup.size.repetitions)
    least, most = bounds(accuracies)
    values = {
        "best single": max(accuracies),
        "independent": independent(accuracies),
        "at least": least,
        "at most": most,
        "half in common": one_factor(accuracies, 0.5),
    }
    common = correlation_for(accuracies, float(settings["together"]))
    return Measured(
        {
            "share": {name: v * alone for name, v in values.items()},
            "correlation": {"of the errors": common * alone},
        }
    )


def independent(accuracies: Sequence[float]) -> float:
    """The share of rows on which most of the members are right, if errors are independent.

    >>> round(independent([0.9, 0.88, 0.8]), 4)
    0.9488
    """
    total = 0.0
    for right in itertools.product((0, 1), repeat=len(accuracies)):
        if 2 * sum(right) > len(accuracies):
            each = [a if r else 1 - a for a, r in zip(accuracies, right, strict=True)]
            total += float(np.prod(each))
    return total


def bounds(accuracies: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest share over all ways in which errors may go together.

    A linear programme over the 2^M patterns of who is right.

    >>> [round(b, 4) for b in bounds([0.9, 0.88, 0.8])]
    [0.79, 1.0]
    """
    from scipy.optimize import linprog

    patterns = np.array(list(itertools.product((0, 1), repeat=len(accuracies))), dtype=float)
    won = (2 * patterns.sum(axis=1) > len(accuracies)).astype(float)
    equal = np.vstack([patterns.T, np.ones(len(patterns))])
    given = np.r_[np.asarray(accuracies, dtype=float), 1.0]
    ends = [linprog(sign * won, A_eq=equal, b_eq=given, bounds=(0, 1)).x @ won for sign in (1, -1)]
    return float(ends[0]), float(ends[1])


def one_factor(accuracies: Sequence[float], correlation: float) -> float:
    """The share where a member is right when √ρ z + √(1-ρ) e_i < Φ⁻¹(a_i), z common, e_i its own.

    >>> round(one_factor([0.9, 0.88, 0.8], 0.0), 4)
    0.9488
    """
    from scipy.special import ndtr, ndtri

    z = np.linspace(-8, 8, 2001)
    weight = np.exp(-0.5 * z**2)
    weight /= weight.sum()
    each = [
        ndtr((ndtri(a) - np.sqrt(correlation) * z) / np.sqrt(1 - correlation)) for a in accuracies
    ]
    total = np.zeros_like(z)
    for right in itertools.product((0, 1), repeat=len(accuracies)):
        if 2 * sum(right) > len(accuracies):
            total += np.prod([p if r else 1 - p for p, r in zip(each, right, strict=True)], axis=0)
    return float(weight @ total)


def correlation_for(accuracies: Sequence[float], share: float) -> float:
    """The correlation at which the majority reaches a share, by halving; 0 where it is below.

    >>> round(one_factor([0.9, 0.88, 0.8], correlation_for([0.9, 0.88, 0.8], 0.93)), 4)
    0.93
    """
    low, high = 0.0, 0.999
    for _ in range(40):
        middle = (low + high) / 2
        if one_factor(accuracies, middle) > share:
            low = middle
        else:
            high = middle
    return (low + high) / 2
