"""Greedy selection of an ensemble, and whether it beats its best member. Slide: "Ensemble".

Blind averaging of unlike networks often loses to the best of them; weights chosen on rows that the
members were not trained on do not, if the choice itself is judged on other rows again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    together,
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
    sentence. kinds: where several networks are one member, the member of each network.
    """

    weights: Floats
    temperatures: Floats
    best: int
    gain: Interval
    accuracy: Interval
    verdict: Verdict
    words: str
    kinds: tuple[int, ...] | None = None

    def __call__(self, members: Floats) -> Floats:
        """Probabilities (n, C) of the ensemble for members (M, n, C), kept or not."""
        return soft_vote(self.voices(members), self.weights)

    def voices(self, members: Floats) -> Floats:
        """The members (M, n, C) as the vote hears them: scaled, networks of a kind together."""
        return _voices(members, self.temperatures, self.kinds)

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
    kinds: Sequence[int] | None = None,
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
    interval must lie above 0, while the other's must not lie below. kinds: where several networks
    (other seeds, say) are one member, the member of each network, numbers from 0: a kind has one
    temperature, learned from its networks one by one, and speaks with their mean.
    """
    if len(labels) < LEAST_ROWS:
        problem = f"expected at least {LEAST_ROWS} rows to choose and to judge, got {len(labels)}"
        raise UserError("labels", problem, "Predict more rows out of fold.")
    together_as = None if kinds is None else tuple(int(k) for k in kinds)
    count = len(members) if together_as is None else max(together_as) + 1

    def learn(rows: Bools, seed: int) -> _Learned:
        known = None if groups is None else groups[rows]
        own, truth = members[:, rows], labels[rows]
        return _learn(own, truth, search, calibrate, seed, known, together_as)

    weights, heat, best = learn(np.ones(len(labels), np.bool_), seed)
    gain = accuracy = Interval(0.0, 0.0, 0.0)
    if count > 1:

        def better(teach: Bools, seed: int) -> Floats:
            weights, heat, best = learn(teach, seed)
            warm = _voices(members[:, ~teach], heat, together_as)
            return _compared(soft_vote(warm, weights), warm[best], labels[~teach])

        gain, accuracy = _halved(better, labels, groups, repeats, seed)
    verdict = _verdict(gain, accuracy, decide)
    words = _words(weights, best, gain, accuracy, verdict)
    return Selection(weights, heat, best, gain, accuracy, verdict, words, together_as)


_Learned = tuple[Floats, Floats, int]  # weights (G,), temperatures (G,), the best member


def _voices(members: Floats, heat: Floats, kinds: tuple[int, ...] | None) -> Floats:
    """What each member says (G, n, C): scaled, networks (M, n, C) of a kind together."""
    if kinds is None:
        return scaled(members, heat)
    return together(scaled(members, heat[list(kinds)]), kinds)


def _learn(
    members: Floats,
    labels: Ints,
    search: Search | None,
    calibrate: bool,
    seed: int,
    groups: Groups | None,
    kinds: tuple[int, ...] | None,
) -> _Learned:
    """Weights (G,), temperatures (G,) and the best member by these rows."""
    count = len(members) if kinds is None else max(kinds) + 1
    heat = np.ones(count)
    if calibrate:
        heat = temperatures(members, labels, kinds=kinds)
    warm = _voices(members, heat, kinds)
    best = _lowest(warm, labels)
    return greedy(warm, labels, search, seed=seed, groups=groups), heat, best


def _lowest(warm: Floats, labels: Ints) -> int:
    """The member with the lowest log loss on the rows that it may judge."""
    held = held_out(warm)
    loss = np.where(held, row_losses(warm, labels), 0.0).sum(axis=1) / np.maximum(held.sum(1), 1)
    return int(np.where(held.any(axis=1), loss, np.inf).argmin())


def _compared(one: Floats, other: Floats, labels: Ints) -> Floats:
    """By row (n, 2): log loss saved and hits won by `one` (n, C); 0 where the other is silent."""
    saved = row_losses(other, labels) - row_losses(one, labels)
    won = row_hits(one, labels) - row_hits(other, labels)
    return np.nan_to_num(np.stack([saved, won], axis=1), nan=0.0)


def _halved(
    better: Callable[[Bools, int], Floats],
    labels: Ints,
    groups: Groups | None,
    repeats: int,
    seed: int,
) -> tuple[Interval, Interval]:
    """Log loss saved and accuracy gained on rows that taught nothing, over halves of the rows.

    better: what is gained by row (m, 2), in order, on the rows that did not teach (n,).
    """
    found: list[tuple[Interval, ...]] = []
    for repeat in range(repeats):
        half = parts(labels, 2, seed + repeat, groups)
        for side in (0, 1):
            judging = None if groups is None else groups[half == side]
            found.append(paired(better(half != side, seed + repeat), seed + repeat, judging))
    gain, accuracy = (_medians(each) for each in zip(*found, strict=True))
    return gain, accuracy


@dataclass(frozen=True)
class Winner:
    """The best member, and what it gains over the one that it would replace; as in Selection."""

    best: int
    gain: Interval
    accuracy: Interval
    verdict: Verdict


def best_against(
    members: Floats,
    labels: Ints,
    reference: int = 0,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
    groups: Groups | None = None,
    kinds: Sequence[int] | None = None,
) -> Winner:
    """Whether the member with the lowest log loss beats the one that it would replace.

    The best of several looks better than it is; so each half of the rows names the best, and the
    other half compares it with `reference`. Arguments and intervals as for `select`.
    """
    together_as = None if kinds is None else tuple(int(k) for k in kinds)

    def best_of(rows: Bools) -> tuple[Floats, int]:
        heat = temperatures(members[:, rows], labels[rows], kinds=together_as)
        return heat, _lowest(_voices(members[:, rows], heat, together_as), labels[rows])

    def better(teach: Bools, seed: int) -> Floats:
        heat, best = best_of(teach)
        warm = _voices(members[:, ~teach], heat, together_as)
        return _compared(warm[best], warm[reference], labels[~teach])

    gain, accuracy = _halved(better, labels, groups, repeats, seed)
    _, best = best_of(np.ones(len(labels), np.bool_))
    return Winner(best, gain, accuracy, _verdict(gain, accuracy, "log loss"))


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
