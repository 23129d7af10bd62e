"""Finished runs beside each other, on the very rows that judged them: models, not recipes.

A recipe is compared by training it again and again on the same folds and seeds (`comparing.py`).
Here two models that exist are compared: which of them to use? The rows are the only chance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell import stats
from trainwell.data.dataset import IntArray
from trainwell.errors import DataError, UserError
from trainwell.significance import holm, mcnemar
from trainwell.verdict import LEVEL, REGION, Word

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

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Rows that got their label, (n,)."""
        found: npt.NDArray[np.bool_] = self.probabilities.argmax(axis=1) == self.labels
        return found


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
    )


def compare_runs(folders: Sequence[Path]) -> dict[str, Any]:
    """Each run against the first one, on the rows that judged both: plain data.

    difference: of accuracy, with a BCa bootstrap interval over rows; p: McNemar's mid p, by Holm
    where there are several; verdict: better or worse where both agree, no difference that matters
    inside ± half a point, else not shown. Raises UserError when the rows are not the same.
    """
    runs = [judged(Path(folder)) for folder in folders]
    first = runs[0]
    for other in runs[1:]:
        _check_same(first, other)
    tests = [mcnemar(other.right, first.right) for other in runs[1:]]
    adjusted = holm([t.mid for t in tests])
    found = [_against(first, other, float(p)) for other, p in zip(runs[1:], adjusted, strict=True)]
    scores = [
        {"run": r.name} | stats.wilson(int(r.right.sum()), len(r.rows)).to_json() for r in runs
    ]
    note = (
        f"These are {len(runs)} fixed models on {len(first.rows)} {first.part} rows. Whether a "
        "recipe is better than another is asked by: trainwell compare RECIPE_A RECIPE_B DATA"
    )
    result = {"data": first.data, "part": first.part, "rows": len(first.rows)}
    return result | {"scores": scores, "comparisons": found, "note": note} | found[0]


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


def _against(first: Judged, other: Judged, p: float) -> dict[str, Any]:
    """One comparison: other - first."""
    gain = other.right.astype(np.float64) - first.right
    found = stats.bca(gain, lambda rows: rows.mean(axis=-1), seed=0)
    word: Word = "not shown"
    if max(abs(found.low), abs(found.high)) <= REGION and math.isfinite(found.low):
        word = "no difference that matters"
    elif p <= LEVEL and (found.low > 0 or found.high < 0):
        word = "better" if found.low > 0 else "worse"
    return {
        "a": first.name,
        "b": other.name,
        "difference": found.to_json(),
        "p": p,
        "verdict": word,
        "seeds_to_settle": None,
    }
