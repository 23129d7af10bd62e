"""One case of the corpus, and how it is run: the command line in this process, with guards."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import trainwell.fitting  # noqa: F401 (imports take no part of a case)
from trainwell.cli import main
from trainwell.data.read import read

QUICK = (
    *("--out", "run", "--folds", "2", "--seeds", "1", "--no-ensemble", "--no-coach"),
    *("--budget", "1h"),
    *("--set", "epochs=1", "--set", "lr=0.01"),
)
SECONDS = 60  # a case that takes longer hangs
MEMORY = 4 << 30  # bytes that a case may take from the system


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, what it printed, and the folder it ran in."""

    code: Any
    out: str
    err: str
    folder: Path

    @property
    def result(self) -> Any:
        """The content of run.json."""
        return json.loads((self.folder / "run" / "run.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Case:
    """make: puts the files into a folder. argv: the command, run there.
    says: words that must be printed. seen: asserts what was read, for ends that are no error.
    patches: (name, value) of limits that are lowered so that a case stays small.
    """

    name: str
    make: Callable[[Path], object]
    argv: tuple[str, ...]
    end: Literal["error", "skip", "fine"]
    says: tuple[str, ...] = ()
    seen: Callable[[Ended], object] | None = None
    slow: bool = False
    patches: tuple[tuple[str, Any], ...] = field(default=())


def fit(data: str, *options: str) -> tuple[str, ...]:
    """The command that trains for a moment."""
    return ("fit", data, *QUICK, *options)


def reads(
    name: str,
    rows: int | None = None,
    classes: tuple[str, ...] | None = None,
    columns: tuple[str, ...] | None = None,
    note: str | None = None,
    first: tuple[float, ...] | None = None,
    skipped: tuple[str, ...] | None = None,
    shape: tuple[int, ...] | None = None,
    **options: Any,
) -> Callable[[Ended], None]:
    """An assertion about what the reader makes of a file or folder of the case."""

    def look(ended: Ended) -> None:
        data = read(ended.folder / name, **options)
        if rows is not None:
            assert len(data) == rows
        if classes is not None:
            assert data.classes == classes
        if columns is not None:
            assert tuple(c.name for c in data.schema.columns) == columns
        if note is not None:
            assert any(note in said for said in data.notes), data.notes
        if first is not None:
            got = tuple(float(v) for v in data.inputs[0].reshape(-1)[: len(first)])
            assert all(abs(a - b) <= 1e-6 * abs(b) for a, b in zip(got, first, strict=True)), got
        if skipped is not None:
            assert tuple(item.where for item in data.skipped) == skipped
        if shape is not None:
            assert data.schema.shape == shape

    return look


def carry_out(case: Case, folder: Path) -> Ended:
    """Make the files, run the command in their folder, and assert how it ends."""
    case.make(folder)
    with contextlib.ExitStack() as stack:
        for name, value in case.patches:
            stack.enter_context(mock.patch(name, value))
        ended = run(case.argv, folder)
    said = ended.out + ended.err
    assert "Traceback" not in said, said
    assert ended.code == (2 if case.end == "error" else 0), said
    if case.end == "error":
        assert "\nerror: " in "\n" + ended.err, ended.err
        assert not (folder / "run" / "run.json").exists()
    for words in case.says:
        assert words in said, f"{words!r} is not in {said}"
    assert all(c.isprintable() or c == "\n" for c in ended.err), repr(ended.err)
    if case.seen is not None:
        case.seen(ended)
    return ended


def run(argv: tuple[str, ...], folder: Path) -> Ended:
    """The command line with these arguments in a folder; a hang or a flood of memory fails."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = "no exit"
    before = Path.cwd()
    os.chdir(folder)
    try:
        with (
            mock.patch.object(sys, "argv", ["trainwell", *argv]),
            mock.patch("trainwell.fitting.LEAST_TO_CHECK", 1e9),  # checks would take the longest
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            guarded(),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code
    finally:
        os.chdir(before)
    return Ended(code, out.getvalue(), err.getvalue(), folder)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Ends what hangs, and refuses memory beyond `MEMORY` more than is held now."""

    def hangs(*_: object) -> None:
        raise AssertionError(f"it takes longer than {SECONDS} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if LINUX else 0
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        if LINUX:
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


LINUX = sys.platform.startswith("linux")
