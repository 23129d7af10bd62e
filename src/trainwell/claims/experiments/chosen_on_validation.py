"""What the validation rows promise for the recipe that won on them, and what new rows say."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Training, scores, trained
from trainwell.claims.stacked_rows import stacked_rows
from trainwell.claims.trials import Setup
from trainwell.seeding import numpy_stream

CANDIDATES = 16


def run(setup: Setup) -> Measured:
    """Accuracy of the winner of sixteen recipes: on the rows that chose it, and on new ones."""
    rows = stacked_rows(setup)
    stream = numpy_stream(rows.seed, "candidates")
    base = Training(
        hidden=(32,), steps=setup.size.steps or 300, rate=0.01
    )  # the recipe that is to be improved
    count, layers = len(rows.train[0]), len(base.hidden) + 1
    # Other validation rows in each repetition, the same for all candidates: few, as in practice.
    few = int(setup.claim.settings.get("few", 100))
    picks = np.stack([stream.permutation(rows.validation[0].shape[1])[:few] for _ in range(count)])
    chosen = torch.from_numpy(picks)
    x, y = rows.validation
    x, y = x.gather(1, chosen[:, :, None].expand(-1, -1, x.shape[2])), y.gather(1, chosen)
    on_few, on_new = [], []
    for number in range(CANDIDATES):
        how, strength = base, 0.0
        if number:
            rate, drop = 10 ** stream.uniform(-1.3, -0.8), stream.choice([0.0, 0.1, 0.2])
            how = dataclasses.replace(base, rate=float(rate), drop=float(drop))
            strength = float(10 ** stream.uniform(-5, -3))
        l2 = torch.full((count, layers), strength)
        nets = trained(*rows.train, rows.classes, how, rows.seed + number, l2)
        on_few.append(scores(nets, x, y)[0])
        on_new.append(scores(nets, *rows.decision)[0])
    promised, new = np.stack(on_few), np.stack(on_new)
    won, at = promised.argmax(axis=0), np.arange(count)
    return Measured(
        {
            "accuracy": {
                "before": new[0],
                "promised": promised[won, at],
                "winner": new[won, at],
                # Against the mean recipe on the same rows: how hard the rows are drops out.
                "promised lead": promised[won, at] - promised[1:].mean(axis=0),
                "real lead": new[won, at] - new[1:].mean(axis=0),
            }
        },
        rows.test_share,
        rows.decided,
        frozenset({"accuracy"}),
    )
