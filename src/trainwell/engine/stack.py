"""K copies of one network, trained together: every tensor has a leading member axis.

A plain `nn.Sequential` says what the network is; `Stack` runs K of them at once. All parameters of
a member lie in one row of a matrix θ (K, P), all running statistics in one row of (K, Q), so that
an optimiser step, a snapshot or dropping a member is one operation on rows.

Two layouts travel through the layers: vectors (K, F, B), and maps (B, K·C, H, W), where the
members are folded into the channels so that a grouped convolution serves all of them. Vectors
have the batch last: then weights need no transposing, batch norm no copy, and sums over the batch
run along memory (a tenth to a fifth of a step of a small network).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwell.engine.distributed import Cut
from trainwell.engine.jointnorm import joint_norm
from trainwell.seeding import numpy_stream

# Layers that treat each number or each map on its own and so need no stacking.
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.Identity)
MASK_NUMBERS = 1 << 18  # numbers of one member's dropout mask drawn at once, at most
ROW = 16  # numbers; rows of θ are padded to a multiple, so that no vector crosses two members

Forward = Callable[[Tensor, bool], Tensor]


@dataclass(frozen=True)
class Slot:
    """Where one parameter or buffer of a member lies in its row."""

    name: str
    shape: torch.Size
    start: int
    stop: int
    decays: bool  # a weight, to which L2 applies; not a bias or norm parameter


def layout(network: nn.Module) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """Slots of the parameters and of the running statistics, in the order of the modules.

    Parameters of two or more dimensions are weights; biases and norm parameters have one.
    """
    floating = [(n, b) for n, b in network.named_buffers() if b.is_floating_point()]
    return _slots(list(network.named_parameters())), _slots(floating)


def _slots(named: Sequence[tuple[str, Tensor]]) -> tuple[Slot, ...]:
    stops = list(itertools.accumulate((value.numel() for _, value in named), initial=0))
    return tuple(
        Slot(name, value.shape, start, stop, value.ndim > 1)
        for (name, value), start, stop in zip(named, stops, stops[1:], strict=False)
    )


def row_width(slots: Sequence[Slot]) -> int:
    """Numbers in a member's row, padding included."""
    return -(-(slots[-1].stop if slots else 0) // ROW) * ROW


def can_stack(network: nn.Module) -> bool:
    """Whether every layer has a stacked form."""
    if not isinstance(network, nn.Sequential):
        return False
    maps = False
    for layer in network:
        maps = (maps or isinstance(layer, nn.Conv2d)) and not isinstance(layer, nn.Flatten)
        if not _has_stacked_form(layer) or (maps and isinstance(layer, nn.Dropout)):
            return False
    return not maps


def _has_stacked_form(layer: nn.Module) -> bool:
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        return layer.affine and layer.track_running_stats and layer.momentum is not None
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1 and layer.padding_mode == "zeros"
    if isinstance(layer, nn.Flatten):
        return (layer.start_dim, layer.end_dim) == (1, -1)
    shaping = (nn.Linear, nn.Dropout, nn.Unflatten, nn.MaxPool2d, nn.AdaptiveAvgPool2d)
    return isinstance(layer, (*shaping, *ELEMENTWISE))


class DropoutMasks:
    """Dropout masks for K members, each from its member's own stream; drawn many steps at once."""

    def __init__(
        self,
        layer: str,
        rates: Sequence[float],
        device: torch.device,
        cut: Cut | None = None,
    ) -> None:
        """cut: masks are drawn for the whole batch, and `next` gives those of this rank's rows."""
        self.layer, self.rates, self.device, self.cut = layer, tuple(rates), device, cut
        self.masks: list[Tensor] = []
        self.holding = False
        self.held: Tensor | None = None

    def hold(self, on: bool) -> None:
        """From now on give the next mask again and again, or take up the stream behind it."""
        self.holding, self.held = on, None

    def start_epoch(self, seeds: Sequence[int], epoch: int, steps: int, done: int = 0) -> None:
        """Begin the streams of this epoch of so many steps, of which the first ones are done.

        Nothing of the epochs before has any influence.
        """
        self.steps, self.done = steps, done
        self.streams = [numpy_stream(s, "dropout", self.layer, epoch) for s in seeds]
        self.masks = []

    def next(self, shape: torch.Size) -> Tensor:
        """The mask of the next step, (K, ..., B): 0 where dropped, 1 / (1 - rate) where kept."""
        if self.held is not None:
            return self.held
        if not self.masks:
            if self.cut is not None:
                shape = torch.Size((*shape[:-1], self.cut.batch))
            size = math.prod(shape[1:])
            steps = max(1, min(self.steps, MASK_NUMBERS // size))  # not of K: K changes nothing
            for _ in range(self.done // steps):
                self._draw(steps * size)
            drawn = [
                _kept(raw, rate)[: steps * size].view(steps, 1, *shape[1:])
                for raw, rate in zip(self._draw(steps * size), self.rates, strict=True)
            ]
            block = torch.cat(drawn, dim=1)
            block = (block if self.cut is None else block[..., self.cut.mine]).to(self.device)
            self.masks = list(block.flip(0))[: steps - self.done % steps]
            self.done = 0
        mask = self.masks.pop()
        self.held = mask if self.holding else None
        return mask

    def _draw(self, numbers: int) -> list[npt.NDArray[np.uint64]]:
        """The next numbers of every stream, four to a word."""
        return [s.bit_generator.random_raw(-(-numbers // 4)) for s in self.streams]


def _kept(raw: npt.NDArray[np.uint64], rate: float) -> Tensor:
    """Sixteen-bit numbers compared with the rate: the mask, scaled."""
    numbers = torch.from_numpy(raw.view(np.int16))
    kept = numbers >= min(round(rate * 65536), 65535) - 32768
    return kept.float().div_(1 - rate)


class Stack:
    """K networks of one architecture on rows of given matrices; see the module."""

    def __init__(
        self,
        network: nn.Module,
        theta: Tensor,
        buffers: Tensor,
        grad: Tensor,
        dropout: Sequence[float],
        cut: Cut | None = None,
    ) -> None:
        """theta and grad (K, P) and buffers (K, Q) are used in place; dropout: rates (K,).

        cut: in training, inputs are this rank's rows of a batch; see `distributed`.
        """
        self.members, self.cut = len(theta), cut
        assert isinstance(network, nn.Sequential), "only layers one after another can be stacked"
        self.named = list(network.named_children())
        self.slots, self.buffer_slots = layout(network)
        self.leaves = [view(theta, s).detach().requires_grad_() for s in self.slots]
        self.grads = [view(grad, s) for s in self.slots]
        self.masks: list[DropoutMasks] = []
        places = {slot.name: i for i, slot in enumerate(self.slots)}
        statistics = {s.name: view(buffers, s) for s in self.buffer_slots}
        self.layers: list[Forward] = []
        maps = False
        for index, layer in enumerate(network):
            maps |= isinstance(layer, nn.Conv2d)
            match layer:
                case nn.Linear() | nn.Conv2d() | nn.BatchNorm1d() | nn.BatchNorm2d():
                    own = [places[f"{index}.{n}"] for n, _ in layer.named_parameters()]
                    self.layers.append(self._weighted(index, layer, own, statistics))
                case nn.Dropout():
                    rates = [rate or layer.p for rate in dropout]
                    self.masks.append(DropoutMasks(str(index), rates, theta.device, cut))
                    self.layers.append(partial(_dropout, self.masks[-1]))
                case nn.Flatten():
                    flat = partial(_flatten_maps, self.members) if maps else _flatten_inputs
                    self.layers.append(flat)
                case nn.Unflatten():  # (K, B, F, T) to (K, B, 1, F, T)
                    self.layers.append(lambda x, train: x.unsqueeze(2))
                case nn.ReLU():
                    self.layers.append(_relu)
                case _:
                    self.layers.append(partial(_elementwise, layer))

    def _weighted(
        self, index: int, layer: nn.Module, own: Sequence[int], statistics: Mapping[str, Tensor]
    ) -> Forward:
        """A layer with parameters; own: the places of its weight and, if it has one, its bias."""
        weight, *rest = (self.leaves[i] for i in own)
        bias = rest[0] if rest else None
        if isinstance(layer, nn.Conv2d):
            return partial(_convolution, weight, bias, layer)
        if isinstance(layer, nn.Linear):
            into = [self.grads[i] for i in own]
            return partial(_linear, weight, bias, into)
        assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and bias is not None
        mean, var = (statistics[f"{index}.running_{s}"] for s in ("mean", "var"))
        kind = _norm_maps if isinstance(layer, nn.BatchNorm2d) else _norm_vectors
        return partial(kind, weight, bias, mean, var, layer.momentum or 0.1, layer.eps, self.cut)

    def forward(self, x: Tensor, train: bool) -> Tensor:
        """Logits (K, B, C) of inputs (K, B, ...)."""
        if x.ndim == 3:
            x = x.transpose(1, 2)
        for layer in self.layers:
            x = layer(x, train)
        return x.transpose(1, 2)

    def activations(self, x: Tensor) -> Iterator[tuple[str, nn.Module, Tensor]]:
        """Name, layer and output of every activation, in eval mode, for inputs (K, B, ...)."""
        if x.ndim == 3:
            x = x.transpose(1, 2)
        for (name, layer), forward in zip(self.named, self.layers, strict=True):
            x = forward(x, False)
            if isinstance(layer, ELEMENTWISE):
                yield name, layer, x

    def start_epoch(self, seeds: Sequence[int], epoch: int, steps: int, done: int = 0) -> None:
        """Begin the members' random streams of an epoch, of which some steps may be done."""
        for masks in self.masks:
            masks.start_epoch(seeds, epoch, steps, done)

    def gradient(self, loss: Tensor) -> None:
        """Write d loss / d θ, loss being the sum over members, into the gradient's rows."""
        found = torch.autograd.grad(loss, self.leaves, allow_unused=True)
        for into, grad in zip(self.grads, found, strict=True):
            if grad is not None:  # stacked linear layers have written theirs
                into.copy_(grad)


def view(rows: Tensor, slot: Slot) -> Tensor:
    """The (K, *shape) view of one parameter in a (K, P) matrix."""
    return rows[:, slot.start : slot.stop].view(len(rows), *slot.shape)


def rows_of(network: nn.Module, slots: Sequence[Slot]) -> Tensor:
    """A network's parameters or statistics as one padded row."""
    state = network.state_dict()
    dtype = state[slots[0].name].dtype if slots else None
    row = torch.zeros(row_width(slots), dtype=dtype)
    for slot in slots:
        row[slot.start : slot.stop] = state[slot.name].reshape(-1)
    return row


def named_rows(row: Tensor, slots: Sequence[Slot]) -> Iterator[tuple[str, Tensor]]:
    """Names and values of one member's row, as in the network's state_dict."""
    for slot in slots:
        yield slot.name, row[slot.start : slot.stop].view(slot.shape)


class _Linear(torch.autograd.Function):
    """W x + b for K members; the backward pass writes their gradients where they belong.

    autograd's own rule would give the gradient of a transposed weight, to be transposed back and
    then copied into its row.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *into: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):  # mixed precision: the products' own type
            kind = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(kind), weight.to(kind)
        ctx.save_for_backward(x, weight)
        ctx.into = into
        return torch.bmm(weight, x) if bias is None else torch.baddbmm(bias[:, :, None], weight, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        ctx.into[0].copy_(torch.bmm(grad, x.transpose(1, 2)))
        if len(ctx.into) > 1:
            torch.sum(grad, dim=2, out=ctx.into[1])
        below = torch.bmm(weight.transpose(1, 2), grad) if ctx.needs_input_grad[0] else None
        return (below, *[None] * (2 + len(ctx.into)))


def _linear(
    weight: Tensor, bias: Tensor | None, into: Sequence[Tensor], x: Tensor, train: bool
) -> Tensor:
    y: Tensor = _Linear.apply(x, weight, bias, *into)  # type: ignore[no-untyped-call]
    return y


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
    cut: Cut | None,
    x: Tensor,
    train: bool,
) -> Tensor:
    """Batch norm per channel: statistics over batch, height and width."""
    if train and cut is not None:
        return joint_norm(cut, x, mean, var, weight, bias, momentum, eps)
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
    cut: Cut | None,
    x: Tensor,
    train: bool,
) -> Tensor:
    """Batch norm per unit: (K, F, B) seen as one picture of K·F channels and B pixels."""
    wide = x.reshape(1, -1, x.shape[2])
    return _norm_maps(weight, bias, mean, var, momentum, eps, cut, wide, train).view_as(x)


def _dropout(masks: DropoutMasks, x: Tensor, train: bool) -> Tensor:
    return x * masks.next(x.shape) if train else x


def _relu(x: Tensor, train: bool) -> Tensor:
    return torch.relu(x)  # a module's call costs more than the operation where maps are small


def _elementwise(layer: nn.Module, x: Tensor, train: bool) -> Tensor:
    y: Tensor = layer(x)
    return y


def _flatten_maps(members: int, x: Tensor, train: bool) -> Tensor:
    """(B, K·C, H, W) to (K, C·H·W, B)."""
    return x.reshape(len(x), members, -1).permute(1, 2, 0)


def _flatten_inputs(x: Tensor, train: bool) -> Tensor:
    """(K, B, ...) to (K, D, B); vectors have that form already."""
    return x if x.ndim == 3 else x.flatten(2).transpose(1, 2)
