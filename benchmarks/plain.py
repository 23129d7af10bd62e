"""PyTorch by hand, written with care: resident tensors, fused Adam, nothing read back in a step."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.tasks import (
    CHANNELS,
    Clock,
    Ints,
    Outcome,
    Task,
    fold_rows,
    peak_mb,
    standardised,
    warm_up,
)


def versions() -> dict[str, str]:
    return {"torch": torch.__version__}


def he(network: nn.Module) -> nn.Module:
    """He's initial weights and biases of zero, as in trainwell."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.weight[0].numel()))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def mlp(inputs: int, task: Task) -> nn.Module:
    """Linear and ReLU in turn."""
    widths = [inputs, *task.hidden]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return he(nn.Sequential(*layers, nn.Linear(widths[-1], task.classes)))


def cnn(task: Task) -> nn.Module:
    """Convolution, batch norm and ReLU per stage, pooling between, the mean at the end."""
    layers: list[nn.Module] = []
    before = 1
    for stage, after in enumerate(CHANNELS):
        layers += [nn.MaxPool2d(2)] if stage else []
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU()]
        before = after
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, task.classes)]
    return he(nn.Sequential(*layers)).to(memory_format=torch.channels_last)


def adam(task: Task) -> Any:
    return partial(torch.optim.Adam, lr=task.lr, fused=True)


def shuffled(x: Tensor, y: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in a new order; a last incomplete one is left out.

    Tables are reordered at once, which is faster; pictures batch by batch, which needs no copy.
    """
    order = torch.randperm(len(y))[: len(y) // batch * batch]
    if x.ndim == 2:
        yield from zip(x[order].split(batch), y[order].split(batch), strict=True)
    else:
        yield from ((x[rows], y[rows]) for rows in order.split(batch))


def epoch(network: nn.Module, optimizer: Any, x: Tensor, y: Tensor, batch: int) -> None:
    """One pass over the rows."""
    for inputs, labels in shuffled(x, y, batch):
        loss = functional.cross_entropy(network(inputs), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


@torch.inference_mode()
def accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    network.eval()
    parts = zip(x.split(2048), y.split(2048), strict=True)
    right = [(network(a).argmax(1) == b).sum() for a, b in parts]
    return float(sum(right) / len(y))


class Batches:
    """Whole batches from resident tensors, in a new order each time: what a framework is fed with.

    It spares them a DataLoader that collects examples one by one.
    """

    def __init__(self, x: Tensor, y: Tensor, batch: int) -> None:
        self.x, self.y, self.batch = x, y, batch

    def __len__(self) -> int:
        return len(self.y) // self.batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return shuffled(self.x, self.y, self.batch)


def train_all(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> list[float]:
    """Every fold and seed in turn; accuracies on the validation rows."""
    found: list[float] = []
    labels = torch.from_numpy(y)
    for train, validation in fold_rows(task, y):
        inputs = torch.from_numpy(standardised(x, train))
        x_train, y_train = inputs[train], labels[train]
        for number in range(task.seeds):
            if few is not None and len(found) == few:
                return found
            torch.manual_seed(seed + number)
            network = mlp(x.shape[1], task)
            optimizer = adam(task)(network.parameters())
            for _ in range(task.epochs):
                epoch(network, optimizer, x_train, y_train, task.batch)
            found.append(accuracy(network, inputs[validation], labels[validation]))
    return found


def one_process(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    torch.set_num_threads(1)
    train_all(*warm_up(task, x, y), seed)
    clock = Clock()
    found = train_all(task, x, y, seed, few)
    seconds = clock.seconds * task.trainings / len(found)
    return Outcome(seconds, found, len(found), versions=versions())


def _share(task: Task, x: Any, y: Ints, seed: int, ready: Any, results: Any) -> None:
    torch.set_num_threads(1)
    train_all(*warm_up(task, x, y), seed)
    ready.wait()
    found = train_all(task, x, y, seed)
    results.put((time.monotonic(), found, peak_mb()))


def two_processes(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    """Half of the seeds in each of two processes that are already up when the clock starts."""
    import dataclasses

    spawn = multiprocessing.get_context("spawn")
    ready, results = spawn.Barrier(3), spawn.Queue()
    half = dataclasses.replace(task, seeds=task.seeds // 2)
    shares = [
        spawn.Process(target=_share, args=(half, x, y, seed + i * half.seeds, ready, results))
        for i in range(2)
    ]
    for process in shares:
        process.start()
    ready.wait()
    began = time.monotonic()
    parts = [results.get() for _ in shares]
    for process in shares:
        process.join()
    found = [a for _, part, _ in parts for a in part]
    seconds = max(ended for ended, _, _ in parts) - began
    # The parent only waits here; its memory is not counted.
    return Outcome(seconds, found, len(found), sum(mb for _, _, mb in parts), versions())


def pictures(task: Task, x: Any, y: Ints, seed: int, few: int | None = None) -> Outcome:
    """The CNN, channels last."""
    torch.set_num_threads(2)
    torch.manual_seed(seed)
    train, test = fold_rows(task, y)[0]
    inputs = torch.from_numpy(standardised(x, train)).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(y)
    x_train, y_train = inputs[: len(train)], labels[: len(train)]
    network = cnn(task)
    optimizer = adam(task)(network.parameters())
    clock = Clock()
    for _ in range(task.epochs):
        epoch(network, optimizer, x_train, y_train, task.batch)
        clock.mark()
    seconds = clock.seconds
    found = accuracy(network, inputs[test], labels[test])
    return Outcome(seconds, [found], 1, versions=versions(), extra=clock.epochs())
