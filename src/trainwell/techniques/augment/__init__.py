"""Augmentation: changed copies of training rows, made anew in every step, never at prediction."""

from trainwell.techniques.augment.audio import AudioAugment
from trainwell.techniques.augment.tables import Jitter

Augment = Jitter | AudioAugment
