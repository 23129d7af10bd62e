"""Networks that only claims need."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ConvLstm(nn.Module):
    """A convolutional LSTM over the rows of a picture or the frames of a sound, and a classifier.

    Each row is a signal of W values; the state h, c (B, channels, W) goes from row to row, and its
    gates are convolutions along the row: [i, f, o, g] = conv([x, h]), c ← σ(f) c + σ(i) tanh(g),
    h ← σ(o) tanh(c). Source: Shi et al. 2015.
    """

    def __init__(self, rows: int, width: int, classes: int, channels: int = 8) -> None:
        super().__init__()
        self.rows, self.width, self.channels = rows, width, channels
        self.gates = nn.Conv1d(1 + channels, 4 * channels, 3, padding=1)
        self.out = nn.Linear(channels * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C) of inputs (B, ...) with rows · width values each."""
        frames = x.reshape(len(x), self.rows, self.width)
        h = torch.zeros(len(x), self.channels, self.width, device=x.device) + 0 * frames[:, :1]
        c = h
        for t in range(self.rows):
            i, f, o, g = self.gates(torch.cat([frames[:, t : t + 1], h], dim=1)).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        logits: Tensor = self.out(h.flatten(1))
        return logits


def conv_lstm(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A ConvLstm for examples of any shape: pictures row by row, others as one row per 8 values."""
    size = math.prod(shape)
    width = shape[-1] if len(shape) > 1 else (8 if size % 8 == 0 else size)
    return ConvLstm(size // width, width, classes)
