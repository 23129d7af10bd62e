"""The ladder of learning rates: its rungs, the choice, widening, and rates that diverge."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.data import CPU, examples, fold_inputs, members_of, table
from trainwell.clock import now
from trainwell.engine import ladder as module
from trainwell.engine.ladder import Ladder, Rung, choose, climb, first_rates, rates
from trainwell.engine.members import Examples, Member
from trainwell.engine.trainer import Trainer
from trainwell.recipe import Recipe
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.optim.first_order import Adam, Momentum


def rungs(*losses: float, error: float = 0.05, broken: tuple[int, ...] = ()) -> list[Rung]:
    lrs = rates(0.001, len(losses))
    return [
        Rung(lr, loss, error, 0.5, k in broken)
        for k, (lr, loss) in enumerate(zip(lrs, losses, strict=True))
    ]


def test_rates() -> None:
    assert rates(0.01, 5) == [0.01, 0.02, 0.05, 0.1, 0.2]
    assert rates(5e-4, 5) == [5e-4, 1e-3, 2e-3, 5e-3, 1e-2]
    assert rates(0.2, 3) == [0.2, 0.5, 1.0]
    assert rates(100.0, 2) == [100.0, 200.0]
    assert rates(1e-7, 2) == [1e-7, 2e-7]
    assert rates(3.3e-4, 1) == [5e-4]


@given(st.integers(-8, 3), st.sampled_from([1, 2, 5]), st.integers(1, 9))
def test_rates_are_round_numbers_going_up(decade: int, digit: int, count: int) -> None:
    low = float(f"{digit}e{decade}")
    found = rates(low, count)
    assert found[0] == low
    assert len(found) == count
    assert all(1.9 < b / a < 2.6 for a, b in itertools.pairwise(found))
    assert all(f"{r:.0e}"[0] in "125" and float(f"{r:.0e}") == r for r in found)


def test_first_rates() -> None:
    assert first_rates(Recipe(optimizer=Adam())) == [5e-4, 1e-3, 2e-3, 5e-3, 1e-2]
    assert first_rates(Recipe(optimizer=Momentum())) == [0.01, 0.02, 0.05, 0.1, 0.2]


@pytest.mark.parametrize(
    ("given", "position"),
    [
        (rungs(0.9, 0.5, 0.9), 1),  # a clear best
        (rungs(0.1, 0.5, 0.9), 0),  # at an edge
        (rungs(0.9, 0.5, 0.1), 2),
        (rungs(0.50, 0.51, 0.52, 0.9), 1),  # flat: the middle
        (rungs(0.52, 0.51, 0.50, 0.9), 1),
        (rungs(0.9, 0.50, 0.51, 0.9), 1),  # two alike: the smaller
        (rungs(0.50, 0.9, 0.51), 0),  # as good, but with a worse one between
        (rungs(0.50, 0.50, 0.50, broken=(0,)), 1),
        (rungs(0.50, 0.10, 0.50, broken=(1,)), 0),  # diverged, whatever its loss says
        (rungs(math.nan, 0.7, 0.5, math.nan, broken=(0, 3)), 2),
        (rungs(0.5), 0),
        (rungs(0.50, 0.55, 0.61), 0),  # exactly one standard error counts as alike: 0 and 1
    ],
)
def test_choose(given: list[Rung], position: int) -> None:
    assert choose(given) is given[position]


def test_choose_when_all_diverged() -> None:
    given = rungs(math.nan, math.nan, broken=(0, 1))
    assert choose(given) is given[0]  # the smallest, from which the ladder goes down


def climbed(
    losses: dict[float, float], monkeypatch: pytest.MonkeyPatch, recipe: Recipe
) -> tuple[Ladder, list[list[float]]]:
    """A ladder on invented losses; rates not named diverge. Also what was tried, in turn."""
    tried: list[list[float]] = []

    def invent(wanted: list[float], *rest: object) -> tuple[list[Rung], bool]:
        tried.append(list(wanted))
        found = [Rung(r, losses.get(r, math.nan), 1e-6, 0.5, r not in losses) for r in wanted]
        return found, True

    monkeypatch.setattr(module, "try_rates", invent)
    data = table()
    trials = members_of(data, [recipe])
    return climb(trials, Trainer(examples(data, recipe, trials[0].train))), tried


def bowl(best: float) -> dict[float, float]:
    return {r: abs(math.log(r / best)) for r in rates(1e-9, 40)}


def test_no_widening_when_the_best_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    found, tried = climbed(bowl(2e-3), monkeypatch, Recipe())
    assert (found.chosen, found.edge, len(tried)) == (2e-3, False, 1)


@pytest.mark.parametrize(("best", "widenings"), [(0.02, 1), (0.1, 2), (2e-4, 1), (2e-5, 2)])
def test_widening_towards_the_best(
    best: float, widenings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, tried = climbed(bowl(best), monkeypatch, Recipe())
    assert found.chosen == best
    assert not found.edge
    assert len(tried) == 1 + widenings
    every = [r for wanted in tried for r in wanted]
    assert len(every) == len(set(every))  # nothing is tried twice
    assert [r.lr for r in found.rungs] == sorted(every)
    # No rate is skipped on the way.
    assert sorted(every) == rates(min(every), len(every))


def test_the_edge_is_told_when_widening_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    found, tried = climbed(bowl(1e3), monkeypatch, Recipe())
    assert found.edge
    assert len(tried) == 1 + module.WIDENINGS
    assert found.chosen == max(r.lr for r in found.rungs)


def test_everything_diverges_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {r: v for r, v in bowl(1e-4).items() if r < 5e-4}
    found, _ = climbed(good, monkeypatch, Recipe())
    assert found.chosen == 1e-4


def test_diverged_rungs_of_a_real_ladder() -> None:
    """Plain descent on unscaled inputs: large rates overflow, and are never chosen."""
    data = table(rows=80)
    data = dataclasses.replace(data, inputs=data.inputs * 1e18)
    recipe = Recipe(
        model=Mlp(hidden=(8,), norm="none"),
        preprocess=(),
        optimizer=Momentum(),
        regularize=(),
        epochs=2,
        batch_size=20,
    )
    trials = members_of(data, [recipe])
    seen: list[float] = []
    trainer = Trainer(examples(data, recipe, trials[0].train))
    trainer.show = lambda s: seen.append(s.share)
    found = climb(trials, trainer)
    broken = [r.lr for r in found.rungs if r.diverged]
    assert broken
    assert all(0 < share <= 1 for share in seen)
    sound = [r for r in found.rungs if not r.diverged]
    assert not sound or found.chosen in [r.lr for r in sound]


def test_the_ladder_ends_when_time_is_up() -> None:
    """The deadline ends everything: no more epochs, no widening, a rate all the same."""
    data = table(rows=60)
    recipe = Recipe(model=Linear(), optimizer=Momentum(), epochs=5, batch_size=20)
    trials = members_of(data, [recipe])
    trainer = Trainer(examples(data, recipe, trials[0].train))
    found = climb(trials, trainer, deadline=now() - 1)
    assert not found.in_time
    assert found.chosen in [r.lr for r in found.rungs]
    assert len(found.rungs) == 5
    complete = climb(trials, trainer, deadline=now() + 3600)
    assert complete.in_time


def test_a_real_ladder_takes_the_mean_over_trials() -> None:
    data = table(rows=120)
    recipe = Recipe(model=Linear(), optimizer=Momentum(), epochs=3, batch_size=16)
    rows = np.arange(120)
    trials = [
        Member(recipe, 0, rows[:80], rows[80:], 1),
        Member(recipe, 1, rows[40:], rows[:40], 2),
    ]
    inputs = fold_inputs(data, recipe, [t.train for t in trials])
    shared = Examples(inputs, torch.from_numpy(data.labels), 3, CPU)
    seen: list[int] = []
    trainer = Trainer(shared, show=lambda s: seen.append(s.epochs))
    found = climb(trials, trainer)
    assert found.trials == 2
    assert found.chosen in [r.lr for r in found.rungs]
    assert [r.lr for r in found.rungs] == sorted(r.lr for r in found.rungs)
    assert 5 * 2 * 3 in seen
    for rung in found.rungs:
        assert rung.error > 0
        single = [
            climb_one(dataclasses.replace(t, recipe=dataclasses.replace(recipe, lr=rung.lr)), data)
            for t in trials
        ]
        assert rung.log_loss == pytest.approx(sum(single) / 2, abs=1e-4)


def climb_one(member: Member, data: object) -> float:
    """The best validation loss of one member trained alone."""
    from trainwell.data.dataset import Dataset
    from trainwell.engine.population import Population
    from trainwell.engine.train import train

    assert isinstance(data, Dataset)
    alone = dataclasses.replace(member, fold=0)
    people = Population([alone], examples(data, member.recipe, member.train))
    return min(s.val_loss for scores in train(people) for s in scores)
