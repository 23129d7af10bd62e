"""`trainwell compare`: two recipes on the same folds and seeds, and the verdict.

Each arm tunes its own learning rate with as many trials; both train in every cell (fold, seed);
seeds are added in looks that were fixed before, so that stopping early is no cheating.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from trainwell.arms import (
    Arena,
    Arm,
    Cell,
    Ladders,
    about_tuning,
    cells_of,
    joined,
    times,
    tuning_words,
)
from trainwell.budget import parse_time
from trainwell.clock import now
from trainwell.data.dataset import Dataset, IntArray, Kind
from trainwell.data.split import Split, make_split
from trainwell.engine.threads import same_threads
from trainwell.errors import Interrupted, UserError, did_you_mean
from trainwell.metrics import Metric
from trainwell.options import TEST_SHARE, Options, chosen_recipe
from trainwell.paired import PairedDifference, paired_difference
from trainwell.progress import Progress
from trainwell.recipe import Recipe, fields_as_text, parse_settings
from trainwell.request import Request
from trainwell.sequential import next_step
from trainwell.significance import mcnemar
from trainwell.verdict import Comparison, Unit, unit_of, verdict

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
FOLDS, LOOKS = 5, (1, 2, 4)  # folds; seeds per fold after which it may end
MOST_FOLDS, MOST_SEEDS = 50, 1000
TUNING_SHARE = 0.4  # of the budget, after which each arm takes the best rate so far
UNHURRIED = 120.0  # seconds of budget from which it pays to measure how training runs quickest


@dataclass(frozen=True, eq=False)
class Compared:
    """Two arms after training, and what may be said about B - A."""

    names: tuple[str, str]
    metric: Metric
    arms: tuple[Arm, Arm]
    comparison: Comparison
    rows: int  # held-out rows of all folds together
    mcnemar_p: float  # of the two arms' votes, row by row
    seconds: float
    data: str
    ladders: Ladders = (None, None)  # how each arm found its learning rate; None: it was given
    notes: tuple[str, ...] = ()  # what the reader should know besides

    @property
    def unit(self) -> Unit:
        """In what differences are told."""
        return unit_of(self.metric)

    def scores(self, which: int) -> Floats:
        """Scores (n,) of an arm, cell by cell; of the log loss the negative: more is better."""
        return score_of(self.arms[which], self.metric)

    def measured(self, which: int) -> Floats:
        """What was measured of an arm (n,), cell by cell; of the log loss the loss itself."""
        return np.asarray(getattr(self.arms[which], self.metric))

    @property
    def tuned(self) -> str:
        """Who tuned the learning rate, with how many trials, in words."""
        return tuning_words(self.ladders)

    def to_json(self) -> dict[str, Any]:
        """As `compare --json` prints it; the difference is B - A of the metric as such."""
        return {
            "data": self.data,
            "a": self.names[0],
            "b": self.names[1],
            "metric": self.metric,
            **self.comparison.to_json(),
            "mcnemar_p": self.mcnemar_p,
            "cells": [
                {"fold": c.fold, "seed": c.seed, "a": float(a), "b": float(b)}
                for c, a, b in zip(
                    self.arms[0].cells, self.measured(0), self.measured(1), strict=True
                )
            ],
            "unit": self.unit.name,
            "region": self.unit.region,
            "tuned": self.tuned,
            "notes": list(self.notes),
            "recipes": {
                "a": fields_as_text(self.arms[0].recipe),
                "b": fields_as_text(self.arms[1].recipe),
            },
            "seconds": round(self.seconds, 2),
        }


def compare(
    a: str | Path | Recipe,
    b: str | Path | Recipe,
    source: Any,
    *,
    target: str | None = None,
    group: str | None = None,
    kind: Kind | None = None,
    pattern: str | None = None,
    image_size: int | None = None,
    test: float | str | Path = TEST_SHARE,
    folds: int = FOLDS,
    looks: Sequence[int] = LOOKS,
    metric: Metric = "accuracy",
    budget: str | float | None = None,
    seed: int = 0,
    jobs: int | str | None = None,
    trust: bool = False,
    quiet: bool = True,
) -> Compared:
    """Is recipe B better than recipe A on these data? Same folds, seeds, and trials of rates.

    a, b: recipe files, recipes, "start" for the recipe that `fit` would start with, or changes to
    it such as "regularize=(L2(1e-3),); epochs=20". looks: seeds per fold after which the comparison
    may end; the last is the most. The sealed test part stays sealed. Raises UserError for what the
    user can mend.
    """
    began = time.monotonic()
    seconds = None if budget is None else parse_time(str(budget))
    _check(folds, looks, metric)
    request = Request(
        source,
        target=target,
        group=group,
        kind=kind,
        pattern=pattern,
        image_size=image_size,
        test=test,
    )
    data = request.read()
    recipes = [recipe_named(x, data, trust) for x in (a, b)]
    split = make_split(data, seed=seed, folds=folds, test=request.options.test)
    ends: list[float | None] = [None, None]  # of tuning and of everything, `clock.now()`
    if seconds is not None:
        start = now() - (time.monotonic() - began)
        ends = [start + TUNING_SHARE * seconds, start + seconds]
    with same_threads(), Progress(quiet=quiet) as progress:
        for note in split.notes:
            progress.say(note)
        arena = Arena(data, split, seed, jobs=jobs, steady=(seconds or math.inf) < UNHURRIED)
        arena.show = lambda seen: progress.update(seen.share, f"{seen.epochs} epochs")
        progress.stage("tuning the learning rate of each arm that has none")
        first, second = arena.tuned(recipes, ends[0])
        ladders = (first[1], second[1])
        progress.say(tuning_words(ladders))
        notes = about_tuning(ladders)
        for note in notes:
            progress.say(f"warning: {note}")
        arms = _in_looks(arena, [first[0], second[0]], looks, metric, progress, ends[1])
        if arena.late or arena.stopped:
            notes = (*notes, "the comparison ended early; with more time it may say more")
        names = (_name(a, 0), _name(b, 1))
        found = compared(arena, (arms[0], arms[1]), metric, names, time.monotonic() - began)
        return dataclasses.replace(found, ladders=ladders, notes=notes)


def _check(folds: Any, looks: Any, metric: Any) -> None:
    """Raise UserError for what cannot be asked for, before any work."""
    if metric not in get_args(Metric):
        raise UserError(
            "metric", f'no metric "{metric}"', did_you_mean(str(metric), get_args(Metric))
        )
    if not _whole_number(folds) or not 1 <= folds <= MOST_FOLDS:
        raise UserError("folds", f"expected a whole number from 1 to {MOST_FOLDS}, got {folds!r}")
    numbers = tuple(looks) if isinstance(looks, Sequence) and not isinstance(looks, str) else ()
    if (
        not numbers
        or not all(map(_whole_number, numbers))
        or not 1 <= numbers[0] <= numbers[-1] <= MOST_SEEDS
        or any(more <= few for few, more in itertools.pairwise(numbers))
    ):
        problem = f"expected rising numbers of seeds, at most {MOST_SEEDS}, got {looks!r}"
        raise UserError("looks", problem, "Write for instance (1, 2, 4).")


def _whole_number(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def looks_up_to(seeds: int) -> tuple[int, ...]:
    """After which numbers of seeds per fold a comparison may end, at most `seeds`.

    >>> looks_up_to(4), looks_up_to(6), looks_up_to(1)
    ((1, 2, 4), (1, 2, 4, 6), (1,))
    """
    doubled = [2**k for k in range(seeds.bit_length()) if 2**k < seeds]
    return (*doubled, seeds)


def compared(
    arena: Arena,
    arms: tuple[Arm, Arm],
    metric: Metric,
    names: tuple[str, str] = ("A", "B"),
    seconds: float = 0.0,
    adjusted_p: float | None = None,
) -> Compared:
    """What may be said about two arms that were trained in the same cells."""
    found = difference(arena.split, arms, metric)
    return Compared(
        names,
        metric,
        arms,
        verdict(
            found,
            adjusted_p=adjusted_p,
            unit=unit_of(metric),
            same=arms[0].recipe == arms[1].recipe,
        ),
        sum(len(f.validation) for f in arena.split.folds),
        mcnemar(*votes(arena, arms)).mid,
        seconds,
        arena.data.name,
    )


def difference(split: Split, arms: tuple[Arm, Arm], metric: Metric) -> PairedDifference:
    """Mean of B - A over folds and seeds, with interval and p."""
    cells = arms[0].cells
    a, b = (score_of(arm, metric) for arm in arms)
    rows = sum(len(f.validation) for f in split.folds)
    return paired_difference(
        b,
        a,
        [c.fold for c in cells],
        [c.seed for c in cells],
        held_out_share(split),
        rows if metric != "log_loss" else None,
    )


def held_out_share(split: Split) -> float:
    """The share of the rows that a fold holds out, the mean over folds."""
    return float(
        np.mean([len(f.validation) / (len(f.train) + len(f.validation)) for f in split.folds])
    )


def score_of(arm: Arm, metric: Metric) -> Floats:
    """Scores (n,) of an arm; of the log loss the negative, so that more is better everywhere."""
    return -arm.log_loss if metric == "log_loss" else np.asarray(getattr(arm, metric))


def _in_looks(
    arena: Arena,
    recipes: Sequence[Recipe],
    looks: Sequence[int],
    metric: Metric,
    progress: Progress,
    deadline: float | None,
) -> list[Arm]:
    """Train seeds until a look decides, or the last look, or the deadline."""
    arms: list[Arm] = []
    done = 0
    for look in looks:
        which = f"seed {look}" if look == done + 1 else f"seeds {done + 1} to {look}"
        progress.stage(f"training both arms, {which} of every fold")
        cells = cells_of(len(arena.split.folds), look - done, arena.seed, done)
        more = arena.train(recipes, cells, deadline)
        if arena.stopped and not arms:
            raise Interrupted("Interrupted before both arms were trained: nothing to compare.")
        if (arena.late or arena.stopped) and not arms and not _whole(more):
            todo = "Give more time with --budget, or fewer epochs."
            raise UserError("--budget", "the time ended before both arms were trained once", todo)
        if not _whole(more):
            break
        arms = [joined(x, y) for x, y in zip(arms, more, strict=True)] if arms else more
        done = look
        split, cells_so_far = arena.split, arms[0].cells
        step = next_step(
            score_of(arms[1], metric),
            score_of(arms[0], metric),
            [c.fold for c in cells_so_far],
            [c.seed for c in cells_so_far],
            held_out_share(split),
            sum(len(f.validation) for f in split.folds) if metric != "log_loss" else None,
            looks,
            unit_of(metric).region,
        )
        progress.say(f"{times(done, 'seed')} per fold: {step}")
        if step != "go on":
            break
    return arms


def _whole(arms: Sequence[Arm]) -> bool:
    return all(t is not None for arm in arms for t in arm.trained)


def votes(arena: Arena, arms: tuple[Arm, Arm]) -> tuple[Bools, Bools]:
    """Whether each held-out row is right by the mean over seeds, for both arms (n,)."""
    (rows, a), (_, b) = (held_out(arena, arm) for arm in arms)
    labels = arena.data.labels[rows]
    return a.argmax(axis=1) == labels, b.argmax(axis=1) == labels


def held_out(arena: Arena, arm: Arm) -> tuple[IntArray, Floats]:
    """Held-out rows (n,), fold by fold, and the mean (n, C) of what their networks say."""
    rows, found = [], []
    for number, fold in enumerate(arena.split.folds):
        some = [p for p, c in zip(arm.probabilities, arm.cells, strict=True) if c.fold == number]
        # One that diverged at once says nothing; only if all have, the fold counts as unknown.
        some = [p for p in some if np.isfinite(p).all()] or some
        if some:
            rows.append(fold.validation)
            found.append(np.nan_to_num(np.mean(some, axis=0)))
    return np.concatenate(rows), np.concatenate(found)


def recipe_named(what: str | Path | Recipe, data: Dataset, trust: bool = False) -> Recipe:
    """A recipe that somebody named: a file, "start", or changes separated by semicolons."""
    if isinstance(what, Recipe):
        return chosen_recipe(data, Options(recipe=what, trust=True))
    text = str(what)
    if Path(text).is_file() or text.endswith(".toml"):
        return chosen_recipe(data, Options(recipe=Path(text), trust=trust))
    if text == "start":
        return chosen_recipe(data, Options())
    if "=" in text:
        settings = parse_settings((part for part in text.split(";") if part.strip()), f'"{text}"')
        return chosen_recipe(data, Options(settings=settings, trust=True), f'"{text}"')
    problem = 'is no recipe file, not "start", and no change such as epochs=20'
    raise UserError(f'"{text}"', problem, "Name a TOML file, or write NAME=VALUE; NAME=VALUE.")


def _name(what: str | Path | Recipe, number: int) -> str:
    return f"recipe {'AB'[number]}" if isinstance(what, Recipe) else str(what)


__all__ = ["Cell", "Compared", "Metric", "compare", "compared"]
