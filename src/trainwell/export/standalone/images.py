"""Pictures of a file or folder in the form that an exported model takes; needs numpy and pillow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.data.images import IMAGE_SUFFIXES, load_image, stack_images

BATCH = 64


def read(path: Path, card: dict[str, Any]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Batches of names and of `pixels` uint8 (b, H, W, C); what cannot be read is said."""
    schema = card["schema"]
    if path.suffix == ".npy":
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        for start in range(0, len(pixels), BATCH):
            some = np.array(pixels[start : start + BATCH])
            yield [f"row {start + i}" for i in range(len(some))], {"pixels": some}
        return
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    root = path if path.is_dir() else path.parent
    for start in range(0, len(files), BATCH):
        names: list[str] = []
        found: list[np.ndarray[Any, Any]] = []
        for file in files[start : start + BATCH]:
            try:
                found.append(load_image(file, schema["height"], schema["width"]))
                names.append(file.relative_to(root).as_posix())
            except Exception as error:  # a damaged file makes decoders raise almost anything
                sys.stderr.write(f"skipped {file}: {error}\n")
        if names:
            stacked = stack_images(found, schema["channels"])
            yield names, {"pixels": np.ascontiguousarray(stacked.transpose(0, 2, 3, 1))}
