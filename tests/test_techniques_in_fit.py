"""Techniques as a user meets them: in `fit`, with what the run says of them."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwell as tw
from helpers.data import clips, pictures, table
from trainwell.data.dataset import Schema
from trainwell.errors import RecipeError, UserError
from trainwell.options import Options, chosen_recipe
from trainwell.recipe import Recipe, edit
from trainwell.recipe_check import check_against

QUICK: dict[str, Any] = {"epochs": 3, "lr": 0.01}


def write(path: Path, x: np.ndarray, y: list[str], groups: list[str] | None = None) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"x{j}" for j in range(x.shape[1])), "y", *(["g"] if groups else [])])
        for i, row in enumerate(x):
            writer.writerow([*row, y[i], *([groups[i]] if groups else [])])
    return path


def noise(tmp_path: Path, seed: int, rows: int = 300) -> Path:
    """Inputs that say nothing about the labels, of which 15 % are rare."""
    random = np.random.default_rng(seed)
    labels = np.where(random.random(rows) < 0.15, "rare", "usual").tolist()
    return write(tmp_path / f"noise{seed}.csv", random.normal(size=(rows, 5)).round(4), labels)


def test_moved_thresholds_are_judged_on_other_rows(tmp_path: Path) -> None:
    """On noise the validation score is that of chance, on average over files."""
    found = []
    for seed in range(6):
        run = tw.fit(
            noise(tmp_path, seed),
            target="y",
            settings=QUICK | {"balance": "ThresholdMove()"},
            test=0,
            folds=5,
            seeds=1,
            coach=False,
            out=tmp_path / f"run{seed}",
        )
        found.append(run.result["validation"]["balanced_accuracy"])
    assert np.mean([f["value"] for f in found]) == pytest.approx(0.5, abs=0.045)
    assert sum(f["low"] > 0.5 for f in found) <= 1


def test_thresholds_of_a_fold_with_one_class_are_left_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 25)
    labels = [f"c{g % 4}" for g in groups]
    file = write(
        tmp_path / "g.csv", random.normal(size=(300, 4)).round(4), labels, [f"g{g}" for g in groups]
    )
    settings = QUICK | {"balance": "ThresholdMove()"}
    options: dict[str, Any] = {"target": "y", "group": "g", "test": 0, "folds": 5, "seeds": 1}
    run = tw.fit(file, settings=settings, coach=False, out=tmp_path / "run", **options)
    assert run.result["validation"]["accuracy"]["value"] < 0.5


def test_training_and_validation_are_scored_by_the_same_rule(tmp_path: Path) -> None:
    settings = QUICK | {"balance": "LogitAdjust(tau=2.0, when='prediction')", "epochs": 10}
    run = tw.fit(
        noise(tmp_path, 0),
        target="y",
        settings=settings,
        test=0,
        folds=3,
        coach=False,
        out=tmp_path / "run",
    )
    train, validation = (run.result[part]["accuracy"]["value"] for part in ("train", "validation"))
    # Unmoved outputs would call all rows usual: 85 % right. Moved ones call most of them rare.
    assert train < 0.75 and validation < 0.75


@pytest.mark.parametrize("preprocess", ["Raw()", "()"])
def test_large_numbers_without_pre_processing(tmp_path: Path, preprocess: str) -> None:
    """A column that needs 64 bits reaches the network as 32."""
    random = np.random.default_rng(1)
    x = 1.6e9 + np.arange(60.0)[:, None] + random.normal(size=(60, 1))
    file = write(tmp_path / "big.csv", np.round(x, 3), ["a", "b"] * 30)
    settings = QUICK | {"preprocess": preprocess}
    run = tw.fit(
        file, target="y", settings=settings, folds=2, seeds=1, coach=False, out=tmp_path / "run"
    )
    again = tw.predict(run.folder, file)
    assert np.isfinite(again.probabilities).all()


PICTURES, SOUND, TABLE = pictures().schema, clips().schema, table().schema
REFUSED: list[tuple[Schema, dict[str, str], str]] = [
    (TABLE, {"augment": "SpecAugment()"}, "augment: SpecAugment needs spectrograms"),
    (PICTURES, {"augment": "SpecAugment()"}, "augment: SpecAugment needs spectrograms"),
    (
        SOUND,
        {"augment": "SpecAugment()", "preprocess": "(LogMel(), Pca(20))", "model": "Mlp()"},
        "augment: SpecAugment needs maps, but Pca in preprocess flattens them",
    ),
    (
        PICTURES,
        {"augment": "CutMix()", "preprocess": "Pca(20)", "model": "Mlp()"},
        "augment: CutMix needs maps, but Pca in preprocess flattens them",
    ),
    (TABLE, {"augment": "CutMix()"}, "augment: CutMix needs pictures or spectrograms"),
    (TABLE, {"augment": "Rotate()"}, "augment: Rotate needs pictures, the data are table"),
    (PICTURES, {"augment": "Tempo()"}, "augment: Tempo needs clips, the data are images"),
    (PICTURES, {"augment": "(MixUp(), CutMix())"}, "augment: one of MixUp and CutMix"),
    (PICTURES, {"balance": "Smote()", "model": "Mlp()"}, "balance: Smote needs a table"),
    (PICTURES, {"preprocess": "Whiten(kind='pca')", "model": "Cnn()"}, "model: Cnn needs pictures"),
    (
        TABLE,
        {"balance": "LogitAdjust()", "loss": "MeanSquared()"},
        "balance: LogitAdjust needs loss=CrossEntropy(), got MeanSquared()",
    ),
    (TABLE, {"balance": "Oversample()", "shuffle": "never"}, "shuffle: Oversample makes a new"),
]


@pytest.mark.parametrize(("schema", "changes", "words"), REFUSED)
def test_choices_that_do_not_go_together(
    schema: Schema, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        check_against(edit(Recipe(), changes, "--set"), schema)
    assert any(m.startswith(words) for m in refused.value.mistakes), refused.value.mistakes


def test_second_order_rules_keep_what_was_chosen(tmp_path: Path) -> None:
    data = table(rows=200)
    plain = chosen_recipe(data, Options(settings={"optimizer": "Lbfgs()"}))
    assert (plain.batch_size, plain.lr, plain.dropout) == (10**9, 1.0, 0.0)
    start = chosen_recipe(data, Options())
    typed = {
        "optimizer": "Lbfgs()",
        "batch_size": start.batch_size,
        "regularize": "(L2(0.001), Dropout(0.2))",
    }
    kept = chosen_recipe(data, Options(settings=typed))
    assert (kept.batch_size, kept.dropout, kept.lr) == (start.batch_size, 0.2, 1.0)
    file = tmp_path / "recipe.toml"
    file.write_text(f'optimizer = "Newton()"\nbatch_size = {start.batch_size}\n')
    read = chosen_recipe(data, Options(recipe=file))
    assert (read.batch_size, read.dropout) == (start.batch_size, 0.0)
    given = dataclasses.replace(Recipe(), optimizer=kept.optimizer, batch_size=32)
    assert chosen_recipe(data, Options(recipe=given)).batch_size == 32


def test_second_order_rules_need_full_precision(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="full precision"):
        tw.fit(
            "iris",
            settings={"optimizer": "Lbfgs()"},
            precision="bfloat16",
            coach=False,
            out=tmp_path / "r",
        )


def test_nothing_can_be_written_in_any_case() -> None:
    for text in ("None", "none"):
        assert edit(Recipe(), {"balance": text}, "--set").balance is None


def test_a_run_shows_cost_and_initial_weights(tmp_path: Path) -> None:
    settings = QUICK | {"regularize": "MaxNorm(1000)", "model": "Mlp(hidden=(8,))"}
    run = tw.fit("iris", settings=settings, folds=2, seeds=1, coach=False, out=tmp_path / "run")
    assert run.result["network"] == {"parameters": 4 * 8 + 16 + 8 * 3 + 3, "operations": 112}
    layers = {row["layer"]: row for row in run.result["initial"]}
    assert layers["3"]["dead"] is not None and layers["1"]["gradient"] > 0
    assert "MaxNorm(1000) was never active" in " ".join(run.result["warnings"])
    page = run.report.read_text(encoding="utf-8")
    assert "What the initial weights make of the data" in page and "operations per example" in page
