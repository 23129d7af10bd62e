"""What a step of Newton's method costs beside a step along the gradient, as weights become more.

Both are timed on logistic regression with 64 rows and D weights, on this machine, the shortest of
some runs. The slope of log time on log D is the power of D.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from trainwell.claims.experiments.newton_logistic import Logistic
from trainwell.claims.rules import Measured
from trainwell.claims.trials import Setup
from trainwell.seeding import numpy_stream

SIZES = (250, 500, 1000, 2000)
ROWS, RUNS = 64, 3
BYTES = 4  # of a number in float32


def run(setup: Setup) -> Measured:
    """Time of a Newton step over that of a gradient step, by D; memory of a Hessian, in GiB."""
    stream = numpy_stream(setup.seed, "newton-cost")
    ratios: dict[str, list[float]] = {str(d): [] for d in SIZES}
    powers: dict[str, list[float]] = {"newton": [], "gradient": []}
    for _ in range(setup.size.repetitions):
        times: dict[str, list[float]] = {"newton": [], "gradient": []}
        for d in SIZES:
            x = stream.normal(size=(ROWS, d)) / np.sqrt(d)
            y = (stream.random(ROWS) < 0.5).astype(np.float64)
            problem, w = Logistic(x, y, np.full(d, 1e-3)), np.zeros(d)
            times["gradient"].append(shortest(lambda p=problem, w=w: p.gradient(w), 20 * RUNS))  # type: ignore[misc]
            times["newton"].append(
                shortest(lambda p=problem, w=w: np.linalg.solve(p.hessian(w), p.gradient(w)), RUNS)  # type: ignore[misc]
            )
            ratios[str(d)].append(times["newton"][-1] / times["gradient"][-1])
        for name, some in times.items():
            powers[name].append(float(np.polyfit(np.log(SIZES), np.log(some), 1)[0]))
    return Measured(
        {
            "ratio": {name: np.array(v) for name, v in ratios.items()},
            "power": {name: np.array(v) for name, v in powers.items()},
            "GiB": {
                "a million weights": np.full(setup.size.repetitions, hessian_gib(10**6)),
                "digits network": np.full(setup.size.repetitions, hessian_gib(64 * 64 + 74 * 10)),
            },
        }
    )


def hessian_gib(weights: int) -> float:
    """Memory of a Hessian in GiB, each number in 4 bytes.

    >>> round(hessian_gib(10**6))
    3725
    """
    return weights**2 * BYTES / 2**30


def shortest(what: Callable[[], object], runs: int) -> float:
    """Seconds of the shortest of some runs."""
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        what()
        found.append(time.perf_counter() - began)
    return min(found)
