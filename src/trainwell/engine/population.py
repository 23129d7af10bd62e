"""A population: K members trained together, and its state between two steps.

Members of one population share what sets the shape of the computation; they may differ in seed,
rows, learning rate, schedule, the optimiser's numbers, regularisation, class weights, initial
weights and strength of augmentation (`members.plan` says which can share one).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from trainwell.engine.members import (
    Examples,
    Member,
    Trained,
    initial_row,
    padded,
    plan,
    train_sample,
)
from trainwell.engine.sampling import Sampler, sampler_of
from trainwell.engine.share import Rows, Share, Way
from trainwell.engine.stack import can_stack, layout, row_width, rows_of
from trainwell.engine.vmapped import can_vmap
from trainwell.techniques.models.size import check_size
from trainwell.techniques.optim.rules import ClosureRule

if TYPE_CHECKING:
    from trainwell.engine.probes import Probe


@dataclass(frozen=True)
class Execution:
    """How a population runs: so many members at a time, stacked or by vmap; looped: one by one."""

    way: Way
    size: int  # members computed together, at most

    def __str__(self) -> str:
        return "member by member" if self.size == 1 else f"{self.way}, {self.size} at a time"


def build(member: Member, examples: Examples) -> nn.Module:
    """The member's network, its own random numbers always the same; they are replaced later."""
    recipe = member.recipe
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        check_size(recipe.model, examples.inputs.shape, examples.classes, examples.inputs.blocks)
        network: nn.Module = recipe.model.build(
            examples.inputs.shape, examples.classes, recipe.dropout, examples.inputs.blocks
        )
    return network


def default_execution(
    network: nn.Module, members: Sequence[Member], examples: Examples
) -> Execution:
    """All at once where that works, except convolutions on a CPU.

    Grouped convolutions are slow there, so that stacking them gains nothing. Rules that ask for
    the loss at points of their own choice take members one by one.
    """
    if isinstance(members[0].recipe.optimizer, ClosureRule):
        return Execution("looped", 1)
    convolves = any(isinstance(m, nn.Conv2d) for m in network.modules())
    if len(members) == 1 or (convolves and examples.device.type == "cpu"):
        return Execution("looped", 1)
    if can_stack(network, examples.inputs.shape):
        return Execution("stacked", len(members))
    if can_vmap(network, torch.zeros(examples.inputs.shape)):
        return Execution("vmapped", len(members))
    return Execution("looped", 1)


class Population:
    """Weights, running statistics and optimiser state of K members, one row each."""

    def __init__(
        self,
        members: Sequence[Member],
        examples: Examples,
        execution: Execution | None = None,
        precision: torch.dtype | None = None,
        probing: bool = False,
    ) -> None:
        """Build and initialise; without `execution` the architecture decides.

        probing: measure gradients, updates and activations after every epoch, into `probes`.
        precision: torch.bfloat16 for mixed precision; None computes in float32.
        Raises ValueError for members that cannot share a population.
        """
        if len(plan(members)) != 1:
            raise ValueError("these members cannot share a population; plan() says which can")
        closure = isinstance(members[0].recipe.optimizer, ClosureRule)
        if closure and execution is not None and execution.way != "looped":
            raise ValueError("members with this optimiser train one by one")
        self.examples, self.device, self.precision = examples, examples.device, precision
        self.network = build(members[0], examples)
        self.parameters, self.statistics = layout(self.network)
        self.execution = execution or default_execution(self.network, members, examples)
        self.members = list(members)
        self.ids = list(range(len(members)))  # position of each row in the list given
        rows = [initial_row(m, self.network, self.parameters, examples) for m in members]
        self.theta = torch.stack(rows).to(self.device)
        begin = rows_of(self.network, self.statistics)
        self.buffers = begin.repeat(len(members), 1).to(self.device)
        self.grad = torch.zeros_like(self.theta)
        rule = members[0].recipe.optimizer
        self.state = tuple(torch.zeros_like(self.theta) for _ in rule.state)
        self.weights = torch.zeros(row_width(self.parameters))
        self.biases = torch.zeros(row_width(self.parameters))
        for slot in self.parameters:
            self.weights[slot.start : slot.stop] = float(slot.decays)
            self.biases[slot.start : slot.stop] = float(not slot.decays)
        self.weights, self.biases = self.weights.to(self.device), self.biases.to(self.device)
        self.shrunk = torch.zeros(len(members), dtype=torch.int64, device=self.device)
        self.losses: list[list[float]] = [[] for _ in members]  # on validation rows, by epoch
        known: dict[object, Sampler] = {}  # members of one fold have the same neighbours
        self.samplers = [sampler_of(m, examples, known) for m in members]
        self.epochs = 0  # complete ones
        self.place = (0, 0)  # in the present epoch: share, and steps of it that are done
        self.done: dict[int, Trained] = {}
        self.probes: list[Probe] = []
        self.before = torch.zeros_like(self.theta) if probing else None  # θ before an epoch's end
        self.best_theta, self.best_buffers = self.theta.clone(), self.buffers.clone()
        self.best = [(math.inf, 0.0)] * len(members)  # val_aim and val_accuracy
        self.best_epoch = [0] * len(members)
        self.rebuild()

    def begin_alike(self) -> None:
        """Give every rank the initial weights of the first: of machines that round differently, one
        must begin for all."""
        self.theta.copy_(self.examples.ranks.agree(self.theta.cpu()))
        self.best_theta.copy_(self.theta)

    def rebuild(self) -> None:
        """Views and per-member numbers for the members that are left.

        A member stays in its share when others are done: what is computed together must not
        depend on what else the population holds.
        """
        size = 1 if self.execution.way == "looped" else self.execution.size
        number = [i // size for i in self.ids]
        begin = [k for k in range(len(number)) if k == 0 or number[k] != number[k - 1]]
        self.slices = [slice(a, b) for a, b in pairwise([*begin, len(number)])]
        self.shares = [self.share(rows) for rows in self.slices]
        self.validation = padded([m.validation for m in self.members])
        self.train_sample = padded([train_sample(m) for m in self.members])

    def share(self, rows: slice) -> Share:
        """The members of these rows, to be computed together."""
        return Share(
            self.members[rows],
            self.network,
            Rows(
                self.theta[rows],
                self.buffers[rows],
                self.grad[rows],
                tuple(s[rows] for s in self.state),
                self.weights,
                self.biases,
                self.shrunk[rows],
            ),
            self.examples,
            way=self.execution.way,
            precision=self.precision,
        )

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return self.members[0].steps

    def finish(self, rows: Sequence[int], diverged: bool = False) -> None:
        """Record these members as trained and drop them; the others go on undisturbed."""
        if not rows:
            return
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
                float(self.shrunk[k]),
            )
        self._keep([k for k in range(len(self.members)) if k not in set(rows)])

    def _keep(self, rows: Sequence[int]) -> None:
        index = torch.tensor(list(rows), dtype=torch.long, device=self.device)
        self.theta, self.buffers = self.theta[index], self.buffers[index]
        self.grad = torch.zeros_like(self.theta)
        self.shrunk = self.shrunk[index]
        self.losses = [self.losses[r] for r in rows]
        self.samplers = [self.samplers[r] for r in rows]
        self.state = tuple(s[index] for s in self.state)
        self.best_theta, self.best_buffers = self.best_theta[index], self.best_buffers[index]
        self.before = None if self.before is None else self.before[index]
        self.members = [self.members[r] for r in rows]
        self.ids = [self.ids[r] for r in rows]
        self.best = [self.best[r] for r in rows]
        self.best_epoch = [self.best_epoch[r] for r in rows]
        if self.members:
            self.rebuild()

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
