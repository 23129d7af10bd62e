"""What can be audited: augmentations, functions of a batch, and extra samples; at any strength."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.callstring import members
from trainwell.data.dataset import AudioSchema, Dataset, ImageSchema, IntArray, Schema
from trainwell.errors import UserError, did_you_mean
from trainwell.recipe import Recipe, edit
from trainwell.techniques.augment import Augment
from trainwell.techniques.augment.audio import (
    AddNoise,
    Gain,
    PitchShift,
    SpecAugment,
    Tempo,
    TimeShift,
)
from trainwell.techniques.augment.images import Affine, Elastic, Rotate, Scale, Shear, Shift
from trainwell.techniques.augment.mixing import CutMix, MixUp
from trainwell.techniques.augment.own import Own
from trainwell.techniques.augment.pixels import BrightnessContrast, Crop, Erase, Flip, PixelNoise
from trainwell.techniques.augment.tables import Jitter

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Given(Own):
    """A function of a batch that lives in memory and may have no name of its own."""

    call: Callable[..., Any] = field(default=lambda x: x)

    def __post_init__(self) -> None:
        if not callable(self.call):
            raise UserError("augment", f"{self.call!r} is not a function of a batch")

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"augment {self.function}"

    def found(self) -> Callable[..., Any]:
        """The function itself."""
        return self.call


@dataclass(frozen=True, eq=False)
class Samples:
    """Extra training samples, however they were made.

    inputs: (M, *shape) in the type of the data (uint8 pictures, int16 clips, columns of a table);
    labels: (M,) class numbers.
    """

    name: str
    inputs: Array
    labels: IntArray


@dataclass(frozen=True, eq=False)
class SampleMaker:
    """Extra training samples that are made anew from the training rows of every fold.

    make: from the data, row numbers (n,) and a seed to inputs (M, *shape) and labels (M,); it must
    look at no other rows.
    """

    name: str
    make: Callable[[Dataset, IntArray, int], tuple[Array, IntArray]]


Extra = Samples | SampleMaker


@dataclass(frozen=True, eq=False)
class Subject:
    """One thing to be audited: augmentations together, or extra samples; at a strength."""

    name: str
    augment: tuple[Augment, ...] = ()
    extra: Extra | None = None
    strength: float = 1.0

    @property
    def in_memory(self) -> bool:
        """Whether other processes could not find its code."""
        return any(isinstance(a, Given) for a in self.augment)

    @property
    def can_scale(self) -> bool:
        """Whether its strength can be changed."""
        return self.extra is not None or all(_scaling(a) for a in self.augment)

    @property
    def most(self) -> float:
        """The largest strength that is more: samples, and functions that are told no strength,
        can be given to all examples, and no more."""
        told = all(a.takes_strength for a in self.augment if isinstance(a, Own))
        return math.inf if self.extra is None and told else 1.0

    def at(self, strength: float) -> Subject:
        """The same, `strength` times as strong; of extra samples that share of them, at most all.

        >>> Subject("turn", (Rotate(10),)).at(2).augment
        (Rotate(degrees=20.0, fill='edge'),)
        """
        if self.extra is not None:
            return replace(self, strength=self.strength * strength)
        changed = tuple(scaled(a, strength) for a in self.augment)
        return replace(self, augment=changed, strength=self.strength * strength)

    @property
    def setting(self) -> str:
        """How a recipe names it; "" where none can."""
        return "" if self.extra is not None or self.in_memory else repr(self.augment)


def subject_of(thing: Any, number: int = 0) -> Subject:
    """The subject that somebody named: an augmentation, several, a function, samples.

    number: for functions without a name.
    """
    if isinstance(thing, Subject):
        return thing
    if isinstance(thing, Samples | SampleMaker):
        return Subject(thing.name, extra=thing)
    if isinstance(thing, str):
        return subject_named(thing)
    if isinstance(thing, members(Augment)):
        technique: Any = thing
        return Subject(short_name(technique), (technique,))
    if isinstance(thing, Sequence):
        parts = [subject_of(t, number) for t in thing]
        if not parts or any(p.extra for p in parts):
            raise UserError("augment", f"cannot combine {thing!r}")
        return Subject(
            " + ".join(p.name for p in parts), tuple(a for p in parts for a in p.augment)
        )
    if callable(thing):
        name = str(getattr(thing, "__name__", f"function {number + 1}"))
        return Subject(name, (Given(name, call=thing),))
    problem = f"{thing!r} is no augmentation, no function of a batch, and no samples"
    raise UserError(
        "augment", problem, "Give for instance Rotate(15), a function, or Samples(...)."
    )


def short_name(technique: Any) -> str:
    """A technique with the options that are not its defaults; of Own the function's name.

    >>> short_name(Rotate()), short_name(Rotate(20))
    ('Rotate', 'Rotate(degrees=20)')
    """
    if isinstance(technique, Own):
        return technique.function.rpartition(":")[2]
    kind = type(technique)
    usual = kind()
    given = {f.name: getattr(technique, f.name) for f in fields(kind)}
    told = [
        f"{n}={v:g}" if isinstance(v, float) else f"{n}={v!r}"
        for n, v in given.items()
        if v != getattr(usual, n)
    ]
    return kind.__name__ + (f"({', '.join(told)})" if told else "")


def subject_named(text: str) -> Subject:
    """The subject that a text names: `Rotate`, `Rotate(20)`, `(Shift(1), Rotate(10))`.

    >>> subject_named("Rotate(20)").augment
    (Rotate(degrees=20.0, fill='edge'),)
    """
    names = {c.__name__.lower(): c.__name__ for c in members(Augment)}
    text = names.get(text.strip().lower(), text)
    try:
        found = edit(Recipe(), {"augment": text}, "--only").augment
    except UserError as error:
        if text.isidentifier():
            hint = did_you_mean(text, names.values())
            raise UserError("--only", f'no augmentation "{text}"', hint) from None
        raise error from None
    if not found:
        raise UserError("--only", f'"{text}" names no augmentation')
    return subject_of(found)


def proposed(schema: Schema, recipe: Recipe) -> list[Subject]:
    """What is audited where nothing was named: what the lecture names for this kind of data.

    Flip is among those for pictures although it breaks the labels of characters: it is the one that
    people switch on unawares.
    """
    some: tuple[Augment, ...] = (Jitter(), MixUp())
    if isinstance(schema, ImageSchema):
        side = min(schema.height, schema.width)
        shift = Shift(round(max(0.5, 0.07 * side), 1))
        # for pictures of 28 × 28 Simard's; pixels move by α / σ, so that α goes with the square
        elastic = Elastic(round(34 * (side / 28) ** 2, 1), round(4 * side / 28, 1))
        some = (shift, Rotate(), elastic, PixelNoise(), Flip(), MixUp())
    elif isinstance(schema, AudioSchema):
        some = (AddNoise(), PitchShift(), Tempo(), TimeShift(), MixUp())
        if any(type(p).__name__ == "LogMel" for p in recipe.preprocess):
            some = (*some[:-1], SpecAugment(), MixUp())
    return [Subject(type(a).__name__, (a,)) for a in some]


# ---- strength ---------------------------------------------------------------------------------

Scaling = Callable[[Any, float], Augment]


def scaled(augmentation: Augment, strength: float) -> Augment:
    """The augmentation, `strength` times as strong, written as one of the family.

    >>> scaled(Rotate(15), 0.5)
    Rotate(degrees=7.5, fill='edge')
    >>> round(scaled(Tempo(1.25), 2).rate, 4)
    1.5625
    """
    scale = _scaling(augmentation)
    if scale is None:
        raise ValueError(f"the strength of {augmentation!r} cannot be changed")
    return augmentation if strength == 1 else scale(augmentation, strength)


def _scaling(augmentation: Augment) -> Scaling | None:
    return _SCALINGS.get(type(augmentation))


def _times(*names: str, most: float = math.inf) -> Scaling:
    """Scaling of fields that the strength multiplies."""

    def scale(a: Any, s: float) -> Augment:
        made: Augment = replace(a, **{n: round(min(most, getattr(a, n) * s), 6) for n in names})
        return made

    return scale


def _slanted(degrees: float, strength: float) -> float:
    return round(math.degrees(math.atan(strength * math.tan(math.radians(degrees)))), 6)


_SCALINGS: dict[type, Scaling] = {
    Shift: _times("pixels"),
    Rotate: _times("degrees"),
    Scale: _times("factor"),
    Shear: lambda a, s: replace(a, degrees=_slanted(a.degrees, s)),
    Affine: lambda a, s: replace(
        a,
        degrees=a.degrees * s,
        shift=a.shift * s,
        scale=a.scale * s,
        shear=_slanted(a.shear, s),
    ),
    Elastic: _times("alpha"),
    Flip: _times("probability", most=1.0),
    Crop: lambda a, s: replace(a, pad=max(1, round(a.pad * s))),
    PixelNoise: _times("sigma"),
    Erase: _times("most", most=1.0),
    BrightnessContrast: _times("brightness", "contrast"),
    AddNoise: lambda a, s: replace(a, snr_db=min(120.0, a.snr_db - round(20 * math.log10(s), 2))),
    PitchShift: _times("semitones", most=24.0),
    Tempo: lambda a, s: replace(a, rate=min(4.0, a.rate**s)),
    Gain: _times("db", most=60.0),
    TimeShift: _times("seconds"),
    SpecAugment: lambda a, s: replace(
        a, frequency=max(1, round(a.frequency * s)), time=max(1, round(a.time * s))
    ),
    Jitter: _times("noise"),
    MixUp: _times("alpha"),
    CutMix: _times("alpha"),
    Own: _times("strength"),
    Given: _times("strength"),
}


def as_inputs(extra: Extra, data: Dataset, rows: IntArray, seed: int) -> tuple[Array, IntArray]:
    """Inputs (M, *shape) and labels (M,) of extra samples for a fold's training rows, checked."""
    inputs, labels = (
        (extra.inputs, extra.labels) if isinstance(extra, Samples) else extra.make(data, rows, seed)
    )
    inputs, labels = np.asarray(inputs), np.asarray(labels)
    where = f'samples "{extra.name}"'
    if inputs.shape[1:] != data.inputs.shape[1:] or labels.shape != inputs.shape[:1]:
        problem = (
            f"expected inputs (M, {', '.join(map(str, data.inputs.shape[1:]))}) and labels (M,)"
        )
        raise UserError(where, f"{problem}, got {inputs.shape} and {labels.shape}")
    if not len(labels) or labels.min() < 0 or labels.max() >= len(data.classes):
        raise UserError(where, f"labels must be class numbers from 0 to {len(data.classes) - 1}")
    if inputs.dtype != data.inputs.dtype:
        if inputs.dtype.kind != data.inputs.dtype.kind:
            problem = f"inputs are {inputs.dtype}, those of the data {data.inputs.dtype}"
            raise UserError(where, problem, "Give them in the type of the data.")
        inputs = inputs.astype(data.inputs.dtype)
    return inputs, labels.astype(np.int64)
