"""Pre-processing: fitted on training rows only, applied as part of the network that is exported.

A technique's `fit` reads chunks of training examples once and returns an `nn.Module`; the module
maps (B, ...) float tensors to (B, ...). Slide: "Data pre-processing".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt

from trainwell.callstring import check_fields
from trainwell.techniques.whitening import Pca, Whiten

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Center:
    """Zero mean: subtract the mean of the training rows, and leave the units as they are.

    Equation: x̂ = x - μ. With per="feature" every feature has its own μ and "one pixel in a picture
    is one feature": the mean picture is subtracted. With per="channel" one μ serves a whole colour
    channel or frequency band. For inputs of one unit, such as pixels, where it gives most of what
    Standardize gives; for tables whose columns have different units use Standardize. A constant
    feature becomes 0, and what lies beyond 10000 deviations is cut there.
    Shapes: (B, ...) to the same. Source: slide "Data pre-processing" ("make data zero mean").

    >>> import torch
    >>> layer = Center().fit([torch.tensor([[0.0, 5.0], [2.0, 5.0]])])
    >>> layer(torch.tensor([[4.0, 5.0]]))
    tensor([[3., 0.]])
    """

    per: Literal["feature", "channel"] = "feature"

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, chunks: Iterable[Tensor]) -> nn.Module:
        """The layer for these training examples; chunks are (B, ...) float tensors."""
        from trainwell.techniques.scaling import Shift
        from trainwell.techniques.streaming import moments

        mean, std, precision = moments(chunks, self.per)
        return Shift(mean.to(precision), Shift.edge_of(mean, std))


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
        from trainwell.techniques.scaling import Scale
        from trainwell.techniques.streaming import moments, reciprocal

        mean, std, precision = moments(chunks, self.per)
        # The mean keeps the precision of the data: where values need float64, so does it.
        return Scale(mean.to(precision), reciprocal(std, mean).float())


@dataclass(frozen=True)
class MinMax:
    """Values in [-1, 1], by the smallest and the largest value of the training rows.

    Equation: x̂ = 2 (x - min) / (max - min) - 1, with min and max of every feature, or with
    per="channel" of a whole colour channel or frequency band. New rows may lie outside; with `clip`
    (the default) they are cut to -1 or 1, so that the range is a promise and the network never
    extrapolates; without it they go on along the line. A constant feature becomes 0. One outlier
    squeezes all other values together: then use Robust. Shapes: (B, ...) to the same.
    Source: slide "Data pre-processing" ("ensure values are in [-1,1]").

    >>> import torch
    >>> layer = MinMax().fit([torch.tensor([[0.0], [10.0]])])
    >>> layer(torch.tensor([[0.0], [4.0], [10.0], [99.0]])).flatten()
    tensor([-1.0000, -0.2000,  1.0000,  1.0000])
    """

    per: Literal["feature", "channel"] = "feature"
    clip: bool = True

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, chunks: Iterable[Tensor]) -> nn.Module:
        """The layer for these training examples; chunks are (B, ...) float tensors."""
        from trainwell.techniques.scaling import Scale
        from trainwell.techniques.streaming import extremes, reciprocal

        low, high, precision = extremes(chunks, self.per)
        middle, half = (low + high) / 2, (high - low) / 2
        limit = 1.0 if self.clip else Scale.LIMIT
        return Scale(middle.to(precision), reciprocal(half, middle).float(), limit)


@dataclass(frozen=True)
class Robust:
    """Median and quartile range instead of mean and deviation: outliers do not set the scale.

    Equation: z = (x - median) / (q75 - q25), with median and quartiles of the training rows; then
    with `smooth_clip` x̂ = z / √(1 + (z / 3)²), nearly z in the middle and never beyond ±3. Without
    it outliers stay as far out as they are. Where the quartiles are equal (a column that is
    mostly zero) half the range, (max - min) / 2, takes the place of the quartile range; a
    constant feature becomes 0. Exact up to 67 million numbers; of more data the quartiles are those
    of a random sample of rows. For tables with outliers or long tails; for pixels use Standardize.
    Shapes: (B, ...) to the same. Source: slide "Data pre-processing" (normalization); Holzmüller et
    al. 2024 (RealMLP).

    >>> import torch
    >>> layer = Robust().fit([torch.tensor([[0.0], [1.0], [2.0], [3.0], [1000.0]])])
    >>> layer(torch.tensor([[2.0], [3.0], [1000.0]])).flatten()
    tensor([0.0000, 0.4932, 2.9999])
    """

    per: Literal["feature", "channel"] = "feature"
    smooth_clip: bool = True

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, chunks: Iterable[Tensor]) -> nn.Module:
        """The layer for these training examples; chunks are (B, ...) float tensors."""
        from trainwell.techniques.scaling import Scale
        from trainwell.techniques.streaming import order, reciprocal, varies

        found = order(chunks, self.per)
        quartiles, half = found.upper_quartile - found.quartile, (found.high - found.low) / 2
        spread = quartiles.where(varies(quartiles, found.median), half)
        factor = reciprocal(spread, found.median).float()
        return Scale(found.median.to(found.precision), factor, smooth=self.smooth_clip)


@dataclass(frozen=True)
class PerSample:
    """Every picture, or clip, by its own mean and deviation: exposure and contrast drop out.

    Equation: x̂ = (x - mean_i) / √(var_i + ε) with mean and variance over all values of example i
    and ε = `eps`, which keeps the noise of an almost blank picture small. Nothing is fitted.
    For pictures under changing light and clips of changing loudness (behind LogMel); not where
    brightness itself tells the classes apart, nor for tables, whose columns have different units.
    Default 1e-4, close to the paper's 10 for pixels of 0 to 255 (1.5e-4 in [0, 1]).
    Shapes: (B, ...) to the same. Source: slide "Data pre-processing" ("across one picture. Used
    especially if a particular picture is over-exposed"); Coates, Lee and Ng 2011.

    >>> import torch
    >>> dark = torch.tensor([[[[0.0, 0.2], [0.4, 0.2]]]])
    >>> layer = PerSample(eps=1e-9).fit([])
    >>> bool(torch.allclose(layer(dark), layer(1.5 * dark + 0.3), atol=1e-4))
    True
    """

    eps: Annotated[float, Ge(1e-12)] = 1e-4

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, chunks: Iterable[Tensor]) -> nn.Module:
        """The layer; nothing in it depends on the training examples."""
        from trainwell.techniques.scaling import OwnScale

        return OwnScale(self.eps)


@dataclass(frozen=True)
class LogMel:
    """Waveform to log-mel spectrogram: energy per frequency band and moment, in decibels.

    Steps: short-time Fourier transform (Hann window of `window` seconds every `hop` seconds), power
    spectrum, `bands` triangular filters equally spaced on the mel scale from `low` Hz to
    half the sample rate, 10 log10(power + floor), limited to `range_db` below the clip's
    loudest point, which becomes 0 (so loudness of the recording does not matter).
    Shapes: (B, T) waveform in [-1, 1] to (B, bands, frames). Default 40 bands of 25 ms every 10 ms:
    usual for speech. Source: slide "Data pre-processing"; Davis and Mermelstein 1980;
    mel = 2595 log10(1 + f / 700).

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


Preprocess = Standardize | LogMel | Raw | Center | MinMax | Robust | PerSample | Pca | Whiten
