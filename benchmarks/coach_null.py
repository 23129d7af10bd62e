"""How often the coach adopts what changes nothing: remedies that are the recipe itself.

python -m benchmarks.coach_null [--runs 40] [--simulated 2000] [--processes 2]

Real: on small draws of open sets, every remedy is the recipe with fresh seeds; the coach screens,
proves and decides as always. Simulated: the very same proof on votes drawn at random, for several
accuracies, numbers of rows and sizes of the chance between trainings.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.doctor.data import Material, draw
from trainwell import metrics
from trainwell.arms import Arena, Arm, Cell, cells_of
from trainwell.coach.changes import Candidate
from trainwell.coach.loop import Coach
from trainwell.coach.proving import Prover
from trainwell.data.dataset import Column, Dataset, TableSchema
from trainwell.data.split import Fold, SealedTest, Split
from trainwell.engine.members import Member
from trainwell.recipe import Recipe
from trainwell.seeding import numpy_stream, stream_seed
from trainwell.stats import wilson
from trainwell.techniques.models import Mlp
from trainwell.techniques.regularize import Dropout

RESULTS = Path(__file__).parent / "results"
EPOCHS, ROUNDS, REMEDIES = 10, 3, 4
RECIPE = Recipe(
    model=Mlp((32,), norm="none"),
    regularize=(Dropout(0.2),),
    lr=0.005,
    batch_size=16,
    epochs=EPOCHS,
    patience=EPOCHS,
)
MATERIALS = (
    Material("wine", 120, 3, 50),
    Material("digits", 300, 3, 50),
    Material("breast_cancer", 300, 3, 50),
    Material("satellite", 450, 3, 50),
)
# Rows of all folds, accuracy, chance between trainings (of a row's log odds).
WORLDS = ((120, 0.95, 0.5), (300, 0.9, 0.5), (300, 0.9, 1.5), (1500, 0.8, 0.5), (1500, 0.97, 1.5))


class Fresh(Arena):
    """An arena in which a recipe with more patience than epochs has seeds of its own.

    Patience beyond the epochs changes nothing else, and so names the null remedies.
    """

    def member(self, recipe: Recipe, cell: Cell) -> Member:
        extra = recipe.patience - EPOCHS
        fresh = stream_seed(cell.seed, "null", extra) % 2**31 if extra else cell.seed
        return super().member(recipe, Cell(cell.fold, fresh))


class NullCoach(Coach):
    """The coach, with remedies that change nothing."""

    asked = 0

    def _wanted(self, *_: Any) -> list[Candidate]:
        first = 1 + self.asked * REMEDIES
        self.asked += 1
        if self.asked > ROUNDS:
            return []
        return [
            Candidate(f"null {k}", dataclasses.replace(RECIPE, patience=EPOCHS + k), "null")
            for k in range(first, first + REMEDIES)
        ]


def one_run(run: int) -> dict[str, int]:
    """Rounds, proofs and adoptions of one coach run with null remedies."""
    import torch

    torch.set_num_threads(1)
    drawn = draw(MATERIALS[run % len(MATERIALS)], run)
    arena = Fresh(drawn.data, drawn.split, run, jobs=1, probing=True, steady=True)
    (start,) = arena.train([RECIPE], cells_of(3, 1, run))
    ended = NullCoach(arena, units=1e6).improve(start)
    proved = [d for d in ended.decisions if d.difference is not None or "given up" in d.words]
    adopted = [d for d in proved if d.outcome == "adopted"]
    return {
        "rounds": ended.rounds,
        "tried": len(ended.decisions),
        "proved": len(proved),
        "adopted": len(adopted),
        "rounds_adopted": len({d.round for d in adopted}),
    }


# ---- simulated -------------------------------------------------------------------------------


@dataclass(eq=False)
class Drawn(Arena):
    """An arena whose trainings are draws: each row is right with odds of its own and of chance."""

    odds: Any = None
    chance: float = 1.0
    rng: Any = None

    def train(
        self, recipes: Sequence[Recipe], cells: Sequence[Cell], deadline: float | None = None
    ) -> list[Arm]:
        return [self._arm(recipe, cells) for recipe in recipes]

    def _arm(self, recipe: Recipe, cells: Sequence[Cell]) -> Arm:
        found, accuracy = [], []
        for cell in cells:
            rows = self.split.folds[cell.fold].validation
            jitter = self.chance * self.rng.logistic(size=len(rows))
            right = self.odds[rows] + jitter > 0
            labels = self.data.labels[rows]
            said = np.where(right, labels, 1 - labels)
            found.append(np.eye(2)[said])
            accuracy.append(metrics.accuracy(labels, found[-1]))
        scores = np.array(accuracy)
        made: Any = tuple(object() for _ in cells)
        return Arm(recipe, tuple(cells), scores, scores, scores, 1 - scores, tuple(found), made)


def simulated(world: tuple[int, float, float], times: int) -> tuple[int, int]:
    """Rounds with an adoption, and null remedies adopted, of `times` rounds of two remedies."""
    rows, accuracy, chance = world
    rng = numpy_stream(0, "null", *world)
    labels = np.arange(rows) % 2
    schema = TableSchema((Column("x", "number"),), "y")
    names = tuple(map(str, range(rows)))
    data = Dataset("drawn", schema, np.zeros((rows, 1), np.float32), labels, ("a", "b"), names)
    fold_of = np.arange(rows) % 3
    folds = tuple(
        Fold(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)) for k in range(3)
    )
    everything = np.arange(rows)
    split = Split(everything, folds, SealedTest(everything[:0]), ())
    rounds = remedies = 0
    for _ in range(times):
        odds = 3 * rng.normal(size=rows)
        odds += np.quantile(-odds, accuracy)
        arena = Drawn(data, split, odds=odds, chance=chance, rng=rng)
        (arm,) = arena.train([RECIPE], cells_of(3, 1, 0))
        prover = Prover(arena, "accuracy", EPOCHS)
        chosen = [Candidate(n, RECIPE, "null") for n in ("one", "two")]
        won = sum(p.outcome == "adopted" for p in prover.prove(arm, chosen, 1e6))
        rounds, remedies = rounds + (won > 0), remedies + won
    return rounds, remedies


def main() -> None:
    """Both experiments, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--simulated", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(given.processes) as executor:
        real = list(executor.map(one_run, range(given.runs)))
        drawn = list(executor.map(simulated, WORLDS, [given.simulated] * len(WORLDS)))
    total = {k: sum(r[k] for r in real) for k in real[0]}
    lines = [
        "# How often the coach adopts what changes nothing",
        "",
        f"Real trainings: {given.runs} coach runs of {ROUNDS} rounds on draws of "
        + ", ".join(f"{m.pool} ({m.rows} rows)" for m in MATERIALS)
        + f"; every one of the {REMEDIES} remedies of a round is the recipe with fresh seeds.",
        "",
        "| | adopted | of | share | 95 % interval |",
        "|---|---|---|---|---|",
        _row("real: remedies tried", total["adopted"], total["tried"]),
        _row("real: remedies that reached a proof", total["adopted"], total["proved"]),
        _row("real: rounds", total["rounds_adopted"], total["rounds"]),
    ]
    for world, (rounds, remedies) in zip(WORLDS, drawn, strict=True):
        rows, accuracy, chance = world
        name = f"simulated: {rows} rows, accuracy near {accuracy:g}, chance {chance:g}"
        lines.append(_row(f"{name}: remedies proved", remedies, 2 * given.simulated))
        lines.append(_row(f"{name}: rounds", rounds, given.simulated))
    text = "\n".join(lines)
    print(text, f"\n{time.perf_counter() - began:.0f} s")
    (RESULTS / "coach-null.md").write_text(text + "\n", encoding="utf-8")


def _row(name: str, hits: int, count: int) -> str:
    share = wilson(hits, count)
    ends = f"{100 * share.low:.1f} to {100 * share.high:.1f} %"
    return f"| {name} | {hits} | {count} | {100 * share.value:.1f} % | {ends} |"


if __name__ == "__main__":
    main()
