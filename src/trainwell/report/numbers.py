"""Numbers from JSON: which of them can be shown."""

from __future__ import annotations

import math
from typing import Any, TypeGuard


def finite(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number that can be shown; True and False are none.

    >>> finite(0.5), finite(None), finite(float("nan")), finite(True)
    (True, False, False, False)
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def known(value: Any) -> float | None:
    """The value as a number, None where it is none.

    >>> known(1), known("1")
    (1.0, None)
    """
    return float(value) if finite(value) else None
