"""From the data's own type to what the first weights see, for every fold of a population.

Each fold fits its pre-processing on its own training rows. Small data are pre-processed once and
kept as float32; larger data stay in their own type (uint8 pictures, int16 clips) and are
pre-processed batch by batch, which gives the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainwell.data.dataset import AudioSchema, ImageSchema, IntArray, Schema
from trainwell.recipe import Recipe
from trainwell.techniques.inputs import Bytes, LogMelLayer, Pcm, TableEncoder
from trainwell.techniques.preprocess import LogMel

MOST_LEVELS = 200  # of a category; rarer ones are treated like missing ones
CHUNK = 2048  # examples pre-processed at once
KEEP_SPECTROGRAMS = 2 << 30  # bytes of spectrograms kept instead of being made for every batch
KEEP_BYTES = 128 << 20  # pre-processed data up to this size are kept, all folds together


def fit_preprocess(
    recipe: Recipe,
    schema: Schema,
    inputs: npt.NDArray[np.generic],
    rows: IntArray,
    development: IntArray,
) -> nn.Sequential:
    """The recipe's pre-processing, fitted on the training `rows` of `inputs` (N, ...) only.

    `development` are all rows outside the test part; they only say which columns of a table ever
    have missing values and which levels of a category are frequent, so that every fold gives the
    same number of columns.
    """
    layers = nn.Sequential(front(schema, inputs, rows, development)).eval()
    for technique in recipe.preprocess:
        if isinstance(technique, LogMel):
            assert isinstance(schema, AudioSchema)
            layers.append(technique.layer(schema.rate))
        else:
            layers.append(technique.fit(_through(layers, inputs, rows)).eval())
    return layers


def front(
    schema: Schema, inputs: npt.NDArray[np.generic], rows: IntArray, development: IntArray
) -> nn.Module:
    """The layer that every network of this kind of data starts with."""
    if isinstance(schema, ImageSchema):
        return Bytes()
    if isinstance(schema, AudioSchema):
        return Pcm()
    levels = [len(f.levels) for f in schema.features]
    known = inputs[development]
    missing = [j for j, count in enumerate(levels) if not count and np.isnan(known[:, j]).any()]
    kept = [frequent_levels(known[:, j], count) for j, count in enumerate(levels)]
    return TableEncoder.fit(torch.from_numpy(inputs[rows]), kept, missing)


def frequent_levels(codes: npt.NDArray[np.generic], levels: int) -> tuple[int, ...]:
    """The codes of a column that get a column of their own, most frequent first; () for numbers."""
    if not levels:
        return ()
    counts = np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=levels)
    order = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    return tuple(int(c) for c in order if counts[c] or c == order[0])


def _through(
    layers: nn.Sequential, inputs: npt.NDArray[np.generic], rows: IntArray
) -> Iterator[Tensor]:
    with torch.no_grad():
        for start in range(0, len(rows), CHUNK):
            yield layers(torch.from_numpy(inputs[rows[start : start + CHUNK]]))


def shared_layers(fold: nn.Sequential) -> int:
    """How many leading layers turn clips into spectrograms; nothing in them is fitted."""
    if len(fold) > 1 and isinstance(fold[1], LogMelLayer):
        return 2
    return 0


class FoldInputs:
    """Examples of F folds, ready to be gathered for K members at once."""

    def __init__(
        self,
        inputs: npt.NDArray[np.generic],
        folds: Sequence[nn.Sequential],
        device: torch.device,
    ) -> None:
        """inputs (N, ...) are shared, not copied, unless they are pre-processed once and kept."""
        self.layers = list(folds)  # the whole pre-processing of each fold, for the saved model
        self.examples = len(inputs)
        self.raw = torch.from_numpy(inputs)
        shared = shared_layers(folds[0])
        front = nn.Sequential(*list(folds[0])[:shared])
        with torch.no_grad():
            one = front(self.raw[:1])
            if shared and len(inputs) * one.numel() * one.element_size() <= KEEP_SPECTROGRAMS:
                # Spectrograms are the same for every fold and epoch: computed once.
                self.raw = torch.cat([front(chunk) for chunk in torch.split(self.raw, CHUNK)])
                folds = [nn.Sequential(*list(fold)[shared:]) for fold in folds]
        # Copies: the caller's layers stay where they are (on the CPU), for the saved model.
        self.folds = [copy.deepcopy(fold).to(device) for fold in folds]
        with torch.no_grad():
            probe = [fold(self.raw[:1].to(device)) for fold in self.folds]
        self.shape = tuple(probe[0].shape[1:])
        size = self.examples * probe[0].numel() * 4 * len(folds)
        self.bank = self._preprocessed(device) if size <= KEEP_BYTES else None

    def _preprocessed(self, device: torch.device) -> Tensor:
        """All examples of all folds (F·N, ...), float32."""
        starts = range(0, self.examples, CHUNK)
        with torch.no_grad():
            return torch.cat(
                [fold(self.raw[s : s + CHUNK].to(device)) for fold in self.folds for s in starts]
            )

    def gather(self, folds: Tensor, rows: Tensor) -> Tensor:
        """Inputs (K, B, ...) for rows (K, B) of the folds (K,), on the device."""
        members, batch = rows.shape
        if self.bank is not None:
            places = (folds[:, None] * self.examples + rows).reshape(-1).to(self.bank.device)
            return self.bank.index_select(0, places).view(members, batch, *self.shape)
        device = next((b.device for f in self.folds for b in f.buffers()), torch.device("cpu"))
        with torch.no_grad():
            each = [
                self.folds[f](self.raw[r].to(device))
                for f, r in zip(folds.tolist(), rows, strict=True)
            ]
        return torch.stack(each)
