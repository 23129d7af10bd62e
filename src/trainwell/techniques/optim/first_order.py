"""First-order update rules on stacked parameters.

Slides: "Learning rate", "Adaptive learning rate".

A rule is a pure function of arrays: parameters θ (K, P) for K members with P parameters each,
gradients (K, P), its own state arrays (each (K, P), zeros at the start), learning rates (K, 1), the
number of steps done so far, the `weights` (P,) that decay (1; 0 for biases and norm parameters),
and its hyper-parameters, each a float or a (K, 1) array where members differ.
It changes θ and the state in place. `usual_rate` is the learning rate around which to search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Lt

from trainwell.callstring import check_fields
from trainwell.techniques.regularize import L2

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sgd:
    """Plain stochastic gradient descent.

    Equation: θ ← θ - η g, with η the learning rate, g the gradient of the mini-batch. Has no memory
    of its own: the yardstick for the other rules. A good rate is typically 0.05 to 0.5; the slide
    starts from 0.1. Source: slide "Learning rate"; Robbins and Monro 1951.

    >>> import torch
    >>> theta, lr, decays = torch.ones(1, 1), torch.tensor([[0.1]]), torch.ones(1)
    >>> Sgd.update(theta, torch.ones(1, 1), (), lr, 0, decays)
    >>> theta
    tensor([[0.9000]])
    """

    state: ClassVar[tuple[str, ...]] = ()
    usual_rate: ClassVar[float] = 0.1

    @staticmethod
    def update(
        theta: Tensor,
        grad: Tensor,
        state: tuple[Tensor, ...],
        lr: Tensor,
        steps: int,
        weights: Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        theta.addcmul_(grad, lr, value=-1.0)


@dataclass(frozen=True)
class Momentum:
    """Stochastic gradient descent with momentum.

    Equation: v ← μ v + g, θ ← θ - η v, with μ = momentum, η the learning rate, g the gradient of
    the mini-batch. The rate stands outside v, as in torch. Default μ = 0.9; a good rate is
    typically 0.01 to 0.1. The slide says that "in a sense, the momentum is an approximation of the
    Hessian": it holds no curvature. Its step hardly shrinks where the curvature is large, as
    Newton's does; it speeds up along flat directions, so that the number of steps grows with √κ
    and not κ, the condition number, as for conjugate gradients.
    Source: slide "Newton's method"; Polyak 1964; CS231n notes, part 3.

    >>> import torch
    >>> theta, velocity, lr = torch.ones(1, 1), torch.zeros(1, 1), torch.tensor([[0.1]])
    >>> for _ in range(2):
    ...     Momentum.update(theta, torch.ones(1, 1), (velocity,), lr, 0, torch.ones(1),
    ...                     momentum=0.9)
    >>> theta
    tensor([[0.7100]])
    """

    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    state: ClassVar[tuple[str, ...]] = ("velocity",)
    usual_rate: ClassVar[float] = 0.05

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
        momentum: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        (velocity,) = state
        velocity.mul_(momentum).add_(grad)
        theta.addcmul_(velocity, lr, value=-1.0)


@dataclass(frozen=True)
class Nesterov:
    """Momentum that looks ahead: the new gradient counts once more than in plain momentum.

    Equation: v ← μ v + g, θ ← θ - η (g + μ v), with μ = momentum, η the learning rate, g the
    gradient of the mini-batch: torch's form of Nesterov's rule. Default μ = 0.9; a good rate is
    that of Momentum, typically 0.01 to 0.1. Worth trying where Adam overfits (CS231n).
    Source: slide "Newton's method" (momentum); Nesterov 1983; Sutskever et al. 2013.

    >>> import torch
    >>> theta, velocity, lr = torch.ones(1, 1), torch.zeros(1, 1), torch.tensor([[0.1]])
    >>> Nesterov.update(theta, torch.ones(1, 1), (velocity,), lr, 0, torch.ones(1), momentum=0.9)
    >>> theta
    tensor([[0.8100]])
    """

    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    state: ClassVar[tuple[str, ...]] = ("velocity",)
    usual_rate: ClassVar[float] = 0.05

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
        momentum: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        (velocity,) = state
        velocity.mul_(momentum).add_(grad)
        theta.addcmul_(grad, lr, value=-1.0).addcmul_(velocity, lr * momentum, value=-1.0)


@dataclass(frozen=True)
class Adagrad:
    """Divide each weight's step by the size of all its gradients so far.

    Equation: s ← s + g², θ ← θ - η g / (√s + ε). Weights that rarely get a gradient keep a high
    rate, which suits sparse inputs; since s only grows, every rate falls in time. Default ε as in
    torch; the rate η is usually 0.01 to 0.05.
    Source: slide "Adaptive learning rate"; Duchi, Hazan and Singer 2011.

    >>> import torch
    >>> theta, total, lr = torch.ones(1, 1), torch.zeros(1, 1), torch.tensor([[0.1]])
    >>> Adagrad.update(theta, torch.full((1, 1), 5.0), (total,), lr, 0, torch.ones(1), eps=1e-10)
    >>> theta  # the first step has the length of the rate, whatever the gradient
    tensor([[0.9000]])
    """

    eps: Annotated[float, Gt(0)] = 1e-10
    state: ClassVar[tuple[str, ...]] = ("total",)
    usual_rate: ClassVar[float] = 0.02

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
        eps: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        (total,) = state
        total.addcmul_(grad, grad)
        theta.addcmul_(_divide(grad, total.sqrt(), eps), lr, value=-1.0)


@dataclass(frozen=True)
class RmsProp:
    """Divide each weight's step by the running size of its gradient: a leaky Adagrad.

    Equation: s ← α s + (1-α) g², θ ← θ - η g / (√s + ε), with α = decay. Old gradients are
    forgotten, so that the rates do not die away. Default α = 0.9 (CS231n also tries 0.99, torch's
    default); the rate η is usually 1e-3.
    Source: slide "Adaptive learning rate"; Tieleman and Hinton 2012.

    >>> import torch
    >>> theta, square, lr = torch.ones(1, 1), torch.zeros(1, 1), torch.tensor([[0.1]])
    >>> RmsProp.update(theta, torch.full((1, 1), 5.0), (square,), lr, 0, torch.ones(1),
    ...                decay=0.75, eps=1e-8)
    >>> theta
    tensor([[0.8000]])
    """

    decay: Annotated[float, Ge(0), Lt(1)] = 0.9
    eps: Annotated[float, Gt(0)] = 1e-8
    state: ClassVar[tuple[str, ...]] = ("square",)
    usual_rate: ClassVar[float] = 1e-3

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
        decay: float | Tensor,
        eps: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        (square,) = state
        root = _running_root(square, grad, decay)
        theta.addcmul_(_divide(grad, root, eps), lr, value=-1.0)


@dataclass(frozen=True)
class AdaDelta:
    """RMSprop whose steps have the size of the steps before: a rule without a rate to choose.

    Equation: s ← ρ s + (1-ρ) g², Δ = √(u + ε) / √(s + ε) · g, u ← ρ u + (1-ρ) Δ², θ ← θ - η Δ,
    with ρ = decay, ε = eps, η the learning rate, 1 in the paper. Defaults are the paper's (torch:
    ρ = 0.9). ε is the size of the first steps, √ε: 1e-3. Works untuned over a wide band of rates
    (1 to 10) when training is short; a tuned Adam is usually as good or better.
    The slide calls it "another approximation method to Newton's method". True of the units only:
    Δx/g has those of 1/H. On quadratics its steps go with the curvature to a power that depends on
    the start, and to about -½ where gradients are noisy (Newton: -1); rotated axes undo that.
    Source: slide "Adaptive learning rate"; Zeiler 2012.

    >>> import torch
    >>> theta, square, moved = torch.ones(1, 1), torch.zeros(1, 1), torch.zeros(1, 1)
    >>> AdaDelta.update(theta, torch.full((1, 1), 5.0), (square, moved), torch.ones(1, 1), 0,
    ...                 torch.ones(1), decay=0.75, eps=1e-6)
    >>> theta  # the first step is √ε / √(1-ρ), whatever the gradient
    tensor([[0.9980]])
    """

    decay: Annotated[float, Ge(0), Lt(1)] = 0.95
    eps: Annotated[float, Gt(0)] = 1e-6
    state: ClassVar[tuple[str, ...]] = ("square", "moved")
    usual_rate: ClassVar[float] = 1.0

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
        decay: float | Tensor,
        eps: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        square, moved = state
        square.lerp_(grad.square(), 1 - decay)
        step = ((moved + eps) / (square + eps)).sqrt_().mul_(grad)
        moved.lerp_(step.square(), 1 - decay)
        theta.addcmul_(step, lr, value=-1.0)


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
    ...             torch.ones(1), beta1=0.9, beta2=0.999, eps=1e-8)
    >>> theta  # the first step has the length of the rate, whatever the gradient
    tensor([[0.9000]])
    """

    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    eps: Annotated[float, Gt(0)] = 1e-8
    state: ClassVar[tuple[str, ...]] = ("mean", "square")
    usual_rate: ClassVar[float] = 2e-3

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
        beta1: float | Tensor,
        beta2: float | Tensor,
        eps: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        direction, factor = _adam(grad, state, steps, beta1, beta2, eps)
        theta.addcmul_(direction, lr * factor, value=-1.0)


@dataclass(frozen=True)
class AdamW:
    """Adam with weight decay beside the adaptive step instead of inside the gradient.

    Equation: θ ← θ - η (m̂ / (√v̂ + ε) + λ θ), m̂ and v̂ as in Adam, λ = decay. With L2 in the
    gradient Adam divides the pull by √v̂, so that weights with large gradients hardly decay; here
    all decay alike. Biases and norm parameters are left alone. Default λ = 0.01 as in torch; L2 in
    `regularize` would act in addition. The rate η is that of Adam.
    Source: slide "Adaptive learning rate" (Adam); Loshchilov and Hutter 2019.

    >>> import torch
    >>> theta, m, v = torch.ones(1, 2), torch.zeros(1, 2), torch.zeros(1, 2)
    >>> AdamW.update(theta, torch.zeros(1, 2), (m, v), torch.tensor([[0.1]]), 0,
    ...              torch.tensor([1.0, 0.0]), beta1=0.9, beta2=0.999, eps=1e-8, decay=0.5)
    >>> theta  # no gradient: the weight decays, the bias stays
    tensor([[0.9500, 1.0000]])
    """

    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    eps: Annotated[float, Gt(0)] = 1e-8
    decay: Annotated[float, Ge(0)] = 0.01
    state: ClassVar[tuple[str, ...]] = ("mean", "square")
    usual_rate: ClassVar[float] = 2e-3

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
        beta1: float | Tensor,
        beta2: float | Tensor,
        eps: float | Tensor,
        decay: float | Tensor,
    ) -> None:
        """One step, in place; see the module for shapes."""
        direction, factor = _adam(grad, state, steps, beta1, beta2, eps)
        L2.add_gradient(decay / factor, theta, direction, weights)  # the pull skips the division
        theta.addcmul_(direction, lr * factor, value=-1.0)


def _adam(
    grad: Tensor,
    state: tuple[Tensor, ...],
    steps: int,
    beta1: float | Tensor,
    beta2: float | Tensor,
    eps: float | Tensor,
) -> tuple[Tensor, float | Tensor]:
    """Adam's step without the rate: a new array (K, P) and a factor (number or (K, 1)).

    m̂ / (√v̂ + ε) = r / (1-β₁^t) · m / (√v + ε r) with r = √(1-β₂^t): the corrections of the bias
    become numbers, which saves passes over the arrays.
    """
    mean, square = state
    mean.lerp_(grad, 1 - beta1)
    root = (1 - beta2 ** (steps + 1)) ** 0.5
    direction = _divide(mean, _running_root(square, grad, beta2), eps * root)
    return direction, root / (1 - beta1 ** (steps + 1))


def _running_root(square: Tensor, grad: Tensor, keep: float | Tensor) -> Tensor:
    """√s, a new array, after s ← keep · s + (1 - keep) · g² in place."""
    from torch import sqrt

    work = grad.square()
    square.lerp_(work, 1 - keep)
    return sqrt(square, out=work)


def _divide(above: Tensor, root: Tensor, eps: float | Tensor) -> Tensor:
    """above / (root + eps), written over `root`: large new arrays cost more than the division."""
    from torch import div

    return div(above, root.add_(eps), out=root)
