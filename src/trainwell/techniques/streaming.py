"""What pre-processing learns from training rows: statistics of chunks that are read only once.

Chunks are (B, ...) float tensors. Sums are kept in float64 and merged chunk by chunk (Chan et al.
1983), around each chunk's own mean, so that large offsets do no harm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Per = Literal["feature", "channel"]

SAMPLED_VALUES = 1 << 26  # values kept for quartiles; of more, a random sample of the rows
SAMPLED_ROWS = 1 << 23  # of them at most, for one feature
SORTED_VALUES = 1 << 22  # values sorted at once


def pooled_axes(x: Tensor, per: Per) -> list[int]:
    """The axes of a chunk over which one statistic is taken."""
    return [0] if per == "feature" or x.ndim < 3 else [0, *range(2, x.ndim)]


def varies(spread: Tensor, middle: Tensor) -> Tensor:
    """Which features are not constant, apart from rounding."""
    return spread > 1e-12 * (1 + middle.abs())


def reciprocal(spread: Tensor, middle: Tensor) -> Tensor:
    """1 / spread, and 0 for constant features."""
    varied = varies(spread, middle)
    return spread.where(varied, spread.new_ones(())).reciprocal() * varied


def moments(chunks: Iterable[Tensor], per: Per) -> tuple[Tensor, Tensor, torch.dtype]:
    """Mean and deviation in float64 (by N, not N - 1), and the data's type."""
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    precision = torch.float32
    for chunk in chunks:
        x, precision = chunk.double(), chunk.dtype
        axes = pooled_axes(x, per)
        size = math.prod(x.shape[a] for a in axes)
        here = x.mean(axes, keepdim=True)[0]
        spread = (x - here).square().sum(axes, keepdim=True)[0]
        if not count:
            count, mean, squares = size, here, spread
            continue
        total, delta = count + size, here - mean
        squares = squares + spread + delta.square() * (count * size / total)
        mean, count = mean + delta * (size / total), total
    return mean, (squares / max(count, 1)).sqrt(), precision


def covariance(chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor, torch.dtype]:
    """Mean (D,) and covariance (D, D) in float64 (by N - 1), and the data's type.

    Shapes: chunks (B, ...) flattened to (B, D).
    """
    count, mean, products = 0, torch.zeros(()), torch.zeros(())
    precision = torch.float32
    for chunk in chunks:
        x, precision = chunk.flatten(1).double(), chunk.dtype
        size, here = len(x), x.mean(0)
        x = x - here
        if not count:
            count, mean, products = size, here, x.T @ x
            continue
        total, delta = count + size, here - mean
        products.addmm_(x.T, x).addr_(delta, delta, alpha=count * size / total)
        mean, count = mean + delta * (size / total), total
    assert count, "no training rows"
    return mean, products / max(count - 1, 1), precision


def extremes(chunks: Iterable[Tensor], per: Per) -> tuple[Tensor, Tensor, torch.dtype]:
    """Smallest and largest values in float64, and the data's type."""
    low, high, precision = torch.tensor(math.inf), torch.tensor(-math.inf), torch.float32
    for chunk in chunks:
        axes, precision = pooled_axes(chunk, per), chunk.dtype
        low = torch.minimum(low, chunk.amin(axes, keepdim=True)[0])
        high = torch.maximum(high, chunk.amax(axes, keepdim=True)[0])
    return low.double(), high.double(), precision


@dataclass(frozen=True, eq=False)
class Order:
    """Statistics of order in float64, and the data's type."""

    low: Tensor
    quartile: Tensor
    median: Tensor
    upper_quartile: Tensor
    high: Tensor
    precision: torch.dtype


def order(chunks: Iterable[Tensor], per: Per) -> Order:
    """Extremes, quartiles and median.

    Exact up to `SAMPLED_VALUES` numbers; of more data the quartiles are those of a random sample of
    rows, drawn without replacement and always the same one. The extremes are always exact.
    """
    low, high = torch.tensor(math.inf), torch.tensor(-math.inf)
    sample, shape = _Sample(), torch.Size()
    for chunk in chunks:
        axes = pooled_axes(chunk, per)
        lowest, highest = chunk.amin(axes, keepdim=True)[0], chunk.amax(axes, keepdim=True)[0]
        low, high, shape = torch.minimum(low, lowest), torch.maximum(high, highest), lowest.shape
        values = chunk.flatten(1) if len(axes) == 1 else chunk.movedim(1, -1).flatten(0, -2)
        sample.add(values)
    rows = sample.rows()
    parts = torch.split(rows, max(1, SORTED_VALUES // len(rows)), dim=1)
    found = torch.cat([_quartiles(part) for part in parts], dim=1)
    quartile, median, upper = (q.view(shape) for q in found)
    return Order(low.double(), quartile, median, upper, high.double(), rows.dtype)


def _quartiles(values: Tensor) -> Tensor:
    """Quartiles and median (3, D) of values (n, D), interpolated linearly."""
    values = values.double()
    return values.quantile(values.new_tensor([0.25, 0.5, 0.75]), dim=0)


class _Sample:
    """A uniform sample of rows that come in chunks: those with the smallest of random keys."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.kept: list[tuple[Tensor, Tensor]] = []  # keys (n,) and rows (n, D)
        self.held = 0
        self.room = 0

    def add(self, rows: Tensor) -> None:
        keys = torch.rand(len(rows), generator=self.generator, dtype=torch.float64)
        self.kept.append((keys, rows))
        self.held += len(rows)
        self.room = max(1, min(SAMPLED_ROWS, SAMPLED_VALUES // rows.shape[1]))
        if self.held > 1.25 * self.room:  # not at every chunk: thinning copies what is kept
            self._thin()

    def _thin(self) -> None:
        keys = torch.cat([k for k, _ in self.kept])
        rows = torch.cat([r for _, r in self.kept])
        chosen = keys.topk(self.room, largest=False).indices
        self.kept = [(keys[chosen], rows[chosen])]
        self.held = self.room

    def rows(self) -> Tensor:
        assert self.held, "no training rows"
        if self.held > self.room:
            self._thin()
        return torch.cat([r for _, r in self.kept])
