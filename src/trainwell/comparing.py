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
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

import numpy as np

from trainwell.arms import (
    Arena,
    Arm,
    about_tuning,
    cells_of,
    joined,
    some_cells,
    times,
    tuning_words,
)
from trainwell.budget import parse_time
from trainwell.clock import now
from trainwell.comparing_arms import (
    Compared,
    compared,
    held_out_share,
    rows_behind,
    rows_p,
    rows_test,
    score_of,
)
from trainwell.data.dataset import Dataset, Kind
from trainwell.data.imbalance import deciding_metric, imbalance_of
from trainwell.data.split import Split, make_split
from trainwell.engine.members import Trained
from trainwell.engine.threads import same_threads
from trainwell.errors import Interrupted, UserError, did_you_mean
from trainwell.metrics import Metric
from trainwell.options import TEST_SHARE, Options, chosen_recipe
from trainwell.progress import Progress
from trainwell.recipe import Recipe, parse_settings
from trainwell.request import Request
from trainwell.sequential import last_level, levels, next_step
from trainwell.training import stop_at_interrupt
from trainwell.verdict import unit_of

FOLDS, LOOKS = 5, (1, 2, 4)  # folds; seeds per fold after which it may end
MOST_FOLDS, MOST_SEEDS = 50, 1000
TUNING_SHARE = 0.4  # of the budget, after which each arm takes the best rate so far
UNHURRIED = 120.0  # seconds of budget from which it pays to measure how training runs quickest


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
    metric: Metric | None = None,
    budget: str | float | None = None,
    seed: int = 0,
    jobs: int | str | None = None,
    trust: bool = False,
    quiet: bool = True,
) -> Compared:
    """Is recipe B better than recipe A on these data? Same folds, seeds, and trials of rates.

    a, b: recipe files, recipes, "start" for the recipe that `fit` would start with, or changes to
    it such as "regularize=(L2(1e-3),); epochs=20". looks: seeds per fold after which the comparison
    may end; the last is the most. metric: None takes the accuracy, and notes where `fit` would let
    another decide. The sealed test part stays sealed. Ctrl-C ends it after the seeds that are
    complete (`Compared.interrupted`). Raises UserError for what the user can mend, Interrupted
    where nothing was complete yet.
    """
    began = time.monotonic()
    seconds = None if budget is None else parse_time(str(budget))
    asked, metric = metric is not None, "accuracy" if metric is None else metric
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
    about = () if asked else about_metric(data, split)
    with same_threads(), Progress(quiet=quiet) as progress:
        for note in (*split.notes, *(f"warning: {words}" for words in about)):
            progress.say(note)
        arena = Arena(data, split, seed, jobs=jobs, steady=(seconds or math.inf) < UNHURRIED)
        arena.show = lambda seen: progress.update(seen.share, f"{seen.epochs} epochs")
        with stop_at_interrupt(arena):
            found = _compared(arena, recipes, looks, metric, progress, ends)
        return dataclasses.replace(
            found,
            names=(_name(a, 0), _name(b, 1)),
            notes=(*found.notes, *about),
            seconds=time.monotonic() - began,
        )


def _compared(
    arena: Arena,
    recipes: Sequence[Recipe],
    looks: Sequence[int],
    metric: Metric,
    progress: Progress,
    ends: Sequence[float | None],
) -> Compared:
    """Tune the rates, train both arms look by look, and say what may be said.

    ends: of tuning and of everything, `clock.now()`.
    """
    progress.stage("tuning the learning rate of each arm that has none")
    first, second = arena.tuned(recipes, ends[0])
    ladders = (first[1], second[1])
    progress.say(tuning_words(ladders))
    notes = about_tuning(ladders)
    for note in notes:
        progress.say(f"warning: {note}")
    arms, level = _in_looks(arena, [first[0], second[0]], looks, metric, progress, ends[1])
    interrupted = arena.stopped  # what follows takes a moment; asked to stop now, it is done
    if interrupted:
        seeds = times(len(arms[0].cells) // len(arena.split.folds), "seed")
        words = f"interrupted; what is said rests on {seeds} per fold, of {looks[-1]}"
        notes = (*notes, words)
    elif arena.late:
        notes = (*notes, "the comparison ended early; with more time it may say more")
    return dataclasses.replace(
        compared(arena, arms, metric, level=level),
        rows_p=rows_p(arena, arms, metric),
        rows_test=rows_test(metric, arena.data.groups is not None),
        ladders=ladders,
        notes=notes,
        interrupted=interrupted,
    )


def about_metric(data: Dataset, split: Split) -> tuple[str, ...]:
    """Where the accuracy decides because nobody asked for another metric: what `fit` would do."""
    counts = np.bincount(data.labels[split.development], minlength=len(data.classes))
    deciding = deciding_metric(imbalance_of(counts, data.classes))
    if deciding.name == "accuracy":
        return ()
    told = f"fit would let {deciding.name.replace('_', ' ')} decide: --metric {deciding.name}"
    return (f"accuracy decides here, but {deciding.why}; {told}",)


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


def _in_looks(
    arena: Arena,
    recipes: Sequence[Recipe],
    looks: Sequence[int],
    metric: Metric,
    progress: Progress,
    deadline: float | None,
) -> tuple[tuple[Arm, Arm], float]:
    """Train seeds until a look decides, or the last look, the deadline, or Ctrl-C.

    Both arms, and the level at which something may be said: that of the look that decided, or of
    one that had to be the last (`sequential.last_level`).
    """
    arms: list[Arm] = []
    done, step = 0, "go on"
    for look in looks:
        if arena.stopped:
            break
        which = f"seed {look}" if look == done + 1 else f"seeds {done + 1} to {look}"
        progress.stage(f"training both arms, {which} of every fold")
        folds = len(arena.split.folds)
        more = arena.train(recipes, cells_of(folds, look - done, arena.seed, done), deadline)
        if arena.stopped:
            more = _complete_seeds(more, folds)
        elif not _whole(more):
            more = []
        if not more:
            break
        arms = [joined(x, y) for x, y in zip(arms, more, strict=True)] if arms else more
        done = len(arms[0].cells) // folds
        if done == look:
            step = _step(arena, (arms[0], arms[1]), metric, looks)
            progress.say(f"{times(done, 'seed')} per fold: {step}")
        if step != "go on":
            break
    if not arms and arena.stopped:
        raise Interrupted("Interrupted. No seed of both arms was complete: nothing to compare.")
    if not arms:
        todo = "Give more time with --budget, or fewer epochs."
        raise UserError("--budget", "the time ended before both arms were trained once", todo)
    decided = step != "go on"
    level = levels(looks)[list(looks).index(done)] if decided else last_level(looks, done)
    return (arms[0], arms[1]), level


def _step(arena: Arena, arms: tuple[Arm, Arm], metric: Metric, looks: Sequence[int]) -> str:
    """What a look says of the cells so far."""
    split, cells = arena.split, arms[0].cells
    return next_step(
        score_of(arms[1], metric),
        score_of(arms[0], metric),
        [c.fold for c in cells],
        [c.seed for c in cells],
        held_out_share(split),
        rows_behind(split, arena.data.labels, metric),
        looks,
        unit_of(metric).region,
    )


def _whole(arms: Sequence[Arm]) -> bool:
    return all(t is not None for arm in arms for t in arm.trained)


def _complete_seeds(arms: Sequence[Arm], folds: int) -> list[Arm]:
    """Of arms that were asked to stop the seeds that all of them have finished in every fold;
    nothing where there is none. Cells come seed by seed."""
    done = np.all([[_finished(t) for t in arm.trained] for arm in arms], axis=0)
    kept = np.flatnonzero(np.repeat(done.reshape(-1, folds).all(axis=1), folds))
    if not len(kept):
        return []
    return [some_cells(arm, kept.tolist()) for arm in arms]


def _finished(trained: Trained | None) -> bool:
    """Whether a training came to its own end: all epochs, no better for `patience`, diverged."""
    if trained is None:
        return False
    recipe, idle = trained.member.recipe, trained.epochs - trained.best_epoch
    return trained.diverged or trained.epochs >= recipe.epochs or idle >= recipe.patience


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
