"""Initial weights against torch and their formulas."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwell.callstring import members
from trainwell.techniques.init import (
    He,
    Init,
    Lsuv,
    Orthogonal,
    SmallRandom,
    Uniform,
    Xavier,
    Zero,
)
from trainwell.techniques.init_report import initialise
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.models.mlp import Mlp


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("shape", [(40, 30), (8, 3, 5, 5)])
def test_equal_torch(shape: tuple[int, ...]) -> None:
    found, expected = torch.empty(shape), torch.empty(shape)
    Xavier()(found, generator())
    assert torch.equal(found, nn.init.xavier_uniform_(expected, generator=generator()))
    SmallRandom(std=0.2)(found, generator())
    assert torch.equal(found, nn.init.normal_(expected, std=0.2, generator=generator()))
    Uniform()(found, generator())
    assert torch.equal(found, nn.init.uniform_(expected, -1, 1, generator=generator()))
    He()(found, generator())
    kaiming = nn.init.kaiming_normal_(expected, nonlinearity="relu", generator=generator())
    torch.testing.assert_close(found, kaiming)
    Zero()(found, generator())
    assert (found == 0).all()


@pytest.mark.parametrize(
    "shape", [(40, 30), (30, 40), (7, 7), (1, 5), (5, 1), (8, 3, 5, 5), (9, 2, 2)]
)
@pytest.mark.parametrize("gain", [math.sqrt(2), 1.0, 0.3])
def test_orthogonal_equals_torch(shape: tuple[int, ...], gain: float) -> None:
    found = torch.empty(shape)
    Orthogonal(gain)(found, generator())
    expected = nn.init.orthogonal_(torch.empty(shape), gain, generator=generator())
    torch.testing.assert_close(found, expected)
    flat = found.flatten(1)
    product = flat @ flat.T if len(flat) <= flat.shape[1] else flat.T @ flat
    torch.testing.assert_close(product, gain**2 * torch.eye(len(product)), atol=1e-5, rtol=0)


def test_orthogonal_prefers_no_direction() -> None:
    """Without the signs of R's diagonal the first entry would always be negative."""
    draw, firsts = generator(), []
    for _ in range(400):
        weight = torch.empty(3, 3)
        Orthogonal()(weight, draw)
        firsts.append(float(weight[0, 0] > 0))
    assert 0.4 < sum(firsts) / 400 < 0.6


@pytest.mark.parametrize("init", [c() for c in members(Init)], ids=repr)
def test_into_a_part_of_a_larger_row(init: Any) -> None:
    """The engine's weights are views of one long row; nothing beside them changes."""
    row = torch.full((100,), 5.0)
    init(row[20:80].view(5, 3, 4), generator())
    assert (row[:20] == 5).all()
    assert (row[80:] == 5).all()
    assert (row[20:80] != 5).all()
    again = torch.empty(5, 3, 4)
    init(again, generator())
    assert torch.equal(again.flatten(), row[20:80])  # the same seed, the same numbers


def test_xavier_keeps_tanh_alive_where_small_weights_die() -> None:
    spread = {}
    for init in (Xavier(), SmallRandom()):
        draw, x = generator(), torch.randn(500, 100, generator=generator())
        for _ in range(8):
            weight = torch.empty(100, 100)
            init(weight, draw)
            x = (x @ weight.T).tanh()
        spread[type(init)] = float(x.std())
    assert spread[Xavier] > 0.15
    assert spread[SmallRandom] < 1e-4


def test_uniform_grows_with_the_fan_in() -> None:
    """The spread of a sum of n terms is √(n / 3)."""
    for n in (30, 3000):
        draw, weight = generator(), torch.empty(500, n)
        Uniform()(weight, draw)
        x = torch.randn(200, n, generator=draw)
        assert float((x @ weight.T).std()) == pytest.approx(math.sqrt(n / 3), rel=0.05)


def test_from_zero_only_the_last_bias_learns() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    for parameter in network.parameters():
        Zero()(parameter.data, generator())
    x = torch.randn(20, 4, generator=generator())
    nn.functional.cross_entropy(network(x), torch.arange(20) % 3).backward()
    gradients = {n: float(p.grad.abs().sum()) for n, p in network.named_parameters()}  # type: ignore[union-attr]
    assert [n for n, size in gradients.items() if size > 0] == ["2.bias"]


# --- LSUV --------------------------------------------------------------------------------------


def outputs(network: nn.Module, x: Tensor) -> list[Tensor]:
    """What every weight layer gives, before norm and activation."""
    found: list[Tensor] = []
    hooks = [
        m.register_forward_hook(lambda m, i, o: found.append(o.detach()))
        for m in network.modules()
        if isinstance(m, nn.Linear | nn.Conv2d)
    ]
    network(x)
    for hook in hooks:
        hook.remove()
    return found


CASES: list[tuple[str, Any, tuple[int, ...]]] = [
    ("relu", Mlp((64,) * 20, norm="none"), (30,)),
    ("tanh", Mlp((64,) * 10, activation="tanh", norm="none"), (30,)),
    ("norm", Mlp((32, 32), norm="batch"), (30,)),
    ("cnn", Cnn((8, 16), norm="none"), (2, 8, 8)),
    ("cnn norm", Cnn((8, 16), norm="batch"), (2, 8, 8)),
]


@pytest.mark.parametrize(("name", "model", "shape"), CASES, ids=[c[0] for c in CASES])
def test_every_layer_has_unit_variance(name: str, model: Any, shape: tuple[int, ...]) -> None:
    x = 7 * torch.randn(128, *shape, generator=generator()) + 3
    network = model.build(shape, 10, 0.5)
    network.eval()
    directions = [p.detach().clone() for p in network.parameters() if p.dim() > 1]
    initialise(network, Lsuv(), x)
    network.train()  # batch norm by the batch, as the first step will see it
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    for output in outputs(network, x):
        assert abs(float(output.var(correction=0)) - 1) < 0.1
    assert len(directions) == len(outputs(network, x))
    for weight in (p for p in network.parameters() if p.dim() > 1):  # scaled, still orthogonal
        flat = weight.detach().flatten(1)
        product = flat @ flat.T if len(flat) <= flat.shape[1] else flat.T @ flat
        product = product / product.diagonal().mean()
        torch.testing.assert_close(product, torch.eye(len(product)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("training", [True, False])
def test_fitting_leaves_no_trace(training: bool) -> None:
    x = torch.randn(64, 2, 8, 8, generator=generator())
    network = Cnn((8, 16)).build((2, 8, 8), 10, 0.5).train(training)
    before = copy.deepcopy(network)
    stream = torch.get_rng_state()
    Lsuv().fit(network, x)
    assert torch.equal(torch.get_rng_state(), stream)
    assert [m.training for m in network.modules()] == [training] * len(list(network.modules()))
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before.get_buffer(name)), name
    for name, parameter in network.named_parameters():
        changed = not torch.equal(parameter, before.get_parameter(name))
        assert changed == (parameter.dim() > 1), name  # weights, not biases and norms
        assert parameter.grad is None
        assert parameter.requires_grad
    assert not any(m._forward_hooks for m in network.modules())


def test_fit_repeats_where_biases_keep_it_from_one_step() -> None:
    """With a bias of its own per unit the variance is not proportional to the weights'."""
    network = nn.Sequential(nn.Linear(6, 4))
    network[0].bias.data = torch.tensor([0.0, 0.6, -0.6, 1.2])
    x = 20 * torch.randn(300, 6, generator=generator())
    once, often = copy.deepcopy(network), copy.deepcopy(network)
    Lsuv(tolerance=1e-3, most=1).fit(once, x)
    Lsuv(tolerance=1e-3, most=50).fit(often, x)
    assert abs(float(once(x).detach().var(correction=0)) - 1) > 0.1
    assert abs(float(often(x).detach().var(correction=0)) - 1) < 1e-3


def test_what_cannot_be_scaled_is_left() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    before = copy.deepcopy(network.state_dict())
    for parameter in network[0].parameters():
        parameter.data.zero_()
    network[2].bias.data.zero_()
    Lsuv().fit(network, torch.zeros(5, 3))
    assert torch.equal(network[2].weight, before["2.weight"])
    Lsuv().fit(network, torch.full((5, 3), math.nan))
    assert network[2].weight.isfinite().all()


def test_only_lsuv_needs_a_batch() -> None:
    assert [c for c in members(Init) if c.needs_batch] == [Lsuv]
