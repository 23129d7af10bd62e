"""Examples beside their augmented copies in a run's report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.report import plots
from trainwell.report.media import wav_uri
from trainwell.report.mistakes import SECONDS, spectrogram_uri

Json = Mapping[str, Any]


def read_augmented(run: Path) -> Mapping[str, Any] | None:
    """Arrays of augmented.npz, or None."""
    path = run / "augmented.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        if not {"clean", "changed"} <= set(stored.files):
            return None
        return {name: stored[name] for name in ("clean", "changed")}


def augmented_sheet(facts: Json, arrays: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Pictures as one sheet, an example per row with its original first; clips as a list of rows.

    arrays: "clean" (n, ...) and "changed" (copies, n, ...).
    """
    if arrays is None:
        return None
    clean, changed = np.asarray(arrays["clean"]), np.asarray(arrays["changed"])
    if changed.ndim != clean.ndim + 1 or changed.shape[1:] != clean.shape or not len(clean):
        return None
    rows = np.concatenate([clean[None], changed]).swapaxes(0, 1)  # (n, 1 + copies, ...)
    if clean.ndim == 4:
        flat = rows.reshape(-1, *clean.shape[1:]).astype(np.uint8)
        columns = rows.shape[1]
        return {
            "source": plots.thumbnails(flat, columns),
            "columns": columns,
            "rows": len(rows),
            "pixelated": max(clean.shape[2:]) < 48,
        }
    rate = int(((facts.get("data") or {}).get("clips") or {}).get("rate") or 0)
    if clean.ndim != 2 or not rate:
        return None
    most = int(SECONDS * rate)
    return {
        "clips": [
            [
                {"picture": spectrogram_uri(c[:most], rate), "sound": wav_uri(c[:most], rate)}
                for c in row[:4]
            ]
            for row in rows
        ]
    }
