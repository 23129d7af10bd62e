"""Pictures and sounds as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
import wave
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

SECONDS = 3.0  # of each clip that are kept in a page, at most
PLAYED_RATE = 11_025  # samples per second above which a page keeps fewer of them
SOUND_BYTES = 700_000  # of the samples of all clips of one section together


def png_uri(image: Image) -> str:
    """A picture as the data URI of a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def wav_uri(clip: npt.NDArray[np.int16], rate: int) -> str:
    """Samples (T,) at `rate` per second as the data URI of a wave file of 16 bits.

    >>> wav_uri(np.zeros(8, np.int16), 8000)[:22]
    'data:audio/wav;base64,'
    """
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(clip, dtype="<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def playable(clip: npt.NDArray[np.int16], rate: int, clips: int) -> str:
    """A clip (T,) as `wav_uri`, one of so many of a section that must stay small.

    Above PLAYED_RATE neighbouring samples are averaged; what is too long is cut.
    """
    fold = -(-rate // PLAYED_RATE)
    kept = rate // fold
    most = int(min(SECONDS * kept, SOUND_BYTES / (2 * max(clips, 1))))
    some = np.asarray(clip[: most * fold], np.float64)
    some = some[: len(some) // fold * fold].reshape(-1, fold).mean(axis=1)
    return wav_uri(some.round().astype(np.int16), kept)
