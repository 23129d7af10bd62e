"""Second-order update rules: steps that know the curvature of the loss.

Slide: "Newton's method". A rule of this file changes one member at a time: it asks an `Objective`
for values, gradients and curvature at points of its own choice, which `step` gets instead of a
gradient. θ (P,) and the state vectors, each (P,) and zeros at the start, are changed in place. The
learning rate multiplies the first trial of a line search: 1 is the full step, and there is nothing
to anneal, so that the schedule is to be constant. All are made for full batches (a batch as large
as the training rows); on small batches they fit the noise of each batch.

A step is taken only to a finite point where the loss is lower (to rounding); else θ stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Lt

from trainwell.callstring import check_fields
from trainwell.errors import UserError
from trainwell.techniques.optim.directions import (
    conjugate_gradients,
    newton_directions,
    two_loops,
)
from trainwell.techniques.optim.linesearch import Point, backtrack, rounding, wolfe

if TYPE_CHECKING:
    from torch import Tensor

    from trainwell.techniques.optim.objective import Objective

MOST = 3000  # parameters for which a Hessian is made: 3000² numbers of 8 bytes are 72 MB
POOR, GOOD = 0.25, 0.75  # actual fall over predicted fall
KEEP = 0.95  # of the last direction, where conjugate gradients start
WEAKEST, STRONGEST = 1e-12, 1e12  # damping


@dataclass(frozen=True)
class Newton:
    """Newton's method with the exact Hessian and a backtracking line search, for small networks.

    Equation: θ ← θ - t H⁻¹ g, with g the gradient, H (P, P) the Hessian and t the first of η, η/2,
    η/4, ... that lowers the loss enough (Armijo, c₁ = 1e-4), η the learning rate. Fast: one step on
    a quadratic, digits double from step to step near a minimum, and scaling an input changes
    nothing, so that no rate and no pre-processing needs tuning. H is inverted with its eigenvalues
    λ replaced by max(|λ|, δ), so that the step descends where H is indefinite, as it is in networks
    ("saddle-free"), after H has been scaled to ones on its diagonal. δ is `damping`; only where
    some |λ| is smaller, or λ negative, larger δ up to 1 are tried as well and the lowest loss is
    taken (ten steps of a small network on digits: a loss of 0.004, with one δ 1.3).

    Default damping 1e-6: a millionth of a parameter's own curvature is hardly more than rounding.
    "Requires matrix inverse (not plausible for a big network)": P² numbers and P³ operations. A
    million parameters have a Hessian of 3725 GB; this rule refuses more than 3000 (ten seconds a
    step on one CPU core).
    Use it for logistic regression and small MLPs on full batches; NewtonCg or Lbfgs beyond that.
    Source: slide "Newton's method"; Nocedal and Wright 2006, chapter 3; Dauphin et al. 2014.

    >>> import torch
    >>> from trainwell.techniques.optim.objective import Objective
    >>> steep = torch.tensor([100.0, 1.0])
    >>> quadratic = Objective(lambda theta: theta, lambda z: (steep * (z - 1) ** 2).sum())
    >>> theta = torch.zeros(2)
    >>> Newton().step(quadratic, theta, (), 1.0, 0)
    >>> theta
    tensor([1., 1.])
    """

    damping: Annotated[float, Gt(0), Lt(1)] = 1e-6
    state: ClassVar[tuple[str, ...]] = ()
    usual_rate: ClassVar[float] = 1.0
    closure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)

    def step(
        self,
        objective: Objective,
        theta: Tensor,
        state: Sequence[Tensor],
        lr: float,
        steps: int,
    ) -> None:
        """One step of one member, in place; see the module for shapes."""
        if len(theta) > MOST:
            problem = f"its Hessian needs P² numbers; the network has P = {len(theta)} parameters"
            todo = f"Use NewtonCg() or Lbfgs(), or a network of at most {MOST} parameters."
            raise UserError("optimizer Newton", problem, todo)
        value, grad = objective.gradient(theta)
        if not _finite(value, grad) or lr <= 0:
            return
        best: Point | None = None
        for direction in newton_directions(objective.hessian(theta), grad, self.damping):
            begin = Point(0.0, theta, float(value), grad, float(grad @ direction))
            if not _descends(begin, direction):
                continue
            found = backtrack(objective, begin, direction, lr)
            if found is not None and (best is None or _lower(found, best)):
                best = found
        if best is not None:
            theta.copy_(best.theta)


@dataclass(frozen=True)
class NewtonCg:
    """Hessian-free Newton: the curvature is used in products with vectors, never written down.

    Equation: θ ← θ + t p, (G + λ I) p = -g, with g the gradient, G = Jᵀ H J the Gauss-Newton matrix
    (J the Jacobian of the outputs, H the Hessian of the loss in the outputs) and λ the damping.
    p comes from conjugate gradients, which need only products G v, each about two gradients; they
    start from 0.95 of the last p, and end after `iterations` or when the last k iterations brought
    less than `tolerance` k of the progress, k = max(10, i/10). t is halved from η, the learning
    rate, until the loss is low enough. λ starts at `damping` and follows ρ, actual over predicted
    fall: ρ < ¼ makes it 3/2, ρ > ¾ makes it 2/3 (Levenberg-Marquardt).

    Defaults: tolerance as Martens; 50 iterations and damping 0.01 suit small networks and losses
    that are means. Memory is that of a few gradients, so that networks of any size can be trained.
    Use it on full batches where gradient descent crawls (deep, badly conditioned): far fewer steps,
    each worth 20 to 100 gradients, and no better on test data. On shallow networks Lbfgs reaches
    the same loss with a twentieth of the gradients.
    Source: slide "Newton's method"; Martens 2010; Martens and Sutskever 2012.

    >>> import torch
    >>> from trainwell.techniques.optim.objective import Objective
    >>> steep = torch.tensor([100.0, 1.0])
    >>> quadratic = Objective(lambda theta: theta, lambda z: (steep * (z - 1) ** 2).sum())
    >>> theta, state = torch.zeros(2), (torch.zeros(2), torch.zeros(2))
    >>> for step in range(5):
    ...     NewtonCg().step(quadratic, theta, state, 1.0, step)
    >>> theta
    tensor([1., 1.])
    """

    damping: Annotated[float, Gt(0)] = 0.01
    iterations: Annotated[int, Ge(1)] = 50
    tolerance: Annotated[float, Gt(0), Lt(1)] = 5e-4
    # λ is kept as a vector of equal numbers; 0 says that nothing has been done yet.
    state: ClassVar[tuple[str, ...]] = ("direction", "strength")
    usual_rate: ClassVar[float] = 1.0
    closure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)

    def step(
        self,
        objective: Objective,
        theta: Tensor,
        state: Sequence[Tensor],
        lr: float,
        steps: int,
    ) -> None:
        """One step of one member, in place; see the module for shapes."""
        direction, strength = state
        damping = float(strength[0]) or self.damping
        value, grad, product = objective.gauss_newton(theta)
        found = None
        if _finite(value, grad) and lr > 0:
            p, curvature = self._solve(product, grad, KEEP * direction, damping)
            begin = Point(0.0, theta, float(value), grad, float(grad @ p))
            if _descends(begin, p):
                found = backtrack(objective, begin, p, lr)
        if found is None:
            direction.zero_()
            strength.fill_(min(1.5 * damping, STRONGEST))
            return
        strength.fill_(_adapted(damping, begin, found, curvature, lr))
        direction.copy_(p)
        theta.copy_(found.theta)

    def _solve(
        self, product: Callable[[Tensor], Tensor], grad: Tensor, start: Tensor, damping: float
    ) -> tuple[Tensor, float]:
        """p with (G + λ I) p ≈ -g, and pᵀ G p."""
        p, rest = conjugate_gradients(
            lambda v: product(v) + damping * v, -grad, start, self.iterations, self.tolerance
        )
        return p, float(p @ (-grad - rest)) - damping * float(p @ p)


def _adapted(damping: float, begin: Point, end: Point, curvature: float, lr: float) -> float:
    """λ after a step: it follows how well φ(0) + t φ'(0) + ½ t² pᵀGp told the fall."""
    predicted = end.t * begin.slope + 0.5 * end.t**2 * curvature
    if -predicted <= rounding(begin.value, begin.theta):
        return damping  # nothing but rounding to judge by
    ratio = (end.value - begin.value) / predicted
    if end.t < lr or ratio < POOR:
        return min(1.5 * damping, STRONGEST)
    return max(damping / 1.5, WEAKEST) if ratio > GOOD else damping


@dataclass(frozen=True)
class Lbfgs:
    """Limited-memory BFGS: the curvature is guessed from how the gradient changed in past steps.

    Equation: θ ← θ - t H g, with g the gradient and H an inverse Hessian that maps the last
    `history` changes of the gradient y onto the steps s that caused them, begun from
    (yᵀs / yᵀy) I; it is never formed, two loops over the pairs (s, y) give H g. The step t meets
    the strong Wolfe conditions (c₁ = 1e-4, c₂ = 0.9), η, the learning rate, tried first; the very
    first trial is η min(1, 1/Σ|g|). Pairs with yᵀs ≤ 0 (to rounding) are skipped, so that H stays
    positive definite. Of quasi-Newton methods this is the one that scales: 2 · history vectors.

    Default 10 pairs: 5 to 20 are usual, more rarely helps. Costs little more than two gradients a
    step and needs no rate. The first choice for full batches: logistic regression, small MLPs,
    a few thousand rows (on digits a loss of 1e-3 takes 46 gradients, with Adam at its best rate
    125). Not for small batches, whose noise looks like curvature, nor with dropout: use Adam there.
    Fits sooner, but is no better on test data.
    Source: slide "Newton's method" (its matrix inverse avoided); Liu and Nocedal 1989.

    >>> import torch
    >>> from trainwell.techniques.optim.objective import Objective
    >>> steep = torch.tensor([100.0, 1.0])
    >>> quadratic = Objective(lambda theta: theta, lambda z: (steep * (z - 1) ** 2).sum())
    >>> rule, theta = Lbfgs(history=2), torch.zeros(2)
    >>> state = [torch.zeros(2) for _ in rule.state]
    >>> for step in range(12):
    ...     rule.step(quadratic, theta, state, 1.0, step)
    >>> theta
    tensor([1.0000, 1.0000])
    """

    history: Annotated[int, Ge(1)] = 10
    usual_rate: ClassVar[float] = 1.0
    closure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def state(self) -> tuple[str, ...]:
        """Steps s and changes of the gradient y, the newest first; zeros where there is none."""
        return tuple(f"{kind}{i}" for kind in "sy" for i in range(self.history))

    def step(
        self,
        objective: Objective,
        theta: Tensor,
        state: Sequence[Tensor],
        lr: float,
        steps: int,
    ) -> None:
        """One step of one member, in place; see the module for shapes."""
        s, y = state[: self.history], state[self.history :]
        value, grad = objective.gradient(theta)
        if not _finite(value, grad) or lr <= 0:
            return
        direction = -two_loops(s, y, grad)
        begin = Point(0.0, theta, float(value), grad, float(grad @ direction))
        first = lr if bool(y[0].any()) else lr * min(1.0, 1 / max(float(grad.abs().sum()), 1e-30))
        found = wolfe(objective, begin, direction, first) if _descends(begin, direction) else None
        if found is None:  # the pairs are of no use here: begin anew, with steepest descent
            for vector in state:
                vector.zero_()
            return
        _remember(s, y, found.theta - theta, found.grad - grad)
        theta.copy_(found.theta)


def _remember(s: Sequence[Tensor], y: Sequence[Tensor], step: Tensor, change: Tensor) -> None:
    """Put a pair before the others and drop the oldest, if it tells of positive curvature."""
    from torch import finfo

    if float(step @ change) <= finfo(step.dtype).eps * float(step.norm() * change.norm()):
        return
    for vectors, new in ((s, step), (y, change)):
        for older, newer in zip(reversed(vectors), reversed(vectors[:-1]), strict=False):
            older.copy_(newer)
        vectors[0].copy_(new)


def _finite(value: Tensor, grad: Tensor) -> bool:
    return bool(value.isfinite()) and bool(grad.isfinite().all())


def _lower(one: Point, other: Point) -> bool:
    return one.value < other.value - rounding(other.value, other.theta)


def _descends(begin: Point, direction: Tensor) -> bool:
    """Whether everything is finite and f falls along the direction."""
    known = math.isfinite(begin.value) and bool(direction.isfinite().all())
    return known and begin.slope < 0
