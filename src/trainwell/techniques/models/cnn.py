"""Convolutional networks for pictures, and for spectrograms seen as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval, MaxLen, MinLen

from trainwell.callstring import check_fields
from trainwell.techniques.models.layers import Activation, Norm, convolution

if TYPE_CHECKING:
    from torch import nn

Channels = Annotated[int, Interval(ge=1, le=10**5)]


@dataclass(frozen=True)
class Cnn:
    """Stages of 3 × 3 convolutions with pooling between, then the mean over the picture.

    Layers: for each entry of `channels` a stage of `depth` times (convolution → norm → activation);
    between stages 2 × 2 max pooling while the picture is larger than 3 pixels; at the end the
    average over all positions, dropout, and a linear layer. Because of that average any picture
    size works. `norm`: "batch"; "batch_after" puts it behind the non-linearity; "layer" is a norm
    over all maps of one example, for batches too small for batch norm.
    Shapes: (B, C, H, W) or (B, F, T) for spectrograms; result (B, classes).
    Source: slide "Batch normalization" (batch norm after the convolution, before the
    non-linearity); Lin et al. 2014 for the global average.

    >>> import torch
    >>> Cnn(channels=(8, 16)).build((1, 8, 8), 10, dropout=0.0)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    channels: Annotated[tuple[Channels, ...], MinLen(1), MaxLen(100)] = (16, 32, 64)
    depth: Annotated[int, Interval(ge=1, le=100)] = 2  # convolutions per stage
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
        inputs, height, width = shape
        for stage, outputs in enumerate(self.channels):
            if stage and min(height, width) > 3:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            for _ in range(self.depth):
                layers += convolution(inputs, outputs, self.norm, self.activation)
                inputs = outputs
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        return nn.Sequential(*layers, nn.Linear(inputs, classes))
