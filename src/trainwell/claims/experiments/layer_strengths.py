"""One strength of L2 for all layers, against a strength for each layer, with equal trials."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Training, scores, trained
from trainwell.claims.stacked_rows import measured, stacked_rows
from trainwell.claims.trials import Setup
from trainwell.seeding import numpy_stream

TRIALS = 8
LEAST, MOST = 1e-4, 0.1  # strengths, evenly spaced in powers of ten


def run(setup: Setup) -> Measured:
    """Accuracy of the best of eight global strengths, and of eight draws of three strengths."""
    rows = stacked_rows(setup)
    how = Training(steps=setup.size.steps or 300)
    layers, count = len(how.hidden) + 1, rows.train[0].shape[0]
    stream = numpy_stream(rows.seed, "strengths")
    grid = np.geomspace(LEAST, MOST, TRIALS)
    drawn = np.exp(stream.uniform(np.log(LEAST), np.log(MOST), (TRIALS, layers)))
    strengths = {
        "global": np.repeat(grid[:, None], layers, axis=1),
        "per layer": drawn,
        "none": np.zeros((1, layers)),
    }
    accuracy, loss, chosen = {}, {}, {}
    for name, tried in strengths.items():
        found = []
        for some in tried:
            l2 = torch.from_numpy(np.tile(some, (count, 1)).astype(np.float32))
            nets = trained(*rows.train, rows.classes, how, rows.seed, l2)
            found.append((float(np.mean(scores(nets, *rows.validation)[1])), nets))
        best = min(range(len(found)), key=lambda i, f=found: f[i][0])  # type: ignore[misc]
        accuracy[name], loss[name] = scores(found[best][1], *rows.decision)
        chosen[name] = dict(
            zip(
                (f"layer {i + 1}" for i in itertools.count()),
                (f"{s:.2g}" for s in tried[best]),
                strict=False,
            )
        )
    return measured(rows, {"accuracy": accuracy, "log_loss": loss}, chosen)
