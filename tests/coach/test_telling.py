"""What the coach tells of a decision: numbers for a person, nothing doubled, levels as levels."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from trainwell.arms import Arm
from trainwell.coach.changes import Candidate
from trainwell.coach.decision import Decision, Outcome, Short
from trainwell.coach.proving import ANOTHER, Proved
from trainwell.coach.record import Round
from trainwell.coach.screening import Screened
from trainwell.coach.telling import changed, counted, line, told
from trainwell.recipe import Adam, Mlp, Momentum, Recipe
from trainwell.stats import Interval

START = Recipe(model=Mlp((8,), norm="none"), optimizer=Momentum(), lr=2.0)
JARGON = "(95 % interval -0.1 to 0.1, sign-flip p = 1; 3 folds × 1 seed)"


def arm(recipe: Recipe = START) -> Any:
    return Arm(recipe, (), *([None] * 4), (), ())  # type: ignore[arg-type]


def screened(name: str, score: float, kept: bool = True, **changes: Any) -> Screened:
    candidate = Candidate(name, dataclasses.replace(START, **changes), "no gap")
    short = (Short(candidate.recipe.lr or 0.0, 3, score),)
    return Screened(candidate, score - 0.01, kept, score, score, short)


def test_every_field_is_told_old_and_new() -> None:
    after = dataclasses.replace(
        START, model=Mlp((128, 128), norm="batch"), optimizer=Adam(), lr=0.0175
    )
    assert changed(START, after) == (
        "learning rate 2 → 0.0175",
        "hidden units 8 → 128-128",
        "normalisation none → batch",
        "optimiser Momentum → Adam",
    )


@pytest.mark.parametrize(
    ("outcome", "gain", "words", "expected"),
    [
        ("not shown", Interval(0.0, -0.001, 0.001), f"not shown: +0.0 points {JARGON}",
         "x: not shown; +0.0 points (-0.1 to +0.1)"),
        ("worse", Interval(-0.02, -0.03, -0.01), f"worse by 2.0 points {JARGON}",
         "x: worse by 2.0 points (-3.0 to -1.0)"),
        ("proved, not needed", Interval(0.136, 0.1, 0.2), f"better {JARGON}; …",
         f"x: proved, not needed; better by 13.6 points (+10.0 to +20.0); {ANOTHER}"),
        ("adopted", Interval(0.136, -0.1, 0.3), "better by 13.6 points (p …)",
         "x: adopted; better by 13.6 points (all held-out rows together show it)"),
        ("screened out", None, "reached 90.4 % in short trainings; others did better",
         "x: reached 90.4 % in short trainings; others did better"),
    ],
)  # fmt: skip
def test_one_line_without_statistics(
    outcome: Outcome, gain: Interval | None, words: str, expected: str
) -> None:
    one = Decision(1, "gap", "", "x", {}, outcome, words, gain, 1.0, rows_p=0.001)
    assert line(dataclasses.replace(one, told=told(one, "accuracy"))) == expected


def test_scores_of_short_trainings_are_levels_without_penalties() -> None:
    some = [
        screened("best", 1.0),
        screened("as good", 1.0, kept=False, epochs=5),
        screened("worse", 0.904, kept=False, epochs=6),
    ]
    proved = [Proved(some[0].candidate, "worse", "worse by 1.0 points", arm(), p=1.0)]
    made = Round(1, arm(), (), 0.0, 0.1, "accuracy").decisions(proved, some, {"best"})
    assert [d.reached for d in made] == [1.0, 1.0, 0.904]
    assert made[1].told == "reached 100.0 % in short trainings; others did as well"
    assert made[2].told == "reached 90.4 % in short trainings; others did better"
    assert made[2].rates == (Short(2.0, 3, 0.904),)


def test_what_the_rate_alone_reached_stands_beside_a_change_that_came_with_one() -> None:
    rate, both = (
        screened("rate", 0.838, lr=0.04),
        screened("wide", 0.902, lr=0.01, model=Mlp((99,))),
    )
    proved = [Proved(both.candidate, "adopted", "better by 12.3 points", arm(), rows_p=0.001)]
    (first, _) = Round(1, arm(), (), 0.0, 0.1, "accuracy").decisions(proved, [both, rate], {"wide"})
    assert first.told.endswith(
        "; in short trainings the rate alone (2 → 0.04) reached 83.8 %, with this change (0.01) "
        "90.2 %"
    )


def test_what_was_not_trained_is_not_counted_as_tried() -> None:
    def some(outcome: Outcome, count: int, gain: Interval | None = None) -> list[Decision]:
        return [Decision(1, "gap", "", "x", {}, outcome, "words", gain)] * count

    found = [
        *some("adopted", 1, Interval(0.1, 0.05, 0.15)),
        *some("screened out", 6),
        *some("not proved", 1),
        *some("not trained", 7),
    ]
    assert counted(found) == (
        "8 remedies tried (1 compared in full, 7 in fewer or shorter trainings), 7 not "
        "trained, 1 adopted"
    )
    assert counted(some("not trained", 7)) == "no remedy was tried"
