"""Folds for training and validation, and a sealed test part whose openings are counted.

Rows that must stay together (exact duplicates, rows of one group) form a unit, and units never
straddle a boundary. Slides: "Learning rate" (observe the validation accuracy), "Performance plot".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainwell.data.dataset import BoolArray, Dataset, IntArray
from trainwell.errors import DataError, UserError
from trainwell.seeding import numpy_stream, stream_seed

REPEATED = 0.1  # share of repeated rows from which units are balanced by their size
ALWAYS_TRAIN = -1  # fold number of rows that are in no validation part


@dataclass(frozen=True, eq=False)
class Fold:
    """Row numbers of one division: train (n,) and validation (v,), both sorted."""

    train: IntArray
    validation: IntArray


class SealedTest:
    """Row numbers of the test part: to be had only through `open`, which is counted.

    >>> sealed = SealedTest(np.array([3, 5]))
    >>> len(sealed), len(sealed.openings)
    (2, 0)
    >>> sealed.open("final score").tolist(), sealed.openings
    ([3, 5], ('final score',))
    """

    def __init__(self, rows: IntArray) -> None:
        self._rows = rows
        self._openings: list[str] = []

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def openings(self) -> tuple[str, ...]:
        """Why it was opened, once per opening."""
        return tuple(self._openings)

    def open(self, why: str) -> IntArray:
        """The row numbers; the opening is recorded with its reason."""
        self._openings.append(why)
        return self._rows


@dataclass(frozen=True, eq=False)
class Split:
    """Who trains, who validates, who tests. development: all rows outside the test part that are
    used; notes: what the user should know, in words."""

    development: IntArray
    folds: tuple[Fold, ...]
    sealed: SealedTest
    notes: tuple[str, ...]


def make_split(data: Dataset, *, seed: int, folds: int, test: float) -> Split:
    """Divide a data set: first the test part, then the folds of the rest.

    test: share of the rows for the test part, 0 for none; ignored where the data bring an official
    test part. folds: number of folds (fewer if there are fewer groups); 1 holds out one part.
    Stratified by class. Raises DataError when what is left cannot train a classifier.
    """
    if not 0 <= test < 1:
        raise UserError("--test", f"expected a share from 0 to below 1, or a file; got {test:g}")
    units, notes = units_of(data)
    if data.groups is None and _repetitive(units):
        distinct = len(np.unique(units))
        words = f"{len(data)} rows are only {distinct} different ones, and equal rows stay together"
        notes += (f"{words}: what is measured is how well unseen combinations are classified",)
    everything = np.arange(len(data))
    if data.official_test is not None:
        rows = np.flatnonzero(data.official_test)
        development, said = _without_test_twins(data, units)
        notes += said
    elif test:
        rows = _choose_test(data, units, seed, test)
        development = np.setdiff1d(everything, rows)
    else:
        rows, development = everything[:0], everything
    _check_trainable(data, development)
    if len(rows):
        notes += _describe_test(data, rows, development)
    found, said = _make_folds(data, units, development, seed, folds)
    return Split(development, found, SealedTest(rows), notes + said)


def units_of(data: Dataset) -> tuple[IntArray, tuple[str, ...]]:
    """A unit number per row (N,): rows with equal inputs or of one group have equal numbers."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    keys = data.keys
    if data.groups is None:
        return keys, ()
    # A graph of rows' keys on one side and groups on the other: connected means together.
    size = int(keys.max()) + 1
    nodes = size + int(data.groups.max()) + 1
    ones = np.ones(len(keys), np.int8)
    graph = coo_array((ones, (keys, size + data.groups)), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    units = component[keys].astype(np.int64)
    groups, merged = len(np.unique(data.groups)), len(np.unique(units))
    if merged == groups:
        return units, ()
    words = f"{groups} groups became {merged}: groups that share exact duplicates stay together"
    return units, (words,)


def _repetitive(units: IntArray) -> bool:
    """Whether repeated rows are so many that parts must be balanced by rows, not by units."""
    return len(np.unique(units)) < (1 - REPEATED) * len(units)


def _without_test_twins(data: Dataset, units: IntArray) -> tuple[IntArray, tuple[str, ...]]:
    """Development rows whose exact input is not in the official test part."""
    assert data.official_test is not None
    notes: tuple[str, ...] = ()
    keys = data.keys
    twins = np.isin(keys, keys[data.official_test]) & ~data.official_test
    if twins.any():
        notes += (
            f"{int(twins.sum())} training rows left out: their exact twins are in the test part",
        )
    if data.groups is not None:
        shared = np.intersect1d(data.groups[data.official_test], data.groups[~data.official_test])
        if len(shared):
            names = ", ".join(data.group_names[g] for g in shared[:5])
            words = f"{len(shared)} groups are in the training and in the test part ({names}): "
            notes += (words + "the test score will look better than it is for new groups",)
    return np.flatnonzero(~(data.official_test | twins)), notes


def _choose_test(data: Dataset, units: IntArray, seed: int, share: float) -> IntArray:
    if data.groups is not None or _repetitive(units):
        if len(np.unique(units)) < 2:
            same = "of one group" if data.groups is not None else "equal"
            raise _too_few(data, f"all rows are {same}, so none can be the test part")
        parts = max(2, min(round(1 / share), len(np.unique(units))))
        divide = _group_folds if data.groups is not None else _repeated_folds
        fold = divide(data.labels, units, parts, stream_seed(seed, "test"))
        # The part whose size is nearest to what was asked for.
        sizes = np.bincount(fold[fold >= 0], minlength=parts)
        return np.flatnonzero(fold == np.abs(sizes - share * len(data)).argmin())
    from sklearn.model_selection import train_test_split

    first, strata = _strata(data.labels, units, np.arange(len(data)))
    usable = np.flatnonzero(strata >= 0)
    if not len(usable):
        raise _too_few(data, "no class has a second, different row that could be the test part")
    kinds = len(np.unique(strata[usable]))
    size = min(max(kinds, round(share * len(first))), len(usable) - kinds)
    if size < kinds:  # so few rows that not every class can be on both sides
        size = min(max(1, round(share * len(usable))), len(usable) - 1)
        strata = np.zeros_like(strata)
    _, chosen = train_test_split(
        usable,
        test_size=size,
        random_state=stream_seed(seed, "test") % 2**32,
        stratify=strata[usable],
    )
    chosen = _with_rare(chosen, usable, strata, seed)
    return np.flatnonzero(np.isin(units, units[first[chosen]]))


def _with_rare(chosen: IntArray, usable: IntArray, strata: IntArray, seed: int) -> IntArray:
    """The chosen test units (n,) with one of each class that has three or more but is not among
    them, in exchange for one of the class that has most there. Proportions alone leave out a class
    of three among thousands; of two units one must train and one validate."""
    rng = numpy_stream(seed, "rare")
    count, held = (
        np.bincount(strata[units], minlength=strata.max() + 1) for units in (usable, chosen)
    )
    for c in np.flatnonzero((count >= 3) & (held == 0)):
        most = int(held.argmax())
        if held[most] < 2:
            break
        given = rng.choice(chosen[strata[chosen] == most])
        taken = rng.choice(usable[strata[usable] == c])
        chosen = np.append(chosen[chosen != given], taken)
        held[most], held[c] = held[most] - 1, 1
    return chosen


def _strata(labels: IntArray, units: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """First row of each unit among `rows`, and its class; -1 where a class has one unit only."""
    _, position = np.unique(units[rows], return_index=True)
    first = rows[position]
    classes = labels[first].astype(np.int64)
    count = np.bincount(classes)
    return first, np.where(count[classes] > 1, classes, -1)


def _repeated_folds(labels: IntArray, units: IntArray, parts: int, seed: int) -> IntArray:
    """Fold number of each row where many rows are equal; classes with one unit always train."""
    first, strata = _strata(labels, units, np.arange(len(labels)))
    usable = np.isin(units, units[first[strata >= 0]])
    fold = np.full(len(labels), ALWAYS_TRAIN)
    if usable.any():
        fold[usable] = _group_folds(labels[usable], units[usable], parts, seed)
    return fold


def _group_folds(labels: IntArray, units: IntArray, parts: int, seed: int) -> IntArray:
    from sklearn.model_selection import StratifiedGroupKFold

    fold = np.zeros(len(labels), np.int64)
    # scikit-learn refuses more; with fewer than two, callers say that there is too little.
    parts = min(parts, int(np.bincount(labels).max()), len(np.unique(units)))
    if parts < 2:
        return fold
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        # A class with fewer groups than folds is said in our own words, by name.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for number, (_, held) in enumerate(splitter.split(labels, labels, units)):
            fold[held] = number
    return fold


def _unit_folds(
    labels: IntArray, units: IntArray, rows: IntArray, parts: int, seed: int, only_first: bool
) -> IntArray:
    """Fold number of each of `rows`; classes with a single unit always train.

    Units of a class with fewer than there are folds lie in different ones; only_first: in the
    first before others, since no other is used.
    """
    from sklearn.model_selection import StratifiedKFold

    first, strata = _strata(labels, units, rows)
    usable = np.flatnonzero(strata >= 0)
    of_unit = np.full(int(units.max()) + 1, ALWAYS_TRAIN)
    parts = min(parts, len(usable))
    if parts < 2:
        return of_unit[units[rows]]
    count = np.bincount(strata[usable])
    # Stratify on classes that reach every fold; the rare ones are dealt out one by one.
    rare = (strata >= 0) & (count[np.maximum(strata, 0)] < parts)
    if rare[usable].sum() <= len(usable) - parts:
        start = 0
        for c in np.unique(strata[rare]):
            mine = numpy_stream(seed, "rare", int(c)).permutation(np.flatnonzero(strata == c))
            of_unit[units[first[mine]]] = (start + np.arange(len(mine))) % parts
            start = 0 if only_first else start + len(mine)
        usable = usable[~rare[usable]]
    splitter = StratifiedKFold(parts, shuffle=True, random_state=seed % 2**32)
    if np.bincount(strata[usable]).max() < parts:
        strata = np.zeros_like(strata)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for number, (_, held) in enumerate(splitter.split(usable, strata[usable])):
            of_unit[units[first[usable[held]]]] = number
    return of_unit[units[rows]]


def _make_folds(
    data: Dataset, units: IntArray, rows: IntArray, seed: int, folds: int
) -> tuple[tuple[Fold, ...], tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    count = len(np.unique(units[rows]))
    parts = folds if folds > 1 else (10 if len(rows) > 20000 else 5)
    parts = min(parts, count)
    what = "groups" if data.groups is not None else "different rows"
    few = _too_few(data, f"too few {what} outside the test part to hold some out ({count})")
    if parts < 2:
        raise few
    stream = stream_seed(seed, "folds")
    if data.groups is not None:
        number = _group_folds(data.labels[rows], units[rows], parts, stream)
    elif _repetitive(units):
        number = _repeated_folds(data.labels[rows], units[rows], parts, stream)
    else:
        number = _unit_folds(data.labels, units, rows, parts, stream, folds == 1)
    used = range(parts if folds > 1 else 1)
    found = tuple(Fold(rows[number != f], rows[number == f]) for f in used)
    found = tuple(f for f in found if len(f.validation) and len(f.train))
    if not found:
        raise few
    if len(found) < folds:
        notes += (f"{len(found)} folds instead of {folds}: there are too few {what} to divide",)
    return found, notes + tuple(_rare(data, units, rows, parts))


def _rare(data: Dataset, units: IntArray, rows: IntArray, parts: int) -> Iterator[str]:
    """Words about classes that cannot be in every fold."""
    what = "group" if data.groups is not None else "different row"
    pairs = np.unique(np.stack([data.labels[rows], units[rows]]), axis=1)
    held = np.bincount(pairs[0], minlength=len(data.classes))
    if (held == 0).any():
        yield f"no training rows, hence not learned: {_named(data, held == 0)}"
    if (held == 1).any():
        fate = "trained but not validated"
        if data.groups is not None:
            fate = "the folds that are validated on it do not train it"
        yield f"one {what} only, hence {fate}: {_named(data, held == 1)}"
    rare = (held > 1) & (held < parts)
    if rare.any():
        yield f"fewer {what}s than the {parts} folds, hence not in every fold: {_named(data, rare)}"


def _named(data: Dataset, chosen: BoolArray) -> str:
    """The first few of the chosen classes (C,), quoted."""
    names = [f'"{data.classes[c]}"' for c in np.flatnonzero(chosen)]
    rest = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + rest


def _too_few(data: Dataset, problem: str) -> DataError:
    groups = ", or another --group" if data.groups is not None else ""
    return DataError(data.name, problem, f"Give more rows, or another --test share{groups}.")


def _describe_test(data: Dataset, rows: IntArray, development: IntArray) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if data.groups is not None and data.official_test is None:
        names = [data.group_names[g] for g in np.unique(data.groups[rows])]
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        notes += (f"test part: {len(rows)} rows of {len(names)} unseen groups ({shown})",)
    missing = np.setdiff1d(np.arange(len(data.classes)), data.labels[rows])
    if len(missing):
        shown = _named(data, np.isin(np.arange(len(data.classes)), missing))
        notes += (f"not in the test part, hence not measured there: {shown}",)
    untrained = np.setdiff1d(data.labels[rows], data.labels[development])
    if len(untrained):
        shown = _named(data, np.isin(np.arange(len(data.classes)), untrained))
        notes += (f"only in the test part, hence never learned: {shown}",)
    return notes


def _check_trainable(data: Dataset, rows: IntArray) -> None:
    present = np.unique(data.labels[rows])
    if len(present) < 2:
        raise DataError(
            data.name,
            f"outside the test part there are {len(rows)} rows of {len(present)} class(es)",
            "Give more rows, a smaller --test share, or another --group.",
        )


def sample_rows(rows: IntArray, labels: IntArray, size: int, seed: int) -> IntArray:
    """At most `size` of the rows (n,), each class in proportion, sorted; for quick trials."""
    if len(rows) <= size:
        return rows
    order = numpy_stream(seed, "sample").permutation(rows)
    by_class = np.argsort(labels[order], kind="stable")
    keep = np.linspace(0, len(rows) - 1, size).round().astype(np.int64)
    return np.sort(order[by_class[keep]])
