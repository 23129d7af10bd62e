"""Files that appear whole or not at all, and the folder for what may be removed again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def write_whole(path: Path, content: bytes, sync: bool = False) -> None:
    """Write aside, then rename: a reader never sees half a file.

    sync: wait until the disk has it, so that it also survives a power cut. Raises OSError when
    there is no room or no permission; what was there before is then untouched.
    """
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    if sync:
        _sync_folder(path.parent)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write piece by piece: it appears at the end, and not at all after an error."""
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("wb") as file:
            yield file
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system lets folders be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def cache_dir() -> Path:
    """Where downloads and large files of a run are kept: $TRAINWELL_CACHE, or the usual place of
    this platform."""
    named = os.environ.get("TRAINWELL_CACHE")
    if named:
        return Path(named)
    import pooch

    return Path(pooch.os_cache("trainwell"))
