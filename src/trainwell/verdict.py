"""The verdict on two arms: better, worse, no difference that matters, or not shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from trainwell.metrics import Metric
from trainwell.paired import PairedDifference, seeds_to_settle
from trainwell.stats import Interval

Word = Literal["better", "worse", "no difference that matters", "not shown"]

REGION = 0.005  # half a point: differences inside ± this count as none
LEVEL = 0.05


@dataclass(frozen=True)
class Unit:
    """How a score and its differences are spoken of.

    scale: from a score to the unit. region: differences of the score inside ± count as none.
    lower_is_better: the score is a loss; differences are judged with their sign turned.
    """

    name: str
    scale: float
    digits: int
    region: float
    lower_is_better: bool = False


POINTS = Unit("points", 100.0, 1, REGION)
NATS = Unit("nats", 1.0, 3, 0.01, lower_is_better=True)  # of the log loss


def unit_of(metric: Metric) -> Unit:
    """Points, for shares; nats, for the log loss."""
    return NATS if metric == "log_loss" else POINTS


def word_of(found: Interval, agrees: bool, region: float = REGION) -> Word:
    """What may be said of a difference of which more is better; agrees: a test says so, too.

    >>> word_of(Interval(0.02, 0.01, 0.03), True), word_of(Interval(0.02, 0.01, 0.03), False)
    ('better', 'not shown')
    """
    if max(abs(found.low), abs(found.high)) <= region:
        return "no difference that matters"
    if agrees and (found.low > 0 or found.high < 0):
        return "better" if found.low > 0 else "worse"
    return "not shown"


@dataclass(frozen=True)
class Comparison:
    """What may be said about a - b, and why.

    difference: of the score as such; of a loss, below 0 is better (`lower_is_better`).
    p: of the sign-flip test, adjusted if many comparisons were made. seeds_to_settle: how many
    more seeds per fold would decide it; 0: decided; None: none would, rows or folds limit it.
    words: one or two plain sentences with the numbers.
    """

    difference: Interval
    p: float
    verdict: Word
    seeds_to_settle: int | None
    words: str
    lower_is_better: bool = False

    def to_json(self) -> dict[str, Any]:
        """By name, as `compare --json` prints them."""
        return {
            "difference": self.difference.to_json(),
            "lower_is_better": self.lower_is_better,
            "p": self.p,
            "verdict": self.verdict,
            "seeds_to_settle": self.seeds_to_settle,
            "words": self.words,
        }


def verdict(
    found: PairedDifference,
    region: float | None = None,
    adjusted_p: float | None = None,
    unit: Unit = POINTS,
    same: bool = False,
    level: float = LEVEL,
) -> Comparison:
    """Is arm a better than arm b?

    "no difference that matters": both ends of the interval lie inside ± region, even if it leaves
    0 out. "better", "worse": the interval leaves 0 out *and* the sign-flip p is at most `level`;
    two tests that err in different ways must agree. "not shown": neither; it does not say that
    nothing differs. Two arms that are alike are called better or worse in at most 5 % of
    comparisons (simulated: 1 % with folds, 4 % with one; tables in docs/comparisons.md).
    found: of scores of which more is better; of a loss, therefore, of its negative.
    region: None takes that of the unit. adjusted_p: Holm's, where this is one of many comparisons.
    same: both arms are one recipe, so that no number of seeds would settle anything.
    level: after several looks that of the look (`sequential.levels`); `found` has its confidence,
    1 - level.

    >>> from trainwell.paired import paired_difference
    >>> a, b = [0.96, 0.97, 0.95, 0.96, 0.98, 0.97], [0.95, 0.95, 0.94, 0.94, 0.96, 0.96]
    >>> found = paired_difference(a, b, [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], 1 / 3, rows=900)
    >>> print(verdict(found).words)
    better by 1.5 points (95 % interval 0.7 to 2.3, sign-flip p = 0.031; 3 folds × 2 seeds)
    """
    region = unit.region if region is None else region
    p = found.p if adjusted_p is None else adjusted_p
    word = word_of(found.interval, p <= level, region)
    more = seeds_to_settle(found, region, level) if word == "not shown" else 0
    if word == "not shown" and more == 0:  # Holm asks for more than one comparison alone
        more = 1
    if word == "not shown" and same:
        more = None
    difference = turned(found.interval) if unit.lower_is_better else found.interval
    words = _words(found, difference, word, p, region, unit)
    if same:
        words += "; both recipes are the same: what is measured is chance"
    elif word == "not shown":
        words += _what_would_settle(found, more, level)
    return Comparison(difference, p, word, more, words, unit.lower_is_better)


def per_cent(confidence: float) -> str:
    """A confidence in per cent, with as many digits as tell it from 100.

    >>> per_cent(0.95), per_cent(0.9512), per_cent(0.999985)
    ('95', '95.1', '99.999')
    """
    missing = 100 * (1 - confidence)
    digits = max(1, -math.floor(math.log10(missing))) if missing > 0 else 1
    return f"{100 * confidence:.{digits}f}".rstrip("0").rstrip(".")


def turned(interval: Interval) -> Interval:
    """The interval of -x: of a loss, for instance, how much lower it is."""
    return Interval(*(0.0 - v for v in (interval.value, interval.high, interval.low)))  # no -0


def _words(
    found: PairedDifference, difference: Interval, word: Word, p: float, region: float, unit: Unit
) -> str:
    """The verdict with its numbers."""
    digits = unit.digits
    # + 0.0, since a rounded -0.0 would be told with its sign
    value, low, high = (round(unit.scale * v, digits) + 0.0 for v in vars(difference).values())
    ends = f"{low:.{digits}f} to {high:.{digits}f}" if math.isfinite(low) else "unknown"
    cells = f"{_count(found.folds, 'fold')} × {_count(found.seeds, 'seed')}"
    numbers = f"({per_cent(found.confidence)} % interval {ends}, sign-flip p = {p:.2g}; {cells})"
    if found.folds == 1:
        numbers = numbers[:-1] + "; for these held-out rows only)"
    if word in ("better", "worse"):
        size = f"by {abs(value):.{digits}f} {unit.name} {numbers}"
        if unit.lower_is_better:
            return f"{word}: its log loss is {'lower' if value < 0 else 'higher'} {size}"
        return f"{word} {size}"
    shown = f"{word}: {value:+.{digits}f} {unit.name}"
    if unit.lower_is_better:
        shown += " of log loss"
    if word == "no difference that matters":
        return f"{shown}, within ±{unit.scale * region:g} {numbers}"
    return f"{shown} {numbers}"


def _what_would_settle(found: PairedDifference, more: int | None, level: float) -> str:
    """Why nothing is shown, and what would show it."""
    text = ""
    if not math.isfinite(found.interval.low):
        text += "; equal or single differences do not tell how far others would lie"
    if found.smallest_p >= 1:
        text += "; both reach the same in every training"
    elif found.smallest_p > level:
        text += f"; so few trainings that differ cannot give a p below {found.smallest_p:.2g}"
    if more is None:
        return text + "; more seeds would not settle it: rows and folds limit what can be seen"
    least = "at least " if found.seeds == 1 or not math.isfinite(found.interval.low) else "about "
    return text + f"; {least}{_count(more, 'more seed')} per fold would settle it"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
