"""Pre-processing against scikit-learn, numbers made by hand, and tones of known frequency."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from trainwell.techniques.inputs import (
    Bytes,
    Pcm,
    TableEncoder,
    describe,
    mel_filters,
    rebuild,
)
from trainwell.techniques.preprocess import LogMel, Raw, Standardize

NAN = float("nan")


def chunks(x: Tensor, size: int) -> list[Tensor]:
    return list(torch.split(x, size))


def made(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_standardize_equals_scikit_learn(dtype: torch.dtype) -> None:
    x = made(300, 6, dtype=dtype) * torch.tensor([1e-3, 1, 50, 1e4, 3, 0.1], dtype=dtype)
    x = x + torch.tensor([0, -5, 200, 1e3, 0, 7], dtype=dtype)
    scaler = StandardScaler().fit(x.double().numpy())
    new = x[:50] * 1.5
    expected = scaler.transform(new.double().numpy())
    found = Standardize().fit(chunks(x, 64))(new)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5, rtol=1e-5)


def test_standardize_per_channel() -> None:
    x = made(40, 3, 5, 4) * torch.tensor([1.0, 20.0, 0.1]).view(3, 1, 1) + 3
    layer = Standardize(per="channel").fit(chunks(x, 7))
    y = layer(x)
    np.testing.assert_allclose(y.mean(dim=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(dim=(0, 2, 3), correction=0), 1, atol=1e-5)
    scaler = StandardScaler().fit(x.permute(0, 2, 3, 1).reshape(-1, 3).double().numpy())
    np.testing.assert_allclose(layer.mean.flatten(), scaler.mean_, rtol=1e-5)
    # A pixel of its own mean stays different from other pixels.
    assert float(Standardize().fit([x])(x).mean(dim=0).abs().max()) < 1e-5
    assert float(y.mean(dim=0).abs().max()) > 1e-3


def test_standardize_per_band_of_a_spectrogram_and_per_column_of_a_table() -> None:
    x = made(30, 5, 8) * torch.arange(1.0, 6.0).view(5, 1)
    y = Standardize(per="channel").fit([x])(x)
    np.testing.assert_allclose(y.std(dim=(0, 2), correction=0), 1, atol=1e-5)
    table = made(30, 4) * torch.arange(1.0, 5.0)
    same = [Standardize(per=p).fit([table])(table) for p in ("channel", "feature")]  # type: ignore[arg-type]
    assert torch.equal(*same)


@pytest.mark.parametrize("per", ["feature", "channel"])
def test_chunks_change_nothing(per: str) -> None:
    x = made(97, 2, 6, 3) * 4 + 100
    layers = [Standardize(per=per).fit(chunks(x, size)) for size in (97, 1, 10, 96)]  # type: ignore[arg-type]
    for other in layers[1:]:
        torch.testing.assert_close(other.mean, layers[0].mean, rtol=1e-6, atol=0)
        torch.testing.assert_close(other.factor, layers[0].factor, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e6, 1e-8, 0.1, 1234.567])
def test_a_constant_becomes_zero(value: float) -> None:
    x = torch.full((10, 2), value)
    x[:, 1] = torch.arange(10.0)
    layer = Standardize().fit(chunks(x, 3))
    y = layer(x)
    assert (y[:, 0] == 0).all()
    assert (layer(x + 1)[:, 0] == 0).all()  # and stays so for rows that differ
    assert abs(float(y[:, 1].std(correction=0)) - 1) < 1e-5


@pytest.mark.parametrize(("offset", "spread"), [(1e7, 1.0), (-3e9, 50.0), (1e12, 1e3)])
def test_large_offsets(offset: float, spread: float) -> None:
    x = made(400, 1, dtype=torch.float64) * spread + offset
    y = Standardize().fit(chunks(x, 128))(x).double()
    np.testing.assert_allclose(y, StandardScaler().fit_transform(x), atol=1e-4)


@pytest.mark.parametrize(("offset", "spread"), [(5e5, 1e-3), (9e5, 0.01), (1e4, 1e-5)])
def test_offsets_below_a_million(offset: float, spread: float) -> None:
    x = made(400, 1, dtype=torch.float64) * spread + offset
    y = Standardize().fit([x])(x).double()
    np.testing.assert_allclose(y, StandardScaler().fit_transform(x), atol=1e-4)


def test_raw_is_the_identity() -> None:
    x = made(3, 2)
    assert Raw().fit([x])(x) is x


def test_bytes_and_pcm() -> None:
    pictures = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    assert Bytes()(pictures).tolist() == [[[[0.0, pytest.approx(0.2), 1.0]]]]
    assert Pcm()(torch.tensor([[-32768, 0, 16384]], dtype=torch.int16)).tolist() == [[-1, 0, 0.5]]


# --- tables ------------------------------------------------------------------------------------

# Columns: number, category of 3 levels, number with missing cells, category of 2 levels.
TABLE = torch.tensor(
    [
        [1.0, 0, 10, 1],
        [2.0, 0, NAN, 1],
        [3.0, 0, 30, 1],
        [4.0, 1, NAN, NAN],
        [5.0, 2, 20, 0],
        [6.0, 2, 20, 0],
        [7.0, 2, 20, NAN],
    ]
)
LEVELS, INDICATED = ((), (0, 1, 2), (), (0, 1)), (2,)


def test_table_by_hand() -> None:
    encoder = TableEncoder.fit(TABLE.T, LEVELS, INDICATED)
    # number, number (missing: median 20), indicator, levels 0, 1, 2, levels 0, 1.
    # Level 1 of the first category has one row, level 0 of the second two: too rare.
    assert encoder(TABLE).tolist() == [
        [1, 10, 0, 1, 0, 0, 0, 1],
        [2, 20, 1, 1, 0, 0, 0, 1],
        [3, 30, 0, 1, 0, 0, 0, 1],
        [4, 20, 1, 0, 0, 0, 0, 0],
        [5, 20, 0, 0, 0, 1, 0, 0],
        [6, 20, 0, 0, 0, 1, 0, 0],
        [7, 20, 0, 0, 0, 1, 0, 0],
    ]


def test_new_rows_with_missing_cells_everywhere() -> None:
    encoder = TableEncoder.fit(TABLE.T, LEVELS, INDICATED)
    assert encoder(torch.full((1, 4), NAN)).tolist() == [[4, 20, 1, 0, 0, 0, 0, 0]]
    # A level never seen in training rows is all zeros, like a missing one.
    unseen = TableEncoder.fit(TABLE[:4].T, LEVELS, INDICATED)
    assert unseen(torch.tensor([[0.0, 2, 0, 0]])).tolist() == [[0, 0, 0, 0, 0, 0, 0, 0]]


def test_one_width_for_all_folds() -> None:
    widths = {
        TableEncoder.fit(TABLE[rows].T, LEVELS, INDICATED)(TABLE).shape
        for rows in ([0], [0, 1, 2], [3, 4], list(range(7)))
    }
    assert widths == {(7, 8)}


def test_levels_exactly_as_rare_as_allowed() -> None:
    table = torch.tensor([[0.0]] * 3 + [[1.0]] * 2)
    assert TableEncoder.RARE == 3
    encoded = TableEncoder.fit(table.T, ((0, 1),), ())(table)
    assert encoded.tolist() == [[1.0, 0.0]] * 3 + [[0.0, 0.0]] * 2


def test_a_column_of_nothing_is_zero() -> None:
    table = torch.tensor([[NAN, 1.0], [NAN, 2.0]])
    assert TableEncoder.fit(table.T, ((), ()), (0,))(table).tolist() == [[0, 1, 1], [0, 2, 1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tables_keep_their_precision(dtype: torch.dtype) -> None:
    encoder = TableEncoder.fit(TABLE.to(dtype).T, LEVELS, INDICATED)
    assert encoder(TABLE.to(dtype)).dtype == dtype


# --- sound -------------------------------------------------------------------------------------

RATE = 8000


def tone(hertz: float, seconds: float = 0.5) -> Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * RATE)) / RATE)[None]


def centres(bands: int, low: float) -> np.ndarray:
    """Middle frequencies of the bands, from the definition of the mel scale."""
    edges = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (low, RATE / 2)), bands + 2)
    return 700 * (10 ** (edges[1:-1] / 2595) - 1)


@pytest.mark.parametrize("hertz", [150, 440, 1000, 2500, 3700])
def test_a_tone_peaks_in_its_band(hertz: float) -> None:
    layer = LogMel(bands=40).layer(RATE)
    mean = layer(tone(hertz))[0, :, 5:-5].mean(dim=1)
    expected = int(np.abs(centres(40, 60.0) - hertz).argmin())
    assert abs(int(mean.argmax()) - expected) <= 1
    assert float(mean.max() - mean.median()) > 20  # dB


def test_loudness_does_not_matter() -> None:
    layer = LogMel().layer(RATE)
    clip = made(1, 4000) * 0.3 + tone(440)
    for factor in (0.5, 0.1, 0.02):
        torch.testing.assert_close(layer(clip * factor), layer(clip), atol=0.02, rtol=0)


@pytest.mark.parametrize("clip", [torch.zeros(2, 4000), torch.full((1, 4000), 1e-6)])
def test_silence_is_finite(clip: Tensor) -> None:
    found = LogMel().layer(RATE)(clip)
    assert found.isfinite().all()
    assert float(found.max()) == 0.0


def test_range_is_kept_and_each_clip_stands_alone() -> None:
    layer = LogMel(range_db=30.0).layer(RATE)
    clips = torch.cat([tone(440), made(1, 4000), torch.zeros(1, 4000)])
    found = layer(clips)
    assert float(found.min()) == -30.0
    assert (found.amax(dim=(1, 2)) == 0).all()
    for k in range(3):
        torch.testing.assert_close(found[k : k + 1], layer(clips[k : k + 1]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("rate", "bands"), [(8000, 40), (8000, 128), (16000, 40), (44100, 20)])
def test_filters_cover_all_bands(rate: int, bands: int) -> None:
    window = round(0.025 * rate)
    n_fft = 1 << (window - 1).bit_length()
    filters = mel_filters(rate, n_fft, bands, 60.0)
    assert filters.shape == (bands, n_fft // 2 + 1)
    assert (filters >= 0).all()
    assert (filters.sum(dim=1) > 0).all()  # no band without a frequency
    hertz = torch.linspace(0, rate / 2, n_fft // 2 + 1)
    middle = (filters * hertz).sum(dim=1) / filters.sum(dim=1)
    assert (middle.diff() > -0.01).all()
    inside = (hertz > centres(1, 60.0)[0] / 4) & (hertz < rate / 2 * 0.95)
    if bands <= 40:  # every frequency is heard by some band
        assert (filters[:, inside].sum(dim=0) > 0).all()


@pytest.mark.parametrize("samples", [1, 79, 80, 4000, 4001])
def test_shapes_of_spectrograms(samples: int) -> None:
    layer = LogMel(bands=16, hop=0.01).layer(RATE)
    assert layer(made(3, samples)).shape == (3, 16, 1 + samples // 80)


# --- saved and built again ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Bytes(), torch.randint(0, 255, (2, 1, 3, 3), dtype=torch.uint8)),
        (Pcm(), torch.randint(-99, 99, (2, 50), dtype=torch.int16)),
        (nn.Identity(), made(2, 3)),
        (Standardize().fit([made(9, 3)]), made(2, 3)),
        (LogMel(bands=8, window=0.02, hop=0.005, low=100.0, range_db=60.0).layer(RATE), tone(300)),
        (TableEncoder.fit(TABLE.T, LEVELS, INDICATED), TABLE),
    ],
    ids=lambda v: type(v).__name__,
)
def test_described_and_rebuilt(layer: nn.Module, x: Tensor) -> None:
    again = rebuild(describe(layer), layer.state_dict())
    assert type(again) is type(layer)
    assert torch.equal(again(x), layer(x))
    assert again.state_dict().keys() == layer.state_dict().keys()


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(KeyError, match="Evil"):
        rebuild({"layer": "Evil"}, {})
    with pytest.raises(KeyError, match="mean"):
        rebuild({"layer": "Scale"}, {})
