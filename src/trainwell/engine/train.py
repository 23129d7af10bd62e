"""The training loop: epochs of a population, each one step after another.

What happens in a step is what `Share.step` says: gather a batch, augment, forward, loss, gradient,
penalties on the gradient, update, projection. `train` is a generator: it hands out the scores of
each epoch, and whoever iterates decides whether to go on (budget, Ctrl-C, display).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch

from trainwell.engine import probes
from trainwell.engine.population import Population
from trainwell.engine.sampling import stacked
from trainwell.engine.score import EpochScore, score_epoch
from trainwell.memory import keep_freed_memory


def never() -> bool:
    """No pause."""
    return False


def train(population: Population, pause: Callable[[], bool] = never) -> Iterator[list[EpochScore]]:
    """Train every member to its end; yields the scores of the members still training.

    A member ends after the recipe's epochs, after `patience` epochs without a better validation
    score, or when its loss is no longer finite; its best weights are in `population.trained`.
    `pause` is asked before every step; when it answers True, an empty list is handed out between
    two steps: the moment to save the population, or to end. A population that was saved and
    restored goes on to the same bits.
    """
    keep_freed_memory()
    try:
        # Numbers below 1e-38 occur with dead units and strong decay, and cost 17 to 38 times more.
        torch.set_flush_denormal(True)
        yield from _epochs(population, pause)
    finally:
        torch.set_flush_denormal(False)


def _epochs(population: Population, pause: Callable[[], bool]) -> Iterator[list[EpochScore]]:
    p = population
    if p.examples.ranks.size > 1 and not p.epochs and p.place == (0, 0):
        p.begin_alike()
    if p.before is not None and not p.probes:
        p.probes += probes.measure(p)
    while p.members and p.epochs < p.members[0].recipe.epochs:
        for _ in train_epoch(p, pause):
            yield []
        yield _scored(p, p.before is not None)
    p.finish(range(len(p.members)))


def _scored(p: Population, probing: bool) -> list[EpochScore]:
    """The scores of the epoch that has ended; who is best, and who ends, by them."""
    scores = score_epoch(p)
    for seen, score in zip(p.losses, scores, strict=True):
        seen.append(score.val_loss)
    if probing:
        p.probes += probes.measure(p)
    broken = [k for k, s in enumerate(scores) if not math.isfinite(s.val_loss + s.train_loss)]
    p.remember_best(
        [(math.nan if k in broken else s.val_aim, s.val_accuracy) for k, s in enumerate(scores)],
        p.epochs,
    )
    p.finish(broken, diverged=True)
    waited = [p.epochs - best for best in p.best_epoch]
    p.finish([k for k, m in enumerate(p.members) if waited[k] >= m.recipe.patience])
    return scores


def score_begun(population: Population) -> list[EpochScore]:
    """The scores of a first epoch that time has cut, as if it had ended here.

    A large part of an epoch is a network, too, and better than none. Members that took no step yet
    end without a best epoch. Nothing is scored where an epoch is done, or no step was taken.
    """
    p, (share, done) = population, population.place
    if p.epochs or (share, done) == (0, 0):
        return []
    begun = p.slices[share + (done > 0) - 1].stop
    p.finish(range(begun, len(p.members)))
    p.epochs, p.place = 1, (0, 0)
    return _scored(p, probing=False)  # updates of the last step were not kept


def train_epoch(population: Population, pause: Callable[[], bool] = never) -> Iterator[None]:
    """One pass over every member's rows, shuffled anew, from where the last one was paused.

    Yields at every pause; iterate to the end to have the epoch done.
    """
    p, steps = population, population.steps
    share, done = p.place
    for number in range(share, len(p.shares)):
        part = p.shares[number]
        rows = p.slices[number]
        part.start_epoch(p.epochs, steps, done, p.losses[rows])
        orders = stacked([sampler.epoch(p.epochs) for sampler in p.samplers[rows]])
        for step in range(done, steps):
            if pause():
                p.place = (number, step)
                yield
            if p.before is not None and step == steps - 1:
                p.before[rows] = part.rows.theta
            size = part.members[0].batch
            batch = orders.batch(step * size, (step + 1) * size)
            part.step(batch, step, p.epochs * steps + step)
        done = 0
    p.epochs, p.place = p.epochs + 1, (0, 0)
