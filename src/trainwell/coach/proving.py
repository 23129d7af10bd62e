"""The proof: candidates in the cells of the recipe that is to be beaten, beside a placebo.

Two looks, fixed before. In the first cells a candidate that falls behind is given up; the others
go on in all cells. The placebo, the same recipe with fresh seeds, is trained beside them: what it
gains is chance. Giving up early can only lose a gain, never invent one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from trainwell.arms import Arena, Arm, Cell, joined
from trainwell.coach.changes import Candidate
from trainwell.coach.decision import Outcome
from trainwell.coach.screening import ANEW
from trainwell.coach.telling import ANOTHER
from trainwell.comparing_arms import Compared, compared, rows_p, score_of
from trainwell.comparing_arms import difference as paired_arms
from trainwell.metrics import Metric
from trainwell.seeding import stream_seed
from trainwell.significance import holm
from trainwell.stats import Interval
from trainwell.verdict import Comparison, turned, unit_of

SURE = 0.01  # p of all held-out rows below which a gain in every cell is enough
PROMISING = 0.004  # mean gain from which on one more seed per fold is worth its cost
LEAST_GAIN = 0.01  # of such a gain, in the mean
BEHIND = 0.005  # in the first cells, at which a candidate is given up
ALIKE = 0.85  # of the largest gain: enough for the change that comes first to be adopted
PLAIN = 0.05  # gain in the first cells beside which the placebo of those cells is enough

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Proved:
    """What came of one candidate; arm: where it was trained in every cell."""

    candidate: Candidate
    outcome: Outcome
    words: str
    arm: Arm | None = None
    difference: Interval | None = None
    p: float | None = None
    placebo: float | None = None
    rows_p: float | None = None  # of the test on all held-out rows


@dataclass(eq=False)
class Placebo:
    """The recipe that is to be beaten with fresh seeds, trained as far as it was needed."""

    of: Arm
    arm: Arm | None = None  # in the cells so far

    def gains(self, metric: Metric) -> Floats:
        """Placebo minus recipe (cells so far,)."""
        if self.arm is None:
            return np.empty(0)
        done = len(self.arm.cells)
        return np.asarray(score_of(self.arm, metric) - score_of(self.of, metric)[:done])


@dataclass(eq=False)
class Prover:
    """Where proofs are made; it remembers the placebo as long as the recipe stays."""

    arena: Arena
    metric: Metric
    unit: int  # epochs that count as one training
    deadline: float | None = None
    placebo: Placebo | None = None
    used: float = 0.0  # units, since it was last asked

    def cost(self, arm: Arm, chosen: Sequence[Candidate]) -> float:
        """What the whole proof may take, in units."""
        known = len(self._gains()) if self.placebo is not None and self.placebo.of is arm else 0
        mine = (len(arm.cells) - known) * arm.recipe.epochs
        return (mine + len(arm.cells) * sum(c.recipe.epochs for c in chosen)) / self.unit

    def prove(self, arm: Arm, chosen: Sequence[Candidate], left: float) -> list[Proved]:
        """What came of each candidate; left: units that all of it may take."""
        if self.placebo is None or self.placebo.of is not arm:
            self.placebo = Placebo(arm)
        few = max(1, len(arm.cells) // 5)
        early = self._train(chosen, arm.cells[:few])
        in_time = self._placebo(few)
        if early is None or not in_time:
            return [_unfinished(c) for c in chosen]
        first = score_of(arm, self.metric)[:few]
        gains = [float(np.mean(score_of(a, self.metric) - first)) for a in early]
        some = [i for i, gain in enumerate(gains) if gain >= -BEHIND]
        whole: dict[int, Arm] = {i: early[i] for i in some}
        if some and few < len(arm.cells):
            noise = float(np.abs(self._gains()[:few]).max())
            more = self._train([chosen[i] for i in some], arm.cells[few:])
            plain = all(gains[i] >= max(PLAIN, 3 * noise) for i in some)
            if more is None or not (plain or self._placebo(len(arm.cells))):
                return [_unfinished(c) for c in chosen]
            whole = {i: joined(early[i], a) for i, a in zip(some, more, strict=True)}
        found = self._judged(arm, chosen, gains, whole)
        return _one_of([self._settled(arm, one, left) for one in found])

    def whole_placebo(self) -> list[Arm]:
        """The placebo, where it was trained in every cell; else nothing."""
        if self.placebo is None or self.placebo.arm is None:
            return []
        whole = len(self.placebo.arm.cells) == len(self.placebo.of.cells)
        return [self.placebo.arm] if whole else []

    def _gains(self) -> Floats:
        return np.empty(0) if self.placebo is None else self.placebo.gains(self.metric)

    def _settled(self, arm: Arm, one: Proved, left: float) -> Proved:
        """A gain that is not shown, with one more seed per fold where that may decide it.

        The placebo has trained the recipe with other seeds on every fold: the candidate is trained
        with these, and both have twice as many trainings.
        """
        assert self.placebo is not None
        other = self.placebo.arm
        cost = len(arm.cells) * one.candidate.recipe.epochs / self.unit
        whole = one.arm is not None and other is not None and len(other.cells) == len(arm.cells)
        if one.outcome != "not shown" or not whole or self.used + cost > left:
            return one
        assert one.arm is not None and other is not None
        gains = score_of(one.arm, self.metric) - score_of(arm, self.metric)
        if gains.mean() < PROMISING or (gains < 0).any():
            return one
        more = self._train([one.candidate], other.cells)
        if more is None:
            return one
        arms = (joined(arm, other), joined(one.arm, more[0]))
        made = compared(self.arena, arms, self.metric, adjusted_p=None)
        certain = rows_p(self.arena, arms, self.metric)
        outcome, words = judged(made, 0.0, certain)
        return replace(
            one,
            outcome=outcome,
            words=words,
            difference=gained(made.comparison),
            p=made.comparison.p,
            rows_p=certain,
        )

    def _train(self, chosen: Sequence[Candidate], cells: Sequence[Cell]) -> list[Arm] | None:
        """The candidates in some cells; None where the time was not enough."""
        arms = self.arena.train([c.recipe for c in chosen], cells, self.deadline)
        self.used += len(cells) * sum(c.recipe.epochs for c in chosen) / self.unit
        return None if any(t is None for a in arms for t in a.trained) else arms

    def _placebo(self, count: int) -> bool:
        """Train the placebo in the first `count` cells; whether there was time."""
        assert self.placebo is not None
        arm, done = self.placebo.of, len(self._gains())
        if done >= count:
            return True
        fresh = [
            Cell(c.fold, stream_seed(self.arena.seed, "placebo", c.seed) % 2**31)
            for c in arm.cells[done:count]
        ]
        (found,) = self.arena.train([arm.recipe], fresh, self.deadline)
        self.used += len(fresh) * arm.recipe.epochs / self.unit
        if any(t is None for t in found.trained):
            return False
        before = self.placebo.arm
        self.placebo.arm = found if before is None else joined(before, found)
        return True

    def _judged(
        self,
        arm: Arm,
        chosen: Sequence[Candidate],
        gains: Sequence[float],
        whole: dict[int, Arm],
    ) -> list[Proved]:
        """Interval, test and placebo for those in every cell; one change at a time."""
        noise = float(np.mean(self._gains()))
        p = [
            paired_arms(self.arena.split, (arm, whole[i]), self.metric).p if i in whole else 1.0
            for i in range(len(chosen))
        ]
        adjusted = holm(p)
        found: list[Proved] = []
        for i, candidate in enumerate(chosen):
            if i not in whole:
                words = f"{amount(gains[i], self.metric)} in the first trainings: given up"
                found.append(Proved(candidate, "screened out", words))
                continue
            made = compared(self.arena, (arm, whole[i]), self.metric, adjusted_p=adjusted[i])
            certain = len(whole) * rows_p(self.arena, (arm, whole[i]), self.metric)
            outcome, words = judged(made, noise, certain)
            interval = gained(made.comparison)
            numbers = (interval, float(adjusted[i]), noise, min(1.0, certain))
            found.append(Proved(candidate, outcome, words, whole[i], *numbers))
        return found


def judged(found: Compared, noise: float, p: float) -> tuple[Outcome, str]:
    """What a comparison with the placebo's gain beside it means for a candidate.

    p: of all held-out rows (`rows_p`), times the candidates that are proved together.
    """
    comparison, words = found.comparison, found.comparison.words
    gain = gained(comparison).value
    plain = comparison.verdict != "better" and plain_to_see(found, p)
    if plain:
        words = (
            f"better by {amount(gain, found.metric)[1:]}, in each of {len(found.arms[0].cells)} "
            f"trainings (p over all held-out rows {p:.1g})"
        )
    if comparison.verdict == "better" or plain:
        if gain > noise:
            return "adopted", words
        as_much = f"the placebo gained as much ({amount(noise, found.metric)})"
        return "not shown", f"{words}; {as_much}"
    return comparison.verdict, words


def plain_to_see(found: Compared, p: float) -> bool:
    """A gain in every cell that a test on all held-out rows confirms: then few cells are enough,
    however small the smallest p of a sign-flip test on them."""
    gains = found.scores(1) - found.scores(0)
    return bool((gains > 0).all() and gains.mean() > LEAST_GAIN and p < SURE)


def gained(comparison: Comparison) -> Interval:
    """How much better the second arm is; of a loss, how much lower."""
    d = comparison.difference
    return turned(d) if comparison.lower_is_better else d


def amount(gain: float, metric: Metric) -> str:
    """A gain with its unit.

    >>> amount(0.012, "accuracy"), amount(-0.012, "log_loss")
    ('+1.2 points', '-0.012 nats')
    """
    unit = unit_of(metric)
    return f"{unit.scale * gain:+.{unit.digits}f} {unit.name}"


def _one_of(found: Sequence[Proved]) -> list[Proved]:
    """Of several that won, the first (in the order of causes) that gains about as much as any."""

    def gain(one: Proved) -> float:
        return (one.difference.value if one.difference else 0.0) - ANEW * one.candidate.anew

    won = [f for f in found if f.outcome == "adopted"]
    most = max((gain(f) for f in won), default=0.0)
    best = next((f for f in won if gain(f) >= ALIKE * most), None)
    return [
        f
        if f is best or f.outcome != "adopted"
        else replace(f, outcome="proved, not needed", words=f"{f.words}; {ANOTHER}")
        for f in found
    ]


def _unfinished(candidate: Candidate) -> Proved:
    return Proved(candidate, "not proved", "the budget ended before its proof")
