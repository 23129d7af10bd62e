"""Cheap screening: the better half goes on, each candidate with its best rate."""

from __future__ import annotations

import dataclasses

import pytest

from helpers.data import table
from trainwell.arms import Arena, cells_of
from trainwell.coach.changes import Candidate
from trainwell.coach.screening import FACTORS, RATE_FACTORS, WIDE, Screen, about, first_rates
from trainwell.data.split import make_split
from trainwell.recipe import Recipe
from trainwell.techniques.init import Zero
from trainwell.techniques.models import Mlp
from trainwell.techniques.optim.first_order import Momentum

BASE = Recipe(
    model=Mlp((16,), norm="none"), regularize=(), lr=0.01, epochs=16, patience=16, batch_size=16
)


def candidate(name: str, **changes: object) -> Candidate:
    return Candidate(name, dataclasses.replace(BASE, lr=None, **changes), "made")  # type: ignore[arg-type]


def test_every_candidate_has_rates_of_its_own() -> None:
    assert first_rates(dataclasses.replace(BASE, lr=0.3), BASE, True) == (0.3,)
    wider = dataclasses.replace(BASE, model=Mlp((32,)), lr=None)
    assert first_rates(wider, BASE, False) == tuple(0.01 * f for f in FACTORS)
    only = dataclasses.replace(BASE, lr=None)
    assert first_rates(only, BASE, False) == pytest.approx([0.01 * f for f in RATE_FACTORS])
    usual = BASE.optimizer.usual_rate
    assert first_rates(wider, BASE, True) == pytest.approx([usual * f for f in WIDE])
    other = dataclasses.replace(BASE, optimizer=Momentum(), lr=None)
    assert len(first_rates(other, BASE, False)) == len(WIDE)


def test_the_sound_candidate_is_best_and_dead_ones_are_left_behind() -> None:
    data = table(150)
    arena = Arena(data, make_split(data, seed=0, folds=3, test=0.2))
    (arm,) = arena.train([dataclasses.replace(BASE, init=Zero())], cells_of(3, 1, 0))
    wanted = [
        *(candidate(f"dead {k}", init=Zero(), batch_size=16 + k) for k in range(5)),
        candidate("sound"),
    ]
    screen = Screen(arena, "accuracy", unit=16, wide=False, cost=6.0)
    found, used = screen.run(arm, wanted)
    assert {s.candidate.name for s in found} == {c.name for c in wanted}
    assert found[0].candidate.name == "sound"
    assert sum(s.kept for s in found) == 2
    assert all(s.candidate.recipe.lr is not None for s in found)
    assert all(s.candidate.recipe.epochs == 16 for s in found)  # proofs are of full length
    assert about(wanted, arm.recipe, False, 16) <= used * 1.01 <= 1.5 * 6.0


def test_short_trainings_grow_with_what_may_be_spent() -> None:
    data = table(150)
    arena = Arena(data, make_split(data, seed=0, folds=3, test=0.2))
    (arm,) = arena.train([BASE], cells_of(3, 1, 0))
    wanted = [candidate(f"{w}", model=Mlp((w,), norm="none")) for w in (8, 24, 32)]
    spent = [
        Screen(arena, "accuracy", unit=16, wide=False, cost=cost).run(arm, wanted)[1]
        for cost in (1.0, 6.0)
    ]
    assert spent[0] < spent[1] <= 1.2 * 6.0
