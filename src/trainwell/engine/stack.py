"""K copies of one network, trained together: every tensor has a leading member axis.

A plain `nn.Sequential` says what the network is; `Stack` runs K of them at once. All parameters of
a member lie in one row of a matrix θ (K, P), all running statistics in one row of (K, Q), so that
an optimiser step, a snapshot or dropping a member is one operation on rows.

Two layouts travel through the layers: vectors (K, B, F), and maps (B, K·C, H, W), where the
members are folded into the channels so that a grouped convolution serves all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwell.seeding import numpy_stream

# Layers that treat each number or each map on its own and so need no stacking.
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.Identity)
MASK_NUMBERS = 1 << 18  # numbers of one member's dropout mask drawn at once, at most

Forward = Callable[[Tensor, bool], Tensor]


@dataclass(frozen=True)
class Slot:
    """Where one parameter or buffer of a member lies in its row."""

    name: str
    shape: torch.Size
    start: int
    stop: int
    decays: bool  # a weight, to which L2 applies; not a bias or norm parameter


def layout(network: nn.Sequential) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """Slots of the parameters and of the running statistics, in the order of the layers."""
    parameters: list[Slot] = []
    buffers: list[Slot] = []
    for index, layer in enumerate(network):
        weights = isinstance(layer, nn.Linear | nn.Conv2d)
        for name, value in layer.named_parameters(recurse=False):
            start = parameters[-1].stop if parameters else 0
            stop = start + value.numel()
            decays = weights and name == "weight"
            parameters.append(Slot(f"{index}.{name}", value.shape, start, stop, decays))
        for name, buffer in layer.named_buffers(recurse=False):
            if buffer.is_floating_point():
                start = buffers[-1].stop if buffers else 0
                stop = start + buffer.numel()
                buffers.append(Slot(f"{index}.{name}", buffer.shape, start, stop, False))
    return tuple(parameters), tuple(buffers)


def can_stack(network: nn.Module) -> bool:
    """Whether every layer has a stacked form."""
    weighted = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)
    shaping = (nn.Dropout, nn.Flatten, nn.Unflatten, nn.MaxPool2d, nn.AdaptiveAvgPool2d)
    known: tuple[type[nn.Module], ...] = (*weighted, *shaping, *ELEMENTWISE)
    return isinstance(network, nn.Sequential) and all(isinstance(m, known) for m in network)


class DropoutMasks:
    """Dropout masks for K members, each from its member's own stream; drawn many steps at once."""

    def __init__(self, layer: int, rates: Sequence[float]) -> None:
        self.layer, self.rates = layer, tuple(rates)
        self.masks: list[Tensor] = []

    def start_epoch(self, seeds: Sequence[int], epoch: int, steps: int) -> None:
        """Begin the streams of this epoch of so many steps; nothing before has any influence."""
        self.steps = steps
        self.streams = [numpy_stream(s, "dropout", self.layer, epoch) for s in seeds]
        self.masks = []

    def next(self, shape: torch.Size) -> Tensor:
        """The mask of the next step, (K, B, F): 0 where dropped, 1 / (1 - rate) where kept."""
        if not self.masks:
            self.masks = list(self._draw(shape[1:]))
        return self.masks.pop()

    def _draw(self, shape: torch.Size) -> Tensor:
        """Masks (S, K, B, F) for S steps; S does not depend on K, so that K changes nothing."""
        size = math.prod(shape)
        steps = max(1, min(self.steps, MASK_NUMBERS // size))
        drawn = []
        for stream, rate in zip(self.streams, self.rates, strict=True):
            raw = stream.bit_generator.random_raw(-(-steps * size // 4))
            numbers = torch.from_numpy(np.asarray(raw).view(np.int16)[: steps * size])
            kept = numbers >= min(round(rate * 65536), 65535) - 32768
            drawn.append(kept.view(steps, 1, *shape).float().div_(1 - rate))
        return torch.cat(drawn, dim=1)


class Stack:
    """K networks of one architecture on rows of given matrices; see the module."""

    def __init__(
        self,
        network: nn.Sequential,
        theta: Tensor,
        buffers: Tensor,
        dropout: Sequence[float],
    ) -> None:
        """theta (K, P) and buffers (K, Q) are used in place; dropout holds one rate per member."""
        self.members = len(theta)
        self.slots, self.buffer_slots = layout(network)
        self.leaves = [view(theta, s).detach().requires_grad_() for s in self.slots]
        self.masks: list[DropoutMasks] = []
        parameters = dict(zip([s.name for s in self.slots], self.leaves, strict=True))
        statistics = {s.name: view(buffers, s) for s in self.buffer_slots}
        self.layers: list[Forward] = []
        after_maps = False
        for index, layer in enumerate(network):
            after_maps |= isinstance(layer, nn.Conv2d)
            self.layers.append(
                self._layer(index, layer, parameters, statistics, dropout, after_maps)
            )

    def _layer(
        self,
        index: int,
        layer: nn.Module,
        parameters: dict[str, Tensor],
        statistics: dict[str, Tensor],
        dropout: Sequence[float],
        after_maps: bool,
    ) -> Forward:
        weight = parameters.get(f"{index}.weight")
        bias = parameters.get(f"{index}.bias")
        match layer:
            case nn.Linear():
                assert weight is not None
                return partial(_linear, weight, bias)
            case nn.Conv2d():
                assert weight is not None
                return partial(_convolution, weight, bias, layer)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                assert weight is not None and bias is not None
                mean, var = (statistics[f"{index}.running_{s}"] for s in ("mean", "var"))
                kind = _norm_maps if isinstance(layer, nn.BatchNorm2d) else _norm_vectors
                return partial(kind, weight, bias, mean, var, layer.momentum or 0.1, layer.eps)
            case nn.Dropout():
                masks = DropoutMasks(index, dropout)
                self.masks.append(masks)
                return partial(_dropout, masks)
            case nn.Flatten():
                return partial(_flatten_maps, self.members) if after_maps else _flatten_inputs
            case nn.Unflatten():
                return lambda x, train: x.unsqueeze(2)  # (K, B, F, T) to (K, B, 1, F, T)
        return lambda x, train: layer(x)

    def forward(self, x: Tensor, train: bool) -> Tensor:
        """Logits (K, B, C) of inputs (K, B, ...)."""
        for layer in self.layers:
            x = layer(x, train)
        return x

    def start_epoch(self, seeds: Sequence[int], epoch: int, steps: int) -> None:
        """Begin the members' random streams of an epoch."""
        for masks in self.masks:
            masks.start_epoch(seeds, epoch, steps)

    def gradient(self, loss: Tensor, into: Tensor) -> None:
        """Write d loss / d θ, loss being the sum over members, into a (K, P) matrix."""
        grads = torch.autograd.grad(loss, self.leaves)
        flat = [g.reshape(self.members, -1) for g in grads]
        torch.cat(flat, dim=1, out=into)


def view(rows: Tensor, slot: Slot) -> Tensor:
    """The (K, *shape) view of one parameter in a (K, P) matrix."""
    return rows[:, slot.start : slot.stop].view(len(rows), *slot.shape)


def rows_of(network: nn.Module, slots: Sequence[Slot]) -> Tensor:
    """A network's parameters or statistics as one row (size,)."""
    state = network.state_dict()
    parts = [state[s.name].reshape(-1) for s in slots]
    return torch.cat(parts) if parts else torch.zeros(0)


def named_rows(row: Tensor, slots: Sequence[Slot]) -> Iterator[tuple[str, Tensor]]:
    """Names and values of one member's row, as in the network's state_dict."""
    for slot in slots:
        yield slot.name, row[slot.start : slot.stop].view(slot.shape)


def _linear(weight: Tensor, bias: Tensor | None, x: Tensor, train: bool) -> Tensor:
    if len(weight) == 1:
        return functional.linear(x[0], weight[0], None if bias is None else bias[0])[None]
    if bias is None:
        return torch.bmm(x, weight.transpose(1, 2))
    return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))


def _convolution(
    weight: Tensor, bias: Tensor | None, layer: nn.Conv2d, x: Tensor, train: bool
) -> Tensor:
    members, outputs, inputs, *kernel = weight.shape
    if x.ndim == 5:  # from (K, B, C, H, W), the form of the data
        x = x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
    # Pooling and small convolutions are 1.3 to 1.6 times faster with channels last on a CPU.
    kernels = weight.reshape(members * outputs, inputs, *kernel)
    kernels = kernels.contiguous(memory_format=torch.channels_last)
    return functional.conv2d(
        x,
        kernels,
        None if bias is None else bias.reshape(-1),
        layer.stride,
        layer.padding,
        layer.dilation,
        members,
    )


def _norm_maps(
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    momentum: float,
    eps: float,
    x: Tensor,
    train: bool,
) -> Tensor:
    """Batch norm per channel: statistics over batch, height and width."""
    running = mean.reshape(-1), var.reshape(-1)  # copies when K > 1
    y = functional.batch_norm(
        x, *running, weight.reshape(-1), bias.reshape(-1), train, momentum, eps
    )
    if train and len(mean) > 1:
        mean.copy_(running[0].view_as(mean))
        var.copy_(running[1].view_as(var))
    return y


def _norm_vectors(
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    momentum: float,
    eps: float,
    x: Tensor,
    train: bool,
) -> Tensor:
    """Batch norm per unit: (K, B, F) seen as B rows of K·F units."""
    members, batch, width = x.shape
    wide = x.transpose(0, 1).reshape(batch, members * width)
    y = _norm_maps(weight, bias, mean, var, momentum, eps, wide, train)
    return y.view(batch, members, width).transpose(0, 1)


def _dropout(masks: DropoutMasks, x: Tensor, train: bool) -> Tensor:
    return x * masks.next(x.shape).to(x.device) if train else x


def _flatten_maps(members: int, x: Tensor, train: bool) -> Tensor:
    """(B, K·C, H, W) to (K, B, C·H·W)."""
    return x.reshape(len(x), members, -1).transpose(0, 1)


def _flatten_inputs(x: Tensor, train: bool) -> Tensor:
    """(K, B, ...) to (K, B, D)."""
    return x.flatten(2)
