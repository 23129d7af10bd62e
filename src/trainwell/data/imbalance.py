"""Class imbalance in numbers and words, and the metric that decides because of it.

Slide: "Class imbalance": check the number of training samples in each class. Counted here, from
the rows per class alone: how uneven the classes are, what a vote for the largest one would get
wrong, and which classes have too few rows for their recall to be measured.
Shapes: counts (C,), rows of each of C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainwell.data.dataset import IntArray
from trainwell.metrics import Metric
from trainwell.stats import wilson

UNEVEN, VERY_UNEVEN, EVEN = 3.0, 10.0, 0.5  # ratios; share of the classes that are effective
SUPPOSED = 0.9  # recall at which the width of its interval is told
MEASURED = 0.1  # half the width of that interval, from which on a class is too small to measure


@dataclass(frozen=True)
class Imbalance:
    """How uneven classes are. rows, classes: those that have any.

    ratio: rows of the largest over those of the smallest class. effective: exp(H), with H the
    entropy of the shares: as many equal classes would be as even (Hill 1973); `classes` where all
    are equal. majority_error: share of the rows that a vote for the largest class gets wrong.
    """

    rows: int
    classes: int
    ratio: float
    effective: float
    majority_error: float
    largest: str
    largest_rows: int
    smallest: str
    smallest_rows: int

    @property
    def evenness(self) -> float:
        """Effective classes as a share of the classes, 1 for equal ones."""
        return self.effective / self.classes

    @property
    def imbalanced(self) -> bool:
        """Whether accuracy alone would mislead: see `deciding_metric` for the reason of 3 : 1."""
        return self.ratio > UNEVEN

    @property
    def words(self) -> str:
        """The sizes in one or two sentences."""
        if self.ratio == 1:
            return f"All {self.classes} classes have {self.largest_rows:,} rows."
        return (
            f'The largest class, "{self.largest}", has {self.largest_rows:,} rows, the smallest, '
            f'"{self.smallest}", {self.smallest_rows:,}: {self.ratio:.1f} to 1. The {self.classes} '
            f"classes are as even as {self.effective:.1f} equal ones ({self.evenness:.2f})."
        )

    @property
    def majority_words(self) -> str:
        """What the simplest of all classifiers would reach."""
        wrong = self.majority_error
        return (
            f'Always saying "{self.largest}" would be right on {1 - wrong:.1%} of the rows '
            f"({round(wrong * self.rows):,} of {self.rows:,} wrong), with a balanced accuracy of "
            f"{1 / self.classes:.1%}."
        )


@dataclass(frozen=True)
class FewRows:
    """A class with too few rows to measure its recall; low, high: 95 % interval at 90 % found."""

    name: str
    rows: int
    low: float
    high: float


@dataclass(frozen=True)
class Deciding:
    """The metric that decides, why, and whether the user asked for it."""

    name: Metric
    why: str
    asked: bool

    def to_json(self) -> dict[str, Any]:
        """As run.json holds it."""
        return asdict(self)


def imbalance_of(counts: IntArray, names: Sequence[str]) -> Imbalance:
    """The unevenness of classes with these rows (C,); classes without rows are left out.

    >>> found = imbalance_of(np.array([90, 10]), ("no", "yes"))
    >>> found.ratio, round(found.effective, 2), round(found.majority_error, 3)
    (9.0, 1.38, 0.1)
    """
    there = np.flatnonzero(counts)
    if not len(there):
        raise ValueError("no class has rows")
    present = counts[there]
    shares = present / present.sum()
    most, least = int(there[present.argmax()]), int(there[present.argmin()])
    return Imbalance(
        rows=int(present.sum()),
        classes=len(there),
        ratio=float(present.max() / present.min()),
        effective=float(np.exp(-(shares * np.log(shares)).sum())),
        majority_error=float(1 - shares.max()),
        largest=str(names[most]),
        largest_rows=int(counts[most]),
        smallest=str(names[least]),
        smallest_rows=int(counts[least]),
    )


def too_few(counts: IntArray, names: Sequence[str]) -> tuple[FewRows, ...]:
    """Classes whose recall these rows (C,) cannot measure, fewest rows first.

    Wilson's 95 % interval of a recall of 90 % reaches more than 10 points to each side: below 37
    rows. A class without rows is not measured at all.

    >>> [few.name for few in too_few(np.array([500, 36, 37, 0]), "abcd")]
    ['d', 'b']
    """
    found = []
    for c in np.argsort(counts, kind="stable").tolist():
        n = int(counts[c])
        interval = wilson(SUPPOSED * n, n)
        if (interval.high - interval.low) / 2 > MEASURED:
            found.append(FewRows(str(names[c]), n, interval.low, interval.high))
    return tuple(found)


def few_words(few: Sequence[FewRows], part: str, most: int = 6) -> str:
    """Words about classes that are too small to measure on a part of the data; "" for none.

    >>> few_words(too_few(np.array([90, 2]), ("no", "yes")), "test")
    'Too few test rows to measure the recall of "yes" (2 rows: 90 % found could be 28 to 100 %).'
    """
    if not few:
        return ""
    told = [
        f'"{f.name}" ({f.rows} {"row" if f.rows == 1 else "rows"}: '
        f"90 % found could be {100 * f.low:.0f} to {100 * f.high:.0f} %)"
        if f.rows
        else f'"{f.name}" (none)'
        for f in few[:most]
    ]
    rest = f" and {len(few) - most} more" if len(few) > most else ""
    return f"Too few {part} rows to measure the recall of {', '.join(told)}{rest}."


def unmeasured(
    counts: IntArray, names: Sequence[str], part: str, todo: str, most: int = 3
) -> dict[str, Any] | None:
    """Classes without a row in the part that judges, as run.json holds it; None where all have one.

    counts (C,): rows of that part ("test" or "validation"); todo: what gives these classes rows.
    share: which part of the classes a score is of; words: what everyone must know who reads it.

    >>> found = unmeasured(np.array([40, 0]), ("no", "yes"), "test", "give more")
    >>> found["share"], found["words"]
    ('1 of 2 classes', 'only 1 of 2 classes could be measured, no test row is "yes": give more')
    """
    missing = [str(name) for name, n in zip(names, counts.tolist(), strict=True) if not n]
    if not missing:
        return None
    share = f"{len(counts) - len(missing)} of {len(counts)} classes"
    told = [f'"{name}"' for name in missing[:most]]
    if len(missing) > most:
        listed = f"{', '.join(told)} and {len(missing) - most} more"
    else:
        listed = " or ".join(filter(None, [", ".join(told[:-1]), told[-1]]))
    words = f"only {share} could be measured, no {part} row is {listed}: {todo}"
    return {"part": part, "classes": missing, "share": share, "words": words}


def deciding_metric(found: Imbalance, asked: Metric | None = None) -> Deciding:
    """The metric by which trainings are compared and the result is told first.

    More than 3 rows of the largest class for one of the smallest: balanced accuracy, the mean of
    the classes' recalls, else accuracy. At 3 : 1 a vote for the larger of two classes is right on
    three rows in four without having learned anything, and a row of the smaller class counts in
    accuracy for a third of what its class is worth. asked: what the user wants instead.

    >>> deciding_metric(imbalance_of(np.array([90, 10]), "ab")).name
    'balanced_accuracy'
    """
    if asked is not None:
        return Deciding(asked, "asked for", True)
    if not found.imbalanced:
        why = f"the largest class has {found.ratio:.1f} rows for one of the smallest, at most 3"
        return Deciding("accuracy", why, False)
    why = (
        f"the largest class has {found.ratio:,.1f} rows for one of the smallest, more than 3: "
        f"accuracy would be {1 - found.majority_error:.1%} without having learned anything"
    )
    return Deciding("balanced_accuracy", why, False)


def imbalance_table(
    found: Imbalance, few: Sequence[FewRows], part: str, even: str = ""
) -> dict[str, Any]:
    """As run.json holds it; few: of the part ("test" or "validation") that judges; even: the
    recipe's remedy, if it moves probabilities towards those of even classes."""
    words = [found.words]
    if found.imbalanced:
        words += [w for w in (found.majority_words, few_words(few, part)) if w]
    if even:
        words.append(
            f"With {even} probabilities lean towards rare classes: on rows as they come such a "
            "class is less likely than it says, and the log loss over all rows is higher."
        )
    return {
        **asdict(found),
        "evenness": found.evenness,
        "imbalanced": found.imbalanced,
        "majority_errors": round(found.majority_error * found.rows),
        "too_few": {"part": part, "classes": [asdict(f) for f in few]},
        "words": " ".join(words),
    }
