"""What can be read of a step while it runs: gradients, weights, units. Nothing is changed.

Plain functions on modules and tensors; numbers stay tensors until `numbers` fetches all of them
at once, so that an accelerator is waited for once a sampled step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainwell.doctor.pace import own_time

MOST_ENTRIES = 1 << 20  # of a weight: of larger ones every n-th entry stands for all
MOST_ACTIVITY = 1 << 18  # values of a layer's output that are looked at
SATURATED = 0.98  # of a tanh unit's range; a sigmoid's is taken to the same scale
_SILENT = (nn.ReLU, nn.ReLU6)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NO_UNITS = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin, nn.MultiheadAttention)


@dataclass(frozen=True)
class Slot:
    """A weight that is watched, under the name of its layer."""

    name: str
    parameter: nn.Parameter
    rows_are_picked: bool  # an embedding: rows without gradient are no fault


def slots_of(model: nn.Module) -> tuple[Slot, ...]:
    """Every weight (two axes or more) in the order of the network.

    A layer with one weight gives it its name; of others, a GRU for instance, the whole name counts.
    """
    found: list[Slot] = []
    for name, module in model.named_modules():
        own = [(n, p) for n, p in module.named_parameters(recurse=False) if p.ndim >= 2]
        for part, parameter in own:
            parts = [name] if len(own) == 1 and name else [name, part]
            picked = isinstance(module, nn.Embedding | nn.EmbeddingBag)
            text = ".".join(p for p in parts if p).replace("_orig_mod.", "")
            if all(parameter is not s.parameter for s in found):  # tied weights count once
                found.append(Slot(text, parameter, picked))
    return tuple(found)


def entries(values: Tensor) -> Tensor:
    """The values as they are, or every n-th of too many."""
    count = values.numel()
    if count <= MOST_ENTRIES:
        return values
    return values.reshape(-1)[:: -(-count // MOST_ENTRIES)]


def sizes(values: Tensor) -> list[Tensor]:
    """Norm, number of entries that are not zero, sum of absolute values."""
    norm = torch.linalg.vector_norm(values, dtype=torch.float32)
    return [norm, values.count_nonzero(), torch.linalg.vector_norm(values, 1, dtype=torch.float32)]


def numbers(values: Sequence[Tensor]) -> list[float]:
    """Scalar tensors as numbers, fetched together."""
    if not values:
        return []
    if values[0].device.type == "cpu":
        return [float(v) for v in values]
    found: list[float] = torch.stack([v.float() for v in values]).tolist()
    return found


@dataclass(frozen=True)
class Units:
    """What the units of one call of an activation did, still as tensors; None without meaning."""

    name: str
    mean: Tensor
    spread: Tensor
    active: Tensor | None  # (units,) whether a unit was not zero on some row
    saturated: Tensor | None
    rows: int


def activations(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The non-linearities of a network, by name."""
    return [
        (name.replace("_orig_mod.", ""), module)
        for name, module in model.named_modules()
        if type(module).__module__ == "torch.nn.modules.activation"
        and not isinstance(module, _NO_UNITS)
    ]


@dataclass(frozen=True)
class Hooked:
    """A layer that is looked at in a sampled step: one that bends (activation) or has weights."""

    name: str
    module: nn.Module
    bends: bool


def hooked(model: nn.Module) -> tuple[Hooked, ...]:
    """The layers of a network that are looked at, in its order."""
    chosen = {module: name for name, module in activations(model)}
    return tuple(
        Hooked(chosen.get(module, name), module, module in chosen)
        for name, module in model.named_modules()
        if module in chosen or next(module.parameters(recurse=False), None) is not None
    )


@torch.no_grad()
def units(name: str, module: nn.Module, output: Tensor, channels_first: bool) -> Units:
    """Mean, spread, active and saturated units of an output (N, F), (N, C, H, W) or (N, T, F).

    channels_first: whether the last layer with weights was a convolution. Every place of a map is
    a row.
    """
    values = output.detach()
    rows = max(1, min(len(values), MOST_ACTIVITY // max(1, values[0].numel())))
    values = values[:rows]
    axis = 1 if channels_first and values.ndim > 2 else values.ndim - 1
    others = [a for a in range(values.ndim) if a != axis]
    active = saturated = None
    if isinstance(module, _SILENT):
        active = (values != 0).any(dim=others[0]) if len(others) == 1 else _any(values, axis)
    elif isinstance(module, nn.Tanh | nn.Sigmoid):
        scaled = 2 * values - 1 if isinstance(module, nn.Sigmoid) else values
        often = (scaled.abs() > SATURATED).float().mean(dim=others) >= 0.9
        saturated = often.float().mean()
    spread, mean = torch.std_mean(values.float(), correction=0)
    return Units(name, mean, spread, active, saturated, values.numel() // values.shape[axis])


def _any(values: Tensor, axis: int) -> Tensor:
    return (values != 0).movedim(axis, 0).flatten(1).any(dim=1)


class Hooks:
    """Handles of hooks that can be removed together."""

    def __init__(self) -> None:
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def add(self, handle: torch.utils.hooks.RemovableHandle) -> None:
        """Keep the handle of a hook that was registered."""
        self._handles.append(handle)

    def remove(self) -> None:
        """Take all hooks away again."""
        while self._handles:
            self._handles.pop().remove()


class Forward:
    """Hooks on the layers of a network during one sampled step: units, and outputs by layer."""

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[Hooked],
        last: nn.Parameter | None,
        told: Callable[[bool], None],
    ) -> None:
        self._last, self._told = last, told
        self.units: list[Units] = []
        self.seconds = 0.0
        self.outputs: list[tuple[str, Tensor]] = []
        self._calls: dict[str, int] = {}
        self._convolution = False
        self._hooks = Hooks()
        self._hooks.add(model.register_forward_pre_hook(self._begin))
        for layer in layers:
            hook = self._bent(layer.name) if layer.bends else self._weighted(layer)
            self._hooks.add(layer.module.register_forward_hook(hook))

    def _begin(self, module: nn.Module, args: object) -> None:
        self._calls.clear()

    def _bent(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, args: object, output: object) -> None:
            if not torch.is_grad_enabled() or not isinstance(output, Tensor) or output.ndim < 2:
                return
            start = own_time()
            call = self._calls[name] = self._calls.get(name, 0) + 1
            known = name if call == 1 else f"{name}#{call}"  # one module at several places
            self.outputs.append((known, output.detach()))
            if output.numel():
                self.units.append(units(known, module, output, self._convolution))
            self.seconds += own_time() - start

        return hook

    def _weighted(self, layer: Hooked) -> Callable[[nn.Module, object, object], None]:
        own = [*layer.module.parameters(recurse=False)]
        mixes, is_last = any(p.ndim >= 2 for p in own), any(p is self._last for p in own)

        def hook(module: nn.Module, args: object, output: object) -> None:
            if torch.is_grad_enabled():
                if mixes:
                    self._convolution = isinstance(module, _CONVOLUTIONS)
                first = output[0] if isinstance(output, tuple) else output
                if isinstance(first, Tensor):
                    self.outputs.append((layer.name, first.detach()))
                    if is_last and first.requires_grad:
                        # On an output, which is gone after the step: one on the parameter would
                        # leave a slower way back for good.
                        first.register_hook(self._way_back)  # type: ignore[no-untyped-call]

        return hook

    def _way_back(self, gradient: Tensor) -> None:
        """Tell whether gradients are zero before this backward pass adds to them."""
        grad = None if self._last is None else self._last.grad
        self._told(grad is None or grad.is_sparse or not bool(grad.any()))

    def first_broken(self) -> str | None:
        """The first layer with an output that is not finite."""
        for name, output in self.outputs:
            if output.is_floating_point() and not bool(output.isfinite().all()):
                return name
        return None

    def remove(self) -> None:
        """Take all hooks away, and let the outputs go."""
        self._hooks.remove()
        self.outputs.clear()


def first_not_finite(model: nn.Module, gradients: bool) -> str | None:
    """The first parameter or buffer (or its gradient) of a network that is not finite."""
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        value = parameter.grad if gradients else parameter
        if value is None or value.is_sparse or not value.is_floating_point():
            continue
        if not bool(value.detach().isfinite().all()):
            return str(name).replace("_orig_mod.", "")
    return None
