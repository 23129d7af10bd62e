"""What a loss wants is found out by asking it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.networks import focal
from trainwell.doctor.lossprobe import correct, nature, wanted

OUT, Y = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 5
ONE, BINARY = OUT[:, :1], (Y % 2).float()[:, None]


def _own_nll(out: Tensor, y: Tensor) -> Tensor:
    return -out[torch.arange(len(y)), y].mean()


@pytest.mark.parametrize(
    ("loss", "out", "y", "wants"),
    [
        (nn.CrossEntropyLoss(), OUT, Y, "logits"),
        (lambda o, t: functional.cross_entropy(o, t), OUT, Y, "logits"),
        (lambda o, t: functional.cross_entropy(o, t, reduction="sum"), OUT, Y, "logits"),
        (lambda o, t: functional.cross_entropy(o, t, label_smoothing=0.2), OUT, Y, "logits"),
        (focal, OUT, Y, "logits"),
        (nn.NLLLoss(), OUT, Y, "log-probabilities"),
        (_own_nll, OUT, Y, "log-probabilities"),
        (lambda o, t: _own_nll(o.log(), t), OUT, Y, "probabilities"),
        (nn.BCEWithLogitsLoss(), ONE, BINARY, "binary-logits"),
        (
            lambda o, t: functional.binary_cross_entropy_with_logits(o, t),
            ONE,
            BINARY,
            "binary-logits",
        ),
        (lambda o, t: functional.binary_cross_entropy(o, t), ONE, BINARY, "binary-probabilities"),
        (
            lambda o, t: -(t * o.log() + (1 - t) * (1 - o).log()).mean(),
            ONE,
            BINARY,
            "binary-probabilities",
        ),
        (lambda o, t: ((o - t) ** 2).mean(), ONE, BINARY, "values"),
    ],
)
def test_what_a_loss_wants(loss, out: Tensor, y: Tensor, wants: str) -> None:
    assert nature(loss, out, y).wants == wants


def test_the_floor_of_a_softmax_in_a_softmax_is_the_formula() -> None:
    def twice(out: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(out.softmax(1), y)

    assert nature(twice, OUT, Y).floor == pytest.approx(math.log(1 + 4 / math.e), abs=1e-4)
    assert nature(nn.CrossEntropyLoss(), OUT, Y).floor == pytest.approx(0, abs=1e-6)
    assert nature(twice, OUT, Y).bounded and not nature(focal, OUT, Y).bounded


def test_rows_that_say_nothing_are_not_correct() -> None:
    same = torch.zeros(40, 5)
    hit = correct(same, Y, "logits")
    assert hit is not None and not hit.any()
    right = correct(10 * functional.one_hot(Y, 5).float(), Y, "logits")
    assert right is not None and right.all()
    assert wanted(OUT, torch.randn(40, 5)) is None
