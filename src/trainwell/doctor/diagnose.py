"""The diagnosis: all rules over one training's evidence, causes before symptoms.

A rule is a function `(evidence, limits) -> Finding | None`, silent when unsure. `RULES` is the
whole list, `EXPLAINS` says which finding makes another one a mere symptom.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainwell.doctor import (
    fit_rules,
    gradient_rules,
    initial_rules,
    outcome_rules,
    rate_rules,
    reading,
    schedule_rules,
    stopping_rules,
)
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import LEVELS, ORDER, Finding, counts_by_level, worst_first
from trainwell.doctor.thresholds import THRESHOLDS, Thresholds


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
    Rule("D10", "labels-not-learnable", outcome_rules.labels_not_learnable, ("val_loss", CLASSES)),
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
EXPLAINS: Mapping[str, tuple[str, ...]] = {
    "D04": ("R01", "R02", "R05", "F04"),
    "D11": ("F04", "D10", "R01", "F05"),
    "D10": ("F01", "F02", "F04", "R03", "R08", "R10"),
    "D01": ("I02", "R01", "R05", *_STUCK),
    "D02": ("I03", "R03", "R04", "R10", "F02", "F04"),
    "I01": ("I03", *_STUCK),
    "I02": ("R01", "R05", *_STUCK),
    "I03": _STUCK,
    "R02": ("R01", "R04", "R05", "R06", "R07", "R08", "R13", "F01", "F02", "F03", "F04", "F05"),
    "R14": ("R03", "R10", "F02", "F04", "F03"),
    "R03": ("R04", "R10", "R13", "F02", "F03", "F04", "F05"),
    "R04": ("R06", "R07", "R13", "F02", "F04", "F05"),
    "R12": ("R01", "R08"),
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
        """One screen: each finding with its numbers and first remedy, then what is not known."""
        lines = []
        for f in self.findings:
            sure = f"confidence {f.confidence:.0%}"
            lines.append(f"{f.level.upper()} {f.code} {f.name} ({sure})")
            lines.append(f"  {f.words}")
            numbers = [f"{m.name} {_number(m.value)}{_bound(m.threshold)}" for m in f.evidence]
            if numbers:
                lines.append(f"  measured: {', '.join(numbers)}")
            if f.remedies:
                lines.append(f"  first: {f.remedies[0]}")
        if not self.findings:
            lines.append("No problem found.")
        if self.not_decidable:
            codes = ", ".join(u.code for u in self.not_decidable)
            lines.append(f"Not decidable from what was written down: {codes}.")
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
    found = [f for f in (check.as_finding() for check in evidence.checks) if f is not None]
    unknown = []
    for rule in RULES:
        missing = tuple(need for need in rule.needs if not reading.has(evidence, need))
        if missing:
            words = f"{rule.name} needs {' and '.join(m.replace('|', ' or ') for m in missing)}."
            unknown.append(Undecidable(rule.code, rule.name, missing, words))
            continue
        finding = rule.rule(evidence, limits)
        if finding is not None and (ended or _is_early(finding, limits)):
            found.append(finding)
    known = {f.code for f in found}
    left = tuple(u for u in unknown if u.code not in known)
    return Diagnosis(tuple(in_order(explained(heaviest(found)))), left)


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


def explained(findings: Iterable[Finding]) -> list[Finding]:
    """Findings with mere symptoms made notes that name their cause.

    A cause is as heavy as the heaviest of its symptoms; notes explain nothing.
    """
    every = list(findings)
    found = {f.code: f for f in every}
    causes: dict[str, str] = {}
    for cause in sorted(found, key=_place):
        if found[cause].level == "note" or cause in causes:
            continue
        for symptom in EXPLAINS.get(cause, ()):
            if symptom in found and symptom not in causes:
                causes[symptom] = cause
                heaviest_yet = max((found[cause], found[symptom]), key=_level)
                found[cause] = dataclasses.replace(found[cause], level=heaviest_yet.level)
    return [
        _as_symptom(f, found[causes[f.code]]) if f.code in causes else found[f.code] for f in every
    ]


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


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first; within a level causes before symptoms."""
    return worst_first(findings)


def _weight(finding: Finding) -> tuple[int, float]:
    return _level(finding), finding.confidence


def _place(code: str) -> tuple[int, str]:
    # Initial weights and labels come before whatever a training shows.
    return (ORDER.index(code) if code in ORDER else len(ORDER), code)


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
    "counts_by_level",
    "diagnose",
]
