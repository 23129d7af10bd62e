"""A race is answered in words: each arm by its rate, and which is shown to be better."""

from __future__ import annotations

import numpy as np

from trainwell.doctor.evidence import Arm, Evidence, Setup
from trainwell.doctor.race import race_table


def arm(name: str, loss: float, accuracy: float, lr: str = "") -> Arm:
    changes = (("lr", lr),) if lr else ()
    spread = np.array([-0.001, 0.0, 0.001])
    return Arm(name, changes, loss + spread, accuracy + spread, loss + spread)


def raced(*arms: Arm) -> Evidence:
    return Evidence(np.arange(2.0), {}, setup=Setup(lr=0.01), race=arms, val_rows=500)


def test_no_race_no_words() -> None:
    assert race_table(raced()) is None


def test_each_arm_and_the_conclusion() -> None:
    control = arm("control", 0.5, 0.80)
    found = race_table(
        raced(control, arm("lr x2", 0.3, 0.95, "0.02"), arm("lr /2", 0.6, 0.7, "0.005"))
    )
    assert found is not None
    assert found["words"] == (
        "rate 0.01: accuracy 80.0 %, log loss 0.500; rate 0.02: accuracy 95.0 %, log loss 0.300; "
        "rate 0.005: accuracy 70.0 %, log loss 0.600 (validation, mean of 3 runs each); "
        "shown to be better: rate 0.02"
    )
    assert [a["better"] for a in found["arms"]] == [False, True, False]
    alike = race_table(raced(control, arm("lr x2", 0.5, 0.80, "0.02")))
    assert alike is not None and alike["words"].endswith("shown to be better: none")


def test_an_arm_that_diverged() -> None:
    nothing = np.full(3, np.inf)
    wild = Arm("lr x2", (("lr", "0.02"),), nothing, np.zeros(3), nothing)
    found = race_table(raced(arm("control", 0.5, 0.8), wild))
    assert found is not None
    assert "rate 0.02: diverged" in found["words"] and found["arms"][1]["diverged"] == 3
