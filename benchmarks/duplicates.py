"""Copies planted across parts: how many the doctor finds, and how many of its finds are copies.

    python -m benchmarks.duplicates >benchmarks/results/duplicates.md

Of every data set 200 training rows are copied, changed, into the held-out part, beside 1000 (or
fewer) held-out rows that are no copies. Recall: share of the copies that are found, with the right
original. Precision: share of what is found that is a copy. Real twins that a data set holds from
the beginning count against precision. Every kind of change is looked at alone.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.read import read
from trainwell.data.samples import is_present
from trainwell.doctor.duplicates import twins_of
from trainwell.stats import wilson

Array = npt.NDArray[Any]
Change = Callable[[Array, np.random.Generator], Array]
COPIES, OTHERS, BASE = 200, 1000, 8000


def as_bytes(values: Array) -> Array:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def noise(pictures: Array, rng: np.random.Generator) -> Array:
    """Noise of 2 % of the range."""
    return as_bytes(pictures + rng.normal(0, 5, pictures.shape))


def shifted(pictures: Array, rng: np.random.Generator) -> Array:
    """Moved by one pixel to a side, the edge repeated."""
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = pictures.shape[2:]
    out = np.empty_like(pictures)
    places = ((0, 1), (2, 1), (1, 0), (1, 2))
    for row, picture, side in zip(out, padded, rng.integers(0, 4, len(pictures)), strict=True):
        down, right = places[side]
        row[:] = picture[:, down : down + height, right : right + width]
    return out


def brighter(pictures: Array, rng: np.random.Generator) -> Array:
    """Brightness by a factor from 0.8 to 1.2."""
    return as_bytes(pictures * rng.uniform(0.8, 1.2, (len(pictures), 1, 1, 1)))


def jpeg(pictures: Array, rng: np.random.Generator) -> Array:
    """Written as JPEG of quality 75 and read again."""
    from PIL import Image

    out = np.empty_like(pictures)
    for row, picture in zip(out, pictures, strict=True):
        file = io.BytesIO()
        Image.fromarray(picture[0]).save(file, "JPEG", quality=75)
        row[0] = np.asarray(Image.open(file))
    return out


def jittered(rows: Array, rng: np.random.Generator) -> Array:
    """Noise of 2 % of each column's deviation."""
    return rows + rng.normal(0, 0.02, rows.shape) * np.nanstd(rows, axis=0)


def rounded(rows: Array, rng: np.random.Generator) -> Array:
    """Written with three digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (2 - np.floor(np.log10(np.abs(rows))))
        return np.where(rows == 0, 0, np.round(rows * scale) / scale)


def hiss(clips: Array, rng: np.random.Generator) -> Array:
    """Noise 30 dB below the clip."""
    loud = np.sqrt((clips.astype(float) ** 2).mean(axis=1, keepdims=True))
    return np.round(clips + rng.normal(0, 1, clips.shape) * loud * 10**-1.5).astype(np.int16)


def quieter(clips: Array, rng: np.random.Generator) -> Array:
    """Half as loud."""
    return (clips // 2).astype(np.int16)


def vorbis(clips: Array, rng: np.random.Generator) -> Array:
    """Written as Ogg Vorbis and read again."""
    import soundfile

    out = np.zeros_like(clips)
    for row, clip in zip(out, clips, strict=True):
        file = io.BytesIO()
        soundfile.write(file, clip, 8000, format="OGG")
        file.seek(0)
        found = soundfile.read(file, dtype="int16")[0][: len(row)]
        row[: len(found)] = found
    return out


def later(clips: Array, rng: np.random.Generator) -> Array:
    """Begun 5 ms later."""
    return np.pad(clips, ((0, 0), (40, 0)))[:, : clips.shape[1]]


def exact(rows: Array, rng: np.random.Generator) -> Array:
    """The very same numbers."""
    return rows


PICTURES: tuple[Change, ...] = (exact, noise, shifted, brighter, jpeg)
TABLES: tuple[Change, ...] = (exact, jittered, rounded)
CLIPS: tuple[Change, ...] = (exact, hiss, quieter, vorbis, later)
SETS = {
    "digits": PICTURES,
    "mnist": PICTURES,
    "fashion_mnist": PICTURES,
    "breast_cancer": TABLES,
    "satellite": TABLES,
    "fsdd": CLIPS,
}


def planted(name: str, change: Change, seed: int = 0) -> tuple[int, int, int]:
    """Copies, copies found with their original, and rows found."""
    data, rng = read(name), np.random.default_rng(seed)
    _, first = np.unique(data.keys, return_index=True)  # of rows that repeat, one
    rows = rng.permutation(first)
    count = min(COPIES, len(rows) // 10)
    others = rows[: min(OTHERS, len(rows) // 4)]
    base = rows[len(others) : len(others) + BASE]
    copied = base[:count]
    inputs = np.concatenate(
        [data.inputs, change(data.inputs[copied], rng).astype(data.inputs.dtype)]
    )
    whole = dataclasses.replace(
        data,
        inputs=inputs,
        labels=np.concatenate([data.labels, data.labels[copied]]),
        names=(*data.names, *("copy",) * count),
        groups=None,
        group_names=(),
        official_test=None,
    )
    queries = np.concatenate([np.arange(len(data), len(whole)), others])
    if change is exact:
        found = np.isin(whole.keys[queries], whole.keys[base])
        return count, int(found[:count].sum()), int(found.sum())
    near, _, twin, _, _ = twins_of(whole, queries, base)
    right = near[:count] & (twin[:count] == copied)
    return count, int(right.sum()), int(near.sum())


def table() -> Iterator[str]:
    """The lines of the results."""
    yield "| data | change | copies | recall | precision |"
    yield "|---|---|---|---|---|"
    for name, changes in SETS.items():
        if not is_present(name):
            continue
        for change in changes:
            count, right, found = planted(name, change)
            recall, precision = wilson(right, count), wilson(right, max(1, found))
            cells = (
                f"{s.value:.3f} ({s.low:.3f}–{s.high:.3f})" if found else "–"
                for s in (recall, precision)
            )
            words = (change.__doc__ or "").strip().rstrip(".")
            yield f"| {name} | {words[:1].lower()}{words[1:]} | {count} | {' | '.join(cells)} |"


def main() -> None:
    print("# Copies across parts\n")
    print((__doc__ or "").split("\n\n")[2].replace("\n", " ") + "\n")
    for line in table():
        print(line, flush=True)


if __name__ == "__main__":
    main()
