"""Rows of all repetitions as stacked tensors, for experiments that train networks of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Floats, Training, scores, standardized, trained
from trainwell.claims.trials import Setup
from trainwell.data.dataset import IntArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Of R repetitions: training, validation and decision inputs (R, n, D) and labels (R, n)."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    decision: tuple[Tensor, Tensor]
    classes: int
    test_share: float
    decided: int
    seed: int


def stacked_rows(setup: Setup) -> Rows:
    """All repetitions, each scaled by its own training rows; parts are cut to a common length."""
    draws = setup.draws()
    data = draws.data
    flat = np.nan_to_num(data.inputs.reshape(len(data), -1).astype(np.float64))
    n = min(len(r.train) for r in draws.repetitions)
    v = min(len(r.decision) for r in draws.repetitions)
    parts: list[list[Tensor]] = [[], [], []]
    labels: list[list[IntArray]] = [[], [], []]
    for repetition in draws.repetitions:
        stream = np.random.default_rng(repetition.seed)
        rows = (
            stream.permutation(repetition.train)[:n],
            draws.validation,
            stream.permutation(repetition.decision)[:v],
        )
        scaled = standardized(flat[rows[0]], [flat[rows[1]], flat[rows[2]]])
        for part, some, kept, mine in zip(parts, scaled, labels, rows, strict=True):
            part.append(some)
            kept.append(data.labels[mine])
    train, validation, decision = (
        (torch.stack(x), torch.from_numpy(np.stack(y))) for x, y in zip(parts, labels, strict=True)
    )
    return Rows(
        train,
        validation,
        decision,
        len(data.classes),
        draws.test_share,
        draws.decided,
        setup.seed,
    )


def tuned(
    rows: Rows, train: tuple[Tensor, Tensor], how: Training, rates: Sequence[float]
) -> tuple[Floats, Floats, float]:
    """Accuracy and log loss (R,) on decision rows, and the rate: of `rates` the one with the lowest
    mean log loss on validation rows. train: inputs (R, n, D) and labels (R, n)."""
    tried = []
    for rate in rates:
        nets = trained(*train, rows.classes, dataclasses.replace(how, rate=rate), rows.seed)
        tried.append((float(np.mean(scores(nets, *rows.validation)[1])), rate, nets))
    _, rate, nets = min(tried, key=lambda t: t[0])
    return *scores(nets, *rows.decision), rate


def measured(
    rows: Rows,
    values: Mapping[str, Mapping[str, Floats]],
    chosen: Mapping[str, Mapping[str, str]],
) -> Measured:
    """What an experiment measured on decision rows, accuracy among it, and what the arms chose."""
    shares = frozenset({"accuracy"})
    return Measured(values, rows.test_share, rows.decided, shares, chosen=chosen)
