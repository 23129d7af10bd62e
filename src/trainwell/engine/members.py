"""Members: the trainings to be done, which of them can share a population, and what comes out."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trainwell.data.dataset import IntArray
from trainwell.engine.distributed import Ranks
from trainwell.engine.inputs import FoldInputs
from trainwell.engine.stack import Slot, rows_of
from trainwell.recipe import Recipe
from trainwell.seeding import numpy_stream, torch_stream
from trainwell.techniques.init import Lsuv

FIT_ROWS = 512  # training rows on which an initialisation that needs some is fitted, at most
TRAIN_SAMPLE = 2000  # training rows scored after each epoch, at most


@dataclass(frozen=True, eq=False)
class Examples:
    """What all trainings on one data set share."""

    inputs: FoldInputs
    labels: Tensor  # (N,), on the CPU
    classes: int
    device: torch.device
    ranks: Ranks = Ranks()  # the processes that compute together
    rate: int = 16_000  # samples per second, where inputs are clips
    weights: Tensor | None = None  # (N,), what each counts in loss and scores, mean 1; None: alike
    targets: Tensor | None = None  # (N, C), on the CPU: learned in place of the labels
    added: tuple[Added, ...] = ()  # generated samples of each fold; inputs and labels hold them too

    def shown(self, member: Member) -> IntArray:
        """The rows that a member may be shown in training: its training rows, then samples.

        A member that trains on a part of its fold's rows gets the same part of the samples.
        """
        if not self.added:
            return member.train
        mine = self.added[member.fold]
        count = min(len(mine.rows), round(len(mine.rows) * len(member.train) / mine.real))
        return np.concatenate([member.train, mine.rows[:count]])


@dataclass(frozen=True, eq=False)
class Added:
    """Row numbers of the samples that were generated from a fold's `real` training rows."""

    rows: IntArray
    real: int


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


def common_steps(recipe: Recipe, sizes: Sequence[int]) -> tuple[Recipe, int | None]:
    """A recipe and a number of steps per epoch that let all folds train as one population.

    sizes: training rows of each fold. Folds differ by some rows. Where the difference is small all
    take the steps of the smallest; which rows an epoch leaves out changes from epoch to epoch.
    None: each fold its own number.

    >>> common_steps(Recipe(batch_size=10), [101, 99])[1], common_steps(Recipe(), [640, 900])[1]
    (9, None)
    """
    batch = min(recipe.batch_size, *sizes, 10**9)
    few, many = min(sizes) // batch, max(sizes) // batch
    recipe = dataclasses.replace(recipe, batch_size=max(2, batch))
    return recipe, few if few >= 0.9 * many else None


def plan(members: Sequence[Member]) -> list[list[int]]:
    """Positions of the members that can share a population, in order of first appearance.

    They share what sets the shape of the computation: architecture, loss, update rule, batch size,
    steps and epochs, pre-processing, and whether units are dropped at all. Everything else may
    differ from member to member.
    """
    groups: dict[object, list[int]] = {}
    for position, member in enumerate(members):
        r = member.recipe
        rule = (type(r.optimizer), r.optimizer.state)
        shape = (r.model, r.loss, rule, bool(r.dropout), r.preprocess)
        key = (shape, r.epochs, member.batch, member.steps)
        groups.setdefault(key, []).append(position)
    return list(groups.values())


@dataclass(frozen=True, eq=False)
class Trained:
    """A member after training: its best weights and when they were reached."""

    member: Member
    theta: Tensor  # (P,), padded
    buffers: Tensor  # (Q,), padded
    epochs: int  # epochs trained
    best_epoch: int  # counted from 1; 0: never better than its initial weights
    accuracy: float  # on its validation rows, best epoch
    log_loss: float  # of classes weighted as training weighs them (engine.aims)
    diverged: bool
    shrunk: float = 0.0  # how often max norm has shrunk a unit


def initial_row(
    member: Member, network: nn.Module, slots: Sequence[Slot], examples: Examples
) -> Tensor:
    """A member's initial parameters, a padded row, from its own stream, one stream per layer.

    Modules with a method `initial_values(generator)` say themselves how theirs begin, by name.
    """
    row = rows_of(network, slots)
    own: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if hasattr(module, "initial_values"):
            values = module.initial_values(torch_stream(member.seed, "init", name))
            own |= {f"{name}.{n}" if name else n: value for n, value in values.items()}
    for slot in slots:
        part = row[slot.start : slot.stop].view(slot.shape)
        if slot.name in own:
            part.copy_(own[slot.name])
        elif slot.decays:
            member.recipe.init(part, torch_stream(member.seed, "init", slot.name))
        elif "bias" in slot.name.rpartition(".")[2]:  # also bias_ih_l0 of recurrent layers
            part.zero_()
    if isinstance(member.recipe.init, Lsuv):
        _fit_row(row, member.recipe.init, member, network, slots, examples)
    return row


def _fit_row(
    row: Tensor,
    init: Lsuv,
    member: Member,
    network: nn.Module,
    slots: Sequence[Slot],
    examples: Examples,
) -> None:
    """Fit initial weights, in place, on some of the member's training rows."""
    copied = copy.deepcopy(network)
    own = dict(copied.named_parameters())
    for slot in slots:
        own[slot.name].data = row[slot.start : slot.stop].view(slot.shape)  # no copy
    stream = numpy_stream(member.seed, "init-rows")
    rows = torch.from_numpy(np.sort(stream.permutation(member.train)[:FIT_ROWS]))
    inputs = examples.inputs.gather(torch.tensor([member.fold]), rows[None])[0]
    init.fit(copied, inputs.cpu())


def train_sample(member: Member) -> IntArray:
    """Training rows on which the clean training score is measured."""
    stream = numpy_stream(member.seed, "train-sample")
    return np.sort(stream.permutation(member.train)[: member.sample_size])


def padded(rows: Sequence[IntArray]) -> tuple[Tensor, Tensor]:
    """Row lists of unequal length as (K, V) row numbers and a (K, V) mask of what counts."""
    longest = max(len(r) for r in rows)
    numbers = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.bool_)
    for k, r in enumerate(rows):
        numbers[k, : len(r)], mask[k, : len(r)] = r, True
    return torch.from_numpy(numbers), torch.from_numpy(mask)
