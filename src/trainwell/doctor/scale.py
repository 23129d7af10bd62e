"""The scale of inputs, before and behind the pre-processing.

Shapes: N rows, D columns of a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from trainwell.data.dataset import Dataset
from trainwell.doctor.columns import ColumnFacts
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.sample import Sample
from trainwell.doctor.views import affordable

if TYPE_CHECKING:
    from trainwell.techniques.preprocess import Preprocess

LARGE, RATIO = 10.0, 100.0  # largest mean or deviation; largest over smallest deviation
SMALL_STD, SMALL = 0.05, 0.1  # deviation and size of what looks divided twice
SLIDE = "Data pre-processing"


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
