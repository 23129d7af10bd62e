"""The layers of a stack: each computes K members at once, with weights (K, ...) of all of them.

Vectors are (K, F, B), maps (B, K·C, H, W); see `stack`. Every function ends with the input and
whether it is training; what comes before is fixed when the stack is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwell.engine.distributed import Cut
from trainwell.engine.jointnorm import joint_norm
from trainwell.techniques.models.modules import TableEmbedding


class Masks(Protocol):
    """Where dropout masks come from."""

    def next(self, shape: torch.Size) -> Tensor:
        """The mask of the next step, for values of this shape."""
        ...


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


def linear(
    weight: Tensor, bias: Tensor | None, into: Sequence[Tensor], x: Tensor, train: bool
) -> Tensor:
    y: Tensor = _Linear.apply(x, weight, bias, *into)  # type: ignore[no-untyped-call]
    return y


def convolution(
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


def batch_norm_maps(
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


def batch_norm_vectors(
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
    return batch_norm_maps(weight, bias, mean, var, momentum, eps, cut, wide, train).view_as(x)


def layer_norm(weight: Tensor, bias: Tensor, eps: float, x: Tensor, train: bool) -> Tensor:
    """Layer norm: statistics over the units of one example, (K, F, B)."""
    var, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
    return (x - mean) * (var + eps).rsqrt() * weight[:, :, None] + bias[:, :, None]


def group_norm(weight: Tensor, bias: Tensor, layer: nn.GroupNorm, x: Tensor, train: bool) -> Tensor:
    """Group norm of maps (B, K·C, H, W): the groups of one member after those of another."""
    groups = len(weight) * layer.num_groups
    return functional.group_norm(x, groups, weight.reshape(-1), bias.reshape(-1), layer.eps)


def embedding(layer: TableEmbedding, own: Mapping[str, Tensor], x: Tensor, train: bool) -> Tensor:
    return layer.embed(x, *(own.get(name) for name in layer.NAMES))


def dropout(masks: Masks, x: Tensor, train: bool) -> Tensor:
    return x * masks.next(x.shape) if train else x


def relu(x: Tensor, train: bool) -> Tensor:
    return torch.relu(x)  # a module's call costs more than the operation where maps are small


def elementwise(layer: nn.Module, x: Tensor, train: bool) -> Tensor:
    y: Tensor = layer(x)
    return y


def flatten_maps(members: int, x: Tensor, train: bool) -> Tensor:
    """(B, K·C, H, W) to (K, C·H·W, B)."""
    return x.reshape(len(x), members, -1).permute(1, 2, 0)


def flatten_inputs(x: Tensor, train: bool) -> Tensor:
    """(K, B, ...) to (K, D, B); vectors have that form already."""
    return x if x.ndim == 3 else x.flatten(2).transpose(1, 2)
