"""Temperature scaling: one number that makes probabilities as sure as they are right.

Over-confident members shout down the others in a soft vote; a temperature per member makes their
voices comparable (slide "Ensemble"). It is learned on rows that the member was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trainwell.ensemble.rows import Floats, Ints, held_out
from trainwell.metrics import SMALLEST

COLDEST, HOTTEST = 0.05, 20.0  # temperatures
STEPS = 60  # of Newton or bisection, at most; 60 halvings reach any precision


def temperature(
    probabilities: Floats, labels: Ints, prior: float = 1.0, weights: Floats | None = None
) -> float:
    """The T > 0 for which softmax(ln p / T) has the lowest log loss; p (n, C), labels (n,).

    T > 1: the probabilities were too sure. The loss is convex in b = 1/T; its slope Σ_c q_c z_c -
    z_y (z = ln p, q the scaled probabilities) is brought to 0 by Newton steps that fall back to
    bisection inside [0.05, 20].
    prior: that many rows that say nothing (each class equally right) are added, at the average
    row's z. Without one, rows that are all right would make any doubt vanish (T → 0).
    weights (n,): what each row counts; None: all alike.
    Source: Guo et al. 2017; the prior as in Platt 1999.

    >>> p = np.array([[0.9, 0.1]] * 10)
    >>> round(temperature(p, np.array([0] * 6 + [1] * 4), prior=0), 2)  # right in 6 of 10
    5.42
    """
    z = _logs(probabilities)
    own = z[np.arange(len(labels)), labels]
    share = prior / (len(labels) + prior)
    w = None if weights is None else weights / weights.mean()

    def average(values: Floats) -> float:
        return float((values if w is None else w * values).mean())

    def slopes(b: float) -> tuple[float, float]:
        """First and second derivative of the loss by b."""
        q = np.exp(b * z)
        q /= q.sum(axis=1, keepdims=True)
        mean = (q * z).sum(axis=1)
        second = average((q * z**2).sum(axis=1) - mean**2)
        first = (1 - share) * (mean - own) + share * (mean - z.mean(axis=1))
        return average(first), second

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slopes(low)[0] >= 0:
        return HOTTEST if float(np.ptp(z)) > 0 else 1.0  # equal chances: no T changes them
    if slopes(high)[0] <= 0:
        return COLDEST
    b = 1.0
    for _ in range(STEPS):
        first, second = slopes(b)
        low, high = (b, high) if first < 0 else (low, b)
        moved = b - first / second if second > 0 else low
        if not low < moved < high:
            moved = (low + high) / 2
        if abs(moved - b) <= 1e-10 * b:
            return 1 / moved
        b = moved
    return 1 / b


def scaled(probabilities: Floats, by: npt.ArrayLike) -> Floats:
    """Probabilities p^(1/T) / Σ p^(1/T), shape (..., C) as given; nan stays nan.

    by: T > 0, one number, or one per member (M,) for members (M, n, C). The order of the classes
    stays as it was, so no T changes which class is predicted.

    >>> scaled(np.array([[0.9, 0.1]]), 2.0).round(2).tolist()
    [[0.75, 0.25]]
    """
    t = np.asarray(by, np.float64)
    if not (t > 0).all():
        raise ValueError(f"temperatures must be > 0, got {t}")
    z = _logs(probabilities) / t.reshape(t.shape + (1,) * (probabilities.ndim - t.ndim))
    e = np.exp(z)
    found: Floats = e / e.sum(axis=-1, keepdims=True)
    return found


def temperatures(
    members: Floats,
    labels: Ints,
    prior: float = 1.0,
    kinds: Sequence[int] | None = None,
    weights: Floats | None = None,
) -> Floats:
    """The temperature of each member (M,), from the rows that it may judge; members (M, n, C).

    weights (n,): what each row counts; None: all alike.
    kinds: where several networks are one member, the member of each network, numbers from 0; found
    is then one temperature per kind, from all rows of its networks.
    """
    held = held_out(members)
    own = np.arange(len(members)) if kinds is None else np.asarray(kinds)
    found = np.ones(int(own.max()) + 1)
    for g in range(len(found)):
        which = np.flatnonzero((own == g) & held.any(axis=1))
        if len(which):
            p = np.concatenate([members[m, held[m]] for m in which])
            truth = np.concatenate([labels[held[m]] for m in which])
            own_rows = None
            if weights is not None:
                own_rows = np.concatenate([weights[held[m]] for m in which])
            found[g] = temperature(p, truth, prior, own_rows)
    return found


def _logs(probabilities: Floats) -> Floats:
    """ln p less the largest of each row, p clipped at 1e-15."""
    z = np.log(np.clip(np.asarray(probabilities, np.float64), SMALLEST, 1.0))
    found: Floats = z - z.max(axis=-1, keepdims=True)
    return found
