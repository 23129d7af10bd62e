"""K stacked networks give the numbers of K plain torch networks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from helpers.data import CPU, LOOPED, WAYS, clips, digits, members_of, population, table
from trainwell.engine.alone import Alone
from trainwell.engine.members import Member
from trainwell.engine.population import Execution
from trainwell.engine.stack import (
    DropoutMasks,
    Stack,
    can_stack,
    layout,
    named_rows,
    rows_of,
    view,
)
from trainwell.engine.train import train
from trainwell.engine.vmapped import Vmapped
from trainwell.recipe import Recipe
from trainwell.techniques.models import AudioCnn, Cnn, Custom, Linear, Mlp, ResNet
from trainwell.techniques.models.layers import Activation, Norm
from trainwell.techniques.optim.first_order import Adam
from trainwell.techniques.preprocess import LogMel, Standardize
from trainwell.techniques.regularize import L2, Dropout

ACTIVATIONS = get_args(Activation)
Kind = type[Stack] | type[Vmapped] | type[Alone]
CASES: list[tuple[Any, tuple[int, ...]]] = [
    (Linear(), (7,)),
    (Linear(), (1, 4, 4)),
    *[(Mlp(hidden=(6, 5), activation=a), (7,)) for a in ACTIVATIONS],
    *[(Mlp(hidden=(6, 5), activation=a, norm="none"), (7,)) for a in ACTIVATIONS],
    (Mlp(hidden=(6,)), (2, 3, 3)),
    (Mlp(hidden=()), (7,)),
    (Cnn(channels=(3, 4), depth=2), (1, 8, 8)),
    (Cnn(channels=(3, 4), depth=1, norm="none", activation="tanh"), (3, 9, 5)),
    (Cnn(channels=(3, 4, 5), depth=1, activation="gelu"), (2, 12, 12)),
    (Cnn(channels=(3, 4), depth=1), (10, 13)),
    *[(Mlp(hidden=(6, 5), norm=n), (7,)) for n in get_args(Norm)],
    *[(Cnn(channels=(3, 4), depth=2, norm=n), (2, 8, 8)) for n in get_args(Norm)],
    (AudioCnn(channels=(3, 4)), (10, 13)),
    (Mlp(hidden=(5,), categories=3), (7,)),
    (Mlp(hidden=(5,), numbers=2), (7,)),
    (Mlp(hidden=(5,), categories=3, numbers=2), (7,)),
    (Custom(), (7,)),
]
NESTED: list[tuple[Any, tuple[int, ...]]] = [  # by vmap or alone only
    (ResNet(channels=(3, 4)), (2, 8, 8)),
    (ResNet(channels=(3,), blocks=2, activation="elu", zero_init=True), (10, 13)),
]
BLOCKS = ((3, 5), (5, 7))  # of the last columns of seven, where the model asks


def plain_networks(model: Any, shape: tuple[int, ...], count: int) -> list[nn.Module]:
    """Networks with every number drawn, also those of batch norm, in float64."""
    networks = []
    generator = torch.Generator().manual_seed(5)
    for _ in range(count):
        network = model.build(shape, 3, 0.0, BLOCKS).double()
        with torch.no_grad():
            for value in network.parameters():
                value.copy_(torch.randn(value.shape, generator=generator) * 0.5)
            for value in network.buffers():
                if value.is_floating_point():
                    value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        networks.append(network)
    return networks


@dataclasses.dataclass
class Made:
    """K copies in one of the two ways, and their matrices."""

    theta: Tensor
    buffers: Tensor
    grad: Tensor
    network: Stack | Vmapped | Alone


def made(networks: Sequence[nn.Module], kind: Kind) -> Made:
    parameters, statistics = layout(networks[0])
    theta = torch.stack([rows_of(n, parameters) for n in networks]).clone()
    buffers = torch.stack([rows_of(n, statistics) for n in networks]).double().clone()
    grad = torch.zeros_like(theta)
    network = kind(networks[0], theta, buffers, grad, [0.0] * len(networks))
    network.start_epoch(range(len(networks)), 0, 40)
    return Made(theta, buffers, grad, network)


def inputs(members: int, shape: tuple[int, ...], seed: int, batch: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(members, batch, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("kind", "members"), [(Stack, 1), (Stack, 3), (Vmapped, 1), (Vmapped, 3), (Alone, 1)]
)
@pytest.mark.parametrize(("model", "shape"), CASES + NESTED)
def test_forward_gradient_and_running_statistics(
    model: Any, shape: tuple[int, ...], members: int, kind: Kind
) -> None:
    networks = plain_networks(model, shape, members)
    if kind is Stack and not can_stack(networks[0]):
        return
    found = made(networks, kind)
    stack, grad, buffers = found.network, found.grad, found.buffers
    labels = torch.arange(9) % 3
    for step in range(3):  # several training steps move the running statistics
        x = inputs(members, shape, step)
        logits = stack.forward(x, train=True)
        assert logits.shape == (members, 9, 3)
        loss = sum(nn.functional.cross_entropy(z, labels) for z in logits)
        assert isinstance(loss, Tensor)
        stack.gradient(loss)
        for k, network in enumerate(networks):
            z = network.train()(x[k])
            torch.testing.assert_close(logits[k], z, rtol=1e-9, atol=1e-9)
            network.zero_grad()
            nn.functional.cross_entropy(z, labels).backward()
            flat = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
            torch.testing.assert_close(grad[k, : len(flat)], flat, rtol=1e-8, atol=1e-9)
    _, statistics = layout(networks[0])
    x = inputs(members, shape, 99)
    logits = stack.forward(x, train=False)
    before = buffers.clone()
    for k, network in enumerate(networks):
        torch.testing.assert_close(
            buffers[k], rows_of(network, statistics).double(), rtol=1e-9, atol=1e-9
        )
        torch.testing.assert_close(logits[k], network.eval()(x[k]), rtol=1e-9, atol=1e-9)
    stack.forward(x, train=False)
    assert torch.equal(before, buffers)  # evaluating moves nothing


def test_every_case_can_be_stacked() -> None:
    assert all(can_stack(model.build(shape, 3, 0.1, BLOCKS)) for model, shape in CASES)
    assert not any(can_stack(model.build(shape, 3, 0.1)) for model, shape in NESTED)


class Doubled(nn.Linear):
    """A subclass that computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Backward(nn.Sequential):
    """A sequence that is run in another order."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in reversed(self):
            x = layer(x)
        return x


def hooked() -> nn.Module:
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda module, given, output: output + 1)
    return layer


def frozen() -> nn.Module:
    return nn.Linear(2, 2).requires_grad_(False)


def twice() -> nn.Sequential:
    layer = nn.Linear(2, 2)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer)


def tied() -> nn.Sequential:
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    other.weight = one.weight
    return nn.Sequential(nn.Flatten(), one, other)


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(2, 2),
        nn.Sequential(nn.Linear(2, 2)),  # for (B, T, 2), perhaps
        Backward(nn.Flatten(), nn.Linear(2, 2)),
        nn.Sequential(nn.Flatten(), Doubled(2, 2)),
        nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(2, 2))),
        nn.Sequential(nn.Flatten(), hooked()),
        nn.Sequential(nn.Flatten(), frozen()),
        nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.LSTM(2, 2)),
        nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
        nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2, affine=False)),
        nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2, momentum=None)),
        nn.Sequential(nn.Flatten(), nn.LayerNorm((2, 1))),
        nn.Sequential(nn.Flatten(), nn.LayerNorm(2, bias=False)),
        nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 2)),  # pictures, not maps
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(), nn.Flatten(), nn.Linear(2, 2)),
        nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), nn.Flatten(), nn.Linear(2, 2)),
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)),
        nn.Sequential(nn.Flatten(2), nn.Flatten(), nn.Linear(2, 2)),
        twice(),
        tied(),
    ],
)
def test_what_cannot_be_stacked(network: nn.Module) -> None:
    assert not can_stack(network)


def test_vectors_need_no_flattening() -> None:
    network = nn.Sequential(nn.Linear(4, 5), nn.Flatten(), nn.ReLU(), nn.Flatten(), nn.Linear(5, 2))
    assert can_stack(network, (4,))
    assert not can_stack(network)
    found = made([network.double()], Stack)
    x = inputs(1, (4,), 0)
    torch.testing.assert_close(found.network.forward(x, True)[0], network(x[0]))


def test_layout_covers_every_number_once() -> None:
    network = Cnn(channels=(3, 4), depth=2).build((1, 8, 8), 3, 0.0)
    parameters, statistics = layout(network)
    assert parameters[-1].stop == sum(p.numel() for p in network.parameters())
    assert [s.name for s in parameters] == [n for n, _ in network.named_parameters()]
    assert all(a.stop == b.start for a, b in itertools.pairwise(parameters))
    assert {s.name.split(".")[1] for s in statistics} == {"running_mean", "running_var"}
    decays = {s.name for s in parameters if s.decays}
    assert decays == {
        f"{i}.weight" for i, m in enumerate(network) if isinstance(m, nn.Linear | nn.Conv2d)
    }
    row = rows_of(network, parameters)
    for name, value in named_rows(row, parameters):
        assert torch.equal(value, network.state_dict()[name])
    rows = torch.stack([row, row + 1])
    assert view(rows, parameters[0]).shape == (2, *parameters[0].shape)
    view(rows, parameters[0]).zero_()
    assert (rows[:, : parameters[0].stop] == 0).all()  # a view, not a copy


# --- dropout -----------------------------------------------------------------------------------


def masks(rates: Sequence[float], seeds: Sequence[int], epoch: int = 0) -> DropoutMasks:
    found = DropoutMasks("3", rates, CPU)
    found.start_epoch(seeds, epoch, 40)
    return found


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_dropout_rate_and_mean(rate: float) -> None:
    shape = torch.Size((1, 300, 1000))
    mask = masks([rate], [1]).next(shape)
    assert mask.shape == shape
    dropped = float((mask == 0).double().mean())
    error = (rate * (1 - rate) / mask.numel()) ** 0.5
    assert abs(dropped - rate) <= 4 * error + 2**-16  # rates are counted in 1/65536
    kept = mask[mask != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)))
    assert abs(float(mask.double().mean()) - 1) <= (4 * error + 2**-16) / (1 - rate)
    # No unit and no example is dropped more often than others.
    for axis, size in ((1, 300), (2, 1000)):
        shares = (mask == 0).double().mean(dim=axis)
        assert float((shares - rate).abs().max()) <= 6 * (rate * (1 - rate) / size) ** 0.5 + 0.01


def test_dropout_of_almost_everything() -> None:
    mask = masks([0.999999], [1]).next(torch.Size((1, 64, 100)))
    assert float((mask == 0).double().mean()) > 0.99


def test_masks_do_not_depend_on_the_other_members() -> None:
    shape = (16, 8)
    alone = masks([0.3], [7])
    together = masks([0.5, 0.3, 0.0], [1, 7, 9])
    for _ in range(5):
        assert torch.equal(
            alone.next(torch.Size((1, *shape)))[0], together.next(torch.Size((3, *shape)))[1]
        )


def test_masks_differ_by_step_epoch_seed_and_layer() -> None:
    shape = torch.Size((1, 16, 8))
    first = masks([0.5], [1])
    drawn = [first.next(shape), first.next(shape)]
    drawn += [masks([0.5], [1], epoch=1).next(shape), masks([0.5], [2]).next(shape)]
    other = DropoutMasks("4", [0.5], CPU)
    other.start_epoch([1], 0, 40)
    drawn.append(other.next(shape))
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    assert torch.equal(masks([0.5], [1]).next(shape), drawn[0])


def test_masks_run_on_when_the_store_is_used_up() -> None:
    shape = torch.Size((1, 512, 1024))  # two steps are drawn at once
    found = masks([0.5], [1])
    drawn = [found.next(shape) for _ in range(5)]
    assert len({float(m[0, 0, :60].sum() + 1000 * m[0, 1, :60].sum()) for m in drawn}) == 5
    assert all(abs(float(m.mean()) - 1) < 0.01 for m in drawn)


@pytest.mark.parametrize("kind", [Stack, Vmapped, Alone])
def test_dropout_acts_in_training_only(kind: Kind) -> None:
    network = Mlp(hidden=(50,), norm="none").build((4,), 3, dropout=0.5)
    parameters, _ = layout(network)
    theta = rows_of(network, parameters)[None].clone()
    stack = kind(network, theta, torch.zeros(1, 0), torch.zeros_like(theta), [0.5])
    stack.start_epoch([1], 0, 40)
    x = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stack.forward(x, train=False)[0], network.eval()(x[0]))
    assert not torch.allclose(stack.forward(x, train=True), stack.forward(x, train=True))


# --- real training: stacked and one after the other --------------------------------------------

SHORT = Recipe(
    model=Mlp(hidden=(24,)),
    optimizer=Adam(),
    regularize=(L2(1e-3), Dropout(0.2)),
    lr=2e-3,
    epochs=2,
    batch_size=32,
)


def first_rows(members: Sequence[Member], count: int) -> list[Member]:
    return [
        dataclasses.replace(m, train=m.train[:count], validation=m.validation[:100])
        for m in members
    ]


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        (SHORT, "digits"),
        (dataclasses.replace(SHORT, preprocess=(Standardize(per="channel"),)), "table"),
        (dataclasses.replace(SHORT, model=Cnn(channels=(4, 8), depth=1)), "digits"),
        (
            dataclasses.replace(
                SHORT,
                model=Cnn(channels=(4,), depth=1),
                preprocess=(LogMel(bands=16), Standardize(per="channel")),
                batch_size=10,
            ),
            "clips",
        ),
    ],
    ids=["mlp", "mlp-table", "cnn", "spectrogram"],
)
def test_stacked_equals_vmapped_equals_looped(recipe: Recipe, kind: str) -> None:
    data = {"digits": digits, "table": table, "clips": clips}[kind]()
    given = first_rows(members_of(data, [recipe] * 3), 400)
    results = []
    for way in WAYS:
        people = population(data, given, way)
        assert len(people.shares) == (3 if way is LOOPED else 1)
        history = [s for scores in train(people) for s in scores]
        results.append((people.trained, history))
    looped = results[WAYS.index(LOOPED)]
    for trained, history in results:
        for a, b in zip(trained, looped[0], strict=True):
            torch.testing.assert_close(a.theta, b.theta, rtol=1e-3, atol=2e-4)
            torch.testing.assert_close(a.buffers, b.buffers, rtol=1e-3, atol=2e-4)
        for s, t in zip(history, looped[1], strict=True):
            assert s.val_loss == pytest.approx(t.val_loss, rel=1e-3, abs=1e-4)
            assert (s.member, s.epoch, s.lr) == (t.member, t.epoch, t.lr)


def test_convolutions_are_looped_on_a_cpu() -> None:
    data = digits()
    cnn = dataclasses.replace(SHORT, model=Cnn(channels=(4,), depth=1))
    assert population(data, members_of(data, [cnn] * 2)).execution == LOOPED
    assert population(data, members_of(data, [SHORT] * 2)).execution == Execution("stacked", 2)
