"""Loops with one planted fault each: watch names it, and stays silent without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from trainwell.doctor.finding import Check
from trainwell.doctor.watch import Watch, watch

X, Y = (torch.from_numpy(v) for v in load_digits(return_X_y=True))
X = (X / 16).float()


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))


def loop(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int = 40,
    zero: bool = True,
    before: Callable[[int, Tensor], Tensor] = lambda step, x: x,
    say: Callable[[str], None] | None = None,
) -> Watch:
    loss = nn.CrossEntropyLoss()
    with watch(model, optimizer, loss, every=2, say=say) as seen:
        for step in range(1, steps + 1):
            rows = torch.randint(len(X), (32,))
            if zero:
                optimizer.zero_grad()
            loss(model(before(step, X[rows])), Y[rows]).backward()
            optimizer.step()
    assert seen.trouble is None, seen.trouble
    return seen


def bad(seen: Watch) -> dict[str, Check]:
    return {c.name: c for c in seen.evidence().checks if c.level in ("warning", "fault")}


def sgd(model: nn.Module, lr: float = 0.05) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr)


def test_healthy_twin() -> None:
    model = network()
    assert not bad(loop(model, sgd(model)))


def test_missing_zero_grad() -> None:
    model = network()
    said: list[str] = []
    seen = loop(model, sgd(model), zero=False, say=said.append)
    assert set(bad(seen)) == {"gradients-not-zeroed"}
    assert bad(seen)["gradients-not-zeroed"].level == "fault"
    assert len(said) == 1
    assert "step 7" in said[0], "said after four sampled steps"


def test_layer_forgotten_in_the_optimizer() -> None:
    model = network()
    found = bad(loop(model, torch.optim.SGD(model[3].parameters(), lr=0.05)))
    assert set(found) == {"parameters-not-in-optimizer"}
    assert found["parameters-not-in-optimizer"].value == pytest.approx(2080 / 2410)


def test_optimizer_of_another_model() -> None:
    model = network()
    found = bad(loop(model, sgd(network())))
    assert found["parameters-not-in-optimizer"].level == "fault"


def test_graph_cut_behind_a_layer() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x).relu().detach())

    model = Cut()
    found = bad(loop(model, sgd(model)))
    assert set(found) == {"parameters-without-gradient"}
    assert "first.weight" in found["parameters-without-gradient"].words


def test_layer_that_is_never_used_is_a_note() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(64, 10), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    model = Spare()
    seen = loop(model, sgd(model))
    assert not bad(seen)
    notes = {c.name for c in seen.evidence().checks if c.level == "note"}
    assert notes == {"parameters-without-gradient"}


def test_weights_too_coarse_to_move() -> None:
    model = network().to(torch.bfloat16)
    found = bad(loop(model, sgd(model, 1e-9), before=lambda step, x: x.bfloat16()))
    assert set(found) == {"weights-unchanged"}


def test_learning_rate_of_zero() -> None:
    model = network()
    assert set(bad(loop(model, sgd(model, 0.0)))) == {"learning-rate-zero"}


def test_nan_in_the_inputs_is_said_at_once() -> None:
    model, said = network(), []

    def spoil(step: int, x: Tensor) -> Tensor:
        return torch.where(torch.arange(64) == 3, torch.nan, x) if step == 12 else x

    seen = loop(model, sgd(model), before=spoil, say=said.append)
    assert set(bad(seen)) == {"loss-not-finite"}
    assert "step 12" in bad(seen)["loss-not-finite"].words
    assert "inputs" in bad(seen)["loss-not-finite"].words
    assert seen.evidence().diverged == (True,)
    assert np.isnan(seen.evidence().series["train_loss"][0, -1])
    assert len(said) == 1


def test_nan_in_a_layer_is_located() -> None:
    model = network()

    def spoil(step: int, x: Tensor) -> Tensor:
        if step == 9:
            model[3].weight.data[0, 0] = torch.nan
        return x

    found = bad(loop(model, sgd(model), before=spoil))
    assert "3.weight" in found["loss-not-finite"].words
    assert "step 9" in found["loss-not-finite"].words


def test_nan_of_the_network_in_a_sampled_step_names_the_layer() -> None:
    class Root(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt()

    model = network()
    model[1] = Root()
    words = bad(loop(model, sgd(model)))["loss-not-finite"].words
    assert "step 1 " in words
    assert "weights were finite" in words


def test_learning_rate_a_hundred_times_too_high() -> None:
    model, twin = network(), network()
    good, seen = loop(twin, sgd(twin)), loop(model, sgd(model, 5.0))
    update = {}
    for name, one in (("good", good), ("bad", seen)):
        layers = [v for v in one.evidence().layers if v.kind == "weight"]
        update[name] = np.nanmax([v.measures["update"] for v in layers])
    assert update["good"] < 0.1 < update["bad"]
    assert seen.evidence().series["train_loss"][0].max() > 3


def test_relu_that_dies() -> None:
    model = network()

    def kill(step: int, x: Tensor) -> Tensor:
        if step == 25:
            model[0].bias.data[:24] = -100.0
        return x

    seen = loop(model, sgd(model), steps=80, before=kill)
    units = next(v for v in seen.evidence().layers if v.kind == "units")
    dead = units.measures["dead"][0]
    assert dead[0] <= 2 / 32
    assert dead[-1] >= 0.75


def modes(model: nn.Module, train_again: bool, eval_first: bool, no_grad: bool) -> Watch:
    loss = nn.CrossEntropyLoss()
    optimizer = sgd(model)
    with watch(model, optimizer, loss, every=2, say=None) as seen:
        model.train()
        for _ in range(3):
            if train_again:
                model.train()
            for _ in range(10):
                optimizer.zero_grad()
                loss(model(X[:64]), Y[:64]).backward()
                optimizer.step()
            if eval_first:
                model.eval()
            with torch.set_grad_enabled(not no_grad):
                loss(model(X[64:128]), Y[64:128])
    assert seen.trouble is None, seen.trouble
    return seen


@pytest.mark.parametrize("no_grad", [True, False])
def test_train_and_eval_modes(no_grad: bool) -> None:
    healthy = modes(network(), True, True, no_grad)
    assert not bad(healthy)
    assert healthy.evidence().points.tolist() == [10, 20, 30]
    forgot = bad(modes(network(), False, True, no_grad))
    assert "eval mode" in forgot["train-and-eval-mode-mixed-up"].words


def test_validation_in_train_mode() -> None:
    found = bad(modes(network(), True, False, True))
    assert "train mode" in found["train-and-eval-mode-mixed-up"].words


def test_nothing_seen_is_said() -> None:
    model = network()
    with watch(model, sgd(model), say=None) as seen:
        pass
    assert {c.name for c in seen.evidence().checks if c.level == "note"} == {"no-step-seen"}
    optimizer = sgd(model)
    with watch(model, optimizer, say=None) as seen:
        nn.functional.cross_entropy(model(X[:9]), Y[:9]).backward()
        optimizer.step()
    assert {c.name for c in seen.evidence().checks if c.level == "note"} == {"loss-not-recorded"}


def test_live_diagnosis_says_new_findings_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from trainwell.doctor import urgent
    from trainwell.doctor.pace import Pace

    finding: Any = SimpleNamespace(level="fault", name="dead", code="R06", words="silent")
    said: list[str] = []
    monkeypatch.setattr(Pace, "may_diagnose", lambda self: True)
    monkeypatch.setattr(urgent, "urgent", lambda evidence: [finding])
    model = network()
    loop(model, sgd(model), say=said.append)
    assert said == ["watch, step 1: R06 dead: silent"]


def test_a_healthy_loop_is_not_disturbed_and_a_bad_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainwell.doctor.pace import Pace

    monkeypatch.setattr(Pace, "may_diagnose", lambda self: True)
    torch.manual_seed(0)
    for steps in (22, 60, 300):
        said: list[str] = []
        model = network()
        seen = loop(model, torch.optim.Adam(model.parameters(), 1e-3), steps, say=said.append)
        assert said == [], steps
        assert {"R03", "R10"}.isdisjoint({f.code for f in seen.report().findings}) or steps > 200
    model = network()
    loop(model, sgd(model, 1e6), 300, say=said.append)
    assert any("R01" in line or "R02" in line for line in said)


def test_one_epoch_is_no_slow_training() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loss = nn.CrossEntropyLoss()
    with watch(model, optimizer, loss, say=None) as seen:
        for rows in torch.arange(22 * 64).view(22, 64):
            optimizer.zero_grad()
            loss(model(X[rows]), Y[rows]).backward()
            optimizer.step()
        seen.epoch()
    found = {f.code: f.level for f in seen.report().findings}
    assert {"R03", "R10"}.isdisjoint(found), found
    assert seen.evidence().setup.steps == 22


def test_a_loss_with_a_gradient_is_noted_without_a_warning() -> None:
    model = network()
    with watch(model, sgd(model), say=None) as seen:
        value = nn.functional.cross_entropy(model(X[:9]), Y[:9])
        seen.record(value)
        seen.validation(value)
        seen.epoch(value, value, value, value)
    assert value.requires_grad and seen.trouble is None
