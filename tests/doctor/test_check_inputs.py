"""What people hand to `check`: odd labels, lazy, 16-bit, compiled and slow networks, few rows."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers.networks import CE, clouds, mlp
from trainwell.doctor import admission, specimen
from trainwell.doctor.checkup import Checkup
from trainwell.doctor.preflight import check
from trainwell.errors import UserError


def trouble(found: Checkup) -> list[str]:
    """Faults, warnings, and what could not be measured."""
    return [
        f"{c.code} {c.words}"
        for c in found.checks
        if c.level in ("warning", "fault") or "measured:" in c.words
    ]


@pytest.mark.parametrize("odd", [10**9, -(10**9), 255])
def test_a_class_number_far_outside_the_outputs_is_one_fault(odd: int) -> None:
    x, y = clouds()
    y[5] = odd
    (fault,) = check(mlp(12, 32, 4), CE, x, y, seconds=0).checks
    assert (fault.code, fault.level) == ("N02", "fault")
    assert f"{odd:,}" in fault.words and "number the 5 classes" in str(fault.remedies[0])

    def forgiving(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(out, target.clamp(0, 3))

    found = {c.code: c for c in check(mlp(12, 32, 4), forgiving, x, y, seconds=0).checks}
    if odd > 0:
        assert found["N02"].level == "fault" and "number the 5" in str(found["N02"].remedies[0])


def test_what_the_loss_leaves_out_is_no_class() -> None:
    x, y = clouds()
    y[::7] = 255
    loss = nn.CrossEntropyLoss(ignore_index=255)
    assert trouble(check(mlp(12, 32, 4), loss, x, y, seconds=0)) == []


def test_the_rows_at_the_front_hold_all_classes() -> None:
    y = torch.tensor([7] * 50 + [-3] * 2 + [10**12] * 3)
    rows = specimen.chosen_rows(len(y), y, 0)
    assert sorted(rows.tolist()) == list(range(55))
    assert sorted(y[rows[:6]].tolist()) == [-3, -3, 7, 7, 10**12, 10**12]


def test_a_lazy_network_is_looked_at_and_stays_as_it_was() -> None:
    x, y = clouds()
    model = nn.Sequential(
        nn.LazyLinear(32), nn.LazyBatchNorm1d(), nn.ReLU(), nn.Dropout(0.2), nn.LazyLinear(4)
    )
    optimizer = torch.optim.Adam(model.parameters())
    assert trouble(check(model, CE, x, y, optimizer=optimizer, seconds=60)) == []
    assert all(nn.parameter.is_lazy(p) for p in model.parameters())
    model(x)  # it still learns its sizes by itself
    assert model[0].weight.shape == (32, 12)


def test_inside_inference_mode_all_is_as_outside() -> None:
    x, y = clouds()
    model = mlp(12, 32, 4)
    with torch.inference_mode():
        assert trouble(check(model, CE, x, y, seconds=60)) == []
        made_inside = mlp(12, 32, 4), clouds()[0]
        assert torch.is_inference_mode_enabled()
    assert trouble(check(made_inside[0], CE, made_inside[1], y, seconds=60)) == []


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_network_in_16_bits_is_measured_in_float32(kind: torch.dtype) -> None:
    x, y = clouds()
    model = mlp(12, 32, 4).to(kind)
    before = copy.deepcopy(model.state_dict())
    weighted = nn.CrossEntropyLoss(weight=torch.ones(4, dtype=kind))
    for loss, rows in ((CE, x), (weighted, x.to(kind))):
        found = check(model, loss, rows, y, optimizer=torch.optim.Adam(model.parameters()))
        assert trouble(found) == []
        assert "sixteen-bit-weights" in {c.name for c in found.checks}
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
    assert weighted.weight is not None and weighted.weight.dtype == kind

    weight = torch.ones(4, dtype=kind)
    own = check(model, lambda out, t: nn.functional.cross_entropy(out, t, weight=weight), x, y)
    assert [(c.name, c.level) for c in own.checks] == [("not-measured", "note")]


def test_a_network_that_changes_its_rows_is_not_random() -> None:
    class Doubles(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(12, 32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x.mul_(2))

    x, y = clouds()
    before = x.clone()
    assert trouble(check(Doubles(), CE, x, y, seconds=60)) == []
    assert torch.equal(x, before)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_few_rows_give_no_finding(rows: int) -> None:
    x, y = clouds()
    for seed in range(3):
        torch.manual_seed(seed)
        found = check(mlp(12, 32, 4), CE, x[:rows], y[:rows], classes=4, seconds=60)
        assert found.findings() == [], str(found)


def test_silent_units_need_32_rows() -> None:
    x, y = clouds()
    model = mlp(12, 32, 4)
    with torch.no_grad():
        model[0].bias.fill_(-50.0)
    levels = [
        {c.code: c.level for c in check(model, CE, x[:n], y[:n], classes=4, seconds=0).checks}[
            "I04"
        ]
        for n in (31, 32)
    ]
    assert levels == ["pass", "fault"]


def test_what_cannot_be_looked_at_is_said_in_words() -> None:
    x, y = clouds()
    model = mlp(12, 32, 4)
    with pytest.raises(UserError, match="meta device"):
        check(mlp(12, 32, 4).to("meta"), CE, x, y)
    with pytest.raises(UserError, match="X is a sparse_coo tensor"):
        check(model, CE, x.to_sparse(), y)
    with pytest.raises(UserError, match="the optimizer is int"):
        check(model, CE, x, y, optimizer=3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="neither numbers nor names"):
        check(model, CE, x, [None, *["a"] * 299])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_script_module_is_refused() -> None:
    scripted: Any = torch.jit.script(mlp(12, 32, 4))
    for model in (scripted, nn.Sequential(scripted)):
        with pytest.raises(UserError, match="ScriptModule"):
            check(model, CE, *clouds())


def test_arrays_of_all_sorts_and_names_of_classes_are_taken() -> None:
    x, y = (t.numpy() for t in clouds())
    locked = x.copy()
    locked.flags.writeable = False  # as those of a DataFrame are
    names = np.array(["d", "a", "c", "b"])[y]
    for rows, targets in (
        (locked, y),
        (x[::-1], y[::-1]),
        (x.astype(">f8"), y.astype(np.uint8)),
        (x.tolist(), names.tolist()),
        (x, names.astype(object)),
        (x, y.astype(object)),
    ):
        assert trouble(check(mlp(12, 32, 4), CE, rows, targets, seconds=0)) == []


def test_outputs_and_targets_are_counted_alike() -> None:
    x, y = clouds()
    fault = check(mlp(12, 32, 4), CE, x, y[:, None], seconds=0).checks[0]
    assert "outputs (256, 4), targets (256, 1)" in fault.words


def test_a_slow_network_leaves_checks_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_pace", lambda s: 30.0)  # seconds a step
    found = check(mlp(12, 32, 4), CE, *clouds(), seconds=1)
    names = {c.name for c in found.checks if c.undecided}
    assert {"parameters-not-learning", "dead-at-birth", "ignores-its-input"} <= names
    assert {"softmax-twice", "wrong-width", "bottleneck"} & names == set()
    assert found.worst == "pass" and found.findings() == []
    assert "not decided for lack of time: samples-mixed" in str(found)
    monkeypatch.setattr(admission, "_pace", lambda s: 0.1)
    levels = {c.code: c for c in check(mlp(12, 32, 4), CE, *clouds(), seconds=60).checks}
    assert levels["N12"].level == levels["N13"].level == levels["F08"].level == "pass"
