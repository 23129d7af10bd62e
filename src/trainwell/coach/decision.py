"""One thing that the coach tried: what decisions.json holds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from trainwell.stats import Interval

Outcome = Literal[
    "adopted",
    "not shown",
    "no difference that matters",
    "worse",
    "screened out",
    "not trained",
    "refused",
]


@dataclass(frozen=True)
class Decision:
    """What was seen, what was changed, interval, verdict, cost.

    difference: of the metric, candidate minus recipe, with its interval (of the log loss, how much
    lower); placebo: that of the same recipe with fresh seeds. cost: in trainings of one network for
    the first recipe's epochs.
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

    def to_json(self) -> dict[str, Any]:
        """Plain data, as decisions.json holds it."""
        plain = dataclasses.asdict(self)
        plain["difference"] = None if self.difference is None else self.difference.to_json()
        return plain
