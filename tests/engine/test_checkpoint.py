"""Checkpoints: between any two steps, exact, whole or not there, and never another population's."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from helpers.data import LOOPED, STACKED, VMAPPED, examples, members_of, table, varied
from trainwell.engine import checkpoint
from trainwell.engine.members import Member, Trained
from trainwell.engine.parts import Part, Store, train_part
from trainwell.engine.population import Execution, Population
from trainwell.engine.score import EpochScore
from trainwell.engine.train import train
from trainwell.errors import UserError
from trainwell.recipe import Recipe
from trainwell.techniques.augment.mixing import MixUp
from trainwell.techniques.augment.tables import Jitter
from trainwell.techniques.balance import ClassWeights, Focal, LogitAdjust, Oversample, Smote
from trainwell.techniques.models.mlp import Mlp
from trainwell.techniques.regularize import L2, Dropout, InputDropout, LabelSmoothing, MaxNorm

DATA = table(rows=200, classes=4)
BASE = Recipe(
    model=Mlp(hidden=(12, 8)),
    regularize=(L2(1e-3), Dropout(0.3), InputDropout(0.1), MaxNorm(1.0), LabelSmoothing(0.1)),
    augment=(Jitter(0.1), MixUp(0.4)),
    lr=5e-3,
    epochs=5,
    batch_size=16,
)
SHARED = examples(DATA, BASE, members_of(DATA, [BASE])[0].train)


def some(count: int = 5) -> list[Member]:
    """Members that end at different times."""
    recipes = varied(
        BASE,
        lr=[5e-3, 0.5, 1e-3, 5e-2, 2e-2][:count],
        patience=[9, 1, 9, 2, 9][:count],
        balance=[ClassWeights(), Oversample(), Smote(), LogitAdjust(), Focal()][:count],
    )
    return members_of(DATA, recipes)


class Pauses:
    """Ask for a pause after every n steps."""

    def __init__(self, every: int) -> None:
        self.every, self.steps = every, 0

    def __call__(self) -> bool:
        self.steps += 1
        return self.steps % (self.every + 1) == 0


def straight(way: Execution) -> tuple[list[Trained], list[EpochScore], Population]:
    people = Population(some(), SHARED, way, probing=True)
    history = [s for scores in train(people) for s in scores]
    return people.trained, history, people


@pytest.mark.parametrize("every", [2, 11])
@pytest.mark.parametrize("way", [Execution("stacked", 2), STACKED, VMAPPED, LOOPED], ids=str)
def test_going_on_from_any_step_gives_the_same_bits(
    way: Execution, every: int, tmp_path: Path
) -> None:
    """At every pause the population is saved, thrown away, built anew and restored."""
    expected, scores, undisturbed = straight(way)
    path = tmp_path / "part.safetensors"
    people, history, pauses, saves = Population(some(), SHARED, way, probing=True), [], 0, 0
    while True:
        for found in train(people, Pauses(every)):
            history += found
            pauses += not found
            if not found or len(history) % 2:
                break
        else:
            break
        checkpoint.save(path, people, history)
        saves += 1
        assert checkpoint.read(path).execution == way
        people = Population(some(), SHARED, way, probing=True)
        history = checkpoint.restore(checkpoint.read(path), people)
    assert saves > 3
    assert pauses
    assert history == scores
    assert [repr(p) for p in people.probes] == [repr(p) for p in undisturbed.probes]
    for a, b in zip(people.trained, expected, strict=True):
        assert torch.equal(a.theta, b.theta)
        assert torch.equal(a.buffers, b.buffers)
        assert (a.epochs, a.best_epoch, a.accuracy, a.log_loss, a.diverged) == (
            b.epochs,
            b.best_epoch,
            b.accuracy,
            b.log_loss,
            b.diverged,
        )


def test_probes_change_no_bit() -> None:
    for way in (STACKED, VMAPPED, LOOPED):
        with_probes, scores, people = straight(way)
        plain = Population(some(), SHARED, way)
        assert [s for found in train(plain) for s in found] == scores
        assert people.probes and not plain.probes
        for a, b in zip(with_probes, plain.trained, strict=True):
            assert torch.equal(a.theta, b.theta)
            assert torch.equal(a.buffers, b.buffers)


def test_probes_measure_what_they_say() -> None:
    """Against plain torch on the same rows, for the member that trains alone."""
    recipe = dataclasses.replace(BASE, regularize=(), balance=None, augment=(), epochs=1)
    people = Population(members_of(DATA, [recipe]), SHARED, LOOPED, probing=True)
    before = people.theta.clone()
    list(train(people))
    first = {p.layer: p for p in people.probes}
    network = recipe.model.build(SHARED.inputs.shape, 4, 0.0)
    (trained,) = people.trained
    from trainwell.engine.stack import layout, named_rows

    parameters, statistics = layout(network)
    state = dict(named_rows(trained.theta, parameters))
    state |= dict(named_rows(trained.buffers, statistics))
    network.load_state_dict(state, strict=False)
    network.eval()
    rows, _ = Population(members_of(DATA, [recipe]), SHARED, LOOPED).train_sample
    assert SHARED.inputs.bank is not None
    x = SHARED.inputs.bank[rows[0]]
    places = torch.linspace(0, rows.shape[1] - 1, 16).long()  # from all over the sample
    loss = torch.nn.functional.cross_entropy(network(x[places]), SHARED.labels[rows[0, places]])
    loss.backward()  # type: ignore[no-untyped-call]
    layers = dict(network.named_modules())
    for name in ("1", "4", "7"):
        weight = layers[name].weight
        assert isinstance(weight, torch.nn.Parameter) and weight.grad is not None
        assert first[name].gradient == pytest.approx(float(weight.grad.norm()), rel=1e-3)
        assert first[name].weight == pytest.approx(float(weight.detach().norm()), rel=1e-5)
        assert 0 < first[name].update < 1
    with torch.no_grad():
        hidden = network[:4](x)
    assert first["3"].mean == pytest.approx(float(hidden.mean()), rel=1e-4)
    assert first["3"].spread == pytest.approx(float(hidden.std()), rel=1e-3)
    assert first["3"].dead == pytest.approx(float((hidden == 0).all(dim=0).float().mean()))
    assert not torch.equal(before[0], trained.theta)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_dead_and_saturated_units_are_found(activation: Any) -> None:
    recipe = dataclasses.replace(
        BASE,
        model=Mlp(hidden=(10,), norm="none", activation=activation),
        regularize=(),
        epochs=1,
        lr=1e-9,
    )
    for way in (STACKED, LOOPED):
        people = Population(members_of(DATA, [recipe] * 2), SHARED, way, probing=True)
        slot = next(s for s in people.parameters if s.name == "1.bias")
        people.theta[1, slot.start : slot.start + 4] = -1000.0  # four of ten units pushed down
        list(train(people))
        found = {p.member: p for p in people.probes if p.layer == "2"}
        if activation == "relu":
            assert (found[0].dead, found[1].dead) == (0.0, pytest.approx(0.4))
        else:
            assert found[1].saturated == pytest.approx(0.4)
            assert found[0].saturated < 0.4


# --- files ---------------------------------------------------------------------------------------


def saved(tmp_path: Path) -> tuple[Path, Population]:
    people = Population(some(), SHARED, STACKED)
    next(train(people))
    path = tmp_path / "part.safetensors"
    checkpoint.save(path, people, [])
    return path, people


def test_another_population_is_refused(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    for other in (some(4), [dataclasses.replace(m, seed=m.seed + 1) for m in some()]):
        with pytest.raises(UserError, match="of other data, another recipe or other seeds"):
            checkpoint.restore(checkpoint.read(path), Population(other, SHARED, STACKED))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    whole = path.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UserError, match="checkpoint cannot be read") as caught:
            checkpoint.restore(checkpoint.read(path), Population(some(), SHARED, STACKED))
        assert str(path) in str(caught.value)
    path.write_bytes(whole)
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["trainwell"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for wrong in ({"format": 99}, {"best": 3}, {"ids": [77]}, {"place": None}):
        save_file(tensors, path, {"trainwell": json.dumps(facts | wrong)})
        with pytest.raises(UserError, match="checkpoint cannot be read"):
            checkpoint.restore(checkpoint.read(path), Population(some(), SHARED, STACKED))
    del tensors["theta"]
    save_file(tensors, path, {"trainwell": json.dumps(facts)})
    with pytest.raises(UserError, match="checkpoint cannot be read"):
        checkpoint.restore(checkpoint.read(path), Population(some(), SHARED, STACKED))


def test_the_last_good_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room: a clear message, the old file, no half of a new one; training goes on."""
    path, people = saved(tmp_path)
    good = path.read_bytes()

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        checkpoint.save(path, people, [])
    assert path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    part = Part(tuple(some()), STACKED, path, 0.0, None, None)
    outcome = train_part(part, SHARED, lambda scores: None, lambda: False)
    assert outcome.trouble is not None and "No space left on device" in outcome.trouble
    assert len(outcome.trained) == 5
    assert path.read_bytes() == good


def test_the_state_of_a_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "checkpoint")
    assert store.once("size", lambda: 3) == 3
    assert store.once("size", lambda: 4) == 3
    store.clock(12.5, at_least=0.0)
    again = Store(tmp_path / "checkpoint")
    assert again.once("size", lambda: 5) == 3
    assert again.state["used"] == 12.5
    again.remove()
    assert not (tmp_path / "checkpoint").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="folder for checkpoints cannot be written"):
        Store(tmp_path / "file")
