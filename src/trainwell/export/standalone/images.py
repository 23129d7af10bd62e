"""Pictures of a file or folder in the form that an exported model takes; needs numpy and pillow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.data.images import IMAGE_SUFFIXES, load_image, stack_images
from trainwell.export.standalone.files import Batch, batches

KIND = "images"


def read(path: Path, card: dict[str, Any]) -> Iterator[Batch]:
    """Batches of names and of `pixels` uint8 (b, H, W, C); what cannot be read is said."""
    schema = card["schema"]

    def load(file: Path) -> Any:
        return load_image(file, schema["height"], schema["width"])

    def stack(found: list[Any]) -> Any:
        stacked = stack_images(found, schema["channels"])
        return np.ascontiguousarray(stacked.transpose(0, 2, 3, 1))

    bad = (Exception,)  # a damaged file makes decoders raise almost anything
    return batches(path, "pixels", IMAGE_SUFFIXES, load, stack, bad)
