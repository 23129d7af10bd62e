"""Augmentation: changed copies of training rows, made anew in every step, never at prediction."""

from trainwell.techniques.augment.audio import AudioAugment
from trainwell.techniques.augment.generated import Gan, Refine
from trainwell.techniques.augment.images import Affine, Elastic, Rotate, Scale, Shear, Shift
from trainwell.techniques.augment.mixing import CutMix, MixUp
from trainwell.techniques.augment.own import Own
from trainwell.techniques.augment.pixels import BrightnessContrast, Crop, Erase, Flip, PixelNoise
from trainwell.techniques.augment.tables import Jitter

PictureAugment = (
    Shift
    | Rotate
    | Scale
    | Shear
    | Affine
    | Elastic
    | Flip
    | Crop
    | PixelNoise
    | Erase
    | BrightnessContrast
)
Augment = PictureAugment | AudioAugment | Jitter | MixUp | CutMix | Own | Gan | Refine
