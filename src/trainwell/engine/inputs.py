"""From the data's own type to what the first weights see, for every fold of a population.

Each fold fits its pre-processing on its own training rows. Small data are pre-processed once and
kept as float32; larger data stay in their own type (uint8 pictures, int16 clips) and are
pre-processed batch by batch, which gives the same numbers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainwell.data.bulk import chunk_rows, each_column, release
from trainwell.data.dataset import AudioSchema, ImageSchema, IntArray, Schema
from trainwell.memory import available_memory
from trainwell.recipe import Recipe
from trainwell.techniques.inputs import (
    Bytes,
    Float,
    LogMelLayer,
    Pcm,
    TableEncoder,
    category_blocks,
)
from trainwell.techniques.preprocess import LogMel

MOST_LEVELS = 200  # of a category; rarer ones are treated like missing ones
CHUNK = 2048  # examples pre-processed at once, at most
HELD_BYTES = 64 << 20  # of a mapped file that is read, after which its pages are let go
KEEP_SPECTROGRAMS = 2 << 30  # bytes of spectrograms kept instead of being made for every batch,
KEEP_SHARE = 2  # but no more than half of the memory there is
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
    if inputs.dtype == np.float64 and layers(take(inputs, slice(1))).dtype != torch.float32:
        layers.append(Float())  # nothing has brought the values of a table near to zero
    return layers


def front(
    schema: Schema, inputs: npt.NDArray[np.generic], rows: IntArray, development: IntArray
) -> nn.Module:
    """The layer that every network of this kind of data starts with."""
    if isinstance(schema, ImageSchema):
        return Bytes()
    if isinstance(schema, AudioSchema):
        return Pcm()
    missing, kept = [], []
    for j, (feature, known) in enumerate(
        zip(schema.features, each_column(inputs, development), strict=True)
    ):
        kept.append(frequent_levels(known, len(feature.levels)))
        if not feature.levels and np.isnan(known).any():
            missing.append(j)
    return TableEncoder.fit(map(torch.from_numpy, each_column(inputs, rows)), kept, missing)


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
    step = examples_at_once(inputs)
    with torch.no_grad():
        for start in range(0, len(rows), step):
            yield layers(take(inputs, rows[start : start + step]))
            release(inputs)


def take(inputs: npt.NDArray[np.generic], rows: IntArray | slice) -> Tensor:
    """Some rows of the inputs as a tensor of their own type; a mapped file is read here.

    A slice of what lies in memory is not copied.
    """
    some = np.ascontiguousarray(inputs[rows])
    # Tensors know no read-only memory, and what is mapped must not be held on to.
    return torch.from_numpy(some if some.flags.writeable else some.copy())


def examples_at_once(inputs: npt.NDArray[np.generic]) -> int:
    """How many examples (N, ...) are pre-processed at once: `CHUNK`, fewer of large ones."""
    return min(CHUNK, chunk_rows(4 * math.prod(inputs.shape[1:])))  # as float32


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
        augmented: bool = False,
    ) -> None:
        """inputs (N, ...) are shared, not copied, unless they are pre-processed once and kept.

        augmented: pictures or clips will be asked for with changes before their pre-processing.
        """
        self.layers = list(folds)  # the whole pre-processing of each fold, for the saved model
        self.blocks = category_blocks(folds[0])  # of the columns that networks see
        self.examples, self.device = len(inputs), device
        self.raw = inputs
        self.signals = inputs if augmented else inputs[:0]
        # What turns raw examples into pictures or clips, and each fold's pre-processing of those.
        # Of tables the first layer is fitted as well: each fold has its own.
        self.fronts = [copy.deepcopy(fold[0]).to(device) for fold in folds] if augmented else []
        self.behind = [copy.deepcopy(fold[1:]).to(device) for fold in folds] if augmented else []
        shared = shared_layers(folds[0])
        front = nn.Sequential(*list(folds[0])[:shared])
        if shared and self._fits(front):
            # Spectrograms are the same for every fold and epoch: computed once.
            self.raw = self._applied([front], torch.device("cpu")).numpy()
            folds = [nn.Sequential(*list(fold)[shared:]) for fold in folds]
        # Copies: the caller's layers stay where they are (on the CPU), for the saved model.
        self.folds = [copy.deepcopy(fold).to(device) for fold in folds]
        with torch.no_grad():
            probe = [fold(take(self.raw, slice(1)).to(device)) for fold in self.folds]
        self.shape = tuple(probe[0].shape[1:])
        size = self.examples * probe[0].numel() * 4 * len(folds)
        self.bank = self._applied(self.folds, device) if size <= KEEP_BYTES else None
        self._read = 0  # bytes read from a mapped file since its pages were let go

    def _fits(self, front: nn.Sequential) -> bool:
        """Whether what these layers make of all examples may be kept."""
        with torch.no_grad():
            one = front(take(self.raw, slice(1)))
        size = self.examples * one.numel() * one.element_size()
        return bool(size <= min(KEEP_SPECTROGRAMS, available_memory() // KEEP_SHARE))

    def _applied(self, folds: Sequence[nn.Sequential], device: torch.device) -> Tensor:
        """All examples behind the layers of each fold (F·N, ...), float32."""
        step = examples_at_once(self.raw)
        made: Tensor | None = None
        with torch.no_grad():
            for number, fold in enumerate(folds):
                for start in range(0, self.examples, step):
                    some = fold(take(self.raw, slice(start, start + step)).to(device))
                    if made is None:  # one piece from the beginning, not pieces joined at the end
                        made = some.new_empty((len(folds) * self.examples, *some.shape[1:]))
                    at = number * self.examples + start
                    made[at : at + len(some)] = some
                    release(self.raw)
        assert made is not None, "no examples"
        return made

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes: what `gather` needs, no more."""
        left: dict[str, Any] = {"layers": []} | ({} if self.bank is None else {"raw": self.raw[:0]})
        return self.__dict__ | left

    def gather_changed(
        self, folds: Tensor, rows: Tensor, change: Callable[[Tensor], Tensor], whole: bool
    ) -> Tensor:
        """As `gather`, with pictures or clips (K, B, ...) changed before their pre-processing.

        whole: `change` acts on all members; augmentations of pictures then get bytes, which they
        turn into values block by block. Members that `change` leaves alone are as `gather` gives
        them, up to rounding.
        """
        members = len(rows)
        assert len(self.signals), "made without `augmented`"
        with torch.no_grad():
            raw = take(self.signals, rows.reshape(-1).numpy()).to(self.device)
            changed = change(self._signals(folds, raw, members, whole))
            each = [self.behind[f](x) for f, x in zip(folds.tolist(), changed, strict=True)]
        self._let_go(raw.nbytes)
        return each[0][None] if members == 1 else torch.stack(each)

    def _signals(self, folds: Tensor, raw: Tensor, members: int, whole: bool) -> Tensor:
        """Raw examples (K·B, ...) as pictures, clips or columns (K, B, ...) of their folds."""
        front = self.fronts[0]
        if isinstance(front, TableEncoder):
            each = raw.view(members, -1, *raw.shape[1:])
            return torch.stack(
                [self.fronts[f](x) for f, x in zip(folds.tolist(), each, strict=True)]
            )
        signals = raw if whole and isinstance(front, Bytes) else front(raw)
        return signals.view(members, -1, *signals.shape[1:])

    def _let_go(self, read: int) -> None:
        """Count bytes read from a mapped file; now and then let its pages go."""
        self._read += read
        if self._read > HELD_BYTES:
            release(self.raw)
            release(self.signals)
            self._read = 0

    def gather(self, folds: Tensor, rows: Tensor) -> Tensor:
        """Inputs (K, B, ...) for rows (K, B) of the folds (K,), on the device."""
        members, batch = rows.shape
        if self.bank is not None:
            places = (folds[:, None] * self.examples + rows).reshape(-1).to(self.bank.device)
            return self.bank.index_select(0, places).view(members, batch, *self.shape)
        with torch.no_grad():
            each = [
                self.folds[f](take(self.raw, r).to(self.device))
                for f, r in zip(folds.tolist(), rows.numpy(), strict=True)
            ]
        self._let_go(rows.numel() * self.raw[0].nbytes)
        return each[0][None] if members == 1 else torch.stack(each)
