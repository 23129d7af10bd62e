"""Class imbalance: every remedy alone, and what trainwell chooses by itself, on held-out rows.

    python -m benchmarks.imbalance [digits|shuttle] [--splits N] [--first SEED]

For each split some rows train (with folds among them, as in a fit), all others are held out and
score. Remedies share networks' folds, seeds and learning rate. The automatic choice sees the
training rows alone; the best remedy in hindsight is chosen by the held-out rows. Shuttle needs
shuttle.csv.gz in the folder that TRAINWELL_DATA names.
Writes benchmarks/results/imbalance.md, and the numbers beside it as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainwell import metrics
from trainwell import model as models
from trainwell.arms import Arena, Arm, Cell, cells_of
from trainwell.coach.balancing import TRAINED, Balancer, posthoc, remedies
from trainwell.data.dataset import Dataset
from trainwell.data.read import read
from trainwell.data.split import make_split
from trainwell.options import Options, chosen_recipe
from trainwell.recipe import Recipe
from trainwell.stats import mean_interval

RESULTS = Path(__file__).parent / "results"
METRIC: metrics.Metric = "balanced_accuracy"
RATIO, LARGEST = 50, 100  # of the subset of digits: largest to smallest class; rows of the largest
MOST = 1_500  # training rows of a class of shuttle, at most


class Remembering(Arena):
    """An arena that trains the same recipe in the same cells once: bits would be the same."""

    def train(
        self, recipes: Sequence[Recipe], cells: Sequence[Cell], deadline: float | None = None
    ) -> list[Arm]:
        known: dict[tuple[Recipe, tuple[Cell, ...]], Arm] = self.__dict__.setdefault("known", {})
        key = tuple(cells)
        new = [r for r in dict.fromkeys(recipes) if (r, key) not in known]
        if new:
            found = super().train(new, cells, deadline)
            known |= {(r, key): a for r, a in zip(new, found, strict=True)}
        return [known[r, key] for r in recipes]


def digits(split: int) -> Dataset:
    """A long tail of digits, 50 : 1 from the largest to the smallest class, other ones each time;
    a table of pixels, so that SMOTE can take part."""
    from sklearn.datasets import load_digits

    found = load_digits()
    data = read((found.data, found.target))
    rng = np.random.default_rng(split)
    sizes = np.round(LARGEST * RATIO ** (-np.arange(10) / 9)).astype(int)
    return training_rows(data, dict(zip(rng.permutation(10).tolist(), sizes, strict=True)), rng)


def shuttle(split: int) -> Dataset:
    """Half of the rows of the rare classes, at most MOST of the others; the rest is held out."""
    data = dataclasses.replace(read("shuttle"), official_test=None)
    sizes = {c: min(n // 2, MOST) for c, n in enumerate(data.counts.tolist())}
    return training_rows(data, sizes, np.random.default_rng(split))


def training_rows(data: Dataset, sizes: dict[int, int], rng: np.random.Generator) -> Dataset:
    """The data with all rows but so many of each class as the test part."""
    held = np.ones(len(data), np.bool_)
    for c, size in sizes.items():
        held[rng.permutation(np.flatnonzero(data.labels == c))[:size]] = False
    return dataclasses.replace(data, official_test=held)


def one_split(data: Dataset, split: int, folds: int, seeds: int) -> dict[str, object]:
    """Held-out balanced accuracy of every remedy and of what is chosen automatically."""
    began = time.monotonic()
    parts = make_split(data, seed=split, folds=folds, test=0)
    arena = Remembering(data, parts, split)
    recipe = chosen_recipe(data, Options())
    ((recipe, _),) = arena.tuned([recipe])
    cells = cells_of(len(parts.folds), seeds, split)
    (start,) = arena.train([recipe], cells)
    held = parts.sealed.open("benchmark")
    balancer = Balancer(arena, METRIC, units=1e9)
    chosen = balancer.improve(start)
    arms = {"none": start}
    for changed in remedies(recipe, data.schema, posthoc(METRIC)):
        arms[repr(changed.balance)] = balancer.moved(start, changed)
    trained = remedies(recipe, data.schema, TRAINED)
    for changed, arm in zip(trained, arena.train(trained, cells), strict=True):
        arms[repr(changed.balance)] = arm
    scores = {name: score(data, arena, arm, held) for name, arm in arms.items()}
    counts = np.bincount(data.labels[parts.development])
    return {
        "split": split,
        "rows": int(counts.sum()),
        "ratio": float(counts.max() / counts[counts > 0].min()),
        "lr": recipe.lr,
        "scores": scores,
        "chosen": repr(chosen.arm.recipe.balance) if chosen.arm is not start else "none",
        "automatic": score(data, arena, chosen.arm, held),
        "gains": {
            d.tried: [d.outcome, d.difference and d.difference.value] for d in chosen.decisions
        },
        "seconds": round(time.monotonic() - began, 1),
    }


def score(data: Dataset, arena: Arena, arm: Arm, rows: np.ndarray) -> float:
    """Held-out balanced accuracy of the mean of an arm's networks, as a fit keeps them."""
    trained = [t for t in arm.trained if t is not None and t.best_epoch]
    layers = arena.trainer(arm.recipe).examples.inputs.layers
    whole = models.assemble(data.schema, data.classes, layers, trained)
    moved = models.balanced(whole, trained, data.inputs, data.labels)
    return metrics.balanced_accuracy(data.labels[rows], moved.probabilities(data.inputs, rows))


def summary(name: str, splits: list[dict[str, object]]) -> list[str]:
    """A table for one data set: means over splits with Student's intervals."""
    names = list(splits[0]["scores"])
    table = np.array([[s["scores"][n] for n in names] for s in splits])
    automatic = np.array([s["automatic"] for s in splits])
    order = np.argsort(-table.mean(axis=0))
    best = table[:, order[0]]

    def cell(values: np.ndarray, sign: str = "") -> str:
        found = mean_interval(100 * values)
        return f"{found.value:{sign}.1f} ({found.low:{sign}.1f} to {found.high:{sign}.1f})"

    chosen = [str(s["chosen"]) for s in splits]
    counted = ", ".join(f"{c} {chosen.count(c)}×" for c in dict.fromkeys(chosen))
    rows, ratio = splits[0]["rows"], splits[0]["ratio"]
    lines = [
        f"## {name}",
        "",
        f"{len(splits)} splits; {rows} training rows, {ratio:.0f} : 1. Chosen: {counted}.",
        "",
        "| remedy | balanced accuracy on held-out rows, % | automatic minus it, points |",
        "|---|---|---|",
        f"| **automatic** | **{cell(automatic)}** | |",
    ]
    lines += [
        f"| `{names[i]}` | {cell(table[:, i])} | {cell(automatic - table[:, i], '+')} |"
        for i in order
    ]
    oracle = table.max(axis=1)
    told = (
        f"Automatic minus the best remedy in hindsight, `{names[order[0]]}`: "
        f"{cell(automatic - best, '+')} points. Minus the best of each split by its held-out rows, "
        f"which nobody can know before: {cell(automatic - oracle, '+')}."
    )
    return [*lines, "", told, ""]


SETS = {"digits": (digits, 5, 3, 10), "shuttle": (shuttle, 5, 1, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SETS))
    parser.add_argument("--splits", type=int)
    parser.add_argument("--first", type=int, default=300, help="seed of the first split")
    asked = parser.parse_args()
    where = RESULTS / "imbalance.json"
    for name in asked.names:
        make, folds, seeds, count = SETS[name]
        splits = []
        for split in range(asked.first, asked.first + (asked.splits or count)):
            one = one_split(make(split), split, folds, seeds)
            print(name, split, one["seconds"], "s", one["chosen"], one["automatic"], flush=True)
            splits.append(one)
        found = json.loads(where.read_text()) if where.exists() else {}
        where.write_text(json.dumps(found | {name: splits}, indent=1) + "\n")
    found = json.loads(where.read_text())
    lines = [(__doc__ or "").split("\n")[0].replace("Class imbalance", "# Class imbalance"), ""]
    lines += ["`python -m benchmarks.imbalance`; intervals are 95 %, over splits.", ""]
    for name, splits in found.items():
        lines += summary(name, splits)
    (RESULTS / "imbalance.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
