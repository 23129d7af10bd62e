"""Piece by piece is as at once; what lies outside of the training rows is found."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.data import clips, pictures
from trainwell.data import dialect, stream
from trainwell.data.dataset import AudioSchema, Column, ImageSchema, Schema, TableSchema
from trainwell.data.ranges import fit_ranges, ranges_from_json
from trainwell.data.read import read_like
from trainwell.data.stream import pieces_like
from trainwell.errors import DataError

SCHEMA = TableSchema(
    (Column("a", "number"), Column("town", "category", ("Bad\nX", "Ulm, a", "Köln"))), "y"
)


def same_as_at_once(source: Path, schema: Schema, classes: tuple[str, ...], least: int) -> None:
    whole = read_like(source, schema, classes)
    pieces = list(pieces_like(source, schema, classes))
    assert len(pieces) >= least and pieces[-1].share == 1.0
    assert all(a.share < b.share for a, b in pairwise(pieces))
    new = [piece.new for piece in pieces]
    np.testing.assert_array_equal(np.concatenate([n.inputs for n in new]), whole.inputs)
    assert [name for n in new for name in n.names] == list(whole.names)
    assert [s for n in new for s in n.skipped] == list(whole.skipped)
    assert [label for n in new for label in n.labels or ()] == list(whole.labels or ())


def lines(count: int) -> str:
    towns = ['"Bad\nX"', '"Ulm, a"', "Köln", ""]
    rows = [f"{i / 7:.3f},{towns[i % 4]},{'pq'[i % 2]}\n" for i in range(count)]
    return "".join(rows)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, ends: str) -> None:
    monkeypatch.setattr(stream, "CHARACTERS", 500)
    monkeypatch.setattr(dialect, "_HEAD", 64)
    text = "# a remark\n\na,town,y\n" + lines(300)
    path = tmp_path / "new.csv"
    path.write_bytes(text.replace("\n", ends).encode(encoding))
    same_as_at_once(path, SCHEMA, ("p", "q"), 5)


def test_packed_tables_and_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHARACTERS", 900)
    monkeypatch.setattr(stream, "ROWS", 40)
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress(("a,town,y\n" + lines(200)).encode()))
    whole = read_like(tmp_path / "new.csv.gz", SCHEMA, ("p", "q"))
    found = list(pieces_like(tmp_path / "new.csv.gz", SCHEMA, ("p", "q")))
    assert len(found) > 3 and found[0].share < 1
    np.testing.assert_array_equal(np.concatenate([p.new.inputs for p in found]), whole.inputs)
    pd.DataFrame({"a": np.arange(100.0), "town": ["Köln", None] * 50}).to_parquet(
        tmp_path / "new.parquet"
    )
    same_as_at_once(tmp_path / "new.parquet", SCHEMA, (), 3)


def test_a_mistake_late_in_a_table_is_named_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHARACTERS", 200)
    path = tmp_path / "new.csv"
    start = "a,town,y\n" + "1,Köln,p\n" * 100
    for last, match in (("soon,Köln,p\n", "line 102, column"), ("1,2,3,4,5\n", "line 102: .* 3")):
        path.write_text(start + last + "1,Köln,p\n" * 50)
        with pytest.raises(DataError, match=match):
            list(pieces_like(path, SCHEMA, ()))


def test_pictures_and_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import soundfile
    from PIL import Image

    monkeypatch.setattr(stream, "FILES", 3)
    rng = np.random.default_rng(0)
    for number in range(10):
        folder = tmp_path / ("cat" if number % 2 else "dog")
        folder.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        soundfile.write(folder / f"{number}.wav", rng.normal(0, 0.1, 90), 8000)
    for number in range(4):  # a whole block that cannot be read
        (tmp_path / "cat" / f"00{number}.png").write_bytes(b"no picture")
    (tmp_path / "cat" / "a.txt").write_text("no picture")
    pixels_like = ImageSchema(1, 8, 8)
    same_as_at_once(tmp_path, pixels_like, ("cat", "dog"), 5)
    same_as_at_once(tmp_path, AudioSchema(8000, 100), ("cat", "dog"), 4)
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="picture"):
        list(pieces_like(tmp_path, pixels_like, ()))


def test_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ROWS", 7)
    schema = TableSchema((Column("x0", "number"), Column("x1", "number")), "y")
    x, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    np.savez(tmp_path / "new.npz", X=x, y=y)
    same_as_at_once(tmp_path / "new.npz", schema, ("0", "1"), 5)
    assert len(list(pieces_like(x, schema, ()))) == 5


def test_numbers_far_outside_are_marked() -> None:
    columns = (
        *(Column(name, "number") for name in ("age", "flag", "same", "none")),
        Column("town", "category", ("Ulm", "Köln")),
    )
    schema = TableSchema(columns, "y")
    rng = np.random.default_rng(0)
    x = np.zeros((200, 5))
    x[:, 0], x[:, 1], x[:, 2], x[:, 3] = rng.uniform(20, 60, 200), np.arange(200) > 190, 7, np.nan
    ranges = fit_ranges(schema, x, np.arange(100, 200))
    again = ranges_from_json(ranges.to_json())
    assert again is not None and again.names == ("age", "flag", "same")
    new = np.array(
        [
            [40, 1, 7, 3, 0],
            [79, 0, 7, np.nan, 1],  # beyond the training rows, but within their width
            [95, 0, 7, 0, 0],
            [np.nan, 2, 7.5, 0, np.nan],
            [-50, -3, 8, 0, 0],
        ]
    )
    words = again.words(again.outside(schema, new))
    assert words == ["", "", "age", "flag, same", "age, flag, same"]
    assert not ranges.outside(schema, x).any()


@pytest.mark.parametrize("make", [pictures, clips])
def test_pictures_and_clips_unlike_those_of_training(make: Any) -> None:
    data = make()
    ranges = fit_ranges(data.schema, data.inputs, np.arange(len(data)))
    assert not ranges.outside(data.schema, data.inputs).any()
    strange = np.zeros_like(data.inputs[:2])
    strange[1] = 255 if data.kind == "images" else np.resize([30000, -30000], strange[1].shape)
    words = ranges.words(ranges.outside(data.schema, strange))
    assert all(words), words
