"""Which rows train, choose and decide: drawn so that what chooses never decides.

The validation rows, on which every arm chooses its nuisance parameters, are drawn once and set
aside. Each repetition draws its decision and training rows from the others.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from trainwell.claims.claim import Claim, Size
from trainwell.data.dataset import Dataset, IntArray
from trainwell.data.split import sample_rows, units_of
from trainwell.errors import DataError
from trainwell.seeding import numpy_stream, stream_seed

LEAST = 20  # rows that can be told apart; fewer say nothing
MOST_POOL = 20_000  # rows that all repetitions are drawn from, at most


@dataclass(frozen=True, eq=False)
class Repetition:
    """Row numbers of one repetition, and the seed of everything random in it."""

    train: IntArray
    decision: IntArray
    seed: int


@dataclass(frozen=True, eq=False)
class Draws:
    """The rows of a claim. data: cut down to them; validation: rows that choose, never decide.

    test_share: decision rows over all rows that repetitions are drawn from. Nadeau and Bengio's
    correction for overlapping repetitions takes n₂/(n₁ + n₂) where each repetition uses all rows;
    where it uses n₁ + n₂ of N, two of them share the (n₁ + n₂)/N-th part, which leaves n₂/N.
    """

    data: Dataset
    validation: IntArray
    repetitions: tuple[Repetition, ...]
    test_share: float

    @property
    def decided(self) -> int:
        """Distinct rows on which was decided."""
        return len(np.unique(np.concatenate([r.decision for r in self.repetitions])))


def chosen_classes(data: Dataset, names: tuple[str, ...]) -> Dataset:
    """The rows of some classes only, in the order in which they are named."""
    if not names:
        return data
    known = {name: number for number, name in enumerate(data.classes)}
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(data.name, f"has no class {', '.join(missing)}", "")
    numbers = np.full(len(data.classes), -1)
    numbers[[known[name] for name in names]] = np.arange(len(names))
    labels = numbers[data.labels]
    kept = np.flatnonzero(labels >= 0)
    return dataclasses.replace(
        subset(data, kept), labels=labels[kept].astype(np.int64), classes=names
    )


def subset(data: Dataset, rows: IntArray) -> Dataset:
    """Some rows of the data."""
    return dataclasses.replace(
        data,
        inputs=np.ascontiguousarray(data.inputs[rows]),
        labels=data.labels[rows],
        names=[data.names[i] for i in rows.tolist()],
        groups=data.groups_of(rows),
        official_test=None if data.official_test is None else data.official_test[rows],
    )


def draw(data: Dataset, claim: Claim, size: Size, seed: int) -> Draws:
    """The rows of a claim on these data; small data give every part less, in proportion.

    Of rows with equal inputs one is kept; with groups, the decision rows of a repetition are of
    groups that it does not train on, and the validation rows of groups of their own.
    """
    data = chosen_classes(data, claim.classes)
    units, _ = units_of(data)
    if data.groups is None:
        first = np.sort(np.unique(units, return_index=True)[1])
        data, units = subset(data, first), units[first]
    if len(data) > MOST_POOL:
        kept = sample_rows(np.arange(len(data)), data.labels, MOST_POOL, 0)  # the same pool always
        data, units = subset(data, kept), units[kept]
    counts = np.bincount(data.labels, minlength=len(data.classes))
    if (counts < 2).any() or len(data) < LEAST:
        rare = ", ".join(data.classes[c] for c in np.flatnonzero(counts < 2)[:5])
        problem = f"too few rows of {rare}" if rare else f"{len(data)} different rows are too few"
        raise DataError(data.name, problem, "Give more rows, or leave such classes out.")
    wanted = size.rows + size.validation + size.decision
    scale = min(1.0, len(data) / wanted)
    rows, validation, decision = (
        max(2, int(scale * n)) for n in (size.rows, size.validation, size.decision)
    )
    every = np.arange(len(data))
    aside = _take(data, units, every, validation, stream_seed(seed, "claim-validation"))
    others = _apart(data, units, every, aside)
    found = []
    for number in range(size.repetitions):
        own = stream_seed(seed, "claim-repetition", number)
        judged = _take(data, units, others, decision, own)
        left = _apart(data, units, others, judged)
        found.append(Repetition(sample_rows(left, data.labels, rows, own), judged, own % 2**31))
    return _compact(data, aside, found, decision / len(data))


def _take(data: Dataset, units: IntArray, rows: IntArray, size: int, seed: int) -> IntArray:
    """`size` of the rows, classes in proportion; of data with groups, of as few as it takes."""
    if data.groups is None:
        return sample_rows(rows, data.labels, size, seed)
    order = numpy_stream(seed, "groups").permutation(np.unique(units[rows]))
    inside = np.cumsum([np.count_nonzero(units[rows] == u) for u in order])
    enough = order[: 1 + int(np.searchsorted(inside, min(size, len(rows) // 3)))]
    return sample_rows(rows[np.isin(units[rows], enough)], data.labels, size, seed)


def _apart(data: Dataset, units: IntArray, rows: IntArray, taken: IntArray) -> IntArray:
    """The rows that share nothing with those taken: neither the row nor, if any, its group."""
    if data.groups is None:
        return np.setdiff1d(rows, taken)
    return rows[~np.isin(units[rows], units[taken])]


def _compact(
    data: Dataset, validation: IntArray, found: list[Repetition], test_share: float
) -> Draws:
    """The draws with data that hold only the rows that are used."""
    used = np.unique(np.concatenate([validation, *[np.r_[r.train, r.decision] for r in found]]))
    repetitions = tuple(
        Repetition(np.searchsorted(used, r.train), np.searchsorted(used, r.decision), r.seed)
        for r in found
    )
    return Draws(subset(data, used), np.searchsorted(used, validation), repetitions, test_share)
