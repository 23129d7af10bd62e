"""The family of optimisers: what a recipe may name as its `optimizer`.

Slides: "Learning rate", "Newton's method", "Adaptive learning rate".
"""

from __future__ import annotations

from trainwell.techniques.optim.first_order import (
    AdaDelta,
    Adagrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    RmsProp,
    Sgd,
)
from trainwell.techniques.optim.matrix import Muon
from trainwell.techniques.optim.second_order import Lbfgs, Newton, NewtonCg

# Rules of a gradient: `update` on the rows of all members at once.
GradientRule = Sgd | Momentum | Nesterov | Adagrad | RmsProp | AdaDelta | Adam | AdamW | Muon
# Rules that ask for the loss again and again: `step` with an `Objective`, member by member.
ClosureRule = Newton | NewtonCg | Lbfgs

Optimizer = GradientRule | ClosureRule
