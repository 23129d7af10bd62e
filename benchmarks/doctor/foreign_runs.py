"""Trains loops that are not ours under watch, checks them before, and judges what is said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.doctor.checks import plain_check, read_checks
from benchmarks.doctor.foreign_cases import SEEDS, Loop, loops, rows_of, start, train_loop
from benchmarks.doctor.judge import DOCTOR, Judged, Said, diagnosed, is_right, numbers_of
from benchmarks.doctor.truth import ALPHA, EFFECT, POINTS, SPARED, Truth, Verdict, compare
from trainwell.doctor.evidence import Evidence, load_evidence, save_evidence

try:
    from trainwell.doctor.preflight import check
    from trainwell.doctor.watch import watch
except ModuleNotFoundError:  # not in this version
    check = watch = None  # type: ignore[assignment]

ROWS = 1000  # training rows that the checks see, at most
SECONDS = 4.0


def train_foreign(home: Path, seeds: int = SEEDS, again: bool = False) -> None:
    """Train every loop with every seed; what lies in `home` is kept unless `again`."""
    if watch is None or check is None:
        print("foreign loops: skipped, this version cannot watch or check them")
        return
    for loop in loops():
        folder = home / "foreign" / loop.name
        folder.mkdir(parents=True, exist_ok=True)
        card_file = folder / "loop.json"
        if card_file.is_file() and not again:
            card = json.loads(card_file.read_text(encoding="utf-8"))
            if len(card["test_accuracy"]) == seeds:
                continue
        found = [_train_one(loop, seed, folder) for seed in range(seeds)]
        card = {"name": loop.name, "codes": list(loop.codes), "twin": loop.twin}
        card_file.write_text(json.dumps(card | {"test_accuracy": found}), encoding="utf-8")
        print(f"{loop.name:28s} test accuracy {np.mean(found):.3f}", flush=True)


def _train_one(loop: Loop, seed: int, folder: Path) -> float:
    """One training with its checks before; writes both, hands back the test accuracy."""
    import torch

    torch.set_num_threads(1)
    rows = rows_of(loop, seed)
    model, optimizer = start(loop, rows, seed)
    checkup = check(
        model,
        loop.loss,
        rows.x[0][:ROWS],
        rows.y[0][:ROWS],
        optimizer=optimizer,
        classes=rows.classes,
        seconds=SECONDS,
        seed=seed,
    )
    with watch(model, optimizer, loop.loss, classes=rows.classes, say=None) as w:
        watched = dataclasses.replace(loop, loss=w.loss)

        def told(val_loss: float, val_accuracy: float, train_accuracy: float) -> None:
            w.epoch(val_loss=val_loss, val_accuracy=val_accuracy, train_accuracy=train_accuracy)

        accuracy = train_loop(watched, rows, model, optimizer, seed, told)
        evidence = w.evidence()
    save_evidence(evidence, folder / f"run{seed}.json")
    before = [plain_check(c) for c in checkup.checks]
    (folder / f"run{seed}.checks.json").write_text(json.dumps(before), encoding="utf-8")
    return accuracy


def _evidence(folder: Path, seed: int) -> Evidence:
    evidence = load_evidence(folder / f"run{seed}.json")
    raw = json.loads((folder / f"run{seed}.checks.json").read_text(encoding="utf-8"))
    return dataclasses.replace(evidence, checks=(*evidence.checks, *read_checks(raw)))


def foreign_truths(home: Path) -> dict[str, Truth]:
    """As truth.py, over seeds; loops alternate between the halves, twins with their own."""
    accuracy = {}
    for loop in loops():
        card = home / "foreign" / loop.name / "loop.json"
        if card.is_file():
            accuracy[loop.name] = np.array(json.loads(card.read_text())["test_accuracy"])
    found: dict[str, Truth] = {}
    side = {False: 0, True: 0}
    for loop in loops():
        half = ("development", "held-out")[side[loop.faulty] % 2]
        side[loop.faulty] += 1
        if loop.name not in accuracy or (loop.faulty and loop.twin not in accuracy):
            continue
        mine = accuracy[loop.name]
        if not loop.faulty:
            hit = (True,) * len(mine)
            found[loop.name] = Truth("healthy", 0.0, 1.0, 1.0, 0.0, len(mine), hit, half)
            continue
        mean, p_t, p_flip, effect = compare(accuracy[loop.twin], mine)
        proved = max(p_t, p_flip) < ALPHA and effect >= EFFECT and mean >= POINTS
        verdict: Verdict = "fault" if proved else "equivalent"
        hit = tuple(bool(proved and d >= SPARED) for d in accuracy[loop.twin] - mine)
        found[loop.name] = Truth(verdict, mean, p_t, p_flip, effect, len(mine), hit, half)
    return found


def judge_foreign(home: Path, truth: Mapping[str, Truth], half: str = "both") -> Sequence[Judged]:
    """All runs that count."""
    found = []
    for loop in loops():
        if loop.name not in truth or half not in ("both", truth[loop.name].half):
            continue
        for seed, hit in enumerate(truth[loop.name].hit):
            if hit:
                evidence = _evidence(home / "foreign" / loop.name, seed)
                found.append(_judged(loop, seed, evidence, truth[loop.name].half))
    return found


def _judged(loop: Loop, seed: int, evidence: Evidence, half: str) -> Judged:
    findings = diagnosed(evidence)
    alarms = tuple(f.code for f in findings if f.level in ("fault", "warning"))
    said = tuple(Said(f.code, f.level, f.words, numbers_of(f)) for f in findings)
    right: dict[str, Any] = {DOCTOR: is_right(alarms, loop.codes)}
    family = loop.name.partition(".")[0] if loop.faulty else "healthy"
    return Judged(
        loop.name,
        family,
        seed,
        half,
        loop.faulty,
        "",
        loop.codes,
        said,
        {DOCTOR: alarms},
        right,
    )
