"""Combinations of members: soft vote, majority vote, log-odds weights, stacking. Slide: "Ensemble".

Members (M, n, C) are probabilities, nan in the rows that a member was trained on; every function
uses for each row the members that may judge it. Weights (M,) are ≥ 0 and need not sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.ensemble.rows import (
    Bools,
    Floats,
    Ints,
    filled,
    held_out,
    row_hits,
)
from trainwell.errors import UserError

TIE = 1e-9  # votes that differ by less are equal
FLOOR = 1e-6  # probabilities below this count as this much in a stack's inputs


def soft_vote(members: Floats, weights: npt.ArrayLike | None = None) -> Floats:
    """Weighted mean of the members' probabilities (n, C).

    p_i = Σ_m w_m p_mi / Σ_m w_m over the members m that may judge row i. weights: None for equal
    ones. Where all members that may judge a row have weight 0, they count equally: a row must
    get an answer. "The results seem good (better than any single model)" (slide "Ensemble").
    Source: Krogh and Vedelsby 1995: its squared error is the mean member's less their spread.

    >>> soft_vote(np.array([[[0.9, 0.1]], [[0.5, 0.5]]]), [3, 1]).round(3).tolist()
    [[0.8, 0.2]]
    """
    held = held_out(members)
    share = _shares(held, weights)
    found: Floats = np.einsum("mn,mnc->nc", share, np.where(held[..., None], members, 0.0))
    return found


def votes(members: Floats, weights: npt.ArrayLike | None = None) -> Floats:
    """Share of the votes (n, C) that each class gets; a member votes for its most probable one.

    weights: as for `soft_vote`.

    >>> votes(np.array([[[0.9, 0.1]], [[0.6, 0.4]], [[0.2, 0.8]]])).round(3).tolist()
    [[0.667, 0.333]]
    """
    held = held_out(members)
    share, classes = _shares(held, weights), members.shape[2]
    choice = np.where(held[..., None], members, 0.0).argmax(axis=2)
    found = np.zeros(members.shape[1:])
    for c in range(classes):
        found[:, c] = (share * (choice == c)).sum(axis=0)
    return found


def majority_vote(members: Floats, weights: npt.ArrayLike | None = None) -> Ints:
    """The class (n,) with most votes; ties go to the one of them with the highest mean probability.

    weights: as for `soft_vote`; the mean that breaks ties uses them too. Its accuracy for
    independent voters that are right with .90, .88 and .80 is .9488; with errors that lie on each
    other it may be .79 (slide "Ensemble": "93% with 90%, 88% and 80% classifiers").

    >>> majority_vote(np.array([[[0.9, 0.1]], [[0.6, 0.4]], [[0.0, 1.0]]])).tolist()
    [0]
    """
    found = votes(members, weights)
    tied = found >= found.max(axis=1, keepdims=True) - TIE
    best: Ints = np.where(tied, soft_vote(members, weights), -1.0).argmax(axis=1)
    return best


def log_odds(errors: npt.ArrayLike, classes: int) -> Floats:
    """Weights (M,) by the members' error rates: w = ln((1 - e)(C - 1) / e), at least 0.

    The weights of AdaBoost for C classes. They are best for a weighted majority vote whose voters
    err independently; a weaker member keeps a smaller weight, one no better than chance has none.
    errors: in (0, 1), see `log_odds_weights`. Source: Zhu et al. 2009 (SAMME).

    >>> log_odds([0.10, 0.12, 0.20], classes=2).round(2).tolist()
    [2.2, 1.99, 1.39]
    """
    e = np.asarray(errors, np.float64)
    if ((e <= 0) | (e >= 1)).any():
        raise UserError("errors", "expected rates in (0, 1)", "Use log_odds_weights on rows.")
    found: Floats = np.maximum(np.log((1 - e) * (classes - 1) / e), 0.0)
    return found


def log_odds_weights(members: Floats, labels: Ints) -> Floats:
    """Log-odds weights (M,) from the rows that each member may judge; labels (n,).

    e = (wrong + ½) / (rows + 1), so that a member without an error has a finite weight. Where no
    member is better than chance all weigh 1.
    """
    held = held_out(members)
    wrong = (held & (row_hits(members, labels) == 0)).sum(axis=1)
    found = log_odds((wrong + 0.5) / (held.sum(axis=1) + 1), members.shape[2])
    return found if found.any() else np.ones(len(members))


@dataclass(frozen=True, eq=False)
class Stack:
    """What `fit_stack` learned: multinomial logistic regression on the members' log-probabilities.

    Called with members (M, n, C) it gives probabilities (n, C).
    """

    weights: Floats  # (M·C, C)
    bias: Floats  # (C,)
    around_mean: bool

    def __call__(self, members: Floats) -> Floats:
        """Probabilities (n, C) for members (M, n, C)."""
        x, mean = _stack_inputs(members)
        z = x @ self.weights + self.bias + (mean if self.around_mean else 0.0)
        return _softmax(z)


def fit_stack(
    members: Floats, labels: Ints, strength: float = 0.1, around_mean: bool = True
) -> Stack:
    """Learn a second classifier on the members' outputs; labels (n,).

    Minimises (1/n) Σ_i -ln softmax(x_i W + b + o_i)[y_i] + (strength / 2) ‖W‖² by L-BFGS. x_i are
    the members' log-probabilities, each member's centred over the classes (M·C numbers); holes are
    filled by the row's other members. around_mean: o_i is their mean, so that strong
    regularisation leads to the members' geometric mean, and not to no answer at all; False: o = 0,
    plain logistic regression. strength: strong by default, since M·C² numbers are learned from n
    rows. A stack needs more rows than weights do: score it with `cross_fitted` only.
    Source: Wolpert 1992, Stacked generalization.
    """
    from scipy.optimize import minimize

    x, mean = _stack_inputs(members)
    offset = mean if around_mean else np.zeros_like(mean)
    n, inputs, classes = len(labels), x.shape[1], mean.shape[1]
    target = np.eye(classes)[labels]

    def loss(flat: Floats) -> tuple[float, Floats]:
        w, b = flat[: inputs * classes].reshape(inputs, classes), flat[inputs * classes :]
        p = _softmax(x @ w + b + offset)
        value = -np.log(np.maximum((p * target).sum(axis=1), 1e-300)).mean()
        slope = (p - target) / n
        gradient = np.concatenate([(x.T @ slope + strength * w).ravel(), slope.sum(axis=0)])
        return float(value + strength / 2 * (w**2).sum()), gradient

    start = np.zeros((inputs + 1) * classes)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    w, b = best[: inputs * classes].reshape(inputs, classes), best[inputs * classes :]
    return Stack(w, b, around_mean)


def _shares(held: Bools, weights: npt.ArrayLike | None) -> Floats:
    """What each member counts in each row (M, n); columns sum to 1."""
    w = np.ones(len(held)) if weights is None else np.asarray(weights, np.float64)
    if w.shape != (len(held),) or not (w >= 0).all() or not np.isfinite(w).all():
        problem = f"expected {len(held)} finite numbers ≥ 0, one per member, got {w}"
        raise UserError("weights", problem, "Leave them out for equal weights.")
    share = w[:, None] * held
    total = share.sum(axis=0)
    share = np.where(total > 0, share, held)
    found: Floats = share / share.sum(axis=0)
    return found


def _stack_inputs(members: Floats) -> tuple[Floats, Floats]:
    """Centred log-probabilities (n, M·C) and their mean over the members (n, C)."""
    logs = np.log(np.clip(filled(members), FLOOR, 1.0))
    logs -= logs.mean(axis=2, keepdims=True)
    return logs.transpose(1, 0, 2).reshape(logs.shape[1], -1), logs.mean(axis=0)


def _softmax(z: Floats) -> Floats:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    found: Floats = e / e.sum(axis=1, keepdims=True)
    return found
