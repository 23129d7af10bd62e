"""Samples that networks make: a conditional GAN, and simulated pictures refined towards real ones.

Slide: "Data augmentation" (two neural networks, one makes fake pictures, one tells them from real
ones). Unlike the other augmentations these need to learn first: each fold's samples are made from
its training rows alone, before its networks train (engine/generating.py).
"""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from trainwell.callstring import check_fields
from trainwell.data.dataset import AudioSchema, ImageSchema, Schema

if TYPE_CHECKING:
    from trainwell.data.dataset import IntArray
    from trainwell.techniques.augment.samples import Rows, Samples

MOST_PIXELS = 64  # of a side


class SampleMaker(ABC):
    """An augmentation that makes new rows with labels from training rows, once."""

    ratio: float
    kinds: ClassVar[tuple[str, ...]]

    @abstractmethod
    def make(self, rows: Rows, seed: int) -> Samples:
        """New rows, and a report about them, from these training rows and nothing else."""

    def mistake(self, schema: Schema) -> str:
        """Why it cannot be used on such data; "" where it can."""
        name = type(self).__name__
        if isinstance(schema, AudioSchema):
            return f"{name} is not offered for sound; use AddNoise, Tempo or SpecAugment"
        if schema.kind not in self.kinds:
            return f"{name} needs {' or '.join(self.kinds)}, the data are {schema.kind}"
        if isinstance(schema, ImageSchema) and max(schema.height, schema.width) > MOST_PIXELS:
            size = f"{schema.height} × {schema.width}"
            limit = f"{MOST_PIXELS} × {MOST_PIXELS}"
            return f"{name} is for pictures up to {limit}, got {size}; give --image-size"
        return ""

    def wanted(self, labels: IntArray, classes: int) -> IntArray:
        """How many samples of each class (C,): ratio times its rows."""
        import numpy as np

        counts = np.bincount(labels, minlength=classes)
        return np.round(self.ratio * counts).astype(np.int64)


@dataclass(frozen=True)
class Gan(SampleMaker):
    """Add samples that a generative adversarial network makes of the training rows.

    Equation: G(z, y) makes a row of class y from noise z, D(x, y) says whether x is real; hinge
    losses L_D = E max(0, 1 - D(x, y)) + E max(0, 1 + D(G(z, y), y)) and L_G = -E D(G(z, y), y). For
    small sets: real and made rows are changed alike before D sees them (DiffAugment), D has
    spectral norm, rows come from a moving average of G. ratio: samples per training row; latent:
    size of z; width: of the networks; steps, batch, lr: of their training. A sample is kept where
    a reference classifier trained on the same rows gives its label at least the probability
    `agree`, and where it is no near-copy of a training row; with too few left, or where they teach
    next to nothing, none is added, and training says so. Shapes: pictures (n, C, H, W) up to 64 ×
    64, or tables (n, D), to (ratio · n, ...). An epoch keeps its length: with ratio 1 every other
    row it shows is made. When to use: seldom. A GAN knows nothing but the rows you have, and what
    it adds is mostly less than what shifting or bending them adds; compare before you believe it
    (trainwell compare). Defaults: as much made as real, 1500 steps (about half a minute for 1000
    pictures of 28 × 28 on one core).
    Source: slide "Data augmentation"; Goodfellow et al. 2014; Zhao et al. 2020; Miyato et al. 2018.

    >>> import numpy as np
    >>> Gan(ratio=2).wanted(np.array([0, 0, 1]), classes=2)
    array([4, 2])
    """

    ratio: Annotated[float, Gt(0), Le(20)] = 1.0
    steps: Annotated[int, Ge(1)] = 1500
    latent: Annotated[int, Ge(1)] = 32
    width: Annotated[int, Ge(8)] = 32
    batch: Annotated[int, Ge(2)] = 32
    lr: Annotated[float, Gt(0)] = 1e-3
    agree: Annotated[float, Ge(0), Le(1)] = 0.5
    kinds: ClassVar[tuple[str, ...]] = ("images", "table")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.width % 8:
            object.__setattr__(self, "width", 8 * (self.width // 8))  # groups of a norm

    def make(self, rows: Rows, seed: int) -> Samples:
        """Train on these rows, draw, and keep what passes; see the class."""
        from trainwell.techniques.augment.gan import Plan
        from trainwell.techniques.augment.samples import generated

        began = time.monotonic()
        plan = Plan(self.steps, self.latent, self.width, self.batch, self.lr)
        wanted = self.wanted(rows.labels, len(rows.classes))
        found = generated(rows, plan, wanted, self.agree, seed)
        return found.timed(time.monotonic() - began)


@dataclass(frozen=True)
class Refine(SampleMaker):
    """Add simulated pictures that a network has refined towards real ones.

    Equation: the refiner R minimises E[-log(1 - D(R(x)))] + λ E|R(x) - x| over simulated pictures
    x, the discriminator D tells patches of R(x) from those of real pictures; D's batches are half
    from a history of refined ones; λ = keep. The label is the simulator's: a GAN has to guess it,
    a simulator knows it. simulated: "digits" writes the digits 0 to 9 in a typeface as high as
    those of the real pictures; else labelled pictures of the same form, as a file or folder that
    trainwell reads. real: pictures without labels to refine towards; "" takes the training rows.
    Samples are filtered as those of Gan are. keep: small lets R change more, up to other labels.
    Shapes: pictures (n, C, H, W), up to ratio · n are added. When to use: you have a simulator,
    few labelled and many unlabelled pictures.
    Source: slide "Data augmentation"; Shrivastava et al. 2017 (SimGAN).

    >>> Refine(ratio=0.5).simulated
    'digits'
    """

    simulated: str = "digits"
    real: str = ""
    ratio: Annotated[float, Gt(0), Le(20)] = 1.0
    steps: Annotated[int, Ge(1)] = 400
    keep: Annotated[float, Ge(0)] = 0.3
    width: Annotated[int, Ge(4)] = 16
    lr: Annotated[float, Gt(0)] = 1e-3
    agree: Annotated[float, Ge(0), Le(1)] = 0.5
    kinds: ClassVar[tuple[str, ...]] = ("images",)

    def __post_init__(self) -> None:
        check_fields(self)

    def make(self, rows: Rows, seed: int) -> Samples:
        """Simulate or read, refine, and keep what passes; see the class."""
        from trainwell.techniques.augment.samples import refined

        began = time.monotonic()
        wanted = self.wanted(rows.labels, len(rows.classes))
        options = dataclasses.asdict(self)
        del options["ratio"]
        found = refined(rows, wanted, seed=seed, **options)
        return found.timed(time.monotonic() - began)


Generated = Gan | Refine
