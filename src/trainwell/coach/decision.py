"""One thing that the coach tried: what decisions.json holds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from trainwell.stats import Interval

Outcome = Literal[
    "adopted",
    "proved, not needed",
    "not shown",
    "no difference that matters",
    "worse",
    "screened out",
    "not proved",
    "not trained",
    "refused",
]


@dataclass(frozen=True)
class Short:
    """One short training of a candidate: rate, epochs, score (of the log loss its negative).

    score: None where the time ended before its first epoch, or it diverged in it.
    """

    lr: float
    epochs: int
    score: float | None


@dataclass(frozen=True)
class Decision:
    """What was seen, what was changed, interval, verdict, cost.

    because: code of a finding or of a piece of advice; reason: the same in words; saw: the numbers
    behind it. changes: fields of the recipe that are set; changed: each old → new, in words.
    words: the verdict with its statistics; told: the same for a person, without.
    difference: of the metric, candidate minus recipe, with its interval (of the log loss, how much
    lower); placebo: that of the same recipe with fresh seeds. p: of the sign-flip test on the
    trainings; rows_p: of the test on all held-out rows, which decides where trainings are few.
    reached: score in the last short training; rates: all short trainings, at each rate tried.
    cost: in trainings of one network for the first recipe's epochs.
    """

    round: int
    because: str
    saw: str
    tried: str
    changes: dict[str, str]
    outcome: Outcome
    words: str
    difference: Interval | None = None
    p: float | None = None
    placebo: float | None = None
    cost: float = 0.0
    seconds: float = 0.0
    reason: str = ""
    changed: tuple[str, ...] = ()
    rows_p: float | None = None
    reached: float | None = None
    rates: tuple[Short, ...] = ()
    told: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data, as decisions.json holds it."""
        plain = dataclasses.asdict(self)
        plain["difference"] = None if self.difference is None else self.difference.to_json()
        return plain
