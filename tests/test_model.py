"""Models on disk: the same bits back, and a clear word about everything else."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.data import clips, fold_inputs, pictures, table
from trainwell import model as models
from trainwell.data.dataset import Column, Dataset, TableSchema
from trainwell.engine.members import Examples, Member
from trainwell.engine.population import Population
from trainwell.engine.train import train
from trainwell.errors import UserError
from trainwell.files import write_whole
from trainwell.model import Model, assemble, load, save
from trainwell.prediction import predict
from trainwell.recipe import Recipe
from trainwell.techniques.inputs import category_blocks
from trainwell.techniques.models import AudioCnn, Cnn, Custom, Mlp, ResNet
from trainwell.techniques.preprocess import LogMel, Standardize

TABLE = Recipe(model=Mlp(hidden=(8,)), lr=5e-3, epochs=1, batch_size=16)
PICTURES = Recipe(
    model=Cnn(channels=(4,), depth=1),
    preprocess=(Standardize(per="channel"),),
    lr=5e-3,
    epochs=1,
    batch_size=16,
)
CLIPS = Recipe(
    model=Cnn(channels=(4,), depth=1),
    preprocess=(LogMel(bands=10), Standardize(per="channel")),
    lr=5e-3,
    epochs=1,
    batch_size=16,
)


def made(data: Dataset, recipe: Recipe) -> Model:
    """Two folds, two seeds each, one epoch."""
    half = np.arange(len(data)) % 2 == 0
    rows = [np.flatnonzero(half), np.flatnonzero(~half)]
    inputs = fold_inputs(data, recipe, rows)
    members = [Member(recipe, f, rows[f], rows[1 - f], seed) for seed in (1, 2) for f in (0, 1)]
    labels = torch.from_numpy(data.labels)
    shared = Examples(inputs, labels, len(data.classes), torch.device("cpu"))
    people = Population(members, shared)
    for _ in train(people):
        pass
    return assemble(data.schema, data.classes, inputs.layers, people.trained)


def mixed_table() -> Dataset:
    """Two columns of numbers and two of words, some of whose levels some folds hardly see."""
    rng = np.random.default_rng(3)
    y = np.arange(120) % 3
    codes = np.stack([(y + rng.integers(0, 2, 120)) % 4, rng.integers(0, 3, 120)], axis=1)
    codes[:3, 1], codes[3:5, 1] = 3, 4  # frequent enough in one fold, in the other not
    x = np.concatenate([rng.normal(size=(120, 2)), codes], axis=1).astype(np.float32)
    x[5:9, 3] = np.nan
    columns = (
        Column("a", "number"),
        Column("b", "number"),
        Column("c", "category", tuple("wxyz")),
        Column("d", "category", tuple("klmno")),
    )
    names = tuple(f"row {i}" for i in range(120))
    return Dataset("mixed", TableSchema(columns, "y"), x, y.astype(np.int64), tuple("abc"), names)


KINDS: dict[str, tuple[Callable[[], Dataset], Recipe]] = {
    "table": (table, TABLE),
    "images": (pictures, PICTURES),
    "audio": (clips, CLIPS),
    "embedded": (
        mixed_table,
        dataclasses.replace(TABLE, model=Mlp(hidden=(8,), categories=3, numbers=2)),
    ),
    "residual": (pictures, dataclasses.replace(PICTURES, model=ResNet(channels=(4, 6)))),
    "spectrogram": (clips, dataclasses.replace(CLIPS, model=AudioCnn(channels=(4, 6)))),
}


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest) -> tuple[Dataset, Model]:
    data, recipe = KINDS[request.param]
    return data(), made(data(), recipe)


def test_saved_and_loaded(trained: tuple[Dataset, Model], tmp_path: Path) -> None:
    data, model = trained
    save(model, tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "model.json",
        "weights.safetensors",
    ]
    for path in (tmp_path / "model", tmp_path):  # the folder, or the run around it
        again = load(path)
        expected = model.member_probabilities(data.inputs)
        assert np.array_equal(again.member_probabilities(data.inputs), expected)
        assert again.schema == model.schema
        assert again.classes == model.classes
        assert again.parameters == model.parameters
        assert [(p.fold, p.seed, p.recipe) for p in again.parts] == [
            (p.fold, p.seed, p.recipe) for p in model.parts
        ]
    save(again, tmp_path / "second")
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_probabilities(trained: tuple[Dataset, Model]) -> None:
    data, model = trained
    found = model.probabilities(data.inputs)
    assert found.shape == (len(data), 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-9)
    each = model.member_probabilities(data.inputs)
    assert each.shape == (4, len(data), 3)
    np.testing.assert_allclose(found, each.mean(axis=0))
    assert not np.allclose(each[0], each[1])
    np.testing.assert_array_equal(model.only([2]).probabilities(data.inputs), each[2])
    np.testing.assert_allclose(
        model.only([0, 3]).probabilities(data.inputs), (each[0] + each[3]) / 2
    )
    assert model.parameters == 2 * model.only([0, 3]).parameters
    assert model.probabilities(data.inputs[:0]).shape == (0, 3)


def test_single_rows_equal_batch_rows(
    trained: tuple[Dataset, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = trained
    together = model.probabilities(data.inputs[:20])
    single = np.concatenate([model.probabilities(data.inputs[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(single, together, atol=1e-6)
    monkeypatch.setattr(models, "CHUNK", 7)
    np.testing.assert_allclose(model.probabilities(data.inputs[:20]), together, atol=1e-6)
    backward = model.probabilities(data.inputs[:20][::-1])  # strides that torch does not take
    np.testing.assert_allclose(backward[::-1], together, atol=1e-6)


def test_networks_are_in_eval_mode_and_keep_their_pre_processing() -> None:
    data = table()
    model = made(data, TABLE)
    raw = torch.from_numpy(data.inputs)
    part = model.parts[1]
    assert part.fold == 1
    assert not part.network.training
    with torch.no_grad():
        by_hand = part.network(model.folds[1](raw)).double().softmax(dim=1)
    np.testing.assert_array_equal(model.member_probabilities(data.inputs)[1], by_hand)


def test_loading_does_not_move_the_global_streams(tmp_path: Path) -> None:
    save(made(table(), TABLE), tmp_path)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    load(tmp_path)
    assert torch.equal(torch.rand(2), expected)


# --- damaged, foreign and wrong files ----------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model folder to be damaged."""
    folder = tmp_path / "model"
    save(made(table(), TABLE), folder)
    return folder


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit the card in place."""
    path = folder / "model.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    edit(card)
    path.write_text(json.dumps(card), encoding="utf-8")


def test_wrong_paths(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(UserError, match=r"holds no model \(model\.json\)\. Name a run folder"):
            load(path)


def test_another_format(saved: Path) -> None:
    change(saved, lambda card: card.update(format=99))
    with pytest.raises(
        UserError, match=r"model\.json: format 99, expected 1 or 2\. Use the trainwell"
    ):
        load(saved)


DAMAGE = r"(?s)the model is damaged or incomplete \(.*\)\. Copy it again, or train again\."


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.999])
@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_truncated_files(saved: Path, name: str, keep: float) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UserError, match=DAMAGE):
        load(saved)


def test_missing_weights(saved: Path) -> None:
    (saved / "weights.safetensors").unlink()
    with pytest.raises(UserError, match=DAMAGE):
        load(saved)


def test_random_bytes(saved: Path) -> None:
    for name in ("weights.safetensors", "model.json"):
        noise = np.random.default_rng(0).integers(0, 256, 2000, np.uint8).tobytes()
        (saved / name).write_bytes(noise)
        with pytest.raises(UserError, match=DAMAGE):
            load(saved)


class Evil:
    """Runs code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("unpickled"),))


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_pickles_are_refused(
    saved: Path, writer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved / "weights.safetensors"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    else:
        torch.save({"network0": Evil()}, path)
    with pytest.raises(UserError, match=DAMAGE):
        load(saved)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    "edit",
    [
        lambda card: card.pop("networks"),
        lambda card: card.pop("schema"),
        lambda card: card.pop("folds"),
        lambda card: card.update(folds=[]),
        lambda card: card.update(folds=[[{"layer": "Evil"}]]),
        lambda card: card.update(folds=["TableEncoder"]),
        lambda card: card.update(classes=["a", "b"]),
        lambda card: card.update(schema={"kind": "video"}),
        lambda card: card["schema"]["columns"].pop(),
        lambda card: card["networks"][0].pop("fold"),
        lambda card: card["networks"][0]["recipe"].update(model="Mlp(hidden=(9,))"),
        lambda card: card["networks"][0]["recipe"].update(model="Cnn()"),
    ],
)
def test_tampered_cards(saved: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    change(saved, edit)
    with pytest.raises(UserError, match=rf"{DAMAGE}|cannot be understood"):
        load(saved)


def test_a_recipe_that_cannot_be_read(saved: Path) -> None:
    change(saved, lambda card: card["networks"][0]["recipe"].update(model="__import__('os')"))
    with pytest.raises(UserError, match=r'(?s)cannot be understood: .*no "__import__"'):
        load(saved)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda card: card["networks"][0].update(recipe="Mlp"), id="recipe is a text"),
        pytest.param(lambda card: card["networks"][0].update(fold=7), id="no such fold"),
        pytest.param(lambda card: card.update(networks=[]), id="no networks"),
        pytest.param(lambda card: card["folds"][0].pop(), id="a layer of the card is missing"),
    ],
)
def test_more_tampered_cards(saved: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    change(saved, edit)
    with pytest.raises(UserError, match=rf"{DAMAGE}|cannot be understood"):
        load(saved)


def test_writing_leaves_no_halves(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


# --- networks of one's own ---------------------------------------------------------------------

OWN = """
from pathlib import Path
from torch import nn
(Path(__file__).parent / "imported").touch()

def net(shape, classes):
    return nn.Sequential(nn.Linear(shape[0], 4), nn.BatchNorm1d(4), nn.Linear(4, classes))
"""


def test_code_that_a_model_names_runs_only_when_trusted(tmp_path: Path) -> None:
    data, file, mark = table(), tmp_path / "own.py", tmp_path / "imported"
    file.write_text(OWN, encoding="utf-8")
    own = Custom(f"{file.as_posix()}:net")
    model = made(data, dataclasses.replace(TABLE, model=own))
    assert mark.exists()
    save(model, tmp_path / "model")
    mark.unlink()
    file.write_text(OWN + "# changed, so that it would be read again", encoding="utf-8")
    words = r"model\.json: the model runs code that is not in its files, \".*own\.py:net\"\. If you"
    for refused in (lambda: load(tmp_path), lambda: predict(tmp_path, data.inputs)):
        with pytest.raises(UserError, match=words):
            refused()
    assert not mark.exists()
    again = load(tmp_path, trust=True)
    assert mark.exists()
    expected = model.probabilities(data.inputs)
    np.testing.assert_array_equal(again.probabilities(data.inputs), expected)
    found = predict(tmp_path, data.inputs, trust=True)
    np.testing.assert_array_equal(found.probabilities, expected)
    file.unlink()
    with pytest.raises(UserError, match="there is no file"):
        load(tmp_path, trust=True)


def test_a_model_cannot_be_made_to_run_code(saved: Path) -> None:
    """Whoever edits the card of another model gets no further."""
    change(saved, lambda card: card["networks"][1]["recipe"].update(model="Custom('os:getcwd')"))
    with pytest.raises(UserError, match=r'runs code that is not in its files, "os:getcwd"'):
        load(saved)


def test_blocks_of_categories_are_the_same_for_every_fold() -> None:
    data = mixed_table()
    model = made(data, KINDS["embedded"][1])
    assert [category_blocks(fold) for fold in model.folds] == [((2, 6), (6, 11))] * 2
    first = [fold[0] for fold in model.folds]
    unseen = [int((f.positions == -1).sum()) for f in first]
    assert unseen == [1 + 2] * 2  # what four levels have no place for, and what is too rare
    recipe = dataclasses.replace(TABLE, preprocess=())
    plain = fold_inputs(data, recipe, [np.arange(120)]).layers[0]
    rows = torch.from_numpy(data.inputs)
    for (start, stop), column in zip(category_blocks(plain), (2, 3), strict=True):
        hot = plain(rows)[:, start:stop]
        known = ~np.isnan(data.inputs[:, column]) & (data.inputs[:, column] != 4)  # too rare
        assert np.array_equal(hot.sum(dim=1).numpy() == 1, known)
    assert category_blocks(torch.nn.Sequential(first[0], torch.nn.Linear(11, 11))) == ()
    assert category_blocks(model_of_pictures().folds[0]) == ()


def model_of_pictures() -> Model:
    return made(pictures(), PICTURES)
