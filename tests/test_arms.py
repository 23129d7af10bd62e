"""Arms: the same cells for all, as many trials of rates, what ends early."""

from __future__ import annotations

import numpy as np
import pytest

from trainwell.arms import FIRST_RATES, TRIALS, Arena, about_tuning, cells_of, tuning_words
from trainwell.clock import now
from trainwell.data.arrays import read_arrays
from trainwell.data.split import make_split
from trainwell.engine.ladder import Ladder, brief
from trainwell.engine.members import common_steps
from trainwell.recipe import Adam, Mlp, Momentum, Recipe
from trainwell.techniques.schedules import Constant, WarmUp

QUICK = Recipe(model=Mlp(hidden=(8,)), batch_size=16, epochs=3, lr=0.02, regularize=())


@pytest.fixture(scope="module")
def arena():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    data = read_arrays(rng.normal(size=(120, 2)) + 3 * np.eye(3)[y][:, :2], y)
    return Arena(data, make_split(data, seed=0, folds=4, test=0.2), steady=True)


def free(**changes):
    return Recipe(**{**vars(QUICK), "lr": None, **changes})


def test_arms_meet_in_the_same_cells(arena):
    cells = cells_of(4, 1, 0)
    other = Recipe(**{**vars(QUICK), "optimizer": Momentum(), "preprocess": ()})
    a, b = arena.train([QUICK, other], cells)
    assert a.cells == b.cells == tuple(cells)
    for x, y in zip(a.trained, b.trained, strict=True):
        assert (x.member.fold, x.member.seed) == (y.member.fold, y.member.seed)
        assert np.array_equal(x.member.train, y.member.train)
        assert np.array_equal(x.member.validation, y.member.validation)
    assert [len(p) for p in a.probabilities] == [len(f.validation) for f in arena.split.folds]


def test_more_seeds_are_other_seeds():
    first, more = cells_of(2, 2, 0), cells_of(2, 2, 0, 2)
    assert cells_of(2, 4, 0) == [*first, *more]
    assert not {c.seed for c in first} & {c.seed for c in more}


def test_a_recipe_against_itself_is_the_same_to_the_bit(arena):
    a, b = arena.train([QUICK, QUICK], cells_of(4, 1, 0))
    assert np.array_equal(a.log_loss, b.log_loss)


def test_a_training_that_diverges_scores_as_knowing_nothing(arena):
    wild = Recipe(**{**vars(QUICK), "lr": 1e30, "schedule": Constant(), "optimizer": Momentum()})
    (arm,) = arena.train([wild], cells_of(4, 1, 0))
    assert np.allclose(arm.log_loss, np.log(3), atol=0.05)
    assert all(np.isnan(p).all() for p in arm.probabilities)


def test_arms_get_as_many_trials(arena):
    found = arena.tuned([free(), QUICK, free(optimizer=Momentum())])
    assert [recipe.lr is None for recipe, _ in found] == [False] * 3
    a, given, b = (ladder for _, ladder in found)
    assert given is None
    assert found[1][0] == QUICK
    assert len(a.rungs) == len(b.rungs) >= FIRST_RATES
    assert a.trials == b.trials == TRIALS
    assert about_tuning((a, b)) == ()


def test_the_deadline_leaves_the_best_rate_so_far(arena):
    """Over before it begins: the usual rate. Over later: one of those that were tried."""
    for recipe, ladder in arena.tuned([free(), free(optimizer=Momentum())], now() - 1):
        assert recipe.lr == recipe.optimizer.usual_rate
        assert not ladder.in_time
    (recipe, ladder), _ = arena.tuned([free(), free(epochs=2000, patience=2000)], now() + 1)
    assert recipe.lr in [r.lr for r in ladder.rungs]


def test_time_is_shared_between_ways_of_preparing(arena):
    """The first arm must not take what the second one needs."""
    long = Recipe(**{**vars(QUICK), "epochs": 100_000, "patience": 100_000})
    other = Recipe(**{**vars(long), "preprocess": ()})
    a, b = arena.train([long, other], cells_of(4, 1, 0), now() + 1.5)
    assert arena.late
    assert all(t is not None and t.epochs > 0 for arm in (a, b) for t in arm.trained)


def test_trials_reach_the_rate_behind_a_warm_up():
    """A warm-up of 6 in 60 epochs is a tenth of a trial too."""
    long = Recipe(epochs=60, schedule=WarmUp(Constant(), epochs=12))
    short = brief(long, 3)
    assert short.epochs == 20
    assert max(short.schedule(e, short.epochs) for e in range(20)) == 1.0
    assert short.schedule(4.0, 20) == 1.0  # a fifth of the epochs, as in the recipe
    assert brief(Recipe(epochs=3), 3).epochs == 3
    assert brief(Recipe(epochs=9), 3).epochs == 4
    plain = Recipe(epochs=61, schedule=WarmUp(share=0.1))
    assert (brief(plain, 4).epochs, brief(plain, 4).schedule) == (16, plain.schedule)


def test_trials_are_brief(arena):
    members = arena._trials(free(epochs=30, schedule=WarmUp(epochs=6)))
    assert {m.recipe.epochs for m in members} == {10}
    assert {m.recipe.schedule.share for m in members} == {0.2}
    assert [m.fold for m in members] == list(range(TRIALS))


def test_folds_of_nearly_one_size_take_the_same_steps():
    recipe, steps = common_steps(Recipe(batch_size=64), [1000, 960])
    assert (recipe.batch_size, steps) == (64, 15)
    assert common_steps(Recipe(batch_size=64), [1000, 640])[1] is None
    assert common_steps(Recipe(batch_size=64), [10, 12])[0].batch_size == 10


def test_words_about_who_tuned():
    some = Ladder((), 0.1, False, 3)
    assert tuning_words((some, some)).endswith("same number of trials: 0 rates × 3 folds.")
    assert tuning_words((None, some)).startswith("The learning rate of A was given; ")
    assert about_tuning((None, some))[0].startswith("only B tuned")
    assert about_tuning((some, None))[0].startswith("only A tuned")
    late = Ladder((), 0.1, False, 3, in_time=False)
    assert any("ended the search" in note for note in about_tuning((late, some)))
    assert Adam().usual_rate > 0
