"""Evidence out of our own trainings: from what the engine hands back, or from a run folder."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import Dataset
from trainwell.data.split import Split
from trainwell.doctor.evidence import (
    SERIES,
    UNIT_MEASURES,
    WEIGHT_MEASURES,
    Evidence,
    Floats,
    Layer,
    Setup,
    with_context,
)
from trainwell.engine.members import Member, Trained
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.recipe import Recipe, from_toml
from trainwell.run import load_run, whole
from trainwell.techniques.models import AudioCnn, Cnn, Linear, Mlp, ResNet
from trainwell.techniques.regularize import L2

Row = Mapping[str, Any]
CONTEXT = "doctor.json"  # in a run folder: checks, race, what simple models reach


def collect(
    trained: Sequence[Trained], history: Sequence[EpochScore], probes: Sequence[Probe]
) -> Evidence:
    """Evidence from a population's training; members are numbered as in `trained`."""
    member = trained[0].member
    evidence = _evidence(
        [dataclasses.asdict(s) for s in history], [dataclasses.asdict(p) for p in probes]
    )
    return dataclasses.replace(
        evidence,
        setup=setup_of(member.recipe, member),
        train_rows=min(len(t.member.train) for t in trained),
        val_rows=min(len(t.member.validation) for t in trained),
        sample_rows=min(t.member.sample_size for t in trained),
        best=tuple(t.best_epoch for t in trained),
        diverged=tuple(t.diverged for t in trained),
    )


def described(evidence: Evidence, data: Dataset, split: Split) -> Evidence:
    """The evidence with what the data say: classes, and the rows of each outside the test part."""
    labels = data.labels[split.development]
    return dataclasses.replace(
        evidence,
        classes=len(data.classes),
        class_names=tuple(data.classes),
        class_counts=tuple(np.bincount(labels, minlength=len(data.classes)).tolist()),
    )


def setup_of(recipe: Recipe, member: Member | None = None) -> Setup:
    """What a recipe says about a training."""
    model, optimizer = recipe.model, recipe.optimizer
    depth, activation, normalised = None, getattr(model, "activation", None), None
    if isinstance(model, Linear):
        depth, normalised = 1, False
    elif isinstance(model, Mlp):
        depth, normalised = len(model.hidden) + 1, model.norm != "none"
    elif isinstance(model, Cnn | AudioCnn):
        depth, normalised = len(model.channels) * model.depth + 1, model.norm != "none"
    elif isinstance(model, ResNet):
        depth, normalised = 2 * len(model.channels) * model.blocks + 2, True
    momentum = getattr(optimizer, "momentum", getattr(optimizer, "beta1", None))
    return Setup(
        optimizer=type(optimizer).__name__,
        lr=recipe.lr,
        momentum=momentum,
        eps=getattr(optimizer, "eps", None),
        schedule=type(recipe.schedule).__name__,
        batch_size=member.batch if member else recipe.batch_size,
        steps=member.steps if member else None,
        epochs=recipe.epochs,
        patience=recipe.patience,
        depth=depth,
        activation=activation,
        normalised=normalised,
        dropout=recipe.dropout,
        l2=float(recipe.penalty(L2)),
        augmented=bool(recipe.augment),
        balanced=recipe.balance is not None,
        preprocess=", ".join(type(p).__name__ for p in recipe.preprocess),
        init=repr(recipe.init),
        model=repr(recipe.model),
    )


def from_run(folder: Path) -> Evidence:
    """Evidence from the folder of a finished run; raises UserError where it holds none.

    A run without checks (doctor.json) or held-out predictions gives what is there.
    """
    result = load_run(folder).result
    with whole(folder / "recipe.toml"):
        recipe = from_toml(
            (folder / "recipe.toml").read_text(encoding="utf-8"), Recipe(), "recipe.toml"
        )
    with whole(folder / "history.csv"):
        history = read_rows(folder / "history.csv")
        if not history:
            raise ValueError("no rows")
        evidence = _evidence(history, [])
    with whole(folder / "probes.csv"):
        members, epochs = evidence.members, len(evidence.points)
        layers = _layers(read_rows(folder / "probes.csv"), members, epochs)
    with whole(folder / "run.json"):
        evidence = dataclasses.replace(evidence, layers=layers, **_told(result, recipe))
    if (folder / "oof.npz").is_file():
        with whole(folder / "oof.npz"):
            confusion = _confusion(folder / "oof.npz", len(evidence.class_names))
            evidence = dataclasses.replace(evidence, confusion=confusion)
    if (folder / CONTEXT).is_file():
        with whole(folder / CONTEXT):
            kept = json.loads((folder / CONTEXT).read_text(encoding="utf-8"))
            evidence = with_context(evidence, kept)
    return dataclasses.replace(evidence, source=str(folder))


def _told(result: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """What run.json says, by fields of the evidence."""
    members, folds = result["members"], result["split"]["folds"]
    train = min(f["train"] for f in folds)
    batch = max(1, min(recipe.batch_size, train))
    return {
        "setup": dataclasses.replace(
            setup_of(recipe), batch_size=batch, steps=train // batch, kind=result["kind"]
        ),
        "classes": len(result["classes"]),
        "class_names": tuple(result["classes"]),
        # Of all rows, those of the test too: the context knows better.
        "class_counts": tuple(result["data"]["counts"].values()),
        "train_rows": train,
        "val_rows": min(f["validation"] for f in folds),
        "sample_rows": result["train"]["n"],
        "best": tuple(m["best_epoch"] for m in members),
        "diverged": tuple(m["diverged"] for m in members),
        "ladder": result.get("ladder"),
    }


def _confusion(path: Path, classes: int) -> npt.NDArray[np.int64]:
    """Counts (C, C) of held-out rows."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        labels, chances = kept["labels"], kept["probabilities"]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, chances.argmax(axis=1)), 1)
    return confusion


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of history.csv or probes.csv with numbers; an empty cell is nan."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {k: v if k == "layer" else float(v) if v else math.nan for k, v in row.items()}
            for row in csv.DictReader(file)
        ]


def _evidence(history: Sequence[Row], probes: Sequence[Row]) -> Evidence:
    members = 1 + max((int(r["member"]) for r in history), default=-1)
    epochs = max((int(r["epoch"]) for r in history), default=0)
    if max(members, epochs) > len(history):  # each has a row
        raise ValueError(f"{len(history)} rows of {members} members and {epochs} epochs")
    series = {n: np.full((members, epochs), np.nan) for n in SERIES if history and n in history[0]}
    for row in history:
        for name, values in series.items():
            values[int(row["member"]), int(row["epoch"]) - 1] = row[name]
    return Evidence(
        points=np.arange(1.0, epochs + 1),
        series=series,
        layers=_layers(probes, members, epochs),
    )


def _layers(probes: Sequence[Row], members: int, epochs: int) -> tuple[Layer, ...]:
    """Layers in the order of the network, which is that of the rows."""
    found: dict[tuple[str, bool], dict[str, Floats]] = {}
    kinds: dict[str, bool] = {}  # later rows may hold nothing but nan: the training diverged
    for row in probes:
        of_weights = kinds.setdefault(row["layer"], not math.isnan(row["weight"]))
        names = WEIGHT_MEASURES if of_weights else UNIT_MEASURES
        key = (row["layer"], of_weights)
        if key not in found:
            found[key] = {n: np.full((members, epochs + 1), np.nan) for n in names if n in row}
        if int(row["member"]) < members and int(row["epoch"]) <= epochs:
            for name, values in found[key].items():
                values[int(row["member"]), int(row["epoch"])] = row[name]
    return tuple(
        Layer(name, "weight" if of_weights else "units", measures)
        for (name, of_weights), measures in found.items()
    )
