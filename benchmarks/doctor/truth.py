"""Is a planted change a fault? Decided by its outcome against the healthy twin, on held-out rows.

The twin differs in the planted change alone: same rows, same seeds. A change that does no harm is
"equivalent" and counts neither as faulty nor as healthy. A run of a faulty configuration that
happens to do as well as its twin counts as "spared", also neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.doctor.cases import MEMBERS

Floats = npt.NDArray[np.float64]
Verdict = Literal["fault", "equivalent", "healthy", "unsound"]

ALPHA, EFFECT, POINTS = 0.05, 0.5, 0.02  # p value, Cohen's d, share of rows
SPARED = 0.01  # a run that loses less than this against its twin was not hit
BEHIND = 0.03  # a healthy network may be so far behind the best simple model


@dataclass(frozen=True)
class Truth:
    """What was measured of one configuration.

    loss: mean of (twin - planted) over members, share of rows; of a healthy configuration the
    largest mean gain of an arm of the race. hit: for each run, whether it counts.
    """

    verdict: Verdict
    loss: float
    p_t: float
    p_flip: float
    effect: float
    members: int
    hit: tuple[bool, ...]
    half: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def sign_flip(differences: Floats, resamples: int = 1 << 12) -> float:
    """Two-sided p of the mean of paired differences (n,) under flips of their signs.

    Exact up to 12 differences, else by random flips.

    >>> round(sign_flip(np.ones(5)), 4)
    0.0625
    """
    n, seen = len(differences), abs(differences.mean())
    if n <= 12:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
    else:
        signs = np.random.default_rng(0).choice((-1.0, 1.0), (resamples, n))
    means = np.abs(signs @ differences) / n
    extreme = int((means >= seen - 1e-12).sum())
    return extreme / len(means) if n <= 12 else (extreme + 1) / (len(means) + 1)


def compare(better: Floats, worse: Floats) -> tuple[float, float, float, float]:
    """Mean difference of paired values (n,), p of Student's test, p of sign flips, Cohen's d."""
    from scipy.stats import ttest_rel

    difference = better - worse
    if np.allclose(difference, difference[0]):
        p = 0.0 if abs(difference[0]) > 0 else 1.0
    else:
        p = float(ttest_rel(better, worse).pvalue)
    spread = float(np.sqrt((better.var(ddof=1) + worse.var(ddof=1)) / 2))
    mean = float(difference.mean())
    effect = mean / spread if spread else float(np.sign(mean)) * 99.0
    return mean, p, sign_flip(difference), effect


def truth_of_fault(card: Mapping[str, Any], twin: Mapping[str, Any]) -> Truth:
    """Fault or equivalent, from the cards of a planted configuration and of its twin."""
    count = card["runs"] * MEMBERS
    bad, good = _outcome(card, card["metric"])[:count], _outcome(twin, card["metric"])[:count]
    mean, p_t, p_flip, effect = compare(good, bad)
    proved = max(p_t, p_flip) < ALPHA and effect >= EFFECT and mean >= POINTS
    each = (good - bad).reshape(-1, MEMBERS).mean(axis=1)
    hit = tuple(bool(proved and loss >= SPARED) for loss in each)
    verdict: Verdict = "fault" if proved else "equivalent"
    return Truth(verdict, mean, p_t, p_flip, effect, count, hit)


def _outcome(card: Mapping[str, Any], metric: str) -> Floats:
    """Values (members,) of which more is better."""
    test = np.array(card["test_balanced" if metric == "balanced" else "test_accuracy"])
    if metric == "overstated":
        return test - np.array(card["val_accuracy"])
    return test


def truth_of_healthy(card: Mapping[str, Any], reference: float | None) -> Truth:
    """Healthy, or unsound: twice or half its rate is better by two points, a member has diverged,
    or a simple model is better by three points.

    reference: mean validation accuracy of the best simple model on the same rows.
    """
    arms = np.array(card["race_accuracy"])
    found = [compare(arm, arms[0]) for arm in arms[1:]]
    won = [mean >= POINTS and max(p, flip) < ALPHA for mean, p, flip, _ in found]
    mean, p_t, p_flip, effect = max(found)
    behind = reference is not None and reference - arms[0].mean() > BEHIND
    sound = not any(won) and not any(card["diverged"]) and not behind
    verdict: Verdict = "healthy" if sound else "unsound"
    hit = (sound,) * card["runs"]
    return Truth(verdict, mean, p_t, p_flip, effect, len(arms[0]), hit)


def counted(truths: Sequence[Truth]) -> dict[str, int]:
    """Configurations by verdict, and runs that were spared."""
    found = {v: sum(t.verdict == v for t in truths) for v in ("fault", "equivalent", "healthy")}
    found["unsound"] = sum(t.verdict == "unsound" for t in truths)
    faults = [t for t in truths if t.verdict == "fault"]
    found["spared runs"] = sum(not h for t in faults for h in t.hit)
    return found
