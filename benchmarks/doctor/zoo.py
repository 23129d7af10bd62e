"""All configurations together, and where their trainings are kept."""

from __future__ import annotations

import dataclasses
import json
import os
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.doctor.cases import Case, halves
from benchmarks.doctor.faulty import faulty_cases
from benchmarks.doctor.healthy import healthy_cases
from benchmarks.doctor.trainings import arms_of, train_case
from trainwell.recipe import Cnn, to_toml

QUICK = ("digits-mlp", "wine-tanh", "rate-high-very.digits-mlp", "init-zero-zero.digits-mlp")


def all_cases(quick: bool = False) -> tuple[Case, ...]:
    """Healthy ones first; quick: a handful with fewer runs, to see that everything works."""
    healthy = healthy_cases()
    cases = (*healthy, *faulty_cases({c.name: c for c in healthy}))
    names = [c.name for c in cases]
    assert len(set(names)) == len(names), "two configurations of one name"
    if not quick:
        return cases
    return tuple(dataclasses.replace(c, runs=2) for c in cases if c.name in QUICK)


def sides(cases: Sequence[Case]) -> dict[str, str]:
    """The half of every configuration (see cases.halves)."""
    return halves(cases)


def is_done(case: Case, home: Path) -> bool:
    """Whether its trainings lie in `home` as the configuration is now."""
    path = home / case.name / "case.json"
    if not path.is_file():
        return False
    card = json.loads(path.read_text(encoding="utf-8"))
    same = card["recipe"] == to_toml(case.recipe) and card["material"] == repr(case.material)
    arms = 1 + len(arms_of(case.recipe))
    return bool(same and card["runs"] == case.runs and len(card["race"]) == arms)


def load_card(name: str, home: Path) -> dict[str, Any]:
    """What case.json says."""
    found: dict[str, Any] = json.loads((home / name / "case.json").read_text(encoding="utf-8"))
    return found


def train_all(cases: Sequence[Case], home: Path, processes: int = 2) -> None:
    """Train what is not there yet, one process a core, one thread each; says each that is done."""
    home.mkdir(parents=True, exist_ok=True)
    missing = [c for c in cases if not is_done(c, home)]
    missing.sort(key=lambda c: isinstance(c.recipe.model, Cnn))  # the slow ones last
    print(f"{len(cases) - len(missing)} configurations are there, {len(missing)} to be trained")
    if not missing:
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    began, done = time.perf_counter(), 0
    with ProcessPoolExecutor(processes) as executor:
        jobs = {executor.submit(_train_one, c, home): c for c in missing}
        for job in as_completed(jobs):
            case, done = jobs[job], done + 1
            minutes = (time.perf_counter() - began) / 60
            place = f"{done:3d}/{len(missing)} {minutes:5.1f} min"
            print(f"{place}  {case.name:45s} {job.result()}", flush=True)


def _train_one(case: Case, home: Path) -> str:
    """Train one configuration in this process; words about it."""
    import torch

    torch.set_num_threads(1)
    try:
        card = train_case(case, home / case.name)
    except Exception:  # one that fails must not end the others; the log says why
        return "FAILED\n" + traceback.format_exc()
    mean = {k: sum(card[k]) / len(card[k]) for k in ("val_accuracy", "test_accuracy")}
    arms = [sum(a) / len(a) for a in card["race_accuracy"]]
    return (
        f"{card['seconds']:6.1f} s, validation {mean['val_accuracy']:.3f}, test "
        f"{mean['test_accuracy']:.3f}, race " + " ".join(f"{a:.3f}" for a in arms)
    )
