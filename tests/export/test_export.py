"""Exported models predict what the trained ones do, without trainwell."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from helpers.data import clips, digits, pictures
from trainwell.callstring import members
from trainwell.data.dataset import Column, Dataset, TableSchema
from trainwell.data.ranges import fit_ranges
from trainwell.data.read import read_like
from trainwell.engine.inputs import fit_preprocess
from trainwell.errors import UserError
from trainwell.export import check as checks
from trainwell.export import write
from trainwell.export.card import card
from trainwell.export.check import compare, onnx_runner
from trainwell.export.graph import CARD, to_onnx
from trainwell.export.trial import made_up, trained_on
from trainwell.model import Model, Part, save
from trainwell.prediction import predict
from trainwell.recipe import Model as Networks
from trainwell.recipe import Recipe
from trainwell.techniques.inputs import category_blocks
from trainwell.techniques.models import AudioCnn, Cnn, Custom, Linear, Mlp, ResNet
from trainwell.techniques.models.layers import Activation, Norm
from trainwell.techniques.preprocess import (
    Center,
    LogMel,
    MinMax,
    Pca,
    PerSample,
    Preprocess,
    Raw,
    Robust,
    Standardize,
    Whiten,
)

NORMS = get_args(Norm)
PREPROCESS: dict[str, list[tuple[Any, ...]]] = {
    "table": [
        (Standardize(),),
        (Robust(), Pca(3)),
        (Robust(smooth_clip=False), Whiten(kind="pca")),
        (MinMax(), Whiten()),
        (MinMax(clip=False), Center()),
        (Raw(),),
    ],
    "images": [
        (Standardize(per="channel"),),
        (Center(), Whiten()),
        (PerSample(),),
        (PerSample(eps=1e-12),),
    ],
    "audio": [
        (LogMel(bands=10), Standardize(per="channel")),
        (LogMel(bands=12, window=0.02, hop=0.007, low=0.0, range_db=100.0), PerSample()),
    ],
}
NETWORKS: dict[str, list[Any]] = {
    "table": [
        Linear(),
        Mlp(hidden=(5,), categories=2, numbers=3),
        *(
            Mlp(hidden=(4,), activation=activation, norm=NORMS[i % len(NORMS)])
            for i, activation in enumerate(("relu", "elu", "gelu", "mish"))
        ),
    ],
    "images": [
        *(Cnn(channels=(3, 4), depth=1, norm=n) for n in NORMS),
        ResNet(channels=(4, 6)),
        Linear(),
    ],
    "audio": [
        AudioCnn(channels=(3, 4)),
        AudioCnn(channels=(3,), ranges=3, norm="layer", activation="gelu"),
        ResNet(channels=(3, 4), blocks=1),
    ],
}


def mixed() -> Dataset:
    """Numbers, one of them large, words, a missing cell in every column."""
    rng = np.random.default_rng(3)
    y = np.arange(90) % 3
    x = rng.normal(size=(90, 5))
    x[:, 1] += 1e9
    x[:, 2], x[:, 4] = rng.integers(0, 4, 90), rng.integers(0, 3, 90)
    x[np.arange(5), np.arange(5)] = np.nan
    columns = (
        Column("a", "number"),
        Column("b", "number"),
        Column("c", "category", ("ä", "x,y", "7", "none")),
        Column("d", "number"),
        Column("e", "category", ("k", "l", "m")),
    )
    names = tuple(f"row {i}" for i in range(90))
    schema = TableSchema(columns, "y", precision="float64")
    return Dataset("mixed", schema, x, y.astype(np.int64), tuple("abc"), names)


DATA = {"table": mixed, "images": pictures, "audio": clips}


def untrained(
    data: Dataset, techniques: Sequence[tuple[Any, ...]], networks: Sequence[Any]
) -> Model:
    """Every network behind the first pre-processing, the first behind every other one."""
    rows = np.arange(len(data))
    folds, parts = [], []
    generator = torch.Generator().manual_seed(0)
    for f, chosen in enumerate(techniques):
        recipe = Recipe(preprocess=chosen)
        layers = fit_preprocess(recipe, data.schema, data.inputs, rows, rows)
        folds.append(layers)
        with torch.no_grad():
            shape = tuple(layers(torch.from_numpy(data.inputs[:1])).shape[1:])
        for model in networks if f == 0 else networks[:1]:
            network = model.build(shape, len(data.classes), 0.1, category_blocks(layers)).eval()
            for module in network.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.running_mean.normal_(generator=generator)
                    module.running_var.uniform_(0.5, 2.0, generator=generator)
            offsets = torch.arange(len(data.classes)).double() / 7 if len(parts) % 2 else None
            weight, heat = 1.0 + len(parts) % 3, 0.7 + len(parts) % 2
            own = dataclasses.replace(recipe, model=model)
            parts.append(Part(network, f, 0, own, offsets, weight, heat))
    return Model(data.schema, data.classes, tuple(folds), tuple(parts))


@cache
def everything(kind: str) -> tuple[Dataset, Model]:
    data = DATA[kind]()
    return data, untrained(data, PREPROCESS[kind], NETWORKS[kind])


def test_the_lists_above_hold_every_technique() -> None:
    used = {type(t) for chosen in PREPROCESS.values() for ts in chosen for t in ts}
    assert used == set(members(Preprocess))
    assert {type(n) for ns in NETWORKS.values() for n in ns} | {Custom} == set(members(Networks))


@pytest.mark.parametrize("kind", DATA)
def test_every_network_and_every_preprocessing_as_onnx(kind: str) -> None:
    data, model = everything(kind)
    content = to_onnx(model, card(model, Path()))
    inputs = np.concatenate([data.inputs, made_up(model, 1000, seed=5)])
    found = compare(model, onnx_runner(content, model), inputs, len(data), "")
    # The vote of many: a difference in one network is divided by their number. Of pure tones the
    # trained model's own Fourier transform, in float32, leaves more open.
    assert found.max_difference <= (1e-5 if kind == "audio" else 5e-5 / len(model.parts))
    # Numbers up to 1e300 reach the networks without pre-processing as infinite.
    assert found.checked == len(inputs) and (found.open < 10 or kind == "table")


@pytest.mark.slow
def test_every_activation_as_onnx() -> None:
    data = mixed()
    networks = [Mlp(hidden=(4, 3), activation=name) for name in get_args(Activation)]
    model = untrained(data, [(Standardize(),)], networks)
    inputs = np.concatenate([data.inputs, made_up(model, 1000)])
    run = onnx_runner(to_onnx(model, {}), model)
    assert compare(model, run, inputs, len(data), "").max_difference < 2e-6


@pytest.mark.parametrize("kind", DATA)
def test_every_network_and_every_preprocessing_as_a_plain_module(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = everything(kind)
    # Folds of many widths, which no training makes: such a model cannot be saved.
    monkeypatch.setattr(write, "load", lambda run, trust: model)
    found = write.export_torch(tmp_path, tmp_path / "plain")
    assert found.parity.max_difference < 1e-7
    text = (tmp_path / "plain" / "model.py").read_text()
    assert "trainwell." not in text and "import trainwell" not in text
    assert {p.name for p in found.files} == {p.name for p in (tmp_path / "plain").iterdir()} - {
        "__pycache__"
    }


def test_thousands_of_real_pictures_and_noise() -> None:
    data = digits()
    model = untrained(data, [(Standardize(),)], [Cnn(channels=(8,), depth=1)])
    run = onnx_runner(to_onnx(model, {}), model)
    inputs = np.concatenate([data.inputs, made_up(model, 3000)])
    assert compare(model, run, inputs, len(data), "").max_difference < 5e-6


def test_what_the_file_says_about_itself(tmp_path: Path) -> None:
    import onnx

    _, model = everything("table")
    small = model.only([0])
    save(small, tmp_path / "run" / "model")
    test = {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}, "n": 30, "more": 1}
    (tmp_path / "run" / "run.json").write_text(json.dumps({"name": "mixed", "test": test}))
    found = write.export_onnx(tmp_path / "run", tmp_path / "m.onnx")
    assert found.parity.real == 0 and "does not say" in found.parity.words
    graph = onnx.load(tmp_path / "m.onnx")
    said = json.loads({p.key: p.value for p in graph.metadata_props}[CARD])
    assert said["classes"] == ["a", "b", "c"] and said["kind"] == "table"
    assert said["test"] == {"accuracy": test["accuracy"], "n": 30}
    assert said["networks"][0]["recipe"]["model"] == "Linear()"
    assert [i["columns"] for i in said["inputs"]] == [["a", "b", "d"], ["c", "e"]]
    assert said["schema"]["columns"][2]["levels"] == ["ä", "x,y", "7", "none"]
    assert {"trainwell", "torch"} <= said["versions"].keys()


def test_words_that_training_did_not_see_are_missing_ones() -> None:
    data, model = everything("table")
    one = model.only([0])
    import onnxruntime

    session = onnxruntime.InferenceSession(to_onnx(one, {}))
    numbers = np.nan_to_num(data.inputs[:1, [0, 1, 3]])
    words = [np.array([[word, "k"]], object) for word in ("", "nobody", "x,y")]
    none, unseen, known = (session.run(None, {"numbers": numbers, "words": w})[0] for w in words)
    np.testing.assert_array_equal(none, unseen)
    assert not np.array_equal(none, known)


def test_an_export_that_is_wrong_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = everything("images")
    save(model.only([0]), tmp_path / "model")
    right = checks.onnx_runner

    def off(content: bytes, model: Model) -> Any:
        run = right(content, model)

        def shifted(inputs: Any) -> Any:
            found = run(inputs)
            found[-1, 0] += 2e-5
            return found

        return shifted

    monkeypatch.setattr(write, "onnx_runner", off)
    with pytest.raises(UserError, match="off in a probability"):
        write.export_onnx(tmp_path, tmp_path / "m.onnx")
    assert {p.name for p in tmp_path.iterdir()} == {"model"}


def test_scripts_of_others_are_spared(tmp_path: Path) -> None:
    _, model = everything("images")
    save(model.only([0]), tmp_path / "model")
    write.export_torch(tmp_path, tmp_path / "plain")
    write.export_torch(tmp_path, tmp_path / "plain")  # our own are written again
    (tmp_path / "plain" / "predict.py").write_text("mine = 1\n")
    for export in (write.export_torch, write.export_onnx):
        place = tmp_path / "plain" / ("m.onnx" if export is write.export_onnx else "")
        with pytest.raises(UserError, match="is there already"):
            export(tmp_path, place)
    assert (tmp_path / "plain" / "predict.py").read_text() == "mine = 1\n"


class TwoViews(nn.Module):
    """A network of one's own, no Sequential."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(width, 8), nn.Linear(width, 8)
        self.last = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        return self.last(torch.sigmoid(self.one(x)) * self.two(x))


def test_networks_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "class Own(nn.Module):\n"
        "    def __init__(self, shape, classes):\n"
        "        super().__init__()\n"
        "        self.a, self.b = nn.Linear(64, 9), nn.Linear(9, classes)\n"
        "    def forward(self, x):\n"
        "        return self.b(torch.tanh(self.a(x.flatten(1))))\n"
    )
    own = Custom(f"{tmp_path / 'own.py'}:Own")
    model = untrained(pictures(), [(Standardize(),)], [own])
    save(model, tmp_path / "model")
    with pytest.raises(UserError, match="--trust"):
        write.export_onnx(tmp_path, tmp_path / "m.onnx")
    assert write.export_onnx(tmp_path, tmp_path / "m.onnx", trust=True).parity.checked == 1000
    with pytest.raises(UserError, match="layer of your own, Own"):
        write.export_torch(tmp_path, tmp_path / "plain", trust=True)


def alone(script: Path, *arguments: str) -> str:
    """What the script prints where trainwell, pandas and safetensors cannot be imported."""
    code = (
        "import runpy, sys\n"
        "for name in ('trainwell', 'pandas', 'safetensors', 'sklearn'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=script.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(text: str, model: Model, source: Path) -> int:
    """Compare what a script printed with our own predictions; how many rows there were."""
    rows = list(csv.reader(text.splitlines()))
    ours = predict(model, source)
    assert rows[0][-len(model.classes) :] == [f"p:{c}" for c in model.classes]
    theirs = {row[0]: row for row in rows[1:]}
    assert len(theirs) == len(ours.names) == len(rows) - 1
    for name, p in zip(ours.names, ours.probabilities, strict=True):
        found = np.array(theirs[name][-len(model.classes) :], float)
        assert np.abs(found - p).max() < 1.5e-6, name
    if rows[0][3] == "unusual":
        assert tuple(theirs[name][3] for name in ours.names) == ours.unusual
    return len(theirs)


TABLE = """when,age,ok,town,code,kind
2024-03-01,3.5,yes,Ulm,007,a
2024-04-05,4,no,"Bad Aibling, OT",8,b
2023-12-31,NA,yes,,8,a
2022-01-09,5e3,no,Ulm,7,b
,-1,,Paris,9,a
2024-02-29,2,yes,Ulm,,b
"""


def test_the_script_reads_tables_as_we_do(tmp_path: Path) -> None:
    columns = (
        Column("when", "date", ("ISO8601",)),
        Column("age", "number"),
        Column("ok", "boolean"),
        Column("town", "category", ("Bad Aibling, OT", "Ulm")),
        Column("code", "category", ("7", "8")),
    )
    schema = TableSchema(columns, "kind")
    (tmp_path / "new.csv").write_text(TABLE)
    inputs = read_like(tmp_path / "new.csv", schema, ("a", "b")).inputs
    labels = np.array([0, 1, 0, 1, 0, 1])
    data = Dataset("t", schema, inputs, labels, ("a", "b"), tuple("123456"))
    model = untrained(data, [(Robust(),)], [Mlp(hidden=(7,))])
    model = dataclasses.replace(model, ranges=fit_ranges(schema, inputs, np.array([0, 1, 2, 5])))
    save(model, tmp_path / "model")
    write.export_onnx(tmp_path, tmp_path / "onnx" / "m.onnx")
    write.export_torch(tmp_path, tmp_path / "torch")
    assert predict(model, tmp_path / "new.csv").unusual == (
        *("", "", ""), "when:days, age", "age, town, code", ""
    )  # fmt: skip
    for folder in ("onnx", "torch"):
        text = alone(tmp_path / folder / "predict.py", str(tmp_path / "new.csv"))
        assert text.startswith("input,label,probability,unusual,p:a,p:b")
        assert same(text, model, tmp_path / "new.csv") == 6


@pytest.mark.parametrize("kind", ["table", "images"])
def test_the_script_says_what_is_wrong_with_its_input(kind: str, tmp_path: Path) -> None:
    _, model = everything(kind)
    save(model.only([0]), tmp_path / "model")
    other = "images" if kind == "table" else "table"
    save(everything(other)[1].only([0]), tmp_path / "other" / "model")
    write.export_onnx(tmp_path, tmp_path / "onnx" / "m.onnx")
    with pytest.raises(UserError, match="belongs to a model of other data"):
        write.export_onnx(tmp_path / "other", tmp_path / "onnx" / "o.onnx")
    write.export_onnx(tmp_path / "other", tmp_path / "foreign" / "o.onnx")
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("a,b\n1,2\n")
    foreign = ("words.txt", "--model", str(tmp_path / "foreign" / "o.onnx"))
    cases: dict[tuple[str, ...], str] = {
        ("nofile",): "no such file",
        ("empty",): "got a folder" if kind == "table" else "expected files that end in",
        ("words.txt",): "is missing" if kind == "table" else "expected files that end in",
        ("words.txt", "--model", "no.onnx"): "no such model",
        foreign: "use the script of its own export",
    }
    for words, expected in cases.items():
        script = tmp_path / "onnx" / "predict.py"
        command = [sys.executable, str(script), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert expected in done.stderr and "Traceback" not in done.stderr


def test_the_script_reads_pictures_as_we_do(tmp_path: Path) -> None:
    from PIL import Image

    _, model = everything("images")
    few = model.only([0, 4])
    save(few, tmp_path / "model")
    rng = np.random.default_rng(0)
    for number, (mode, size) in enumerate(
        [("L", (8, 8)), ("RGB", (30, 20)), ("RGBA", (9, 50)), ("1", (8, 8)), ("P", (64, 64))]
    ):
        pixels = rng.integers(0, 256, (size[1], size[0], 4), np.uint8)
        (tmp_path / "new" / "sub").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels, "RGBA").convert(mode).save(
            tmp_path / "new" / "sub" / f"{number}.png"
        )
    write.export_onnx(tmp_path, tmp_path / "onnx" / "m.onnx")
    text = alone(tmp_path / "onnx" / "predict.py", str(tmp_path / "new"))
    assert same(text, few, tmp_path / "new") == 5


def test_the_script_reads_clips_as_we_do(tmp_path: Path) -> None:
    import soundfile

    data, model = everything("audio")
    few = model.only([0])
    save(few, tmp_path / "model")
    (tmp_path / "new").mkdir()
    rng = np.random.default_rng(0)
    rate = data.schema.rate
    for number, (own, seconds) in enumerate([(rate, 0.1), (rate, 0.5), (2 * rate, 0.3)]):
        wave = rng.normal(0, 0.1, (round(own * seconds), 1 + number % 2))
        soundfile.write(tmp_path / "new" / f"{number}.wav", wave, own)
    write.export_torch(tmp_path, tmp_path / "plain")
    text = alone(tmp_path / "plain" / "predict.py", str(tmp_path / "new"))
    assert same(text, few, tmp_path / "new") == 3


def test_the_data_of_a_command() -> None:
    assert trained_on("trainwell fit --seed 3 'a b.csv' --quiet") == "a b.csv"
    assert trained_on("trainwell.fit(<DataFrame>)") is None
    assert trained_on("trainwell resume runs/x") is None
    assert trained_on("") is None


def test_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainwell.cli import main

    _, model = everything("images")
    save(model.only([0]), tmp_path / "run" / "model")

    def call(*words: str) -> tuple[Any, list[str], str]:
        monkeypatch.setattr(sys, "argv", ["trainwell", "export", str(tmp_path / "run"), *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code, out.splitlines(), err

    code, out, _ = call("--onnx", str(tmp_path / "m.onnx"), "--json")
    found = json.loads(out[-1])
    assert code == 0 and found["onnx"] == str(tmp_path / "m.onnx")
    assert found["checked"] == 1000 and 0 < found["max_difference"] < 1e-5
    assert found["inputs"][0]["shape"] == ["batch", 8, 8, 1]
    code, _, err = call()
    assert code == 2 and "--onnx FILE" in err
    code, _, err = call("--onnx", str(tmp_path / "run" / "model" / "model.json" / "m.onnx"))
    assert code == 2 and "cannot be written" in err
    code, _, err = call("--onnx", str(tmp_path / "n.onnx"), "--check", str(tmp_path / "no.csv"))
    assert code == 2 and not (tmp_path / "n.onnx").exists()
