"""Update rules that see weights as matrices, not as lists of numbers.

Slide: "Adaptive learning rate". The rules of `first_order` treat each number of θ by itself; here
the step of a weight matrix depends on the whole matrix. Shapes are those of `first_order`; besides,
`matrices` tells where in a row each weight lies: (start, stop, shape), in the order of the layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Le, Lt

from trainwell.callstring import check_fields
from trainwell.techniques.optim.first_order import AdamW
from trainwell.techniques.regularize import L2

if TYPE_CHECKING:
    from torch import Tensor

Place = tuple[int, int, tuple[int, ...]]  # start, stop and shape of a weight in a member's row

QUINTIC = 3.4445, -4.7750, 2.0315  # steep at 0: small singular values grow 3.4-fold per iteration
LIKE_ADAM = 0.2  # root mean square of Adam's usual steps, in rates
TINY = 1e-7  # a matrix of a smaller norm gives a step of nearly zero


@dataclass(frozen=True)
class Muon:
    """Momentum whose step on each weight matrix is made orthogonal: all directions move alike.

    Equation: M ← μ M + (1-μ) G, O = NS((1-μ) G + μ M), W ← W - η (0.2 √max(out, in) O + λ W), with
    μ = momentum, G the gradient of a weight matrix, λ = decay, η the learning rate. NS brings every
    singular value near 1 (0.7 to 1.2), UΣVᵀ to about UVᵀ: X ← X / ‖X‖, then `iterations` times
    X ← a X + (b A + c A²) X, A = XXᵀ, with (a, b, c) = (3.4445, -4.7750, 2.0315). It is the
    steepest descent in the spectral norm, and Shampoo without memory: (GGᵀ)^-½ G.
    Kernels (out, in, h, w) are taken as (out, in·h·w). Biases, norm parameters and the last weight,
    which makes the logits, get AdamW (beta1, beta2, eps, decay), as its author advises.

    The factor 0.2 √max(out, in) gives steps of Adam's size, so that one rate serves for all; good
    rates are a few times Adam's, 0.004 to 0.02. Defaults: μ and the five iterations are the
    author's, the rest AdamW's. Use it where steps are few or the batch is large: on digits (two
    hidden layers of 256, 200 steps) the loss ended at a fifth of that of the best AdamW. Its
    products cost more than the network's own while the batch is small: 5 to 7 times a step of Adam
    there, with 64 rows a batch. A network without a hidden layer is trained by AdamW alone.
    Source: slide "Adaptive learning rate", a later method; Jordan 2024; Liu et al. 2025.

    >>> import torch
    >>> theta, state = torch.zeros(1, 6), (torch.zeros(1, 6), torch.zeros(1, 6))
    >>> grad = torch.tensor([[3.0, 0.0, 0.0, 0.1, 1.0, 1.0]])  # a hidden weight, the last weight
    >>> Muon.update(theta, grad, state, torch.tensor([[0.1]]), 0, torch.ones(6), momentum=0.95,
    ...             iterations=5, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0,
    ...             matrices=[(0, 4, (2, 2)), (4, 6, (1, 2))])
    >>> theta[0, :4].view(2, 2)  # both directions move, although one gradient was 30 times smaller
    tensor([[-0.0197,  0.0000],
            [ 0.0000, -0.0319]])
    """

    momentum: Annotated[float, Ge(0), Lt(1)] = 0.95
    iterations: Annotated[int, Ge(1), Le(12)] = 5
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    eps: Annotated[float, Gt(0)] = 1e-8
    decay: Annotated[float, Ge(0)] = 0.01
    state: ClassVar[tuple[str, ...]] = ("mean", "square")
    usual_rate: ClassVar[float] = 5e-3

    def __post_init__(self) -> None:
        check_fields(self)

    @staticmethod
    def update(
        theta: Tensor,
        grad: Tensor,
        state: tuple[Tensor, ...],
        lr: Tensor,
        steps: int,
        weights: Tensor,
        *,
        matrices: Sequence[Place],
        momentum: float | Tensor,
        iterations: int | Tensor,
        beta1: float | Tensor,
        beta2: float | Tensor,
        eps: float | Tensor,
        decay: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        mean, square = state
        hidden = matrices[:-1]
        for start, stop, (out, *_) in hidden:
            part = slice(start, stop)
            mean[:, part].lerp_(grad[:, part], 1 - momentum)
            ahead = grad[:, part].lerp(mean[:, part], momentum).reshape(len(theta), out, -1)
            step = orthogonal(ahead, iterations).flatten(1)
            step *= LIKE_ADAM * math.sqrt(max(ahead.shape[1:]))
            L2.add_gradient(decay, theta[:, part], step, weights[part])
            theta[:, part].addcmul_(step, lr, value=-1.0)
        for part in _between(hidden, theta.shape[1]):
            AdamW.update(
                theta[:, part],
                grad[:, part],
                (mean[:, part], square[:, part]),
                lr,
                steps,
                weights[part],
                beta1=beta1,
                beta2=beta2,
                eps=eps,
                decay=decay,
            )


def orthogonal(matrices: Tensor, iterations: int | Tensor = 5) -> Tensor:
    """Matrices (K, m, n) with all singular values brought near 1, by Newton-Schulz iterations.

    iterations: one number, or (K, 1) where members differ. A matrix of zeros stays one.
    """
    from torch import baddbmm, bmm, linalg, where

    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices  # the smaller XXᵀ
    x = x / linalg.matrix_norm(x, keepdim=True).clamp(min=TINY)
    for done in range(iterations if isinstance(iterations, int) else int(iterations.max())):
        gram = bmm(x, x.mT)
        found = baddbmm(x, baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        going = isinstance(iterations, int) or iterations[:, :, None] > done
        x = found if going is True else where(going, found, x)
    return x.mT if tall else x


def _between(places: Sequence[Place], width: int) -> Iterator[slice]:
    """The columns of a row that these weights leave."""
    begin = 0
    for start, stop, _ in (*places, (width, width, ())):
        if begin < start:
            yield slice(begin, start)
        begin = stop
