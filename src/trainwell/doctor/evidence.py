"""Evidence: everything that rules may look at, read-only, whoever wrote it down.

Shapes: M members, E epochs (or other points of a training), C classes.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainwell.doctor.finding import Check, Remedy

Floats = npt.NDArray[np.float64]

SERIES = ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_error")
WEIGHT_MEASURES = ("gradient", "weight", "update", "zero", "magnitude")
UNIT_MEASURES = ("mean", "spread", "dead", "saturated")


@dataclass(frozen=True, eq=False)
class Layer:
    """What was measured in one layer: each measure (M, E + 1), the initial weights first; nan
    where nothing was measured.

    Weight layers: gradient (norm), weight (norm), update (norm of the epoch's last update over
    that of the weights), zero (share of gradient entries that are exactly zero), magnitude (mean
    absolute gradient). Layers of units: mean, spread, dead (share of units silent for every row),
    saturated (share of units at an end of their range on 90 % of rows).
    """

    name: str
    kind: Literal["weight", "units"]
    measures: Mapping[str, Floats]


@dataclass(frozen=True)
class Setup:
    """What is known about how the training was set up; None: not known."""

    optimizer: str | None = None
    lr: float | None = None
    momentum: float | None = None
    eps: float | None = None
    schedule: str | None = None  # name, for instance "Constant"
    batch_size: int | None = None
    steps: int | None = None  # per epoch
    epochs: int | None = None  # planned
    patience: int | None = None
    depth: int | None = None  # weight layers
    activation: str | None = None
    normalised: bool | None = None  # batch or layer norm, or residual connections
    dropout: float | None = None
    l2: float | None = None
    augmented: bool | None = None
    balanced: bool | None = None
    preprocess: str | None = None
    kind: str | None = None  # table, images or audio
    init: str | None = None
    model: str | None = None  # as a recipe names it


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm of a race at equal budget; values per run (S,), paired with those of other arms.

    changes: the fields of the recipe that differ from the control, as text.
    """

    name: str  # "control", "lr x2", "lr /2", ...
    changes: tuple[tuple[str, str], ...]
    loss: Floats  # validation log loss, best epoch; infinite where the run diverged
    accuracy: Floats  # validation accuracy at that epoch
    train_loss: Floats  # clean training loss, last epoch


@dataclass(frozen=True, eq=False)
class Evidence:
    """A training of M members over E epochs, and what is known around it.

    points: (E,) numbers of the epochs (or steps, where `unit` says so), rising.
    series: by name (SERIES), each (M, E); nan after a member has ended. A name that is missing was
    not written down.
    clean_train: whether train_* are measured in eval mode on clean rows, as validation is; else
    they are running means in train mode and the gap is flattered or hidden.
    confusion: (C, C) counts of held-out rows, true classes in rows.
    reference: validation accuracy of simple models on the same data ("linear", "neighbours",
    "tree"): what the data allow without any network.
    """

    points: Floats
    series: Mapping[str, Floats]
    unit: Literal["epoch", "step"] = "epoch"
    layers: tuple[Layer, ...] = ()
    setup: Setup = Setup()
    classes: int | None = None
    train_rows: int | None = None
    val_rows: int | None = None  # of one member
    sample_rows: int | None = None  # training rows that are scored
    best: tuple[int, ...] = ()  # best epoch of each member, 0: never better than at the start
    diverged: tuple[bool, ...] = ()
    clean_train: bool = True
    class_counts: tuple[int, ...] = ()  # training rows per class
    class_names: tuple[str, ...] = ()
    confusion: npt.NDArray[np.int64] | None = None
    reference: Mapping[str, float] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    race: tuple[Arm, ...] = ()  # the control first
    ladder: Mapping[str, Any] | None = None  # as run.json holds it
    source: str = ""  # what it was read from, in words

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit together."""
        points = np.asarray(self.points)
        if points.ndim != 1:
            raise ValueError(f"points: expected shape (E,), got {points.shape}")
        shapes = {name: np.shape(values) for name, values in self.series.items()}
        for name, shape in shapes.items():
            if len(shape) != 2 or shape[1] != len(points):
                raise ValueError(f"{name}: expected shape (M, {len(points)}), got {shape}")
        if len({shape[0] for shape in shapes.values()}) > 1:
            raise ValueError(f"series: expected equally many members in each, got {shapes}")

    @property
    def members(self) -> int:
        """How many trainings."""
        return max((len(s) for s in self.series.values()), default=0)

    def has(self, *names: str) -> bool:
        """Whether these series, or measures of some layer, were written down."""
        layers = {n for layer in self.layers for n, v in layer.measures.items() if _any(v)}
        return all(n in layers or n in self.series for n in names)

    def until(self, point: float) -> Evidence:
        """The evidence as it was after this point; the race and held-out counts are not yet known.

        Rules on it say what could be said so early.
        """
        count = int((self.points <= point).sum())
        return dataclasses.replace(
            self,
            points=self.points[:count],
            series={n: s[:, :count] for n, s in self.series.items()},
            layers=tuple(
                dataclasses.replace(
                    layer, measures={n: v[:, : count + 1] for n, v in layer.measures.items()}
                )
                for layer in self.layers
            ),
            best=tuple(b if b <= point else 0 for b in self.best),
            confusion=None,
            race=(),
        )


def _any(values: Floats) -> bool:
    return bool(np.isfinite(values).any() or np.isinf(values).any())


def save_evidence(evidence: Evidence, path: Path) -> None:
    """Write evidence as JSON; nan and infinities are kept as words."""
    path.write_text(json.dumps(_plain(evidence)), encoding="utf-8")


def load_evidence(path: Path) -> Evidence:
    """Evidence that `save_evidence` wrote."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    layers = tuple(
        Layer(lay["name"], lay["kind"], {n: _array(v) for n, v in lay["measures"].items()})
        for lay in raw.pop("layers")
    )
    around = {n: raw.pop(n) for n in ("checks", "race", "reference")}
    confusion = raw.pop("confusion")
    evidence = Evidence(
        points=_array(raw.pop("points")),
        series={n: _array(v) for n, v in raw.pop("series").items()},
        layers=layers,
        setup=Setup(**raw.pop("setup")),
        confusion=None if confusion is None else np.array(confusion, np.int64),
        **raw | {n: tuple(raw[n]) for n in ("best", "diverged", "class_counts", "class_names")},
    )
    return with_context(evidence, around)


def context(evidence: Evidence) -> dict[str, Any]:
    """What was found around the training, as plain data: checks, race, simple models' scores, and
    the rows of each class that were there to train on."""
    kept: dict[str, Any] = _plain(
        {
            "checks": evidence.checks,
            "race": evidence.race,
            "reference": evidence.reference,
            "class_counts": evidence.class_counts,
        }
    )
    return kept


def with_context(evidence: Evidence, kept: Mapping[str, Any]) -> Evidence:
    """The evidence with what `context` gave. Raises KeyError, TypeError or ValueError."""
    race = tuple(
        Arm(
            arm["name"],
            tuple((n, v) for n, v in arm["changes"]),
            *(_array(arm[n]) for n in ("loss", "accuracy", "train_loss")),
        )
        for arm in kept["race"]
    )
    checks = tuple(
        Check(
            **check
            | {
                "remedies": tuple(
                    Remedy(r["says"], tuple((n, v) for n, v in r["settings"]))
                    for r in check["remedies"]
                ),
                "value": _word(check["value"]),
                "threshold": _word(check["threshold"]),
            }
        )
        for check in kept["checks"]
    )
    counts = tuple(int(n) for n in kept.get("class_counts", ()))
    return dataclasses.replace(
        evidence,
        race=race,
        checks=checks,
        reference=dict(kept["reference"]),
        class_counts=counts or evidence.class_counts,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _array(values: Any) -> Floats:
    return np.array(values, dtype=np.float64)  # reads "nan" and "inf" too


def _word(value: float | str | None) -> float | None:
    return None if value is None else float(value)
