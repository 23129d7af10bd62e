"""Examples that are kept for the report: pictures, and rows beside their augmented copies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import AudioSchema, Dataset, IntArray
from trainwell.data.split import sample_rows
from trainwell.engine.inputs import take
from trainwell.run import write_arrays
from trainwell.seeding import stream_seed
from trainwell.techniques.augment import Augment
from trainwell.techniques.augment.base import SIGNALS, Augmentation

THUMBNAILS = 40  # pictures
EXAMPLES = {"images": 8, "audio": 3}  # with augmented copies
COPIES = 5
CLASSES = 12  # of which one example is shown at least


def augmented_examples(
    data: Dataset, augment: Sequence[Augment], rows: IntArray, seed: int
) -> dict[str, npt.NDArray[Any]] | None:
    """Arrays "clean" (n, ...), "changed" (COPIES, n, ...) in the data's own type; "rows" and
    "labels" (n,).

    Only augmentations of pictures and sound themselves are shown, in the order of the recipe; what
    mixes rows or changes spectrograms is not. None where there is nothing to show.
    """
    signals = [a for a in augment if isinstance(a, Augmentation) and a.acts_on in SIGNALS]
    if data.kind not in EXAMPLES or not signals:
        return None
    chosen = sample_rows(rows, data.labels, EXAMPLES[data.kind], stream_seed(seed, "augmented"))
    clean = take(data.inputs, chosen)
    rate = data.schema.rate if isinstance(data.schema, AudioSchema) else 0
    scale = 255.0 if data.kind == "images" else 32768.0
    changed = []
    for copy in range(COPIES):
        x = clean.float() / scale
        for place, one in enumerate(signals):
            x = one(x, seed=stream_seed(seed, "augmented", copy, place), rate=rate)
        low, high = (0.0, 255.0) if data.kind == "images" else (-32768.0, 32767.0)
        back = (x * scale).round().clamp(low, high)
        changed.append(back.to(clean.dtype).numpy())
    found = {"rows": chosen, "labels": data.labels[chosen]}
    return found | {"clean": clean.numpy(), "changed": np.stack(changed)}


def one_of_each(labels: IntArray, rows: IntArray, most: int) -> IntArray:
    """The first of the rows of each class, of the first classes.

    >>> one_of_each(np.array([1, 0, 1, 0]), np.array([2, 3, 0, 1]), 5).tolist()
    [3, 2]
    """
    _, first = np.unique(labels[rows], return_index=True)
    return rows[first[:most]]


def write_examples(
    folder: Path, data: Dataset, augment: Sequence[Augment], rows: IntArray, seed: int
) -> None:
    """Write examples.npz (pictures, or a clip of each class, of these rows) and augmented.npz."""
    if data.kind == "images":
        some = sample_rows(rows, data.labels, THUMBNAILS, stream_seed(seed, "thumbnails"))
        some = np.union1d(some, one_of_each(data.labels, rows, CLASSES))  # rare classes too
        np.savez_compressed(
            folder / "examples.npz", images=data.inputs[some], labels=data.labels[some]
        )
    elif data.kind == "audio":
        some = one_of_each(data.labels, rows, CLASSES)
        write_arrays(
            folder / "examples.npz", {"clips": data.inputs[some], "labels": data.labels[some]}
        )
    changed = augmented_examples(data, augment, rows, seed)
    if changed is not None:
        write_arrays(folder / "augmented.npz", changed)
