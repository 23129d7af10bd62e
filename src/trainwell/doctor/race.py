"""A race at equal budget: the same trainings again with something changed, paired run by run.

"High or good?" cannot be read off one curve: whether twice or half the learning rate ends better
after as many epochs, from the same initial weights and on the same rows, settles it (slide
"Learning rate": try to reduce or increase it by 2 or even 5).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainwell.doctor import reading
from trainwell.doctor.evidence import Arm, Evidence
from trainwell.doctor.thresholds import THRESHOLDS
from trainwell.engine.members import Member
from trainwell.engine.score import EpochScore
from trainwell.engine.trainer import Trainer
from trainwell.recipe import edit

Changes = Mapping[str, str]


def rate_arms(lr: float, factors: Sequence[float] = (2.0, 0.5)) -> dict[str, Changes]:
    """Arms that change the learning rate alone, by name.

    >>> rate_arms(0.01)
    {'lr x2': {'lr': '0.02'}, 'lr /2': {'lr': '0.005'}}
    """
    return {f"lr x{f:g}" if f > 1 else f"lr /{1 / f:g}": {"lr": f"{lr * f:.6g}"} for f in factors}


def race(
    members: Sequence[Member],
    arms: Mapping[str, Changes],
    trainer: Trainer,
    deadline: float | None = None,
    stage: str = "race",
) -> tuple[Arm, ...]:
    """Train the control and every arm on the same members (rows, seed, epochs); control first.

    members: S trainings as they are; patience is switched off so that budgets are equal.
    arms: by name, fields of the recipe to change, as text.
    Where time or the user ends it early, nothing is said: an empty tuple.
    """
    everyone = {"control": {}, **arms}
    wanted: list[Member] = []
    for changes in everyone.values():
        for member in members:
            recipe = dataclasses.replace(member.recipe, patience=member.recipe.epochs)
            wanted.append(dataclasses.replace(member, recipe=edit(recipe, changes, "race")))
    result = trainer.train(wanted, stage, deadline)
    if result.late or result.stopped or len(result.trained) < len(wanted):
        return ()
    scores: dict[int, list[EpochScore]] = {}
    for score in result.history:
        scores.setdefault(score.member, []).append(score)
    count, found = len(members), []
    for number, (name, changes) in enumerate(everyone.items()):
        mine = range(number * count, (number + 1) * count)
        ends = [_end(scores.get(i, ()), result.trained[i].diverged) for i in mine]
        loss, accuracy, train = (np.array(column) for column in zip(*ends, strict=True))
        found.append(Arm(name, tuple(changes.items()), loss, accuracy, train))
    return tuple(found)


def race_table(evidence: Evidence) -> dict[str, Any] | None:
    """What a race showed, as run.json holds it: each arm's means over its runs, and one line of
    words with the conclusion. None where there was no race.

    accuracy, log_loss: of validation rows at the best epoch; None where every run diverged. An arm
    is better where its runs surely are, pair by pair (`reading.Duel`).
    """
    if not evidence.race:
        return None
    rows = []
    for arm in evidence.race:
        sound = np.isfinite(arm.loss)
        against = None
        if arm.name != "control":
            against = reading.duel(evidence, arm.name, THRESHOLDS)
        better = against is not None and (against.wins(THRESHOLDS) or against.leans(THRESHOLDS))
        rows.append(
            {
                "name": _named(arm, evidence.setup.lr),
                "changes": dict(arm.changes),
                "accuracy": float(arm.accuracy[sound].mean()) if sound.any() else None,
                "log_loss": float(arm.loss[sound].mean()) if sound.any() else None,
                "diverged": int((~sound).sum()),
                "better": better,
            }
        )
    runs = len(evidence.race[0].loss)
    better_ones = [str(row["name"]) for row in rows if row["better"]]
    end = " and ".join(better_ones) if better_ones else "none"
    told = "; ".join(map(_scores, rows))
    words = f"{told} (validation, mean of {runs} runs each); shown to be better: {end}"
    return {"arms": rows, "runs": runs, "words": words}


def _named(arm: Arm, lr: float | None) -> str:
    """An arm as a person reads it: by its rate, where that is what changed."""
    rate = dict(arm.changes).get("lr", f"{lr:g}" if lr else "")
    return f"rate {rate}" if rate and (arm.name == "control" or "lr" in arm.name) else arm.name


def _scores(row: Mapping[str, Any]) -> str:
    if row["accuracy"] is None:
        return f"{row['name']}: diverged"
    return f"{row['name']}: accuracy {100 * row['accuracy']:.1f} %, log loss {row['log_loss']:.3f}"


def _end(scores: Sequence[EpochScore], diverged: bool) -> tuple[float, float, float]:
    """Validation loss and accuracy at the best epoch, training loss at the last."""
    sound = [s for s in scores if math.isfinite(s.val_loss)]
    if not sound:
        return math.inf, 0.0, math.inf
    best = min(sound, key=lambda s: s.val_loss)
    last = max(scores, key=lambda s: s.epoch)
    train = math.inf if diverged or not math.isfinite(last.train_loss) else last.train_loss
    return best.val_loss, best.val_accuracy, train
