"""What a source is: a path that exists, a DataFrame, a folder of pictures or of clips."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Literal

from trainwell.data.audio import AUDIO_SUFFIXES
from trainwell.data.images import IMAGE_SUFFIXES
from trainwell.data.rows import CSV_SUFFIXES, PARQUET_SUFFIXES, is_table_file
from trainwell.data.sample_list import sample_names
from trainwell.errors import DataError

ARRAY_SUFFIXES = (".npz", ".npy")


def is_frame(source: Any) -> bool:
    """Whether this is a pandas DataFrame; pandas is not imported to find out."""
    kind = type(source)
    return kind.__name__ == "DataFrame" and kind.__module__.startswith("pandas")


def is_there(source: str | Path) -> bool:
    """Whether there is a file or folder of this name; False for what no file can be called."""
    try:
        return Path(source).exists()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def existing_path(source: Any) -> Path:
    """The path `source`, which is there and of a kind that can be read.

    Raises DataError with the nearest sample name or file when it is not.
    """
    if not isinstance(source, str | Path):
        raise DataError(
            f"data of the type {type(source).__name__}",
            "expected a path, the name of a sample set, a pandas DataFrame, or arrays (X, y)",
            "Convert the data to one of these.",
        )
    path = Path(source).expanduser()
    if not is_there(source):
        where = str(source) if len(str(source)) < 200 else f"{str(source)[:200]}..."
        raise DataError(where, "no such file, folder or sample set", _nearest(path))
    if path.is_dir():
        return path
    if not path.is_file():
        raise DataError(str(source), "no such file, folder or sample set", _nearest(path))
    known = (*ARRAY_SUFFIXES, *IMAGE_SUFFIXES, *AUDIO_SUFFIXES)
    if not is_table_file(path) and path.suffix.lower() not in known:
        raise DataError(
            str(source),
            f'files ending in "{path.suffix}" cannot be read',
            f"Save the data as {', '.join((*CSV_SUFFIXES[:2], *PARQUET_SUFFIXES[:1]))} or .npz, "
            "or name a folder of pictures or clips.",
        )
    return path


def _nearest(path: Path) -> str:
    """Which sample set or file of that folder may have been meant."""
    beside: list[str] = []
    if len(path.name) < 256 and is_there(path.parent) and path.parent.is_dir():
        beside = sorted(p.name for p in path.parent.iterdir() if not p.name.startswith("."))
    names = list(sample_names()) if path.parent == Path() else []
    near = difflib.get_close_matches(path.name, [*beside[:1000], *names], n=1)
    hint = f'Did you mean "{near[0]}"? ' if near else ""
    if not names:
        return hint.strip()
    return f"{hint}Sample sets: {', '.join(names)}."


def folder_kind(path: Path) -> Literal["images", "audio"]:
    """What most files of a folder are.

    Raises DataError when there are neither pictures nor clips.
    """
    suffixes = [
        Path(name).suffix.lower()
        for _, _, names in os.walk(path)
        for name in names
        if not name.startswith(".")
    ]
    pictures = sum(suffix in IMAGE_SUFFIXES for suffix in suffixes)
    clips = sum(suffix in AUDIO_SUFFIXES for suffix in suffixes)
    if not pictures and not clips:
        tables = sorted(p.name for p in path.iterdir() if p.is_file() and is_table_file(p))
        raise DataError(
            str(path),
            "expected pictures or sound clips in this folder, found none",
            f"To train on a table, name the file itself: {', '.join(tables[:3])}."
            if tables
            else "Name a folder that holds one folder of files per class.",
        )
    return "images" if pictures >= clips else "audio"
