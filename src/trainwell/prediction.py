"""Predictions of a trained model for new files: a label and the probability of every class."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import Skipped
from trainwell.data.read import read_like
from trainwell.errors import UserError
from trainwell.files import write_whole
from trainwell.model import Model, load


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row per example, in the order of the input.

    names: where each came from; probabilities (N, C) in the order of `classes`; truth (N,) class
    names where the input held the target, else None; skipped: files that could not be read.
    """

    classes: tuple[str, ...]
    names: Sequence[str]
    probabilities: npt.NDArray[np.float64]
    truth: tuple[str, ...] | None
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """The most probable class of each example."""
        return [self.classes[c] for c in self.probabilities.argmax(axis=1)]

    @property
    def accuracy(self) -> float | None:
        """Share of right labels where the input held the truth, else None."""
        if not self.truth:
            return None
        return float(np.mean([a == b for a, b in zip(self.labels, self.truth, strict=True)]))

    def to_csv(self) -> str:
        """Columns: input, label, probability (of that label), then p:CLASS for every class."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["input", "label", "probability", *(f"p:{c}" for c in self.classes)])
        for name, label, row in zip(self.names, self.labels, self.probabilities, strict=True):
            writer.writerow([name, label, f"{row.max():.6f}", *(f"{p:.6f}" for p in row)])
        return text.getvalue()


def predict(model: Model | str | Path, source: Any, trust: bool = False) -> Predictions:
    """Predict a file, a folder, a DataFrame or an array with a model or the run that holds it.

    trust: whether code that a saved model names may run (networks of one's own, Custom). Raises
    UserError where the input does not fit what the model was trained on.
    """
    chosen = model if isinstance(model, Model) else load(Path(model), trust)
    new = read_like(source, chosen.schema, chosen.classes)
    probabilities = chosen.probabilities(new.inputs)
    return Predictions(chosen.classes, new.names, probabilities, new.labels, new.skipped, new.notes)


def write_csv(predictions: Predictions, path: Path) -> None:
    """Write the predictions; raises UserError where the file cannot be written."""
    try:
        write_whole(path, predictions.to_csv().encode("utf-8"))
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise UserError(str(path), problem, "Name another file with -o.") from None
