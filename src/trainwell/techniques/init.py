"""Initial weights. Slide: "Weight initialization".

An initialisation fills the weight of one linear or convolutional layer in place. Biases start
at zero; batch norm starts as the identity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class He:
    """Normal weights scaled to the fan-in: N(0, 1) · √(2 / n).

    Symbols: n = fan-in (inputs of one unit; for a convolution channels × kernel). Keeps the spread
    of activations equal from layer to layer with ReLU units, so deep nets start neither dead nor
    saturated. Shape: any weight (out, in, ...).
    Source: slide "Weight initialization"; He et al. 2015.

    >>> import torch
    >>> w = torch.empty(4000, 50)
    >>> He()(w, torch.Generator().manual_seed(0))
    >>> bool(abs(w.std() - (2 / 50) ** 0.5) < 0.01)
    True
    """

    def __call__(self, weight: Tensor, generator: torch.Generator) -> None:
        fan_in = weight[0].numel()
        weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)


Init = He
