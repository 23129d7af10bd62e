"""Tables of run.json: a search for a rate that was cut off, openings, baselines."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import trainwell as tw
from trainwell.engine.ladder import Ladder, Rung
from trainwell.results import ladder_table

LOST = Rung(0.001, math.inf, 0.0, 0.0, True)


def test_only_rates_that_were_tried_are_counted() -> None:
    tried = [Rung(0.002, 0.9, 0.01, 0.7, False), Rung(0.005, 0.5, 0.01, 0.8, False)]
    rungs = (LOST, *tried, LOST, LOST)
    table = ladder_table(Ladder(rungs, 0.005, False, 1, in_time=False))
    assert table["says"].startswith(
        "0.005 had the lowest validation loss of the 2 of 5 rates there was time for"
    )
    assert [r["diverged"] for r in table["rates"]] == [False] * 5
    assert table["rates"][0]["accuracy"] is None
    whole = ladder_table(Ladder(rungs, 0.005, False, 1))
    assert whole["says"] == "0.005 had the lowest validation loss of 5 rates"
    assert [r["diverged"] for r in whole["rates"]] == [True, False, False, True, True]


def test_opened_rows_are_counted_over_the_runs_of_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINWELL_CACHE", str(tmp_path / "cache"))
    quick = {"epochs": 2, "lr": 0.01, "model": tw.Linear()}

    def run(name: str) -> tw.Run:
        out = tmp_path / name
        return tw.fit("iris", settings=quick, folds=2, seeds=1, coach=False, out=out)

    first, second = run("a"), run("b")
    assert (first.result["test_openings"], first.result["test_openings_here"]) == (1, 1)
    assert (second.result["test_openings"], second.result["test_openings_here"]) == (1, 2)
    assert not any("opened" in w for w in first.result["warnings"])
    assert any("opened 2 times on this machine" in w for w in second.result["warnings"])
    page = second.report.read_text(encoding="utf-8")
    assert "once in this run; 2 times on this machine" in page
    against = second.result["baselines"][0]["against"]
    gain = second.result["test"]["accuracy"]["value"]
    gain -= second.result["baselines"][0]["test"]["accuracy"]["value"]
    assert against["difference"]["value"] == pytest.approx(gain)


def test_without_a_test_part_baselines_meet_the_network_on_the_same_rows(tmp_path: Path) -> None:
    quick = {"epochs": 2, "lr": 0.01, "model": tw.Linear()}
    found = tw.fit(
        "wine", test=0, settings=quick, folds=3, seeds=1, coach=False, out=tmp_path / "r"
    ).result
    for baseline in found["baselines"]:
        assert baseline["validation"]["n"] == found["validation"]["n"]
        gain = found["validation"]["accuracy"]["value"]
        gain -= baseline["validation"]["accuracy"]["value"]
        assert baseline["against"]["difference"]["value"] == pytest.approx(gain)
        only = baseline["against"]
        more = only["only_network_right"] - only["only_baseline_right"]
        assert more == pytest.approx(gain * found["validation"]["n"])
    assert found["test_openings_here"] == 0
