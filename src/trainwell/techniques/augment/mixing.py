"""Augmentation that mixes examples of a batch, and their labels. Slide: "Data augmentation".

Acts on the features, behind every other augmentation. `draw` makes the random numbers of one
member's batch; `apply` mixes the batches of K members, each within itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

from annotated_types import Gt

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Mix(NamedTuple):
    """Random numbers of one batch: partners (B,), their share, and the middle of a rectangle."""

    partner: Tensor  # (B,), positions in the batch
    share: float  # of the partner, in [0, 1/2]
    middle: tuple[float, float]  # in units of height and width


class Mixed(NamedTuple):
    """Mixed inputs (K, B, ...), partners (K, B), and the share (K,) of the partner's label."""

    x: Tensor
    partner: Tensor
    share: Tensor


@dataclass(frozen=True)
class MixUp:
    """Train on weighted means of two examples and of their labels.

    Equation: x' = (1 - s) x + s x_j, loss (1 - s) L(y) + s L(y_j), with s = min(λ, 1 - λ), λ ~
    Beta(α, α), α = alpha, one s and one random partner j per example for each batch. Smooths the
    outputs between classes: helps against overfitting and noisy labels, and makes probabilities
    timid. Default α = 0.2 (0.1 to 0.4 in the paper). Shapes: (K, B, ...) to the same.
    Source: slide "Data augmentation"; Zhang et al. 2018.

    >>> import torch
    >>> mix = Mix(torch.tensor([1, 0]), 0.25, (0.5, 0.5))
    >>> MixUp().apply(torch.tensor([[[0.0], [4.0]]]), [mix]).x
    tensor([[[1.],
             [3.]]])
    """

    alpha: Annotated[float, Gt(0)] = 0.2

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, batch: int, generator: torch.Generator) -> Mix:
        """Partners and share for a batch of so many examples."""
        return _draw(self.alpha, batch, generator)

    def apply(self, x: Tensor, drawn: list[Mix]) -> Mixed:
        """The mixed batches of K members (K, B, ...), with one drawing each."""
        partner, share, other = _partners(x, drawn)
        return Mixed(x.lerp(other, share.view(-1, *[1] * (x.dim() - 1))), partner, share)


@dataclass(frozen=True)
class CutMix:
    """Put a rectangle of another example's picture into each picture, and mix the labels.

    Equation: x' = x outside of a rectangle, x_j inside; the label of x_j counts by the area s of
    the rectangle, s = min(λ, 1 - λ), λ ~ Beta(α, α), α = alpha. The rectangle has the picture's
    proportions; its middle is uniform over the picture, what lies outside is cut off (and s is what
    is left). For pictures and spectrograms whose label shows in many places; a digit cut in two may
    be another digit. Default α = 1, the paper's. Shapes: (K, B, ..., H, W) to the same.
    Source: slide "Data augmentation"; Yun et al. 2019.

    >>> import torch
    >>> mix = Mix(torch.tensor([1, 0]), 0.25, (0.5, 0.5))
    >>> pair = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    >>> CutMix().apply(pair, [mix]).x[0, 0]
    tensor([[0., 0., 0., 0.],
            [0., 1., 1., 0.],
            [0., 1., 1., 0.],
            [0., 0., 0., 0.]])
    """

    alpha: Annotated[float, Gt(0)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, batch: int, generator: torch.Generator) -> Mix:
        """Partners, area and middle for a batch of so many examples."""
        return _draw(self.alpha, batch, generator)

    def apply(self, x: Tensor, drawn: list[Mix]) -> Mixed:
        """The mixed batches of K members (K, B, ..., H, W), with one drawing each."""
        import torch

        partner, area, other = _partners(x, drawn)
        height, width = x.shape[-2:]
        middle = torch.tensor([m.middle for m in drawn], device=x.device)
        inside = []
        for axis, size in enumerate((height, width)):
            half = 0.5 * area.sqrt() * size
            place = torch.arange(size, device=x.device) + 0.5
            inside.append((place - middle[:, axis : axis + 1] * size).abs() < half[:, None])
        box = inside[0][:, :, None] & inside[1][:, None, :]  # (K, H, W)
        wide = box.view(len(x), *[1] * (x.dim() - 3), height, width)
        return Mixed(torch.where(wide, other, x), partner, box.float().mean(dim=(1, 2)))


def _draw(alpha: float, batch: int, generator: torch.Generator) -> Mix:
    import torch
    from scipy.special import betaincinv

    partner = torch.randperm(batch, generator=generator)
    level, *middle = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    share = float(betaincinv(alpha, alpha, level))  # Beta(α, α) from a uniform number
    return Mix(partner, min(share, 1 - share), (middle[0], middle[1]))


def _partners(x: Tensor, drawn: list[Mix]) -> tuple[Tensor, Tensor, Tensor]:
    """Partners (K, B), shares (K,) and the partners' inputs (K, B, ...)."""
    import torch

    partner = torch.stack([m.partner for m in drawn]).to(x.device)
    share = torch.tensor([m.share for m in drawn], device=x.device)
    members = torch.arange(len(x), device=x.device)[:, None]
    return partner, share, x[members, partner]
