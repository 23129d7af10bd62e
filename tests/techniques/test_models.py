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
from trainwell.techniques.models import AudioCnn, Cnn, Linear, Mlp, ResNet
from trainwell.techniques.models.layers import Activation, activation_layer
from trainwell.techniques.models.modules import Residual, TableEmbedding
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
@pytest.mark.parametrize(
    "model",
    [
        Cnn(),
        Cnn(channels=(4,), depth=1, norm="none"),
        ResNet(),
        ResNet(channels=(4, 5), blocks=2),
        AudioCnn(),
    ],
)
def test_shapes_of_pictures(model: Any, shape: tuple[int, ...]) -> None:
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


def test_norms_before_and_behind_the_non_linearity() -> None:
    mlps = {
        n: kinds(Mlp(hidden=(5,), norm=n).build((3,), 2, 0.3)) for n in ("batch_after", "layer")
    }
    assert mlps["batch_after"] == ["Flatten", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    assert mlps["layer"] == ["Flatten", "Linear", "LayerNorm", "ReLU", "Dropout", "Linear"]
    cnn = Cnn(channels=(4,), depth=1, norm="batch_after").build((1, 8, 8), 2, 0.0)
    assert kinds(cnn)[:3] == ["Conv2d", "ReLU", "BatchNorm2d"]
    layer = Cnn(channels=(4,), depth=1, norm="layer").build((1, 8, 8), 2, 0.0)
    assert kinds(layer)[:3] == ["Conv2d", "GroupNorm", "ReLU"]
    maps = 3 + 2 * torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    normed = layer[1](maps)  # every example by itself, over maps and places
    torch.testing.assert_close(normed.mean(dim=(1, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        normed.var(dim=(1, 2, 3), correction=0), torch.ones(5), atol=1e-4, rtol=0
    )


# --- residual networks -------------------------------------------------------------------------


def test_a_residual_block_by_its_formula() -> None:
    """y = f(BN(W₂ * f(BN(W₁ * x))) + s(x)), from torch's functions."""
    f = nn.functional
    for inputs, outputs, stride in ((3, 3, 1), (3, 5, 2), (4, 4, 2)):
        torch.manual_seed(0)
        block = Residual(inputs, outputs, stride, "relu", zero=False).double()
        x = torch.randn(6, inputs, 9, 8, dtype=torch.float64)

        def normed(y: torch.Tensor) -> torch.Tensor:
            mean, var = y.mean(dim=(0, 2, 3), keepdim=True), y.var(dim=(0, 2, 3), correction=0)
            return (y - mean) / (var[:, None, None] + 1e-5).sqrt()

        inner = normed(f.conv2d(x, block.first.weight, stride=stride, padding=1)).relu()
        outer = normed(f.conv2d(inner, block.second.weight, padding=1))
        plain = len(block.shortcut) == 0
        assert plain == (stride == 1)
        side = x if plain else normed(f.conv2d(x, block.shortcut[0].weight, stride=stride))
        torch.testing.assert_close(block(x), (outer + side).relu())


def test_zero_init_begins_as_the_shortcut() -> None:
    block = Residual(3, 3, 1, "relu", zero=True)
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x), x.relu())
    for zero in (False, True):
        network = ResNet(channels=(4, 6), zero_init=zero).build((1, 8, 8), 2, 0.0)
        last = [m.second_norm.weight for m in network if isinstance(m, Residual)]
        assert len(last) == 2
        assert all(bool((w == 0).all()) == zero for w in last)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (4, [4, 4, 2, 2]),
        (8, [8, 8, 4, 2]),
        (28, [28, 28, 14, 7]),
        (64, [64, 64, 32, 16]),
        (96, [48, 48, 24, 12]),
        (128, [64, 64, 32, 16]),
        (300, [150, 75, 37, 37, 19, 10]),
        (1, [1, 1, 1, 1]),
    ],
)
def test_sizes_inside_a_residual_network(size: int, expected: list[int]) -> None:
    network = ResNet(channels=(2, 3, 4)).build((1, size, size + 1), 2, 0.0).eval()
    sizes = []
    x = torch.zeros(1, 1, size, size + 1)
    with torch.no_grad():
        for layer in network:
            x = layer(x)
            if isinstance(layer, Residual | nn.MaxPool2d) or not sizes:
                sizes.append(x.shape[2])
    assert sizes == expected


def test_layers_of_the_resnet_20() -> None:
    """He et al. 2016, CIFAR-10: 6n + 2 layers; 0.27 million numbers for n = 3."""
    network = ResNet(blocks=3).build((3, 32, 32), 10, 0.0)
    main = [
        n
        for n, m in network.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in n
    ]
    assert len(main) == 20
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(0.27e6, rel=0.03)


def test_small_pictures_are_pooled_no_further() -> None:
    pools = [
        kinds(Cnn(channels=(2,) * 6, depth=1).build((1, s, s), 2, 0.0)).count("MaxPool2d")
        for s in (3, 4, 8, 28)
    ]
    assert pools == [0, 1, 2, 3]  # 28, 14, 7, 3: while larger than 3


@pytest.mark.parametrize("model", [Mlp(hidden=(5, 4)), Cnn(channels=(3, 4))])
@pytest.mark.parametrize("norm", ["batch", "batch_after", "layer", "none"])
def test_no_bias_before_batch_norm(model: Any, norm: str) -> None:
    network = dataclasses.replace(model, norm=norm).build((1, 8, 8), 2, dropout=0.0)
    weighted = [m for m in network if isinstance(m, nn.Linear | nn.Conv2d)]
    assert [m.bias is not None for m in weighted[:-1]] == [norm != "batch"] * (len(weighted) - 1)
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
        "silu": x / (1 + (-x).exp()),
        # Klambauer et al. 2017: λ and α with fixed point mean 0 and variance 1.
        "selu": 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (x.exp() - 1)),
        "mish": x * (1 + x.exp()).log().tanh(),
        "softplus": (1 + x.exp()).log(),
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


# --- audio and embeddings ----------------------------------------------------------------------


def test_an_audio_network_takes_the_loudest_moment_of_each_range() -> None:
    network = AudioCnn(channels=(3, 4), ranges=2).build((9, 12), 2, 0.0).eval()
    assert kinds(network) == [
        "Unflatten",
        *["Conv2d", "BatchNorm2d", "ReLU"],
        "MaxPool2d",
        *["Conv2d", "BatchNorm2d", "ReLU"],
        *["AdaptiveMaxPool2d", "Flatten", "Linear"],
    ]
    x = torch.randn(5, 9, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = network[:8](x)  # (5, 4, 4, 6)
        found = network[8:10](maps)
    assert maps.shape == (5, 4, 4, 6)
    expected = torch.stack(
        [maps[:, :, :2].amax(dim=(2, 3)), maps[:, :, 2:].amax(dim=(2, 3))], dim=2
    )
    assert torch.equal(found, expected.flatten(1))
    pools = [
        m.kernel_size
        for m in AudioCnn(channels=(2,) * 4).build((5, 30), 2, 0.0)
        if isinstance(m, nn.MaxPool2d)
    ]
    assert pools == [(2, 2), (1, 2), (1, 2)]  # sides of 5, 2, 2 and 30, 15, 7


BLOCKS = ((2, 5), (5, 9))


def embedded(**options: Any) -> TableEmbedding:
    network = Mlp(hidden=(), **options).build((9,), 2, 0.0, BLOCKS)
    embedding = network[1]
    assert isinstance(embedding, TableEmbedding)
    assert network(torch.zeros(3, 9)).shape == (3, 2)
    return embedding


def one_hot() -> tuple[torch.Tensor, torch.Tensor]:
    """Two numbers and two categories, of which the last row has none, and their codes."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.stack([torch.randint(0, n, (6,), generator=generator) for n in (3, 4)], dim=1)
    hot = [nn.functional.one_hot(codes[:, i], n).float() for i, n in enumerate((3, 4))]
    x = torch.cat([torch.randn(6, 2, generator=generator), *hot], dim=1)
    x[-1, 2:] = 0
    return x, codes


def test_categories_equal_torch_embedding() -> None:
    x, codes = one_hot()
    embedding = embedded(categories=3)
    found = embedding(x)
    assert found.shape == (6, 2 + 2 * 3) == (6, embedding.outputs)
    assert embedding.levels is not None
    assert torch.equal(found[:, :2], x[:, :2])
    for i, part in enumerate((embedding.levels[:3], embedding.levels[3:])):
        expected = nn.functional.embedding(codes[:-1, i], part)
        torch.testing.assert_close(found[:-1, 2 + 3 * i : 5 + 3 * i], expected)
    assert (found[-1, 2:] == 0).all()  # a missing category


def test_waves_of_numbers_by_their_formula() -> None:
    x, _ = one_hot()
    embedding = embedded(numbers=4)
    found = embedding(x)
    assert found.shape == (6, 2 + 2 * 4 + 7) == (6, embedding.outputs)
    assert torch.equal(found[:, :2], x[:, :2])
    assert torch.equal(found[:, -7:], x[:, 2:])  # categories as they are
    own = dict(embedding.named_parameters())
    for j in range(2):
        frequency, phase = (own[n].view(2, -1)[j] for n in ("frequencies", "phases"))
        waves = (2 * torch.pi * (x[:, j, None] * frequency + phase)).cos()
        expected = waves @ own["mix"][j]
        torch.testing.assert_close(found[:, 2 + 4 * j : 6 + 4 * j], expected)


def test_both_embeddings_together_and_neither() -> None:
    x, _ = one_hot()
    both = embedded(numbers=4, categories=3)
    assert both(x).shape == (6, 2 + 8 + 6) == (6, both.outputs)
    assert kinds(Mlp(hidden=(), categories=3).build((9,), 2, 0.0))[1] == "Linear"  # no categories
    only = TableEmbedding(7, [(0, 3), (3, 7)], 2, 5)  # no numbers
    assert only(x[:, 2:]).shape == (6, 4)


def test_embeddings_begin_by_their_own_rule() -> None:
    embedding = TableEmbedding(4000, [(0, 400), (400, 500)], 8, 2)
    one, same, other = (
        embedding.initial_values(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert set(one) == {n for n, _ in embedding.named_parameters()}
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert all(not torch.equal(one[n], other[n]) for n in one)
    assert float(one["frequencies"].std()) == pytest.approx(0.1, rel=0.05)
    for part in (one["levels"][:400], one["levels"][400:]):
        assert float(part.std()) == pytest.approx((len(part) * 8) ** -0.5, rel=0.1)
    assert float(one["phases"].abs().max()) <= 0.5
    assert float(one["mix"].abs().max()) <= 0.25
