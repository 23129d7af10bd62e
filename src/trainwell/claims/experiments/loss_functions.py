"""Cross-entropy against squared errors, from usual and from bad initial weights.

Each loss chooses its rate on validation rows, by the steps to the target accuracy; so often the
networks are scored: every ten steps. Both are judged on decision rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Loss, Nets, Training, scores, trained
from trainwell.claims.stacked_rows import Rows, measured, stacked_rows
from trainwell.claims.trials import Setup

Floats = npt.NDArray[np.float64]
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
EVERY = 10  # steps between two scores
LOSSES: dict[str, Loss] = {
    "cross-entropy": "cross_entropy",
    "squared, probabilities": "squared_probabilities",
    "squared, outputs": "squared_outputs",
}
STARTS = {"usual": None, "bad": 1.0}  # spread of the initial weights; None: √(2 / fan-in)


def run(setup: Setup) -> Measured:
    """Steps to the target, and accuracy at the end, for each loss and start."""
    rows, target = stacked_rows(setup), setup.claim.target
    steps, accuracy, chosen = {}, {}, {}
    for start, spread in STARTS.items():
        for name, loss in LOSSES.items():
            how = Training(
                hidden=(64,), steps=setup.size.steps or 300, loss=loss, spread=spread, decay=False
            )
            seen, judged = curves(rows, how)
            slow = (how.steps + EVERY) * np.ones(seen.shape[:2])
            best = int(np.argmin(np.minimum(first(seen, target), slow).mean(axis=1)))
            arm = f"{name}, {start}"
            steps[arm] = np.minimum(first(judged, target), slow)[best]
            accuracy[arm] = judged[best, :, -1]
            chosen[arm] = {"lr": f"{RATES[best]:g}"}
    return measured(rows, {"steps_to_target": steps, "accuracy": accuracy}, chosen)


def curves(rows: Rows, how: Training) -> tuple[Floats, Floats]:
    """Accuracy (rates, R, times) on validation and on decision rows."""
    count = len(rows.train[0])
    rates = torch.tensor(RATES).repeat_interleave(count)
    parts = [_many(p) for p in (rows.train, rows.validation, rows.decision)]
    found: list[list[Floats]] = [[], []]

    def watch(step: int, nets: Nets) -> None:
        if step % EVERY == 0:
            for kept, part in zip(found, parts[1:], strict=True):
                kept.append(scores(nets, *part)[0])

    trained(*parts[0], rows.classes, how, rows.seed, rates=rates, watch=watch)
    seen, judged = (np.stack(f, axis=1).reshape(len(RATES), count, -1) for f in found)
    return seen, judged


def first(curve: Floats, target: float) -> Floats:
    """Steps (rates, R) until a curve first reaches the target; infinite where it never does.

    >>> first(np.array([[[0.1, 0.9, 0.8]]]), 0.85).tolist()
    [[20.0]]
    """
    reached = curve >= target
    steps = EVERY * (reached.argmax(axis=2) + 1.0)
    return np.where(reached.any(axis=2), steps, np.inf)


def _many(part: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return part[0].repeat(len(RATES), 1, 1), part[1].repeat(len(RATES), 1)
