"""One dropout mask for a whole mini-batch, against one for each example of it."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Training, scores, trained
from trainwell.claims.stacked_rows import stacked_rows
from trainwell.claims.trials import Setup

RATES = (0.02, 0.05, 0.1)


def run(setup: Setup) -> Measured:
    """Accuracy and log loss with both masks, each at the rate that is best on validation rows."""
    rows = stacked_rows(setup)
    base = Training(drop=0.5, steps=setup.size.steps or 300)
    accuracy, loss, chosen = {}, {}, {}
    for mask in ("example", "batch"):
        tried = []
        for rate in RATES:
            how = dataclasses.replace(base, mask=mask, rate=rate)
            nets = trained(*rows.train, rows.classes, how, rows.seed)
            tried.append((float(np.mean(scores(nets, *rows.validation)[1])), rate, nets))
        _, rate, nets = min(tried, key=lambda t: t[0])
        accuracy[mask], loss[mask] = scores(nets, *rows.decision)
        chosen[mask] = {"lr": f"{rate:g}"}
    return Measured(
        {"accuracy": accuracy, "log_loss": loss},
        rows.test_share,
        rows.decided,
        frozenset({"accuracy"}),
        chosen=chosen,
    )
