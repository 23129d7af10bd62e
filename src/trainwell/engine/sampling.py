"""Which rows an epoch shows to a member, in which order. Slides: "Shuffle", "Class imbalance".

Every stream is made from the member's seed and the epoch's number, so that nothing has to be stored
to go on from an epoch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainwell.data.dataset import IntArray
from trainwell.engine.members import Examples, Member
from trainwell.seeding import numpy_stream
from trainwell.techniques.balance import Oversample, Smote
from trainwell.techniques.shuffle import ordered


@dataclass(frozen=True, eq=False)
class Order:
    """The rows of an epoch, (S,) or stacked (K, S); new rows lie between a row and its partner."""

    rows: Tensor  # row numbers
    partners: Tensor | None = None  # row numbers
    shift: Tensor | None = None  # how far towards the partner, in [0, 1); 0: the row itself

    def batch(self, start: int, stop: int) -> Order:
        """The part of some steps of stacked orders."""
        if self.partners is None or self.shift is None:
            return Order(self.rows[:, start:stop])
        return Order(
            self.rows[:, start:stop], self.partners[:, start:stop], self.shift[:, start:stop]
        )


def stacked(orders: Sequence[Order]) -> Order:
    """The orders of K members as one (K, S); members without partners are their own."""
    rows = torch.stack([o.rows for o in orders])
    if all(o.partners is None for o in orders):
        return Order(rows)
    partners = torch.stack([o.rows if o.partners is None else o.partners for o in orders])
    blank = torch.zeros(rows.shape[1])
    return Order(
        rows, partners, torch.stack([blank if o.shift is None else o.shift for o in orders])
    )


class Sampler:
    """The orders of one member."""

    def __init__(self, member: Member, examples: Examples) -> None:
        """Finds the neighbours that Smote needs, among the member's training rows."""
        self.member = member
        self.count = member.batch * member.steps
        self.rows = examples.shown(member)
        self.balance = member.recipe.balance
        self.labels: IntArray | None = None  # of the training rows, for an order by class
        if member.recipe.shuffle == "by_class":
            self.labels = examples.labels.numpy()[self.rows]
        if not isinstance(self.balance, Oversample | Smote):
            return
        labels = examples.labels.numpy()[self.rows]
        counts = np.bincount(labels, minlength=examples.classes)
        self.shares = self.balance.shares(counts, self.count)
        self.classes = [self.rows[labels == c] for c in range(examples.classes)]
        self.nearest: list[IntArray | None] = [None] * examples.classes
        if isinstance(self.balance, Smote):
            for c in np.flatnonzero(self.shares > counts):
                self.nearest[c] = _nearest(self.balance, member, examples, self.classes[c])

    def epoch(self, epoch: int) -> Order:
        """The order of an epoch, (steps · batch,)."""
        if not isinstance(self.balance, Oversample | Smote):
            return Order(shuffled(self.member, epoch, self.labels, self.rows))
        stream = numpy_stream(self.member.seed, "balance", epoch)
        rows, partners, shift = [], [], []
        for mine, share, nearest in zip(self.classes, self.shares, self.nearest, strict=True):
            if not share:
                continue
            rounds = -(-share // len(mine))
            chosen = np.concatenate([stream.permutation(len(mine)) for _ in range(rounds)])[:share]
            rows.append(mine[chosen])
            if nearest is None:
                partners.append(mine[chosen])
                shift.append(np.zeros(share))
                continue
            other = nearest[chosen, stream.integers(nearest.shape[1], size=share)]
            partners.append(mine[other])
            # The first showing of each row is the row itself.
            shift.append(np.where(np.arange(share) < len(mine), 0.0, stream.random(share)))
        order = stream.permutation(self.count)
        found = Order(torch.from_numpy(np.concatenate(rows)[order]))
        if isinstance(self.balance, Oversample):
            return found
        return Order(
            found.rows,
            torch.from_numpy(np.concatenate(partners)[order]),
            torch.from_numpy(np.concatenate(shift)[order]).float(),
        )


def sampler_of(member: Member, examples: Examples, known: dict[object, Sampler]) -> Sampler:
    """The member's sampler; what Smote found for a member of the same rows is used again."""
    recipe = member.recipe
    key = (member.fold, id(member.train), recipe.balance, recipe.shuffle)
    if key not in known:
        known[key] = Sampler(member, examples)
    found = copy.copy(known[key])
    found.member = member
    return found


def shuffled(member: Member, epoch: int, labels: IntArray | None, rows: IntArray) -> Tensor:
    """The member's rows (n,) in the order of this epoch, as its recipe's `shuffle` says.

    labels (n,) are those of these rows, for an order by class. The stream depends on nothing else.
    An epoch is as long as the member's own training rows, also where there are samples besides.
    """
    first, now = (numpy_stream(member.seed, "shuffle", e) for e in (0, epoch))
    rows = ordered(rows, labels, member.recipe.shuffle, first, now)
    return torch.from_numpy(rows[: member.batch * member.steps])


def _nearest(smote: Smote, member: Member, examples: Examples, rows: IntArray) -> IntArray:
    """The neighbours of a class's rows, as positions among them, by their features."""
    inputs = examples.inputs.gather(torch.tensor([member.fold]), torch.from_numpy(rows)[None])[0]
    return smote.nearest(inputs.flatten(1).cpu().numpy())
