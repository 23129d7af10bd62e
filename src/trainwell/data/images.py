"""Pictures in folders: any size, mode and format become one uint8 array."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import CHUNK_BYTES, Store, chunk_rows, chunks, keep_limit
from trainwell.data.dataset import Dataset, ImageSchema, NewData, Skipped
from trainwell.data.folders import folder_dataset, nothing_left, scan
from trainwell.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

Bytes = npt.NDArray[np.uint8]
T = TypeVar("T")
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".pbm", ".pnm", ".tif", ".tiff", ".gif"),
    ".webp",
)
# What a file is, its first bytes say, not its name. Other formats are not tried: some of Pillow's
# readers start programs (PostScript).
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF", "GIF", "WEBP")
AT_ONCE = 1024  # pictures decoded before they are put into the array, at most
MAX_SIDE = 96  # longer pictures are made smaller, unless image_size asks for more
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


def read_images(
    root: Path,
    *,
    pattern: str | None = None,
    group: str | None = None,
    image_size: int | None = None,
    limit: int | None = None,
) -> Dataset:
    """The pictures of a folder, labelled by folder or file name (see folders.scan).

    Inputs are uint8 (N, C, H, W): C = 1 if every picture is grey, else 3. Pictures of one size
    of at most MAX_SIDE pixels keep it; others are resized to a common size, aspect ratio kept,
    the rest filled with the colour of the border. image_size: the longer side, in pixels.
    limit: bytes up to which they are held in memory, else in a mapped file (None: chosen).
    Raises DataError when no picture can be read or no label can be found.
    """
    folder = scan(root, IMAGE_SUFFIXES, pattern=pattern, group=group)
    paths = [example.path for example in folder.examples]
    headers = [found for found in _in_threads(_header, paths) if not isinstance(found, str)]
    sizes = [(high, wide) for high, wide, _ in headers]
    if not sizes:
        first = next(why for why in _in_threads(_header, paths) if isinstance(why, str))
        bad = [Skipped(example.name, first) for example in folder.examples]
        raise nothing_left(root, bad, "pictures")
    height, width = common_size(sizes, image_size)
    inputs, reasons = load_images(paths, height, width, limit=limit)
    named = list(zip(folder.examples, reasons, strict=True))
    kept = [example for example, why in named if not why]
    bad = [Skipped(example.name, why) for example, why in named if why]
    if not kept:
        raise nothing_left(root, bad, "pictures")
    notes = list(folder.notes)
    if len(set(sizes)) > 1 or (height, width) != sizes[0]:
        notes.append(f"Pictures of {len(set(sizes))} sizes are resized to {width} × {height}.")
    moving = sum(more for *_, more in headers)
    if moving:
        notes.append(f"Of files with several frames or pages ({moving}) the first one is read.")
    schema = ImageSchema(inputs.shape[1], height, width)
    return folder_dataset(root, schema, inputs, kept, [*folder.skipped, *bad], notes)


def read_images_like(
    paths: Sequence[Path],
    names: Sequence[str],
    schema: ImageSchema,
    where: str,
    some: bool = True,
) -> NewData:
    """Pictures to predict, in the size and colour of the training data (labels left out).

    some: whether DataError is raised when none can be read.
    """
    if schema.channels not in (1, 3):
        problem = f"the model takes pictures of {schema.channels} channels, files are grey or RGB"
        raise DataError(where, problem, "Give an array, as in training.")
    inputs, reasons = load_images(paths, schema.height, schema.width, schema.channels)
    bad = [Skipped(name, why) for name, why in zip(names, reasons, strict=True) if why]
    kept = tuple(name for name, why in zip(names, reasons, strict=True) if not why)
    if not kept and some:
        raise nothing_left(Path(where), bad, "pictures")
    return NewData(inputs, kept, skipped=tuple(bad))


def load_images(
    paths: Sequence[Path],
    height: int,
    width: int,
    channels: int | None = None,
    limit: int | None = None,
) -> tuple[Bytes, list[str]]:
    """Pictures (N, C, H, W) that can be read, and for each path "" or why it cannot.

    channels: 1 or 3; None takes 1 if all are grey, else 3. They are decoded some at a time into
    an array, or into a mapped file where they take more than `limit` bytes.
    """
    most = len(paths) * height * width * 3
    limit = keep_limit() if limit is None else limit
    large = most > limit
    store = Store((channels or 1, height, width), np.uint8, len(paths), 0 if large else most)
    reasons: list[str] = []
    step = min(AT_ONCE, chunk_rows(3 * height * width, 4 * CHUNK_BYTES))
    for start in range(0, len(paths), step):
        found = _in_threads(
            lambda path: load_image(path, height, width), paths[start : start + step]
        )
        reasons += [p if isinstance(p, str) else "" for p in found]
        pixels = [p for p in found if not isinstance(p, str)]
        if channels is None and store.shape[0] == 1 and any(p.ndim == 3 for p in pixels):
            # The first colours: the grey pictures so far get three equal channels.
            grey = store.array()
            store = Store((3, height, width), np.uint8, len(paths), 0 if large else most)
            for chunk in chunks(grey):
                store.append(np.repeat(chunk, 3, axis=1))
        if pixels:
            store.append(stack_images(pixels, store.shape[0]))
    return store.array(), reasons


def _in_threads(work: Callable[[Path], T], paths: Sequence[Path]) -> list[T | str]:
    """What `work` makes of each picture, in order; for one it cannot read, the reason."""
    from PIL import Image

    def guarded(path: Path) -> T | str:
        try:
            if not path.stat().st_size:
                return "the file is empty"
            return work(path)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            return "it has so many pixels that reading it is not safe"
        except MemoryError:
            return "it does not fit into memory"
        except Exception as error:  # a damaged file makes decoders raise almost anything
            return f"it cannot be read as a picture ({error})"

    threads = min(8, os.cpu_count() or 1)
    with warnings.catch_warnings():
        # Decoders warn about odd metadata, which is of no concern; only a bomb is.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(guarded, paths))


def _header(path: Path) -> tuple[int, int, bool]:
    """Height and width of a picture as it is seen, without reading its pixels, and whether it has
    more than one frame or page."""
    from PIL import Image

    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        turned = image.getexif().get(_ORIENTATION) in _TURNED
        more = bool(getattr(image, "is_animated", False))
        return (width, height, more) if turned else (height, width, more)


def common_size(sizes: Sequence[tuple[int, int]], image_size: int | None) -> tuple[int, int]:
    """The (height, width) that pictures of these (height, width) are brought to.

    >>> common_size([(28, 28), (28, 28)], None), common_size([(100, 200), (300, 600)], None)
    ((28, 28), (48, 96))
    """
    if image_size is not None and image_size < 1:
        raise DataError("image_size", f"expected at least 1 pixel, got {image_size}", "")
    longer = [max(size) for size in sizes]
    if len(set(sizes)) == 1 and longer[0] <= MAX_SIDE and image_size is None:
        return sizes[0]
    side = image_size or min(MAX_SIDE, int(np.median(longer)))
    aspect = float(np.median([height / width for height, width in sizes]))
    height, width = (side, side / aspect) if aspect > 1 else (side * aspect, side)
    return max(1, round(height)), max(1, round(width))


def load_image(path: Path, height: int, width: int) -> Bytes:
    """One picture as (H, W) if it is grey, else (H, W, 3)."""
    from PIL import Image, ImageOps

    with Image.open(path, formats=FORMATS) as opened:
        # A JPEG can be decoded at a half, quarter or eighth of its size, which is faster.
        opened.draft(None, (2 * max(width, height), 2 * max(width, height)))
        opened.load()
        image = to_plain(ImageOps.exif_transpose(opened))
    if image.size != (width, height):
        image = _fit(image, height, width)
    pixels = np.asarray(image, np.uint8)
    if pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, 0]
    return pixels


def to_plain(image: Image.Image) -> Image.Image:
    """A picture of any mode as L (grey) or RGB; what is transparent becomes white."""
    from PIL import Image

    if image.mode in ("L", "RGB"):
        if "transparency" not in image.info:
            return image
    elif image.mode == "1":
        return image.convert("L")
    elif image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_bytes(np.asarray(image)))
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        colours = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, colours).convert("RGB")
    return image.convert("RGB")


def _to_bytes(values: npt.NDArray[Any]) -> Bytes:
    """Grey values of more than 8 bits as bytes.

    16 bits are divided by 257; fractions from 0 to 1 are multiplied by 255; numbers of another
    range are stretched between their smallest and largest.
    """
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    wide = values.astype(np.float64)
    low, high = float(wide.min()), float(wide.max())
    if values.dtype.kind in "iu" and low >= 0 and high <= 65535:
        scaled = wide / 257
    elif values.dtype.kind == "f" and low >= 0 and high <= 1:
        scaled = wide * 255
    elif values.dtype.kind == "f" and low >= 0 and high <= 255:
        scaled = wide
    else:
        scaled = (wide - low) * (255 / (high - low if high > low else 1))
    return np.round(scaled).astype(np.uint8)


def _fit(image: Image.Image, height: int, width: int) -> Image.Image:
    """The picture as large as fits, in the middle of a canvas of its border's colour."""
    from PIL import Image

    scale = min(width / image.width, height / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resized = image.resize(inner, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if resized.size == (width, height):
        return resized
    pixels = np.asarray(resized)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = np.median(border, axis=0).astype(int)
    fill = tuple(map(int, colour)) if resized.mode == "RGB" else int(colour)
    canvas = Image.new(resized.mode, (width, height), fill)
    canvas.paste(resized, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return canvas


def stack_images(pixels: Sequence[Bytes], channels: int | None = None) -> Bytes:
    """Pictures (H, W) or (H, W, 3) as (N, C, H, W).

    channels: 1 turns colours to grey by their brightness, 3 repeats grey; None takes 1 if all
    pictures are grey, else 3.
    """
    if channels is None:
        channels = 1 if all(p.ndim == 2 for p in pixels) else 3
    stacked = np.empty((len(pixels), channels, *pixels[0].shape[:2]), np.uint8)
    for row, picture in zip(stacked, pixels, strict=True):
        if picture.ndim == 3 and channels == 1:
            row[0] = np.round(picture @ np.array([0.299, 0.587, 0.114]))
        else:
            row[:] = picture if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return stacked
