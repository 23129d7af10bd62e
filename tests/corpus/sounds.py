"""Sound: headers that lie, odd rates and depths, silence, numbers that are none."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from corpus.case import Case, Ended, fit
from trainwell.data.audio import read_audio

RATE = 8000
Samples = np.ndarray[Any, Any]


def tone(seed: int, rate: int = RATE, seconds: float = 0.1) -> Samples:
    """A high or a low tone in noise."""
    time = np.arange(int(rate * seconds)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.02, len(time))
    return 0.4 * np.sin(2 * np.pi * (1500 if seed % 2 else 300) * time) + noise


def folder(place: Path) -> Path:
    """Ten clips in each of two classes."""
    for seed in range(20):
        path = place / "s" / ("high" if seed % 2 else "low") / f"{seed:02}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(seed), RATE)
    return place / "s"


def encoded(
    wave: Samples, rate: int = RATE, form: str = "WAV", subtype: str | None = None
) -> bytes:
    """The bytes of a sound file."""
    out = io.BytesIO()
    soundfile.write(out, wave, rate, format=form, subtype=subtype)
    return out.getvalue()


def patched(content: bytes, at: int, value: int, size: str = "<I") -> bytes:
    """The file with a number of its header changed."""
    out = bytearray(content)
    struct.pack_into(size, out, at, value)
    return bytes(out)


def with_one(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda place: (folder(place) / "high" / name).write_bytes(content)


def skips(name: str, content: bytes, file: str, *why: str) -> Case:
    """The file is listed with the reason; the twenty others are read."""

    def seen(ended: Ended) -> None:
        data = read_audio(ended.folder / "s")
        assert len(data) == 20 and [s.where for s in data.skipped] == [f"high/{file}"]
        assert data.schema.rate == RATE

    return Case(name, with_one(file, content), FIT, "skip", (f"skipped high/{file}", *why), seen)


def plays(name: str, content: bytes, file: str, wanted: Samples, *says: str) -> Case:
    """The file is read; its beginning is `wanted`, up to 2 % of full scale."""

    def seen(ended: Ended) -> None:
        data = read_audio(ended.folder / "s")
        assert len(data) == 21 and not data.skipped
        got = data.inputs[data.names.index(f"high/{file}")][: len(wanted)] / 32768
        inner = slice(20, len(wanted) - 20)  # resampling has edges
        assert np.abs(got[inner] - wanted[inner]).mean() < 0.02

    return Case(name, with_one(file, content), FIT, "fine", says, seen)


def folder_of(content: bytes, ending: str = "wav") -> Callable[[Path], object]:
    def write(place: Path) -> None:
        for i in range(4):
            path = place / "s" / "ab"[i % 2] / f"{i}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return write


def all_silent(place: Path) -> None:
    for path in folder(place).rglob("*.wav"):
        soundfile.write(path, np.zeros(800 + len(path.name)), RATE)


def at_rate(rate: int) -> Callable[[Path], object]:
    """The good folder with all clips at another rate."""

    def write(place: Path) -> None:
        for path in folder(place).rglob("*.wav"):
            soundfile.write(path, tone(int(path.stem), rate), rate)

    return write


FIT = fit("s", "--set", "model=Linear()")
GOOD = tone(1)
WAV = encoded(GOOD)
FLAC = encoded(GOOD, form="FLAC")
FLOAT = encoded(GOOD, subtype="FLOAT")
NAN = encoded(np.where(np.arange(len(GOOD)) == 7, np.nan, GOOD), subtype="FLOAT")
INF = encoded(np.where(np.arange(len(GOOD)) == 7, np.inf, GOOD), subtype="FLOAT")
LOUD = encoded(GOOD * 32768, subtype="FLOAT")
EIGHT = np.repeat(GOOD[:, None], 8, axis=1)
# STREAMINFO of FLAC: the number of samples is the last 36 bits of the 8 bytes from 18 on.
LYING = patched(FLAC, 22, 2**32 - 1, ">I")
LONG = encoded(np.zeros(RATE * 3700), form="FLAC")
CASES = [
    skips("half of a flac", FLAC[: len(FLAC) // 2], "x.flac"),
    skips("half of an ogg", encoded(GOOD, form="OGG")[:100], "x.ogg", "cannot be read"),
    skips("a wav header cut off", WAV[:30], "x.wav", "cannot be read"),
    skips("a wav header and no sound", WAV[:44], "x.wav", "length 0"),
    skips("no byte", b"", "x.wav", "empty"),
    skips("text called wav", b"no sound", "x.wav", "cannot be read"),
    skips("a picture called wav", b"\x89PNG\r\n\x1a\n" + bytes(99), "x.wav", "cannot be read"),
    skips("zero samples", encoded(np.zeros(0)), "x.wav", "length 0"),
    skips("an unknown coding", patched(WAV, 20, 999, "<H"), "x.wav", "cannot be read"),
    skips("no channels", patched(WAV, 22, 0, "<H"), "x.wav", "cannot be read"),
    skips("65535 channels", patched(WAV, 22, 65535, "<H"), "x.wav", "cannot be read"),
    skips("a rate of 0", patched(WAV, 24, 0), "x.wav", "0"),
    skips("a rate of 1", encoded(GOOD, 1), "x.wav", "1 sample"),
    skips("a rate of 2^31", patched(WAV, 24, 2**31 - 1), "x.wav", "2147483647"),
    skips("a rate of 2^32", patched(WAV, 24, 2**32 - 1), "x.wav"),
    skips("a flac that promises 2^36 samples", LYING, "x.flac"),
    skips("an hour of silence in a few bytes", LONG, "x.flac", "longer than"),
    skips("samples that are no numbers", NAN, "x.wav", "not finite"),
    skips("infinite samples", INF, "x.wav", "not finite"),
    skips("whole numbers written as fractions", LOUD, "x.wav", "louder"),
    skips("raw samples", GOOD.astype(np.float32).tobytes(), "x.raw", "does not end in"),
    plays("a length that promises more", patched(WAV, 40, 2**31 - 1), "x.wav", GOOD),
    plays("a length of 2^32", patched(WAV, 40, 2**32 - 1), "x.wav", GOOD),
    plays("a length that promises less", patched(WAV, 40, 800), "x.wav", GOOD[:400]),
    plays("half of a wav", WAV[: len(WAV) // 2], "x.wav", GOOD[:350]),
    plays("24 bits", encoded(GOOD, subtype="PCM_24"), "x.wav", GOOD),
    plays("8 bits", encoded(GOOD, subtype="PCM_U8"), "x.wav", GOOD),
    plays("32 bits", encoded(GOOD, subtype="PCM_32"), "x.wav", GOOD),
    plays("doubles", encoded(GOOD, subtype="DOUBLE"), "x.wav", GOOD),
    plays("eight channels", encoded(EIGHT), "x.wav", GOOD, "averaged"),
    plays("384 kHz", encoded(tone(1, 384_000), 384_000), "x.wav", GOOD,
          "resampled"),
    plays("silence", encoded(np.zeros(800)), "x.wav", np.zeros(800)),
    plays("flac called wav", FLAC, "x.wav", GOOD),
    plays("aiff", encoded(GOOD, form="AIFF"), "x.aiff", GOOD),
    Case("nothing but damage", folder_of(b"no sound"), FIT, "error", ("s", "none of the 4")),
    Case("nothing but zero samples", folder_of(WAV[:44]), FIT, "error", ("s", "length 0")),
    Case("nothing but clips of 1 Hz", at_rate(1), FIT, "error", ("s", "1 sample")),
    Case("nothing but silence", all_silent, FIT, "error", ("s", "rows are equal")),
    Case("all clips at 384 kHz", at_rate(384_000), FIT, "fine", ("resampled to 16000",)),
    Case("one clip alone", lambda place: soundfile.write(place / "s.wav", GOOD, RATE),
         fit("s.wav"), "error", ("s.wav", "folder")),
]  # fmt: skip
