"""Folders of pictures: layouts, sizes, modes, damaged files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainwell.data.dataset import ImageSchema
from trainwell.data.images import common_size, load_image, read_images, to_plain
from trainwell.data.read import read, read_like
from trainwell.errors import DataError


def save(path: Path, image: Image.Image | np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)
    return path


def grey(seed: int, height: int = 12, width: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    for i in range(4):
        save(tmp_path / "pets" / ("cat" if i % 2 else "dog") / f"{i}.png", grey(i))
    return tmp_path / "pets"


def test_equal_small_pictures_keep_every_pixel(two_classes: Path) -> None:
    data = read(two_classes)
    assert data.schema == ImageSchema(1, 12, 10)
    assert data.classes == ("cat", "dog")
    assert data.names == ("cat/1.png", "cat/3.png", "dog/0.png", "dog/2.png")
    np.testing.assert_array_equal(data.inputs[2, 0], grey(0))
    assert data.official_test is None and data.notes == ()


def test_train_val_and_test_folders(tmp_path: Path) -> None:
    for i, part in enumerate(["train", "val", "Test"]):
        for label in ("10", "9"):
            save(tmp_path / part / label / f"{i}.bmp", grey(i))
    (tmp_path / "train" / "11").mkdir()
    save(tmp_path / "cover.png", grey(9))
    data = read(tmp_path)
    assert data.classes == ("9", "10")
    assert data.official_test is not None
    assert [n for n, t in zip(data.names, data.official_test, strict=True) if t] == [
        "Test/10/2.bmp",
        "Test/9/2.bmp",
    ]
    assert "The 2 files in val/ are used for training." in data.notes
    assert "Folder train/11/ holds no usable file and is no class." in data.notes
    assert data.skipped[0].where == "cover.png"


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    for label in ("train", "car"):
        save(tmp_path / label / "1.png", grey(1))
    assert read(tmp_path).classes == ("car", "train")


def test_unknown_class_in_the_test_part(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "test/c/1.png"):
        save(tmp_path / name, grey(1))
    with pytest.raises(DataError, match=r'expected a class of the training part, got "c"'):
        read(tmp_path)


def test_modes() -> None:
    base = Image.fromarray(np.full((4, 4), 100, np.uint8))
    assert to_plain(base.convert("1")).mode == "L"
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert np.asarray(to_plain(clear)).min() == 255  # nothing but paper
    half = Image.new("LA", (4, 4), (0, 128))
    assert abs(int(np.asarray(to_plain(half))[0, 0, 0]) - 127) <= 1
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    assert np.asarray(to_plain(palette))[0, 0].tolist() == [200, 0, 0]
    palette.info["transparency"] = 1
    assert np.asarray(to_plain(palette))[0, 0].tolist() == [255, 255, 255]
    assert to_plain(base.convert("CMYK")).mode == "RGB"
    for values, want in (
        (np.full((4, 4), 257 * 77, np.uint16), 77),
        (np.full((4, 4), 65535, np.int32), 255),
        (np.full((4, 4), 0.5, np.float32), 128),
        (np.full((4, 4), 200.0, np.float32), 200),
    ):
        assert np.asarray(to_plain(Image.fromarray(values)))[0, 0] == want
    stretched = to_plain(Image.fromarray(np.array([[-5.0, 0.0], [5.0, 5.0]], np.float32)))
    assert np.asarray(stretched).tolist() == [[0, 128], [255, 255]]


def test_16_bit_png_and_orientation(tmp_path: Path) -> None:
    values = (np.arange(12, dtype=np.uint16) * 257).reshape(3, 4)
    assert (
        load_image(save(tmp_path / "deep.png", values), 3, 4).tolist() == (values // 257).tolist()
    )
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: rows are columns
    picture = Image.fromarray(np.array([[0, 0, 255, 255]] * 2, np.uint8))
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        picture.save(tmp_path / "set" / label / "1.png", exif=exif)
    data = read(tmp_path / "set")
    assert data.schema.shape == (1, 4, 2)
    assert data.inputs[0, 0, :, 0].tolist() == [0, 0, 255, 255]


def test_one_colour_picture_makes_all_rgb(two_classes: Path) -> None:
    save(two_classes / "cat" / "red.png", Image.new("RGB", (10, 12), (255, 0, 0)))
    data = read(two_classes)
    assert data.schema.shape == (3, 12, 10)
    assert (data.inputs[0, 0] == data.inputs[0, 2]).all()
    new = read_like(two_classes / "cat" / "red.png", ImageSchema(1, 6, 5), data.classes)
    assert new.inputs.shape == (1, 1, 6, 5) and new.inputs.min() == 76  # the brightness of red


def test_grey_stored_as_rgb_is_grey(two_classes: Path) -> None:
    save(two_classes / "cat" / "x.png", Image.fromarray(grey(1)).convert("RGB"))
    assert read(two_classes).schema.shape[0] == 1


def test_common_size() -> None:
    assert common_size([(28, 28)] * 3, None) == (28, 28)
    assert common_size([(200, 100)] * 3, None) == (96, 48)
    assert common_size([(20, 40), (30, 60), (10, 20)], None) == (20, 40)
    assert common_size([(28, 28)] * 3, 14) == (14, 14)
    with pytest.raises(DataError, match="at least 1 pixel"):
        common_size([(28, 28)], 0)


def test_mixed_sizes_keep_their_shape_and_fill_with_the_border(tmp_path: Path) -> None:
    wide = np.full((10, 40), 50, np.uint8)
    wide[4:6, 18:22] = 250
    save(tmp_path / "a" / "wide.png", wide)
    for i in range(3):
        save(tmp_path / "b" / f"{i}.jpg", np.full((40 + i, 40 + i), 200, np.uint8))
    data = read(tmp_path)
    assert data.schema.shape == (1, 40, 40)
    assert data.inputs[0, 0, 0].tolist() == [50] * 40
    assert data.inputs[0, 0, 18:22, 18:22].max() > 240
    assert "4 sizes are resized to 40 × 40" in data.notes[0]
    assert read(tmp_path, image_size=20).schema.shape == (1, 20, 20)


def bomb(path: Path) -> None:
    """A PNG whose header promises 60000 × 60000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_bad_files_are_skipped_with_the_reason(two_classes: Path) -> None:
    cat = two_classes / "cat"
    (cat / "zero.png").touch()
    (cat / "text.jpg").write_text("no picture")
    (cat / "cut.png").write_bytes((cat / "1.png").read_bytes()[:90])
    bomb(cat / "bomb.png")
    (cat / ".hidden.png").touch()
    (cat / "notes.txt").touch()
    data = read(two_classes)
    assert len(data) == 4
    why = {item.where: item.why for item in data.skipped}
    assert why.keys() == {
        f"cat/{n}" for n in ("zero.png", "text.jpg", "cut.png", "bomb.png", "notes.txt")
    }
    assert why["cat/zero.png"] == "the file is empty"
    assert "cannot be read as a picture" in why["cat/text.jpg"]
    assert "cannot be read as a picture" in why["cat/cut.png"]
    assert "so many pixels" in why["cat/bomb.png"]


def test_no_usable_picture(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").touch()
    with pytest.raises(DataError, match=r"none of the 2 files could be used \(a/1.png: the file"):
        read_images(tmp_path)
    with pytest.raises(DataError, match=r"expected pictures or sound clips in this folder"):
        (tmp_path / "none").mkdir()
        read(tmp_path / "none")


def test_one_class_or_no_labels(tmp_path: Path) -> None:
    save(tmp_path / "one" / "a" / "1.png", grey(1))
    with pytest.raises(DataError, match=r'at least two classes, got only "a"'):
        read(tmp_path / "one")
    for name in ("holiday", "dinner"):
        save(tmp_path / "flat" / f"{name}.png", grey(1))
    with pytest.raises(DataError, match=r"expected one folder per class, found 2 files in one"):
        read(tmp_path / "flat")


def test_pattern_and_groups(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / f"w{i % 4}-{'ab'[i % 2]}{i}.png", grey(i))
    data = read(tmp_path, pattern="{writer}-{label}{n}.png", group="writer")
    # "as few characters as fit": the label is one letter
    assert data.classes == ("a", "b")
    assert data.group_names == ("w0", "w1", "w2", "w3")
    with pytest.raises(DataError, match=r'has no such field\. Did you mean "writer"'):
        read(tmp_path, pattern="{writer}-{label}{n}", group="write")
    with pytest.raises(DataError, match=r"no file name fits the pattern"):
        read(tmp_path, pattern="{label}+{n}")
    for bad, message in (("plain", "expected fields in braces"), ("{a}{a}", "names a field twice")):
        with pytest.raises(DataError, match=message):
            read(tmp_path, pattern=bad)


def test_group_without_pattern(two_classes: Path) -> None:
    with pytest.raises(DataError, match=r"no pattern is given. Say how the files are named"):
        read(two_classes, group="owner")


def test_new_pictures_with_and_without_folders(two_classes: Path) -> None:
    data = read(two_classes)
    assert isinstance(data.schema, ImageSchema)
    new = read_like(two_classes, data.schema, data.classes)
    np.testing.assert_array_equal(new.inputs, data.inputs)
    assert new.labels == ("cat", "cat", "dog", "dog")
    one = read_like(two_classes / "dog" / "0.png", data.schema, data.classes)
    assert one.names == ("0.png",) and one.labels == ("dog",)
    save(two_classes.parent / "new" / "deep" / "x.png", grey(5, 30, 30))
    (two_classes.parent / "new" / "y.png").touch()
    new = read_like(two_classes.parent / "new", data.schema, data.classes)
    assert new.labels is None and new.skipped[0].where == "y.png"
    with pytest.raises(DataError, match=r"none of the 1 files could be used"):
        read_like(two_classes.parent / "new" / "y.png", data.schema, data.classes)
