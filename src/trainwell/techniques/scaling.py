"""Layers of pre-processing that shift, scale and turn features, with numbers learned beforehand.

All state lies in buffers. Folds whose projections keep different numbers of directions are brought
to one width by `match_widths`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainwell.techniques.streaming import varies


class Scale(nn.Module):
    """x to (x - mean) · factor, in the mean's precision, result float32.

    What lies beyond `limit` is cut there: a fill value such as 1e37 in one cell would overflow the
    network and turn every probability of its row into NaN. With `smooth` the values bend towards
    ±`BEND` instead: z / √(1 + (z / BEND)²).
    """

    LIMIT = 1e4
    BEND = 3.0

    mean: Tensor
    factor: Tensor

    def __init__(
        self, mean: Tensor, factor: Tensor, limit: float = LIMIT, smooth: bool = False
    ) -> None:
        super().__init__()
        self.limit, self.smooth = limit, smooth
        self.register_buffer("mean", mean)
        self.register_buffer("factor", factor)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, ...) to the same."""
        scaled = (x - self.mean).mul_(self.factor)  # one copy of the batch, not three
        scaled = scaled.float().clamp_(-self.limit, self.limit)
        return scaled / (1 + (scaled / self.BEND).square()).sqrt() if self.smooth else scaled

    def widen(self, width: int) -> None:
        """Take `width` features instead of fewer; the new ones become 0."""
        self.mean, self.factor = (_longer(b, width) for b in (self.mean, self.factor))


class Shift(nn.Module):
    """x to x - mean, in the mean's precision, result float32, cut at ±edge."""

    mean: Tensor
    edge: Tensor

    def __init__(self, mean: Tensor, edge: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("edge", edge)

    @staticmethod
    def edge_of(mean: Tensor, std: Tensor) -> Tensor:
        """Where values are cut: `Scale.LIMIT` deviations; at 0 for constant features."""
        return (Scale.LIMIT * std * varies(std, mean)).clamp(max=1e30).float()

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, ...) to the same."""
        return torch.minimum(torch.maximum((x - self.mean).float(), -self.edge), self.edge)

    def widen(self, width: int) -> None:
        """Take `width` features instead of fewer; the new ones become 0."""
        self.mean, self.edge = (_longer(b, width) for b in (self.mean, self.edge))


class OwnScale(nn.Module):
    """Every example by its own mean and deviation: (x - mean_i) / √(var_i + eps).

    width: how many leading features count; None: all. The others become 0.
    """

    LIMIT = 1e15  # values are cut there, so that their squares stay finite

    def __init__(self, eps: float, width: int | None = None) -> None:
        super().__init__()
        self.eps, self.width = eps, width

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, ...) to the same."""
        # In float64: in a picture of one colour nothing but rounding is left to be blown up.
        values = x.flatten(1)[:, : self.width].double().clamp(-self.LIMIT, self.LIMIT)
        var, mean = torch.var_mean(values, dim=1, correction=0, keepdim=True)
        scaled = ((values - mean) * (var + self.eps).rsqrt()).float()
        return _longer(scaled, x[0].numel()).view(x.shape)


class Projection(nn.Module):
    """Examples as rows, centred, times a matrix: PCA and whitening; see techniques.whitening.

    Shapes: (B, ...) with D numbers each to (B, k), or with `square` (k = D) to the same shape.
    """

    matrix: Tensor  # (D, k)

    def __init__(self, mean: Tensor, edge: Tensor, matrix: Tensor, square: bool = False) -> None:
        super().__init__()
        self.square = square
        self.shift = Shift(mean, edge)
        self.register_buffer("matrix", matrix)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: see the class."""
        projected: Tensor = self.shift(x.flatten(1)) @ self.matrix
        return projected.view(x.shape) if self.square else projected

    def widen(self, width: int, outputs: int) -> None:
        """Take `width` features and give `outputs`, instead of fewer; the new ones are 0."""
        self.shift.widen(width)
        self.matrix = _longer(_longer(self.matrix.T, width).T, outputs)


def _longer(buffer: Tensor, width: int) -> Tensor:
    """The tensor with zeros at the end of its last axis, up to this width."""
    return torch.nn.functional.pad(buffer, (0, width - buffer.shape[-1])).contiguous()


def match_widths(folds: Sequence[nn.Sequential]) -> None:
    """Give the pre-processing of all folds one width, that of the widest, in place.

    PCA by a share of the variance keeps different numbers of directions in different folds, but
    their networks must have one shape. Narrower folds get directions of zeros, and the layers
    behind pass these on as zeros; what the real directions give stays the same.
    """
    own = [0] * len(folds)  # features that are real, per fold
    width = 0  # with the zeros; 0: as the data have it
    for layers in zip(*folds, strict=True):
        flat = [layer for layer in layers if isinstance(layer, Projection) and not layer.square]
        if flat:
            own = [layer.matrix.shape[1] for layer in flat]
            for layer in flat:
                layer.widen(width or layer.matrix.shape[0], max(own))
            width = max(own)
        elif width:
            for layer, real in zip(layers, own, strict=True):
                _widen(layer, real, width)


def _widen(layer: nn.Module, real: int, width: int) -> None:
    match layer:
        case Projection():
            layer.widen(width, width)
        case Scale() | Shift():
            layer.widen(width)
        case OwnScale() if real < width:
            layer.width = real
        case OwnScale():
            pass
        case _:
            assert isinstance(layer, nn.Identity), f"{type(layer).__name__} behind a projection"
