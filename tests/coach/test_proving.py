"""The proof: what changes nothing is not adopted, what helps is, and nothing is trained twice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.drawn import Drawn, drawn
from trainwell.arms import Arm, cells_of
from trainwell.coach.changes import Candidate
from trainwell.coach.proving import Prover
from trainwell.comparing_arms import rows_p, votes
from trainwell.metrics import Metric
from trainwell.recipe import Recipe
from trainwell.significance import mcnemar

BASE = Recipe(epochs=10, lr=0.01)
GOOD, NULL, BAD = (dataclasses.replace(BASE, epochs=e) for e in (11, 12, 13))


def candidate(recipe: Recipe, name: str = "", anew: bool = False) -> Candidate:
    return Candidate(name or f"{recipe.epochs} epochs", recipe, "made", anew)


def setting(
    seed: int = 0, metric: Metric = "accuracy", **given: float
) -> tuple[Drawn, Arm, Prover]:
    arena = drawn(seed=seed, **given)  # type: ignore[arg-type]
    arena.better = {11: 3.0, 13: -3.0}
    (arm,) = arena.train([BASE], cells_of(3, 1, 0))
    arena.asked.clear()
    return arena, arm, Prover(arena, metric, unit=10)


def test_what_changes_nothing_is_adopted_in_few_of_many_rounds() -> None:
    adopted = 0
    for seed in range(150):
        _, arm, prover = setting(seed, accuracy=0.85)
        found = prover.prove(arm, [candidate(NULL, "a"), candidate(NULL, "b")], 1e6)
        adopted += any(p.outcome == "adopted" for p in found)
    assert adopted <= 0.05 * 150 + 2  # 7.5, and room for chance


def test_a_large_gain_is_adopted_and_a_loss_is_given_up_in_the_first_training() -> None:
    arena, arm, prover = setting(accuracy=0.7)
    good, bad = prover.prove(arm, [candidate(GOOD), candidate(BAD)], 1e6)
    assert good.outcome == "adopted"
    assert good.arm is not None and len(good.arm.cells) == 3
    assert good.difference is not None and good.difference.low > 0
    assert bad.outcome == "screened out" and "given up" in bad.words
    assert sum(recipe == BAD for recipe, _ in arena.asked) == 1
    assert sum(recipe == GOOD for recipe, _ in arena.asked) == 3
    # Beside so plain a gain the placebo of the first training is enough.
    assert sum(recipe == BASE for recipe, _ in arena.asked) == 1


def test_candidates_share_cells_with_the_recipe_and_the_placebo_has_others() -> None:
    arena, arm, prover = setting()
    prover.prove(arm, [candidate(NULL)], 4.0)
    mine = [cell for recipe, cell in arena.asked if recipe == NULL]
    placebo = [cell for recipe, cell in arena.asked if recipe == BASE]
    assert mine == list(arm.cells)[: len(mine)]
    assert {c.fold for c in placebo} <= {c.fold for c in arm.cells}
    assert not {c.seed for c in placebo} & {c.seed for c in arm.cells}


def test_the_placebo_is_trained_once_for_a_recipe() -> None:
    arena, arm, prover = setting()
    prover.prove(arm, [candidate(NULL)], 1e6)
    before = sum(recipe == BASE for recipe, _ in arena.asked)
    prover.prove(arm, [candidate(NULL, "another")], 1e6)
    assert sum(recipe == BASE for recipe, _ in arena.asked) <= max(before, 3)


def test_the_cost_is_counted_and_kept() -> None:
    arena, arm, prover = setting(accuracy=0.7)
    most = prover.cost(arm, [candidate(GOOD), candidate(BAD)])
    prover.prove(arm, [candidate(GOOD), candidate(BAD)], most)
    trained = sum(recipe.epochs for recipe, _ in arena.asked) / 10
    assert prover.used == pytest.approx(trained)
    assert trained <= most


def test_of_changes_that_gain_alike_the_first_is_adopted() -> None:
    _, arm, prover = setting(accuracy=0.7)
    found = prover.prove(arm, [candidate(GOOD, "cause"), candidate(GOOD, "symptom")], 1e6)
    assert [p.outcome for p in found] == ["adopted", "proved, not needed"]
    assert found[1].words.endswith("another change was adopted") and "better by" in found[1].words
    assert all(p.rows_p is not None for p in found)
    _, arm, prover = setting(accuracy=0.7)
    found = prover.prove(arm, [candidate(GOOD, "all", anew=True), candidate(GOOD, "one")], 1e6)
    assert [p.outcome for p in found] == ["proved, not needed", "adopted"]


def test_a_promising_gain_gets_one_more_seed() -> None:
    """Among many small gains some are settled by the seeds of the placebo."""
    more = 0
    for seed in range(25):
        arena, arm, prover = setting(seed, accuracy=0.85)
        arena.better = {11: 0.35}
        (found,) = prover.prove(arm, [candidate(GOOD)], 1e6)
        trained = [cell for recipe, cell in arena.asked if recipe == GOOD]
        if len(trained) == 6:
            more += 1
            assert found.arm is not None and len(found.arm.cells) == 3  # the run keeps these
            assert "2 seeds" in found.words or "each of 6" in found.words
    assert more >= 3


def test_rows_count_as_their_class_where_classes_do() -> None:
    arena, arm, _ = setting(rare=0.05)
    arena.better = {11: 2.0}
    (other,) = arena.train([GOOD], arm.cells)
    right = votes(arena, (arm, other))
    assert rows_p(arena, (arm, other), "accuracy") == mcnemar(*right).mid
    balanced = rows_p(arena, (arm, other), "balanced_accuracy")
    assert 0 < balanced <= 1
    # All classes alike in number: both tests see the same votes.
    arena, arm, _ = setting()
    arena.better = {11: 2.0}
    (other,) = arena.train([GOOD], arm.cells)
    a, b = (rows_p(arena, (arm, other), m) for m in ("accuracy", "balanced_accuracy"))  # type: ignore[arg-type]
    assert np.log10(max(a, 1e-4)) == pytest.approx(np.log10(b), abs=0.7)
