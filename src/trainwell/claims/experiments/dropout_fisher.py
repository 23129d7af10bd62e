"""Dropout on the inputs of logistic regression against the L2 penalty that should equal it.

For D inputs all 2^D masks are counted, each with its probability, so nothing is sampled:
R(β) = Σ_i E[A(x̃_i·β)] - A(x_i·β) with A(z) = log(1 + eᶻ), exactly; its second-order form is
R^q(β) = ½ · δ/(1-δ) · Σ_i p_i (1 - p_i) Σ_j x_ij² β_j² = ½ δ/(1-δ) βᵀ diag(Xᵀ V X) β, an L2 penalty
in which each weight counts by the diagonal of the Fisher information XᵀVX.
Source: Wager, Wang and Liang (2013), Dropout training as adaptive regularization.
Shapes: N examples, D features behind a constant one, M = 2^D masks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from trainwell.claims.draws import subset
from trainwell.claims.rules import Measured
from trainwell.claims.trials import Setup

Floats = npt.NDArray[np.float64]
FEATURES = 8


def run(setup: Setup) -> Measured:
    """Ratios R^q / R at the optimum and at large weights, and how alike the optima are."""
    drop = float(setup.claim.settings.get("drop", 0.5))
    found: dict[str, list[float]] = {}
    draws = setup.draws()
    for repetition in draws.repetitions:
        data = subset(draws.data, repetition.train)
        x, y = standardized(np.asarray(data.inputs, dtype=np.float64)), (data.labels == 0) * 1.0
        masks, chance = all_masks(x.shape[1] - 1, drop)
        exact = fitted(partial(penalty_exact, x=x, masks=masks, chance=chance), x, y)
        quadratic = fitted(partial(penalty_fisher, x=x, drop=drop), x, y)
        # The plain L2 penalty of the same size at the optimum: what is not adaptive.
        size = penalty_exact(exact, x, masks, chance) / float(exact[1:] @ exact[1:])
        plain = fitted(partial(penalty_plain, size=size), x, y)
        at = {
            "optimum": exact,
            "small weights": of_norm(exact, 0.3),
            "large weights": of_norm(exact, 10.0),
        }
        for name, beta in at.items():
            ratio = penalty_fisher(beta, x, drop) / penalty_exact(beta, x, masks, chance)
            found.setdefault(name, []).append(ratio)
        found.setdefault("linear regression", []).append(linear_ratio(exact, x, drop))
        found.setdefault("fisher cosine", []).append(cosine(exact[1:], quadratic[1:]))
        found.setdefault("plain cosine", []).append(cosine(exact[1:], plain[1:]))
    values = {name: np.array(v) for name, v in found.items()}
    ratios = {
        k: values[k] for k in ("optimum", "small weights", "large weights", "linear regression")
    }
    cosines = {k.split()[0]: values[k] for k in ("fisher cosine", "plain cosine")}
    return Measured({"ratio": ratios, "cosine": cosines}, draws.test_share)


def standardized(x: Floats) -> Floats:
    """A column of ones, and the first features with mean 0 and spread 1; constant ones stay 0."""
    x = np.nan_to_num(x.reshape(len(x), -1))
    spread = x.std(axis=0)
    x = x[:, np.argsort(spread == 0, kind="stable")[:FEATURES]]
    spread = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.concatenate([np.ones((len(x), 1)), scaled], axis=1))


def all_masks(features: int, drop: float) -> tuple[Floats, Floats]:
    """Every mask (M, 1 + D) of kept inputs, divided by 1 - drop, with its probability (M,).

    The first column is the constant one, which is never dropped.
    """
    bits = (np.arange(2**features)[:, None] >> np.arange(features)) & 1
    kept = bits.sum(axis=1)
    masks = np.concatenate([np.ones((len(bits), 1)), bits / (1 - drop)], axis=1)
    return masks, (1 - drop) ** kept * drop ** (features - kept)


def penalty_exact(beta: Floats, x: Floats, masks: Floats, chance: Floats) -> float:
    """R(β): what dropout adds to the loss on average, over all masks."""
    noisy = np.logaddexp(0.0, (masks * beta) @ x.T)  # (M, N)
    return float((chance @ noisy - np.logaddexp(0.0, x @ beta)).sum())


def penalty_fisher(beta: Floats, x: Floats, drop: float) -> float:
    """R^q(β): the L2 penalty with the diagonal of the Fisher information."""
    p = 1 / (1 + np.exp(-x @ beta))
    fisher = (p * (1 - p)) @ x**2  # (D,)
    return float(0.5 * drop / (1 - drop) * (fisher[1:] @ beta[1:] ** 2))


def penalty_plain(beta: Floats, size: float) -> float:
    """size · ‖β‖²: the L2 penalty that counts all weights alike."""
    return size * float(beta[1:] @ beta[1:])


def linear_ratio(beta: Floats, x: Floats, drop: float) -> float:
    """R^q / R for squared errors, A(z) = z²/2: there both are the same."""
    masks, chance = all_masks(x.shape[1] - 1, drop)
    exact = float((chance @ (0.5 * ((masks * beta) @ x.T) ** 2) - 0.5 * (x @ beta) ** 2).sum())
    fisher = (x**2).sum(axis=0)
    return float(0.5 * drop / (1 - drop) * fisher[1:] @ beta[1:] ** 2) / exact


def fitted(penalty: Callable[[Floats], float], x: Floats, y: Floats) -> Floats:
    """β (D,) that minimises log loss plus penalty."""
    from scipy.optimize import minimize

    def loss(beta: Floats) -> float:
        z = x @ beta
        return float((np.logaddexp(0.0, z) - y * z).sum()) + penalty(beta)

    return np.asarray(minimize(loss, np.full(x.shape[1], 0.01), method="L-BFGS-B").x)


def of_norm(beta: Floats, norm: float) -> Floats:
    """The same direction with weights of another norm; the constant term stays in proportion."""
    return np.asarray(norm * beta / max(float(np.linalg.norm(beta[1:])), 1e-12))


def cosine(a: Floats, b: Floats) -> float:
    """How alike two directions are; 1: the same."""
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-300))
