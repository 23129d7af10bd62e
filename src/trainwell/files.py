"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write aside, then rename: a reader never sees half a file."""
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(content)
    aside.replace(path)
