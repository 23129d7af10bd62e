"""Pieces that the models share: activations, norms and the block they form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Activation = Literal[
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "sigmoid",
    "tanh",
    "silu",
    "selu",
    "mish",
    "softplus",
]
# "batch": batch norm before the non-linearity (the slide's order); "batch_after": behind it;
# "layer": layer norm before it, over all units or maps of one example.
Norm = Literal["batch", "batch_after", "layer", "none"]


def activation_layer(name: Activation) -> nn.Module:
    """The non-linearity of that name; slide "Activation and loss function"."""
    from torch import nn

    layers: dict[str, type[nn.Module]] = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,  # slope 0.01
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "silu": nn.SiLU,  # x · sigmoid(x), also called swish
        "selu": nn.SELU,
        "mish": nn.Mish,  # x · tanh(softplus(x))
        "softplus": nn.Softplus,
    }
    return layers[name]()


def dense(inputs: int, outputs: int, norm: Norm, activation: Activation) -> list[nn.Module]:
    """Linear, norm and non-linearity, in the order that `norm` says."""
    from torch import nn

    # Batch norm subtracts the mean, so a bias right before it would do nothing (Ioffe and Szegedy
    # 2015). Layer norm subtracts one mean of all units, which leaves their biases a meaning.
    linear = nn.Linear(inputs, outputs, bias=norm != "batch")
    kinds = {"batch": nn.BatchNorm1d, "batch_after": nn.BatchNorm1d, "layer": nn.LayerNorm}
    normed = [kinds[norm](outputs)] if norm != "none" else []
    return [linear, *_ordered(norm, normed, activation)]


def convolution(
    inputs: int,
    outputs: int,
    norm: Norm,
    activation: Activation,
    kernel: int = 3,
    stride: int = 1,
) -> list[nn.Module]:
    """Convolution that keeps height and width (at stride 1), norm and non-linearity."""
    from torch import nn

    convolved = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=norm != "batch")
    normed: list[nn.Module] = []
    if norm == "layer":  # over channels and places: group norm with one group
        normed = [nn.GroupNorm(1, outputs)]
    elif norm != "none":
        normed = [nn.BatchNorm2d(outputs)]
    return [convolved, *_ordered(norm, normed, activation)]


def _ordered(norm: Norm, normed: list[nn.Module], activation: Activation) -> list[nn.Module]:
    """The norm, if any, before or behind the non-linearity."""
    layer = activation_layer(activation)
    return [layer, *normed] if norm == "batch_after" else [*normed, layer]
