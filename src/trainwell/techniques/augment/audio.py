"""Augmentation of sound clips, and of their spectrograms. Slide: "Data augmentation".

Clips (B, T) in [-1, 1] of unequal length end in added zeros; every technique leaves a silent clip
silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from trainwell.callstring import check_fields
from trainwell.techniques.augment.base import Augmentation, Place, column

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class AddNoise(Augmentation):
    """Add noise to sound clips, at a signal-to-noise ratio drawn for each clip.

    Equation: x' = x + strength · σ ε, with σ such that 20 log10(rms(x) / rms(σ ε)) is a level
    drawn evenly from snr_db ± spread_db. ε is Gaussian: "white" (equal power at all frequencies:
    hiss) or "pink" (power as 1 / f, level below 20 Hz: closer to rooms and streets). Both rms are
    taken between the first and the last sample that is not 0, and the noise ends there too: a
    noisy recording is padded with silence just as a clean one. Half the strength is 6 dB less
    noise. Shapes: (B, T) to the same. Default 20 ± 10 dB, from hardly heard to a loud room.
    Use it where new clips will be noisier than the training clips. Not much below 10 dB, unless
    they will be so: at 0 dB what sets the classes apart begins to drown.
    Source: slide "Data augmentation" (add noise); levels as usual with MUSAN (Snyder et al. 2015).

    >>> import torch
    >>> tone = torch.sin(torch.arange(8000) * 0.3)[None]
    >>> noise = AddNoise(snr_db=10, spread_db=0)(tone, seed=1) - tone
    >>> round(float(20 * torch.log10(tone.norm() / noise.norm())), 2)
    10.0
    """

    snr_db: Annotated[float, Ge(-60), Le(120)] = 20.0
    spread_db: Annotated[float, Ge(0), Le(60)] = 10.0
    color: Literal["white", "pink"] = "white"
    acts_on: ClassVar[Place] = "clips"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Normal numbers (B, T), and one from [-1, 1) for the level of each clip, (B,)."""
        import torch

        return torch.randn(shape, generator=generator), _even(shape[0], generator)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The noisy clips; see Augmentation."""
        import torch

        noise, level = drawn
        if self.color == "pink":
            noise = _pink(noise, rate)
        noise = noise * _sounding(x)
        loudness = x.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
        snr = self.snr_db + self.spread_db * level[:, None]
        sigma = loudness.nan_to_num(0.0, 0.0, 0.0) * 10 ** (-snr / 20)
        by = column(strength, x)
        made = torch.addcmul(x, noise, sigma * by)
        return torch.where(torch.as_tensor(by, device=x.device) == 0, x, made)


@dataclass(frozen=True)
class PitchShift(Augmentation):
    """Raise or lower the pitch of sound clips, at the same tempo and length.

    Equation: every frequency f becomes f · 2^(s / 12), s = strength · semitones · u, u drawn
    evenly from [-1, 1] for each clip. The clip is resampled by this factor, which changes pitch
    and tempo, then stretched back in time (see stretch.py). Formants move with the pitch: a
    larger or smaller speaker. Shapes: (B, T) to the same. Default 2 semitones: voices of one kind
    differ by more, so that speech stays natural; 4 turns a man's voice toward a woman's.
    Use it where pitch does not tell the classes apart; not for notes, tones of a language, or to
    know a speaker. Cost: about twice that of Tempo.
    Source: slide "Data augmentation" (raise or lower pitch, spectral scaling); Salamon and
    Bello 2017; Verhelst and Roelands 1993.

    >>> import torch
    >>> tone = torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)[None]
    >>> up = PitchShift(2).apply(tone, (torch.ones(1),))
    >>> up.shape, int(torch.fft.rfft(up[0]).abs().argmax())  # 440 · 2^(2 / 12) = 493.9
    (torch.Size([1, 16000]), 494)
    """

    semitones: Annotated[float, Ge(0), Le(24)] = 2.0
    acts_on: ClassVar[Place] = "clips"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """A number from [-1, 1) for each clip, (B,)."""
        return (_even(shape[0], generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The shifted clips; see Augmentation."""
        from trainwell.techniques.augment.stretch import pitch_shift

        return pitch_shift(x, drawn[0] * strength * self.semitones, rate)


@dataclass(frozen=True)
class Tempo(Augmentation):
    """Play sound clips faster or slower, at the same pitch.

    Equation: the tempo of each clip is rate^(strength · u), u drawn evenly from [-1, 1], so from
    1 / rate to rate, with faster and slower equally likely. Shapes: (B, T) to the same: the end
    of a slower clip is cut off, a faster one ends in zeros; `time_stretch` gives the whole clip.
    Default 1.25, as people speak when slow or in a hurry; beyond 1.5 speech sounds made.
    Use it where duration does not tell the classes apart; where slow clips would lose what
    matters at their end, leave silence behind it. Music in chords gets rough (see stretch.py).
    Source: slide "Data augmentation" (increase or decrease tempo, temporal scaling); Ko et al.
    2015; Verhelst and Roelands 1993.

    >>> import torch
    >>> tone = torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)[None]
    >>> quick = Tempo(1.25).apply(tone, (torch.ones(1),))
    >>> int(quick.nonzero()[-1, 1]) + 1, int(torch.fft.rfft(quick[0]).abs().argmax())
    (12800, 440)
    """

    rate: Annotated[float, Ge(1), Le(4)] = 1.25
    acts_on: ClassVar[Place] = "clips"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """A number from [-1, 1) for each clip, (B,)."""
        return (_even(shape[0], generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The faster and slower clips; see Augmentation."""
        from trainwell.techniques.augment.stretch import time_stretch

        return time_stretch(x, self.rate ** (drawn[0] * strength), rate, x.shape[1])


@dataclass(frozen=True)
class Gain(Augmentation):
    """Make sound clips louder or softer.

    Equation: x' = x · 10^(g / 20), g = strength · db · u, u drawn evenly from [-1, 1] for each
    clip. Shapes: (B, T) to the same. Values may leave [-1, 1]; they are not clipped, since that
    would distort. Default 6 dB: twice or half the amplitude, as a microphone nearer or farther.
    Use it where the network sees loudness; LogMel measures from each clip's own peak, so behind it
    Gain does nothing.
    Source: slide "Data augmentation"; SoX, effect gain.

    >>> import torch
    >>> Gain(6.0206).apply(torch.tensor([[0.1, 0.2]]), (torch.ones(1),))
    tensor([[0.2000, 0.4000]])
    """

    db: Annotated[float, Ge(0), Le(60)] = 6.0
    acts_on: ClassVar[Place] = "clips"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """A number from [-1, 1) for each clip, (B,)."""
        return (_even(shape[0], generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The louder and softer clips; see Augmentation."""
        gain: Tensor = 10 ** (drawn[0] * strength * (self.db / 20))
        return x * gain[:, None]


@dataclass(frozen=True)
class TimeShift(Augmentation):
    """Move sound clips to earlier or later.

    Equation: x'[t] = x[t - n], n = strength · seconds · u in whole samples, u drawn evenly from
    [-1, 1] for each clip. What has no source is 0, and what leaves the clip is lost; with `wrap`
    it comes in again at the other end, which keeps all sound but may cut a word in two. Shapes:
    (B, T) to the same. Default 0.1 s: about one sound of speech, and as inexactly as people cut
    clips. Use it where clips do not all begin at the same point of the event; not with networks
    that cannot see where it stands (convolutions and a mean over all frames): they gain nothing.
    Source: slide "Data augmentation"; Salamon and Bello 2017 (position of the window).

    >>> import torch
    >>> TimeShift(2.0).apply(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), (torch.ones(1),), rate=1)
    tensor([[0., 0., 1., 2.]])
    """

    seconds: Annotated[float, Ge(0), Le(3600)] = 0.1
    wrap: bool = False
    acts_on: ClassVar[Place] = "clips"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """A number from [-1, 1) for each clip, (B,)."""
        return (_even(shape[0], generator),)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The moved clips; see Augmentation."""
        import torch

        from trainwell.techniques.augment.stretch import windows

        samples = x.shape[1]
        later = (drawn[0] * strength * (self.seconds * rate)).round().long()[:, None]
        if self.wrap:
            twice = torch.cat([x, x], dim=1)
            return windows(twice, (-later).remainder(samples), samples)[:, 0]
        most = samples  # as much silence as can be needed
        if isinstance(strength, int | float):
            most = min(samples, 1 + int(abs(strength) * self.seconds * rate))
        padded = torch.nn.functional.pad(x, (most, most))
        return windows(padded, most - later.clamp(-most, most), samples)[:, 0]


@dataclass(frozen=True)
class SpecAugment(Augmentation):
    """Hide bands and stretches of time of a spectrogram, in each example others.

    Equation: a mask covers w bands from band b on: w drawn evenly from 0, 1, ..., strength ·
    frequency, b evenly from all places where w bands fit; likewise in time, where w is also at
    most cap · frames. `frequency_masks` and `time_masks` masks each, which may overlap. It acts
    behind the pre-processing, and what it hides becomes 0: let Standardize come last there, so
    that 0 is the mean. The paper's time warping is left out: it costs most and gives least.
    Shapes: features (B, ..., bands, frames) to the same. Default one mask of at most 8 bands, a
    fifth of LogMel's 40, and one of at most 12 frames, 0.12 s; larger masks make a network underfit
    that is small or trained briefly. Use it for large networks that overfit; not on tables or
    waveforms, where neighbours mean nothing.
    Source: slide "Data augmentation"; Park et al. 2019 (SpecAugment).

    >>> import torch
    >>> SpecAugment(frequency=2, time=2)(torch.ones(1, 3, 6), seed=2)
    tensor([[[1., 1., 0., 1., 1., 1.],
             [0., 0., 0., 0., 0., 0.],
             [1., 1., 0., 1., 1., 1.]]])
    """

    frequency: Annotated[int, Ge(0)] = 8  # bands
    time: Annotated[int, Ge(0)] = 12  # frames
    frequency_masks: Annotated[int, Ge(0)] = 1
    time_masks: Annotated[int, Ge(0)] = 1
    cap: Annotated[float, Ge(0), Le(1)] = 1.0  # share of the frames that one mask may cover
    acts_on: ClassVar[Place] = "features"

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Numbers from [0, 1) for the width and place of each mask: (B, masks, 2), twice."""
        import torch

        if len(shape) < 3:
            raise ValueError(f"SpecAugment needs features (B, bands, frames), got shape {shape}")
        masks = (self.frequency_masks, self.time_masks)
        bands, frames = (torch.rand(shape[0], m, 2, generator=generator) for m in masks)
        return bands, frames

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The masked features; see Augmentation."""
        in_bands, in_frames = drawn
        bands, frames = x.shape[-2:]
        high = _hidden(in_bands, bands, self.frequency, bands, strength)
        wide = _hidden(in_frames, frames, self.time, int(self.cap * frames), strength)
        hidden = high[:, :, None] | wide[:, None, :]
        between = [1] * (x.dim() - 3)  # channels, if any, are hidden together
        return x.masked_fill(hidden.view(len(x), *between, bands, frames), 0.0)


def _hidden(drawn: Tensor, size: int, widest: int, cap: int, strength: float | Tensor) -> Tensor:
    """Which of `size` places the masks of each example cover: (B, masks, 2) to (B, size)."""
    import torch

    most = torch.as_tensor(strength, device=drawn.device, dtype=drawn.dtype).view(-1, 1) * widest
    width = (drawn[:, :, 0] * (most.floor().clamp(0, min(cap, size)) + 1)).floor()
    start = (drawn[:, :, 1] * (size - width + 1)).floor()
    place = torch.arange(size, device=drawn.device)
    inside = (place >= start[:, :, None]) & (place < (start + width)[:, :, None])
    return inside.any(1)


def _even(batch: int, generator: torch.Generator) -> Tensor:
    """Numbers spread evenly over [-1, 1), (B,)."""
    import torch

    return torch.rand(batch, generator=generator) * 2 - 1


def _sounding(x: Tensor) -> Tensor:
    """Whether a sample lies between the first and the last of its clip that are not 0; (B, T)."""
    import torch

    samples = x.shape[1]
    n = torch.arange(samples, device=x.device, dtype=torch.int32)
    sound = x != 0
    last = torch.where(sound, n, -1).amax(1, keepdim=True)
    first = torch.where(sound, n, samples).amin(1, keepdim=True)
    return (n >= first) & (n <= last)


def _pink(noise: Tensor, rate: int) -> Tensor:
    """White noise (B, T) filtered to power 1 / f above 20 Hz; no constant part."""
    import torch

    samples = noise.shape[1]
    hertz = torch.fft.rfftfreq(samples, 1 / rate, device=noise.device)
    shape = hertz.clamp(min=20.0).rsqrt() * (hertz > 0)
    pink: Tensor = torch.fft.irfft(torch.fft.rfft(noise) * shape, samples)
    return pink


AudioAugment = AddNoise | PitchShift | Tempo | Gain | TimeShift | SpecAugment
