"""Fully connected networks: the linear classifier and the multi-layer perceptron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval, MaxLen

from trainwell.callstring import check_fields
from trainwell.techniques.models.layers import Activation, Norm, dense

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Interval(ge=1, le=10**6)]


@dataclass(frozen=True)
class Linear:
    """One linear layer from inputs to classes: multinomial logistic regression.

    Equation: z = W x + b. Shapes: (B, ...) flattened to (B, D), result (B, C). Convex, so every
    initialisation ends at the same place: the yardstick for everything deeper.
    It has no hidden units: Dropout has nothing to drop here, InputDropout acts.
    Source: slide "Activation and loss function"; CS231n notes, linear classification.

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
    Embeddings of a table's columns, both off at first: with `categories` = d each category becomes
    d numbers, learned for each of its levels (W x for its pre-processed one-hot columns x), which
    pays for many levels; with `numbers` = d each number x becomes x and d
    mixtures of 16 waves, V cos(2π (f x + φ)) with learned f, φ and V, with which a first layer can
    follow steps and bends in a number: try 4. Frequencies begin at f ~ N(0, 0.1²), V and W at their
    own scale, whatever the recipe's `init`. Categories are known only where pre-processing leaves
    columns in their place (Standardize does).
    Source: slides "Batch normalization", "Activation and loss function"; Ioffe and Szegedy 2015;
    Gorishniy et al. 2022 and Holzmüller et al. 2024 for the embedding of numbers.

    >>> import torch
    >>> Mlp(hidden=(32,)).build((4,), 3, dropout=0.1)(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    hidden: Annotated[tuple[Width, ...], MaxLen(200)] = (256, 256)
    activation: Activation = "relu"
    norm: Norm = "batch"
    categories: Width | None = None  # width of a category's embedding
    numbers: Width | None = None  # width of a number's embedding, besides the number itself

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

            embedding = TableEmbedding(width, blocks, self.categories, self.numbers)
            layers.append(embedding)
            width = embedding.outputs
        for following in self.hidden:
            layers += dense(width, following, self.norm, self.activation)
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = following
        return nn.Sequential(*layers, nn.Linear(width, classes))
