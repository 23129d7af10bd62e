"""The report: one self-contained HTML file, written from the files of a run folder alone.

`write_report(run)` reads run.json, history.csv, probes.csv and, if it is there, examples.npz.
Whatever an older run lacks is left out of the page. Words are in templates/, numbers are made here.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainwell.errors import DataError
from trainwell.report import coaching, ensemble, figures, findings, generated
from trainwell.report.augmented import augmented_sheet, read_augmented
from trainwell.report.contents import with_contents
from trainwell.report.data import column_rows, data_rows, sounds
from trainwell.report.mistakes import cards, read_mistakes
from trainwell.report.numbers import finite
from trainwell.report.verdict import (
    SCORES,
    chosen,
    deciding,
    gap,
    judged,
    sample_words,
    trust,
    verdict,
)
from trainwell.report.words import breakable, duration, plain, score_cell
from trainwell.report.words import points as points  # other pages take it from here
from trainwell.run import whole
from trainwell.terminal import unmeasured

if TYPE_CHECKING:
    import jinja2

Json = Mapping[str, Any]

PARTS = {
    "test": "Test, sealed",
    "validation": "Validation, out of fold",
    "train": "Training, mean of single networks",
}


def write_report(run: Path) -> Path:
    """Write `run`/report.html and return its path."""
    path = Path(run) / "run.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(str(path), "not found", "Name the folder of a finished run.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(str(path), f"not JSON ({error})", "Train again.") from error
    if not isinstance(facts, dict):
        raise DataError(str(path), "not a JSON object", "Train again.")
    with whole(Path(run) / "history.csv"):
        history = read_history(Path(run) / "history.csv")
    with whole(Path(run) / "examples.npz"):
        examples = read_examples(Path(run))
    with whole(Path(run) / "probes.csv"):
        probes = read_probes(Path(run) / "probes.csv")
    with whole(Path(run) / "mistakes.npz"):
        mistakes = read_mistakes(Path(run))
    with whole(Path(run) / "augmented.npz"):
        augmented = augmented_sheet(facts, read_augmented(Path(run)))
    page = render(facts, history, examples, Path(run), probes, mistakes, augmented)
    out = Path(run) / "report.html"
    out.write_text(page, encoding="utf-8")
    return out


def read_history(path: Path) -> list[dict[str, float]]:
    """Rows of history.csv; an empty or unreadable cell is nan. No file: no rows."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: _number(v) for k, v in row.items() if k} for row in csv.DictReader(file)]


def read_probes(path: Path) -> list[dict[str, Any]]:
    """Rows of probes.csv, numbers but for the layer's name. No file: no rows."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {k: v if k == "layer" else _number(v) for k, v in row.items() if k}
            for row in csv.DictReader(file)
            if row.get("layer") and math.isfinite(_number(row.get("epoch")))
        ]


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return math.nan


def read_examples(run: Path) -> tuple[Any, Any] | None:
    """Pictures (M, C, H, W) or clips (M, T), and labels (M,), of examples.npz; or None."""
    path = run / "examples.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        shown = next((name for name in ("images", "clips") if name in stored.files), None)
        if shown is None or "labels" not in stored.files:
            return None
        return stored[shown], stored["labels"]


def render(
    facts: Json,
    history: Sequence[Mapping[str, float]] = (),
    examples: tuple[Any, Any] | None = None,
    folder: Path | None = None,
    probes: Sequence[Mapping[str, Any]] = (),
    mistakes: Any = None,
    augmented: Mapping[str, Any] | None = None,
) -> str:
    """The page as text."""
    page = (
        environment()
        .get_template("page.html")
        .render(
            run=facts,
            headline=headline(facts),
            verdict=verdict(facts),
            score_names=score_names(facts),
            yardsticks=yardsticks(facts),
            parts=[(PARTS[p], facts[p]) for p in PARTS if facts.get(p)],
            sample=sample_words(facts),
            chosen=chosen(facts),
            figures=figures.all_figures(facts, history, examples, probes),
            findings=findings.numbered(facts),
            coach=coaching.view(facts),
            coach_rates=coaching.chosen_rates(facts),
            networks=figures.chosen_networks(history),
            gap=gap(facts),
            trust=trust(facts),
            mistakes=cards(facts, mistakes),
            augmented=augmented,
            generated=generated.sections(facts, folder),
            data_rows=data_rows(facts.get("data") or {}),
            columns=column_rows(facts.get("data") or {}),
            sounds=sounds(facts, examples),
            initial=findings.initial_rows(facts),
            folder=contents(folder) if folder else [],
            voting=ensemble.view(facts.get("ensemble")),
        )
    )
    return with_contents(page)


def environment() -> jinja2.Environment:
    """Templates with escaping on, and the words that they make of numbers."""
    import jinja2

    def load(name: str) -> str:
        return (files("trainwell.report") / "templates" / name).read_text(encoding="utf-8")

    found = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    found.filters |= {"points": points, "score": score_cell, "plain": plain, "time": duration}
    found.filters |= {"breakable": breakable}
    return found


def contents(folder: Path) -> list[str]:
    """Names in the run folder, the report with them; folders end with a slash."""
    files = [p for p in folder.iterdir() if p.name != "checkpoint"]  # gone when the run is complete
    names = {p.name + ("/" if p.is_dir() else "") for p in files}
    return sorted(names | {"report.html"})


# ---- words about the run ----------------------------------------------------------------------


def score_names(facts: Json) -> dict[str, str]:
    """The scores in the order of the page: the one that decided first."""
    first = deciding(facts)
    return {first: SCORES[first], **SCORES}


def yardsticks(facts: Json) -> list[tuple[str, Any]]:
    """The network and its yardsticks on the rows that judge, where classes are uneven."""
    if not (facts.get("imbalance") or {}).get("imbalanced"):
        return []
    part = judged(facts)
    rows = [("network", facts.get(part))]
    rows += [(str(b.get("name")), b.get(part)) for b in facts.get("baselines") or []]
    return [(name, scores) for name, scores in rows if scores]


def headline(facts: Json) -> dict[str, str]:
    """The answer: name, number, and what the number was measured on."""
    part = judged(facts)
    scores = facts.get(part) or {}
    first = deciding(facts)
    found = scores.get(first) or {}
    value, interval = score_cell(found, first)
    n = scores.get("n")
    count = f"{n:,} " if finite(n) else ""
    kind = "sealed test examples" if part == "test" else "validation examples, out of fold"
    partly = unmeasured(facts)
    answer = f"{value} right" if first == "accuracy" else f"{SCORES[first].lower()} {value}"
    if partly:
        what = "rows" if first == "accuracy" else SCORES[first].lower()
        answer = f"{what} of {partly['share']} {value}{' right' if first == 'accuracy' else ''}"
    return {
        "name": str(facts.get("name") or "run"),
        "answer": answer,
        "on": f"{count}{kind}",
        "interval": interval,
        "part": part,
        "partly": str(partly.get("words") or ""),
    }
