"""Schedules against torch.optim.lr_scheduler, their formulas, and what holds for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as reference

from helpers.families import FAMILIES, values
from trainwell.callstring import parse
from trainwell.errors import RecipeError
from trainwell.recipe import Recipe, from_toml, to_toml
from trainwell.techniques.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    InverseTimeDecay,
    LinearDecay,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    WarmUp,
)

EPOCHS = 23
Scheduler = Any


def optimizer(lr: float = 1.0) -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)


def stepped(make: Callable[[torch.optim.Optimizer], Scheduler], count: int) -> list[float]:
    """The rates of torch's scheduler before each of some steps, from a rate of 1."""
    fake = optimizer()
    scheduler, rates = make(fake), []
    for _ in range(count):
        rates.append(fake.param_groups[0]["lr"])
        fake.step()
        scheduler.step()
    return rates


PAIRS: list[tuple[Any, Callable[[torch.optim.Optimizer], Scheduler]]] = [
    (Constant(), lambda o: reference.ConstantLR(o, factor=1.0)),
    (StepDecay(factor=0.3, every=4), lambda o: reference.StepLR(o, 4, gamma=0.3)),
    (ExponentialDecay(rate=0.2), lambda o: reference.ExponentialLR(o, gamma=math.exp(-0.2))),
    (Cosine(), lambda o: reference.CosineAnnealingLR(o, T_max=EPOCHS)),
    (LinearDecay(end=0.2), lambda o: reference.LinearLR(o, 1.0, 0.2, total_iters=EPOCHS)),
    (LinearDecay(), lambda o: reference.LinearLR(o, 1.0, 0.0, total_iters=EPOCHS)),
    (InverseTimeDecay(rate=0.3), lambda o: reference.LambdaLR(o, lambda e: 1 / (1 + 0.3 * e))),
]


@pytest.mark.parametrize(("schedule", "make"), PAIRS, ids=lambda v: repr(v)[:20])
def test_equal_torch(schedule: Any, make: Any) -> None:
    found = [schedule(float(e), EPOCHS) for e in range(EPOCHS + 1)]
    np.testing.assert_allclose(found, stepped(make, EPOCHS + 1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"peak": 0.45, "div": 10.0, "final_div": 50.0}])
@pytest.mark.parametrize("steps", [11, 60])
def test_one_cycle_equals_torch(options: dict[str, float], steps: int) -> None:
    """torch puts the peak one step before its share; the same share of the way is asked for."""
    schedule = OneCycle(**options)
    share = (schedule.peak * (steps - 1) + 1) / steps
    fake = optimizer()
    scheduler = reference.OneCycleLR(
        fake,
        max_lr=1.0,
        total_steps=steps,
        pct_start=share,
        div_factor=schedule.div,
        final_div_factor=schedule.final_div,
    )
    for step in range(steps):
        epoch = EPOCHS * step / (steps - 1)
        group = fake.param_groups[0]
        assert schedule(epoch, EPOCHS) == pytest.approx(group["lr"], rel=1e-9)
        assert schedule.momentum(epoch, EPOCHS) == pytest.approx(group["momentum"], rel=1e-9)
        fake.step()
        if step < steps - 1:
            scheduler.step()


def plateau(losses: Sequence[float], schedule: ReduceOnPlateau) -> list[float]:
    """The rates of torch's ReduceLROnPlateau after each loss."""
    fake, rates = optimizer(), []
    scheduler = reference.ReduceLROnPlateau(
        fake,
        factor=schedule.factor,
        patience=schedule.patience,
        threshold=schedule.threshold,
        eps=0.0,
    )
    for loss in losses:
        scheduler.step(loss)
        rates.append(fake.param_groups[0]["lr"])
    return rates


@given(
    st.lists(st.floats(0, 3) | st.just(float("nan")) | st.just(math.inf), max_size=40),
    st.integers(0, 6),
    st.floats(0.1, 0.9),
    st.sampled_from([0.0, 1e-4, 0.1, 0.5]),
)
def test_plateau_equals_torch(
    losses: list[float], patience: int, factor: float, threshold: float
) -> None:
    schedule = ReduceOnPlateau(factor, patience, threshold)
    found = [schedule.after(losses[: k + 1]) for k in range(len(losses))]
    np.testing.assert_allclose(found, plateau(losses, schedule), rtol=1e-12)
    assert schedule.after([]) == 1.0


def test_only_the_plateau_watches() -> None:
    assert [s for s in (c() for c in members()) if s.watches] == [ReduceOnPlateau()]
    assert WarmUp(then=ReduceOnPlateau()).watches


def members() -> list[Any]:
    from trainwell.callstring import members as of

    return list(of(Schedule))


# --- warm-up -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("schedule", "make"), PAIRS, ids=lambda v: repr(v)[:20])
def test_warm_up_equals_torch_sequence(schedule: Any, make: Any) -> None:
    """LinearLR for five epochs, then the other scheduler from its own beginning."""

    def sequence(o: torch.optim.Optimizer) -> Scheduler:
        warm = reference.LinearLR(o, start_factor=0.2, end_factor=1.0, total_iters=5)
        return reference.SequentialLR(o, [warm, make(o)], milestones=[5])

    composed = WarmUp(then=schedule, epochs=5, start=0.2)
    found = [composed(float(e), EPOCHS + 5) for e in range(EPOCHS + 5)]
    np.testing.assert_allclose(found, stepped(sequence, EPOCHS + 5), rtol=1e-6)


@given(st.floats(0.01, 0.9), st.floats(0, 1))
def test_a_warm_cosine_is_the_one_with_its_own_warm_up(share: float, u: float) -> None:
    one, other = WarmUp(then=Cosine(), share=share), Cosine(warmup=share)
    assert one(u * EPOCHS, EPOCHS) == pytest.approx(other(u * EPOCHS, EPOCHS), abs=1e-9)


def test_a_warm_up_ends_where_the_schedule_begins() -> None:
    for cls in members()[:-1]:
        warm = WarmUp(then=cls(), share=0.25)
        below, above = warm(5 - 1e-9, 20), warm(5.0, 20)
        assert below == pytest.approx(above, rel=1e-6) == pytest.approx(cls()(0.0, 15))


def test_a_warm_up_as_long_as_the_run_or_longer() -> None:
    for cls in members()[:-1]:
        for warm in (WarmUp(cls(), share=1.0), WarmUp(cls(), epochs=10), WarmUp(cls(), epochs=99)):
            rates = [warm(e, 10) for e in range(11)]
            assert all(0 <= m <= 1 for m in rates)
            assert rates[:10] == sorted(rates[:10])


def test_a_warm_plateau() -> None:
    losses = [1.0, 1.1, 1.2, 1.3, 1.4]
    plain = ReduceOnPlateau(patience=1)
    assert WarmUp(then=plain).after(losses) == plain.after(losses) == 0.25
    assert WarmUp(then=Cosine()).after(losses) == 1.0
    assert WarmUp(then=plain, epochs=2)(1.0, 10) == pytest.approx(0.55)


def test_a_warm_up_in_a_warm_up_is_refused() -> None:
    with pytest.raises(RecipeError, match="then must be one of Constant, StepDecay, Exp"):
        WarmUp(then=WarmUp())  # type: ignore[arg-type]
    schedule = FAMILIES["schedule"]
    _, mistakes = parse("WarmUp(then=WarmUp())", schedule, "schedule")
    assert len(mistakes) == 1
    assert 'no "WarmUp"' in mistakes[0]


def test_nested_call_strings() -> None:
    schedule = FAMILIES["schedule"]
    text = "WarmUp(then=StepDecay(every=5), share=0.05)"
    assert parse(text, schedule, "s") == (WarmUp(then=StepDecay(every=5), share=0.05), [])
    assert parse("WarmUp(OneCycle)", schedule, "s") == (WarmUp(OneCycle()), [])
    assert parse("WarmUp(then=StepDecay(every=0), start=2)", schedule, "s")[1] == [
        "s: WarmUp: then: StepDecay: every must be ≥ 1, got 0",
        "s: WarmUp: start must be ≥ 0 and ≤ 1, got 2.0",
    ]
    recipe = Recipe(schedule=WarmUp(then=ReduceOnPlateau(patience=3), epochs=2))
    assert from_toml(to_toml(recipe), Recipe(), "recipe") == recipe


# --- all of them -------------------------------------------------------------------------------


@given(values(Schedule), st.integers(1, 500), st.floats(0, 1))
def test_multipliers_lie_between_zero_and_one(schedule: Any, epochs: int, u: float) -> None:
    for epoch in (u * epochs, 0.0, float(epochs)):
        assert 0 <= schedule(epoch, epochs) <= 1
    if schedule.watches:
        assert 0 <= schedule.after([1.0, 2.0, 3.0, 0.5, 0.6, 0.7]) <= 1


@pytest.mark.parametrize("cls", members())
def test_the_first_rate_is_not_zero_and_later_ones_are_never_negative(cls: Any) -> None:
    schedule = cls()
    assert schedule(0.0, 10) > 0
    assert all(schedule(e, 10) >= 0 for e in np.linspace(0, 12, 50))  # also behind the end
