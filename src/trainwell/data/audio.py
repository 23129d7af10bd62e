"""Sound clips in folders: any format, sample rate and length become one int16 array."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from trainwell.data.bulk import Store, keep_limit
from trainwell.data.clips import MOST_RATE, Int16Array, stack_clips
from trainwell.data.dataset import AudioSchema, Dataset, NewData, Skipped
from trainwell.data.folders import Example, folder_dataset, nothing_left, scan

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".oga", ".opus", ".au")
MAX_RATE = 16000  # samples per second; speech needs no more, and time grows with it
LEAST_RATE = 1000  # samples per second; below, there is no sound to speak of
MOST_SECONDS = 3600  # of one clip, as its header tells them
MOST_BYTES = 1 << 30  # of one clip, unpacked
LOUDEST = 8.0  # of full scale; decoders overshoot a little, but whole numbers go up to 32768


def read_audio(
    root: Path,
    *,
    pattern: str | None = None,
    group: str | None = None,
    limit: int | None = None,
) -> Dataset:
    """The clips of a folder, labelled by folder or file name (see folders.scan).

    Inputs are int16 (N, T) at the most common rate, at most MAX_RATE; channels are averaged.
    limit: bytes up to which they are held in memory, else in a mapped file (None: chosen).
    Raises DataError when no clip can be read or no label can be found.
    """
    folder = scan(root, AUDIO_SUFFIXES, pattern=pattern, group=group, who="speaker")
    limit = keep_limit() if limit is None else limit
    headers = [_header(example.path) for example in folder.examples]
    rates = [own for own, *_ in headers if own]
    rate = common_rate(rates)
    clips, kept, bad = _load_all(folder.examples, rate, _bytes(headers, rate) > limit)
    if not clips:
        raise nothing_left(root, bad, "clips")
    inputs, cut = stack_clips(clips, rate, limit=limit)
    notes = [*folder.notes, *cut]
    if any(other != rate for other in rates):
        listed = ", ".join(map(str, sorted(set(rates))))
        notes.append(f"Clips of {listed} samples per second are resampled to {rate}.")
    several = sum(channels > 1 for *_, channels in headers)
    if several:
        notes.append(f"Of clips with several channels ({several}) the channels are averaged.")
    schema = AudioSchema(rate, inputs.shape[1])
    return folder_dataset(root, schema, inputs, kept, [*folder.skipped, *bad], notes)


def read_audio_like(
    paths: Sequence[Path],
    names: Sequence[str],
    schema: AudioSchema,
    where: str,
    some: bool = True,
) -> NewData:
    """Clips to predict, at the rate and length of the training data (labels left out).

    some: whether DataError is raised when none can be read.
    """
    examples = [Example(p, n, "") for p, n in zip(paths, names, strict=True)]
    size = _bytes([_header(path) for path in paths], schema.rate)
    clips, kept, bad = _load_all(examples, schema.rate, size > keep_limit())
    if not clips:
        if some:
            raise nothing_left(Path(where), bad, "clips")
        return NewData(np.empty((0, schema.samples), np.int16), (), skipped=tuple(bad))
    inputs, notes = stack_clips(clips, schema.rate, schema.samples)
    return NewData(inputs, tuple(e.name for e in kept), skipped=tuple(bad), notes=notes)


def common_rate(rates: Sequence[int]) -> int:
    """The most common rate, the higher one on a tie, and never above MAX_RATE.

    >>> common_rate([8000, 8000, 44100]), common_rate([44100])
    (8000, 16000)
    """
    if not rates:
        return MAX_RATE
    counts = Counter(rates)
    return min(MAX_RATE, max(counts, key=lambda rate: (counts[rate], rate)))


def _header(path: Path) -> tuple[int, float, int]:
    """Samples per second, length in seconds and channels as a file says; zeros where it cannot be
    read or is not to be believed."""
    import soundfile

    try:
        found = soundfile.info(str(path))
    except (RuntimeError, OSError):
        return 0, 0.0, 0
    if _implausible(found.samplerate, found.frames, found.channels):
        return 0, 0.0, 0
    return int(found.samplerate), float(found.duration), int(found.channels)


def _implausible(rate: int, frames: int, channels: int) -> str:
    """Why a clip with such a header is not read, or "". A file of a few bytes may promise hours."""
    if not LEAST_RATE <= rate <= MOST_RATE:
        count = f"{rate} sample{'s' * (rate != 1)} per second"
        return f"its header says {count}, expected {LEAST_RATE} to {MOST_RATE}"
    if frames > MOST_SECONDS * rate:
        return f"it is longer than {MOST_SECONDS // 60} minutes; cut it into clips"
    if frames * channels * 4 > MOST_BYTES:
        return f"it unpacks to more than {MOST_BYTES >> 20} MB; cut it into clips"
    return ""


def _bytes(headers: Sequence[tuple[int, float, int]], rate: int) -> int:
    """What clips with these headers take in int16 at `rate`."""
    return int(sum(seconds for _, seconds, _ in headers) * rate) * 2


def _load_all(
    examples: Sequence[Example], rate: int, large: bool
) -> tuple[list[Int16Array], list[Example], list[Skipped]]:
    """The clips that can be read, their examples, and the others with the reason.

    large: they do not fit into memory; then they are views of one mapped file.
    """
    clips: list[Int16Array] = []
    kept, bad, ends = [], [], [0]
    store = Store((), np.int16, 0, limit=-1) if large else None
    for example in examples:
        try:
            clip = load_clip(example.path, rate)
        except (RuntimeError, OSError, ValueError) as error:
            bad.append(Skipped(example.name, str(error)))
            continue
        kept.append(example)
        ends.append(ends[-1] + len(clip))
        if store is None:
            clips.append(clip)
        else:
            store.append(clip)
    if store is not None:
        samples = store.array()
        clips = [samples[start:stop] for start, stop in pairwise(ends)]
    return clips, kept, bad


def load_clip(path: Path, rate: int) -> Int16Array:
    """One clip as int16 (T,) at `rate`; ValueError says in words why it cannot be used."""
    import soundfile

    if not path.stat().st_size:
        raise ValueError("the file is empty")
    try:
        with soundfile.SoundFile(str(path)) as file:
            own_rate = int(file.samplerate)
            why = _implausible(own_rate, file.frames, file.channels)
            if why:
                raise ValueError(why)
            wave = file.read(dtype="float32", always_2d=True)
    except RuntimeError as error:
        reason = str(error).replace(str(path), path.name)
        raise ValueError(f"it cannot be read as a sound clip ({reason})") from error
    if not wave.size:
        raise ValueError("it holds no sound (length 0)")
    if not np.isfinite(wave).all():
        raise ValueError("it holds samples that are not finite numbers")
    peak = float(np.abs(wave).max())
    if peak > LOUDEST:
        raise ValueError(f"it is louder than full scale, 1: its samples go up to {peak:g}")
    mono = wave.mean(axis=1) if wave.shape[1] > 1 else wave[:, 0]
    if own_rate != rate:
        from scipy.signal import resample_poly

        common = math.gcd(own_rate, rate)
        mono = resample_poly(mono, rate // common, own_rate // common)
    # libsndfile divides 16-bit samples by 32768, so this gives them back exactly.
    clip: Int16Array = np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)
    return clip
