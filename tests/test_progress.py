"""Progress: plain lines in a pipe, nothing when quiet, everything in the log."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest

from trainwell import progress as module
from trainwell.progress import Progress, time_left


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def work(progress: Progress) -> None:
    with progress:
        progress.stage("reading digits")
        progress.say("3 files skipped")
        progress.stage("training 2 networks")
        progress.update(0.25, "epoch 1/4")
        progress.update(1.0, "epoch 4/4")


def test_lines_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_EVERY", 0.0)
    stream = io.StringIO()
    work(Progress(stream=stream))
    lines = stream.getvalue().splitlines()
    assert lines[:3] == ["reading digits ...", "  3 files skipped", "training 2 networks ..."]
    assert lines[3].startswith("   25%  epoch 1/4")
    assert lines[4].startswith("  100%  epoch 4/4")
    assert re.fullmatch(r"  done  epoch 4/4  \(\d+\.\d s\)", lines[5])
    assert len(lines) == 6
    assert "\x1b" not in stream.getvalue()


def test_few_lines_in_a_pipe() -> None:
    stream = io.StringIO()
    work(Progress(stream=stream))
    assert len(stream.getvalue().splitlines()) == 4  # no line within the first seconds


def test_quiet_shows_nothing_but_the_log_has_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = Terminal()
    progress = Progress(quiet=True, stream=stream)
    progress.log = tmp_path / "log.txt"
    work(progress)
    assert stream.getvalue() == ""
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    lines = progress.log.read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert [line[9:] for line in lines[:3]] == [
        "reading digits",
        "  3 files skipped",
        "training 2 networks",
    ]
    assert re.fullmatch(r"  epoch 4/4  \(\d+\.\d s\)", lines[3][9:])


def test_everything_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    work(Progress())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "reading digits" in captured.err


def test_a_bar_in_a_terminal() -> None:
    stream = Terminal()
    with Progress(stream=stream) as progress:
        progress.stage("training [bold]x")
        progress.update(0.5, "epoch [1]")
        progress.say("found [/red] 3")
    shown = stream.getvalue()
    assert "\x1b" in shown or "\r" in shown  # drawn, not printed line by line
    assert "epoch [1]" in shown
    assert "found [/red] 3" in shown  # words of users are not markup


def test_a_bar_ends_with_an_error() -> None:
    stream = Terminal()
    with pytest.raises(ZeroDivisionError), Progress(stream=stream) as progress:
        progress.stage("training")
        raise ZeroDivisionError
    length = len(stream.getvalue())
    assert length
    time.sleep(0.3)  # the bar is drawn by a thread, which must have ended
    assert len(stream.getvalue()) == length


def test_a_stage_is_closed_once() -> None:
    stream = io.StringIO()
    with Progress(stream=stream) as progress:
        progress.stage("training")
        progress.update(1.0, "all")
    progress.__exit__(None, None, None)
    assert stream.getvalue().count("done  all") == 1


def test_time_left() -> None:
    assert time_left(60, 0.5) == "1:00 left"
    assert time_left(7200, 0.5) == "120:00 left"
    assert time_left(9, 0.9) == "0:01 left"
    assert time_left(100, 1.0) == "0:00 left"
    assert time_left(0.5, 0.5) == time_left(100, 0.0) == time_left(100, -1.0) == ""
