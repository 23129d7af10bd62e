"""The mistakes a classifier was surest of: what to look at first.

A confident mistake is a wrong label in the data, an example unlike the others, or something the
network never learned; each calls for another remedy, and only a person can tell which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import DATE_PARTS, Dataset, IntArray, TableSchema

Floats = npt.NDArray[np.float64]
MOST = 12  # mistakes that are kept
COLUMNS = 4  # unusual values that are named for each
USUAL_ROWS = 20_000  # training rows that say what is usual; quantiles need no more


def worst_mistakes(
    data: Dataset,
    rows: IntArray,
    probabilities: Floats,
    training: IntArray,
    most: int = MOST,
) -> list[dict[str, Any]]:
    """The wrong answers with the highest probability, surest first, as plain data.

    rows (n,) judged, with probabilities (n, C); training (m,) rows that say what is usual.
    Each entry: row, where (file or line), label, said, confidence (probability of what was said),
    given (probability of the label), and for tables the values furthest from the usual ones.
    """
    labels, said = data.labels[rows], probabilities.argmax(axis=1)
    wrong = np.flatnonzero(said != labels)
    sure = probabilities[wrong, said[wrong]]
    chosen = wrong[np.argsort(-sure, kind="stable")[:most]]
    unusual: list[list[dict[str, Any]]] = [[] for _ in chosen]
    if isinstance(data.schema, TableSchema) and len(chosen):
        unusual = unusual_values(data, rows[chosen], training)
    return [
        {
            "row": int(rows[i]),
            "where": str(data.names[int(rows[i])]),
            "label": data.classes[labels[i]],
            "said": data.classes[said[i]],
            "confidence": float(probabilities[i, said[i]]),
            "given": float(probabilities[i, labels[i]]),
            "unusual": odd,
        }
        for i, odd in zip(chosen.tolist(), unusual, strict=True)
    ]


def unusual_values(
    data: Dataset, rows: IntArray, training: IntArray, most: int = COLUMNS
) -> list[list[dict[str, Any]]]:
    """For each row the numbers furthest from what training rows have, furthest first.

    Distance: from the median, in widths of the middle half (1 where it has none and the value
    differs). Named are a column, its value and the range that nine of ten training rows are in.
    Categories and parts of dates are left out: "far" means nothing there.
    """
    features = data.schema.features if isinstance(data.schema, TableSchema) else ()
    dates = tuple(f":{part}" for part in DATE_PARTS)
    use = [i for i, f in enumerate(features) if not f.levels and not f.name.endswith(dates)]
    if not use:
        return [[] for _ in rows]
    step = -(-len(training) // USUAL_ROWS)
    usual = np.asarray(data.inputs[training[::step]][:, use], np.float64)
    known = np.isfinite(usual).any(axis=0)
    usual = np.where(known, usual, 0.0)
    low, first, middle, third, high = np.nanquantile(usual, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
    values = np.asarray(data.inputs[rows][:, use], np.float64)
    spread = np.where(third > first, third - first, np.maximum(high - low, 1e-12))
    far = np.where(np.isfinite(values) & known, np.abs(values - middle) / spread, -1.0)
    order = np.argsort(-far, axis=1, kind="stable")[:, :most]
    return [
        [
            {
                "column": features[use[j]].name,
                "value": float(values[i, j]),
                "usual": [float(low[j]), float(high[j])],
            }
            for j in mine
            if far[i, j] > 0
        ]
        for i, mine in enumerate(order.tolist())
    ]


def pictured(data: Dataset, mistakes: list[Mapping[str, Any]] | list[dict[str, Any]]) -> Any:
    """Inputs of the mistakes, (n, *shape) in the data's own type; None for tables."""
    if data.kind == "table" or not mistakes:
        return None
    return np.asarray(data.inputs[np.array([m["row"] for m in mistakes])])
