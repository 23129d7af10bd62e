"""Modules that somebody else has written: tied, frozen and unused parameters, recurrent layers,
shared layers, buffers of all kinds. The engine gives the numbers of the plain module."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from helpers.data import LOOPED, VMAPPED, digits, examples, members_of, population, table
from trainwell.engine.alone import Alone
from trainwell.engine.members import Member, initial_row
from trainwell.engine.population import Population
from trainwell.engine.stack import can_stack, layout, rows_of
from trainwell.engine.threads import describe_size
from trainwell.engine.train import train
from trainwell.engine.vmapped import Vmapped, can_vmap
from trainwell.model import assemble
from trainwell.recipe import Recipe
from trainwell.techniques.models import Custom, Mlp, ResNet
from trainwell.techniques.preprocess import Standardize

SHAPE = (5,)


class Tied(nn.Module):
    """The same matrix down and up again."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(5, 5), nn.Linear(5, 5)
        self.up.weight = self.down.weight
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.up(self.down(x).tanh()))
        return y


class Shared(nn.Module):
    """One layer, one activation and one norm in two places each, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Tanh())
        self.other = nn.ModuleList([self.one[0], self.one[1], self.one[2]])
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        for layer in self.other:
            x = layer(x)
        y: Tensor = self.last(x)
        return y


class Odd(nn.Module):
    """An unused weight, frozen ones, a table of whole numbers, buffers that are (not) saved."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 6).requires_grad_(False)
        self.norm = nn.BatchNorm1d(6)
        self.last = nn.Linear(6, 3)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("order", torch.arange(5).flip(0))
        self.register_buffer("shift", torch.full((5,), 0.5), persistent=False)
        self.register_buffer("steps", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.get_buffer("steps").add_(1.0)
        x = x[:, self.get_buffer("order")] + self.get_buffer("shift")
        y: Tensor = self.last(self.norm(self.first(x)).relu())
        return y


class Recurrent(nn.Module):
    """A row as a sequence of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(1, 4, batch_first=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.rnn(x[:, :, None])[0][:, -1])
        return y


class Attending(nn.Module):
    """Attention between the columns, and a parametrised layer."""

    def __init__(self) -> None:
        super().__init__()
        self.rise = nn.utils.parametrizations.weight_norm(nn.Linear(1, 4))
        self.mixing = nn.MultiheadAttention(4, 2, batch_first=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.rise(x[:, :, None])
        h = h + self.mixing(h, h, h, need_weights=False)[0]
        y: Tensor = self.last(h.mean(dim=1))
        return y


OWN: dict[str, Callable[[], nn.Module]] = {
    "tied": Tied,
    "shared": Shared,
    "odd": Odd,
    "recurrent": Recurrent,
    "attending": Attending,
}


@pytest.mark.parametrize("kind", OWN)
def test_alone_and_by_vmap_as_the_plain_module(kind: str) -> None:
    torch.manual_seed(0)
    plain = [OWN[kind]() for _ in range(2)]
    for network in plain[1:]:  # what is not trained is the same in all members
        for name, value in network.named_parameters():
            if not value.requires_grad:
                value.data.copy_(plain[0].get_parameter(name))
    assert not can_stack(plain[0])
    ways = [Alone, *([Vmapped] if can_vmap(plain[0], torch.zeros(SHAPE)) else [])]
    assert (Vmapped in ways) == (kind in ("tied", "shared", "odd"))
    for way in ways:
        networks = copy.deepcopy(plain[: 2 if way is Vmapped else 1])
        parameters, statistics = layout(networks[0])
        theta = torch.stack([rows_of(n, parameters) for n in networks])
        buffers = torch.stack([rows_of(n, statistics) for n in networks])
        grad = torch.full_like(theta, 7.0)  # as left by another step
        grad[:, parameters[-1].stop :] = 0
        found = way(networks[0], theta, buffers, grad, [0.0] * len(networks))
        found.start_epoch(range(len(networks)), 0, 3)
        optimisers = [torch.optim.SGD(n.parameters(), 0.1) for n in networks]
        for step in range(3):
            x = torch.randn(len(networks), 8, *SHAPE)
            logits = found.forward(x, train=True)
            found.gradient(logits.square().mean(dim=(1, 2)).sum())
            theta -= 0.1 * grad
            for k, network in enumerate(networks):
                expected = network.train()(x[k])
                torch.testing.assert_close(logits[k], expected, rtol=1e-4, atol=1e-5)
                optimisers[k].zero_grad()
                expected.square().mean().backward()
                optimisers[k].step()
                row = rows_of(network, parameters)
                torch.testing.assert_close(theta[k], row, rtol=1e-4, atol=1e-5, msg=str(step))
                row = rows_of(network, statistics)
                torch.testing.assert_close(buffers[k], row, rtol=1e-4, atol=1e-5)
        x = torch.randn(len(networks), 8, *SHAPE)
        for k, network in enumerate(networks):
            torch.testing.assert_close(
                found.forward(x, train=False)[k], network.eval()(x[k]), rtol=1e-4, atol=1e-5
            )


def odd(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A factory."""
    return Odd()


def test_trained_saved_and_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen weights keep what the factory draws, in training and in the model."""
    monkeypatch.setattr("trainwell.techniques.models.custom.example", odd)
    data = table()
    recipe = Recipe(model=Custom(), regularize=(), lr=1e-2, epochs=2, batch_size=16)
    members = members_of(data, [recipe] * 2)
    results = []
    for way in (VMAPPED, LOOPED):
        people = population(data, members, way)
        list(train(people))
        inputs = people.examples.inputs
        results.append(assemble(data.schema, data.classes, inputs.layers, people.trained))
    for one, other in zip(results[0].parts, results[1].parts, strict=True):
        first = one.network.get_parameter("first.weight")
        assert torch.equal(first, people.network.get_parameter("first.weight"))
        assert (one.network.get_buffer("steps") >= 5).all()
        for name, value in one.network.state_dict().items():
            if not name.endswith("tracked"):
                expected = other.network.state_dict()[name]
                torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4)
    weights = [p.network.get_parameter("last.weight") for p in results[0].parts]
    assert not torch.equal(*weights)
    assert describe_size(people.network, SHAPE)[0] == 12 + 21 + 6


class Dropping(nn.Module):
    """Whole maps are dropped, which torch does itself; single units, which the engine does."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.units = nn.Dropout1d(0.5), nn.Dropout(0.5)
        self.last = nn.Linear(40, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.units(self.maps(x.view(len(x), 8, 5)).flatten(1)))
        return y


def test_only_plain_dropout_is_exchanged() -> None:
    network = Dropping()
    parameters, _ = layout(network)
    theta = rows_of(network, parameters)[None]
    alone = Alone(network, theta, torch.zeros(1, 0), torch.zeros_like(theta), [0.2])
    alone.start_epoch([3], 0, 10)
    assert alone.network.maps.p == 0.5  # type: ignore[union-attr]
    assert [m.rates for m in alone.masks] == [(0.2,)]
    assert not can_vmap(network, torch.zeros(40))
    x = torch.ones(1, 6, 40)
    torch.manual_seed(1)
    first = alone.forward(x, train=True)
    alone.start_epoch([3], 0, 10)
    torch.manual_seed(2)
    assert torch.equal(alone.forward(x, train=True), first)  # of the member's own stream
    assert not torch.equal(alone.forward(x, train=True), first)


def test_initial_values() -> None:
    """By the recipe's rule, except where a module says how it begins."""
    data = table()
    network = Mlp(hidden=(6,), numbers=3).build(SHAPE, 3, 0.0)
    parameters, _ = layout(network)
    members = members_of(data, [Recipe()] * 2)
    shared = examples(data, Recipe(), members[0].train)
    rows = [initial_row(m, network, parameters, shared) for m in (*members, members[0])]
    assert torch.equal(rows[0], rows[2])
    for slot in parameters:
        one, other = (r[slot.start : slot.stop] for r in rows[:2])
        kind = slot.name.split(".")[1]
        same = kind == "bias" or slot.name == "3.weight"  # of batch norm
        assert torch.equal(one, other) == same, slot.name
        if kind == "frequencies":
            assert 0.05 < float(one.std()) < 0.2
            assert not slot.decays
    lstm = Recurrent()
    row = initial_row(members[0], lstm, layout(lstm)[0], shared)
    for slot in layout(lstm)[0]:
        if "bias" in slot.name:
            assert not row[slot.start : slot.stop].any()


def test_members_learn_with_embeddings() -> None:
    """Stacked by default, and each as if alone."""
    data = table(rows=240)
    recipe = Recipe(model=Mlp(hidden=(8,), numbers=3), lr=1e-2, epochs=3, batch_size=16)
    members: list[Member] = members_of(data, [recipe] * 3)
    people = population(data, members)
    assert people.execution.way == "stacked"
    list(train(people))
    for k, member in enumerate(members):
        (alone,) = run_alone(data, member)
        torch.testing.assert_close(alone.theta, people.trained[k].theta, rtol=1e-2, atol=1e-3)


def run_alone(data: object, member: Member) -> list[object]:
    people = population(data, [dataclasses.replace(member)], LOOPED)  # type: ignore[arg-type]
    list(train(people))
    return people.trained  # type: ignore[return-value]


class Sequences(nn.Module):
    """Activations of three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.rise, self.act, self.last = nn.Linear(1, 4), nn.ReLU(), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.act(self.rise(x[:, :, None])).flatten(1))
        return y


def test_probes_look_into_any_module() -> None:
    data = digits()
    recipe = Recipe(
        model=ResNet(channels=(3, 4)),
        preprocess=(Standardize(per="channel"),),
        lr=1e-2,
        epochs=1,
        batch_size=32,
    )
    members = [dataclasses.replace(m, train=m.train[:200]) for m in members_of(data, [recipe])]
    shared = examples(data, recipe, members[0].train)
    people = Population(members, shared, LOOPED, probing=True)
    list(train(people))
    weights = {p.layer for p in people.probes if p.gradient == p.gradient}
    active = {p.layer for p in people.probes if p.mean == p.mean}
    convolved = {"3.first", "3.second", "4.first", "4.second", "4.shortcut.0"}
    assert weights == {"0", "8", *convolved}
    assert active == {"2", "3.inner", "3.outer", "4.inner", "4.outer"}
    network = Sequences()
    parameters, _ = layout(network)
    theta = rows_of(network, parameters)[None]
    alone = Alone(network, theta, torch.zeros(1, 0), torch.zeros_like(theta), [0.0])
    x = torch.randn(1, 6, *SHAPE)
    ((name, _, units),) = alone.activations(x)
    assert name == "act"
    expected = network.act(network.rise(x[0, :, :, None])).flatten(1).T[None]
    torch.testing.assert_close(units, expected)


def test_size_of_any_network() -> None:
    """Parameters and operations, counted by hand."""
    assert describe_size(nn.Sequential(nn.Linear(10, 7)), (10,)) == (77, 2 * 70)
    network = ResNet(channels=(4, 6)).build((1, 8, 8), 3, 0.0)
    convolutions = 4 * 9 * 64 + 2 * 16 * 9 * 64 + (24 * 9 + 36 * 9 + 24) * 16
    numbers = 4 * 9 + 2 * 16 * 9 + 24 * 9 + 36 * 9 + 24 + 2 * (3 * 4 + 3 * 6) + 6 * 3 + 3
    assert describe_size(network, (1, 8, 8)) == (numbers, 2 * (convolutions + 6 * 3))
    assert describe_size(Tied(), SHAPE) == (25 + 5 + 5 + 18, 2 * (25 + 25 + 15))
    recurrent = 5 * 4 * 4 * (1 + 4) + 4 * 3  # steps, gates of units, inputs and outputs
    assert describe_size(Recurrent(), SHAPE)[1] == 2 * recurrent
    attending = 5 * 4 + 5 * 4 * 12 + 5 * 4 * 4 + 2 * 5 * 5 * 4 + 4 * 3
    assert describe_size(Attending(), SHAPE)[1] == 2 * attending
