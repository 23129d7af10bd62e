"""The rule of a claim: pure functions from measured numbers to a verdict.

n repetitions, each with its own training and decision rows. A contrast holds when the whole
interval of its number lies where the claim says, and the sign-flip test agrees; it fails when the
whole interval lies where the claim says it does not; else it is open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainwell.claims.claim import Claim, Combine, Contrast
from trainwell.paired import PairedDifference, paired_difference, seeds_to_settle
from trainwell.significance import holm
from trainwell.stats import Interval
from trainwell.verdict import LEVEL

Floats = npt.NDArray[np.float64]
State = Literal["holds", "fails", "open"]
Verdict = Literal["reproduced", "refuted", "not decided"]


@dataclass(frozen=True, eq=False)
class Measured:
    """What an experiment measured.

    values: of each measure and arm, the numbers of n repetitions (n,); arms share them, in order.
    test_share: how much repetitions depend on each other, as in `paired_difference`. rows: distinct
    rows on which was decided, where measures are shares of them (`shares`); None: not known.
    curves: of each measure and arm, (n, E) over epochs. chosen: what each arm tuned. x: what the
    curves run over, where it is not epochs.
    """

    values: Mapping[str, Mapping[str, Floats]]
    test_share: float = 1e-9
    rows: int | None = None
    shares: frozenset[str] = frozenset()
    curves: Mapping[str, Mapping[str, Floats]] | None = None
    chosen: Mapping[str, Mapping[str, str]] | None = None
    notes: tuple[str, ...] = ()
    x: Floats | None = None
    x_says: str = "epoch"


@dataclass(frozen=True)
class Outcome:
    """A contrast after the measurement; `more` repetitions would settle it (None: none would)."""

    contrast: Contrast
    estimate: Interval
    p: float
    state: State
    more: int | None = 0


@dataclass(frozen=True)
class Decision:
    """The verdict of a claim, what came of each contrast, and what would settle an open one."""

    verdict: Verdict
    outcomes: tuple[Outcome, ...]
    settle: str = ""


def combined(values: Sequence[Floats], combine: Combine, x: Sequence[float] = ()) -> Floats:
    """One number per repetition (n,) of the numbers of several arms, each (n,).

    >>> combined([np.array([1.0]), np.array([4.0])], "range").tolist()
    [3.0]
    """
    table = np.stack([np.asarray(v, dtype=np.float64) for v in values])
    if combine == "range":
        return np.asarray(table.max(axis=0) - table.min(axis=0))
    if combine == "max":
        return np.asarray(table.max(axis=0))
    if combine == "min":
        return np.asarray(table.min(axis=0))
    if combine == "slope":
        centred = np.asarray(x, dtype=np.float64) - np.mean(x)
        return np.asarray(centred @ table / (centred @ centred))
    return np.asarray(table.mean(axis=0))


def numbers(contrast: Contrast, measured: Measured) -> Floats:
    """The contrast's number in every repetition (n,); of a ratio its logarithm."""
    of_arm = measured.values[contrast.measure]

    def term(arms: Sequence[str]) -> Floats:
        found = combined([of_arm[a] for a in arms], contrast.combine, contrast.x)
        return np.log(np.maximum(found, 1e-300)) if contrast.ratio else found

    found = term(contrast.of)
    for arms, sign in (
        (contrast.minus, -1.0),
        (contrast.than_of, -1.0),
        (contrast.than_minus, 1.0),
    ):
        if arms:
            found = found + sign * term(arms)
    return found


def judge(contrast: Contrast, measured: Measured) -> tuple[Outcome, PairedDifference | None]:
    """What came of one contrast looked at alone."""
    values = numbers(contrast, measured)
    bound = math.log(contrast.bound) if contrast.ratio else contrast.bound
    back = math.exp if contrast.ratio else float
    if not contrast.sampled:
        value = back(float(values.mean()))
        exact = Interval(value, value, value)
        return Outcome(contrast, exact, 0.0, state_of(contrast, exact, 0.0)), None
    rows = measured.rows if contrast.measure in measured.shares and not contrast.ratio else None
    shift = 0.0 if contrast.expect == "within" else bound
    repetitions = np.arange(len(values))
    found = paired_difference(
        values - shift,
        np.zeros(len(values)),
        repetitions,
        np.zeros(len(values)),
        measured.test_share,
        rows,
    )
    ends = found.interval
    estimate = Interval(*(_back(v + shift, back) for v in (ends.value, ends.low, ends.high)))
    return Outcome(contrast, estimate, found.p, state_of(contrast, estimate, found.p)), found


def _back(value: float, back: object) -> float:
    if back is math.exp:
        return math.exp(value) if value < 700 else math.inf
    return value


def state_of(contrast: Contrast, estimate: Interval, p: float) -> State:
    """Whether a contrast holds, by its interval and the sign-flip p (of the margin).

    >>> gain = Contrast("gain", "accuracy", ("a",), ("b",), refuted=0.005)
    >>> state_of(gain, Interval(0.02, 0.01, 0.03), 0.002)
    'holds'
    >>> state_of(gain, Interval(0.0, -0.004, 0.004), 0.9), state_of(gain, Interval(0, -1, 1), 1.0)
    ('fails', 'open')
    """
    low, high, bound = estimate.low, estimate.high, contrast.bound
    if contrast.expect == "within":
        least = 1 / bound if contrast.ratio else -bound
        if low >= least and high <= bound:
            return "holds"
        return "fails" if low > bound or high < least else "open"
    fails_at = bound if contrast.refuted is None else contrast.refuted
    if contrast.expect == "above":
        if high < fails_at:
            return "fails"
        return "holds" if low > bound and p <= LEVEL else "open"
    if low > fails_at:
        return "fails"
    return "holds" if high < bound and p <= LEVEL else "open"


def decide(claim: Claim, measured: Measured) -> Decision:
    """The verdict by the rule of the claim's file.

    Holm's adjustment is made over its primary contrasts. "all": reproduced when every primary
    contrast holds, refuted when one fails; "any": when one holds, and when all fail; "at_least":
    when `count` hold, and when so many fail that `count` cannot hold any more. A control that does
    not hold leaves everything undecided: the experiment did not show what it must show.
    """
    judged = [judge(c, measured) for c in claim.contrasts]
    primary = [i for i, c in enumerate(claim.contrasts) if c.role == "primary"]
    adjusted = holm([judged[i][0].p for i in primary])
    outcomes = [outcome for outcome, _ in judged]
    for i, p in zip(primary, adjusted, strict=True):
        state = state_of(outcomes[i].contrast, outcomes[i].estimate, float(p))
        outcomes[i] = replace(outcomes[i], p=float(p), state=state)
    for i, (outcome, (_, found)) in enumerate(zip(outcomes, judged, strict=True)):
        if outcome.state == "open":
            outcomes[i] = replace(outcome, more=_more(outcome.contrast, found))
    states = [outcomes[i].state for i in primary]
    verdict = combine_states(states, claim)
    controls = [o for o in outcomes if o.contrast.role == "control" and o.state != "holds"]
    if controls:
        names = ", ".join(o.contrast.name for o in controls)
        words = f"the control did not hold ({names}): the experiment must be mended or enlarged"
        return Decision("not decided", tuple(outcomes), words)
    settle = ""
    if verdict == "not decided":
        settle = _settle([outcomes[i] for i in primary if outcomes[i].state == "open"])
    return Decision(verdict, tuple(outcomes), settle)


def combine_states(states: Sequence[State], claim: Claim) -> Verdict:
    """The verdict by the states of the primary contrasts."""
    holds, fails = states.count("holds"), states.count("fails")
    needed = {"all": len(states), "any": 1, "at_least": claim.count}[claim.decide]
    if holds >= needed:
        return "reproduced"
    return "refuted" if fails > len(states) - needed else "not decided"


def _more(contrast: Contrast, found: PairedDifference | None) -> int | None:
    """How many more repetitions would settle an open contrast, if the estimate stays."""
    if found is None:
        return None
    if contrast.expect == "within":
        region = math.log(contrast.bound) if contrast.ratio else contrast.bound
        more = seeds_to_settle(found, region)
    else:
        more = seeds_to_settle(found, 0.0)
    return None if more is None else max(1, more * found.folds)


def _settle(open_ones: Sequence[Outcome]) -> str:
    numbers = [o.more for o in open_ones]
    if not numbers:
        return "contrasts speak against each other"
    if any(n is None for n in numbers):
        return "more repetitions on these rows would not settle it: more data would"
    most = max(n for n in numbers if n is not None)
    return f"about {most} more repetitions would settle it, if the estimate stays"
