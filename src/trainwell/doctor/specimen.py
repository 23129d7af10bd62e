"""A specimen: a copy of somebody's network, with loss and rows, on which checks may experiment.

Shapes: N rows, W outputs of the network for a row, C classes.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainwell.doctor.finding import Check
from trainwell.doctor.lossprobe import Loss, LossNature

PROBE, LEAST = 256, 64  # rows on which a network is looked at, at most and at least
NUMBERS = 1 << 18  # in them: fewer rows of large inputs
ROWS = 2000  # rows from which batches for short trainings are drawn, at most
BATCH = 32  # rows of a step in a short training
SLOW, CHEAP = 0.15, 0.5  # seconds: a step of a slow network; steps for which there is always time
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.modules.instancenorm._InstanceNorm,
)

# A check that may fail to be made: its code and name, and what makes it.
Attempt = tuple[str, str, Callable[[], Check]]

# From a network a function that takes one step along `.grad` at a rate (None: its own).
Step = Callable[[float | None], None]
StepMaker = Callable[[nn.Module], Step]


def adam_steps(model: nn.Module) -> Step:
    """Steps of Adam on what can be trained; its own rate is 0.001.

    Written out, since the first step of an optimizer of torch imports its compiler: seconds.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    means = [torch.zeros_like(p) for p in trained]
    squares = [torch.zeros_like(p) for p in trained]
    done = 0

    @torch.no_grad()
    def step(rate: float | None) -> None:
        nonlocal done
        done += 1
        lr = (1e-3 if rate is None else rate) / (1 - 0.9**done)
        for p, mean, square in zip(trained, means, squares, strict=True):
            if p.grad is not None:
                mean.lerp_(p.grad, 0.1)
                square.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                size = (square / (1 - 0.999**done)).sqrt_().add_(1e-8)
                p.addcdiv_(mean, size, value=-lr)

    return step


def steps_of(optimizer: torch.optim.Optimizer) -> Step:
    """Steps of an optimizer of torch."""
    own = [group["lr"] for group in optimizer.param_groups]

    def step(rate: float | None) -> None:
        for group, lr in zip(optimizer.param_groups, own, strict=True):
            group["lr"] = lr if rate is None else rate
        optimizer.step()

    return step


@dataclass(frozen=True, eq=False)
class Specimen:
    """What the checks look at; `model` is never changed, experiments take `fresh()` copies.

    x (N, ...), y (N, ...): some rows, in random order; probe rows are the first of them.
    out: outputs in eval mode for the probe rows, detached. classes: C where it is known.
    until ends short trainings. `latest` ends, of slow networks, the other checks as well.
    stated: whether C was given and not counted in the targets.
    regularisers: what a recipe drops, by name ("input dropout": 0.3).
    """

    model: nn.Module
    loss: Loss
    x: Tensor
    y: Tensor
    out: Tensor
    nature: LossNature
    classes: int | None
    stated: bool = False
    seed: int = 0
    lr: float | None = None
    steps: StepMaker = adam_steps
    optimizer: str = "Adam"
    until: float = float("inf")  # time.monotonic() at which time is used up
    latest: float = float("inf")  # that at which nothing at all is begun any more, if it is slow
    pace: float = 0.0  # seconds of one step on a copy
    regularisers: Mapping[str, float] = field(default_factory=dict)

    @property
    def probe(self) -> tuple[Tensor, Tensor]:
        """The first rows with their targets."""
        return self.x[: len(self.out)], self.y[: len(self.out)]

    @property
    def in_time(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.until

    @property
    def slow(self) -> bool:
        """Whether single steps take so long that checks must be left out."""
        return self.pace > SLOW

    def affords(self, steps: int) -> bool:
        """Whether there is time for so many steps; always so where they take next to none."""
        needed = steps * self.pace
        cheap = not self.slow and needed <= CHEAP
        return cheap or time.monotonic() + needed < self.latest

    def fresh(self, dropout: bool = True) -> nn.Module:
        """A copy of the network for an experiment; without `dropout` nothing is dropped."""
        copied = copy.deepcopy(self.model)
        copied.zero_grad(set_to_none=True)
        if not dropout:
            switch_off_dropout(copied)
        return copied

    def value(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss as one number, whatever it reduces to."""
        found = self.loss(outputs, y)
        if not isinstance(found, Tensor):
            kind = type(found).__name__
            raise TypeError(f"the loss returned {kind}, not a tensor")
        return found if found.ndim == 0 else found.mean()

    def batches(self, seed: int, size: int = BATCH) -> Iterator[Tensor]:
        """Row numbers of one batch after another, without end, epoch by epoch.

        Batches of large inputs are half as large, so that they take no longer.
        """
        generator = torch.Generator().manual_seed(seed)
        large = len(self.out) < min(len(self.x), PROBE // 2)
        size = min(size // 2 if large else size, len(self.x))
        while True:
            order = torch.randperm(len(self.x), generator=generator)
            yield from order[: len(order) // size * size].view(-1, size)


def switch_off_dropout(model: nn.Module) -> None:
    """Let nothing be dropped, in place."""
    for module in model.modules():
        if isinstance(module, DROPOUTS):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            module.dropout = 0.0


def forward(model: nn.Module, x: Tensor, *, train: bool = False, seed: int = 0) -> Tensor:
    """Outputs of the network, its random numbers the same in every call.

    Of a tuple or a mapping the first tensor is taken, or what is called logits. The network gets
    rows of its own, which it may change in place.
    """
    model.train(train)
    torch.manual_seed(seed)
    return _tensor(model(x.clone()))


def _tensor(raw: Any) -> Tensor:
    if isinstance(raw, Tensor):
        return raw
    if isinstance(getattr(raw, "logits", None), Tensor):
        found: Tensor = raw.logits
        return found
    parts = list(raw.values()) if isinstance(raw, Mapping) else raw
    if isinstance(parts, list | tuple) and parts and isinstance(parts[0], Tensor):
        return parts[0]
    raise TypeError(f"the network returned {type(raw).__name__}, not a tensor")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Random numbers (torch, numpy, Python) and the mode of autograd are afterwards as before.

    Inside there is one thread: the work is small, and the numbers are the same on every machine.
    """
    import random

    theirs, python = np.random.get_state(), random.getstate()  # noqa: NPY002 what users draw from
    devices = list(range(torch.cuda.device_count()))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            torch.random.fork_rng(devices=devices),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
        np.random.set_state(theirs)  # noqa: NPY002
        random.setstate(python)


def chosen_rows(count: int, y: Tensor, seed: int) -> Tensor:
    """At most ROWS row numbers in random order, class after class at the front where there are
    classes, so that the probe rows hold all of them."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:ROWS]
    if y.is_floating_point() or y.ndim != 1:
        return order
    labels = y[order.to(y.device)].cpu()
    _, place, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    before = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    sorted_rows = place.argsort(stable=True)
    turn = torch.empty(len(order), dtype=torch.long)  # how many rows of its class come before it
    turn[sorted_rows] = torch.arange(len(order)) - before
    first = (turn < 2).nonzero().flatten()  # two of each class
    rest = (turn >= 2).nonzero().flatten()
    return torch.cat([order[first], order[rest]])


def probe_rows(x: Tensor) -> int:
    """How many of the rows (N, ...) a network is looked at with, at most."""
    return min(len(x), PROBE, max(LEAST, NUMBERS // max(1, x[0].numel())))


def count_classes(y: Tensor, given: int | None, ignored: int | None = None) -> int | None:
    """C: as given, or counted in targets that are class numbers or one-hot.

    ignored: a class number that the loss leaves out, torch's `ignore_index`.
    """
    if given is not None:
        return given
    if not y.is_floating_point():
        counts = y if ignored is None else y[y != ignored]
        known = y.ndim <= 2 or y.shape[1] == 1
        return max(2, int(counts.max()) + 1) if known and counts.numel() else None
    if y.ndim == 2 and y.shape[1] > 1:
        hot = bool(((y.sum(1) - 1).abs() < 1e-3).all()) and bool((y >= 0).all())
        return y.shape[1] if hot else None
    return 2 if bool(((y == 0) | (y == 1)).all()) else None
