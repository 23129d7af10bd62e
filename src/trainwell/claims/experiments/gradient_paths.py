"""Why shuffling helps: how the gradient of a batch points, in order of class and shuffled.

On the way of one training with shuffled batches, at several places, the cosine between the gradient
of a batch and the gradient of all rows: of batches of mixed rows, and of batches of one class.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Nets, Training, trained
from trainwell.claims.stacked_rows import stacked_rows
from trainwell.claims.trials import Setup

PLACES = (10, 30, 100)  # steps after which gradients are compared
BATCHES = 8


def run(setup: Setup) -> Measured:
    """Mean cosine of shuffled and of sorted batches, per repetition."""
    rows = stacked_rows(setup)
    found: dict[str, list[Tensor]] = {"shuffled": [], "sorted": []}
    x, y = rows.train
    stream = torch.Generator().manual_seed(rows.seed)
    size = 32
    for steps in PLACES:
        nets = trained(x, y, rows.classes, Training(steps=steps), rows.seed)
        whole = gradient(nets, x, y)
        for _ in range(BATCHES):
            mixed = torch.stack([torch.randperm(x.shape[1], generator=stream) for _ in x])[:, :size]
            start = int(torch.randint(x.shape[1] - size, (1,), generator=stream))
            by_class = y.argsort(dim=1, stable=True)[:, start : start + size]
            for name, some in (("shuffled", mixed), ("sorted", by_class)):
                batch = x.gather(1, some[:, :, None].expand(-1, -1, x.shape[2]))
                own = gradient(nets, batch, y.gather(1, some))
                found[name].append(functional.cosine_similarity(own, whole, dim=1))
    values = {
        name: np.asarray(torch.stack(c).mean(dim=0).double().numpy()) for name, c in found.items()
    }
    return Measured({"cosine": values}, rows.test_share)


def gradient(nets: Nets, x: Tensor, y: Tensor) -> Tensor:
    """The gradient (K, P) of the mean log loss of rows x (K, n, D) by all weights and biases."""
    parameters = [p.clone().requires_grad_() for p in (*nets.weights, *nets.biases)]
    half = len(nets.weights)
    moved = Nets(tuple(parameters[:half]), tuple(parameters[half:]))
    logits = moved.logits(x)
    loss = functional.cross_entropy(logits.transpose(1, 2), y, reduction="none").mean(dim=1).sum()
    return torch.cat([g.flatten(1) for g in torch.autograd.grad(loss, parameters)], dim=1)
