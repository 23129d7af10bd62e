"""What a rule can ask about the loss of one member besides its gradient.

Slide: "Newton's method". f(θ) = L(z(θ)) + R(θ): outputs z (B, C) of one batch, a loss L of them, a
smooth penalty R. All derivatives are made by running autograd's backward pass on its own backward
pass, so that any plain `nn.Module` will do; forward-mode rules and vmap over the forward pass are
not asked for, and running statistics that a layer updates in place are no obstacle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 256  # rows of the Hessian that are computed together


class Objective:
    """The loss of one member on one batch, as a function of its parameters θ (P,).

    outputs: θ → z (B, C); loss: z → number; penalty: θ → number. They must be differentiable twice
    and give the same each time: dropout masks and other random numbers are fixed by whoever makes
    the objective. `outputs` is called several times per step, also at trial points that are given
    up; running statistics that it updates are to be restored by the caller where that matters.

    `cost` counts in gradients, so that rules can be compared honestly: a forward pass counts 1/3
    (a backward pass costs twice as much), a gradient 1, a product with the Hessian 3, a Hessian of
    P parameters 1 + 2 P, `gauss_newton` 5/3 and each of its products 2. (Measured on an MLP and a
    convolutional network: 0.4 to 0.5, 1, 3, -, 1.1 to 1.7, 1.4 to 2.1.)
    """

    def __init__(
        self,
        outputs: Callable[[Tensor], Tensor],
        loss: Callable[[Tensor], Tensor],
        penalty: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.outputs, self.loss, self.penalty = outputs, loss, penalty
        self.cost = 0.0

    def value(self, theta: Tensor) -> Tensor:
        """f(θ), a tensor of one number."""
        from torch import no_grad

        self.cost += 1 / 3
        with no_grad():
            return self._total(theta, self.outputs(theta))

    def gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f(θ) and ∇f(θ)."""
        _, value, grad = self._gradient(theta, again=False)
        return value.detach(), grad.detach()

    def hessian(self, theta: Tensor) -> Tensor:
        """∇²f(θ), (P, P), symmetric."""
        from torch import cat, eye, split

        x, _, grad = self._gradient(theta, again=True)
        self.cost += 2 * len(theta)
        rows = split(eye(len(theta), dtype=theta.dtype, device=theta.device), ROWS)
        found = cat([_derivative(grad, x, unit, several=True) for unit in rows])
        return (found + found.T) / 2

    def hessian_product(self, theta: Tensor, v: Tensor) -> Tensor:
        """∇²f(θ) v, without the matrix."""
        x, _, grad = self._gradient(theta, again=True)
        self.cost += 2
        return _derivative(grad, x, v)

    def gauss_newton_product(self, theta: Tensor, v: Tensor) -> Tensor:
        """(Jᵀ H J + ∇²R) v with J = dz/dθ and H = ∇²L(z): never indefinite if L and R are convex.

        The Hessian without the curvature of the outputs themselves.
        """
        return self.gauss_newton(theta)[2](v)

    def gauss_newton(self, theta: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """f(θ), ∇f(θ) and v ↦ (Jᵀ H J + ∇²R) v, all from one forward pass.

        J v comes from two backward passes: Jᵀu is linear in u, and its derivative is J.
        """
        from torch import enable_grad, zeros_like

        self.cost += 5 / 3
        with enable_grad():
            x = theta.detach().requires_grad_()
            outputs = self.outputs(x)
            z = outputs.detach().requires_grad_()
            loss = self.loss(z)
            slope = _derivative(loss, z, again=True)  # dL/dz
            u = zeros_like(z, requires_grad=True)
            pulled = _derivative(outputs, x, u, again=True)  # Jᵀu
            extra = None if self.penalty is None else self.penalty(x)
            pull = None if extra is None else _derivative(extra, x, again=True)

        def product(v: Tensor) -> Tensor:
            self.cost += 2
            forward = _derivative(pulled, u, v)  # J v
            found = _derivative(outputs, x, _derivative(slope, z, forward))
            return found if pull is None else found + _derivative(pull, x, v)

        value, grad = loss.detach(), _derivative(outputs, x, slope.detach())
        if extra is not None and pull is not None:
            value, grad = value + extra.detach(), grad + pull.detach()
        return value, grad, product

    def _gradient(self, theta: Tensor, again: bool) -> tuple[Tensor, Tensor, Tensor]:
        """θ as the root of a graph, f and ∇f; again: ∇f can be differentiated once more."""
        from torch import enable_grad

        self.cost += 1
        with enable_grad():
            x = theta.detach().requires_grad_()
            value = self._total(x, self.outputs(x))
            return x, value, _derivative(value, x, again=again)

    def _total(self, theta: Tensor, z: Tensor) -> Tensor:
        return self.loss(z) if self.penalty is None else self.loss(z) + self.penalty(theta)


def _derivative(
    of: Tensor,
    at: Tensor,
    along: Tensor | None = None,
    *,
    again: bool = False,
    several: bool = False,
) -> Tensor:
    """Σ along · d of / d at; zero where `of` does not depend on `at`. The graph is kept.

    again: the result can be differentiated; several: `along` holds one direction per row.
    """
    from torch import autograd, zeros_like

    if not of.requires_grad:
        return zeros_like(along if several and along is not None else at)
    found: Tensor = autograd.grad(
        of,
        at,
        along,
        retain_graph=True,
        create_graph=again,
        is_grads_batched=several,
        materialize_grads=True,
    )[0]
    return found
