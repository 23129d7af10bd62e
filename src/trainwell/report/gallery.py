"""A gallery: all finished runs of a folder on one page, grouped by data, best first."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainwell.errors import DataError
from trainwell.files import write_whole
from trainwell.report import plots
from trainwell.report.figures import both
from trainwell.report.numbers import finite
from trainwell.report.page import environment
from trainwell.report.verdict import SCORES, SHARES, deciding, judged
from trainwell.report.words import duration, points

Json = Mapping[str, Any]
SETTINGS = ("model", "augment", "regularize", "optimizer", "schedule", "lr", "balance")


def write_gallery(folder: Path) -> Path:
    """Write `folder`/gallery.html about the runs in it and return its path.

    Raises DataError when the folder holds no finished run. A run.json that cannot be read is
    listed with the reason.
    """
    runs, broken = read_runs(folder)
    if not runs:
        where = "; ".join(f"{name}: {why}" for name, why in broken)
        problem = f"no finished run in it{f' ({where})' if where else ''}"
        raise DataError(str(folder), problem, "Name a run folder, or a folder that holds some.")
    page = (
        environment()
        .get_template("gallery.html")
        .render(groups=groups(runs), broken=broken, folder=folder.resolve().name or str(folder))
    )
    out = folder / "gallery.html"
    write_whole(out, page.encode())
    return out


def read_runs(folder: Path) -> tuple[list[tuple[str, Json]], list[tuple[str, str]]]:
    """(name, content of run.json) of each run directly in a folder, and what cannot be read."""
    runs: list[tuple[str, Json]] = []
    broken: list[tuple[str, str]] = []
    for path in sorted(folder.glob("*/run.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            broken.append((path.parent.name, str(error)))
            continue
        if isinstance(facts, dict):
            runs.append((path.parent.name, facts))
        else:
            broken.append((path.parent.name, "run.json is not a JSON object"))
    return runs, broken


def groups(runs: list[tuple[str, Json]]) -> list[dict[str, Any]]:
    """Runs by data and part that judged them: a picture of their scores and a row for each.

    Only runs of the same data, the same part and the same number of rows stand together: others
    are not to be compared. The settings that differ inside a group are its columns.
    """
    found: dict[tuple[str, str, Any], list[tuple[str, Json]]] = {}
    for name, facts in runs:
        part = judged(facts)
        key = (str(facts.get("name")), part, (facts.get(part) or {}).get("n"))
        found.setdefault(key, []).append((name, facts))
    return [
        _group(number, *key, members)
        for number, (key, members) in enumerate(
            sorted(found.items(), key=lambda item: tuple(map(str, item[0])))
        )
    ]


def _group(
    number: int, data: str, part: str, rows: Any, members: list[tuple[str, Json]]
) -> dict[str, Any]:
    ordered = sorted(members, key=lambda m: -(_value(m[1], part) or -1.0))
    recipes = [m[1].get("recipe") or {} for m in ordered]
    differing = [k for k in SETTINGS if len({str(r.get(k)) for r in recipes}) > 1]
    dots = [_dot(name, facts, part) for name, facts in ordered]
    told = "; ".join(f"{r.label} {r.note}" for r in dots)

    def draw(name: str, width: float) -> str:
        title = f"Accuracy of {len(dots)} runs on {data}"
        return plots.intervals(dots, name=name, title=title, desc=told, width=width, guide=False)

    return {
        "data": data,
        "part": part,
        "rows": rows,
        "picture": both(draw, f"runs{number}"),
        "settings": differing,
        "runs": [
            {
                "name": name,
                "link": f"{name}/report.html",
                "scores": facts.get(part) or {},
                "time": duration(facts.get("seconds")),
                "started": started(facts.get("started")),
                "baseline": best_baseline(facts, part),
                "settings": [str((facts.get("recipe") or {}).get(k)) for k in differing],
            }
            for name, facts in ordered
        ],
    }


def started(stamp: Any) -> str:
    """The time of a run without seconds.

    >>> started("2026-11-23T16:04:59"), started(None)
    ('2026-11-23 16:04', '')
    """
    return str(stamp or "")[:16].replace("T", " ")


BASELINE_WORDS = {
    "better": "network better",
    "worse": "baseline better",
    "no difference that matters": "as good",
    "not shown": "not shown which is better",
}


def best_baseline(facts: Json, part: str) -> dict[str, str] | None:
    """The best baseline of a run on the same rows: name, score, and how it stands to the run.

    Best by the metric that decides in the run, or by accuracy where that is the log loss.
    """
    first = deciding(facts) if deciding(facts) in SHARES else "accuracy"
    found = [
        (float(value), b)
        for b in facts.get("baselines") or []
        if finite(value := ((b.get(part) or {}).get(first) or {}).get("value"))
    ]
    if not found:
        return None
    value, best = max(found, key=lambda f: f[0])
    of = "" if first == "accuracy" else f" {SCORES[first].lower()}"
    word = str((best.get("against") or {}).get("verdict") or "")
    return {
        "name": str(best.get("name")),
        "score": f"{points(value)} %{of}",
        "word": BASELINE_WORDS.get(word, word),
        "mark": "warning-text" if word == "worse" else "",
    }


def _dot(name: str, facts: Json, part: str) -> plots.Row:
    accuracy = (facts.get(part) or {}).get("accuracy") or {}
    low, high = (
        v if isinstance(v, int | float) else None for v in map(accuracy.get, ("low", "high"))
    )
    value = _value(facts, part)
    return plots.Row(name, value, low, high, "val", "" if value is None else f"{points(value)} %")


def _value(facts: Json, part: str) -> float | None:
    value = ((facts.get(part) or {}).get("accuracy") or {}).get("value")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
