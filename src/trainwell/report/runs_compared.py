"""The page of finished runs that were compared on the same rows: verdicts, scores, differences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainwell.files import write_whole
from trainwell.report import plots
from trainwell.report.figures import both
from trainwell.report.page import environment
from trainwell.terminal import difference_of_runs

Json = Mapping[str, Any]


def write_runs_compared(found: Json, folder: Path) -> Path:
    """Write compare.html into a folder and return its path. found: as of `compare_runs`."""
    path = folder / "compare.html"
    write_whole(path, render_runs_compared(found).encode("utf-8"))
    return path


def render_runs_compared(found: Json) -> str:
    """The page as text."""
    from markupsafe import Markup

    told = [difference_of_runs(c["difference"], found["metric"]) for c in found["comparisons"]]
    return (
        environment()
        .get_template("runs_compared.html")
        .render(found=found, told=told, picture=Markup(_picture(found)))
    )


def _picture(found: Json) -> str:
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
