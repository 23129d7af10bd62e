"""Rows in files: maps of stored arrays, scratch files, passes by chunks."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from trainwell.data import bulk, npyfile
from trainwell.data.arrays import read_npz
from trainwell.data.audio import read_audio
from trainwell.data.bulk import Store, chunks, converted, each_column, is_mapped, joined, release
from trainwell.data.facts import facts
from trainwell.data.images import read_images, read_images_like
from trainwell.data.keys import row_keys
from trainwell.data.npyfile import load_arrays
from trainwell.data.read import read, read_like
from trainwell.data.split import make_split
from trainwell.data.table import narrowed
from trainwell.errors import DataError

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (24, 6, 5), np.uint8)
Y = np.arange(24) % 3


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("comment", ["", "x" * 37])
def test_stored_members_are_mapped_where_they_lie(tmp_path: Path, order: Any, comment: str) -> None:
    """The member's own header has a length of its own; bytes in front of the archive shift all."""
    path = tmp_path / "a.npz"
    np.savez(path, X=np.array(PICTURES, order=order), y=Y)
    if comment:
        path.write_bytes(comment.encode() + path.read_bytes())
    arrays = load_arrays(path, limit=500)
    assert is_mapped(arrays["x"]) and not is_mapped(arrays["y"])
    assert not arrays["x"].flags.writeable
    np.testing.assert_array_equal(arrays["x"], PICTURES)
    np.testing.assert_array_equal(arrays["y"], Y)


def test_compressed_members_are_unpacked_into_a_file_without_a_name(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", X=PICTURES)
    before = set(bulk.cache_dir().iterdir()) if bulk.cache_dir().exists() else set()
    found = load_arrays(tmp_path / "a.npz", limit=100)["x"]
    assert is_mapped(found)
    np.testing.assert_array_equal(found, PICTURES)
    assert set(bulk.cache_dir().iterdir()) == before


def both(folder: Path, **arrays: Any) -> tuple[Path, Path]:
    """The arrays as an .npz file and as a folder of .npy files."""
    np.savez(folder / "both.npz", **arrays)
    (folder / "both").mkdir()
    for name, array in arrays.items():
        np.save(folder / "both" / f"{name}.npy", array)
    return folder / "both.npz", folder / "both"


@pytest.mark.parametrize("limit", [0, None])
def test_train_and_test_parts_are_joined(tmp_path: Path, limit: int | None) -> None:
    parts = {"x_train": PICTURES[:20], "y_train": Y[:20], "x_test": PICTURES[20:], "y_test": Y[20:]}
    for path in both(tmp_path, **parts):
        data = read_npz(path, limit=limit)
        assert is_mapped(data.inputs) == (limit == 0)
        np.testing.assert_array_equal(data.inputs[:, 0], PICTURES)
        assert data.official_test is not None
        assert data.official_test.tolist() == [False] * 20 + [True] * 4
        assert data.names[21] == "row 21" and len(data.names) == 24


def test_a_folder_of_arrays_is_read_like_a_file(tmp_path: Path) -> None:
    for path in both(tmp_path, X=PICTURES, y=Y, groups=Y // 2):
        data = read(path)
        np.testing.assert_array_equal(data.inputs[:, 0], PICTURES)
        assert data.group_names == ("0", "1")
        new = read_like(path, data.schema, data.classes)
        assert new.labels is not None and new.labels[:3] == ("0", "1", "2")
    with pytest.raises(DataError, match=r"--group who: has no meaning for folder of arrays both"):
        read(tmp_path / "both", group="who")


def test_mapped_data_give_the_facts_and_the_split_of_data_in_memory(tmp_path: Path) -> None:
    x = RNG.normal(size=(90, 4))
    x[RNG.random(x.shape) < 0.1], x[:, 3], x[7] = np.nan, 2.0, x[2]
    for number, values in enumerate((x, RNG.integers(0, 2, (90, 3, 2), np.uint8))):
        path, y = tmp_path / f"{number}.npz", np.arange(90) % 3
        np.savez(path, X=values, y=y)
        small, large = read_npz(path), read_npz(path, limit=0)
        assert is_mapped(large.inputs) and not is_mapped(small.inputs)
        assert small.schema == large.schema
        np.testing.assert_array_equal(small.inputs, large.inputs)
        assert facts(small) == facts(large)
        splits = [make_split(d, seed=0, folds=2, test=0.2) for d in (small, large)]
        np.testing.assert_array_equal(splits[0].development, splits[1].development)


@pytest.mark.parametrize("colours", [(), (17,), (0, 3)])
def test_pictures_are_decoded_into_a_file(
    tmp_path: Path, colours: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first colours may come late: what was grey before then gets three channels."""
    for i, picture in enumerate(PICTURES):
        pixels = np.stack([picture, picture, picture], axis=2)
        pixels[0, 0, 1] ^= 255 * (i in colours)
        folder = tmp_path / f"c{i % 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels if i in colours else picture).save(folder / f"{i:02}.png")
    (tmp_path / "c0" / "02x.png").write_bytes(b"nothing")
    small = read_images(tmp_path)
    monkeypatch.setattr("trainwell.data.images.AT_ONCE", 5)
    large = read_images(tmp_path, limit=0)
    assert is_mapped(large.inputs) and not is_mapped(small.inputs)
    assert large.schema.shape == (3 if colours else 1, 6, 5)
    np.testing.assert_array_equal(small.inputs, large.inputs)
    assert small.names == large.names and len(large) == 24
    assert [s.where for s in large.skipped] == ["c0/02x.png"]
    paths = sorted((tmp_path / "c1").iterdir())
    names = [path.name for path in paths]
    assert read_images_like(paths, names, large.schema, "c1").inputs.shape[1:] == large.schema.shape


def test_clips_are_decoded_into_a_file(tmp_path: Path) -> None:
    for i in range(30):
        folder = tmp_path / f"c{i % 2}"
        folder.mkdir(exist_ok=True)
        wave = RNG.integers(-9000, 9000, 700 + 10 * i + 9000 * (i == 5)).astype(np.int16)
        soundfile.write(folder / f"{i}.wav", wave, 8000)
    small, large = read_audio(tmp_path), read_audio(tmp_path, limit=0)
    assert is_mapped(large.inputs) and not is_mapped(small.inputs)
    np.testing.assert_array_equal(small.inputs, large.inputs)
    assert small.notes == large.notes and any("were cut" in note for note in large.notes)


def test_types_that_are_converted(tmp_path: Path) -> None:
    for values in (PICTURES[:, 0] / 7, PICTURES[:, 0].astype(np.int64) << 40, PICTURES[:, 0] > 9):
        expected = narrowed(values)
        np.save(tmp_path / "x.npy", values)
        mapped = load_arrays(tmp_path / "x.npy", limit=0)["x"]
        found = narrowed(mapped, limit=0)
        assert is_mapped(found) and found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert converted(expected, expected.dtype) is expected


def test_passes_by_chunks_see_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(70, dtype=np.int64).reshape(10, 7)
    stored = joined([rows[:3], rows[3:]], limit=0)
    for size in (1, 56, 57, 170, 10_000):
        np.testing.assert_array_equal(np.concatenate(list(chunks(stored, size))), rows)
        monkeypatch.setattr(bulk, "COLUMN_BYTES", size)
        some = np.array([8, 1, 1])
        np.testing.assert_array_equal(np.stack(list(each_column(stored))), rows.T)
        np.testing.assert_array_equal(np.stack(list(each_column(stored, some))), rows[some].T)
    release(stored)
    np.testing.assert_array_equal(stored, rows)
    np.testing.assert_array_equal(row_keys(stored), np.arange(10))


def test_pages_of_writable_maps_are_not_let_go(tmp_path: Path) -> None:
    """A map with changes of its own would lose them."""
    np.save(tmp_path / "x.npy", PICTURES)
    own = np.load(tmp_path / "x.npy", mmap_mode="c")
    own[:] = 7
    own.flags.writeable = False
    release(own)
    assert (own == 7).all() and not is_mapped(own)


def test_no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not fit into memory.* MB are needed and \d+ MB are"):
        Store((1 << 20,), np.uint8, 1 << 40, limit=0)
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRAINWELL_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"name another folder in TRAINWELL_CACHE"):
        Store((1,), np.uint8, 10, limit=0)


def patched(path: Path, old: bytes, new: bytes) -> Path:
    """A file with some bytes replaced, as many as there were."""
    content = path.read_bytes()
    assert len(old) == len(new) and old in content
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize("limit", [0, None])
def test_damaged_arrays(tmp_path: Path, limit: int | None) -> None:
    np.save(tmp_path / "x.npy", PICTURES)
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"cannot be read as .npy .*promises 720 .*holds 719"):
        load_arrays(tmp_path / "x.npy", limit)
    (tmp_path / "x.npy").write_bytes(whole)
    patched(tmp_path / "x.npy", b"(24, 6, 5), }   ", b"(24000, 6, 5), }")
    with pytest.raises(DataError, match=r"x.npy: cannot be read as .npy"):
        load_arrays(tmp_path / "x.npy", limit)
    np.save(tmp_path / "o.npy", np.array([{}, 1], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"o.npy: expected arrays of numbers or words"):
        load_arrays(tmp_path / "o.npy", limit)
    np.savez(tmp_path / "a.npz", X=PICTURES)
    patched(tmp_path / "a.npz", PICTURES[3].tobytes(), PICTURES[4].tobytes())
    with pytest.raises(DataError, match=r"a.npz: cannot be read as .npz .*CRC"):
        load_arrays(tmp_path / "a.npz", limit)


def test_members_that_are_no_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", b"\x93NUMPY\x09\x00 nothing")
    with pytest.raises(DataError, match=r"a.npz: cannot be read as .npz"):
        load_arrays(tmp_path / "a.npz")
    assert npyfile.array_files(tmp_path) == {}
