"""The members of a population that are computed together, and what one step does to them.

A population of K members runs as one share of K, as several, or as K shares of one member: what
is quickest on this machine. Everything in which members differ is a column with one number per
member here, or a plain number where all members of the share agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor, nn

from trainwell.engine.alone import Alone
from trainwell.engine.distributed import Cut
from trainwell.engine.members import Examples, Member
from trainwell.engine.stack import Stack, layout, view
from trainwell.engine.vmapped import Vmapped
from trainwell.recipe import Recipe
from trainwell.seeding import stream_seed
from trainwell.techniques.optim.first_order import Adam
from trainwell.techniques.regularize import L1, L2, MaxNorm

Number = float | Tensor
Way = Literal["stacked", "vmapped", "looped"]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of the population's matrices that belong to the members of a share."""

    theta: Tensor  # (K, P)
    buffers: Tensor  # (K, Q)
    grad: Tensor  # (K, P)
    state: tuple[Tensor, ...]  # of the update rule, each (K, P)
    weights: Tensor  # (P,), 1 where regularisation applies


class Share:
    """Networks, loss, regularisers and update rule of some members."""

    def __init__(
        self,
        members: Sequence[Member],
        network: nn.Module,
        rows: Rows,
        examples: Examples,
        way: Way,
        precision: torch.dtype | None = None,
    ) -> None:
        """way: stacked and vmapped networks are computed together, looped ones are one each."""
        self.members, self.rows, self.examples = list(members), rows, examples
        self.precision, self.device = precision, rows.theta.device
        recipes = [m.recipe for m in members]
        rates = [r.dropout for r in recipes]
        self.cut = examples.ranks.cut(members[0].batch)
        kind = Stack if way == "stacked" else Vmapped if way == "vmapped" else Alone
        self.network: Stack | Vmapped | Alone = kind(
            network, rows.theta, rows.buffers, rows.grad, rates, self.cut
        )
        self.folds = torch.tensor([m.fold for m in members])
        self.rule = recipes[0].optimizer
        self.hyper = {
            f.name: self._column([getattr(r.optimizer, f.name) for r in recipes])
            for f in dataclasses.fields(self.rule)
        }
        self.l1 = self._column([r.l1 for r in recipes])
        self.l2 = self._column([r.l2 for r in recipes])
        self.limit = self._column([r.max_norm for r in recipes], columns=1)
        self.limited = any(r.max_norm < float("inf") for r in recipes)
        self.smoothing = self._column([r.smoothing for r in recipes], columns=1)
        self.class_weights = self._class_weights(recipes)
        self.strengths = [
            torch.tensor([r.augment[i].strength for r in recipes], device=self.device)
            for i in range(len(recipes[0].augment))
        ]
        self.generator = torch.Generator()
        self.alike = _alike(recipes)
        self.weight_slots = [s for s in layout(network)[0] if s.decays]

    def _column(self, values: Sequence[float], columns: int = 2) -> Number:
        """One number where all members agree, else a (K, 1) column, or (K,) with columns=1."""
        if len(set(values)) == 1:
            return values[0]
        column = torch.tensor(values, device=self.device)
        return column[:, None] if columns == 2 else column

    def _class_weights(self, recipes: Sequence[Recipe]) -> Tensor | None:
        """Weights (K, C) from the counts of each member's own training rows."""
        if all(r.balance is None for r in recipes):
            return None
        labels, classes = self.examples.labels, self.examples.classes
        rows = []
        for recipe, member in zip(recipes, self.members, strict=True):
            counts = torch.bincount(labels[torch.from_numpy(member.train)], minlength=classes)
            alone = recipe.balance
            rows.append(torch.ones(classes) if alone is None else alone.weights(counts))
        return torch.stack(rows).to(self.device)

    def start_epoch(self, epoch: int, steps: int, done: int) -> None:
        """Begin the random streams of an epoch, of which `done` steps have been taken before."""
        self.epoch = epoch
        self.network.start_epoch([m.seed for m in self.members], epoch, steps, done)
        self.rates = [
            [rate_at(m.recipe, epoch + step / steps) for step in range(steps)] for m in self.members
        ]
        self.lr = torch.tensor(self.rates, device=self.device)  # (K, steps)

    def step(self, chosen: Tensor, step: int, before: int) -> None:
        """One step of every member on its rows `chosen` (K, B).

        step: of this epoch; before: steps that the members took before it, all epochs together.
        """
        e, cut = self.examples, self.cut
        mine = chosen if cut is None else chosen[:, cut.mine]
        x = self.augmented(e.inputs.gather(self.folds, mine), step)
        y = e.labels[mine].to(self.device)
        losses = self.losses(x, y)
        if cut is None:
            self.network.gradient(losses.sum())
        else:
            self.network.gradient((losses * self._part_of_loss(cut, chosen)).sum())
            cut.ranks.add(self.rows.grad)
        # Penalties act on the gradient, so that the loss that people see is without them.
        self._penalise()
        self._update(step, before)
        if self.limited:
            for slot in self.weight_slots:
                MaxNorm.project(self.limit, view(self.rows.theta, slot))

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of each member (K,) for inputs (K, B, ...) and labels (K, B), in training."""
        loss = self.members[0].recipe.loss
        if self.precision is None:
            logits = self.network.forward(x, train=True)
        else:
            with torch.autocast(self.device.type, dtype=self.precision):
                logits = self.network.forward(x, train=True).float()
        return loss(logits, y, self.smoothing, self.class_weights)

    def _part_of_loss(self, cut: Cut, chosen: Tensor) -> Number:
        """What the mean over this rank's rows weighs in the mean over the whole batch (K, B)."""
        if self.class_weights is None:
            return cut.share
        own = self.class_weights.gather(1, self.examples.labels[chosen].to(self.device))
        return own[:, cut.mine].sum(dim=1) / own.sum(dim=1)

    def augmented(self, x: Tensor, step: int) -> Tensor:
        """Inputs (K, B, ...) changed at random, each member from its own stream of this step."""
        for number, strength in enumerate(self.strengths):
            batch = x.shape[1] if self.cut is None else self.cut.batch
            noise = torch.empty((len(x), batch, *x.shape[2:]))
            for k, member in enumerate(self.members):
                seed = stream_seed(member.seed, "augment", number, self.epoch, step)
                noise[k].normal_(generator=self.generator.manual_seed(seed))
            if self.cut is not None:
                noise = noise[:, self.cut.mine]
            kind = self.members[0].recipe.augment[number]
            x = kind.apply(x, strength, noise.to(self.device))
        return x

    def _penalise(self) -> None:
        rows = self.rows
        if isinstance(self.l1, Tensor) or self.l1:
            L1.add_gradient(self.l1, rows.theta, rows.grad, rows.weights)
        if isinstance(self.l2, Tensor) or self.l2:
            L2.add_gradient(self.l2, rows.theta, rows.grad, rows.weights)

    def _update(self, step: int, before: int) -> None:
        rows = self.rows
        if isinstance(self.rule, Adam) and _FUSED_ADAM is not None:
            for part in self.alike:
                rule = self.members[part.start].recipe.optimizer
                assert isinstance(rule, Adam)
                _fused_adam(rule, rows, part, self.rates[part.start][step], before)
            return
        lr = self.lr[:, step : step + 1]
        self.rule.update(rows.theta, rows.grad, rows.state, lr, before, rows.weights, **self.hyper)


def rate_at(recipe: Recipe, epoch: float) -> float:
    """The learning rate at a moment of training, in epochs."""
    assert recipe.lr is not None, "the learning rate must be known before training"
    return recipe.lr * recipe.schedule(epoch, recipe.epochs)


def _alike(recipes: Sequence[Recipe]) -> list[slice]:
    """Runs of neighbours that share rate, schedule and the optimiser's numbers."""
    keys = [(r.lr, r.schedule, r.optimizer) for r in recipes]
    parts, start = [], 0
    for _, run in groupby(keys):
        stop = start + sum(1 for _ in run)
        parts.append(slice(start, stop))
        start = stop
    return parts


# torch's kernel that does Adam's update in one pass over memory: a third to a quarter of the time
# of separate operations. The same arithmetic as Adam.update, to rounding.
_FUSED_ADAM: Callable[..., None] | None = getattr(torch, "_fused_adam_", None)


def _fused_adam(rule: Adam, rows: Rows, part: slice, lr: float, before: int) -> None:
    assert _FUSED_ADAM is not None
    mean, square = rows.state
    matrices = ([m[part]] for m in (rows.theta, rows.grad, mean, square))
    step = torch.tensor(float(before + 1), device=rows.theta.device)
    _FUSED_ADAM(
        *matrices,
        [],
        [step],
        lr=lr,
        beta1=rule.beta1,
        beta2=rule.beta2,
        weight_decay=0.0,
        eps=rule.eps,
        amsgrad=False,
        maximize=False,
    )
