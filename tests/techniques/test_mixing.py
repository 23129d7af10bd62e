"""MixUp and CutMix: by hand, and measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from trainwell.techniques.augment.mixing import CutMix, Mix, MixUp

PARTNERS = torch.tensor([2, 0, 1])


@pytest.mark.parametrize("technique", [MixUp(0.2), MixUp(3.0), CutMix(1.0)])
def test_shares_follow_the_beta_distribution(technique: MixUp | CutMix) -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = [technique.draw(5, generator) for _ in range(2000)]
    shares = np.array([d.share for d in drawn])
    beta = np.random.default_rng(0).beta(technique.alpha, technique.alpha, 200_000)
    assert stats.ks_2samp(shares, np.minimum(beta, 1 - beta)).pvalue > 0.01
    partners = torch.stack([d.partner for d in drawn])
    assert (partners.sort(dim=1).values == torch.arange(5)).all()
    counts = torch.stack([partners[:, i].bincount(minlength=5) for i in range(5)])
    assert stats.chisquare(counts.numpy().ravel()).pvalue > 0.001


def test_mixup_is_the_weighted_mean_of_each_members_own_batch() -> None:
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    drawn = [Mix(PARTNERS, 0.3, (0.5, 0.5)), Mix(PARTNERS.flip(0), 0.0, (0.5, 0.5))]
    found = MixUp().apply(x, drawn)
    torch.testing.assert_close(found.x[0], 0.7 * x[0] + 0.3 * x[0][PARTNERS])
    assert torch.equal(found.x[1], x[1])  # a share of zero changes no bit
    assert found.share.tolist() == pytest.approx([0.3, 0.0])
    assert torch.equal(found.partner, torch.stack([PARTNERS, PARTNERS.flip(0)]))


@pytest.mark.parametrize("middle", [(0.5, 0.5), (0.1, 0.9), (0.0, 0.0)])
@pytest.mark.parametrize("shape", [(1, 3, 2, 20, 40), (1, 3, 40, 56)])
def test_cutmix_puts_a_rectangle_of_the_partner(
    shape: tuple[int, ...], middle: tuple[float, float]
) -> None:
    x = torch.arange(3.0).view(1, 3, *[1] * (len(shape) - 2)).expand(shape)
    found = CutMix().apply(x, [Mix(PARTNERS, 0.25, middle)])
    height, width = shape[-2:]
    for i, partner in enumerate(PARTNERS.tolist()):
        from_partner = found.x[0, i] == partner
        assert torch.equal(from_partner, found.x[0, i] != i)
        assert float(from_partner.float().mean()) == pytest.approx(float(found.share[0]))
        inside = from_partner.reshape(-1, height, width)[0]
        rows, columns = inside.any(dim=1), inside.any(dim=0)
        assert torch.equal(inside, rows[:, None] & columns[None, :])  # a rectangle
        for there, size, at in ((rows, height, middle[0]), (columns, width, middle[1])):
            expected = min(1.0, at + 0.25) - max(0.0, at - 0.25)  # half the size, cut off
            assert float(there.float().sum()) == pytest.approx(expected * size, abs=1)


def test_cutmix_of_nothing_changes_no_bit() -> None:
    x = torch.randn(1, 3, 8, 8)
    found = CutMix().apply(x, [Mix(PARTNERS, 0.0, (0.5, 0.5))])
    assert torch.equal(found.x, x) and found.share.item() == 0


def test_same_seed_same_numbers() -> None:
    one, other = (MixUp().draw(9, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one.partner, other.partner) and one[1:] == other[1:]
