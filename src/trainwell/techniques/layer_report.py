"""How signals pass through a network: the spread of each layer, its dead and saturated units.

Plain functions on any `nn.Module`, by forward hooks; nothing in the module is changed. They know
nothing of training. Slides: "Weight initialization", "Activation and loss function".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
SQUASHING = (nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Hardtanh, nn.Softsign)
# torch's files whose modules pass a layer's outputs on without bending them.
_NOT_BENDING = {"batchnorm", "container", "dropout", "flatten", "instancenorm", "linear"}
_NOT_BENDING |= {"normalization", "padding", "pooling"}
SATURATED = 0.01  # of the whole range, from either end


@dataclass(frozen=True)
class LayerState:
    """One weight layer and what its units give, behind the non-linearity where there is one.

    All are shares, or taken over all units, rows and positions; NaN outputs are left out.
    """

    name: str  # in `network.named_modules()`
    shape: tuple[int, ...]  # of the weight
    activation: str  # the non-linearity's class; "" for none, as in the last layer
    mean: float
    spread: float  # standard deviation
    dead: float | None  # units ≤ 0 on every row; None: without meaning for this activation
    nan: float  # units with a NaN on some row, which are not counted as dead
    saturated: float | None  # outputs within 1% of an end of the range; None: there is no end


@torch.no_grad()
def layer_report(network: nn.Module, x: Tensor) -> list[LayerState]:
    """The state of every weight layer, in order of execution, for inputs x (N, ...).

    A unit is an output of a linear layer, or a channel of a convolution. A ReLU unit that is ≤ 0 on
    every row passes no gradient: it is dead. Of other one-sided activations (leaky, ELU) `dead`
    counts units that are silent but still learn. Batch norm uses the statistics of x in training
    mode and its running ones in evaluation mode, and keeps the latter as they are; dropout is off.

    >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> _ = network[0].weight.data.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    >>> _ = network[0].bias.data.zero_()
    >>> [s.dead for s in layer_report(network, torch.tensor([[1.0, 5.0], [3.0, 5.0]]))]
    [0.5, None]
    """
    names = {module: name for name, module in network.named_modules()}
    seen: list[tuple[nn.Module, LayerState]] = []

    def weighted(layer: nn.Module, given: object, output: Tensor) -> None:
        seen.append((layer, _state(names[layer], layer, None, output)))

    def bent(module: nn.Module, given: object, output: Tensor) -> None:
        if seen:  # the last one before the next weight layer counts
            layer, _ = seen[-1]
            seen[-1] = layer, _state(names[layer], layer, module, output)

    with undisturbed(network, batch_statistics=network.training):
        hooks = []
        for module in network.modules():
            if isinstance(module, WEIGHTED):
                hooks.append(module.register_forward_hook(weighted))
            elif _bends(module):
                hooks.append(module.register_forward_hook(bent))
        try:
            network(x)
        finally:
            for hook in hooks:
                hook.remove()
    return [state for _, state in seen]


def _bends(module: nn.Module) -> bool:
    """Whether a module is a non-linearity: a leaf that torch does not file under something else."""
    file = type(module).__module__.rpartition(".")
    known = file[0] == "torch.nn.modules" and file[2] in _NOT_BENDING
    return not known and next(module.children(), None) is None


def _state(name: str, layer: nn.Module, activation: nn.Module | None, output: Tensor) -> LayerState:
    axis = -1 if isinstance(layer, nn.Linear) else 1
    units = output.movedim(axis, 0).flatten(1)  # (units, rows · positions)
    unknown = units.isnan().any(dim=1)
    known = units[~units.isnan()].double()
    squashing = isinstance(activation, SQUASHING)
    dead = None
    if activation is not None and not squashing:
        dead = float(((units <= 0).all(dim=1) & ~unknown).float().mean())
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return LayerState(
        name,
        tuple(weight.shape),
        "" if activation is None else type(activation).__name__,
        float(known.mean()) if len(known) else math.nan,
        float(known.std(correction=0)) if len(known) else math.nan,
        dead,
        float(unknown.float().mean()),
        _saturated(activation, known) if squashing else None,
    )


def _saturated(activation: nn.Module | None, values: Tensor) -> float:
    """Share of values within `SATURATED` of an end of the activation's range."""
    low = 0.0 if isinstance(activation, nn.Sigmoid | nn.Hardsigmoid) else -1.0
    edge = SATURATED * (1 - low)
    return float(((values < low + edge) | (values > 1 - edge)).double().mean())


@contextmanager
def undisturbed(network: nn.Module, batch_statistics: bool) -> Iterator[None]:
    """A network for forward passes that leave no trace.

    Modules are in evaluation mode, so that nothing is drawn at random; with `batch_statistics`
    batch norm takes the mean and variance of the batch, as in training. Modes and buffers are put
    back at the end.
    """
    modes = {module: module.training for module in network.modules()}
    buffers = [(b, b.clone()) for b in network.buffers()]
    try:
        for module in modes:
            norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
            module.training = norm and batch_statistics
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def as_markdown(states: Sequence[LayerState]) -> str:
    """The states as a table, one line a layer."""
    lines = [
        "|layer|weight|activation|mean|spread|dead|NaN|saturated|",
        "|---|---|---|---|---|---|---|---|",
    ]
    for s in states:
        shares = [_percent(v) for v in (s.dead, s.nan, s.saturated)]
        shape = " × ".join(map(str, s.shape))
        cells = [s.name, shape, s.activation or "none", f"{s.mean:.3g}", f"{s.spread:.3g}", *shares]
        lines.append(f"|{'|'.join(cells)}|")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}%"
