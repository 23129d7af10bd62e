"""The live page: what it shows, whom it answers, and that it ends with the report."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from helpers import browser
from trainwell.errors import UserError
from trainwell.progress import Progress
from trainwell.report.live import LiveServer, LiveView, watched


def get(server: LiveServer, path: str, host: str | None = None) -> tuple[int, str]:
    port = server.server.server_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_page_grows_with_what_progress_is_told(tmp_path: Path) -> None:
    view = LiveView(name="<b>iris</b>")
    with LiveServer(view) as server, Progress(quiet=True) as progress:
        progress.watcher = view
        progress.stage("training 3 networks")
        progress.say("a remark <script>")
        for epoch in range(1, 6):
            progress.update(epoch / 5, f"epoch {epoch}/5")
            progress.measure(epoch, (0.5 + epoch / 20, 0.6 + epoch / 20))
        code, page = get(server, "/")
        assert code == 200 and "<b>iris" not in page and "<script>\n" in page
        code, part = get(server, "/part")
        assert code == 200 and "epoch 5/5" in part and "a remark &lt;script&gt;" in part
        assert "now 80.0 %" in part  # the mean of 0.75 and 0.85
        assert get(server, "/etc/passwd")[0] == 404
        report = tmp_path / "report.html"
        report.write_text("the report", encoding="utf-8")
        view.report = report
        assert get(server, "/part") == (205, "")
        assert get(server, "/") == (200, "the report")
        view.asked = 0.0  # nobody waits


def test_a_request_that_names_another_host_is_refused() -> None:
    view = LiveView()
    with LiveServer(view) as server:
        assert get(server, "/", host="evil.example")[0] == 403
        assert server.server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_a_mistake_of_the_user() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = pytest.raises(UserError, match=f"port {port} cannot be used")
        with told, Progress(quiet=True) as progress, watched(progress, port):
            raise AssertionError("never reached")


def test_fit_serves_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainwell", "fit", "iris", "--watch", "--no-coach", "--json"]
    command += ["--out", str(tmp_path / "run"), "--set", "epochs=30", "--set", "lr=0.01"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None and process.stdout is not None
    address, seen = "", ""
    for line in process.stderr:
        if found := re.search(r"watch it at (http://127\.0\.0\.1:\d+/)", line):
            address = found[1]
            break
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}part", timeout=5) as answer:
                seen += answer.read().decode()
        except OSError:
            break
        time.sleep(0.05)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "training" in seen and "Validation accuracy by epoch" in seen
    assert json.loads(out.splitlines()[-1])["test"]["accuracy"]["value"] > 0.5


@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium")
def test_the_live_page_in_a_browser(tmp_path: Path) -> None:
    view = LiveView(name="iris")
    view.stage("training 1 network")
    view.measure(1.0, (0.4,))
    view.measure(2.0, (0.6,))
    with LiveServer(view) as server:
        saved = tmp_path / "live.html"
        saved.write_text(get(server, "/")[1].replace("setInterval", "void "), encoding="utf-8")
        view.asked = 0.0
    found = browser.look(saved, 360, tmp_path / "scratch")
    assert found.console == () and found.facts["nameless"] == [] and found.facts["sideways"] <= 0
