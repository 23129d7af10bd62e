"""Pictures: damaged, lying, bombs, and every odd kind of good ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from corpus.case import Case, Ended, fit
from trainwell.data.images import read_images

SIZE = 12
Pixels = np.ndarray[Any, Any]


def pixels(seed: int) -> Pixels:
    """A grey picture, dark on the left half or on the upper half."""
    grey = np.random.default_rng(seed).integers(100, 200, (SIZE, SIZE))
    half = (slice(None), slice(SIZE // 2)) if seed % 2 else (slice(SIZE // 2),)
    grey[half] -= 90
    return grey.astype(np.uint8)


def folder(place: Path) -> Path:
    """Ten pictures in each of two classes."""
    for seed in range(20):
        path = place / "p" / ("left" if seed % 2 else "up") / f"{seed:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(seed)).save(path)
    return place / "p"


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture file."""
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def png(width: int, height: int, rows: bytes = b"", text: bytes = b"") -> bytes:
    """A PNG whose header says any size, with what pixels there are (8 bits, grey), and a text."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    head = chunk(b"IHDR", head) + (chunk(b"zTXt", b"a\0\0" + text) if text else b"")
    body = head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def with_one(name: str, content: bytes) -> Callable[[Path], object]:
    """The good folder and one more file in the class `left`."""
    return lambda place: (folder(place) / "left" / name).write_bytes(content)


def skips(name: str, content: bytes, file: str, *why: str) -> Case:
    """The file is listed with the reason; the twenty others are read."""

    def seen(ended: Ended) -> None:
        data = read_images(ended.folder / "p")
        assert len(data) == 20 and [s.where for s in data.skipped] == [f"left/{file}"]
        assert all(word in data.skipped[0].why for word in why), data.skipped[0].why

    return Case(name, with_one(file, content), FIT, "skip", (f"skipped left/{file}", *why), seen)


def shows(
    name: str, content: bytes, file: str, value: Callable[[Pixels], object], *says: str
) -> Case:
    """The file is read; `value` looks at its pixels (C, H, W)."""

    def seen(ended: Ended) -> None:
        data = read_images(ended.folder / "p")
        assert len(data) == 21 and not data.skipped
        value(data.inputs[data.names.index(f"left/{file}")])

    return Case(name, with_one(file, content), FIT, "fine", says, seen)


def near(wanted: Pixels, most: float = 1.5) -> Callable[[Pixels], object]:
    """Asserts that a picture is this one, up to rounding."""

    def look(got: Pixels) -> None:
        assert np.abs(got.astype(float) - wanted.astype(float)).mean() <= most

    return look


def folder_of(content: bytes, ending: str) -> Callable[[Path], object]:
    """Four equal bad files in two classes."""

    def write(place: Path) -> None:
        for i in range(4):
            path = place / "p" / "ab"[i % 2] / f"{i}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return write


FIT = fit("p", "--set", "model=Linear()")
GREY = Image.fromarray(pixels(1))
PNG = encoded(GREY)
COLOUR = Image.merge("RGB", [GREY, GREY.point(lambda v: v // 2), GREY])
TURNED = Image.Exif()
TURNED[0x0112] = 6
ANIMATED = BytesIO()
GREY.save(ANIMATED, "GIF", save_all=True, append_images=[Image.new("L", GREY.size, 255)] * 3)
PAGES = BytesIO()
GREY.save(PAGES, "TIFF", save_all=True, append_images=[Image.new("L", GREY.size, 255)])
TEXT = zlib.compress(bytes(64 << 20))
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 12\n%%EndComments\n(x) run\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
FLOAT = Image.fromarray(np.where(np.eye(SIZE) > 0, np.nan, 0.5).astype(np.float32))
WIDE = Image.fromarray(pixels(1).astype(np.uint16) * 257)
CASES = [
    skips("half of a png", PNG[: len(PNG) // 2], "x.png", "cannot be read"),
    skips("half of a jpeg", encoded(GREY, "JPEG")[:300], "x.jpg", "cannot be read"),
    skips("half of a tiff", encoded(GREY, "TIFF")[:100], "x.tif", "cannot be read"),
    skips("half of a gif", encoded(GREY, "GIF")[:40], "x.gif", "cannot be read"),
    skips("half of a webp", encoded(GREY, "WEBP")[:40], "x.webp", "cannot be read"),
    skips("half of a bmp", encoded(GREY, "BMP")[:80], "x.bmp", "cannot be read"),
    skips("no byte", b"", "x.png", "empty"),
    skips("text called png", b"no picture", "x.png", "cannot be read"),
    skips("a web page called jpg", b"<!DOCTYPE html><p>404", "x.jpg", "cannot be read"),
    skips("a program in PostScript called png", EPS, "x.png", "cannot be read"),
    skips("a drawing called png", SVG, "x.png", "cannot be read"),
    skips("a drawing", SVG, "x.svg", "does not end in"),
    skips("a flipped byte in a png", PNG[:60] + bytes([PNG[60] ^ 255]) + PNG[61:], "x.png", "cannot"),
    skips("a png of no pixels", png(0, 0), "x.png", "cannot be read"),
    skips("30000 × 30000 pixels", png(30000, 30000), "x.png", "pixels"),
    skips("2^31 × 2^31 pixels", png(2**31 - 1, 2**31 - 1), "x.png"),
    skips("a header of more pixels than there are", png(500, 500, bytes(100)), "x.png", "cannot"),
    skips("a bomb of black pixels", png(20000, 20000, bytes(20001) * 100), "x.png", "pixels"),
    skips("text that unpacks without end", png(12, 12, bytes(13 * 12), TEXT), "x.png", "cannot"),
    skips("values that are no numbers", encoded(FLOAT, "TIFF"), "x.tif", "not finite"),
    shows("a jpeg called png", encoded(GREY, "JPEG", quality=95), "x.png", near(pixels(1), 9)),
    shows("a png without an end", PNG[:-12], "x.png", near(pixels(1))),
    shows("16 bits", encoded(WIDE), "x.png", near(pixels(1))),
    shows("one bit", encoded(Image.new("1", (SIZE, SIZE), 1)), "x.png", near(np.full((1,), 255))),
    shows("cmyk", encoded(Image.new("CMYK", (SIZE, SIZE)), "JPEG"), "x.jpg", near(np.full((1,), 255))),
    shows("transparent", encoded(Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))), "x.png",
          near(np.full((1,), 255))),
    shows("a palette", encoded(GREY.convert("P")), "x.png", near(pixels(1))),
    shows("colour among grey", encoded(COLOUR), "x.png", lambda got: near(pixels(1))(got[0])),
    shows("an animation", ANIMATED.getvalue(), "x.gif", near(pixels(1)), "several frames"),
    shows("a file of two pages", PAGES.getvalue(), "x.tif", near(pixels(1)), "several frames"),
    shows("turned by its camera", encoded(GREY, "JPEG", quality=95, exif=TURNED.tobytes()), "x.jpg",
          near(np.rot90(pixels(1), -1), 9)),
    shows("one pixel", encoded(Image.new("L", (1, 1), 7)), "x.png", near(np.full((1,), 7)), "resized"),
    shows("a line of pixels", encoded(Image.new("L", (3000, 1), 7)), "x.png", near(np.full((1,), 7))),
    shows("another size", encoded(GREY.resize((40, 40))), "x.png", near(pixels(1), 30), "resized"),
    shows("an ending in capitals", PNG, "X.PNG", near(pixels(1))),
    Case("nothing but damage", folder_of(b"no picture", "png"), FIT, "error", ("p", "none of the 4")),
    Case("nothing but bombs", folder_of(png(30000, 30000), "png"), FIT, "error", ("p", "pixels")),
    Case("one picture alone", lambda place: Image.new("L", (9, 9)).save(place / "p.png"),
         fit("p.png"), "error", ("p.png", "folder")),
    Case("the size of no picture", folder, fit("p", "--image-size", "100000"), "error", ("1024",)),
    Case("pictures of 5000 × 5000", with_one("x.png", encoded(Image.new("L", (5000, 5000), 9))), FIT,
         "fine", ("resized",)),
]  # fmt: skip
