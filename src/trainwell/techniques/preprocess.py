"""Pre-processing: fitted on training rows only, applied as part of the network that is exported.

A technique's `fit` reads chunks of training examples once and returns an `nn.Module`; the module
maps (B, ...) float tensors to (B, ...). Slide: "Data pre-processing".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Standardize:
    """Zero mean and unit variance, with mean and deviation of the training rows.

    Equation: x̂ = (x - μ) / σ. With per="feature" every feature has its own μ and σ, and "one pixel
    in a picture is one feature": the mean picture is subtracted. With per="channel" one μ and σ
    serve a whole colour channel or frequency band, which suits convolutions (a border pixel that is
    almost always blank has a tiny σ and would be blown up). A constant feature becomes 0.
    Shapes: (B, ...) to (B, ...). Source: slide "Data pre-processing"; CS231n notes, part 2.

    >>> import torch
    >>> layer = Standardize().fit([torch.tensor([[0.0, 5.0], [2.0, 5.0]])])
    >>> layer(torch.tensor([[2.0, 5.0]]))
    tensor([[1., 0.]])
    """

    per: Literal["feature", "channel"] = "feature"

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, chunks: Iterable[Tensor]) -> nn.Module:
        """The layer for these training examples; chunks are (B, ...) float tensors."""
        from trainwell.techniques.inputs import Scale

        mean, std, precision = _moments(chunks, self.per)
        spread = std > 1e-12 * (1 + mean.abs())
        scale = std.where(spread, std.new_ones(())).reciprocal() * spread
        # The mean keeps the precision of the data: where values need float64, so does it.
        return Scale(mean.to(precision), scale.float())


def _moments(chunks: Iterable[Tensor], per: str) -> tuple[Tensor, Tensor, torch.dtype]:
    """Mean and deviation in float64, merged chunk by chunk (Chan et al. 1983), and the data's type.

    The second moment is taken around each chunk's own mean, so large offsets do no harm.
    """
    import torch

    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    precision = torch.float32
    for chunk in chunks:
        x, precision = chunk.double(), chunk.dtype
        axes = [0] if per == "feature" or x.ndim < 3 else [0, *range(2, x.ndim)]
        size = math.prod(x.shape[a] for a in axes)
        here = x.mean(axes, keepdim=True)[0]
        spread = (x - here).square().sum(axes, keepdim=True)[0]
        if not count:
            count, mean, squares = size, here, spread
            continue
        total, delta = count + size, here - mean
        squares = squares + spread + delta.square() * (count * size / total)
        mean, count = mean + delta * (size / total), total
    return mean, (squares / max(count, 1)).sqrt(), precision


@dataclass(frozen=True)
class LogMel:
    """Waveform to log-mel spectrogram: energy per frequency band and moment, in decibels.

    Steps: short-time Fourier transform (Hann window of `window` seconds every `hop` seconds), power
    spectrum, `bands` triangular filters equally spaced on the mel scale from `low` Hz to
    half the sample rate, 10 log10(power + floor), limited to `range_db` below the clip's
    loudest point, which becomes 0 (so loudness of the recording does not matter).
    Shapes: (B, T) waveform in [-1, 1] to (B, bands, frames). Default 40 bands of 25 ms every 10 ms:
    usual for speech. Source: Davis and Mermelstein 1980; mel = 2595 log10(1 + f / 700).

    >>> import torch
    >>> layer = LogMel(bands=8).layer(rate=8000)
    >>> layer(torch.randn(2, 8000)).shape
    torch.Size([2, 8, 101])
    """

    bands: Annotated[int, Ge(4)] = 40
    window: Annotated[float, Gt(0)] = 0.025  # seconds
    hop: Annotated[float, Gt(0)] = 0.010  # seconds
    low: Annotated[float, Ge(0)] = 60.0  # Hz
    range_db: Annotated[float, Gt(0)] = 80.0

    def __post_init__(self) -> None:
        check_fields(self)

    def layer(self, rate: int) -> nn.Module:
        """The layer for clips of `rate` samples per second; nothing in it depends on data."""
        from trainwell.techniques.inputs import LogMelLayer

        return LogMelLayer(rate, self.bands, self.window, self.hop, self.low, self.range_db)


@dataclass(frozen=True)
class Raw:
    """Leave the inputs as they are (pictures in [0, 1], clips in [-1, 1], tables in their units).

    Equation: x̂ = x. For comparisons: "raw" is the control that shows what pre-processing gives.
    Source: slide "Data pre-processing" ("we prefer to use raw data" with very much data).

    >>> Raw().fit([])
    Identity()
    """

    def fit(self, chunks: Iterable[Tensor]) -> nn.Module:
        """The identity."""
        from torch import nn

        return nn.Identity()


Preprocess = Standardize | LogMel | Raw
