"""What a person sees while work goes on: a bar in a terminal, one changing line in a notebook,
plain lines in a pipe.

Everything goes to standard error (in a notebook to the cell), so that standard output holds results
only. A log file, when there is one, gets every stage and every remark.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

from trainwell.errors import visible

LINE_EVERY = 10.0  # seconds between lines in a pipe


class Display(Protocol):
    """Where progress is shown; one stage is open at a time."""

    def begin(self, title: str) -> None:
        """A stage begins."""

    def update(self, share: float, words: str, left: str) -> None:
        """So much of it is done."""

    def say(self, words: str) -> None:
        """A remark that stays."""

    def end(self, words: str, seconds: float) -> None:
        """The stage is over."""


class Watcher(Protocol):
    """Somebody else who is told what goes on, such as a live page."""

    def stage(self, title: str) -> None:
        """A stage begins."""

    def update(self, share: float, words: str) -> None:
        """So much of it is done."""

    def say(self, words: str) -> None:
        """A remark that stays."""

    def measure(self, epoch: float, accuracy: tuple[float, ...]) -> None:
        """Validation accuracy of the networks in training, as of late."""


class Progress:
    """One stage at a time: what is running, how far, in words, and the time left in the stage.

    Use as a context manager. `quiet` shows nothing (for programs that call trainwell).

    >>> with Progress(quiet=True) as progress:
    ...     progress.stage("reading digits")
    ...     progress.update(0.5, "half")
    """

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.display = None if quiet else choose_display(stream or sys.stderr)
        self.log: Path | None = None  # a file that also gets every line
        self.watcher: Watcher | None = None
        self.title, self.words, self.started = "", "", 0.0

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
        title = visible(title)
        self.title, self.words, self.started = title, "", time.monotonic()
        self._record(title)
        if self.watcher is not None:
            self.watcher.stage(title)
        if self.display is not None:
            self.display.begin(title)

    def update(self, share: float, words: str, estimate: bool = True) -> None:
        """How much of the stage is done, from 0 to 1, and what to say about it.

        estimate: whether the time left can be told from that.
        """
        self.words = words
        if self.watcher is not None:
            self.watcher.update(share, words)
        if self.display is not None:
            left = time_left(time.monotonic() - self.started, share) if estimate else ""
            self.display.update(share, words, left)

    def say(self, words: str) -> None:
        """A line that stays: something decided or found that the user should know."""
        words = visible(words)
        self._record(f"  {words}")
        if self.watcher is not None:
            self.watcher.say(words)
        if self.display is not None:
            self.display.say(words)

    def measure(self, epoch: float, accuracy: tuple[float, ...]) -> None:
        """Validation accuracy of the networks in training, for those who draw it."""
        if self.watcher is not None and accuracy:
            self.watcher.measure(epoch, accuracy)

    def _end(self) -> None:
        seconds = time.monotonic() - self.started
        if self.title and self.words:
            self._record(f"  {self.words}  ({seconds:.1f} s)")
        if self.title and self.display is not None:
            self.display.end(self.words, seconds)
        self.title = ""

    def _record(self, line: str) -> None:
        if self.log is not None:
            stamp = time.strftime("%H:%M:%S")
            try:
                with self.log.open("a", encoding="utf-8") as file:
                    file.write(f"{stamp} {line}\n")
            except OSError:  # a log that cannot be written must not end a training
                self.log = None


def choose_display(stream: TextIO) -> Display:
    """The display that suits where the output goes."""
    if "ipykernel" in sys.modules and stream is sys.stderr:
        return Notebook()
    return Terminal(stream) if stream.isatty() else Lines(stream)


class Lines:
    """Plain lines for a pipe or a log: stages, remarks, and a line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.shown = stream, 0.0

    def begin(self, title: str) -> None:
        """A stage begins."""
        self.shown = time.monotonic()
        self._print(f"{title} ...")

    def update(self, share: float, words: str, left: str) -> None:
        """Prints at most every LINE_EVERY seconds."""
        if time.monotonic() - self.shown >= LINE_EVERY:
            self.shown = time.monotonic()
            self._print(f"  {share:4.0%}  {words}  {left}".rstrip())

    def say(self, words: str) -> None:
        """A remark that stays."""
        self._print(f"  {words}")

    def end(self, words: str, seconds: float) -> None:
        """The last words of the stage, if it had any."""
        if words:
            self._print(f"  done  {words}  ({seconds:.1f} s)")

    def _print(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()


class Terminal:
    """A bar per stage, drawn by rich."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self.console = Console(file=stream, highlight=False)
        self.bar: Any = None

    def begin(self, title: str) -> None:
        """A stage begins: a new bar."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            TextColumn("{task.fields[left]}", markup=False),
            console=self.console,
        )
        self.bar.add_task(title, total=1.0, words="", left="")
        self.bar.start()

    def update(self, share: float, words: str, left: str) -> None:
        """So much of it is done."""
        self.bar.update(self.bar.task_ids[0], completed=share, words=words, left=left)

    def say(self, words: str) -> None:
        """A remark that stays above the bar."""
        self.console.print(f"  {words}", markup=False)

    def end(self, words: str, seconds: float) -> None:
        """The bar stays, full."""
        self.bar.update(self.bar.task_ids[0], completed=1.0, words=words, left="")
        self.bar.stop()


class Notebook:
    """One line per stage that changes in place; needs no widgets."""

    def __init__(self) -> None:
        self.title = ""
        self.handle: Any = None

    def begin(self, title: str) -> None:
        """A stage begins: a new line."""
        from IPython.display import display

        self.title = title
        self.handle = display(self._line(f"{title} ..."), raw=True, display_id=True)

    def update(self, share: float, words: str, left: str) -> None:
        """The line changes in place."""
        self.handle.update(self._line(f"{self.title} {share:4.0%}  {words}  {left}"), raw=True)

    def say(self, words: str) -> None:
        """A remark that stays."""
        from IPython.display import display

        display(self._line(f"  {words}"), raw=True)

    def end(self, words: str, seconds: float) -> None:
        """The last words of the stage."""
        line = f"{self.title}: {words}  ({seconds:.1f} s)" if words else self.title
        self.handle.update(self._line(line), raw=True)

    @staticmethod
    def _line(text: str) -> dict[str, str]:
        return {"text/plain": text.rstrip()}


def time_left(elapsed: float, share: float) -> str:
    """Words for the time left when `share` of the work took `elapsed` seconds.

    >>> time_left(30.0, 0.25), time_left(1.0, 0.0), time_left(200.0, 0.5)
    ('1:30 left', '', '3:20 left')
    """
    if share <= 0 or elapsed < 1:
        return ""
    left = round(elapsed * (1 - share) / share)
    return f"{left // 60}:{left % 60:02d} left"
