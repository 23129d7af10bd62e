"""Finished runs beside each other, on the very rows that judged them: models, not recipes.

A recipe is compared by training it again and again on the same folds and seeds (`comparing.py`).
Here two models that exist are compared: which of them to use? The rows are the only chance.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import IntArray
from trainwell.errors import DataError, UserError
from trainwell.metrics import Metric, score
from trainwell.paired_rows import RowDifference, row_difference
from trainwell.significance import holm
from trainwell.verdict import turned, unit_of, word_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judged:
    """What one run said of the rows that judged it: rows, labels (n,), probabilities (n, C)."""

    name: str
    data: str
    digest: str | None  # of the data's bytes; runs of before it was kept have none
    part: str
    classes: tuple[str, ...]
    rows: IntArray
    labels: IntArray
    probabilities: Floats
    metric: Metric  # that decided in the run


def judged(run: Path) -> Judged:
    """Read a run folder; rows come in ascending order. Raises DataError for what is no run."""
    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        with np.load(run / "oof.npz", allow_pickle=False) as stored:
            part = "test" if len(stored["test_rows"]) else "validation"
            names = ("test_rows", "test_labels", "test_probabilities")
            names = names if part == "test" else ("rows", "labels", "probabilities")
            rows, labels, probabilities = (stored[n] for n in names)
    except (OSError, ValueError, KeyError) as error:
        problem = f"is no finished run ({type(error).__name__}: {error})"
        raise DataError(str(run), problem, "Name folders that fit has written.") from None
    order = np.argsort(rows, kind="stable")
    classes = tuple(map(str, facts.get("classes") or ()))
    inside = labels.ndim == 1 and probabilities.shape == (len(labels), len(classes))
    if not inside or len(rows) != len(labels) or not len(rows):
        raise DataError(str(run), "its oof.npz does not fit its run.json", "Train again.")
    return Judged(
        run.name or str(run),
        str(facts.get("name")),
        facts.get("data_digest"),
        part,
        classes,
        rows[order].astype(np.int64),
        labels[order].astype(np.int64),
        probabilities[order].astype(np.float64),
        _deciding(facts),
    )


def _deciding(facts: dict[str, Any]) -> Metric:
    """The metric that run.json says has decided; accuracy where it says nothing."""
    name = (facts.get("metric") or {}).get("name")
    known: tuple[Metric, ...] = get_args(Metric)
    return next((m for m in known if m == name), "accuracy")


def compare_runs(folders: Sequence[Path], metric: Metric | None = None) -> dict[str, Any]:
    """Each run against the first one, on the rows that judged both: plain data.

    metric: None takes what decided in the runs, accuracy where they differ in it.
    difference: of that metric, with an interval over rows, and p, adjusted by Holm where there are
    several (`row_difference`); verdict: better or worse where both agree, no difference that
    matters inside ± half a point (0.01 of log loss), else not shown.
    Raises UserError for a folder named twice, and where the rows are not the same.
    """
    places = [Path(folder).resolve() for folder in folders]
    if len(set(places)) < len(places):
        todo = "Name each run once; a model does not differ from itself."
        raise UserError("compare", "the same run folder is named twice", todo)
    runs = [judged(Path(folder)) for folder in folders]
    first = runs[0]
    for other in runs[1:]:
        _check_same(first, other)
    if metric is None:
        metric = first.metric if len({r.metric for r in runs}) == 1 else "accuracy"
    found = [
        row_difference(first.labels, first.probabilities, other.probabilities, metric)
        for other in runs[1:]
    ]
    adjusted = holm([f.p for f in found])
    comparisons = [
        _against(first, other, RowDifference(f.interval, float(p)), metric)
        for other, f, p in zip(runs[1:], found, adjusted, strict=True)
    ]
    scores = [{"run": r.name} | score(r.labels, r.probabilities, 0).to_json()[metric] for r in runs]
    note = (
        f"These are {len(runs)} fixed models on {len(first.rows)} {first.part} rows. Whether a "
        "recipe is better than another is asked by: trainwell compare RECIPE_A RECIPE_B DATA"
    )
    result = {
        "data": first.data,
        "part": first.part,
        "rows": len(first.rows),
        "metric": metric,
        "unit": unit_of(metric).name,
        "lower_is_better": metric == "log_loss",
    }
    return result | {"scores": scores, "comparisons": comparisons, "note": note} | comparisons[0]


def _check_same(first: Judged, other: Judged) -> None:
    where = f"{first.name} and {other.name}"
    todo = "Train both on the same data with the same --seed and --test."
    if first.data != other.data or first.classes != other.classes:
        problem = f"are of other data or classes ({first.data}, {other.data})"
        raise UserError(where, problem, todo)
    if None not in (first.digest, other.digest) and first.digest != other.digest:
        raise UserError(where, f"are of data that changed between them ({first.data})", todo)
    same = first.part == other.part and np.array_equal(first.rows, other.rows)
    if not same or not np.array_equal(first.labels, other.labels):
        common = len(np.intersect1d(first.rows, other.rows))
        problem = (
            f"were not judged on the same rows ({len(first.rows)} {first.part} and "
            f"{len(other.rows)} {other.part} rows, {common} of them in both)"
        )
        raise UserError(where, problem, todo)


def _against(first: Judged, other: Judged, found: RowDifference, metric: Metric) -> dict[str, Any]:
    """One comparison: other - first."""
    ends, unit = found.interval, unit_of(metric)
    gain = turned(ends) if unit.lower_is_better else ends
    return {
        "a": first.name,
        "b": other.name,
        "difference": ends.to_json(),
        "p": found.p,
        "verdict": word_of(gain, found.shown, unit.region),
        "seeds_to_settle": None,
    }
