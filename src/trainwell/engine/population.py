"""A population: K members trained together, and its state between two epochs.

A member is a recipe, the rows it trains and validates on, and a seed. Members of one population
share what sets the shape of the computation; they may differ in seed, rows, learning rate,
schedule, strengths of regularisation and the optimiser's numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trainwell.data.dataset import IntArray
from trainwell.engine.inputs import FoldInputs
from trainwell.engine.stack import Slot, Stack, can_stack, layout, rows_of
from trainwell.recipe import Recipe
from trainwell.seeding import numpy_stream, torch_stream
from trainwell.techniques.optim.first_order import Optimizer
from trainwell.techniques.regularize import L2

TRAIN_SAMPLE = 2000  # training rows scored after each epoch, at most


@dataclass(frozen=True, eq=False)
class Member:
    """One training to be done: recipe (with a rate), rows, seed."""

    recipe: Recipe
    fold: int  # which pre-processing
    train: IntArray  # row numbers
    validation: IntArray  # row numbers
    seed: int
    most_steps: int | None = None  # steps per epoch, at most

    @property
    def batch(self) -> int:
        """Examples per step: the recipe's batch size, or all rows where there are fewer."""
        return min(self.recipe.batch_size, len(self.train))

    @property
    def sample_size(self) -> int:
        """Training rows that are scored after each epoch: as many as there are validation rows."""
        return min(len(self.train), len(self.validation), TRAIN_SAMPLE)

    @property
    def steps(self) -> int:
        """Steps per epoch; a last incomplete batch is left out (other rows in each epoch)."""
        own = len(self.train) // self.batch
        return own if self.most_steps is None else min(own, self.most_steps)


def plan(members: Sequence[Member]) -> list[list[int]]:
    """Positions of the members that can share a population, in order of first appearance."""
    groups: dict[object, list[int]] = {}
    for position, member in enumerate(members):
        r = member.recipe
        shape = (r.model, r.loss, type(r.optimizer), bool(r.dropout), r.epochs, r.preprocess)
        groups.setdefault((shape, member.batch, member.steps), []).append(position)
    return list(groups.values())


@dataclass(frozen=True, eq=False)
class Trained:
    """A member after training: its best weights and when they were reached."""

    member: Member
    theta: Tensor  # (P,)
    buffers: Tensor  # (Q,)
    epochs: int  # epochs trained
    best_epoch: int  # counted from 1; 0: never better than its initial weights
    accuracy: float  # on its validation rows, best epoch
    log_loss: float
    diverged: bool


class Population:
    """Weights, running statistics and optimiser state of K members, one row each."""

    def __init__(
        self,
        members: Sequence[Member],
        inputs: FoldInputs,
        labels: Tensor,
        classes: int,
        device: torch.device,
        stacked: bool | None = None,
    ) -> None:
        """Build and initialise; `stacked` None lets the architecture decide."""
        first = members[0].recipe
        self.inputs, self.labels, self.classes, self.device = inputs, labels, classes, device
        with torch.random.fork_rng(devices=[]):  # building draws numbers that nobody uses
            self.network = first.model.build(inputs.shape, classes, first.dropout)
        self.parameters, self.statistics = layout(self.network)
        self.members = list(members)
        self.ids = list(range(len(members)))  # position of each row in the list given
        rows = [initial_row(m, self.network, self.parameters) for m in members]
        self.theta = torch.stack(rows).to(device)
        begin = rows_of(self.network, self.statistics)
        self.buffers = begin.expand(len(members), -1).clone().to(device)
        self.grad = torch.zeros_like(self.theta)
        self.state = tuple(torch.zeros_like(self.theta) for _ in first.optimizer.state)
        self.weights = torch.cat(
            [torch.full((s.stop - s.start,), float(s.decays)) for s in self.parameters]
        ).to(device)
        self.steps = 0
        self.epochs = 0
        self.stop = False  # set from outside: end before the next step, keep the best so far
        self.done: dict[int, Trained] = {}
        self.best_theta, self.best_buffers = self.theta.clone(), self.buffers.clone()
        self.best = [(math.inf, 0.0)] * len(members)  # validation log loss and accuracy
        self.best_epoch = [0] * len(members)
        # On a CPU convolutions gain nothing from stacking (grouped kernels are slow there).
        convolves = any(isinstance(m, nn.Conv2d) for m in self.network)
        fits = can_stack(self.network) and not (convolves and device.type == "cpu")
        self.stacked = fits if stacked is None else stacked
        self._rebuild()

    def _rebuild(self) -> None:
        """Views, random streams and per-member numbers for the members that are left."""
        rates = [m.recipe.dropout for m in self.members]
        if self.stacked:
            self.stacks = [Stack(self.network, self.theta, self.buffers, rates)]
        else:
            rows = [slice(k, k + 1) for k in range(len(self.members))]
            self.stacks = [
                Stack(self.network, self.theta[r], self.buffers[r], rates[r]) for r in rows
            ]
        self.folds = torch.tensor([m.fold for m in self.members])
        self.validation = padded([m.validation for m in self.members])
        self.train_sample = padded([_sample(m) for m in self.members])
        self.l2 = self._column([_l2(m.recipe) for m in self.members])
        self.hyper = {
            f.name: self._column([getattr(m.recipe.optimizer, f.name) for m in self.members])
            for f in dataclasses.fields(self.optimizer)
        }

    def _column(self, values: Sequence[float]) -> float | Tensor:
        """One number where all members agree, else a (K, 1) column."""
        if len(set(values)) == 1:
            return values[0]
        return torch.tensor(values, device=self.device)[:, None]

    @property
    def optimizer(self) -> Optimizer:
        """The update rule that all members share."""
        return self.members[0].recipe.optimizer

    def share(self, stack: int) -> slice:
        """Rows of the matrices that belong to one stack: all, or one member's."""
        return slice(None) if self.stacked else slice(stack, stack + 1)

    def finish(self, rows: Sequence[int], diverged: bool = False) -> None:
        """Record these members as trained and drop them; the others go on undisturbed."""
        for k in rows:
            loss, accuracy = self.best[k]
            self.done[self.ids[k]] = Trained(
                self.members[k],
                self.best_theta[k].cpu().clone(),
                self.best_buffers[k].cpu().clone(),
                self.epochs,
                self.best_epoch[k],
                accuracy,
                loss,
                diverged,
            )
        self._keep([k for k in range(len(self.members)) if k not in set(rows)])

    def _keep(self, rows: Sequence[int]) -> None:
        index = torch.tensor(list(rows), dtype=torch.long, device=self.device)
        self.theta, self.buffers = self.theta[index], self.buffers[index]
        self.grad = torch.zeros_like(self.theta)
        self.state = tuple(s[index] for s in self.state)
        self.best_theta, self.best_buffers = self.best_theta[index], self.best_buffers[index]
        self.members = [self.members[r] for r in rows]
        self.ids = [self.ids[r] for r in rows]
        self.best = [self.best[r] for r in rows]
        self.best_epoch = [self.best_epoch[r] for r in rows]
        if self.members:
            self._rebuild()

    @property
    def trained(self) -> list[Trained]:
        """Every finished member, in the order in which the members were given."""
        return [self.done[i] for i in sorted(self.done)]

    def remember_best(self, scores: Sequence[tuple[float, float]], epoch: int) -> None:
        """Keep the weights of members whose validation log loss is their lowest so far.

        scores: log loss and accuracy per member. The loss decides, since with few rows accuracies
        are often equal and jump; a loss that is not finite never counts as better.
        """
        for k, (loss, accuracy) in enumerate(scores):
            if loss < self.best[k][0]:
                self.best[k], self.best_epoch[k] = (loss, accuracy), epoch
                self.best_theta[k].copy_(self.theta[k])
                self.best_buffers[k].copy_(self.buffers[k])


def initial_row(member: Member, network: nn.Sequential, slots: Sequence[Slot]) -> Tensor:
    """A member's initial parameters (P,), from its own stream, one stream per layer."""
    row = rows_of(network, slots)
    for slot in slots:
        part = row[slot.start : slot.stop].view(slot.shape)
        if slot.decays:
            member.recipe.init(part, torch_stream(member.seed, "init", slot.name))
        elif slot.name.endswith("bias"):
            part.zero_()
    return row


def _sample(member: Member) -> IntArray:
    """Training rows on which the clean training score is measured."""
    stream = numpy_stream(member.seed, "train-sample")
    return np.sort(stream.permutation(member.train)[: member.sample_size])


def _l2(recipe: Recipe) -> float:
    return sum(r.strength for r in recipe.regularize if isinstance(r, L2))


def padded(rows: Sequence[IntArray]) -> tuple[Tensor, Tensor]:
    """Row lists of unequal length as (K, V) row numbers and a (K, V) mask of what counts."""
    longest = max(len(r) for r in rows)
    numbers = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.bool_)
    for k, r in enumerate(rows):
        numbers[k, : len(r)], mask[k, : len(r)] = r, True
    return torch.from_numpy(numbers), torch.from_numpy(mask)
