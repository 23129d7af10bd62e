"""A simulator of pictures with labels: digits written by the font that Pillow carries in itself."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import IntArray

FINE = 4  # times the size in which digits are drawn before they are made small
TURN, LEAN = 12.0, 0.25  # degrees to each side; shear to each side
SIZES = (0.85, 1.1)  # times the height that is asked for
STROKES = (0.0, 0.05)  # of the picture's height
CAPITAL = 0.72  # height of a digit, as a share of the font's size


def rendered_digits(
    labels: IntArray, channels: int, height: int, width: int, seed: int, fill: float = 0.75
) -> npt.NDArray[np.uint8]:
    """Pictures (n, C, H, W) of the digits `labels` (n,), white on black, one typeface.

    fill: how high a digit is, as a share of the picture's height (`ink_height` measures it).
    Every digit is turned by up to 12°, leans by up to a quarter, and differs in size, weight and
    place: the variation that somebody would think of who has seen no handwriting.

    >>> rendered_digits(np.array([3, 8]), 1, 16, 16, seed=0).shape
    (2, 1, 16, 16)
    """
    from PIL import Image, ImageDraw, ImageFont

    rng = np.random.default_rng(seed)
    tall, wide = FINE * height, FINE * width
    fonts: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}
    smooth = Image.Resampling.BILINEAR
    found = np.empty((len(labels), height, width), np.uint8)
    for i, label in enumerate(labels.tolist()):
        size = round(rng.uniform(*SIZES) * fill * tall / CAPITAL)
        if size not in fonts:
            fonts[size] = ImageFont.load_default(size)
        stroke = round(rng.uniform(*STROKES) * tall)
        picture = Image.new("L", (wide, tall))
        middle = (wide / 2, tall / 2)
        ImageDraw.Draw(picture).text(
            middle, str(label), fill=255, font=fonts[size], anchor="mm", stroke_width=stroke
        )
        matrix = _affine(rng, middle)
        picture = picture.transform(picture.size, Image.Transform.AFFINE, matrix, smooth)
        found[i] = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
    return found[:, None].repeat(channels, axis=1)


def ink_height(pictures: npt.NDArray[np.uint8]) -> float:
    """The median height of what is bright in pictures (n, C, H, W), as a share of their height."""
    bright = pictures.max(axis=1) > 0.3 * pictures.max()
    rows = bright.any(axis=2)  # (n, H)
    tall = rows.shape[1] - rows[:, ::-1].argmax(axis=1) - rows.argmax(axis=1)
    return float(np.median(tall[rows.any(axis=1)])) / rows.shape[1] if rows.any() else 0.75


def _affine(rng: np.random.Generator, middle: tuple[float, float]) -> tuple[float, ...]:
    """A turn, a lean and a small shift about the middle, as Pillow takes it."""
    angle, lean = math.radians(rng.uniform(-TURN, TURN)), rng.uniform(-LEAN, LEAN)
    (a, b), (d, e) = np.array([[1, lean], [0, 1]]) @ [
        [math.cos(angle), -math.sin(angle)],
        [math.sin(angle), math.cos(angle)],
    ]
    x, y = middle
    dx, dy = rng.uniform(-0.06, 0.06, 2) * (2 * x, 2 * y)
    return a, b, x - a * x - b * y + dx, d, e, y - d * x - e * y + dy
