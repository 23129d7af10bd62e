"""Trains all runs of one configuration as one population, and writes each run's evidence.

Beside every training run others with twice and half the learning rate, and without regularisation
or augmentation where there is some, from the same weights and on the same rows: the race at equal
budget that rules may ask for.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.doctor.cases import MEMBERS, Case
from benchmarks.doctor.data import Draw, draw
from trainwell.data.dataset import AudioSchema, IntArray
from trainwell.doctor.collect import collect
from trainwell.doctor.evidence import Arm, save_evidence
from trainwell.doctor.race import rate_arms
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.members import Examples, Member, Trained
from trainwell.engine.score import EpochScore
from trainwell.engine.trainer import Result, Trainer
from trainwell.model import assemble, balanced
from trainwell.recipe import Recipe, edit, to_toml
from trainwell.seeding import stream_seed
from trainwell.techniques.scaling import match_widths

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Held:
    """What one member's kept weights do on rows they were not trained on."""

    val_accuracy: float
    test_accuracy: float
    test_balanced: float
    confusion: npt.NDArray[np.int64]  # (C, C) of validation rows


def fold_number(run: int, member: int, folds: int) -> int:
    """Even runs: three seeds on the first fold; odd runs: three folds."""
    return member % folds if run % 2 else 0


def arms_of(recipe: Recipe) -> dict[str, dict[str, str]]:
    """What is raced against the training: its rate, and what could be left out."""
    arms = {name: dict(changes) for name, changes in rate_arms(recipe.lr or 0.0).items()}
    if recipe.regularize:
        arms["regularisation off"] = {"regularize": "()"}
    if recipe.augment:
        arms["no augmentation"] = {"augment": "()"}
    return arms


def train_case(case: Case, folder: Path) -> dict[str, Any]:
    """Train, write `run<r>.json` for every run and `case.json`, which is also handed back."""
    began = time.perf_counter()
    draws = [draw(case.material, run) for run in range(case.runs)]
    members, examples = _members(case, draws)
    arms = arms_of(case.recipe)
    everyone = list(members)
    for changes in arms.values():
        everyone += [
            dataclasses.replace(m, recipe=edit(m.recipe, changes, "race")) for m in members
        ]
    trainer = Trainer(examples, jobs=1, remembered=folder.parent / "timings.json", probing=True)
    result = trainer.train(everyone, "training")
    held = _held_out(case, draws, [result.trained[i] for i in range(len(members))], examples)
    folder.mkdir(parents=True, exist_ok=True)
    for run, drawn in enumerate(draws):
        _write_run(folder / f"run{run}.json", run, drawn, result, held, len(members), arms)
    ends = np.array([_end(result, i)[:2] for i in range(len(everyone))])
    ends = ends.reshape(1 + len(arms), -1, 2)
    card = {
        "name": case.name,
        "family": case.family,
        "codes": list(case.codes),
        "severity": case.severity,
        "twin": case.twin,
        "metric": case.metric,
        "group": case.group,
        "pool": case.material.pool,
        "material": repr(case.material),
        "recipe": to_toml(case.recipe),
        "runs": case.runs,
        "classes": examples.classes,
        "val_accuracy": [h.val_accuracy for h in held],
        "test_accuracy": [h.test_accuracy for h in held],
        "test_balanced": [h.test_balanced for h in held],
        "race": ["control", *arms],
        "race_accuracy": ends[:, :, 1].tolist(),
        "diverged": [bool(result.trained[i].diverged) for i in range(len(members))],
        "seconds": round(time.perf_counter() - began, 1),
    }
    (folder / "case.json").write_text(json.dumps(card, indent=1), encoding="utf-8")
    return card


def _members(case: Case, draws: Sequence[Draw]) -> tuple[list[Member], Examples]:
    """Members run by run, and the examples of all runs one after another (development only)."""
    schema, recipe = draws[0].data.schema, case.recipe
    starts = np.cumsum([0, *(d.development for d in draws)])
    inputs = np.concatenate([d.data.inputs[: d.development] for d in draws])
    labels = np.concatenate([d.data.labels[: d.development] for d in draws])
    layers, members = [], []
    for run, (drawn, start) in enumerate(zip(draws, starts, strict=False)):
        numbers = [fold_number(run, m, len(drawn.split.folds)) for m in range(MEMBERS)]
        place = {}
        for number in sorted(set(numbers)):
            place[number] = len(layers)
            rows = drawn.split.folds[number].train + start
            layers.append(
                fit_preprocess(recipe, schema, inputs, rows, drawn.split.development + start)
            )
        for m, number in enumerate(numbers):
            fold = drawn.split.folds[number]
            seed = stream_seed(run, "member", m) % 2**31
            members.append(
                Member(recipe, place[number], fold.train + start, fold.validation + start, seed)
            )
    match_widths(layers)
    device = torch.device("cpu")
    folds = FoldInputs(inputs, layers, device, augmented=recipe.changes_signals)
    rate = schema.rate if isinstance(schema, AudioSchema) else 0
    classes = len(draws[0].data.classes)
    return members, Examples(folds, torch.from_numpy(labels), classes, device, rate=rate)


def _held_out(
    case: Case, draws: Sequence[Draw], trained: Sequence[Trained], examples: Examples
) -> list[Held]:
    """Scores of every member on its own validation rows and its run's test rows."""
    classes, inputs = draws[0].data.classes, examples.inputs
    layers = inputs.layers
    model = assemble(draws[0].data.schema, classes, layers, trained)
    every = np.concatenate([d.data.inputs[: d.development] for d in draws])
    model = balanced(model, trained, every, examples.labels.numpy())
    found = []
    for i, one in enumerate(trained):
        drawn, alone = draws[i // MEMBERS], model.only([i])
        rows = one.member.validation
        guess = alone.probabilities(every, rows).argmax(axis=1)
        true = examples.labels.numpy()[rows]
        confusion = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(confusion, (true, guess), 1)
        test = np.arange(drawn.development, len(drawn.data))
        said = alone.probabilities(drawn.data.inputs, test).argmax(axis=1)
        right, labels = said == drawn.data.labels[test], drawn.data.labels[test]
        recalls = [right[labels == c].mean() for c in np.unique(labels)]
        found.append(
            Held(
                float((guess == true).mean()),
                float(right.mean()),
                float(np.mean(recalls)),
                confusion,
            )
        )
    return found


def _write_run(
    path: Path,
    run: int,
    drawn: Draw,
    result: Result,
    held: Sequence[Held],
    count: int,
    arms: dict[str, dict[str, str]],
) -> None:
    """One run's evidence: its three members of the control, and their race."""
    ids = range(run * MEMBERS, (run + 1) * MEMBERS)
    place = {i: m for m, i in enumerate(ids)}
    history = [_renumbered(s, place) for s in result.history if s.member in place]
    probes = [_renumbered(p, place) for p in result.probes if p.member in place]
    evidence = collect([result.trained[i] for i in ids], history, probes)
    found = []
    for number, (name, changes) in enumerate({"control": {}, **arms}.items()):
        ends = [_end(result, number * count + i) for i in ids]
        loss, accuracy, train = (np.array(column) for column in zip(*ends, strict=True))
        found.append(Arm(name, tuple(changes.items()), loss, accuracy, train))
    first = drawn.split.folds[0].train
    data = drawn.data
    counts: IntArray = np.bincount(data.labels[first], minlength=len(data.classes))
    evidence = dataclasses.replace(
        evidence,
        setup=dataclasses.replace(evidence.setup, kind=data.kind),
        race=tuple(found),
        classes=len(data.classes),
        class_names=data.classes,
        class_counts=tuple(int(c) for c in counts),
        confusion=sum((held[i].confusion for i in ids), np.zeros_like(held[0].confusion)),
        source=path.parent.name,
    )
    save_evidence(evidence, path)


def _renumbered(value: Any, place: dict[int, int]) -> Any:
    return dataclasses.replace(value, member=place[value.member])


def _end(result: Result, member: int) -> tuple[float, float, float]:
    """Validation loss and accuracy at the best epoch, training loss at the last (see race.py)."""
    scores = _of_member(result, member)
    sound = [s for s in scores if math.isfinite(s.val_loss)]
    if not sound:
        return math.inf, 0.0, math.inf
    best, last = min(sound, key=lambda s: s.val_loss), scores[-1]
    finite = math.isfinite(last.train_loss) and not result.trained[member].diverged
    return best.val_loss, best.val_accuracy, last.train_loss if finite else math.inf


def _of_member(result: Result, member: int) -> list[EpochScore]:
    return sorted((s for s in result.history if s.member == member), key=lambda s: s.epoch)
