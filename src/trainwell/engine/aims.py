"""What a training aims at, as weights of the classes: by them its best epoch is chosen.

Class weights, oversampling and adjusted outputs make a network learn as if classes had other shares
than in the data. The log loss of plain validation rows would punish just that: it would choose an
epoch in which the remedy has not yet acted. Weighted in the same way it is what training lowers.
Remedies that move outputs afterwards train for the shares as they are, and so does focal loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainwell.techniques.balance import (
    Balance,
    ClassWeights,
    EffectiveNumber,
    LogitAdjust,
    Oversample,
    Smote,
)


def aim_of(balance: Balance | None, counts: Tensor) -> Tensor | None:
    """Weight of each class (C,) in the validation loss, or None where all rows count alike.

    counts (C,): training rows. Shares ∝ n^(1 - p) of Oversample and of Smote are weights ∝ n^-p;
    z + τ log π of LogitAdjust makes z learn shares ∝ n^(1 - τ).

    >>> aim_of(Oversample(), torch.tensor([90, 10]))
    tensor([0.5556, 5.0000])
    """
    if isinstance(balance, ClassWeights | EffectiveNumber):
        return balance.weights(counts)
    if isinstance(balance, Oversample | Smote):
        return ClassWeights(balance.power).weights(counts)
    if isinstance(balance, LogitAdjust) and balance.when == "loss":
        return ClassWeights(min(balance.tau, 1.0)).weights(counts)
    return None


def aims(balances: Sequence[Balance | None], counts: Sequence[Tensor]) -> Tensor | None:
    """The weights of several members (K, C), ones where one has none; None where none has any."""
    found = [aim_of(b, n) for b, n in zip(balances, counts, strict=True)]
    if all(w is None for w in found):
        return None
    return torch.stack(
        [torch.ones(len(n)) if w is None else w for w, n in zip(found, counts, strict=True)]
    )
