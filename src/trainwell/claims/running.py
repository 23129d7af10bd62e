"""Carrying out claims: one, or all of them on the cores there are; results are files."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwell.claims.claim import all_claims, find_claim
from trainwell.claims.lab import SizeName, missing_sample, run_claim, to_json
from trainwell.claims.page import write_finding
from trainwell.data.dataset import Kind
from trainwell.errors import UserError


@dataclass(frozen=True)
class Job:
    """What was asked of `claims run`, besides the claim."""

    data: str | None = None
    target: str | None = None
    group: str | None = None
    kind: Kind | None = None
    pattern: str | None = None
    image_size: int | None = None
    size: SizeName = "quick"
    seed: int = 0
    repetitions: int | None = None
    out: Path = Path("claims-results")


def run_one(name: str, job: Job, quiet: bool = True) -> dict[str, Any]:
    """Try one claim, write its page, and return what `claims run --json` prints."""
    import torch

    from trainwell.data.read import read
    from trainwell.engine.threads import same_threads
    from trainwell.progress import Progress

    claim = find_claim(name)
    data = None
    if job.data is not None:
        data = read(
            job.data,
            target=job.target,
            group=job.group,
            kind=job.kind,
            pattern=job.pattern,
            image_size=job.image_size,
        )
    with same_threads(), Progress(quiet=quiet) as progress:
        torch.set_num_threads(1)  # the networks are small, and others may run beside
        progress.stage(f"trying: {claim.says}")
        found = run_claim(
            claim,
            data=data,
            size=job.size,
            seed=job.seed,
            repetitions=job.repetitions,
            show=lambda share: progress.update(share, "trainings"),
        )
    facts = {"conditions": conditions()}
    page = write_finding(found, job.out, facts)
    return facts | to_json(found) | {"page": str(page)}


def conditions() -> str:
    """Versions and machine, for whoever wants the same numbers."""
    import numpy
    import torch

    from trainwell.version import __version__

    return (
        f"trainwell {__version__}, torch {torch.__version__}, numpy {numpy.__version__}, "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores"
    )


def run_all(job: Job, jobs: int | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Try all claims, each in a process with one thread; what is done is kept when it is stopped.

    Claims whose sample set is not here, or that cannot be tried on the user's data, are named with
    the reason instead of a verdict.
    """
    import joblib

    from trainwell.engine.threads import cores

    began, names = time.monotonic(), [c.name for c in all_claims()]
    tries = joblib.Parallel(
        n_jobs=min(jobs or cores(), len(names)), backend="loky", return_as="generator_unordered"
    )
    found: dict[str, dict[str, Any]] = {}
    for result in tries(joblib.delayed(_kept)(name, job) for name in names):
        found[result["name"]] = result
        say(f"{len(found)} of {len(names)}  {result['name']}: {result['verdict']}")
    return {
        "claims": [found[name] for name in names],
        "seconds": round(time.monotonic() - began, 1),
        "out": str(job.out),
    }


def _kept(name: str, job: Job) -> dict[str, Any]:
    """A short result of one claim, in a worker process; its files are in the folder."""
    claim = find_claim(name)
    missing = missing_sample(claim) if job.data is None else ""
    if missing:
        return {"name": name, "verdict": "not tried", "why": f"fetch: trainwell data {missing}"}
    try:
        result = run_one(name, job)
    except UserError as error:
        return {"name": name, "verdict": "not tried", "why": str(error)}
    return {k: result[k] for k in ("name", "verdict", "estimate", "settle", "seconds")}
