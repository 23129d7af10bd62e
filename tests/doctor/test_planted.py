"""Real trainings with planted faults are named, their healthy twins are left alone."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest

from helpers.planted import evidence_of, known
from trainwell.doctor.diagnose import diagnose
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.rate_rules import rate_is_cleared, suspects_rate
from trainwell.doctor.thresholds import THRESHOLDS

SEEDS = (0, 1, 2, 3)
DEEP = "Mlp(hidden=(64, 64, 64, 64, 64, 64, 64, 64), activation='{}', norm='{}')"
SGD = {"optimizer": "Sgd()", "lr": "0.1", "schedule": "Constant()"}
WIDE = {
    "model": "Mlp(hidden=(128, 128), norm='none')",
    "regularize": "()",
    "lr": "0.002",
}
TINY = {**SGD, "model": DEEP.format("relu", "none"), "init": "SmallRandom(0.01)", "epochs": "12"}

# Problem that must be named first, and the recipe that has it.
PLANTED = [
    ("R02", {"lr": "0.3"}),
    ("R02", {**SGD, "lr": "10"}),
    ("R03", {"lr": "0.00003"}),
    ("R03", {**SGD, "lr": "0.001"}),
    ("R03", {"lr": "0.0003", "epochs": "20"}),
    ("I01", {"init": "Zero()", "epochs": "8"}),
    ("I03", TINY),
    ("I02", {"model": DEEP.format("tanh", "none"), "init": "Uniform(1)"}),
    ("R04", {**SGD, "model": DEEP.format("sigmoid", "none"), "epochs": "12"}),
    ("R04", {"model": DEEP.format("sigmoid", "none"), "epochs": "12"}),
    ("R10", {"epochs": "3", "patience": "3", "lr": "0.001", "schedule": "Constant()"}),
    ("R14", {"optimizer": "Sgd()", "lr": "0.02", "schedule": "StepDecay(every=1, factor=0.3)"}),
    ("F03", {"regularize": "(Dropout(0.95),)"}),
]

HEALTHY = [
    {},
    {**SGD, "lr": "0.05"},
    {"model": "Mlp(hidden=(64, 64), activation='tanh', norm='none')"},
    {"model": "Mlp(hidden=(64,), activation='sigmoid', norm='none')", "lr": "0.01"},
    {"model": DEEP.format("relu", "batch")},
    {"model": "Mlp(hidden=(128, 128))", "regularize": "(L2(1e-4), Dropout(0.5))"},
    {"optimizer": "AdaDelta()", "lr": "1.0"},
    {"schedule": "StepDecay(every=5)", "epochs": "40", "patience": "10"},
]


TWINS = [*(("digits", c) for c in HEALTHY), *(("wine", c) for c in HEALTHY[:3])]


@pytest.mark.parametrize(("code", "changes"), PLANTED, ids=lambda v: v if type(v) is str else None)
def test_a_planted_fault_is_named_first(code: str, changes: dict[str, str]) -> None:
    found = diagnose(evidence_of(known("digits"), changes)).findings
    assert found and found[0].code == code
    assert found[0].level in ("fault", "warning")
    assert found[0].remedies
    assert not [f for f in found[1:] if f.level == "fault"]


def test_what_shows_early_is_said_early() -> None:
    """A tenth of the epochs is enough for weights of zero, a quarter for a rate far too low."""
    zero = evidence_of(known("digits"), {"init": "Zero()", "epochs": "3"})
    assert diagnose(zero.until(2), ended=False).findings[0].code == "I01"
    slow = evidence_of(known("digits"), {"lr": "0.00001", "epochs": "12"})
    assert diagnose(slow.until(6), ended=False).findings[0].code == "R03"


@pytest.mark.parametrize(("name", "changes"), TWINS, ids=lambda v: v if type(v) is str else None)
def test_healthy_trainings_are_left_alone(name: str, changes: dict[str, str]) -> None:
    evidence = evidence_of(known(name), changes)
    assert diagnose(evidence).healthy
    alone = {n: s[:1] for n, s in evidence.series.items()}
    one = dataclasses.replace(evidence, series=alone, layers=(), best=(), diverged=(False,))
    assert diagnose(one).healthy
    assert all(diagnose(evidence.until(point), ended=False).healthy for point in (2, 6, 12))
    assert name == "wine" or not suspects_rate(evidence, THRESHOLDS)


@cache
def noisy() -> Evidence:
    """Three labels of ten are wrong, and the network is wide enough to learn them by heart."""
    return evidence_of(known("digits", noise=0.3), WIDE)


def test_label_noise_learned_by_heart_is_overfitting() -> None:
    found = diagnose(noisy()).findings
    assert (found[0].code, found[0].level) == ("F01", "warning")
    assert found[0].evidence[0].low is not None and found[0].evidence[0].low > 0.2


def test_train_mode_accuracy_lowers_confidence_in_a_gap() -> None:
    clean = diagnose(noisy()).findings[0]
    other = diagnose(dataclasses.replace(noisy(), clean_train=False)).findings[0]
    assert other.confidence < clean.confidence
    assert "while training" in other.words


def test_labels_of_other_rows_are_not_called_a_matter_of_the_rate() -> None:
    evidence = evidence_of(known("digits", swapped=True), {"lr": "0.01"})
    found = diagnose(evidence).findings
    assert found[0].code == "D10"
    assert all(f.level == "note" for f in found[1:])
    lawful = dataclasses.replace(evidence, reference={"linear": 0.9})
    assert "D10" not in {f.code for f in diagnose(lawful).findings}


def test_a_network_of_one_unit_underfits_where_the_rate_is_cleared() -> None:
    changes = {"model": "Mlp(hidden=(1,), norm='none')", "lr": "0.01", "epochs": "15"}
    wider = {"wider": {"model": "Mlp(hidden=(64,), norm='none')"}}
    evidence = evidence_of(known("digits"), changes, racing=True, arms=wider)
    found = {f.code: f for f in diagnose(evidence).findings}
    assert found["F02"].level == "warning"
    assert found["F02"].remedies[0].settings == (("model", wider["wider"]["model"]),)
    simple = dataclasses.replace(evidence, race=(), reference={"linear": 0.93})
    assert {f.code: f.level for f in diagnose(simple).findings}["F02"] == "note"
    silent = dataclasses.replace(evidence, race=())
    assert "F02" in {u.code for u in diagnose(silent).not_decidable}


def test_a_race_decides_what_curves_do_not_show() -> None:
    """A tenth of a good rate may look good; twice as much is surely better."""
    short = {"epochs": "10", "patience": "10"}
    slow = evidence_of(known("digits"), {"lr": "0.0006", **short}, SEEDS, racing=True)
    found = diagnose(slow).findings
    assert [f.code for f in found if f.level != "note"] == ["R03"]
    assert "race" in found[0].words and found[0].remedies[0].settings == (("lr", "0.0012"),)
    good = evidence_of(known("digits"), {"lr": "0.004", **short}, SEEDS, racing=True)
    assert diagnose(good).healthy and rate_is_cleared(good, THRESHOLDS)


def test_strong_dropout_is_shown_by_a_race_without_it() -> None:
    changes = {"regularize": "(Dropout(0.8),)", "epochs": "12"}
    off = {"regularisation off": {"regularize": "()"}}
    evidence = evidence_of(known("digits"), changes, arms=off)
    found = diagnose(evidence).findings
    assert found[0].code == "F03"
    assert "race" in found[0].words
