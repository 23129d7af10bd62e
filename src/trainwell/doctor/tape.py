"""What happens inside a network during one forward pass: weight layers and activations, in order.

Activations are seen as calls of torch's functions, so that functions count as modules do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trainwell.doctor.specimen import NORMS, forward

ACTIVATIONS = {
    "relu": "relu",
    "relu_": "relu",
    "threshold": "relu",
    "relu6": "relu",
    "leaky_relu": "leaky relu",
    "leaky_relu_": "leaky relu",
    "elu": "elu",
    "selu": "elu",
    "gelu": "gelu",
    "silu": "silu",
    "sigmoid": "sigmoid",
    "sigmoid_": "sigmoid",
    "tanh": "tanh",
    "tanh_": "tanh",
    "softmax": "softmax",
    "log_softmax": "log softmax",
}
NO_WEIGHT_LAYER = (nn.RNNBase, nn.Embedding, nn.EmbeddingBag, nn.MultiheadAttention, *NORMS)


@dataclass(frozen=True, eq=False)
class Event:
    """One weight layer, norm or activation at work. kind: "weight", "norm" or the activation's.

    name, module: of a weight layer or norm; of the last weight layer before an activation.
    """

    kind: str
    name: str
    given: Tensor  # detached
    made: Tensor  # detached
    module: nn.Module | None = None

    @property
    def made_units(self) -> Tensor:
        """Outputs as (N · positions, units)."""
        return units(self.made, self.module)

    @property
    def given_units(self) -> Tensor:
        """Inputs as (N · positions, units)."""
        return units(self.given, self.module)


@dataclass(eq=False)
class Tape:
    """Events in the order in which they happened."""

    events: list[Event] = field(default_factory=list)

    def weights(self) -> list[Event]:
        """The weight layers."""
        return [e for e in self.events if e.kind == "weight"]

    def behind(self, event: Event) -> list[Event]:
        """What happens after this weight layer, up to the next."""
        at = self.events.index(event) + 1
        found = []
        for following in self.events[at:]:
            if following.kind == "weight":
                break
            found.append(following)
        return found


def weight_layers(model: nn.Module) -> dict[nn.Module, str]:
    """Modules with a weight of two or more dimensions that maps inputs to outputs, by name."""
    return {
        m: name or type(m).__name__
        for name, m in model.named_modules()
        if isinstance(getattr(m, "weight", None), Tensor)
        and m.weight.ndim >= 2
        and not isinstance(m, NO_WEIGHT_LAYER)
    }


class _Watch(TorchFunctionMode):
    """Writes down activations where functions are called; what they call in turn is not seen."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape, self.inside, self.name = tape, 0, ""
        self.module: nn.Module | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        kind = None if self.inside else _kind(getattr(func, "__name__", ""), args, options)
        given = args[0] if args else options.get("input")
        before = given.detach().clone() if kind and isinstance(given, Tensor) else None
        made = func(*args, **options)
        if kind and before is not None and isinstance(made, Tensor):
            event = Event(kind, self.name, before, made.detach().clone(), self.module)
            self.tape.events.append(event)
        return made


def _kind(name: str, args: Any, options: Any) -> str | None:
    """Which activation a function of torch is, if any."""
    if name in ("clamp", "clamp_min", "clip", "maximum"):
        low = options.get("min", args[1] if len(args) > 1 else None)
        return "relu" if isinstance(low, int | float) and low == 0 else None
    return ACTIVATIONS.get(name)


@contextmanager
def _hooked(model: nn.Module, watch: _Watch) -> Iterator[None]:
    names = weight_layers(model)
    handles = []

    def after(module: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        if isinstance(made, Tensor) and given and isinstance(given[0], Tensor):
            kind = "weight" if module in names else "norm"
            name = names.get(module, type(module).__name__)
            if kind == "weight":
                watch.name, watch.module = name, module
            event = Event(kind, name, given[0].detach().clone(), made.detach().clone(), module)
            watch.tape.events.append(event)

    def enter(module: nn.Module, given: Any) -> None:
        watch.inside += 1

    def leave(module: nn.Module, given: Any, made: Any) -> None:
        watch.inside -= 1

    for module in model.modules():
        if module in names or isinstance(module, NORMS):
            handles.append(module.register_forward_hook(after))
        if isinstance(module, nn.RNNBase | nn.RNNCellBase | nn.MultiheadAttention):
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def record(model: nn.Module, x: Tensor, *, train: bool = False) -> Tape:
    """The tape of one forward pass without gradients."""
    tape = Tape()
    watch = _Watch(tape)
    with torch.no_grad(), _hooked(model, watch), watch:
        forward(model, x, train=train)
    return tape


def units(values: Tensor, module: nn.Module | None) -> Tensor:
    """Numbers as (N · positions, units): behind a convolution its channels are the units, else the
    last dimension of a sequence."""
    maps = isinstance(module, nn.modules.conv._ConvNd) or values.ndim > 3
    if values.ndim > 2 and maps:
        return values.movedim(1, -1).reshape(-1, values.shape[1])
    return values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values[:, None]
