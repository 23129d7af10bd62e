"""Intervals of paired differences over very many rows."""

from __future__ import annotations

import numpy as np
import pytest

from trainwell.ensemble import rows
from trainwell.ensemble.rows import paired


def test_drawing_values_is_drawing_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences of hits of 30 000 rows: how often each value comes, and row by row."""
    rng = np.random.default_rng(0)
    hits = rng.choice([-1.0, 0.0, 1.0], size=(30_000, 2), p=[0.04, 0.9, 0.06])
    quick = paired(hits, seed=1)
    monkeypatch.setattr(rows, "MANY", 10**9)
    slow = paired(hits, seed=1, resamples=500)
    error = hits.std(axis=0) / np.sqrt(len(hits))
    for a, b, e, mean in zip(quick, slow, error, hits.mean(axis=0), strict=True):
        assert a.value == b.value == pytest.approx(mean)
        assert (a.high - a.low) / (2 * 1.96 * e) == pytest.approx(1.0, abs=0.06)
        assert abs(a.low - b.low) < 0.3 * e and abs(a.high - b.high) < 0.3 * e


def test_many_values_are_drawn_row_by_row() -> None:
    """Log losses take a value of their own on every row."""
    rng = np.random.default_rng(0)
    losses = rng.exponential(size=(20_000, 1)) - 1
    (found,) = paired(losses, seed=0, resamples=200)
    error = losses.std() / np.sqrt(len(losses))
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1.0, abs=0.15)


def test_groups_of_unequal_size_keep_their_sizes() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20_000), rng.integers(1, 3, 20_000))
    hits = rng.choice([-1.0, 0.0, 1.0], size=(len(groups), 1))
    (found,) = paired(hits, seed=0, groups=groups)
    assert found.value == pytest.approx(hits.mean()) and found.low < found.value < found.high
