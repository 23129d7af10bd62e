"""What the coach tells, in words for a person: reasons, changes old → new, levels and gains.

Statistics stay in decisions.json; here are the numbers that a person needs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from trainwell.coach.decision import Decision
from trainwell.doctor.finding import Finding
from trainwell.metrics import Metric
from trainwell.recipe import Recipe
from trainwell.terminal import metric_words
from trainwell.verdict import LEVEL, unit_of

ADVICE = {  # codes that are no finding's
    "rate": "learning rate, looked at first",
    "gap": "gap between training and validation",
    "no gap": "errors on training rows",
    "unusual": "an unusual choice",
    "usual": "usual advice",
    "imbalance": "uneven classes",
}
ANOTHER = "another change was adopted"
PARTLY = ("screened out", "not proved")  # outcomes of what was trained, but not in full
FIELDS = {
    "lr": "learning rate",
    "hidden": "hidden units",
    "norm": "normalisation",
    "optimizer": "optimiser",
    "init": "initial weights",
    "batch_size": "batch size",
    "regularize": "regularisation",
    "augment": "augmentation",
    "preprocess": "pre-processing",
}


def reason(because: str, findings: Iterable[Finding]) -> str:
    """Why something is tried: the finding's name, or the advice.

    >>> reason("no gap", ())
    'errors on training rows'
    """
    names = {f.code: f.name.replace("-", " ") for f in findings}
    return names.get(because) or ADVICE.get(because, because)


def seen(because: str, findings: Iterable[Finding], gap: float, error: float) -> str:
    """The numbers behind a reason: the finding's words, or errors and gap.

    gap: training minus validation accuracy; error: on training rows; both shares.

    >>> seen("gap", (), 0.061, 0.031)
    'errors on 3.1 % of training rows and 9.2 % of validation rows, a gap of 6.1 points'
    """
    words = {f.code: f.words for f in findings}
    if because in words:
        return words[because]
    return (
        f"errors on {100 * error:.1f} % of training rows and {100 * (error + gap):.1f} % of "
        f"validation rows, a gap of {100 * gap:.1f} points"
    )


def changed(before: Recipe, after: Recipe) -> tuple[str, ...]:
    """Every field in which two recipes differ, old → new.

    >>> changed(Recipe(lr=2.0), Recipe(lr=0.01, patience=5))
    ('learning rate 2 → 0.01', 'patience 20 → 5')
    """
    found: list[str] = []
    for name in sorted((f.name for f in dataclasses.fields(Recipe)), key=lambda n: n != "lr"):
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        if dataclasses.is_dataclass(old) and type(old) is type(new):
            found += [
                _one(f.name, getattr(old, f.name), getattr(new, f.name))
                for f in dataclasses.fields(old)
                if getattr(old, f.name) != getattr(new, f.name)
            ]
        else:
            found.append(_one(name, old, new))
    return tuple(found)


def _one(name: str, old: Any, new: Any) -> str:
    label = FIELDS.get(name, name.replace("_", " "))
    return f"{label} {short(old)} → {short(new)}"


def short(value: Any) -> str:
    """A value of a recipe in few letters: of a technique only what is not as usual.

    >>> from trainwell.techniques.optim.first_order import Adam
    >>> short(Adam()), short((8,)), short(()), short(Adam(beta1=0.8))
    ('Adam', '8', 'none', 'Adam(beta1=0.8)')
    """
    if value is None or value == ():
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ("-" if all(isinstance(v, int) for v in value) else " + ").join(map(short, value))
    if not dataclasses.is_dataclass(value):
        return repr(value)
    given = []
    for f in dataclasses.fields(value):
        own = getattr(value, f.name)
        if f.default is dataclasses.MISSING or own != f.default:
            given.append(f"{f.name}={short(own)}")
    return type(value).__name__ + (f"({', '.join(given)})" if given else "")


def level(score: float, metric: Metric) -> str:
    """A score as such, never as a difference.

    >>> level(0.904, "accuracy"), level(-0.3124, "log_loss"), level(0.5, "macro_f1")
    ('90.4 %', 'a log loss of 0.312', '50.0 % macro F1')
    """
    if metric == "log_loss":
        return f"a log loss of {-score:.3f}"
    name = "" if metric == "accuracy" else " " + metric_words(metric)
    return f"{100 * score:.1f} %{name}"


def in_short(score: float | None, best: float, metric: Metric) -> str:
    """What a candidate reached in short trainings, beside the best of those that went on.

    >>> in_short(0.9042, 0.95, "accuracy"), in_short(0.95, 0.95, "accuracy")
    ('reached 90.4 % in short trainings; others did better', 'reached 95.0 % in short \
trainings; others did as well')
    """
    if score is None or not math.isfinite(score):
        return "diverged in short trainings"
    unit = unit_of(metric)
    mine, other = (round(unit.scale * s, unit.digits) for s in (score, best))
    beside = "others did better" if other > mine else "others did as well"
    if mine > other:
        beside = "others did about as well and come first"
    return f"reached {level(score, metric)} in short trainings; {beside}"


def told(decision: Decision, metric: Metric) -> str:
    """A decision in plain words: gain and interval, and what was changed where it was adopted."""
    d, unit = decision, unit_of(metric)
    if d.difference is None:
        return d.words
    value, low, high = (unit.scale * v for v in vars(d.difference).values())
    of = " of log loss" if metric == "log_loss" else ""
    size = f"{abs(value):.{unit.digits}f} {unit.name}{of}"
    known = math.isfinite(low) and math.isfinite(high)
    ends = f" ({low:+.{unit.digits}f} to {high:+.{unit.digits}f})" if known else ""
    if d.outcome in ("adopted", "proved, not needed"):
        by_rows = d.rows_p is not None and d.rows_p <= LEVEL and d.words.startswith("better")
        by = ends if known and low > 0 else " (all held-out rows together show it)"
        words = f"better by {size}{by}" if by == ends or by_rows else d.words
        if d.outcome == "adopted":
            return f"{words}; changed: {', '.join(d.changed)}" if d.changed else words
        return words if words.endswith(ANOTHER) else f"{words}; {ANOTHER}"
    if d.outcome == "worse":
        return f"worse by {size}{ends}"
    as_much = "; the placebo gained as much" if "the placebo gained as much" in d.words else ""
    return f"{value:+.{unit.digits}f} {unit.name}{of}{ends}{as_much}"


def line(decision: Decision) -> str:
    """One line of terminal and log: what was tried, what came of it."""
    d = decision
    plain = d.told or d.words
    if d.outcome in ("screened out", "worse") or plain.startswith(d.outcome):
        return f"{d.tried}: {plain}"
    return f"{d.tried}: {d.outcome}; {plain}"


def counted(decisions: Sequence[Decision]) -> str:
    """How many remedies were looked at, and how far each went.

    >>> counted(())
    'no remedy was tried'
    """
    full = sum(d.difference is not None for d in decisions)
    brief = sum(d.difference is None and d.outcome in PARTLY for d in decisions)
    not_trained = len(decisions) - full - brief
    if not full + brief:
        return "no remedy was tried"
    adopted = sum(d.outcome == "adopted" for d in decisions)
    number = full + brief
    parts = [f"{number} {'remedy' if number == 1 else 'remedies'} tried"]
    if brief:
        parts[0] += f" ({full} compared in full, {brief} in fewer or shorter trainings)"
    if not_trained:
        parts.append(f"{not_trained} not trained")
    return ", ".join([*parts, f"{adopted or 'none'} adopted"])
