"""Augmentation of tables and of features: what the numbers are, measured."""

from __future__ import annotations

import pytest
import torch

from trainwell.techniques.augment.tables import Jitter


@pytest.mark.parametrize("shape", [(400, 50), (40, 2, 30, 9)])
def test_jitter_adds_noise_of_the_given_strength(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    strength = torch.arange(len(x)).remainder(2).float()
    found = Jitter(0.3)(x, seed=1, strength=strength) - x
    assert (found[::2] == 0).all()
    assert float(found[1::2].std()) == pytest.approx(0.3, rel=0.02)
    assert float(found[1::2].mean()) == pytest.approx(0, abs=0.01)
