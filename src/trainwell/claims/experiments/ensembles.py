"""The lecture's three kinds of ensembles, from one set of networks per repetition.

Other initial weights: the same network on all training rows. Partial samples: on draws with
replacement, and on parts of 80 %. Other architectures: on all rows. Each ensemble is the mean of
the members' probabilities. What chooses, the best single network, is chosen on validation rows.
Shapes: R repetitions, M members, n rows, C classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Nets, Training, trained
from trainwell.claims.stacked_rows import Rows, stacked_rows
from trainwell.claims.trials import Setup

Floats = npt.NDArray[np.float64]
MEMBERS = 7
SHAPES = ((16,), (64,), (256,), (64, 64), (128, 64), (64, 64, 64), (32, 32, 32, 32))


def run(setup: Setup) -> Measured:
    """Accuracy of ensembles, of their members' mean, and of the best member on validation rows."""
    rows = stacked_rows(setup)
    base = Training(steps=setup.size.steps or 300)
    rates = [float(r) for r in setup.claim.settings.get("rates", [0.02, 0.05])]
    how = dataclasses.replace(base, rate=best_rate(rows, base, rates))
    n = rows.train[0].shape[1]
    stream = torch.Generator().manual_seed(rows.seed)
    count = len(rows.train[0]) * MEMBERS
    bags = torch.randint(n, (count, n), generator=stream)
    parts = torch.stack([torch.randperm(n, generator=stream)[: int(0.8 * n)] for _ in range(count)])
    pools = {
        "seeds": same_shape(rows, how, None),
        "bags": same_shape(rows, how, bags),
        "parts": same_shape(rows, how, parts),
        "shapes": other_shapes(rows, how),
    }
    accuracy: dict[str, Floats] = {}
    loss: dict[str, Floats] = {}
    apart: dict[str, Floats] = {}
    for name, (seen, judged) in pools.items():
        labels = rows.decision[1].numpy()
        each = right(judged, labels)  # (R, M)
        best = right(seen, rows.validation[1].numpy()).argmax(axis=1)
        accuracy[name] = right(judged.mean(axis=1, keepdims=True), labels)[:, 0]
        accuracy[f"{name}, single"] = each.mean(axis=1)
        accuracy[f"{name}, best single"] = each[np.arange(len(each)), best]
        accuracy[f"{name}, best in hindsight"] = each.max(axis=1)
        loss[name] = log_loss(judged.mean(axis=1), labels)
        loss[f"{name}, single"] = np.mean(
            [log_loss(judged[:, m], labels) for m in range(judged.shape[1])], axis=0
        )
        apart[name] = disagreement(judged)
    return Measured(
        {"accuracy": accuracy, "log_loss": loss, "share": apart},
        rows.test_share,
        rows.decided,
        frozenset({"accuracy"}),
    )


def best_rate(rows: Rows, base: Training, rates: Sequence[float]) -> float:
    """The rate of the best mean accuracy on validation rows."""
    found = []
    for rate in rates:
        how = dataclasses.replace(base, rate=rate)
        nets = trained(*rows.train, rows.classes, how, rows.seed)
        seen = chances(nets, rows.validation[0], len(rows.train[0]))
        found.append(right(seen, rows.validation[1].numpy()).mean())
    return rates[int(np.argmax(found))]


def same_shape(rows: Rows, how: Training, picks: Tensor | None) -> tuple[Floats, Floats]:
    """Probabilities (R, M, n, C) on validation and decision rows of M networks per repetition.

    picks (R·M, rows): training rows of each network; None: all.
    """
    x, y = (t.repeat_interleave(MEMBERS, dim=0) for t in rows.train)
    if picks is not None:
        x = x.gather(1, picks[:, :, None].expand(-1, -1, x.shape[2]))
        y = y.gather(1, picks)
    nets = trained(x, y, rows.classes, how, rows.seed + 1)
    return (
        chances(nets, rows.validation[0], len(rows.train[0])),
        chances(nets, rows.decision[0], len(rows.train[0])),
    )


def other_shapes(rows: Rows, how: Training) -> tuple[Floats, Floats]:
    """As `same_shape`, of one network of each shape."""
    seen: list[Floats] = []
    judged: list[Floats] = []
    for number, hidden in enumerate(SHAPES):
        nets = trained(
            *rows.train,
            rows.classes,
            dataclasses.replace(how, hidden=hidden),
            rows.seed + 2 + number,
        )
        for kept, part in ((seen, rows.validation), (judged, rows.decision)):
            kept.append(chances(nets, part[0], len(rows.train[0])))
    return np.concatenate(seen, axis=1), np.concatenate(judged, axis=1)


@torch.no_grad()
def chances(nets: Nets, x: Tensor, count: int) -> Floats:
    """Probabilities (R, M, n, C) of R·M networks for rows (R, n, D)."""
    members = len(nets.weights[0]) // count
    logits = nets.logits(x.repeat_interleave(members, dim=0))
    found = logits.softmax(dim=2).double().numpy()
    return np.asarray(found.reshape(count, members, *found.shape[1:]))


def right(probabilities: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """Accuracy (R, M) of probabilities (R, M, n, C) for labels (R, n)."""
    return np.asarray((probabilities.argmax(axis=3) == labels[:, None]).mean(axis=2))


def log_loss(probabilities: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """Log loss (R,) of probabilities (R, n, C) for labels (R, n)."""
    chance = np.take_along_axis(probabilities, labels[:, :, None], axis=2)[:, :, 0]
    return np.asarray(-np.log(np.maximum(chance, 1e-12)).mean(axis=1))


def disagreement(probabilities: Floats) -> Floats:
    """The share of rows (R,) on which two members say different classes, mean over pairs."""
    said = probabilities.argmax(axis=3)
    members = said.shape[1]
    pairs = [
        (said[:, a] != said[:, b]).mean(axis=1)
        for a in range(members)
        for b in range(a + 1, members)
    ]
    return np.asarray(np.mean(pairs, axis=0))
