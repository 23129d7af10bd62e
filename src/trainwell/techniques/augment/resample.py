"""Bilinear resampling of pictures (B, C, H, W), and the random numbers that steer it.

Positions are in pixels from the middle of the picture, x to the right and y down. A grid
(B, 2, H, W) holds for each new pixel the position in the old picture from which it comes, in the
units of torch's grid_sample: ±1 are the outer edges, twice the pixels over the size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# What lies outside of a picture: its border pixels, repeated; or zero, the paper of hand-written
# characters.
Fill = Literal["edge", "zero"]

# Bytes of values worked on at once, so that they stay in a core's cache. Only a batch that is
# larger than WHOLE is cut, since each piece costs some tens of microseconds.
BLOCK = 2 << 20
WHOLE = 4 << 20


def unit(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers in [-1, 1), uniform."""
    import torch

    return torch.empty(shape).uniform_(-1, 1, generator=generator)


def random_bits(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random int16 numbers, all equally likely: four from each 64 bits, so that they are cheap."""
    import torch

    count = math.prod(shape)
    bits = torch.empty(-(-count // 4), dtype=torch.int64)
    bits.random_(-(2**63), None, generator=generator)
    return bits.view(torch.int16)[:count].view(shape)


def values(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Bytes as float32 in [0, 1], divided as a network's inputs are, in `out`; or just x."""
    import torch

    return x if x.is_floating_point() else torch.div(x, 255.0, out=out)


def blocks(x: Tensor) -> list[slice]:
    """Rows of a batch to work on together: all of them, or as many as fit the cache."""
    import torch

    size = 4 * x.numel()  # of values
    step = max(1, len(x))
    if size > WHOLE and x.device.type == "cpu":
        step = max(1, BLOCK * torch.get_num_threads() * len(x) // size)
    return [slice(start, start + step) for start in range(0, max(1, len(x)), step)]


def by_blocks(x: Tensor, change: Callable[[Tensor, slice, Tensor], object]) -> Tensor:
    """A new batch that change(x[rows], rows, out) writes, block by block, each in the cache.

    Bytes become values there, too: values(x[rows], out) is `out` or x[rows].
    """
    import torch

    changed = torch.empty_like(x, dtype=torch.float32)
    for rows in blocks(x):
        change(x[rows], rows, changed[rows])
    return changed


def resampled(
    x: Tensor, grid: Callable[[slice], Tensor], strength: float | Tensor, fill: Fill
) -> Tensor:
    """The pictures read at the positions grid(rows) (B, 2, H, W), which is asked block by block.

    Pictures with strength 0 stay as they are, to the last bit.
    """
    import torch
    from torch.nn.functional import grid_sample

    if isinstance(strength, int | float) and strength == 0:
        return x.clone() if x.is_floating_point() else values(x)
    padding = "border" if fill == "edge" else "zeros"

    def read(old: Tensor, rows: slice) -> Tensor:
        where = grid(rows).permute(0, 2, 3, 1)
        new = grid_sample(old, where, "bilinear", padding, align_corners=False).clamp_(0, 1)
        if isinstance(strength, int | float):
            return new
        return torch.lerp(old, new, (strength[rows] != 0).to(old.dtype).view(-1, 1, 1, 1))

    if len(blocks(x)) == 1:
        return read(values(x), slice(None))

    def write(old: Tensor, rows: slice, out: Tensor) -> None:
        # Reads here and there are slow outside of the cache; a copy brings each block into it.
        copied = old.clone() if old.is_floating_point() else values(old)
        out.copy_(read(copied, rows))

    return by_blocks(x, write)


def moved(
    x: Tensor,
    strength: float | Tensor,
    fill: Fill,
    *,
    angle: Tensor | float = 0.0,
    slant: Tensor | float = 0.0,
    zoom: Tensor | float = 1.0,
    right: Tensor | float = 0.0,
    down: Tensor | float = 0.0,
) -> Tensor:
    """The pictures slanted, zoomed and turned about their middle, then shifted; (B,) each.

    angle in radians, against the clock; slant: pixels to the right for each row further down;
    zoom > 1 enlarges; right and down in pixels. strength serves only to keep pictures where 0.
    """
    import torch

    each = [angle, slant, zoom, right, down]
    angle, slant, zoom, right, down = (
        v if isinstance(v, torch.Tensor) else torch.full((len(x),), v, device=x.device)
        for v in each
    )
    height, width = x.shape[-2:]
    # What turns a new position back into an old one: M = (R S s)⁻¹, old = M (new - shift).
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    xx, xy = cos - slant * sin, -sin - slant * cos
    yx, yy = sin, cos
    # (B, 2, n): the part of a position that its column decides, and the part of its row.
    across, along = 2 / width, 2 / height  # from pixels to the units of the grid
    by_column = torch.stack((xx * across, yx * along), 1)[:, :, None] * pixels(width, x)
    by_row = torch.stack((xy * across, yy * along), 1)[:, :, None] * pixels(height, x)
    offset_x, offset_y = xx * right + xy * down, yx * right + yy * down
    by_row -= torch.stack((offset_x * across, offset_y * along), 1)[:, :, None]
    return resampled(
        x, lambda part: by_column[part, :, None, :] + by_row[part, :, :, None], strength, fill
    )


def pixels(size: int, like: Tensor) -> Tensor:
    """Positions of the pixels along one side, from the middle."""
    import torch

    return torch.arange(size, dtype=torch.float32, device=like.device) - (size - 1) / 2


def zoom(unit: Tensor, strength: float | Tensor, factor: float) -> Tensor:
    """(1 + strength · factor) to the power of u: positive whatever the strength."""
    if isinstance(strength, int | float):
        return (unit * math.log1p(strength * factor)).exp()
    return (unit * (strength * factor).log1p()).exp()


def convolved(field: Tensor, over_rows: Tensor, over_columns: Tensor, sigma: float) -> Tensor:
    """Rows and columns of (..., H, W) convolved by the matrices that `blur` made with this σ.

    Products with small matrices run at full speed; of long sides, a stretch at a time, as the
    Gaussian ends at 4 σ.
    """
    import torch

    height, width = field.shape[-2:]
    across = [field[..., near] @ over_columns[near, part] for part, near in stretches(width, sigma)]
    field = across[0] if len(across) == 1 else torch.cat(across, -1)
    down = [over_rows[part, near] @ field[..., near, :] for part, near in stretches(height, sigma)]
    return down[0] if len(down) == 1 else torch.cat(down, -2)


def stretches(size: int, sigma: float) -> list[tuple[slice, slice]]:
    """Parts of a side, and the pixels that reach into each."""
    reach = int(4 * sigma + 0.5)
    step = max(32, 2 * reach)
    if size < 2 * step:
        return [(slice(0, size), slice(0, size))]
    return [
        (slice(at, at + step), slice(max(0, at - reach), at + step + reach))
        for at in range(0, size, step)
    ]


def blur(size: int, sigma: float) -> Tensor:
    """The matrix (size, size) that convolves one side with a Gaussian of sum 1, zero outside.

    Cut off at 4 σ.
    """
    import torch

    reach = int(4 * sigma + 0.5)
    far = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (far / sigma) ** 2)
    at = torch.arange(size)
    distance = at[:, None] - at
    near = distance.abs() <= reach
    return torch.where(near, kernel[(distance + reach) * near] / kernel.sum(), 0.0).float()
