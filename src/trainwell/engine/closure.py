"""Steps of rules that ask for the loss again and again (Newton, L-BFGS), for one network alone.

Within a step everything random stays as it is: dropout masks, noise of the module's own, the batch
with its augmentation. Running statistics are moved once, by a last pass at the new weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainwell.engine.alone import Alone
from trainwell.techniques.optim.objective import Objective
from trainwell.techniques.optim.rules import ClosureRule


def closure_step(
    rule: ClosureRule,
    network: Alone,
    rows: tuple[Tensor, Tensor, tuple[Tensor, ...]],
    x: Tensor,
    loss: Callable[[Tensor], Tensor],
    penalty: Callable[[Tensor], Tensor],
    lr: float,
    before: int,
) -> None:
    """One step, in place, for inputs x (1, B, ...).

    rows: θ (1, P), running statistics (1, Q) and the rule's state, each (1, P). loss: logits
    (1, B, C) to a number; penalty: θ (P,) to a number. before: steps taken so far.
    """
    theta, buffers, state = rows
    numbers = network.parameters  # without the padding of the row
    objective = Objective(lambda theta: network.outputs(theta, x), lambda z: loss(z[None]), penalty)
    statistics = buffers.clone()
    with network.held():
        rule.step(objective, theta[0, :numbers], [s[0, :numbers] for s in state], lr, before)
        if statistics.numel():
            buffers.copy_(statistics)
            with torch.no_grad():
                network.forward(x, train=True)
