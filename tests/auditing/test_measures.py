"""Likeness and labels: measured on clouds whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainwell.auditing.changed import flat
from trainwell.auditing.labels import Judged, difference, distances_by_class, judge_labels, ratio
from trainwell.auditing.likeness import (
    change,
    copied,
    coverage,
    leaking,
    leaks,
    realism,
    two_sample,
)
from trainwell.stats import wilson


def cloud(rows, seed, shift=0.0, width=6):
    made = np.random.default_rng(seed).normal(size=(rows, width)) + shift
    return made.astype(np.float32)


def test_samples_of_one_distribution_are_not_told_apart():
    p = [two_sample(cloud(150, 2 * s), cloud(150, 2 * s + 1), s).p for s in range(40)]
    assert np.mean(np.array(p) < 0.05) <= 0.1, "nominal 5 %; 40 tries"
    assert two_sample(cloud(150, 0), cloud(150, 1), 0).accuracy.value < 0.6


def test_others_are_told_apart_also_by_their_spread_alone():
    assert two_sample(cloud(200, 0), cloud(200, 1, 1.5), 0).p < 1e-6
    assert two_sample(cloud(200, 0), 3 * cloud(200, 1), 0).accuracy.value > 0.8


def test_coverage_and_realism_are_one_for_the_data_and_zero_far_away():
    train, held = cloud(600, 0), cloud(300, 1)
    assert coverage(train, held, cloud(600, 2)).value > 0.95
    assert coverage(train, held, cloud(600, 2, 20.0)).value == 0
    assert 0.85 < realism(train, held, cloud(300, 3)).value <= 1
    assert realism(train, held, cloud(300, 3, 20.0)).value == 0
    one_corner = np.abs(cloud(600, 2))  # realistic, but half the directions are missing
    assert coverage(train, held, one_corner).value < 0.6


def test_copies_of_held_out_rows_leak_and_copies_of_training_rows_do_not():
    train, held = cloud(600, 0), cloud(300, 1)
    near = held + 0.01 * cloud(300, 5)
    assert leaking(*leaks(train, held, near))
    assert leaking(*leaks(train, held, np.concatenate([near[:60], cloud(240, 6)])))
    assert not leaking(*leaks(train, held, train + 0.01 * cloud(600, 7)))
    assert not leaking(*leaks(train, held, cloud(600, 8)))


def test_change_and_copies():
    x = cloud(200, 0)
    assert change(x, x) == 0
    assert change(x, x + 1) == pytest.approx(1.0, rel=0.05)
    assert copied(x, x[:50]) == 1
    assert copied(x, cloud(50, 1)) == 0


@pytest.fixture(scope="module")
def two_classes():
    """Classes 0 and 1 at -3 and 3, a perfect reference, and a function that judges rows."""
    y = np.arange(400) % 2
    centres = np.where(y == 0, -3.0, 3.0)[:, None].astype(np.float32)
    train, held = centres + cloud(400, 0), centres + cloud(400, 1)

    def judged(rows):
        p = 1 / (1 + np.exp(-rows.sum(1).astype(np.float64)))
        chances = np.stack([1 - p, p], 1)
        return Judged(y, np.eye(2)[y], chances, distances_by_class(rows, train, y, 2))

    return held, judged


def test_a_row_that_becomes_another_class_breaks_its_label(two_classes):
    held, judged = two_classes
    found = judge_labels(judged(held), judged(-held), 2)
    assert found.broken.low > 0.5
    assert found.affinity.value < 0.1
    assert found.worst is not None
    assert {found.worst[0], found.worst[1]} == {0, 1}


def test_a_row_that_is_merely_unlike_the_data_keeps_its_label(two_classes):
    held, judged = two_classes
    far = -held + 40 * np.where(np.arange(6) % 2, 1, -1).astype(np.float32)
    found = judge_labels(judged(held), judged(far), 2)
    assert found.affinity.value < 0.6  # the reference errs
    assert found.kept.value > 0.99  # but it lies among no class


def test_clean_rows_break_nothing(two_classes):
    held, judged = two_classes
    found = judge_labels(judged(held), judged(held), 2)
    assert found.broken.value == 0
    assert found.affinity.value == 1
    assert found.kept.low <= 1 <= found.kept.high


def test_a_difference_with_no_rows_says_nothing_and_covers():
    assert difference(0, 0, 1, 10).low == -1
    rng = np.random.default_rng(0)
    inside = 0
    for a, b in zip(rng.binomial(80, 0.3, 400), rng.binomial(80, 0.1, 400), strict=True):
        found = difference(int(a), 80, int(b), 80)
        inside += found.low <= 0.2 <= found.high
    assert inside / 400 > wilson(375, 400).low - 0.02
    assert ratio(np.ones(10), np.ones(10)).value == 1


def test_flat_keeps_distances_about():
    wide = torch.randn(60, 3000, generator=torch.Generator().manual_seed(0))
    small = torch.from_numpy(flat(wide))
    assert small.shape == (60, 256)
    before, after = torch.cdist(wide, wide), torch.cdist(small, small)
    off = ~torch.eye(60, dtype=torch.bool)
    assert (after[off] / before[off]).std() / (after[off] / before[off]).mean() < 0.1
    assert flat(torch.rand(5, 1, 28, 28)).shape[1] <= 256
