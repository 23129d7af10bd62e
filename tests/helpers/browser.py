"""A page in headless Chromium: its console, its requests, and how it looks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
# The browser's own housekeeping; no page of ours may name these, which another test looks at.
OWN = re.compile(r"https?://(?:[\w.-]+\.google\.com|(?:update|content-autofill)\.googleapis\.com)/")

# Runs in the page after loading; the answer becomes the text of an element that is read back.
LOOK = """
<script>
window.addEventListener("load", function () {
  function name(e) {
    var by = e.getAttribute("aria-labelledby");
    var words = by ? by.split(" ").map(function (i) {
      var found = document.getElementById(i); return found ? found.textContent : "";
    }).join(" ") : "";
    return (e.getAttribute("aria-label") || words || e.getAttribute("alt") || e.textContent ||
            (e.labels && e.labels[0] ? e.labels[0].textContent : "")).trim();
  }
  var all = function (s) { return Array.from(document.querySelectorAll(s)); };
  var nameless = all("svg[role=img],img,button,input,audio,summary,a,select").filter(function (e) {
    return !name(e);
  }).map(function (e) { return e.outerHTML.slice(0, 80); });
  var drawn = all("svg.plot").filter(function (e) { return e.getClientRects().length; });
  var broken = all("img").filter(function (e) { return !e.naturalWidth; }).length;
  var flat = drawn.filter(function (e) {
    var r = e.getBoundingClientRect(); return r.width < 60 || r.height < 10;
  }).length;
  var spilling = all("td,th").filter(function (e) {
    return e.scrollWidth > e.clientWidth + 1;
  }).map(function (e) { return e.textContent.trim().slice(0, 80); });
  var ids = all("[id]").map(function (e) { return e.id; });
  var levels = all("h1,h2,h3").map(function (e) { return e.tagName; });
  var out = document.createElement("pre");
  out.id = "looked";
  out.textContent = JSON.stringify({
    nameless: nameless, drawn: drawn.length, broken: broken, flat: flat,
    spilling: spilling,
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    twice: ids.filter(function (i, k) { return ids.indexOf(i) !== k; }),
    levels: levels, lang: document.documentElement.lang, title: document.title,
    headless_tables: all("table").filter(function (t) { return !t.querySelector("th"); }).length
  });
  document.body.appendChild(out);
});
</script>
"""


@dataclass(frozen=True)
class Look:
    """What was found: facts of the page, lines of the console, addresses that were asked for."""

    facts: dict[str, Any]
    console: tuple[str, ...]
    requests: tuple[str, ...]


def look(page: Path, width: int, scratch: Path) -> Look:
    """Open the page in a window of this width, in a profile of its own under `scratch`."""
    assert CHROMIUM is not None
    scratch.mkdir(parents=True, exist_ok=True)
    copy = scratch / f"{page.stem}-{width}.html"
    text = page.read_text(encoding="utf-8")
    copy.write_text(text.replace("</head>", LOOK + "</head>", 1), encoding="utf-8")
    log = scratch / f"net-{width}.json"
    quiet = "--no-first-run --disable-background-networking --disable-component-update"
    command = [
        CHROMIUM,
        *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync"],
        *quiet.split(),
        f"--user-data-dir={scratch / 'profile'}",
        f"--log-net-log={log}",
        "--enable-logging=stderr",
        f"--window-size={width},1000",
        "--virtual-time-budget=3000",
        "--dump-dom",
        copy.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="looked">(.*?)</pre>', done.stdout, flags=re.S)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    asked = re.findall(r'"url":"((?:https?|wss?|ftp):[^"]*)"', log.read_text(encoding="utf-8"))
    asked = [url for url in asked if not OWN.match(url)]
    return Look(json.loads(unescape(found[1])), tuple(console), tuple(asked))
