"""Verdicts: the rule at its borders, and how often alike arms are called better or worse."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from helpers import comparing
from helpers.comparing import judged
from trainwell.paired import paired_difference
from trainwell.stats import Interval
from trainwell.verdict import NATS, verdict

FOUND = paired_difference(
    [0.9] * 12, np.linspace(0.7, 0.8, 12), np.arange(12) // 3, np.arange(12) % 3, 0.25
)


def given(low, high, p):
    middle = Interval((low + high) / 2, low, high)
    return verdict(dataclasses.replace(FOUND, interval=middle, p=p))


@pytest.mark.parametrize(
    ("low", "high", "p", "word"),
    [
        (0.001, 0.02, 0.05, "better"),
        (-0.02, -0.001, 0.05, "worse"),
        (0.001, 0.02, 0.051, "not shown"),
        (-0.001, 0.02, 0.01, "not shown"),
        (-0.005, 0.005, 0.9, "no difference that matters"),
        (0.001, 0.004, 0.001, "no difference that matters"),
        (-0.0051, 0.005, 0.9, "not shown"),
        (-math.inf, math.inf, 0.01, "not shown"),
    ],
)
def test_the_rule(low, high, p, word):
    found = given(low, high, p)
    assert found.verdict == word
    assert found.words.startswith(word)
    assert (found.seeds_to_settle == 0) == (word != "not shown")
    json.loads(json.dumps(found.to_json()))


def test_many_comparisons_need_an_adjusted_p():
    found = dataclasses.replace(FOUND, interval=Interval(0.01, 0.001, 0.02), p=0.03)
    assert verdict(found).verdict == "better"
    stricter = verdict(found, adjusted_p=0.06)
    assert (stricter.verdict, stricter.p, stricter.seeds_to_settle) == ("not shown", 0.06, 1)


def test_after_several_looks_the_level_is_that_of_the_look():
    found = dataclasses.replace(
        FOUND, interval=Interval(0.01, 0.001, 0.02), p=0.03, confidence=1 - 0.0102
    )
    assert verdict(found).verdict == "better"
    stricter = verdict(found, level=0.0102)
    assert stricter.verdict == "not shown"
    assert "(99 % interval 0.1 to 2.0" in stricter.words
    assert verdict(dataclasses.replace(found, p=0.01), level=0.0102).verdict == "better"


def test_words_name_the_numbers():
    words = given(0.004, 0.02, 0.012).words
    assert words == (
        "better by 1.2 points (95 % interval 0.4 to 2.0, sign-flip p = 0.012; 4 folds × 3 seeds)"
    )


# ---- alike arms -----------------------------------------------------------------------------


def alike(comparisons, shape):
    """Scores of alike arms under models that make rules stumble, with the rows they count."""
    return {
        "normal": (*comparing.normal(np.random.default_rng(1), comparisons, *shape, fold=0), None),
        "60 rows": (*comparing.rows(np.random.default_rng(2), comparisons, *shape, rows=60), 60),
        "60 rows, most sure": (
            *comparing.rows(np.random.default_rng(3), comparisons, *shape, rows=60, sure=0.05),
            60,
        ),
        "collapses": (*comparing.collapses(np.random.default_rng(4), comparisons, *shape), None),
        "rare collapses": (
            *comparing.collapses(np.random.default_rng(5), comparisons, *shape, share=0.02),
            None,
        ),
    }


def wrong(a, b, rows):
    """The share of comparisons that are called better or worse, or no different for few rows."""
    verdicts = [verdict(found).verdict for found in judged(a, b, rows)]
    return np.mean([v in ("better", "worse") for v in verdicts]), verdicts


@pytest.mark.parametrize("shape", comparing.SHAPES)
def test_alike_arms_are_seldom_called_better_or_worse(shape):
    for name, (a, b, rows) in alike(250, shape).items():
        share, verdicts = wrong(a, b, rows)
        assert share <= 0.05, name
        if rows == 60:  # so few rows cannot show that nothing differs
            assert "no difference that matters" not in verdicts


@pytest.mark.slow
@pytest.mark.parametrize("shape", [*comparing.SHAPES, (1, 10), (3, 5), (5, 10), (10, 1)])
def test_alike_arms_are_seldom_called_better_or_worse_in_2000_comparisons(shape):
    for name, (a, b, rows) in alike(2000, shape).items():
        assert wrong(a, b, rows)[0] <= 0.05, name


@pytest.mark.slow
@pytest.mark.parametrize("shape", [*comparing.SHAPES, (10, 10)])
def test_arms_that_differ_by_luck_of_the_rows_are_seldom_called_better(shape):
    """Better on these folds, not on new ones: only the interval can know; 5 % by its design."""
    models = [
        (*comparing.normal(np.random.default_rng(7), 2000, *shape, seed=0.003), None),
        (*comparing.rows(np.random.default_rng(8), 2000, *shape, rows=400, taste=0.8), 400),
    ]
    for a, b, rows in models:
        assert wrong(a, b, rows)[0] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_a_real_difference_is_found():
    """2 points at 1 point between trainings: 99 % with 5 folds × 3 seeds, as the docs say."""
    a, b = comparing.normal(np.random.default_rng(5), 200, 5, 3, fold=0, difference=0.02)
    verdicts = [verdict(found).verdict for found in judged(a, b)]
    assert np.mean([v == "better" for v in verdicts]) > 0.95
    assert "worse" not in verdicts


def test_arms_that_are_alike_enough_are_called_so():
    a, b = comparing.normal(np.random.default_rng(9), 100, 10, 3, fold=0, seed=0.004)
    verdicts = [verdict(found).verdict for found in judged(a, b)]
    assert np.mean([v == "no difference that matters" for v in verdicts]) > 0.9


# ---- words ----------------------------------------------------------------------------------


def test_losses_turn_the_sign_and_keep_the_verdict():
    """`found` is of negated losses: more is better. What is told is the loss itself."""
    lower = dataclasses.replace(FOUND, interval=Interval(0.06, 0.02, 0.1), p=0.01)
    said = verdict(lower, unit=NATS)
    assert (said.verdict, said.lower_is_better) == ("better", True)
    assert said.difference == Interval(-0.06, -0.1, -0.02)
    assert said.words.startswith("better: its log loss is lower by 0.060 nats (95 % interval -0.1")
    higher = verdict(dataclasses.replace(lower, interval=Interval(-0.06, -0.1, -0.02)), unit=NATS)
    assert higher.words.startswith("worse: its log loss is higher by 0.060 nats")
    assert higher.to_json()["lower_is_better"] is True


def test_the_region_of_a_loss_is_a_hundredth_of_a_nat():
    inside = dataclasses.replace(FOUND, interval=Interval(0.0, -0.009, 0.009), p=0.9)
    assert verdict(inside, unit=NATS).verdict == "no difference that matters"
    assert "+0.000 nats of log loss, within ±0.01" in verdict(inside, unit=NATS).words
    assert verdict(inside).verdict == "not shown"  # of shares: 0.9 points


def test_one_recipe_twice_needs_no_more_seeds():
    undecided = dataclasses.replace(FOUND, interval=Interval(0.0, -0.02, 0.02), p=0.9)
    assert (
        "would settle it" in verdict(undecided).words or verdict(undecided).seeds_to_settle is None
    )
    said = verdict(undecided, same=True)
    assert said.seeds_to_settle is None
    assert "settle" not in said.words
    assert said.words.endswith("both recipes are the same: what is measured is chance")


def test_arms_that_never_differ_are_told_so():
    scores = [0.9, 0.8, 1.0, 0.9]
    found = verdict(paired_difference(scores, scores, [0, 0, 1, 1], [0, 1, 0, 1], 0.5, rows=20))
    assert found.verdict == "not shown"
    assert "both reach the same in every training" in found.words
    assert "p below" not in found.words
