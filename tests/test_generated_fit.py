"""Generated samples through the command line: added, refused, told, and made only once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwell.engine.generating as generating
from helpers.data import digits, pictures
from trainwell.cli import main
from trainwell.techniques.augment.samples import Samples


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = pictures(rows=120)
    np.savez(tmp_path / "squares.npz", X=made.inputs, y=np.array(made.classes)[made.labels])
    return tmp_path / "squares.npz"


def trainwell(*words: str) -> int:
    """Run the command line in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit) as end:
        patched.setattr(sys, "argv", ["trainwell", *words])
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


def fit(data: Path, out: Path, augment: str, *more: str) -> int:
    options = ["--folds", "2", "--seeds", "1", "--no-coach", "--json", "--out", str(out)]
    settings = ["--set", f"augment={augment}", "--set", "epochs=2", "--set", "lr=0.01"]
    network = ["--set", "model=Mlp(hidden=(8,))"]
    return trainwell("fit", str(data), *options, *settings, *network, *more)


def last_line(capsys: Any) -> Any:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_fit_adds_samples_and_tells_of_them(data: Path, tmp_path: Path, capsys: Any) -> None:
    assert fit(data, tmp_path / "run", "(Gan(steps=120, width=16, lr=2e-3, batch=16),)") == 0
    result = last_line(capsys)
    assert len(result["generated"]) == 2
    for fold, told in enumerate(result["generated"]):
        assert told["fold"] == fold and told["refused"] == ""
        assert told["kept"] == told["real"] == 48
        assert 0 <= told["tstr"]["low"] <= told["tstr"]["value"] <= told["tstr"]["high"] <= 1
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Generated samples" in page and "the training picture that is nearest" in page
    assert (tmp_path / "run" / "generated.npz").exists()


def test_worthless_samples_are_refused_and_training_goes_on(
    data: Path, tmp_path: Path, capsys: Any
) -> None:
    assert fit(data, tmp_path / "run", "(Gan(steps=1, width=8),)") == 0
    result = last_line(capsys)
    assert all(told["refused"] for told in result["generated"])
    assert sum("no samples are added" in words for words in result["warnings"]) == 2
    assert result["test"]["n"] > 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "no samples were added" in page


def test_digits_are_written_and_refined(tmp_path: Path, capsys: Any) -> None:
    some = digits()
    np.savez(tmp_path / "some.npz", X=some.inputs[:400], y=some.labels[:400])
    assert fit(tmp_path / "some.npz", tmp_path / "run", "(Refine(steps=4, agree=0.1),)") == 0
    told = last_line(capsys)["generated"]
    assert [t["technique"] for t in told] == ["Refine", "Refine"]
    assert all(t["drawn"] > 100 for t in told)


def test_tables_too(capsys: Any, tmp_path: Path) -> None:
    options = ["--folds", "2", "--seeds", "1", "--no-coach", "--json", "--out", str(tmp_path / "r")]
    settings = ["--set", "augment=(Gan(steps=150),)", "--set", "epochs=2", "--set", "lr=0.01"]
    assert trainwell("fit", "iris", *options, *settings) == 0
    told = last_line(capsys)["generated"]
    assert len(told) == 2 and all(t["drawn"] >= 60 for t in told)
    assert "Generated samples" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ("(Gan(ratio=0),)", "ratio must be > 0"),
        ("(Gan(), Gan(ratio=2))", "Gan is given twice"),
        ("(Refine(simulated='nowhere.npz'),)", "nowhere.npz"),
        ("(Refine(),)", "the data have other classes"),
    ],
)
def test_mistakes_are_told(
    data: Path, tmp_path: Path, capsys: Any, augment: str, words: str
) -> None:
    assert fit(data, tmp_path / "run", augment) == 2
    seen = capsys.readouterr()
    assert words in seen.err + seen.out and "Traceback" not in seen.err


def test_shuffle_must_change(data: Path, tmp_path: Path, capsys: Any) -> None:
    assert fit(data, tmp_path / "run", "(Gan(),)", "--set", "shuffle=once") == 2
    assert "Gan needs a new order in every epoch" in capsys.readouterr().err


def test_resume_does_not_make_finished_samples_again(
    data: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the second fold, the first fold's samples are kept; the result is the same."""
    gan, made = "(Gan(steps=30, width=16, agree=0.0),)", []
    original = generating._made

    def once(*given: Any) -> Samples:
        made.append(given[1])
        if len(made) == 2:
            raise KeyboardInterrupt
        return original(*given)

    with monkeypatch.context() as patched:
        patched.setattr(generating, "_made", once)
        assert fit(data, tmp_path / "run", gan) == 130
    assert "trainwell resume" in capsys.readouterr().err
    remade = []
    with monkeypatch.context() as patched:
        patched.setattr(generating, "_made", lambda *g: remade.append(g) or original(*g))
        assert trainwell("resume", str(tmp_path / "run"), "--json") == 0
    resumed = last_line(capsys)
    assert len(remade) == 1
    assert fit(data, tmp_path / "other", gan) == 0
    undisturbed = last_line(capsys)
    for one, other in zip(resumed["generated"], undisturbed["generated"], strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    for name in ("test", "validation"):
        assert resumed[name] == undisturbed[name]
