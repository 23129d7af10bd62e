"""What the doctor says: checks made before training, findings about a training, remedies.

Plain values without any knowledge of how they were found. Codes are those of the catalogue of
problems: D data, N network, I initial weights, R during training, F fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["pass", "note", "warning", "fault"]
LEVELS: tuple[Level, ...] = ("pass", "note", "warning", "fault")  # in order of weight

NO_TIME = "Not decided: the time for checks was up."

# Causes come before symptoms: the order in which problems are looked into and mended. A learning
# rate is cleared before capacity, since one that is too low looks like a network too small.
ORDER = (
    *("D04", "D11", "D10", "N09", "N12", "N13", "N10", "N11", "N15"),
    *("D01", "D02", "D12", "D09", "D13", "D05"),
    *("N02", "N01", "N03", "N04", "N05"),
    *("I01", "R13", "I02", "I03", "I04", "I05", "F08", "F09"),
    *("R01", "R05", "R02", "R03", "R12"),
    *("R04", "R06", "R07", "N06", "N07", "N08", "N14"),
    *("R08", "R14", "R09", "R10", "R11"),
    *("F04", "F03", "D14", "F01", "F02", "D07", "D06", "D08", "F05", "D03", "D15"),
    *("F06", "F07", "F10"),
)


@dataclass(frozen=True)
class Measure:
    """One measured number, its interval where there is one, and what it was compared with.

    >>> Measure("gap", 0.12, 0.08, 0.16, threshold=0.05).to_json()
    {'value': 0.12, 'low': 0.08, 'high': 0.16, 'threshold': 0.05}
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    threshold: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """The numbers by name; what is not finite becomes None."""
        numbers = (self.value, self.low, self.high, self.threshold)
        return dict(zip(("value", "low", "high", "threshold"), map(_number, numbers), strict=True))


@dataclass(frozen=True)
class Remedy:
    """One thing to do, in words, and the fields of a recipe that do it where some do.

    settings: (field, value as text), as `--set FIELD=VALUE` takes them.

    >>> str(Remedy("halve the learning rate", (("lr", "0.005"),)))
    'halve the learning rate: --set lr=0.005'
    """

    says: str
    settings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Words and options, as a person can type them."""
        quoted = [f'"{n}={v}"' if set(v) & set(" ()',*") else f"{n}={v}" for n, v in self.settings]
        options = " ".join(f"--set {text}" for text in quoted)
        return f"{self.says}: {options}" if options else self.says


@dataclass(frozen=True)
class Where:
    """The part of a picture that shows a finding.

    picture: "loss", "accuracy", "layers", "recall", "ladder" or "counts"; epochs: first and last;
    layer: its place in the network; classes: their numbers.
    """

    picture: str
    epochs: tuple[float, float] | None = None
    layer: str | None = None
    classes: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "picture": self.picture,
            "epochs": None if self.epochs is None else list(self.epochs),
            "layer": self.layer,
            "classes": list(self.classes),
        }


@dataclass(frozen=True)
class Finding:
    """One diagnosed problem: code, words, evidence with intervals, remedies in order.

    confidence: 0 to 1, how sure the evidence makes it. slide: of the lecture.
    """

    code: str
    name: str  # of the problem, for instance "learning-rate-too-high"
    level: Level
    confidence: float
    words: str
    evidence: tuple[Measure, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    where: Where | None = None
    slide: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data, as findings.json and `diagnose --json` hold it."""
        return {
            "code": self.code,
            "name": self.name,
            "level": self.level,
            "confidence": round(self.confidence, 3),
            "words": self.words,
            "evidence": {m.name: m.to_json() for m in self.evidence},
            "remedies": [str(r) for r in self.remedies],
            "where": None if self.where is None else self.where.to_json(),
            "slide": self.slide,
        }


@dataclass(frozen=True)
class Check:
    """One check made before training: its level, the number, and the reason in words."""

    code: str
    name: str  # of the problem that is looked for, for instance "unscaled-inputs"
    level: Level
    value: float | None
    threshold: float | None
    words: str
    remedies: tuple[Remedy, ...] = ()
    slide: str = ""

    @property
    def undecided(self) -> bool:
        """Whether it was not made, for lack of time."""
        return self.level == "note" and self.value is None and self.words == NO_TIME

    def to_json(self) -> dict[str, Any]:
        """Plain data, as `check --json` prints it."""
        return {
            "code": self.code,
            "name": self.name,
            "level": self.level,
            "value": _number(self.value),
            "threshold": _number(self.threshold),
            "words": self.words,
            "remedies": [str(r) for r in self.remedies],
            "slide": self.slide,
        }

    def as_finding(self) -> Finding | None:
        """The finding that a failed check is; None when it passed or was not made."""
        if self.level == "pass" or self.undecided:
            return None
        evidence: tuple[Measure, ...] = ()
        if self.value is not None and math.isfinite(self.value):
            measured = self.name.replace("-", "_")
            evidence = (Measure(measured, float(self.value), threshold=self.threshold),)
        confidence = {"note": 0.5, "warning": 0.8, "fault": 0.95}[self.level]
        return Finding(
            self.code,
            self.name,
            self.level,
            confidence,
            self.words,
            evidence,
            self.remedies,
            slide=self.slide,
        )


def out_of_time(code: str, name: str, slide: str = "") -> Check:
    """A check that was not made for lack of time: a note, which is no finding.

    >>> late = out_of_time("F08", "cannot-overfit-tiny-batch")
    >>> late.level, late.words, late.as_finding()
    ('note', 'Not decided: the time for checks was up.', None)
    """
    return Check(code, name, "note", None, None, NO_TIME, (), slide)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Faults, then warnings, then notes; within a level causes before symptoms (`ORDER`)."""
    place = {code: number for number, code in enumerate(ORDER)}
    return sorted(
        findings,
        key=lambda f: (-LEVELS.index(f.level), place.get(f.code, len(ORDER)), -f.confidence),
    )


def counts_by_level(levels: Iterable[Level]) -> Mapping[Level, int]:
    """How many of each level, worst first.

    >>> counts_by_level(["pass", "fault", "pass"])
    {'fault': 1, 'warning': 0, 'note': 0, 'pass': 2}
    """
    found = list(levels)
    return {level: found.count(level) for level in reversed(LEVELS)}
