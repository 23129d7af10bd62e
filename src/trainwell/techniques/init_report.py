"""What initial weights make of a network before its first step, one initialisation beside another.

Slide: "Weight initialization".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from trainwell.seeding import torch_stream
from trainwell.techniques.init import Init, Lsuv
from trainwell.techniques.layer_report import LayerState, layer_report


class Buildable(Protocol):
    """A model of the recipe."""

    def build(self, shape: tuple[int, ...], classes: int, dropout: float) -> nn.Sequential:
        """A network for examples of `shape` and `classes` outputs."""


@dataclass(frozen=True)
class InitState:
    """One initialisation of a network: its layers, its first loss and its first gradients."""

    init: Init
    layers: tuple[LayerState, ...]
    loss: float  # mean cross-entropy; NaN or infinite where the outputs are
    chance: float  # ln C, the loss of equal probabilities
    gradients: tuple[float, ...]  # root mean square of each layer's weight gradient

    @property
    def dead(self) -> float:
        """Share of dead units in the layer that has most of them."""
        return max((s.dead for s in self.layers if s.dead is not None), default=0.0)

    @property
    def gain(self) -> float:
        """Spread of the last hidden layer over that of the first; 1 means that signals pass."""
        hidden = [s.spread for s in self.layers if s.activation]
        return hidden[-1] / hidden[0] if hidden and hidden[0] else math.nan


def initialise(network: nn.Module, init: Init, x: Tensor, seed: int = 0) -> None:
    """Give a network its initial weights, as the engine does, in place.

    Weights have one stream each; biases are zero. x (B, ...): inputs for inits that need a batch.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                init(parameter, torch_stream(seed, "init", name))
            elif name.endswith("bias"):
                parameter.zero_()
    if isinstance(init, Lsuv):
        init.fit(network, x)


def compare_inits(
    model: Buildable,
    inits: Sequence[Init],
    x: Tensor,
    labels: Tensor,
    classes: int,
    seed: int = 0,
) -> list[InitState]:
    """The first state of one model under several initialisations, for pre-processed inputs.

    Shapes: x (N, ...), labels (N,) of whole numbers below `classes`. Batch norm takes the
    statistics of x, dropout is off.

    >>> from trainwell.techniques.init import He, Zero
    >>> from trainwell.techniques.models.mlp import Mlp
    >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    >>> model, labels = Mlp((16,), norm="none"), torch.arange(50) % 3
    >>> zero, he = compare_inits(model, [Zero(), He()], x, labels, classes=3)
    >>> zero.dead, zero.gradients, abs(zero.loss - zero.chance) < 1e-6
    (1.0, (0.0, 0.0), True)
    >>> he.dead < 0.2 and min(he.gradients) > 0
    True
    """
    found = []
    for init in inits:
        with torch.random.fork_rng(devices=[]):  # weights are drawn and then replaced
            network = model.build(tuple(x.shape[1:]), classes, 0.0)
        initialise(network, init, x[:512], seed)
        layers = layer_report(network, x)
        loss = nn.functional.cross_entropy(network(x), labels)
        weights = [p for p in network.parameters() if p.dim() > 1]
        gradients = torch.autograd.grad(loss, weights)
        sizes = tuple(float(g.square().mean().sqrt()) for g in gradients)
        found.append(InitState(init, tuple(layers), float(loss.detach()), math.log(classes), sizes))
    return found


def as_markdown(states: Sequence[InitState]) -> str:
    """The comparison as a table, one line an initialisation."""
    head = "|init|first loss / ln C|spread, first → last hidden|dead, most in a layer|"
    lines = [head + "gradient, first / last layer|", "|---|---|---|---|---|"]
    for s in states:
        hidden = [layer.spread for layer in s.layers if layer.activation] or [math.nan]
        ratio = s.gradients[0] / s.gradients[-1] if s.gradients[-1] else 0.0
        cells = [f"`{s.init!r}`", f"{s.loss:.3g} / {s.chance:.3g}"]
        cells += [f"{hidden[0]:.2g} → {hidden[-1]:.2g}", f"{100 * s.dead:.0f}%", f"{ratio:.2g}"]
        lines.append(f"|{'|'.join(cells)}|")
    return "\n".join(lines)
