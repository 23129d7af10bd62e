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

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainwell.engine import layers
from trainwell.engine.distributed import Cut
from trainwell.seeding import numpy_stream
from trainwell.techniques.models.modules import TableEmbedding

# Layers that treat each number on its own and so need no stacking; probes look at their outputs.
ELEMENTWISE = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.Sigmoid,
    nn.Tanh,
    nn.SiLU,
    nn.SELU,
    nn.Mish,
    nn.Softplus,
    nn.Identity,
)
# The same of each map.
MAPWISE = (nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
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

    Parameters of two or more dimensions are weights; biases and norm parameters have one. What
    does not require a gradient, buffers that are not saved and those of whole numbers are no part
    of it: they are the same for all members. A parameter that two modules share has one slot.
    """
    saved = network.state_dict()
    trained = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    buffers = [(n, b) for n, b in network.named_buffers() if b.is_floating_point() and n in saved]
    return _slots(trained), _slots(buffers)


def _slots(named: Sequence[tuple[str, Tensor]]) -> tuple[Slot, ...]:
    stops = list(itertools.accumulate((value.numel() for _, value in named), initial=0))
    return tuple(
        Slot(name, value.shape, start, stop, value.ndim > 1)
        for (name, value), start, stop in zip(named, stops, stops[1:], strict=False)
    )


def row_width(slots: Sequence[Slot]) -> int:
    """Numbers in a member's row, padding included."""
    return -(-(slots[-1].stop if slots else 0) // ROW) * ROW


def can_stack(network: nn.Module, shape: tuple[int, ...] = ()) -> bool:
    """Whether every layer has a stacked form, one after another; shape: of an example, if known."""
    if type(network) is not nn.Sequential or len(set(network)) < len(network):
        return False
    each = [list(layer.parameters()) for layer in network]
    shared = sum(map(len, each)) > len(list(network.parameters()))
    if shared or not all(p.requires_grad for some in each for p in some):
        return False
    form: str | None = "vectors" if len(shape) == 1 else "inputs"
    for layer in network:
        form = _form_behind(layer, form) if form else None
    return form == "vectors"


def _form_behind(layer: nn.Module, form: str) -> str | None:
    """What a layer makes of "inputs" (in the form of the data), "vectors", a "picture" or "maps";
    None where it has no stacked form for that. Subclasses may compute something else."""
    kind = type(layer)
    if layer._forward_hooks or layer._forward_pre_hooks or not _is_usual(layer):
        return None
    if kind in ELEMENTWISE:
        return form
    if kind is nn.Flatten:
        return "vectors"
    if kind is nn.Unflatten:
        return "picture" if form == "inputs" else None
    if kind is nn.Conv2d:
        return "maps" if form != "vectors" else None
    fitting = {
        "vectors": (nn.Linear, nn.BatchNorm1d, nn.LayerNorm, nn.Dropout, TableEmbedding),
        "maps": (nn.BatchNorm2d, nn.GroupNorm, *MAPWISE),
    }
    return form if kind in fitting.get(form, ()) else None


def _is_usual(layer: nn.Module) -> bool:
    """Whether a layer's options are those that the stacked form knows."""
    match layer:
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return layer.affine and layer.track_running_stats and layer.momentum is not None
        case nn.LayerNorm():
            one = len(layer.normalized_shape) == 1
            return one and layer.elementwise_affine and layer.bias is not None
        case nn.GroupNorm():
            return layer.affine
        case nn.Conv2d():
            return layer.groups == 1 and layer.padding_mode == "zeros"
        case nn.Flatten():
            return (layer.start_dim, layer.end_dim) == (1, -1)
        case nn.Unflatten():  # a spectrogram becomes a picture
            sizes = layer.unflattened_size
            return layer.dim == 1 and len(sizes) == 2 and sizes[0] == 1
        case nn.MaxPool2d():
            return not layer.return_indices
    return True


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
            own = [places[f"{index}.{n}"] for n, _ in layer.named_parameters()]
            match layer:
                case TableEmbedding():
                    leaves = {n: self.leaves[i] for n, i in zip(_names(layer), own, strict=True)}
                    self.layers.append(partial(layers.embedding, layer, leaves))
                case nn.Module() if own:
                    self.layers.append(self._weighted(index, layer, own, statistics))
                case nn.Dropout():
                    rates = [rate or layer.p for rate in dropout]
                    self.masks.append(DropoutMasks(str(index), rates, theta.device, cut))
                    self.layers.append(partial(layers.dropout, self.masks[-1]))
                case nn.Flatten():
                    of_maps = partial(layers.flatten_maps, self.members)
                    self.layers.append(of_maps if maps else layers.flatten_inputs)
                    maps = False
                case nn.Unflatten():  # (K, B, F, T) to (K, B, 1, F, T)
                    self.layers.append(lambda x, train: x.unsqueeze(2))
                case nn.ReLU():
                    self.layers.append(layers.relu)
                case _:
                    self.layers.append(partial(layers.elementwise, layer))

    def _weighted(
        self, index: int, layer: nn.Module, own: Sequence[int], statistics: Mapping[str, Tensor]
    ) -> Forward:
        """A layer with parameters; own: the places of its weight and, if it has one, its bias."""
        weight, *rest = (self.leaves[i] for i in own)
        bias = rest[0] if rest else None
        if isinstance(layer, nn.Conv2d):
            return partial(layers.convolution, weight, bias, layer)
        if isinstance(layer, nn.Linear):
            into = [self.grads[i] for i in own]
            return partial(layers.linear, weight, bias, into)
        assert bias is not None
        if isinstance(layer, nn.LayerNorm):
            return partial(layers.layer_norm, weight, bias, layer.eps)
        if isinstance(layer, nn.GroupNorm):
            return partial(layers.group_norm, weight, bias, layer)
        assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.momentum is not None
        mean, var = (statistics[f"{index}.running_{s}"] for s in ("mean", "var"))
        of_maps = isinstance(layer, nn.BatchNorm2d)
        kind = layers.batch_norm_maps if of_maps else layers.batch_norm_vectors
        return partial(kind, weight, bias, mean, var, layer.momentum, layer.eps, self.cut)

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


def exchanged(network: nn.Module, other: Callable[[str, nn.Module], nn.Module | None]) -> nn.Module:
    """The network with modules exchanged, in place, for what `other` gives for name and module.

    None leaves a module as it is. One that stands in several places is exchanged in all of them.
    """
    done: dict[int, nn.Module | None] = {}
    places = list(network.named_modules(remove_duplicate=False))
    for name, module in places:
        if id(module) not in done:
            done[id(module)] = other(name, module)
        new = done[id(module)]
        if new is not None and not name:
            return new
        if new is not None:
            path, _, last = name.rpartition(".")
            setattr(network.get_submodule(path), last, new)
    return network


def view(rows: Tensor, slot: Slot) -> Tensor:
    """The (K, *shape) view of one parameter in a (K, P) matrix."""
    return rows[:, slot.start : slot.stop].view(len(rows), *slot.shape)


def _names(layer: nn.Module) -> list[str]:
    return [name for name, _ in layer.named_parameters()]


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
