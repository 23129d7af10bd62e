"""Augmentation of pictures: what comes out, against scipy, Pillow, and the formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, stats

from trainwell.callstring import members
from trainwell.techniques.augment import PictureAugment
from trainwell.techniques.augment.images import Affine, Elastic, Rotate, Scale, Shear, Shift
from trainwell.techniques.augment.pixels import (
    BrightnessContrast,
    Crop,
    Erase,
    Flip,
    PixelNoise,
)
from trainwell.techniques.augment.resample import WHOLE, blocks, blur

EVERY = [cls() for cls in members(PictureAugment)]
EVERY += [
    Affine(fill="zero"),
    Elastic(fill="zero"),
    Crop(fill="zero"),
    Flip(vertical=True),
    Erase(probability=1, filling="zero"),
]
every = pytest.mark.parametrize("technique", EVERY, ids=repr)
MODES = {"edge": "nearest", "zero": "grid-constant"}  # how scipy calls what lies outside


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def smooth(height: int, width: int) -> torch.Tensor:
    """A picture (1, 1, H, W) without sharp edges, with a bright spot right of and above centre."""
    y, x = np.mgrid[:height, :width]
    spot = np.exp(-((x - 0.7 * width) ** 2 + (y - 0.3 * height) ** 2) / (0.05 * height * width))
    return torch.tensor(spot, dtype=torch.float32)[None, None]


# What holds for all of them.


@every
def test_same_seed_same_result_other_seed_another(technique: Any) -> None:
    x = pictures(40, 3, 20, 28)
    kept = x.clone()
    found = technique(x, seed=3)
    assert torch.equal(x, kept)
    assert torch.equal(found, technique(x, seed=3))
    assert not torch.equal(found, technique(x, seed=4))
    assert found.shape == x.shape
    assert found.dtype == torch.float32
    assert found.data_ptr() != x.data_ptr()


@every
def test_strength_zero_changes_no_bit(technique: Any) -> None:
    x = pictures(40, 3, 20, 28)
    strength = torch.arange(40).remainder(3).float()
    mixed = technique(x, seed=3, strength=strength)
    assert torch.equal(mixed[::3], x[::3])
    assert torch.equal(technique(x, seed=3, strength=0.0), x)
    assert technique(x, seed=3, strength=0.0).data_ptr() != x.data_ptr()
    assert torch.equal(technique(x, seed=3, strength=torch.zeros(40)), x)
    # Each example is changed as if all had its strength, and the stronger the more.
    for times in (1.0, 2.0):
        assert_same(mixed[int(times) :: 3], technique(x, seed=3, strength=times)[int(times) :: 3])
    change = [(technique(x, seed=3, strength=s) - x).abs().mean() for s in (0.1, 0.5, 1.0)]
    assert change[0] < change[1] < change[2]


@every
def test_examples_do_not_influence_each_other(technique: Any) -> None:
    x = pictures(12, 2, 9, 14)
    drawn = technique.draw(tuple(x.shape), torch.Generator().manual_seed(1))
    assert all(d.device.type == "cpu" and len(d) == 12 for d in drawn)
    together = technique.apply(x, drawn)
    for i in (0, 5, 11):
        one = slice(i, i + 1)
        assert_same(technique.apply(x[one], tuple(d[one] for d in drawn)), together[one])
    assert technique(x[:0]).shape == x[:0].shape


@every
def test_memory_format_does_not_matter(technique: Any) -> None:
    x = pictures(6, 3, 12, 10)
    for other in (x.to(memory_format=torch.channels_last), x.flip(0).flip(0), x.mT.contiguous().mT):
        assert_same(technique(other, seed=2), technique(x, seed=2))


@every
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 17), st.integers(1, 17)),
    seed=st.integers(0, 2**32),
    strength=st.floats(0, 4),
)
def test_stays_between_zero_and_one(
    technique: Any, shape: tuple[int, ...], seed: int, strength: float
) -> None:
    x = pictures(*shape, seed=seed).round(decimals=1)  # among them 0 and 1
    found = technique(x, seed=seed, strength=strength)
    assert found.shape == x.shape
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1  # also NaN fails


@every
@pytest.mark.parametrize("size", [(8, 3, 9, 14), (9, 3, 256, 300)])
def test_bytes_become_values(technique: Any, size: tuple[int, ...]) -> None:
    x = (pictures(*size) * 255).byte()
    strength = torch.arange(size[0]) / 4
    assert torch.equal(technique(x, 1, strength), technique(x / 255, 1, strength))
    assert torch.equal(technique(x, 1), technique(x / 255, 1))
    assert torch.equal(technique(x, 1, 0), x / 255)


@every
def test_large_batches_are_worked_on_in_blocks(technique: Any) -> None:
    x = pictures(9, 3, 256, 300)
    assert x.numel() * 4 > WHOLE
    assert len(blocks(x)) > 1
    drawn = technique.draw(tuple(x.shape), torch.Generator().manual_seed(1))
    found = technique.apply(x, drawn)
    for i in (0, 4, 8):
        one = slice(i, i + 1)
        assert_same(technique.apply(x[one], tuple(d[one] for d in drawn)), found[one])


@every
def test_computes_where_the_pictures_are(technique: Any) -> None:
    """On a device without values, which refuses to mix with tensors of the CPU."""
    x = pictures(5, 3, 12, 10)
    drawn = technique.draw(tuple(x.shape), torch.Generator())
    there = tuple(d.to("meta") for d in drawn)
    found = technique.apply(x.to("meta"), there, 1.0)
    assert found.shape == x.shape
    assert found.device.type == "meta"
    if not isinstance(technique, Crop):  # reads how far its pictures may move
        strengths = torch.ones(5, device="meta")
        assert technique.apply(x.to("meta"), there, strengths).device.type == "meta"


@every
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_as_on_the_cpu(technique: Any) -> None:
    x = pictures(33, 3, 28, 20)
    for strength in (1.0, torch.linspace(0, 2, 33)):
        there = strength.cuda() if isinstance(strength, torch.Tensor) else strength
        found = technique(x.cuda(), seed=1, strength=there).cpu()
        # A position that falls on the border between two pixels may be rounded to either side.
        assert float((found - technique(x, seed=1, strength=strength)).abs().max()) < 1e-4


# Movements.


def reference(
    x: torch.Tensor,
    fill: str,
    angle: float = 0.0,
    slant: float = 0.0,
    zoom: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> torch.Tensor:
    """By scipy: slant and zoom, then turn against the clock, then shift; (1, 1, H, W)."""
    cos, sin = math.cos(angle), math.sin(angle)
    # On (row, column), rows counted downwards.
    forward = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, 0], [slant, 1]]) * zoom
    back = np.linalg.inv(forward)
    centre = (np.array(x.shape[-2:]) - 1) / 2
    offset = centre - back @ (centre + np.array(shift[::-1]))
    found = ndimage.affine_transform(
        x[0, 0].numpy().astype(np.float64), back, offset, order=1, mode=MODES[fill]
    )
    return torch.tensor(found, dtype=torch.float32)[None, None]


def assert_same(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 2e-5) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < tolerance


@pytest.mark.parametrize("fill", ["edge", "zero"])
@pytest.mark.parametrize("size", [(28, 28), (15, 22), (31, 8)])
@pytest.mark.parametrize("u", [-1.0, -0.35, 0.8])
def test_movements_are_those_of_scipy(fill: Any, size: tuple[int, int], u: float) -> None:
    x = pictures(1, 1, *size)
    one = (torch.tensor([u]),)
    turned = Rotate(30, fill=fill).apply(x, one, 0.5)
    assert_same(turned, reference(x, fill, angle=math.radians(15 * u)))
    scaled = Scale(0.5, fill=fill).apply(x, one, 0.5)
    assert_same(scaled, reference(x, fill, zoom=1.25**u))
    slanted = Shear(20, fill=fill).apply(x, one, torch.tensor([0.5]))
    assert_same(slanted, reference(x, fill, slant=0.5 * u * math.tan(math.radians(20))))
    shifted = Shift(3, fill=fill).apply(x, (torch.tensor([[u, 0.2]]),), 0.5)
    assert_same(shifted, reference(x, fill, shift=(1.5 * u, 0.3)))
    affine = Affine(30, 4, 0.2, 20, fill=fill)
    together = affine.apply(x, (torch.tensor([[u, 0.5, -0.7, 0.9, -0.4]]),))
    expected = reference(
        x,
        fill,
        angle=math.radians(30 * u),
        shift=(2, -2.8),
        zoom=1.2**0.9,
        slant=-0.4 * math.tan(math.radians(20)),
    )
    assert_same(together, expected)


@pytest.mark.parametrize("degrees", [20.0, -75.0])
def test_rotation_is_that_of_pillow(degrees: float) -> None:
    x = smooth(40, 30)
    found = Rotate(180).apply(x, (torch.tensor([degrees / 180]),))[0, 0]
    turned = Image.fromarray(x[0, 0].numpy()).rotate(degrees, Image.Resampling.BILINEAR)
    inside = ndimage.binary_erosion(
        np.asarray(Image.new("L", (30, 40), 1).rotate(degrees)), iterations=2, border_value=1
    )
    assert inside.sum() > 500
    difference = np.abs(found.numpy() - np.asarray(turned))[inside]
    assert difference.max() < 1e-3


def test_quarter_turns_and_whole_pixels_are_exact() -> None:
    x = pictures(4, 3, 16, 16)
    quarters = torch.tensor([0.5, -0.5, 1.0, 0.0])
    found = Rotate(180).apply(x, (quarters,))
    for i, turns in enumerate((1, -1, 2, 0)):
        assert_same(found[i], x[i].rot90(turns, (-2, -1)))
    moves = torch.tensor([[0.75, 0.0], [0.0, 0.5], [-0.25, -1.0], [0.0, 0.0]])
    found = Shift(4, fill="zero").apply(x, (moves,))
    for i, (right, down) in enumerate(((3, 0), (0, 2), (-1, -4), (0, 0))):
        expected = ndimage.shift(x[i].numpy(), (0, down, right), order=0)
        assert_same(found[i], torch.tensor(expected))


def test_random_movements_cover_their_range_evenly() -> None:
    generator = torch.Generator().manual_seed(0)
    for technique in (Shift(), Rotate(), Scale(), Shear(), Affine(), BrightnessContrast()):
        for column in technique.draw((4000, 1, 2, 2), generator)[0].reshape(4000, -1).unbind(1):
            assert stats.kstest(column, stats.uniform(-1, 2).cdf).pvalue > 0.001


# Elastic distortion.


@pytest.mark.parametrize(("alpha", "sigma", "pixels"), [(34, 4, 0.99), (8, 4, 0.24), (34, 8, 0.47)])
def test_elastic_moves_pixels_as_far_as_known(alpha: float, sigma: float, pixels: float) -> None:
    """Mean |Δx| = mean |Δy| at 28 × 28, read off a picture that is a ramp."""
    (field,) = Elastic(alpha, sigma).draw((300, 1, 28, 28), torch.Generator().manual_seed(0))
    assert stats.kstest(field[:10].flatten(), stats.uniform(-1, 2).cdf).pvalue > 0.001
    over = blur(28, sigma)
    moves = alpha * (over @ field @ over)
    # Sums of many uniform numbers (variance 1/3) are normal, with mean |Δ| = deviation · √(2/π).
    deviation = (over**2).sum(1).sqrt()
    exact = alpha * math.sqrt(2 / math.pi / 3) * float((deviation[:, None] * deviation).mean())
    assert float(moves.abs().mean()) == pytest.approx(exact, rel=0.03)
    assert exact == pytest.approx(pixels, rel=0.025)  # `pixels` were measured, once
    ramp = torch.linspace(0, 1, 28).expand(300, 1, 28, 28)
    found = Elastic(alpha, sigma).apply(ramp, (field,)) - ramp
    inside = slice(8, 20)  # from where no pixel reaches the border
    expected = moves[:, :1, inside, inside] / 27
    assert_same(found[:, :, inside, inside], expected.clamp(-8 / 27, 8 / 27))


@pytest.mark.parametrize("fill", ["edge", "zero"])
@pytest.mark.parametrize(("size", "sigma"), [((28, 28), 4.0), ((30, 13), 1.3), ((5, 40), 7.0)])
def test_elastic_is_that_of_simard(fill: Any, size: tuple[int, int], sigma: float) -> None:
    """Gaussian filter of the field, bilinear picture, by scipy; on the same random field."""
    x = pictures(3, 2, *size)
    technique = Elastic(20, sigma, fill=fill)
    (field,) = technique.draw(tuple(x.shape), torch.Generator().manual_seed(1))
    found = technique.apply(x, (field,), torch.tensor([1.0, 0.5, 2.0]))
    rows, columns = np.mgrid[: size[0], : size[1]]
    for i, strength in enumerate((1.0, 0.5, 2.0)):
        right, down = (
            20 * strength * ndimage.gaussian_filter(f, sigma, mode="constant")
            for f in field[i].double().numpy()
        )
        for c in range(2):
            picture = x[i, c].double().numpy()
            where = (rows + down, columns + right)
            expected = ndimage.map_coordinates(picture, where, order=1, mode=MODES[fill])
            assert_same(found[i, c], torch.tensor(expected, dtype=torch.float32), 5e-5)


# Mirrors, cuts, covers, light.


def test_flip_mirrors_as_often_as_asked() -> None:
    x = pictures(2000, 1, 3, 4)
    strength = torch.ones(2000)
    strength[1000:] = 0.5
    found = Flip(vertical=True, probability=0.6)(x, seed=1, strength=strength)
    ways = [(), (-1,), (-2,), (-2, -1)]
    is_way = torch.stack([(found == x.flip(w)).flatten(1).all(1) for w in ways], 1)
    assert (is_way.sum(1) == 1).all()
    for part, p in ((slice(0, 1000), 0.6), (slice(1000, 2000), 0.3)):
        expected = torch.tensor([(1 - p) ** 2, p * (1 - p), p * (1 - p), p * p]) * 1000
        assert stats.chisquare(is_way[part].sum(0), expected).pvalue > 0.001
    assert torch.equal(Flip(probability=1)(x), x.flip(-1))
    assert torch.equal(Flip(False, True, probability=1)(x), x.flip(-2))
    assert torch.equal(Flip(False, False, probability=1)(x), x)


@pytest.mark.parametrize("fill", ["edge", "zero"])
def test_crop_cuts_everywhere_equally_often(fill: Any) -> None:
    x = pictures(1, 2, 6, 9).expand(3000, 2, 6, 9)
    strength = torch.tensor([1.0, 2.0, 0.2]).repeat_interleave(1000)
    found = Crop(2, fill=fill)(x, seed=1, strength=strength)
    padded = np.pad(x[0], ((0, 0), (4, 4), (4, 4)), **{"mode": "edge"} if fill == "edge" else {})
    for part, reach in ((slice(0, 1000), 2), (slice(1000, 2000), 4), (slice(2000, 3000), 0)):
        steps = range(4 - reach, 5 + reach)
        counts = [
            int((found[part] == torch.tensor(padded[:, i : i + 6, j : j + 9])).all((1, 2, 3)).sum())
            for i in steps
            for j in steps
        ]
        assert sum(counts) == 1000
        assert len(counts) == 1 or stats.chisquare(counts).pvalue > 0.001


def test_crop_far_outside_shows_what_lies_there() -> None:
    x = pictures(1, 1, 3, 4)
    drawn = (torch.tensor([[0.0, 0.999]]),)
    corner = Crop(10**6).apply(x, drawn)
    assert torch.equal(corner, x[0, 0, 0, 3].expand(1, 1, 3, 4))
    assert not Crop(10**6, fill="zero").apply(x, drawn).any()


def test_noise_is_normal() -> None:
    x = torch.full((50, 3, 21, 11), 0.5)
    technique = PixelNoise(0.1)
    found = (technique(x, seed=1) - x) / 0.1
    assert stats.kstest(found.flatten(), "norm").pvalue > 0.001
    assert float(found.std()) == pytest.approx(1, abs=0.01)
    assert float(stats.kurtosis(found.flatten())) == pytest.approx(0, abs=0.1)
    neighbours = [
        np.corrcoef(found.flatten()[k:], found.flatten()[: len(found.flatten()) - k])
        for k in (1, 2, 3, 4)
    ]
    assert max(abs(r[0, 1]) for r in neighbours) < 0.02
    strength = torch.tensor([0.5, 2.0]).repeat(25)
    found = technique(x, seed=1, strength=strength) - x
    assert float(found[0::2].std()) == pytest.approx(0.05, rel=0.03)
    assert float(found[1::2].std()) == pytest.approx(0.2, rel=0.03)


def test_erase_covers_the_stated_area() -> None:
    x = torch.ones(2000, 2, 60, 40)
    found = Erase(least=0.1, most=0.3, probability=0.7, filling="zero")(x, seed=1)
    hole = found == 0
    assert torch.equal(hole[:, 0], hole[:, 1])
    assert ((found == 0) | (found == 1)).all()
    area = hole[:, 0].float().mean((1, 2))
    some = area > 0
    assert float(some.float().mean()) == pytest.approx(0.7, abs=0.04)
    assert stats.kstest(area[some], stats.uniform(0.1, 0.2).cdf).pvalue > 0.001
    rows, columns = hole[some, 0].any(2), hole[some, 0].any(1)
    height, width = rows.sum(1), columns.sum(1)
    assert torch.equal(height * width, hole[some, 0].sum((1, 2)))  # a rectangle without gaps
    assert float((height / width).min()) >= 0.3 * 0.9
    assert float((height / width).max()) <= 1 / 0.3 * 1.1
    ratio = (height / width).log()
    assert (
        stats.kstest(ratio, stats.uniform(math.log(0.3), -2 * math.log(0.3)).cdf).statistic < 0.05
    )
    assert 0.35 < float(hole[some, 0].float().mean(0).max()) < 0.5  # the middle most often
    assert float(hole[some, 0].float().mean(0)[0, 0]) > 0.005  # and corners, too


def test_erase_follows_strength_and_covers_with_noise() -> None:
    x = torch.full((600, 1, 50, 50), 0.5)
    technique = Erase(least=0.2, most=0.2, probability=1)
    strength = torch.tensor([0.5, 1.0, 20.0]).repeat(200)
    found = technique(x, seed=1, strength=strength)
    share = (found != 0.5).float().mean((1, 2, 3)).view(200, 3)
    for i, area in enumerate((0.1, 0.2, 1.0)):
        assert float((share[:, i] - area).abs().max()) < 0.01
    assert stats.kstest(found[2::3].flatten()[:5000], "uniform").pvalue > 0.001


def test_brightness_and_contrast_are_those_of_the_formula() -> None:
    x = pictures(5, 3, 6, 7)
    drawn = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.0, 1.0], [-0.5, 0.5], [0.3, -1.0]])
    strength = torch.tensor([1.0, 1.0, 1.0, 2.0, 9.0])
    found = BrightnessContrast(0.3, 0.4).apply(x, (drawn,), strength)
    mean = x.mean((1, 2, 3), keepdim=True)
    assert_same(found[0], (x[0] + 0.3).clamp(0, 1))
    assert_same(found[1], mean[1] + 0.6 * (x[1] - mean[1]))
    assert_same(found[2], (mean[2] + 1.4 * (x[2] - mean[2])).clamp(0, 1))
    assert_same(found[3], (mean[3] + 1.4 * (x[3] - mean[3]) - 0.3).clamp(0, 1))
    assert_same(found[4], (mean[4] + 0.81).clamp(0, 1).expand(1, 3, 6, 7)[0])
