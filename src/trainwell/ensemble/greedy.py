"""Greedy selection of an ensemble's weights. Slide: "Ensemble".

Blind averaging of unlike networks often loses to the best of them; weights chosen on rows that the
members were not trained on do not, if the choice itself is judged on other rows again (`select`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.ensemble.rows import Bools, Floats, Ints, held_out, right_chance
from trainwell.metrics import SMALLEST

Groups = npt.NDArray[np.integer]
PATIENCE = 10  # rounds without a lower loss after which selection ends
LEAST = 0.25  # of an equal share: members with less weight are not worth their computation


@dataclass(frozen=True)
class Search:
    """How `greedy` searches.

    rounds: members added, with replacement, at most. bags: repetitions on `share` of the rows each,
    whose weights are averaged: one search alone fits the accidents of its rows. start: the search
    begins with the best 1..start members, as many of them as are best together.
    Source: Caruana et al. 2004, Ensemble selection from libraries of models.
    """

    rounds: int = 50
    bags: int = 10
    share: float = 0.5
    start: int = 5


def greedy(
    members: Floats,
    labels: Ints,
    search: Search | None = None,
    *,
    seed: int = 0,
    groups: Groups | None = None,
    row_weights: Floats | None = None,
) -> Floats:
    """Weights (M,), summing to 1, that make the soft vote's log loss low on these rows.

    In each round the member that lowers the loss of the mean most is added, perhaps again; a
    member's weight is how often it was. The loss of all M candidates is computed at once, from the
    right class's probability alone: M·n logarithms a round. Members below a quarter of an equal
    share are left out. members (M, n, C), labels (n,); groups (n,): drawn whole into a bag;
    row_weights (n,): what each row counts in the loss, None: all alike.
    Log loss and not accuracy is lowered: accuracy moves in steps of a row and overfits sooner.
    Source: Caruana et al. 2004.
    """
    search = search or Search()
    held, rng = held_out(members), np.random.default_rng(seed)
    chance = np.where(held, right_chance(members, labels), 0.0)
    total = np.zeros(len(members))
    for _ in range(search.bags):
        rows = _bag(len(labels), search.share, groups, rng)
        own = None if row_weights is None else row_weights[rows]
        total += _one_search(chance[:, rows], held[:, rows], search, own)
    weights = total / total.sum()
    weights[weights < LEAST / len(weights)] = 0.0
    found: Floats = weights / weights.sum()
    return found


def _bag(n: int, share: float, groups: Groups | None, rng: np.random.Generator) -> Ints:
    """Rows of one bag, without replacement."""
    if groups is None:
        rows: Ints = rng.permutation(n)[: max(1, round(share * n))]
        return rows
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    taken = np.zeros(count, np.bool_)
    taken[rng.permutation(count)[: max(1, round(share * count))]] = True
    return np.flatnonzero(taken[member])


def _one_search(chance: Floats, held: Bools, search: Search, weights: Floats | None) -> Floats:
    """Share of the rounds that each member was added (M,); chance (M, n), 0 where not held."""
    count = held.astype(np.float64)
    spoken = count.sum(axis=0)
    base = chance.sum(axis=0) / np.maximum(spoken, 1)  # where nobody chosen may judge yet

    def losses(total: Floats, voices: Floats) -> Floats:
        """Mean loss of sums (..., n) of as many voices."""
        p = np.where(voices > 0, total / np.maximum(voices, 1), base)
        each = -np.log(np.maximum(p, SMALLEST))
        found: Floats = (each if weights is None else weights * each).mean(axis=-1)
        return found

    ranked = np.argsort(losses(chance, count), kind="stable")[: search.start]
    first = losses(chance[ranked].cumsum(axis=0), count[ranked].cumsum(axis=0))
    begun = ranked[: int(first.argmin()) + 1]
    added = np.bincount(begun, minlength=len(chance)).astype(np.float64)
    total, voices = chance[begun].sum(axis=0), count[begun].sum(axis=0)
    best, lowest, waited = added.copy(), float(first.min()), 0
    for _ in range(search.rounds):
        found = losses(total + chance, voices + count)
        m = int(found.argmin())
        added[m] += 1
        total, voices = total + chance[m], voices + count[m]
        waited += 1
        if found[m] < lowest - 1e-12:
            best, lowest, waited = added.copy(), float(found[m]), 0
        if waited >= PATIENCE:
            break
    share: Floats = best / best.sum()
    return share
