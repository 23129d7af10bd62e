"""The diagnosis: all rules over one training's evidence, causes before symptoms.

A rule is a function `(evidence, limits) -> Finding | None`, silent when unsure. `RULES` is the
whole list, `EXPLAINS` says which finding makes another one a mere symptom.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainwell.doctor import (
    fit_rules,
    gradient_rules,
    initial_rules,
    label_rules,
    outcome_rules,
    rate_rules,
    reading,
    schedule_rules,
    stopping_rules,
)
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import LEVELS, ORDER, Finding, worst_first
from trainwell.doctor.missing import missing_words
from trainwell.doctor.network_remedies import with_settings
from trainwell.doctor.thresholds import THRESHOLDS, Thresholds
from trainwell.doctor.weighing import race_explains, weighed, without_harm


@dataclass(frozen=True)
class Rule:
    """One rule: the problem it looks for, the function, and what evidence it cannot do without.

    needs: series or measures of layers by name; or "classes", "confusion", "race", "reference",
    "setup.depth" and other fields of the set-up. "a|b": one of them is enough.
    """

    code: str
    name: str
    rule: Callable[[Evidence, Thresholds], Finding | None]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Undecidable:
    """A problem that could not be looked for, and what is missing."""

    code: str
    name: str
    missing: tuple[str, ...]
    words: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "code": self.code,
            "name": self.name,
            "missing": list(self.missing),
            "words": self.words,
        }


LOSS, CLASSES = "train_loss", "classes"

RULES: tuple[Rule, ...] = (
    Rule("R01", "loss-not-finite", rate_rules.loss_not_finite, ("train_loss|val_loss|diverged",)),
    Rule("N13", "wrong-sign", rate_rules.wrong_sign, ("train_loss", "update", CLASSES)),
    Rule("D10", "labels-not-learnable", label_rules.labels_not_learnable, ("val_loss", CLASSES)),
    Rule(
        "I01",
        "weights-begin-at-zero",
        initial_rules.weights_begin_equal,
        ("train_loss|diverged", "weight", CLASSES),
    ),
    Rule(
        "I02",
        "initial-weights-too-large",
        initial_rules.weights_begin_too_large,
        ("train_loss|diverged", "spread", CLASSES),
    ),
    Rule(
        "I03",
        "initial-weights-too-small",
        initial_rules.weights_begin_too_small,
        ("train_loss|diverged", "spread", CLASSES),
    ),
    Rule(
        "R02", "learning-rate-too-high", rate_rules.learning_rate_too_high, ("train_loss|diverged",)
    ),
    Rule("R03", "learning-rate-too-low", rate_rules.learning_rate_too_low, (LOSS, CLASSES)),
    Rule(
        "R12",
        "unusual-optimiser-settings",
        schedule_rules.optimiser_settings,
        ("setup.momentum|setup.eps",),
    ),
    Rule("R14", "schedule-collapsed", schedule_rules.schedule_collapsed, (LOSS, "lr", CLASSES)),
    Rule(
        "R04",
        "vanishing-gradient",
        gradient_rules.vanishing_gradient,
        (LOSS, "gradient", CLASSES),
    ),
    Rule(
        "R05",
        "exploding-gradient",
        gradient_rules.exploding_gradient,
        (LOSS, "gradient", CLASSES),
    ),
    Rule("R06", "dying-relu", gradient_rules.dying_relu, ("dead",)),
    Rule("R07", "saturated-units", gradient_rules.saturated_units, ("saturated",)),
    Rule(
        "R13",
        "deep-without-normalisation",
        gradient_rules.deep_without_normalisation,
        (LOSS, "setup.depth", CLASSES),
    ),
    Rule("R08", "oscillating-loss", stopping_rules.oscillating_loss, (LOSS, CLASSES)),
    Rule("R09", "plateau-at-constant-rate", stopping_rules.plateau, (LOSS, CLASSES)),
    Rule("R10", "stopped-too-early", stopping_rules.stopped_too_early, ("val_loss|train_loss",)),
    Rule("R11", "trained-too-long", stopping_rules.trained_too_long, ("val_loss",)),
    Rule(
        "F04",
        "collapsed-predictor",
        outcome_rules.collapsed_predictor,
        ("val_loss|confusion", CLASSES),
    ),
    Rule(
        "F03",
        "too-much-regularisation",
        fit_rules.too_much_regularisation,
        ("race:regularisation off|setup.dropout|setup.l2",),
    ),
    Rule("D14", "augmentation-hurts", fit_rules.augmentation_hurts, ("race:no augmentation",)),
    Rule(
        "F01", "overfitting", fit_rules.overfitting, ("train_accuracy", "val_accuracy", "val_loss")
    ),
    Rule(
        "F02",
        "underfitting",
        fit_rules.underfitting,
        ("train_accuracy", "val_accuracy", "reference|race:wider|race:deeper|race:longer"),
    ),
    Rule("F05", "minority-ignored", outcome_rules.minority_ignored, ("confusion",)),
    Rule("F06", "too-good-to-be-true", outcome_rules.too_good, ("train_accuracy", "val_accuracy")),
    Rule("F07", "no-verdict", outcome_rules.no_verdict, ("val_accuracy",)),
    Rule("F10", "ensemble-pays", outcome_rules.ensemble_pays, ("confusion", "val_accuracy")),
)

# A finding of the left, unless a note, makes those of the right its symptoms: they become notes
# behind it. Written out, not derived: whoever asks why reads it here.
_STUCK = ("R02", "R03", "R04", "R06", "R07", "R08", "R10", "R13", "F01", "F02", "F03", "F04")
_BROKEN = ("F08", "F09", "I05", "R01")
EXPLAINS: Mapping[str, tuple[str, ...]] = {
    "D04": ("R01", "R02", "R05", "F04"),
    "D11": ("F04", "D10", "R01", "F05"),
    "D10": ("F01", "F02", "F04", "R03", "R08", "R10"),
    "D01": ("I02", "R01", "R05", *_STUCK),
    "D02": ("I03", "R03", "R04", "R10", "F02", "F04"),
    **dict.fromkeys(("N01", "N02", "N03", "N04", "N05", "N09", "N13"), (*_BROKEN, *_STUCK)),
    "N12": _STUCK,
    "I01": ("I03", "N12", "N05", *_BROKEN, *_STUCK),
    "I02": ("R01", "R05", "I04", *_BROKEN, *_STUCK),
    "I03": ("N12", "N05", "I05", *_BROKEN, *_STUCK),
    "I04": (*_BROKEN, *_STUCK),
    "N08": ("F08", "F09", "R03", "R06", "R10", "F02", "F03"),
    "N06": ("R03", "R04", "R07", "R10", "F02", "F04"),
    "N07": ("R09", "R10", "F02", "F03"),
    "R02": ("R01", "R04", "R05", "R06", "R07", "R08", "R13", "F01", "F02", "F03", "F04", "F05"),
    "R14": ("R03", "R10", "F02", "F04", "F03"),
    "R03": ("R04", "R10", "R13", "F02", "F03", "F04", "F05"),
    "R04": ("R06", "R07", "R13", "F02", "F04", "F05"),
    "R12": ("R01", "R08"),
    "R13": ("I02", "I03", "I04", "R05", *_BROKEN, *(c for c in _STUCK if c != "R13")),
    "R06": ("F02", "F04", "F05"),
    "R07": ("F02", "F04", "F05"),
    "R10": ("F02", "F03"),
    "F03": ("R04", "R06", "R07", "R08", "R10", "F02", "F04", "F05"),
    "F04": ("F02", "F05", "F07"),
    "D05": ("F06",),
    "D13": ("F06",),
    "D08": (),
    "D15": ("F07",),
    "F01": ("R11",),
}


# What every training looks like on its way.
AT_THE_END = ("R09", "R10", "R11", "F02", "F07", "F10")


_SHOWN_AT_ONCE = 8  # findings on one screen


@dataclass(frozen=True)
class Diagnosis:
    """What was found, worst first and causes before symptoms, and what could not be looked for."""

    findings: tuple[Finding, ...]
    not_decidable: tuple[Undecidable, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether there is neither a fault nor a warning."""
        return all(f.level == "note" for f in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as findings.json holds it."""
        return {
            "findings": [f.to_json() for f in self.findings],
            "not_decidable": [u.to_json() for u in self.not_decidable],
        }

    def __str__(self) -> str:
        """One screen: the worst findings with their numbers and first remedy, then notes, a line
        each, then what is not known."""
        lines: list[str] = []
        shown = worst_first(self.findings)[:_SHOWN_AT_ONCE]
        for f in shown:
            sure = f"confidence {f.confidence:.0%}"
            if f.level == "note":
                lines.append(f"NOTE {f.code} {f.name}: {_first_sentence(f.words)}")
                continue
            lines.append(f"{f.level.upper()} {f.code} {f.name} ({sure})")
            lines.append(f"  {f.words}")
            numbers = [f"{m.name} {_number(m.value)}{_bound(m.threshold)}" for m in f.evidence]
            if numbers:
                lines.append(f"  measured: {', '.join(numbers)}")
            if f.remedies:
                lines.append(f"  first: {f.remedies[0]}")
        if not self.findings:
            lines.append("No problem found.")
        left = len(self.findings) - len(shown)
        if left:
            lines.append(f"And {left} more of less weight.")
        if self.not_decidable:
            names = ", ".join(f"{u.code} {u.name}" for u in self.not_decidable)
            text = f"Not decidable from what was written down: {names}."
            lines += textwrap.wrap(text, 100, subsequent_indent="  ", break_on_hyphens=False)
        return "\n".join(lines)


def diagnose(evidence: Evidence, limits: Thresholds = THRESHOLDS, ended: bool = True) -> Diagnosis:
    """All findings about a training and the checks made before it.

    ended: False for one that goes on, for instance `evidence.until(3)`: what only the end can show
    (`AT_THE_END`) is then not said, and a rate is called too low only where nothing was learned.

    A rule whose needs are missing is not asked, and named in `not_decidable`. A check and a rule
    of one code give one finding, the heavier one.

    >>> import numpy as np
    >>> quiet = Evidence(np.arange(1.0, 4), {"train_loss": np.array([[0.9, 0.4, 0.2]])}, classes=2)
    >>> print(str(diagnose(quiet)).splitlines()[0])
    No problem found.
    """
    # A check that could not be made is a note without a number: nothing was found by it.
    made = [c for c in evidence.checks if c.level != "note" or c.value is not None]
    before = [
        with_settings(f, evidence.setup)
        for f in (check.as_finding() for check in made)
        if f is not None
    ]
    found = weighed(before, evidence, limits)
    unknown = []
    for rule in RULES:
        missing = tuple(need for need in rule.needs if not reading.has(evidence, need))
        if not evidence.members:
            missing = missing or ("a training",)
        if missing:
            words = f"{missing_words(missing)}."
            unknown.append(Undecidable(rule.code, rule.name, missing, words))
            continue
        with np.errstate(over="ignore"):  # of losses of 1e308, ratios are infinite
            finding = rule.rule(evidence, limits)
        if finding is not None and (ended or _is_early(finding, limits)):
            found.append(finding)
    known = {f.code for f in found}
    left = tuple(u for u in unknown if u.code not in known)
    told = explained(
        without_harm(heaviest(found), evidence, limits), race_explains(evidence, limits)
    )
    return Diagnosis(tuple(placed(worst_first(told), evidence)), left)


def _is_early(finding: Finding, limits: Thresholds) -> bool:
    """Whether a finding holds for a training that goes on."""
    if finding.code == "R03":
        levels = [m.value for m in finding.evidence if m.name == "loss_over_chance"]
        return bool(levels) and levels[0] >= limits.stuck
    return finding.code not in AT_THE_END


def heaviest(findings: Iterable[Finding]) -> list[Finding]:
    """One finding per code: the heaviest, of equals the surest.

    Notes of different names under one code are kept as one too: the first screen stays short.
    """
    best: dict[str, Finding] = {}
    for finding in findings:
        other = best.get(finding.code)
        if other is None or _weight(finding) > _weight(other):
            best[finding.code] = finding
    return list(best.values())


def explained(
    findings: Iterable[Finding], raced: tuple[str, tuple[str, ...]] = ("", ())
) -> list[Finding]:
    """Findings with mere symptoms made notes that name their cause.

    A cause is as heavy as the heaviest of its symptoms; notes explain nothing. raced: the code that
    won a race by far, and those that it beat: it comes before everything else.
    """
    every = list(findings)
    found = {f.code: f for f in every}
    causes: dict[str, str] = {}
    winner, beaten = raced
    for cause in sorted(found, key=lambda code: (code != winner, _place(code))):
        if found[cause].level == "note" or cause in causes:
            continue
        also = beaten if cause == winner else ()
        for symptom in (*also, *EXPLAINS.get(cause, ())):
            if symptom == cause or (symptom == winner and cause in beaten):
                continue
            if symptom == "F02" and cause == "R03" and "F02" in found and _is_sure(found["F02"]):
                continue  # its rule has seen that another rate does not help enough
            if symptom in found and symptom not in causes:
                causes[symptom] = cause
                heaviest_yet = max((found[cause], found[symptom]), key=_level)
                found[cause] = dataclasses.replace(found[cause], level=heaviest_yet.level)
    return [
        _as_symptom(f, found[causes[f.code]]) if f.code in causes else found[f.code] for f in every
    ]


def _is_sure(finding: Finding) -> bool:
    return finding.level != "note"


def _level(finding: Finding) -> int:
    return LEVELS.index(finding.level)


def _as_symptom(finding: Finding, cause: Finding) -> Finding:
    words = f"{finding.words} {cause.name.capitalize().replace('-', ' ')} ({cause.code}) explains"
    return dataclasses.replace(
        finding,
        level="note",
        confidence=min(finding.confidence, 0.5),
        words=f"{words} this.",
        remedies=cause.remedies[:1],
    )


# The part of a training that shows a problem, as shares of its length.
_SHOWN = {
    "R08": (0.5, 1.0),
    "R09": (0.6, 1.0),
    "R10": (0.8, 1.0),
    "R14": (0.5, 1.0),
    "F02": (0.8, 1.0),
    "F03": (0.8, 1.0),
    "F04": (0.8, 1.0),
}


def placed(findings: Iterable[Finding], evidence: Evidence) -> list[Finding]:
    """Findings with the points of the curves that show them, where the rule has not said which."""
    points = evidence.points
    if not len(points):
        return list(findings)
    found = []
    for finding in findings:
        where = finding.where
        if where is None or where.epochs is not None or where.picture not in ("loss", "accuracy"):
            found.append(finding)
            continue
        begin, end = _SHOWN.get(finding.code, (0.0, 1.0))
        if finding.code in ("F01", "R11") and any(evidence.best):
            begin = sorted(evidence.best)[len(evidence.best) // 2] / max(points[-1], 1)
        first = points[min(int(begin * len(points)), len(points) - 1)]
        last = points[min(int(end * len(points)), len(points) - 1)]
        where = dataclasses.replace(where, epochs=(float(first), float(last)))
        found.append(dataclasses.replace(finding, where=where))
    return found


def _weight(finding: Finding) -> tuple[int, float]:
    return _level(finding), finding.confidence


def _place(code: str) -> tuple[int, str]:
    # Initial weights and labels come before whatever a training shows.
    return (ORDER.index(code) if code in ORDER else len(ORDER), code)


def _first_sentence(words: str) -> str:
    """The first sentence, cut at a line's length."""
    first = re.split(r"(?<=[.!?;])\s", words, maxsplit=1)[0].rstrip(";")
    return first if len(first) <= 110 else first[:109].rsplit(" ", 1)[0] + " ..."


def _number(value: float) -> str:
    return f"{value:.3g}"


def _bound(threshold: float | None) -> str:
    return "" if threshold is None else f" (compared with {threshold:.3g})"


__all__ = [
    "AT_THE_END",
    "EXPLAINS",
    "RULES",
    "THRESHOLDS",
    "Diagnosis",
    "Rule",
    "Undecidable",
    "diagnose",
]
