"""Where outputs must not be moved towards equal classes: how often is it done, and at what loss?

    python -m benchmarks.imbalance_null [--splits N] [--first SEED] [--sets digits-50,credit-4]

Eight uneven sets. The plain networks stand beside networks whose outputs are already moved, in
full or in part, because they were trained with a remedy, and beside timid and unfinished ones. The
coach is told nothing of that: it sees the outputs as those of a plain recipe and may move them
(`LogitAdjust(when="prediction")`, half of it, `ThresholdMove`), with nothing trained. All rows
that do not train are held out and say what came of it. Then noise: labels that nothing foretells,
with two to sixty rare rows, and every remedy. Some sets need the folder that TRAINWELL_DATA names.
Writes benchmarks/results/imbalance-null.md.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.imbalance import METRIC, score, training_rows
from trainwell.arms import Arena, Arm, cells_of
from trainwell.coach.balancing import Balancer
from trainwell.data.dataset import Dataset
from trainwell.data.read import read
from trainwell.data.split import make_split
from trainwell.metrics import Metric
from trainwell.options import Options, chosen_recipe
from trainwell.recipe import Recipe
from trainwell.stats import mean_interval, wilson
from trainwell.techniques.balance import ClassWeights, LogitAdjust, Oversample
from trainwell.techniques.regularize import LabelSmoothing

RESULTS = Path(__file__).parent / "results"
HARM = 0.01  # of balanced accuracy on held-out rows
NOISE, INPUTS = ((160, 2), (300, 12), (600, 60), (1000, 17)), 5  # rows and rare ones; inputs
METRICS: tuple[Metric, ...] = ("balanced_accuracy", "macro_f1")
SETS = {  # rows of the largest class, its ratio to the smallest, whether a class is always the rare
    "digits-50": ("digits", 100, 50, False),
    "digits-10": ("digits", 60, 10, False),
    "digits-4": ("digits", 40, 4, False),
    "credit-4": ("credit", 600, 4, True),
    "credit-20": ("credit", 800, 20, True),
    "satellite-10": ("satellite", 200, 10, False),
    "breast-cancer-15": ("breast_cancer", 150, 15, True),
    "letter-20": ("letter", 100, 20, False),
}


def tail(name: str, split: int) -> Dataset:
    """A long tail of a set: sizes fall by a constant ratio; other classes are rare each time."""
    source, largest, ratio, fixed = SETS[name]
    data = dataclasses.replace(read(source), official_test=None)
    rng, classes = np.random.default_rng(split), len(data.classes)
    order = np.argsort(-data.counts) if fixed else rng.permutation(classes)
    sizes = np.round(largest * float(ratio) ** (-np.arange(classes) / (classes - 1)))
    most = np.minimum(np.maximum(sizes, 2), 0.7 * data.counts[order]).astype(int)
    return training_rows(data, dict(zip(order.tolist(), most.tolist(), strict=True)), rng)


def starts(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe, and what makes it wrong to move its outputs the whole way."""
    short = max(3, recipe.epochs // 6)
    return {
        "plain": recipe,
        "a sixth of the epochs": dataclasses.replace(recipe, epochs=short, patience=short),
        "label smoothing 0.2": dataclasses.replace(recipe, regularize=(LabelSmoothing(0.2),)),
        "half adjusted in training": dataclasses.replace(recipe, balance=LogitAdjust(tau=0.5)),
        "adjusted in training": dataclasses.replace(recipe, balance=LogitAdjust()),
        "class weights, root": dataclasses.replace(recipe, balance=ClassWeights(power=0.5)),
        "class weights": dataclasses.replace(recipe, balance=ClassWeights()),
        "oversampled": dataclasses.replace(recipe, balance=Oversample()),
    }


def unnamed(arm: Arm) -> Arm:
    """The arm as if it had been trained without a remedy."""
    plain = dataclasses.replace(arm.recipe, balance=None)
    trained = [
        t and dataclasses.replace(t, member=dataclasses.replace(t.member, recipe=plain))
        for t in arm.trained
    ]
    return dataclasses.replace(arm, recipe=plain, trained=tuple(trained))


def one_split(name: str, split: int) -> dict[str, tuple[bool, float]]:
    """Of each start whether its outputs were moved, and what that gained on held-out rows."""
    data = tail(name, split)
    parts = make_split(data, seed=split, folds=5, test=0)
    arena = Arena(data, parts, split)
    ((recipe, _),) = arena.tuned([chosen_recipe(data, Options())])
    wanted, held = starts(recipe), parts.sealed.open("benchmark")
    found = {}
    for kind, arm in zip(
        wanted, arena.train(list(wanted.values()), cells_of(5, 1, split)), strict=True
    ):
        before = unnamed(arm)
        after = Balancer(arena, METRIC, units=0.0).improve(before).arm
        moved = after is not before
        gain = score(data, arena, after, held) - score(data, arena, before, held) if moved else 0.0
        found[kind] = (moved, gain)
    return found


def hopeless(rows: int, rare: int, metric: Metric, seed: int) -> str:
    """What is kept on labels that nothing foretells, of all remedies; "" for nothing."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(rows, np.int64)
    labels[rng.permutation(rows)[:rare]] = 1
    data = read((rng.normal(size=(rows, INPUTS)), labels))
    parts = make_split(data, seed=seed, folds=5, test=0)
    arena = Arena(data, parts, seed)
    recipe = dataclasses.replace(chosen_recipe(data, Options()), lr=0.01, epochs=25, patience=25)
    (start,) = arena.train([recipe], cells_of(5, 1, seed))
    after = Balancer(arena, metric, units=1e9).improve(start).arm
    return "" if after is start else repr(after.recipe.balance)


def noise(first: int, draws: int) -> list[str]:
    """A table: of each world how often something was kept."""
    lines = ["## Noise", "", "Every remedy, on labels that nothing foretells: kept is wrong.", ""]
    lines += ["| rows | rare | metric | draws | kept |", "|---|---|---|---|---|"]
    wrong = total = 0
    for rows, rare in NOISE:
        for metric in METRICS:
            kept = [hopeless(rows, rare, metric, first + d) for d in range(draws)]
            some = [k for k in kept if k]
            wrong, total = wrong + len(some), total + draws
            told = f"{len(some)} {'; '.join(f'`{k}`' for k in some)}".strip()
            lines.append(f"| {rows} | {rare} | {metric.replace('_', ' ')} | {draws} | {told} |")
            print(lines[-1], flush=True)
    share = wilson(wrong, total)
    ends = f"{100 * share.low:.1f} to {100 * share.high:.1f} %"
    return [*lines, "", f"{wrong} of {total}: {100 * share.value:.1f} % ({ends}).", ""]


def page(found: dict[str, list[tuple[bool, float]]], splits: int, first: int) -> str:
    """The table: of each start how often it was moved, the mean gain and the worst."""
    told = (
        f"`python -m benchmarks.imbalance_null --splits {splits} --first {first}`: {len(SETS)} "
        f"uneven sets, {splits} splits each. What the coach does with outputs that it takes for "
        "those of a plain recipe, and the change of balanced accuracy on held-out rows, points."
    )
    heads = ("networks", "cases", "moved", "mean change where moved", "worst", "worse by over 1")
    lines = ["# Where outputs must not be moved towards equal classes", "", told, ""]
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for kind, cases in [*found.items(), ("all", [c for v in found.values() for c in v])]:
        gains = 100 * np.array([gain for moved, gain in cases if moved])
        mean_gain = worst = "-"
        if len(gains) > 1:
            mean = mean_interval(gains)
            mean_gain = f"{mean.value:+.1f} ({mean.low:+.1f} to {mean.high:+.1f})"
        if len(gains):
            worst = f"{gains.min():+.1f}"
        harm = wilson(int((gains < -100 * HARM).sum()), len(cases))
        share = f"{100 * harm.value:.1f} % ({100 * harm.low:.1f} to {100 * harm.high:.1f})"
        lines.append(f"| {kind} | {len(cases)} | {len(gains)} | {mean_gain} | {worst} | {share} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=6)
    parser.add_argument("--first", type=int, default=600, help="seed of the first split")
    parser.add_argument("--draws", type=int, default=15, help="of each kind of noise")
    parser.add_argument("--sets", default=",".join(SETS))
    asked = parser.parse_args()
    found: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for name in asked.sets.split(","):
        for split in range(asked.first, asked.first + asked.splits):
            one = one_split(name, split)
            for kind, case in one.items():
                found[kind].append(case)
            print(name, split, {k: round(100 * g, 1) for k, (m, g) in one.items() if m}, flush=True)
    text = (
        page(found, asked.splits, asked.first) + "\n" + "\n".join(noise(asked.first, asked.draws))
    )
    print(text)
    (RESULTS / "imbalance-null.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
