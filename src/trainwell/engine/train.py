"""The training loop: epochs of a population, each one step after another.

What happens in a step is what `train_epoch` says: gather a batch, forward, loss, gradient,
regularisers on the gradient, update. `train` is a generator: it hands out the scores of each epoch,
and whoever iterates decides whether to go on (budget, Ctrl-C, display).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainwell.data.dataset import IntArray
from trainwell.engine.population import Population
from trainwell.recipe import Recipe
from trainwell.seeding import numpy_stream
from trainwell.techniques.regularize import L2

EVALUATE = 1 << 14  # examples of all members together that are evaluated at once


@dataclass(frozen=True)
class EpochScore:
    """Scores of one member after one epoch, in eval mode on clean rows."""

    member: int
    epoch: int  # counted from 1
    lr: float  # at the first step of the epoch
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_error: float  # standard error of val_loss over the validation rows


def train(population: Population) -> Iterator[list[EpochScore]]:
    """Train every member to its end; yields the scores of the members still training.

    A member ends after the recipe's epochs, after `patience` epochs without a better validation
    score, or when its loss is no longer finite; its best weights are in `population.trained`.
    """
    epochs = population.members[0].recipe.epochs
    try:
        # Numbers below 1e-38 occur with dead units and strong decay, and cost 17 to 38 times more.
        torch.set_flush_denormal(True)
        yield from _epochs(population, epochs)
    finally:
        torch.set_flush_denormal(False)


def _epochs(population: Population, epochs: int) -> Iterator[list[EpochScore]]:
    while population.members and population.epochs < epochs:
        lrs = train_epoch(population)
        if population.stop:
            break
        population.epochs += 1
        scores = score_epoch(population, lrs)
        broken = [k for k, s in enumerate(scores) if not math.isfinite(s.val_loss + s.train_loss)]
        population.remember_best(
            [
                (math.nan if k in broken else s.val_loss, s.val_accuracy)
                for k, s in enumerate(scores)
            ],
            population.epochs,
        )
        yield scores
        if broken:
            population.finish(broken, diverged=True)
        stopped = [
            k
            for k, m in enumerate(population.members)
            if population.epochs - population.best_epoch[k] >= m.recipe.patience
        ]
        if stopped:
            population.finish(stopped)
    population.finish(range(len(population.members)))


def train_epoch(population: Population) -> list[float]:
    """One pass over every member's rows, shuffled anew; returns the learning rates at its start."""
    p, epoch = population, population.epochs
    batch, steps = p.members[0].batch, p.members[0].steps
    orders = torch.stack([_shuffled(m.train, m.seed, epoch, batch * steps) for m in p.members])
    rates = [_rates(m.recipe, epoch, steps) for m in p.members]
    lr = torch.tensor(rates, device=p.device)  # (K, steps)
    loss_of, update = p.members[0].recipe.loss, p.optimizer.update
    for number, stack in enumerate(p.stacks):
        rows = p.share(number)
        seeds = [m.seed for m in p.members[rows]]
        stack.start_epoch(seeds, epoch, steps)
        theta, grad, state = p.theta[rows], p.grad[rows], tuple(s[rows] for s in p.state)
        hyper = {n: h[rows] if isinstance(h, Tensor) else h for n, h in p.hyper.items()}
        l2 = p.l2[rows] if isinstance(p.l2, Tensor) else p.l2
        for step in range(steps):
            if p.stop:
                break
            # Penalties of the recipe (L2) act on the gradient; the reported loss is without them.
            chosen = orders[rows, step * batch : (step + 1) * batch]
            x = p.inputs.gather(p.folds[rows], chosen)
            y = p.labels[chosen].to(p.device)
            loss = loss_of(stack.forward(x, train=True), y)
            stack.gradient(loss.sum(), into=grad)
            if isinstance(l2, Tensor) or l2:
                L2.add_gradient(l2, theta, grad, p.weights)
            update(theta, grad, state, lr[rows, step : step + 1], p.steps + step, **hyper)
    p.steps += steps
    return [r[0] for r in rates]


def _shuffled(rows: IntArray, seed: int, epoch: int, count: int) -> Tensor:
    """The member's rows in the order of this epoch; the stream depends on nothing else."""
    return torch.from_numpy(numpy_stream(seed, "shuffle", epoch).permutation(rows)[:count])


def _rates(recipe: Recipe, epoch: int, steps: int) -> list[float]:
    """The learning rate of every step of an epoch."""
    assert recipe.lr is not None, "the learning rate must be known before training"
    times = [epoch + step / steps for step in range(steps)]
    return [recipe.lr * recipe.schedule(t, recipe.epochs) for t in times]


def score_epoch(population: Population, lrs: list[float]) -> list[EpochScore]:
    """Clean scores of all members on their validation rows and on a sample of training rows."""
    train_loss, train_accuracy, _ = evaluate(population, *population.train_sample)
    val_loss, val_accuracy, val_error = evaluate(population, *population.validation)
    columns = (train_loss, train_accuracy, val_loss, val_accuracy, val_error)
    return [
        EpochScore(i, population.epochs, lrs[k], *(float(c[k]) for c in columns))
        for k, i in enumerate(population.ids)
    ]


def evaluate(population: Population, rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean log loss, accuracy and standard error of the loss, each (K,), over rows (K, V).

    Only rows where mask (K, V) is True count.
    """
    logits = predict_logits(population, rows)
    labels, count = population.labels[rows], mask.sum(dim=1)
    each = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    # where, not a product: rows that only fill up the matrix may hold anything, also NaN.
    each = torch.where(mask, each.view_as(labels), 0.0)
    loss = each.sum(dim=1) / count
    spread = (each.square().sum(dim=1) / count - loss.square()).clamp(min=0)
    right = (logits.argmax(dim=2) == labels) & mask
    return loss, right.sum(dim=1) / count, (spread / count).sqrt()


@torch.no_grad()
def predict_logits(population: Population, rows: Tensor) -> Tensor:
    """Logits (K, V, C) on the CPU of every member for its own rows (K, V), in eval mode."""
    p, parts = population, []
    for number, stack in enumerate(p.stacks):
        mine = p.share(number)
        size = max(1, EVALUATE // stack.members // (8 if not p.stacked else 1))
        chunks = torch.split(rows[mine], size, dim=1)
        logits = [stack.forward(p.inputs.gather(p.folds[mine], c), train=False) for c in chunks]
        parts.append(torch.cat(logits, dim=1).cpu())
    return torch.cat(parts)
