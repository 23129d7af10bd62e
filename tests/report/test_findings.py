"""Findings on the page: numbered, marked in the pictures, and skipped where they are damaged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainwell.report import plots
from trainwell.report.findings import (
    class_marks,
    layer_marks,
    layer_pictures,
    numbered,
    regions,
)

WAVES = {
    "code": "R01",
    "name": "learning-rate-too-high",
    "level": "fault",
    "words": "The loss jumps.",
    "remedies": ["halve it: --set lr=0.1"],
    "evidence": {"share_up": {"value": 0.5, "low": 0.4, "high": 0.6, "threshold": 0.2}},
    "where": {"picture": "loss", "epochs": [2, 7], "layer": None, "classes": []},
    "slide": "Learning rate",
}
RARE = {
    "code": "F05",
    "name": "class-never-predicted",
    "level": "warning",
    "words": "Nobody predicts it.",
    "remedies": [],
    "evidence": {},
    "where": {"picture": "recall", "epochs": None, "layer": None, "classes": [1, 2]},
}
SILENT = {
    "code": "R06",
    "name": "dying-relu",
    "level": "note",
    "words": "Silent.",
    "remedies": [],
    "evidence": {"dead": {"value": None}},
    "where": {"picture": "layers", "epochs": None, "layer": "2", "classes": []},
}
FACTS = {"findings": [WAVES, RARE, SILENT]}


def probes():
    return [
        {"member": m, "epoch": e, "layer": layer, "dead": 0.3, "saturated": 0.0, "update": 1e-3}
        for m in range(2)
        for e in range(4)
        for layer in ("1", "2")
    ]


def test_numbers_levels_and_evidence():
    first, second, third = numbered(FACTS)
    assert (first["number"], first["level_words"]) == (1, "Fault")
    assert first["name"] == "learning rate too high"
    assert first["evidence"] == [("share up", "0.5 (0.4 to 0.6), threshold 0.2")]
    assert (second["number"], second["picture"]) == (2, "recall")
    assert third["evidence"] == [("dead", "not finite")]


def test_pictures_carry_the_numbers():
    assert regions(FACTS, "loss") == [plots.Region("1", 2.0, 7.0, "learning rate too high")]
    assert regions(FACTS, "accuracy") == []
    assert class_marks(FACTS, "recall") == {1: "2", 2: "2"}
    assert class_marks(FACTS, "counts") == {}
    assert layer_marks(FACTS) == {"2": "3"}
    drawn = layer_pictures(FACTS, probes())
    assert 'class="badge-number"' in drawn["units"]
    assert ">3</text>" in drawn["units"]
    assert "30% of its units" in drawn["units"]


@pytest.mark.parametrize(
    "epochs", [[1], "x", "ab", [1, "b"], [1, 2, 3], [math.nan, 2], 5, {}, [[1], 2]]
)
def test_damaged_epochs_are_skipped(epochs):
    broken = WAVES | {"where": WAVES["where"] | {"epochs": epochs}}
    assert regions({"findings": [broken, WAVES]}, "loss") == [
        plots.Region("2", 2.0, 7.0, "learning rate too high")
    ]


@pytest.mark.parametrize("classes", [["a"], "ab", 3, [None], [math.inf], {"a": 1}, [[1]]])
def test_damaged_classes_are_skipped(classes):
    broken = RARE | {"where": RARE["where"] | {"classes": classes}}
    assert class_marks({"findings": [broken]}, "recall") == {}


@pytest.mark.parametrize(
    "damage",
    [
        {"where": "loss"},
        {"where": []},
        {"remedies": "do it"},
        {"remedies": 5},
        {"evidence": [1, 2]},
        {"evidence": {"x": {"value": "much", "low": [], "high": {}, "threshold": True}}},
        {"evidence": {"x": 5}},
        {"level": 7},
        {"name": None, "code": None},
        {"where": {"picture": ["loss"], "layer": {"a": 1}}},
    ],
)
def test_damaged_findings_do_not_stop_a_report(damage):
    facts = {"findings": [WAVES | damage]}
    assert len(numbered(facts)) == 1
    regions(facts, "loss")
    class_marks(facts, "recall")
    layer_pictures(facts, probes())


@pytest.mark.parametrize("findings", [None, "none", 5, {"a": 1}, [None, 3, "x", []]])
def test_what_is_no_list_of_findings_is_none(findings):
    facts = {"findings": findings}
    assert numbered(facts) == []
    assert regions(facts, "loss") == []
    assert layer_marks(facts) == {}


def test_nothing_measured_draws_nothing():
    assert layer_pictures(FACTS, []) == {}
    empty = [row | {"dead": np.nan, "saturated": np.nan, "update": np.nan} for row in probes()]
    assert layer_pictures(FACTS, empty) == {}
