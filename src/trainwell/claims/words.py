"""A claim in words: its rule, its contrasts with numbers, and the paragraph for the reader."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from trainwell.claims.claim import Claim, Contrast
from trainwell.claims.measures import SHARES, UNITS
from trainwell.claims.rules import Outcome
from trainwell.stats import Interval

if TYPE_CHECKING:
    from trainwell.claims.lab import Finding

POINTS = SHARES | {
    "balanced_accuracy",
    "worst_recall",
    "rare_recall",
    "ece",
    "diverged",
    "dead_at_start",
    "dead_at_end",
    "share",
    "recall",
}


def unit_of(measure: str) -> tuple[float, str]:
    """The scale and the unit in which differences of a measure are told.

    >>> unit_of("accuracy"), unit_of("steps_to_target")
    ((100.0, 'points'), (1.0, 'steps'))
    """
    if measure in POINTS:
        return 100.0, "points"
    return 1.0, UNITS.get(measure, "")


def number(value: float) -> str:
    """Three digits, without a trailing exponent for usual sizes.

    >>> number(5.951), number(0.0123), number(1234.5)
    ('5.95', '0.0123', '1234')
    """
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else ("-∞" if value < 0 else "∞")
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 6)}f}"


def told(contrast: Contrast, estimate: Interval) -> str:
    """An estimate with its interval, in the contrast's unit."""
    if contrast.ratio:
        ends = f"({number(estimate.low)} to {number(estimate.high)})"
        return (
            f"{number(estimate.value)} times {ends}"
            if contrast.sampled
            else (f"{number(estimate.value)} times")
        )
    scale, unit = unit_of(contrast.measure)
    sign = "+" if contrast.minus and estimate.value > 0 else ""
    text = f"{sign}{number(scale * estimate.value)}"
    if contrast.sampled:
        low, high = (number(scale * e) for e in (estimate.low, estimate.high))
        return f"{text} {unit} ({low} to {high})".replace("  ", " ")
    return f"{text} {unit}".strip()


def contrast_words(contrast: Contrast) -> str:
    """Where the contrast's interval must lie.

    >>> contrast_words(Contrast("gain", "accuracy", ("a",), ("b",), margin=0.01))
    'gain: accuracy of a minus b above 1 points'
    """
    scale, unit = (1.0, "") if contrast.ratio else unit_of(contrast.measure)
    how = "" if len(contrast.of) == 1 else f" ({contrast.combine})"
    joined = " over " if contrast.ratio else " minus "
    what = ", ".join(contrast.of)
    if contrast.minus:
        what += f"{joined}{', '.join(contrast.minus)}"
    if contrast.than_of:
        what = f"({what}){joined}({', '.join(contrast.than_of)}"
        what += f"{joined}{', '.join(contrast.than_minus)})" if contrast.than_minus else ")"
    bound = f"{scale * contrast.bound:g} {unit}".strip()
    where = f"within ±{bound}" if contrast.expect == "within" else f"{contrast.expect} {bound}"
    if contrast.ratio:
        where = f"{where} times"
        if contrast.expect == "within":
            where = f"between 1/{bound} and {bound} times"
    return f"{contrast.name}: {contrast.measure.replace('_', ' ')} of {what}{how} {where}"


def rule_words(claim: Claim) -> str:
    """The deciding rule in one sentence per part."""
    primary = [c for c in claim.contrasts if c.role == "primary"]
    controls = [c for c in claim.contrasts if c.role == "control"]
    needed = {
        "all": "all of",
        "any": "at least one of",
        "at_least": f"at least {claim.count} of",
    }[claim.decide]
    text = f"Reproduced when {needed if len(primary) > 1 else ''} ".replace("  ", " ")
    text += "; ".join(map(contrast_words, primary))
    text += " (95 % interval and sign-flip test, Holm over the parts)."
    refuted = [f"{c.name} at {_refuted(c)}" for c in primary if c.refuted is not None]
    if refuted:
        text += f" A part fails beyond: {', '.join(refuted)}."
    if controls:
        text += f" Controls that must hold: {'; '.join(map(contrast_words, controls))}."
    return text


def _refuted(contrast: Contrast) -> str:
    scale, unit = (1.0, "times") if contrast.ratio else unit_of(contrast.measure)
    return f"{scale * (contrast.refuted or 0.0):g} {unit}".strip()


def outcome_words(outcome: Outcome) -> str:
    """One line on what came of a contrast."""
    says = outcome.contrast.says or contrast_words(outcome.contrast)
    return f"{says}: {told(outcome.contrast, outcome.estimate)}, {outcome.state}"


def paragraph(finding: Finding) -> str:
    """What was claimed, what we saw, what it means for you."""
    words, verdict = finding.claim.words, finding.decision.verdict
    meaning = {
        "reproduced": words.reproduced,
        "refuted": words.refuted,
        "not decided": words.undecided,
    }[verdict]
    text = f"{words.claimed} {filled(words.saw, finding)} {filled(meaning, finding)}"
    if finding.own:
        text += f" (The numbers are those of {finding.data}; words were written for "
        text += f"{finding.claim.data}.)"
    return " ".join(text.split())


def filled(text: str, finding: Finding) -> str:
    """The text with {contrast} and {measure:arm} replaced; what is unknown stays as it is."""
    estimates = {o.contrast.name: o for o in finding.decision.outcomes}

    def put(match: re.Match[str]) -> str:
        name, _, arm = match.group(1).partition(":")
        if not arm and name in estimates:
            outcome = estimates[name]
            return told(outcome.contrast, outcome.estimate)
        values = finding.measured.values.get(name, {}).get(arm)
        if values is None:
            return match.group(0)
        scale, unit = unit_of(name)
        shown = number(scale * float(values.mean()))
        return f"{shown} %" if unit == "points" else f"{shown} {unit}".strip()

    return re.sub(r"\{([^{}]+)\}", put, text)
