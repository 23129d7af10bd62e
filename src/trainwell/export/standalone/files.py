"""Files, or a stored array, by batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 64
Batch = tuple[list[str], dict[str, Any], list[str] | None]  # names, inputs, what is unusual


def batches(
    path: Path,
    name: str,
    suffixes: tuple[str, ...],
    load: Callable[[Path], Any],
    stack: Callable[[list[Any]], Any],
    bad: tuple[type[Exception], ...],
) -> Iterator[Batch]:
    """Batches of names and of an array called `name`; what cannot be read (`bad`) is said."""
    if path.suffix == ".npy":
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        for start in range(0, len(rows), BATCH):
            some = np.array(rows[start : start + BATCH])
            yield [f"row {start + i}" for i in range(len(some))], {name: some}, None
        return
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in files if file.suffix.lower() in suffixes]
    if not files:
        raise SystemExit(f"{path}: expected files that end in {', '.join(suffixes)}")
    root = path if path.is_dir() else path.parent
    for start in range(0, len(files), BATCH):
        names: list[str] = []
        found: list[Any] = []
        for file in files[start : start + BATCH]:
            try:
                found.append(load(file))
                names.append(file.relative_to(root).as_posix())
            except bad as error:
                sys.stderr.write(f"skipped {file}: {error}\n")
        if names:
            yield names, {name: stack(found)}, None
