"""What checks made before a training weigh once it has ended, and which arm of a race explains.

A finding needs a symptom and a consequence: an initial state or a set-up that looked doubtful and
then trained well is a note; one that was only doubtful and then trained badly is a warning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from trainwell.doctor import reading, series
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Finding
from trainwell.doctor.thresholds import Thresholds
from trainwell.stats import wilson

DOUBTS = ("I02", "I03", "I04", "I05", "N06", "N08", "R02", "R03", "F08", "F09")  # of checks
SETUPS = ("N06", "N07")  # notes of checks that a bad training turns into warnings
ARMS = {  # what an arm of a race that wins is a remedy for
    "regularisation off": "F03",
    "no augmentation": "D14",
    "regularised": "F01",
    "more dropout": "F01",
    "more L2": "F01",
    "wider": "F02",
    "deeper": "F02",
    "longer": "R10",
    "annealed": "R09",
}


def weighed(checks: Iterable[Finding], evidence: Evidence, limits: Thresholds) -> list[Finding]:
    """Findings of checks, each at the level that what came of it gives it.

    Without any curve they stay as they are.
    """
    levels = reading.level(evidence, limits)
    if not np.isfinite(levels).any():
        return list(checks)
    well = bool((levels < limits.poor).all()) and not reading.broken(evidence).any()
    well = well and not _below_simple(evidence, limits.reach, limits)
    badly = bool((levels >= limits.learned).all()) or bool(reading.broken(evidence).all())
    badly = badly or _below_simple(evidence, limits.race_fault, limits)
    learned = series.average(reading.best_level(evidence)) < limits.stuck
    learned = learned and evidence.has("val_loss")
    found = []
    for finding in checks:
        if finding.name == "misaligned-labels" and learned:
            if finding.level == "note":  # a doubt that is settled
                continue
            words = (
                f"{finding.words} Yet the network predicts those of rows that it did not train on."
            )
            finding = dataclasses.replace(finding, level="note", words=words, confidence=0.3)
        elif finding.level == "warning" and finding.code in DOUBTS and well:
            words = f"{finding.words} The training went well all the same."
            finding = dataclasses.replace(finding, level="note", words=words, confidence=0.4)
        elif finding.level == "note" and finding.code in SETUPS and badly:
            words = f"{finding.words} Little was learned."
            finding = dataclasses.replace(finding, level="warning", words=words, confidence=0.7)
        found.append(finding)
    return found


def _below_simple(evidence: Evidence, reach: float, limits: Thresholds) -> bool:
    """Whether a simple model is better by this on held-out rows; False where none is known."""
    found = reading.final_accuracy(evidence, "val_accuracy", limits)
    best = max(evidence.reference.values(), default=None)
    return found is not None and best is not None and found.value < best - reach


def without_harm(
    findings: Iterable[Finding], evidence: Evidence, limits: Thresholds
) -> list[Finding]:
    """Imbalance that no class suffers from is a note: a remedy is in use, or the recall of every
    rare class is surely more than `recall_share` of the mean."""
    every = list(findings)
    if any(f.code == "F05" for f in every) or not _rare_are_found(evidence, limits):
        return every
    return [
        dataclasses.replace(
            f,
            level="note",
            words=f"{f.words} No class is ignored.",
            confidence=0.5,
        )
        if f.code == "D08" and f.level == "warning"
        else f
        for f in every
    ]


def _rare_are_found(evidence: Evidence, limits: Thresholds) -> bool:
    if evidence.setup.balanced:
        return True
    if evidence.confusion is None:
        return False
    counts = evidence.confusion.sum(axis=1)
    if not counts.min():
        return False
    right = np.diag(evidence.confusion)
    mean = float((right / counts).mean())
    rare = counts * limits.imbalance < counts.max()
    return all(
        wilson(int(r), int(n), limits.confidence).low > limits.recall_share * mean
        for r, n in zip(right[rare], counts[rare], strict=True)
    )


def race_explains(evidence: Evidence, limits: Thresholds) -> tuple[str, tuple[str, ...]]:
    """The code of the arm that gained most in a race, and the codes of arms that gained less than
    `race_share` of it: what those found is a symptom of the same cause. ("", ()) without one."""
    gains: dict[str, float] = {}
    for arm in evidence.race[1:]:
        against = reading.duel(evidence, arm.name, limits)
        if against is None or not (against.wins(limits) or against.leans(limits)):
            continue
        rate = reading.RATE.fullmatch(arm.name)
        code = ARMS.get(arm.name, "")
        if rate:
            code = "R03" if rate[1] == "x" else "R02"
        if code:
            gains[code] = max(gains.get(code, 0.0), against.accuracy.value)
    if len(gains) < 2:
        return "", ()
    best = max(gains, key=lambda code: gains[code])
    less = tuple(c for c, gain in gains.items() if gain < limits.race_share * gains[best])
    return (best, less) if less else ("", ())
