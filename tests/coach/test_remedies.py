"""What may be tried: from findings to recipes with one change, in the lecture's order."""

from __future__ import annotations

import dataclasses

import pytest

from helpers.data import clips, pictures, table
from trainwell.coach.remedies import Candidate, candidates, difference
from trainwell.doctor.diagnose import RULES
from trainwell.doctor.finding import Finding, Remedy
from trainwell.recipe import Recipe, starting_recipe
from trainwell.recipe_check import check_against
from trainwell.techniques.augment.images import Shift
from trainwell.techniques.init import Zero
from trainwell.techniques.losses import MeanSquared
from trainwell.techniques.models import Cnn, Mlp
from trainwell.techniques.optim.first_order import Adam, Momentum
from trainwell.techniques.regularize import L2, Dropout
from trainwell.techniques.schedules import Constant, ExponentialDecay

SCHEMA = table().schema
RECIPE = Recipe(model=Mlp((32, 32)), lr=0.01, epochs=20)


def finding(code: str, *remedies: Remedy) -> Finding:
    return Finding(code, "problem", "warning", 0.9, "words", remedies=remedies)


def names(found: list[Candidate]) -> list[str]:
    return [c.name for c in found]


def test_remedies_of_findings_come_first_in_their_order() -> None:
    slower = Remedy("halve the rate", (("lr", "0.005"),))
    found = candidates([finding("R02", slower), finding("R10")], RECIPE, SCHEMA, 0.1, 0.0)
    assert found[0].name == "halve the rate"
    assert found[0].recipe.lr == 0.005
    assert found[1].name == "a learning rate from a ladder"
    assert found[1].recipe.lr is None
    assert found[2].because == "R10"


def test_a_gap_asks_for_regularisation_and_no_gap_for_capacity() -> None:
    gap = names(candidates([], RECIPE, SCHEMA, gap=0.1, error=0.0))
    assert any("dropout" in n for n in gap)
    assert not any("wide" in n for n in gap)
    none = names(candidates([], RECIPE, SCHEMA, gap=0.0, error=0.05))
    assert none[:3] == ["a learning rate from a ladder", "twice as wide", "one layer deeper"]
    assert not any("dropout" in n for n in none)


def test_a_poor_training_is_offered_what_is_usual_for_such_data() -> None:
    small = dataclasses.replace(RECIPE, model=Mlp((2,), norm="none"), optimizer=Momentum())
    found = candidates([], small, SCHEMA, gap=0.0, error=0.6, rows=3000)
    named = {c.name: c for c in found}
    assert "the network that is usual here, 128-128 units" in named
    anew = [c for c in found if c.anew]
    assert [c.recipe.model for c in anew] == [Mlp((128, 128))]
    assert anew[0].recipe.epochs == small.epochs
    assert "ReLU, batch norm and He's initial weights" in named
    already = candidates([], dataclasses.replace(RECIPE, model=Mlp((512,))), SCHEMA, 0.0, 0.6)
    assert not [c for c in already if "usual here" in c.name]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"schedule": ExponentialDecay(rate=2.0)}, "a rate annealed over the whole training"),
        ({"shuffle": "by_class"}, "rows shuffled in every epoch"),
        ({"loss": MeanSquared()}, "cross-entropy as the loss"),
        ({"optimizer": Adam(eps=1.0)}, "Adam with its defaults"),
        ({"regularize": (Dropout(0.9),)}, "L2 1e-4 and dropout 0.2 in place of what is strong"),
        ({"init": Zero()}, "He's initial weights"),
        ({"batch_size": 2}, "batches of 32"),
        ({"schedule": Constant()}, "an annealed learning rate"),
    ],
)
def test_what_is_unusual_is_suspected(changes: dict[str, object], name: str) -> None:
    recipe = dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]
    found = names(candidates([], recipe, SCHEMA, gap=0.1, error=0.05))
    assert name in found[:3]
    assert name not in names(candidates([], RECIPE, SCHEMA, gap=0.1, error=0.05))


def test_every_candidate_changes_something_and_tunes_its_own_rate() -> None:
    for found in candidates([finding("F01"), finding("D08")], RECIPE, SCHEMA, 0.1, 0.1):
        changed = difference(RECIPE, found.recipe)
        assert set(changed) - {"lr"} or found.because == "rate", found.name
        assert found.recipe.lr is None, found.name


def test_no_candidate_comes_twice() -> None:
    found = candidates([finding("F01"), finding("R11")], RECIPE, SCHEMA, 0.1, 0.1)
    recipes = [c.recipe for c in found]
    assert len(set(recipes)) == len(recipes)
    assert RECIPE not in recipes


@pytest.mark.parametrize("data", [table(), pictures(), clips()], ids=lambda d: d.kind)
@pytest.mark.parametrize("code", [r.code for r in RULES] + ["D01", "D02", "D08", "N07", "I04"])
def test_candidates_of_every_code_suit_the_data(code: str, data: object) -> None:
    schema = data.schema  # type: ignore[attr-defined]
    recipe = dataclasses.replace(starting_recipe(schema, 500), lr=0.01)
    for found in candidates([finding(code)], recipe, schema, 0.1, 0.1):
        check_against(found.recipe, schema)


def test_augmentation_is_offered_once_and_by_kind() -> None:
    recipe = Recipe(model=Cnn(), lr=0.01)
    found = candidates([], recipe, pictures().schema, 0.1, 0.0)
    assert found[1].recipe.augment[0] == Shift()
    already = dataclasses.replace(recipe, augment=(Shift(),))
    later = candidates([], already, pictures().schema, 0.1, 0.0)
    assert not any(n.startswith("augmentation") for n in names(later))
    assert "no augmentation" in names(later)


def test_regularisation_is_replaced_and_not_added_twice() -> None:
    recipe = dataclasses.replace(RECIPE, regularize=(L2(1e-3), Dropout(0.2)))
    for found in candidates([finding("F01")], recipe, SCHEMA, 0.1, 0.0):
        kinds = [type(r) for r in found.recipe.regularize]
        assert len(set(kinds)) == len(kinds), found.name


def test_a_constant_rate_is_annealed() -> None:
    recipe = dataclasses.replace(RECIPE, schedule=Constant())
    found = names(candidates([], recipe, SCHEMA, 0.0, 0.0))
    assert "an annealed learning rate" in found


def test_settings_that_do_not_fit_are_left_out() -> None:
    wrong = Remedy("nonsense", (("no_such_field", "1"),))
    found = candidates([finding("R12", wrong)], RECIPE, SCHEMA, 0.0, 0.0)
    assert "nonsense" not in names(found)
