"""From the numbers of a run to the content of run.json. Pure functions; nothing is trained here."""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trainwell import metrics, stats
from trainwell.baselines import Baseline, against_baselines
from trainwell.data.card import column_table, example_rows, first_repeats
from trainwell.data.dataset import Dataset, IntArray
from trainwell.data.split import Split
from trainwell.engine.ladder import Ladder
from trainwell.engine.members import Trained, train_sample
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.trainer import Trainer
from trainwell.model import Model, held_out_probabilities

Floats = npt.NDArray[np.float64]


def scores(data: Dataset, rows: IntArray, probabilities: Floats, seed: int) -> dict[str, Any]:
    """All scores with intervals on some rows, plain data.

    Where the data have groups the intervals are over groups: clips of one speaker are no
    independent evidence. See `one_group` for the case that there is only one.
    """
    groups = data.groups_of(rows)
    return metrics.score(data.labels[rows], probabilities, seed, groups).to_json()


def one_group(data: Dataset, rows: IntArray) -> str | None:
    """Words of warning when all these rows are of one group, else None."""
    if data.groups is None or len(np.unique(data.groups[rows])) > 1:
        return None
    name = data.group_names[int(data.groups[rows[0]])]
    return (
        f'all {len(rows)} rows that judge are of one group ("{name}"): the intervals are over its '
        "rows and say nothing about other groups"
    )


def class_table(data: Dataset, rows: IntArray, probabilities: Floats) -> dict[str, Any]:
    """Confusion matrix (rows are true classes), recall and precision of every class."""
    labels, predicted = data.labels[rows], probabilities.argmax(axis=1)
    table = metrics.per_class(labels, predicted, len(data.classes))
    return {
        "confusion": metrics.confusion(labels, predicted, len(data.classes)).tolist(),
        "per_class": [
            {
                "class": name,
                "n": row.n,
                "recall": row.recall.to_json() if row.n else None,
                "precision": row.precision.to_json() if row.predicted else None,
            }
            for name, row in zip(data.classes, table, strict=True)
        ],
    }


def reliability_table(
    labels: IntArray, probabilities: Floats, bins: int = 10, least: int = 20
) -> list[dict[str, Any]]:
    """How often the network is right where it is this sure: bins of equally many rows.

    labels (n,), probabilities (n, C). Rows are ordered by the highest probability and cut into at
    most `bins` parts of at least `least` rows; rows that are equally sure stay together. Each has
    the mean confidence, its range, and the share that was right with its interval (Wilson).
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    sure, right = confidence[order], (probabilities.argmax(axis=1) == labels)[order]
    parts = max(1, min(bins, len(labels) // least))
    cuts = [round(len(labels) * k / parts) for k in range(1, parts)]
    ends = [int(np.searchsorted(sure, sure[c - 1], side="right")) for c in cuts if c]
    starts = sorted({0, *(e for e in ends if e < len(labels))})
    return [
        {
            "confidence": float(sure[a:b].mean()),
            "from": float(sure[a]),
            "to": float(sure[b - 1]),
            "n": b - a,
            "accuracy": stats.wilson(int(right[a:b].sum()), b - a).to_json(),
        }
        for a, b in zip(starts, [*starts[1:], len(labels)], strict=True)
    ]


def baseline_table(
    data: Dataset,
    rows: IntArray,
    network: Floats,
    found: Sequence[Baseline],
    part: str,
    metric: metrics.Metric,
    seed: int,
) -> list[dict[str, Any]]:
    """One entry per yardstick: its scores, and the network against it on the same rows.

    network (n, C): its probabilities on these rows; part: "test" or "validation".
    """
    against = against_baselines(data, rows, network, found, metric, seed)
    empty: dict[str, Any] = {"test": None, "validation": None}
    table = []
    for b, compared in zip(found, against, strict=True):
        measured = scores(data, rows, b.probabilities, seed)
        if b.decides_only:
            measured |= {
                name: dict.fromkeys(("value", "low", "high")) for name in ("log_loss", "ece")
            }
        told = {"name": b.name, "says": b.says} | empty | {part: measured}
        table.append(told | {"against": compared})
    return table


def initial_table(probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """What the initial weights make of the data: one entry per layer, the mean over networks.

    dead: share of units that are silent for every row; gradient: norm by the layer's weights. None
    where a layer has no such number, or it is not finite.
    """
    layers: dict[str, list[Probe]] = {}
    for probe in probes:
        if probe.epoch == 0:
            layers.setdefault(probe.layer, []).append(probe)
    names = ("gradient", "weight", "mean", "spread", "dead", "saturated")
    found = []
    for layer, mine in layers.items():
        means = {n: float(np.mean([getattr(p, n) for p in mine])) for n in names}
        found.append(
            {"layer": layer} | {n: m if math.isfinite(m) else None for n, m in means.items()}
        )
    return found


def member_table(trained: Sequence[Trained]) -> list[dict[str, Any]]:
    """One entry per trained network."""
    return [
        {
            "member": number,
            "fold": t.member.fold,
            "seed": t.member.seed,
            "epochs": t.epochs,
            "best_epoch": t.best_epoch,
            "validation_accuracy": t.accuracy if t.best_epoch else None,
            "validation_log_loss": t.log_loss if t.best_epoch else None,
            "diverged": t.diverged,
        }
        for number, t in enumerate(trained)
    ]


def train_scores(
    trained: Sequence[Trained], history: Sequence[EpochScore], model: Model, data: Dataset
) -> dict[str, Any]:
    """Clean scores on training rows at each network's best epoch: the mean over networks.

    n: training rows of each that were scored, of `rows` it trained on, at least; above some size
    a sample. validation_accuracy: of the same single networks on the rows each did not train on.
    Without interval: the networks share most of their rows, so their spread is no evidence. Where
    outputs were moved after training, rows are scored through the model (of all usable networks):
    else training and validation would be compared by different rules.
    """
    if any(part.offsets is not None for part in model.parts):
        kept = [t for t in trained if t.best_epoch]
        alone = [model.only([i]) for i in range(len(kept))]
        scored = [_moved_scores(one, t, data) for one, t in zip(alone, kept, strict=True)]
        unseen = [_unseen_accuracy(one, t, data) for one, t in zip(alone, kept, strict=True)]
        return {
            "accuracy": _alone([right for right, _ in scored]),
            "log_loss": _alone([loss for _, loss in scored]),
            **_rows_scored(trained),
            "validation_accuracy": float(np.mean(unseen)),
        }
    best = {(i, t.best_epoch) for i, t in enumerate(trained) if t.best_epoch}
    rows = [s for s in history if (s.member, s.epoch) in best]
    return {
        "accuracy": _alone([s.train_accuracy for s in rows]),
        "log_loss": _alone([s.train_loss for s in rows]),
        **_rows_scored(trained),
        "validation_accuracy": float(np.mean([t.accuracy for t in trained if t.best_epoch])),
    }


def _rows_scored(trained: Sequence[Trained]) -> dict[str, int]:
    """Training rows that each network was scored on, and that it trained on, at least."""
    return {
        "n": min(t.member.sample_size for t in trained),
        "rows": min(len(t.member.train) for t in trained),
    }


def _moved_scores(alone: Model, trained: Trained, data: Dataset) -> tuple[float, float]:
    """Accuracy and log loss of one network on its sample of training rows."""
    rows = train_sample(trained.member)
    found, truth = alone.probabilities(data.inputs, rows), data.labels[rows]
    chance = np.maximum(found[np.arange(len(rows)), truth], 1e-300)
    return float((found.argmax(axis=1) == truth).mean()), float(-np.log(chance).mean())


def _unseen_accuracy(alone: Model, trained: Trained, data: Dataset) -> float:
    """Accuracy of one network on its validation rows, with thresholds chosen without them."""
    train, rows = trained.member.train, trained.member.validation
    found = held_out_probabilities(alone, data.inputs, data.labels, train, rows)
    return metrics.accuracy(data.labels[rows], found)


def _alone(values: Sequence[float]) -> dict[str, float | None]:
    return {"value": float(np.mean(values)), "low": None, "high": None}


def ladder_table(ladder: Ladder) -> dict[str, Any]:
    """The rungs of the learning-rate ladder with intervals of ± 1.96 standard errors."""
    rungs = [
        {
            "lr": r.lr,
            "log_loss": {
                "value": finite(r.log_loss),
                "low": finite(max(0.0, r.log_loss - 1.96 * r.error)),
                "high": finite(r.log_loss + 1.96 * r.error),
            },
            "accuracy": finite(r.accuracy) if math.isfinite(r.log_loss) else None,
            "diverged": r.diverged and (ladder.in_time or math.isfinite(r.log_loss)),
        }
        for r in ladder.rungs
    ]
    if not ladder.in_time and all(math.isinf(r.log_loss) for r in ladder.rungs):
        says = f"no rate could be tried in the time there was; {ladder.chosen:g} is the usual one"
        return {"rates": rungs, "chosen": ladder.chosen, "edge": False, "says": says}
    low = min(ladder.rungs, key=lambda r: (r.diverged, r.log_loss)).lr
    tried = sum(math.isfinite(r.log_loss) or ladder.in_time for r in ladder.rungs)
    among = f"{len(rungs)} rates"
    if tried < len(rungs):
        among = f"the {tried} of {len(rungs)} rates there was time for"
    says = f"{ladder.chosen:g} had the lowest validation loss of {among}"
    if ladder.chosen != low:
        says = (
            f"{ladder.chosen:g} is the middle of the rates that cannot be told from the lowest "
            f"loss, {low:g}"
        )
    if ladder.edge:
        says += "; it lies on the edge of the rates tried"
    if not ladder.in_time:
        says += "; the time budget ended the search early"
    return {"rates": rungs, "chosen": ladder.chosen, "edge": ladder.edge, "says": says}


def ensemble_table(
    labels: IntArray, members: Floats, mean: Floats, part: str, seed: int
) -> dict[str, Any]:
    """What averaging gains over the average single network: accuracy, interval over rows.

    members (M, n, C) and mean (n, C) are probabilities on the same rows with labels (n,).
    """
    single = (members.argmax(axis=2) == labels).mean(axis=0)
    gain = (mean.argmax(axis=1) == labels) - single  # (n,), one difference per row
    found = stats.bca(gain, lambda rows: rows.mean(axis=-1), seed).to_json()
    count = len(members)
    if count == 1:
        says = "one network"
    else:
        says = f"the mean of {count} networks' probabilities; " + (
            "better than its average member"
            if (found["low"] or 0) > 0
            else "a gain over its average member is not shown"
        )
    return {"members": count, f"{part}_gain": found if count > 1 else None, "says": says}


def split_table(split: Split) -> dict[str, Any]:
    """Sizes of all parts."""
    return {
        "test": len(split.sealed),
        "development": len(split.development),
        "folds": [{"train": len(f.train), "validation": len(f.validation)} for f in split.folds],
        "notes": list(split.notes),
    }


def data_table(data: Dataset, counted: Mapping[str, Any], rows: IntArray) -> dict[str, Any]:
    """Data facts in the form of run.json; a few of the rows (n,), none sealed, as examples."""
    shown_elsewhere = ("name", "kind", "classes")
    table = {key: value for key, value in counted.items() if key not in shown_elsewhere}
    table["counts"] = dict(zip(data.classes, data.counts.tolist(), strict=True))
    table["shape"] = list(data.schema.shape)
    table["repeats"] = first_repeats(data)
    if data.kind == "table":
        table["columns"], table["examples"] = column_table(data), example_rows(data, rows)
    table["skipped"] = [dataclasses.asdict(s) for s in data.skipped]
    table["notes"] = list(data.notes)
    return table


def environment(trainer: Trainer, cores: int) -> dict[str, Any]:
    """What the bits of the result depend on, besides the command."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": cores,
        "threads": max((c.threads for c in trainer.choices.values()), default=1),
        "device": str(trainer.examples.device),
        "processes": trainer.examples.ranks.size,  # that computed each batch together
        "execution": {
            stage: {"how": str(choice)} | choice.to_json()
            for stage, choice in trainer.choices.items()
        },
    }


def finite(value: float) -> float | None:
    """The value, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None
