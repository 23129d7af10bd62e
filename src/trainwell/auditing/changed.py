"""Rows as the network sees them, clean and augmented.

Shapes: n rows, C classes; features (n, ...) behind a fold's pre-processing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwell.arms import Arena
from trainwell.data.dataset import AudioSchema, IntArray
from trainwell.engine.inputs import take
from trainwell.recipe import Recipe
from trainwell.seeding import stream_seed, torch_stream
from trainwell.techniques.augment import Augment
from trainwell.techniques.augment.base import SIGNALS, Augmentation
from trainwell.techniques.augment.mixing import CutMix, MixUp

Floats = npt.NDArray[np.float64]
BATCH = 64  # rows that are changed together, as in training


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows behind the pre-processing: features (n, ...), and the share (n, C) of each class in
    their labels (1 and 0, unless rows are mixed)."""

    features: Tensor
    labels: Floats


def understood(augment: Sequence[Augment]) -> bool:
    """Whether these augmentations can be carried out here, outside of training."""
    return all(isinstance(a, Augmentation | MixUp | CutMix) for a in augment)


def signals_of(arena: Arena, rows: IntArray, augment: Sequence[Augment], seed: int) -> Tensor:
    """Pictures or clips (n, ...) as a person would see or hear them, augmented."""
    data = arena.data
    rate = data.schema.rate if isinstance(data.schema, AudioSchema) else 0
    front = next(iter(arena.trainers.values())).examples.inputs.layers[0][0]
    some = [a for a in augment if isinstance(a, Augmentation) and a.acts_on in SIGNALS]
    return _augmented(front(take(data.inputs, rows)), some, seed, rate)


def clean_rows(arena: Arena, recipe: Recipe, fold: int, rows: IntArray) -> Rows:
    """Rows of the data as networks of a fold see them."""
    layers = arena.trainer(recipe).examples.inputs.layers[fold]
    with torch.inference_mode():
        features = layers(take(arena.data.inputs, rows))
    return Rows(features, _one_hot(arena, rows))


def changed_rows(
    arena: Arena,
    recipe: Recipe,
    fold: int,
    rows: IntArray,
    augment: Sequence[Augment],
    seed: int,
) -> Rows:
    """Rows of the data after one drawing of the augmentations, as networks of a fold see them."""
    layers = arena.trainer(recipe).examples.inputs.layers[fold]
    data = arena.data
    rate = data.schema.rate if isinstance(data.schema, AudioSchema) else 0
    before = [a for a in augment if isinstance(a, Augmentation) and a.acts_on in SIGNALS]
    behind = [a for a in augment if isinstance(a, Augmentation) and a.acts_on not in SIGNALS]
    with torch.inference_mode():
        signals = _augmented(layers[0](take(data.inputs, rows)), before, seed, rate)
        features = _augmented(layers[1:](signals), behind, stream_seed(seed, "behind"), rate)
        mixing = next((a for a in augment if isinstance(a, MixUp | CutMix)), None)
        labels = _one_hot(arena, rows)
        if mixing is not None:
            return _mixed(Rows(features, labels), mixing, seed)
    return Rows(features, labels)


def _one_hot(arena: Arena, rows: IntArray) -> Floats:
    made: Floats = np.eye(len(arena.data.classes))[arena.data.labels[rows]]
    return made


def _augmented(x: Tensor, some: Sequence[Augmentation], seed: int, rate: int) -> Tensor:
    """Batches (n, ...) changed at random, each augmentation from a stream of its own."""
    for number, technique in enumerate(some):
        parts = [
            technique(x[i : i + BATCH], stream_seed(seed, number, i), rate=rate)
            for i in range(0, len(x), BATCH)
        ]
        x = torch.cat(parts) if parts else x
    return x


def _mixed(rows: Rows, technique: MixUp | CutMix, seed: int) -> Rows:
    features, labels = [], []
    order = torch.randperm(len(rows.features), generator=torch_stream(seed, "order"))
    back = torch.argsort(order)
    x, y = rows.features[order], torch.from_numpy(rows.labels)[order]
    for i in range(0, len(x), BATCH):
        some, known = x[i : i + BATCH], y[i : i + BATCH]
        made = technique.apply(
            some[None], [technique.draw(len(some), torch_stream(seed, "mix", i))]
        )
        share = float(made.share[0])
        features.append(made.x[0])
        labels.append((1 - share) * known + share * known[made.partner[0]])
    return Rows(torch.cat(features)[back], torch.cat(labels)[back].numpy())


def flat(features: Tensor, width: int = 256) -> npt.NDArray[np.float32]:
    """Features (n, ...) as (n, d), d at most `width`: maps made smaller, long rows mixed at random.

    Distances between rows are kept, about.
    """
    x = features.float()
    if x.dim() >= 3 and x[0].numel() > width:
        height, wide = x.shape[-2:]
        channels = x[0].numel() // (height * wide)
        shrink = max(1.0, (x[0].numel() / width) ** 0.5)
        size = (max(1, int(height / shrink)), max(1, int(wide / shrink)))
        x = torch.nn.functional.adaptive_avg_pool2d(x.reshape(len(x), channels, height, wide), size)
    x = x.flatten(1)
    if x.shape[1] > width:
        mix = torch.randn(x.shape[1], width, generator=torch_stream(0, "flat", x.shape[1]))
        x = x @ mix / width**0.5
    found: npt.NDArray[np.float32] = x.numpy()
    return found
