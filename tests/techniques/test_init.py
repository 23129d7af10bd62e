"""Initial weights against torch and their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainwell.techniques.init import SmallRandom, Xavier, Zero


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("shape", [(40, 30), (8, 3, 5, 5)])
def test_equal_torch(shape: tuple[int, ...]) -> None:
    found, expected = torch.empty(shape), torch.empty(shape)
    Xavier()(found, generator())
    assert torch.equal(found, nn.init.xavier_uniform_(expected, generator=generator()))
    SmallRandom(std=0.2)(found, generator())
    assert torch.equal(found, nn.init.normal_(expected, std=0.2, generator=generator()))
    Zero()(found, generator())
    assert (found == 0).all()


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


def test_from_zero_only_the_last_bias_learns() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    for parameter in network.parameters():
        Zero()(parameter.data, generator())
    x = torch.randn(20, 4, generator=generator())
    nn.functional.cross_entropy(network(x), torch.arange(20) % 3).backward()
    gradients = {n: float(p.grad.abs().sum()) for n, p in network.named_parameters()}  # type: ignore[union-attr]
    assert [n for n, size in gradients.items() if size > 0] == ["2.bias"]
