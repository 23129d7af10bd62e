"""Regularisation: global, not per layer, and never on biases or batch-norm parameters.

Slides: "Regularization", "Dropout". L1 and L2 act on the gradient, max norm on the weights after
the update, dropout inside the network, label smoothing in the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Lt

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class L1:
    """Pull every weight towards zero by the same amount, whatever its size (Lasso).

    Equation: loss + λ Σ |w|, hence gradient + λ sign(w), with λ = strength. Small weights end at
    zero or move around it, large ones stay: few inputs are used. Biases and norm parameters are
    left alone. Default 1e-5: mild, since the pull does not fade; 1e-4 for a few hundred examples.
    Source: slide "Regularization" (L1 norm, Lasso); CS231n notes, part 2.

    >>> import torch
    >>> grad = torch.zeros(3)
    >>> L1.add_gradient(0.1, torch.tensor([3.0, -2.0, 3.0]), grad, torch.tensor([1.0, 1.0, 0.0]))
    >>> grad  # the third entry is a bias
    tensor([ 0.1000, -0.1000,  0.0000])
    """

    strength: Annotated[float, Ge(0)] = 1e-5
    biases: bool = False  # act on biases and norm parameters as well

    def __post_init__(self) -> None:
        check_fields(self)

    @staticmethod
    def value(strength: float | Tensor, theta: Tensor) -> Tensor:
        """λ Σ |θ|, of weights alone (P,)."""
        return strength * theta.abs().sum()

    @staticmethod
    def add_gradient(
        strength: float | Tensor, theta: Tensor, grad: Tensor, weights: Tensor
    ) -> None:
        """Add λ sign(θ) to `grad` in place, where `weights` is 1 (weights) and not 0 (others).

        Shapes: θ and grad (K, P), weights (P,), strength a number or (K, 1) for K members.
        """
        L2.add_gradient(strength, theta.sign(), grad, weights)


@dataclass(frozen=True)
class L2:
    """Pull every weight towards zero in proportion to its size.

    Equation: loss + ½ λ ‖W‖², hence gradient + λ W, with λ = strength. One global strength; biases
    and norm parameters are left alone ("no regularization on bias weights"). The penalty is not
    part of the reported loss. Default 1e-4: mild; 1e-3 is usual for a few hundred examples.
    Source: slide "Regularization"; CS231n notes, part 2.

    >>> import torch
    >>> grad = torch.zeros(2)
    >>> L2.add_gradient(0.1, torch.tensor([3.0, 3.0]), grad, torch.tensor([1.0, 0.0]))
    >>> grad  # the second entry is a bias
    tensor([0.3000, 0.0000])
    """

    strength: Annotated[float, Ge(0)] = 1e-4
    biases: bool = False  # act on biases and norm parameters as well

    def __post_init__(self) -> None:
        check_fields(self)

    @staticmethod
    def value(strength: float | Tensor, theta: Tensor) -> Tensor:
        """½ λ Σ θ², of weights alone (P,)."""
        return 0.5 * strength * theta.square().sum()

    @staticmethod
    def add_gradient(
        strength: float | Tensor, theta: Tensor, grad: Tensor, weights: Tensor
    ) -> None:
        """Add λ θ to `grad` in place, where `weights` is 1 (weights) and not 0 (biases, norm).

        Shapes: θ and grad (K, P), weights (P,), strength a number or (K, 1) for K members.
        """
        if isinstance(strength, float):
            grad.addcmul_(theta, weights, value=strength)
        else:
            grad.addcmul_(theta, weights * strength)


@dataclass(frozen=True)
class MaxNorm:
    """Hold the incoming weights of every unit within a ball.

    Equation: after each update w ← w · min(1, c / ‖w‖), with w all weights that enter one unit
    (for a convolution: one output channel) and c = limit. Unlike L2 it does nothing until a unit
    grows large, so high learning rates cannot blow up the weights. Default c = 3; usual are 3 to
    4 for wide layers with dropout, about 1 before anything happens in small nets: the run says
    how often a unit was held back, and warns when that never happened. Embeddings of a table's
    columns are left alone.
    Source: slide "Regularization"; CS231n notes, part 2; Srivastava et al. 2014.

    >>> import torch
    >>> weight = torch.tensor([[[3.0, 4.0], [0.3, 0.4]]])  # one member, two units, two inputs
    >>> MaxNorm.project(1.0, weight)  # so many units were shrunk
    tensor([1])
    >>> weight
    tensor([[[0.6000, 0.8000],
             [0.3000, 0.4000]]])
    """

    limit: Annotated[float, Gt(0)] = 3.0

    def __post_init__(self) -> None:
        check_fields(self)

    @staticmethod
    def project(limit: float | Tensor, weight: Tensor) -> Tensor:
        """Shrink, in place, the units whose norm is above the limit; the others keep their bits.

        Shapes: weight (K, out, in, ...); limit a number or (K,), infinite where a member has none;
        returns how many units of each member were shrunk (K,).
        """
        from torch import linalg, where

        norm = linalg.vector_norm(weight, dim=tuple(range(2, weight.dim())), keepdim=True)
        most = limit if isinstance(limit, float) else limit.view(-1, *[1] * (weight.dim() - 1))
        above = norm > most
        weight.mul_(where(above, most / norm, 1.0))
        count: Tensor = above.flatten(1).sum(dim=1)
        return count


@dataclass(frozen=True)
class Dropout:
    """Drop hidden units at random while training, each with probability `drop`.

    Equation: h ∘ m / (1 - drop) with m ~ Bernoulli(1 - drop), one selection per example and step;
    nothing at prediction. This inverted form equals the lecture's: train h ∘ m (`masked`), and
    "scale all weights by p during testing" with p the share *kept* (`scaled`; the weights behind
    the dropped units, not their biases). In papers p is the share kept, in torch and Keras the
    share dropped; they agree at 0.5 alone, hence the name `drop`. Default 0.5 as on the slide
    ("typically p = 0.5"); for narrow nets 0.1 to 0.3 is better. With L2 it is the lecture's
    practical recommendation. To first order it is L2 on features scaled by the inverse Fisher
    information, for generalised linear models and small weights (Wager et al. 2013).
    Source: slides "Dropout", "Regularization"; Srivastava et al. 2014.

    >>> import torch
    >>> Dropout(drop=0.5)(torch.ones(1, 6), torch.Generator().manual_seed(0))
    tensor([[0., 2., 0., 0., 0., 2.]])
    """

    drop: Annotated[float, Ge(0), Lt(1)] = 0.5  # probability of being dropped, not kept

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, h: Tensor, generator: torch.Generator) -> Tensor:
        """Units (B, ...) with some dropped and the others scaled, as in training."""
        return self.masked(h, generator) / (1 - self.drop)

    def masked(self, h: Tensor, generator: torch.Generator) -> Tensor:
        """Units (B, ...) with some dropped, the others as they are: the lecture's training."""
        import torch

        kept = torch.rand(h.shape, generator=generator) >= self.drop
        return h * kept.to(h.device)

    def scaled(self, weight: Tensor) -> Tensor:
        """The lecture's weights for testing, after training with `masked` units."""
        return weight * (1 - self.drop)


@dataclass(frozen=True)
class InputDropout:
    """Drop inputs at random while training, each with probability `drop`.

    Equation: x ∘ m / (1 - drop) with m ~ Bernoulli(1 - drop), one selection per example and step,
    on the pre-processed inputs; nothing at prediction. Makes the network use several inputs where
    one would do; strong with few rows. Default 0.2: usual is to keep 0.8 of the inputs (Srivastava)
    where 0.5 of the hidden units are kept. A dropped input becomes 0, the mean after Standardize.
    Source: slide "Dropout"; Srivastava et al. 2014.

    >>> import torch
    >>> InputDropout(drop=0.2)(torch.ones(1, 6), torch.Generator().manual_seed(0))
    tensor([[1.2500, 1.2500, 0.0000, 0.0000, 1.2500, 1.2500]])
    """

    drop: Annotated[float, Ge(0), Lt(1)] = 0.2  # probability of being dropped, not kept

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Inputs (B, ...) with some dropped and the others scaled, as in training."""
        return Dropout(self.drop)(x, generator)


@dataclass(frozen=True)
class LabelSmoothing:
    """Train towards labels that are a little unsure.

    Equation: the target becomes (1 - s) · true class + s / C · every class, with s = amount and C
    classes. Outputs need not grow without end to reach it; probabilities are less extreme and
    often better calibrated after noisy labels, but log loss can become worse on clean ones. Only
    training uses it; reported losses are without. Default 0.1, the usual number.
    Source: slide "Regularization" (its further kinds); Szegedy et al. 2016.

    >>> import torch
    >>> LabelSmoothing(amount=0.1).targets(torch.tensor([1]), classes=4)
    tensor([[0.0250, 0.9250, 0.0250, 0.0250]])
    """

    amount: Annotated[float, Ge(0), Lt(1)] = 0.1

    def __post_init__(self) -> None:
        check_fields(self)

    def targets(self, labels: Tensor, classes: int) -> Tensor:
        """The smoothed targets (B, C) of labels (B,); losses compute the same without them."""
        from torch.nn import functional

        return (1 - self.amount) * functional.one_hot(labels, classes) + self.amount / classes


Regularizer = L1 | L2 | MaxNorm | Dropout | InputDropout | LabelSmoothing
