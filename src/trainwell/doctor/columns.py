"""Inputs before any network: constant ones, missing values and stand-ins for them.

Shapes: N rows, D columns of a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import each_column
from trainwell.data.dataset import IntArray, TableSchema
from trainwell.data.split import sample_rows
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.sample import Sample, counted, listed
from trainwell.doctor.views import affordable

Floats = npt.NDArray[np.float64]
MOSTLY = 0.999  # share of one value from which a column is nearly constant
STAND_IN, FAR = 0.01, 10.0  # share of a value, and its distance in quartile ranges
MANY_MISSING = 0.2
MOST_COLUMNS = 1000  # that are looked at one by one
USUAL_STAND_INS = frozenset(
    sign * float(v) for v in ("9" * n for n in range(2, 10)) for sign in (1, -1)
)
SLIDE = "Data pre-processing"


@dataclass(frozen=True)
class ColumnFacts:
    """One column of a table over the rows that were read.

    top: share of the most frequent value. stand_in: a value far from all others that looks like
    a mark for "missing", with its share; None: there is none.
    """

    name: str
    words: bool
    mean: float
    std: float
    low: float
    high: float
    missing: float
    infinite: int
    top: float
    stand_in: tuple[float, float] | None


def facts_of(sample: Sample, most: int = 4_000_000) -> tuple[ColumnFacts, ...]:
    """Facts about the columns of a table, from at most so many cells of development rows.

    Of more than `MOST_COLUMNS` columns some, evenly spread, are looked at.
    """
    data, schema = sample.data, sample.data.schema
    assert isinstance(schema, TableSchema)
    rows = read_rows(sample, most)
    step = -(-len(schema.features) // MOST_COLUMNS)
    pairs = zip(schema.features, each_column(data.inputs, rows), strict=True)
    return tuple(
        column_facts(column.astype(np.float64), feature.name, bool(feature.levels))
        for number, (feature, column) in enumerate(pairs)
        if number % step == 0
    )


def read_rows(sample: Sample, most: int = 4_000_000) -> IntArray:
    """The development rows that are read for `most` cells; classes play no part."""
    wanted = max(1000, most // max(1, math.prod(sample.data.schema.shape)))
    return sample_rows(
        sample.split.development, np.zeros(len(sample.data), np.int64), wanted,
        sample.seed_for("columns"),
    )  # fmt: skip


def column_facts(column: Floats, name: str, words: bool = False) -> ColumnFacts:
    """Facts about one column (N,), NaN is missing.

    >>> column = np.concatenate([np.arange(95.0), np.full(5, -999.0)])
    >>> column_facts(column, "age").stand_in
    (-999.0, 0.05)
    """
    infinite = int(np.isinf(column).sum())
    known = np.sort(column[np.isfinite(column)])
    missing = float(np.isnan(column).mean()) if len(column) else 0.0
    if not len(known):
        nan = math.nan
        return ColumnFacts(name, words, nan, nan, nan, nan, missing, infinite, 1.0, None)
    starts = np.flatnonzero(np.concatenate([[True], known[1:] != known[:-1]]))
    sizes = np.diff(np.append(starts, len(known)))
    top = float(sizes.max() / len(known)) * (1 - missing)
    found = None if words else _stand_in(known, starts, sizes)
    return ColumnFacts(
        name, words, float(known.mean()), float(known.std()), float(known[0]), float(known[-1]),
        missing, infinite, top, found,
    )  # fmt: skip


def _stand_in(known: Floats, starts: IntArray, sizes: IntArray) -> tuple[float, float] | None:
    """A frequent smallest or largest value far from the rest of the sorted values (n,)."""
    if len(starts) < 7:
        return None
    for rest, value, gap, count in (
        (known[starts[1] :], known[0], known[starts[1]] - known[0], sizes[0]),
        (known[: starts[-1]], known[-1], known[-1] - known[starts[-1] - 1], sizes[-1]),
    ):
        low, high = np.quantile(rest, (0.25, 0.75))
        spread, share = float(high - low), float(count / len(known))
        if spread <= 0 or count < 3:
            continue
        usual = float(value) in USUAL_STAND_INS
        if (share >= STAND_IN and gap > FAR * spread) or (usual and gap > 3 * spread):
            return float(value), share
    return None


def constant_columns(sample: Sample, facts: Sequence[ColumnFacts]) -> Check:
    """Inputs that never, or hardly ever, change.

    What it sees: columns with one value, or one value in over 99.9 % of the rows.
    Why it matters: nothing can be learned from them, and dividing by their deviation blows up.
    Evidence: share of the most frequent value; a note. Pixels at the border are often constant,
    which is only counted.
    When it is wrong: a rare mark can decide a rare class.
    Remedies: leave them out.
    Slide: "Data pre-processing".
    """
    name = "constant-columns"
    if sample.data.kind != "table":
        rows = sample.some(affordable(sample.data, 4000))
        values = sample.data.inputs[rows].reshape(len(rows), -1)
        count = int((values.min(axis=0) == values.max(axis=0)).sum()) if len(rows) else 0
        what = "pixels" if sample.data.kind == "images" else "samples"
        words = f"{count} of {values.shape[1]} {what} are the same in {counted(len(rows), 'row')}"
        return Check("D03", name, "pass", float(count), None, f"{words}; they become 0.")
    constant = [f.name for f in facts if f.top >= 1.0 or not f.std > 0]
    nearly = [f.name for f in facts if f.top > MOSTLY and f.name not in constant]
    level: Level = "note" if constant or nearly else "pass"
    parts = []
    if constant:
        many = counted(len(constant), "column never changes", "columns never change")
        parts.append(f"{many}: {listed(constant)}")
    if nearly:
        many = counted(len(nearly), "column holds", "columns hold")
        parts.append(f"{many} one value in over 99.9 % of the rows: {listed(nearly)}")
    words = "; ".join(parts) + "." if parts else f"All {len(facts)} columns vary."
    ignored = sample.data.schema.ignored if sample.data.schema.kind == "table" else ()
    if ignored:
        words += f" The reader left out {listed(list(ignored))}."
    mend = (Remedy("leave these columns out"),) if level != "pass" else ()
    return Check("D03", name, level, float(len(constant) + len(nearly)), 0.0, words, mend, SLIDE)


def missing_values(sample: Sample, facts: Sequence[ColumnFacts]) -> Check:
    """Values that are missing, infinite, or numbers that only stand for missing ones.

    What it sees: NaN, infinities, and a value such as -999 far from all others.
    Why it matters: one infinity makes all weights NaN; a stand-in rules mean and deviation, and
    squeezes the real values together.
    Evidence: infinities: fault. A smallest or largest value in at least 1 % of the rows whose gap
    to the rest exceeds 10 quartile ranges (3 for usual ones such as -999): warning. Missing cells
    are filled and marked in training: counted, a note above 20 % of a column.
    When it is wrong: a true peak far out, such as a price list with one luxury good.
    Remedies: write an empty cell instead of the stand-in.
    Slide: "Data pre-processing".
    """
    name = "missing-values"
    if sample.data.kind != "table":
        return Check("D04", name, "pass", 0.0, 0.0, "Whole numbers: none is missing or infinite.")
    infinite = [f for f in facts if f.infinite]
    stand_ins = [f for f in facts if f.stand_in]
    missing = sorted((f for f in facts if f.missing > 0), key=lambda f: -f.missing)
    value = max((f.missing for f in facts), default=0.0)
    if infinite:
        count = sum(f.infinite for f in infinite)
        words = f"{counted(count, 'value')} are infinite, in {listed([f.name for f in infinite])}."
        mend = (Remedy("correct them, or leave the cells empty"),)
        return Check("D04", name, "fault", float(count), 0.0, words, mend, SLIDE)
    if stand_ins:
        shown = "; ".join(
            f'{f.stand_in[0]:g} in {f.stand_in[1]:.1%} of the rows of "{f.name}"'
            for f in stand_ins[:5]
            if f.stand_in
        )
        words = (
            f"A number far from all others looks like a mark for missing values: {shown}. It is "
            "taken as a measurement and squeezes the others together."
        )
        worst = max(f.stand_in[1] for f in stand_ins if f.stand_in)
        mend = (Remedy("write empty cells instead; trainwell fills and marks them"),)
        return Check("D04", name, "warning", worst, STAND_IN, words, mend, SLIDE)
    if not missing:
        return Check("D04", name, "pass", 0.0, MANY_MISSING, "No cell is missing or infinite.")
    shown = ", ".join(f'"{f.name}" {f.missing:.1%}' for f in missing[:5])
    words = f"Cells are missing in {counted(len(missing), 'column')} ({shown})"
    level: Level = "note" if value > MANY_MISSING else "pass"
    words += "; they are filled and marked in training."
    return Check("D04", name, level, value, MANY_MISSING, words, slide=SLIDE)
