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
from trainwell.report.mistakes import cards, read_mistakes
from trainwell.report.numbers import finite
from trainwell.run import whole

if TYPE_CHECKING:
    import jinja2

Json = Mapping[str, Any]

SHARES = ("accuracy", "balanced_accuracy", "macro_f1")
SCORES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}
PARTS = {"test": "Test, sealed", "validation": "Validation, out of fold", "train": "Training"}

# Facts about the data, in the order of the page; the others are drawn or listed elsewhere.
DATA_NAMES = {
    "rows": "Rows",
    "official_test_rows": "Rows of the official test part",
    "shape": "Shape of one example",
    "features": "Features",
    "picture": "Picture",
    "clips": "Clips",
    "range": "Smallest to largest value",
    "imbalance": "Largest to smallest class",
    "duplicates": "Rows that repeat an earlier one",
    "conflicting_rows": "Rows with a twin of another label",
    "official_test_duplicates": "Official test rows that occur in training",
    "missing_cells": "Missing cells",
    "missing": "Missing cells by column",
    "constant_features": "Constant features",
    "groups": "Groups",
}
DATA_ELSEWHERE = ("counts", "skipped", "notes")


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
    """Pictures (M, C, H, W) and labels (M,) of examples.npz, or None."""
    path = run / "examples.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        if not {"images", "labels"} <= set(stored.files):
            return None
        return stored["images"], stored["labels"]


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
    return (
        environment()
        .get_template("page.html")
        .render(
            run=facts,
            headline=headline(facts),
            verdict=verdict(facts),
            score_names=score_names(facts),
            yardsticks=yardsticks(facts),
            parts=[(PARTS[p], facts[p]) for p in PARTS if facts.get(p)],
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
            folder=contents(folder) if folder else [],
            voting=ensemble.view(facts.get("ensemble")),
        )
    )


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
    return found


def contents(folder: Path) -> list[str]:
    """Names in the run folder, the report with them; folders end with a slash."""
    files = [p for p in folder.iterdir() if p.name != "checkpoint"]  # gone when the run is complete
    names = {p.name + ("/" if p.is_dir() else "") for p in files}
    return sorted(names | {"report.html"})


# ---- words made of numbers ------------------------------------------------------------------


def points(value: Any, digits: int = 1) -> str:
    """A share as per cent without the sign.

    >>> points(0.98333), points(None)
    ('98.3', '–')
    """
    return f"{100 * value:.{digits}f}" if finite(value) else "–"


def score_cell(interval: Any, name: str = "") -> tuple[str, str]:
    """A score and its interval as a table shows them.

    >>> score_cell({"value": 0.98333, "low": 0.9642, "high": 0.9924}, "accuracy")
    ('98.3 %', '96.4–99.2')
    >>> score_cell({"value": 0.0621, "low": None, "high": None}, "log_loss")
    ('0.062', '')
    """
    if not isinstance(interval, Mapping) or not finite(interval.get("value")):
        return "–", ""
    low, value, high = (interval.get(k) for k in ("low", "value", "high"))
    ends = finite(low) and finite(high)
    if name == "log_loss":
        return f"{value:.3f}", f"{low:.3f}–{high:.3f}" if ends else ""
    return f"{points(value)} %", f"{points(low)}–{points(high)}" if ends else ""


def duration(seconds: Any) -> str:
    """Seconds in words.

    >>> duration(41.2), duration(185), duration(7320)
    ('41.2 s', '3 min 5 s', '2 h 2 min')
    """
    if not finite(seconds):
        return "–"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def plain(value: Any) -> str:
    """Any JSON value on one line, as a person would write it.

    >>> plain({"train": 3, "test": 1}), plain([]), plain(84234), plain(True), plain(0.05)
    ('train 3, test 1', 'none', '84,234', 'yes', '0.05')
    """
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {plain(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return str(value)


def judged(facts: Json) -> str:
    """The part the headline speaks of: the test part where there is one."""
    return "test" if facts.get("test") else "validation"


def deciding(facts: Json) -> str:
    """The metric that decided and is told first."""
    name = str((facts.get("metric") or {}).get("name") or "accuracy")
    return name if name in SCORES else "accuracy"


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
    answer = f"{value} right" if first == "accuracy" else f"{SCORES[first].lower()} {value}"
    return {
        "name": str(facts.get("name") or "run"),
        "answer": answer,
        "on": f"{count}{kind}",
        "interval": interval,
        "part": part,
    }


def verdict(facts: Json) -> str:
    """One sentence: do the intervals show that the network beats the best baseline?"""
    part = judged(facts)
    first = deciding(facts) if deciding(facts) in SHARES else "accuracy"
    network = (facts.get(part) or {}).get(first) or {}
    found = [
        (scores["value"], str(b.get("name")), scores)
        for b in facts.get("baselines") or []
        if finite((scores := (b.get(part) or {}).get(first) or {}).get("value"))
    ]
    if not found or not finite(network.get("value")):
        return ""
    value, name, scores = max(found, key=lambda f: f[0])
    gap = 100 * (network["value"] - value)
    ahead = f"{abs(gap):.1f} points {'above' if gap >= 0 else 'below'}"
    by = "" if first == "accuracy" else f", {SCORES[first].lower()}"
    best = f"the best baseline ({name}, {points(value)} %{by})"
    ends = [network.get("low"), network.get("high"), scores.get("low"), scores.get("high")]
    if not all(map(finite, ends)):
        return f"The network is {ahead} {best}; without intervals that shows little."
    if network["low"] > scores["high"]:
        return (
            f"The network is {ahead} {best}, and the two intervals do not overlap: "
            "on data like these, the network is better."
        )
    if network["high"] < scores["low"]:
        return (
            f"The network is {ahead} {best}, and the two intervals do not overlap: "
            f"on data like these, use {name} instead."
        )
    if abs(gap) < 0.05:
        return (
            f"The network and {best} {'are equally often right' if not by else 'score alike'}: "
            "these rows do not show that the network is needed."
        )
    side = "better" if gap > 0 else "worse"
    return (
        f"The network is {ahead} {best}, but the two intervals overlap: these "
        f"{plain((facts.get(part) or {}).get('n'))} rows alone do not show that it is {side}. "
        "Nor do they show that the two are equal."
    )


def gap(facts: Json) -> str:
    """Training against validation accuracy, in words."""
    train, validation = (
        ((facts.get(p) or {}).get("accuracy") or {}).get("value") for p in ("train", "validation")
    )
    if not finite(train) or not finite(validation):
        return ""
    return (
        f"With the weights of each member's best epoch: {points(train)} % right on training rows, "
        f"{points(validation)} % on validation rows, a gap of "
        f"{points(train - validation)} points."
    )


def trust(facts: Json) -> str:
    """Is the network as often right as it is sure? In words, with the calibration error."""
    scores = facts.get(judged(facts)) or {}
    error, right = scores.get("ece") or {}, scores.get("accuracy") or {}
    bins = facts.get("reliability") or []
    rows = sum(b["n"] for b in bins)
    if not rows or not finite(error.get("value")) or not finite(right.get("value")):
        return ""
    sure = sum(b["n"] * b["confidence"] for b in bins) / rows
    told = (
        f"On average it is {points(sure)} % sure and {points(right['value'])} % right; "
        f"the calibration error is {points(error['value'])} points"
    )
    if all(finite(error.get(k)) for k in ("low", "high")):
        told += f" (95 % interval {points(error['low'])}–{points(error['high'])})"
    off = [b for b in bins if not b["accuracy"]["low"] <= b["confidence"] <= b["accuracy"]["high"]]
    if not off:
        return f"{told}. No bin is outside its interval: take its probabilities at their word."
    over = sum(b["confidence"] > b["accuracy"]["high"] for b in off)
    side = "too sure" if over == len(off) else "not sure enough" if not over else "off"
    return f"{told}. In {len(off)} of {len(bins)} bins it is {side}."


def data_rows(data: Json) -> list[tuple[str, str]]:
    """Facts about the data as (name, value), without those drawn or listed elsewhere."""
    ordered = [k for k in DATA_NAMES if k in data] + [
        k for k in data if k not in DATA_NAMES and k not in DATA_ELSEWHERE
    ]
    rows = []
    for key in ordered:
        value = data[key]
        words = plain(value)
        if key == "shape" and isinstance(value, list | tuple):
            words = " × ".join(map(str, value))
        elif key == "range" and isinstance(value, list | tuple):
            words = " to ".join(map(plain, value))
        elif key == "imbalance" and finite(value):
            words = f"{value:.2f} : 1"
        elif key == "groups" and isinstance(value, Mapping):
            words = f"{len(value):,} ({plain(dict(list(value.items())[:6]))}" + (
                ", …)" if len(value) > 6 else ")"
            )
        rows.append((DATA_NAMES.get(key, key.replace("_", " ").capitalize()), words))
    return rows
