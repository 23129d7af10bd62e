"""Can one see from a single loss curve whether the rate was low, good, high or very high?

The truth is counterfactual, by the loss on new rows after an equal number of epochs: a rate is very
high where training ends no better than knowing nothing; high where half the rate ends lower by a
tenth; low where four times the rate ends at two thirds of the loss or less; else good. Both in the
mean over repetitions, and by two standard errors.
Shapes: A rates, R repetitions, E epochs.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainwell.claims.claim import ArmSpec
from trainwell.claims.rules import Measured
from trainwell.claims.trials import Setup, run_arms

Floats = npt.NDArray[np.float64]
Regime = Literal["very high", "high", "good", "low"]
NAMES: tuple[Regime, ...] = ("very high", "high", "good", "low")
RATES = tuple(2.0**k for k in range(-13, 4))
TAIL = 3  # epochs at the end
STILL = 0.04  # share of the whole fall that a curve still falls in its last quarter: not at rest


def run(setup: Setup) -> Measured:
    """Share of curves that are called right, by regime, and the macro F1 of all."""
    arms = tuple(ArmSpec(f"{r:g}", set={"lr": repr(r)}) for r in RATES)
    inner = dataclasses.replace(setup, claim=dataclasses.replace(setup.claim, arms=arms))
    measured = run_arms(inner)
    assert measured.curves is not None
    curves = np.stack([measured.curves["train_loss"][a.name] for a in arms])
    blank = float(np.log(len(setup.draws().data.classes)))
    true = truths(np.stack([measured.curves["log_loss"][a.name] for a in arms]), blank)
    called = [[call(curve, blank) for curve in rate] for rate in curves]
    shares: dict[str, list[float]] = {name: [] for name in (*NAMES, "all", "good or high")}
    for r in range(curves.shape[1]):
        seen = [calls[r] for calls in called]
        for name in NAMES:
            shares[name].append(right(true, seen, {name}))
        shares["good or high"].append(right(true, seen, {"good", "high"}))
        shares["all"].append(macro_f1(true, seen))
    return Measured(
        {"share": {name: np.array(v) for name, v in shares.items()}},
        measured.test_share,
        curves={"train_loss": {NAMES[i]: c for i, c in enumerate(_examples(curves, true))}},
        notes=tuple(f"rate {r:g}: {t}" for r, t in zip(RATES, true, strict=True)),
    )


def truths(curves: Floats, blank: float) -> list[Regime]:
    """The regime of every rate, from the ends of its curves and of those of other rates."""
    ends = np.log(np.clip(np.nan_to_num(curves[:, :, -TAIL:].mean(axis=2), nan=1e3), 1e-6, 1e3))
    found: list[Regime] = []
    for a in range(len(curves)):
        if np.median(ends[a]) >= np.log(0.9 * blank):
            # As bad as knowing nothing: of a rate too low as well as of one too high.
            rising = a == 0 or np.median(ends[:a].min(axis=0)) < np.log(0.9 * blank)
            found.append("very high" if rising and a > len(curves) // 3 else "low")
        elif a > 0 and lower(ends[a - 1], ends[a], 0.1):
            found.append("high")
        elif a + 2 < len(curves) and lower(ends[a + 2], ends[a], 0.4):
            found.append("low")
        else:
            found.append("good")
    return found


def lower(one: Floats, other: Floats, least: float) -> bool:
    """Whether log losses (R,) are lower by more than `least` and two standard errors of pairs."""
    falls = other - one
    return bool(falls.mean() > least and falls.mean() > 2 * falls.std(ddof=1) / np.sqrt(len(falls)))


def call(curve: Floats, blank: float) -> Regime:
    """What a reader calls one curve (E,) of the training loss; nan after it diverged.

    >>> call(np.array([2.3, 2.25, 2.2, 2.15, 2.1, 2.05, 2.0, 1.95]), 2.3)
    'low'
    >>> call(np.array([2.5, 9.0, np.nan, np.nan]), 2.3)
    'very high'
    """
    if not np.isfinite(curve).all():
        return "very high"
    tail, start = float(curve[-TAIL:].mean()), float(curve[0])
    falling = tail < 0.995 * curve[:-TAIL].min()  # lower than ever: no mere swing
    if tail >= 1.05 * blank or (tail >= 0.9 * blank and not falling):
        return "very high"
    last_quarter = float(curve[len(curve) - 1 - max(TAIL, len(curve) // 4)])
    still = (last_quarter - float(curve[-1])) / max(start - float(curve[-1]), 1e-12)
    if tail >= 0.9 * blank or (falling and still > STILL):
        return "low"
    rises = float((np.diff(curve[3:]) > 0).mean())
    return "high" if rises > 0.3 and tail > 0.01 * blank else "good"


def right(true: list[Regime], called: list[Regime], some: set[Regime]) -> float:
    """The share of the curves of some regimes that are called as they are."""
    hits = [t == c for t, c in zip(true, called, strict=True) if t in some]
    return float(np.mean(hits)) if hits else 0.0


def macro_f1(true: list[Regime], called: list[Regime]) -> float:
    """Mean F1 over the regimes that there are."""
    scores = []
    for name in sorted(set(true)):
        both = sum(t == c == name for t, c in zip(true, called, strict=True))
        scores.append(2 * both / max(1, true.count(name) + called.count(name)))
    return float(np.mean(scores))


def _examples(curves: Floats, true: list[Regime]) -> list[Floats]:
    """Curves of the middle rate of each regime; nan where there is none."""
    found = []
    for name in NAMES:
        places = [i for i, t in enumerate(true) if t == name]
        none = np.full(curves.shape[1:], np.nan)
        found.append(curves[places[len(places) // 2]] if places else none)
    return found
