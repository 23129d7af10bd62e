"""A page that grows while training goes on, served to this machine only (`fit --watch`).

The standard library's server answers two addresses: the page, and its changing part. It listens on
the loopback address alone, answers only requests that name it, and sends no file but the report.
"""

from __future__ import annotations

import html
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from trainwell.clock import now
from trainwell.errors import UserError
from trainwell.progress import Progress
from trainwell.report import plots
from trainwell.report.page import environment

KEPT_LINES = 60
FAREWELL = 3.0  # seconds in which a page that is open may fetch the report


@dataclass
class LiveView:
    """What has happened so far: stages, remarks, and validation accuracy by epoch.

    A `Progress` tells it; threads of the server read it.
    """

    name: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)  # (kind, words)
    points: list[tuple[float, float, float, float]] = field(default_factory=list)
    now: str = ""
    report: Path | None = None  # set when the run is complete
    asked: float = 0.0  # when a browser last asked
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stage(self, title: str) -> None:
        """A stage begins."""
        with self.lock:
            self.lines.append(("stage", title))
            self.now = ""
            if title.startswith("training "):
                self.points.clear()

    def say(self, words: str) -> None:
        """A remark that stays."""
        with self.lock:
            self.lines.append(("remark", words))

    def update(self, share: float, words: str) -> None:
        """How far the stage is."""
        with self.lock:
            self.now = f"{share:.0%}  {words}"

    def measure(self, epoch: float, accuracy: tuple[float, ...]) -> None:
        """Validation accuracy of the networks, as of late."""
        mean = sum(accuracy) / len(accuracy)
        with self.lock:
            self.points.append((epoch, mean, min(accuracy), max(accuracy)))

    def part(self) -> str:
        """The changing part of the page, as markup."""
        with self.lock:
            lines, points, now = self.lines[-KEPT_LINES:], list(self.points), self.now
        shown = [f"<figure>{curve(points)}</figure>"] if points else []
        shown.append(f'<p class="lead">{html.escape(now)}</p>' if now else "")
        items = [
            f"<li>{'<strong>' if kind == 'stage' else ''}{html.escape(words)}"
            f"{'</strong>' if kind == 'stage' else ''}</li>"
            for kind, words in reversed(lines)
        ]
        return "".join([*shown, '<ul class="log">', *items, "</ul>"])


def curve(points: list[tuple[float, float, float, float]]) -> str:
    """Validation accuracy by epoch: mean and range over networks."""
    epochs, mean, low, high = (np.array(column) for column in zip(*points, strict=True))
    line = plots.Series("validation", "val", epochs, mean, low, high)
    told = f"now {100 * mean[-1]:.1f} %"
    title = "Validation accuracy by epoch"
    return plots.curves(
        [line], name="live", title=title, desc=told, percent=True, width=720, height=300
    )


class LiveServer:
    """Serves a LiveView on 127.0.0.1 until it is closed; use as a context manager.

    port 0 takes a free one; `address` is where to look.
    """

    def __init__(self, view: LiveView, port: int = 0) -> None:
        self.view = view
        self.server = ThreadingHTTPServer(("127.0.0.1", port), _handler(view))
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> LiveServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close, after an open page had the time to fetch the report."""
        if self.view.report is not None and now() - self.view.asked < FAREWELL:
            time.sleep(FAREWELL)
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@contextmanager
def watched(progress: Progress, port: int | None) -> Iterator[LiveView]:
    """Serve what `progress` is told, on this port; None serves nothing.

    Raises UserError when the port is taken.
    """
    view = LiveView()
    if port is None:
        yield view
        return
    try:
        server = LiveServer(view, port)
    except OSError as error:
        problem = f"port {port} cannot be used ({error.strerror})"
        raise UserError("--watch", problem, "Give another port, or 0 for a free one.") from None
    with server:
        progress.watcher = view
        where = f"watch it at {server.address}"
        progress.say(where)
        if progress.display is None:  # quiet, yet nobody can guess the address
            sys.stderr.write(f"{where}\n")
        yield view


def _handler(view: LiveView) -> type[BaseHTTPRequestHandler]:
    """The handler's class, which knows the view."""

    class Handler(BaseHTTPRequestHandler):
        """GET of the page, its part, and the report at the end."""

        def do_GET(self) -> None:
            """Answer, if the request names this server: a page elsewhere must not read it."""
            port = self.connection.getsockname()[1]
            if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
                return self._send(403, "only for this machine")
            view.asked = now()
            done = view.report is not None and view.report.is_file()
            if self.path == "/part":
                return self._send(205 if done else 200, "" if done else view.part())
            if self.path != "/":
                return self._send(404, "nothing here")
            if done and view.report is not None:
                return self._send(200, view.report.read_text(encoding="utf-8"))
            page = environment().get_template("live.html").render(name=view.name, part=view.part())
            return self._send(200, page)

        def _send(self, code: int, text: str) -> None:
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silence: the terminal belongs to the training."""

    return Handler
