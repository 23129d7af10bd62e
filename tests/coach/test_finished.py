"""The coach begins with a finished run: its data, rows, recipe and networks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import trainwell as tw
from trainwell.cli import main
from trainwell.coach.finished import tried_before
from trainwell.coach.loop import TRIES
from trainwell.errors import UserError
from trainwell.fitting import fit
from trainwell.recipe import Recipe, load_recipe
from trainwell.run import Run

SLOW = {"model": "Mlp((16,))", "lr": "0.0003", "epochs": "8", "regularize": "()"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("finished") / "run"
    return tw.fit("wine", out=out, folds=3, seeds=1, seed=4, settings=SLOW, coach=False)


def test_the_networks_are_taken_and_not_trained_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*_: object) -> None:
        raise AssertionError("networks were trained again")

    monkeypatch.setattr("trainwell.fitting.train_members", trained)
    monkeypatch.setattr("trainwell.coach.run.UNITS", 0.0)  # no round: what is there is kept
    again = fit(coach_from=run.folder, out=tmp_path / "again")
    assert again.result["coached_from"] == str(run.folder)
    for key in ("test", "validation", "recipe", "members"):
        assert again.result[key] == run.result[key], key
    assert again.result["split"] == run.result["split"]
    log = (again.folder / "log.txt").read_text(encoding="utf-8")
    assert "began with the 3 networks of" in log


def test_the_coach_goes_on_from_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", "--coach-from", str(run.folder), "--out", str(tmp_path / "b"), "--json"]
    monkeypatch.setattr("trainwell.coach.run.UNITS", 4.0)
    monkeypatch.setattr("sys.argv", ["trainwell", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None), capsys.readouterr().err
    result = json.loads((tmp_path / "b" / "run.json").read_text(encoding="utf-8"))
    assert any(d["outcome"] == "adopted" for d in result["decisions"])
    before, after = (r["validation"]["accuracy"]["value"] for r in (run.result, result))
    assert after > before
    assert result["seed"] == 4  # of the run


def test_a_coached_run_can_be_begun_with_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainwell.coach.run.UNITS", 4.0)
    first = fit(coach_from=run.folder, out=tmp_path / "a")
    second = fit("wine", coach_from=first.folder, out=tmp_path / "b")
    assert second.result["coached_from"] == str(first.folder)


def test_what_a_run_tried_is_not_tried_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its coach's decisions about the recipe that is begun with count; what it was, is told."""
    monkeypatch.setattr("trainwell.coach.run.UNITS", 4.0)
    first = fit(coach_from=run.folder, out=tmp_path / "a")
    told = [d | {"round": 1} for d in first.result["decisions"] if d["round"] == 1]
    told = [d | {"outcome": "not shown"} if d["difference"] else d for d in told]
    compared = {json.dumps(d["changes"].get("model")) + d["tried"] for d in told if d["difference"]}
    assert compared
    kept = tmp_path / "kept"  # as if nothing had been adopted
    shutil.copytree(run.folder, kept)
    result = json.loads((kept / "run.json").read_text(encoding="utf-8"))
    result |= {"decisions": told, "coach": {"recipe": result["recipe"]}}
    (kept / "run.json").write_text(json.dumps(result), encoding="utf-8")
    recipe = load_recipe(kept / "recipe.toml", Recipe())
    earlier = tried_before(kept, recipe)
    assert earlier is not None and len(earlier.tried) >= len(compared)
    assert TRIES in earlier.tried.values()
    assert tried_before(kept, replace(recipe, epochs=99)) is None  # about another recipe
    second = fit(coach_from=kept, out=tmp_path / "b")
    again = {json.dumps(d["changes"].get("model")) + d["tried"] for d in second.result["decisions"]}
    assert not compared & again
    log = (second.folder / "log.txt").read_text(encoding="utf-8")
    assert f"not tried again, as {kept} did: " in log
    assert "that the run before had tried already" in second.result["coach"]["words"]
    assert [d["tried"] for d in second.result["coach"]["before"]] == [
        d["tried"] for d in told if d["outcome"] not in ("not trained", "not proved")
    ]


def test_other_data_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not those that the run was trained on"):
        fit("iris", coach_from=run.folder, out=tmp_path / "a")


def test_another_recipe_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="recipe of the run"):
        fit(coach_from=run.folder, settings={"lr": 0.1}, out=tmp_path / "a")
    with pytest.raises(UserError, match="--no-coach"):
        fit(coach_from=run.folder, coach=False, out=tmp_path / "a")


def test_what_is_no_run_is_refused(tmp_path: Path, run: Run) -> None:
    with pytest.raises(UserError, match="no finished run"):
        fit(coach_from=tmp_path, out=tmp_path / "a")
    with pytest.raises(UserError, match="no data"):
        fit()


def test_data_from_memory_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwell.coach.run.UNITS", 0.0)
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.normal(size=(90, 4)) + y[:, None]
    settings = {"model": "Mlp((8,))", "lr": "0.01", "epochs": "3"}
    out = tmp_path / "run"
    tw.fit((x, y), out=out, folds=2, seeds=1, settings=settings, coach=False)
    with pytest.raises(UserError, match="memory"):
        fit(coach_from=out, out=tmp_path / "a")
    again = fit((x, y), coach_from=out, out=tmp_path / "b")
    assert again.result["coached_from"] == str(out)


def test_a_budget_too_small_for_the_coach_is_said(tmp_path: Path) -> None:
    settings = {"model": "Mlp((8,))", "lr": "0.01", "epochs": "3"}
    run = tw.fit("wine", out=tmp_path / "run", folds=2, seeds=1, settings=settings, budget=20)
    assert run.result["decisions"] == []
    log = (run.folder / "log.txt").read_text(encoding="utf-8")
    assert "coach: not run, because a budget of 20 s leaves no time for the coach" in log
    assert run.result["coach"]["ran"] is False
