"""Arms: several recipes trained on the same folds and seeds, in as few populations as possible.

A cell is a fold and a seed; an arm is trained once in every cell, so that arms are paired cell by
cell. Arms whose networks have the same shape share a population; each arm tunes its own learning
rate with as many trials as the others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from trainwell import metrics
from trainwell import model as models
from trainwell.clock import now
from trainwell.data.dataset import AudioSchema, Dataset
from trainwell.data.split import Split
from trainwell.doctor.collect import collect
from trainwell.doctor.evidence import Evidence
from trainwell.engine.generating import Generated, generate, makers_of, with_samples
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.ladder import Ladder, Rung, choose, rates, trials_of, try_rates
from trainwell.engine.members import Examples, Member, Trained, common_steps
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.trainer import Result, Seen, Trainer, unseen
from trainwell.recipe import Recipe
from trainwell.seeding import stream_seed
from trainwell.techniques.augment.generated import SampleMaker
from trainwell.techniques.preprocess import Preprocess
from trainwell.techniques.scaling import match_widths

Floats = npt.NDArray[np.float64]
TRIALS, TRIAL_PARTS = 3, 3  # folds on which a rate is tried, at most; a trial is a third
FIRST_RATES, WIDENING, WIDENINGS = 7, 3, 2  # rates of every arm
# What arms with the same inputs have in common: pre-processing, whether pictures or clips are
# changed before it, and what makes samples.
Shared = tuple[tuple[Preprocess, ...], bool, tuple[SampleMaker, ...]]
Ladders = tuple[Ladder | None, Ladder | None]  # of two arms; None: the rate was given


@dataclass(frozen=True)
class Cell:
    """One training of every arm: which fold holds out rows, and the seed of everything random."""

    fold: int
    seed: int


def cells_of(folds: int, seeds: int, seed: int, first: int = 0) -> list[Cell]:
    """folds × seeds cells, seed by seed; `first`: number of the first seed, to go on with more.

    >>> [c.fold for c in cells_of(2, 2, 0)]
    [0, 1, 0, 1]
    """
    numbers = [stream_seed(seed, "member", s) % 2**31 for s in range(first, first + seeds)]
    return [Cell(fold, number) for number in numbers for fold in range(folds)]


@dataclass(frozen=True, eq=False)
class Arm:
    """An arm after training, cell by cell (n,).

    probabilities: per cell those (v, C) of the fold's validation rows, by the best epoch's weights.
    Where a training diverged at once they are nan, and its scores are those of knowing nothing.
    """

    recipe: Recipe
    cells: tuple[Cell, ...]
    accuracy: Floats
    balanced_accuracy: Floats
    macro_f1: Floats
    log_loss: Floats
    probabilities: tuple[Floats, ...]
    trained: tuple[Trained | None, ...]
    evidence: Evidence | None = None  # what was recorded, where all cells were trained
    history: tuple[EpochScore, ...] = ()  # members by their place in `cells`
    probes: tuple[Probe, ...] = ()


def _shared(recipe: Recipe) -> Shared:
    return recipe.preprocess, recipe.changes_signals, makers_of(recipe)


@dataclass(eq=False)
class Arena:
    """Data, folds and trainers: where arms are trained. One trainer per way of pre-processing."""

    data: Dataset
    split: Split
    seed: int = 0
    device: torch.device = torch.device("cpu")
    jobs: int | str | None = None
    show: Callable[[Seen], None] = unseen
    trainers: dict[Shared, Trainer] = field(default_factory=dict)
    samples: dict[tuple[SampleMaker, ...], Generated] = field(default_factory=dict)
    probing: bool = False  # measure layers, as the doctor needs it
    steady: bool = False  # run in the usual way: measuring others would take too much of the time
    late: bool = False
    stopped: bool = False

    @property
    def stop(self) -> bool:
        """Whether somebody asked to stop: every trainer ends at its next step."""
        return self.stopped

    @stop.setter
    def stop(self, asked: bool) -> None:
        self.stopped = asked
        for trainer in self.trainers.values():
            trainer.stop = asked

    def adopt(self, recipe: Recipe, trainer: Trainer) -> None:
        """Use a trainer's inputs for recipes that are pre-processed like this one."""
        self.trainers[_shared(recipe)] = self._trainer(trainer.examples)

    def _trainer(self, examples: Examples) -> Trainer:
        return Trainer(
            examples,
            jobs=self.jobs,
            show=self.show,
            probing=self.probing,
            steady=self.steady,
            stop=self.stopped,
        )

    def trainer(self, recipe: Recipe) -> Trainer:
        """The trainer whose inputs are prepared as this recipe says, fitted on training rows."""
        key = _shared(recipe)
        if key not in self.trainers:
            data, split = self.data, self.split
            layers = [
                fit_preprocess(recipe, data.schema, data.inputs, f.train, split.development)
                for f in split.folds
            ]
            match_widths(layers)
            inputs = FoldInputs(data.inputs, layers, self.device, augmented=key[1])
            rate = data.schema.rate if isinstance(data.schema, AudioSchema) else 0
            labels = torch.from_numpy(data.labels)
            examples = Examples(inputs, labels, len(data.classes), self.device, rate=rate)
            if makers := key[2]:
                made = self.generated(makers)
                examples = with_samples(examples, data, split.folds, made, augmented=key[1])
            self.trainers[key] = self._trainer(examples)
        return self.trainers[key]

    def generated(self, makers: tuple[SampleMaker, ...]) -> Generated:
        """The samples that these techniques make of every fold; made once."""
        if makers not in self.samples:
            self.samples[makers] = generate(self.data, self.split.folds, makers, self.seed)
        return self.samples[makers]

    def member(self, recipe: Recipe, cell: Cell) -> Member:
        """The training of a recipe in a cell."""
        fold = self.split.folds[cell.fold]
        recipe, steps = common_steps(recipe, [len(f.train) for f in self.split.folds])
        return Member(recipe, cell.fold, fold.train, fold.validation, cell.seed, steps)

    def train(
        self, recipes: Sequence[Recipe], cells: Sequence[Cell], deadline: float | None = None
    ) -> list[Arm]:
        """Every recipe (each with a rate) in every cell.

        Arms that share pre-processing are handed to their trainer together, which puts members of
        equal shape into one population. deadline: `clock.now()`; `late` says that it was missed,
        and then what was not trained is missing.
        """
        found: dict[int, list[Trained | None]] = {
            i: [None] * len(cells) for i in range(len(recipes))
        }
        records: dict[int, _Record] = {}
        groups: dict[int, list[int]] = {}
        for i, recipe in enumerate(recipes):
            groups.setdefault(id(self.trainer(recipe)), []).append(i)
        left = len(recipes)
        for mine in groups.values():
            trainer = self.trainer(recipes[mine[0]])
            members = [self.member(recipes[i], cell) for i in mine for cell in cells]
            result = trainer.train(members, "training", _part_of_time(deadline, len(mine) / left))
            left -= len(mine)
            self.late, self.stopped = self.late or result.late, self.stopped or result.stopped
            for place, trained in result.trained.items():
                found[mine[place // len(cells)]][place % len(cells)] = trained
            for number, i in enumerate(mine):
                records[i] = _record(result, number * len(cells), len(cells))
        return [
            dataclasses.replace(
                self.arm(recipe, cells, found[i]),
                evidence=records[i].evidence,
                history=records[i].history,
                probes=records[i].probes,
            )
            for i, recipe in enumerate(recipes)
        ]

    def arm(self, recipe: Recipe, cells: Sequence[Cell], trained: Sequence[Trained | None]) -> Arm:
        """The arm that these trainings of a recipe are, one per cell, with its scores."""
        data = self.data
        layers = self.trainer(recipe).examples.inputs.layers
        classes = len(data.classes)
        probabilities, scores = [], []
        for cell, one in zip(cells, trained, strict=True):
            fold = self.split.folds[cell.fold]
            labels = data.labels[fold.validation]
            if one is None or not one.best_epoch:
                counts = np.bincount(data.labels[fold.train], minlength=classes)
                prior = np.maximum(counts / counts.sum(), 1e-12)
                chances = np.tile(prior, (len(labels), 1))
                probabilities.append(np.full_like(chances, np.nan))
            else:
                whole = models.assemble(data.schema, data.classes, layers, [one])
                moved = models.balanced(whole, [one], data.inputs, data.labels)
                chances = models.held_out_probabilities(
                    moved, data.inputs, data.labels, fold.train, fold.validation
                )
                probabilities.append(chances)
            scores.append(
                (
                    metrics.accuracy(labels, chances),
                    metrics.balanced_accuracy(labels, chances),
                    metrics.macro_f1(labels, chances),
                    metrics.log_loss(labels, chances),
                )
            )
        accuracy, balanced, f1, loss = (np.array(column) for column in zip(*scores, strict=True))
        return Arm(
            recipe,
            tuple(cells),
            accuracy,
            balanced,
            f1,
            loss,
            tuple(probabilities),
            tuple(trained),
        )

    def tuned(
        self, recipes: Sequence[Recipe], deadline: float | None = None
    ) -> list[tuple[Recipe, Ladder | None]]:
        """Each recipe with a learning rate: its own where it has one, else the best of a ladder.

        All arms get the same number of trials: FIRST_RATES around what is usual for the optimiser,
        and WIDENING more, for everybody, as long as some arm's best rate lies on an edge. Where
        the deadline (`clock.now()`) ends the search, each takes the best rate so far; without any,
        the usual one.
        """
        free = [i for i, r in enumerate(recipes) if r.lr is None]
        rungs: dict[int, dict[float, Rung]] = {i: {} for i in free}
        wanted = {i: rates(recipes[i].optimizer.usual_rate / 20, FIRST_RATES) for i in free}
        in_time = True
        for number in range(1 + WIDENINGS):
            for turn, i in enumerate(free):
                tried, done = try_rates(
                    wanted[i],
                    self._trials(recipes[i]),
                    self.trainer(recipes[i]),
                    f"ladder{number}",
                    _part_of_time(deadline, 1 / (len(free) - turn)),
                )
                rungs[i] |= {rung.lr: rung for rung in tried if done or not number or _seen(rung)}
                in_time = in_time and done
            edges = {i: _edge([rungs[i][r] for r in sorted(rungs[i])]) for i in free}
            if not any(edges.values()) or not in_time:
                break
            for i in free:
                tried_so_far = sorted(rungs[i])
                low, high = tried_so_far[0], tried_so_far[-1]
                if edges[i] < 0:
                    wanted[i] = [r for r in rates(low / 12, WIDENING) if r < low]
                else:  # also for arms that are not on an edge: the same number of trials
                    wanted[i] = [r for r in rates(high, WIDENING + 1) if r > high]
                wanted[i] = wanted[i][:WIDENING]
        found: list[tuple[Recipe, Ladder | None]] = []
        for i, recipe in enumerate(recipes):
            if i not in rungs:
                found.append((recipe, None))
                continue
            ordered = [rungs[i][r] for r in sorted(rungs[i])]
            known = in_time or any(map(_seen, ordered))
            rate = choose(ordered).lr if known else recipe.optimizer.usual_rate
            trials = len(self.split.folds[:TRIALS])
            ladder = Ladder(tuple(ordered), rate, bool(_edge(ordered)), trials, in_time)
            found.append((dataclasses.replace(recipe, lr=rate), ladder))
        return found

    def _trials(self, recipe: Recipe) -> list[Member]:
        """Short trainings on which a rate is tried: at most TRIALS folds."""
        folds = self.split.folds[:TRIALS]
        return trials_of(recipe, folds, self.data.labels, self.seed, TRIAL_PARTS)


def joined(first: Arm, more: Arm) -> Arm:
    """An arm with more cells; with evidence where both have some."""
    history, probes = list(first.history), list(first.probes)
    shift = len(first.cells)
    history += [dataclasses.replace(s, member=s.member + shift) for s in more.history]
    probes += [dataclasses.replace(p, member=p.member + shift) for p in more.probes]
    history.sort(key=lambda s: (s.epoch, s.member))
    probes.sort(key=lambda p: (p.epoch, p.member))
    trained = [t for t in (*first.trained, *more.trained) if t is not None]
    known = first.evidence is not None and more.evidence is not None
    return dataclasses.replace(
        first,
        cells=(*first.cells, *more.cells),
        accuracy=np.concatenate([first.accuracy, more.accuracy]),
        balanced_accuracy=np.concatenate([first.balanced_accuracy, more.balanced_accuracy]),
        macro_f1=np.concatenate([first.macro_f1, more.macro_f1]),
        log_loss=np.concatenate([first.log_loss, more.log_loss]),
        probabilities=(*first.probabilities, *more.probabilities),
        trained=(*first.trained, *more.trained),
        evidence=collect(trained, history, probes) if known else None,
        history=tuple(history),
        probes=tuple(probes),
    )


def some_cells(arm: Arm, places: Sequence[int]) -> Arm:
    """An arm in some of its cells; what was recorded of all of them together is left out."""
    rows = np.asarray(places, dtype=np.int64)
    return dataclasses.replace(
        arm,
        cells=tuple(arm.cells[i] for i in places),
        accuracy=arm.accuracy[rows],
        balanced_accuracy=arm.balanced_accuracy[rows],
        macro_f1=arm.macro_f1[rows],
        log_loss=arm.log_loss[rows],
        probabilities=tuple(arm.probabilities[i] for i in places),
        trained=tuple(arm.trained[i] for i in places),
        evidence=None,
        history=(),
        probes=(),
    )


def tuning_words(ladders: Ladders) -> str:
    """Who tuned the learning rate, and with how many trials.

    >>> tuning_words((None, None))
    'Both learning rates were given; none was tuned.'
    """
    told = [
        None if one is None else f"{len(one.rungs)} rates × {times(one.trials, 'fold')}"
        for one in ladders
    ]
    if told[0] is None and told[1] is None:
        return "Both learning rates were given; none was tuned."
    if told[0] == told[1]:
        return f"Each arm tuned its own learning rate with the same number of trials: {told[0]}."
    parts = [
        f"the learning rate of {arm} was {'given' if what is None else f'tuned: {what}'}"
        for arm, what in zip("AB", told, strict=True)
    ]
    words = "; ".join(parts)
    return f"{words[0].upper()}{words[1:]}."


def about_tuning(ladders: Ladders) -> tuple[str, ...]:
    """What makes the comparison of two rates unfair."""
    notes = []
    if (ladders[0] is None) != (ladders[1] is None):
        tuned, other = ("B", "A") if ladders[0] is None else ("A", "B")
        notes.append(
            f"only {tuned} tuned its learning rate; that of {other} was given: a difference may be "
            "that of the rates"
        )
    if any(one is not None and not one.in_time for one in ladders):
        notes.append("the time ended the search for a learning rate; the best so far was taken")
    return tuple(notes)


def times(count: int, what: str) -> str:
    """A number of things.

    >>> times(1, "seed"), times(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


@dataclass(frozen=True, eq=False)
class _Record:
    """What was recorded of an arm's trainings."""

    history: tuple[EpochScore, ...]
    probes: tuple[Probe, ...]
    evidence: Evidence | None


def _record(result: Result, first: int, count: int) -> _Record:
    """History, probes and evidence of `count` members from `first` on; no evidence where some
    are missing."""
    mine = range(first, first + count)
    history = tuple(
        dataclasses.replace(s, member=s.member - first) for s in result.history if s.member in mine
    )
    probes = tuple(
        dataclasses.replace(p, member=p.member - first) for p in result.probes if p.member in mine
    )
    whole = all(i in result.trained for i in mine)
    trained = [result.trained[i] for i in mine if i in result.trained]
    return _Record(history, probes, collect(trained, history, probes) if whole else None)


def _edge(rungs: Sequence[Rung]) -> int:
    """-1 where the rung to be chosen is the lowest, 1 where it is the highest, else 0."""
    best = choose(rungs)
    if best is rungs[0]:
        return -1
    return 1 if best is rungs[-1] else 0


def _seen(rung: Rung) -> bool:
    """Whether there was time to try a rate at all."""
    return math.isfinite(rung.log_loss) or not rung.diverged


def _part_of_time(deadline: float | None, share: float) -> float | None:
    """When a share of the time until the deadline is over (`clock.now()`)."""
    start = now()
    return None if deadline is None else start + share * (deadline - start)
