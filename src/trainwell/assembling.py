"""From trained networks to the model that is kept: which of them can be used, saved at once.

What is said about the others goes into the run's notes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from trainwell import model as models
from trainwell.coach.run import After, kept_from
from trainwell.data.ranges import fit_ranges
from trainwell.engine.members import Trained
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.errors import Interrupted, UserError
from trainwell.recipe import to_toml
from trainwell.run import write_history, write_probes
from trainwell.showing import write_examples
from trainwell.training import Work, best_of


def assembled(
    work: Work,
    folder: Path,
    trained: Sequence[Trained],
    history: Sequence[EpochScore],
    probes: Sequence[Probe],
) -> tuple[list[int], models.Model, list[str]]:
    """The places of the networks that are kept, the model of all usable ones, saved, and notes
    about the others."""
    usable, notes = _usable(work, trained)
    kept = list(range(len(usable))) if work.options.ensemble else [best_of(usable)]
    data, layers = work.data, work.inputs.layers
    ranges = fit_ranges(data.schema, data.inputs, work.split.development)
    whole = models.assemble(data.schema, data.classes, layers, usable, ranges)
    _save(work, folder, history, probes, whole.only(kept))
    moved = models.balanced(whole, usable, work.data.inputs, work.data.labels)
    if moved is not whole:
        models.save(moved.only(kept), folder / "model")
    return kept, moved, notes


def _usable(work: Work, trained: Sequence[Trained]) -> tuple[list[Trained], list[str]]:
    """The networks that the model can be made of, with words about the others."""
    usable = [t for t in trained if t.best_epoch]
    if not usable and work.interrupted:
        raise Interrupted("Interrupted before the first epoch was finished: nothing to keep.")
    if not usable and not any(t.diverged for t in trained):
        problem = f"the time of {work.budget.seconds:g} s ended before the first epoch"
        raise UserError("--budget", problem, "Give more time, or a smaller network.")
    if not usable:
        problem = f"every training diverged (learning rate {work.recipe.lr:g})"
        if work.options.coach and not kept_from(work):
            problem += ", and the coach found no remedy that is proved"
        raise UserError("training", problem, "Give a smaller rate with --set lr=...")
    notes: list[str] = []
    lost = len(trained) - len(usable)
    if lost:
        notes.append(f"{lost} of {len(trained)} networks diverged and were left out")
    late = sum(t.diverged for t in usable)
    if late:
        notes.append(
            f"{late} of {len(trained)} networks diverged: their weights are from before; "
            "give a smaller rate with --set lr=..."
        )
    if work.recipe.max_norm < math.inf:
        notes += _about_max_norm(work.recipe.max_norm, usable)
    if not work.options.ensemble and len(usable) > 1:
        notes.append(
            f"validation scores are those of all {len(usable)} networks; the one that is kept had "
            "the lowest validation loss on its own fold"
        )
    return usable, notes


def _about_max_norm(limit: float, trained: Sequence[Trained]) -> list[str]:
    """A word where the limit was never reached, so that it did nothing."""
    idle = sum(t.shrunk == 0 for t in trained)
    if not idle:
        return []
    who = "any network" if idle == len(trained) else f"{idle} of {len(trained)} networks"
    return [f"MaxNorm({limit:g}) was never active in {who}: no unit's weights grew that large"]


def _save(
    work: Work,
    folder: Path,
    history: Sequence[EpochScore],
    probes: Sequence[Probe],
    model: models.Model,
) -> None:
    """What training gave, written before anything is scored, so that nothing can lose it."""
    (folder / "recipe.toml").write_text(to_toml(work.recipe), encoding="utf-8")
    write_history(folder / "history.csv", history)
    write_probes(folder / "probes.csv", probes)
    models.save(model, folder / "model")
    rows, seed = work.split.development, work.options.seed
    write_examples(folder, work.data, work.recipe.augment, rows, seed)


def all_lost(trained: Sequence[Trained]) -> bool:
    """Whether all networks diverged before an epoch was over."""
    return all(t.diverged and not t.best_epoch for t in trained)


def told_replaced(after: After, before: Sequence[Trained]) -> list[str]:
    """A word where a remedy of the coach replaced networks of which none learned anything."""
    if not all_lost(before) or after.trained[0] is before[0]:
        return []
    rate = before[0].member.recipe.lr
    words = "with the recipe as it was given every training diverged"
    return [f"{words} (learning rate {rate:g}); the coach replaced it"]
