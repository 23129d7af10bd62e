"""Two arms: rows behind a score, tests of rows, and verdicts that obey the look they come from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.drawn import Drawn, drawn
from trainwell import comparing, comparing_arms
from trainwell.arms import cells_of
from trainwell.comparing import looks_up_to
from trainwell.comparing_arms import (
    compared,
    difference,
    held_out,
    rows_behind,
    rows_p,
    rows_test,
)
from trainwell.ensemble.measures import equal_rows
from trainwell.recipe import Recipe
from trainwell.sequential import last_level, levels
from trainwell.significance import mcnemar
from trainwell.verdict import verdict

A, B = Recipe(epochs=10, lr=0.01), Recipe(epochs=11, lr=0.01)


class Told:
    """A display that remembers what it was told."""

    def __init__(self):
        self.said = []

    def say(self, words):
        self.said.append(words)

    def stage(self, words):
        pass


def sure(rows, rare):
    """An arena in which both arms are right on every row."""
    arena = drawn(rows=rows, rare=rare)
    arena.odds = np.full(rows, 100.0)
    return arena


# ---- rare classes ---------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_few_rows_of_a_class_cannot_show_that_nothing_differs(metric):
    """60 rows of 1200: their recalls are open by more than half a point, 1140 others or not."""
    arena = sure(1200, 0.05)
    arms = tuple(arena.train([A, B], cells_of(3, 2, 0)))
    found = compared(arena, arms, metric).comparison
    rows = 4 / (1 / 60 + 1 / 1140)
    assert equal_rows(arena.data.labels, metric) == pytest.approx(rows)
    assert found.verdict == "not shown"
    assert found.difference.high == pytest.approx(3.8415 / (rows + 3.8415), rel=1e-3)
    assert compared(arena, arms, "accuracy").comparison.verdict == "no difference that matters"


def test_looks_do_not_end_on_few_rows_of_a_class_either():
    arena = sure(3000, 0.05)
    ends = {}
    for metric in ("accuracy", "balanced_accuracy"):
        told = Told()
        arms, level = comparing._in_looks(arena, [A, B], (1, 2), metric, told, None)
        ends[metric] = (len(arms[0].cells), told.said[-1].partition(": ")[2], level)
    assert ends["accuracy"] == (3, "stop: no difference that matters", levels((1, 2))[0])
    assert ends["balanced_accuracy"] == (6, "stop: not shown", levels((1, 2))[1])


def test_rows_behind_a_score():
    arena = sure(300, 0.2)
    labels, split = arena.data.labels, arena.split
    assert rows_behind(split, labels, "accuracy") == 300 == rows_behind(split, None, "accuracy")
    assert rows_behind(split, labels, "balanced_accuracy") == pytest.approx(4 / (1 / 60 + 1 / 240))
    assert rows_behind(split, labels, "log_loss") is None
    arms = tuple(arena.train([A, B], cells_of(3, 1, 0)))
    # Who does not give labels does not get an interval that is too narrow.
    assert difference(split, arms, "balanced_accuracy").interval.high == np.inf


# ---- tests of rows --------------------------------------------------------------------------


def test_the_test_of_the_rows_is_named_and_made_only_where_it_is_asked_for(monkeypatch):
    arena = drawn(rare=0.05)
    arena.better = {11: 2.0}
    arms = tuple(arena.train([A, B], cells_of(3, 1, 0)))
    said = [held_out(arena, arm) for arm in arms]
    votes = [p.argmax(axis=1) == arena.data.labels[rows] for rows, p in said]
    assert rows_p(arena, arms, "accuracy") == mcnemar(*votes).mid
    assert rows_test("accuracy") == "McNemar's test"
    assert rows_test("balanced_accuracy") == rows_test("macro_f1") == "swap test"
    assert rows_test("log_loss").startswith("sign-flip")
    for name in ("swap_test", "flip_test", "mcnemar"):
        monkeypatch.setattr(comparing_arms, name, lambda *a, **k: pytest.fail("was made"))
    found = compared(arena, arms, "balanced_accuracy")
    assert (found.rows_p, found.rows_test, found.mcnemar_p) == (None, None, None)


# ---- looks ----------------------------------------------------------------------------------


class Noise(Drawn):
    """Accuracies are noise of normal shape: the arms are alike."""

    def train(self, recipes, cells, deadline=None):
        return [
            dataclasses.replace(arm, accuracy=self.rng.normal(0.5, 0.2, len(cells)))
            for arm in super().train(recipes, cells, deadline)
        ]


def noise(seed):
    """One fold of few rows."""
    one = drawn(rows=60)
    split = dataclasses.replace(one.split, folds=one.split.folds[:1])
    return Noise(one.data, split, odds=one.odds, rng=np.random.default_rng(seed))


def test_the_verdict_is_that_of_the_look():
    """Nine seeds in five looks: what stops as "not shown" is not told as better or worse, though
    an interval of 95 % would say so of some."""
    plain = different = 0
    for seed in range(500):
        arena, told = noise(seed), Told()
        arms, level = comparing._in_looks(arena, [A, B], looks_up_to(9), "accuracy", told, None)
        found = compared(arena, arms, "accuracy", level=level)
        assert told.said[-1].endswith(f"stop: {found.comparison.verdict}")
        assert found.confidence == 1 - level
        different += found.comparison.verdict in ("better", "worse")
        usual = verdict(difference(arena.split, arms, "accuracy"))
        plain += usual.verdict != found.comparison.verdict
    assert plain > 0
    assert different <= 0.05 * 500


@pytest.mark.parametrize(("looks", "seeds"), [((1, 2, 4), 2), ((8,), 8)])
def test_an_early_end_leaves_the_level_of_a_last_look(looks, seeds):
    class Ended(Noise):
        def train(self, recipes, cells, deadline=None):
            if self.asked:  # the second call: time is over
                self.late = True
                arms = super().train(recipes, cells, deadline)
                return [dataclasses.replace(a, trained=(None,) * len(cells)) for a in arms]
            return super().train(recipes, cells, deadline)

    one = noise(0)
    arena = Ended(one.data, one.split, odds=one.odds, rng=one.rng)
    arms, level = comparing._in_looks(arena, [A, B], looks, "accuracy", Told(), None)
    done = len(arms[0].cells)
    assert done == looks[0]
    assert level == (levels(looks)[0] if len(looks) == 1 else last_level(looks, done))
    assert level == pytest.approx(0.05)


@dataclasses.dataclass
class Ran:
    """As much of a finished or stopped training as is asked here."""

    member: object
    epochs: int
    best_epoch: int
    diverged: bool = False


def test_of_a_look_that_is_stopped_the_seeds_that_all_arms_finished_are_kept():
    arena = drawn()
    cells = cells_of(3, 3, 0)
    arms = arena.train([A, B], cells)
    member = type("Member", (), {"recipe": dataclasses.replace(A, epochs=50, patience=5)})()
    done, idle = Ran(member, 50, 48), Ran(member, 12, 7)
    broken, cut = Ran(member, 3, 1, True), Ran(member, 12, 10)
    first = (done, idle, broken, done, cut, done, done, done, done)
    second = (done, done, done, done, done, done, done, done, None)
    stopped = [
        dataclasses.replace(arm, trained=t) for arm, t in zip(arms, (first, second), strict=True)
    ]
    kept = comparing._complete_seeds(stopped, 3)
    assert [arm.cells for arm in kept] == [tuple(cells[:3])] * 2
    assert kept[1].accuracy.tolist() == arms[1].accuracy[:3].tolist()
    assert len(kept[0].probabilities) == len(kept[0].trained) == 3
    assert (
        comparing._complete_seeds(
            [stopped[0], dataclasses.replace(arms[1], trained=(None,) * 9)], 3
        )
        == []
    )
