"""Members that share a population do not meet, whatever they differ in; runs go on to the bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.data import LOOPED, STACKED, clips, fold_inputs, members_of, pictures, table
from trainwell.data.dataset import Dataset
from trainwell.engine import checkpoint
from trainwell.engine.inputs import FoldInputs
from trainwell.engine.members import Examples, Member
from trainwell.engine.population import Execution, Population
from trainwell.engine.share import Share
from trainwell.engine.train import train
from trainwell.recipe import Recipe
from trainwell.techniques.augment.audio import AddNoise, TimeShift
from trainwell.techniques.augment.images import Rotate, Shift
from trainwell.techniques.init import Lsuv
from trainwell.techniques.models import AudioCnn, Mlp
from trainwell.techniques.optim.first_order import Adam, Momentum
from trainwell.techniques.preprocess import LogMel, Standardize
from trainwell.techniques.regularize import MaxNorm
from trainwell.techniques.schedules import Constant, OneCycle, ReduceOnPlateau, WarmUp

BASE = Recipe(
    model=Mlp(hidden=(10, 6)), regularize=(), schedule=Constant(), lr=0.01, epochs=4, batch_size=16
)
SOUND = dataclasses.replace(
    BASE,
    model=AudioCnn(channels=(4, 6)),
    preprocess=(LogMel(bands=12), Standardize(per="channel")),
    epochs=2,
)


def shared(data: Dataset, recipe: Recipe) -> Examples:
    folds = fold_inputs(data, recipe, [np.arange(len(data) * 3 // 4)]).layers
    device = torch.device("cpu")
    inputs = FoldInputs(data.inputs, folds, device, augmented=True)
    rate = getattr(data.schema, "rate", 0)
    return Examples(inputs, torch.from_numpy(data.labels), len(data.classes), device, rate=rate)


def run(members: list[Member], everything: Examples, way: Execution | None) -> list[torch.Tensor]:
    people = Population(members, everything, way)
    list(train(people))
    return [t.theta for t in people.trained]


def alike(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("rule", [Adam(), Momentum()])
def test_each_member_has_its_own_plateau(rule: Any) -> None:
    """The same recipe for all; what they differ in are rows, hence losses, hence rates."""
    data = table(rows=200, classes=4)
    plateau = ReduceOnPlateau(factor=0.1, patience=0, threshold=0.2)
    recipe = dataclasses.replace(BASE, optimizer=rule, schedule=plateau, lr=0.03, epochs=8)
    members = [
        dataclasses.replace(m, validation=m.validation[k::3])
        for k, m in enumerate(members_of(data, [recipe] * 3))
    ]
    everything = shared(data, recipe)
    people = Population(members, everything, STACKED)
    rates: dict[int, list[float]] = {}
    for scores in train(people):
        for s in scores:
            rates.setdefault(s.member, []).append(s.lr)
    assert len({tuple(r) for r in rates.values()}) > 1, "the case must tell members apart"
    alike([t.theta for t in people.trained], run(members, everything, LOOPED))


@pytest.mark.parametrize("kind", ["pictures", "clips"])
def test_members_that_augment_differently_share_a_population(kind: str) -> None:
    data = pictures(rows=60) if kind == "pictures" else clips(rows=36)
    one, other = (Rotate(10), Shift()) if kind == "pictures" else (AddNoise(), TimeShift())
    base = SOUND if kind == "clips" else BASE
    changes = [(one,), (other,), (one, other), ()]
    recipes = [dataclasses.replace(base, augment=a, epochs=2) for a in changes]
    members = members_of(data, recipes)
    everything = shared(data, base)
    together = run(members, everything, STACKED)
    alike(together, run(members, everything, LOOPED))
    alike(together, [run([m], everything, None)[0] for m in members])


@pytest.mark.parametrize("rule", [Momentum(), Adam()])
def test_one_cycle_behind_a_warm_up_moves_momentum_too(rule: Any) -> None:
    warm = WarmUp(OneCycle(), epochs=1.0)
    assert warm.momentum(0.5, 5) == pytest.approx(0.95)
    assert warm.momentum(1 + 0.3 * 4, 5) == pytest.approx(0.85)
    assert WarmUp(Constant()).momentum(1, 5) is None
    data = table()
    recipe = dataclasses.replace(BASE, optimizer=rule, schedule=warm)
    still = dataclasses.replace(recipe, schedule=WarmUp(OneCycle(low_momentum=0.95), epochs=1.0))
    everything = shared(data, recipe)
    members = members_of(data, [recipe, still, dataclasses.replace(recipe, schedule=Constant())])
    found = run(members, everything, STACKED)
    alike(found, run(members, everything, LOOPED))
    again = members_of(data, [recipe, recipe], seeds=[1, 1])
    assert not torch.equal(run(again, everything, STACKED)[0], found[1])


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_stacked_convolutions_go_on_to_the_bit(stop: int, tmp_path: Path) -> None:
    """The memory of a file that was read is aligned otherwise than that of a new tensor."""
    data = clips(rows=36)
    members = members_of(data, [SOUND] * 3)
    everything = shared(data, SOUND)
    expected = run(members, everything, STACKED)
    people, steps = Population(members, everything, STACKED), 0

    def pause() -> bool:
        nonlocal steps
        steps += 1
        return steps == stop + 1

    history = []
    for scores in train(people, pause):
        history += scores
        if not scores:
            break
    checkpoint.save(tmp_path / "part", people, history)
    again = Population(members, everything, STACKED)
    checkpoint.restore(checkpoint.read(tmp_path / "part"), again)
    list(train(again))
    for a, b in zip(again.trained, expected, strict=True):
        assert torch.equal(a.theta, b)


def test_probes_of_the_beginning_are_taken_once(tmp_path: Path) -> None:
    data = table()
    members = members_of(data, [BASE] * 2)
    everything = shared(data, BASE)
    people = Population(members, everything, None, probing=True)
    assert next(iter(train(people, lambda: True))) == []  # paused before the first step
    checkpoint.save(tmp_path / "part", people, [])
    again = Population(members, everything, None, probing=True)
    checkpoint.restore(checkpoint.read(tmp_path / "part"), again)
    list(train(again))
    places = [(p.member, p.epoch, p.layer) for p in again.probes]
    assert len(places) == len(set(places)) and (0, 0, "1") in places


def test_rows_that_are_sorted_by_class_are_sampled_from_all_classes() -> None:
    """For Lsuv, whose fit must not see the first classes alone, and for probes."""
    data = table(rows=4000, classes=4)
    order = np.argsort(data.labels, kind="stable")
    rows = dataclasses.replace(data, inputs=data.inputs[order], labels=data.labels[order])
    recipe = dataclasses.replace(BASE, init=Lsuv(), model=Mlp((20,), norm="none"))
    train_rows = np.arange(4000)[::2]
    member = Member(recipe, 0, train_rows, np.arange(4000)[1::2], 0)
    everything = shared(rows, recipe)
    people = Population([member], everything, None, probing=True)
    x = everything.inputs.gather(torch.tensor([0]), torch.from_numpy(train_rows)[None])[0]
    slot = people.parameters[0]
    weight = people.theta[0, slot.start : slot.stop].view(slot.shape)
    assert float((x @ weight.T).var()) == pytest.approx(1, abs=0.15)


def test_lsuv_needs_no_more_than_one_validation_row() -> None:
    data = table(rows=30)
    recipe = dataclasses.replace(BASE, init=Lsuv(), epochs=1, batch_size=8)
    member = Member(recipe, 0, np.arange(29), np.arange(29, 30), 0)
    (theta,) = run([member], shared(data, recipe), None)
    assert theta.isfinite().all()


def test_max_norm_leaves_embeddings_alone() -> None:
    data = table()
    recipe = dataclasses.replace(BASE, model=Mlp((8,), numbers=3), regularize=(MaxNorm(0.2),))
    people = Population(members_of(data, [recipe]), shared(data, recipe), LOOPED)
    limited = {s.name for s in people.shares[0].limited_slots}
    every = {s.name for s in people.parameters if s.decays}
    assert isinstance(people.shares[0], Share)
    assert limited == {n for n in every if not n.startswith("1.")} and limited < every
