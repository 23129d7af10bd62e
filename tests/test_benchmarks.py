"""Benchmarks: what the page shows is what the file holds, and the arithmetic between is right."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
RESULTS = FOLDER / "results" / "results.json"


def load(name: str) -> ModuleType:
    """A module of benchmarks/, which is no package of ours."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


report, summary = load("report"), load("summary")


def record(name: str, repeat: int, seconds: float, accuracy: float) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "cores": "1 thread",
        "of": 2,
        "trained": 2,
        "repeat": repeat,
        "seconds": seconds,
        "total": seconds + 1,
        "peak_mb": 100.0,
        "accuracies": [accuracy, accuracy + 0.01],
        "extra": {"scoring": seconds / 10} if name == "trainwell" else {},
    }


def test_the_page_shows_the_results() -> None:
    if not RESULTS.exists():
        pytest.skip("no results are kept yet")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = (RESULTS.parent / "results.md").read_text(encoding="utf-8")
    assert page == report.render(results)
    for part, found in results.items():
        assert not found["quick"], "results of a quick run do not belong here"
        assert (RESULTS.parent / f"{part}.svg").is_file()


def test_rows_agree_with_their_records() -> None:
    if not RESULTS.exists():
        pytest.skip("no results are kept yet")
    for found in json.loads(RESULTS.read_text(encoding="utf-8")).values():
        for kept, made in zip(found["rows"], summary.rows_of(found["records"]), strict=True):
            assert kept["name"] == made["name"]
            assert kept["seconds"] == pytest.approx(made["seconds"], rel=1e-3)
            if "ratio" in made:
                assert kept["ratio"] == pytest.approx(list(made["ratio"]), rel=1e-3)


def test_ratios_are_taken_within_a_repeat() -> None:
    """The machine is twice as slow in the second repeat: the ratio does not move."""
    ours = [record("trainwell", 0, 1.0, 0.9), record("trainwell", 1, 2.0, 0.9)]
    peer = [record("peer", 1, 6.0, 0.9), record("peer", 0, 3.0, 0.9)]
    row = summary.rows_of([*ours, *peer])[1]
    assert row["ratio"] == pytest.approx((3.0, 3.0, 3.0))
    assert row["ratio_training_only"][0] == pytest.approx(3 / 0.9)


def test_the_interval_holds_the_median_and_lies_in_the_range() -> None:
    ratios = [1.5, 2.5, 2.0, 9.0, 2.2]
    middle, low, high = summary.paired_ratio(ratios, [1.0] * 5)
    assert middle == pytest.approx(2.2)
    assert 1.5 <= low <= middle <= high <= 9.0 and low < high


@pytest.mark.parametrize(("accuracy", "within"), [(0.902, True), (0.7, False)])
def test_accuracies_that_differ_are_seen(accuracy: float, within: bool) -> None:
    records = [record("trainwell", 0, 1.0, 0.9), record("peer", 0, 1.0, accuracy)]
    rows = summary.rows_of(records)
    assert rows[1]["agreement"][2] is within
    assert bool(summary.failed_agreement({"seeds": {"rows": rows}})) is not within


def test_a_page_can_be_made_of_every_part() -> None:
    common = {
        "date": "2026-01-01",
        "machine": {"processor": "some", "cores": 2, "system": "Linux"},
        "repeats": 1,
        "quick": True,
        "versions": {"torch": "2"},
        "failed": {"peer": "no such module"},
    }
    rows = summary.rows_of([record("trainwell", 0, 1.0, 0.9), record("other", 0, 4.0, 0.9)])
    scaling = summary.rows_of([record("members 4", 0, 2.0, 0.9)])
    page = report.render(
        {"seeds": {**common, "rows": rows}, "scaling": {**common, "rows": scaling}}
    )
    for words in (
        "**4.00** [4.00, 4.00]",
        "| 4 | 2 (2–2) | 500 |",
        "Did not run: peer",
        "quick run",
    ):
        assert words in page
