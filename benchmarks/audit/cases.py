"""The planted cases: scene, augmentation, and the verdicts that are right.

Development cases were looked at while the audit was built; those held out were run once. Truth
stands here beforehand: by construction (a flip that makes other letters, copies of held-out rows,
noise below a step of the values), or from the field's own measurements (shift, affine and elastic
distortion on few handwritten digits).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.audit import scenes
from benchmarks.audit.scenes import Scene
from trainwell.auditing.subjects import SampleMaker, Samples
from trainwell.data.dataset import Dataset, IntArray
from trainwell.techniques.augment.audio import AddNoise, Gain, PitchShift, Tempo, TimeShift
from trainwell.techniques.augment.images import Affine, Elastic, Rotate, Shift
from trainwell.techniques.augment.pixels import BrightnessContrast, Flip, PixelNoise
from trainwell.techniques.augment.tables import Jitter

HELPS, USELESS = ("helps",), ("useless",)
BREAKS, LEAKS = ("breaks labels",), ("leaks",)
HARMFUL = ("harmful", "breaks labels")  # both say: leave it; which of them, the cause decides
NO_GAIN = ("useless", "not shown", "harmful")  # nothing to be gained, and no label broken


@dataclass(frozen=True, eq=False)
class Case:
    """One augmentation in a scene. kind: helpful, useless, harmful, label-breaking, leaking."""

    name: str
    kind: str
    thing: Any
    right: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Group:
    """Cases of one scene, audited together."""

    name: str
    family: str  # pictures, sound, tables
    half: str  # development, held-out
    build: Callable[[], Scene]
    cases: Callable[[Scene], list[Case]]


# ---- things that are planted --------------------------------------------------------------------


def turned(x: torch.Tensor) -> torch.Tensor:
    """Pictures upside down: a 6 becomes a 9."""
    return torch.rot90(x, 2, (-2, -1))


def upside_down_half(x: torch.Tensor) -> torch.Tensor:
    """Every second picture upside down."""
    turn = (torch.rand(len(x)) < 0.5).view(-1, 1, 1, 1)
    return torch.where(turn, torch.rot90(x, 2, (-2, -1)), x)


def inverted(x: torch.Tensor) -> torch.Tensor:
    """Negatives of pictures."""
    return 1 - x


def opposite(x: torch.Tensor) -> torch.Tensor:
    """A table's numbers with their signs turned: each class becomes the one opposite."""
    return -x


def rough_column(x: torch.Tensor) -> torch.Tensor:
    """Noise on a table's first column."""
    x[:, 0] += 5.0 * torch.randn(len(x))
    return x


def same(x: torch.Tensor) -> torch.Tensor:
    """Nothing."""
    return x


def duplicates() -> SampleMaker:
    """The training rows once more."""

    def make(data: Dataset, rows: IntArray, seed: int) -> tuple[Any, IntArray]:
        return data.inputs[rows], data.labels[rows]

    return SampleMaker("duplicates", make)


def mislabelled() -> SampleMaker:
    """The training rows once more, with the label of the next class."""

    def make(data: Dataset, rows: IntArray, seed: int) -> tuple[Any, IntArray]:
        return data.inputs[rows], (data.labels[rows] + 1) % len(data.classes)

    return SampleMaker("wrong labels", make)


def near_copies(scene: Scene, noise: float, seed: int, share: float = 1.0) -> Samples:
    """Held-out rows of all folds, with a little noise: the answers."""
    rows = np.concatenate([f.validation for f in scene.split.folds])
    rows = rows[: round(share * len(rows))]
    x, rng = scene.data.inputs[rows], np.random.default_rng(seed)
    spread = noise * float(x.astype(np.float64).std())
    made = x + spread * rng.normal(size=x.shape)
    if x.dtype != np.float32:
        limits = np.iinfo(x.dtype)
        made = made.round().clip(limits.min, limits.max)
    return Samples("near copies", made.astype(x.dtype), scene.data.labels[rows])


def fresh(scene: Scene, count: int) -> Samples:
    """Rows that no fold uses: what more data would be."""
    rows = np.arange(len(scene.data))
    held = np.concatenate([f.validation for f in scene.split.folds])
    left = np.setdiff1d(rows, held)[:count]
    return Samples("more rows", scene.data.inputs[left], scene.data.labels[left])


# ---- cases --------------------------------------------------------------------------------------


def on_digits(scene: Scene) -> list[Case]:
    return [
        Case("noise below a step", "useless", PixelNoise(0.001), USELESS),
        Case("duplicates", "useless", duplicates(), USELESS),
        Case("turned by 180°", "label-breaking", turned, BREAKS),
        Case("half of them turned by 180°", "label-breaking", upside_down_half, BREAKS),
        Case("wrong labels", "label-breaking", mislabelled(), BREAKS),
        Case("near copies of held-out rows", "leaking", near_copies(scene, 0.05, 1), LEAKS),
        Case("left and right swapped", "harmful", Flip(probability=1.0), HARMFUL),
    ]


def on_mnist(scene: Scene) -> list[Case]:
    return [
        Case("noise below a step", "useless", PixelNoise(0.0005), USELESS),
        Case("brightness below a step", "useless", BrightnessContrast(0.0005, 0.0005), USELESS),
        Case("duplicates", "useless", duplicates(), USELESS),
        Case("left and right swapped, half of them", "harmful", Flip(), HARMFUL),
        Case("half of them turned by 180°", "label-breaking", upside_down_half, BREAKS),
        Case("turned by any angle", "harmful", Rotate(180), HARMFUL),
        Case("turned by 180°", "label-breaking", turned, BREAKS),
        Case("wrong labels", "label-breaking", mislabelled(), BREAKS),
        Case("near copies of held-out rows", "leaking", near_copies(scene, 0.05, 2), LEAKS),
    ]


def on_long_mnist(scene: Scene) -> list[Case]:
    return [
        Case("shift", "helpful", Shift(2), HELPS),
        Case("affine", "helpful", Affine(), HELPS),
        Case("elastic", "helpful", Elastic(34, 4), HELPS),
    ]


def on_fashion(scene: Scene) -> list[Case]:
    return [
        Case("nothing (own function)", "useless", same, USELESS),
        Case("duplicates", "useless", duplicates(), USELESS),
        Case("turned by 180°", "harmful", turned, HARMFUL),
        Case("noise that drowns", "harmful", PixelNoise(1.5), HARMFUL),
        Case("wrong labels", "label-breaking", mislabelled(), BREAKS),
        Case("near copies of held-out rows", "leaking", near_copies(scene, 0.05, 3), LEAKS),
    ]


def of_test(name: str, thing: Any) -> Callable[[Scene], list[Case]]:
    """One case: the augmentation that the changed test asks for."""
    return lambda scene: [Case(name, "helpful", thing, HELPS)]


def on_speech(scene: Scene) -> list[Case]:
    return [
        Case("noise that is not heard", "useless", AddNoise(100, 0), USELESS),
        Case("loudness, which LogMel takes away", "useless", Gain(6), USELESS),
        Case("moved by less than a sample", "useless", TimeShift(0.00001), USELESS),
        Case("duplicates", "useless", duplicates(), USELESS),
        Case("pitch ± 12 semitones", "harmful", PitchShift(12), HARMFUL),
        Case("noise that drowns", "harmful", AddNoise(-15, 0), HARMFUL),
        Case("wrong labels", "label-breaking", mislabelled(), BREAKS),
        Case("near copies of held-out clips", "leaking", near_copies(scene, 0.02, 4), LEAKS),
    ]


def on_clouds(scene: Scene) -> list[Case]:
    return [
        Case("noise of a thousandth", "useless", Jitter(0.001), USELESS),
        Case("duplicates", "useless", duplicates(), USELESS),
        Case("nothing (own function)", "useless", same, USELESS),
        Case("noise that drowns", "harmful", Jitter(8.0), HARMFUL),
        Case("signs turned", "label-breaking", opposite, BREAKS),
        Case("wrong labels", "label-breaking", mislabelled(), BREAKS),
        Case("near copies of held-out rows", "leaking", near_copies(scene, 0.02, 5), LEAKS),
    ]


def on_letters(scene: Scene) -> list[Case]:
    return [
        Case("noise of a thousandth", "useless", Jitter(0.001), USELESS),
        Case("duplicates", "useless", duplicates(), USELESS),
        Case("noise that drowns", "harmful", Jitter(3.0), HARMFUL),
        Case("wrong labels", "label-breaking", mislabelled(), BREAKS),
        Case("near copies of held-out rows", "leaking", near_copies(scene, 0.02, 6), LEAKS),
    ]


def groups() -> list[Group]:
    """All cases, by scene. A held-out scene has other rows, and for sound other speakers."""
    found = []
    for half, seed in (("development", 0), ("held-out", 101)):
        found += [
            Group("digits", "pictures", half, lambda s=seed: scenes.digits(s), on_digits),
            Group("mnist", "pictures", half, lambda s=seed: scenes.mnist(s), on_mnist),
            Group("long", "pictures", half, lambda s=seed: scenes.long_mnist(s), on_long_mnist),
            Group(
                "noisy test",
                "pictures",
                half,
                lambda s=seed: scenes.mnist(s, PixelNoise(0.4), "mnist, noisy test"),
                of_test("noise, the test is noisy", PixelNoise(0.4)),
            ),
            Group(
                "turned test",
                "pictures",
                half,
                lambda s=seed: scenes.mnist(s, Rotate(40), "mnist, turned test"),
                of_test("rotation, the test is turned", Rotate(40)),
            ),
            Group("speech", "sound", half, lambda s=seed: scenes.spoken(s), on_speech),
            Group(
                "other pitch",
                "sound",
                half,
                lambda s=seed: scenes.spoken(s, PitchShift(7), "fsdd, other voices"),
                of_test("pitch, the test has other voices", PitchShift(7)),
            ),
            Group(
                "other tempo",
                "sound",
                half,
                lambda s=seed: scenes.spoken(s, Tempo(1.8), "fsdd, other tempo"),
                of_test("tempo, the test is faster and slower", Tempo(1.8)),
            ),
            Group(
                "noisy rooms",
                "sound",
                half,
                lambda s=seed: scenes.spoken(s, AddNoise(5, 0), "fsdd, noisy rooms"),
                of_test("noise, the test is noisy", AddNoise(8, 6)),
            ),
            Group("clouds", "tables", half, lambda s=seed: scenes.cloud_scene(s), on_clouds),
            Group(
                "rough test",
                "tables",
                half,
                lambda s=seed: scenes.fragile(s),
                of_test("noise on a column that is rough in the test (own function)", rough_column),
            ),
        ]
    found += [
        Group(
            "fashion",
            "pictures",
            "held-out",
            lambda: scenes.mnist(5, None, "fashion_mnist", "fashion_mnist"),
            on_fashion,
        ),
        Group("letter", "tables", "held-out", lambda: scenes.letters(5), on_letters),
    ]
    return found
