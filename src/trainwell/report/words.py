"""Numbers of a run as words: shares, scores with intervals, times, and any JSON value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainwell.report.numbers import finite

if TYPE_CHECKING:
    from markupsafe import Markup


def points(value: Any, digits: int = 1) -> str:
    """A share as per cent without the sign.

    >>> points(0.98333), points(None)
    ('98.3', '–')
    """
    return f"{100 * value:.{digits}f}" if finite(value) else "–"


def score_cell(interval: Any, name: str = "") -> tuple[str, str]:
    """A score and its interval as a table shows them.

    >>> score_cell({"value": 0.98333, "low": 0.9642, "high": 0.9924}, "accuracy")
    ('98.3 %', '96.4–99.2')
    >>> score_cell({"value": 0.0621, "low": None, "high": None}, "log_loss")
    ('0.062', '')
    """
    if not isinstance(interval, Mapping) or not finite(interval.get("value")):
        return "–", ""
    low, value, high = (interval.get(k) for k in ("low", "value", "high"))
    ends = finite(low) and finite(high)
    if name == "log_loss":
        return f"{value:.3f}", f"{low:.3f}–{high:.3f}" if ends else ""
    return f"{points(value)} %", f"{points(low)}–{points(high)}" if ends else ""


def duration(seconds: Any) -> str:
    """Seconds in words.

    >>> duration(41.2), duration(185), duration(7320)
    ('41.2 s', '3 min 5 s', '2 h 2 min')
    """
    if not finite(seconds):
        return "–"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def breakable(text: Any) -> Markup:
    """Text as HTML in which the name of a setting may be broken into lines where it has parts.

    >>> str(breakable("Move(by='a_b')"))
    'Move(<wbr>by=&#39;a_<wbr>b&#39;)'
    """
    from markupsafe import Markup, escape

    safe = str(escape(text))
    for mark in "(_":
        safe = safe.replace(mark, f"{mark}<wbr>")
    return Markup(safe)


def plain(value: Any) -> str:
    """Any JSON value on one line, as a person would write it.

    >>> plain({"train": 3, "test": 1}), plain([]), plain(84234), plain(True), plain(0.05)
    ('train 3, test 1', 'none', '84,234', 'yes', '0.05')
    """
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {plain(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return str(value)
