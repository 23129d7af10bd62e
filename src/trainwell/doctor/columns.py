"""Inputs before any network: their scale, constant ones, missing values and stand-ins for them.

Shapes: N rows, D columns of a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import each_column
from trainwell.data.dataset import Dataset, IntArray, TableSchema
from trainwell.data.split import sample_rows
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.sample import Sample, counted, listed
from trainwell.doctor.views import affordable

if TYPE_CHECKING:
    from trainwell.techniques.preprocess import Preprocess

Floats = npt.NDArray[np.float64]
LARGE, RATIO = 10.0, 100.0  # largest mean or deviation; largest over smallest deviation
SMALL_STD, SMALL = 0.05, 0.1  # deviation and size of what looks divided twice
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


Effect = Literal["scaled", "centred", "raw"]


def effect_of(data: Dataset, preprocess: Sequence[Preprocess] | None) -> Effect:
    """What pre-processing does to the scale of the inputs; None is the standard one, which scales.

    >>> from trainwell.techniques.preprocess import Center, Raw
    >>> from trainwell.data.read import read
    >>> effect_of(read("iris"), (Raw(),)), effect_of(read("iris"), (Center(),))
    ('raw', 'centred')
    """
    if preprocess is None:
        return "scaled"
    names = {type(p).__name__ for p in preprocess}
    scaling = {"Standardize", "MinMax", "Robust", "Whiten"}
    if data.kind != "table":
        scaling.add("PerSample")
    if names & scaling:
        return "scaled"
    return "centred" if names & {"Center", "Pca"} else "raw"


def unscaled_inputs(
    sample: Sample, facts: Sequence[ColumnFacts], preprocess: Sequence[Preprocess] | None
) -> Check:
    """Inputs of very different or very large scale that reach the network as they are.

    What it sees: mean and deviation of every column of numbers; of pictures and sound, whose
    inputs have one unit, those of all values together.
    Why it matters: one learning rate must serve all weights; large inputs saturate and
    overflow, and means away from zero make the steps zigzag.
    Evidence: max |mean| or deviation above 10, or deviations that differ more than 100-fold:
    fault; |mean| above one deviation in over half of the columns: warning.
    When it is wrong: batch norm in front of the first weights mends it too.
    Remedies: standardise with mean and deviation of the training rows.
    Slide: "Data pre-processing".
    """
    effect = effect_of(sample.data, preprocess)
    mend = (Remedy("zero mean and unit deviation, from training rows only",
                   (("preprocess", "(Standardize(),)"),)),)  # fmt: skip
    if sample.data.kind != "table":
        return _one_unit(sample, effect, preprocess)
    numbers = [f for f in facts if not f.words and f.std > 1e-12 * (1 + abs(f.mean))]
    if not numbers:
        return Check("D01", "unscaled-inputs", "pass", None, LARGE, "No column of varying numbers.")
    means = np.array([0.0 if effect == "centred" else abs(f.mean) for f in numbers])
    stds = np.array([f.std for f in numbers])
    value, ratio = float(np.maximum(means, stds).max()), float(stds.max() / stds.min())
    off = float((means > stds).mean())
    widest = numbers[int(stds.argmax())]
    narrowest = numbers[int(stds.argmin())]
    raw = (
        f'as they come, deviations run from {narrowest.std:.3g} ("{narrowest.name}") to '
        f'{widest.std:.3g} ("{widest.name}"), {ratio:,.0f}-fold, the largest mean or deviation is '
        f"{value:.3g}, and {off:.0%} of the columns have a mean beyond one deviation"
    )
    if effect == "scaled":
        words = f"Inputs are scaled by the pre-processing; {raw}."
        return Check("D01", "unscaled-inputs", "pass", value, LARGE, words, slide=SLIDE)
    level: Level = "pass"
    if value > LARGE or ratio > RATIO:
        level = "fault"
    elif off > 0.5:
        level = "warning"
    words = f"Columns reach the network unscaled: {raw}."
    return Check(
        "D01", "unscaled-inputs", level, value, LARGE, words, mend if level != "pass" else (), SLIDE
    )


def _one_unit(sample: Sample, effect: Effect, preprocess: Sequence[Preprocess] | None) -> Check:
    """Pictures in [0, 1], waves in [-1, 1], or decibels."""
    import torch

    mel = [p for p in preprocess or () if type(p).__name__ == "LogMel"]
    _, mean, std = raw_scale(sample)
    what = "pictures in [0, 1]" if sample.data.kind == "images" else "waves in [-1, 1]"
    if mel:
        from trainwell.techniques.preprocess import LogMel

        technique, schema = mel[0], sample.data.schema
        assert isinstance(technique, LogMel) and schema.kind == "audio"
        clips = torch.from_numpy(sample.data.inputs[sample.some(200)]).float() / 32768
        with torch.inference_mode():
            sound = technique.layer(schema.rate)(clips)
        mean, std, what = float(sound.mean()), float(sound.std()), "spectrograms in decibels"
    value = max(0.0 if effect == "centred" else abs(mean), std)
    words = f"{what} with mean {mean:.3g} and deviation {std:.3g}"
    if effect == "scaled":
        words = f"Inputs are scaled by the pre-processing; before it: {words}."
        return Check("D01", "unscaled-inputs", "pass", value, LARGE, words, slide=SLIDE)
    level: Level = "pass"
    if value > LARGE:
        level = "fault"
    elif effect == "raw" and abs(mean) > std:
        level = "note"
    mended = '(LogMel(), Standardize(per="channel"))' if mel else '(Standardize(per="channel"),)'
    mend = (Remedy("zero mean and unit deviation per channel", (("preprocess", mended),)),)
    words = f"{words[0].upper()}{words[1:]} reach the network as they are."
    return Check(
        "D01", "unscaled-inputs", level, value, LARGE, words,
        mend if level != "pass" else (), SLIDE,
    )  # fmt: skip


def raw_scale(sample: Sample) -> tuple[float, float, float]:
    """Largest size, mean and deviation of pictures in [0, 1] or waves in [-1, 1]."""
    rows = sample.some(affordable(sample.data, 2000) // 4 + 1)
    values = sample.data.inputs[rows].astype(np.float32)
    values /= 255 if sample.data.kind == "images" else 32768
    return float(np.abs(values).max()), float(values.mean()), float(values.std())


def shrunk_twice(
    sample: Sample, facts: Sequence[ColumnFacts], preprocess: Sequence[Preprocess] | None
) -> Check:
    """Inputs so small that they seem to have been divided twice.

    What it sees: all values near zero, as pixels are after two divisions by 255.
    Why it matters: the first layer sees next to nothing and learns as slowly; pictures stored as
    bytes have then lost their shades for good.
    Evidence: largest deviation below 0.05 and largest size below 0.1. Without scaling a
    warning; with it harmless, and a note for pictures, whose shades are few.
    When it is wrong: quantities in small units; dim pictures.
    Remedies: normalise once.
    Slide: "Data pre-processing".
    """
    effect = effect_of(sample.data, preprocess)
    if sample.data.kind == "table":
        numbers = [f for f in facts if not f.words and f.std > 0]
        size = max((max(abs(f.low), abs(f.high)) for f in numbers), default=math.nan)
        spread = max((f.std for f in numbers), default=math.nan)
    else:
        size, _, spread = raw_scale(sample)
    small = size < SMALL and spread < SMALL_STD
    words = f"Values reach {size:.3g}, their largest deviation is {spread:.3g}"
    level: Level = "pass"
    if small and size > 0:
        mended = "; the pre-processing scales them, so it does no harm"
        if effect != "scaled":
            level, mended = "warning", ": they may have been divided twice"
        elif sample.data.kind == "images":
            level = "note"
            mended = f": at most {round(size * 255) + 1} shades of 256 are used"
        words += mended
    mend = (Remedy("divide only once, or standardise", (("preprocess", "(Standardize(),)"),)),)
    return Check(
        "D02", "shrunk-twice", level, spread if math.isfinite(spread) else None, SMALL_STD,
        words + ".", mend if level != "pass" else (), SLIDE,
    )  # fmt: skip


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
        parts.append(f"{counted(len(constant), 'column')} never change: {listed(constant)}")
    if nearly:
        parts.append(
            f"{counted(len(nearly), 'column')} hold one value in over 99.9 % of the rows: "
            + listed(nearly)
        )
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
