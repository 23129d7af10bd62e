"""Networks: shapes, the order of layers, and the spread of activations at the start."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, get_args

import pytest
import torch
from torch import nn

from trainwell.techniques.init import He
from trainwell.techniques.losses import CrossEntropy
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.models.layers import Activation, activation_layer
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.regularize import L2, Dropout
from trainwell.techniques.schedules import Constant, Cosine, StepDecay

ACTIVATIONS = get_args(Activation)


def kinds(network: nn.Sequential) -> list[str]:
    return [type(layer).__name__ for layer in network]


@pytest.mark.parametrize("shape", [(7,), (1, 8, 8), (40, 11)])
@pytest.mark.parametrize("model", [Linear(), Mlp(hidden=(5, 4)), Mlp(hidden=()), Mlp(norm="none")])
def test_shapes_of_vectors(model: Any, shape: tuple[int, ...]) -> None:
    network = model.build(shape, 3, dropout=0.1)
    assert network(torch.randn(6, *shape)).shape == (6, 3)


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 28, 28), (1, 1, 1), (3, 5, 64), (1, 96, 4), (40, 11), (40, 101)]
)
@pytest.mark.parametrize("model", [Cnn(), Cnn(channels=(4,), depth=1, norm="none")])
def test_shapes_of_pictures(model: Cnn, shape: tuple[int, ...]) -> None:
    network = model.build(shape, 3, dropout=0.1)
    assert network(torch.randn(6, *shape)).shape == (6, 3)


def test_linear_norm_activation() -> None:
    assert kinds(Mlp(hidden=(5, 4)).build((3,), 2, dropout=0.3)) == [
        *["Flatten", "Linear", "BatchNorm1d", "ReLU", "Dropout"],
        *["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"],
    ]
    assert kinds(Mlp(hidden=(5,), norm="none", activation="tanh").build((3,), 2, dropout=0.0)) == [
        *["Flatten", "Linear", "Tanh", "Linear"]
    ]
    assert kinds(Cnn(channels=(4, 8), depth=2).build((1, 8, 8), 2, dropout=0.3)) == [
        *["Conv2d", "BatchNorm2d", "ReLU"] * 2,
        "MaxPool2d",
        *["Conv2d", "BatchNorm2d", "ReLU"] * 2,
        *["AdaptiveAvgPool2d", "Flatten", "Dropout", "Linear"],
    ]
    assert kinds(Cnn(channels=(4,), depth=1).build((20, 9), 2, dropout=0.0))[0] == "Unflatten"


def test_small_pictures_are_pooled_no_further() -> None:
    pools = [
        kinds(Cnn(channels=(2,) * 6, depth=1).build((1, s, s), 2, 0.0)).count("MaxPool2d")
        for s in (3, 4, 8, 28)
    ]
    assert pools == [0, 1, 2, 3]  # 28, 14, 7, 3: while larger than 3


@pytest.mark.parametrize("model", [Mlp(hidden=(5, 4)), Cnn(channels=(3, 4))])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_no_bias_before_batch_norm(model: Any, norm: str) -> None:
    network = dataclasses.replace(model, norm=norm).build((1, 8, 8), 2, dropout=0.0)
    weighted = [m for m in network if isinstance(m, nn.Linear | nn.Conv2d)]
    assert [m.bias is not None for m in weighted[:-1]] == [norm == "none"] * (len(weighted) - 1)
    assert weighted[-1].bias is not None


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_their_formulas(name: str) -> None:
    x = torch.linspace(-3, 3, 25, dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = {
        "relu": x.clamp(min=0),
        "leaky_relu": torch.where(x > 0, x, 0.01 * x),
        "elu": torch.where(x > 0, x, x.exp() - 1),
        "gelu": x * normal.cdf(x),
        "sigmoid": 1 / (1 + (-x).exp()),
        "tanh": (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    }[name]
    torch.testing.assert_close(activation_layer(name)(x), expected, rtol=1e-6, atol=1e-9)  # type: ignore[arg-type]


def test_he_keeps_the_spread_from_layer_to_layer() -> None:
    """ReLU halves the second moment and √2 gives it back: the mean square stays that of the
    inputs. (A finite width makes a small random walk of it.)"""
    width, depth = 512, 10
    network = Mlp(hidden=(width,) * depth, norm="none").build((width,), 2, dropout=0.0)
    generator = torch.Generator().manual_seed(0)
    for layer in network:
        if isinstance(layer, nn.Linear):
            with torch.no_grad():
                He()(layer.weight, generator)
                layer.bias.zero_()
    x = torch.randn(512, width, generator=generator)
    sizes = []
    with torch.no_grad():
        for layer in network[:-1]:
            x = layer(x)
            if isinstance(layer, nn.Linear):  # before the non-linearity: variance 2 · E[h²]
                sizes.append(float(x.std()) / 2**0.5)
    assert len(sizes) == depth
    assert all(0.75 < s < 1.33 for s in sizes), sizes
    ratios = [b / a for a, b in itertools.pairwise(sizes)]
    assert 0.95 < sum(ratios) / len(ratios) < 1.05


def test_he_counts_the_fan_in_of_convolutions() -> None:
    weight = torch.empty(400, 3, 5, 5)
    He()(weight, torch.Generator().manual_seed(0))
    assert abs(float(weight.std()) - (2 / 75) ** 0.5) < 0.002
    assert abs(float(weight.mean())) < 0.003


def test_schedules_by_hand() -> None:
    assert [Constant()(e, 10) for e in (0.0, 5.5, 10.0)] == [1, 1, 1]
    step = StepDecay(factor=0.1, every=2)
    assert [step(e, 9) for e in (0, 1.99, 2, 3.5, 4)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    torch_cosine = torch.optim.lr_scheduler.CosineAnnealingLR
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch_cosine(optimizer, 10)
    for epoch in range(10):
        assert Cosine()(epoch, 10) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()
    warm = Cosine(warmup=0.2)
    assert [warm(e, 10) for e in (0, 1, 2, 10, 11)] == pytest.approx([0.1, 0.55, 1, 0, 0])
    assert all(0 <= warm(e / 7, 10) <= 1 for e in range(80))


def test_cross_entropy_equals_torch_per_member() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 8, 5, generator=generator, dtype=torch.float64) * 30
    labels = torch.randint(0, 5, (3, 8), generator=generator)
    found = CrossEntropy()(logits, labels)
    assert found.shape == (3,)
    for k in range(3):
        expected = nn.functional.cross_entropy(logits[k], labels[k])
        torch.testing.assert_close(found[k], expected)


def test_l2_equals_weight_decay() -> None:
    theta = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([1.0, 1.0, 0.0, 1.0])
    for strength in (0.5, torch.tensor([[0.5], [0.0]])):
        grad = torch.ones(2, 4)
        L2.add_gradient(strength, theta, grad, weights)
        column = torch.as_tensor(strength).expand(2, 1)
        torch.testing.assert_close(grad, 1 + column * theta * weights)
    assert Dropout().drop == 0.5
