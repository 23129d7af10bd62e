"""What a watched loop has shown so far, as plain numbers, and the evidence that they make."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trainwell.doctor.evidence import (
    UNIT_MEASURES,
    WEIGHT_MEASURES,
    Evidence,
    Floats,
    Layer,
    Setup,
)
from trainwell.doctor.finding import Check

WINDOW = 10  # sampled batches, at least, over which a unit must be silent to count as dead
POINTS = 30  # of a training without validation, at most
ROWS = 256  # rows, at least, that it must have been silent for


@dataclass(frozen=True)
class Weight:
    """One weight layer in one sampled step."""

    gradient: float
    zero: float
    magnitude: float
    before: float  # norm of the weights before the step
    weight: float  # and after it
    update: float  # norm of the step over that of the weights


@dataclass(frozen=True)
class Unit:
    """The units behind one activation in one sampled step."""

    mean: float
    spread: float
    dead: float  # share silent in all of the last `WINDOW` sampled batches
    saturated: float


@dataclass(frozen=True)
class Sample:
    """One sampled step. loss: mean since the sample before, over `losses` of them."""

    step: int
    loss: float
    losses: int
    lr: float
    accuracy: float = math.nan  # of its own batch
    rows: int = 0
    weights: dict[str, Weight] = field(default_factory=dict)
    units: dict[str, Unit] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """A validation, or the end of an epoch, after `step` steps; nan: not told."""

    step: int
    train_loss: float = math.nan
    train_accuracy: float = math.nan
    val_loss: float = math.nan
    val_accuracy: float = math.nan
    rows: int = 0
    epoch: bool = False  # whether it was said to be the end of one


def evidence_of(
    samples: Sequence[Sample],
    marks: Sequence[Mark],
    setup: Setup,
    checks: tuple[Check, ...],
    classes: int | None,
    diverged: bool,
) -> Evidence:
    """Evidence with a point per mark where there are three or more, else per sampled step.

    The points of sampled steps are some 30 spans of like length.

    Training scores are running means in train mode (`clean_train=False`): the loss over all steps
    since the point before, the accuracy over the sampled batches among them.
    """
    by_mark = len(marks) >= 3
    ends = [m.step for m in marks] if by_mark else _spaced([s.step for s in samples])
    groups = _between(samples, ends)
    epochs = by_mark and all(m.epoch for m in marks)
    points = np.arange(1.0, len(ends) + 1) if epochs else np.array(ends, np.float64)
    series = {
        "lr": _row([g[-1].lr if g else math.nan for g in groups]),
        "train_loss": _row([_mean_loss(g) for g in groups]),
        "train_accuracy": _row([_accuracy(g) for g in groups]),
    }
    for name in ("val_loss", "val_accuracy"):
        values = [math.nan] * len(ends)
        for mark in marks:
            place = next((i for i, end in enumerate(ends) if end >= mark.step), len(ends) - 1)
            if place >= 0:
                values[place] = getattr(mark, name)
        series[name] = _row(values)
    if by_mark:
        for name in ("train_loss", "train_accuracy"):
            told = _row([getattr(m, name) for m in marks])
            series[name] = np.where(np.isnan(told), series[name], told)
    series = {n: v for n, v in series.items() if not np.isnan(v).all() or n == "train_loss"}
    rows = [sum(s.rows for s in g) for g in groups]
    said = [m.step for m in marks if m.epoch]
    if said:
        setup = dataclasses.replace(setup, steps=int(np.median(np.diff([0, *said]))))
    return Evidence(
        points=points,
        series=series,
        unit="epoch" if epochs else "step",
        layers=_layers(samples, groups),
        setup=setup,
        classes=classes,
        val_rows=min((m.rows for m in marks if m.rows), default=None),
        sample_rows=max(rows, default=0) or None,
        best=_best(points, series.get("val_loss")),
        diverged=(diverged,),
        clean_train=False,
        checks=checks,
        source="a loop that was watched",
    )


def _spaced(steps: Sequence[int]) -> list[int]:
    """Ends of about POINTS spans of like length: early steps are sampled more densely than others,
    and a point that stands for one batch is no neighbour for one that stands for a hundred."""
    width = steps[-1] / POINTS if steps else 0.0
    ends: list[int] = []
    for step in steps:
        if step >= width + (ends[-1] if ends else 0):
            ends.append(step)
    return ends if not steps or ends[-1:] == [steps[-1]] else [*ends, steps[-1]]


def _row(values: Sequence[float]) -> Floats:
    return np.array([values], dtype=np.float64)


def _between(samples: Sequence[Sample], ends: Sequence[int]) -> list[list[Sample]]:
    """The samples up to each end, from the end before on."""
    groups: list[list[Sample]] = [[] for _ in ends]
    for sample in samples:
        place = bisect_left(ends, sample.step)
        if place < len(groups):
            groups[place].append(sample)
    return groups


def _mean_loss(group: Sequence[Sample]) -> float:
    """The loss over the steps of a point: samples weigh as many losses as they stand for."""
    known = [s for s in group if s.losses and not math.isnan(s.loss)]
    if not known or math.isnan(group[-1].loss):
        return math.nan
    return sum(s.loss * s.losses for s in known) / sum(s.losses for s in known)


def _accuracy(group: Sequence[Sample]) -> float:
    known = [s for s in group if not math.isnan(s.accuracy) and s.rows]
    rows = sum(s.rows for s in known)
    return sum(s.accuracy * s.rows for s in known) / rows if rows else math.nan


def _best(points: Floats, loss: Floats | None) -> tuple[int, ...]:
    if loss is None or not np.isfinite(loss).any():
        return ()
    return (int(points[np.where(np.isfinite(loss[0]), loss[0], np.inf).argmin()]),)


def _layers(samples: Sequence[Sample], groups: Sequence[Sequence[Sample]]) -> tuple[Layer, ...]:
    """Measures (1, E + 1) of every layer: the first batch before its step, then of each point."""
    if not samples:
        return ()
    lasts = [g[-1] if g else None for g in groups]
    layers = []
    for name in dict.fromkeys(n for s in samples for n in s.weights):
        first = samples[0].weights.get(name)
        rows = [
            (math.nan,) * 5
            if first is None
            else (first.gradient, first.before, math.nan, first.zero, first.magnitude)
        ]
        for sample in lasts:
            w = sample.weights.get(name) if sample else None
            rows.append(
                (w.gradient, w.weight, w.update, w.zero, w.magnitude) if w else (math.nan,) * 5
            )
        table = np.array(rows).T
        measures = {n: table[i][None] for i, n in enumerate(WEIGHT_MEASURES)}
        layers.append(Layer(name, "weight", measures))
    names = dict.fromkeys(n for s in samples for n in s.units)
    layers += [_units(name, samples, lasts) for name in names]
    return tuple(layers)


def _units(name: str, samples: Sequence[Sample], lasts: Sequence[Sample | None]) -> Layer:
    first = samples[0].units.get(name)
    rows = [(math.nan,) * 4]
    if first is not None:
        # Dead at birth: silent in the first batch and in those that followed.
        later = [s.units[name].dead for s in samples[WINDOW - 1 :] if name in s.units]
        born = next(
            (d for d in later if not math.isnan(d)), samples[-1].units.get(name, first).dead
        )
        rows = [(first.mean, first.spread, born, first.saturated)]
    for sample in lasts:
        unit = sample.units.get(name) if sample else None
        rows.append(
            (unit.mean, unit.spread, unit.dead, unit.saturated) if unit else (math.nan,) * 4
        )
    table = np.array(rows).T
    return Layer(name, "units", {n: table[i][None] for i, n in enumerate(UNIT_MEASURES)})
