"""Greedy selection of an ensemble, and whether it beats its best member. Slide: "Ensemble".

Blind averaging of unlike networks often loses to the best of them; weights chosen on rows that the
members were not trained on do not, if the choice itself is judged on other rows again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainwell.ensemble.calibrate import scaled, temperatures
from trainwell.ensemble.combine import soft_vote
from trainwell.ensemble.rows import (
    Bools,
    Floats,
    Ints,
    held_out,
    paired,
    parts,
    right_chance,
    row_hits,
    row_losses,
)
from trainwell.errors import UserError
from trainwell.metrics import SMALLEST
from trainwell.stats import Interval

Groups = npt.NDArray[np.integer]
Metric = Literal["log loss", "accuracy"]
Verdict = Literal["kept", "not shown", "worse"]
PATIENCE = 10  # rounds without a lower loss after which selection ends
LEAST = 0.25  # of an equal share: members with less weight are not worth their computation
LEAST_ROWS = 8
REPEATS = 5  # times the rows are halved anew; the average over them depends less on chance


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


@dataclass(frozen=True, eq=False)
class Selection:
    """An ensemble, and what it gains over its best member; called with members, it answers.

    weights, temperatures: (M,), from all rows; weights sum to 1. best: the member with the lowest
    log loss. gain: log loss of the best member minus that of the ensemble; accuracy: accuracy of
    the ensemble minus that of the best member; both measured on rows that taught neither.
    verdict: "kept" (better than the best member), "worse", or "not shown". words: the same as a
    sentence.
    """

    weights: Floats
    temperatures: Floats
    best: int
    gain: Interval
    accuracy: Interval
    verdict: Verdict
    words: str

    def __call__(self, members: Floats) -> Floats:
        """Probabilities (n, C) of the ensemble for members (M, n, C), kept or not."""
        return soft_vote(scaled(members, self.temperatures), self.weights)

    @property
    def advice(self) -> Floats:
        """The weights (M,) to use: the ensemble's if it is kept, else 1 for the best member."""
        if self.verdict == "kept":
            return self.weights
        alone = np.zeros(len(self.weights))
        alone[self.best] = 1.0
        return alone


def greedy(
    members: Floats,
    labels: Ints,
    search: Search | None = None,
    *,
    seed: int = 0,
    groups: Groups | None = None,
) -> Floats:
    """Weights (M,), summing to 1, that make the soft vote's log loss low on these rows.

    In each round the member that lowers the loss of the mean most is added, perhaps again; a
    member's weight is how often it was. The loss of all M candidates is computed at once, from the
    right class's probability alone: M·n logarithms a round. Members below a quarter of an equal
    share are left out. members (M, n, C), labels (n,); groups (n,): drawn whole into a bag.
    Log loss and not accuracy is lowered: accuracy moves in steps of a row and overfits sooner.
    Source: Caruana et al. 2004.
    """
    search = search or Search()
    held, rng = held_out(members), np.random.default_rng(seed)
    chance = np.where(held, right_chance(members, labels), 0.0)
    total = np.zeros(len(members))
    for _ in range(search.bags):
        rows = _bag(len(labels), search.share, groups, rng)
        total += _one_search(chance[:, rows], held[:, rows], search)
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


def _one_search(chance: Floats, held: Bools, search: Search) -> Floats:
    """Share of the rounds that each member was added (M,); chance (M, n), 0 where not held."""
    count = held.astype(np.float64)
    spoken = count.sum(axis=0)
    base = chance.sum(axis=0) / np.maximum(spoken, 1)  # where nobody chosen may judge yet

    def losses(total: Floats, voices: Floats) -> Floats:
        """Mean loss of sums (..., n) of as many voices."""
        p = np.where(voices > 0, total / np.maximum(voices, 1), base)
        found: Floats = -np.log(np.maximum(p, SMALLEST)).mean(axis=-1)
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


def select(
    members: Floats,
    labels: Ints,
    search: Search | None = None,
    *,
    calibrate: bool = True,
    decide: Metric = "log loss",
    repeats: int = REPEATS,
    seed: int = 0,
    groups: Groups | None = None,
) -> Selection:
    """The greedy ensemble, kept only if it beats the best member on rows that did not choose it.

    The weights come from all rows. Their worth does not: the rows are halved (classes shared out
    evenly, `repeats` times anew); each half chooses temperatures, weights and the best member, and
    the other half compares the two, with a BCa interval over its rows, or groups (n,). The gain is
    the mean of these 2·repeats comparisons, the ends of its interval are the medians of theirs: if
    there is nothing to gain each of them lies above 0 in 2.5 % of all cases, and half of them
    together in at most 5 %, however they depend on each other (Meinshausen, Meier and Bühlmann
    2009). Intervals over all rows at once, as if halves that teach each other were independent,
    kept up to 16 % of useless ensembles in simulations. What half the rows choose is a little worse
    than what all choose, so the gain errs on the careful side.
    Networks of single folds are brought together first (`rows.together`), so that each member
    judges nearly every row: one that the best member may not judge counts as no difference.
    calibrate: give each member its temperature first, the best member too. decide: the score whose
    interval must lie above 0, while the other's must not lie below.
    """
    if len(labels) < LEAST_ROWS:
        problem = f"expected at least {LEAST_ROWS} rows to choose and to judge, got {len(labels)}"
        raise UserError("labels", problem, "Predict more rows out of fold.")
    learned = _learn(members, labels, search, calibrate, seed, groups)
    found: list[tuple[Interval, ...]] = [(Interval(0.0, 0.0, 0.0),) * 2]
    if len(members) > 1:
        found = []
        for repeat in range(repeats):
            half = parts(labels, 2, seed + repeat, groups)
            for side in (0, 1):
                a, b = half != side, half == side
                known, judging = (None, None) if groups is None else (groups[a], groups[b])
                own = _learn(members[:, a], labels[a], search, calibrate, seed + repeat, known)
                better = _compared(own, members[:, b], labels[b])
                found.append(paired(better, seed + repeat, judging))
    gain, accuracy = (_medians(each) for each in zip(*found, strict=True))
    verdict = _verdict(gain, accuracy, decide)
    weights, heat, best = learned
    words = _words(weights, best, gain, accuracy, verdict)
    return Selection(weights, heat, best, gain, accuracy, verdict, words)


def _learn(
    members: Floats,
    labels: Ints,
    search: Search | None,
    calibrate: bool,
    seed: int,
    groups: Groups | None,
) -> tuple[Floats, Floats, int]:
    """Weights (M,), temperatures (M,) and the best member by these rows."""
    held = held_out(members)
    heat = temperatures(members, labels) if calibrate else np.ones(len(members))
    warm = scaled(members, heat)
    loss = np.where(held, row_losses(warm, labels), 0.0).sum(axis=1) / np.maximum(held.sum(1), 1)
    best = int(np.where(held.any(axis=1), loss, np.inf).argmin())
    return greedy(warm, labels, search, seed=seed, groups=groups), heat, best


def _compared(learned: tuple[Floats, Floats, int], members: Floats, labels: Ints) -> Floats:
    """By row (n, 2): log loss saved and hits won by the ensemble; 0 where the best is silent."""
    weights, heat, best = learned
    warm = scaled(members, heat)
    ensemble, alone = soft_vote(warm, weights), warm[best]
    saved = row_losses(alone, labels) - row_losses(ensemble, labels)
    won = row_hits(ensemble, labels) - row_hits(alone, labels)
    return np.nan_to_num(np.stack([saved, won], axis=1), nan=0.0)


def _medians(found: Sequence[Interval]) -> Interval:
    """The mean of the values, and the medians of the ends; of two in the middle the outer one."""
    value = float(np.mean([i.value for i in found]))
    low = float(np.quantile([i.low for i in found], 0.5, method="lower"))
    high = float(np.quantile([i.high for i in found], 0.5, method="higher"))
    return Interval(value, min(low, value), max(high, value))


def _verdict(gain: Interval, accuracy: Interval, decide: Metric) -> Verdict:
    first, second = (gain, accuracy) if decide == "log loss" else (accuracy, gain)
    if first.low > 0 and second.high >= 0:
        return "kept"
    return "worse" if first.high < 0 else "not shown"


def _words(weights: Floats, best: int, gain: Interval, accuracy: Interval, verdict: Verdict) -> str:
    used = int((weights > 0).sum())
    if len(weights) == 1:
        return "one network, nothing to choose from"
    said = {
        "kept": "beats its best member",
        "worse": "is worse than its best member",
        "not shown": "is not shown to beat its best member",
    }[verdict]
    points = f"{100 * accuracy.value:+.2f} [{100 * accuracy.low:+.2f}, {100 * accuracy.high:+.2f}]"
    loss = f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
    advice = "keep the ensemble" if verdict == "kept" else f"keep member {best} alone"
    return (
        f"the weighted mean of {used} of {len(weights)} networks {said} on rows that chose "
        f"neither: log loss lower by {loss}, accuracy {points} points; {advice}"
    )
