"""Convolutional networks made for log-mel spectrograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, MinLen

from trainwell.callstring import check_fields
from trainwell.techniques.models.cnn import Channels
from trainwell.techniques.models.layers import Activation, Norm, convolution

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class AudioCnn:
    """Convolutions over a log-mel spectrogram that give up pitch sooner than time."""

    channels: Annotated[tuple[Channels, ...], MinLen(1)] = (16, 32, 64)
    depth: Annotated[int, Ge(1)] = 1  # convolutions per stage
    pool: Literal["mean", "max", "mean_max"] = "mean_max"  # over the rest of the spectrogram
    activation: Activation = "relu"
    norm: Norm = "batch"
    time: int = 1
    first: int = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def build(
        self,
        shape: tuple[int, ...],
        classes: int,
        dropout: float,
        blocks: tuple[tuple[int, int], ...] = (),
    ) -> nn.Sequential:
        """A network for examples of `shape` (without the batch) and `classes` outputs."""
        from torch import nn

        from trainwell.techniques.models.modules import MeanMaxPool

        layers: list[nn.Module] = []
        if len(shape) == 2:  # a spectrogram (bands, frames) is a picture with one channel
            layers.append(nn.Unflatten(1, (1, shape[0])))
            shape = (1, *shape)
        inputs, bands, frames = shape
        for stage, outputs in enumerate(self.channels):
            if stage:
                high = 2 if bands > 3 else 1
                wide = 2 if frames > 3 and stage <= self.time else 1
                if high * wide > 1:
                    layers.append(nn.MaxPool2d((high, wide)))
                    bands, frames = bands // high, frames // wide
            for _ in range(self.depth):
                layers += convolution(inputs, outputs, self.norm, self.activation)
                inputs = outputs
        if self.pool == "mean_max":
            layers.append(MeanMaxPool())
            inputs *= 2
        elif self.pool == "mean":
            layers.append(nn.AdaptiveAvgPool2d(1))
        else:
            layers.append(nn.AdaptiveMaxPool2d(1))
        layers.append(nn.Flatten())
        if dropout:
            layers.append(nn.Dropout(dropout))
        return nn.Sequential(*layers, nn.Linear(inputs, classes))
