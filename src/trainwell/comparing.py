"""`trainwell compare`: two recipes on the same folds and seeds, and the verdict.

Each arm tunes its own learning rate with as many trials; both train in every cell (fold, seed);
seeds are added in looks that were fixed before, so that stopping early is no cheating.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainwell.arms import Arena, Arm, Cell, cells_of
from trainwell.budget import parse_time
from trainwell.data.dataset import Dataset, Kind
from trainwell.data.read import read
from trainwell.data.split import Split, make_split
from trainwell.errors import Interrupted, UserError
from trainwell.options import TEST_SHARE, Options, chosen_recipe
from trainwell.paired import PairedDifference, paired_difference
from trainwell.progress import Progress
from trainwell.recipe import Recipe, fields_as_text, parse_settings
from trainwell.sequential import next_step
from trainwell.significance import mcnemar
from trainwell.verdict import REGION, Comparison, verdict

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Metric = Literal["accuracy", "balanced_accuracy", "log_loss"]
FOLDS, LOOKS = 5, (1, 2, 4)  # folds; seeds per fold after which it may end


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

    def scores(self, which: int) -> Floats:
        """Scores (n,) of an arm, cell by cell; of the log loss the negative: more is better."""
        return score_of(self.arms[which], self.metric)

    def to_json(self) -> dict[str, Any]:
        """As `compare --json` prints it."""
        return {
            "data": self.data,
            "a": self.names[0],
            "b": self.names[1],
            "metric": self.metric,
            **self.comparison.to_json(),
            "mcnemar_p": self.mcnemar_p,
            "cells": [
                {"fold": c.fold, "seed": c.seed, "a": float(a), "b": float(b)}
                for c, a, b in zip(self.arms[0].cells, self.scores(0), self.scores(1), strict=True)
            ],
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
    data = read(
        source,
        target=target,
        group=group,
        kind=kind,
        pattern=pattern,
        test=None if isinstance(test, int | float) else test,
        image_size=image_size,
    )
    share = float(test) if isinstance(test, int | float) else TEST_SHARE
    recipes = [recipe_named(x, data, trust) for x in (a, b)]
    split = make_split(data, seed=seed, folds=folds, test=share)
    seconds = None if budget is None else parse_time(str(budget))
    deadline = None if seconds is None else time.time() + seconds
    with Progress(quiet=quiet) as progress:
        for note in split.notes:
            progress.say(note)
        arena = Arena(data, split, seed, jobs=jobs)
        arena.show = lambda seen: progress.update(seen.share, f"{seen.epochs} epochs")
        progress.stage("tuning the learning rate of each arm, with the same number of trials")
        tuned = [recipe for recipe, _ in arena.tuned(recipes, deadline)]
        arms = _in_looks(arena, tuned, looks, metric, progress, deadline)
    names = (_name(a, 0), _name(b, 1))
    return compared(arena, (arms[0], arms[1]), metric, names, time.monotonic() - began)


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
        verdict(found, REGION, adjusted_p),
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
        progress.stage(f"training both arms, seeds {done + 1} to {look} of every fold")
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
        )
        progress.say(f"{done} seeds per fold: {step}")
        if step != "go on":
            break
    return arms


def _whole(arms: Sequence[Arm]) -> bool:
    return all(t is not None for arm in arms for t in arm.trained)


def joined(first: Arm, more: Arm) -> Arm:
    """An arm with more cells."""
    return dataclasses.replace(
        first,
        cells=(*first.cells, *more.cells),
        accuracy=np.concatenate([first.accuracy, more.accuracy]),
        balanced_accuracy=np.concatenate([first.balanced_accuracy, more.balanced_accuracy]),
        log_loss=np.concatenate([first.log_loss, more.log_loss]),
        probabilities=(*first.probabilities, *more.probabilities),
        trained=(*first.trained, *more.trained),
        evidence=None,
        history=(),
        probes=(),
    )


def votes(arena: Arena, arms: tuple[Arm, Arm]) -> tuple[Bools, Bools]:
    """Whether each held-out row is right by the mean over seeds, for both arms (n,)."""
    found = []
    for arm in arms:
        right = []
        for number, fold in enumerate(arena.split.folds):
            some = [
                p for p, c in zip(arm.probabilities, arm.cells, strict=True) if c.fold == number
            ]
            if some:
                mean = np.nan_to_num(np.mean(some, axis=0))
                right.append(mean.argmax(axis=1) == arena.data.labels[fold.validation])
        found.append(np.concatenate(right))
    return found[0], found[1]


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
        settings = parse_settings(part for part in text.split(";") if part.strip())
        return chosen_recipe(data, Options(settings=settings, trust=True))
    problem = 'is no recipe file, not "start", and no change such as epochs=20'
    raise UserError(f'"{text}"', problem, "Name a TOML file, or write NAME=VALUE; NAME=VALUE.")


def _name(what: str | Path | Recipe, number: int) -> str:
    return f"recipe {'AB'[number]}" if isinstance(what, Recipe) else str(what)


__all__ = ["Cell", "Compared", "compare", "compared"]
