"""Changed data: what arms are trained on, or decided on, besides the data as they are.

Each is a frozen dataclass with `changed(data, seed)`, a pure function from a Dataset to one of the
same rows. Augmentations of pictures and clips are variants as well.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from annotated_types import Gt, Interval

from trainwell.callstring import check_fields, parse
from trainwell.data.dataset import Dataset
from trainwell.errors import RecipeError
from trainwell.seeding import numpy_stream, stream_seed
from trainwell.techniques.augment import Augment


@dataclass(frozen=True)
class Exposure:
    """Every example times a gain and plus an offset of its own: x' = g x + o.

    g ~ U(least_gain, most_gain), o ~ U(least_offset, most_offset) in units of the data's range.
    """

    least_gain: Annotated[float, Gt(0)] = 0.3
    most_gain: Annotated[float, Gt(0)] = 1.5
    least_offset: float = -0.2
    most_offset: float = 0.4

    def __post_init__(self) -> None:
        check_fields(self)

    def changed(self, data: Dataset, seed: int) -> Dataset:
        stream = numpy_stream(seed, "exposure")
        shape = (len(data), *[1] * (data.inputs.ndim - 1))
        gain = stream.uniform(self.least_gain, self.most_gain, shape)
        offset = stream.uniform(self.least_offset, self.most_offset, shape)
        values = data.inputs.astype(np.float64)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        return _with_inputs(data, low + gain * (values - low) + offset * (high - low))


@dataclass(frozen=True)
class LabelNoise:
    """A share of the labels replaced by other ones, drawn evenly."""

    share: Annotated[float, Interval(ge=0, le=1)] = 0.1

    def __post_init__(self) -> None:
        check_fields(self)

    def changed(self, data: Dataset, seed: int) -> Dataset:
        stream = numpy_stream(seed, "label-noise")
        classes = len(data.classes)
        wrong = stream.random(len(data)) < self.share
        shift = stream.integers(1, max(classes, 2), len(data))
        labels = np.where(wrong, (data.labels + shift) % classes, data.labels)
        return dataclasses.replace(data, labels=labels.astype(np.int64))


@dataclass(frozen=True)
class Noise:
    """Normal noise on every feature, `spread` standard deviations of that feature."""

    spread: Annotated[float, Gt(0)] = 0.5

    def __post_init__(self) -> None:
        check_fields(self)

    def changed(self, data: Dataset, seed: int) -> Dataset:
        values = data.inputs.astype(np.float64)
        noise = numpy_stream(seed, "noise").normal(size=values.shape) * np.nanstd(values)
        return _with_inputs(data, values + self.spread * noise)


@dataclass(frozen=True)
class Permuted:
    """The features of every example in another order, the same for all: nothing stays in place."""

    def changed(self, data: Dataset, seed: int) -> Dataset:
        flat = data.inputs.reshape(len(data), -1)
        order = numpy_stream(seed, "permuted").permutation(flat.shape[1])
        return _with_inputs(data, flat[:, order].reshape(data.inputs.shape))


@dataclass(frozen=True)
class Inverted:
    """Every value mirrored in the data's range: black becomes white."""

    def changed(self, data: Dataset, seed: int) -> Dataset:
        values = data.inputs.astype(np.float64)
        return _with_inputs(data, np.nanmin(values) + np.nanmax(values) - values)


@dataclass(frozen=True)
class Units:
    """Every feature in another unit: times ten to a power of its own, the same for all examples.

    Powers ~ U(-decades, decades).
    """

    decades: Annotated[float, Gt(0)] = 2.0

    def __post_init__(self) -> None:
        check_fields(self)

    def changed(self, data: Dataset, seed: int) -> Dataset:
        powers = numpy_stream(seed, "units").uniform(
            -self.decades, self.decades, data.inputs[0].shape
        )
        return _with_inputs(data, data.inputs.astype(np.float64) * 10**powers)


Own = Exposure | LabelNoise | Noise | Permuted | Inverted | Units
Change = Own | Augment


def apply_variant(how: str, data: Dataset, seed: int, where: str) -> Dataset:
    """The data changed as a call string says; raises RecipeError where it is none."""
    technique, mistakes = parse(how, Change, where)
    if mistakes:
        raise RecipeError(where, mistakes)
    if isinstance(technique, Own):
        return technique.changed(data, seed)
    return _augmented(technique, data, seed, where)


def _augmented(technique: Any, data: Dataset, seed: int, where: str) -> Dataset:
    """Pictures or clips, each changed once by an augmentation."""
    import torch

    place = {"images": "pictures", "audio": "clips"}.get(data.kind)
    if place is None or technique.acts_on != place:
        name = type(technique).__name__
        raise RecipeError(where, [f"{name} changes {technique.acts_on}, the data are {data.kind}"])
    most = 255.0 if data.kind == "images" else 32768.0
    rate = getattr(data.schema, "rate", 16_000)
    x = torch.from_numpy(data.inputs.astype(np.float32)) / most
    changed = technique(x, seed=stream_seed(seed, "variant") % 2**31, rate=rate).numpy() * most
    return _with_inputs(data, changed)


def _with_inputs(data: Dataset, values: npt.NDArray[Any]) -> Dataset:
    """The data with other inputs, in their own type."""
    if np.issubdtype(data.inputs.dtype, np.integer):
        ends = np.iinfo(data.inputs.dtype)
        values = np.clip(np.rint(values), ends.min, ends.max)
    return dataclasses.replace(data, inputs=values.astype(data.inputs.dtype))
