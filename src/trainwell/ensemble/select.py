"""Whether a greedily selected ensemble beats its best member. Slide: "Ensemble".

The choice is judged on rows that it was not made on: what halves of the rows choose is compared on
the other halves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainwell.ensemble.calibrate import scaled, temperatures
from trainwell.ensemble.combine import soft_vote
from trainwell.ensemble.greedy import Search, greedy
from trainwell.ensemble.measures import (
    Measure,
    equal_rows,
    measure_of,
    row_gains,
    row_weights,
    share_of,
    weighs_classes,
)
from trainwell.ensemble.rows import (
    Bools,
    Floats,
    Ints,
    held_out,
    paired,
    parts,
    row_losses,
    together,
)
from trainwell.ensemble.wording import SHARES, change_of_loss, points
from trainwell.errors import UserError
from trainwell.metrics import Metric
from trainwell.paired import no_narrower
from trainwell.stats import Interval

Groups = npt.NDArray[np.integer]
Verdict = Literal["kept", "not shown", "worse"]
LEAST_ROWS = 8
REPEATS = 5  # times the rows are halved anew; the average over them depends less on chance


@dataclass(frozen=True, eq=False)
class Selection:
    """An ensemble, and what it gains over its best member; called with members, it answers.

    weights, temperatures: (M,), from all rows; weights sum to 1. best: the member with the lowest
    log loss. gain: log loss of the best member minus that of the ensemble; share: accuracy (or what
    `metric` says in its place) of the ensemble minus that of the best member; both measured on rows
    that taught neither. verdict: "kept" (better than the best member), "worse", or "not shown", by
    the measure that `decided`. words: the same as a sentence. kinds: where several networks are one
    member, the member of each network. metric: see `select`.
    """

    weights: Floats
    temperatures: Floats
    best: int
    gain: Interval
    share: Interval
    verdict: Verdict
    words: str
    kinds: tuple[int, ...] | None = None
    metric: Metric = "accuracy"
    decided: Measure = "log loss"

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


def select(
    members: Floats,
    labels: Ints,
    search: Search | None = None,
    *,
    calibrate: bool = True,
    metric: Metric = "accuracy",
    decide: Measure | None = None,
    reference: int | None = None,
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
    calibrate: give each member its temperature first, the best member too. metric: what the whole
    is judged by. With balanced accuracy and macro F1 each class has the same say in the log loss
    that weights and temperatures lower, too (`measures`). decide: the measure whose interval must
    lie above 0, while the other's must not lie below; None: the share where classes have the same
    say, since the shares of classes move log loss and decisions apart, else log loss, which has
    more to say about few rows. reference: a member that the ensemble must be shown to beat besides
    the best. kinds: where several networks (other seeds, say) are one member, the member of each
    network, numbers from 0: a kind has one temperature, learned from its networks one by one, and
    speaks with their mean.
    """
    if len(labels) < LEAST_ROWS:
        problem = f"expected at least {LEAST_ROWS} rows to choose and to judge, got {len(labels)}"
        raise UserError("labels", problem, "Predict more rows out of fold.")
    together_as = None if kinds is None else tuple(int(k) for k in kinds)
    count = len(members) if together_as is None else max(together_as) + 1

    def learn(rows: Bools, seed: int) -> _Learned:
        known = None if groups is None else groups[rows]
        own, truth = members[:, rows], labels[rows]
        return _learn(own, truth, search, calibrate, seed, known, together_as, metric)

    decided = decide or measure_of(metric)
    weights, heat, best = learn(np.ones(len(labels), np.bool_), seed)
    gain = share = Interval(0.0, 0.0, 0.0)
    verdict: Verdict = "not shown"
    if count > 1:

        def better(teach: Bools, seed: int) -> Floats:
            weights, heat, best = learn(teach, seed)
            warm = _voices(members[:, ~teach], heat, together_as)
            vote, rivals = soft_vote(warm, weights), [best]
            if reference is not None:
                rivals.append(reference)
            own = [row_gains(vote, warm[k], labels[~teach], metric) for k in rivals]
            return np.concatenate(own, axis=1)

        gain, share, *other = _halved(better, labels, groups, repeats, seed)
        verdict, share = _judged(gain, share, labels, metric, decided)
        if other and verdict == "kept":
            over, _ = _judged(other[0], other[1], labels, metric, decided)
            verdict = "kept" if over == "kept" else "not shown"
    words = _words(weights, best, gain, share, verdict, metric)
    return Selection(weights, heat, best, gain, share, verdict, words, together_as, metric, decided)


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
    metric: Metric,
) -> _Learned:
    """Weights (G,), temperatures (G,) and the best member by these rows."""
    count = len(members) if kinds is None else max(kinds) + 1
    heat, own = np.ones(count), row_weights(labels, metric)
    if calibrate:
        heat = temperatures(members, labels, kinds=kinds, weights=own)
    warm = _voices(members, heat, kinds)
    best = _lowest(warm, labels, own)
    return greedy(warm, labels, search, seed=seed, groups=groups, row_weights=own), heat, best


def _lowest(
    warm: Floats, labels: Ints, weights: Floats | None, among: Sequence[int] | None = None
) -> int:
    """The member (one of `among`) with the lowest log loss on the rows that it may judge."""
    held, losses = held_out(warm), row_losses(warm, labels)
    counts = held.sum(1) if weights is None else (held * weights).sum(1)
    if weights is not None:
        losses = weights * losses
    loss = np.where(held, losses, 0.0).sum(axis=1) / np.where(counts > 0, counts, 1)
    able = held.any(axis=1)
    if among is not None:
        able &= np.isin(np.arange(len(warm)), among)
    return int(np.where(able, loss, np.inf).argmin())


def _halved(
    better: Callable[[Bools, int], Floats],
    labels: Ints,
    groups: Groups | None,
    repeats: int,
    seed: int,
) -> list[Interval]:
    """Log loss saved and share won on rows that taught nothing, over halves of the rows.

    better: what is gained by row (m, K), in order, on the rows that did not teach (n,).
    """
    found: list[tuple[Interval, ...]] = []
    for repeat in range(repeats):
        half = parts(labels, 2, seed + repeat, groups)
        for side in (0, 1):
            judging = None if groups is None else groups[half == side]
            found.append(paired(better(half != side, seed + repeat), seed + repeat, judging))
    return [_medians(each) for each in zip(*found, strict=True)]


def _judged(
    gain: Interval, share: Interval, labels: Ints, metric: Metric, decided: Measure
) -> tuple[Verdict, Interval]:
    """The verdict, and the share no narrower than half of the rows, which judge, allow."""
    wide = no_narrower(share, equal_rows(labels, metric) / 2)
    return _verdict(gain, wide if decided == "share" else share, decided), wide


@dataclass(frozen=True)
class Winner:
    """The best member, and what it gains over the one that it would replace; as in Selection."""

    best: int
    gain: Interval
    share: Interval
    verdict: Verdict


def best_against(
    members: Floats,
    labels: Ints,
    reference: int = 0,
    *,
    metric: Metric = "accuracy",
    among: Sequence[int] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
    groups: Groups | None = None,
    kinds: Sequence[int] | None = None,
) -> Winner:
    """Whether the member with the lowest log loss beats the one that it would replace.

    The best of several looks better than it is; so each half of the rows names the best, and the
    other half compares it with `reference`. among: the members that may be named, None: all.
    Other arguments, intervals and verdict as for `select`.
    """
    together_as = None if kinds is None else tuple(int(k) for k in kinds)

    def best_of(rows: Bools) -> tuple[Floats, int]:
        own = row_weights(labels[rows], metric)
        heat = temperatures(members[:, rows], labels[rows], kinds=together_as, weights=own)
        warm = _voices(members[:, rows], heat, together_as)
        return heat, _lowest(warm, labels[rows], own, among)

    def better(teach: Bools, seed: int) -> Floats:
        heat, best = best_of(teach)
        warm = _voices(members[:, ~teach], heat, together_as)
        return row_gains(warm[best], warm[reference], labels[~teach], metric)

    gain, share = _halved(better, labels, groups, repeats, seed)
    _, best = best_of(np.ones(len(labels), np.bool_))
    verdict, share = _judged(gain, share, labels, metric, measure_of(metric))
    return Winner(best, gain, share, verdict)


def _medians(found: Sequence[Interval]) -> Interval:
    """The mean of the values, and the medians of the ends; of two in the middle the outer one."""
    value = float(np.mean([i.value for i in found]))
    low = float(np.quantile([i.low for i in found], 0.5, method="lower"))
    high = float(np.quantile([i.high for i in found], 0.5, method="higher"))
    return Interval(value, min(low, value), max(high, value))


def _verdict(gain: Interval, share: Interval, decided: Measure) -> Verdict:
    first, second = (gain, share) if decided == "log loss" else (share, gain)
    if first.low > 0 and second.high >= 0:
        return "kept"
    return "worse" if first.high < 0 else "not shown"


def _words(
    weights: Floats, best: int, gain: Interval, share: Interval, verdict: Verdict, metric: Metric
) -> str:
    used = int((weights > 0).sum())
    if len(weights) == 1:
        return "one network, nothing to choose from"
    said = {
        "kept": "beats its best member",
        "worse": "is worse than its best member",
        "not shown": "is not shown to beat its best member",
    }[verdict]
    advice = "keep the ensemble" if verdict == "kept" else f"keep member {best} alone"
    return (
        f"the weighted mean of {used} of {len(weights)} networks {said} on rows that chose "
        f"neither: {change_of_loss(gain, weighs_classes(metric))}, "
        f"{SHARES[share_of(metric)]} {points(share)} points; {advice}"
    )
