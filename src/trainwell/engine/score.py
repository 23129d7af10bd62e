"""Scores of a population: clean rows, in eval mode, each share by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainwell.data.bulk import chunk_rows
from trainwell.engine.population import Population
from trainwell.engine.share import Share, rate_at

EVALUATE = 1 << 14  # examples of all members together that are evaluated at once, at most
EVALUATE_BYTES = 8 << 20  # of their inputs; activations of a convolution are many times larger


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
    val_aim: float  # val_loss with classes weighted as training weighs them: chooses the epoch


def score_epoch(population: Population) -> list[EpochScore]:
    """Clean scores of all members on their validation rows and on a sample of training rows."""
    p = population
    train_loss, train_accuracy, _, _ = _measure(p, *p.train_sample)
    val_loss, val_accuracy, val_error, val_aim = _measure(p, *p.validation)
    # Scores decide who ends; of processors that round differently, one must decide for all.
    columns = p.examples.ranks.agree(
        (train_loss, train_accuracy, val_loss, val_accuracy, val_error, val_aim)
    )
    begin = [
        rate_at(m.recipe, p.epochs - 1, seen) for m, seen in zip(p.members, p.losses, strict=True)
    ]
    return [
        EpochScore(i, p.epochs, begin[k], *(float(c[k]) for c in columns))
        for k, i in enumerate(p.ids)
    ]


def evaluate(population: Population, rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean log loss, accuracy and standard error of the loss, each (K,), over rows (K, V).

    Only rows where mask (K, V) is True count, by their weights if there are any; they come first.
    """
    loss, accuracy, error, _ = _measure(population, rows, mask)
    return loss, accuracy, error


def _measure(
    population: Population, rows: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `evaluate` gives, and the loss with classes weighted as training weighs them, (K,).

    Each share is scored by itself: how many rows members of other shares have must not change its
    bits.
    """
    found = []
    for share, mine in zip(population.shares, population.slices, strict=True):
        longest = int(mask[mine].sum(dim=1).max())
        own, counts = rows[mine, :longest], mask[mine, :longest]
        logits = predict_logits(population, share, own)
        labels, count = population.examples.labels[own], counts.sum(dim=1)
        each = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
        # where, not a product: rows that only fill up the matrix may hold anything, also NaN.
        each = torch.where(counts, each, 0.0)
        right = (logits.argmax(dim=2) == labels) & counts
        if population.examples.weights is not None:
            weights = torch.where(counts, population.examples.weights[own], 0.0)
            own_scores = _weighted(each, right, weights)
            found.append(torch.cat([own_scores, own_scores[:1]]))
            continue
        loss = each.sum(dim=1) / count
        spread = (each.square().sum(dim=1) / count - loss.square()).clamp(min=0)
        aim = loss if share.aims is None else _aimed(each, labels, counts, share.aims)
        found.append(torch.stack([loss, right.sum(dim=1) / count, (spread / count).sqrt(), aim]))
    loss, accuracy, error, aim = torch.cat(found, dim=1)
    return loss, accuracy, error, aim


def _aimed(each: Tensor, labels: Tensor, counts: Tensor, aims: Tensor) -> Tensor:
    """Mean (K,) of losses (K, V) where the classes of labels (K, V) weigh as in aims (K, C)."""
    weights = torch.where(counts, aims.gather(1, labels), 0.0)
    return (each * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-30)


def _weighted(each: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """What `evaluate` gives, (3, K), where examples count by weights (K, V).

    losses (K, V), whether right (K, V). Error of a weighted mean: √Σ w² (ℓ - L)² / Σ w.
    """
    total = weights.sum(dim=1)
    loss = (each * weights).sum(dim=1) / total
    error = (weights * (each - loss[:, None])).square().sum(dim=1).sqrt() / total
    return torch.stack([loss, (right * weights).sum(dim=1) / total, error])


def predict_logits(population: Population, share: Share, rows: Tensor) -> Tensor:
    """Logits (K, V, C) on the CPU of a share's members for their own rows (K, V), in eval mode.

    Several ranks compute a part of the rows each, and all have all of them afterwards.
    """
    ranks, count = population.examples.ranks, rows.shape[1]
    if ranks.size == 1 or count < ranks.size:
        return _logits(population, share, rows)
    mine = ranks.part(count)
    own = _logits(population, share, rows[:, mine])
    logits = own.new_zeros((len(rows), count, own.shape[2]))
    logits[:, mine] = own
    ranks.add(logits)  # to zeros of the others: the same bits
    return logits


@torch.no_grad()
def _logits(population: Population, share: Share, rows: Tensor) -> Tensor:
    inputs, looped = population.examples.inputs, population.execution.way == "looped"
    most = EVALUATE // len(share.members) // (32 if looped else 1)
    example = 4 * math.prod(inputs.shape) * len(share.members)  # bytes, as float32
    size = max(1, min(most, chunk_rows(example, EVALUATE_BYTES)))
    logits = [
        share.network.forward(inputs.gather(share.folds, chunk), train=False)
        for chunk in torch.split(rows, size, dim=1)
    ]
    return torch.cat(logits, dim=1).cpu()
