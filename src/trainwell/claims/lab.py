"""Running a claim: its experiment, its rule, and what is told of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np

from trainwell.claims.claim import Claim, Size
from trainwell.claims.rules import Decision, Measured, decide
from trainwell.claims.trials import Setup, run_arms, seed_of_block
from trainwell.data.dataset import Dataset
from trainwell.data.samples import find_sample, is_present
from trainwell.errors import UserError

SizeName = Literal["quick", "full"]


@dataclass(frozen=True, eq=False)
class Finding:
    """A claim after it was tried."""

    claim: Claim
    data: str
    own: bool  # whether on the user's own data
    size_name: SizeName
    size: Size
    seed: int
    measured: Measured
    decision: Decision
    seconds: float


def run_claim(
    claim: Claim,
    *,
    data: Dataset | None = None,
    size: SizeName = "quick",
    seed: int = 0,
    repetitions: int | None = None,
    show: Callable[[float], None] = lambda share: None,
) -> Finding:
    """Try a claim, on its own data set or on data of somebody's own.

    seed: blocks of repetitions with different seeds share no random number. Raises UserError where
    the data set must be fetched first, or the claim cannot be tried on these data.
    """
    began = time.monotonic()
    own = data is not None
    chosen = claim.quick if size == "quick" else claim.full
    if repetitions is not None:
        chosen = dataclasses.replace(chosen, repetitions=repetitions)
    if own:
        claim = for_own_data(claim, data)
    found = load(claim) if data is None else data
    setup = Setup(claim, chosen, found, seed_of_block(seed), show, own)
    if claim.experiment:
        module = import_module(f"trainwell.claims.experiments.{claim.experiment}")
        measured: Measured = module.run(setup)
    else:
        measured = run_arms(setup)
    decision = decide(claim, measured)
    return Finding(
        claim, found.name, own, size, chosen, seed, measured, decision, time.monotonic() - began
    )


def for_own_data(claim: Claim, data: Dataset | None) -> Claim:
    """The claim as it is tried on data of somebody's own, with all of their classes."""
    assert data is not None
    if not claim.own_data:
        problem = f"cannot be tried on other data than {claim.data}"
        raise UserError(f"claim {claim.name}", problem, "Leave --data out.")
    if data.kind not in claim.kinds:
        kinds = " or ".join(claim.kinds)
        raise UserError(f"claim {claim.name}", f"is about {kinds}; these data are {data.kind}")
    return dataclasses.replace(claim, classes=())


def load(claim: Claim) -> Dataset:
    """The claim's data set; one that must be fetched is asked for, not fetched in silence."""
    from trainwell.data.samples import load_sample

    sample = find_sample(claim.data)
    if sample is not None and not is_present(claim.data):
        problem = f"needs the sample set {claim.data} ({sample.size_mb:g} MB), which is not here"
        raise UserError(
            f"claim {claim.name}", problem, f"Fetch it first: trainwell data {claim.data}"
        )
    return load_sample(claim.data)


def missing_sample(claim: Claim) -> str:
    """The sample set that must be fetched before this claim can be tried, or ""."""
    known = find_sample(claim.data) is not None and not is_present(claim.data)
    return claim.data if known else ""


def mean_of(finding: Finding, measure: str, arm: str) -> float:
    """The mean of an arm's measure over repetitions."""
    return float(np.mean(finding.measured.values[measure][arm]))


def to_json(finding: Finding) -> dict[str, Any]:
    """As `claims run --json` prints it, and as it is kept beside the page."""
    from trainwell.claims.words import paragraph, rule_words, told

    first = next(o for o in finding.decision.outcomes if o.contrast.role == "primary")
    claim = finding.claim
    return {
        "name": claim.name,
        "verdict": finding.decision.verdict,
        "estimate": first.estimate.to_json() | {"of": first.contrast.name},
        "rule": rule_words(claim),
        "seconds": round(finding.seconds, 2),
        "slide": claim.slide,
        "sentence": claim.sentence,
        "says": claim.says,
        "source": claim.source,
        "footnote": claim.footnote,
        "data": finding.data,
        "own_data": finding.own,
        "size": finding.size_name,
        "repetitions": finding.size.repetitions,
        "seed": finding.seed,
        "contrasts": [
            {
                "name": o.contrast.name,
                "says": o.contrast.says,
                "role": o.contrast.role,
                "estimate": o.estimate.to_json(),
                "told": told(o.contrast, o.estimate),
                "p": o.p,
                "state": o.state,
                "more": o.more,
            }
            for o in finding.decision.outcomes
        ],
        "settle": finding.decision.settle,
        "paragraph": paragraph(finding),
        "chosen": {a: dict(v) for a, v in (finding.measured.chosen or {}).items()},
        "notes": list(finding.measured.notes),
        "means": {
            measure: {arm: float(np.mean(v)) for arm, v in arms.items()}
            for measure, arms in finding.measured.values.items()
        },
    }
