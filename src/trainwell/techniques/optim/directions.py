"""Directions from curvature: linear algebra of the second-order rules, on one member's vectors.

Slide: "Newton's method". All of them answer the same question, what p solves H p = -g, with more
or less of H at hand: the matrix, its products with vectors, or past changes of the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FLOORS = 1e-4, 1e-3, 1e-2, 0.1, 1.0  # of eigenvalues, tried where a Hessian is (nearly) singular


def newton_directions(hessian: Tensor, grad: Tensor, damping: float) -> list[Tensor]:
    """-H⁻¹ g with the eigenvalues λ of the scaled H replaced by max(|λ|, δ), least δ first.

    Where all λ are above the least δ, as near a minimum, that is Newton's direction for each δ
    below them, and the only one. None where H is not finite.
    """
    from torch import cholesky_solve, finfo, linalg

    if not bool(hessian.isfinite().all()):
        return []
    least = max(damping, len(grad) * finfo(grad.dtype).eps)  # what is below is rounding
    scale, scaled = _equilibrated(hessian.double())
    b = -scale * grad.double()
    shifted = scaled.clone()
    shifted.diagonal().sub_(least)
    _, failed = linalg.cholesky_ex(shifted)
    if not failed:  # a twentieth of the time of the eigenvalues
        found = [cholesky_solve(b[:, None], linalg.cholesky(scaled))[:, 0]]
    else:
        values, vectors = linalg.eigh(scaled)
        along, sizes = vectors.T @ b, values.abs()
        floors = [least, *(floor for floor in FLOORS if floor > least)]
        found = [vectors @ (along / sizes.clamp(min=floor)) for floor in floors]
    return [(scale * p).to(grad.dtype) for p in found]


def _equilibrated(hessian: Tensor) -> tuple[Tensor, Tensor]:
    """s and diag(s) H diag(s) with entries within [-1, 1], ones on the diagonal if H ≥ 0.

    Scaling parameters changes s and nothing else. Parameters that nothing depends on get a
    one on the diagonal as well, so that they disturb nobody.
    """
    from torch import where

    own = hessian.diagonal().abs()
    scale = where(own > 0, own, 1.0).rsqrt()
    largest = (scale[:, None] * hessian * scale).abs().amax(dim=1)
    scale = scale * largest.clamp(min=1.0).rsqrt()  # off the diagonal of an indefinite H
    scaled = scale[:, None] * hessian * scale
    scaled.diagonal().add_((largest == 0).to(scaled.dtype))
    return scale, scaled


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], b: Tensor, x: Tensor, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """x with A x ≈ b for a positive definite A given by its products, and the rest b - A x.

    Ends early by Martens' rule, when ½ xᵀAx - bᵀx has ceased to fall by a worthwhile share.
    """
    from torch import finfo

    r = b - product(x) if bool(x.any()) else b.clone()
    p, square = r, float(r @ r)
    enough = finfo(b.dtype).eps ** 2 * float(b @ b)
    falls = [-0.5 * float(x @ (b + r))]
    for i in range(1, iterations + 1):
        if not square > enough:
            break
        image = product(p)
        curvature = float(p @ image)
        if not curvature > 0:  # flat, indefinite or not a number
            break
        alpha = square / curvature
        x, r = x + alpha * p, r - alpha * image
        falls.append(-0.5 * float(x @ (b + r)))
        k = max(10, math.ceil(i / 10))
        if i >= k and falls[-1] < 0 and falls[i - k] - falls[i] < -falls[i] * k * tolerance:
            break
        square, before = float(r @ r), square
        p = r + (square / before) * p
    return x, r


def two_loops(s: Sequence[Tensor], y: Sequence[Tensor], grad: Tensor) -> Tensor:
    """H g from the pairs (s, y), the newest first (Nocedal and Wright, algorithm 7.4)."""
    pairs = [(a, b, 1 / float(a @ b)) for a, b in zip(s, y, strict=True) if float(a @ b) > 0]
    q, alphas = grad.clone(), []
    for a, b, rho in pairs:
        alphas.append(rho * float(a @ q))
        q -= alphas[-1] * b
    if pairs:
        _, b, rho = pairs[0]
        q /= rho * float(b @ b)
    for (a, b, rho), alpha in zip(reversed(pairs), reversed(alphas), strict=True):
        q += (alpha - rho * float(b @ q)) * a
    return q
