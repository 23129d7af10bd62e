"""Hold-outs that are unlike the data in a known way: does a gain hold away from these rows?

"If the accuracy increases, it is likely because the augmented data have some similarity to the test
dataset" (slide "Data augmentation"): a gain on the held-out rows alone may be that and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainwell.data.dataset import AudioSchema, ImageSchema, Schema
from trainwell.techniques.augment import Augment
from trainwell.techniques.augment.audio import AddNoise, PitchShift, Tempo
from trainwell.techniques.augment.images import Affine, Elastic, Rotate, Scale, Shear, Shift
from trainwell.techniques.augment.pixels import BrightnessContrast, Crop, PixelNoise
from trainwell.techniques.augment.tables import Jitter

FAR = "unlike"  # the held-out rows that lie farthest from training rows
FAR_SHARE = 0.2


@dataclass(frozen=True)
class Shifted:
    """A hold-out changed in one way; `kin`: augmentations that do the same."""

    name: str
    augment: tuple[Augment, ...]
    kin: tuple[type, ...] = ()

    def is_kin(self, augment: tuple[Augment, ...]) -> bool:
        """Whether an augmentation trains for just this shift."""
        return any(isinstance(a, self.kin) for a in augment)


def shifts(schema: Schema) -> tuple[Shifted, ...]:
    """The shifted hold-outs for a kind of data. The first is made of the held-out rows that lie
    farthest from all training rows; where folds hold out groups, all are rows of other groups."""
    far = Shifted(FAR, ())
    if isinstance(schema, ImageSchema):
        side = min(schema.height, schema.width)
        return (
            far,
            Shifted("turned", (Rotate(25),), (Rotate, Affine)),
            Shifted("moved", (Shift(0.1 * side),), (Shift, Affine, Crop)),
            Shifted("noisy", (PixelNoise(0.2),), (PixelNoise,)),
            Shifted("slanted", (Shear(20),), (Shear, Affine, Elastic, Scale)),
            Shifted("other light", (BrightnessContrast(0.3, 0.5),), (BrightnessContrast,)),
        )
    if isinstance(schema, AudioSchema):
        return (
            far,
            Shifted("noisy", (AddNoise(10, 3),), (AddNoise,)),
            Shifted("other tempo", (Tempo(1.4),), (Tempo,)),
            Shifted("other pitch", (PitchShift(4),), (PitchShift,)),
        )
    return (far, Shifted("noisy", (Jitter(0.5),), (Jitter,)))
