"""Files that somebody may have sent never run code that they name, unless they are trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import trainwell as tw
from trainwell.errors import UserError
from trainwell.request import Request, as_call, load_request

CODE = """
import pathlib
import torch

pathlib.Path("ran").write_text("yes")


def build(shape, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0], classes))
"""
QUICK = {"epochs": 1, "lr": 0.01}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(CODE)
    return tmp_path


def ran(folder: Path) -> bool:
    found = (folder / "ran").exists()
    (folder / "ran").unlink(missing_ok=True)
    return found


def test_a_recipe_file(folder: Path) -> None:
    file = folder / "recipe.toml"
    file.write_text("model = \"Custom('nets.py:build')\"\n")
    with pytest.raises(UserError, match="--trust") as refused:
        tw.fit("iris", recipe=file, settings=QUICK, folds=2, seeds=1, out="a", coach=False)
    assert "nets.py:build" in str(refused.value) and not ran(folder)
    run = tw.fit(
        "iris", recipe=file, settings=QUICK, folds=2, seeds=1, out="b", trust=True, coach=False
    )
    assert ran(folder)
    with pytest.raises(UserError, match="--trust"):
        tw.predict(run.folder, [[5.1, 3.5, 1.4, 0.2]])
    assert not ran(folder)


def test_a_setting_is_typed_by_the_user(folder: Path) -> None:
    model = {"model": "Custom('nets.py:build')"}
    run = tw.fit("iris", settings=QUICK | model, folds=2, seeds=1, out="a", coach=False)
    assert ran(folder) and "Custom" in run.result["recipe"]["model"]


@pytest.mark.parametrize("where", ["settings", "recipe"])
def test_a_run_that_is_gone_on_with(folder: Path, where: str) -> None:
    begun = folder / "run" / "checkpoint"
    begun.mkdir(parents=True)
    values = {"format": 1, "source": "iris", "trust": True, "folds": 2, "seeds": 1}
    values["settings"] = {"epochs": "1", "lr": "0.01"}
    if where == "settings":
        values["settings"] |= {"model": "Custom('nets.py:build')"}  # type: ignore[operator]
    else:
        (begun / "recipe.toml").write_text("model = \"Custom('nets.py:build')\"\n")
    (begun / "request.json").write_text(json.dumps(values))
    assert not load_request(folder / "run").trust  # a file does not vouch for itself
    with pytest.raises(UserError, match="--trust"):
        tw.resume(folder / "run")
    assert not ran(folder)
    run = tw.resume(folder / "run", trust=True)
    assert ran(folder) and "Custom" in run.result["recipe"]["model"]


def test_trust_is_no_part_of_what_is_kept() -> None:
    assert "trust" not in as_call(Request("iris", trust=True))
