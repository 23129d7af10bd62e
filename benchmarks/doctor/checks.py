"""Adds what can be seen before training: checks of data and network, and simple models.

They lie beside the evidence (`run<r>.checks.json`), so that trainings need not be repeated when a
check changes. Data and split of a run are drawn again, plants and all.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.doctor.cases import Case
from benchmarks.doctor.data import Draw, draw
from benchmarks.doctor.zoo import is_done
from trainwell.doctor.evidence import Evidence, load_evidence
from trainwell.doctor.finding import Check, Remedy

try:
    from trainwell.doctor.data_checks import data_checks
    from trainwell.doctor.preflight import preflight
except ModuleNotFoundError:  # not in this version
    data_checks = preflight = None  # type: ignore[assignment]

SECONDS = 6.0  # for the checks of one run's network, at most
DATA_SECONDS = 30.0  # for those of its data: no check is left out because the machine is busy


def check_all(cases: Sequence[Case], home: Path, processes: int = 2, again: bool = False) -> None:
    """Write checks and simple models' accuracies of every trained run that has none yet.

    again: of every trained run, since the checks have changed.
    """
    if data_checks is None:
        print("checks: skipped, this version has no checks of data and network")
    jobs = [
        (case, run, home)
        for case in cases
        if is_done(case, home)
        for run in range(case.runs)
        if again or not _has_checks(_place(home, case.name, run))
    ]
    began = time.perf_counter()
    with ProcessPoolExecutor(processes) as executor:
        futures = [executor.submit(_check_run, *job) for job in jobs]
        for number, future in enumerate(as_completed(futures), 1):
            if number % 25 == 0 or number == len(jobs):
                minutes = (time.perf_counter() - began) / 60
                print(f"{number}/{len(jobs)} {minutes:.1f} min, last {future.result()}", flush=True)


def _place(home: Path, name: str, run: int) -> Path:
    return home / name / f"run{run}.checks.json"


def _has_checks(place: Path) -> bool:
    """Whether a run was checked by a version that has checks, or as far as this one can."""
    if not place.is_file():
        return False
    return data_checks is None or json.loads(place.read_text())["checks"] is not None


def _check_run(case: Case, run: int, home: Path) -> str:
    """Checks and simple models of one run; its name."""
    import torch

    torch.set_num_threads(1)
    drawn = draw(case.material, run)
    known: dict[str, Any] = {"reference": reference(drawn, case, run, home), "checks": None}
    if data_checks is not None:
        found = [plain_check(c) for c in _network_checks(drawn, case, run)]
        known |= {"checks": [*_data_checks(drawn, case, run, home), *found]}
    place = _place(home, case.name, run)
    place.write_text(json.dumps(known), encoding="utf-8")
    return f"{case.name} {run}"


def _data_checks(drawn: Draw, case: Case, run: int, home: Path) -> list[dict[str, Any]]:
    """Checks of the data, as plain data; kept for other cases that train on the same rows."""
    recipe = case.recipe
    key = hash_of(repr((case.material, recipe.preprocess, recipe.shuffle)))
    kept = home / "data-checks" / f"{abs(key):x}-{run}.json"
    if kept.is_file():
        known: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8"))
        return known
    checks = data_checks(
        drawn.data,
        drawn.split,
        seed=run,
        seconds=DATA_SECONDS,
        preprocess=recipe.preprocess,
        shuffle=recipe.shuffle,
    )
    found = [plain_check(c) for c in checks]
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def _network_checks(drawn: Draw, case: Case, run: int) -> list[Check]:
    checkup = preflight(drawn.data, case.recipe, drawn.split, seconds=SECONDS, seed=run)
    return list(checkup.checks)


def plain_check(check: Check) -> dict[str, Any]:
    """A check as plain data; `read_checks` gives it back."""
    plain = dataclasses.asdict(check)
    return plain | {"value": _word(check.value), "threshold": _word(check.threshold)}


def _word(value: float | None) -> float | str | None:
    return value if value is None or np.isfinite(value) else str(value)


def read_checks(raw: Sequence[Mapping[str, Any]]) -> tuple[Check, ...]:
    """Checks as `plain_check` wrote them."""
    found = []
    for one in raw:
        remedies = tuple(
            Remedy(r["says"], tuple((n, v) for n, v in r["settings"])) for r in one["remedies"]
        )
        numbers = {n: None if one[n] is None else float(one[n]) for n in ("value", "threshold")}
        found.append(Check(**{**one, **numbers, "remedies": remedies}))
    return tuple(found)


def load_run(case: Case, run: int, home: Path) -> Evidence:
    """The evidence of a run with what is known from before its training."""
    evidence = load_evidence(home / case.name / f"run{run}.json")
    place = _place(home, case.name, run)
    if not place.is_file():
        return evidence
    known = json.loads(place.read_text(encoding="utf-8"))
    checks = read_checks(known["checks"] or [])
    return dataclasses.replace(evidence, reference=known["reference"], checks=checks)


def best_reference(case: Case, home: Path) -> float | None:
    """Mean over runs of the best simple model's validation accuracy; None where not measured."""
    found = []
    for run in range(case.runs):
        place = _place(home, case.name, run)
        if place.is_file():
            known = json.loads(place.read_text(encoding="utf-8"))["reference"]
            found.append(max(known.values()))
    return float(np.mean(found)) if found else None


def reference(drawn: Draw, case: Case, run: int, home: Path) -> dict[str, float]:
    """Validation accuracy of simple models on the first fold; kept for other cases of these rows.

    Inputs are standardised (spectrograms for sound) whatever the recipe does.
    """
    key = f"{abs(hash_of(repr(case.material))):x}-{run}"
    kept = home / "reference" / f"{key}.json"
    if kept.is_file():
        found: dict[str, float] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    x, y = _features(drawn), drawn.data.labels
    fold = drawn.split.folds[0]
    found = {
        name: float(
            (
                model.fit(x[fold.train], y[fold.train]).predict(x[fold.validation])
                == y[fold.validation]
            ).mean()
        )
        for name, model in _models(drawn.data.kind, run).items()
    }
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def hash_of(text: str) -> int:
    """A number of 48 bits for a text, the same in every process."""
    from hashlib import sha256

    return int(sha256(text.encode()).hexdigest()[:12], 16)


def _models(kind: str, seed: int) -> dict[str, Any]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found: dict[str, Any] = {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=60, tol=1e-2)),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
    }
    if kind == "table":
        found["tree"] = RandomForestClassifier(50, random_state=seed)
    return found


def _features(drawn: Draw) -> Any:
    """Inputs (N, D) of development rows as float."""
    import torch

    x = drawn.data.inputs[: drawn.development]
    if drawn.data.kind != "audio":
        return x.reshape(len(x), -1).astype(np.float32)
    from trainwell.data.dataset import AudioSchema
    from trainwell.techniques.inputs import Pcm
    from trainwell.techniques.preprocess import LogMel

    schema = drawn.data.schema
    assert isinstance(schema, AudioSchema)
    with torch.no_grad():
        mel = LogMel(bands=16, hop=0.04).layer(schema.rate)(Pcm()(torch.from_numpy(x)))
    return mel.flatten(1).numpy()
