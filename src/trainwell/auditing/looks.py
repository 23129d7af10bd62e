"""What can be said about an augmentation before anything is trained with it.

A reference, the networks without augmentation, and the rows as these networks see them are enough:
likeness, labels, copies. Shapes: n rows of a fold, F folds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from trainwell.arms import Arm
from trainwell.auditing.changed import Rows, changed_rows, clean_rows, flat, understood
from trainwell.auditing.decide import Evidence
from trainwell.auditing.labels import Judged, distances_by_class, joined, judge_labels
from trainwell.auditing.likeness import (
    Floats32,
    change,
    copied,
    coverage,
    leaks,
    realism,
    two_sample,
)
from trainwell.auditing.subjects import Samples, Subject
from trainwell.auditing.trials import Trials, chances, networks
from trainwell.data.dataset import Dataset, IntArray
from trainwell.data.split import sample_rows
from trainwell.doctor.views import wave_view
from trainwell.engine.inputs import take
from trainwell.model import Part
from trainwell.seeding import stream_seed
from trainwell.stats import Interval

MOST_HELD, MOST_TRAIN = 600, 1500  # rows of a fold that are looked at


@dataclass(frozen=True, eq=False)
class FoldLook:
    """A fold's rows as its networks see them, and what these networks say."""

    fold: int
    train_rows: IntArray
    held_rows: IntArray
    train: Floats32  # (t, d)
    train_labels: IntArray
    held: Floats32  # (n, d)
    held_labels: IntArray
    parts: tuple[Part, ...]
    chances: npt.NDArray[np.float64]  # (n, C), of the reference
    near: npt.NDArray[np.float64]  # (n, C), to training rows of each class


@dataclass(eq=False)
class Reference:
    """The arm without augmentation as a judge of augmented rows."""

    trials: Trials
    arm: Arm

    @cached_property
    def folds(self) -> tuple[FoldLook, ...]:
        """What each fold's networks see; made once."""
        arena, recipe = self.trials.arena, self.trials.recipe
        kept = [t for t in self.arm.trained if t is not None]
        model = networks(arena, recipe, kept)
        found = []
        for number, fold in enumerate(arena.split.folds):
            parts = tuple(p for p in model.parts if p.fold == number)
            if not parts:
                continue
            seed = stream_seed(arena.seed, "look", number)
            train = sample_rows(fold.train, arena.data.labels, MOST_TRAIN, seed)
            held = sample_rows(fold.validation, arena.data.labels, MOST_HELD, seed)
            seen = clean_rows(arena, recipe, number, held)
            x, z = flat(clean_rows(arena, recipe, number, train).features), flat(seen.features)
            labels = arena.data.labels[train]
            near = distances_by_class(z, x, labels, len(arena.data.classes))
            found.append(
                FoldLook(
                    number,
                    train,
                    held,
                    x,
                    labels,
                    z,
                    arena.data.labels[held],
                    parts,
                    chances(parts, seen.features),
                    near,
                )
            )
        return tuple(found)

    @cached_property
    def clean(self) -> Judged:
        """The held-out rows of all folds, as they are."""
        classes = len(self.trials.arena.data.classes)
        return joined(
            [
                Judged(f.held_labels, np.eye(classes)[f.held_labels], f.chances, f.near)
                for f in self.folds
            ]
        )

    def look(self, subject: Subject, thorough: bool = True) -> Evidence:
        """Everything about a subject that needs no training.

        thorough: also how it is told apart from the data and what it covers; without, labels and
        size of the change alone (half a second).
        """
        if subject.extra is not None:
            return self._look_at_samples(subject)
        if not understood(subject.augment):
            return Evidence()
        arena, recipe, augment = self.trials.arena, self.trials.recipe, subject.augment
        judged, moved, told, covered, real = [], [], [], [], []
        for look in self.folds:
            seed = stream_seed(arena.seed, "audited", look.fold)
            rows = changed_rows(arena, recipe, look.fold, look.held_rows, augment, seed)
            z = flat(rows.features)
            judged.append(self._judged(look, rows, z, look.held_labels))
            moved.append(change(look.held, z))
            if thorough:
                half = np.arange(len(z)) % 2 == 0
                told.append(two_sample(look.held[half], z[~half], seed))
                made = changed_rows(arena, recipe, look.fold, look.train_rows, augment, seed + 1)
                covered.append(coverage(look.train, look.held, flat(made.features)))
                real.append(realism(look.train, look.held, z))
        return Evidence(
            labels=judge_labels(self.clean, joined(judged), len(arena.data.classes)),
            moved=float(np.mean(moved)),
            likeness=told[0] if told else None,
            coverage=pooled(covered),
            realism=pooled(real),
        )

    def _judged(self, look: FoldLook, rows: Rows, z: Floats32, labels: IntArray) -> Judged:
        classes = rows.labels.shape[1]
        near = distances_by_class(z, look.train, look.train_labels, classes)
        return Judged(labels, rows.labels, chances(look.parts, rows.features), near)

    def _look_at_samples(self, subject: Subject) -> Evidence:
        """Extra samples: labels by the reference, copies of training rows, and near copies of
        held-out rows."""
        trials, arena = self.trials, self.trials.arena
        classes, added = len(arena.data.classes), trials.samples(subject)
        layers = arena.trainer(trials.recipe).examples.inputs.layers
        judged, told, covered, real, known, near, usual = [], [], [], [], [], [], []
        for look in self.folds:
            seed = stream_seed(arena.seed, "audited", look.fold)
            some = sample_rows(added.rows[look.fold], added.data.labels, MOST_TRAIN, seed)
            with torch.inference_mode():
                features = layers[look.fold](take(added.data.inputs, some))
            x, y = flat(features), added.data.labels[some]
            own = np.arange(len(y))
            if isinstance(subject.extra, Samples):  # the same in every fold: one judge for each
                own = own[look.fold :: len(self.folds)]
            rows = Rows(features[torch.from_numpy(own)], np.eye(classes)[y[own]])
            judged.append(self._judged(look, rows, x[own], y[own]))
            told.append(two_sample(look.held, x, seed))
            covered.append(coverage(look.train, look.held, x))
            real.append(realism(look.train, look.held, x))
            known.append(copied(look.train, x))
            copies, twins = leaks(*_waves(added.data, look, some, x))
            near.append(copies)
            usual.append(twins)
        return Evidence(
            labels=judge_labels(self.clean, joined(judged), classes),
            copied=float(np.mean(known)),
            likeness=told[0],
            coverage=pooled(covered),
            realism=pooled(real),
            near_held=pooled(near),
            near_train=pooled(usual),
        )


def _waves(
    data: Dataset, look: FoldLook, extra: IntArray, x: Floats32
) -> tuple[Floats32, Floats32, Floats32]:
    """Training, held-out and extra rows in a view where copies stay near: of sound the waves, since
    spectra change with the faintest noise."""
    if data.kind != "audio":
        return look.train, look.held, x
    views = wave_view(data, np.concatenate([look.train_rows, look.held_rows, extra]))
    first, second = len(look.train_rows), len(look.train_rows) + len(look.held_rows)
    return views[:first], views[first:second], views[second:]


def pooled(shares: Sequence[Interval]) -> Interval | None:
    """One share of the rows of all folds, from those of the folds (mean, and the mean ends over
    the root of their number)."""
    known = [s for s in shares if math.isfinite(s.value)]
    if not known:
        return None
    value = float(np.mean([s.value for s in known]))
    half = math.sqrt(len(known))
    low = value - float(np.mean([s.value - s.low for s in known])) / half
    high = value + float(np.mean([s.high - s.value for s in known])) / half
    return Interval(value, max(0.0, low), min(1.0, high))
