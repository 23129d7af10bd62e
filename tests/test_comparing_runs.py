"""Finished runs against each other: planted differences, alike models, runs that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trainwell.cli import main
from trainwell.comparing_runs import compare_runs, judged
from trainwell.errors import DataError, UserError
from trainwell.significance import holm


def run(
    folder: Path,
    right: np.ndarray,
    rows: np.ndarray | None = None,
    name: str = "d",
    digest: str | None = None,
) -> Path:
    """A run folder whose model is right on these rows."""
    labels = np.arange(len(right)) % 3
    said = np.where(right, labels, (labels + 1) % 3)
    rows = np.arange(len(right)) if rows is None else rows
    folder.mkdir()
    facts = {"name": name, "classes": ["a", "b", "c"], "data_digest": digest}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    order = np.random.default_rng(0).permutation(len(right))  # runs may store another order
    np.savez(
        folder / "oof.npz",
        rows=np.empty(0, int),
        labels=np.empty(0, int),
        probabilities=np.empty((0, 3)),
        test_rows=rows[order],
        test_labels=labels[order],
        test_probabilities=np.eye(3)[said][order],
    )
    return folder


def test_a_planted_difference_is_found_in_its_direction(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    base = rng.random(1000) < 0.8
    better = base | (rng.random(1000) < 0.3)
    a, b = run(tmp_path / "a", base), run(tmp_path / "b", better)
    found = compare_runs([a, b])
    assert found["verdict"] == "better" and (found["a"], found["b"]) == ("a", "b")
    value = better.mean() - base.mean()
    assert found["difference"]["value"] == pytest.approx(value)
    assert 0 < found["difference"]["low"] < value < found["difference"]["high"]
    assert compare_runs([b, a])["verdict"] == "worse"


def test_alike_models_are_seldom_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    words = []
    for i in range(100):
        easy = rng.random(300)
        a, b = (easy + 0.2 * rng.normal(size=300) < 0.8 for _ in range(2))
        folders = [run(tmp_path / f"a{i}", a), run(tmp_path / f"b{i}", b)]
        words.append(compare_runs(folders)["verdict"])
    assert sum(w in ("better", "worse") for w in words) <= 11  # binomial(100, 0.05), 99.5 %


def test_the_same_model_twice_makes_no_difference(tmp_path: Path) -> None:
    """Said where there are rows enough: of few rows equal scores leave a lot open."""
    right = np.random.default_rng(3).random(900) < 0.9
    for rows, word in ((36, "not shown"), (900, "no difference that matters")):
        pair = [run(tmp_path / f"{name}{rows}", right[:rows]) for name in "ab"]
        found = compare_runs(pair)
        assert found["verdict"] == word and found["p"] == 1.0
    with pytest.raises(UserError, match="named twice"):
        compare_runs([pair[0], pair[0]])


def test_what_decided_in_the_runs_decides_between_them(tmp_path: Path) -> None:
    """B finds the rare class and loses some of the common one: worse by accuracy alone."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [900, 60])
    a = labels == 0
    b = np.where(labels == 0, rng.random(960) < 0.9, rng.random(960) < 0.8)
    runs = []
    for name, right in (("a", a), ("b", b)):
        folder = run(tmp_path / name, right)
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        facts |= {"classes": ["common", "rare"], "metric": {"name": "balanced_accuracy"}}
        (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
        said = np.where(right, labels, 1 - labels)
        empty = {"rows": np.empty(0, int), "labels": np.empty(0, int)}
        tested = {"test_rows": np.arange(960), "test_labels": labels}
        probabilities = {"probabilities": np.empty((0, 2)), "test_probabilities": np.eye(2)[said]}
        np.savez(folder / "oof.npz", **empty, **tested, **probabilities)
        runs.append(folder)
    found = compare_runs(runs)
    assert (found["metric"], found["verdict"]) == ("balanced_accuracy", "better")
    recall = (b[:900].mean() + b[900:].mean()) / 2
    assert found["difference"]["value"] == pytest.approx(recall - 0.5)
    assert compare_runs(runs, "accuracy")["verdict"] == "worse"
    assert compare_runs(runs, "macro_f1")["verdict"] == "better"
    assert compare_runs(runs, "log_loss")["lower_is_better"]


def test_several_runs_are_adjusted(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    base = rng.random(500) < 0.8
    runs = [run(tmp_path / "a", base)]
    flips = (0.05, 0.1, 0.15)
    for i, share in enumerate(flips):
        runs.append(run(tmp_path / f"b{i}", base | (rng.random(500) < share)))
    together = compare_runs(runs)["comparisons"]
    alone = [compare_runs([runs[0], r])["p"] for r in runs[1:]]
    assert [c["p"] for c in together] == pytest.approx(list(holm(alone)))


def test_runs_on_other_rows_or_data_are_refused(tmp_path: Path) -> None:
    right = np.ones(30, bool)
    a = run(tmp_path / "a", right)
    b = run(tmp_path / "b", right, rows=np.arange(5, 35))
    with pytest.raises(UserError, match="25 of them in both"):
        compare_runs([a, b])
    with pytest.raises(UserError, match="other data"):
        compare_runs([a, run(tmp_path / "c", right, name="e")])
    old, new = (run(tmp_path / d, right, digest=d) for d in ("f", "g"))
    with pytest.raises(UserError, match="data that changed between them"):
        compare_runs([old, new])
    assert compare_runs([a, old])["verdict"] == "not shown"  # a keeps no digest


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run"):
        judged(tmp_path)
    a = run(tmp_path / "a", np.ones(30, bool))
    (a / "oof.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="no finished run"):
        judged(a)


def test_runs_are_compared_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    base = rng.random(600) < 0.7
    runs = [run(tmp_path / "a", base), run(tmp_path / "b", base | (rng.random(600) < 0.4))]
    runs.append(run(tmp_path / "c", base))
    words = ["trainwell", "compare", *map(str, runs), "--json", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().out
    assert end.value.code == 0, told
    found = json.loads(told.splitlines()[-1])
    assert [c["verdict"] for c in found["comparisons"]] == ["better", "not shown"]
    assert (found["a"], found["b"], found["verdict"]) == ("a", "b", "better")
    assert json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8")) == found
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert "not shown" in page and "<svg" in page
    monkeypatch.setattr("sys.argv", ["trainwell", "compare", *map(str, runs), "--folds", "3"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2 and "--folds" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["trainwell", "compare", str(runs[0])])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2 and "got 1 words" in capsys.readouterr().err
