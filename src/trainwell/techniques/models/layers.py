"""Pieces that the models share: activations, norms and the block they form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "sigmoid", "tanh"]
Norm = Literal["batch", "none"]


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
    }
    return layers[name]()


def dense(inputs: int, outputs: int, norm: Norm, activation: Activation) -> list[nn.Module]:
    """Linear, then batch norm, then the non-linearity (the slide's order)."""
    from torch import nn

    # Batch norm subtracts the mean, so a bias before it would do nothing (Ioffe and Szegedy 2015).
    layers: list[nn.Module] = [nn.Linear(inputs, outputs, bias=norm == "none")]
    if norm == "batch":
        layers.append(nn.BatchNorm1d(outputs))
    return [*layers, activation_layer(activation)]


def convolution(
    inputs: int, outputs: int, norm: Norm, activation: Activation, kernel: int = 3
) -> list[nn.Module]:
    """Convolution that keeps height and width, then batch norm, then the non-linearity."""
    from torch import nn

    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=norm == "none")
    ]
    if norm == "batch":
        layers.append(nn.BatchNorm2d(outputs))
    return [*layers, activation_layer(activation)]
