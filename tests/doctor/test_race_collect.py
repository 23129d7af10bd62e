"""A race at equal budget, and evidence from our own trainings."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwell as tw
from helpers.data import examples, members_of, table
from trainwell.doctor.collect import collect, from_run, setup_of
from trainwell.doctor.evidence import Arm, Evidence, Layer, load_evidence, save_evidence
from trainwell.doctor.finding import Check, Finding, Measure, Remedy, Where, worst_first
from trainwell.doctor.race import race, rate_arms
from trainwell.engine.trainer import Trainer
from trainwell.errors import UserError
from trainwell.recipe import Recipe
from trainwell.techniques.models.mlp import Mlp
from trainwell.techniques.optim.first_order import Momentum
from trainwell.techniques.schedules import Constant

RECIPE = Recipe(
    model=Mlp(hidden=(16,), norm="none"),
    regularize=(),
    optimizer=Momentum(),
    schedule=Constant(),
    lr=0.05,
    batch_size=16,
    epochs=6,
    patience=6,
)


def trainer(recipe: Recipe = RECIPE, probing: bool = False) -> Trainer:
    data = table(240)
    return Trainer(examples(data, recipe, np.arange(180)), probing=probing)


def test_arms_of_a_rate() -> None:
    assert rate_arms(0.01, (5.0, 0.2)) == {"lr x5": {"lr": "0.05"}, "lr /5": {"lr": "0.002"}}


def test_a_race_tells_a_rate_that_is_too_low() -> None:
    low = dataclasses.replace(RECIPE, lr=1e-4)
    members = members_of(table(240), [low] * 3)
    control, more, less = race(members, rate_arms(1e-4, (5.0, 0.2)), trainer())
    assert [a.name for a in (control, more, less)] == ["control", "lr x5", "lr /5"]
    assert (more.loss < control.loss).all()
    assert (less.loss > control.loss).all()


def test_the_control_is_the_training_itself() -> None:
    members = members_of(table(240), [RECIPE] * 2)
    alone = trainer().train(members, "training")
    (control,) = race(members, {}, trainer())
    best = [alone.trained[i].log_loss for i in range(2)]
    np.testing.assert_allclose(control.loss, best, rtol=1e-5)


def test_an_arm_that_diverges_has_lost() -> None:
    members = members_of(table(240), [RECIPE] * 2)
    control, wild = race(members, {"wild": {"lr": "1e30"}}, trainer())
    assert np.isfinite(control.loss).all()
    assert np.isinf(wild.train_loss).all() or (wild.loss > control.loss).all()


def test_a_race_that_is_stopped_says_nothing() -> None:
    stopped = trainer()
    stopped.stop = True
    assert race(members_of(table(240), [RECIPE]), rate_arms(0.05), stopped) == ()


def test_evidence_of_a_training() -> None:
    members = members_of(table(240), [RECIPE] * 3)
    run = trainer(probing=True)
    result = run.train(members, "training")
    evidence = collect([result.trained[i] for i in range(3)], result.history, result.probes)
    assert evidence.members == 3
    assert evidence.series["val_loss"].shape == (3, 6)
    assert evidence.train_rows == 180
    assert evidence.val_rows == 60
    assert [layer.kind for layer in evidence.layers] == ["weight", "units", "weight"]
    assert evidence.layers[0].measures["gradient"].shape == (3, 7)
    assert np.isnan(evidence.layers[0].measures["update"][:, 0]).all()  # before any step
    assert np.isfinite(evidence.layers[0].measures["update"][:, 1:]).all()
    last = [s.val_loss for s in result.history if s.epoch == 6]
    np.testing.assert_allclose(evidence.series["val_loss"][:, -1], last)


def test_zero_and_mean_gradients_are_those_of_the_gradient() -> None:
    """Dead units have gradients that are exactly zero; the mean lies below the norm's bound."""
    members = members_of(table(240), [dataclasses.replace(RECIPE, lr=1e-3)] * 2)
    run = trainer(probing=True)
    probes = [p for p in run.train(members, "training").probes if not math.isnan(p.weight)]
    assert probes
    for p in probes:
        assert 0 <= p.zero <= 1
        size = 16 * 5 if p.layer == probes[0].layer else 16 * 3
        assert p.magnitude <= p.gradient / size**0.5 * (1 + 1e-5)
        assert p.magnitude > 0


def test_setup_of_a_recipe() -> None:
    setup = setup_of(RECIPE)
    assert (setup.optimizer, setup.schedule, setup.depth) == ("Momentum", "Constant", 2)
    assert (setup.normalised, setup.momentum, setup.lr) == (False, 0.9, 0.05)


def test_what_was_later_is_not_in_evidence_until() -> None:
    rng = np.random.default_rng(0)
    evidence = Evidence(
        points=np.arange(1.0, 11.0),
        series={"val_loss": rng.random((2, 10))},
        layers=(Layer("0", "weight", {"update": rng.random((2, 11))}),),
        best=(3, 9),
        race=(Arm("control", (), np.ones(2), np.ones(2), np.ones(2)),),
    )
    early = evidence.until(4)
    assert early.points.tolist() == [1, 2, 3, 4]
    assert early.series["val_loss"].shape == (2, 4)
    assert early.layers[0].measures["update"].shape == (2, 5)
    assert early.best == (3, 0)
    assert early.race == ()


def test_evidence_comes_back_from_its_file(tmp_path: Path) -> None:
    remedy = Remedy("halve it", (("lr", "0.1"),))
    evidence = Evidence(
        points=np.arange(1.0, 4.0),
        series={"val_loss": np.array([[1.0, np.nan, np.inf]])},
        layers=(Layer("0", "units", {"dead": np.zeros((1, 4))}),),
        checks=(Check("D01", "unscaled-inputs", "fault", np.inf, 10.0, "words", (remedy,)),),
        race=(Arm("control", (("lr", "1"),), np.ones(3), np.ones(3), np.full(3, np.inf)),),
        confusion=np.eye(2, dtype=np.int64),
        reference={"linear": 0.5},
        class_names=("a", "b"),
    )
    save_evidence(evidence, tmp_path / "e.json")
    again = load_evidence(tmp_path / "e.json")
    np.testing.assert_array_equal(again.series["val_loss"], evidence.series["val_loss"])
    assert again.checks == evidence.checks
    assert again.race[0].changes == (("lr", "1"),)
    assert np.isinf(again.race[0].train_loss).all()
    assert again.confusion is not None
    assert again.confusion.tolist() == [[1, 0], [0, 1]]
    assert again.class_names == ("a", "b")


def test_evidence_of_a_run_folder(tmp_path: Path) -> None:
    run = tw.fit(
        "wine", out=tmp_path / "run", folds=3, seeds=1, settings={"epochs": "5"}, coach=False
    )
    evidence = from_run(run.folder)
    assert evidence.members == 3
    assert evidence.classes == 3
    assert evidence.confusion is not None
    assert evidence.confusion.sum() == run.result["validation"]["n"]
    assert evidence.has("val_loss", "update", "dead", "magnitude", "val_error")
    assert evidence.checks  # they were made before training and kept
    with pytest.raises(UserError, match=r"holds no finished run"):
        from_run(tmp_path)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that tests copy and damage."""
    out = tmp_path_factory.mktemp("run") / "run"
    return tw.fit("wine", out=out, folds=2, seeds=1, settings={"epochs": "3"}, coach=False).folder


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("doctor.json", b"{"),
        ("doctor.json", b"{}"),
        ("doctor.json", b"[]"),
        ("doctor.json", b'{"checks": [1], "race": [], "reference": {}}'),
        ("history.csv", b"abc"),
        ("history.csv", b"\xff\xfe\x00\x01"),
        ("history.csv", b"member,epoch\nx,y\n"),
        ("probes.csv", b"member,epoch,layer\n0\n"),
        ("probes.csv", b"abc\n1\n"),
        ("oof.npz", b"garbage"),
        ("oof.npz", b"PK\x03\x04"),
        ("oof.npz", b""),
        ("run.json", b"{}"),
        ("run.json", b"[]"),
        ("run.json", b"{"),
        ("recipe.toml", b"\xff"),
        ("recipe.toml", b"lr = = 1"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(
    run_folder: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match="Train again") as caught:
        from_run(folder)
    assert name in str(caught.value)


def test_a_run_without_checks_can_be_read(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    whole = from_run(folder)
    everything = json.loads((folder / "run.json").read_text())["data"]["counts"]
    assert sum(whole.class_counts) < sum(everything.values())  # no rows of the test
    (folder / "doctor.json").unlink()
    older = from_run(folder)
    assert not older.checks
    assert older.class_counts == tuple(everything.values())


def test_a_run_is_diagnosed_alone(run_folder: Path) -> None:
    with pytest.raises(UserError, match="a run is looked at alone"):
        tw.diagnose([run_folder, run_folder])
    with pytest.raises(UserError, match="a run is looked at alone"):
        tw.diagnose([run_folder / "history.csv", run_folder])
    with pytest.raises(UserError, match="--classes: a run knows"):
        tw.diagnose(run_folder, classes=3)
    with pytest.raises(UserError, match="--val-rows: a run knows"):
        tw.diagnose(run_folder, val_rows=3)
    assert tw.diagnose([run_folder / "history.csv"] * 2).findings is not None


@pytest.mark.parametrize(
    ("points", "series", "problem"),
    [
        (np.arange(3.0), {"train_loss": np.arange(3.0)}, r"train_loss: expected shape \(M, 3\)"),
        (np.arange(3.0), {"train_loss": np.zeros((1, 4))}, "train_loss: expected shape"),
        (
            np.arange(3.0),
            {"train_loss": np.zeros((1, 3)), "val_loss": np.zeros((2, 3))},
            "equally many members",
        ),
        (np.zeros((1, 3)), {}, "points: expected shape"),
    ],
)
def test_evidence_of_shapes_that_do_not_fit_is_refused(
    points: Any, series: Any, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Evidence(points, series)


def finding(code: str, level: str, confidence: float = 0.9) -> Finding:
    return Finding(code, "x", level, confidence, "words")  # type: ignore[arg-type]


def test_findings_come_worst_first_and_causes_before_symptoms() -> None:
    found = [finding("F01", "warning"), finding("D08", "note"), finding("R02", "warning")]
    found.append(finding("F04", "fault"))
    assert [f.code for f in worst_first(found)] == ["F04", "R02", "F01", "D08"]


def test_a_finding_is_plain_json() -> None:
    made = Finding(
        "R02",
        "learning-rate-too-high",
        "fault",
        0.9,
        "words",
        (Measure("loss", math.inf, threshold=2.0),),
        (Remedy("halve it", (("lr", "0.1"),)), Remedy("warm up", (("schedule", "WarmUp()"),))),
        Where("loss", (1, 5)),
    )
    plain = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert plain["evidence"]["loss"]["value"] is None
    assert plain["remedies"] == [
        "halve it: --set lr=0.1",
        'warm up: --set "schedule=WarmUp()"',
    ]
    assert plain["where"]["epochs"] == [1, 5]
