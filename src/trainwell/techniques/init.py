"""Initial weights. Slide: "Weight initialization".

An initialisation fills the weight of one linear or convolutional layer in place. Biases start
at zero; batch norm starts as the identity. One that `needs_batch` is afterwards fitted to the
whole network with a batch of training inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


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

    needs_batch: ClassVar[bool] = False

    def __call__(self, weight: Tensor, generator: torch.Generator) -> None:
        weight.zero_()


@dataclass(frozen=True)
class Uniform:
    """Uniform weights of one range in every layer: what is "not good if the fan-in is large".

    Equation: W ~ U(-limit, limit). Default limit = 1, the lecture's (-1, 1). A sum of n such terms
    has √(n / 3) times the spread of its inputs, so activations, outputs and gradients grow from
    layer to layer: the first loss is far above ln C, and the first steps kill or blow up units.
    For showing that; with few inputs or a small rate it may still learn. Shape: any weight
    (out, in, ...). Source: slide "Weight initialization" ("uniform distribution between (-1, 1) is
    not good").

    >>> import torch
    >>> w = torch.empty(4000, 50)
    >>> Uniform()(w, torch.Generator().manual_seed(0))
    >>> bool(abs(w.std() - (1 / 3) ** 0.5) < 0.01)
    True
    """

    needs_batch: ClassVar[bool] = False
    limit: Annotated[float, Gt(0)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, weight: Tensor, generator: torch.Generator) -> None:
        weight.uniform_(-self.limit, self.limit, generator=generator)


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

    needs_batch: ClassVar[bool] = False
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

    needs_batch: ClassVar[bool] = False

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

    needs_batch: ClassVar[bool] = False

    def __call__(self, weight: Tensor, generator: torch.Generator) -> None:
        fan_in = weight[0].numel()
        weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)


@dataclass(frozen=True)
class Orthogonal:
    """Orthogonal weights: a layer turns its inputs, and stretches all directions equally.

    Equation: W Wᵀ = gain² I, or Wᵀ W = gain² I where there are more outputs than inputs; W is the Q
    of a normal matrix, times the signs of R's diagonal so that no direction is preferred. For a
    convolution the kernel is flattened to (out, in · positions). Default gain √2, for ReLU units,
    which pass half of the signal; 1 for tanh and linear units. Keeps signal and gradient through
    many layers, better than independent numbers; in shallow networks like He.
    Shape: any weight (out, in, ...) with two or more axes.
    Source: slide "Weight initialization" (scale); Saxe, McClelland and Ganguli 2014.

    >>> import torch
    >>> w = torch.empty(3, 5)
    >>> Orthogonal(gain=1.0)(w, torch.Generator().manual_seed(0))
    >>> torch.allclose(w @ w.T, torch.eye(3), atol=1e-6)
    True
    """

    needs_batch: ClassVar[bool] = False
    gain: Annotated[float, Gt(0)] = math.sqrt(2)

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, weight: Tensor, generator: torch.Generator) -> None:
        _orthogonal(weight, self.gain, generator)


def _orthogonal(weight: Tensor, gain: float, generator: torch.Generator) -> None:
    import torch

    normal = weight.new_empty(len(weight), weight[0].numel()).normal_(generator=generator)
    wide = normal.shape[0] < normal.shape[1]
    q, r = torch.linalg.qr(normal.T if wide else normal)
    q = q * r.diagonal().sign()
    weight.copy_((q.T if wide else q).reshape(weight.shape)).mul_(gain)


@dataclass(frozen=True)
class Lsuv:
    """Orthonormal weights, then every layer scaled to outputs of variance 1 on one mini-batch.

    Rule: W orthonormal (Orthogonal with gain 1); then layer by layer, from the inputs on, while
    |v - 1| ≥ tolerance and at most `most` times, W ← W / √v, where v is the variance of the layer's
    outputs B (before norm and non-linearity) over the whole mini-batch. It measures what formulas
    like He's assume, so that it suits any activation, width and depth, and inputs that are not
    standardized. Defaults are the paper's: 0.1 and 10. With batch norm, which does the same in
    every step, it changes little. Shape: any weight (out, in, ...) with two or more axes.
    Source: slide "Weight initialization" (scale by the fan-in); Mishkin and Matas 2016.

    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(5, 9), torch.nn.Tanh(), torch.nn.Linear(9, 2))
    >>> init, draw = Lsuv(), torch.Generator().manual_seed(0)
    >>> for layer in (network[0], network[2]):
    ...     init(layer.weight.data, draw)
    >>> x = 50 * torch.randn(100, 5, generator=draw)
    >>> init.fit(network, x)
    >>> bool(abs(network(x).var() - 1) < 0.1)
    True
    """

    needs_batch: ClassVar[bool] = True
    tolerance: Annotated[float, Gt(0)] = 0.1
    most: Annotated[int, Ge(1)] = 10

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, weight: Tensor, generator: torch.Generator) -> None:
        """The orthonormal part; `fit` follows when all layers have theirs."""
        _orthogonal(weight, 1.0, generator)

    def fit(self, network: nn.Module, x: Tensor) -> None:
        """Scale the weights of a network in place, for inputs x (B, ...) as its first layer sees
        them. Nothing else changes: no statistics of norms, no modes, no random stream."""
        import torch

        from trainwell.techniques.layer_report import WEIGHTED, undisturbed

        fitted: set[nn.Module] = set()

        def scale(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if layer in fitted:  # a layer used twice is scaled at its first use
                return output
            fitted.add(layer)
            for _ in range(self.most):
                spread = output.var(correction=0)
                if abs(spread - 1) < self.tolerance or not 0 < spread < math.inf:
                    break
                weight = layer.weight
                assert isinstance(weight, torch.Tensor)
                weight.div_(spread.sqrt())
                output = layer.forward(*given)
            return output  # what the layers behind see, all in one pass

        layers = [m for m in network.modules() if isinstance(m, WEIGHTED)]
        with torch.no_grad(), undisturbed(network, batch_statistics=True):
            hooks = [layer.register_forward_hook(scale) for layer in layers]
            try:
                network(x)
            finally:
                for hook in hooks:
                    hook.remove()


Init = Zero | Uniform | SmallRandom | Xavier | He | Orthogonal | Lsuv
