"""Centring, ranges, robust scales and exposure against scikit-learn and formulas; widths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from torch import Tensor, nn

from helpers.families import values
from trainwell.techniques import streaming
from trainwell.techniques.inputs import describe, rebuild
from trainwell.techniques.preprocess import (
    Center,
    MinMax,
    Pca,
    PerSample,
    Raw,
    Robust,
    Standardize,
    Whiten,
)
from trainwell.techniques.scaling import match_widths


def made(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def units(dtype: torch.dtype) -> Tensor:
    """300 rows of 6 columns with very different units."""
    x = made(300, 6, dtype=dtype) * torch.tensor([1e-3, 1, 50, 1e4, 3, 0.1], dtype=dtype)
    return x + torch.tensor([0, -5, 200, 1e3, 0, 7], dtype=dtype)


REFERENCES: list[tuple[Any, Any]] = [
    (Center(), StandardScaler(with_std=False)),
    (MinMax(clip=False), MinMaxScaler((-1, 1))),
    (MinMax(), MinMaxScaler((-1, 1), clip=True)),
    (Robust(smooth_clip=False), RobustScaler()),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("technique", "scaler"), REFERENCES, ids=lambda v: repr(v)[:20])
def test_equal_scikit_learn(technique: Any, scaler: Any, dtype: torch.dtype) -> None:
    x = units(dtype)
    new = x[:50] * 1.5  # also beyond what training rows show
    expected = scaler.fit(x.double().numpy()).transform(new.double().numpy())
    found = technique.fit(torch.split(x, 64))(new)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("technique", [Center(), MinMax(), Robust(), Robust(smooth_clip=False)])
@pytest.mark.parametrize("value", [0.0, 5.0, -1e6, 0.1, 1234.567])
def test_a_constant_becomes_zero(technique: Any, value: float) -> None:
    x = torch.full((10, 2), value)
    x[:, 1] = torch.arange(10.0)
    layer = technique.fit(torch.split(x, 3))
    assert (layer(x)[:, 0] == 0).all()
    assert (layer(x + 1)[:, 0] == 0).all()  # and stays so for rows that differ
    assert float(layer(x)[:, 1].std()) > 0.3


@pytest.mark.parametrize("technique", [Center, MinMax, Robust])
def test_per_channel(technique: Any) -> None:
    """One number for a channel: as if all pixels of it were rows of one column."""
    x = made(40, 3, 5, 4) * torch.tensor([1.0, 20.0, 0.1]).view(3, 1, 1) + 3
    y = technique(per="channel").fit(torch.split(x, 7))(x)
    rows = x.permute(0, 2, 3, 1).reshape(-1, 3)
    expected = technique().fit([rows])(rows)
    torch.testing.assert_close(y.permute(0, 2, 3, 1).reshape(-1, 3), expected)
    sound = made(30, 5, 8) * torch.arange(1.0, 6.0).view(5, 1)  # bands of a spectrogram
    y = technique(per="channel").fit([sound])(sound)
    rows = sound.permute(0, 2, 1).reshape(-1, 5)
    torch.testing.assert_close(y.permute(0, 2, 1).reshape(-1, 5), technique().fit([rows])(rows))


@pytest.mark.parametrize("per", ["feature", "channel"])
@pytest.mark.parametrize("technique", [Center, MinMax, Robust])
def test_chunks_change_nothing(technique: Any, per: str) -> None:
    x = made(97, 2, 6, 3) * 4 + 100
    first, *others = [technique(per=per).fit(iter(torch.split(x, n))) for n in (97, 1, 10, 96)]
    for other in others:
        for name, buffer in first.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], buffer, rtol=1e-6, atol=0)


def test_the_range_is_a_promise_with_clip_only() -> None:
    x = torch.tensor([[0.0], [10.0]])
    new = torch.tensor([[-5.0], [5.0], [20.0]])
    assert MinMax().fit([x])(new).flatten().tolist() == [-1, 0, 1]
    assert MinMax(clip=False).fit([x])(new).flatten().tolist() == [-2, 0, 3]


def test_smooth_clip() -> None:
    x = made(501, 1, dtype=torch.float64)
    new = torch.tensor([[-1e9], [-1.0], [0.0], [0.3], [4.0], [1e30]], dtype=torch.float64)
    z = RobustScaler().fit(x.numpy()).transform(new.numpy())
    expected = z / np.sqrt(1 + (z / 3) ** 2)
    found = Robust().fit([x])(new)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert float(found.abs().max()) <= 3


def test_a_column_that_is_mostly_zero_is_scaled_by_its_range() -> None:
    x = torch.zeros(100, 1)
    x[:10] = torch.linspace(1, 8, 10)[:, None]
    y = Robust(smooth_clip=False).fit([x])(x)
    assert float(y.max()) == pytest.approx(2.0)
    assert float(y.min()) == 0.0


def test_an_outlier_leaves_the_robust_scale_alone() -> None:
    x = made(200, 1)
    spoilt = x.clone()
    spoilt[0] = 1e6
    inner = [t(smooth_clip=False).fit([d])(x[1:]) for t in (Robust,) for d in (x, spoilt)]
    torch.testing.assert_close(*inner, atol=0.05, rtol=0.05)
    squeezed = Standardize().fit([spoilt])(x[1:])
    assert float(squeezed.std()) < 1e-3 < float(inner[1].std())


def test_quartiles_of_much_data_come_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    x = made(40_000, 3) * torch.tensor([1.0, 10.0, 0.1]) + 5
    exact = Robust().fit(torch.split(x, 999))
    monkeypatch.setattr(streaming, "SORTED_VALUES", 9_000)  # one column after another
    torch.testing.assert_close(Robust().fit([x]).state_dict(), exact.state_dict())
    monkeypatch.setattr(streaming, "SAMPLED_VALUES", 30_000)
    sampled = [Robust().fit(torch.split(x, 999)) for _ in range(2)]
    assert torch.equal(sampled[0].mean, sampled[1].mean)  # always the same sample
    assert not torch.equal(sampled[0].mean, exact.mean)
    # The standard error of a median of n = 10000 normal values is 1.25 σ / √n = 0.0125 σ.
    assert float(((sampled[0].mean - exact.mean) * exact.factor).abs().max()) < 0.04
    torch.testing.assert_close(sampled[0].factor, exact.factor, rtol=0.05, atol=0)
    order = streaming.order(torch.split(x, 999), "feature")
    assert torch.equal(order.low, x.amin(0).double())  # extremes are always exact
    assert torch.equal(order.high, x.amax(0).double())


def test_the_sample_is_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Early and late rows have the same chance."""
    monkeypatch.setattr(streaming, "SAMPLED_VALUES", 2_000)
    sample = streaming._Sample()
    for part in torch.split(torch.arange(50_000.0)[:, None], 700):
        sample.add(part)
    rows = sample.rows()
    assert len(rows) == len(rows.unique()) == 2_000
    assert abs(float(rows.mean()) - 25_000) < 4 * 50_000 / math.sqrt(12 * 2_000)


# --- per example -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 1, 6, 7), (5, 3, 4, 4), (5, 40, 11), (5, 9)])
def test_per_sample_by_its_formula(shape: tuple[int, ...]) -> None:
    x = made(*shape) * torch.arange(1.0, 6.0).view(-1, *[1] * (len(shape) - 1)) + 2
    rows = x.reshape(5, -1).double().numpy()
    deviation = np.sqrt(rows.var(axis=1, keepdims=True) + 0.5)
    expected = (rows - rows.mean(axis=1, keepdims=True)) / deviation
    found = PerSample(eps=0.5).fit([])(x)
    assert found.shape == x.shape
    np.testing.assert_allclose(found.reshape(5, -1), expected, atol=1e-5)


def test_exposure_drops_out() -> None:
    pictures = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    layer = PerSample().fit([])
    shifted = layer(pictures * 0.5 + 0.3)
    assert float((shifted - layer(pictures)).abs().max()) < 0.01
    assert (layer(torch.full((2, 1, 8, 8), 0.7)).abs() < 1e-3).all()  # a blank picture


def test_exposure_that_only_new_pictures_have() -> None:
    """A classifier of pictures of one exposure, asked about over- and under-exposed ones."""
    found = load_digits()
    x, y = torch.from_numpy(found.images / 16).float()[:, None], found.target
    rng = np.random.default_rng(0)
    gain = torch.from_numpy(rng.uniform(0.3, 1.5, (600, 1, 1, 1))).float()
    offset = torch.from_numpy(rng.uniform(-0.2, 0.4, (600, 1, 1, 1))).float()
    accuracy: dict[tuple[str, str], float] = {}
    for technique in (Standardize(per="channel"), PerSample()):
        layer = technique.fit([x[600:]])
        classifier = LogisticRegression(max_iter=200).fit(layer(x[600:]).flatten(1), y[600:])
        for kind, pictures in (("same", x[:600]), ("shifted", x[:600] * gain + offset)):
            score = classifier.score(layer(pictures).flatten(1), y[:600])
            accuracy[type(technique).__name__, kind] = score
    assert accuracy["PerSample", "shifted"] > accuracy["Standardize", "shifted"] + 0.05
    assert abs(accuracy["PerSample", "same"] - accuracy["Standardize", "same"]) < 0.04


# --- saved and built again, and finite ---------------------------------------------------------

TECHNIQUES = [Center(), MinMax(), MinMax(clip=False), Robust(), Robust(smooth_clip=False)]
TECHNIQUES += [PerSample(), Pca(), Pca(2), Whiten(), Whiten(kind="pca", components=0.9), Raw()]


@pytest.mark.parametrize("technique", TECHNIQUES, ids=repr)
@pytest.mark.parametrize("shape", [(30, 5), (30, 2, 4, 3)])
def test_described_and_rebuilt(technique: Any, shape: tuple[int, ...]) -> None:
    x = made(*shape)
    layer = technique.fit([x])
    again = rebuild(describe(layer), layer.state_dict())
    assert type(again) is type(layer)
    assert torch.equal(again(x), layer(x))
    assert again.state_dict().keys() == layer.state_dict().keys()
    assert not list(layer.parameters())


@pytest.mark.parametrize("technique", TECHNIQUES[:-1], ids=repr)
def test_a_fill_value_stays_finite(technique: Any) -> None:
    layer = technique.fit([made(30, 4)])
    x = torch.zeros(2, 4)
    x[0, 1], x[1] = 1e37, -3e38
    assert layer(x).isfinite().all()


@given(st.data())
def test_any_options_give_finite_numbers(data: st.DataObject) -> None:
    technique = data.draw(values(Center | MinMax | Robust | PerSample | Whiten))
    if isinstance(technique, Whiten) and isinstance(technique.components, int):
        technique = Whiten(technique.kind, technique.eps, 1 + technique.components % 4)
    x = data.draw(
        st.lists(
            st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4),
            min_size=1,
            max_size=6,
        )
    )
    rows = torch.tensor(x)
    y = technique.fit(torch.split(rows, 2))(rows)
    assert y.shape[0] == len(rows)
    assert y.isfinite().all()


# --- one width for all folds -------------------------------------------------------------------


def sequence(techniques: list[Any], x: Tensor) -> nn.Sequential:
    layers = nn.Sequential(nn.Identity())
    for technique in techniques:
        layers.append(technique.fit([layers(x)]))
    return layers


FOLLOWING: list[list[Any]] = [
    [],
    [Standardize()],
    [MinMax(), Center()],
    [Robust()],
    [PerSample(), Standardize()],
    [Whiten()],
    [Raw(), Whiten(kind="pca")],
    [Pca(0.8), Standardize(), PerSample()],
]


@pytest.mark.parametrize("following", FOLLOWING, ids=repr)
def test_widths_are_matched(following: list[Any]) -> None:
    techniques = [Standardize(), Pca(0.9), *following]
    # Three folds whose first k columns vary together with the others.
    xs = [
        made(60, 8, seed=k) @ torch.diag(torch.tensor([3.0] * k + [0.3] * (8 - k)))
        for k in (2, 4, 7)
    ]
    xs = [x @ made(8, 8, seed=99) for x in xs]
    folds = [sequence(techniques, x) for x in xs]
    before = [fold(x) for fold, x in zip(folds, xs, strict=True)]
    widths = [y.shape[1] for y in before]
    assert len(set(widths)) > 1
    match_widths(folds)
    for fold, x, y in zip(folds, xs, before, strict=True):
        found = fold(x)
        assert found.shape[1] == max(widths)
        torch.testing.assert_close(found[:, : y.shape[1]], y, rtol=1e-5, atol=1e-5)
        assert (found[:, y.shape[1] :] == 0).all()
        again = nn.Sequential(*(rebuild(describe(layer), layer.state_dict()) for layer in fold))
        assert torch.equal(again(x), found)
    same = [fold(x) for fold, x in zip(folds, xs, strict=True)]
    match_widths(folds)  # a second time changes nothing
    assert all(torch.equal(fold(x), y) for fold, x, y in zip(folds, xs, same, strict=True))


def test_equal_widths_are_left_alone() -> None:
    x = made(30, 2, 3, 3)
    folds = [sequence([Standardize(), PerSample(), Whiten()], x + k) for k in range(2)]
    states = [{k: v.clone() for k, v in f.state_dict().items()} for f in folds]
    match_widths(folds)
    for fold, state in zip(folds, states, strict=True):
        for name, value in fold.state_dict().items():
            assert torch.equal(value, state[name])
