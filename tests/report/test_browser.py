"""The report in a real browser: no error, no request, a name for everything, nothing cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers import browser, made
from trainwell.report import page

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts = made.run_json()
    facts["kind"], facts["data"]["clips"] = "audio", {"rate": 8000}
    difference = {"value": 0.02, "low": 0.01, "high": 0.03}
    facts["decisions"] = [
        {"because": "gap", "tried": tried, "difference": difference, "placebo": 0.0}
        | {"outcome": "adopted", "cost": 2.0}
        for tried in ("Dropout(0.5)", "balance: ThresholdMove(metric='balanced_accuracy')")
    ]
    run = made.write(tmp_path_factory.mktemp("run"), facts)
    np.savez(run / "mistakes.npz", inputs=np.ones((1, 4000), np.int16))
    return page.write_report(run)


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_report_in_a_browser(report: Path, width: int, tmp_path: Path) -> None:
    found = browser.look(report, width, tmp_path)
    assert found.console == ()
    assert found.requests == ()
    facts = found.facts
    assert facts["nameless"] == [] and facts["twice"] == []
    assert facts["broken"] == 0 and facts["flat"] == 0 and facts["drawn"] >= 7
    assert facts["sideways"] <= 0, "the page scrolls sideways"
    assert facts["spilling"] == [], "cells that run into the next column"
    assert facts["levels"][0] == "H1" and facts["levels"].count("H1") == 1
    assert facts["headless_tables"] == 0 and facts["lang"] == "en" and "% right" in facts["title"]


def test_faults_of_a_page_are_seen(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<html lang='en'><head></head><body><img src='data:image/png;base64,AAAA'><button></button>"
        "<div style='width:3000px'>x</div><script>console.error('planted'); nothing();</script>"
        "<img alt='x' src='http://127.0.0.1:9/x.png'></body></html>",
        encoding="utf-8",
    )
    found = browser.look(bad, 800, tmp_path / "scratch")
    assert any("planted" in line for line in found.console)
    assert any("nothing is not defined" in line for line in found.console)
    assert any("127.0.0.1:9" in r for r in found.requests)
    assert found.facts["broken"] == 2 and len(found.facts["nameless"]) == 2
    assert found.facts["sideways"] > 0
