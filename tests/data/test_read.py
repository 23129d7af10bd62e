"""The one door: which reader a source goes to, test parts, and options that do not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from trainwell.data.dataset import TableSchema
from trainwell.data.read import read, read_like
from trainwell.errors import DataError


def table(path: Path, rows: range, label: str = "{}") -> Path:
    lines = [f"p{i % 3},{i % 7},{i * i},{label.format(i % 2)}" for i in rows]
    path.write_text("\n".join(["who,a,b,y", *lines]) + "\n")
    return path


def test_import_is_light() -> None:
    heavy = "torch pandas pyarrow scipy sklearn PIL soundfile pooch"
    code = (
        "import sys, trainwell.data.read, trainwell.data.facts; "
        f"print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_table_with_a_test_file(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", range(40))
    test = table(tmp_path / "held.csv", range(40, 50))
    data = read(str(train), test=test, group="who")
    assert len(data) == 50 and data.official_test is not None
    assert data.official_test.tolist() == [False] * 40 + [True] * 10
    assert data.labels[40:].tolist() == [0, 1] * 5
    assert data.inputs[40].tolist() == [40 % 7, 1600]
    assert data.groups is not None and data.group_names == ("p0", "p1", "p2")
    assert data.groups.tolist() == [i % 3 for i in range(50)]
    assert data.names[40] == "held.csv: held.csv, line 2"
    assert data.notes[-1].startswith("The 10 rows of")


def test_groups_of_a_test_file(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", range(40))
    held = tmp_path / "held.csv"
    held.write_text("who,a,b,y\np9,1,2,0\n,1,2,1\np1,1,2,0\n")
    data = read(train, test=held, group="WHO")
    assert data.groups is not None
    assert [data.group_names[g] for g in data.groups[40:]] == ["p9", "(test part)", "p1"]
    assert data.group_names[:3] == ("p0", "p1", "p2")
    assert any("1 rows of" in note and "no group" in note for note in data.notes)
    held.write_text("a,b,y\n1,2,0\n1,2,1\n")
    data = read(train, test=held, group="who")
    assert data.groups is not None and data.groups[40:].tolist() == [3, 3]
    assert data.group_names[3] == "(test part)"


def test_groups_of_a_test_file_that_are_numbers(tmp_path: Path) -> None:
    train, held = tmp_path / "train.csv", tmp_path / "held.csv"
    train.write_text("who,a,y\n" + "".join(f"{i % 3},{i % 7},{i % 2}\n" for i in range(40)))
    held.write_text("who,a,y\n2.0,1,0\n1,1,1\n")
    data = read(train, test=held, group="who")
    assert data.groups is not None and data.groups[40:].tolist() == [2, 1]


@pytest.mark.parametrize("options", [{}, {"pattern": "{label}_{who}_{index}", "group": "who"}])
def test_groups_of_a_test_folder(tmp_path: Path, options: dict[str, str]) -> None:
    for folder, people in (("train", "anna bert cleo"), ("held", "bert dora")):
        (tmp_path / folder).mkdir()
        for who in people.split():
            for i in range(8):
                pixels = np.full((6, 6), 20 * i, np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / f"{'ab'[i % 2]}_{who}_{i}.png")
    data = read(tmp_path / "train", test=tmp_path / "held", **options)  # type: ignore[arg-type]
    assert data.groups is not None
    assert data.group_names == ("anna", "bert", "cleo", "dora")
    for name, group in zip(data.names, data.groups, strict=True):
        assert f"_{data.group_names[group]}_" in name


def test_groups_of_a_test_npz(tmp_path: Path) -> None:
    values, labels = np.arange(24.0).reshape(12, 2), np.arange(12) % 2
    np.savez(tmp_path / "train.npz", X=values, y=labels, groups=np.arange(12) % 3)
    np.savez(tmp_path / "held.npz", X=values[:2], y=labels[:2], groups=[2, 7])
    data = read(tmp_path / "train.npz", test=tmp_path / "held.npz")
    assert data.groups is not None and data.groups[12:].tolist() == [2, 3]
    assert data.group_names == ("0", "1", "2", "7")


def test_test_part_that_does_not_fit(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", range(40))
    with pytest.raises(
        DataError, match=r"line 2: expected a class of the training data, got the la"
    ):
        read(train, test=table(tmp_path / "t.csv", range(4), "7{}"))
    (tmp_path / "n.csv").write_text("who,a,b\np,1,2\n")
    with pytest.raises(DataError, match=r"expected labels in the test part, got none"):
        read(train, test=tmp_path / "n.csv")
    (tmp_path / "e.csv").write_text("who,a,b,y\np,1,2,0\np,1,2,\n")
    with pytest.raises(DataError, match=r"line 3: expected a class .* got no label"):
        read(train, test=tmp_path / "e.csv")
    pictures(tmp_path / "set" / "train")
    pictures(tmp_path / "set" / "test")
    with pytest.raises(DataError, match=r"has a test part already \(4 rows\)"):
        read(tmp_path / "set", test=train)


def pictures(root: Path) -> Path:
    for i in range(4):
        (root / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 6), 40 * i, np.uint8)).save(root / "ab"[i % 2] / f"{i}.png")
    return root


def test_folder_with_a_test_folder(tmp_path: Path) -> None:
    data = read(pictures(tmp_path / "one"), test=pictures(tmp_path / "two"))
    assert data.official_test is not None and data.labels.tolist() == [0, 0, 1, 1] * 2
    (tmp_path / "two" / "b").rename(tmp_path / "two" / "c")
    with pytest.raises(DataError, match=r"c/1.png: expected a class of the training data"):
        read(tmp_path / "one", test=tmp_path / "two")


def test_missing_and_unknown_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "flowers.csv", range(9))
    with pytest.raises(DataError, match=r'flower.csv: no such file.*Did you mean "flowers.csv"'):
        read(tmp_path / "flower.csv")
    with pytest.raises(DataError, match=r'mnits: no such file.*Did you mean "mnist"'):
        read("mnits")
    (tmp_path / "sheet.xlsx").touch()
    with pytest.raises(
        DataError, match=r'files ending in ".xlsx" cannot be read. Save the data as'
    ):
        read(tmp_path / "sheet.xlsx")
    with pytest.raises(DataError, match=r"data of the type list: expected a path"):
        read([1, 2])
    with pytest.raises(DataError, match=r"To train on a table, name the file itself: flowers.csv"):
        read(tmp_path)
    picture = pictures(tmp_path / "p") / "a" / "0.png"
    with pytest.raises(DataError, match=r"got a single .png file. Name the folder"):
        read(picture)


def test_a_file_goes_before_a_sample_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "iris")
    assert read("iris").kind == "images"


def test_options_without_a_meaning(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", range(9))
    for source, options, message in (
        (path, {"pattern": "{label}"}, r"--pattern \{label\}: has no meaning for t.csv"),
        (path, {"image_size": 3}, r"--image-size 3: has no meaning"),
        ("iris", {"target": "x"}, r"--target x: has no meaning for sample set iris"),
        (pictures(tmp_path / "p"), {"target": "x"}, r"has no meaning for folder p"),
        (path, {"kind": "audio"}, r"--kind audio: t.csv holds table. Leave it out"),
    ):
        with pytest.raises(DataError, match=message):
            read(source, **options)  # type: ignore[arg-type]


def test_like_needs_the_kind_of_training(tmp_path: Path) -> None:
    schema = read(table(tmp_path / "t.csv", range(9))).schema
    assert isinstance(schema, TableSchema)
    assert read_like(pd.read_csv(tmp_path / "t.csv"), schema, ("0", "1")).labels is not None
    with pytest.raises(DataError, match=r"expected a table, got a folder"):
        read_like(tmp_path, schema, ("0", "1"))
    images = read(pictures(tmp_path / "p")).schema
    with pytest.raises(DataError, match=r"expected images as in training, got a table"):
        read_like(pd.DataFrame({"a": [1]}), images, ("a", "b"))
    with pytest.raises(
        DataError, match=r"expected images as in training, got a file ending in .csv"
    ):
        read_like(tmp_path / "t.csv", images, ("a", "b"))


def test_frame() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3, 4], "y": list("pqpq")}, index=[9, 9, 9, 9])
    data = read(frame, target="y")
    assert data.classes == ("p", "q") and data.names[1] == "DataFrame, row 1"
