"""The learning rate by a ladder in steps of 1-2-5: all rates train at once, in short trials.

Slide "Learning rate": observe the validation accuracy, then try to reduce or increase the rate
by 2 or even 5. The ladder is widened while the rung that it would
choose lies on an edge.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainwell.data.dataset import IntArray
from trainwell.data.split import Fold, sample_rows
from trainwell.engine.members import Member
from trainwell.engine.score import EpochScore
from trainwell.engine.trainer import Trainer
from trainwell.recipe import Recipe
from trainwell.seeding import stream_seed
from trainwell.techniques.schedules import WarmUp

WIDENINGS = 3
LADDER_SHARE = 0.35  # of a budget, after which a search ends with what it knows
LEAST_EPOCHS = 4  # of a trial, where the recipe has as many
TRIAL_ROWS, TRIAL_VALIDATION = 6_000, 2_000  # rows of one trial, at most


@dataclass(frozen=True)
class Rung:
    """One rate: validation log loss (mean over trials, with the standard error of that mean)."""

    lr: float
    log_loss: float
    error: float  # standard error of log_loss
    accuracy: float
    diverged: bool


@dataclass(frozen=True)
class Ladder:
    """All rungs in order of rate, and the one chosen."""

    rungs: tuple[Rung, ...]
    chosen: float
    edge: bool  # the chosen rung is still the lowest or highest
    trials: int  # trials per rate
    in_time: bool = True  # False: the search was ended before it was complete


def rates(low: float, count: int) -> list[float]:
    """`count` rates in steps of 1-2-5, upwards from `low`.

    >>> rates(0.005, 4)
    [0.005, 0.01, 0.02, 0.05]
    """
    decade = math.floor(math.log10(low) + 1e-9)
    digits = (1, 2, 5)
    start = min(range(3), key=lambda i: abs(math.log(low / (digits[i] * 10.0**decade))))
    steps = range(start, start + count)
    return [float(f"{digits[i % 3]}e{decade + i // 3}") for i in steps]


def first_rates(recipe: Recipe) -> list[float]:
    """Where the search starts: five rates around what is usual for the optimiser."""
    return rates(recipe.optimizer.usual_rate / 4, 5)


def brief(recipe: Recipe, parts: float, least: int = LEAST_EPOCHS) -> Recipe:
    """The recipe of a short trial: 1/parts of the epochs, but `least` where it has as many.

    A warm-up in epochs becomes as short as the trial is; else trials would not reach the rate.

    >>> brief(Recipe(epochs=60, schedule=WarmUp(epochs=6)), 3).schedule.share
    0.1
    """
    epochs = min(recipe.epochs, max(least, math.ceil(recipe.epochs / parts - 1e-9)))
    schedule = recipe.schedule
    if isinstance(schedule, WarmUp) and schedule.epochs is not None:
        share = min(1.0, schedule.epochs / recipe.epochs)
        schedule = dataclasses.replace(schedule, share=share, epochs=None)
    return dataclasses.replace(recipe, epochs=epochs, schedule=schedule)


def trials_of(
    recipe: Recipe, folds: Sequence[Fold], labels: IntArray, seed: int, parts: int
) -> list[Member]:
    """Short trainings on which rates are tried: one per fold, on some of its rows.

    labels (N,); seed: of the run; parts: see `brief`.
    """
    short, stream = brief(recipe, parts), stream_seed(seed, "ladder")
    return [
        Member(
            short,
            number,
            sample_rows(fold.train, labels, TRIAL_ROWS, stream),
            sample_rows(fold.validation, labels, TRIAL_VALIDATION, stream),
            stream % 2**31,
        )
        for number, fold in enumerate(folds)
    ]


def climb(trials: Sequence[Member], trainer: Trainer, deadline: float | None = None) -> Ladder:
    """Try every rate on every trial (members whose recipe has no rate yet) and choose.

    A rung's loss is the mean validation log loss, each trial taken at its best epoch; `choose`
    says which rung is taken. At the deadline (`clock.now()`), or when somebody asks to stop, the
    search ends with what it knows.
    """
    rungs: dict[float, Rung] = {}
    wanted = first_rates(trials[0].recipe)
    for number in range(1 + WIDENINGS):
        tried, in_time = try_rates(wanted, trials, trainer, f"ladder{number}", deadline)
        rungs |= {rung.lr: rung for rung in tried}
        ordered = [rungs[r] for r in sorted(rungs)]
        chosen = choose(ordered)
        if not in_time and all(math.isinf(rung.log_loss) for rung in ordered):
            chosen = ordered[len(ordered) // 2]  # none was tried: the usual rate
        if chosen == ordered[0]:
            wanted = [r for r in rates(chosen.lr / 6, 3) if r < chosen.lr]
        elif chosen == ordered[-1]:
            wanted = [r for r in rates(chosen.lr, 3) if r > chosen.lr]
        else:
            break
        if not in_time:
            break
    edge = chosen in (ordered[0], ordered[-1])
    return Ladder(tuple(ordered), chosen.lr, edge, len(trials), in_time)


def choose(rungs: Sequence[Rung]) -> Rung:
    """The middle one of the rungs that cannot be told from the best.

    The best has the lowest loss; another cannot be told from it when its loss is within one
    standard error of the best and no rung between them is worse than that. On a flat stretch the
    lowest value is an accident; its middle is the safest place.

    >>> flat = [Rung(lr, 0.50, 0.05, 0.8, False) for lr in (0.001, 0.002, 0.005)]
    >>> choose([*flat, Rung(0.01, 0.49, 0.05, 0.8, False), Rung(0.02, 9.0, 0.5, 0.1, False)]).lr
    0.002
    """
    sound = [i for i, r in enumerate(rungs) if not r.diverged]
    best = min(sound or range(len(rungs)), key=lambda i: rungs[i].log_loss)
    limit = rungs[best].log_loss + rungs[best].error
    low = high = best
    while low > 0 and not rungs[low - 1].diverged and rungs[low - 1].log_loss <= limit:
        low -= 1
    while high + 1 < len(rungs) and not (
        rungs[high + 1].diverged or rungs[high + 1].log_loss > limit
    ):
        high += 1
    return rungs[(low + high) // 2]


def try_rates(
    wanted: Sequence[float],
    trials: Sequence[Member],
    trainer: Trainer,
    stage: str,
    deadline: float | None,
) -> tuple[list[Rung], bool]:
    """A rung per rate, every rate on every trial, and whether there was time to finish."""
    members = [
        dataclasses.replace(t, recipe=dataclasses.replace(t.recipe, lr=lr))
        for lr in wanted
        for t in trials
    ]
    result = trainer.train(members, stage, deadline)
    lowest: dict[int, EpochScore] = {}
    for score in result.history:
        before = lowest.get(score.member)
        if before is None or not before.val_aim <= score.val_aim:
            lowest[score.member] = score
    per, found = len(trials), []
    for rung, lr in enumerate(wanted):
        mine = range(rung * per, (rung + 1) * per)
        broken = any(i not in result.trained or result.trained[i].diverged for i in mine)
        found.append(_rung(lr, [lowest[i] for i in mine if i in lowest], broken))
    return found, not (result.late or result.stopped)


def _rung(lr: float, scores: Sequence[EpochScore], diverged: bool) -> Rung:
    if not scores:  # its turn did not come
        return Rung(lr, math.inf, 0.0, 0.0, True)
    losses = torch.tensor([s.val_aim for s in scores], dtype=torch.float64)
    accuracies = torch.tensor([s.val_accuracy for s in scores], dtype=torch.float64)
    # Two sources of chance: which rows were held out, and which trial it was.
    over_rows = math.sqrt(sum(s.val_error**2 for s in scores)) / len(scores)
    over_trials = float(losses.std() / math.sqrt(len(losses))) if len(losses) > 1 else 0.0
    error = max(over_rows, over_trials)
    return Rung(lr, float(losses.mean()), error, float(accuracies.mean()), diverged)
