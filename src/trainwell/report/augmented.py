"""Examples beside their augmented copies in a run's report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.report import plots
from trainwell.report.media import playable
from trainwell.report.mistakes import spectrogram_uri

Json = Mapping[str, Any]


def read_augmented(run: Path) -> Mapping[str, Any] | None:
    """Arrays of augmented.npz, or None."""
    path = run / "augmented.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        if not {"clean", "changed"} <= set(stored.files):
            return None
        return {n: stored[n] for n in ("clean", "changed", "labels") if n in stored.files}


def augmented_sheet(facts: Json, arrays: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Pictures as one sheet, an example per row with its original first; clips as a list of rows.

    arrays: "clean" (n, ...) and "changed" (copies, n, ...), and "labels" (n,) where they are kept.
    """
    if arrays is None:
        return None
    clean, changed = np.asarray(arrays["clean"]), np.asarray(arrays["changed"])
    if changed.ndim != clean.ndim + 1 or changed.shape[1:] != clean.shape or not len(clean):
        return None
    names = _names(facts, arrays.get("labels"), len(clean))
    rows = np.concatenate([clean[None], changed]).swapaxes(0, 1)  # (n, 1 + copies, ...)
    if clean.ndim == 4:
        flat = rows.reshape(-1, *clean.shape[1:]).astype(np.uint8)
        columns = rows.shape[1]
        return {
            "source": plots.thumbnails(flat, columns),
            "columns": columns,
            "rows": len(rows),
            "pixelated": max(clean.shape[2:]) < 48,
            "names": names,
        }
    rate = int(((facts.get("data") or {}).get("clips") or {}).get("rate") or 0)
    if clean.ndim != 2 or not rate:
        return None
    rows = rows[:, :4]
    count = rows.shape[0] * rows.shape[1]
    return {
        "clips": [
            [{"picture": spectrogram_uri(c, rate), "sound": playable(c, rate, count)} for c in row]
            for row in rows
        ],
        "names": names,
    }


def _names(facts: Json, labels: Any, count: int) -> list[str]:
    """The label of each example; [] where they are not known."""
    classes = [str(c) for c in facts.get("classes") or []]
    numbers = [] if labels is None else np.asarray(labels).tolist()
    if len(numbers) != count or not all(0 <= k < len(classes) for k in numbers):
        return []
    return [classes[k] for k in numbers]
