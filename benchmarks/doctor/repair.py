"""What the coach makes of the zoo: faulty trainings brought back, healthy ones left in peace.

python -m benchmarks.doctor.repair [--every 2] [--processes 2]

Needs the evidence of `benchmarks.doctor.run --stage train` and `checks`. One run of each
configuration (three folds) is coached at no more than ten times the cost of its training; what it
ends with is scored on test rows that nothing has seen, beside its healthy twin. Faults that lie in
the data (wrong labels, leaks, copies) are left out: no recipe mends them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.doctor.cases import MEMBERS, Case, halves
from benchmarks.doctor.checks import read_checks
from benchmarks.doctor.data import draw
from benchmarks.doctor.judge import truths
from benchmarks.doctor.trainings import fold_number
from benchmarks.doctor.zoo import all_cases, load_card
from trainwell.arms import Arena, Arm, Cell
from trainwell.coach.balancing import Balancer
from trainwell.coach.loop import Coach
from trainwell.coach.run import ONE_ROUND, improve
from trainwell.metrics import Metric
from trainwell.model import assemble, balanced
from trainwell.seeding import stream_seed
from trainwell.stats import wilson

HERE = Path(__file__).parent
RUN = 1  # an odd run has three folds
COST = 10.0  # trainings of a run
IN_DATA = ("noise", "shuffled", "leak", "copies")
NEAR = 0.01  # of the twin's score


def main() -> None:
    """Coach every n-th configuration, print and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--families", default="", help="only these, separated by commas")
    parser.add_argument("--minutes", type=float, default=1e6, help="no case begins later")
    parser.add_argument("--half", default="", help="development or held-out")
    parser.add_argument("--out", type=Path, default=HERE / "repair", help="files to write")
    given = parser.parse_args()
    home = Path(".zoo")
    cases = all_cases()
    truth = truths(cases, home)
    wanted = [
        c
        for c in cases
        if c.family not in IN_DATA and truth[c.name].verdict in ("fault", "healthy")
    ]
    side = halves(cases)
    families = set(filter(None, given.families.split(",")))
    wanted = [c for c in wanted if not families or c.family in families]
    wanted = [c for c in wanted if given.half in ("", side[c.name])]
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in wanted:
        groups[case.family].append(case)
    some = [c for mine in groups.values() for c in mine[:: given.every]]
    some.sort(key=lambda c: hashlib.sha256(c.name.encode()).hexdigest())  # any part is a sample
    end = time.time() + 60 * given.minutes
    began = time.perf_counter()
    with ProcessPoolExecutor(given.processes) as executor:
        found = []
        for one in executor.map(coach_case, some, [home] * len(some), [end] * len(some)):
            if one is None:
                continue
            found.append(one)
            text = table(found, len(some))
            given.out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
            given.out.with_suffix(".json").write_text(json.dumps(found, indent=1), "utf-8")
            print(
                f"{len(found):3d}/{len(some)} {(time.perf_counter() - began) / 60:5.1f} min  "
                f"{one['name']:44s} {one['start']:.3f} -> {one['end']:.3f} twin {one['twin']:.3f} "
                f"cost {one['cost']:.1f}  {'; '.join(one['adopted'])}",
                flush=True,
            )
    print(table(found, len(some)))


def coach_case(case: Case, home: Path, end: float) -> dict[str, Any] | None:
    """One run before and after the coach, by its score on test rows; None after `end`."""
    import torch

    if time.time() > end:
        return None
    torch.set_num_threads(1)
    drawn = draw(case.material, RUN)
    arena = Arena(drawn.data, drawn.split, RUN, jobs=1, probing=True)
    folds = len(drawn.split.folds)
    cells = [
        Cell(fold_number(RUN, m, folds), stream_seed(RUN, "member", m) % 2**31)
        for m in range(MEMBERS)
    ]
    began = time.perf_counter()
    (start,) = arena.train([case.recipe], cells)
    training = time.perf_counter() - began
    kept = json.loads((home / case.name / f"run{RUN}.checks.json").read_text(encoding="utf-8"))
    cases = all_cases()
    usual = next((c.recipe for c in cases if c.name == case.twin), case.recipe)
    metric: Metric = "balanced_accuracy" if case.metric == "balanced" else "accuracy"
    began = time.perf_counter()
    coach = Coach(
        arena,
        metric,
        units=COST * MEMBERS,
        unit=usual.epochs,
        checks=read_checks(kept["checks"] or []),
    )
    balancer = Balancer(arena, metric, units=COST * MEMBERS)
    _, ended = improve(start, balancer, coach, ONE_ROUND * MEMBERS)
    seconds = time.perf_counter() - began
    key = "test_balanced" if case.metric == "balanced" else "test_accuracy"
    twin = load_card(case.twin or case.name, home)[key][RUN * MEMBERS : (RUN + 1) * MEMBERS]
    before, after = (on_test(arena, arm, case.metric) for arm in (start, ended.arm))
    return {
        "name": case.name,
        "family": case.family,
        "faulty": case.faulty,
        "start": float(before.mean()),
        "end": float(after.mean()),
        "twin": float(np.mean(twin)),
        "members": [before.tolist(), after.tolist()],
        "cost": ended.cost / MEMBERS,
        "adopted": [d.tried for d in ended.decisions if d.outcome == "adopted"],
        "tried": len(ended.decisions),
        "seconds": [training, seconds],
        "half": halves(cases)[case.name],
        "decisions": [
            {
                "round": d.round,
                "because": d.because,
                "tried": d.tried,
                "lr": d.changes.get("lr"),
                "outcome": d.outcome,
                "words": d.words,
            }
            for d in ended.decisions
        ],
    }


def on_test(arena: Arena, arm: Arm, metric: str) -> np.ndarray[Any, Any]:
    """Score of every network of an arm on the test rows, which nothing has seen."""
    data, count = arena.data, len(arena.split.development)
    layers = arena.trainer(arm.recipe).examples.inputs.layers
    test = np.arange(count, len(data))
    labels, found = data.labels[test], []
    for one in arm.trained:
        if one is None or not one.best_epoch:
            found.append(float(np.bincount(labels).max() / len(labels)))
            continue
        model = assemble(data.schema, data.classes, layers, [one])
        model = balanced(model, [one], data.inputs, data.labels)
        right = model.probabilities(data.inputs, test).argmax(axis=1) == labels
        recalls = [right[labels == c].mean() for c in np.unique(labels)]
        found.append(float(np.mean(recalls) if metric == "balanced" else right.mean()))
    return np.array(found)


def table(found: list[dict[str, Any]], wanted: int) -> str:
    """Repaired, improved and harmed, by family; wanted: configurations of the whole sample."""
    said = (
        f"One run of each configuration, at most {COST:g} times the cost of its training; scored "
        "on test rows. Near: within a point of the healthy twin. Harmed: a point or more below the "
        "start in the mean, and in every network. One training: as many epochs as the healthy twin "
        f"has. {len(found)} of {wanted} configurations of the sample, in a random order."
    )
    ratio = np.median([f["seconds"][1] / f["seconds"][0] for f in found])
    said += f" In seconds the coach took {ratio:.0f} times as long as the training (median)."
    head = "| planted | near the twin | mean start | mean end | mean twin | mean cost |"
    lines = ["# What the coach makes of the zoo", "", said, "", head, "|---|---|---|---|---|---|"]
    for family in dict.fromkeys(f["family"] for f in found if f["faulty"]):
        mine = [f for f in found if f["family"] == family]
        near = sum(f["end"] >= f["twin"] - NEAR for f in mine)
        means = [100 * float(np.mean([f[k] for f in mine])) for k in ("start", "end", "twin")]
        cost = float(np.mean([f["cost"] for f in mine]))
        numbers = " | ".join(f"{m:.1f}" for m in means)
        lines.append(f"| {family} | {near} of {len(mine)} | {numbers} | {cost:.1f} |")
    faulty = [f for f in found if f["faulty"]]
    healthy = [f for f in found if not f["faulty"]]
    lines += ["", "| | share | interval |", "|---|---|---|"]
    halves_of = {
        half: [f for f in faulty if f["half"] == half] for half in ("development", "held-out")
    }
    for name, hits, mine in (
        ("faulty, brought near the twin", [f["end"] >= f["twin"] - NEAR for f in faulty], faulty),
        *(
            (f"of these, the {half} half", [f["end"] >= f["twin"] - NEAR for f in some], some)
            for half, some in halves_of.items()
        ),
        ("faulty, better by a point or more", [_gain(f) >= NEAR for f in faulty], faulty),
        ("faulty, harmed", [_harmed(f) for f in faulty], faulty),
        ("healthy, harmed", [_harmed(f) for f in healthy], healthy),
        ("healthy, something adopted", [bool(f["adopted"]) for f in healthy], healthy),
        ("healthy, better by a point or more", [_gain(f) >= NEAR for f in healthy], healthy),
    ):
        if not mine:
            continue
        share = wilson(sum(hits), len(mine))
        ends = f"{100 * share.low:.0f} to {100 * share.high:.0f} %"
        lines.append(
            f"| {name} | {sum(hits)} of {len(mine)} ({100 * share.value:.0f} %) | {ends} |"
        )
    return "\n".join(lines)


def _gain(one: dict[str, Any]) -> float:
    return float(one["end"] - one["start"])


def _harmed(one: dict[str, Any]) -> bool:
    before, after = (np.array(m) for m in one["members"])
    return bool(_gain(one) <= -NEAR and (after < before).all())


if __name__ == "__main__":
    main()
