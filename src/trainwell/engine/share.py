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
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainwell.engine.aims import aims
from trainwell.engine.alone import Alone
from trainwell.engine.augmenting import Augmenter
from trainwell.engine.closure import closure_step
from trainwell.engine.distributed import Cut
from trainwell.engine.members import Examples, Member
from trainwell.engine.sampling import Order
from trainwell.engine.stack import DropoutMasks, Stack, layout, view
from trainwell.engine.vmapped import Vmapped
from trainwell.errors import UserError
from trainwell.recipe import Recipe
from trainwell.techniques.augment.mixing import Mixed
from trainwell.techniques.balance import ClassWeights, EffectiveNumber, Focal, LogitAdjust
from trainwell.techniques.losses import CrossEntropy, soft_cross_entropy, weighted
from trainwell.techniques.models.modules import TableEmbedding
from trainwell.techniques.optim.first_order import Adam
from trainwell.techniques.optim.matrix import Muon
from trainwell.techniques.optim.rules import ClosureRule
from trainwell.techniques.regularize import L1, L2, MaxNorm
from trainwell.techniques.schedules import OneCycle, ReduceOnPlateau, WarmUp

Number = float | Tensor
Way = Literal["stacked", "vmapped", "looped"]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of the population's matrices that belong to the members of a share."""

    theta: Tensor  # (K, P)
    buffers: Tensor  # (K, Q)
    grad: Tensor  # (K, P)
    state: tuple[Tensor, ...]  # of the update rule, each (K, P)
    weights: Tensor  # (P,), 1 for weights, to which regularisation applies
    biases: Tensor  # (P,), 1 for biases and norm parameters, to which it applies when asked
    shrunk: Tensor  # (K,), how often max norm has shrunk a unit


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
        self.hyper: dict[str, Any] = {
            f.name: self._column([getattr(r.optimizer, f.name) for r in recipes])
            for f in dataclasses.fields(self.rule)
        }
        self.weight_slots = [s for s in layout(network)[0] if s.decays]
        self.limited_slots = [s for s in self.weight_slots if not _embeds(network, s.name)]
        if isinstance(self.rule, Muon):
            self.hyper["matrices"] = [(s.start, s.stop, tuple(s.shape)) for s in self.weight_slots]
        if isinstance(self.rule, ClosureRule) and self.cut is not None:
            name = type(self.rule).__name__
            problem = f"{name} asks for the loss again and again; processes cannot share that"
            raise UserError(
                "optimizer", problem, "Train in one process, or with another optimiser."
            )
        self.penalties = [
            (kind, where, self._column([r.penalty(kind, where is rows.biases) for r in recipes]))
            for kind in (L1, L2)
            for where in (rows.weights, rows.biases)
        ]
        self.limit = self._column([r.max_norm for r in recipes], columns=1)
        self.limited = any(r.max_norm < float("inf") for r in recipes)
        self.smoothing = self._column([r.smoothing for r in recipes], columns=1)
        self.class_weights, self.offsets = self._balance(recipes)
        counts = [class_counts(m, examples) for m in members]
        self.aims = aims([r.balance for r in recipes], counts)  # on the CPU, as scores are
        self.focus = self._column([_focus(r) for r in recipes], columns=1)
        if examples.targets is not None:
            self._refuse_for_targets(recipes)
        inputs = [r.input_dropout for r in recipes]
        self.input_masks = DropoutMasks("input", inputs, self.device, self.cut)
        self.drops_inputs = any(inputs)
        self.cycles = any(isinstance(r.schedule, OneCycle | WarmUp) for r in recipes)
        self.augmenter = Augmenter(self.members, self.device, examples.rate)

    def _column(self, values: Sequence[float], columns: int = 2) -> Number:
        """One number where all members agree, else a (K, 1) column, or (K,) with columns=1."""
        if len(set(values)) == 1:
            return values[0]
        column = torch.tensor(values, device=self.device)
        return column[:, None] if columns == 2 else column

    def _balance(self, recipes: Sequence[Recipe]) -> tuple[Tensor | None, Tensor | None]:
        """Class weights and offsets of the logits, each (K, C) or None, by each member's rows."""
        weigh = any(isinstance(r.balance, ClassWeights | EffectiveNumber) for r in recipes)
        shift = any(isinstance(r.balance, LogitAdjust) for r in recipes)
        if not weigh and not shift:
            return None, None
        weights, offsets = [], []
        for recipe, member in zip(recipes, self.members, strict=True):
            counts, balance = class_counts(member, self.examples), recipe.balance
            weights.append(torch.ones(len(counts)))
            offsets.append(torch.zeros(len(counts)))
            if isinstance(balance, ClassWeights | EffectiveNumber):
                weights[-1] = balance.weights(counts)
            elif isinstance(balance, LogitAdjust) and balance.when == "loss":
                offsets[-1] = balance.offsets(counts)
        return (
            torch.stack(weights).to(self.device) if weigh else None,
            torch.stack(offsets).to(self.device) if shift else None,
        )

    def _refuse_for_targets(self, recipes: Sequence[Recipe]) -> None:
        """Soft targets are learned by plain cross-entropy: say so where a recipe asks for more."""
        plain = isinstance(recipes[0].loss, CrossEntropy)
        if not plain or self.class_weights is not None or any(_focus(r) for r in recipes):
            problem = "soft targets are learned by cross-entropy without class weights or focus"
            raise UserError("targets", problem, "Leave loss and balance as they are by default.")
        if self.examples.weights is not None:
            raise ValueError("soft targets of weighted examples are not computed")

    def start_epoch(
        self, epoch: int, steps: int, done: int, losses: Sequence[Sequence[float]]
    ) -> None:
        """Begin the random streams of an epoch, of which `done` steps have been taken before.

        losses: each member's validation losses so far, for schedules that watch them.
        """
        self.epoch = epoch
        seeds = [m.seed for m in self.members]
        self.network.start_epoch(seeds, epoch, steps, done)
        if self.drops_inputs:
            self.input_masks.start_epoch(seeds, epoch, steps, done)
        self.rates = [
            [rate_at(m.recipe, epoch + step / steps, seen) for step in range(steps)]
            for m, seen in zip(self.members, losses, strict=True)
        ]
        self.lr = torch.tensor(self.rates, device=self.device)  # (K, steps)
        # Anew in each epoch: rates may have come to differ by the members' own losses.
        self.alike = _alike([m.recipe for m in self.members], self.rates)

    def step(self, order: Order, step: int, before: int) -> None:
        """One step of every member on its rows, (K, B) each.

        step: of this epoch; before: steps that the members took before it, all epochs together.
        """
        e, cut = self.examples, self.cut
        mixes = self.augmenter.mixes
        # Batches are mixed as a whole; everything else is done for this rank's rows alone.
        mine = slice(None) if cut is None or mixes else cut.mine
        self.augmenter.start_step(self.epoch, step, order.rows.shape[1], None if mixes else cut)
        x = self._inputs(order, mine)
        mixed = self.augmenter.mixed(x)
        x = x if mixed is None else mixed.x
        if mixes and cut is not None:
            x = x[:, cut.mine]
        if self.drops_inputs:
            shape = torch.Size((len(x), *x.shape[2:], x.shape[1]))
            x = x * self.input_masks.next(shape).movedim(-1, 1)
        y = (e.labels if e.targets is None else e.targets)[order.rows].to(self.device)
        own = None if e.weights is None else e.weights[order.rows].to(self.device)
        if isinstance(self.rule, ClosureRule):
            self._closure_step(x, y, own, mixed, step, before)
        else:
            self.network.gradient(self._total(self.logits(x), y, own, mixed).sum())
            if cut is not None:
                cut.ranks.add(self.rows.grad)
            # Penalties act on the gradient, so that the loss that people see is without them.
            self._penalise()
            self._update(step, before)
        if self.limited:
            for slot in self.limited_slots:
                self.rows.shrunk.add_(MaxNorm.project(self.limit, view(self.rows.theta, slot)))

    def _inputs(self, order: Order, mine: slice) -> Tensor:
        """Pre-processed, augmented inputs (K, b, ...) of these rows of a batch."""
        inputs, augmenter = self.examples.inputs, self.augmenter
        rows = order.rows[:, mine]
        if augmenter.signals:
            change, whole = augmenter.change_signals, augmenter.changes_all
            x = inputs.gather_changed(self.folds, rows, change, whole)
        else:
            x = inputs.gather(self.folds, rows)
        if order.partners is not None and order.shift is not None:
            others = inputs.gather(self.folds, order.partners[:, mine])
            shift = order.shift[:, mine].to(self.device)
            x = x + shift.view(*shift.shape, *[1] * (x.dim() - 2)) * (others - x)
        return augmenter.change_features(x)

    def logits(self, x: Tensor) -> Tensor:
        """Outputs (K, b, C) in training."""
        if self.precision is None:
            return self.network.forward(x, train=True)
        with torch.autocast(self.device.type, dtype=self.precision):
            return self.network.forward(x, train=True).float()

    def _total(self, logits: Tensor, y: Tensor, own: Tensor | None, mixed: Mixed | None) -> Tensor:
        """The loss of each member (K,) for this rank's outputs (K, b, C), all labels (K, B).

        own: the examples' weights (K, B), None where they count alike.
        """
        losses = self._losses(logits, y, own)
        if mixed is None:
            return losses
        other = mixed.partner if y.dim() == 2 else mixed.partner[..., None].expand_as(y)
        theirs = None if own is None else own.gather(1, mixed.partner)
        return losses.lerp(self._losses(logits, y.gather(1, other), theirs), mixed.share)

    def _losses(self, logits: Tensor, y: Tensor, own: Tensor | None) -> Tensor:
        """The loss of each member (K,): this rank's part of the mean over labels y (K, B)."""
        cut = self.cut
        if cut is None:
            return self.loss(logits, y, own)
        mine = None if own is None else own[:, cut.mine]
        return self.loss(logits, y[:, cut.mine], mine) * self._part_of_loss(cut, y)

    def loss(self, logits: Tensor, y: Tensor, own: Tensor | None = None) -> Tensor:
        """The loss of each member (K,) for outputs and soft targets (K, b, C), or labels (K, b).

        own: the examples' weights (K, b), None where they count alike.
        """
        loss = self.members[0].recipe.loss
        logits = logits if self.offsets is None else logits + self.offsets[:, None, :]
        if y.dim() == 3:
            return soft_cross_entropy(logits, y, self.smoothing)
        options = (self.smoothing, self.class_weights, self.focus)
        return (
            loss(logits, y, *options) if own is None else weighted(loss, logits, y, own, *options)
        )

    def _part_of_loss(self, cut: Cut, y: Tensor) -> Number:
        """What the mean over this rank's rows weighs in the mean over the whole batch (K, B)."""
        if self.class_weights is None:
            return cut.share
        own = self.class_weights.gather(1, y)
        return own[:, cut.mine].sum(dim=1) / own.sum(dim=1)

    def _closure_step(
        self,
        x: Tensor,
        y: Tensor,
        own: Tensor | None,
        mixed: Mixed | None,
        step: int,
        before: int,
    ) -> None:
        rule, rows, network = self.rule, self.rows, self.network
        assert isinstance(rule, ClosureRule) and isinstance(network, Alone)

        def penalty(theta: Tensor) -> Tensor:
            found = theta.new_zeros(())
            for kind, where, strength in self.penalties:
                if strength:
                    found = found + kind.value(strength, theta * where[: len(theta)])
            return found

        closure_step(
            rule,
            network,
            (rows.theta, rows.buffers, rows.state),
            x,
            lambda z: self._total(z, y, own, mixed).sum(),
            penalty,
            self.rates[0][step],
            before,
        )

    def _penalise(self) -> None:
        rows = self.rows
        for kind, where, strength in self.penalties:
            if isinstance(strength, Tensor) or strength:
                kind.add_gradient(strength, rows.theta, rows.grad, where)

    def _update(self, step: int, before: int) -> None:
        rows, cycled = self.rows, self._cycled(step)
        assert not isinstance(self.rule, ClosureRule)
        if isinstance(self.rule, Adam) and _FUSED_ADAM is not None:
            for part in self.alike:
                rule = self.members[part.start].recipe.optimizer
                assert isinstance(rule, Adam)
                moved = None if cycled is None else cycled[part.start]
                beta1 = rule.beta1 if moved is None else moved
                _fused_adam(rule, beta1, rows, part, self.rates[part.start][step], before)
            return
        hyper = self.hyper
        name = next((n for n in ("momentum", "beta1") if n in hyper), None)
        if cycled is not None and name is not None:
            own = [getattr(m.recipe.optimizer, name) for m in self.members]
            values = [o if c is None else c for o, c in zip(own, cycled, strict=True)]
            hyper = hyper | {name: self._column(values)}
        lr = self.lr[:, step : step + 1]
        self.rule.update(rows.theta, rows.grad, rows.state, lr, before, rows.weights, **hyper)

    def _cycled(self, step: int) -> list[float | None] | None:
        """Momentum by the schedule of each member; None where the rule's own stays."""
        if not self.cycles:
            return None
        epoch = self.epoch + step / len(self.rates[0])
        return [
            r.schedule.momentum(epoch, r.epochs)
            if isinstance(r.schedule, OneCycle | WarmUp)
            else None
            for r in (m.recipe for m in self.members)
        ]


def class_counts(member: Member, examples: Examples) -> Tensor:
    """Rows that train the member in each class (C,), or the sum of their weights."""
    rows = torch.from_numpy(examples.shown(member))
    own = None if examples.weights is None else examples.weights[rows].double()
    return torch.bincount(examples.labels[rows], weights=own, minlength=examples.classes)


def _embeds(network: nn.Module, name: str) -> bool:
    """Whether a parameter is of an embedding, whose rows are no weights that enter one unit."""
    return isinstance(network.get_submodule(name.rpartition(".")[0]), TableEmbedding)


def _focus(recipe: Recipe) -> float:
    return recipe.balance.gamma if isinstance(recipe.balance, Focal) else 0.0


def rate_at(recipe: Recipe, epoch: float, losses: Sequence[float] = ()) -> float:
    """The learning rate at a moment of training, in epochs.

    losses: validation losses of the epochs before, for schedules that watch them.
    """
    assert recipe.lr is not None, "the learning rate must be known before training"
    rate: float = recipe.lr * recipe.schedule(epoch, recipe.epochs)
    if isinstance(recipe.schedule, ReduceOnPlateau | WarmUp):
        rate *= recipe.schedule.after(losses)
    return rate


def _alike(recipes: Sequence[Recipe], rates: Sequence[Sequence[float]]) -> list[slice]:
    """Runs of neighbours that share the rates of an epoch, schedule and the optimiser's numbers."""
    keys = [(own, r.schedule, r.optimizer) for own, r in zip(rates, recipes, strict=True)]
    parts, start = [], 0
    for _, run in groupby(keys):
        stop = start + sum(1 for _ in run)
        parts.append(slice(start, stop))
        start = stop
    return parts


# torch's kernel that does Adam's update in one pass over memory: a third to a quarter of the time
# of separate operations. The same arithmetic as Adam.update, to rounding.
_FUSED_ADAM: Callable[..., None] | None = getattr(torch, "_fused_adam_", None)


def _fused_adam(rule: Adam, beta1: float, rows: Rows, part: slice, lr: float, before: int) -> None:
    assert _FUSED_ADAM is not None
    mean, square = rows.state
    matrices = ([m[part]] for m in (rows.theta, rows.grad, mean, square))
    step = torch.tensor(float(before + 1), device=rows.theta.device)
    _FUSED_ADAM(
        *matrices,
        [],
        [step],
        lr=lr,
        beta1=beta1,
        beta2=rule.beta2,
        weight_decay=0.0,
        eps=rule.eps,
        amsgrad=False,
        maximize=False,
    )
