"""What checks weigh once a training has ended, and which arm of a race is the cause."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from trainwell.doctor.diagnose import diagnose, explained, placed
from trainwell.doctor.evidence import Arm, Evidence, Setup
from trainwell.doctor.finding import Check, Finding, Where
from trainwell.doctor.rate_rules import wrong_sign
from trainwell.doctor.thresholds import THRESHOLDS
from trainwell.doctor.weighing import race_explains, weighed, without_harm


def curves(end: float, members: int = 3, epochs: int = 20) -> Evidence:
    """Losses that fall exponentially from ln 10 to `end`."""
    line = np.geomspace(math.log(10), end, epochs)
    loss = np.tile(line, (members, 1))
    accuracy = np.clip(1 - loss / math.log(10), 0.1, 1.0)
    series = {
        "train_loss": loss,
        "val_loss": loss * 1.02,
        "train_accuracy": accuracy,
        "val_accuracy": accuracy,
        "val_error": loss * 0.01,
    }
    return Evidence(
        np.arange(1.0, epochs + 1),
        series,
        classes=10,
        val_rows=500,
        diverged=(False,) * members,
        best=(epochs,) * members,
    )


def finding(code: str, level: str = "warning") -> Finding:
    return Finding(code, "x", level, 0.8, "words.")  # type: ignore[arg-type]


def test_a_doubt_about_the_start_is_a_note_where_the_training_went_well() -> None:
    (found,) = weighed([finding("I05")], curves(0.02), THRESHOLDS)
    assert found.level == "note"
    assert "went well" in found.words


def test_a_doubt_stays_where_it_did_not() -> None:
    (found,) = weighed([finding("I05")], curves(2.2), THRESHOLDS)
    assert found.level == "warning"


def test_a_doubt_stays_where_a_simple_model_is_better() -> None:
    evidence = dataclasses.replace(curves(0.4), reference={"neighbours": 1.0})
    (found,) = weighed([finding("I05")], evidence, THRESHOLDS)
    assert found.level == "warning"


def test_labels_that_a_network_predicts_are_not_called_those_of_other_rows() -> None:
    doubt = Check("D10", "misaligned-labels", "warning", 0.5, 0.05, "w.").as_finding()
    assert doubt is not None
    (found,) = weighed([doubt], curves(0.5), THRESHOLDS)
    assert found.level == "note" and "the network predicts" in found.words
    (found,) = weighed([doubt], curves(2.2), THRESHOLDS)
    assert found.level == "warning"


def test_a_fault_is_never_made_lighter() -> None:
    (found,) = weighed([finding("I05", "fault")], curves(0.02), THRESHOLDS)
    assert found.level == "fault"


def test_an_unusual_set_up_is_a_warning_where_little_was_learned() -> None:
    (found,) = weighed([finding("N06", "note")], curves(2.2), THRESHOLDS)
    assert found.level == "warning"
    (fine,) = weighed([finding("N06", "note")], curves(0.02), THRESHOLDS)
    assert fine.level == "note"


def test_without_curves_checks_stay_as_they_are() -> None:
    evidence = Evidence(np.zeros(0), {}, classes=3)
    assert weighed([finding("I05")], evidence, THRESHOLDS)[0].level == "warning"


@pytest.mark.parametrize(
    ("found", "balanced", "level"),
    [(95, None, "note"), (40, None, "warning"), (40, True, "note")],
)
def test_imbalance_is_a_note_only_where_rare_classes_are_surely_found(
    found: int, balanced: bool | None, level: str
) -> None:
    table = np.array([[980, 20], [100 - found, found]])
    evidence = dataclasses.replace(
        curves(0.02), confusion=table, setup=Setup(balanced=balanced), class_counts=(9800, 1000)
    )
    (after,) = without_harm([finding("D08")], evidence, THRESHOLDS)
    assert after.level == level


def test_imbalance_with_few_rare_rows_is_not_called_harmless() -> None:
    evidence = dataclasses.replace(curves(0.02), confusion=np.array([[100, 0], [1, 2]]))
    (after,) = without_harm([finding("D08")], evidence, THRESHOLDS)
    assert after.level == "warning"


def arm(name: str, gain: float) -> Arm:
    noise = np.array([0.0, 0.004, -0.004])
    accuracy = 0.6 + gain + noise
    return Arm(name, (), 1.2 - 2 * (gain + noise), accuracy, 1.0 - gain + noise)


def test_the_arm_that_gains_most_is_the_cause() -> None:
    race = (arm("control", 0.0), arm("lr /2", 0.06), arm("regularisation off", 0.3))
    evidence = dataclasses.replace(curves(2.0), race=race)
    assert race_explains(evidence, THRESHOLDS) == ("F03", ("R02",))


def test_arms_that_gain_alike_explain_nothing() -> None:
    race = (arm("control", 0.0), arm("lr /2", 0.25), arm("regularisation off", 0.3))
    evidence = dataclasses.replace(curves(2.0), race=race)
    assert race_explains(evidence, THRESHOLDS) == ("", ())


def test_a_beaten_arm_is_a_symptom_of_the_winner() -> None:
    told = explained([finding("R02", "fault"), finding("F03")], ("F03", ("R02",)))
    levels = {f.code: f.level for f in told}
    assert levels == {"R02": "note", "F03": "fault"}


def test_nothing_explains_itself() -> None:
    (told,) = explained([finding("R13")])
    assert told.level == "warning"


def climbing(first: float, update: float) -> Evidence:
    from trainwell.doctor.evidence import Layer

    loss = np.tile([first, 3 * first, 9 * first, np.inf], (2, 1))
    measures = {"update": np.tile([np.nan, update, update, update, np.nan], (2, 1))}
    return Evidence(
        np.arange(1.0, 5),
        {"train_loss": loss},
        layers=(Layer("0", "weight", measures),),
        classes=10,
        diverged=(True, True),
    )


def test_a_loss_that_is_climbed_in_small_steps_has_the_wrong_sign() -> None:
    found = wrong_sign(climbing(2.6, 0.02), THRESHOLDS)
    assert found is not None
    assert found.code == "N13"


@pytest.mark.parametrize(("first", "update"), [(2.6, 0.3), (1.5, 0.02)])
def test_long_steps_or_a_loss_below_a_guess_are_no_wrong_sign(first: float, update: float) -> None:
    assert wrong_sign(climbing(first, update), THRESHOLDS) is None


def test_findings_get_the_epochs_that_show_them() -> None:
    evidence = curves(0.5, epochs=10)
    late = dataclasses.replace(finding("R10"), where=Where("loss"))
    (shown,) = placed([late], evidence)
    assert shown.where is not None
    assert shown.where.epochs == (9.0, 10.0)
    own = dataclasses.replace(finding("R10"), where=Where("loss", (2.0, 3.0)))
    assert placed([own], evidence)[0].where == own.where


def test_checks_that_were_not_made_are_no_findings() -> None:
    left_out = Check("F08", "cannot-overfit-tiny-batch", "note", None, None, "no time")
    evidence = dataclasses.replace(curves(0.02), checks=(left_out,))
    assert diagnose(evidence).findings == ()
