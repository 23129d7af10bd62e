"""The step of a fit that makes samples: before the learning rate, from training rows alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from trainwell.engine.generating import Generated, generate, makers_of, with_samples
from trainwell.errors import Interrupted
from trainwell.options import budget_seconds
from trainwell.techniques.augment.generated import SampleMaker
from trainwell.training import Work

MOST_OF_BUDGET = 0.5  # that samples may take, where a budget was asked for


def add_samples(work: Work) -> Generated | None:
    """Make the samples that the recipe asks for and put them behind the real rows.

    None where it asks for none. What is refused is said, and training goes on without it. Finished
    samples lie beside the checkpoints, so `resume` does not make them again; the first rank makes
    them for all. The time they take is part of a budget that was asked for; any other budget grows.
    """
    makers = makers_of(work.recipe)
    if not makers:
        return None
    trainer, folds = work.trainer, work.split.folds
    ranks, began = trainer.examples.ranks, time.monotonic()
    asked = budget_seconds(work.options) is not None
    limit = MOST_OF_BUDGET * work.budget.seconds if asked else float("inf")
    work.progress.stage("generating samples")
    kept = trainer.store.folder if ranks.first else None

    def say(maker: SampleMaker, fold: int) -> None:
        done = makers.index(maker) * len(folds) + fold
        spent = time.monotonic() - began
        if done and spent / done * len(makers) * len(folds) > limit:
            raise _TooSlow
        name = type(maker).__name__
        work.progress.update(done / (len(makers) * len(folds)), f"{name}, fold {fold + 1}")

    def made() -> Generated | None:
        try:
            return generate(work.data, folds, makers, work.options.seed, kept, say)
        except _TooSlow:
            return None

    try:
        found = ranks.agree(made() if ranks.first else None)
    except KeyboardInterrupt:
        run = trainer.store.folder
        todo = f"; go on with: trainwell resume {run.parent}" if run else ""
        raise Interrupted(f"Interrupted while generating samples{todo}") from None
    if not asked:
        work.budget.started += time.monotonic() - began
    if found is None:
        work.warnings.append(
            "no samples are added: making them would take more than half of the time budget; give "
            "more time, fewer folds or fewer steps"
        )
        work.progress.say(work.warnings[-1])
        return None
    for report in found.reports:
        work.progress.say(report.words)
        if report.refused:
            work.warnings.append(report.words)
    augmented = work.recipe.changes_signals
    trainer.examples = with_samples(trainer.examples, work.data, folds, found, augmented)
    work.inputs = trainer.examples.inputs
    return found


class _TooSlow(Exception):
    """Making all samples would take too long."""


def write_pictures(path: Path, found: Generated) -> None:
    """The first fold's pictures of each technique, for the report; nothing for tables."""
    arrays: dict[str, np.ndarray] = {}
    for number, own in enumerate(found.samples):
        first = own[0]
        if first.pairs.ndim != 5:
            continue
        arrays[f"pairs{number}"] = first.pairs
        arrays[f"steps{number}"] = np.array([step for step, _ in first.looks])
        for place, (_, look) in enumerate(first.looks):
            arrays[f"look{number}-{place}"] = look
    if arrays:
        np.savez_compressed(path, allow_pickle=False, **arrays)
