"""The command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def start(
    *words: str, folder: Path, cache: Path | None = None, group: bool = False
) -> subprocess.Popen[str]:
    """Start trainwell in a folder; its output and errors come as one text.

    cache: TRAINWELL_CACHE, a folder below by default. group: in a group of its own, as a shell
    starts it.
    """
    cache = cache or folder / "cache"
    env = {**os.environ, "TRAINWELL_CACHE": str(cache), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "trainwell", *words],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=group,
    )
