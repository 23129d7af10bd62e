"""What a person hands to `check`, as tensors; what cannot be looked at is said in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainwell.errors import UserError

ARRAY = "Give an array or a tensor, one row after the other."


def looked_at(model: Any, loss: Any, optimizer: Any) -> nn.Module:
    """The network to look at: of a compiled one that from which it was made.

    Raises UserError for what cannot be looked at.
    """
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise UserError("check", f"the model is {kind}, not an nn.Module", "Give the network.")
    if not callable(loss):
        problem = f"the loss is {type(loss).__name__}, not a function"
        raise UserError("check", problem, "Give a function of outputs and targets.")
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        problem = f"the optimizer is {type(optimizer).__name__}, not one of torch.optim"
        todo = "Give an optimizer, such as torch.optim.Adam(model.parameters()), or leave it out."
        raise UserError("check", problem, todo)
    plain = getattr(model, "_orig_mod", None)  # what torch.compile returns is wrapped around it
    found: nn.Module = plain if isinstance(plain, nn.Module) else model
    if any(isinstance(m, torch.jit.ScriptModule) for m in found.modules()):
        problem = "the network is a ScriptModule, into which one cannot look while it works"
        raise UserError("check", problem, "Give the nn.Module from which it was made.")
    if any(t.is_meta for t in (*found.parameters(), *found.buffers())):
        problem = "the network is on the meta device, where weights have shapes but no values"
        todo = "Make it on a real device, or call model.to_empty(device=...) and draw its weights."
        raise UserError("check", problem, todo)
    return found


def rows_of(values: Any) -> Tensor:
    """Inputs X as a tensor (N, ...); whole numbers of an array, bytes aside, become int64."""
    if isinstance(values, Tensor):
        return _dense(values, "X")
    return _long(_tensor(np.asarray(values), "X"), bytes_too=False)


def targets_of(values: Any) -> Tensor:
    """Targets y as a tensor (N, ...); whole numbers of an array become int64, as torch wants class
    numbers, and names of classes their places in sorted order.

    >>> targets_of(["pear", "apple", "pear"])
    tensor([1, 0, 1])
    """
    if isinstance(values, Tensor):
        return _dense(values, "y")
    array = np.asarray(values)
    if array.dtype.kind in "OUS":
        array = _numbered(array)
    return _long(_tensor(array, "y"), bytes_too=True)


def _numbered(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """Words as class numbers; other objects as the numbers that they are."""
    words = array.dtype.kind in "US" or all(isinstance(v, str) for v in array.flat)
    if words and array.ndim <= 2 and array.size == len(np.atleast_1d(array)):
        _, places = np.unique(array.astype(str).reshape(-1), return_inverse=True)
        return places.reshape(-1)
    plain = np.array(array.tolist()) if not words else array
    if plain.dtype.kind in "biuf":
        return plain
    odd = next((v for v in array.flat if not isinstance(v, str)), array.flat[0])
    problem = f"y holds values such as {odd!r}, which are neither numbers nor names of classes"
    if words:
        problem = f"y holds words in {array.ndim} dimensions"
    raise UserError("check", problem, "Give class numbers from 0 on, one a row.")


def _dense(values: Tensor, what: str) -> Tensor:
    if values.layout != torch.strided or values.is_nested:
        kind = "nested" if values.is_nested else str(values.layout).removeprefix("torch.")
        raise UserError("check", f"{what} is a {kind} tensor", f"Give {what}.to_dense().")
    if values.is_meta:
        raise UserError("check", f"{what} is on the meta device, without values", ARRAY)
    return _some(values, what).detach()


def _tensor(array: np.ndarray[Any, np.dtype[Any]], what: str) -> Tensor:
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable or any(step < 0 for step in array.strides):
        array = array.copy()  # torch shares memory, and wants it writable and in order
    try:
        return _some(torch.as_tensor(array), what)
    except (TypeError, ValueError) as error:
        raise UserError("check", f"{what} cannot be a tensor ({error})", ARRAY) from None


def _some(values: Tensor, what: str) -> Tensor:
    if values.ndim == 0 or not len(values):
        raise UserError("check", f"{what} holds no rows", "Give some training rows.")
    return values


def _long(values: Tensor, bytes_too: bool) -> Tensor:
    whole = not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
    return values.long() if whole and (bytes_too or values.dtype != torch.uint8) else values
