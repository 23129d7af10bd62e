"""The lecture's search for a rate: begin at 0.1, then go by factors of 5 and of 2 while it helps.

On the grid 1-2-5 a factor of 5 is two steps and a factor of 2 is one. What the search finds is set
against the best of all rates, both by accuracy on validation rows, judged on decision rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Training, scores, trained
from trainwell.claims.stacked_rows import Rows, stacked_rows
from trainwell.claims.trials import Setup

Floats = npt.NDArray[np.float64]
RATES = (5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
START = RATES.index(0.1)


def run(setup: Setup) -> Measured:
    """Accuracy and trials of both searches, mean over training with and without momentum."""
    rows = stacked_rows(setup)
    names = ("search", "all rates", "first attempt")
    accuracy = {name: np.zeros(len(rows.train[0])) for name in names}
    trials = {name: np.zeros(len(rows.train[0])) for name in names}
    momenta = (0.0, 0.9)
    for momentum in momenta:
        how = Training(hidden=(32,), steps=setup.size.steps or 300, momentum=momentum)
        seen, judged = _at_all_rates(rows, how)
        for r, worth in enumerate(seen.T):
            found, tried = search(worth.__getitem__, len(RATES), START)
            best = int(worth.argmax())
            for name, at, count in (
                ("search", found, tried),
                ("all rates", best, len(RATES)),
                ("first attempt", START, 1),
            ):
                accuracy[name][r] += judged[at, r] / len(momenta)
                trials[name][r] += count / len(momenta)
    return Measured(
        {"accuracy": accuracy, "trials": trials},
        rows.test_share,
        rows.decided,
        frozenset({"accuracy"}),
    )


def search(worth: Callable[[int], float], count: int, start: int) -> tuple[int, int]:
    """The place that the search ends at on a grid of `count`, and how many places it tried.

    >>> search(lambda i: -abs(i - 2), 13, 7)
    (2, 7)
    >>> search(lambda i: -abs(i - 7), 13, 7)
    (7, 5)
    """
    known = {start: worth(start)}
    best = start
    for jump in (2, 1):
        while True:
            near = [i for i in (best - jump, best + jump) if 0 <= i < count and i not in known]
            known |= {i: worth(i) for i in near}
            better = max(near, key=lambda i: known[i], default=best)
            if known[better] <= known[best]:
                break
            best = better
    return best, len(known)


def _at_all_rates(rows: Rows, how: Training) -> tuple[Floats, Floats]:
    """Accuracy (rates, R) on validation and on decision rows."""
    count = len(rows.train[0])
    rates = torch.tensor(RATES).repeat_interleave(count)

    def many(part: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return part[0].repeat(len(RATES), 1, 1), part[1].repeat(len(RATES), 1)

    nets = trained(*many(rows.train), rows.classes, how, rows.seed, rates=rates)
    seen, judged = (scores(nets, *many(p))[0] for p in (rows.validation, rows.decision))
    return seen.reshape(len(RATES), count), judged.reshape(len(RATES), count)
