"""What the doctor and the published tools say about every run of the zoo, and whether it is so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.doctor.cases import Case
from benchmarks.doctor.checks import best_reference, load_run
from benchmarks.doctor.published import MEANS, symptoms
from benchmarks.doctor.truth import Truth, truth_of_fault, truth_of_healthy
from benchmarks.doctor.zoo import is_done, load_card, sides
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Finding
from trainwell.doctor.thresholds import THRESHOLDS

try:
    from trainwell.doctor.diagnose import diagnose
except ModuleNotFoundError:  # not in this version
    diagnose = None  # type: ignore[assignment]

FIRST = 2  # findings among which the right cause must be
MOMENTS = np.array([0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])  # of a training
DOCTOR = "doctor"


@dataclass(frozen=True)
class Said:
    """One finding, shortened."""

    code: str
    level: str
    words: str
    evidence: str = ""


@dataclass(frozen=True)
class Judged:
    """One run and what was said about it.

    alarms: findings that are faults or warnings, by tool, in order (a tool's symptoms have none).
    right: by tool, whether a right cause is among the first two. moment: share of the training
    after which the doctor is right for the first time; 0: before it; nan: never, or not asked.
    """

    case: str
    family: str
    run: int
    half: str
    faulty: bool
    severity: str
    codes: tuple[str, ...]
    findings: tuple[Said, ...]
    alarms: Mapping[str, tuple[str, ...]]
    right: Mapping[str, bool]
    moment: float = float("nan")


def truths(cases: Sequence[Case], home: Path) -> dict[str, Truth]:
    """The truth about every configuration that is trained, and whose twin is."""
    half = sides(cases)
    done = {c.name: load_card(c.name, home) for c in cases if is_done(c, home)}
    found: dict[str, Truth] = {}
    for case in cases:
        if case.name not in done or (case.faulty and case.twin not in done):
            continue
        if case.faulty:
            truth = truth_of_fault(done[case.name], done[case.twin])
        else:
            truth = truth_of_healthy(done[case.name], best_reference(case, home))
        found[case.name] = dataclasses.replace(truth, half=half[case.name])
    return found


def judge(
    cases: Sequence[Case],
    truth: Mapping[str, Truth],
    home: Path,
    half: str = "both",
    moments: bool = False,
    processes: int = 1,
) -> list[Judged]:
    """All runs that count (faults that hit, sound healthy ones) of a half."""
    wanted = [
        (case, run, home, truth[case.name].half, moments)
        for case in cases
        if case.name in truth and half in ("both", truth[case.name].half)
        for run in range(case.runs)
        if truth[case.name].hit[run]
    ]
    if processes == 1:
        return [_judge_one(*job) for job in wanted]
    with ProcessPoolExecutor(processes) as executor:
        return list(executor.map(_judge_one, *zip(*wanted, strict=True), chunksize=8))


def _judge_one(case: Case, run: int, home: Path, half: str, moments: bool) -> Judged:
    evidence = load_run(case, run, home)
    findings = diagnosed(evidence)
    alarms = {DOCTOR: tuple(f.code for f in findings if f.level in ("fault", "warning"))}
    right = {DOCTOR: is_right(alarms[DOCTOR], case.codes)}
    for tool, seen in symptoms(evidence).items():
        alarms[tool] = tuple(sorted(seen))
        right[tool] = any(MEANS[s] & set(case.codes) for s in seen)
    said = tuple(Said(f.code, f.level, f.words, numbers_of(f)) for f in findings)
    moment = _moment(evidence, case) if moments and right[DOCTOR] else float("nan")
    return Judged(
        case.name,
        case.family,
        run,
        half,
        case.faulty,
        case.severity,
        case.codes,
        said,
        alarms,
        right,
        moment,
    )


def numbers_of(finding: Finding) -> str:
    """What a finding measured, on one line."""
    return ", ".join(f"{m.name} {m.value:.3g}" for m in finding.evidence)


def diagnosed(evidence: Evidence, ended: bool = True) -> Sequence[Finding]:
    """All findings; those of the checks alone where there are no rules."""
    if diagnose is None:
        return [f for f in (c.as_finding() for c in evidence.checks) if f is not None]
    return diagnose(evidence, THRESHOLDS, ended).findings


def is_right(alarms: Sequence[str], codes: Sequence[str]) -> bool:
    """Whether a right code is among the first alarms."""
    return any(code in codes for code in alarms[:FIRST])


def _moment(evidence: Evidence, case: Case) -> float:
    """After which share of the training the doctor first says a right cause; 1 with all of it."""
    before = [f for f in (c.as_finding() for c in evidence.checks) if f is not None]
    if any(f.code in case.codes and f.level in ("fault", "warning") for f in before):
        return 0.0
    epochs = len(evidence.points)
    for share in MOMENTS[:-1]:
        epoch = int(np.ceil(share * epochs))
        if epoch == epochs:
            break
        early = diagnosed(evidence.until(float(evidence.points[epoch - 1])), ended=False)
        codes = [f.code for f in early if f.level in ("fault", "warning")]
        if is_right(codes, case.codes):
            return epoch / epochs
    return 1.0


def say_development(judged: Sequence[Judged]) -> None:
    """Misses and false alarms by configuration, with the findings' words."""
    runs: dict[str, list[Judged]] = {}
    for one in judged:
        runs.setdefault(one.case, []).append(one)
    for name, mine in sorted(runs.items(), key=lambda item: (item[1][0].faulty, item[0])):
        if not mine[0].faulty:
            bad = [j for j in mine if j.alarms[DOCTOR]]
            if bad:
                print(f"\nFALSE ALARM {name}: {len(bad)} of {len(mine)} runs")
                _say(bad)
            continue
        missed = [j for j in mine if not j.alarms[DOCTOR]]
        wrong = [j for j in mine if j.alarms[DOCTOR] and not j.right[DOCTOR]]
        if missed or wrong:
            right = len(mine) - len(missed) - len(wrong)
            print(
                f"\n{name} ({' '.join(mine[0].codes)}): right in {right} of {len(mine)} runs, "
                f"wrong in {len(wrong)}, silent in {len(missed)}"
            )
            _say(wrong or missed)


def _say(judged: Sequence[Judged]) -> None:
    """Every different finding once, with how many runs have it and one run's words."""
    found: dict[tuple[str, str], list[Any]] = {}
    for one in judged:
        for said in one.findings:
            found.setdefault((said.code, said.level), []).append(said)
    for (code, level), every in found.items():
        print(f"   {level:7s} {code} in {len(every)}: {every[0].words} [{every[0].evidence}]")
