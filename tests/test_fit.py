"""The main job on small data: complete run folders, numbers that agree with each other and with
scikit-learn, a sealed test part that stays sealed, and repetitions that give the same bits."""

from __future__ import annotations

import csv
import json
import signal
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from sklearn import metrics
from sklearn.datasets import load_iris

from helpers.data import clips, pictures
from helpers.openings import but_openings
from trainwell.data.read import read
from trainwell.data.split import Split, make_split
from trainwell.engine import train
from trainwell.errors import DataError, Interrupted, RecipeError, UserError
from trainwell.fitting import fit
from trainwell.model import load
from trainwell.progress import Progress
from trainwell.recipe import Recipe, from_toml
from trainwell.run import Run, load_run
from trainwell.techniques.models.mlp import Linear

QUICK: Mapping[str, Any] = {"epochs": 4, "lr": 0.01, "model": "Mlp(hidden=(16,))"}
CHANGING = {"started", "seconds", "peak_mb", "run", "test_openings_here"}


def quick(source: Any, out: Path, **options: Any) -> Run:
    """A fit of seconds: few epochs, two folds, one seed, no ladder, no coach."""
    given: dict[str, Any] = {"folds": 2, "seeds": 1, "settings": QUICK, "jobs": 1, "coach": False}
    return fit(source, out=out, **given | options)


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return quick("iris", tmp_path_factory.mktemp("runs") / "iris", folds=3, seeds=2, seed=5)


def weights(run: Run) -> bytes:
    return (run.folder / "model" / "weights.safetensors").read_bytes()


def same_tensors(a: Run, b: Run) -> bool:
    """Equal weights to the bit; the files also name their card, which knows the columns."""
    found = [load_file(r.folder / "model" / "weights.safetensors") for r in (a, b)]
    return found[0].keys() == found[1].keys() and all(
        np.array_equal(t, found[1][n]) for n, t in found[0].items()
    )


def lasting(run: Run) -> dict[str, Any]:
    """What the same command must give again."""
    stored = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    stored["warnings"] = but_openings(stored["warnings"])
    return {key: value for key, value in stored.items() if key not in CHANGING}


def iris_split() -> Split:
    return make_split(read("iris"), seed=5, folds=3, test=0.2)


# --- the folder --------------------------------------------------------------------------------


def test_the_folder_is_complete(iris: Run) -> None:
    found = {p.relative_to(iris.folder).as_posix() for p in iris.folder.rglob("*") if p.is_file()}
    assert found == {
        "decisions.json",
        "doctor.json",
        "probes.csv",
        "findings.json",
        "history.csv",
        "log.txt",
        "model/model.json",
        "model/weights.safetensors",
        "oof.npz",
        "recipe.toml",
        "request.json",
        "report.html",
        "run.json",
    }
    assert iris.report.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
    assert load_run(iris.folder).result == json.loads(json.dumps(iris.result))


def test_keys_of_run_json(iris: Run) -> None:
    result = iris.result
    assert {
        *["run", "test", "validation", "recipe", "findings", "decisions", "ensemble", "seconds"],
        *["peak_mb", "name", "kind", "version", "command", "seed", "classes", "train", "data"],
        *["baselines", "split", "ladder", "members", "parameters", "warnings", "interrupted"],
        *["environment", "started", "confusion", "per_class", "test_openings"],
    } <= set(result)
    for part in ("test", "validation"):
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss"):
            value = result[part][name]
            assert value["low"] <= value["value"] <= value["high"], (part, name)
    assert result["kind"] == "table"
    assert result["seed"] == 5
    assert result["test_openings"] == 1
    assert result["interrupted"] is False
    assert but_openings(result["warnings"]) == []
    assert result["ladder"] is None
    assert result["classes"] == ["setosa", "versicolor", "virginica"]
    assert result["seconds"] > 0
    assert result["peak_mb"] > 50
    assert result["environment"]["threads"] == 1
    assert json.loads((iris.folder / "findings.json").read_text()) == result["findings"]
    assert json.loads((iris.folder / "decisions.json").read_text()) == []
    assert {c["level"] for c in result["checks"]} <= {"pass", "note", "warning", "fault"}


def test_sizes_agree(iris: Run) -> None:
    split, result = iris_split(), iris.result
    assert result["split"]["test"] == len(split.sealed) == result["test"]["n"]
    assert result["split"]["development"] == len(split.development) == result["validation"]["n"]
    assert result["split"]["folds"] == [
        {"train": len(f.train), "validation": len(f.validation)} for f in split.folds
    ]
    assert np.sum(result["confusion"]) == len(split.sealed)
    assert [row["n"] for row in result["per_class"]] == np.sum(result["confusion"], axis=1).tolist()
    assert len(result["members"]) == 3 * 2  # folds and seeds as given
    assert [(m["fold"], m["member"]) for m in result["members"]] == [
        *[(f, f) for f in range(3)],
        *[(f, 3 + f) for f in range(3)],
    ]
    assert len({m["seed"] for m in result["members"]}) == 2
    assert result["ensemble"]["members"] == 6
    model = load(iris.folder)
    assert len(model.parts) == 6
    assert result["parameters"] == model.parameters


def test_history(iris: Run) -> None:
    with (iris.folder / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(int(r["member"]), int(r["epoch"])) for r in rows] == [
        (m, e) for m in range(6) for e in range(1, 5)
    ]
    for m in iris.result["members"]:
        mine = [r for r in rows if int(r["member"]) == m["member"]]
        best = min(mine, key=lambda r: float(r["val_loss"]))
        assert int(best["epoch"]) == m["best_epoch"]
        assert float(best["val_loss"]) == pytest.approx(m["validation_log_loss"], rel=1e-5)
        assert float(best["val_accuracy"]) == pytest.approx(m["validation_accuracy"], rel=1e-5)
    best_rows = [
        float(r["train_accuracy"])
        for r in rows
        if int(r["epoch"]) == iris.result["members"][int(r["member"])]["best_epoch"]
    ]
    assert iris.result["train"]["accuracy"]["value"] == pytest.approx(np.mean(best_rows), rel=1e-5)


def test_the_recipe_file_gives_the_recipe_back(iris: Run) -> None:
    text = (iris.folder / "recipe.toml").read_text(encoding="utf-8")
    recipe = from_toml(text, Recipe(), "recipe.toml")
    assert recipe.lr == 0.01
    assert recipe.epochs == 4
    assert {k: v for k, v in tomllib.loads(text).items() if k == "model"} == {
        "model": iris.result["recipe"]["model"]
    }


# --- the numbers -------------------------------------------------------------------------------


def check_scores(found: Mapping[str, Any], labels: Any, probabilities: Any) -> None:
    """All scores of a part against scikit-learn."""
    said = probabilities.argmax(axis=1)
    expected = {
        "accuracy": metrics.accuracy_score(labels, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, said),
        "macro_f1": metrics.f1_score(labels, said, average="macro"),
        "log_loss": metrics.log_loss(labels, probabilities / probabilities.sum(1, keepdims=True)),
    }
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-6), name


def test_test_scores_by_scikit_learn(iris: Run) -> None:
    data, rows = read("iris"), iris_split().sealed.open("a test of the test")
    probabilities = load(iris.folder).probabilities(data.inputs[rows])
    check_scores(iris.result["test"], data.labels[rows], probabilities)
    matrix = metrics.confusion_matrix(data.labels[rows], probabilities.argmax(axis=1))
    assert iris.result["confusion"] == matrix.tolist()
    recall = metrics.recall_score(data.labels[rows], probabilities.argmax(axis=1), average=None)
    assert [r["recall"]["value"] for r in iris.result["per_class"]] == pytest.approx(list(recall))


def test_out_of_fold_scores_by_scikit_learn(iris: Run) -> None:
    data, split = read("iris"), iris_split()
    with np.load(iris.folder / "oof.npz") as oof:
        rows, labels, found = oof["rows"], oof["labels"], oof["probabilities"]
    assert rows.tolist() == split.development.tolist()
    assert labels.tolist() == data.labels[rows].tolist()
    assert found.shape == (len(rows), 3)
    check_scores(iris.result["validation"], labels, found.astype(np.float64))
    # Every row is predicted by the networks that did not train on it, and by no other.
    model = load(iris.folder)
    expected = np.full(found.shape, np.nan)
    for number, fold in enumerate(split.folds):
        own = [i for i, p in enumerate(model.parts) if p.fold == number]
        assert len(own) == 2
        place = np.searchsorted(rows, fold.validation)
        expected[place] = model.only(own).probabilities(data.inputs[fold.validation])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_baselines(iris: Run) -> None:
    table = {b["name"]: b for b in iris.result["baselines"]}
    assert list(table) == ["majority", "linear", "boosted tree"]
    data, split = read("iris"), iris_split()
    rows = split.sealed.open("x")
    counts = np.bincount(data.labels[split.development])
    share = (data.labels[rows] == counts.argmax()).mean()
    assert table["majority"]["test"]["accuracy"]["value"] == pytest.approx(share)
    assert table["linear"]["test"]["accuracy"]["value"] > 0.8
    assert all(b["validation"] is None for b in table.values())


# --- the test part stays sealed ----------------------------------------------------------------


def frame() -> pd.DataFrame:
    found = load_iris(as_frame=True).frame.drop_duplicates().reset_index(drop=True)
    found["target"] = np.array(["a", "b", "c"])[found["target"]]
    return found


def test_test_rows_are_never_used(tmp_path: Path) -> None:
    """Other labels, and other values, in the test part: the same weights bit for bit."""
    rows = frame().sample(frac=1, random_state=0)
    train, test = rows[:110], rows[110:]
    train.to_csv(tmp_path / "train.csv", index=False)
    other = test.copy()
    other["target"] = test["target"].to_numpy()[::-1]
    other.iloc[:, 0] += 0.05
    settings = {k: v for k, v in QUICK.items() if k != "lr"}  # with the ladder
    runs = []
    for name, part in (("a", test), ("b", other)):
        part.to_csv(tmp_path / f"{name}.csv", index=False)
        runs.append(
            quick(
                tmp_path / "train.csv",
                tmp_path / f"run-{name}",
                test=tmp_path / f"{name}.csv",
                target="target",
                settings=settings,
            )
        )
    a, b = (r.result for r in runs)
    assert weights(runs[0]) == weights(runs[1])
    for key in ("validation", "train", "members", "recipe", "ladder"):
        assert a[key] == b[key]
    assert a["ladder"] is not None
    assert a["test"]["accuracy"] != b["test"]["accuracy"]
    assert a["test"]["n"] == len(test)


def test_no_test_part(tmp_path: Path) -> None:
    run = quick("iris", tmp_path / "run", test=0)
    assert run.result["test"] is None
    assert run.result["test_openings"] == 0
    assert run.result["confusion_part"] == "validation"
    assert run.result["validation"]["n"] == 150
    assert np.sum(run.result["confusion"]) == 150
    assert all(b["validation"] and not b["test"] for b in run.result["baselines"])


# --- repetition --------------------------------------------------------------------------------


def test_the_same_command_gives_the_same_bits(iris: Run, tmp_path: Path) -> None:
    again = quick("iris", tmp_path / "again", folds=3, seeds=2, seed=5)
    assert weights(again) == weights(iris)
    assert lasting(again) == lasting(iris)
    for name in ("history.csv", "recipe.toml", "model/model.json"):
        assert (again.folder / name).read_bytes() == (iris.folder / name).read_bytes()


def test_another_seed_gives_another_split_and_other_weights(iris: Run, tmp_path: Path) -> None:
    other = quick("iris", tmp_path / "other", folds=3, seeds=2, seed=6)
    assert weights(other) != weights(iris)
    with np.load(other.folder / "oof.npz") as a, np.load(iris.folder / "oof.npz") as b:
        assert a["rows"].tolist() != b["rows"].tolist()


@pytest.mark.parametrize(("folds", "seeds"), [(1, 1), (1, 3), (4, 1)])
def test_folds_and_seeds_as_given(folds: int, seeds: int, tmp_path: Path) -> None:
    run = quick("iris", tmp_path / "run", folds=folds, seeds=seeds)
    assert len(run.result["members"]) == folds * seeds
    assert len(run.result["split"]["folds"]) == folds
    assert [m["fold"] for m in run.result["members"]] == list(range(folds)) * seeds


# --- options -----------------------------------------------------------------------------------


def test_without_ensemble_the_best_network_is_kept(tmp_path: Path) -> None:
    run = quick("iris", tmp_path / "run", folds=3, ensemble=False)
    model = load(run.folder)
    members = run.result["members"]
    best = min(members, key=lambda m: m["validation_log_loss"])
    assert [p.fold for p in model.parts] == [best["fold"]]
    assert run.result["ensemble"]["members"] == 1
    assert run.result["ensemble"]["says"] == "one network"
    assert run.result["parameters"] == model.parameters
    assert run.result["validation"]["n"] == run.result["split"]["development"]
    data = read("iris")
    rows = make_split(data, seed=0, folds=3, test=0.2).sealed.open("x")
    check_scores(run.result["test"], data.labels[rows], model.probabilities(data.inputs[rows]))


def test_without_ensemble_and_test_part_one_network_is_counted(tmp_path: Path) -> None:
    run = quick("iris", tmp_path / "run", ensemble=False, test=0)
    assert len(load(run.folder).parts) == 1
    assert run.result["ensemble"]["members"] == 1


def test_a_tiny_budget_still_gives_a_result(tmp_path: Path) -> None:
    run = quick("iris", tmp_path / "run", budget="1s", settings={**QUICK, "epochs": 3000})
    assert run.result["test"]["accuracy"]["value"] >= 0
    assert all(m["best_epoch"] >= 1 for m in run.result["members"])
    assert any("time budget" in w for w in run.result["warnings"])
    assert "time budget" in (run.folder / "log.txt").read_text(encoding="utf-8")


def test_ladder(tmp_path: Path) -> None:
    settings = {k: v for k, v in QUICK.items() if k != "lr"}
    run = quick("iris", tmp_path / "run", settings=settings)
    ladder = run.result["ladder"]
    assert ladder["chosen"] in [r["lr"] for r in ladder["rates"]]
    assert f"lr = {ladder['chosen']}" in (run.folder / "recipe.toml").read_text(encoding="utf-8")
    assert run.result["recipe"]["lr"] == repr(ladder["chosen"])


def test_recipes_from_python_and_files(tmp_path: Path) -> None:
    recipe = Recipe(model=Linear(), lr=0.05, epochs=2, regularize=())
    a = quick("iris", tmp_path / "a", recipe=recipe, settings=None)
    b = quick("iris", tmp_path / "b", recipe=a.folder / "recipe.toml", settings=None)
    c = quick("iris", tmp_path / "c", recipe=recipe, settings={"epochs": "3"})
    assert weights(a) == weights(b)
    assert a.result["recipe"]["model"] == "Linear()"
    assert c.result["recipe"]["epochs"] == "3"


# --- sources -----------------------------------------------------------------------------------


def test_a_frame_a_file_and_arrays(tmp_path: Path) -> None:
    """One data set in three forms: the same scores."""
    rows = frame()
    rows.to_csv(tmp_path / "iris.csv", index=False)
    x, y = rows.drop(columns="target").to_numpy(), rows["target"].to_numpy()
    runs = [
        quick(rows, tmp_path / "frame", target="target"),
        quick(tmp_path / "iris.csv", tmp_path / "file", target="target"),
        quick((x, y), tmp_path / "arrays"),
    ]
    for other in runs[1:]:
        assert other.result["test"] == runs[0].result["test"]
        assert same_tensors(other, runs[0])


def test_groups_stay_together(tmp_path: Path) -> None:
    rows = frame()
    rows["writer"] = [f"w{i % 12}" for i in range(len(rows))]
    run = quick(rows, tmp_path / "run", target="target", group="writer")
    assert any("unseen groups" in n for n in run.result["split"]["notes"])
    assert "writer" not in json.dumps(
        json.loads((run.folder / "model/model.json").read_text())["schema"]["columns"]
    )


def test_pictures(tmp_path: Path) -> None:
    data = pictures(60)
    settings = {"epochs": 2, "lr": 0.01, "model": "Cnn(channels=(4,), depth=1)"}
    run = quick((data.inputs, data.labels), tmp_path / "run", settings=settings)
    assert run.result["kind"] == "images"
    assert [b["name"] for b in run.result["baselines"]] == ["majority", "linear"]
    with np.load(run.folder / "examples.npz") as shown:
        assert shown["images"].dtype == np.uint8
        assert len(shown["images"]) == len(shown["labels"])
        hidden = make_split(read((data.inputs, data.labels)), seed=0, folds=2, test=0.2).sealed
        secret = {data.inputs[i].tobytes() for i in hidden.open("x")}
        assert not secret & {picture.tobytes() for picture in shown["images"]}


def test_clips(tmp_path: Path) -> None:
    data = clips(48)
    np.savez(tmp_path / "clips.npz", X=data.inputs, y=data.labels, rate=8000)
    settings = {"epochs": 2, "lr": 0.01, "model": "Cnn(channels=(4,), depth=1)"}
    run = quick(tmp_path / "clips.npz", tmp_path / "run", kind="audio", settings=settings)
    assert run.result["kind"] == "audio"
    assert run.result["test"]["n"] > 0


# --- mistakes and interruptions ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"folds": 0}, UserError, r"--folds: expected a whole number from 1 up, got 0"),
        ({"folds": 51}, UserError, r"--folds: expected at most 50, got 51"),
        ({"seeds": 0}, UserError, r"--seeds: expected a whole number from 1 up, got 0"),
        (
            {"jobs": -1},
            UserError,
            r"--jobs: expected a whole number from 1 up, ray, or ray:N, got -1",
        ),
        ({"test": 1.5}, UserError, r"--test: expected a share from 0 to below 1"),
        ({"test": -0.1}, UserError, r"--test: expected a share from 0 to below 1"),
        ({"budget": "soon"}, UserError, r"--budget: expected a time such as 90s.*got \"soon\""),
        ({"budget": "0s"}, UserError, r"--budget: expected a time"),
        (
            {"settings": {"epoch": 3, "lr": -1}},
            RecipeError,
            r"settings: 2 mistakes:\n  - no field \"epoch\". Did you mean \"epochs\"\?",
        ),
        ({"settings": {"model": "Cnn()"}}, RecipeError, r"Cnn needs pictures, the data are table"),
        ({"recipe": "no.toml"}, RecipeError, r"no\.toml: 1 mistake:\n  - the file does not exist"),
        ({"target": "colour"}, DataError, r"colour"),
        ({"kind": "audio"}, UserError, r"--kind audio"),
    ],
)
def test_mistakes(
    options: dict[str, Any], kind: type[UserError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        quick("iris", tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()  # nothing was begun


@pytest.mark.parametrize("budget", [-5, 0, float("nan")])
def test_nonsense_budgets(budget: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--budget"):
        quick("iris", tmp_path / "run", budget=budget)


def test_unknown_sources(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"irris.*Did you mean \"iris\""):
        quick("irris", tmp_path / "run")


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    file.touch()
    with pytest.raises(UserError, match=r"the folder for the run is not empty\. Choose another"):
        quick("iris", full)
    with pytest.raises(UserError, match=r"the folder for the run cannot be written"):
        quick("iris", file)
    assert (full / "thesis.txt").read_text() == "mine"
    assert [p.name for p in full.iterdir()] == ["thesis.txt"]


def test_every_training_diverges(tmp_path: Path) -> None:
    settings = {
        **QUICK,
        "model": "Mlp(hidden=(16,), norm='none')",
        "optimizer": "Momentum",
        "lr": 1e30,
    }
    with pytest.raises(UserError, match=r"every training diverged \(learning rate 1e\+30\)\. Give"):
        quick("iris", tmp_path / "run", settings=settings)
    assert not (tmp_path / "run" / "run.json").exists()


def interrupt_at(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C at that call of Progress.update."""
    calls = 0
    update = Progress.update

    def pressed(self: Progress, share: float, words: str) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            signal.raise_signal(signal.SIGINT)
        update(self, share, words)

    monkeypatch.setattr(Progress, "update", pressed)


def test_ctrl_c_keeps_the_best_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(3, monkeypatch)
    run = quick("iris", tmp_path / "run", settings={**QUICK, "epochs": 50})
    result = run.result
    assert result["interrupted"] is True
    assert [m["epochs"] for m in result["members"]] == [3, 3]
    assert result["test"]["n"] == result["split"]["test"]
    assert (run.folder / "run.json").exists()
    assert run.report.exists()
    assert "interrupted" in (run.folder / "log.txt").read_text(encoding="utf-8")
    data = read("iris")
    rows = make_split(data, seed=0, folds=2, test=0.2).sealed.open("x")
    found = load(run.folder).probabilities(data.inputs[rows])
    check_scores(result["test"], data.labels[rows], found)


def test_ctrl_c_before_the_first_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_epoch = train.train_epoch

    def pressed(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return train_epoch(*arguments)

    monkeypatch.setattr("trainwell.engine.train.train_epoch", pressed)
    with pytest.raises(Interrupted, match="Interrupted before the first epoch was finished"):
        quick("iris", tmp_path / "run")


def test_a_class_that_no_test_row_has_is_named_where_the_score_is_told(tmp_path: Path) -> None:
    """Two rows of a class: one trains, one validates, and none is left for the test part."""
    rng = np.random.default_rng(0)
    y = np.array([0] * 100 + [1] * 2)
    x = rng.normal(size=(102, 3)) + 6 * y[:, None]
    run = quick((x, y), tmp_path / "run")
    words = 'only 1 of 2 classes could be measured, no test row is "1": give more rows of that '
    words += "class, or --test with a larger share"
    assert words in run.result["warnings"]
    assert run.result["imbalance"]["unmeasured"]["words"] == words
    page = run.report.read_text(encoding="utf-8")
    assert "balanced accuracy of 1 of 2 classes" in page and "O" + words[1:30] in page
    half = quick((x, y), tmp_path / "half", test=0.5)  # what the words propose
    assert half.result["imbalance"]["unmeasured"] is None
    assert not any("could be measured" in w for w in half.result["warnings"])


def uneven(tmp_path: Path) -> Run:
    """Two folds whose numbers of steps differ: 3 and 4 batches of 12, hence two populations."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(95, 3))
    settings = {**QUICK, "batch_size": 12, "epochs": 6}
    return quick((x, np.arange(95) % 2), tmp_path / "run", test=0, seeds=2, settings=settings)


def test_two_populations(tmp_path: Path) -> None:
    run = uneven(tmp_path)
    steps = {f["train"] // 12 for f in run.result["split"]["folds"]}
    assert len(steps) == 2
    assert [m["fold"] for m in run.result["members"]] == [0, 1, 0, 1]
    assert run.result["validation"]["n"] == 95


def test_numbers_of_members_when_a_population_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the first of two populations: run.json and history.csv name the same members."""
    interrupt_at(2, monkeypatch)
    run = uneven(tmp_path)
    text = (run.folder / "history.csv").read_text(encoding="utf-8").splitlines()[1:]
    named = {int(line.split(",")[0]) for line in text}
    assert len(run.result["members"]) == len(named) == 2
    assert named == {m["member"] for m in run.result["members"]}
    assert np.isfinite(run.result["train"]["accuracy"]["value"])


def test_stored_runs_are_read_again(iris: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no finished run \(run\.json\)"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json: cannot be read"):
        load_run(tmp_path)
    assert load_run(str(iris.folder)).report == iris.report
