"""One dropout mask for a whole mini-batch, against one for each example of it."""

from __future__ import annotations

import dataclasses

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Training
from trainwell.claims.stacked_rows import measured, stacked_rows, tuned
from trainwell.claims.trials import Setup

RATES = (0.02, 0.05, 0.1)


def run(setup: Setup) -> Measured:
    """Accuracy and log loss with both masks, each at the rate that is best on validation rows."""
    rows = stacked_rows(setup)
    base = Training(drop=0.5, steps=setup.size.steps or 300)
    accuracy, loss, chosen = {}, {}, {}
    for mask in ("example", "batch"):
        how = dataclasses.replace(base, mask=mask)
        accuracy[mask], loss[mask], rate = tuned(rows, rows.train, how, RATES)
        chosen[mask] = {"lr": f"{rate:g}"}
    return measured(rows, {"accuracy": accuracy, "log_loss": loss}, chosen)
