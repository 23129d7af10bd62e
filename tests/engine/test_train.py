"""The training loop: against plain torch, and members that do not touch each other."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.data import LOOPED, STACKED, WAYS, digits, members_of, population, table, varied
from trainwell.data.dataset import Dataset
from trainwell.engine.members import Member, Trained, padded, plan
from trainwell.engine.population import Execution, Population
from trainwell.engine.score import EpochScore
from trainwell.engine.stack import layout, named_rows
from trainwell.engine.train import score_begun, train, train_epoch
from trainwell.recipe import Recipe
from trainwell.seeding import numpy_stream, torch_stream
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.optim.first_order import Adam, Momentum
from trainwell.techniques.preprocess import Raw, Standardize
from trainwell.techniques.regularize import L2, Dropout
from trainwell.techniques.schedules import Constant, Cosine, StepDecay

BASE = Recipe(
    model=Mlp(hidden=(16, 8)),
    regularize=(L2(1e-3), Dropout(0.25)),
    lr=5e-3,
    epochs=4,
    batch_size=16,
)


def trained(
    members: Sequence[Member], data: Dataset | None = None, execution: Execution | None = None
) -> tuple[list[Trained], list[EpochScore]]:
    people = population(table() if data is None else data, members, execution)
    history = [score for scores in train(people) for score in scores]
    return people.trained, history


def same(a: Trained, b: Trained, **tolerance: float) -> None:
    """Equal to the bit, or within a tolerance."""
    if tolerance:
        torch.testing.assert_close(a.theta, b.theta, **tolerance)
        torch.testing.assert_close(a.buffers, b.buffers, **tolerance)
    else:
        assert torch.equal(a.theta, b.theta)
        assert torch.equal(a.buffers, b.buffers)
    assert (a.epochs, a.best_epoch, a.diverged) == (b.epochs, b.best_epoch, b.diverged)


# --- a plain torch loop ------------------------------------------------------------------------


def by_hand(member: Member, data: Dataset, epochs: int) -> tuple[Tensor, Tensor]:
    """The member trained by torch.optim in an ordinary loop: its final θ and statistics."""
    recipe = member.recipe
    x = torch.from_numpy(data.inputs).double()
    train_x = x[member.train]
    mean, std = train_x.mean(dim=0), train_x.std(dim=0, correction=0)
    x = ((x - mean) / std).float()
    y = torch.from_numpy(data.labels)
    network = recipe.model.build(tuple(x.shape[1:]), len(data.classes), 0.0)
    parameters, statistics = layout(network)
    decayed, free = [], []
    for name, value in network.named_parameters():
        layer = network[int(name.split(".")[0])]
        if isinstance(layer, nn.Linear) and name.endswith("weight"):
            with torch.no_grad():
                recipe.init(value, torch_stream(member.seed, "init", name))
            decayed.append(value)
        else:
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(value)
            free.append(value)
    strength = sum(r.strength for r in recipe.regularize if isinstance(r, L2))
    groups = [{"params": decayed, "weight_decay": strength}, {"params": free, "weight_decay": 0.0}]
    groups = [g for g in groups if g["params"]]
    rule = recipe.optimizer
    optimizer: torch.optim.Optimizer
    if isinstance(rule, Adam):
        optimizer = torch.optim.Adam(groups, betas=(rule.beta1, rule.beta2), eps=rule.eps)
    else:
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=rule.momentum)
    steps = len(member.train) // recipe.batch_size
    for epoch in range(epochs):
        order = numpy_stream(member.seed, "shuffle", epoch).permutation(member.train)
        for step in range(steps):
            rows = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            assert recipe.lr is not None
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * recipe.schedule(epoch + step / steps, recipe.epochs)
            network.train()
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    state = network.state_dict()
    theta = torch.cat([state[s.name].flatten() for s in parameters])
    found = [state[s.name].flatten() for s in statistics]
    return theta, torch.cat(found) if found else torch.zeros(0)


PLAIN = dataclasses.replace(BASE, regularize=())
HAND = {
    "adam": varied(
        PLAIN,
        optimizer=[Adam(), Adam(0.5, 0.9, 1e-3), Adam(0.8, 0.99)],
        lr=[5e-3, 1e-3, 2e-2],
        schedule=[Constant(), StepDecay(0.5, 1), Cosine(0.2)],
        regularize=[(), (L2(0.01),), (L2(0.1),)],
    ),
    "momentum": varied(
        PLAIN,
        optimizer=[Momentum(), Momentum(0.0), Momentum(0.5)],
        lr=[0.01, 0.1, 0.05],
        schedule=[Cosine(), Constant(), StepDecay(0.1, 2)],
        regularize=[(L2(0.03),), (), (L2(1e-3),)],
    ),
    "linear": varied(
        dataclasses.replace(PLAIN, model=Linear(), optimizer=Momentum()), lr=[0.1, 0.01, 0.5]
    ),
    "without norm": varied(
        dataclasses.replace(PLAIN, model=Mlp(hidden=(16,), norm="none", activation="tanh")),
        lr=[0.01, 0.001, 0.02],
    ),
}


@pytest.mark.parametrize("name", HAND)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_equals_a_plain_torch_loop(name: str, way: Execution) -> None:
    data = table()
    members = members_of(data, HAND[name], seeds=[11, 5, 8])
    assert plan(members) == [[0, 1, 2]]
    people = population(data, members, way)
    for _ in range(3):
        list(train_epoch(people))
    for k, member in enumerate(members):
        theta, statistics = by_hand(member, data, 3)
        torch.testing.assert_close(people.theta[k, : len(theta)], theta, rtol=2e-3, atol=2e-4)
        torch.testing.assert_close(
            people.buffers[k, : len(statistics)], statistics, rtol=1e-3, atol=1e-4
        )


# --- members do not touch each other -----------------------------------------------------------


@pytest.mark.parametrize("optimizer", [Adam(), Momentum()])
def test_alone_equals_among_eight(optimizer: Any) -> None:
    """With dropout and shuffling. Within 1e-4: a stack of one multiplies by another routine than
    a stack of eight, and roundings grow from step to step."""
    data = table()
    base = dataclasses.replace(BASE, optimizer=optimizer)
    members = members_of(data, [base] * 8, seeds=list(range(8)))
    together, history = trained(members)
    for k in (0, 3, 7):
        (alone,), own = trained([members[k]])
        same(alone, together[k], rtol=1e-3, atol=1e-4)
        mine = [s for s in history if s.member == k]
        for a, b in zip(own, mine, strict=True):
            assert a.val_loss == pytest.approx(b.val_loss, abs=1e-4)
            assert a.train_loss == pytest.approx(b.train_loss, abs=1e-4)


def test_order_of_members_does_not_matter() -> None:
    members = members_of(table(), [BASE] * 3, seeds=[1, 2, 3])
    forward, _ = trained(members)
    backward, _ = trained(members[::-1])
    for a, b in zip(forward, backward[::-1], strict=True):
        same(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", [Mlp(hidden=(16,)), Cnn(channels=(4,), depth=1)])
def test_same_seed_same_bits(model: Any) -> None:
    data = digits()
    recipe = dataclasses.replace(
        BASE, model=model, epochs=2, preprocess=(Standardize(per="channel"),)
    )
    members = [
        dataclasses.replace(m, train=m.train[:200], validation=m.validation[:80])
        for m in members_of(data, [recipe] * 2, seeds=[4, 5])
    ]
    runs = []
    for noise in (0, 99):
        torch.manual_seed(noise)  # the global stream is not used
        runs.append(trained(members, data))
    assert runs[0][1] == runs[1][1]
    for a, b in zip(runs[0][0], runs[1][0], strict=True):
        same(a, b)
    assert not torch.equal(runs[0][0][0].theta, runs[0][0][1].theta)


def test_training_does_not_move_the_global_streams() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    trained(members_of(table(), [dataclasses.replace(BASE, epochs=1)]))
    assert torch.equal(torch.rand(3), expected)


def test_equal_members_get_equal_weights() -> None:
    (a, b), _ = trained(members_of(table(), [BASE] * 2, seeds=[3, 3]))
    same(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("way", [STACKED, LOOPED], ids=str)
def test_a_diverged_member_disturbs_nobody(way: Execution) -> None:
    base = dataclasses.replace(BASE, model=Mlp(hidden=(16,), norm="none"), optimizer=Momentum())
    recipes = varied(base, lr=[0.01, 1e30, 0.02, 0.05])
    members = members_of(table(), recipes, seeds=[1, 2, 3, 4])
    found, history = trained(members, execution=way)
    assert [t.diverged for t in found] == [False, True, False, False]
    assert found[1].epochs == 1
    assert found[1].best_epoch == 0
    assert found[1].theta.isfinite().all()  # the initial weights
    assert [s.epoch for s in history if s.member == 1] == [1]
    assert not math.isfinite(history[1].val_loss + history[1].train_loss)
    without, other = trained([members[i] for i in (0, 2, 3)], execution=way)
    for a, b in zip(without, (found[0], found[2], found[3]), strict=True):
        same(a, b)
    kept = [s for s in history if s.member != 1]
    assert [(s.epoch, s.val_loss) for s in kept] == [(s.epoch, s.val_loss) for s in other]


def test_members_that_end_early_change_nothing() -> None:
    recipes = varied(BASE, epochs=[12] * 3, patience=[50, 1, 50], lr=[2e-3, 0.3, 5e-3])
    members = members_of(table(), recipes)
    found, history = trained(members)
    assert found[1].epochs < 12
    assert [t.epochs for t in found if t is not found[1]] == [12, 12]
    last = [s.epoch for s in history if s.member == 1]
    assert last == list(range(1, found[1].epochs + 1))
    without, _ = trained([members[0], members[2]])
    same(found[0], without[0], rtol=1e-4, atol=1e-5)
    same(found[2], without[1], rtol=1e-4, atol=1e-5)


# --- best epoch, early stopping, scores --------------------------------------------------------


def scored(t: Trained, people: Population) -> tuple[float, float]:
    """Log loss and accuracy of a member's kept weights on its validation rows, by plain torch."""
    network = t.member.recipe.model.build(
        people.examples.inputs.shape, people.examples.classes, 0.0
    )
    parameters, statistics = layout(network)
    state = dict(named_rows(t.theta, parameters)) | dict(named_rows(t.buffers, statistics))
    network.load_state_dict(state, strict=False)
    rows = torch.from_numpy(t.member.validation)
    assert people.examples.inputs.bank is not None
    with torch.no_grad():
        logits = network.eval()(people.examples.inputs.bank[rows])
    labels = people.examples.labels[rows]
    right = (logits.argmax(dim=1) == labels).double().mean()
    return float(nn.functional.cross_entropy(logits, labels)), float(right)


def test_best_weights_score_what_the_history_says() -> None:
    recipes = varied(
        dataclasses.replace(BASE, schedule=Constant(), epochs=15, regularize=()),
        lr=[0.05, 5e-3, 0.01],
        patience=[3, 4, 100],
    )
    people = population(table(classes=4), members_of(table(classes=4), recipes))
    history = [s for scores in train(people) for s in scores]
    for k, t in enumerate(people.trained):
        mine = [s for s in history if s.member == k]
        best = min(mine, key=lambda s: s.val_loss)
        assert (t.best_epoch, t.log_loss) == (best.epoch, best.val_loss)
        assert t.accuracy == best.val_accuracy
        loss, accuracy = scored(t, people)
        assert loss == pytest.approx(best.val_loss, abs=1e-5)
        assert accuracy == pytest.approx(best.val_accuracy, abs=1e-6)
        assert t.epochs == min(15, t.best_epoch + t.member.recipe.patience)
        assert t.epochs == mine[-1].epoch
    assert people.trained[0].epochs < 15


def test_scores_of_members_with_unequal_validation_rows() -> None:
    """The matrix of row numbers is filled up; what fills it must not count."""
    data = table()
    members = members_of(data, [BASE, BASE])
    short = dataclasses.replace(members[0], validation=members[0].validation[:7])
    _, history = trained([short, members[1]])
    _, alone = trained([short])
    for a, b in zip([s for s in history if s.member == 0], alone, strict=True):
        assert a.val_loss == pytest.approx(b.val_loss, abs=1e-4)
        assert a.val_accuracy == b.val_accuracy
        assert a.val_error == pytest.approx(b.val_error, abs=1e-4)
        assert a.val_accuracy * 7 == pytest.approx(round(a.val_accuracy * 7))
    rows, mask = padded([np.array([5, 6]), np.array([7])])
    assert rows.tolist() == [[5, 6], [7, 0]]
    assert mask.tolist() == [[True, True], [True, False]]


def test_train_score_is_clean() -> None:
    """Measured in eval mode on training rows: with dropout of 0.9 it is still that of the mean
    network, and the sample holds as many rows as the validation part."""
    recipe = dataclasses.replace(BASE, regularize=(Dropout(0.9),), epochs=1)
    data = table()
    people = population(data, members_of(data, [recipe]))
    (score,) = next(iter(train(people)))
    rows, mask = people.train_sample
    assert mask.sum() == len(people.members[0].validation)
    assert set(rows[0].tolist()) <= set(people.members[0].train.tolist())
    assert people.examples.inputs.bank is not None
    with torch.no_grad():
        logits = people.shares[0].network.forward(people.examples.inputs.bank[rows], train=False)[0]
    expected = nn.functional.cross_entropy(logits, people.examples.labels[rows[0]])
    assert score.train_loss == pytest.approx(float(expected), abs=1e-6)


# --- recipes act as they say -------------------------------------------------------------------


def test_l2_acts_on_weights_only() -> None:
    """With a gradient of zero, weights shrink by the factor 1 - lr · strength; biases and norm
    parameters stay."""
    recipe = dataclasses.replace(
        BASE,
        regularize=(L2(0.5),),
        optimizer=Momentum(0.0),
        schedule=Constant(),
        lr=0.1,
        batch_size=90,
    )
    data = table()
    people = population(data, members_of(data, [recipe]))
    people.theta.copy_(torch.rand(people.theta.shape) + 0.5)
    before = people.theta.clone()
    people.shares[0].network.gradient = lambda loss: people.grad.zero_()  # type: ignore[method-assign]
    list(train_epoch(people))
    for slot in people.parameters:
        factor = 1 - 0.1 * 0.5 if slot.decays else 1.0
        part = slice(slot.start, slot.stop)
        torch.testing.assert_close(people.theta[0, part], before[0, part] * factor)
    assert {s.decays for s in people.parameters} == {True, False}


def test_rates_follow_the_schedules() -> None:
    schedules = [Constant(), StepDecay(0.5, 2), Cosine(0.0), Cosine(0.5)]
    recipes = varied(BASE, schedule=schedules, lr=[0.01, 0.02, 0.03, 0.04])
    _, history = trained(members_of(table(), recipes))
    for k, (recipe, schedule) in enumerate(zip(recipes, schedules, strict=True)):
        rates = [s.lr for s in history if s.member == k]
        assert recipe.lr is not None
        assert rates == pytest.approx([recipe.lr * schedule(e, 4) for e in range(4)])


def test_dropout_rates_per_member() -> None:
    """Dropout is a member's own: its loss on training rows is worse, the more it drops."""
    recipes = varied(
        dataclasses.replace(BASE, epochs=20, schedule=Constant()),
        regularize=[(Dropout(0.02),), (Dropout(0.5),), (Dropout(0.9),)],
    )
    members = members_of(table(), recipes, seeds=[1, 1, 1])
    assert plan(members) == [[0, 1, 2]]
    _, history = trained(members)
    last = [s.train_loss for s in history if s.epoch == 20]
    assert last[0] < last[1] < last[2]


def test_it_learns() -> None:
    recipe = dataclasses.replace(BASE, epochs=15)
    (found,), _ = trained(members_of(table(rows=300), [recipe]), table(rows=300))
    assert found.accuracy > 0.8


def test_a_batch_larger_than_the_data_and_rows_left_over() -> None:
    data = table(rows=40)
    members = members_of(data, [dataclasses.replace(BASE, batch_size=b) for b in (512, 16)])
    assert [(m.batch, m.steps) for m in members] == [(30, 1), (16, 1)]
    assert plan(members) == [[0], [1]]
    found, _ = trained(members[:1], data)
    assert found[0].best_epoch >= 1


def test_plan_groups_what_shares_a_computation() -> None:
    data = table()
    different = [
        BASE,
        dataclasses.replace(BASE, model=Mlp(hidden=(16,))),
        dataclasses.replace(BASE, batch_size=8),
        dataclasses.replace(BASE, epochs=5),
        dataclasses.replace(BASE, optimizer=Momentum()),
        dataclasses.replace(BASE, regularize=()),  # no dropout layer
        dataclasses.replace(BASE, preprocess=(Raw(),)),
    ]
    assert plan(members_of(data, different)) == [[k] for k in range(7)]
    alike = [
        BASE,
        dataclasses.replace(BASE, lr=0.1),
        dataclasses.replace(BASE, schedule=Constant()),
        dataclasses.replace(BASE, optimizer=Adam(0.5)),
        dataclasses.replace(BASE, regularize=(L2(0.5), Dropout(0.6))),
        dataclasses.replace(BASE, patience=1),
    ]
    assert plan(members_of(data, alike)) == [list(range(6))]
    mixed = members_of(data, [alike[0], different[1], alike[1], different[1], alike[2]])
    assert plan(mixed) == [[0, 2, 4], [1, 3]]
    few = dataclasses.replace(mixed[0], train=mixed[0].train[:20])
    assert plan([mixed[0], few]) == [[0], [1]]  # another number of steps
    assert plan([]) == []


@pytest.mark.parametrize(
    ("way", "steps"), [(LOOPED, 0), (LOOPED, 3), (LOOPED, 12), (STACKED, 0), (STACKED, 3)]
)
def test_a_first_epoch_that_is_cut_counts_for_those_that_took_steps(
    way: Execution, steps: int
) -> None:
    """One by one the first member has five steps, the second the next five, and so on."""
    some = members_of(table(), [BASE] * 3)
    people, left = population(table(), some, way), steps

    def pause() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    assert next(iter(train(people, pause))) == []
    each, begin = people.steps, people.theta.clone()
    scores = score_begun(people)
    begun = 3 if way.way == "stacked" and steps else -(-steps // each)
    assert [s.member for s in scores] == list(range(min(begun, 3)))
    assert all(s.epoch == 1 for s in scores)
    people.finish(range(len(people.members)))
    found = people.trained
    for number in range(len(scores)):
        assert (found[number].epochs, found[number].best_epoch) == (1, 1)
        assert torch.equal(found[number].theta, begin[number])
    if steps:
        assert all((t.epochs, t.best_epoch) == (0, 0) for t in found[len(scores) :])
        assert score_begun(people) == []  # an epoch is done
