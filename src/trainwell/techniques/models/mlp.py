"""Fully connected networks: the linear classifier and the multi-layer perceptron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt

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

    def build(
        self,
        shape: tuple[int, ...],
        classes: int,
        dropout: float,
        blocks: tuple[tuple[int, int], ...] = (),
    ) -> nn.Sequential:
        """A network for examples of `shape` (without the batch) and `classes` outputs."""
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


@dataclass(frozen=True)
class Mlp:
    """Fully connected network with batch norm before each non-linearity.

    Layers: for each width in `hidden` linear → norm → activation → dropout, then a linear layer to
    the classes. Shapes: (B, ...) flattened to (B, D), result (B, C). Default 256-256: wide enough
    for tables of some thousand rows; regularisation, not width, then sets the fit. `norm`:
    "batch_after" puts batch norm behind the non-linearity, "layer" is a norm over the units of one
    example (for batches too small for batch norm).
    """

    hidden: tuple[Width, ...] = (256, 256)
    activation: Activation = "relu"
    norm: Norm = "batch"
    categories: Width | None = None  # numbers per category
    numbers: Width | None = None  # waves' numbers per number
    spread: Annotated[float, Gt(0)] = 0.1

    def __post_init__(self) -> None:
        check_fields(self)

    def build(
        self,
        shape: tuple[int, ...],
        classes: int,
        dropout: float,
        blocks: tuple[tuple[int, int], ...] = (),
    ) -> nn.Sequential:
        """A network for examples of `shape` (without the batch) and `classes` outputs.

        blocks: where the columns of each category start and stop among the flattened inputs.
        """
        from torch import nn

        layers: list[nn.Module] = [nn.Flatten()]
        width = math.prod(shape)
        if self.numbers is not None or (self.categories is not None and blocks):
            from trainwell.techniques.models.modules import TableEmbedding

            embedding = TableEmbedding(width, blocks, self.categories, self.numbers, self.spread)
            layers.append(embedding)
            width = embedding.outputs
        for following in self.hidden:
            layers += dense(width, following, self.norm, self.activation)
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = following
        return nn.Sequential(*layers, nn.Linear(width, classes))
