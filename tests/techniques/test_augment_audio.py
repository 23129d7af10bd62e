"""Augmentation of sound: frequencies, times, levels and masks, measured.

References are analytic: the same click train, tone or vowel made anew at the other tempo or pitch.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import resample as fourier_resample
from torch import Tensor

from trainwell.techniques.augment.audio import (
    AddNoise,
    Gain,
    PitchShift,
    SpecAugment,
    Tempo,
    TimeShift,
)
from trainwell.techniques.augment.base import Augmentation
from trainwell.techniques.augment.stretch import pitch_shift, resample, time_stretch

RATES = pytest.mark.parametrize("rate", [8000, 16000])
WAVES = (AddNoise(), AddNoise(color="pink"), PitchShift(), Tempo(), Gain(), TimeShift())
WAVES += (TimeShift(wrap=True),)
every_wave = pytest.mark.parametrize("kind", WAVES, ids=repr)
every = pytest.mark.parametrize("kind", [*WAVES, SpecAugment(2, 4, 2, 2)], ids=repr)


def rows(kind: Augmentation, batch: int, rate: int = 8000) -> Tensor:
    """Loud values without zeros, of the shape that the technique works on."""
    shape = (batch, 20, 30) if kind.acts_on == "features" else (batch, rate // 4)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 0.1 + 0.05


def seconds(length: float, rate: int) -> Tensor:
    return torch.arange(round(length * rate), dtype=torch.float64) / rate


def tone(hertz: float, rate: int, length: float = 1.0) -> Tensor:
    return (0.5 * torch.sin(2 * torch.pi * hertz * seconds(length, rate))).float()[None]


def peak(x: Tensor, rate: int) -> float:
    """The strongest frequency of a clip (T,), in Hz, far finer than a bin of the FFT."""
    window = torch.hann_window(len(x), dtype=torch.float64)
    power = torch.fft.rfft(x.double() * window, 16 * len(x)).abs()
    return float(power.argmax()) * rate / (16 * len(x))


def clicks(times: Tensor, length: float, rate: int) -> Tensor:
    """Bursts of 1 ms at these seconds, (1, T)."""
    t = seconds(length, rate)[:, None] - times
    shape = torch.exp(-(((t - 0.001) / 0.0004) ** 2)) * torch.sin(2 * torch.pi * 1500 * t)
    return shape.sum(1).float()[None]


def onsets(x: Tensor, rate: int) -> Tensor:
    """Where the energy of a clip (T,) bursts, in seconds."""
    energy = x.double().square()
    size = round(0.003 * rate)
    energy = torch.nn.functional.avg_pool1d(energy[None, None], size, 1, size // 2)[0, 0]
    loud = torch.nonzero(energy > 0.1 * energy.max())[:, 0]
    starts = torch.cat([loud[:1], loud[1:][loud.diff() > 1]])
    return starts / rate


def vowel(voice: float, rate: int, tempo: float = 1.0, factor: float = 1.0) -> Tensor:
    """A second of gliding voice with moving formants, as it is at this tempo and pitch, (1, T)."""
    t = seconds(1 / tempo, rate)
    u = t * tempo  # from 0 to 1
    base = voice * factor * (1 + 0.25 * torch.sin(2 * torch.pi * u))
    phase = 2 * torch.pi * base.cumsum(0) / rate
    formants = (700 - 250 * u, 1200 + 700 * u, 2600 + 0 * u)
    made = torch.zeros_like(t)
    for harmonic in range(1, 60):
        hertz = base * harmonic
        heights = [
            g / (1 + ((hertz / factor - f) / 90) ** 2)
            for f, g in zip(formants, (1, 0.5, 0.3), strict=True)
        ]
        height = torch.stack(heights).sum(0) + 0.003
        height = torch.where(hertz < 0.47 * rate, height, 0.0)
        made += height * torch.cos(harmonic * phase + 0.1 * harmonic**2)
    return (0.3 * made * torch.sin(torch.pi * u).sqrt() / made.abs().max()).float()[None]


def spectrogram(x: Tensor, rate: int) -> Tensor:
    """Decibels in bands of about 100 Hz every 5 ms, at most 50 below the loudest point."""
    window = torch.hann_window(round(0.025 * rate))
    stft = torch.stft(x, 1024, rate // 200, len(window), window, return_complex=True)
    bands = torch.nn.functional.avg_pool1d(stft.abs().square()[0].T, 1024 * 100 // rate)
    level = 10 * torch.log10(bands + 1e-12)
    return level.clamp(min=float(level.max()) - 50)


def distance(a: Tensor, b: Tensor, rate: int) -> float:
    """Mean difference in decibels of the spectrograms of two clips of one length."""
    return float((spectrogram(a, rate) - spectrogram(b, rate)).abs().mean())


# --- pitch -------------------------------------------------------------------------------------


@RATES
@pytest.mark.parametrize("semitones", [2.0, -2.0, 0.5, 4.0, -12.0, 12.0])
def test_pitch_rises_by_semitones(semitones: float, rate: int) -> None:
    x = tone(440, rate)
    found = pitch_shift(x, semitones, rate)
    assert found.shape == x.shape
    expected = 440 * 2 ** (semitones / 12)
    assert peak(found[0], rate) == pytest.approx(expected, rel=0.002)  # 3.5 hundredths of a tone
    middle = found[0, rate // 10 : -rate // 10]
    assert float(middle.std()) == pytest.approx(float(x.std()), rel=0.03)


def test_440_hertz_and_two_semitones() -> None:
    found = PitchShift(2).apply(tone(440, 16000), (torch.ones(1),))
    assert peak(found[0], 16000) == pytest.approx(493.88, rel=0.01)


def test_pitch_of_each_clip() -> None:
    shift = torch.tensor([-3.0, 0.0, 1.0, 7.0])
    found = pitch_shift(tone(500, 8000).repeat(4, 1), shift, 8000)
    heard = [peak(clip, 8000) for clip in found]
    np.testing.assert_allclose(heard, 500 * 2 ** (shift / 12), rtol=0.003)


@RATES
@pytest.mark.parametrize("semitones", [1.0, 4.0, 12.0])
def test_nothing_comes_back_from_above_the_highest_frequency(semitones: float, rate: int) -> None:
    factor = torch.tensor([2 ** (semitones / 12)])
    gone = tone(0.5 * rate / float(factor) * 1.02, rate)
    kept = tone(0.5 * rate / float(factor) * 0.94, rate)
    for made in (resample(gone, factor), pitch_shift(gone, semitones, rate)):
        middle = made[0, rate // 20 : len(made[0]) - rate // 20]
        assert float(middle.square().mean() / gone.square().mean()) < 1e-5  # -50 dB
    assert peak(pitch_shift(kept, semitones, rate)[0], rate) == pytest.approx(0.47 * rate, rel=0.01)


def test_resample_equals_the_fourier_method() -> None:
    """scipy cuts or pads the spectrum: exact for clips that fade at their ends."""
    noise = torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))
    x = torch.from_numpy(fourier_resample(noise.numpy(), 3000, axis=1).astype(np.float32))
    x = torch.from_numpy(fourier_resample(x.numpy(), 4000, axis=1).astype(np.float32))
    x = x * torch.hann_window(4000)
    factor = torch.tensor([0.8, 1.25, 4000 / 4400])
    found = resample(x, factor)
    for clip, made, length in zip(x, found, (5000, 3200, 4400), strict=True):
        expected = torch.from_numpy(fourier_resample(clip.numpy(), length))
        error = (made[:length] - expected).square().mean() / expected.square().mean()
        assert float(error) < 3e-4  # -35 dB, of noise up to 3/4 of the highest frequency
        assert (made[length:] == 0).all()


@RATES
@pytest.mark.parametrize("semitones", [-2.0, 2.0])
def test_pitch_leaves_clicks_at_their_time(semitones: float, rate: int) -> None:
    x = clicks(torch.tensor([0.06, 0.17, 0.31, 0.5, 0.62, 0.85]), 1.0, rate)
    at = onsets(pitch_shift(x, semitones, rate)[0], rate)
    assert len(at) == 6
    np.testing.assert_allclose(at, onsets(x[0], rate), atol=0.003)


# --- tempo -------------------------------------------------------------------------------------


@RATES
@pytest.mark.parametrize("tempo", [0.5, 0.8, 1.1, 1.25, 2.0])
def test_tempo_leaves_the_pitch(tempo: float, rate: int) -> None:
    x = tone(440, rate)
    found = time_stretch(x, tempo, rate)
    assert found.shape == (1, round(rate / tempo))
    assert peak(found[0], rate) == pytest.approx(440, rel=0.002)
    middle = found[0, rate // 10 : -rate // 10]
    assert float(middle.std()) == pytest.approx(float(x.std()), rel=0.03)


@RATES
@pytest.mark.parametrize("tempo", [0.8, 0.9, 1.1, 1.25])
def test_clicks_come_at_their_time_single_and_sharp(tempo: float, rate: int) -> None:
    times = torch.tensor([0.06, 0.17, 0.31, 0.5, 0.62, 0.85])
    found = time_stretch(clicks(times, 1.0, rate), tempo, rate)
    expected = clicks(times / tempo, 1 / tempo, rate)
    at = onsets(found[0], rate)
    assert len(at) == len(times)
    np.testing.assert_allclose(at, onsets(expected[0], rate), atol=0.003)
    # All the energy of a click lies in 3 ms, at the height of the original.
    size = round(0.003 * rate)
    for begin in (at * rate).long().tolist():
        around = found[0, max(0, begin - 10 * size) : begin + 10 * size].square().sum()
        inside = found[0, max(0, begin - size // 2) : begin + size + size // 2].square().sum()
        assert float(inside / around) > 0.99
    assert float(found.abs().max()) == pytest.approx(float(expected.abs().max()), rel=0.05)


@RATES
@pytest.mark.parametrize("tempo", [0.8, 1.25])
def test_clicks_in_hiss_are_neither_doubled_nor_lost(tempo: float, rate: int) -> None:
    """There the search has no reason to stay in time, and moves as far as it may: 8 ms."""
    times = torch.tensor([0.06, 0.17, 0.31, 0.5, 0.62, 0.85])
    hiss = torch.randn(8, rate, generator=torch.Generator().manual_seed(1)) * 0.02
    found = time_stretch(clicks(times, 1.0, rate) + hiss, tempo, rate)
    for clip in found:
        at = onsets(clip, rate)
        assert len(at) == len(times)
        np.testing.assert_allclose(at, times / tempo, atol=0.011)


@RATES
def test_hiss_keeps_its_loudness(rate: int) -> None:
    hiss = torch.randn(4, rate, generator=torch.Generator().manual_seed(2))
    for tempo in (0.8, 1.25):
        found = time_stretch(hiss, tempo, rate)
        assert 20 * math.log10(float(found.std() / hiss.std())) == pytest.approx(0, abs=0.2)


@RATES
@pytest.mark.parametrize("voice", [100.0, 180.0, 250.0])
def test_a_vowel_equals_the_vowel_spoken_so(voice: float, rate: int) -> None:
    x = vowel(voice, rate)
    for tempo in (0.8, 1.25):
        expected = vowel(voice, rate, tempo=tempo)
        assert distance(time_stretch(x, tempo, rate), expected, rate) < 1.0
    for semitones in (-2.0, 2.0):
        expected = vowel(voice, rate, factor=2 ** (semitones / 12))
        assert distance(pitch_shift(x, semitones, rate), expected, rate) < 1.0


def test_tempo_of_each_clip_and_the_length_of_all() -> None:
    x = tone(440, 8000).repeat(3, 1)
    tempo = torch.tensor([0.8, 1.0, 1.25])
    found = time_stretch(x, tempo, 8000)
    assert found.shape == (3, 10000)
    ends = [int(clip.nonzero()[-1]) + 1 for clip in found]
    np.testing.assert_allclose(ends, [10000, 8000, 6400], atol=40)
    assert torch.equal(found[1, :8000], x[1])
    for k, speed in enumerate(tempo):  # each stands alone
        alone = time_stretch(x[k : k + 1], speed, 8000)
        torch.testing.assert_close(found[k : k + 1, : alone.shape[1]], alone, atol=1e-5, rtol=0)


def test_tempo_keeps_the_length_of_the_array() -> None:
    x = tone(440, 8000).repeat(2, 1)
    found = Tempo(1.25).apply(x, (torch.tensor([1.0, -1.0]),), rate=8000)
    assert found.shape == x.shape
    assert (found[0, 6400:] == 0).all() and bool(found[0, 6300:6400].any())
    torch.testing.assert_close(found[1], time_stretch(x, 0.8, 8000)[1, :8000])


def test_tempos_are_even_on_the_scale_of_ratios() -> None:
    kind = Tempo(1.25)
    (drawn,) = kind.draw((20000, 10), torch.Generator().manual_seed(0))
    tempo = 1.25**drawn
    assert 0.8 <= float(tempo.min()) < 0.801 and 1.249 < float(tempo.max()) <= 1.25
    assert float((tempo < 1).float().mean()) == pytest.approx(0.5, abs=0.01)
    assert float(tempo.log().std()) == pytest.approx(math.log(1.25) / math.sqrt(3), rel=0.02)


# --- noise, gain, shift ------------------------------------------------------------------------


@pytest.mark.parametrize("color", ["white", "pink"])
@pytest.mark.parametrize("snr", [0.0, 10.0, 30.0])
def test_noise_has_the_ratio_asked_for(snr: float, color: str) -> None:
    x = rows(Gain(), 16)
    x[8:, 1200:] = 0  # shorter clips, filled up with zeros
    x[4:8] *= 1e-4
    found = AddNoise(snr, 0, color)(x, seed=1, rate=8000)  # type: ignore[arg-type]
    noise = (found.double() - x)[:, :1200], (found.double() - x)[:8]
    for clips_, added in ((x[:, :1200][8:], noise[0][8:]), (x[:8], noise[1])):
        ratio = clips_.double().square().sum(1) / added.square().sum(1)
        np.testing.assert_allclose(10 * ratio.log10(), snr, atol=0.2)
    assert (found[8:, 1200:] == 0).all()  # and none where no clip is


def test_noise_levels_are_spread() -> None:
    x = rows(Gain(), 3000)[:, :200]
    noise = AddNoise(20, 10)(x, seed=1) - x
    ratio = 10 * (x.square().sum(1) / noise.square().sum(1)).log10()
    assert 10 <= float(ratio.min()) < 10.2 and 29.8 < float(ratio.max()) <= 30.01
    np.testing.assert_allclose(np.histogram(ratio, 4, (10, 30))[0] / 3000, 0.25, atol=0.04)


def test_strength_is_the_amplitude_of_noise() -> None:
    x = rows(Gain(), 3)
    noise = AddNoise(10, 0)(x, seed=1, strength=torch.tensor([1.0, 0.5, 0.0])) - x
    ratio = 20 * (x.norm(dim=1) / noise.norm(dim=1)).log10()
    np.testing.assert_allclose(ratio[:2], [10, 10 + 20 * math.log10(2)], atol=0.01)


@pytest.mark.parametrize(("color", "slope"), [("white", 0.0), ("pink", -3.01)])
def test_the_color_of_noise(color: str, slope: float) -> None:
    """Power per octave of frequency, in dB: equal, or half with each."""
    x = torch.ones(20, 16000)
    noise = AddNoise(0, 0, color)(x, seed=1) - x  # type: ignore[arg-type]
    power = torch.fft.rfft(noise).abs().square().mean(0)
    octaves = [float(power[2**k : 2 ** (k + 1)].mean()) for k in range(6, 13)]
    np.testing.assert_allclose(np.diff(10 * np.log10(octaves)), slope, atol=0.5)


def test_gain_in_decibels() -> None:
    x = rows(Gain(), 500)
    ratio = Gain(6)(x, seed=1) / x
    level = 20 * ratio.log10()
    assert float((level.amax(1) - level.amin(1)).max()) < 1e-4  # one for all of a clip
    assert -6.001 < float(level.min()) < -5.9 and 5.9 < float(level.max()) < 6.001
    np.testing.assert_allclose(np.histogram(level[:, 0], 4, (-6, 6))[0] / 500, 0.25, atol=0.06)


@pytest.mark.parametrize("wrap", [False, True])
def test_shift_in_samples(wrap: bool) -> None:
    x = torch.arange(1.0, 101.0).repeat(4, 1)
    drawn = (torch.tensor([1.0, -1.0, 0.5, 0.0]),)
    found = TimeShift(0.02, wrap).apply(x, drawn, rate=1000)
    for clip, moved, by in zip(x, found, (20, -20, 10, 0), strict=True):
        expected = torch.roll(clip, by)
        if not wrap and by > 0:
            expected[:by] = 0
        if not wrap and by < 0:
            expected[by:] = 0
        assert torch.equal(moved, expected)


def test_a_shift_longer_than_the_clip_leaves_nothing() -> None:
    x = rows(Gain(), 2)
    assert (TimeShift(9.0).apply(x, (torch.ones(2),), rate=8000) == 0).all()


# --- masks -------------------------------------------------------------------------------------


def masked(kind: SpecAugment, batch: int, strength: float | Tensor = 1.0) -> tuple[Tensor, Tensor]:
    """Hidden bands (B, bands) and frames (B, frames) of one mask each."""
    found = kind(torch.ones(batch, 40, 56), seed=1, strength=strength) == 0
    return found.all(2), found.all(1)


def test_mask_widths_are_even_and_masks_lie_anywhere() -> None:
    bands, frames = masked(SpecAugment(8, 12), 9000)
    for hidden, widest in ((bands, 8), (frames, 12)):
        width = hidden.sum(1)
        counts = torch.bincount(width, minlength=widest + 1) / len(width)
        assert len(counts) == widest + 1
        np.testing.assert_allclose(counts, 1 / (widest + 1), atol=0.015)
        # One piece: it begins once.
        begins = (hidden.int().diff(dim=1) == 1).sum(1) + hidden[:, 0]
        assert torch.equal(begins, (width > 0).int())
        of_one = hidden[width == 1].float().mean(0)  # every place, the last one too
        assert float(of_one.min()) > 0.2 / hidden.shape[1]


def test_masks_are_counted() -> None:
    found = SpecAugment(1, 1, 3, 5)(torch.ones(4000, 40, 56), seed=1) == 0
    bands, frames = found.all(2).sum(1), found.all(1).sum(1)
    assert int(bands.max()) == 3 and int(frames.max()) == 5
    # Each hides a place with probability one half, unless another hides the same.
    assert float(bands.float().mean()) == pytest.approx(40 * (1 - (1 - 0.5 / 40) ** 3), rel=0.05)
    assert float(frames.float().mean()) == pytest.approx(56 * (1 - (1 - 0.5 / 56) ** 5), rel=0.05)
    assert torch.equal(SpecAugment(8, 12, 0, 0)(torch.ones(5, 4, 6), seed=1), torch.ones(5, 4, 6))


def test_masks_are_capped() -> None:
    _, frames = masked(SpecAugment(0, 100, cap=0.2), 2000)
    assert int(frames.sum(1).max()) == 11  # 0.2 · 56
    bands, frames = masked(SpecAugment(100, 100), 2000)
    assert int(bands.sum(1).max()) == 40 and int(frames.sum(1).max()) == 56


def test_strength_is_the_width_of_masks() -> None:
    strength = torch.tensor([0.0, 0.5, 1.0]).repeat_interleave(2000)
    bands, frames = masked(SpecAugment(8, 12), 6000, strength)
    assert bands.sum(1).view(3, -1).amax(1).tolist() == [0, 4, 8]
    assert frames.sum(1).view(3, -1).amax(1).tolist() == [0, 6, 12]


def test_what_is_hidden_is_zero_and_all_else_stays() -> None:
    x = rows(SpecAugment(), 50)
    x[:, 3, 4] = torch.inf
    found = SpecAugment()(x[:, None].expand(-1, 2, -1, -1), seed=1)
    assert torch.equal(found[:, 0], found[:, 1])  # all channels alike
    assert ((found[:, 0] == x) | (found[:, 0] == 0)).all()
    with pytest.raises(ValueError, match=r"bands, frames.*\(5, 7\)"):
        SpecAugment()(torch.ones(5, 7))


# --- what holds for all ------------------------------------------------------------------------


@every
def test_no_strength_changes_not_a_bit(kind: Augmentation) -> None:
    x = rows(kind, 6)
    x[2] = 0
    x[3, 5] = -0.0
    drawn = kind.draw(tuple(x.shape), torch.Generator().manual_seed(0))
    half = torch.tensor([0.0, 1.0] * 3)
    for strength in (0.0, torch.zeros(6), half):
        found = kind.apply(x, drawn, strength, 8000)
        still = slice(0, 6, 2) if strength is half else slice(None)
        assert torch.equal(found[still].view(torch.int32), x[still].view(torch.int32))
    full = kind.apply(x, drawn, 1.0, 8000)
    torch.testing.assert_close(found[1::2], full[1::2], atol=1e-6, rtol=0)
    assert not torch.equal(found[1], x[1])


@every
def test_seeds_and_examples_are_independent(kind: Augmentation) -> None:
    x = rows(kind, 1).expand(8, *[-1] * (rows(kind, 1).dim() - 1))
    before = x.clone()
    found = kind(x, seed=5, rate=8000)
    assert torch.equal(x, before)  # the batch itself is left alone
    assert torch.equal(found, kind(x, seed=5, rate=8000))
    assert not torch.equal(found, kind(x, seed=6, rate=8000))
    different = {tuple(clip.flatten().tolist()) for clip in found}
    assert len(different) >= 7  # two masks may be empty
    drawn = kind.draw(tuple(x.shape), torch.Generator().manual_seed(5))
    assert all(len(d) == 8 and d.device.type == "cpu" for d in drawn)
    for k in range(8):  # each as if it were alone
        alone = kind.apply(x[k : k + 1], tuple(d[k : k + 1] for d in drawn), rate=8000)
        torch.testing.assert_close(found[k : k + 1], alone, atol=1e-5, rtol=0)


@every_wave
@given(
    samples=st.one_of(st.integers(1, 60), st.integers(61, 3000)),
    rate=st.sampled_from([1, 100, 4000, 8000, 16000, 44100]),
    seed=st.integers(0, 99),
)
def test_any_length_and_rate(kind: Augmentation, samples: int, rate: int, seed: int) -> None:
    x = torch.randn(3, samples, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)
    x[1] = 0
    x[2, samples // 2 :] = 0
    found = kind(x, seed=seed, rate=rate)
    assert found.shape == x.shape and found.dtype == torch.float32
    assert found.isfinite().all()
    assert (found[1] == 0).all()  # silence stays silent
    assert float(found.abs().max()) < 4


@given(
    samples=st.integers(1, 2000),
    tempo=st.floats(0.25, 4.0),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
)
def test_any_tempo(samples: int, tempo: float, scale: float) -> None:
    x = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples)) * scale
    found = time_stretch(x, tempo, 8000)
    assert found.isfinite().all()
    assert abs(found.shape[1] - samples / tempo) <= 1
    assert float(found.abs().max()) < 1.5 * float(x.abs().max())  # not louder than two segments
    moved = pitch_shift(x, 12 * math.log2(tempo), 8000)
    assert moved.isfinite().all() and moved.shape == x.shape
