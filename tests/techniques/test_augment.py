"""Augmentations against their formulas, for members with different strengths."""

from __future__ import annotations

import pytest
import torch

from trainwell.techniques.augment.tables import Jitter


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 2, 6, 6)])
def test_jitter_adds_noise_of_the_given_strength(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    kept = x.clone()
    strength = torch.tensor([0.0, 0.1, 2.0])
    found = Jitter.apply(x, strength, noise)
    assert torch.equal(x, kept)  # the inputs may be shared with other members
    assert torch.equal(found[0], x[0])
    for k, s in enumerate(strength):
        torch.testing.assert_close(found[k], x[k] + s * noise[k])


def test_jitter_has_its_standard_deviation() -> None:
    noise = torch.randn(1, 400, 50, generator=torch.Generator().manual_seed(1))
    found = Jitter.apply(torch.zeros(1, 400, 50), torch.tensor([0.3]), noise)
    assert float(found.std()) == pytest.approx(0.3, rel=0.02)
