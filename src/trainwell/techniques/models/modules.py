"""Modules that torch does not bring: residual blocks, and embeddings of tables.

Only `build` methods import this file, since it needs torch at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from trainwell.techniques.models.layers import Activation, activation_layer

Blocks = Sequence[tuple[int, int]]  # (start, stop) of each category's columns


class Residual(nn.Module):
    """Two 3 × 3 convolutions with batch norm, whose result is added to what came in.

    Equation: y = f(BN(W₂ * f(BN(W₁ * x))) + s(x)); s is the identity, or a 1 × 1 convolution with
    batch norm where the size or the number of channels changes.
    Shapes: (B, inputs, H, W) to (B, outputs, ⌈H / stride⌉, ⌈W / stride⌉).
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, activation: Activation, zero: bool
    ) -> None:
        """zero: the last batch norm's γ begins at zero, so that the block begins as s."""
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.inner = activation_layer(activation)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()  # the identity
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))
        self.outer = activation_layer(activation)
        if zero:
            nn.init.zeros_(self.second_norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: see the class."""
        inner = self.inner(self.first_norm(self.first(x)))
        y: Tensor = self.outer(self.second_norm(self.second(inner)) + self.shortcut(x))
        return y


class TableEmbedding(nn.Module):
    """Columns of a table, each by numbers of its own: categories looked up, numbers as waves.

    A category's columns x (one per level) become W x, with a row of W for every level. A number x
    becomes (x, V cos(2π (f x + φ))) with its own frequencies f, phases φ and V; a bias has whatever
    follows. Shapes: (B, D) to (B, D'): the numbers, the waves of all, then category by category.
    """

    FREQUENCIES = 16  # per number
    SPREAD = 0.1  # of the frequencies at the beginning, in turns per unit of a number
    NAMES = ("levels", "frequencies", "phases", "mix")  # of the parameters

    def __init__(
        self, width: int, blocks: Blocks, categories: int | None, numbers: int | None
    ) -> None:
        """width: D; categories, numbers: width of an embedding, None for columns as they are."""
        super().__init__()
        self.blocks = tuple(blocks)
        inner = [0, *(edge for block in self.blocks for edge in block), width]
        between = zip(inner[::2], inner[1::2], strict=True)
        self.plain = [(a, b) for a, b in between if b > a]  # columns outside of the blocks
        count, levels = (sum(b - a for a, b in part) for part in (self.plain, self.blocks))
        self.outputs = count + levels
        own: dict[str, nn.Parameter | None] = dict.fromkeys(self.NAMES)
        if categories is not None and levels:
            self.outputs += categories * len(self.blocks) - levels
            own["levels"] = nn.Parameter(torch.empty(levels, categories))
        if numbers is not None and count:
            self.outputs += numbers * count
            waves = (count, self.FREQUENCIES)
            # In one dimension: no weights of units, so that no regulariser pulls them to zero.
            own["frequencies"] = nn.Parameter(torch.empty(math.prod(waves)))
            own["phases"] = nn.Parameter(torch.empty(math.prod(waves)))
            own["mix"] = nn.Parameter(torch.empty(*waves, numbers))
        for name, parameter in own.items():
            self.register_parameter(name, parameter)
        with torch.no_grad():
            for name, value in self.initial_values(torch.Generator().manual_seed(0)).items():
                self.get_parameter(name).copy_(value)

    def initial_values(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Its own start, whatever the recipe's initialisation: see the engine's `initial_row`."""
        found: dict[str, Tensor] = {}
        for name, value in self.named_parameters():
            new = torch.empty(value.shape)
            if name == "levels":
                sizes = torch.tensor([b - a for a, b in self.blocks])
                # All numbers of a category together vary as much as one standardised number.
                spread = (sizes * value.shape[1]).rsqrt()
                spread = spread.repeat_interleave(sizes, output_size=len(value))
                new.normal_(generator=generator).mul_(spread[:, None])
            elif name == "frequencies":
                new.normal_(0.0, self.SPREAD, generator=generator)
            elif name == "phases":
                new.uniform_(-0.5, 0.5, generator=generator)
            elif name == "mix":
                edge = self.FREQUENCIES**-0.5
                new.uniform_(-edge, edge, generator=generator)
            found[name] = new
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: see the class."""
        own = [getattr(self, name) for name in self.NAMES]
        batched = [None if value is None else value[None] for value in own]
        return self.embed(x.T[None], *batched)[0].T

    def embed(
        self,
        x: Tensor,
        levels: Tensor | None,
        frequencies: Tensor | None,
        phases: Tensor | None,
        mix: Tensor | None,
    ) -> Tensor:
        """The same for K members and the batch last: (K, D, B) to (K, D', B)."""
        members, _, batch = x.shape
        parts = [x[:, a:b] for a, b in self.plain]
        if mix is not None:
            assert frequencies is not None and phases is not None
            numbers = torch.cat(parts, dim=1)
            count, waves, width = mix.shape[1:]
            shape = (members, count, waves, 1)
            turns = numbers[:, :, None] * frequencies.view(shape) + phases.view(shape)
            cosines = (2 * math.pi * turns).cos().view(members * count, waves, batch)
            mixed = mix.reshape(members * count, waves, width).transpose(1, 2) @ cosines
            parts.append(mixed.view(members, count * width, batch))
        if levels is None:
            parts += [x[:, a:b] for a, b in self.blocks]
        else:
            edges = [0]
            for a, b in self.blocks:
                edges.append(edges[-1] + b - a)
            for (a, b), (start, stop) in zip(self.blocks, pairwise(edges), strict=True):
                parts.append(levels[:, start:stop].transpose(1, 2) @ x[:, a:b])
        return torch.cat(parts, dim=1)
