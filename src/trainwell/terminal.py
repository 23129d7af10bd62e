"""What the command line prints: tables, and what a person wants to know of a run first."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def summary(result: Mapping[str, Any], report_path: Path) -> str:
    """What a person wants to know first: the answer, the yardsticks, where the report is."""
    part = "test" if result["test"] else "validation"
    scores, what = result[part], "sealed test" if result["test"] else "validation"
    a = scores["accuracy"]
    right = f"{result['name']}: {a['value']:.1%} right on {scores['n']} {what} examples"
    lines = ["", f"{right} (95 % interval {a['low']:.1%} to {a['high']:.1%})", ""]
    rows = [{"": "network", **_cells(scores)}]
    rows += [{"": b["name"], **_cells(b[part])} for b in result["baselines"] if b[part]]
    lines.append(table(rows, tuple(rows[0])))
    lines += [f"note: {w}" for w in result["warnings"]]
    lines += ["", f"report   {report_path}"]
    lines.append(f"predict  trainwell predict {shlex.quote(result['run'])} FILE -o out.csv")
    return "\n".join(lines)


def _cells(scores: dict[str, Any]) -> dict[str, str]:
    names = {"accuracy": "accuracy", "balanced_accuracy": "balanced", "log_loss": "log loss"}
    found = {}
    for key, title in names.items():
        ends = [scores[key][e] for e in ("value", "low", "high")]
        value, low, high = ("-" if e is None else f"{e:.3f}" for e in ends)
        found[title] = f"{value} [{low}, {high}]"
    return found


def table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Aligned columns of text, numbers to the right."""
    cells = [[_cell(row[c]) for c in columns] for row in rows]
    widths = [max(len(c), *(len(r[i]) for r in cells)) for i, c in enumerate(columns)]
    right = [all(isinstance(row[c], int | float) for row in rows) for c in columns]

    def line(values: list[str]) -> str:
        padded = [
            v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line([c.replace("_", " ") for c in columns]), *map(line, cells)])


def sections(rows: Mapping[str, list[dict[str, Any]]], columns: tuple[str, ...]) -> str:
    """Tables under titles, with the same widths of columns in all."""
    first, *lines = table([row for some in rows.values() for row in some], columns).splitlines()
    text, start = [first], 0
    for title, some in rows.items():
        text += ["", title, *(f"  {line}" for line in lines[start : start + len(some)])]
        start += len(some)
    text[0] = f"  {first}"
    return "\n".join(text)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
