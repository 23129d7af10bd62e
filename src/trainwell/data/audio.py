"""Sound clips in folders: any format, sample rate and length become one int16 array."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainwell.data.clips import Int16Array, stack_clips
from trainwell.data.dataset import AudioSchema, Dataset, NewData, Skipped
from trainwell.data.folders import Example, folder_dataset, nothing_left, scan

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".oga", ".opus", ".au")
MAX_RATE = 16000  # samples per second; speech needs no more, and time grows with it


def read_audio(root: Path, *, pattern: str | None = None, group: str | None = None) -> Dataset:
    """The clips of a folder, labelled by folder or file name (see folders.scan).

    Inputs are int16 (N, T) at the most common rate, at most MAX_RATE; channels are averaged.
    Raises DataError when no clip can be read or no label can be found.
    """
    folder = scan(root, AUDIO_SUFFIXES, pattern=pattern, group=group, who="speaker")
    rates = [rate for rate in map(_rate, (e.path for e in folder.examples)) if rate]
    rate = common_rate(rates)
    clips, kept, bad = _load_all(folder.examples, rate)
    if not clips:
        raise nothing_left(root, bad, "clips")
    inputs, cut = stack_clips(clips, rate)
    notes = [*folder.notes, *cut]
    if any(other != rate for other in rates):
        listed = ", ".join(map(str, sorted(set(rates))))
        notes.append(f"Clips of {listed} samples per second are resampled to {rate}.")
    schema = AudioSchema(rate, inputs.shape[1])
    return folder_dataset(root, schema, inputs, kept, [*folder.skipped, *bad], notes)


def read_audio_like(
    paths: Sequence[Path], names: Sequence[str], schema: AudioSchema, where: str
) -> NewData:
    """Clips to predict, at the rate and length of the training data (labels left out).

    Raises DataError when none can be read.
    """
    examples = [Example(p, n, "") for p, n in zip(paths, names, strict=True)]
    clips, kept, bad = _load_all(examples, schema.rate)
    if not clips:
        raise nothing_left(Path(where), bad, "clips")
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


def _rate(path: Path) -> int:
    """Samples per second as the file's header says, 0 where it cannot be read."""
    import soundfile

    try:
        return int(soundfile.info(str(path)).samplerate)
    except (RuntimeError, OSError):
        return 0


def _load_all(
    examples: Sequence[Example], rate: int
) -> tuple[list[Int16Array], list[Example], list[Skipped]]:
    """The clips that can be read, their examples, and the others with the reason."""
    clips, kept, bad = [], [], []
    for example in examples:
        try:
            clips.append(load_clip(example.path, rate))
            kept.append(example)
        except (RuntimeError, OSError, ValueError) as error:
            bad.append(Skipped(example.name, str(error)))
    return clips, kept, bad


def load_clip(path: Path, rate: int) -> Int16Array:
    """One clip as int16 (T,) at `rate`; ValueError says in words why it cannot be used."""
    import soundfile

    if not path.stat().st_size:
        raise ValueError("the file is empty")
    try:
        wave, own_rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except RuntimeError as error:
        reason = str(error).replace(str(path), path.name)
        raise ValueError(f"it cannot be read as a sound clip ({reason})") from error
    if not wave.size:
        raise ValueError("it holds no sound (length 0)")
    if not np.isfinite(wave).all():
        raise ValueError("it holds samples that are not finite numbers")
    mono = wave.mean(axis=1) if wave.shape[1] > 1 else wave[:, 0]
    if own_rate != rate:
        from scipy.signal import resample_poly

        common = math.gcd(own_rate, rate)
        mono = resample_poly(mono, rate // common, own_rate // common)
    # libsndfile divides 16-bit samples by 32768, so this gives them back exactly.
    clip: Int16Array = np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)
    return clip
