"""A trained model as the text of a Python file that needs only torch, and its weights."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import ModuleType

import torch
from torch import Tensor, nn

from trainwell.errors import UserError
from trainwell.export import whole as whole_module
from trainwell.export.source import body, definitions
from trainwell.export.standalone import weights
from trainwell.export.whole import SoftVote
from trainwell.techniques import inputs, scaling
from trainwell.techniques.inputs import Bytes, Float, LogMelLayer, Pcm, TableEncoder
from trainwell.techniques.models import layers, modules
from trainwell.techniques.models.modules import Residual, TableEmbedding
from trainwell.techniques.scaling import OwnScale, Projection, Scale, Shift

# What a file needs for each of our layers: (module, names, methods that only training uses).
NEEDS: dict[type[nn.Module], list[tuple[ModuleType, tuple[str, ...], tuple[str, ...]]]] = {
    Bytes: [(inputs, ("Bytes",), ())],
    Pcm: [(inputs, ("Pcm",), ())],
    Float: [(inputs, ("Float",), ())],
    TableEncoder: [(inputs, ("UNSEEN", "TableEncoder"), ("fit",))],
    LogMelLayer: [(inputs, ("LogMelLayer", "mel_filters"), ())],
    Scale: [(scaling, ("Scale",), ("widen",))],
    Shift: [(scaling, ("Shift",), ("widen", "edge_of"))],
    OwnScale: [(scaling, ("_longer", "OwnScale"), ())],
    Projection: [
        (scaling, ("Shift",), ("widen", "edge_of")),
        (scaling, ("Projection",), ("widen",)),
    ],
    Residual: [
        (layers, ("Activation", "activation_layer"), ()),
        (modules, ("Residual",), ()),
    ],
    TableEmbedding: [(modules, ("Blocks", "TableEmbedding"), ())],
    SoftVote: [(whole_module, ("SoftVote",), ())],
}

HEAD = '''"""A classifier as a plain PyTorch module: raw inputs in, probabilities out.

    network = load("weights.safetensors")
    probabilities = network(raw)  # {takes}

Written by trainwell; needs only torch. card.json says what the inputs are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import nn
'''

TAIL = '''

def build() -> SoftVote:
    """The network with numbers that mean nothing yet."""
    return {network}


def load(path: str | Path) -> SoftVote:
    """The trained network."""
    network = build()
    network.load_state_dict(read_weights(Path(path)))
    return network.eval().requires_grad_(False)
'''


def module_text(vote: SoftVote, takes: str) -> str:
    """The text of the file; takes: raw inputs in words.

    Raises UserError where the network has layers whose code is not ours.
    """
    kinds = {type(m) for m in vote.modules()} - {SoftVote}
    needed: list[str] = []
    for kind in [k for k in NEEDS if k in kinds or k is SoftVote]:
        for module, names, without in NEEDS[kind]:
            needed += [t for t in definitions(module, names, without) if t not in needed]
    build = TAIL.replace("{network}", textwrap.indent(expression(vote), "    ").strip())
    parts = [HEAD.replace("{takes}", takes) + body(weights), *needed]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n" + build


def expression(module: nn.Module) -> str:
    """The Python expression that builds a module like this one."""
    match module:
        case SoftVote():
            sides = [_listed(module.preprocess), _listed(module.networks)]
            values = (module.weights, module.temperatures, module.offsets)
            return _call("SoftVote", [*sides, repr(module.fold_of), *map(_like, values)])
        case nn.Sequential():
            return _call("nn.Sequential", [expression(m) for m in module])
        case Bytes() | Pcm() | Float():
            return f"{type(module).__name__}()"
        case Scale():
            own = [_like(module.mean), _like(module.factor), repr(module.limit)]
            return _call("Scale", [*own, repr(module.smooth)])
        case Shift():
            return _call("Shift", [_like(module.mean), _like(module.edge)])
        case OwnScale():
            return f"OwnScale({module.eps!r}, {module.width!r})"
        case Projection():
            buffers = (module.shift.mean, module.shift.edge, module.matrix)
            return _call("Projection", [*map(_like, buffers), repr(module.square)])
        case LogMelLayer():
            return f"LogMelLayer{module.options!r}"
        case TableEncoder():
            names = ("numbers", "medians", "indicated", "categories", "positions")
            buffers = tuple(getattr(module, name) for name in names)
            own = [repr(module.width), repr(module.levels)]
            return _call("TableEncoder", [*map(_like, buffers), *own])
        case Residual():
            return _residual(module)
        case TableEmbedding():
            return _embedding(module)
    if type(module).__module__.startswith("torch.nn.modules") and not list(module.children()):
        return _shortest(module)
    problem = f"the network has a layer of your own, {type(module).__name__}"
    raise UserError("export --torch", problem, "You have its code; --onnx writes it without.")


def _shortest(module: nn.Module) -> str:
    """The call of one of torch's layers, which they print themselves, without defaults.

    An older torch may not know every argument that a newer one prints.
    """
    call = ast.parse(repr(module), mode="eval").body
    assert isinstance(call, ast.Call), "torch's layers print as they are called"
    defaults = inspect.signature(type(module)).parameters
    call.keywords = [
        word
        for word in call.keywords
        if word.arg is None
        or word.arg not in defaults
        or defaults[word.arg].default != ast.literal_eval(word.value)
    ]
    return f"nn.{ast.unparse(call)}"


def _residual(module: Residual) -> str:
    activation = next(name for name, kind in _activations().items() if type(module.inner) is kind)
    first = module.first
    sizes = f"{first.in_channels}, {first.out_channels}, {first.stride[0]}"
    return f"Residual({sizes}, {activation!r}, zero=False)"


def _activations() -> dict[str, type[nn.Module]]:
    from typing import get_args

    names = get_args(layers.Activation)
    return {name: type(layers.activation_layer(name)) for name in names}


def _embedding(module: TableEmbedding) -> str:
    width = max(stop for _, stop in (*module.plain, *module.blocks))
    own: list[int | None] = []
    for name in ("levels", "mix"):
        value = getattr(module, name)
        own.append(None if value is None else value.shape[-1])
    return f"TableEmbedding({width}, {module.blocks!r}, {own[0]!r}, {own[1]!r})"


def _listed(found: nn.Module) -> str:
    inside = ",\n".join(expression(m) for m in found.children())
    return "[\n" + textwrap.indent(inside, "    ") + ",\n]"


def _call(name: str, arguments: list[str]) -> str:
    return f"{name}(\n" + textwrap.indent(",\n".join(arguments), "    ") + ",\n)"


def _like(tensor: Tensor) -> str:
    kind = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
    return f"torch.zeros({tuple(tensor.shape)}{kind})"
