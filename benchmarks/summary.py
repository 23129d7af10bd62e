"""From single runs to rows of a table: medians, paired ratios with intervals, agreement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

OURS = "trainwell"
MARGIN = 0.005  # accuracies closer than this (plus noise) count as equal
CONFIDENCE = 0.99
DRAWS = 10_000


def paired_ratio(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float, float]:
    """Median over repeats of theirs / ours, and its 95 % bootstrap interval.

    Runs of one repeat stand next to each other in time and are divided by each other, so that slow
    drift of the machine cancels. With few repeats the interval is nearly their whole range.

    >>> paired_ratio([2.0, 4.0, 6.0], [1.0, 1.0, 2.0])
    (3.0, 2.0, 4.0)
    """
    ratios = np.asarray(theirs) / np.asarray(ours)
    chosen = np.random.default_rng(0).integers(0, len(ratios), (DRAWS, len(ratios)))
    low, high = np.quantile(np.median(ratios[chosen], axis=1), [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def agreement(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float, bool]:
    """Difference of mean accuracies, its 99 % half-width, and whether it is within noise.

    Within noise: |difference| is at most MARGIN plus the half-width (Welch's: unequal deviations,
    few networks). A single network counts as if it had no deviation.

    >>> agreement([0.90, 0.92], [0.91, 0.93])[2], agreement([0.5, 0.5], [0.9, 0.9])[2]
    (True, False)
    """
    difference = float(np.mean(theirs) - np.mean(ours))
    groups = [a for a in (theirs, ours) if len(a) > 1]
    squares = [float(np.var(a, ddof=1)) / len(a) for a in groups]
    noise, total = 0.0, sum(squares)
    if total > 0:
        each = sum(q**2 / (len(a) - 1) for q, a in zip(squares, groups, strict=True))
        noise = float(student.ppf((1 + CONFIDENCE) / 2, total**2 / each)) * math.sqrt(total)
    return difference, noise, abs(difference) <= MARGIN + noise


def rows_of(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per contender, in order of first appearance, compared with trainwell's."""
    names = list(dict.fromkeys(r["name"] for r in records))
    by_name = {n: [r for r in records if r["name"] == n] for n in names}
    return [_row(by_name[n], by_name.get(OURS, [])) for n in names]


def _row(mine: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = mine[0]
    accuracies = [a for r in mine for a in r["accuracies"]]
    row: dict[str, Any] = {
        "name": first["name"],
        "title": first["title"],
        "cores": first["cores"],
        "trained": first["trained"],
        "of": first["of"],
        "repeats": len(mine),
        "seconds": spread([r["seconds"] for r in mine]),
        "total": spread([r["total"] for r in mine]),
        "peak_mb": spread([r["peak_mb"] for r in mine]),
        "accuracy": [float(np.mean(accuracies)), deviation(accuracies)],
    }
    for key in mine[0]["extra"]:
        row[key] = spread([r["extra"][key] for r in mine])
    if first["name"] == OURS or not ours:
        return row
    paired = [(r, o) for r in mine for o in ours if r["repeat"] == o["repeat"]]
    if paired:
        row["ratio"] = paired_ratio(
            [r["seconds"] for r, _ in paired], [o["seconds"] for _, o in paired]
        )
        row["ratio_training_only"] = paired_ratio(
            [r["seconds"] for r, _ in paired],
            [o["seconds"] - o["extra"].get("scoring", 0.0) for _, o in paired],
        )
        for key in ("first_epoch", "steady_epoch"):
            if key in first["extra"]:
                row[f"ratio_{key}"] = paired_ratio(
                    [r["extra"][key] for r, _ in paired], [o["extra"][key] for _, o in paired]
                )
    row["agreement"] = agreement(accuracies, [a for r in ours for a in r["accuracies"]])
    return row


def spread(values: Sequence[float]) -> list[float]:
    """Median, least and largest."""
    return [float(np.median(values)), float(min(values)), float(max(values))]


def deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def failed_agreement(results: Mapping[str, Any]) -> list[str]:
    """Contenders whose accuracy is not trainwell's: their times must not be compared."""
    return [
        f"{part}: {row['title']}"
        for part, found in results.items()
        for row in found["rows"]
        if "agreement" in row and not row["agreement"][2]
    ]
