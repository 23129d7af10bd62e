"""Residual networks for pictures, and for spectrograms seen as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval, MaxLen, MinLen

from trainwell.callstring import check_fields
from trainwell.techniques.models.cnn import Channels
from trainwell.techniques.models.layers import Activation, convolution

if TYPE_CHECKING:
    from torch import nn

LARGE = 64  # pixels; larger pictures are made smaller before the first stage
SMALL = 3  # pixels; pictures of this size are not made smaller any more


@dataclass(frozen=True)
class ResNet:
    """Stages of residual blocks: what a block computes is added to what came in.

    Equation of a block: y = f(BN(W₂ * f(BN(W₁ * x))) + s(x)), with f = `activation`, 3 × 3
    convolutions W, and s the identity, or a 1 × 1 convolution with batch norm where stride or
    channels change. Layers: a 3 × 3 convolution; for each entry of `channels` a stage of `blocks`
    blocks, of which the first has stride 2 (not in the first stage, and only while the picture is
    larger than 3 pixels); the mean over the picture, dropout, and a linear layer. Pictures larger
    than 64 pixels are halved before the first stage. Shapes: (B, C, H, W), or (B, F, T) for
    spectrograms; result (B, classes). The gradient reaches every block through the sums, so that
    depth does not hurt: take it where a Cnn of more than about six convolutions stops improving;
    on small data a Cnn is as good and quicker. With `zero_init` the last γ of each block starts at
    0, so that a block starts as s: for deep networks and high learning rates. Default: 1 block in
    each of three stages, 8 layers; blocks=3 is the ResNet-20 of the paper.
    Source: slide "Batch normalization" (batch norm after every convolution, before the
    non-linearity); He et al. 2016; Goyal et al. 2017 for the zeros.

    >>> import torch
    >>> network = ResNet(channels=(8, 16)).build((3, 32, 32), 10, dropout=0.0)
    >>> network(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """

    channels: Annotated[tuple[Channels, ...], MinLen(1), MaxLen(100)] = (16, 32, 64)
    blocks: Annotated[int, Interval(ge=1, le=100)] = 1  # per stage
    activation: Activation = "relu"
    zero_init: bool = False

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

        from trainwell.techniques.models.modules import Residual

        layers: list[nn.Module] = []
        if len(shape) == 2:  # a spectrogram (bands, frames) is a picture with one channel
            layers.append(nn.Unflatten(1, (1, shape[0])))
            shape = (1, *shape)
        inputs, size = shape[0], min(shape[1:])
        stride = 2 if size > LARGE else 1
        layers += convolution(inputs, self.channels[0], "batch", self.activation, stride=stride)
        size = -(-size // stride)
        while size > LARGE:
            layers.append(nn.MaxPool2d(2))
            size //= 2
        inputs = self.channels[0]
        for stage, outputs in enumerate(self.channels):
            for block in range(self.blocks):
                stride = 2 if stage and block == 0 and size > SMALL else 1
                size = -(-size // stride)
                layers.append(
                    Residual(inputs, outputs, stride, self.activation, zero=self.zero_init)
                )
                inputs = outputs
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        return nn.Sequential(*layers, nn.Linear(inputs, classes))
