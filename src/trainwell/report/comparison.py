"""Pages of comparisons: of two recipes (verdict, paired picture, what differs, all numbers), and of
finished runs on the same rows (verdicts, scores, differences).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.files import write_whole
from trainwell.report import plots
from trainwell.report.figures import both
from trainwell.report.page import environment
from trainwell.report.paired import Pairs, paired
from trainwell.terminal import difference_of_runs
from trainwell.verdict import per_cent

Json = Mapping[str, Any]


def write_comparison(found: Json, folder: Path) -> Path:
    """Write compare.html into a folder and return its path. found: as `Compared.to_json`."""
    return _written(render_comparison(found), folder)


def _written(page: str, folder: Path) -> Path:
    path = folder / "compare.html"
    write_whole(path, page.encode("utf-8"))
    return path


def render_comparison(found: Json) -> str:
    """The page as text."""
    from markupsafe import Markup

    a, b = found["recipes"]["a"], found["recipes"]["b"]
    fields = [(name, a[name], b[name]) for name in a if a[name] != b.get(name)]
    return (
        environment()
        .get_template("comparison.html")
        .render(
            found=found,
            fields=fields,
            level=per_cent(found["confidence"]),
            picture=Markup(picture(found)),
        )
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


def write_runs_compared(found: Json, folder: Path) -> Path:
    """Write compare.html into a folder and return its path. found: as of `compare_runs`."""
    return _written(render_runs_compared(found), folder)


def render_runs_compared(found: Json) -> str:
    """The page as text."""
    from markupsafe import Markup

    told = [difference_of_runs(c["difference"], found["metric"]) for c in found["comparisons"]]
    return (
        environment()
        .get_template("runs_compared.html")
        .render(found=found, told=told, picture=Markup(_scores(found)))
    )


def _scores(found: Json) -> str:
    """The scores with their intervals, in two widths."""
    name = str(found["metric"]).replace("_", " ")
    dots = [
        plots.Row(s["run"], s["value"], s["low"], s["high"], "val", f"{s['value']:.3f}")
        for s in found["scores"]
    ]
    told = "; ".join(f"{d.label} {d.note}" for d in dots)

    def draw(key: str, width: float) -> str:
        title = f"{name.capitalize()} of {len(dots)} runs on {found['data']}"
        return plots.intervals(dots, name=key, title=title, desc=told, width=width, guide=False)

    return both(draw, "runs")
