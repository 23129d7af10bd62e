"""From training rows to samples that have passed every check, by a GAN or by a refiner.

Shapes: n training rows, m samples, E numbers of an encoded row, C classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trainwell.data.dataset import ImageSchema, IntArray, Schema
from trainwell.data.read import read_like
from trainwell.errors import UserError, did_you_mean
from trainwell.seeding import stream_seed, torch_stream
from trainwell.techniques.augment.coding import Coder, coder_of
from trainwell.techniques.augment.gan import Plan, train_gan
from trainwell.techniques.augment.refiner import refine
from trainwell.techniques.augment.sample_checks import (
    Distances,
    Neighbours,
    Reference,
    SampleReport,
    cross_validated,
    held_out,
    refusal,
)
from trainwell.techniques.augment.simulator import ink_height, rendered_digits

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.floating[Any]]

ROUNDS = 4  # of drawing, until enough samples have passed
MOST_REAL = 20_000  # training rows that a GAN or refiner learns from
PAIRS = 10  # samples that are shown beside their nearest training row
SPARE = 1.5  # simulated pictures per sample that is wanted: some will not pass
Drawn = Callable[[IntArray, int], Floats]  # labels (m,) and the round's number to rows (m, E)


@dataclass(frozen=True, eq=False)
class Rows:
    """Training rows as the data layer holds them: inputs (n, ...), labels (n,)."""

    inputs: Array
    labels: IntArray
    schema: Schema
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Samples:
    """New rows in the data's own type, shuffled, and what is known of them.

    looks: steps and rows as they were made then; pairs (2, PAIRS, ...): samples, and the training
    row that lies nearest to each. A refused report comes with no rows.
    """

    inputs: Array  # (m, ...)
    labels: IntArray  # (m,)
    report: SampleReport
    looks: tuple[tuple[int, Array], ...]
    pairs: Array

    def timed(self, seconds: float) -> Samples:
        """With the seconds that it took."""
        report = dataclasses.replace(self.report, seconds=round(seconds, 2))
        return dataclasses.replace(self, report=report)

    def judged(self, rows: Rows, inputs: Array, labels: IntArray, seed: int) -> Samples:
        """With what they and the rows they were made of teach about held-out rows (v, ...), (v,).

        For the report alone: nothing is chosen by it.
        """
        coder = coder_of(rows.inputs, rows.schema)
        real, made, test = (_flat(coder, x) for x in (rows.inputs, self.inputs, inputs))
        report = held_out(
            self.report,
            (real, rows.labels),
            (made, self.labels),
            (test, labels),
            len(rows.classes),
            stream_seed(seed, "held-out") % 2**32,
        )
        return dataclasses.replace(self, report=report)


def _flat(coder: Coder, inputs: Array) -> Floats:
    return coder.encode(inputs).flatten(1).numpy()


def generated(rows: Rows, plan: Plan, wanted: IntArray, agree: float, seed: int) -> Samples:
    """Samples of a GAN that is trained on these rows; wanted (C,)."""
    rows = _some(rows, seed)
    coder = coder_of(rows.inputs, rows.schema)
    x, y = coder.encode(rows.inputs), torch.from_numpy(rows.labels)
    gan = train_gan(x, y, len(rows.classes), plan, seed, coder.blocks)

    def draw(labels: IntArray, number: int) -> Floats:
        made = gan.make(torch.from_numpy(labels), torch_stream(seed, "gan-draw", number))
        return _flat(coder, coder.decode(made))  # as it will be seen, rounded

    looks = tuple((step, coder.decode(look)) for step, look in gan.looks)
    return _passed("Gan", rows, coder, wanted, draw, agree, seed, looks)


def refined(
    rows: Rows,
    wanted: IntArray,
    *,
    simulated: str,
    real: str,
    steps: int,
    keep: float,
    width: int,
    lr: float,
    agree: float,
    seed: int,
) -> Samples:
    """Simulated pictures that a refiner has changed; wanted (C,). Options as those of Refine.

    Raises UserError where there are no such pictures, or their labels are not classes of the data.
    """
    rows = _some(rows, seed)
    coder = coder_of(rows.inputs, rows.schema)
    towards = rows.inputs if not real else read_like(real, rows.schema, rows.classes).inputs
    towards = towards[_chosen(len(towards), seed)]
    pictures, labels = _simulated(simulated, rows, towards, wanted, seed)
    found = refine(pictures, towards.astype(np.uint8), seed, steps, keep, width, lr)
    flat = _flat(coder, found.pictures)
    left = [np.flatnonzero(labels == c) for c in range(len(rows.classes))]
    wanted = np.minimum(wanted, [len(mine) for mine in left])

    def draw(asked: IntArray, number: int) -> Floats:
        places = np.empty(len(asked), np.int64)
        for c, mine in enumerate(left):
            count = int((asked == c).sum())
            places[asked == c], left[c] = mine[:count], mine[count:]
        return flat[places]

    looks = tuple((step, look) for step, look in found.looks)
    spare = [len(mine) for mine in left]
    return _passed("Refine", rows, coder, wanted, draw, agree, seed, looks, np.array(spare))


def _chosen(count: int, seed: int) -> IntArray:
    rng = np.random.default_rng(stream_seed(seed, "sample-rows"))
    return np.sort(rng.permutation(count)[:MOST_REAL])


def _some(rows: Rows, seed: int) -> Rows:
    """Not more rows than a generator can look at."""
    if len(rows.labels) <= MOST_REAL:
        return rows
    chosen = _chosen(len(rows.labels), seed)
    return dataclasses.replace(rows, inputs=rows.inputs[chosen], labels=rows.labels[chosen])


def _simulated(
    source: str, rows: Rows, towards: Array, wanted: IntArray, seed: int
) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Simulated pictures (m, C, H, W) and labels (m,)."""
    assert isinstance(rows.schema, ImageSchema)
    if source == "digits":
        kinds = np.flatnonzero([c in "0123456789" and len(c) == 1 for c in rows.classes])
        if len(kinds) < len(rows.classes):
            problem = "simulates the digits 0 to 9, and the data have other classes"
            raise UserError('Refine(simulated="digits")', problem, "Name pictures of your own.")
        counts = np.ceil(SPARE * wanted).astype(np.int64)
        labels = np.repeat(np.arange(len(rows.classes)), counts)
        order = np.random.default_rng(stream_seed(seed, "simulated")).permutation(len(labels))
        labels = labels[order]
        digits = np.array([int(c) for c in rows.classes])[labels]
        fill = ink_height(towards.astype(np.uint8))
        own = stream_seed(seed, "digits")
        channels, height, width = rows.schema.shape
        return rendered_digits(digits, channels, height, width, own, fill), labels
    found = read_like(source, rows.schema, rows.classes)
    if found.labels is None:
        raise UserError(source, "expected labels of the simulated pictures, got none", "Add them.")
    strange = set(found.labels) - set(rows.classes)
    if strange:
        name = sorted(strange)[0]
        hint = did_you_mean(name, rows.classes)
        raise UserError(source, f'"{name}" is no class of the data', hint)
    codes = {name: code for code, name in enumerate(rows.classes)}
    labels = np.array([codes[name] for name in found.labels], np.int64)
    order = np.random.default_rng(stream_seed(seed, "simulated")).permutation(len(labels))
    return found.inputs[order].astype(np.uint8), labels[order]


def _passed(
    name: str,
    rows: Rows,
    coder: Coder,
    wanted: IntArray,
    draw: Drawn,
    agree: float,
    seed: int,
    looks: tuple[tuple[int, Array], ...],
    stock: IntArray | None = None,
) -> Samples:
    """Draw until enough samples have passed or four rounds are over, and judge the whole.

    stock: how many can be drawn of each class (C,), where that has an end.
    """
    classes, judge = len(rows.classes), stream_seed(seed, "reference") % 2**32
    real = _flat(coder, rows.inputs)
    reference, neighbours = Reference(real, rows.labels, classes, judge), Neighbours(real)
    kept_x, far = [real[:0]], [real[:0, 0]]
    kept_y, near = [rows.labels[:0]], [rows.labels[:0]]
    missing, drawn, doubted, copies = wanted.copy(), 0, 0, 0
    for number in range(ROUNDS):
        asked = missing * (1 if number == 0 else 2)
        asked = asked if stock is None else np.minimum(asked, stock)
        if not asked.sum():
            break
        stock = None if stock is None else stock - asked
        labels = np.repeat(np.arange(classes), asked)
        x = draw(labels, number)
        distance, place = neighbours.nearest(x)
        sure = reference.probabilities(x)[np.arange(len(x)), labels] >= agree
        copy = distance < neighbours.copy_distance
        drawn, doubted = drawn + len(x), doubted + int((~sure).sum())
        copies += int((sure & copy).sum())
        passed = np.flatnonzero(sure & ~copy)
        # Of each class no more than are missing.
        turn = np.concatenate(
            [np.arange(n) for n in np.bincount(labels[passed], minlength=classes)]
        )
        passed = passed[turn < missing[labels[passed]]]
        missing = missing - np.bincount(labels[passed], minlength=classes)
        kept_x.append(x[passed])
        kept_y.append(labels[passed])
        far.append(distance)
        near.append(place[passed])
    x, y, places = np.concatenate(kept_x), np.concatenate(kept_y), np.concatenate(near)
    order = np.random.default_rng(stream_seed(seed, "sample-order")).permutation(len(y))
    x, y, places = x[order], y[order], places[order]
    shares = np.bincount(rows.labels, minlength=classes) / len(rows.labels)
    taught = Reference(x, y, classes, judge).right(real, rows.labels).mean() if len(y) else 0.0
    report = SampleReport(
        name,
        real=len(rows.labels),
        wanted=int(wanted.sum()),
        drawn=drawn,
        doubted=doubted,
        copies=copies,
        kept=len(y),
        kept_by_class=tuple(np.bincount(y, minlength=classes).tolist()),
        nearest_real=Distances.of(neighbours.between),
        nearest_made=Distances.of(np.concatenate(far)),
        copy_distance=neighbours.copy_distance,
        known=cross_validated(real, rows.labels, classes, judge),
        taught=float(taught),
    )
    report = dataclasses.replace(report, refused=refusal(report, float(shares.max())))
    made = coder.decode(torch.from_numpy(x.reshape(len(x), *_shape(coder, rows))))
    pairs = np.stack([made[:PAIRS], rows.inputs[places[:PAIRS]]])
    if report.refused:
        made, y = made[:0], y[:0]
    return Samples(made.astype(rows.inputs.dtype, copy=False), y, report, looks, pairs)


def _shape(coder: Coder, rows: Rows) -> tuple[int, ...]:
    return tuple(coder.encode(rows.inputs[:1]).shape[1:])
