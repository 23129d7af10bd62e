"""Where `fit --coach-from RUN` begins: what a finished run was asked, and its trained networks.

The coach then compares with those very networks; nothing is trained twice where the run has kept
all of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainwell import model as models
from trainwell.coach.loop import TRIES
from trainwell.doctor.collect import from_run, read_rows
from trainwell.doctor.evidence import Evidence
from trainwell.engine.members import Member, Trained, common_steps
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.stack import layout, rows_of
from trainwell.errors import RecipeError, UserError
from trainwell.recipe import Recipe, edit, fields_as_text
from trainwell.request import Request, data_digest, kept_request
from trainwell.run import load_run
from trainwell.training import Work

SILENT = ("adopted", "not trained", "not proved")  # outcomes that say nothing about what was tried


@dataclass(frozen=True)
class Before:
    """What a finished run's coach tried about the recipe that is begun with.

    tried: candidates without a rate, with how often; balances: recipes that differ in the balance
    alone and were compared in full. words: names and outcomes, to be told. kept: as run.json holds
    it, for a run that begins with this one.
    """

    tried: dict[Recipe, int]
    balances: frozenset[Recipe]
    words: str
    kept: list[dict[str, Any]]


@dataclass(frozen=True)
class Taken:
    """The networks of a finished run, with what was recorded of them; from: words about it."""

    trained: list[Trained]
    history: list[EpochScore]
    probes: list[Probe]
    evidence: Evidence
    words: str


def request_from(asked: Request) -> Request:
    """What is asked with `coach_from`: data, split and recipe are those of the run.

    Raises UserError where the run is not finished, or where a recipe was given besides.
    """
    assert asked.coach_from is not None
    folder = Path(asked.coach_from)
    if asked.recipe is not None or asked.settings:
        todo = "Leave --recipe and --set out, or train anew with them."
        raise UserError("--coach-from", "the coach begins with the recipe of the run", todo)
    if not asked.coach:
        raise UserError("--coach-from", "asks for the coach, and --no-coach for none")
    result = load_run(folder).result
    kept = kept_request(folder, asked.source)
    split, members, decided = result["split"], result["members"], result["metric"]
    folds = len(split["folds"])
    return dataclasses.replace(
        asked,
        source=kept.source,
        target=kept.target,
        group=kept.group,
        kind=kept.kind,
        pattern=kept.pattern,
        image_size=kept.image_size,
        test=kept.test,
        seed=kept.seed,
        folds=folds,
        seeds=max(1, round(len(members) / folds)),
        recipe=folder / "recipe.toml",
        metric=asked.metric or (decided["name"] if decided["asked"] else None),
    )


def check_same_data(work: Work) -> None:
    """Raise UserError where the data or their division are not those of the run."""
    folder = Path(str(work.options.coach_from))
    todo = "Bring the data back as they were, or train anew without --coach-from."
    if kept_request(folder, work.data).digest != data_digest(work.data):
        raise UserError(str(folder), "the data are not those that the run was trained on", todo)
    with np.load(folder / "oof.npz", allow_pickle=False) as kept:
        rows, folds = kept["rows"], kept["folds"]
        test = kept["test_rows"]
    here = np.full(len(work.data), -1)
    for number, fold in enumerate(work.split.folds):
        here[fold.validation] = number
    same_test = len(test) == len(work.split.sealed)
    if not (same_test and (rows < len(here)).all() and (here[rows] == folds).all()):
        raise UserError(str(folder), "its rows were divided in another way", todo)


def taken(work: Work) -> Taken | None:
    """The run's networks as if they had just been trained; None where it has not kept all of
    them, so that they must be trained again."""
    folder = Path(str(work.options.coach_from))
    result = load_run(folder).result
    model = models.load(folder, trust=work.options.trust)
    members = result["members"]
    several = len({part.kind for part in model.parts}) > 1  # an ensemble: the recipe's own
    parts = [part for part in model.parts if part.kind == "recipe" or not several]
    if len(parts) != len(members) or len(members) != work.size.folds * work.size.seeds:
        return None
    sizes = [len(fold.train) for fold in work.split.folds]
    recipe, steps = common_steps(work.recipe, sizes)
    found = []
    for part, row in zip(parts, members, strict=True):
        if row["diverged"] or not row["best_epoch"] or part.seed != row["seed"]:
            return None
        fold = work.split.folds[part.fold]
        member = Member(recipe, part.fold, fold.train, fold.validation, part.seed, steps)
        parameters, statistics = layout(part.network)
        found.append(
            Trained(
                member,
                rows_of(part.network, parameters),
                rows_of(part.network, statistics),
                row["epochs"],
                row["best_epoch"],
                row["validation_accuracy"],
                row["validation_log_loss"],
                row["diverged"],
            )
        )
    history = [_score(row) for row in read_rows(folder / "history.csv")]
    probes = [_probe(row) for row in read_rows(folder / "probes.csv")]
    accuracy = float(np.mean([t.accuracy for t in found]))
    words = (
        f"began with the {len(found)} networks of {folder}, as they were trained "
        f"(validation accuracy {accuracy:.3f})"
    )
    return Taken(found, history, probes, from_run(folder), words)


def tried_before(folder: Path, recipe: Recipe) -> Before | None:
    """What the coach of a run tried after its last change, about the recipe that it kept; None
    where there is nothing, or the run has kept another recipe than that.

    What was compared in full, or refused, is not tried again; what was screened out counts as one
    try of TRIES, as within a run: with more time its trainings are longer.
    """
    result = load_run(folder).result
    told = result.get("coach") or {}
    if told.get("recipe") != fields_as_text(recipe):
        return None
    decisions = [d for d in result.get("decisions") or [] if isinstance(d, dict)]
    adopted = [i for i, d in enumerate(decisions) if d.get("outcome") == "adopted"]
    last = decisions[adopted[-1]]["round"] if adopted else -1
    mine = [d for d in decisions if d["round"] > last]
    if not adopted:
        mine = [*(told.get("before") or []), *mine]
    tried: dict[Recipe, int] = {}
    balances, kept, names = set(), [], []
    for d in mine:
        if d["outcome"] in SILENT:
            continue
        try:
            changed = edit(recipe, d["changes"], str(folder))
        except RecipeError:  # written by another version
            continue
        key = dataclasses.replace(changed, lr=None)
        once = d["outcome"] == "screened out" and "given up" not in d["words"]
        tried[key] = tried.get(key, 0) + 1 if once else TRIES
        if d["because"] == "imbalance":
            balances.add(changed)
            tried[key] = TRIES
        kept.append({k: d[k] for k in ("round", "because", "tried", "changes", "outcome", "words")})
        names.append(f"{d['tried']} ({d['outcome']})")
    if not tried:
        return None
    return Before(tried, frozenset(balances), ", ".join(dict.fromkeys(names)), kept)


def _score(row: Mapping[str, Any]) -> EpochScore:
    numbers = {k: row[k] for k in EpochScore.__dataclass_fields__ if k in row}
    numbers |= {"member": int(row["member"]), "epoch": int(row["epoch"])}
    # What chose the epoch is not kept; that it was chosen is, in the run's list of members.
    return EpochScore(**{"val_error": math.nan, "val_aim": numbers["val_loss"]} | numbers)


def _probe(row: Mapping[str, Any]) -> Probe:
    numbers = {k: row[k] for k in Probe.__dataclass_fields__ if k in row}
    return Probe(**numbers | {"member": int(row["member"]), "epoch": int(row["epoch"])})
