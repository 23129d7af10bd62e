"""How differences are told: log loss as lower or higher, shares in points, what is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trainwell.stats import Interval

SHARES: dict[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}


def interval_of(found: Mapping[str, Any]) -> Interval:
    """An interval as run.json holds it; an end that is not known is infinite.

    >>> interval_of({"value": 0.5, "low": None, "high": 0.75})
    Interval(value=0.5, low=-inf, high=0.75)
    """
    low, high = found.get("low"), found.get("high")
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return Interval(found["value"], *ends)


def side(saved: float, decimals: int = 4) -> str:
    """An amount of log loss that is saved, as lower or higher.

    >>> side(0.0123), side(-0.0014), side(0.00001)
    ('0.0123 lower', '0.0014 higher', '0.0000')
    """
    text = f"{abs(saved):.{decimals}f}"
    if float(text) == 0:
        return text
    return f"{text} {'lower' if saved > 0 else 'higher'}"


def lower_or_higher(saved: Interval, decimals: int = 4) -> str:
    """A saving of log loss with its interval.

    >>> lower_or_higher(Interval(0.02, 0.01, 0.03)), lower_or_higher(Interval(-0.1, -0.3, 0.2), 1)
    ('0.0200 lower [0.0100 to 0.0300]', '0.1 higher [0.2 lower to 0.3 higher]')
    """
    if not (math.isfinite(saved.low) and math.isfinite(saved.high)):
        return f"{side(saved.value, decimals)} [interval not known]"
    ends = [side(saved.high, decimals), side(saved.low, decimals)]
    sides = {e.split()[1] for e in ends if " " in e}
    if len(sides) < 2:
        ends = sorted(e.split()[0] for e in ends)
    return f"{side(saved.value, decimals)} [{ends[0]} to {ends[1]}]"


def change_of_loss(saved: Interval, balanced: bool = False) -> str:
    """The same, named; balanced: each class has the same say in it.

    >>> change_of_loss(Interval(-0.0014, -0.002, -0.001), balanced=True)
    'class-balanced log loss 0.0014 higher [0.0010 to 0.0020]'
    """
    return f"{'class-balanced ' if balanced else ''}log loss {lower_or_higher(saved)}"


def points(share: Interval) -> str:
    """A difference of shares in points, with its interval.

    >>> points(Interval(0.012, 0.001, 0.02)), points(Interval(-1e-9, -0.01, 0.01))
    ('+1.20 [+0.10, +2.00]', '+0.00 [-1.00, +1.00]')
    """
    value, low, high = (round(100 * v, 2) + 0.0 for v in (share.value, share.low, share.high))
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{value:+.2f} [interval not known]"
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def is_shown(difference: Interval) -> str:
    """What an interval shows of a difference of which more is better.

    >>> [is_shown(Interval(0, a, b)) for a, b in ((1, 2), (-2, -1), (-1, 1))]
    ['better', 'worse', 'not shown']
    """
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "not shown"
