"""Clips of a file or folder in the form that an exported model takes.

Needs numpy and soundfile, and scipy where a clip has another rate than those in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.data.audio import AUDIO_SUFFIXES, load_clip
from trainwell.data.clips import fit_clip
from trainwell.export.standalone.files import Batch, batches

KIND = "audio"


def read(path: Path, card: dict[str, Any]) -> Iterator[Batch]:
    """Batches of names and of `samples` int16 (b, T); what cannot be read is said."""
    schema = card["schema"]

    def load(file: Path) -> Any:
        return fit_clip(load_clip(file, schema["rate"]), schema["samples"])

    bad = (OSError, RuntimeError, ValueError)
    return batches(path, "samples", AUDIO_SUFFIXES, load, np.stack, bad)
