"""The coach inside a fit: what it may cost, and what is booked for uneven classes."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from trainwell.coach.balancing import Balanced
from trainwell.coach.decision import Decision
from trainwell.coach.loop import TRIES, Coach, Coached
from trainwell.coach.run import Shown, improve
from trainwell.data.read import read
from trainwell.data.split import make_split
from trainwell.engine.trainer import Seen
from trainwell.options import Options, chosen_recipe
from trainwell.recipe import Recipe
from trainwell.training import _sized

START, OTHER = Recipe(epochs=20), Recipe(epochs=7)


class Booked(Coach):
    """A coach that only says with what it was sent."""

    def improve(self, start: Any) -> Coached:
        return Coached(start.recipe, start, ("then",), (), self.units, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cost", "unit", "least", "left"),
    [(10.0, 20, 0.0, 20.0), (10.0, 40, 0.0, 25.0), (28.0, 20, 9.0, 9.0), (0.0, 20, 9.0, 30.0)],
)
def test_what_uneven_classes_cost_is_not_there_for_the_rounds(
    cost: float, unit: int, least: float, left: float
) -> None:
    arm: Any = SimpleNamespace(recipe=START)
    tried = Decision(0, "imbalance", "", "first", {}, "not shown", "words", cost=cost)
    first = Balanced(arm, (tried,), frozenset({OTHER}), cost)
    balancer: Any = SimpleNamespace(improve=lambda start: first)
    arena: Any = None
    coach = Booked(arena, units=30.0, unit=unit)
    balanced, found = improve(arm, balancer, coach, least)
    assert balanced is first
    assert coach.units == left
    assert coach.tried == {OTHER: TRIES}
    assert found.decisions[1:] == ("then",)
    assert found.decisions[0].cost == pytest.approx(cost * 20 / unit)  # in the rounds' unit
    assert found.cost == pytest.approx(cost * 20 / unit + left)


def test_a_budget_with_a_coach_has_fewer_seeds_and_as_many_folds() -> None:
    data = read("digits")
    split = make_split(data, seed=0, folds=2, test=0.2)
    alone = Options(budget=200, coach=False)
    recipe = chosen_recipe(data, alone)

    def size(options: Options) -> tuple[int, int, int]:
        found = _sized(data, split, recipe, options)[0]
        return found.folds, found.seeds, found.epochs

    folds, seeds, epochs = size(alone)
    assert seeds == 3
    with_coach = dataclasses.replace(alone, coach=True)
    assert size(with_coach) == (folds, 2, epochs)
    assert size(dataclasses.replace(with_coach, seeds=3)) == (folds, 3, epochs)  # as asked


def test_the_coach_shows_how_far_it_is_of_all_that_it_may_cost() -> None:
    """Its steps are many: the end of one is not the end of the stage."""
    said: list[tuple[float, str, bool]] = []
    progress: Any = SimpleNamespace(update=lambda *told: said.append(told))
    shown = Shown(progress, epochs=100.0)
    for epochs, share in ((5, 0.5), (10, 1.0), (4, 0.1), (15, 0.4)):
        shown(Seen(share, epochs, ()))
    assert [share for share, _, _ in said] == pytest.approx([0.05, 0.1, 0.14, 0.25])
    assert [estimate for _, _, estimate in said] == [False, False, False, True]
    assert said[-1][1] == "25 epochs of candidates"
