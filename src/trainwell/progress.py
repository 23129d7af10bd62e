"""What a person sees while work goes on: a bar in a terminal or notebook, plain lines in a pipe.

Everything goes to standard error, so that standard output holds results only.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

LINE_EVERY = 10.0  # seconds between lines in a pipe


class Progress:
    """One stage at a time: what is running, how far, in words, and the time left in the stage.

    Use as a context manager. `quiet` shows nothing (for programs that call trainwell).

    >>> with Progress(quiet=True) as progress:
    ...     progress.stage("reading digits")
    ...     progress.update(0.5, "half")
    """

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.quiet, self.stream = quiet, stream or sys.stderr
        self.log: Path | None = None  # a file that also gets every line
        self.fancy = not quiet and (self.stream.isatty() or "ipykernel" in sys.modules)
        self.bar: Bar | None = None
        self.title, self.words, self.started, self.shown = "", "", 0.0, 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def stage(self, title: str) -> None:
        """End the stage before, if any, and begin this one."""
        self._end()
        self.title, self.words = title, ""
        self._record(title)
        self.started = self.shown = time.monotonic()
        if self.quiet:
            return
        if not self.fancy:
            print(f"{title} ...", file=self.stream, flush=True)
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichBar

        self.bar = RichBar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[words]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(file=self.stream),
        )
        self.bar.add_task(title, total=1.0, words="", left="")
        self.bar.start()

    def update(self, share: float, words: str) -> None:
        """How much of the stage is done, from 0 to 1, and what to say about it."""
        self.words = words
        now = time.monotonic()
        left = time_left(now - self.started, share)
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=share, words=words, left=left)
        elif not self.quiet and now - self.shown >= LINE_EVERY:
            self.shown = now
            print(f"  {share:4.0%}  {words}  {left}".rstrip(), file=self.stream, flush=True)

    def say(self, words: str) -> None:
        """A line that stays: something decided or found that the user should know."""
        self._record(f"  {words}")
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.console.print(f"  {words}", markup=False, highlight=False)
        else:
            print(f"  {words}", file=self.stream, flush=True)

    def _record(self, line: str) -> None:
        if self.log is not None:
            stamp = time.strftime("%H:%M:%S")
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{stamp} {line}\n")

    def _end(self) -> None:
        if self.title and self.words:
            self._record(f"  {self.words}  ({time.monotonic() - self.started:.1f} s)")
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=1.0, left="")
            self.bar.stop()
            self.bar = None
        elif self.title and not self.quiet and self.words:
            seconds = time.monotonic() - self.started
            print(f"  done  {self.words}  ({seconds:.1f} s)", file=self.stream, flush=True)
        self.title = ""


def time_left(elapsed: float, share: float) -> str:
    """Words for the time left when `share` of the work took `elapsed` seconds.

    >>> time_left(30.0, 0.25), time_left(1.0, 0.0), time_left(200.0, 0.5)
    ('1:30 left', '', '3:20 left')
    """
    if share <= 0 or elapsed < 1:
        return ""
    left = round(elapsed * (1 - share) / share)
    return f"{left // 60}:{left % 60:02d} left"
