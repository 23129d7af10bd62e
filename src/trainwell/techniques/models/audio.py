"""Convolutional networks made for log-mel spectrograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval, MaxLen, MinLen

from trainwell.callstring import check_fields
from trainwell.techniques.models.cnn import Channels
from trainwell.techniques.models.layers import Activation, Norm, convolution

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class AudioCnn:
    """Convolutions over a log-mel spectrogram, then the loudest moment of each map and pitch range.

    Layers: for each entry of `channels` a stage of `depth` times (3 × 3 convolution → norm →
    activation); between stages 2 × 2 max pooling while a side is longer than 3; at the end the
    maximum over all moments in each of `ranges` parts of the bands, dropout, and a linear layer to
    the classes. A Cnn takes the mean over moments and pitches instead: but a sound is told from
    others by what is heard at some moment, not by how long it lasts and how much silence is around
    it, and its pitch range, unlike its place in a picture, says what it is. Any number of bands and
    frames works. Shapes: (B, bands, frames), result (B, classes); take LogMel and
    Standardize(per="channel") before it. Measured on spoken digits of a speaker who was not in
    training (1000 clips, 4 speakers in turn, 15 epochs): 80 % right with 4 ranges, 78 % with 8,
    73 % with 1, 56 % with the mean instead; Cnn() 78 % at four times the operations.
    Source: slide "Batch normalization" (batch norm after the convolution, before the
    non-linearity); Hershey et al. 2017 for convolutions over log-mel spectrograms; our measurement
    for the maximum.

    >>> import torch
    >>> AudioCnn(channels=(8, 16)).build((40, 50), 10, dropout=0.0)(torch.zeros(5, 40, 50)).shape
    torch.Size([5, 10])
    """

    channels: Annotated[tuple[Channels, ...], MinLen(1), MaxLen(100)] = (16, 32, 64)
    depth: Annotated[int, Interval(ge=1, le=100)] = 1  # convolutions per stage
    ranges: Annotated[int, Interval(ge=1, le=1000)] = 4  # of pitch, kept apart at the end
    activation: Activation = "relu"
    norm: Norm = "batch"

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

        layers: list[nn.Module] = []
        if len(shape) == 2:  # a spectrogram (bands, frames) is a picture with one channel
            layers.append(nn.Unflatten(1, (1, shape[0])))
            shape = (1, *shape)
        inputs, *sides = shape
        for stage, outputs in enumerate(self.channels):
            pool = tuple(2 if stage and side > 3 else 1 for side in sides)
            if max(pool) > 1:
                layers.append(nn.MaxPool2d(pool))
                sides = [side // p for side, p in zip(sides, pool, strict=True)]
            for _ in range(self.depth):
                layers += convolution(inputs, outputs, self.norm, self.activation)
                inputs = outputs
        layers += [nn.AdaptiveMaxPool2d((self.ranges, 1)), nn.Flatten()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        return nn.Sequential(*layers, nn.Linear(inputs * self.ranges, classes))
