"""Ensembles on ten open sets: the weighted vote against the best single network, on sealed rows.

    PYTHONPATH=src python benchmarks/ensembles.py [iris wine ...] [--write]

What `trainwell fit` does, on small parts of the sets and with short trainings: the starting recipe
and the other kinds of networks that fit would train, three folds each; weights, temperatures and
the best network are chosen out of fold on 60 % of the rows, the other 40 % (whole speakers where
there are speakers) judge. Differences are in points of accuracy and in log loss saved, with BCa
intervals over rows (speakers); a row that is judged in several splits is one unit. The best single
network is the one with the lowest validation loss of all, the best kind the mean of its folds'
networks.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from trainwell.data.dataset import AudioSchema, Dataset
from trainwell.data.samples import load_sample
from trainwell.data.split import Split, make_split, sample_rows
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.members import Examples, Member, common_steps
from trainwell.engine.trainer import Trainer
from trainwell.ensemble import combine
from trainwell.ensemble.calibrate import scaled
from trainwell.ensemble.rows import Floats, paired, row_hits, row_losses, together
from trainwell.kinds import Kind, Other, others
from trainwell.recipe import starting_recipe
from trainwell.seeding import stream_seed
from trainwell.techniques.scaling import match_widths
from trainwell.voting import candidates_of, decide, groups_of

CPU = torch.device("cpu")
FOLDS, TEST, EPOCHS, RATE = 3, 0.4, 15, 5e-3
RESULTS = Path(__file__).parent / "results" / "ensembles.md"
KEPT = RESULTS.with_suffix(".json")  # the same, by set
# Name, rows, splits.
SETS = (
    ("iris", 150, 4),
    ("wine", 178, 4),
    ("breast_cancer", 569, 4),
    ("digits", 900, 2),
    ("letter", 1500, 2),
    ("satellite", 1200, 2),
    ("credit", 1200, 2),
    ("shuttle", 1500, 3),
    ("fashion_mnist", 700, 2),
    ("fsdd", 500, 2),
)
AGAINST = ("best single network", "best kind", "recipe's networks")


@dataclass(frozen=True)
class Judged:
    """One split: differences by row (n, 3, 2) of vote against others, units, and the verdict."""

    differences: Floats
    kept: Floats  # (n, 2): what is kept against the recipe's networks
    units: Floats
    accuracy: tuple[float, float]  # of the vote and of the best single network
    verdict: str


def smaller(data: Dataset, rows: int) -> Dataset:
    """Some of the rows, classes in proportion; whole groups stay what they are."""
    some = sample_rows(np.arange(len(data)), data.labels, rows, 0)
    return dataclasses.replace(
        data,
        inputs=np.ascontiguousarray(data.inputs[some]),
        labels=data.labels[some],
        groups=None if data.groups is None else data.groups[some],
        names=tuple(map(str, range(len(some)))),
        official_test=None,
    )


def trained(data: Dataset, split: Split, seed: int) -> list[Kind]:
    """The starting recipe and the other kinds that fit would train, in every fold."""
    recipe = starting_recipe(data.schema, len(split.development))
    epochs = min(EPOCHS if data.kind != "table" else 3 * EPOCHS, recipe.epochs)
    recipe = dataclasses.replace(recipe, epochs=epochs, lr=RATE)
    layers = [
        fit_preprocess(recipe, data.schema, data.inputs, f.train, split.development)
        for f in split.folds
    ]
    match_widths(layers)
    rate = data.schema.rate if isinstance(data.schema, AudioSchema) else 0
    labels, inputs = torch.from_numpy(data.labels), FoldInputs(data.inputs, layers, CPU)
    examples = Examples(inputs, labels, len(data.classes), CPU, rate=rate)
    wanted = [Other("recipe", "recipe", recipe), *others(recipe, data.schema)]
    members = []
    for number, other in enumerate(wanted):
        own = stream_seed(seed, "kind", number) % 2**31
        rows = [
            sample_rows(f.train, data.labels, round(other.share * len(f.train)), own)
            for f in split.folds
        ]
        same, steps = common_steps(other.recipe, [len(r) for r in rows])
        members += [
            Member(same, f, r, split.folds[f].validation, own, steps) for f, r in enumerate(rows)
        ]
    found = Trainer(examples, jobs=1, steady=True).train(members, "members").trained
    networks = [found[i] for i in range(len(members))]
    return [
        Kind(o.name, o.way, o.recipe, tuple(networks[FOLDS * k : FOLDS * (k + 1)]), tuple(layers))
        for k, o in enumerate(wanted)
    ]


def judged(data: Dataset, seed: int) -> Judged:
    """Train, choose out of fold, judge on sealed rows."""
    split = make_split(data, seed=seed, folds=FOLDS, test=TEST)
    kinds = trained(data, split, seed)
    candidates = candidates_of(kinds, data, split)
    labels, groups = data.labels[candidates.rows], groups_of(data, candidates.rows)
    voting = decide(candidates, labels, groups, seed)
    chosen = voting.selection
    assert chosen is not None
    rows = split.sealed.open("benchmark")
    truth, said = data.labels[rows], candidates.everything.member_probabilities(data.inputs, rows)
    owners = candidates.kind_of_network
    heard = together(scaled(said, chosen.temperatures[list(owners)]), owners)
    vote = combine.soft_vote(heard, chosen.weights)
    losses = [t.log_loss for kind in kinds for t in kind.trained]
    single, recipe = said[int(np.argmin(losses))], together(said, owners)[0]
    kept = vote if voting.kept == "ensemble" else together(said, owners)[voting.alone]

    def gain(one: Floats, other: Floats) -> Floats:
        won = row_hits(one, truth) - row_hits(other, truth)
        return np.stack([won, row_losses(other, truth) - row_losses(one, truth)], axis=1)

    against = [single, heard[chosen.best], recipe]
    units = rows if data.groups is None else data.groups[rows]
    return Judged(
        np.stack([gain(vote, other) for other in against], axis=1),
        gain(kept, recipe),
        np.asarray(units, np.float64),
        (float(row_hits(vote, truth).mean()), float(row_hits(single, truth).mean())),
        voting.kept,
    )


def line(name: str, rows: int, splits: int) -> tuple[str, list[int]]:
    """A row of the table for one set; and for each of AGAINST the sign of what is shown, and of the
    difference."""
    data = smaller(load_sample(name), rows)
    found = [judged(data, seed) for seed in range(splits)]
    differences = np.concatenate([j.differences for j in found])
    kept = np.concatenate([j.kept for j in found])
    units = np.concatenate([j.units for j in found])
    cells, signs = [], []
    for k in range(len(AGAINST)):
        accuracy, loss = paired(differences[:, k], 0, units)
        cells += [told(accuracy, 100, 2), told(loss, 1, 3)]
        signs.append(int(accuracy.low > 0) - int(accuracy.high < 0))
        signs.append(int(accuracy.value > 0) - int(accuracy.value < 0))
    cells.append(told(paired(kept, 0, units)[0], 100, 2))
    vote, single = (100 * np.mean([j.accuracy[i] for j in found]) for i in (0, 1))
    verdicts = ", ".join(j.verdict for j in found)
    first = f"{name} | {len(data)} × {splits} | {single:.1f} | {vote:.1f}"
    return f"| {first} | {' | '.join(cells)} | {verdicts} |", signs


def told(interval: object, scale: float, digits: int) -> str:
    """A difference with its interval; in bold where it is shown."""
    value, low, high = (scale * getattr(interval, k) for k in ("value", "low", "high"))
    text = f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def main() -> None:
    """Judge the sets and print the table; --write keeps it, with earlier results of other sets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=[name for name, _, _ in SETS])
    parser.add_argument("--write", action="store_true", help="keep in results/ensembles.*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    known: dict[str, tuple[str, list[int]]] = {}
    for name, rows, splits in SETS:
        if name in given.names:
            began = time.time()
            known[name] = line(name, rows, splits)
            print(known[name][0], f"{time.time() - began:.0f} s", flush=True)
            if given.write:
                known = (json.loads(KEPT.read_text()) if KEPT.exists() else {}) | known
                KEPT.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    text = page({name: known[name] for name, _, _ in SETS if name in known})
    print(text)
    if given.write:
        RESULTS.write_text(text, encoding="utf-8")


def page(known: dict[str, tuple[str, list[int]]]) -> str:
    """The table, and in how many sets the vote was better."""
    heads = [f"{what}: {score}" for what in AGAINST for score in ("accuracy", "log loss")]
    titles = ["set", "rows × splits", "best network, %", "vote, %", *heads, "kept - recipe", "kept"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    lines += [text for text, _ in known.values()]
    signs = np.array([sign for _, sign in known.values()])
    for k, what in enumerate(AGAINST):
        shown, sign = signs[:, 2 * k], signs[:, 2 * k + 1]
        lines.append(
            f"\nThe vote against the {what}, accuracy: better in {(sign > 0).sum()} of {len(sign)} "
            f"sets, equal in {(sign == 0).sum()}, worse in {(sign < 0).sum()}; shown better in "
            f"{(shown > 0).sum()}, shown worse in {(shown < 0).sum()}."
        )
    title, about = str(__doc__).split("\n\n", 1)
    told = about.split("[--write]")[1].strip()
    return f"# {title}\n\n{told}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
