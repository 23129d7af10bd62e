"""A recipe's network before its training: starting recipes pass, broken ones are named."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from helpers.data import clips, digits, examples, pictures, table
from trainwell.data.dataset import Dataset
from trainwell.data.split import make_split
from trainwell.doctor.checkup import Checkup
from trainwell.doctor.preflight import initial_network, preflight, rule_steps
from trainwell.engine.members import Member
from trainwell.recipe import Recipe, edit, starting_recipe
from trainwell.techniques.optim.first_order import AdaDelta, Adam, Momentum, Sgd
from trainwell.techniques.optim.matrix import Muon


def _looked_at(data: Dataset, seconds: float = 0.0, **changes: str) -> Checkup:
    recipe = edit(starting_recipe(data.schema, len(data)), changes, "test")
    return preflight(data, recipe, make_split(data, seed=0, folds=2, test=0.2), 0, seconds)


@pytest.mark.parametrize("data", [table(), pictures(), clips(), digits()], ids=lambda d: d.name)
def test_a_starting_recipe_gets_no_warning(data: Dataset) -> None:
    found = _looked_at(data)
    assert found.worst in ("pass", "note"), str(found)
    assert not [c for c in found.checks if "measured:" in c.words], str(found)


def test_short_trainings_of_a_starting_recipe_pass() -> None:
    found = _looked_at(table(rows=300), seconds=60)
    levels = {c.code: c.level for c in found.checks}
    assert levels["F08"] == levels["F09"] == levels["R02"] == "pass"


DEEP = "Mlp(hidden=(64, 64, 64), norm='none')"


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"init": "Zero()"}, "I01", "fault"),
        ({"init": "Uniform()", "model": DEEP}, "I02", "fault"),
        ({"init": "SmallRandom()", "model": DEEP}, "I03", "fault"),
        ({"preprocess": "()"}, "D01", "fault"),
        ({"regularize": "(L2(biases=True),)"}, "N14", "note"),
        ({"regularize": "(InputDropout(drop=0.5),)"}, "N07", "note"),
        ({"regularize": "(Dropout(drop=0.8),)"}, "N07", "note"),
        ({"model": "Mlp(hidden=(2,))"}, "N08", "warning"),
        ({"loss": "MeanSquared()"}, "N01", "warning"),
        ({"loss": "MeanSquared(on='logits')"}, "N01", "warning"),
    ],
)
def test_a_broken_recipe_is_named(changes: dict[str, str], code: str, level: str) -> None:
    found = _looked_at(table(rows=300, classes=4), **changes)
    assert (code, level) in {(c.code, c.level) for c in found.checks}, str(found)


@pytest.mark.parametrize(("lr", "code"), [("1e-7", "R03"), ("100.0", "R02")])
def test_a_rate_far_outside_of_the_bracket_is_named(lr: str, code: str) -> None:
    found = _looked_at(table(rows=300), seconds=60, lr=lr, optimizer="Adam()")
    assert {c.code: c.level for c in found.checks}[code] == "warning"


def test_the_initial_network_is_that_of_the_training() -> None:
    data = table()
    recipe = starting_recipe(data.schema, len(data))
    rows = torch.arange(60).numpy()
    some = examples(data, recipe, rows)
    first, again = (
        initial_network(Member(recipe, 0, rows, rows[:0], s), some).state_dict() for s in (3, 3)
    )
    other = initial_network(Member(recipe, 0, rows, rows[:0], 4), some).state_dict()
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not all(torch.equal(first[n], other[n]) for n in first)


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        (Sgd(), lambda p: torch.optim.SGD(p, 0.1)),
        (Momentum(), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        (Adam(), lambda p: torch.optim.Adam(p, 0.1)),
    ],
)
def test_steps_are_those_of_the_rule(rule, theirs) -> None:
    torch.manual_seed(0)
    ours, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    other.load_state_dict(ours.state_dict())
    step = rule_steps(dataclasses.replace(Recipe(), optimizer=rule, lr=0.1))(ours)
    optimizer = theirs(other.parameters())
    x = torch.randn(8, 3)
    for _ in range(3):
        for net in (ours, other):
            net.zero_grad()
            net(x).square().mean().backward()
        step(None)
        optimizer.step()
    assert torch.allclose(ours.weight, other.weight, atol=1e-5)


@pytest.mark.parametrize("rule", [AdaDelta(), Muon()])
def test_other_rules_step_as_well(rule) -> None:
    net = torch.nn.Linear(3, 2)
    before = net.weight.detach().clone()
    net(torch.ones(4, 3)).square().mean().backward()
    rule_steps(dataclasses.replace(Recipe(), optimizer=rule))(net)(0.5)
    assert not torch.equal(net.weight, before)
