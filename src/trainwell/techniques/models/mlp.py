"""Fully connected networks: the linear classifier and the multi-layer perceptron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from trainwell.callstring import check_fields
from trainwell.techniques.models.layers import Activation, Norm, dense

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class Linear:
    """One linear layer from inputs to classes: multinomial logistic regression.

    Equation: z = W x + b. Shapes: (B, ...) flattened to (B, D), result (B, C). Convex, so every
    initialisation ends at the same place: the yardstick for everything deeper.
    Source: CS231n notes, linear classification.

    >>> Linear().build((8, 8), 10, dropout=0.0)
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=64, out_features=10, bias=True)
    )
    """

    def build(self, shape: tuple[int, ...], classes: int, dropout: float) -> nn.Sequential:
        """A network for examples of `shape` (without the batch) and `classes` outputs."""
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


@dataclass(frozen=True)
class Mlp:
    """Fully connected network with batch norm before each non-linearity.

    Layers: for each width in `hidden` linear → batch norm → activation → dropout, then a linear
    layer to the classes. Shapes: (B, ...) flattened to (B, D), result (B, C). Default 256-256: wide
    enough for tables of some thousand rows; regularisation, not width, then sets the fit.
    Source: slides "Batch normalization", "Activation and loss function"; Ioffe and Szegedy 2015.

    >>> import torch
    >>> Mlp(hidden=(32,)).build((4,), 3, dropout=0.1)(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    hidden: tuple[Width, ...] = (256, 256)
    activation: Activation = "relu"
    norm: Norm = "batch"

    def __post_init__(self) -> None:
        check_fields(self)

    def build(self, shape: tuple[int, ...], classes: int, dropout: float) -> nn.Sequential:
        """A network for examples of `shape` (without the batch) and `classes` outputs."""
        from torch import nn

        layers: list[nn.Module] = [nn.Flatten()]
        width = math.prod(shape)
        for following in self.hidden:
            layers += dense(width, following, self.norm, self.activation)
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = following
        return nn.Sequential(*layers, nn.Linear(width, classes))
