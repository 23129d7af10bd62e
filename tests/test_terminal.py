"""What is proposed to type next: a command that changes something."""

from __future__ import annotations

import dataclasses
import shlex
from functools import partial

import numpy as np
import pytest

from trainwell.cli.fitting import is_new
from trainwell.doctor.diagnose import diagnose
from trainwell.doctor.evidence import Evidence, Setup
from trainwell.doctor.finding import Check, Finding, Remedy
from trainwell.doctor.network_remedies import batch_norm, leaky_relu, relu
from trainwell.next_command import next_command
from trainwell.recipe import Linear, Mlp, Recipe, edit, fields_as_text, would_change
from trainwell.techniques.balance import ClassWeights
from trainwell.techniques.models import Cnn, ResNet
from trainwell.terminal import summary

DEEP = Mlp(hidden=(16,) * 8, activation="sigmoid", norm="none")
COMMAND = "trainwell fit digits --set 'lr=0.1'"


def setup(model):
    norm = getattr(model, "norm", None)
    normalised = None if norm is None else norm != "none"
    return Setup(
        model=repr(model), activation=getattr(model, "activation", None), normalised=normalised
    )


def found(*remedies):
    return [Finding("R04", "vanishing-gradient", "fault", 0.9, "", (), remedies).to_json()]


def test_settings_of_the_recipe_are_not_proposed():
    changes = partial(would_change, fields_as_text(Recipe(model=DEEP)))
    he = Remedy("He", (("init", "He()"),))
    assert next_command(found(he), COMMAND, changes) == ""
    assert "init=He()" in next_command(found(he), COMMAND)
    other = next_command(found(he, Remedy("Xavier", (("init", "Xavier()"),))), COMMAND, changes)
    assert "init=Xavier()" in other
    assert next_command(found(Remedy("words alone")), COMMAND, changes) == ""


def test_units_that_do_not_saturate_are_a_setting():
    """What is proposed for a deep sigmoid net can be typed, and makes it one of ReLU units."""
    changes = partial(would_change, fields_as_text(Recipe(model=DEEP)))
    remedies = (relu(setup(DEEP)), Remedy("He", (("init", "He()"),)), batch_norm(setup(DEEP)))
    words = shlex.split(next_command(found(*remedies), COMMAND, changes))
    assert words[-2] == "--set"
    name, _, value = words[-1].partition("=")
    assert edit(Recipe(), {name: value}, "x").model == Mlp(hidden=(16,) * 8, norm="none")
    assert edit(Recipe(), dict(batch_norm(setup(DEEP)).settings), "x").model.norm == "batch"


def test_a_check_of_the_network_gets_the_setting_of_its_recipe():
    check = Check("N06", "unsuited-activation", "note", 8, 3, "", (Remedy("use ReLU"),))
    evidence = Evidence(np.arange(1.0), {}, setup=setup(DEEP), checks=(check,))
    (mended,) = diagnose(evidence).findings
    (remedy,) = mended.remedies
    assert (remedy.says, remedy.settings) == ("use ReLU", relu(setup(DEEP)).settings)
    unknown = dataclasses.replace(evidence, setup=Setup())
    assert diagnose(unknown).findings[0].remedies == check.remedies


@pytest.mark.parametrize("model", [Linear(), ResNet(), None])
def test_models_without_the_option_get_words_alone(model):
    known = Setup() if model is None else setup(model)
    assert relu(known).settings == batch_norm(known).settings == ()


def test_units_that_are_silent_become_leaky():
    remedy = leaky_relu(setup(Cnn()))
    assert edit(Recipe(), dict(remedy.settings), "x").model.activation == "leaky_relu"
    assert leaky_relu(setup(DEEP)).settings == ()
    assert relu(setup(Cnn())).settings == ()
    assert batch_norm(setup(Cnn())).settings == ()


def test_recipes_of_other_versions_are_compared_as_text():
    fields = {"no such field": "1", "lr": "0.1"}
    assert not would_change(fields, {"lr": "0.1"})
    assert would_change(fields, {"lr": "0.2"})


def result(**more):
    scores = {n: {"value": 0.9075, "low": 0.9, "high": 1.0} for n in ("accuracy", "log_loss")}
    scores |= {"balanced_accuracy": scores["accuracy"], "n": 40}
    found = Finding("F01", "overfitting", "warning", 0.9, "w", (), (Remedy("x", (("lr", "1"),)),))
    facts = {"name": "d", "test": scores, "baselines": [], "warnings": [], "run": "r"}
    facts |= {"command": "trainwell fit d.csv --budget 60s --out r", "seconds": 60.0}
    facts |= {"recipe": {"epochs": "8"}, "members": [{"epochs": 3}], "out_of_time": False}
    return facts | {"findings": [found.to_json()]} | more


def test_where_time_was_up_more_time_comes_before_any_remedy():
    told = summary(result(out_of_time=True), "report.html")
    assert "next     trainwell fit d.csv --budget 4m" in told.splitlines()
    assert "raise --budget" in told and "lr=1" not in told.split("first ")[1]
    alone = summary(result(out_of_time=True, findings=[]), "report.html")
    assert "--budget 4m" in alone
    usual = summary(result(), "report.html")
    assert "--set lr=1" in usual.split("next ")[1] and "raise --budget" not in usual


def test_a_score_is_rounded_alike_everywhere():
    told = summary(result(), "report.html")
    assert "90.8% right" in told and "0.908 [0.900, 1.000]" in told
    assert "0.907 [" in told  # the log loss is no share


PARTLY = {"share": "1 of 2 classes", "words": 'only 1 of 2 classes could be measured: do "this"'}


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("accuracy", "d: rows of 1 of 2 classes 90.8% right on 40"),
        ("balanced_accuracy", "d: balanced accuracy of 1 of 2 classes 90.8% on 40"),
        ("log_loss", "d: log loss of 1 of 2 classes 0.907 on 40"),
    ],
)
def test_a_score_of_some_of_the_classes_does_not_read_like_one_of_all(metric, said):
    missing = {"imbalance": {"unmeasured": PARTLY}, "metric": {"name": metric}}
    told = summary(result(warnings=[PARTLY["words"], "another"], **missing), "report.html")
    first, second = told.splitlines()[1:3]
    assert first.startswith(said) and second == PARTLY["words"]
    assert told.count(PARTLY["words"]) == 1 and "note:    another" in told
    assert "balanced, 1 of 2 classes" in told
    whole = summary(result(metric={"name": metric}, imbalance={"unmeasured": None}), "report.html")
    assert "classes" not in whole


def test_long_notes_are_wrapped():
    told = summary(result(warnings=["a long note " * 20]), "report.html")
    assert max(map(len, told.splitlines())) <= 96


def test_what_the_coach_has_tried_is_not_proposed_again():
    names = ("ClassWeights()", "Oversample()")
    remedies = [str(Remedy("do", (("balance", name),))) for name in names]
    tried = {"changes": {"balance": repr(ClassWeights())}, "outcome": "not shown"}
    run = {"recipe": fields_as_text(Recipe()), "decisions": [tried]}
    found = [{"remedies": remedies}]
    told = next_command(found, COMMAND, partial(is_new, run))
    assert "Oversample" in told and "ClassWeights" not in told
    late = run | {"decisions": [tried | {"outcome": "not trained"}]}
    assert "ClassWeights" in next_command(found, COMMAND, partial(is_new, late))
