"""Short descriptions of rows for quick looks at data: a few hundred numbers per row of any kind.

Tables: scaled numbers and frequent words; pictures: small pictures; sound: a small spectrogram.
Shapes: n rows looked at, d numbers per row (at most `WIDTH`), D inputs of a table.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import release
from trainwell.data.dataset import AudioSchema, Dataset, IntArray, TableSchema
from trainwell.seeding import numpy_stream

WIDTH = 256
MOST_WORDS = 32  # levels of a category that get a number of their own
CELLS = 60_000_000  # raw numbers read for one look, at most
CLIP_CELLS = 15_000_000  # the same for sound, whose spectra take longer,
TABLE_CELLS = 6_000_000  # and for tables, whose columns are put in order
SCALED_ROWS = 1000  # from which the scales of a table come
LOWEST = 8  # waves along a side of a picture that `steady_views` keeps
SIDE = 32  # the longest side of pictures that are compared pixel by pixel
STEP, STEP_CELLS = 2048, 4_000_000  # rows, and raw numbers, made smaller at once
Floats32 = npt.NDArray[np.float32]


def affordable(data: Dataset, rows: int) -> int:
    """How many of so many rows can be looked at in about a second."""
    cells = {"audio": CLIP_CELLS, "table": TABLE_CELLS, "images": CELLS}[data.kind]
    return max(min(rows, 200), min(rows, cells // math.prod(data.schema.shape)))


def view(data: Dataset, rows: IntArray) -> Floats32:
    """Rows (n,) as features (n, d), zero mean; scales come from these rows, labels play no part.

    Every number of a table has about unit deviation and no value lies far outside; pictures and
    spectrograms keep the relative sizes of their places.
    """
    if isinstance(data.schema, TableSchema):
        found: Any = _table(data.inputs[rows], data.schema)
        release(data.inputs)
        if found.shape[1] > WIDTH:
            stream = numpy_stream(0, "view", found.shape[1])
            mix = stream.normal(size=(found.shape[1], WIDTH)).astype(np.float32)
            found = found @ np.asarray(mix / math.sqrt(WIDTH), np.float32)
        return np.asarray(found - found.mean(axis=0, keepdims=True), np.float32)
    step = max(1, min(STEP, STEP_CELLS // math.prod(data.schema.shape)))
    maps = np.concatenate([_small(data, rows[i : i + step]) for i in range(0, len(rows), step)])
    maps = np.asarray(maps - maps.mean(axis=0, keepdims=True), np.float32)
    return np.asarray(maps / (float(maps.std()) or 1.0), np.float32)


def wave_view(data: Dataset, rows: IntArray) -> Floats32:
    """Clips (n, T) of equal loudness, mixed at random to (n, 256): equal waves stay near."""
    clips = data.inputs[rows].astype(np.float32)
    clips -= clips.mean(axis=1, keepdims=True)
    clips /= np.maximum(np.sqrt((clips * clips).sum(axis=1, keepdims=True)), 1e-6)
    stream = numpy_stream(0, "view", clips.shape[1])
    mixed: Floats32 = clips @ stream.normal(size=(clips.shape[1], WIDTH)).astype(np.float32)
    return mixed / np.float32(math.sqrt(WIDTH))


def steady_views(data: Dataset, rows: IntArray) -> list[Floats32]:
    """Descriptions (n, d) of rows that stay nearly as they are under changes a copy may have had.

    Tables: `view`. Pictures: `view`; the same with every picture at one brightness and contrast;
    and sizes of the lowest waves of its Fourier transform, which a shift leaves as they are.
    Sound: waves of equal loudness (`wave_view`); and the sizes of their Fourier transform.
    """
    if data.kind == "table":
        return [view(data, rows)]
    if data.kind == "audio":
        return [wave_view(data, rows), _pitches(data, rows)]
    step = max(1, min(STEP, STEP_CELLS // math.prod(data.schema.shape)))
    parts = [rows[i : i + step] for i in range(0, len(rows), step)]
    even = np.concatenate([_even(_small(data, part)) for part in parts])
    waves = np.concatenate([_waves(data, part) for part in parts])
    return [view(data, rows), even, waves]


def _even(maps: Floats32) -> Floats32:
    """Rows (n, d) with zero mean and unit length; constant ones are zero."""
    maps = maps - maps.mean(axis=1, keepdims=True)
    lengths = np.sqrt((maps * maps).sum(axis=1, keepdims=True))
    return np.asarray(maps / np.maximum(lengths, np.float32(1e-6)), np.float32)


def _waves(data: Dataset, rows: IntArray) -> Floats32:
    """Sizes of the `LOWEST` waves along both sides of pictures, made grey, even and small."""
    grey = grey_pictures(data, rows)
    even = _even(grey.reshape(len(rows), -1)).reshape(grey.shape)
    sizes = np.abs(np.fft.rfft2(even))[:, :, :LOWEST]
    keep = np.abs(np.fft.fftfreq(grey.shape[1], 1 / grey.shape[1])) < LOWEST
    return np.asarray(sizes[:, keep].reshape(len(rows), -1), np.float32)


def grey_pictures(data: Dataset, rows: IntArray) -> Floats32:
    """Pictures (n, h, w) in grey, 0 to 1, with sides of at most `SIDE` pixels."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    raw = torch.from_numpy(np.ascontiguousarray(data.inputs[rows]))
    release(data.inputs)
    height, width = (min(side, SIDE) for side in data.schema.shape[1:])
    small = adaptive_avg_pool2d(raw.float().mean(1, keepdim=True) / 255, (height, width))
    return np.asarray(small[:, 0].numpy(), np.float32)


def shift_distances(queries: Floats32, others: Floats32) -> Floats32:
    """Smallest distances (q, k) of pictures (q, h, w) to others (q, k, h, w), over shifts by up to
    one pixel.

    The inner part of a picture, without its edge of one pixel, is laid on every place of the other
    one. Both are brought to one brightness and contrast there: the distance is √(2 - 2r), with r
    their correlation (0: equal up to brightness; √2: unrelated).
    """
    count, k, height, width = others.shape
    inner = _even(queries[:, 1:-1, 1:-1].reshape(count, -1))
    best = np.full((count, k), -1, np.float32)
    for down in range(3):
        for right in range(3):
            laid = others[:, :, down : down + height - 2, right : right + width - 2]
            flat = _even(laid.reshape(count * k, -1)).reshape(count, k, -1)
            best = np.maximum(best, np.einsum("qd,qkd->qk", inner, flat))
    return np.asarray(np.sqrt(np.maximum(2 - 2 * best, 0)), np.float32)


def _pitches(data: Dataset, rows: IntArray) -> Floats32:
    """Sizes of all waves in clips of equal loudness, mixed at random to (n, 256)."""
    stream = numpy_stream(0, "pitches", data.inputs.shape[1])
    mix = stream.normal(size=(data.inputs.shape[1] // 2 + 1, WIDTH)).astype(np.float32)
    step = max(1, STEP_CELLS // data.inputs.shape[1])
    found = [
        np.abs(np.fft.rfft(_even(data.inputs[rows[i : i + step]].astype(np.float32)))) @ mix
        for i in range(0, len(rows), step)
    ]
    return np.asarray(np.concatenate(found), np.float32)


def _table(inputs: npt.NDArray[Any], schema: TableSchema) -> Floats32:
    """Scaled numbers (smoothly limited), marks of missing values, and words as 0 or 1."""
    words = np.array([bool(f.levels) for f in schema.features])
    made: list[npt.NDArray[Any]] = [_scaled(inputs[:, ~words])] if not words.all() else []
    missing = ~np.isfinite(inputs)
    marked = np.flatnonzero(missing.any(axis=0))
    made.append(2 * missing[:, marked])
    for j in np.flatnonzero(words):
        codes, counts = np.unique(inputs[~missing[:, j], j], return_counts=True)
        frequent = codes[np.argsort(-counts, kind="stable")[:MOST_WORDS]]
        made.append(inputs[:, j][:, None] == frequent)
    found = np.concatenate([m.astype(np.float32) for m in made], axis=1)
    return found if found.shape[1] else np.zeros((len(inputs), 1), np.float32)


def _scaled(numbers: npt.NDArray[Any]) -> Floats32:
    """Columns of numbers (n, D) in quartile ranges from the median, far ones brought near.

    Medians and ranges come from at most `SCALED_ROWS` rows; missing values become 0.
    """
    some = numbers[:: -(-len(numbers) // SCALED_ROWS)].astype(np.float64)
    some[~np.isfinite(some)] = np.nan
    some = some[:, ~np.isnan(some).all(axis=0)]
    known = numbers[:: -(-len(numbers) // SCALED_ROWS)]
    numbers = numbers[:, np.isfinite(known).any(axis=0)]
    has_gaps = bool(np.isnan(some).any())
    quantile = np.nanquantile if has_gaps else np.quantile
    low, middle, high = quantile(some, (0.25, 0.5, 0.75), axis=0)
    spread, tiny = (high - low) / 1.349, 1e-12 * (1 + np.abs(middle))
    flat = spread <= tiny
    middle[flat], spread[flat] = np.nanmean(some[:, flat], 0), np.nanstd(some[:, flat], 0)
    varied = spread > tiny
    z = ((numbers[:, varied] - middle[varied]) / spread[varied]).astype(np.float32)
    z[~np.isfinite(z)] = 0
    return np.asarray(z / np.sqrt(1 + np.square(z / 4)), np.float32)


def _small(data: Dataset, rows: IntArray) -> Floats32:
    """Small pictures or spectrograms of some rows, flattened."""
    import torch
    from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d

    from trainwell.techniques.preprocess import LogMel

    raw = torch.from_numpy(np.ascontiguousarray(data.inputs[rows]))
    release(data.inputs)
    with torch.inference_mode():
        if isinstance(data.schema, AudioSchema):
            clips = raw.float() / 32768
            if data.schema.rate < 400:  # too slow for spectrograms
                made = adaptive_avg_pool1d(clips[:, None], min(WIDTH, clips.shape[1]))
            else:
                made = adaptive_avg_pool1d(LogMel(bands=24).layer(data.schema.rate)(clips), 10)
        else:
            height, width = data.schema.shape[1:]
            most = math.isqrt(WIDTH // data.schema.shape[0])
            # whole blocks of pixels: 28 becomes 14
            height, width = (-(-side // -(-side // most)) for side in (height, width))
            made = adaptive_avg_pool2d(raw.float() / 255, (height, width))
        found: Floats32 = made.flatten(1).numpy()
    return found
