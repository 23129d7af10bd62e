"""The page of a comparison: numbers in their unit, who tuned, escaped words."""

from __future__ import annotations

import re

import pytest

from trainwell.report.comparison import picture, render_comparison, write_comparison

EVIL = '<script>alert("x")</script>'


def found(**changes):
    cells = [
        {"fold": k, "seed": s, "a": 0.90 + 0.01 * k, "b": 0.93 + 0.01 * k}
        for s in range(2)
        for k in range(3)
    ]
    plain = {
        "data": "iris",
        "a": "start",
        "b": "lr=0.1",
        "metric": "accuracy",
        "difference": {"value": 0.03, "low": 0.01, "high": 0.05},
        "lower_is_better": False,
        "p": 0.03,
        "verdict": "better",
        "seeds_to_settle": 0,
        "words": "better by 3.0 points",
        "confidence": 0.95,
        "rows_test": "McNemar's test",
        "rows_p": 0.01,
        "mcnemar_p": 0.01,
        "cells": cells,
        "unit": "points",
        "region": 0.005,
        "tuned": "The learning rate of A was tuned: 7 rates × 3 folds; that of B was given.",
        "notes": ["only A tuned its learning rate"],
        "recipes": {"a": {"lr": "0.01", "init": "He()"}, "b": {"lr": "0.1", "init": "He()"}},
        "seconds": 1.0,
    }
    return plain | changes


def losses():
    cells = [
        {"fold": k, "seed": 0, "a": a, "b": b}
        for k, (a, b) in enumerate([(1.40, 1.52), (1.10, 1.35), (1.25, 1.31)])
    ]
    return found(
        metric="log_loss",
        unit="nats",
        region=0.01,
        lower_is_better=True,
        difference={"value": 0.143, "low": 0.05, "high": 0.24},
        verdict="worse",
        words="worse: its log loss is higher by 0.143 nats",
        cells=cells,
    )


def dots(text):
    """Heights of the dots of A."""
    return set(re.findall(r'<circle class="dot muted"[^>]* cy="([\d.]+)"', text))


def test_shares_have_an_axis_in_per_cent():
    text = picture(found())
    assert "95 %" in text or "92 %" in text
    assert "difference in points" in text
    assert "+3.00 points" in text


def test_losses_are_drawn_as_they_are():
    text = picture(losses())
    assert " %<" not in text
    assert "difference in nats" in text
    assert "+0.1200 nats" in text
    assert "A 1.4\nB 1.52" in text
    assert len(dots(text)) >= 3  # above 1, and not all in one place


def test_the_page_says_who_tuned_and_what_is_unfair():
    page = render_comparison(found())
    assert "The learning rate of A was tuned: 7 rates × 3 folds; that of B was given." in page
    assert "same number of trials" not in page
    assert "Warning: only A tuned its learning rate." in page
    assert "B is better by 3.0 points." in page
    page = render_comparison(losses())
    assert "B is worse: its log loss is higher by 0.143 nats." in page
    assert "left of 0, B is" in page


def test_the_page_names_the_test_of_the_rows_and_the_interval():
    page = render_comparison(found())
    assert "McNemar&#39;s test, p = 0.01" in page
    assert "their mean and its 95 % interval" in page
    rare = found(rows_test="swap test", rows_p=0.2, mcnemar_p=None, confidence=0.9512)
    page = render_comparison(rare)
    assert "swap test, p = 0.2" in page
    assert "McNemar" not in page
    assert "its 95.1 % interval" in page


def test_one_recipe_twice():
    same = {"lr": "0.1"}
    page = render_comparison(found(recipes={"a": same, "b": same}, notes=[]))
    assert "Nothing: both recipes are the same." in page
    assert "Warning" not in page


@pytest.mark.parametrize("ends", [(None, None), (-0.2, 0.3)])
def test_intervals_without_ends(ends):
    low, high = ends
    text = picture(found(difference={"value": 0.03, "low": low, "high": high}))
    assert ("whisker" in text) == (low is not None)
    assert "nan" not in text.replace("nano", "")


def test_hostile_words_are_escaped(tmp_path):
    evil = found(
        data=EVIL,
        a=EVIL,
        b=EVIL,
        words=EVIL,
        tuned=EVIL,
        notes=[EVIL],
        metric=EVIL,
        unit=EVIL,
        recipes={"a": {EVIL: EVIL}, "b": {EVIL: "x"}},
    )
    text = write_comparison(evil, tmp_path).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
