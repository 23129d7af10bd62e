"""K small ReLU networks trained side by side, for experiments that change what happens inside.

Shapes: K networks, N training rows, D inputs, C classes, B rows of a batch, L layers. Weights of
a layer are (K, in, out), biases (K, 1, out). All rows are resident; one generator draws everything.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Floats = npt.NDArray[np.float64]
Loss = Literal["cross_entropy", "squared_probabilities", "squared_outputs"]


@dataclass(frozen=True, eq=False)
class Nets:
    """Trained networks: for each layer weights and biases."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def logits(self, x: Tensor, factor: float = 1.0) -> Tensor:
        """Logits (K, n, C) of rows (K, n, D); hidden outputs are multiplied by `factor`."""
        h = x
        last = len(self.weights) - 1
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(b, h, w)
            h = h if i == last else h.relu() * factor
        return h


@dataclass(frozen=True)
class Training:
    """How the K networks are trained: SGD with momentum at one rate, falling linearly to 0.

    drop: share of hidden units dropped, scaled while training (inverted). mask: one mask for each
    example, or one for the whole batch. loss: cross-entropy, or the squared distance to the one-hot
    label of the probabilities or of the outputs themselves. spread: of the initial weights; None:
    √(2 / fan-in). decay: False keeps the rate constant.
    """

    hidden: tuple[int, ...] = (64, 64)
    rate: float = 0.05
    momentum: float = 0.9
    steps: int = 300
    batch: int = 32
    drop: float = 0.0
    mask: Literal["example", "batch"] = "example"
    loss: Loss = "cross_entropy"
    spread: float | None = None
    decay: bool = True


def standardized(train: Floats, others: Sequence[Floats]) -> list[Tensor]:
    """Inputs (n, D) with the mean and one spread of the training rows, as float32 tensors."""
    mean, spread = train.mean(axis=0), max(float(train.std()), 1e-12)
    return [torch.from_numpy(((x - mean) / spread).astype(np.float32)) for x in (train, *others)]


def trained(
    x: Tensor,
    y: Tensor,
    classes: int,
    how: Training,
    seed: int,
    l2: Tensor | None = None,
    rates: Tensor | None = None,
    watch: Callable[[int, Nets], None] | None = None,
) -> Nets:
    """Networks trained on rows x (K, N, D) with labels y (K, N).

    l2: strengths (K, L), biases left alone. rates (K,): one for each network, instead of that of
    `how`. watch: is shown the networks, which change, after each step.
    """
    each = torch.full((len(x),), how.rate) if rates is None else rates.float()
    stream = torch.Generator().manual_seed(seed)
    count, rows, inputs = x.shape
    widths = (inputs, *how.hidden, classes)
    weights = [
        (
            torch.randn(count, a, b, generator=stream) * (how.spread or math.sqrt(2 / a))
        ).requires_grad_()
        for a, b in itertools.pairwise(widths)
    ]
    biases = [torch.zeros(count, 1, b).requires_grad_() for b in widths[1:]]
    parameters = [*weights, *biases]
    speed = [torch.zeros_like(p) for p in parameters]
    picks = torch.empty(0, dtype=torch.long)
    for step in range(how.steps):
        if picks.shape[-1] < how.batch:
            orders = [torch.randperm(rows, generator=stream) for _ in range(count)]
            picks = torch.stack(orders)
        now, picks = picks[:, : how.batch], picks[:, how.batch :]
        batch = x.gather(1, now[:, :, None].expand(-1, -1, inputs))
        logits = _dropping(weights, biases, batch, how, stream)
        labels = y.gather(1, now)
        loss = losses(logits, labels, how.loss)
        gradients = torch.autograd.grad(loss.mean(dim=1).sum(), parameters)
        rate = (each * (1 - step / how.steps if how.decay else 1.0))[:, None, None]
        with torch.no_grad():
            for i, (p, g, v) in enumerate(zip(parameters, gradients, speed, strict=True)):
                decay = l2[:, i, None, None] * p if l2 is not None and i < len(weights) else 0.0
                v.mul_(how.momentum).add_(g + decay)
                p.sub_(rate * v)
        if watch is not None:
            watch(step + 1, Nets(tuple(weights), tuple(biases)))
    return Nets(tuple(w.detach() for w in weights), tuple(b.detach() for b in biases))


def losses(logits: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """The loss (K, B) of outputs (K, B, C) for labels (K, B).

    >>> losses(torch.tensor([[[0.0, 0.0]]]), torch.tensor([[0]]), "squared_probabilities")
    tensor([[0.5000]])
    """
    if loss == "cross_entropy":
        return functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    given = logits.softmax(dim=2) if loss == "squared_probabilities" else logits
    truth = functional.one_hot(labels, logits.shape[2]).to(given.dtype)
    return (given - truth).square().sum(dim=2)


def _dropping(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    x: Tensor,
    how: Training,
    stream: torch.Generator,
) -> Tensor:
    """Logits (K, B, C) with hidden units dropped, those kept scaled by 1 / (1 - drop)."""
    h, last = x, len(weights) - 1
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        h = torch.baddbmm(b, h, w)
        if i == last:
            break
        h = h.relu()
        if how.drop:
            shape = (*h.shape[:1], h.shape[1] if how.mask == "example" else 1, h.shape[2])
            kept = torch.rand(shape, generator=stream) >= how.drop
            h = h * kept / (1 - how.drop)
    return h


@torch.no_grad()
def scores(nets: Nets, x: Tensor, y: Tensor, factor: float = 1.0) -> tuple[Floats, Floats]:
    """Accuracy and log loss, each (K,), on rows x (K, n, D) with labels y (K, n)."""
    logits = nets.logits(x, factor)
    right = (logits.argmax(dim=2) == y).double().mean(dim=1)
    loss = functional.cross_entropy(logits.transpose(1, 2), y, reduction="none").mean(dim=1)
    return right.numpy(), loss.double().numpy()
