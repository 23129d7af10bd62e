"""The clock by which deadlines are kept: seconds since 1970, but without jumps.

`time.time()` jumps where the clock is set or a network corrects it, and with it every deadline.
`time.monotonic()` never does; it counts from the start of the machine, the same for all of its
processes. The difference between the two is taken once and handed on to child processes, so that
parent's and children's deadlines agree; on other machines it is taken anew.
"""

from __future__ import annotations

import math
import os
import time
from functools import cache

NAME = "TRAINWELL_CLOCK"  # environment variable: what is added to time.monotonic()


def now() -> float:
    """Seconds since 1970, as the wall clock had it when this was first asked.

    >>> earlier = now()
    >>> now() >= earlier
    True
    """
    return time.monotonic() + _offset()


@cache
def _offset() -> float:
    """The parent's offset, or a new one for this process and its children."""
    try:
        kept = float(os.environ.get(NAME, "nan"))
    except ValueError:
        kept = math.nan
    if math.isfinite(kept):
        return kept
    found = time.time() - time.monotonic()
    os.environ[NAME] = repr(found)
    return found
