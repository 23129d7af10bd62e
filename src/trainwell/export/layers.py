"""The same layers written with operations that every ONNX runtime has.

Spectrograms become a matrix product with the waves of the Fourier transform, and pooling to a fixed
number of parts becomes a maximum over each part: shapes are known, so both are exact rewritings.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trainwell.techniques.inputs import LogMelLayer


class MatrixLogMel(nn.Module):
    """A LogMelLayer whose Fourier transform is a product with a matrix of cosines and sines.

    In float64, since quiet bands lie up to 80 dB below the loudest: rounding of the loud ones
    would be heard there. Shapes: waveform (B, T) to (B, bands, 1 + T // hop).
    """

    waves: Tensor  # (window, 2 · bins) float64: taper times cosine, and times sine
    filters: Tensor  # (bands, bins) float64
    places: Tensor  # (frames, window): which samples each frame sees

    def __init__(self, layer: LogMelLayer, samples: int) -> None:
        super().__init__()
        self.floor, self.range_db = layer.FLOOR, layer.range_db
        bins = layer.n_fft // 2 + 1
        # torch.stft puts the window into the middle of n_fft samples, and the first frame's middle
        # on the first sample.
        left = (layer.n_fft - layer.window) // 2
        self.edge = layer.n_fft // 2
        within = left + torch.arange(layer.window, dtype=torch.float64)
        angle = 2 * math.pi / layer.n_fft * within[:, None] * torch.arange(bins)
        taper = layer.taper.double()[:, None]
        starts = torch.arange(1 + samples // layer.hop) * layer.hop + left
        self.register_buffer("waves", torch.cat([taper * angle.cos(), taper * angle.sin()], dim=1))
        self.register_buffer("filters", layer.filters.double())
        self.register_buffer("places", starts[:, None] + torch.arange(layer.window))

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: see the class."""
        padded = nn.functional.pad(x.double(), (self.edge, self.edge))
        frames, window = self.places.shape
        cut = padded.index_select(1, self.places.flatten()).view(-1, frames, window)
        real, imaginary = (cut @ self.waves).chunk(2, dim=2)
        power = real * real + imaginary * imaginary  # (B, frames, bins)
        bands = (power @ self.filters.T).transpose(1, 2)
        decibel = 10 / math.log(10) * (bands + self.floor).log()
        decibel = decibel - decibel.amax(dim=(1, 2), keepdim=True)
        limited: Tensor = decibel.clamp(min=-self.range_db).float()
        return limited


class PartsMaxPool(nn.Module):
    """AdaptiveMaxPool2d for maps of a known size: the maximum over each of the parts."""

    def __init__(self, output: tuple[int, int], height: int, width: int) -> None:
        super().__init__()
        self.rows, self.columns = _parts(height, output[0]), _parts(width, output[1])

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, C, H, W) to (B, C, *output)."""
        lines = [
            torch.stack([x[:, :, a:b, c:d].amax(dim=(2, 3)) for c, d in self.columns], dim=2)
            for a, b in self.rows
        ]
        return torch.stack(lines, dim=2)


def _parts(size: int, count: int) -> list[tuple[int, int]]:
    """Where each of `count` parts starts and stops; they overlap where size is no multiple.

    >>> _parts(5, 2)
    [(0, 3), (2, 5)]
    """
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def rewrite(module: nn.Module, example: Tensor) -> None:
    """Put the layers of this file in the place of those they stand for, in place.

    example: raw inputs, run through the module once to see which shapes its layers meet.
    """
    seen: dict[nn.Module, torch.Size] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[layer] = inputs[0].shape

    kinds = (LogMelLayer, nn.AdaptiveMaxPool2d)
    hooks = [m.register_forward_pre_hook(note) for m in module.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        module(example)
    for hook in hooks:
        hook.remove()
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LogMelLayer) and layer in seen:
                setattr(parent, name, MatrixLogMel(layer, seen[layer][1]))
            elif isinstance(layer, nn.AdaptiveMaxPool2d) and layer in seen:
                size = layer.output_size
                pair = (size, size) if isinstance(size, int) or size is None else (size[0], size[1])
                height, width = seen[layer][2:]
                output = (pair[0] or height, pair[1] or width)
                setattr(parent, name, PartsMaxPool(output, height, width))
