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
