"""How unlike the members err, and what each of them brings. Slide: "Ensemble".

"Even less accurate classifiers can contribute to the overall improvement": whether one does is
measured by leaving it out, row by row, with an interval. One measure decides, the same by which the
ensemble is kept: who is the best, who is weaker, and who helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainwell.ensemble.combine import soft_vote
from trainwell.ensemble.measures import Measure, alone, equal_rows, measure_of, row_gains
from trainwell.ensemble.rows import Floats, Ints, held_out, paired, row_hits
from trainwell.metrics import Metric
from trainwell.stats import Interval


@dataclass(frozen=True, eq=False)
class Diversity:
    """Pairwise measures (M, M), each over the rows that both may judge; nan where undefined.

    n11, n00, n10, n01: rows where both are right, both wrong, one or the other right.
    disagreement: share of rows where they name different classes. double_fault: n00 / n.
    q: (n11 n00 - n10 n01) / (n11 n00 + n10 n01), 0 for independent errors, 1 where one errs only
    where the other does. correlation: of the errors, (n11 n00 - n10 n01) over the root of the
    product of the four margins. error: the members' own error rates (M,).
    Source: Kuncheva and Whitaker 2003.
    """

    disagreement: Floats
    double_fault: Floats
    q: Floats
    correlation: Floats
    error: Floats

    @property
    def ratio(self) -> float:
        """Mean disagreement of the pairs over the mean error: averaging pays from about 1 on.

        Source: Theisen et al. 2023, When are ensembles really effective?
        """
        return mean_of_pairs(self.disagreement) / max(float(np.nanmean(self.error)), 1e-12)


def mean_of_pairs(matrix: Floats) -> float:
    """Mean over the pairs of different members of a measure (M, M); nan where there is none.

    >>> mean_of_pairs(np.array([[1.0, 0.25], [0.25, 1.0]]))
    0.25
    """
    found = matrix[np.triu_indices(len(matrix), 1)]
    found = found[np.isfinite(found)]
    return float(found.mean()) if found.size else float("nan")


def diversity(members: Floats, labels: Ints) -> Diversity:
    """All pairwise measures of members (M, n, C) on rows with labels (n,)."""
    held = held_out(members).astype(np.float64)
    right = np.nan_to_num(row_hits(members, labels), nan=0.0)
    wrong = held - right
    said = np.where(held[..., None] > 0, members, 0.0).argmax(axis=2)
    agree = np.zeros((len(held), len(held)))
    for c in range(members.shape[2]):
        mine = (said == c) * held
        agree += mine @ mine.T
    n = held @ held.T
    n11, n00, n10, n01 = right @ right.T, wrong @ wrong.T, right @ wrong.T, wrong @ right.T
    cross = n11 * n00 - n10 * n01
    margins = (n11 + n10) * (n01 + n00) * (n11 + n01) * (n10 + n00)
    return Diversity(
        disagreement=_ratio(n - agree, n),
        double_fault=_ratio(n00, n),
        q=_ratio(cross, n11 * n00 + n10 * n01),
        correlation=_ratio(cross, np.sqrt(margins)),
        error=_ratio(wrong.sum(axis=1), held.sum(axis=1)),
    )


def _ratio(above: Floats, below: Floats) -> Floats:
    found: Floats = np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
    return found


@dataclass(frozen=True)
class Contribution:
    """What an ensemble loses without one member.

    alone: the member's own share of right answers. share: the ensemble's with it minus without it;
    log_loss: without it minus with it. Above 0 the member helps. weaker: whether the best member is
    better alone, by the measure that `decided`.
    """

    member: int
    weight: float
    alone: float
    weaker: bool
    share: Interval
    log_loss: Interval
    decided: Measure = "log loss"

    @property
    def deciding(self) -> Interval:
        """The difference in the measure that decides."""
        return self.log_loss if self.decided == "log loss" else self.share

    @property
    def verdict(self) -> Literal["helps", "not shown", "harms"]:
        """helps: shown by the measure that decides, and the other is not shown to suffer."""
        first = self.deciding
        second = self.share if self.decided == "log loss" else self.log_loss
        if first.low > 0 and second.high >= 0:
            return "helps"
        return "harms" if first.high < 0 else "not shown"


def contributions(
    members: Floats,
    labels: Ints,
    weights: npt.ArrayLike | None = None,
    *,
    metric: Metric = "accuracy",
    decided: Measure | None = None,
    best: int | None = None,
    seed: int = 0,
    groups: npt.NDArray[np.integer] | None = None,
) -> tuple[Contribution, ...]:
    """Leave-one-out contribution to the soft vote of every member with a weight, by member.

    members (M, n, C), labels (n,), weights (M,), None for equal ones. Where the rows are those that
    chose the weights the contributions are flattered: give other rows where there are some. The
    intervals are BCa over rows, or groups (n,), each for its member alone. All members share the
    resamples. metric, decided: as for `select`. best: the member that others are weaker than; None:
    the one that is best alone on these rows, by the measure that decides.
    Nothing to compare: a single member has no contribution.
    """
    held = held_out(members)
    w = np.ones(len(members)) if weights is None else np.asarray(weights, np.float64)
    used = np.flatnonzero(w > 0)
    if len(used) < 2:
        return ()
    whole, deciding = soft_vote(members, w), decided or measure_of(metric)
    differences = np.zeros((len(labels), 2, len(used)))
    for k, m in enumerate(used):
        others = w.copy()
        others[m] = 0.0
        without = _without(members, held, others, int(m))
        differences[:, :, k] = row_gains(whole, without, labels, metric)
    worth = [None] * len(used) + [equal_rows(labels, metric)] * len(used)
    found = paired(differences.reshape(len(labels), -1), seed, groups, hits=worth)
    own = _alone(members, held, labels, metric)
    score = -own[0] if deciding == "log loss" else own[1]
    first = int(used[score[used].argmax()]) if best is None else best
    total = w.sum()
    return tuple(
        Contribution(
            member=int(m),
            weight=float(w[m] / total),
            alone=float(own[1, m]),
            weaker=bool(m != first and score[m] < score[first]),
            share=found[len(used) + k],
            log_loss=found[k],
            decided=deciding,
        )
        for k, m in enumerate(used)
    )


def _alone(
    members: Floats, held: npt.NDArray[np.bool_], labels: Ints, metric: Metric
) -> npt.NDArray[np.float64]:
    """Log loss and share of right answers (2, M) of each member on the rows that it may judge."""
    found = np.full((2, len(members)), np.nan)
    for m in np.flatnonzero(held.any(axis=1)):
        truth, said = labels[held[m]], members[m, held[m]]
        found[:, m] = [i.value for i in alone(said, truth, metric)]
    return found


def _without(members: Floats, held: npt.NDArray[np.bool_], weights: Floats, m: int) -> Floats:
    """The vote without member m; rows that nobody else may judge keep its voice."""
    quiet = members.copy()
    alone = ~np.delete(held, m, axis=0).any(axis=0)
    quiet[m, ~alone] = np.nan
    return soft_vote(quiet, weights)


def weaker_that_help(found: Sequence[Contribution]) -> tuple[int, ...]:
    """Members that are weaker than the best one, and without which the ensemble is worse.

    The lecture's "even less accurate classifiers can contribute", as a list of proven cases.
    """
    return tuple(c.member for c in found if c.weaker and c.verdict == "helps")
