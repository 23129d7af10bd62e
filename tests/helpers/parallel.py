"""What the processes of tests/engine/test_distributed.py do; see helpers.ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from helpers.data import LOOPED, STACKED, members_of, pictures, population, table, varied
from trainwell.clock import now
from trainwell.data.dataset import Dataset
from trainwell.engine.distributed import Cut, Lost, Ranks
from trainwell.engine.jointnorm import joint_norm
from trainwell.engine.members import Trained
from trainwell.engine.parts import Outcome, Part, train_part
from trainwell.engine.population import Execution, Population
from trainwell.engine.score import EpochScore
from trainwell.engine.train import train
from trainwell.errors import UserError
from trainwell.recipe import Recipe
from trainwell.techniques.augment.mixing import MixUp
from trainwell.techniques.augment.tables import Jitter
from trainwell.techniques.balance import ClassWeights, LogitAdjust, Oversample, Smote
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.models.mlp import Mlp
from trainwell.techniques.optim.first_order import Momentum
from trainwell.techniques.regularize import (
    L1,
    L2,
    Dropout,
    InputDropout,
    LabelSmoothing,
    MaxNorm,
)

BASE = Recipe(
    model=Mlp(hidden=(16, 8)),
    regularize=(L2(1e-3), Dropout(0.25), LabelSmoothing(0.1)),
    optimizer=Momentum(0.9),
    lr=0.02,
    epochs=3,
    batch_size=16,
)
PICTURES = dataclasses.replace(BASE, model=Cnn(channels=(4, 6), depth=1), lr=0.05)
UNEVEN = dataclasses.replace(BASE, batch_size=15)
VARIED = varied(
    BASE,
    lr=[0.02, 0.01, 0.03],
    regularize=[
        (L2(0.01), Dropout(0.1)),
        (L1(1e-3), Dropout(0.5), LabelSmoothing(0.2)),
        (MaxNorm(1.0), Dropout(0.3)),
    ],
    balance=[None, ClassWeights(), ClassWeights(0.5)],
    augment=[(Jitter(0.0),), (Jitter(0.1),), (Jitter(0.5),)],
)


MIXED: dict[str, list[Any]] = {
    "augment": [(Jitter(0.1), MixUp(0.5)), (), (MixUp(2.0),)],
    "balance": [Smote(), Oversample(), LogitAdjust()],
    "regularize": [(InputDropout(0.2), Dropout(0.2)), (Dropout(0.1),), (L2(0.01), Dropout(0.3))],
}


def unbalanced() -> Dataset:
    """A table whose classes have 60, 40 and 20 rows, in no order."""
    data = table()
    labels = torch.tensor([0, 0, 0, 1, 1, 2]).repeat(20).numpy()
    return dataclasses.replace(data, labels=labels)


@dataclass(frozen=True)
class Case:
    """Some members and how they run."""

    data: Dataset
    recipes: list[Recipe]
    way: Execution


def cases() -> Mapping[str, Case]:
    """Every network, norm, loss and penalty that ranks treat in a way of their own."""
    weighted = dataclasses.replace(UNEVEN, balance=ClassWeights())
    noisy = dataclasses.replace(BASE, augment=(Jitter(0.2),))
    return {
        "mlp": Case(table(), [BASE], LOOPED),
        "mlp stacked": Case(table(), [BASE] * 3, STACKED),
        "uneven": Case(table(), [UNEVEN] * 2, STACKED),
        "cnn": Case(pictures(), [PICTURES], LOOPED),
        "cnn stacked": Case(pictures(), [PICTURES] * 2, STACKED),
        "class weights": Case(unbalanced(), [weighted], LOOPED),
        "noise": Case(table(), [noisy], LOOPED),
        "mixed": Case(unbalanced(), varied(UNEVEN, **MIXED), STACKED),
        "all different": Case(unbalanced(), VARIED, STACKED),
    }


@dataclass(frozen=True)
class Found:
    """What a training gave."""

    first: Tensor  # the gradient of the first step (K, P)
    trained: list[Trained]
    history: list[EpochScore]


def train_cases(ranks: Ranks) -> dict[str, Found]:
    """All cases, one after another."""
    return {name: _found(case, ranks) for name, case in cases().items()}


def train_few(ranks: Ranks) -> dict[str, Found]:
    """Two cases, for another number of ranks."""
    return {name: _found(cases()[name], ranks) for name in ("uneven", "class weights")}


def _found(case: Case, ranks: Ranks) -> Found:
    people = gathered(case, ranks)
    share, gradients = people.shares[0], []
    penalise = share._penalise

    def note() -> None:
        gradients.append(people.grad.clone())
        penalise()

    share._penalise = note  # type: ignore[method-assign]
    history = [score for scores in train(people) for score in scores]
    return Found(gradients[0], people.trained, history)


def gathered(case: Case, ranks: Ranks) -> Population:
    """The case's population, on these ranks."""
    alone = population(case.data, members_of(case.data, case.recipes), case.way)
    examples = dataclasses.replace(alone.examples, ranks=ranks)
    return Population(alone.members, examples, case.way)


def norms(cut: Cut | None) -> dict[str, list[Tensor]]:
    """Output, gradients and running statistics of a norm in float64; cut: the own rows only."""
    found: dict[str, list[Tensor]] = {}
    generator = torch.Generator().manual_seed(1)
    for name, shape, rows in (("maps", (7, 3, 4, 5), 0), ("vectors", (1, 3, 7), 2)):
        x, given = (
            torch.randn(shape, generator=generator, dtype=torch.float64) * 3 + 50 for _ in range(2)
        )
        weight, bias = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], dtype=torch.float64)
        mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
        if cut is not None:
            start, length = cut.mine.start, cut.counts[cut.ranks.rank]
            x, given = (t.narrow(rows, start, length).clone() for t in (x, given))
        leaves: Any = [t.requires_grad_() for t in (x, weight, bias)]
        if cut is None:
            y = functional.batch_norm(x, mean, var, weight, bias, True, 0.1, 1e-5)
        else:
            y = joint_norm(cut, x, mean, var, weight, bias, 0.1, 1e-5)
        grads = torch.autograd.grad((y * given).sum(), leaves)
        found[name] = [y.detach(), *grads, mean, var]
    return found


def norms_of_rank(ranks: Ranks) -> dict[str, list[Tensor]]:
    """The same for a batch of seven rows that is cut over ranks."""
    return norms(ranks.cut(7))


def agreements(ranks: Ranks) -> dict[str, Any]:
    """What each rank hears when all speak of different things."""
    found: dict[str, Any] = {
        "agree": ranks.agree({"rank": ranks.rank}),
        "most": ranks.most(ranks.rank, -ranks.rank),
        "any": ranks.any(ranks.rank == 1, False),
        "each": ranks.each(torch.tensor([ranks.rank, 7])),
    }
    try:
        ranks.check_same("the data", "a" if ranks.first else "b")
    except UserError as error:
        found["mistake"] = str(error)
    ranks.check_same("the data", "a")
    return found


def gone(ranks: Ranks) -> str:
    """The last rank ends without a word; what the others then raise."""
    if ranks.rank == ranks.size - 1:
        raise SystemExit(0)
    try:
        for _ in range(3):
            ranks.add(torch.ones(3))
    except Lost as error:
        return str(error)
    return "nothing"


def part_of(name: str, checkpoint: Path | None, deadline: float | None = None) -> Part:
    """A part that trains a case for 6 epochs."""
    case = cases()[name]
    recipes = [dataclasses.replace(r, epochs=6) for r in case.recipes]
    members = tuple(members_of(case.data, recipes))
    return Part(members, case.way, checkpoint, 1e9, deadline, None)


@dataclass(frozen=True)
class Ended:
    """A training that ends before its time; as a value, so that processes can be given it."""

    checkpoint: Path | None = None  # the first rank's
    asking: int | None = None  # this rank asks to stop after two epochs
    seconds: float | None = None  # the first rank's deadline

    def __call__(self, ranks: Ranks) -> Outcome:
        seen: list[EpochScore] = []
        deadline = None
        if self.seconds is not None:
            deadline = now() + (self.seconds if ranks.first else 1e6)
        part = part_of("cnn", self.checkpoint if ranks.first else None, deadline)
        case = cases()["cnn"]
        alone = population(case.data, part.members, case.way)
        examples = dataclasses.replace(alone.examples, ranks=ranks)

        def stop() -> bool:
            return ranks.rank == self.asking and len(seen) >= 2

        return train_part(part, examples, seen.extend, stop)
