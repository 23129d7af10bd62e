"""Budgets: times as text, and how much is trained in them."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainwell.budget import SIZES, Budget, default_budget, parse_time, plan_size
from trainwell.engine.threads import operations
from trainwell.errors import UserError
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.models.mlp import Mlp


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1.5H", 5400), (" 1 m ", 60), ("1", 1)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "5d", "1e3", "0", "0.5s", "9999h", "m", "1 2"])
def test_no_times(text: str) -> None:
    with pytest.raises(UserError, match=r"--budget: expected a time such as 90s, 10m or 2h, got"):
        parse_time(text)


@given(st.text(max_size=12))
def test_any_text_is_answered(text: str) -> None:
    try:
        assert 1 <= parse_time(text) < 1e7
    except UserError as error:
        assert "--budget" in str(error)


def test_the_clock() -> None:
    budget = Budget(50.0, time.monotonic() - 20)
    assert budget.used >= 20
    assert budget.left == pytest.approx(50 - budget.used, abs=1)
    assert Budget(5.0, time.monotonic() - 20).left < 0


def test_large_budgets_take_the_first_size() -> None:
    size = plan_size(1000, 32, 20, 1e5, False, 1e9, None, None)
    assert (size.folds, size.seeds, size.epochs) == (*SIZES[0], 20)


def test_smaller_budgets_train_less() -> None:
    aims = [1000.0, 100, 30, 10, 5, 1, 0.1]
    sizes = [plan_size(5000, 32, 40, 1e6, False, aim, None, None) for aim in aims]
    members = [s.folds * s.seeds for s in sizes]
    assert members == sorted(members, reverse=True)
    assert members[0] > members[-1]
    epochs = [s.epochs for s in sizes]
    assert epochs == sorted(epochs, reverse=True)
    for size, aim in zip(sizes, aims, strict=True):
        assert size.seconds <= aim or size.epochs == 3
        assert size.epochs == 40 or (size.folds, size.seeds) == (1, 1)


@given(
    rows=st.integers(10, 10**6),
    batch=st.integers(2, 512),
    epochs=st.integers(1, 200),
    work=st.floats(1, 1e10),
    convolves=st.booleans(),
    aim=st.none() | st.floats(0.1, 1e5),
    folds=st.none() | st.integers(1, 20),
    seeds=st.none() | st.integers(1, 20),
)
def test_what_is_given_stays(
    rows: int,
    batch: int,
    epochs: int,
    work: float,
    convolves: bool,
    aim: float | None,
    folds: int | None,
    seeds: int | None,
) -> None:
    size = plan_size(rows, batch, epochs, work, convolves, aim, folds, seeds)
    assert folds in (None, size.folds)
    assert seeds in (None, size.seeds)
    assert min(3, epochs) <= size.epochs <= epochs
    if aim is not None:
        assert size.seconds <= aim * 1.0001 or size.epochs == min(3, epochs)
    assert default_budget(size) > size.seconds
    again = plan_size(rows, batch, epochs, work, convolves, aim, folds, seeds)
    assert again == size  # a matter of counting, not of clocks


def test_operations_are_counted() -> None:
    assert operations(nn.Sequential(nn.Linear(10, 7)), (10,)) == 2 * 10 * 7
    mlp = Mlp(hidden=(20,)).build((10,), 3, 0.1).train()
    assert operations(mlp, (10,)) == 2 * (10 * 20 + 20 * 3)
    assert mlp.training  # as it was
    cnn = Cnn(channels=(4,), depth=1).build((1, 8, 8), 3, 0.0)
    assert operations(cnn, (1, 8, 8)) == 2 * (8 * 8 * 9 * 4 + 4 * 3)
    assert torch.is_grad_enabled()
