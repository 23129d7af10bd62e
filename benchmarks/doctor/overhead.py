"""What watching a loop costs: the same training with and without, in turn, in one process.

    python -m benchmarks.doctor.overhead [--pairs 15]

Two cases: an MLP on the digits with batches of 32 (steps of a fraction of a millisecond, the
worst case) and a CNN on images of 28 x 28 with batches of 64. A pair is a training without and
one with, in random order, from the same weights; the overhead of a pair is the ratio of their
processor times, since machines are shared. Printed: medians over pairs with a 95 % bootstrap
interval.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from trainwell.doctor.watch import watch


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def train(
    build: Callable[[], nn.Module], x: Tensor, y: Tensor, batch: int, steps: int, watched: bool
) -> tuple[float, int]:
    """Processor seconds of a training, and how many steps were sampled."""
    torch.manual_seed(0)
    model, loss = build(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rows = torch.randint(len(x), (steps, batch)).unbind()
    seen = watch(model, optimizer, loss, say=None) if watched else None
    start = time.process_time()
    with seen if seen is not None else contextlib.nullcontext():
        for chosen in rows:
            optimizer.zero_grad()
            loss(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
    taken = time.process_time() - start
    if seen is None:
        return taken, 0
    assert seen.trouble is None, seen.trouble
    return taken, len(seen.samples)


def compare(
    name: str,
    pairs: int,
    build: Callable[[], nn.Module],
    x: Tensor,
    y: Tensor,
    batch: int,
    steps: int,
) -> None:
    """One line of the table."""
    rng = random.Random(0)
    times: dict[bool, list[float]] = {False: [], True: []}
    samples = 0
    for number in range(pairs + 1):
        for watched in rng.sample([False, True], 2):
            taken, count = train(build, x, y, batch, steps, watched)
            samples = max(samples, count)
            if number:  # the first warms up
                times[watched].append(taken)
    plain, seen = np.array(times[False]), np.array(times[True])
    ratios = 100 * (seen / plain - 1)
    draws = np.random.default_rng(0).choice(ratios, (10_000, pairs))
    low, high = np.percentile(np.median(draws, axis=1), (2.5, 97.5))
    print(
        f"| {name} | {1e3 * np.median(plain) / steps:.3f} | {1e3 * np.median(seen) / steps:.3f} "
        f"| {np.median(ratios):+.1f} [{low:+.1f}, {high:+.1f}] | {samples} of {steps} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    digits, labels = load_digits(return_X_y=True)
    x, y = torch.from_numpy(digits / 16).float(), torch.from_numpy(labels)
    images = torch.rand(2048, 1, 28, 28)
    classes = torch.randint(10, (2048,))
    print("| training | ms a step, alone | watched | overhead in % | sampled steps |")
    print("|---|---|---|---|---|")
    name = "MLP 64-64-64-10, digits, batch 32"
    compare(f"{name}, half a second", args.pairs, mlp, x, y, 32, 2_000)
    compare(f"{name}, some seconds", args.pairs, mlp, x, y, 32, 12_000)
    compare("CNN 16-32, 28 x 28, batch 64", args.pairs, cnn, images, classes, 64, 150)


if __name__ == "__main__":
    main()
