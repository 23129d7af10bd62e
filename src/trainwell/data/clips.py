"""Clips of many lengths become one int16 array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import CHUNK_BYTES, Store, release

Int16Array = npt.NDArray[np.int16]
MAX_SECONDS = 10
MOST_RATE = 1_000_000  # samples per second; recorders go up to 768 000


def common_length(lengths: Sequence[int], rate: int) -> int:
    """Samples T that every clip is padded or cut to.

    The longest clip decides, unless it is more than twice the 95th percentile: a few very long
    clips shall not make every other one mostly silence. Never more than MAX_SECONDS.
    """
    longest, usual = max(lengths), int(np.ceil(np.percentile(lengths, 95)))
    return max(1, min(longest if longest <= 2 * usual else usual, MAX_SECONDS * rate))


def loudest_start(clip: Int16Array, samples: int) -> int:
    """Where the stretch of `samples` samples with the most energy begins; ties: most central."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64))])
    stretch = energy[samples:] - energy[:-samples]
    best = np.flatnonzero(stretch >= stretch.max() * (1 - 1e-12))
    middle = (len(clip) - samples) / 2
    return int(best[np.argmin(np.abs(best - middle))])


def fit_clip(clip: Int16Array, samples: int) -> Int16Array:
    """One clip (any length) as (samples,): zeros at the end, or cut at its loudest stretch."""
    if len(clip) > samples:
        start = loudest_start(clip, samples)
        return clip[start : start + samples]
    return np.pad(clip, (0, samples - len(clip)))


def stack_clips(
    clips: Sequence[Int16Array],
    rate: int,
    samples: int | None = None,
    limit: int | None = None,
) -> tuple[Int16Array, tuple[str, ...]]:
    """Clips (T_i,) as (N, T), and notes on what was padded or cut.

    limit: bytes up to which the result is held in memory (None: chosen).

    >>> stack_clips([np.ones(3, np.int16), np.ones(4, np.int16)], 8000)[0].tolist()
    [[1, 1, 1, 0], [1, 1, 1, 1]]
    """
    lengths = [len(clip) for clip in clips]
    length = samples if samples is not None else common_length(lengths, rate)
    stacked = Store((length,), np.int16, len(clips), limit)
    read = 0  # bytes, perhaps of a mapped file
    for clip in clips:
        stacked.append(fit_clip(clip, length)[None])
        read += clip.nbytes
        if read > CHUNK_BYTES:
            release(clip)
            read = 0
    cut, padded = (sum(n > length for n in lengths), sum(n < length for n in lengths))
    notes = []
    if cut:
        notes.append(
            f"{cut} of {len(clips)} clips are longer than {length / rate:.2f} s and were cut to "
            f"their loudest stretch of that length (the longest has {max(lengths) / rate:.2f} s)."
        )
    if padded:
        notes.append(
            f"{padded} of {len(clips)} clips are shorter than {length / rate:.2f} s and end in "
            "added silence."
        )
    return stacked.array(), tuple(notes)
