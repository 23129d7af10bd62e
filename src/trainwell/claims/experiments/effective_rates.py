"""The effective rate of every weight: how far a rule moves it for the gradient it got.

Softmax regression on the claim's data is trained with each rule; a weight's effective rate is the
sum of |step| over the sum of |gradient|. Shapes: R repetitions, n rows, D inputs, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from trainwell.claims.rules import Measured
from trainwell.claims.stacked_rows import Rows, stacked_rows
from trainwell.claims.trials import Setup
from trainwell.techniques.optim.first_order import AdaDelta, Adagrad, Adam, RmsProp, Sgd

Floats = npt.NDArray[np.float64]
Step = Callable[[Tensor, Tensor, list[Tensor], int], None]
BATCH = 32


def run(setup: Setup) -> Measured:
    """Rank correlation of gradient size and effective rate; what becomes of quiet weights."""
    rows = stacked_rows(setup)
    steps = setup.size.steps or 300
    found: dict[str, dict[str, Floats]] = {"correlation": {}, "quiet over loud": {}, "raised": {}}
    for name, step in rules(rows.train[0].shape[2] * rows.classes).items():
        size, early, late = rates_of(step, rows, steps)
        found["correlation"][name] = np.array(
            [rank_correlation(s, e) for s, e in zip(size, early + late, strict=True)]
        )
        quiet, loud = (masks(size, *ends) for ends in ((0.0, 0.25), (0.75, 1.0)))
        found["quiet over loud"][name] = _mean(early + late, quiet) / _mean(early + late, loud)
        found["raised"][name] = _mean((late > early * 1.01).astype(float), quiet)
    return Measured(found, rows.test_share)


def rules(weights: int) -> dict[str, Step]:
    """Each rule at its usual rate, as one step in place."""
    one = torch.ones(weights)

    def rate(value: float) -> Tensor:
        return torch.full((1, 1), value)

    return {
        "SGD": lambda w, g, s, t: Sgd.update(w, g, (), rate(0.05), t, one),
        "Adagrad": lambda w, g, s, t: Adagrad.update(w, g, (s[0],), rate(0.05), t, one, eps=1e-10),
        "RMSprop": lambda w, g, s, t: RmsProp.update(
            w, g, (s[0],), rate(0.001), t, one, decay=0.9, eps=1e-8
        ),
        "Adam": lambda w, g, s, t: Adam.update(
            w, g, (s[0], s[1]), rate(0.002), t, one, beta1=0.9, beta2=0.999, eps=1e-8
        ),
        "AdaDelta": lambda w, g, s, t: AdaDelta.update(
            w, g, (s[0], s[1]), rate(1.0), t, one, decay=0.95, eps=1e-6
        ),
    }


def rates_of(step: Step, rows: Rows, steps: int) -> tuple[Floats, Floats, Floats]:
    """Root mean square gradient (R, DC), and effective rates of the first and second half."""
    x, y = rows.train
    count, inputs, stream = len(x), x.shape[2], torch.Generator().manual_seed(rows.seed)
    w = torch.zeros(count, inputs * rows.classes)
    state = [torch.zeros_like(w) for _ in range(2)]
    square = torch.zeros_like(w)
    moved, asked = torch.zeros(2, *w.shape), torch.zeros(2, *w.shape)
    for t in range(steps):
        picks = torch.stack([torch.randperm(x.shape[1], generator=stream)[:BATCH] for _ in x])
        batch = x.gather(1, picks[:, :, None].expand(-1, -1, inputs))
        truth = functional.one_hot(y.gather(1, picks), rows.classes).float()
        chance = (batch @ w.reshape(count, inputs, rows.classes)).softmax(dim=2)
        g = (batch.transpose(1, 2) @ (chance - truth) / BATCH).flatten(1)
        before = w.clone()
        step(w, g, state, t)
        half = int(2 * t >= steps)
        moved[half] += (w - before).abs()
        asked[half] += g.abs()
        square += g.square()
    early, late = (moved / asked.clamp(min=1e-20)).double().numpy()
    return (square / steps).sqrt().double().numpy(), early, late


def masks(size: Floats, low: float, high: float) -> npt.NDArray[np.bool_]:
    """Weights (R, P) whose gradient is between two quantiles of those that got any."""
    got = size > 0
    ends = [np.quantile(s[g], [low, high]) for s, g in zip(size, got, strict=True)]
    a, b = np.array(ends).T[:, :, None]
    return np.asarray(got & (size >= a) & (size <= b))


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's correlation over weights that got a gradient; 0 where b is the same for all."""
    from scipy.stats import spearmanr

    got = a > 0
    a, b = a[got], b[got]
    if np.ptp(b) < 1e-3 * np.abs(b).max():
        return 0.0
    return float(spearmanr(a, b).statistic)


def _mean(values: Floats, kept: npt.NDArray[np.bool_]) -> Floats:
    return np.asarray((values * kept).sum(axis=1) / kept.sum(axis=1))
