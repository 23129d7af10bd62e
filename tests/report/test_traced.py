"""Every number that the report shows comes from run.json or the tables beside it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwell as tw
from trainwell.report import page

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
TEMPLATES = Path(page.__file__).parent / "templates"


class Shown(HTMLParser):
    """Text that a reader sees or hears: no styles, scripts, ids, and no ticks of an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.silent = 0
        self.open: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        css = (dict(attrs).get("class") or "").split()
        hidden = tag in ("style", "script") or "tick" in css or "badge-number" in css
        if tag not in ("meta", "img", "br", "input"):
            self.open.append(hidden)
            self.silent += hidden

    def handle_endtag(self, tag: str) -> None:
        if self.open:
            self.silent -= self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.words.append(data)


def leaves(value: Any) -> Iterator[Any]:
    """Every single value, every key, and the length of every list and table."""
    if isinstance(value, dict):
        yield len(value)
        for k, v in value.items():
            yield str(k)
            yield from leaves(v)
    elif isinstance(value, list):
        yield len(value)
        for v in value:
            yield from leaves(v)
    else:
        yield value


def written(value: float) -> set[str]:
    """How a page may write a number: as it is, rounded, or as a share in per cent."""
    found = set()
    for v in (value, abs(value), 100 * value, abs(100 * value), 1 - value, 100 * (1 - value)):
        found |= {f"{v:.{d}f}" for d in range(5)} | {f"{v:.{d}g}" for d in range(1, 8)}
        found.add(f"{v:,.0f}")
    return found


def known(facts: dict[str, Any], tables: list[dict[str, Any]]) -> set[str]:
    """Every number that may stand in the page."""
    found: set[str] = set()
    for leaf in [*leaves(facts), *leaves(tables)]:
        if isinstance(leaf, bool) or leaf is None:
            continue
        if isinstance(leaf, int | float):
            found |= written(float(leaf)) if math.isfinite(leaf) else set()
        else:
            found |= set(NUMBER.findall(str(leaf)))
    return found


def layer_means(probes: list[dict[str, Any]]) -> set[str]:
    """What the pictures of layers show: means over networks by layer and epoch."""
    cells: dict[tuple[Any, ...], list[float]] = {}
    for row in probes:
        for column in ("update", "dead", "saturated"):
            if math.isfinite(row[column]):
                cells.setdefault((row["layer"], row["epoch"], column), []).append(row[column])
        if math.isfinite(row["dead"] + row["saturated"]):
            both = cells.setdefault((row["layer"], row["epoch"], "both"), [])
            both.append(row["dead"] + row["saturated"])
    means = [sum(values) / len(values) for values in cells.values()]
    return set().union(*map(written, means)) | {"1e-5", "1e-1", "1e-3"}


def derived(facts: dict[str, Any], history: list[dict[str, float]]) -> set[str]:
    """Numbers that the page computes: differences of two scores, means by epoch, times in words."""
    part = "test" if facts.get("test") else "validation"
    own = facts[part]["accuracy"]["value"]
    pairs = [(facts["train"]["accuracy"]["value"], facts["validation"]["accuracy"]["value"])]
    pairs += [(own, b[part]["accuracy"]["value"]) for b in facts["baselines"] if b.get(part)]
    found = set().union(*(written(a - b) for a, b in pairs))
    for column in ("train_loss", "val_loss", "train_accuracy", "val_accuracy"):
        by_epoch: dict[float, list[float]] = {}
        for row in history:
            if math.isfinite(row[column]):
                by_epoch.setdefault(row["epoch"], []).append(row[column])
        for values in by_epoch.values():
            for v in (sum(values) / len(values), min(values), max(values)):
                found |= written(v)
    for row in facts["confusion"]:
        found |= {f"{sum(row):,}"}
        found |= set().union(*(written(n / max(sum(row), 1)) for n in row))
    found |= {f"{sum(map(sum, facts['confusion'])):,}"}
    found |= {f"{sum(r[i] for i, r in enumerate(facts['confusion'])):,}"}
    bins = facts["reliability"]
    found |= written(sum(b["n"] * b["confidence"] for b in bins) / sum(b["n"] for b in bins))
    found |= set(NUMBER.findall(page.duration(facts["seconds"])))
    return found


def fixed() -> set[str]:
    """Numbers that are words of the templates and of the pictures, such as "95 % interval"."""
    text = " ".join(p.read_text(encoding="utf-8") for p in TEMPLATES.glob("*.html"))
    plain = re.sub(r"\{[{%#].*?[}%#]\}", " ", text, flags=re.S)
    return set(NUMBER.findall(re.sub(r"<[^>]*>", " ", plain))) | {"95", "0.5"}


def mixed() -> Any:
    """A table with words, dates, missing cells and repeats."""
    import pandas as pd

    rng = np.random.default_rng(0)
    size = rng.normal(size=160)
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(160) < 0.1, np.nan, size.round(3)),
            "colour": rng.choice(["red", "blue", "mauve"], 160, p=[0.6, 0.38, 0.02]),
            "since": pd.Timestamp("2019-01-01") + pd.to_timedelta(rng.integers(0, 900, 160), "D"),
            "kind": np.where(size + rng.normal(size=160) > 0, "large", "small"),
        }
    )
    return pd.concat([frame, frame.iloc[:5]], ignore_index=True)


@pytest.fixture(scope="module", params=["iris", "digits", "mixed"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traced") / request.param
    quick: dict[str, Any] = {"epochs": 4, "lr": 0.01}
    if request.param == "digits":
        quick["model"] = tw.Mlp(hidden=(16,))
    source = mixed() if request.param == "mixed" else request.param
    target = "kind" if request.param == "mixed" else None
    done = tw.fit(source, target=target, settings=quick, folds=2, seeds=2, coach=False, out=folder)
    return done.folder


def test_every_number_of_the_page_is_in_the_files_of_the_run(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    history = page.read_history(run / "history.csv")
    probes = page.read_probes(run / "probes.csv")
    allowed = known(facts, list(history)) | derived(facts, history) | fixed()
    allowed |= layer_means(probes)
    seen = Shown()
    seen.feed((run / "report.html").read_text(encoding="utf-8"))
    numbers = NUMBER.findall(" ".join(seen.words))
    assert len(numbers) > 300
    strange = [n for n in numbers if n not in allowed and n.replace(",", "") not in allowed]
    assert not strange, sorted(set(strange))


def test_a_number_from_nowhere_would_be_seen(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    history = page.read_history(run / "history.csv")
    assert "31415.9265" not in known(facts, list(history)) | derived(facts, history) | fixed()
