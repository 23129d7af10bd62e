"""Augmentation of sound beside audiomentations; prints a table.

    OMP_NUM_THREADS=1 python -m benchmarks.augmentation_audio

Clips per second on one thread, for 64 clips of one second, at 8 and 16 kHz. trainwell changes the
batch at once, audiomentations each clip in turn, as it is made to. Contenders take turns within a
repeat, and ratios are taken there. Both draw new random numbers for every clip, in the same
ranges. audiomentations stretches with signalsmith (C++, its default) or librosa (phase vocoder).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.run import machine
from benchmarks.summary import OURS, paired_ratio
from trainwell.memory import keep_freed_memory
from trainwell.techniques.augment import audio
from trainwell.techniques.augment.base import Augmentation

CLIPS = 64
RATES = (8000, 16000)
PEERS = ("audiomentations", "torch_audiomentations")
SHOWN = ("torch", "numpy", "audiomentations", "python-stretch", "librosa")
Floats = npt.NDArray[np.float32]
Work = Callable[[int], object]  # one pass over all clips; the argument is the repeat


def clips(rate: int) -> Floats:
    """One-second clips between speech and hiss: pulses of many pitches, and noise; (CLIPS, T)."""
    random = np.random.default_rng(0)
    time_ = np.arange(rate) / rate
    pitch = np.linspace(80, 300, CLIPS)[:, None] * (1 + 0.1 * np.sin(2 * np.pi * time_))
    phase = np.cumsum(pitch, axis=1) / rate
    pulses = np.exp(-20 * (phase % 1))
    noise = 0.02 * random.standard_normal((CLIPS, rate))
    made: Floats = (0.3 * (pulses - pulses.mean()) + noise).astype(np.float32)
    return made


def ours(kind: Augmentation, x: Floats, rate: int) -> Work:
    """A pass of trainwell."""
    batch = torch.from_numpy(x)
    return lambda repeat: kind(batch, seed=repeat, rate=rate)


def theirs(kind: Any, x: Floats, rate: int) -> Work:
    """A pass of audiomentations."""
    return lambda repeat: [kind(clip, sample_rate=rate) for clip in x]


def contenders(x: Floats, rate: int) -> dict[str, dict[str, Work]]:
    """For each transform, the passes by contender; peers where they can be imported."""
    found: dict[str, dict[str, Work]] = {
        name: {OURS: ours(kind, x, rate)}
        for name, kind in {
            "pitch ±2 semitones": audio.PitchShift(2),
            "tempo 0.8 to 1.25": audio.Tempo(1.25),
            "noise at 10 to 30 dB": audio.AddNoise(20, 10),
            "gain ±6 dB": audio.Gain(6),
            "shift ±0.1 s": audio.TimeShift(0.1),
        }.items()
    }
    try:
        import audiomentations as peer
    except Exception:  # broken installations raise anything
        return found
    for words, method in (
        ("signalsmith", "signalsmith_stretch"),
        ("librosa", "librosa_phase_vocoder"),
    ):
        name = f"audiomentations, {words}"
        pitch = peer.PitchShift(-2, 2, method=method, p=1)
        tempo = peer.TimeStretch(0.8, 1.25, method=method, p=1)
        found["pitch ±2 semitones"][name] = theirs(pitch, x, rate)
        found["tempo 0.8 to 1.25"][name] = theirs(tempo, x, rate)
    simple = {
        "noise at 10 to 30 dB": peer.AddGaussianSNR(10, 30, p=1),
        "gain ±6 dB": peer.Gain(-6, 6, p=1),
        "shift ±0.1 s": peer.Shift(-0.1, 0.1, "seconds", rollover=False, fade_duration=0, p=1),
    }
    for transform, kind in simple.items():
        found[transform]["audiomentations"] = theirs(kind, x, rate)
    return found


def measure(works: dict[str, Work], repeats: int) -> dict[str, list[float]]:
    """Seconds of each contender in each repeat; the first pass warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work(repeat)
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def table(repeats: int) -> list[str]:
    """The lines of a markdown table."""
    lines = ["| transform | rate | contender | clips/s | ms per clip | their time / ours |"]
    lines.append("|---|---|---|---|---|---|")
    for rate in RATES:
        for transform, works in contenders(clips(rate), rate).items():
            seconds = measure(works, repeats)
            for name, mine in seconds.items():
                each = statistics.median(mine) / CLIPS
                middle, low, high = paired_ratio(mine, seconds[OURS])
                ratio = "1" if name == OURS else f"**{middle:.1f}** [{low:.1f}, {high:.1f}]"
                cells = (transform, f"{rate // 1000} kHz", name, f"{1 / each:.0f}")
                lines.append(f"| {' | '.join(cells)} | {1000 * each:.3f} | {ratio} |")
    return lines


def missing() -> list[str]:
    """Which peers cannot be imported, and why."""
    words = []
    for name in PEERS:
        try:
            __import__(name)
        except Exception as error:  # an OSError, where torchaudio lacks its CUDA libraries
            first = str(error).splitlines()[0].split("/")[0]
            words.append(f"Did not run: {name} ({type(error).__name__}: {first.strip()}).")
    return words


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does; the peers gain from it as well
    warnings.simplefilter("ignore")  # the peers' deprecations
    where = machine()
    print(f"{where['processor']}, {where['system']}; one thread; median of {repeats} repeats.\n")
    print("\n".join(table(repeats)))
    known = {d.metadata["Name"] for d in importlib.metadata.distributions()}
    versions = [f"{n} {importlib.metadata.version(n)}" for n in SHOWN if n in known]
    print("\n" + " ".join([*missing(), "Versions: " + ", ".join(versions) + "."]))


if __name__ == "__main__":
    main()
