"""The report's section on generated samples: what was added, what was refused, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.report import plots

FILE = "generated.npz"  # in the run folder
COLUMNS = 10
Pictures = npt.NDArray[np.uint8]


def sections(facts: Mapping[str, Any], folder: Path | None) -> list[dict[str, Any]]:
    """For each technique that made samples: its call, a report per fold, and sheets of pictures."""
    makers: dict[str, list[Mapping[str, Any]]] = {}
    for report in facts.get("generated") or []:
        makers.setdefault(str(report.get("maker")), []).append(report)
    stored = _stored(folder)
    return [
        {"maker": maker, "folds": folds, "sheets": sheets(stored, number)}
        for number, (maker, folds) in enumerate(makers.items())
    ]


def _stored(folder: Path | None) -> dict[str, npt.NDArray[Any]]:
    path = None if folder is None else folder / FILE
    if path is None or not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError):
        return {}


def sheets(stored: Mapping[str, npt.NDArray[Any]], number: int) -> list[dict[str, Any]]:
    """Progress (a row per step) and neighbours (samples above, the nearest training rows below)."""
    found = []
    steps = stored.get(f"steps{number}")
    if steps is not None and len(steps):
        looks = [stored[f"look{number}-{i}"] for i in range(len(steps))]
        names = [f"step {step}" if step else "simulated" for step in steps.tolist()]
        rows = [_spread(look) for look in looks]
        found.append(_sheet(rows, names, "The same ten samples while their maker learned"))
    pairs = stored.get(f"pairs{number}")
    if pairs is not None and pairs.shape[1]:
        names = ["sample", "nearest"]
        words = "Samples, and the training picture that is nearest to each"
        found.append(_sheet(list(pairs), names, words))
    return found


def _spread(look: Pictures) -> Pictures:
    """Ten pictures, evenly out of all: of several classes where there are several."""
    places = np.linspace(0, len(look), COLUMNS, endpoint=False).astype(int)
    chosen: Pictures = look[np.unique(places)]
    return chosen


def _sheet(rows: Sequence[Pictures], names: Sequence[str], words: str) -> dict[str, Any]:
    columns = len(rows[0])
    return {
        "source": plots.thumbnails(np.concatenate(rows), columns),
        "names": list(names),
        "words": words,
        "columns": columns,
        "pixelated": max(rows[0].shape[2:]) < 48,
    }
