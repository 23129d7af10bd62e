"""Clips of a file or folder in the form that an exported model takes.

Needs numpy and soundfile, and scipy where a clip has another rate than those in training.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.data.audio import AUDIO_SUFFIXES, load_clip
from trainwell.data.clips import fit_clip

BATCH = 64


def read(path: Path, card: dict[str, Any]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Batches of names and of `samples` int16 (b, T); what cannot be read is said."""
    schema = card["schema"]
    if path.suffix == ".npy":
        samples = np.load(path, mmap_mode="r", allow_pickle=False)
        for start in range(0, len(samples), BATCH):
            some = np.array(samples[start : start + BATCH])
            yield [f"row {start + i}" for i in range(len(some))], {"samples": some}
        return
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in files if file.suffix.lower() in AUDIO_SUFFIXES]
    root = path if path.is_dir() else path.parent
    for start in range(0, len(files), BATCH):
        names: list[str] = []
        found: list[np.ndarray[Any, Any]] = []
        for file in files[start : start + BATCH]:
            try:
                found.append(fit_clip(load_clip(file, schema["rate"]), schema["samples"]))
                names.append(file.relative_to(root).as_posix())
            except (OSError, RuntimeError, ValueError) as error:
                sys.stderr.write(f"skipped {file}: {error}\n")
        if names:
            yield names, {"samples": np.stack(found)}
