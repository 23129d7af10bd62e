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
TABLE_CELLS = 10_000_000  # and for tables, whose columns are put in order
STEP = 2048
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
        found = _table(data.inputs[rows], data.schema)
        release(data.inputs)
        if found.shape[1] > WIDTH:
            stream = numpy_stream(0, "view", found.shape[1])
            mix = stream.normal(size=(found.shape[1], WIDTH)).astype(np.float32)
            found = (found @ mix / math.sqrt(WIDTH)).astype(np.float32)
        centred: Floats32 = found - found.mean(axis=0, keepdims=True)
        return centred
    maps = np.concatenate([_small(data, rows[i : i + STEP]) for i in range(0, len(rows), STEP)])
    maps -= maps.mean(axis=0, keepdims=True)
    scaled: Floats32 = maps / np.float32(maps.std() or 1.0)
    return scaled


def wave_view(data: Dataset, rows: IntArray) -> Floats32:
    """Clips (n, T) of equal loudness, mixed at random to (n, 256): equal waves stay near."""
    clips = data.inputs[rows].astype(np.float32)
    clips -= clips.mean(axis=1, keepdims=True)
    clips /= np.maximum(np.sqrt((clips * clips).sum(axis=1, keepdims=True)), 1e-6)
    stream = numpy_stream(0, "view", clips.shape[1])
    mixed: Floats32 = clips @ stream.normal(size=(clips.shape[1], WIDTH)).astype(np.float32)
    return mixed / np.float32(math.sqrt(WIDTH))


def _table(inputs: npt.NDArray[Any], schema: TableSchema) -> Floats32:
    """Scaled numbers (smoothly limited), marks of missing values, and words as 0 or 1."""
    made: list[npt.NDArray[Any]] = []
    for j, feature in enumerate(schema.features):
        column = inputs[:, j].astype(np.float64)
        missing = ~np.isfinite(column)
        if missing.any():
            made.append(missing.astype(np.float32) * 2)
        known = column[~missing]
        if not len(known):
            continue
        if feature.levels:
            codes, counts = np.unique(known, return_counts=True)
            frequent = codes[np.argsort(-counts, kind="stable")[:MOST_WORDS]]
            made += [(column == code).astype(np.float32) for code in frequent]
            continue
        low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
        spread = (high - low) / 1.349
        if spread <= 1e-12 * (1 + abs(middle)):
            middle, spread = known.mean(), known.std()
        if spread <= 1e-12 * (1 + abs(middle)):
            continue
        z = np.where(missing, 0.0, (column - middle) / spread)
        made.append((z / np.sqrt(1 + (z / 4) ** 2)).astype(np.float32))
    if not made:
        return np.zeros((len(inputs), 1), np.float32)
    return np.stack(made, axis=1).astype(np.float32)


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
