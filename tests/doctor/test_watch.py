"""Watching loops that somebody wrote: nothing changes, and what is seen is right."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from trainwell.doctor.evidence import Evidence, load_evidence, save_evidence
from trainwell.doctor.sampling import slots_of
from trainwell.doctor.watch import Watch, watch
from trainwell.errors import UserError

X, Y = (torch.from_numpy(v) for v in load_digits(return_X_y=True))
X = (X / 16).float()


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, 10),
    )


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.act, self.head = (
            nn.GRU(8, 16, batch_first=True),
            nn.Tanh(),
            nn.Linear(16, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.rnn(x.view(-1, 8, 8))
        return self.head(self.act(hidden[:, -1]))


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def plain(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Any, steps: int = 60) -> None:
    for step in range(steps):
        model.train()
        rows = torch.randint(1200, (32,))
        optimizer.zero_grad()
        loss(model(X[rows]), Y[rows]).backward()
        optimizer.step()
        if step % 20 == 19:
            model.eval()
            with torch.no_grad():
                loss(model(X[1200:]), Y[1200:])


def accumulating(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Any) -> None:
    for number in range(80):
        rows = torch.randint(1200, (16,))
        (loss(model(X[rows]), Y[rows]) / 4).backward()
        if number % 4 == 3:
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)


def autocast(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Any) -> None:
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(20):
        rows = torch.randint(1200, (32,))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(model(X[rows]), Y[rows])
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()


def closures(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Any) -> None:
    for _ in range(8):

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = loss(model(X[:200]), Y[:200])
            value.backward()
            return value

        optimizer.step(closure)


def lbfgs(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)


def groups(model: nn.Module) -> torch.optim.Optimizer:
    first, *others = model.parameters()
    first.requires_grad_(False)
    last = others.pop()
    return torch.optim.SGD([{"params": others}, {"params": [last], "lr": 0.1}], 0.05, momentum=0.9)


LOOPS: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    "mlp": (mlp, adam, plain),
    "cnn": (cnn, adam, plain),
    "gru": (Gru, adam, plain),
    "accumulation": (cnn, adam, accumulating),
    "autocast": (mlp, adam, autocast),
    "closures": (mlp, lbfgs, closures),
    "groups and frozen": (mlp, groups, plain),
}


def hooks(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return sum(len(getattr(m, k)) for m in model.modules() for k in kinds) + sum(
        len(p._backward_hooks or ()) for p in model.parameters()
    )


def train(name: str, every: int | None, watched: bool = True) -> tuple[Any, ...]:
    build, make, loop = LOOPS[name]
    torch.manual_seed(3)
    model, loss = build(), nn.CrossEntropyLoss()
    optimizer = make(model)
    seen = None
    if watched:
        with watch(model, optimizer, loss, every=every, say=None) as seen:
            loop(model, optimizer, loss)
        assert seen.trouble is None, seen.trouble
        assert hooks(model) == hooks(loss) == 0
        assert not optimizer._optimizer_step_pre_hooks
        assert not optimizer._optimizer_step_post_hooks
    else:
        loop(model, optimizer, loss)
    return model.state_dict(), torch.get_rng_state(), seen


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("every", [1, 7, None])
def test_weights_and_random_numbers_are_the_same_bits(name: str, every: int | None) -> None:
    state, random, _ = train(name, None, watched=False)
    also, after, _ = train(name, every)
    assert torch.equal(random, after)
    assert all(torch.equal(state[n], also[n]) for n in state)


@pytest.mark.parametrize("name", LOOPS)
def test_a_healthy_loop_gets_no_warning(name: str) -> None:
    seen = train(name, 2)[2]
    evidence = seen.evidence()
    assert not [c for c in evidence.checks if c.level in ("warning", "fault")]
    assert evidence.diverged == (False,)
    assert evidence.classes == 10
    assert evidence.has("train_loss", "lr", "gradient", "weight", "update", "zero", "magnitude")
    assert evidence.has("mean", "spread")
    for layer in evidence.layers:
        assert all(v.shape == (1, len(evidence.points) + 1) for v in layer.measures.values())
    assert all(s.shape == (1, len(evidence.points)) for s in evidence.series.values())


def test_curves_and_setup_of_a_plain_loop() -> None:
    evidence = train("cnn", 2)[2].evidence()
    assert evidence.points.tolist() == [20, 40, 60]
    assert evidence.val_rows == len(X) - 1200
    assert evidence.series["val_loss"][0, -1] < evidence.series["val_loss"][0, 0] < 2.5
    assert evidence.series["val_accuracy"][0, -1] > 0.5
    assert evidence.series["train_accuracy"][0, -1] > 0.5
    setup = evidence.setup
    assert (setup.optimizer, setup.lr, setup.momentum) == ("Adam", 0.01, 0.9)
    assert (setup.batch_size, setup.depth, setup.activation) == (32, 2, "relu")
    assert setup.normalised is True
    assert not evidence.clean_train


def test_gradients_weights_and_updates_are_those_of_the_step() -> None:
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    model[0].weight.data = torch.tensor([[3.0, 4.0]])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with watch(model, optimizer, every=1, say=None) as seen:
        optimizer.zero_grad()
        loss = (model(torch.tensor([[2.0, 0.0]]))).sum()  # gradient (2, 0)
        loss.backward()
        optimizer.step()  # weights (2, 4)
        seen.record(loss.item())
    layer = seen.evidence().layers[0]
    first = {n: v[0, 0] for n, v in layer.measures.items()}
    then = {n: v[0, 1] for n, v in layer.measures.items()}
    assert layer.name == "0"
    assert (first["gradient"], first["weight"], first["zero"], first["magnitude"]) == (2, 5, 0.5, 1)
    assert math.isnan(first["update"])
    assert then["weight"] == pytest.approx(math.sqrt(20))
    assert then["update"] == pytest.approx(1 / math.sqrt(20))


def test_a_unit_that_is_active_now_and_then_is_alive() -> None:
    """Each unit is silent in nine of ten batches, and one is silent in all of them."""
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.ReLU(), nn.Linear(10, 2))
    model[0].weight.data = torch.eye(10)
    model[0].weight.data[9, 9] = -1.0
    model[0].weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()
    with watch(model, optimizer, loss, every=1, say=None) as seen:
        for step in range(20):
            x = torch.zeros(32, 10)
            x[:, step % 10] = 1.0
            optimizer.zero_grad()
            loss(model(x), torch.zeros(32, dtype=torch.long)).backward()
            optimizer.step()
    units = next(v for v in seen.evidence().layers if v.kind == "units")
    dead = units.measures["dead"][0]
    assert dead[0] == pytest.approx(0.1), "at the start"
    assert np.isnan(dead[1:8]).all(), "too few rows to judge"
    np.testing.assert_allclose(dead[10:], 0.1, atol=1e-6)


def test_a_plain_function_is_called_through_watch() -> None:
    torch.manual_seed(0)
    model = mlp()
    optimizer = adam(model)
    with watch(model, optimizer, functional.cross_entropy, every=5, say=None) as seen:
        plain(model, optimizer, seen.loss)
    evidence = seen.evidence()
    assert evidence.has("train_loss", "val_loss", "train_accuracy")


def test_marks_that_are_told_count_before_those_that_are_seen() -> None:
    torch.manual_seed(0)
    model, loss = mlp(), nn.CrossEntropyLoss()
    optimizer = adam(model)
    with watch(model, optimizer, loss, every=3, say=None) as seen:
        for epoch in range(4):
            plain(model, optimizer, loss, 20)
            seen.epoch(val_loss=1 / (epoch + 1), val_accuracy=0.5, train_accuracy=0.7)
    evidence = seen.evidence()
    assert evidence.unit == "epoch"
    assert evidence.points.tolist() == [1, 2, 3, 4]
    assert evidence.series["val_loss"].tolist() == [[1, 1 / 2, 1 / 3, 1 / 4]]
    assert evidence.series["train_accuracy"].tolist() == [[0.7] * 4]
    assert evidence.setup.steps == 20
    assert evidence.best == (4,)


def test_hooks_go_when_the_loop_fails() -> None:
    model, loss = mlp(), nn.CrossEntropyLoss()
    optimizer = adam(model)
    with pytest.raises(ZeroDivisionError), watch(model, optimizer, loss, say=None):
        plain(model, optimizer, loss, 3)
        raise ZeroDivisionError
    assert hooks(model) == hooks(loss) == 0
    assert not optimizer._optimizer_step_post_hooks


def test_own_failure_ends_watching_and_not_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    model, loss = mlp(), nn.CrossEntropyLoss()
    optimizer = adam(model)

    def fails(self: Watch) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Watch, "_finish", fails)
    with watch(model, optimizer, loss, say=said.append) as seen:
        plain(model, optimizer, loss, 5)
        assert hooks(model) == 0
    assert isinstance(seen.trouble, RuntimeError)
    assert said == ["watch has stopped (RuntimeError: broken); training goes on"]


def test_two_optimizers() -> None:
    torch.manual_seed(0)
    model, loss = mlp(), nn.CrossEntropyLoss()
    both = [torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 3)]
    with watch(model, both, loss, every=1, say=None) as seen:
        for _ in range(5):
            model.zero_grad()
            loss(model(X[:64]), Y[:64]).backward()
            for optimizer in both:
                optimizer.step()
    evidence = seen.evidence()
    assert {v.name for v in evidence.layers if v.kind == "weight"} == {"0", "3"}
    assert not [c for c in evidence.checks if c.level in ("warning", "fault")]


def test_report_is_the_diagnosis_of_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    def diagnose(evidence: Evidence, limits: Any, ended: bool) -> Any:
        assert ended
        return SimpleNamespace(findings=[], evidence=evidence)

    monkeypatch.setitem(
        sys.modules, "trainwell.doctor.diagnose", SimpleNamespace(diagnose=diagnose)
    )
    seen = train("mlp", 5)[2]
    assert seen.report().evidence.points.tolist() == [20, 40, 60]


def test_evidence_can_be_kept(tmp_path: Any) -> None:
    evidence = train("gru", 5)[2].evidence()
    save_evidence(evidence, tmp_path / "evidence.json")
    again = load_evidence(tmp_path / "evidence.json")
    np.testing.assert_array_equal(again.series["val_loss"], evidence.series["val_loss"])
    assert [v.name for v in again.layers] == [v.name for v in evidence.layers]


def test_weights_are_named_after_their_layers() -> None:
    names = [s.name for s in slots_of(Gru())]
    assert names == ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "head"]


def test_mistakes_are_said() -> None:
    model = mlp()
    with pytest.raises(UserError, match="expected a model and an optimizer"):
        watch(adam(model), [])  # type: ignore[arg-type]
    for wrong in (None, 2, "Adam", [None], model):
        with pytest.raises(UserError, match="expected a model and an optimizer"):
            watch(model, wrong, nn.CrossEntropyLoss())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="got int and int"):
        watch(1, 2, 3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="expected a loss that can be called"):
        watch(model, adam(model), torch.tensor(1.0))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="at least 1"):
        watch(model, adam(model), every=0)
    with pytest.raises(UserError, match="no loss was given"):
        _ = watch(model, adam(model)).loss
