"""Recipes: text and back, all mistakes at once, what fits which data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from helpers.families import values
from trainwell.data.dataset import AudioSchema, Column, ImageSchema, Schema, TableSchema
from trainwell.errors import RecipeError
from trainwell.recipe import (
    Recipe,
    edit,
    fields_as_text,
    from_toml,
    load_recipe,
    parse_settings,
    starting_recipe,
    to_toml,
)
from trainwell.recipe_check import check_against
from trainwell.techniques.augment.tables import Jitter
from trainwell.techniques.losses import CrossEntropy
from trainwell.techniques.models import AudioCnn, Cnn, ResNet
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.optim.first_order import Momentum
from trainwell.techniques.preprocess import LogMel, Raw, Standardize
from trainwell.techniques.regularize import L1, L2, Dropout, LabelSmoothing, MaxNorm
from trainwell.techniques.schedules import StepDecay

TABLE = TableSchema((Column("a", "number"), Column("b", "category", ("x", "y"))), "label")
PICTURES = ImageSchema(3, 28, 28)
CLIPS = AudioSchema(8000, 4000)

OTHER = Recipe(
    model=Cnn(channels=(8,), activation="elu"),
    preprocess=(LogMel(bands=20), Standardize(per="channel")),
    regularize=(),
    optimizer=Momentum(0.5),
    schedule=StepDecay(0.1, 3),
    lr=0.02,
    epochs=7,
)


@given(values(Recipe))
def test_toml_and_back(recipe: Recipe) -> None:
    assert from_toml(to_toml(recipe), OTHER, "recipe.toml") == recipe


@given(values(Recipe))
def test_texts_and_back(recipe: Recipe) -> None:
    assert edit(OTHER, fields_as_text(recipe), "here") == recipe


def test_toml_is_readable() -> None:
    lines = to_toml(OTHER).splitlines()
    assert len(lines) == len(dataclasses.fields(Recipe))
    assert 'schedule = "StepDecay(factor=0.1, every=3)"' in lines
    assert "lr = 0.02" in lines
    assert 'regularize = "()"' in lines
    assert 'lr = "None"' in to_toml(Recipe()).splitlines()


def test_missing_fields_come_from_the_base() -> None:
    assert from_toml("epochs = 3\n", OTHER, "r") == dataclasses.replace(OTHER, epochs=3)
    assert from_toml("", OTHER, "r") == OTHER
    assert from_toml("lr = 1", OTHER, "r").lr == 1.0
    assert from_toml('lr = "None"', OTHER, "r").lr is None


def test_all_mistakes_at_once() -> None:
    text = 'epoch = 5\nlr = -1\nschedule = "StepDecy()"\nbatch_size = 1\nmodel = 3\n'
    with pytest.raises(RecipeError) as caught:
        from_toml(text, Recipe(), "my.toml")
    assert str(caught.value).startswith("my.toml: 5 mistakes:")
    epoch, lr, schedule, batch, model = caught.value.mistakes
    assert epoch.startswith('no field "epoch". Did you mean "epochs"? Choices: model, init,')
    assert lr == "lr must be > 0, got -1.0"
    assert schedule.startswith('schedule: no "StepDecy". Did you mean "StepDecay"?')
    assert batch == "batch_size must be ≥ 2 and ≤ 1000000000, got 1"
    assert model == "model must be one of Linear, Mlp, Cnn, ResNet, AudioCnn, Custom, got 3"


def test_edit_takes_texts_and_values() -> None:
    changed = edit(Recipe(), {"lr": "0.1", "epochs": 3, "model": Linear(), "patience": "4"}, "x")
    assert (changed.lr, changed.epochs, changed.model, changed.patience) == (0.1, 3, Linear(), 4)
    assert edit(Recipe(), {}, "x") == Recipe()
    assert edit(Recipe(lr=0.1), {"lr": None}, "x").lr is None


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(to_toml(OTHER), encoding="utf-8")
    assert load_recipe(path, Recipe()) == OTHER
    with pytest.raises(RecipeError, match=r"no\.toml: 1 mistake:\n  - the file does not exist"):
        load_recipe(tmp_path / "no.toml", Recipe())
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path, Recipe())
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match=r"r\.toml: 1 mistake:\n  - cannot be read"):
        load_recipe(path, Recipe())
    path.write_text("lr = = 3")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load_recipe(path, Recipe())


def test_settings() -> None:
    assert parse_settings([" lr = 0.1 "]) == {"lr": "0.1"}
    assert parse_settings(["model=Mlp(hidden=(8,))"]) == {"model": "Mlp(hidden=(8,))"}
    with pytest.raises(RecipeError) as caught:
        parse_settings(["model", "lr=1", "lr=2", "epochs="])
    assert caught.value.mistakes == (
        'expected NAME=VALUE, got "model"',
        '"lr" is set twice',
        'expected NAME=VALUE, got "epochs="',
    )


@pytest.mark.parametrize(
    ("recipe", "schema", "messages"),
    [
        (Recipe(), TABLE, []),
        (Recipe(), PICTURES, []),
        (Recipe(), CLIPS, []),
        (OTHER, CLIPS, []),
        (Recipe(model=Cnn()), PICTURES, []),
        (
            OTHER,
            TABLE,
            ["preprocess: LogMel needs sound, the data are table"],
        ),
        (OTHER, PICTURES, ["preprocess: LogMel needs sound, the data are images"]),
        (Recipe(model=ResNet()), PICTURES, []),
        (Recipe(model=ResNet(), preprocess=(LogMel(),)), CLIPS, []),
        (Recipe(model=AudioCnn(), preprocess=(LogMel(),)), CLIPS, []),
        (
            Recipe(model=ResNet()),
            TABLE,
            ["model: ResNet needs pictures, the data are table; use Mlp or Linear"],
        ),
        (
            Recipe(model=AudioCnn()),
            PICTURES,
            ["model: AudioCnn needs sound, the data are images; use Cnn or ResNet"],
        ),
        (
            Recipe(model=AudioCnn()),
            CLIPS,
            [
                (
                    "model: AudioCnn needs LogMel() first in preprocess, the data are audio; "
                    "use Mlp or Linear"
                )
            ],
        ),
        (
            Recipe(model=Cnn()),
            TABLE,
            ["model: Cnn needs pictures, the data are table; use Mlp or Linear"],
        ),
        (
            Recipe(model=Cnn()),
            CLIPS,
            [
                (
                    "model: Cnn needs LogMel() first in preprocess, the data are audio; "
                    "use Mlp or Linear"
                )
            ],
        ),
        (
            Recipe(preprocess=(Standardize(), LogMel()), regularize=(L2(), L2(), Dropout())),
            CLIPS,
            [
                "preprocess: LogMel must come first; it reads the waveform",
                "regularize: L2 is given twice",
            ],
        ),
        (
            Recipe(
                augment=(Jitter(0.1), Jitter(0.2)),
                regularize=(MaxNorm(), L1(), LabelSmoothing(), L1(), MaxNorm(), LabelSmoothing()),
            ),
            TABLE,
            [
                "augment: Jitter is given twice",
                "regularize: MaxNorm is given twice",
                "regularize: L1 is given twice",
                "regularize: LabelSmoothing is given twice",
            ],
        ),
    ],
)
def test_what_fits_which_data(recipe: Recipe, schema: Schema, messages: list[str]) -> None:
    if not messages:
        return check_against(recipe, schema)
    with pytest.raises(RecipeError) as caught:
        check_against(recipe, schema)
    assert list(caught.value.mistakes) == messages
    return None


def test_log_mel_comes_once() -> None:
    with pytest.raises(RecipeError, match="LogMel"):
        check_against(Recipe(preprocess=(LogMel(), LogMel())), CLIPS)


def test_digest_names_the_content() -> None:
    assert Recipe().digest == Recipe().digest
    assert len(Recipe().digest) == 10
    assert int(Recipe().digest, 16) >= 0
    digests = {Recipe().digest, OTHER.digest, Recipe(lr=0.1).digest, Recipe(epochs=3).digest}
    assert len(digests) == 4
    # Whole numbers where floats are meant are the same recipe.
    assert Recipe(lr=1).digest == Recipe(lr=1.0).digest
    assert Recipe(regularize=[L2(0.1)]).digest == Recipe(regularize=(L2(0.1),)).digest  # type: ignore[arg-type]


def test_dropout() -> None:
    assert Recipe().dropout == 0.2
    assert Recipe(regularize=()).dropout == 0.0


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().lr = 0.1  # type: ignore[misc]
    assert len({Recipe(), Recipe(), OTHER}) == 2


ROWS = [1, 10, 100, 150, 999, 1000, 5000, 10**4, 10**5, 10**6]


@pytest.mark.parametrize("schema", [TABLE, PICTURES, ImageSchema(1, 8, 8), CLIPS])
def test_starting_recipes(schema: Schema) -> None:
    batches: list[int] = []
    epochs: list[int] = []
    for rows in ROWS:
        recipe = starting_recipe(schema, rows)
        check_against(recipe, schema)
        assert recipe.lr is None  # found by the ladder
        assert recipe.loss == CrossEntropy()
        batches.append(recipe.batch_size)
        epochs.append(recipe.epochs)
        assert edit(Recipe(), fields_as_text(recipe), "x") == recipe
    assert batches == sorted(batches)
    assert batches[0] == 16
    assert batches[-1] == 128
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[-1] >= 8


def test_starting_recipe_follows_the_data() -> None:
    assert starting_recipe(TABLE, 100).model == Mlp(hidden=(64, 64))
    assert starting_recipe(TABLE, 10**5).model == Mlp(hidden=(256, 256))
    assert L2(1e-3) in starting_recipe(TABLE, 100).regularize
    assert starting_recipe(ImageSchema(1, 8, 8), 100).model == Cnn(channels=(32, 64))
    assert starting_recipe(PICTURES, 100).model == Cnn()
    assert starting_recipe(CLIPS, 100).preprocess == (LogMel(), Standardize(per="channel"))


def test_raw_is_a_choice() -> None:
    changes: dict[str, Any] = {"preprocess": "Raw"}
    assert edit(Recipe(), changes, "x").preprocess == (Raw(),)
