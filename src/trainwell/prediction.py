"""Predictions of a trained model for new files: a label and the probability of every class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import NewData, Skipped
from trainwell.data.read import read_like
from trainwell.data.stream import pieces_like
from trainwell.errors import UserError
from trainwell.files import whole_file, write_whole
from trainwell.model import Model, load
from trainwell.progress import Progress

MOST_NOTES = 20  # kept of a long input


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row per example, in the order of the input.

    names: where each came from; probabilities (N, C) in the order of `classes`; truth (N,) class
    names where the input held the target, else None; skipped: files that could not be read.
    unusual: (N,) what of an input lies far outside of the training rows, or holds a word that none
    of them held, "" where nothing does; None for a model that does not know their ranges.
    """

    classes: tuple[str, ...]
    names: Sequence[str]
    probabilities: npt.NDArray[np.float64]
    truth: tuple[str, ...] | None
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    unusual: tuple[str, ...] | None = None

    @property
    def labels(self) -> list[str]:
        """The most probable class of each example."""
        return [self.classes[c] for c in self.probabilities.argmax(axis=1)]

    @property
    def accuracy(self) -> float | None:
        """Share of right labels where the input held the truth, else None."""
        right, known = self.right
        return right / known if known else None

    @property
    def right(self) -> tuple[int, int]:
        """How many labels are right, of how many whose truth the input held."""
        pairs = [(a, b) for a, b in zip(self.labels, self.truth or (), strict=False) if b]
        return sum(a == b for a, b in pairs), len(pairs)

    def to_csv(self, header: bool = True) -> str:
        """Columns: input, label, probability (of that label), unusual where the model knows, then
        p:CLASS for every class."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        marks = [()] * len(self.names) if self.unusual is None else [(u,) for u in self.unusual]
        if header:
            named = (
                "input",
                "label",
                "probability",
                *(() if self.unusual is None else ("unusual",)),
            )
            writer.writerow([*named, *(f"p:{c}" for c in self.classes)])
        rows = self.probabilities.tolist()
        shape = ",".join(["%.6f"] * len(self.classes))
        for name, label, own, row in zip(self.names, self.labels, marks, rows, strict=True):
            shares = (shape % tuple(row)).split(",")
            writer.writerow([name, label, f"{max(row):.6f}", *own, *shares])
        return text.getvalue()


@dataclass(frozen=True)
class Written:
    """What came of predictions that were written as they were made.

    right, known: right labels, of those whose truth the input held; unusual: inputs far outside of
    the training rows, None where the model does not know their ranges.
    """

    count: int
    right: int
    known: int
    unusual: int | None
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    @property
    def accuracy(self) -> float | None:
        """Share of right labels where the input held the truth, else None."""
        return self.right / self.known if self.known else None


def predict(model: Model | str | Path, source: Any, trust: bool = False) -> Predictions:
    """Predict a file, a folder, a DataFrame or an array with a model or the run that holds it.

    trust: whether code that a saved model names may run (networks of one's own, Custom). Raises
    UserError where the input does not fit what the model was trained on.
    """
    chosen = model if isinstance(model, Model) else load(Path(model), trust)
    return _predicted(chosen, read_like(source, chosen.schema, chosen.classes))


def _predicted(model: Model, new: NewData) -> Predictions:
    unusual: tuple[str, ...] | None = None
    if model.ranges is not None:
        outside = model.ranges.outside(model.schema, new.inputs)
        beyond = model.ranges.words(outside)
        unknown = new.unknown or [""] * len(beyond)
        unusual = tuple(", ".join(filter(None, both)) for both in zip(beyond, unknown, strict=True))
    found = model.probabilities(new.inputs)
    return Predictions(model.classes, new.names, found, new.labels, new.skipped, new.notes, unusual)


def predict_to(
    model: Model | str | Path,
    source: Any,
    out: Path | IO[str],
    trust: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Predict piece by piece and write the same lines as `Predictions.to_csv`.

    Memory does not grow with the input. out: a file, which appears whole at the end or not at all,
    or an open stream. Raises UserError as `predict` does, and where the file cannot be written.
    """
    chosen = model if isinstance(model, Model) else load(Path(model), trust)
    found = _pieces(chosen, source, progress)
    if not isinstance(out, Path):
        return _write(out, found)
    try:
        with whole_file(out) as binary, io.TextIOWrapper(binary, "utf-8", newline="") as text:
            return _write(text, found)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise UserError(str(out), problem, "Name another file with -o.") from None


def _pieces(model: Model, source: Any, progress: Progress | None) -> Iterator[Predictions]:
    count, begun = 0, False
    for piece in pieces_like(source, model.schema, model.classes):
        if progress is not None and not begun and piece.share < 1:
            progress.stage("predicting")  # what is done at once needs no bar
            begun = True
        found = _predicted(model, piece.new)
        count += len(found.names)
        if progress is not None and begun:
            progress.update(piece.share, f"{count:,} inputs".replace(",", " "))
        yield found


def _write(out: IO[str], pieces: Iterator[Predictions]) -> Written:
    count = right = known = 0
    unusual: int | None = None
    skipped: list[Skipped] = []
    notes: dict[str, None] = {}
    for first, piece in enumerate(pieces):
        out.write(piece.to_csv(header=first == 0))
        count += len(piece.names)
        right, known = right + piece.right[0], known + piece.right[1]
        skipped += piece.skipped
        notes |= dict.fromkeys(piece.notes)
        if piece.unusual is not None:
            unusual = (unusual or 0) + sum(map(bool, piece.unusual))
    said = list(notes)
    more = [f"and {len(said) - MOST_NOTES} more remarks"] if len(said) > MOST_NOTES else []
    return Written(count, right, known, unusual, tuple(skipped), (*said[:MOST_NOTES], *more))


def write_csv(predictions: Predictions, path: Path) -> None:
    """Write the predictions; raises UserError where the file cannot be written."""
    try:
        write_whole(path, predictions.to_csv().encode("utf-8"))
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise UserError(str(path), problem, "Name another file with -o.") from None
