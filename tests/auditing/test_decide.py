"""The verdict: a pure function, causes before symptoms."""

from __future__ import annotations

import dataclasses

import pytest

from trainwell.auditing.decide import Evidence, decide, labels_break
from trainwell.auditing.labels import Labels
from trainwell.stats import Interval
from trainwell.verdict import Comparison


def gain(word, value=0.0):
    ends = Interval(value, value - 0.01, value + 0.01)
    return Comparison(ends, 0.01, word, 0, f"{word} by so much")


def labels(broken=0.0, low=-0.01, worst=None):
    b = Interval(broken, low, broken + 0.02)
    kept = Interval(1 - broken, 0.9, 1.0)
    return Labels(kept, b, worst, Interval(0.9, 0.8, 1.0), 0.95, 500)


SOUND = Evidence(gain=gain("better", 0.03), labels=labels(), moved=0.5)
NEAR = Interval(0.5, 0.45, 0.55)
FEW = Interval(0.002, 0.0, 0.006)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "helps"),
        ({"gain": gain("worse", -0.03)}, "harmful"),
        ({"gain": gain("not shown")}, "not shown"),
        ({"gain": None}, "not shown"),
        ({"gain": gain("no difference that matters")}, "useless"),
        ({"gain": gain("not shown"), "moved": 0.001}, "useless"),
        ({"gain": gain("not shown"), "copied": 1.0, "moved": None}, "useless"),
        ({"near_held": NEAR, "near_train": FEW}, "leaks"),
        ({"near_held": FEW, "near_train": FEW}, "helps"),
        ({"gain": gain("not shown"), "labels": labels(0.06, 0.04)}, "breaks labels"),
        ({"gain": gain("worse"), "labels": labels(0.06, 0.04)}, "breaks labels"),
        ({"gain": gain("better"), "labels": labels(0.06, 0.04)}, "helps"),
        ({"labels": labels(0.06, 0.04), "near_held": NEAR, "near_train": FEW}, "leaks"),
    ],
)
def test_the_word_follows_from_the_evidence(changes, word):
    assert decide(dataclasses.replace(SOUND, **changes)).word == word


def test_data_full_of_near_twins_do_not_make_a_leak():
    twins = dataclasses.replace(SOUND, near_held=NEAR, near_train=Interval(0.5, 0.45, 0.55))
    assert decide(twins).word == "helps"


def test_one_class_that_breaks_is_enough_and_is_named():
    worst = (6, 9, Interval(0.3, 0.15, 0.45))
    broken = labels(0.02, -0.005, worst)
    assert labels_break(broken)
    names = tuple("0123456789")
    words = decide(dataclasses.replace(SOUND, gain=gain("not shown"), labels=broken), names).words
    assert '30% of "6", most into "9"' in words


def test_a_gain_that_is_lost_elsewhere_is_said():
    lost = dataclasses.replace(SOUND, elsewhere=Interval(-0.02, -0.03, -0.01))
    assert "nearness to these data" in decide(lost).words
    held = dataclasses.replace(SOUND, elsewhere=Interval(0.02, 0.01, 0.03))
    assert "holds on shifted rows" in decide(held).words


def test_json_has_the_fields_that_are_promised():
    told = SOUND.to_json()
    assert told["gain"]["value"] == 0.03
    assert set(told) >= {"gain", "affinity", "diversity", "label_agreement"}


def test_a_weak_reference_is_not_believed_as_a_good_one_is():
    sure = labels(0.06, 0.04)
    assert labels_break(sure)
    assert not labels_break(dataclasses.replace(sure, clean_accuracy=0.7))
