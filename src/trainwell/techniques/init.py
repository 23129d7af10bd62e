"""Initial weights. Slide: "Weight initialization".

An initialisation fills the weight of one linear or convolutional layer in place. Biases start
at zero; batch norm starts as the identity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Zero:
    """All weights zero: the choice that does not work, for seeing why.

    Equation: W = 0. With ReLU or tanh units the hidden outputs and all weight gradients are zero,
    and only the last bias learns; with sigmoid units every unit of a layer stays the same as its
    neighbours. Only a Linear model, which is convex, learns from here. Shape: any.
    Source: slide "Weight initialization" ("will NOT work if all weights are initially set to
    zero").

    >>> import torch
    >>> w = torch.ones(2)
    >>> Zero()(w, torch.Generator())
    >>> w
    tensor([0., 0.])
    """

    def __call__(self, weight: Tensor, generator: torch.Generator) -> None:
        weight.zero_()


@dataclass(frozen=True)
class SmallRandom:
    """Small normal weights, the same spread in every layer.

    Equation: W ~ N(0, std²). Breaks the symmetry of zero weights, but in deep nets without batch
    norm the signal shrinks from layer to layer until nothing is learned. Default std = 0.01, the
    usual number. Shape: any weight (out, in, ...).
    Source: slide "Weight initialization" ("small random numbers"); CS231n notes, part 2.

    >>> import torch
    >>> w = torch.empty(4000, 50)
    >>> SmallRandom()(w, torch.Generator().manual_seed(0))
    >>> bool(abs(w.std() - 0.01) < 0.001)
    True
    """

    std: Annotated[float, Gt(0)] = 0.01

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, weight: Tensor, generator: torch.Generator) -> None:
        weight.normal_(0.0, self.std, generator=generator)


@dataclass(frozen=True)
class Xavier:
    """Uniform weights scaled to the fan-in and the fan-out: U(-a, a), a = √(6 / (n + m)).

    Symbols: n = fan-in and m = fan-out (inputs and outputs of one unit; for a convolution channels
    × kernel), so that the variance is 2 / (n + m): a compromise between keeping the spread of
    activations and that of gradients. Made for tanh and sigmoid; with ReLU units He keeps the
    signal better in deep nets. Shape: any weight (out, in, ...).
    Source: slide "Weight initialization" (scale by the fan-in); Glorot and Bengio 2010.

    >>> import torch
    >>> w = torch.empty(4000, 50)
    >>> Xavier()(w, torch.Generator().manual_seed(0))
    >>> bool(abs(w.std() - (2 / 4050) ** 0.5) < 0.001)
    True
    """

    def __call__(self, weight: Tensor, generator: torch.Generator) -> None:
        fan_in, fan_out = weight[0].numel(), weight[:, 0].numel()
        edge = math.sqrt(6.0 / (fan_in + fan_out))
        weight.uniform_(-edge, edge, generator=generator)


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


Init = Zero | SmallRandom | Xavier | He
