"""The mistakes a classifier was surest of: what to look at first.

A confident mistake is a wrong label in the data, an example unlike the others, or something the
network never learned; each calls for another remedy, and only a person can tell which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.card import cell_words, levels_of, places
from trainwell.data.dataset import Column, Dataset, IntArray, TableSchema

Floats = npt.NDArray[np.float64]
MOST = 12  # mistakes that are kept
COLUMNS = 4  # unusual values that are named for each
RARE = 0.05  # share of training rows up to which a word is unusual
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
    given (probability of the label), and for tables what is unusual about its values, if anything.
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
    """For each row what is unusual among the training rows: rarest first, then furthest out.

    Unusual is a number or date outside the range of the middle 90 % of training rows, and a word
    (or yes and no) that at most RARE of them have. Named are a column, its value, and for numbers
    and dates that range, for words their share. Ordinary values are not named, so a list may be
    empty; missing values are none.
    """
    if not isinstance(data.schema, TableSchema):
        return [[] for _ in rows]
    columns = places(data.schema)
    use = [place for _, place in columns]
    step = -(-len(training) // USUAL_ROWS)
    usual = np.asarray(data.inputs[training[::step]][:, use], np.float64)
    values = np.asarray(data.inputs[rows][:, use], np.float64)
    odd: list[list[tuple[float, float, dict[str, Any]]]] = [[] for _ in rows]
    for j, (column, _) in enumerate(columns):
        known = usual[np.isfinite(usual[:, j]), j]
        if not len(known):
            continue
        look = _rare_words if levels_of(column) else _outside
        for mine, found in zip(odd, look(column, known, values[:, j]), strict=True):
            if found is not None:
                mine.append(found)
    ordered = (sorted(mine, key=lambda o: (o[0], -o[1]))[:most] for mine in odd)
    return [[told for _, _, told in mine] for mine in ordered]


Unusual = tuple[float, float, dict[str, Any]]  # share as far out, distance, what is told of it


def _outside(column: Column, known: Floats, values: Floats) -> list[Unusual | None]:
    """Numbers or dates outside the middle 90 % of the known ones, in widths of the middle half."""
    low, first, middle, third, high = np.quantile(known, (0.05, 0.25, 0.5, 0.75, 0.95))
    spread = third - first if third > first else max(high - low, 1e-12)
    found: list[Unusual | None] = []
    for value in values.tolist():
        if not np.isfinite(value) or low <= value <= high:
            found.append(None)
            continue
        tail = known >= value if value > high else known <= value
        ends: list[float] | list[str] = [float(low), float(high)]
        shown: float | str = value
        if column.type == "date":
            shown, ends = cell_words(column, value), [cell_words(column, e) for e in (low, high)]
        told = {"column": column.name, "value": shown, "usual": ends}
        found.append((float(tail.mean()), abs(value - float(middle)) / float(spread), told))
    return found


def _rare_words(column: Column, known: Floats, values: Floats) -> list[Unusual | None]:
    """Words that few of the known rows have."""
    found: list[Unusual | None] = []
    for value in values.tolist():
        share = float((known == value).mean())
        told = {"column": column.name, "value": cell_words(column, value), "share": share}
        found.append((share, 0.0, told) if np.isfinite(value) and share <= RARE else None)
    return found


def pictured(data: Dataset, mistakes: list[Mapping[str, Any]] | list[dict[str, Any]]) -> Any:
    """Inputs of the mistakes, (n, *shape) in the data's own type; None for tables."""
    if data.kind == "table" or not mistakes:
        return None
    return np.asarray(data.inputs[np.array([m["row"] for m in mistakes])])
