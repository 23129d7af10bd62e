"""What the checks of one data set share: a sample of rows, its features, quick models, a clock.

Shapes: n rows of the sample, d features, C classes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainwell.data.dataset import Dataset, IntArray
from trainwell.data.split import Split, sample_rows
from trainwell.doctor.finding import Check
from trainwell.doctor.simple_models import (
    NEIGHBOURS,
    Guess,
    linear_guess,
    nearest,
    neighbour_guess,
)
from trainwell.doctor.views import Floats32, affordable, view
from trainwell.seeding import stream_seed

ROWS = 6000  # of a sample, at most
LEAST = 20  # rows below which models say nothing


def sealed_rows(data: Dataset, split: Split) -> IntArray:
    """Rows of the test part; for comparing inputs only, which is no opening."""
    if data.official_test is not None:
        return np.flatnonzero(data.official_test)
    apart = np.ones(len(data), bool)
    apart[split.development] = False
    return np.flatnonzero(apart) if len(split.sealed) else np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Sample:
    """A data set with its split, and what is worked out from some development rows when asked for.

    until: moment of `time.monotonic` after which slower checks are left out.
    """

    data: Dataset
    split: Split
    seed: int
    until: float

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.until

    def seed_for(self, word: str) -> int:
        """The seed of one check."""
        return stream_seed(self.seed, "doctor", word)

    @property
    def classes(self) -> int:
        """C."""
        return len(self.data.classes)

    @cached_property
    def rows(self) -> IntArray:
        """Development rows looked at (n,), sorted, no two with equal inputs."""
        most = affordable(self.data, ROWS)
        some = sample_rows(self.split.development, self.data.labels, most, self.seed_for("sample"))
        _, first = np.unique(self.data.keys[some], return_index=True)
        return some[np.sort(first)]

    def some(self, most: int) -> IntArray:
        """At most so many of the rows, spread evenly over them."""
        return self.rows[:: -(-len(self.rows) // max(1, most)) or 1]

    @cached_property
    def labels(self) -> IntArray:
        """Their classes (n,)."""
        return self.data.labels[self.rows]

    @cached_property
    def view(self) -> Floats32:
        """Their features (n, d)."""
        return view(self.data, self.rows)

    @cached_property
    def places(self) -> IntArray:
        """The nearest other rows of the sample, as places in it (n, k)."""
        k = min(NEIGHBOURS, max(1, len(self.rows) // 10))
        found: IntArray = nearest(self.view, self.view, k, same=True)[1]
        return found

    @cached_property
    def linear(self) -> Guess:
        """Out-of-sample guesses of linear discriminants."""
        return linear_guess(self.view, self.labels, self.classes, self.seed_for("linear"))

    @cached_property
    def neighbours(self) -> Guess:
        """Out-of-sample guesses of nearest neighbours."""
        return neighbour_guess(self.labels, self.places, self.classes)

    @property
    def better(self) -> Guess:
        """The more accurate of the two."""
        return max(self.linear, self.neighbours, key=lambda g: g.accuracy)

    @property
    def enough(self) -> bool:
        """Whether quick models can be fitted at all: rows, and two classes."""
        return len(self.rows) >= LEAST and len(np.unique(self.labels)) > 1


def unsaid(code: str, name: str, why: str, slide: str = "") -> Check:
    """A check that does not apply, or for which the data say too little, with the reason."""
    return Check(code, name, "pass", None, None, f"Not decided: {why}.", slide=slide)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "row"), counted(12000, "row"), counted(2, "class", "classes")
    ('1 row', '12,000 rows', '2 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: list[str], most: int = 5) -> str:
    """The first few names, quoted, and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    '"a", "b" and 1 more'
    """
    shown = ", ".join(f'"{n}"' for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
