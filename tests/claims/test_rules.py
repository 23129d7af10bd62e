"""Rules against planted numbers: what is true, what is false, what the numbers leave open."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from trainwell.claims.claim import Contrast, find_claim
from trainwell.claims.rules import Measured, combine_states, combined, decide, judge

N = 12


def planted(noise=0.004, **arms):
    """Measured accuracy of arms: their mean, with noise shared by nobody."""
    rng = np.random.default_rng(1)
    values = {name: mean + noise * rng.normal(size=N) for name, mean in arms.items()}
    return Measured({"accuracy": values, "steps": {k: 100 * v for k, v in values.items()}})


def state(contrast, measured):
    return judge(contrast, measured)[0].state


GAIN = Contrast("gain", "accuracy", ("a",), ("b",), refuted=0.005)


@pytest.mark.parametrize(
    ("a", "b", "expected"), [(0.95, 0.90, "holds"), (0.90, 0.95, "fails"), (0.90, 0.9, "open")]
)
def test_a_gain(a, b, expected):
    assert state(GAIN, planted(0.02, a=a, b=b)) == expected


def test_no_gain_that_matters_fails_what_says_it_helps():
    assert state(GAIN, planted(a=0.90, b=0.90)) == "fails"


def test_below_is_the_mirror_of_above():
    below = dataclasses.replace(GAIN, expect="below", refuted=-0.005)
    assert state(below, planted(a=0.90, b=0.95)) == "holds"
    assert state(below, planted(a=0.95, b=0.90)) == "fails"


@pytest.mark.parametrize(("a", "expected"), [(0.9, "holds"), (0.96, "fails"), (0.93, "open")])
def test_equivalence(a, expected):
    within = Contrast("same", "accuracy", ("a",), ("b",), expect="within", margin=0.03)
    assert state(within, planted(a=a, b=0.9)) == expected


def test_a_ratio_has_a_factor_as_margin():
    ratio = Contrast("faster", "steps", ("a",), ("b",), ratio=True, margin=14.0)
    assert state(ratio, planted(a=28.0, b=1.0)) == "holds"
    assert state(ratio, planted(a=2.5, b=1.0)) == "fails"
    found = judge(ratio, planted(a=2.5, b=1.0))[0].estimate
    assert found.low < 2.5 < found.high


def test_an_interaction_is_a_difference_of_differences():
    both = Contrast("more", "accuracy", ("a",), ("b",), ("c",), ("d",), margin=0.02)
    assert state(both, planted(a=0.9, b=0.8, c=0.9, d=0.88)) == "holds"
    assert state(both, planted(a=0.9, b=0.8, c=0.9, d=0.8)) == "fails"


def test_many_arms_become_one_number():
    a, b = np.array([0.1, 0.2]), np.array([0.4, 0.1])
    assert combined([a, b], "range") == pytest.approx([0.3, 0.1])
    assert combined([a, b], "slope", (0.0, 3.0)) == pytest.approx([0.1, -1 / 30])


def test_a_computed_number_has_no_chance():
    exact = Contrast("number", "accuracy", ("a",), margin=0.9, sampled=False)
    assert state(exact, Measured({"accuracy": {"a": np.array([0.95, 0.95])}})) == "holds"
    assert state(exact, Measured({"accuracy": {"a": np.array([0.85, 0.85])}})) == "fails"


@pytest.mark.parametrize(
    ("how", "count", "states", "expected"),
    [
        ("all", 1, ["holds", "holds"], "reproduced"),
        ("all", 1, ["holds", "open"], "not decided"),
        ("all", 1, ["open", "fails"], "refuted"),
        ("any", 1, ["fails", "holds"], "reproduced"),
        ("any", 1, ["fails", "open"], "not decided"),
        ("any", 1, ["fails", "fails"], "refuted"),
        ("at_least", 2, ["holds", "holds", "fails"], "reproduced"),
        ("at_least", 2, ["holds", "open", "fails"], "not decided"),
        ("at_least", 2, ["holds", "fails", "fails"], "refuted"),
    ],
)
def test_verdicts_of_states(how, count, states, expected):
    claim = dataclasses.replace(find_claim("more_data"), decide=how, count=count)
    assert combine_states(states, claim) == expected


def claim_of(*contrasts):
    return dataclasses.replace(find_claim("more_data"), contrasts=contrasts, decide="all")


def test_a_control_that_does_not_hold_leaves_it_undecided():
    control = dataclasses.replace(GAIN, name="control", of=("c",), role="control")
    found = decide(claim_of(GAIN, control), planted(a=0.95, b=0.9, c=0.9))
    assert found.verdict == "not decided"
    assert "control" in found.settle
    assert decide(claim_of(GAIN, control), planted(a=0.95, b=0.9, c=0.95)).verdict == "reproduced"


def test_what_would_settle_an_open_claim():
    found = decide(claim_of(GAIN), planted(0.02, a=0.9, b=0.9))
    assert found.verdict == "not decided"
    assert "repetitions would settle it" in found.settle


def test_chance_alone_is_seldom_called_a_gain():
    """Equal arms, 300 times: at most 5 % are reproduced (and the doubling of Holm not needed)."""
    rng = np.random.default_rng(0)
    calls = 0
    for _ in range(300):
        values = {k: rng.normal(size=10) for k in "ab"}
        strict = Contrast("gain", "accuracy", ("a",), ("b",))
        calls += decide(claim_of(strict), Measured({"accuracy": values})).verdict == "reproduced"
    assert calls <= 15
