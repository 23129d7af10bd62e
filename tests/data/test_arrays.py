"""Arrays and .npz files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainwell.data.dataset import AudioSchema, ImageSchema
from trainwell.data.read import read, read_like
from trainwell.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3))
Y = np.array([2, 10, 9] * 4)


def test_table_arrays_keep_every_column() -> None:
    data = read((np.c_[X, np.ones(12)], Y, list("aabbccddeeff")))
    assert [c.name for c in data.schema.columns] == ["x0", "x1", "x2", "x3"]  # type: ignore[union-attr]
    assert data.inputs.dtype == np.float32
    assert data.classes == ("2", "9", "10")
    assert data.group_names == tuple("abcdef") and data.groups is not None
    assert data.names[3] == "row 3"
    np.testing.assert_allclose(data.inputs[:, :3], X, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int32, np.float16, np.float32, bool])
def test_types_of_numbers(dtype: Any) -> None:
    values = (X > 0).astype(dtype)
    np.testing.assert_array_equal(read((values, Y)).inputs, values.astype(np.float32))


@pytest.mark.parametrize("shape", [(12, 5, 4), (12, 1, 5, 4), (12, 5, 4, 1)])
def test_pictures_in_any_order_of_axes(shape: tuple[int, ...]) -> None:
    values = RNG.integers(0, 256, shape, np.uint8)
    data = read((values, Y))
    assert data.schema == ImageSchema(1, 5, 4)
    np.testing.assert_array_equal(data.inputs.ravel(), values.ravel())


def test_colours_last() -> None:
    values = RNG.integers(0, 256, (12, 5, 4, 3), np.uint8)
    np.testing.assert_array_equal(read((values, Y)).inputs, values.transpose(0, 3, 1, 2))


def test_waveforms() -> None:
    data = read((np.clip(X, -1, 1), Y), kind="audio", rate=8000)
    assert data.schema == AudioSchema(8000, 3) and data.inputs.dtype == np.int16
    for values, message in (
        (X * 100, "between -1 and 1"),
        (X.astype(int), "in int16 or float"),
    ):
        with pytest.raises(DataError, match=message):
            read((values, Y), kind="audio", rate=8000)
    with pytest.raises(DataError, match=r"expected the sample rate .* rate=..."):
        read((X, Y), kind="audio")


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_npz_forms(tmp_path: Path) -> None:
    for number, arrays in enumerate(
        [{"X": X, "y": Y}, {"labels": Y, "data": X}, {"x_train": X, "y_train": Y}]
    ):
        data = read(save(tmp_path / f"{number}.npz", **arrays))
        assert len(data) == 12 and data.official_test is None
    path = save(tmp_path / "t.npz", x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2])
    data = read(path)
    assert data.official_test is not None and data.official_test.sum() == 2
    sound = save(tmp_path / "s.npz", X=np.clip(X, -1, 1), y=Y, rate=4000)
    assert read(sound, kind="audio").schema == AudioSchema(4000, 3)
    assert read(save(tmp_path / "g.npz", X=X, y=Y, groups=Y)).groups is not None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X.astype(object), "y": Y}, r"array of Python objects, which is not read"),
        ({"a": X, "b": Y, "c": Y}, r"got the arrays a, b, c. Save the arrays as X and y"),
        ({"X": X, "y": Y[:5]}, r"labels: expected 12 values, one per row, got 5"),
        ({"X": X, "y": np.eye(12)}, r"expected one value per row.*argmax"),
        ({"X": X.astype(str), "y": Y}, r"expected numbers of the shape.*got type <U"),
        ({"X": X[:0], "y": Y[:0]}, r"expected rows of data, got the shape \(0, 3\)"),
        ({"X": X, "y": X[:, 0]}, r"expected classes, got 12 different numbers"),
        ({"X": np.where(X > 1, np.inf, X), "y": Y}, r"row \d+, column x\d: expected a finite"),
        ({"X": X.reshape(12, 3, 1), "y": Y}, r"pictures in uint8 \(0..255\), got float64"),
        ({"X": np.zeros((12, 6, 7, 5), np.uint8), "y": Y}, r"pictures of 1 to 4 channels"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, r"x_test: .*got \(2,\)"),
    ],
)
def test_errors(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(save(tmp_path / "a.npz", **arrays))


def test_damaged_npz(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataError, match=r"a.npz: cannot be read as .npz"):
        read(tmp_path / "a.npz")


def test_wrong_kind_and_tuple() -> None:
    with pytest.raises(DataError, match=r"expected \(X, y\) or \(X, y, groups\), got 1 items"):
        read((X,))
    with pytest.raises(DataError, match=r"expected a 2-dimensional array for table"):
        read((np.zeros((12, 2, 2), np.uint8), Y), kind="table")
    with pytest.raises(DataError, match=r"--kind images: arrays holds table"):
        read((X, Y), kind="images")


def test_new_arrays(tmp_path: Path) -> None:
    data = read((X, Y))
    new = read_like((X, Y.astype(float)), data.schema, data.classes)
    np.testing.assert_array_equal(new.inputs, data.inputs)
    assert new.labels is not None and new.labels[:3] == ("2", "10", "9")
    assert read_like(X, data.schema, data.classes).labels is None
    np.save(tmp_path / "x.npy", X)
    for path in (tmp_path / "x.npy", save(tmp_path / "one.npz", values=X)):
        assert read_like(path, data.schema, data.classes).inputs.shape == (12, 3)
    with pytest.raises(DataError, match=r"expected inputs called X, got the arrays a, b"):
        read_like(save(tmp_path / "two.npz", a=X, b=X), data.schema, data.classes)
    with pytest.raises(DataError, match=r"expected examples of the shape \(3,\).*got \(2,\)"):
        read_like(X[:, :2], data.schema, data.classes)
    wave = read_like(np.clip(X, -1, 1), AudioSchema(8000, 2), ("a", "b"))
    assert wave.inputs.shape == (12, 2)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("last", [False, True])
def test_pictures_of_one_to_four_channels(tmp_path: Path, channels: int, last: bool) -> None:
    x = np.arange(12 * channels * 6 * 9, dtype=np.uint8).reshape(12, channels, 6, 9)
    np.savez(tmp_path / "a.npz", X=x.transpose(0, 2, 3, 1) if last else x, y=np.arange(12) % 2)
    found = read(tmp_path / "a.npz")
    assert found.schema == ImageSchema(channels, 6, 9)
    np.testing.assert_array_equal(found.inputs, x)
