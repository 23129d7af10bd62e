"""A small SVG writer: elements, linear and logarithmic scales, ticks at round numbers.

Colours are CSS classes, so that a page can be light, dark or printed. Sizes are in CSS pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Value = str | float
Anchor = Literal["start", "middle", "end"]


def number(value: float) -> str:
    """A coordinate with at most two decimals.

    >>> number(3.14159), number(20.0), number(-0.001)
    ('3.14', '20', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def clean(text: str) -> str:
    """The text without characters that XML forbids (control characters, lone surrogates)."""
    return "".join(
        c if c in "\t\n" or (c >= " " and not "\ud800" <= c <= "\udfff") else "�" for c in text
    )


def element(tag: str, attributes: Mapping[str, Value], content: str = "", tip: str = "") -> str:
    """One element; `content` is markup already, attributes and `tip` are escaped here.

    >>> element("text", {"x": 1.5}, escape("a < b"), tip="both")
    '<text x="1.5"><title>both</title>a &lt; b</text>'
    """
    shown = "".join(
        f' {k}="{escape(clean(v)) if isinstance(v, str) else number(v)}"'
        for k, v in attributes.items()
        if v != ""
    )
    inner = (f"<title>{escape(clean(tip))}</title>" if tip else "") + content
    return f"<{tag}{shown}>{inner}</{tag}>" if inner else f"<{tag}{shown}/>"


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A straight line."""
    return element("line", {"class": css, "x1": x1, "y1": y1, "x2": x2, "y2": y2})


def rect(
    x: float, y: float, width: float, height: float, css: str, tip: str = "", opacity: float = 1.0
) -> str:
    """A rectangle; a negative size counts as none."""
    size = {"width": max(width, 0.0), "height": max(height, 0.0)}
    see = {"fill-opacity": opacity} if opacity < 1 else {}
    return element("rect", {"class": css, "x": x, "y": y, **size, **see}, tip=tip)


def circle(x: float, y: float, radius: float, css: str, tip: str = "") -> str:
    """A dot."""
    return element("circle", {"class": css, "cx": x, "cy": y, "r": radius}, tip=tip)


def text(
    x: float,
    y: float,
    words: str,
    css: str = "",
    anchor: Anchor = "start",
    tip: str = "",
    turn: float = 0.0,
) -> str:
    """Words with their baseline at y, turned by `turn` degrees about (x, y)."""
    attributes: dict[str, Value] = {"class": css, "x": x, "y": y}
    if anchor != "start":
        attributes["text-anchor"] = anchor
    if turn:
        attributes["transform"] = f"rotate({number(turn)} {number(x)} {number(y)})"
    return element("text", attributes, escape(clean(words), quote=False), tip)


def path(points: Sequence[tuple[float, float]], css: str, closed: bool = False) -> str:
    """A polyline, or a polygon when `closed`."""
    if not points:
        return ""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return element("path", {"class": css, "d": f"M{steps}{'Z' if closed else ''}"})


def document(
    name: str, width: float, height: float, title: str, desc: str, parts: Sequence[str]
) -> str:
    """A whole picture with a title and a description for those who cannot see it.

    `name` must be unique in the page: it makes the ids that the picture refers to.
    """
    head = element("title", {"id": f"{name}-t"}, escape(clean(title), quote=False))
    told = element("desc", {"id": f"{name}-d"}, escape(clean(desc), quote=False))
    box = f"0 0 {number(width)} {number(height)}"
    attributes: dict[str, Value] = {
        "class": "plot",
        "viewBox": box,
        "style": f"max-width:{number(width)}px",
        "role": "img",
        "aria-labelledby": f"{name}-t {name}-d",
    }
    return element("svg", attributes, head + told + "".join(p for p in parts if p))


def shorten(words: str, length: int) -> str:
    """At most `length` characters, the end replaced by an ellipsis.

    >>> shorten("versicolor", 6)
    'versi…'
    """
    flat = " ".join(words.split())
    return flat if len(flat) <= length else flat[: max(length - 1, 1)].rstrip() + "…"


def width_of(words: str, size: float = 12.5) -> float:
    """About as many pixels as words take in the page's sans-serif type, rather more than fewer.

    >>> width_of("illi") < width_of("none") < width_of("MOMW")
    True
    """
    narrow = sum(c in "ijl|.,:;'!-ftrI() " for c in words)
    wide = sum(c in "mwMW@%" for c in words)
    upper = sum(c.isupper() and c not in "IMW" for c in words)
    rest = len(words) - narrow - wide - upper
    return size * (0.32 * narrow + 0.9 * wide + 0.72 * upper + 0.62 * rest)


def fitted(words: str, pixels: float, size: float = 12.5) -> str:
    """The words, cut with an ellipsis where they take more than so many pixels.

    >>> fitted("premium contract", 200), fitted("premium contract", 60)
    ('premium contract', 'premiu…')
    """
    shown = " ".join(words.split())
    length = len(shown)
    while length > 2 and width_of(shown, size) > pixels:
        length -= 1
        shown = shorten(words, length)
    return shown


@dataclass(frozen=True)
class Scale:
    """Maps numbers low..high to pixels start..end; `log` for a logarithmic axis."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value, held inside the axis."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, 1e-300))
        share = 0.5 if high <= low else (value - low) / (high - low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round numbers inside the axis: steps of 1, 2 or 5, or powers of ten on a log axis.

        >>> Scale(0.0, 0.7, 0, 100).ticks()
        [0.0, 0.2, 0.4, 0.6]
        >>> Scale(0.005, 2, 0, 100, log=True).ticks()
        [0.01, 0.1, 1.0]
        """
        if self.log:
            first, last = math.log10(self.low), math.log10(self.high)
            powers = range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)
            factors = (1,) if last - first >= 2 else (1, 2, 5)
            every = [f * 10.0**p for p in range(powers.start - 1, powers.stop) for f in factors]
            every = [t for t in every if self.low * 0.999 <= t <= self.high * 1.001]
            return every[:: max(1, math.ceil(len(every) / (count + 2)))]
        if self.high <= self.low:
            return [self.low]
        step = round_step((self.high - self.low) / count)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


def round_step(rough: float) -> float:
    """The smallest of 1, 2, 5 × 10ⁿ that is not below `rough`.

    >>> round_step(0.03), round_step(7)
    (0.05, 10.0)
    """
    power = 10.0 ** math.floor(math.log10(rough))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= rough * (1 - 1e-9))


def tick_words(ticks: Sequence[float], percent: bool = False) -> list[str]:
    """Ticks as words, all with the same number of decimals.

    >>> tick_words([0.0, 0.5, 1.0]), tick_words([0.9, 0.95], percent=True)
    (['0.0', '0.5', '1.0'], ['90 %', '95 %'])
    """
    scale = 100.0 if percent else 1.0
    decimals = 0
    while decimals < 6 and any(
        abs(t * scale - round(t * scale, decimals)) > 1e-9 * max(1, abs(t * scale)) for t in ticks
    ):
        decimals += 1
    return [f"{t * scale:.{decimals}f}{' %' if percent else ''}" for t in ticks]
