"""What a round tried, as decisions.json records it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from trainwell.arms import Arm
from trainwell.coach.changes import Candidate
from trainwell.coach.decision import Decision
from trainwell.coach.proving import Proved
from trainwell.coach.remedies import difference
from trainwell.coach.screening import Screened
from trainwell.coach.telling import changed, in_short, level, reason, seen, told
from trainwell.doctor.finding import Finding
from trainwell.metrics import Metric


@dataclass(frozen=True, eq=False)
class Round:
    """A round before anything came of it: the arm that is to be beaten, and what was seen of it.

    gap: training minus validation accuracy; error: on training rows.
    """

    number: int
    arm: Arm
    findings: tuple[Finding, ...]
    gap: float
    error: float
    metric: Metric

    def decisions(
        self,
        proved: Sequence[Proved],
        screened: Sequence[Screened],
        wished: Collection[str] = (),
    ) -> list[Decision]:
        """What the round decided, proofs first.

        wished: names of those that were to be proved, whether or not there was budget for it.
        """
        short = {s.candidate.name: s for s in screened}
        made = [
            replace(
                self.begun(p.candidate, short.get(p.candidate.name)),
                outcome=p.outcome,
                words=p.words,
                difference=p.difference,
                p=p.p,
                placebo=p.placebo,
                rows_p=p.rows_p,
            )
            for p in proved
        ]
        names = {p.candidate.name for p in proved}
        others = [s for s in screened if s.candidate.name not in names]
        for s in others:
            one = self.begun(s.candidate, s)
            if s.candidate.name in wished:
                words = "the budget does not allow its proof"
                if s.score is not None:
                    words = f"reached {level(s.score, self.metric)} in short trainings; {words}"
                made.append(replace(one, outcome="not proved", words=words))
            else:
                words = in_short(s.score, _best_beside(s, screened, wished), self.metric)
                made.append(replace(one, outcome="screened out", words=words))
        asides = [self._beside_the_rate(p, short) for p in proved] + [""] * len(others)
        return [
            replace(d, words=d.words + aside, told=told(d, self.metric) + aside)
            for d, aside in zip(made, asides, strict=True)
        ]

    def refusals(self, refused: Sequence[tuple[Candidate, str]]) -> list[Decision]:
        """Augmentations that were not trained with, and why."""
        return [
            replace(self.begun(c), outcome="refused", words=words, told=words)
            for c, words in refused
        ]

    def begun(self, candidate: Candidate, short: Screened | None = None) -> Decision:
        """Why a candidate is tried, what it changes and its short trainings; no outcome yet."""
        because, before, after = candidate.because, self.arm.recipe, candidate.recipe
        return Decision(
            self.number,
            because,
            seen(because, self.findings, self.gap, self.error),
            candidate.name,
            difference(before, after),
            outcome="not trained",
            words="",
            reason=reason(because, self.findings),
            changed=changed(before, after),
            reached=None if short is None else short.score,
            rates=() if short is None else short.tried,
        )

    def _beside_the_rate(self, one: Proved, short: dict[str, Screened]) -> str:
        """Where a change came with another rate, what the rate alone reached in the same short
        trainings: the gain may be that of the rate."""
        before, after = self.arm.recipe, one.candidate.recipe
        mine = short.get(one.candidate.name)
        alone = [s for s in short.values() if replace(s.candidate.recipe, lr=before.lr) == before]
        both = replace(after, lr=before.lr) != before and after.lr != before.lr
        if one.outcome != "adopted" or not both or mine is None or not alone:
            return ""
        rate = max(alone, key=lambda s: s.value)
        theirs, ours = (rate.score, mine.score) if rate.kept else (rate.first, mine.first)
        if theirs is None or ours is None:
            return ""
        a, b = level(theirs, self.metric), level(ours, self.metric)
        return (
            f"; in short trainings the rate alone ({before.lr:g} → "
            f"{rate.candidate.recipe.lr:g}) reached {a}, with this change ({after.lr:g}) {b}"
        )


def _best_beside(one: Screened, screened: Sequence[Screened], wished: Collection[str]) -> float:
    """The best score, in trainings of the same length, of those that were preferred."""
    if one.kept:
        found = [s.score for s in screened if s.candidate.name in wished]
    else:
        found = [s.first for s in screened if s.kept]
    return max((score for score in found if score is not None), default=float("-inf"))
