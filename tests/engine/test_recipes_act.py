"""What a recipe names is what training does: inits, schedules, orders, limits, thresholds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from helpers.data import LOOPED, examples, labelled, members_of, population, table, varied
from trainwell.data.dataset import Dataset
from trainwell.engine.alone import Alone
from trainwell.engine.members import Member
from trainwell.engine.population import Population
from trainwell.engine.probes import Probe
from trainwell.engine.sampling import Sampler
from trainwell.engine.score import EpochScore
from trainwell.engine.train import train
from trainwell.model import assemble, balanced, load, save
from trainwell.recipe import Recipe
from trainwell.techniques.balance import LogitAdjust, Oversample, ThresholdMove
from trainwell.techniques.init import He, Lsuv
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.optim.first_order import Adam, Momentum
from trainwell.techniques.optim.second_order import Lbfgs, Newton, NewtonCg
from trainwell.techniques.regularize import L1, L2, Dropout, MaxNorm
from trainwell.techniques.schedules import Constant, OneCycle, ReduceOnPlateau, WarmUp
from trainwell.techniques.thresholds import decided

BASE = Recipe(
    model=Mlp(hidden=(12, 8)), regularize=(), lr=5e-3, epochs=4, batch_size=16, schedule=Constant()
)


def run(data: Dataset, recipes: list[Recipe]) -> tuple[Population, list[EpochScore]]:
    people = population(data, members_of(data, recipes))
    return people, [s for scores in train(people) for s in scores]


def test_lsuv_is_fitted_on_the_members_own_rows() -> None:
    data = table(rows=300)
    wide = dataclasses.replace(BASE, init=Lsuv(), model=Mlp((30, 30), norm="none"))
    lsuv, he = members_of(data, [wide, dataclasses.replace(wide, init=He())])
    lsuv = dataclasses.replace(lsuv, train=lsuv.train[::-1].copy())
    people = population(data, [lsuv, he])
    rows = torch.from_numpy(np.stack([lsuv.train[:100], he.train[:100]]))
    x = people.examples.inputs.gather(torch.tensor([0, 0]), rows)
    spreads = []
    for k in range(2):
        network = people.network
        for slot in people.parameters:
            value = people.theta[k, slot.start : slot.stop].view(slot.shape)
            network.get_parameter(slot.name).data.copy_(value)
        h = x[k]
        mine = []
        for layer in network:  # type: ignore[attr-defined]
            h = layer(h)
            if isinstance(layer, nn.Linear):
                mine.append(float(h.detach().var()))
        spreads.append(mine)
    assert spreads[0] == pytest.approx([1, 1, 1], abs=0.25)  # fitted on some of these rows
    assert max(abs(np.array(spreads[1]) - 1)) > 0.4
    assert torch.equal(population(data, [he]).theta[0], people.theta[1])


def test_the_rate_falls_on_a_plateau() -> None:
    """With a rate so small that the loss does not fall by the threshold, every other epoch halves
    it; the rates follow each member's own losses."""
    rule = ReduceOnPlateau(factor=0.5, patience=1, threshold=0.5)
    recipe = dataclasses.replace(BASE, schedule=rule, epochs=9, lr=1e-6)
    learning = dataclasses.replace(recipe, schedule=WarmUp(rule, epochs=2.0), lr=1e-6)
    _, history = run(table(), [recipe, learning, dataclasses.replace(recipe, lr=2e-2)])
    for k, schedule in enumerate((rule, learning.schedule, rule)):
        mine = [s for s in history if s.member == k]
        losses = [s.val_loss for s in mine]
        for i, score in enumerate(mine):
            lr = recipe.lr if k < 2 else 2e-2
            assert isinstance(schedule, ReduceOnPlateau | WarmUp) and lr
            assert score.lr == pytest.approx(lr * schedule(i, 9) * schedule.after(losses[:i]))
    slow = [s.lr / 1e-6 for s in history if s.member == 0]
    assert slow == pytest.approx([1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125])


@pytest.mark.parametrize("rule", [Momentum(), Adam()])
def test_one_cycle_moves_rate_and_momentum(rule: Any) -> None:
    """The same weights as a loop by hand with torch's optimiser; a neighbour keeps its own."""
    cycle = OneCycle()
    recipe = dataclasses.replace(
        BASE, optimizer=rule, schedule=cycle, model=Linear(), lr=0.05, epochs=3
    )
    steady = dataclasses.replace(recipe, schedule=Constant())
    data = table()
    people, _ = run(data, [recipe, steady])
    alone = population(data, members_of(data, [steady], seeds=[1]))
    list(train(alone))
    shared = people.examples
    member = members_of(data, [recipe, steady])[0]
    network = nn.Linear(5, 3)
    fresh = population(data, [member])
    for slot, parameter in zip(fresh.parameters, network.parameters(), strict=True):
        parameter.data.copy_(fresh.theta[0, slot.start : slot.stop].view(slot.shape))
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(network.parameters(), lr=1.0, momentum=0.9)
        if isinstance(rule, Momentum)
        else torch.optim.Adam(network.parameters())
    )
    sampler = Sampler(member, shared)
    for epoch in range(3):
        rows = sampler.epoch(epoch).rows
        for step in range(member.steps):
            batch = rows[16 * step : 16 * (step + 1)]
            x = shared.inputs.gather(torch.tensor([0]), batch[None])[0]
            at = epoch + step / member.steps
            group = optimizer.param_groups[0]
            group["lr"] = 0.05 * cycle(at, 3)
            momentum = cycle.momentum(at, 3)
            group |= (
                {"momentum": momentum}
                if isinstance(rule, Momentum)
                else {"betas": (momentum, 0.999)}
            )
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), shared.labels[batch]).backward()
            optimizer.step()
    flat = torch.cat([p.detach().flatten() for p in network.parameters()])
    found = people.done[0]
    assert found.best_epoch == 3
    torch.testing.assert_close(found.theta[: len(flat)], flat, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(people.done[1].theta, alone.done[0].theta, rtol=1e-5, atol=1e-6)


def test_orders_of_an_epoch() -> None:
    data = table(rows=100)
    shared = examples(data, BASE, np.arange(64))
    orders = {}
    for how in ("every_epoch", "once", "never", "by_class"):
        recipe = dataclasses.replace(BASE, shuffle=how)  # type: ignore[arg-type]
        made = Sampler(Member(recipe, 0, np.arange(64), np.arange(64, 100), 3), shared)
        orders[how] = [made.epoch(e).rows.tolist() for e in range(3)]
        assert all(sorted(o) == list(range(64)) for o in orders[how])
    assert orders["every_epoch"][0] != orders["every_epoch"][1]
    assert orders["once"][0] == orders["once"][1] == orders["every_epoch"][0]
    assert orders["never"][2] == list(range(64))
    labels = data.labels[orders["by_class"][1]]
    assert (np.diff(labels) >= 0).all()


def test_max_norm_counts_what_it_did() -> None:
    recipes = varied(
        dataclasses.replace(BASE, optimizer=Momentum(), lr=0.1),
        regularize=[(MaxNorm(0.5),), (MaxNorm(1e6),), ()],
    )
    people, _ = run(table(), recipes)
    tight, loose, none = (t.shrunk for t in people.trained)
    assert tight > 100 and loose == none == 0


def probes_of(recipe: Recipe, epoch: int) -> dict[str, Probe]:
    data = table()
    people = Population(
        members_of(data, [recipe]), examples(data, recipe, np.arange(90)), LOOPED, probing=True
    )
    list(train(people))
    return {p.layer: p for p in people.probes if p.epoch == epoch}


def test_probes_before_the_first_step() -> None:
    """The initial weights' own state, from which a wrong initialisation shows."""
    dead = probes_of(dataclasses.replace(BASE, model=Mlp((12, 8), norm="none")), 0)
    assert np.isnan(dead["1"].update) and dead["1"].gradient > 0 and dead["2"].spread > 0
    zero = probes_of(dataclasses.replace(BASE, model=Mlp((12, 8), norm="none"), init=Lsuv()), 1)
    assert zero["1"].update > 0


# --- rules that ask for the loss ---------------------------------------------------------------


@pytest.mark.parametrize("rule", [Newton(), NewtonCg(), Lbfgs(history=20)])
def test_full_batches_reach_the_minimum_of_logistic_regression(rule: Any) -> None:
    """The same minimum as scikit-learn's, with the same penalty."""
    data = table(rows=120)
    recipe = Recipe(
        model=Linear(),
        regularize=(L2(0.01),),
        optimizer=rule,
        schedule=Constant(),
        lr=1.0,
        batch_size=500,
        epochs=25,
    )
    recipes = [recipe, dataclasses.replace(recipe, regularize=(L2(0.1),))]
    members = [dataclasses.replace(m, validation=m.train) for m in members_of(data, recipes)]
    people = population(data, members)
    list(train(people))
    for trained, strength in zip(people.trained, (0.01, 0.1), strict=True):
        rows = trained.member.train
        x = people.examples.inputs.gather(torch.tensor([0]), torch.from_numpy(rows)[None])[0]
        reference = LogisticRegression(C=1 / (strength * len(rows)), tol=1e-8, max_iter=1000)
        reference.fit(x.numpy(), data.labels[rows])
        network = nn.Linear(5, 3)
        network.weight.data.copy_(trained.theta[:15].view(3, 5))
        network.bias.data.copy_(trained.theta[15:18])

        def loss(w: Any, b: Any, x: Any = x, rows: Any = rows, s: float = strength) -> float:
            z = torch.as_tensor(x @ w.T + b)
            fit = nn.functional.cross_entropy(z, torch.from_numpy(data.labels[rows]))
            return float(fit + 0.5 * s * (w**2).sum())

        best = loss(torch.from_numpy(reference.coef_).float(), torch.tensor(reference.intercept_))
        ours = loss(network.weight.detach(), network.bias.detach())
        # The engine keeps the epoch of the lowest loss, which is without the penalty.
        assert best - 1e-5 <= ours < best + 0.02 * strength / 0.01


def test_a_step_sees_one_dropout_mask_and_moves_statistics_once() -> None:
    """The loss must not change between two questions of one step."""
    data = table()
    base = dataclasses.replace(BASE, regularize=(Dropout(0.5), L1(1e-4)), optimizer=Lbfgs())
    people = population(data, members_of(data, [dataclasses.replace(base, epochs=2, lr=0.5)]))
    network = people.shares[0].network
    assert isinstance(network, Alone)
    asked: list[tuple[int, torch.Tensor]] = []
    outputs = network.outputs

    def noting(theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        found = outputs(theta, x)
        again = outputs(theta, x)
        assert torch.equal(found, again)
        asked.append((id(x), theta.detach().clone()))
        return found

    network.outputs = noting  # type: ignore[method-assign]
    before = people.buffers.clone()
    history = [s for scores in train(people) for s in scores]
    steps = people.trained[0].member.steps
    assert len(asked) >= 2 * 2 * steps  # value and gradient, at least, in every step
    assert len({i for i, _ in asked}) >= 2
    assert not torch.equal(people.done[0].buffers, before[0])
    assert history[-1].train_loss < history[0].train_loss * 1.5


# --- thresholds --------------------------------------------------------------------------------


def rare() -> Dataset:
    """Two classes that overlap, 10 to 1."""
    random = np.random.default_rng(0)
    labels = (np.arange(2200) % 11 == 0).astype(int)
    return labelled(labels, random.normal(size=(2200, 3)) + labels[:, None])


@pytest.mark.parametrize("balance", [ThresholdMove(), LogitAdjust(when="prediction")])
def test_moved_outputs_are_part_of_the_model(balance: Any, tmp_path: Path) -> None:
    data = rare()
    recipe = dataclasses.replace(BASE, balance=balance, epochs=8)
    people, _ = run(data, [recipe, dataclasses.replace(recipe, balance=None)])
    whole = assemble(data.schema, data.classes, people.examples.inputs.layers, people.trained)
    model = balanced(whole, people.trained, data.inputs, data.labels)
    assert model.parts[0].offsets is not None and model.parts[1].offsets is None
    each = model.member_probabilities(data.inputs)
    plain = whole.member_probabilities(data.inputs)
    np.testing.assert_array_equal(each[1], plain[1])
    rows = people.trained[0].member.validation
    moved, before = (np.log(p[0][rows]) for p in (each, plain))
    value = decided(moved, data.labels[rows], np.zeros(2), "balanced_accuracy")
    assert value > decided(before, data.labels[rows], np.zeros(2), "balanced_accuracy") + 0.1
    if isinstance(balance, ThresholdMove):
        offsets = balance.moved(before, data.labels[rows], np.bincount(data.labels))
        assert value == pytest.approx(
            decided(before, data.labels[rows], offsets, "balanced_accuracy")
        )
    save(model, tmp_path)
    np.testing.assert_array_equal(load(tmp_path).member_probabilities(data.inputs), each)


def test_rare_classes_are_found_more_often() -> None:
    data = rare()
    recipes = varied(
        dataclasses.replace(BASE, epochs=6),
        balance=[None, Oversample(), LogitAdjust()],
    )
    people, _ = run(data, recipes)
    model = assemble(data.schema, data.classes, people.examples.inputs.layers, people.trained)
    told = model.member_probabilities(data.inputs).argmax(axis=2)
    recall = [(t[data.labels == 1] == 1).mean() for t in told]
    assert recall[1] > recall[0] + 0.2 and recall[2] > recall[0] + 0.2
