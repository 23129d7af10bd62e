"""Ensembles of unlike networks against their best member, on test rows that chose nothing.

    PYTHONPATH=src python benchmarks/ensemble_members.py [digits wine satellite] [--splits 2]

Twelve kinds of members: one network with three seeds, on part of the rows, narrower, wider, deeper,
without hidden layer, weak on purpose. Each is trained on three folds of 60 % of the rows; what
they say out of fold chooses weights, temperatures, stack and the best kind; the other 40 % of the
rows judge. Differences are in points of accuracy and in log loss saved, against the best kind,
with BCa intervals over rows (a row that is tested in several splits is one unit). Two students at
the end: one network of the best kind's recipe, trained on labels, and on soft targets.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import numpy as np
import torch

from trainwell.data.dataset import Dataset
from trainwell.data.samples import load_sample
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.members import Examples, Member, Trained
from trainwell.engine.trainer import Trainer
from trainwell.ensemble import combine
from trainwell.ensemble.calibrate import scaled, temperature
from trainwell.ensemble.distil import soft_targets
from trainwell.ensemble.diversity import contributions, diversity, weaker_that_help
from trainwell.ensemble.rows import Floats, Ints, paired, parts, row_hits, row_losses, together
from trainwell.ensemble.select import Selection, select
from trainwell.model import Model, assemble
from trainwell.recipe import Adam, Dropout, Linear, Mlp, Recipe

CPU = torch.device("cpu")
FOLDS, ROWS, EPOCHS = 3, 1200, 25
BASE = Recipe(model=Mlp(hidden=(96,)), optimizer=Adam(), lr=1e-2, epochs=EPOCHS, batch_size=32)


def kinds() -> list[tuple[str, Recipe, float]]:
    """Name, recipe, and share of the training rows of each kind."""

    def shaped(*hidden: int, **other: Any) -> Recipe:
        model = Mlp(hidden=hidden, **other) if hidden else Linear()
        return dataclasses.replace(BASE, model=model)

    weak = dataclasses.replace(shaped(4), epochs=5)
    return [
        ("96, seed 0", BASE, 1.0),
        ("96, seed 1", BASE, 1.0),
        ("96, seed 2", BASE, 1.0),
        ("96 on half the rows", BASE, 0.5),
        ("96 on a quarter", BASE, 0.25),
        ("12 units", shaped(12), 1.0),
        ("128, 64 units", shaped(128, 64), 1.0),
        ("96 tanh, no norm", shaped(96, activation="tanh", norm="none"), 1.0),
        ("96 units, dropout .5", dataclasses.replace(shaped(96), regularize=(Dropout(0.5),)), 1.0),
        ("no hidden layer", shaped(), 1.0),
        ("no hidden layer, a quarter", shaped(), 0.25),
        ("4 units, 5 epochs", weak, 1.0),
    ]


def trained_on(
    data: Dataset, members: list[Member], targets: torch.Tensor | None = None
) -> tuple[list[Trained], Model]:
    """Train members whose fold is their place in the pre-processing."""
    everything = np.arange(len(data))
    trains = {m.fold: m.train for m in members}
    folds = [
        fit_preprocess(BASE, data.schema, data.inputs, trains[f], everything)
        for f in sorted(trains)
    ]
    inputs = FoldInputs(data.inputs, folds, CPU)
    labels = torch.from_numpy(data.labels)
    examples = Examples(inputs, labels, len(data.classes), CPU, targets=targets)
    found = Trainer(examples, jobs=1).train(members, "members").trained
    trained = [found[i] for i in range(len(members))]
    return trained, assemble(data.schema, data.classes, folds, trained)


def one_split(data: Dataset, seed: int) -> dict[str, Any]:
    """Members' predictions out of fold and on the test rows, and the two students'."""
    outer = parts(data.labels, 5, seed)
    dev, test = np.flatnonzero(outer < 3), np.flatnonzero(outer >= 3)
    part = parts(data.labels[dev], FOLDS, seed)
    rng, members = np.random.default_rng(seed), []
    for number, (_, recipe, share) in enumerate(kinds()):
        for fold in range(FOLDS):
            train = dev[part != fold]
            if share < 1:
                train = rng.permutation(train)[: int(share * len(train))]
            members.append(Member(recipe, fold, np.sort(train), dev[part == fold], number))
    _, model = trained_on(data, members)
    kind = [m.seed for m in members]
    oof = model.member_probabilities(data.inputs, dev)
    for number, member in enumerate(members):
        oof[number, part != member.fold] = np.nan
    said = model.member_probabilities(data.inputs, test)
    return {"dev": dev, "test": test, "oof": together(oof, kind), "said": said, "kind": kind}


def students(data: Dataset, split: dict[str, Any], chosen: Selection, seed: int) -> list[Floats]:
    """Test probabilities of one network trained on labels, and on the ensemble's voice."""
    dev, labels = split["dev"], data.labels
    cut = parts(labels[dev], 6, seed)
    member = Member(kinds()[chosen.best][1], 0, dev[cut > 0], dev[cut == 0], seed)
    teacher = np.full((len(data), len(data.classes)), np.nan)
    teacher[dev] = chosen(split["oof"])
    soft = torch.from_numpy(soft_targets(teacher, labels, share=0.5))
    both = [trained_on(data, [member], targets)[1] for targets in (None, soft)]
    return [m.member_probabilities(data.inputs, split["test"])[0] for m in both]


def combined(split: dict[str, Any], labels: Ints, chosen: Selection) -> dict[str, Floats]:
    """Test probabilities of every combination; what it learns, it learns out of fold."""
    oof, known = split["oof"], labels[split["dev"]]
    said = together(split["said"], split["kind"])
    pooled = temperature(combine.soft_vote(oof), known)
    log_odds = combine.log_odds_weights(oof, known)
    vote = np.eye(oof.shape[2])
    return {
        "mean of all": combine.soft_vote(said),
        "mean of calibrated": combine.soft_vote(scaled(said, chosen.temperatures)),
        "mean, then calibrated": scaled(combine.soft_vote(said), pooled),
        "majority": vote[combine.majority_vote(said)],
        "majority, log-odds": vote[combine.majority_vote(said, log_odds)],
        "mean, log-odds": combine.soft_vote(said, log_odds),
        "stacking": combine.fit_stack(oof, known)(said),
        "greedy, calibrated": chosen(said),
    }


def judged(name: str, splits: int) -> None:
    """Train, combine and print one data set."""
    began, data = time.time(), load_sample(name)
    some = np.random.default_rng(0).permutation(len(data))[:ROWS]
    data = dataclasses.replace(
        data,
        inputs=np.ascontiguousarray(data.inputs[some]),
        labels=data.labels[some],
        names=tuple(map(str, range(len(some)))),
        official_test=None,
    )
    differences: dict[str, list[Floats]] = {}
    rows, best_scores, words, accuracies = [], [], [], []
    for seed in range(splits):
        split = one_split(data, seed)
        truth = data.labels[split["test"]]
        known = data.labels[split["dev"]]
        chosen = select(split["oof"], known, seed=seed)
        said = together(split["said"], split["kind"])
        best = scaled(said, chosen.temperatures)[chosen.best]
        hits, loss = row_hits(best, truth), row_losses(best, truth)
        networks = split["said"][[i for i, k in enumerate(split["kind"]) if k == chosen.best]]
        made = combined(split, data.labels, chosen)
        single, student = students(data, split, chosen, seed)
        made |= {"student on labels": single, "student on soft targets": student}
        for title, p in made.items():
            pair = np.stack([row_hits(p, truth) - hits, loss - row_losses(p, truth)], axis=1)
            differences.setdefault(title, []).append(pair)
        lone = np.stack([row_hits(networks, truth).mean(0) - hits, loss * np.nan], axis=1)
        differences.setdefault("one network of the best kind", []).append(lone)
        rows.append(split["test"])
        best_scores.append((hits.mean(), loss.mean()))
        accuracies.append(row_hits(split["oof"], known).mean(axis=1))
        warm = scaled(said, chosen.temperatures)
        brought = contributions(warm, truth, chosen.weights, seed=seed)
        measured = diversity(split["oof"], known)
        words.append(
            f"split {seed}: {chosen.words}\n   disagreement / error {measured.ratio:.2f}; weaker "
            f"members that help on the test rows: {weaker_that_help(brought)}; weights "
            + " ".join(f"{w:.2f}" for w in chosen.weights)
        )
    unit = np.concatenate(rows)
    accuracy, loss_mean = np.mean(best_scores, axis=0)
    print(f"\n## {name}: {len(data)} rows, {splits} splits, {time.time() - began:.0f} s")
    means = np.mean(accuracies, axis=0)
    print("members out of fold: " + ", ".join(f"{100 * a:.1f}" for a in means))
    print(f"best kind (calibrated) on test rows: {100 * accuracy:.2f} %, log loss {loss_mean:.4f}")
    for title, found in differences.items():
        pair = np.concatenate(found)
        votes = title.startswith("majority") or not np.isfinite(pair[0, 1])
        shown = paired(pair[:, :1] if votes else pair, 0, unit)
        a = shown[0]
        text = f"{title:30s} {100 * a.value:+6.2f} [{100 * a.low:+.2f}, {100 * a.high:+.2f}] points"
        if not votes:
            b = shown[1]
            text += f"   log loss saved {b.value:+.4f} [{b.low:+.4f}, {b.high:+.4f}]"
        print(text)
    print("\n".join(words), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=["digits", "wine", "satellite"])
    parser.add_argument("--splits", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for each in given.names:
        judged(each, given.splits)
