"""The diagnosis as a whole: order, causes, what cannot be decided, and any evidence at all."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwell.doctor.diagnose import EXPLAINS, RULES, Diagnosis, diagnose, explained, heaviest
from trainwell.doctor.evidence import (
    UNIT_MEASURES,
    WEIGHT_MEASURES,
    Arm,
    Evidence,
    Floats,
    Layer,
    Setup,
)
from trainwell.doctor.finding import LEVELS, ORDER, Check, Finding, Remedy
from trainwell.doctor.rate_rules import suspects_rate
from trainwell.doctor.thresholds import THRESHOLDS

HEADINGS = ["What it sees:", "Why it matters:", "Evidence:", "When it is wrong:", "Remedies:"]


def healthy(
    members: int = 3, epochs: int = 30, noise: float = 0.02, seed: int = 0, floor: float = 0.1
) -> Evidence:
    """Curves that fall as they should, with noise from epoch to epoch and rows held out."""
    rng = np.random.default_rng(seed)
    fall = np.exp(-np.arange(1, epochs + 1) / (epochs / 10))
    train = floor / 4 + 2 * fall + 0 * rng.normal(size=(members, 1))
    val = floor + 2 * fall + rng.normal(0, noise, (members, 1))
    train = np.abs(train * np.exp(rng.normal(0, noise, (members, epochs))))
    val = np.abs(val * np.exp(rng.normal(0, noise, (members, epochs))))
    series = {
        "lr": np.tile(0.01 * (1 + np.cos(np.linspace(0, np.pi, epochs))), (members, 1)) + 1e-5,
        "train_loss": train,
        "train_accuracy": 1 - train / 4,
        "val_loss": val,
        "val_accuracy": 1 - val / 4,
        "val_error": np.full((members, epochs), 0.02),
    }
    return Evidence(
        np.arange(1.0, epochs + 1),
        series,
        classes=10,
        val_rows=500,
        sample_rows=500,
        train_rows=1500,
        setup=Setup(optimizer="Adam", lr=0.01, epochs=epochs),
    )


def finding(code: str, level: str = "fault", confidence: float = 0.9) -> Finding:
    assert level in LEVELS
    return Finding(code, code.lower(), level, confidence, f"{code} is so.", (), (Remedy("do"),))  # type: ignore[arg-type]


def test_noise_around_healthy_curves_raises_no_alarm() -> None:
    alarms = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        evidence = healthy(
            int(rng.integers(1, 7)), int(rng.integers(10, 60)), float(rng.uniform(0, 0.1)), seed
        )
        alarms += not diagnose(evidence).healthy
    assert alarms <= 3


def test_members_have_no_order() -> None:
    evidence = healthy(5, 20, 0.1)
    order = np.array([3, 0, 4, 1, 2])
    other = dataclasses.replace(evidence, series={n: s[order] for n, s in evidence.series.items()})
    for changed in ("train_loss", "val_loss"):
        broken = {**other.series, changed: other.series[changed] * np.arange(1, 21)}
        before = {n: s[np.argsort(order)] for n, s in broken.items()}
        one = diagnose(dataclasses.replace(evidence, series=before))
        two = diagnose(dataclasses.replace(evidence, series=broken))
        assert [(f.code, f.level) for f in one.findings] == [
            (f.code, f.level) for f in two.findings
        ]


numbers = st.one_of(
    st.floats(0, 10), st.floats(0, 1), st.just(math.nan), st.just(math.inf), st.just(0.0)
)


@st.composite
def anything(draw: st.DrawFn) -> Evidence:
    members, epochs = draw(st.integers(0, 4)), draw(st.integers(0, 12))
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    holes = draw(st.floats(0, 0.5))

    def numbers_of(shape: tuple[int, ...], top: float = 3.0) -> Floats:
        found = rng.uniform(0, top, shape)
        found[rng.random(shape) < holes] = rng.choice([math.nan, math.inf, 0.0])
        return found

    names = draw(
        st.lists(
            st.sampled_from(
                ["lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_error"]
            ),
            unique=True,
        )
    )
    series = {
        n: numbers_of((members, epochs), 1.0 if n.endswith("accuracy") else 3.0) for n in names
    }
    layers = []
    if draw(st.booleans()):
        shape = (members, epochs + 1)
        layers = [
            Layer("1", "weight", {n: numbers_of(shape) for n in WEIGHT_MEASURES}),
            Layer("2", "units", {n: numbers_of(shape, 1.0) for n in UNIT_MEASURES}),
            Layer("3", "weight", {n: numbers_of(shape) for n in WEIGHT_MEASURES[:3]}),
            Layer("4", "units", {n: numbers_of(shape, 1.0) for n in UNIT_MEASURES[:2]}),
        ]
    classes = draw(st.sampled_from([None, 2, 3]))
    runs = draw(st.integers(1, 4))
    arms = ("control", "lr x2", "lr /2", "longer", "regularised", "regularisation off", "wider")
    race = tuple(
        Arm(n, (("lr", "1"),), numbers_of((runs,)), numbers_of((runs,), 1.0), numbers_of((runs,)))
        for n in arms
    )
    confusion = rng.integers(0, 30, (3, 3)).astype(np.int64) if classes == 3 else None
    return Evidence(
        np.arange(1.0, epochs + 1),
        series,
        draw(st.sampled_from(["epoch", "step"])),
        tuple(layers),
        Setup("Sgd", 0.1, 0.9, 1e-20, "Constant", 2, 5, epochs, 5, 12, "tanh", False, 0.9, 0.1),
        classes,
        draw(st.sampled_from([None, 50])),
        draw(st.sampled_from([None, 40])),
        draw(st.sampled_from([None, 40])),
        tuple(rng.integers(0, epochs + 1, members).tolist()) if draw(st.booleans()) else (),
        tuple((rng.random(members) < 0.2).tolist()) if draw(st.booleans()) else (),
        draw(st.booleans()),
        confusion=confusion,
        reference={"linear": 0.5} if draw(st.booleans()) else {},
        race=race if draw(st.booleans()) else (),
        ladder=draw(st.sampled_from([None, {"edge": True}, {"edge": False}])),
    )


@settings(max_examples=150, deadline=None)
@given(anything())
def test_no_evidence_breaks_a_rule(evidence: Evidence) -> None:
    found = diagnose(evidence)
    json.dumps(found.to_json(), allow_nan=False)
    str(found)
    suspects_rate(evidence, THRESHOLDS)
    codes = [f.code for f in found.findings]
    assert len(codes) == len(set(codes))
    assert not set(codes) & {u.code for u in found.not_decidable}
    weights = [LEVELS.index(f.level) for f in found.findings]
    assert weights == sorted(weights, reverse=True)
    assert all(0 <= f.confidence <= 1 and "nan" not in f.words for f in found.findings)


def test_a_cause_makes_its_symptoms_notes() -> None:
    found = {f.code: f for f in explained([finding("F04"), finding("R02"), finding("R01")])}
    assert found["R02"].level == "fault"
    assert found["F04"].level == found["R01"].level == "note"
    assert "(R02) explains this" in found["F04"].words
    assert found["F04"].remedies == found["R02"].remedies


def test_a_cause_is_as_heavy_as_its_symptoms_and_a_note_explains_nothing() -> None:
    found = explained([finding("R02", "warning"), finding("F04", "fault")])
    assert [f.level for f in found] == ["fault", "note"]
    found = explained([finding("R02", "note"), finding("F04", "fault")])
    assert [f.level for f in found] == ["note", "fault"]


def test_check_and_rule_of_one_code_are_one_finding() -> None:
    check = Check("I01", "symmetric", "warning", 1.0, 0.9, "Rows are equal.")
    evidence = dataclasses.replace(
        healthy(), checks=(check, dataclasses.replace(check, code="D01"))
    )
    assert [f.code for f in diagnose(evidence).findings] == ["D01", "I01"]
    assert [f.level for f in heaviest([finding("I01", "note"), finding("I01", "fault")])] == [
        "fault"
    ]
    passed = dataclasses.replace(healthy(), checks=(dataclasses.replace(check, level="pass"),))
    assert not diagnose(passed).findings


def test_what_is_missing_is_named() -> None:
    only = Evidence(np.arange(1.0, 9), {"train_loss": np.linspace(1, 0.1, 8)[None]})
    found = diagnose(only)
    missing = {u.code: u for u in found.not_decidable}
    assert {"F01", "F05", "R04", "R06", "D14", "F02"} <= set(missing)
    assert "R02" not in missing and "R10" not in missing
    assert missing["F05"].words == (
        "To see it would take which held-out rows were taken for which class."
    )
    assert "Not decidable" in str(found)


def test_one_screen_names_the_worst_first() -> None:
    lines = str(Diagnosis((finding("R02"), finding("F07", "note")))).splitlines()
    assert lines[0].startswith("FAULT R02")
    assert "first: do" in lines[2]
    assert str(Diagnosis(())) == "No problem found."


def test_one_screen_stays_one() -> None:
    several = [finding(f"R{n:02}", "note") for n in range(1, 9)]
    several += [finding("D01"), finding("D02", "warning")]
    lines = str(Diagnosis(tuple(several))).splitlines()
    assert lines[0].startswith("FAULT D01")
    assert len([line for line in lines if line.startswith("NOTE")]) == 6
    assert "And 2 more of less weight." in lines


def test_a_loss_that_grew_much_is_told_in_times() -> None:
    loss = np.concatenate([[2.0, 1.0, 0.01], np.linspace(0.5, 2.0, 17)])[None]
    falls = np.linspace(2, 0.1, 20)[None]
    evidence = Evidence(np.arange(1.0, 21), {"train_loss": falls, "val_loss": loss}, classes=10)
    words = {f.code: f.words for f in diagnose(evidence).findings}
    assert "times since" in words["R11"]
    assert max(map(len, str(Diagnosis((), diagnose(evidence).not_decidable)).splitlines())) <= 100
    assert "R04 vanishing-gradient" in str(diagnose(evidence))


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_every_rule_says_what_it_does(rule: object) -> None:
    function = rule.rule  # type: ignore[attr-defined]
    text = inspect.getdoc(function) or ""
    assert text.startswith(f"{rule.code}: ")  # type: ignore[attr-defined]
    places = [text.index(heading) for heading in [*HEADINGS, "Slide:"]]
    assert places == sorted(places)


def test_codes_are_those_of_the_catalogue() -> None:
    assert {r.code for r in RULES} <= set(ORDER)
    assert set(EXPLAINS) | {c for many in EXPLAINS.values() for c in many} <= set(ORDER)
    assert len({r.code for r in RULES}) == len(RULES)
    assert not any(cause in many for cause, many in EXPLAINS.items())
