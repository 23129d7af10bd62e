"""First-order update rules on stacked parameters.

Slides: "Learning rate", "Adaptive learning rate".

A rule is a pure function of arrays: parameters θ (K, P) for K members with P parameters each,
gradients (K, P), its own state arrays (each (K, P)), learning rates (K, 1), the number of steps
done so far, and its hyper-parameters, each a float or a (K, 1) array where members differ.
It changes θ and the state in place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Lt

from trainwell.callstring import check_fields

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Momentum:
    """Stochastic gradient descent with momentum.

    Equation: v ← μ v + g, θ ← θ - η v, with μ = momentum, η the learning rate, g the gradient of
    the mini-batch. The rate stands outside v, as in torch. Default μ = 0.9; slide "Newton's
    method" calls momentum an approximation of the Hessian; it speeds up along flat directions.
    A good rate is typically 0.01 to 0.1. Source: Polyak 1964; CS231n notes, part 3.

    >>> import torch
    >>> theta, velocity, lr = torch.ones(1, 1), torch.zeros(1, 1), torch.tensor([[0.1]])
    >>> for _ in range(2):
    ...     Momentum.update(theta, torch.ones(1, 1), (velocity,), lr, 0, momentum=0.9)
    >>> theta
    tensor([[0.7100]])
    """

    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    state: ClassVar[tuple[str, ...]] = ("velocity",)

    def __post_init__(self) -> None:
        check_fields(self)

    @staticmethod
    def update(
        theta: Tensor,
        grad: Tensor,
        state: tuple[Tensor, ...],
        lr: Tensor,
        steps: int,
        *,
        momentum: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        (velocity,) = state
        velocity.mul_(momentum).add_(grad)
        theta.addcmul_(velocity, lr, value=-1.0)


@dataclass(frozen=True)
class Adam:
    """Adam: momentum, and a step scaled by the running size of each weight's gradient.

    Equation: m ← β₁ m + (1-β₁) g, v ← β₂ v + (1-β₂) g², m̂ = m / (1-β₁^t), v̂ = v / (1-β₂^t),
    θ ← θ - η m̂ / (√v̂ + ε). Weights with large gradients get smaller effective rates. Defaults are
    the paper's; the rate η (usually 1e-3) remains to be chosen "despite the name adaptive".
    Source: slide "Adaptive learning rate"; Kingma and Ba 2015.

    >>> import torch
    >>> theta, m, v = torch.ones(1, 1), torch.zeros(1, 1), torch.zeros(1, 1)
    >>> Adam.update(theta, torch.full((1, 1), 5.0), (m, v), torch.tensor([[0.1]]), 0,
    ...             beta1=0.9, beta2=0.999, eps=1e-8)
    >>> theta  # the first step has the length of the rate, whatever the gradient
    tensor([[0.9000]])
    """

    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    eps: Annotated[float, Gt(0)] = 1e-8
    state: ClassVar[tuple[str, ...]] = ("mean", "square")

    def __post_init__(self) -> None:
        check_fields(self)

    @staticmethod
    def update(
        theta: Tensor,
        grad: Tensor,
        state: tuple[Tensor, ...],
        lr: Tensor,
        steps: int,
        *,
        beta1: float | Tensor,
        beta2: float | Tensor,
        eps: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        mean, square = state
        mean.mul_(beta1).add_(grad * (1 - beta1))
        square.mul_(beta2).add_(grad.square().mul_(1 - beta2))
        unbias1, unbias2 = 1 - beta1 ** (steps + 1), 1 - beta2 ** (steps + 1)
        root = unbias2**0.5 if not isinstance(unbias2, float) else math.sqrt(unbias2)
        theta.sub_((mean * (lr / unbias1)).div_(square.sqrt().div_(root).add_(eps)))


Optimizer = Momentum | Adam
