"""Augmentation of a share's batches: every member from its own streams, equal members together.

Pictures and clips are changed before the pre-processing, features behind it, and batches are mixed
last. Random numbers are drawn for the whole batch, whatever part of it this process computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainwell.engine.distributed import Cut
from trainwell.engine.members import Member
from trainwell.seeding import stream_seed
from trainwell.techniques.augment.base import SIGNALS, Augmentation
from trainwell.techniques.augment.mixing import CutMix, Mixed, MixUp


@dataclass(frozen=True, eq=False)
class Group:
    """Members of a share that change their inputs in the same way."""

    numbers: tuple[int, ...]  # positions in the share
    places: Tensor  # the same, on the device
    everyone: bool
    signals: tuple[tuple[int, Augmentation], ...]  # number in the recipe, technique
    features: tuple[tuple[int, Augmentation], ...]
    mixing: tuple[int, MixUp | CutMix] | None


class Augmenter:
    """All augmentation of a share."""

    def __init__(self, members: Sequence[Member], device: torch.device, rate: int) -> None:
        """rate: samples per second of clips."""
        self.members, self.device, self.rate = members, device, rate
        self.generator = torch.Generator()
        self.groups: list[Group] = []
        found: dict[object, list[int]] = {}
        for k, m in enumerate(members):
            found.setdefault(m.recipe.augment, []).append(k)
        for places in found.values():
            techniques = list(enumerate(members[places[0]].recipe.augment))
            changes = [(i, t) for i, t in techniques if isinstance(t, Augmentation)]
            mixing = [(i, t) for i, t in techniques if isinstance(t, MixUp | CutMix)]
            group = Group(
                tuple(places),
                torch.tensor(places, device=device),
                len(found) == 1,
                tuple((i, t) for i, t in changes if t.acts_on in SIGNALS),
                tuple((i, t) for i, t in changes if t.acts_on not in SIGNALS),
                mixing[0] if mixing else None,
            )
            self.groups.append(group)
        self.signals = any(g.signals for g in self.groups)
        # Whether all members change their pictures or clips, and do it in the same way.
        self.changes_all = len(self.groups) == 1 and self.signals
        self.mixes = any(g.mixing for g in self.groups)

    def start_step(self, epoch: int, step: int, batch: int, cut: Cut | None) -> None:
        """Streams of this step, for whole batches of `batch` examples, of which `cut` is ours."""
        self.epoch, self.step, self.batch, self.cut = epoch, step, batch, cut

    def change_signals(self, x: Tensor) -> Tensor:
        """Pictures or clips (K, B, ...) changed at random."""
        return self._changed(x, [g.signals for g in self.groups])

    def change_features(self, x: Tensor) -> Tensor:
        """Features (K, B, ...) changed at random."""
        return self._changed(x, [g.features for g in self.groups])

    def _changed(
        self, x: Tensor, techniques: Sequence[tuple[tuple[int, Augmentation], ...]]
    ) -> Tensor:
        new = False
        for group, mine in zip(self.groups, techniques, strict=True):
            if not mine:
                continue
            some = x if group.everyone else x.index_select(0, group.places)
            flat = some.flatten(0, 1)
            for number, technique in mine:
                flat = technique.apply(
                    flat, self._drawn(group, number, technique, flat), 1.0, self.rate
                )
            if group.everyone:
                return flat.view_as(some)
            x, new = (x if new else x.clone()), True
            x[group.places] = flat.view_as(some)
        return x

    def _drawn(
        self, group: Group, number: int, technique: Augmentation, x: Tensor
    ) -> tuple[Tensor, ...]:
        """The random numbers of a group's members, one after another: (k · B, ...) each."""
        shape = (self.batch, *x.shape[1:])
        mine = slice(None) if self.cut is None else self.cut.mine
        each = [
            [d[mine] for d in technique.draw(shape, self._stream(k, number))] for k in group.numbers
        ]
        drawn = each[0] if len(each) == 1 else [torch.cat(d) for d in zip(*each, strict=True)]
        return tuple(d.to(self.device) for d in drawn)

    def _stream(self, member: int, number: int) -> torch.Generator:
        seed = self.members[member].seed
        return self.generator.manual_seed(
            stream_seed(seed, "augment", number, self.epoch, self.step)
        )

    def mixed(self, x: Tensor) -> Mixed | None:
        """Whole batches (K, B, ...) mixed at random; None where no member mixes."""
        if not self.mixes:
            return None
        itself = torch.arange(x.shape[1], device=self.device).expand(len(x), -1).clone()
        found = Mixed(x.clone(), itself, torch.zeros(len(x), device=self.device))
        for group in self.groups:
            if group.mixing is None:
                continue
            number, technique = group.mixing
            drawn = [technique.draw(x.shape[1], self._stream(k, number)) for k in group.numbers]
            some = technique.apply(x[group.places], drawn)
            for into, part in zip(found, some, strict=True):
                into[group.places] = part
        return found
