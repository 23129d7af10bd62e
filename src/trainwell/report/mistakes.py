"""The surest mistakes as the network sees them: pictures, playable spectrograms, odd values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.report.media import SECONDS, playable, png_uri

Json = Mapping[str, Any]
SIDE = 96  # pixels of the longer side of a picture
HEIGHT = 64  # rows of a spectrogram


def read_mistakes(run: Path) -> Any:
    """Inputs (n, ...) of mistakes.npz, or None."""
    path = run / "mistakes.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return stored["inputs"] if "inputs" in stored.files else None


def cards(facts: Json, inputs: Any) -> list[dict[str, Any]]:
    """One entry per mistake: words, and a picture or a sound where there is one.

    facts: run.json; inputs (n, C, H, W) uint8 or (n, T) int16 in the order of its `mistakes`.
    """
    found: list[dict[str, Any]] = []
    mistakes: Sequence[Json] = facts.get("mistakes") or []
    table = facts.get("kind") == "table"
    shown = np.asarray(inputs) if inputs is not None and len(inputs) == len(mistakes) else None
    rate = int(((facts.get("data") or {}).get("clips") or {}).get("rate") or 0)
    for place, mistake in enumerate(mistakes):
        card = dict(mistake)
        card["ordinary"] = table and not mistake.get("unusual")
        if shown is not None and shown.ndim == 4:
            card["picture"] = picture_uri(shown[place])
            card["pixelated"] = max(shown.shape[2:]) < 48
        elif shown is not None and shown.ndim == 2 and rate:
            card["picture"] = spectrogram_uri(shown[place], rate)
            card["sound"] = playable(shown[place], rate, len(shown))
        found.append(card)
    return found


def picture_uri(pixels: npt.NDArray[np.uint8], side: int = SIDE) -> str:
    """One picture (C, H, W) as the data URI of a PNG; a larger one is reduced to `side`."""
    from PIL import Image

    shown = pixels[0] if len(pixels) < 3 else pixels[:3].transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(shown, dtype=np.uint8))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return png_uri(image)


def spectrogram_uri(clip: npt.NDArray[np.int16], rate: int) -> str:
    """Loudness by time and pitch: (T,) samples as the data URI of a PNG, low tones at the bottom.

    Of the first SECONDS: frames of 25 ms every 10 ms with a Hann window; 60 dB below the loudest
    is white.
    """
    from PIL import Image

    size = max(16, int(0.025 * rate))
    hop = max(4, int(0.010 * rate))
    clip = clip[: int(SECONDS * rate)]
    sound = np.pad(clip.astype(np.float64), (0, max(0, size - len(clip))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2
    decibels = 10 * np.log10(power + 1e-9)
    level = np.clip((decibels - decibels.max() + 60) / 60, 0, 1)
    grey = (255 * (1 - level)).astype(np.uint8).T[::-1]
    image = Image.fromarray(np.ascontiguousarray(grey))
    return png_uri(image.resize((min(240, grey.shape[1]), HEIGHT), Image.Resampling.BILINEAR))
