"""Cheap screening: many candidates in short trainings, the better ones again in longer ones.

Successive halving: every candidate is first trained briefly at a few rates; of the best quarter the
best rate (and its neighbours, where the search began wide) is trained longer. All trainings of a
step are handed over together, so that networks of one shape share a population.
Source: Jamieson and Talwalkar (2016), Non-stochastic best arm identification, AISTATS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainwell.arms import Arena, Arm, Cell
from trainwell.coach.changes import Candidate
from trainwell.coach.decision import Short
from trainwell.comparing_arms import score_of
from trainwell.engine.ladder import brief
from trainwell.metrics import Metric
from trainwell.recipe import Recipe
from trainwell.seeding import stream_seed

FACTORS = (0.4, 1.0, 2.5)  # of the present rate, at which a candidate is tried
RATE_FACTORS = (0.2, 0.5, 2.0, 5.0)  # slide "Learning rate": by 2, or even 5
WIDE = (0.1, 0.6, 3.5, 20.0)  # of the optimiser's usual rate, where it may be far off
NEAR = (0.4, 1.0, 2.5)  # of the best of these, in the second step
EPOCHS = 3  # of a short training, where the recipe has as many
SHARES = (1 / 8, 1 / 2)  # of the epochs in the first step: at least, at most
KEPT = 1 / 4  # of the candidates are trained in the second step, at least two
LONGER = 2.5  # times as long in the second step, at least
ANEW = 0.05  # how much more a beginning anew must reach than a single change


@dataclass(frozen=True)
class Screened:
    """A candidate with the best rate that was tried, and what it is ranked by.

    value: the score of the last short training less its penalties; score: the score as such, None
    where there is none; first: that of the first step. tried: all of its short trainings.
    """

    candidate: Candidate
    value: float
    kept: bool  # trained in the second step
    score: float | None = None
    first: float | None = None
    tried: tuple[Short, ...] = ()


@dataclass(frozen=True)
class Screen:
    """How candidates are screened: on one cell, within a cost.

    wide: the present rate is no place to start from. cost: in units of `unit` epochs of one network
    for all short trainings together, about.
    """

    arena: Arena
    metric: Metric
    unit: int
    wide: bool
    cost: float
    deadline: float | None = None

    def run(self, arm: Arm, wanted: Sequence[Candidate]) -> tuple[list[Screened], float]:
        """Candidates, best first, each with a rate; and what it took, in units."""
        # The last cell: proofs begin with the first ones, which have not chosen anything.
        cell = Cell(arm.cells[-1].fold, stream_seed(self.arena.seed, "screen") % 2**31)
        pairs = [
            (c, replace(c.recipe, lr=lr))
            for c in wanted
            for lr in first_rates(c.recipe, arm.recipe, self.wide)
        ]
        whole = sum(r.epochs for _, r in pairs) / self.unit
        share = min(SHARES[1], max(SHARES[0], self.cost / 2 / whole))
        best, used = self._best(pairs, cell, share)
        kept = best[: max(2, math.ceil(len(best) * KEPT))]
        again = []
        for found in kept:
            recipe = found.candidate.recipe
            wide = self.wide or _only_rate(recipe, arm.recipe)
            for factor in NEAR if wide and not _given(wanted, found.candidate) else (1.0,):
                lr = float(f"{(recipe.lr or 0.0) * factor:.3g}")
                again.append((found.candidate, replace(recipe, lr=lr)))
        whole = sum(r.epochs for _, r in again) / self.unit
        later = min(1.0, max(LONGER * share, (self.cost - used) / whole))
        second, more = self._best(again, cell, later)
        before = {found.candidate.name: found for found in kept}
        second = [_after(before[found.candidate.name], found) for found in second]
        names = set(before)
        others = [replace(f, kept=False) for f in best if f.candidate.name not in names]
        return [*second, *others], used + more

    def _best(
        self, pairs: Sequence[tuple[Candidate, Recipe]], cell: Cell, share: float
    ) -> tuple[list[Screened], float]:
        """Every candidate with its best rate, best first, after trainings of a share of their
        epochs; the score decides, and its loss where scores tie."""
        short = [brief(recipe, 1 / share, EPOCHS) for _, recipe in pairs]
        arms = self.arena.train(short, [cell], self.deadline)
        best: dict[str, Screened] = {}
        tried: dict[str, list[Short]] = {}
        for (candidate, recipe), arm in zip(pairs, arms, strict=True):
            loss = float(arm.log_loss[0]) if arm.trained[0] is not None else math.inf
            score = float(score_of(arm, self.metric)[0])
            value = score - 1e-3 * min(loss, 100.0)
            value -= ANEW * candidate.anew
            one = arm.trained[0]
            known = score if one is not None and one.best_epoch else None
            run = Short(recipe.lr or 0.0, arm.recipe.epochs, known)
            tried.setdefault(candidate.name, []).append(run)
            if candidate.name not in best or value > best[candidate.name].value:
                found = replace(candidate, recipe=recipe)
                best[candidate.name] = Screened(found, value, True, known, known)
        whole = [replace(found, tried=tuple(tried[name])) for name, found in best.items()]
        ordered = sorted(whole, key=lambda found: -found.value)
        return ordered, sum(r.epochs for r in short) / self.unit


def _after(first: Screened, second: Screened) -> Screened:
    """A candidate after the second step, with what was seen in the first."""
    return replace(second, first=first.first, tried=(*first.tried, *second.tried))


def about(wanted: Sequence[Candidate], before: Recipe, wide: bool, unit: int) -> float:
    """The least that screening these takes, in units."""
    short = [brief(c.recipe, 1 / SHARES[0], EPOCHS).epochs for c in wanted]
    first = sum(
        epochs * len(first_rates(c.recipe, before, wide))
        for c, epochs in zip(wanted, short, strict=True)
    )
    kept = sorted(short, reverse=True)[: max(2, math.ceil(len(wanted) * KEPT))]
    return (first + LONGER * sum(kept) * (len(NEAR) if wide else 1)) / unit


def first_rates(candidate: Recipe, before: Recipe, wide: bool) -> tuple[float, ...]:
    """Its own rate where it has one; else some around the present one, or far apart where that is
    no place to start: after a finding about the rate, or with another optimiser."""
    if candidate.lr is not None:
        return (candidate.lr,)
    other = type(candidate.optimizer) is not type(before.optimizer)
    factors: tuple[float, ...]
    if wide or other or before.lr is None:
        around, factors = candidate.optimizer.usual_rate, WIDE
    else:
        around = before.lr
        factors = RATE_FACTORS if _only_rate(candidate, before) else FACTORS
    return tuple(float(f"{around * f:.3g}") for f in factors)


def _only_rate(candidate: Recipe, before: Recipe) -> bool:
    """Whether nothing but the rate is tried."""
    return replace(candidate, lr=before.lr) == before


def _given(wanted: Sequence[Candidate], candidate: Candidate) -> bool:
    """Whether the candidate came with a rate."""
    return any(c.name == candidate.name and c.recipe.lr is not None for c in wanted)
