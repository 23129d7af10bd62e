"""The page of a comparison: verdict, paired picture, what differs, all numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.files import write_whole
from trainwell.report.figures import both
from trainwell.report.page import environment
from trainwell.report.paired import Pairs, paired

Json = Mapping[str, Any]


def write_comparison(found: Json, folder: Path) -> Path:
    """Write compare.html into a folder and return its path. found: as `Compared.to_json`."""
    path = folder / "compare.html"
    write_whole(path, render_comparison(found).encode("utf-8"))
    return path


def render_comparison(found: Json) -> str:
    """The page as text."""
    from markupsafe import Markup

    a, b = found["recipes"]["a"], found["recipes"]["b"]
    fields = [(name, a[name], b[name]) for name in a if a[name] != b.get(name)]
    return (
        environment()
        .get_template("comparison.html")
        .render(found=found, fields=fields, picture=Markup(picture(found)))
    )


def picture(found: Json) -> str:
    """The paired picture, in two widths."""
    cells, ends = found["cells"], found["difference"]
    nan = float("nan")
    pairs = Pairs(
        ("A", "B"),
        np.array([c["a"] for c in cells]),
        np.array([c["b"] for c in cells]),
        [c["fold"] for c in cells],
        nan if ends["low"] is None else ends["low"],
        nan if ends["high"] is None else ends["high"],
        found["region"],
        found["unit"],
    )

    def draw(name: str, width: float) -> str:
        title = f"Scores of A and B in {len(cells)} trainings each, and their differences"
        return paired(pairs, name=name, title=title, desc=str(found["words"]), width=width)

    return both(draw, "paired")
