"""Evidence out of somebody else's training: the log that Keras, Lightning or PyTorch wrote.

Read are CSV files (CSVLogger of Keras, Lightning and fastai, our own history.csv, any table with
named columns), JSON records, and event files of TensorBoard. What was taken as what stands in
`Evidence.source`; a column that is not understood is ignored, and named there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainwell.doctor.evidence import SERIES, Evidence, Floats, Setup
from trainwell.doctor.history_columns import OUR_HISTORY, Columns, understand, words_of
from trainwell.doctor.logtable import Bools, Table, from_scalars, read_text
from trainwell.doctor.tensorboard import Scalar, is_event_file, scalars
from trainwell.errors import UserError

MOST_POINTS = 2000  # longer logs are averaged: no rule needs more, and pictures could not show it
_MOST_MEMBERS = 1000
_MEANT = ("train_loss", "train_accuracy")  # averaged over an epoch; of the others the last counts


@dataclass(frozen=True, eq=False)
class _Log:
    """One training: points (E,) and series (E,) by name."""

    points: Floats
    series: Mapping[str, Floats]
    unit: Literal["epoch", "step"]
    diverged: bool
    own: bool  # our history.csv: scores in eval mode on clean rows
    words: str


def read_history(path: Path, classes: int | None = None, val_rows: int | None = None) -> Evidence:
    """Evidence from the log of a training, or from a folder that holds one.

    classes, val_rows: number of classes and of validation rows, which no log tells; rules that
    need them are silent without. Training scores are taken to be running means in train mode, as
    Keras and Lightning write them (`clean_train=False`). A training that was resumed keeps its
    last values. Logs of more than 2000 points are averaged. Raises UserError where nothing in
    the file can be understood.
    """
    return read_histories([path], classes, val_rows)


def read_histories(
    paths: Sequence[Path], classes: int | None = None, val_rows: int | None = None
) -> Evidence:
    """Evidence from several logs, each a member (or more, where a column names members)."""
    if not paths:
        raise UserError("", "expected the log of a training, got none", "Name a file or a folder.")
    logs = [log for path in paths for log in _logs(Path(path))]
    units = {log.unit for log in logs}
    if len(units) > 1:
        where = ", ".join(str(p) for p in paths)
        problem = "some logs count epochs and others count steps"
        raise UserError(where, problem, "Give logs of one kind together.")
    return _evidence(logs, classes, val_rows)


def what_is_known(evidence: Evidence) -> str:
    """In words: what was read, what of it is there, and what rules will miss.

    >>> e = Evidence(np.array([1.0]), {"train_loss": np.array([[0.5]])}, source="log.csv")
    >>> print(what_is_known(e))
    log.csv
    1 training, 1 epoch
    known: train_loss
    not known: lr, train_accuracy, val_loss, val_accuracy, layers, classes, val_rows
    """
    kinds = [n for n in SERIES if n != "val_error"]
    known = [n for n in kinds if evidence.has(n)]
    missing = [n for n in kinds if n not in known]
    for name, there in (
        ("layers", evidence.layers),
        ("classes", evidence.classes),
        ("val_rows", evidence.val_rows),
    ):
        (known if there else missing).append(name)
    count, points = evidence.members, len(evidence.points)
    lines = [
        evidence.source,
        f"{count} training{'s' * (count != 1)}, "
        + (
            f"{points} epoch{'s' * (points != 1)}"
            if evidence.unit == "epoch"
            else f"{points} points, up to step {evidence.points[-1]:g}"
            if points
            else "no point"
        ),
        f"known: {', '.join(known)}",
    ]
    if missing:
        lines.append(f"not known: {', '.join(missing)}")
    return "\n".join(line for line in lines if line)


def _logs(path: Path) -> list[_Log]:
    if path.is_dir():
        return _folder(path)
    if is_event_file(path):
        return _from_tables([(str(path), from_scalars(scalars(path)))])
    return _from_tables([(str(path), read_text(path))])


def _folder(path: Path) -> list[_Log]:
    """A folder of event files (with or without train/validation inside), or with a known file."""
    events = sorted(f for f in path.rglob("*") if is_event_file(f))
    for name in ("history.csv", "metrics.csv", "trainer_state.json", "history.json"):
        if (path / name).is_file():
            return _from_tables([(str(path / name), read_text(path / name))])
    if not events:
        problem = "expected a log in the folder (event files of TensorBoard, metrics.csv, "
        problem += "history.csv), found none"
        raise UserError(str(path), problem, "Name the file that holds the history.")
    runs: dict[Path, list[Scalar]] = {}
    for file in events:
        part = _part(file.parent.name)
        run = file.parent.parent if part else file.parent
        found = scalars(file)
        if part:  # train and validation folders hold the same tags
            found = [Scalar(f"{part}/{s.tag}", s.step, s.value) for s in found]
        runs.setdefault(run, []).extend(found)
    return _from_tables([(str(run), from_scalars(found)) for run, found in _related(path, runs)])


def _related(path: Path, runs: Mapping[Path, list[Scalar]]) -> list[tuple[Path, list[Scalar]]]:
    """The runs of a folder, if they are repetitions: side by side, with the same tags."""
    places = {run.parent for run in runs}
    tags = {frozenset(s.tag for s in found) for found in runs.values()}
    if len(runs) > 1 and (len(places) > 1 or len(tags) > 1):
        names = [str(run.relative_to(path)) for run in runs]
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        problem = f"expected one training or repetitions of it, found {len(names)} that differ: "
        problem += ", ".join(names[:6]) + more
        raise UserError(str(path), problem, "Name one of them, or those that belong together.")
    return list(runs.items())


def _part(folder: str) -> str:
    """Whether a folder of event files is that of one kind of rows of a training."""
    words = set(words_of(folder))
    if words & {"validation", "val", "valid", "eval", "dev"}:
        return "val"
    return "train" if words & {"train", "training"} else "test" if words == {"test"} else ""


def _from_tables(tables: Iterable[tuple[str, Table]]) -> list[_Log]:
    logs: list[_Log] = []
    for where, table in tables:
        names = _of_one_clock(table)
        texts = [n for n in table.texts if words_of(n)]
        columns = understand([*names, *texts])
        member = columns.keys.get("member")
        if member is None:
            logs.append(_log(where, table, columns))
            continue
        labels = table.texts.get(member) or [f"{v:g}" for v in table.values[member]]
        values = list(dict.fromkeys(labels))
        if len(values) > _MOST_MEMBERS:
            problem = (
                f'column "{member}": expected the numbers of members, got {len(values)} values'
            )
            raise UserError(where, problem, "Rename the column if it holds something else.")
        every = np.array(labels)
        logs += [_log(where, table.take(every == v), columns) for v in values]
    return logs


def _of_one_clock(table: Table) -> list[str]:
    """Tags that count as the others do: Keras logs some by epochs and others by steps."""
    every = list(table.values)
    if table.form != "TensorBoard" or "epoch" in table.values:
        return every
    words = {n: set(words_of(n)) for n in every}
    if not any({"epoch", "loss"} <= said for said in words.values()):
        return every
    return [n for n in every if not words[n] & {"batch", "iterations"}]


def _log(where: str, table: Table, columns: Columns) -> _Log:
    used = {n: c for n, c in columns.series.items() if c in table.values}
    if not set(used) - {"lr", "val_error"}:
        got = ", ".join([*table.values, *table.texts][:12]) or "nothing"
        problem = "expected a column or tag with a loss or an accuracy, such as train_loss or "
        problem += f"val_accuracy; got {got}"
        raise UserError(where, problem, "Rename the columns after what they hold.")
    unit, key, keyword = _key(table, columns)
    series: dict[str, Floats] = {}
    told = {n: table.said[c] for n, c in used.items()}
    keep = _not_rewound(key)
    groups, place = np.unique(key[keep], return_inverse=True)
    diverged = False
    notes = []
    for name, column in used.items():
        values = table.values[column][keep]
        shares, note = _as_shares(name, values, name in columns.errors)
        if note:
            notes.append(f"{column}: {note}")
        if shares is None:
            continue
        there = told[name][keep]
        if "loss" in name:
            written = shares[there]
            never = name == "val_loss" and not np.isfinite(written).any() and "train_loss" in used
            diverged = diverged or (not never and _ends_broken(written))
        series[name] = _by_group(shares, there, place, len(groups), name in _MEANT)
    filled = np.zeros(len(groups), bool)
    for values in series.values():
        filled |= ~np.isnan(values)
    if diverged:
        filled[:] = True  # an epoch without any number is what there is to see
    points = groups[filled]
    if unit == "epoch" and len(points) and points[0] == 0:
        points = points + 1  # Keras and Lightning count from 0
    series = {n: v[filled] for n, v in series.items()}
    notes += [f"{n}: {c} cells are not numbers" for n, c in table.bad.items() if n in used.values()]
    text = f"{where} ({table.form}): {columns.in_words()}; {keyword}"
    own = set(table.values) >= OUR_HISTORY
    return _Log(points, series, unit, diverged, own, "; ".join([text, *notes]))


def _ends_broken(told: Floats) -> bool:
    """Whether a loss (n,), of what was written, is infinite or ends with "nan".

    "nan" between numbers means that nothing was measured there, and so does it at the end where
    gaps as long came before; a validation that never gave a number was none.
    """
    if np.isinf(told).any():
        return True
    good = np.flatnonzero(np.isfinite(told))
    if not len(good):
        return bool(len(told))
    gaps = np.diff(good) - 1
    return bool(len(told) - 1 - good[-1] > gaps.max(initial=0))


def _key(table: Table, columns: Columns) -> tuple[Literal["epoch", "step"], Floats, str]:
    """What rows are grouped by: epochs where they are told, else steps, else the rows."""
    step, epoch = columns.keys.get("step"), columns.keys.get("epoch")
    tags = [c for c in columns.series.values() if "epoch" in words_of(c)]
    if epoch is not None and epoch in table.values:
        key = _filled(table.values[epoch])
        several = len(np.unique(key)) > 1 or step is None or step not in table.values
        if several and bool((key == np.round(key)).all()):
            return "epoch", key, f"points from {epoch}"
    if step is not None and step in table.values:
        if table.form == "TensorBoard" and tags:  # Keras: epoch_loss by epochs
            return "epoch", table.values[step], "points from the steps of the epoch's tags"
        key = _filled(table.values[step])
        val = [table.said[c] for n, c in columns.series.items() if "val_" in n and c in table.said]
        every = val and bool(val[0].all()) and bool((np.diff(key) == 1).all()) and key[0] in (0, 1)
        if every:  # add_scalar(..., epoch): validated at each of them
            return "epoch", key, f"points from {step}, taken as epochs"
        return "step", key, f"points from {step}"
    if epoch is not None and epoch in table.values:
        return "epoch", _filled(table.values[epoch]), f"points from {epoch}"
    return "epoch", np.arange(1.0, table.rows + 1), "each row taken as an epoch"


def _filled(values: Floats) -> Floats:
    """Missing keys take that of the row before, the first ones that of the row behind."""
    good = np.flatnonzero(np.isfinite(values))
    if not len(good):
        return np.arange(1.0, len(values) + 1)
    before = np.searchsorted(good, np.arange(len(values)), side="right") - 1
    return values[good[np.maximum(before, 0)]]


def _not_rewound(key: Floats) -> Bools:
    """Rows that no later row goes back to: of a resumed training the last values count."""
    back = np.full(len(key), np.inf)
    back[:-1] = np.where(np.diff(key) < 0, key[1:], np.inf)  # where a later part begins
    begins = np.minimum.accumulate(back[::-1])[::-1]  # the earliest of those still to come
    return np.asarray(key < begins)


def _by_group(
    values: Floats, there: Bools, place: npt.NDArray[np.intp], count: int, mean: bool
) -> Floats:
    """One value per group: the mean, or the last; nan where the log says nothing."""
    found = np.full(count, np.nan)
    at, numbers = place[there], values[there]
    sizes = np.bincount(at, minlength=count)
    typical = np.median(sizes[sizes > 0]) if len(at) else 0
    if mean and typical > 1:  # several steps per epoch; a single doubled row is a resumed epoch
        total = np.bincount(at, weights=numbers, minlength=count)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(sizes > 0, total / sizes, np.nan)
    found[at] = numbers  # the last of equal places stays
    return found


def _as_shares(name: str, values: Floats, error: bool) -> tuple[Floats | None, str]:
    """Accuracies as shares; percentages are recognised by their size."""
    if "accuracy" not in name:
        return values, ""
    known = values[np.isfinite(values)]
    note = ""
    if len(known) and (known.min() < 0 or known.max() > 100.5):
        return None, f"no share and no percentage ({known.min():g} to {known.max():g}), ignored"
    if len(known) and known.max() > 1.5:
        values, note = values / 100, "per cent"
    return (1 - values if error else values), note


def _evidence(logs: Sequence[_Log], classes: int | None, val_rows: int | None) -> Evidence:
    points = np.unique(np.concatenate([log.points for log in logs]))
    names = [n for n in SERIES if any(n in log.series for log in logs)]
    series = {n: np.full((len(logs), len(points)), np.nan) for n in names}
    for member, log in enumerate(logs):
        at = np.searchsorted(points, log.points)
        for name, values in log.series.items():
            series[name][member, at] = values
    count = len(points)
    points, series = _thinned(points, series)
    sources = list(dict.fromkeys(log.words for log in logs))
    if len(points) < count:
        sources.append(f"{count} points averaged to {len(points)}")
    rates = series["lr"][0] if "lr" in series else np.array([])
    rates = rates[np.isfinite(rates)]
    constant = len(rates) > 0 and bool(np.allclose(rates, rates[0]))
    return Evidence(
        points=points,
        series=series,
        unit=logs[0].unit,
        setup=Setup(
            lr=float(rates[0]) if len(rates) else None,
            schedule="Constant" if constant else None,
        ),
        classes=classes,
        val_rows=val_rows,
        best=_best(points, series),
        diverged=tuple(log.diverged for log in logs),
        clean_train=all(log.own for log in logs),
        source="\n".join(sources),
    )


def _thinned(points: Floats, series: dict[str, Floats]) -> tuple[Floats, dict[str, Floats]]:
    """Groups of equally many points: means of losses and accuracies, the last point of each."""
    count = len(points)
    if count <= MOST_POINTS:
        return points, series
    edges = np.linspace(0, count, MOST_POINTS + 1).astype(int)
    sizes_of = {n: np.add.reduceat(~np.isnan(s), edges[:-1], axis=1) for n, s in series.items()}
    thin = {}
    for name, values in series.items():
        total = np.add.reduceat(np.nan_to_num(values, nan=0.0, posinf=np.inf), edges[:-1], axis=1)
        sizes = sizes_of[name]
        thin[name] = np.where(sizes > 0, total / np.maximum(sizes, 1), np.nan)
    return points[edges[1:] - 1], thin


def _best(points: Floats, series: Mapping[str, Floats]) -> tuple[int, ...]:
    """Where each member's validation loss (or else its accuracy) was best."""
    values = series.get("val_loss")
    if values is None:
        accuracy = series.get("val_accuracy")
        values = None if accuracy is None else -accuracy
    if values is None:
        return ()
    clean = np.where(np.isfinite(values), values, np.inf)
    return tuple(int(points[row.argmin()]) if np.isfinite(row).any() else 0 for row in clean)
