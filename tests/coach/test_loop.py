"""The closed loop on planted faults, and on a training that nothing can improve."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainwell as tw
from helpers.data import labelled, table
from trainwell import fitting
from trainwell.arms import Arena, Arm, cells_of
from trainwell.clock import now
from trainwell.coach.loop import Coach, Coached
from trainwell.coach.record import Round
from trainwell.coach.screening import Screen
from trainwell.data.dataset import Dataset
from trainwell.data.split import make_split
from trainwell.doctor.data_checks import data_checks
from trainwell.recipe import Recipe
from trainwell.run import Run
from trainwell.techniques.init import Zero
from trainwell.techniques.models.mlp import Mlp
from trainwell.techniques.preprocess import Raw
from trainwell.techniques.schedules import Constant
from trainwell.terminal import summary

GOOD = Recipe(
    model=Mlp((32,), norm="none"), regularize=(), lr=0.005, epochs=12, patience=12, batch_size=16
)


def rings(rows: int = 300, seed: int = 0) -> Dataset:
    """Two classes that no line divides, in columns of very unequal scale."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    angle, radius = rng.uniform(0, 2 * np.pi, rows), 1 + y + rng.normal(0, 0.15, rows)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return labelled(y, x)


def coached(data: Dataset, recipe: Recipe, units: float = 36.0) -> tuple[Arm, Coached]:
    split = make_split(data, seed=0, folds=3, test=0.2)
    arena = Arena(data, split, probing=True)
    checks = tuple(data_checks(data, split, preprocess=recipe.preprocess))
    (start,) = arena.train([recipe], cells_of(3, 1, 0))
    return start, Coach(arena, units=units, checks=checks).improve(start)


@pytest.mark.parametrize(
    "fault",
    [{"lr": 30.0}, {"init": Zero()}, {"lr": 1e-6}],
    ids=["rate too high", "zero weights", "rate too low"],
)
def test_a_planted_fault_is_mended(fault: dict[str, object]) -> None:
    start, end = coached(rings(), dataclasses.replace(GOOD, **fault))  # type: ignore[arg-type]
    assert start.accuracy.mean() < 0.85
    assert end.arm.accuracy.mean() > 0.93
    adopted = [d for d in end.decisions if d.outcome == "adopted"]
    assert adopted
    assert all(d.difference is not None and d.difference.value > 0 for d in adopted)
    assert all(d.placebo is not None for d in adopted)
    for d in end.decisions:
        assert d.saw and d.reason and d.told and d.changed, d
        assert d.reason not in ("rate", "gap", "no gap", "unusual", "usual")
        assert "points in short" not in d.told and "sign-flip" not in d.told
        if d.outcome in ("screened out", "not proved") and "given up" not in d.words:
            assert d.reached is not None and len(d.rates) >= 1
    assert any(c.startswith("learning rate") for d in adopted for c in d.changed)


def test_unscaled_inputs_are_mended() -> None:
    data = rings()
    raw = dataclasses.replace(data, inputs=data.inputs * np.array([1, 3000], np.float32))
    start, end = coached(raw, dataclasses.replace(GOOD, preprocess=(Raw(),)))
    assert end.arm.accuracy.mean() > start.accuracy.mean() + 0.1


def test_what_cannot_be_improved_is_left_as_it_is() -> None:
    start, end = coached(table(240), dataclasses.replace(GOOD, schedule=Constant()))
    assert start.accuracy.mean() > 0.8
    assert [d for d in end.decisions if d.outcome == "adopted"] == []
    assert end.recipe == start.recipe
    assert end.decisions  # it was tried


def test_labels_without_meaning_are_not_learned() -> None:
    """Nothing helps against noise; a remedy that wins here has won by luck."""
    rng = np.random.default_rng(1)
    adopted = 0
    for seed in range(4):
        data = labelled(rng.integers(0, 2, 200), rng.normal(size=(200, 4)))
        _, end = coached(data, dataclasses.replace(GOOD, epochs=6, patience=6), units=30 + seed)
        adopted += sum(d.outcome == "adopted" for d in end.decisions)
    assert adopted <= 1


def test_the_budget_ends_the_loop() -> None:
    _, end = coached(rings(), dataclasses.replace(GOOD, lr=30.0), units=6.0)
    assert end.cost <= 6.0
    assert end.ended == "what is left to try would cost more than a run without a budget may cost"
    arena = Arena(rings(), make_split(rings(), seed=0, folds=3, test=0.2), probing=True)
    (start,) = arena.train([GOOD], cells_of(3, 1, 0))
    late = Coach(arena, deadline=now() - 1).improve(start)
    assert late.decisions == () and late.ended == "the time for the coach is over"


def test_fit_with_the_coach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwell.coach.run.UNITS", 4.0)
    settings = {
        "model": "Mlp((32,), norm='none')",
        "optimizer": "Momentum()",
        "lr": "30.0",
        "epochs": "8",
        "regularize": "()",
    }
    run = tw.fit(
        "wine",
        out=tmp_path / "run",
        folds=3,
        seeds=1,
        settings=settings,
        coach=True,
    )
    assert run.result["decisions"]
    assert run.result["test"]["accuracy"]["value"] > 0.8
    assert any(d["outcome"] == "adopted" for d in run.result["decisions"])
    assert run.result["recipe"]["lr"] != "30.0"
    page = run.report.read_text(encoding="utf-8")
    assert "What the coach tried" in page
    # behind the findings, before the curves
    assert page.index('id="decisions"') < page.index("<h2>Training</h2>")
    first = run.result["coach"]["first"]
    assert first["recipe"]["lr"] == "30.0" and first["findings"]
    log = (run.folder / "log.txt").read_text(encoding="utf-8")
    told = summary(run.result, run.report)
    for finding in first["findings"]:
        assert finding["code"] in told and finding["code"] in log
    assert "learning rate 30 →" in told and "learning rate 30 →" in page
    assert "sign-flip" not in told
    assert "The coach chose the rate" in page and run.result["ladder"] is None
    assert [d for d in json.loads((run.folder / "decisions.json").read_text()) if d["rates"]]


def test_the_coach_begins_where_every_training_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "model": "Mlp((16,), norm='none')",
        "optimizer": "Momentum()",
        "lr": "1e9",
        "epochs": "8",
        "regularize": "()",
    }

    def fitted(name: str, coach: bool) -> Run:
        out = tmp_path / name
        return tw.fit("wine", out=out, folds=3, seeds=1, settings=settings, coach=coach)

    with pytest.raises(tw.UserError, match="every training diverged"):
        fitted("alone", False)
    run = fitted("coached", True)
    assert run.result["validation"]["accuracy"]["value"] > 0.8
    assert not any(m["diverged"] for m in run.result["members"])
    assert run.result["coach"]["first"]["diverged"] == 3
    (told,) = [w for w in run.result["warnings"] if "every training diverged" in w]
    assert "1e+09" in told and "the coach replaced it" in told
    assert not any("networks diverged" in w for w in run.result["warnings"])
    monkeypatch.setattr("trainwell.coach.run.ONE_ROUND", 0.0)
    monkeypatch.setattr("trainwell.coach.run.UNITS", 0.0)  # so that it cannot help
    with pytest.raises(tw.UserError, match="the coach found no remedy that is proved"):
        fitted("helpless", True)


def test_networks_without_an_epoch_do_not_keep_the_coach_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of three networks has diverged before its first epoch was over."""
    train = fitting.train_members

    def broken(work: Any) -> Any:
        trained, history, probes = train(work)
        lost = dataclasses.replace(trained[2], best_epoch=0, diverged=True)
        left = [s for s in history if s.member != 2]
        return [*trained[:2], lost], left, [p for p in probes if p.member != 2]

    monkeypatch.setattr(fitting, "train_members", broken)
    monkeypatch.setattr("trainwell.coach.run.UNITS", 4.0)
    settings = {"model": "Mlp((16,))", "lr": "0.01", "epochs": "5", "regularize": "()"}
    run = tw.fit("wine", out=tmp_path / "run", folds=3, seeds=1, settings=settings, ensemble=False)
    assert run.result["coach"]["ran"] and run.result["decisions"]
    assert run.result["coach"]["first"]["diverged"] == 1
    adopted = any(d["outcome"] == "adopted" for d in run.result["decisions"])
    lost = [w for w in run.result["warnings"] if "diverged and were left out" in w]
    assert len(lost) == (0 if adopted else 1)
    kept = [w for w in run.result["warnings"] if w.startswith("validation scores are those")]
    assert len(kept) == 1  # not once before and once after the coach


def test_why_the_coach_did_not_run_is_told(tmp_path: Path) -> None:
    settings = {"model": "Mlp((8,))", "lr": "0.01", "epochs": "2"}
    run = tw.fit("wine", out=tmp_path / "run", folds=2, seeds=1, settings=settings, coach=False)
    words = "not run, because it was switched off (--no-coach)"
    assert run.result["coach"] == {"ran": False, "words": words}
    assert f"coach    {words}" in summary(run.result, run.report)
    assert words in run.report.read_text(encoding="utf-8")


def test_ctrl_c_ends_the_coach_and_keeps_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen.run

    def pressed(self: Screen, *arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return screen(self, *arguments)

    monkeypatch.setattr(Screen, "run", pressed)
    settings = {"model": "Mlp((16,))", "lr": "0.01", "epochs": "5", "regularize": "()"}
    run = tw.fit("wine", out=tmp_path / "run", folds=3, seeds=1, settings=settings, coach=True)
    assert run.result["interrupted"] is True
    assert not [d for d in run.result["decisions"] if d["outcome"] == "adopted"]
    assert run.result["recipe"]["lr"] == "0.01"
    assert run.result["test"]["accuracy"]["value"] > 0.5


def test_an_augmentation_that_breaks_labels_is_refused_before_any_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the digits a half turn makes nines of sixes; a small one does not."""
    from trainwell.coach import loop
    from trainwell.coach.changes import Candidate
    from trainwell.data.read import read
    from trainwell.techniques.augment.images import Rotate
    from trainwell.techniques.augment.own import Own

    data = read("digits")
    arena = Arena(data, make_split(data, seed=0, folds=2, test=0.2), probing=True)
    base = dataclasses.replace(GOOD, epochs=15)
    (start,) = arena.train([base], cells_of(2, 1, 0))
    half_turn = Own(f"{__file__}:upside_down")
    found = [
        Candidate(name, dataclasses.replace(base, augment=(one,), lr=None), "gap")
        for name, one in (("half turn", half_turn), ("small turn", Rotate(5.0)))
    ]
    monkeypatch.setattr(loop, "candidates", lambda *rest: found)
    coach = Coach(arena, units=200.0)
    prover = loop.Prover(arena, "accuracy", base.epochs, None)
    assert [c.name for c in coach._wanted((), start, prover)] == ["small turn"]
    ((refused, words),) = coach.refused
    assert refused.name == "half turn" and "breaks labels" in words
    (decision,) = Round(1, start, (), 0.0, 1.0, "accuracy").refusals(coach.refused)
    assert decision.outcome == "refused" and decision.words == words


def upside_down(x: torch.Tensor) -> torch.Tensor:
    return x.flip(-1, -2)
