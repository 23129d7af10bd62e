"""Layers in front of the network: from the data's own type to what the first weights see.

They are part of the saved model, so that predictions start from raw rows, pictures and clips.
All state lies in buffers: it is saved with the weights and never trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainwell.techniques.scaling import OwnScale, Projection, Scale, Shift

UNSEEN = -1  # position of a category that training rows hardly show


class Bytes(nn.Module):
    """Pictures in uint8 to float32 in [0, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, C, H, W) to the same."""
        return x.div(255.0)


class Pcm(nn.Module):
    """Clips in int16 to float32 in [-1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, T) to the same."""
        return x.div(32768.0)


class Float(nn.Module):
    """Any numbers to float32, which networks compute in."""

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, ...) to the same."""
        return x.float()


class TableEncoder(nn.Module):
    """Numbers, codes and missing values of a table to a float matrix.

    A number stays, missing ones become the training median, and the columns `indicated` get an
    indicator column (1 = missing). A category becomes one column per kept level; a missing level,
    one that is not kept, and one seen in fewer than `RARE` training rows, is all zeros.
    Shapes: (B, D) with NaN for missing to (B, D'), D' = numbers + indicators + levels. D' does not
    depend on which rows train, so that the networks of all folds have one shape.
    """

    RARE = 3  # rows: below that a level's weight would be learned from next to nothing

    numbers: Tensor  # (n,) columns of numbers
    medians: Tensor  # (n,) values for missing cells
    indicated: Tensor  # (m,) columns with an indicator
    categories: Tensor  # (q,) columns of codes
    positions: Tensor  # (q, L) output position of each code, UNSEEN where none
    width: int  # one-hot columns

    def __init__(
        self,
        numbers: Tensor,
        medians: Tensor,
        indicated: Tensor,
        categories: Tensor,
        positions: Tensor,
        width: int,
        levels: Sequence[int] = (),
    ) -> None:
        """levels: one-hot columns of each category, `width` together."""
        super().__init__()
        self.width, self.levels = width, tuple(levels)
        self.register_buffer("numbers", numbers)
        self.register_buffer("medians", medians)
        self.register_buffer("indicated", indicated)
        self.register_buffer("categories", categories)
        self.register_buffer("positions", positions)

    @classmethod
    def fit(
        cls, columns: Iterable[Tensor], levels: Sequence[Sequence[int]], indicated: Iterable[int]
    ) -> TableEncoder:
        """From the columns (N,) of the training rows one after another, the codes of each that are
        kept (none: a number), and the columns that get an indicator."""
        numbers = [j for j, codes in enumerate(levels) if not codes]
        categories = [j for j, codes in enumerate(levels) if codes]
        most = max([0, *(max(codes) for codes in levels if codes)])
        positions = torch.full((len(categories), most + 1), UNSEEN)
        medians: list[float] = []
        row, start, dtype = 0, 0, torch.float32
        for column, kept in zip(columns, levels, strict=True):
            known, dtype = column[~column.isnan()], column.dtype
            if not kept:
                medians.append(known.median().item() if len(known) else 0.0)
                continue
            counts = torch.bincount(known.long(), minlength=most + 1)
            for code in kept:
                if counts[code] >= cls.RARE:
                    positions[row, code] = start
                start += 1
            row += 1
        return cls(
            torch.tensor(numbers, dtype=torch.long),
            torch.tensor(medians, dtype=dtype),
            torch.tensor(list(indicated), dtype=torch.long),
            torch.tensor(categories, dtype=torch.long),
            positions,
            start,
            [len(levels[j]) for j in categories],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, D) to (B, D')."""
        values = x[:, self.numbers]
        parts = [torch.where(values.isnan(), self.medians, values)]
        if len(self.indicated):
            parts.append(x[:, self.indicated].isnan().to(x.dtype))
        if len(self.categories):
            codes = x[:, self.categories]
            most = self.positions.shape[1] - 1
            level = codes.nan_to_num(0).long().clamp(0, most)
            place = self.positions.gather(1, level.T).T  # (B, q)
            place = place.masked_fill(codes.isnan() | (codes > most), UNSEEN)
            hot = x.new_zeros(x.shape[0], self.width + 1)  # the last column collects what is unseen
            parts.append(hot.scatter_(1, place % (self.width + 1), 1.0)[:, : self.width])
        return torch.cat(parts, dim=1)


def category_blocks(layers: nn.Sequential) -> tuple[tuple[int, int], ...]:
    """Where the one-hot columns of each category start and stop behind all of these layers.

    () where there are no categories, or a layer mixes the columns.
    """
    first, *others = layers
    in_place = all(
        isinstance(layer, Scale | Shift | OwnScale | Float | nn.Identity) for layer in others
    )
    if not isinstance(first, TableEncoder) or not in_place:
        return ()
    start = len(first.numbers) + len(first.indicated)
    edges = list(itertools.accumulate(first.levels, initial=start))
    return tuple(itertools.pairwise(edges))


class LogMelLayer(nn.Module):
    """Waveform (B, T) to log-mel spectrogram (B, bands, frames); see techniques.LogMel."""

    filters: Tensor  # (bands, n_fft // 2 + 1)
    taper: Tensor  # (window,)
    FLOOR = 1e-10

    def __init__(
        self, rate: int, bands: int, window: float, hop: float, low: float, range_db: float
    ) -> None:
        super().__init__()
        self.options = (rate, bands, window, hop, low, range_db)
        self.window, self.hop = max(4, round(window * rate)), max(1, round(hop * rate))
        self.n_fft = 1 << (self.window - 1).bit_length()
        self.range_db = range_db
        self.register_buffer("taper", torch.hann_window(self.window))
        self.register_buffer("filters", mel_filters(rate, self.n_fft, bands, low))

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, T) to (B, bands, 1 + T // hop)."""
        spectrum = torch.stft(
            x,
            self.n_fft,
            self.hop,
            self.window,
            self.taper,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        decibel = 10 * (self.filters @ power + self.FLOOR).log10()
        decibel = decibel - decibel.amax(dim=(1, 2), keepdim=True)
        return decibel.clamp(min=-self.range_db)


def mel_filters(rate: int, n_fft: int, bands: int, low: float) -> Tensor:
    """Triangular filters (bands, n_fft // 2 + 1), equally spaced in mel from `low` to rate / 2."""

    def mel(hertz: Tensor) -> Tensor:
        return 2595 * torch.log10(1 + hertz / 700)

    edges_mel = torch.linspace(
        float(mel(torch.tensor(low))), float(mel(torch.tensor(rate / 2))), bands + 2
    )
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    # A narrow band may fall between two frequencies of the transform; it then takes the nearest.
    nearest = (bins[None] - edges[1:-1, None]).abs().argmin(dim=1)
    empty = triangles.sum(dim=1) == 0
    triangles[empty, nearest[empty]] = 1.0
    return triangles


def describe(layer: nn.Module) -> dict[str, Any]:
    """What, besides its buffers, is needed to build an input layer again: plain data."""
    name = type(layer).__name__
    match layer:
        case TableEncoder():
            return {"layer": name, "width": layer.width, "levels": list(layer.levels)}
        case LogMelLayer():
            return {"layer": "LogMel", "options": list(layer.options)}
        case Scale():
            return {"layer": name, "limit": layer.limit, "smooth": layer.smooth}
        case OwnScale():
            return {"layer": name, "eps": layer.eps, "width": layer.width}
        case Projection():
            return {"layer": name, "square": layer.square}
    return {"layer": name}


def rebuild(description: Mapping[str, Any], buffers: Mapping[str, Tensor]) -> nn.Module:
    """The input layer of a description and its buffers; raises KeyError where one is missing."""
    match description["layer"]:
        case "Bytes":
            return Bytes()
        case "Pcm":
            return Pcm()
        case "Float":
            return Float()
        case "Identity":
            return nn.Identity()
        case "Scale":
            limit = description.get("limit", Scale.LIMIT)
            smooth = description.get("smooth", False)
            return Scale(buffers["mean"], buffers["factor"], limit, smooth)
        case "Shift":
            return Shift(buffers["mean"], buffers["edge"])
        case "OwnScale":
            return OwnScale(description["eps"], description["width"])
        case "Projection":
            mean, edge = buffers["shift.mean"], buffers["shift.edge"]
            return Projection(mean, edge, buffers["matrix"], description["square"])
        case "LogMel":
            rate, bands, window, hop, low, range_db = description["options"]
            return LogMelLayer(rate, bands, window, hop, low, range_db)
        case "TableEncoder":
            names = ("numbers", "medians", "indicated", "categories", "positions")
            numbers, medians, indicated, categories, positions = (buffers[n] for n in names)
            width, levels = description["width"], description.get("levels", ())
            return TableEncoder(numbers, medians, indicated, categories, positions, width, levels)
    raise KeyError(description["layer"])
