"""The coached recipe on open data against the recipe it began with, and a random search.

python -m benchmarks.coach_open_sets [--splits 4] [--processes 2] [--sets wine,digits]

Every split draws rows anew, seals a test part and makes three folds (by speaker for spoken digits).
Three ways to a recipe, of equal cost in epochs trained: the starting recipe with a searched
rate; the coach from there; a random search over the fields that the coach may touch, whose best
recipe by validation (the start among them) is taken. Each ends with one network per fold; their
mean is scored on the sealed rows. Nothing is chosen on these.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.doctor.data import pool
from trainwell import metrics
from trainwell.arms import Arena, Arm, cells_of
from trainwell.coach import changes
from trainwell.coach.balancing import Balancer
from trainwell.coach.loop import Coach
from trainwell.coach.run import ONE_ROUND, improve
from trainwell.comparing_arms import score_of
from trainwell.data.dataset import Dataset
from trainwell.data.samples import load_sample
from trainwell.data.split import Split, make_split
from trainwell.metrics import Metric
from trainwell.model import assemble, balanced
from trainwell.paired import paired_difference
from trainwell.recipe import Recipe, starting_recipe
from trainwell.recipe_check import check_against
from trainwell.seeding import numpy_stream
from trainwell.techniques.models import Cnn, Mlp
from trainwell.techniques.optim.first_order import Adam, Momentum, Nesterov
from trainwell.techniques.preprocess import LogMel, Standardize
from trainwell.techniques.regularize import L2, Dropout, InputDropout, LabelSmoothing, MaxNorm
from trainwell.techniques.schedules import Constant, Cosine

RESULTS = Path(__file__).parent / "results"
FOLDS, COST = 3, 10.0  # folds; trainings of the starting recipe that each search may cost
Arms = dict[str, float]


@dataclass(frozen=True)
class OpenSet:
    """A set, how many rows are drawn (None: all), the share sealed, and the metric.

    pool: from the doctor's zoo, which has the pictures at 14 × 14.
    """

    name: str
    rows: int | None = None
    test: float = 0.3
    metric: Metric = "accuracy"
    pool: str | None = None


SETS = (
    OpenSet("wine"),
    OpenSet("breast_cancer"),
    OpenSet("digits"),
    OpenSet("letter", 4000, 0.5),
    OpenSet("satellite", 3000, 0.5),
    OpenSet("credit", 3000, 0.5),
    OpenSet("shuttle", 6000, 0.5, "balanced_accuracy"),
    OpenSet("mnist-1000", 3000, 2 / 3, pool="mnist14"),
    OpenSet("fashion-5000", 7000, 2 / 7, pool="fashion14"),
    OpenSet("spoken digits", None, 0.25),
)


def main() -> None:
    """Every set and split, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--sets", default="")
    parser.add_argument("--minutes", type=float, default=12.0, help="no draw begins later")
    parser.add_argument("--out", type=Path, default=RESULTS / "coach")
    given = parser.parse_args()
    names = set(filter(None, given.sets.split(",")))
    sets = [s for s in SETS if not names or s.name in names]
    jobs = [(s, split) for split in range(given.splits) for s in sets]
    began, found = time.perf_counter(), []
    with ProcessPoolExecutor(given.processes) as executor:
        end = time.time() + 60 * given.minutes
        for one in executor.map(one_split, *zip(*jobs, strict=True), [end] * len(jobs)):
            if one is None:
                continue
            found.append(one)
            print(
                f"{len(found):3d}/{len(jobs)} {(time.perf_counter() - began) / 60:5.1f} min "
                f"{one['set']:15s} {one['split']} "
                + " ".join(f"{k} {v:.4f}" for k, v in one["test"].items())
                + f" {one['seconds']} {'; '.join(one['adopted'])}",
                flush=True,
            )
    text = table(found, sets)
    print(text)
    given.out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    given.out.with_suffix(".json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def drawn(one: OpenSet, split: int) -> tuple[Dataset, Split]:
    """Rows of a set, and their division."""
    sample = {"spoken digits": "fsdd"}.get(one.name, one.name)
    data = pool(one.pool) if one.pool else load_sample(sample)
    data = dataclasses.replace(data, official_test=None)
    if one.rows is not None and one.rows < len(data):
        rows = np.sort(numpy_stream(split, "open set", one.name).permutation(len(data))[: one.rows])
        counts = np.bincount(data.labels[rows], minlength=len(data.classes))
        kept = np.flatnonzero(counts >= 10)  # of each fold and of the test part some
        rows = rows[np.isin(data.labels[rows], kept)]
        place = np.full(len(counts), -1)
        place[kept] = np.arange(len(kept))
        data = dataclasses.replace(
            data,
            inputs=np.asarray(data.inputs[rows]),
            labels=place[data.labels[rows]],
            classes=tuple(data.classes[c] for c in kept),
            names=tuple(data.names[r] for r in rows),
        )
    return data, make_split(data, seed=split, folds=FOLDS, test=one.test)


def start_of(data: Dataset, rows: int) -> Recipe:
    """The starting recipe for these data; pictures and clips with a network that two cores train
    in seconds, and at most 20 epochs, so that all searches fit into some minutes."""
    recipe = starting_recipe(data.schema, rows)
    if isinstance(recipe.model, Cnn):
        recipe = dataclasses.replace(recipe, model=Cnn(channels=(8, 16), depth=1), epochs=10)
    if data.kind == "audio":
        heard = (LogMel(bands=16, hop=0.04), Standardize(per="channel"))
        recipe = dataclasses.replace(recipe, preprocess=heard)
    epochs = min(recipe.epochs, 20)
    return dataclasses.replace(recipe, epochs=epochs, patience=epochs)


def one_split(one: OpenSet, split: int, end: float) -> dict[str, Any] | None:
    """Test scores of the three ways on one split; None where the time is over."""
    import torch

    if time.time() > end:
        return None

    torch.set_num_threads(1)
    data, parts = drawn(one, split)
    rows = parts.sealed.open("benchmark")
    arena = Arena(data, parts, split, jobs=1, probing=True)
    began = time.perf_counter()
    ((first, _),) = arena.tuned([start_of(data, len(parts.folds[0].train))])
    cells = cells_of(FOLDS, 1, split)
    (start,) = arena.train([first], cells)
    times = [time.perf_counter() - began]
    coach = Coach(arena, one.metric, units=COST * len(cells))
    balancer = Balancer(arena, one.metric, units=COST * len(cells))
    _, coached = improve(start, balancer, coach, ONE_ROUND * len(cells))
    times.append(time.perf_counter() - began - times[0])
    searched = random_search(arena, start, one.metric, COST * len(cells), split)
    times.append(time.perf_counter() - began - sum(times))
    arms = {"start": start, "coach": coached.arm, "random": searched}
    return {
        "set": one.name,
        "split": split,
        "metric": one.metric,
        "rows": len(rows),
        "train": len(parts.folds[0].train),
        "test": {k: on_rows(arena, a, rows, one.metric) for k, a in arms.items()},
        "validation": {k: float(score_of(a, one.metric).mean()) for k, a in arms.items()},
        "adopted": [d.tried for d in coached.decisions if d.outcome == "adopted"],
        "tried": len(coached.decisions),
        "cost": coached.cost / len(cells),
        "seconds": [round(t, 1) for t in times],
    }


def random_search(arena: Arena, start: Arm, metric: Metric, units: float, seed: int) -> Arm:
    """The best by validation of as many random recipes as the cost allows, and the start.

    Each is trained on the first fold; the best is then trained on every fold, and taken if its
    validation score there is above that of the start. Recipes are never longer than the start.
    """
    rng = numpy_stream(seed, "random search")
    count = int(units - len(start.cells))
    recipes = [random_recipe(start.recipe, arena.data, rng) for _ in range(count)]
    tried = arena.train(recipes, start.cells[:1])
    best = max(tried, key=lambda arm: float(score_of(arm, metric)[0]))
    (whole,) = arena.train([best.recipe], start.cells)
    ours, theirs = (float(score_of(a, metric).mean()) for a in (start, whole))
    return whole if theirs > ours else start


def random_recipe(start: Recipe, data: Dataset, rng: np.random.Generator) -> Recipe:
    """A recipe whose fields are drawn from what the coach may put there."""

    def one_of(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    regularize: list[Any] = [L2(one_of(1e-5, 1e-4, 1e-3, 1e-2))]
    if rng.random() < 0.6:
        regularize.append(Dropout(one_of(0.1, 0.2, 0.3, 0.5)))
    others = (InputDropout(0.2), MaxNorm(3.0), LabelSmoothing(0.1))
    regularize += [kind for kind in others if rng.random() < 0.2]
    model = start.model
    if isinstance(model, Mlp):
        width, depth = one_of(0.5, 1, 2), one_of(1, 2, 3)
        hidden = (max(8, round(width * model.hidden[0])),) * depth
        model = Mlp(hidden, norm=one_of("batch", "none"), activation=one_of("relu", "leaky_relu"))
    elif isinstance(model, Cnn):
        factor = one_of(0.5, 1, 2)
        channels = tuple(round(factor * c) for c in model.channels)
        model = dataclasses.replace(model, channels=channels)
    augment = ()
    if rng.random() < 0.5:
        offered = [c.recipe.augment for c in changes.augmented(start, "random", data.schema)]
        augment = one_of(*offered)
    optimizer = one_of(Adam(), Adam(), Momentum(), Nesterov())
    recipe = dataclasses.replace(
        start,
        model=model,
        regularize=tuple(regularize),
        augment=augment,
        optimizer=optimizer,
        schedule=one_of(Cosine(warmup=0.05), Cosine(warmup=0.05), Constant()),
        lr=float(optimizer.usual_rate * 10 ** rng.uniform(-1, 1)),
    )
    check_against(recipe, data.schema)
    return recipe


def on_rows(arena: Arena, arm: Arm, rows: Any, metric: Metric) -> float:
    """The score of the mean of an arm's networks on rows that nothing has seen."""
    data = arena.data
    layers = arena.trainer(arm.recipe).examples.inputs.layers
    trained = [t for t in arm.trained if t is not None and t.best_epoch]
    model = assemble(data.schema, data.classes, layers, trained)
    model = balanced(model, trained, data.inputs, data.labels)
    chances = model.probabilities(data.inputs, rows)
    score = metrics.accuracy if metric == "accuracy" else metrics.balanced_accuracy
    return float(score(data.labels[rows], chances))


def table(found: list[dict[str, Any]], sets: list[OpenSet]) -> str:
    """Scores and paired differences, set by set and over all sets."""
    about = (
        "Accuracy on sealed rows in per cent (shuttle: the mean over classes), mean "
        "over draws; differences in points with 95 % intervals, paired by draw. Coach and random "
        f"search cost as much: {COST:g} trainings of the starting recipe; rows: that train."
    )
    lines = [
        "# The coach on open data",
        "",
        about,
        "",
        "| set | rows | draws | start | coach | random search | coach - start | coach - random |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in sets:
        mine = [f for f in found if f["set"] == one.name]
        means = [100 * float(np.mean([f["test"][k] for f in mine])) for k in _WAYS]
        numbers = " | ".join(f"{m:.1f}" for m in means)
        told = " | ".join(_told(mine, other) for other in ("start", "random"))
        lines.append(f"| {one.name} | {mine[0]['train']} | {len(mine)} | {numbers} | {told} |")
    for other in ("start", "random"):
        gains = [f["test"]["coach"] - f["test"][other] for f in found]
        per_set = [
            float(np.mean([g for g, f in zip(gains, found, strict=True) if f["set"] == s.name]))
            for s in sets
        ]
        low, high = _bootstrap(per_set)
        name = "the start" if other == "start" else "random search"
        better, equal = sum(g > 0 for g in gains), sum(g == 0 for g in gains)
        words = (
            f"Coach against {name}, mean over sets: {100 * np.mean(per_set):+.2f} points "
            f"({100 * low:+.2f} to {100 * high:+.2f}, bootstrap over sets); draws better, equal, "
            f"worse: {better}, {equal}, {len(gains) - better - equal}."
        )
        lines += ["", words]
    adopted = sum(bool(f["adopted"]) for f in found)
    lines += ["", f"Something was adopted in {adopted} of {len(found)} draws:", ""]
    for one in sets:
        names = [n for f in found if f["set"] == one.name for n in f["adopted"]]
        lines.append(f"- {one.name}: {'; '.join(names) or 'nothing'}")
    return "\n".join(lines)


_WAYS = ("start", "coach", "random")


def _told(mine: list[dict[str, Any]], other: str) -> str:
    """The paired difference of the coach to another way, with its interval."""
    a, b = ([f["test"][k] for f in mine] for k in ("coach", other))
    if len(mine) < 2:
        return f"{100 * (a[0] - b[0]):+.1f}"
    rows = sum(f["rows"] for f in mine)
    share = mine[0]["rows"] / (mine[0]["rows"] + 1.5 * mine[0]["train"])
    folds = list(range(len(mine)))
    found = paired_difference(a, b, folds, [0] * len(mine), share, rows).interval
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def _bootstrap(values: list[float]) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(values), (5000, len(values)))
    low, high = np.quantile(np.array(values)[picks].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
