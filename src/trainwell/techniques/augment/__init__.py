"""Augmentation: changed copies of training rows, made anew in every step, never at prediction."""

from trainwell.techniques.augment.audio import AudioAugment
from trainwell.techniques.augment.mixing import CutMix, MixUp
from trainwell.techniques.augment.tables import Jitter

Augment = AudioAugment | Jitter | MixUp | CutMix
