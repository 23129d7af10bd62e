"""The usual experiment: the arms of a claim trained in every repetition, as populations.

Each arm first tries every combination of its nuisance parameters on the validation rows of a few
repetitions, by the very measure that decides; what is best there is trained in every repetition and
judged on that repetition's decision rows, which chose nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.arms import Arena, Cell
from trainwell.claims import measures
from trainwell.claims.claim import ArmSpec, Claim, Size
from trainwell.claims.draws import Draws, Repetition, draw
from trainwell.claims.rules import Measured
from trainwell.claims.variants import apply_variant
from trainwell.data.dataset import Dataset, IntArray
from trainwell.data.split import Fold, SealedTest, Split, sample_rows
from trainwell.engine.members import Member, Trained
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.errors import UserError
from trainwell.recipe import Recipe, edit
from trainwell.recipe_check import check_against
from trainwell.seeding import stream_seed
from trainwell.techniques.models import Custom, Mlp
from trainwell.techniques.optim.first_order import Momentum
from trainwell.techniques.preprocess import LogMel, Standardize
from trainwell.techniques.schedules import Constant

Floats = npt.NDArray[np.float64]
TRIALS = 3  # repetitions in which nuisance parameters are tried
NETWORKS = "trainwell.claims.networks:"
EPOCH_STEPS = 4  # at least, so that most of the time is not spent on scoring epochs
NEVER = 10**6  # epochs of patience: nothing ends early

# Nothing that a claim has not asked for: no regulariser, no annealing, no norm, no early stopping.
PLAIN = Recipe(
    model=Mlp(hidden=(64,), norm="none"),
    preprocess=(Standardize(),),
    regularize=(),
    optimizer=Momentum(),
    schedule=Constant(),
    lr=0.05,
    batch_size=32,
    patience=NEVER,
)


@dataclass(frozen=True, eq=False)
class Setup:
    """What an experiment is given: the claim, its size, the data, and the seed of the block."""

    claim: Claim
    size: Size
    data: Dataset
    seed: int
    show: Callable[[float], None] = lambda share: None
    own: bool = False  # data of somebody's own

    def draws(self) -> Draws:
        """Validation, training and decision rows of all repetitions."""
        return draw(self.data, self.claim, self.size, self.seed)


@dataclass(frozen=True)
class Training:
    """One arm's training to be done: settings tried, and in which repetition."""

    arm: int
    settings: tuple[tuple[str, str], ...]
    repetition: int


@dataclass(eq=False)
class Bench:
    """Data with all variants, folds for every way of choosing rows, and the arena that trains."""

    setup: Setup
    draws: Draws
    data: Dataset
    arena: Arena
    folds: dict[tuple[object, int], int]  # (what an arm trains on, repetition): fold
    places: Mapping[str, int]  # where the rows of a variant begin

    def recipe(self, arm: ArmSpec, settings: Sequence[tuple[str, str]]) -> Recipe:
        """The recipe of an arm with tuned settings, with the epochs of the claim's size."""
        claim, size = self.setup.claim, self.setup.size
        where = f"claim {claim.name}, arm {arm.name}"
        found = PLAIN
        for changes in (claim.recipe, arm.set, dict(settings)):
            found = edit(found, changes, where)
        if isinstance(found.model, Custom) and not found.model.factory.startswith(NETWORKS):
            problem = f'names code that is not of the lab, "{found.model.factory}"'
            raise UserError(where, problem, "A claim is data: it runs no code of its own.")
        if self.data.kind == "audio" and not any(isinstance(p, LogMel) for p in found.preprocess):
            found = dataclasses.replace(found, preprocess=(LogMel(), *found.preprocess))
        shown = len(self.rows_shown(arm, self.draws.repetitions[0], found.batch_size))
        batch = min(found.batch_size, shown)
        epochs = size.epochs or -(-(size.steps or 1) // max(1, shown // batch))
        patience = NEVER if claim.weights == "last" else found.patience
        found = dataclasses.replace(found, batch_size=batch, epochs=epochs, patience=patience)
        check_against(found, self.data.schema)
        return found

    def rows_shown(self, arm: ArmSpec, repetition: Repetition, batch: int) -> IntArray:
        """The training rows of an arm in an epoch.

        Fewer than those of others are repeated to as many, and so few that an epoch would have one
        or two steps to EPOCH_STEPS of them, where steps are counted and not epochs.
        """
        most = max(len(a.train_on) for a in self.setup.claim.arms)
        rows = rows_of(arm, repetition, self.draws.data, self.places)
        length = max(most * len(repetition.train), len(rows))
        if self.setup.size.steps and batch < 10**6:  # not for rules that take all rows at once
            length = max(length, EPOCH_STEPS * batch)
        return np.resize(rows, length)

    def member(self, training: Training, judged: IntArray) -> Member:
        """The training with the rows that are scored after every epoch."""
        arm = self.setup.claim.arms[training.arm]
        repetition = self.draws.repetitions[training.repetition]
        recipe = self.recipe(arm, training.settings)
        return Member(
            recipe,
            self.folds[key_of(arm), training.repetition],
            self.rows_shown(arm, repetition, recipe.batch_size),
            judged,
            repetition.seed,
        )

    def validation(self, arm: ArmSpec) -> IntArray:
        """The rows that choose: changed as the arm's where it is trained and judged on the same."""
        same = arm.train_on == (arm.decide_on,)
        return self.draws.validation + self.places[arm.decide_on if same else ""]

    def decision(self, arm: ArmSpec, repetition: int) -> IntArray:
        """The rows that decide."""
        return self.draws.repetitions[repetition].decision + self.places[arm.decide_on]

    def train(
        self, members: Sequence[Member], stage: str
    ) -> tuple[dict[int, Trained], list[list[EpochScore]], list[list[Probe]]]:
        """Train all, those of equal pre-processing together; scores and probes of each member."""
        trained: dict[int, Trained] = {}
        history: list[list[EpochScore]] = [[] for _ in members]
        probes: list[list[Probe]] = [[] for _ in members]
        groups: dict[int, list[int]] = {}
        for i, member in enumerate(members):
            groups.setdefault(id(self.arena.trainer(member.recipe)), []).append(i)
        for mine in groups.values():
            trainer = self.arena.trainer(members[mine[0]].recipe)
            result = trainer.train([members[i] for i in mine], stage)
            trained |= {mine[i]: t for i, t in result.trained.items()}
            for score in result.history:
                history[mine[score.member]].append(score)
            for probe in result.probes:
                probes[mine[probe.member]].append(probe)
        return trained, history, probes

    def ends(self, member: Member) -> measures.Ends:
        """What a training that diverges is worth."""
        labels = self.data.labels[member.train]
        counts = np.bincount(labels, minlength=len(self.data.classes))
        return measures.Ends(
            float(counts.max() / counts.sum()),
            int(counts.argmin()),
            len(counts),
            member.steps * member.recipe.epochs,
        )


def key_of(arm: ArmSpec) -> tuple[object, ...]:
    """What sets the training rows of an arm, and with them its pre-processing."""
    return (arm.share, arm.train_on, arm.decide_on, arm.per_class)


def rows_of(
    arm: ArmSpec, repetition: Repetition, data: Dataset, places: Mapping[str, int]
) -> IntArray:
    """The arm's different training rows in a repetition, of all variants that it trains on.

    Raises UserError where a class has fewer rows than the arm asks for.
    """
    rows, labels = repetition.train, data.labels
    if arm.per_class:
        if len(arm.per_class) != len(data.classes):
            problem = f"names {len(arm.per_class)} numbers of rows for {len(data.classes)} classes"
            raise UserError(f'arm "{arm.name}"', problem)
        each = [rows[labels[rows] == c][:n] for c, n in enumerate(arm.per_class)]
        rows = np.sort(np.concatenate(each))
    else:
        count = max(len(data.classes), round(arm.share * len(rows)))
        rows = sample_rows(rows, labels, count, repetition.seed)
    return np.concatenate([rows + places[name] for name in arm.train_on])


def run_arms(setup: Setup) -> Measured:
    """Tune every arm, train it in every repetition, measure."""
    bench = prepared(setup)
    if setup.own and any(c.measure == "steps_to_target" for c in setup.claim.contrasts):
        claim = dataclasses.replace(setup.claim, target=reachable(bench))
        bench.setup = setup = dataclasses.replace(setup, claim=claim)
    chosen = tuned(bench)
    claim, arms = setup.claim, setup.claim.arms
    trainings = [
        Training(a, chosen[a], r)
        for a in range(len(arms))
        for r in range(len(bench.draws.repetitions))
    ]
    members = [
        bench.member(
            t,
            bench.decision(arms[t.arm], t.repetition)
            if claim.weights == "last"
            else bench.validation(arms[t.arm]),
        )
        for t in trainings
    ]
    trained, history, probes = bench.train(members, "training")
    table: list[dict[str, float]] = []
    for i, (t, member) in enumerate(zip(trainings, members, strict=True)):
        if claim.weights == "last":
            row = measures.of_curve(
                history[i], bench.ends(member), claim.target, member.steps
            ) | measures.of_probes(probes[i])
        else:
            row = _by_probabilities(bench, arms[t.arm], t, member, trained.get(i))
        table.append(row)
    count = len(bench.draws.repetitions)
    values = {
        name: {
            arm.name: np.array([table[a * count + r][name] for r in range(count)])
            for a, arm in enumerate(arms)
        }
        for name in table[0]
    }
    return Measured(
        values,
        bench.draws.test_share,
        bench.draws.decided,
        measures.SHARES,
        _curves(arms, history, count),
        {arm.name: dict(chosen[a]) for a, arm in enumerate(arms)},
        tuple(_notes(claim, values, chosen)),
    )


def prepared(setup: Setup) -> Bench:
    """The data with all variants behind each other, and folds for what arms train on."""
    claim, draws = setup.claim, setup.draws()
    base = draws.data
    parts, places = [base], {"": 0}
    for variant in claim.variants:
        places[variant.name] = len(parts) * len(base)
        parts.append(apply_variant(variant.how, base, setup.seed, f"variant {variant.name}"))
    data = dataclasses.replace(
        base,
        inputs=np.concatenate([p.inputs for p in parts]),
        labels=np.concatenate([p.labels for p in parts]),
        names=[name for p in parts for name in p.names],
        groups=None,
        official_test=None,
    )
    folds: list[Fold] = []
    numbers: dict[tuple[object, int], int] = {}
    for arm in claim.arms:
        for r, repetition in enumerate(draws.repetitions):
            if (key_of(arm), r) in numbers:
                continue
            numbers[key_of(arm), r] = len(folds)
            train = rows_of(arm, repetition, base, places)
            folds.append(Fold(train, repetition.decision + places[arm.decide_on]))
    split = Split(np.arange(len(data)), tuple(folds), SealedTest(np.empty(0, np.int64)), ())
    probing = any(c.measure in measures.OF_PROBES for c in claim.contrasts)
    arena = Arena(data, split, setup.seed, jobs=1, steady=True, probing=probing)
    arena.show = lambda seen: setup.show(seen.share)
    return Bench(setup, draws, data, arena, numbers, places)


def tuned(bench: Bench) -> list[tuple[tuple[str, str], ...]]:
    """The nuisance parameters of every arm, chosen on validation rows by the deciding measure."""
    claim = bench.setup.claim
    by = claim.tune_by or next(c.measure for c in claim.contrasts if c.role == "primary")
    by = by if by in measures.OF_CURVES else "accuracy"
    grids = [grid_of({**claim.tune, **arm.tune}, arm.set) for arm in claim.arms]
    trainings = [
        Training(a, settings, r)
        for a, grid in enumerate(grids)
        for settings in grid
        for r in range(min(TRIALS, len(bench.draws.repetitions)))
        if len(grid) > 1
    ]
    members = [bench.member(t, bench.validation(claim.arms[t.arm])) for t in trainings]
    _, history, _ = bench.train(members, "ladder") if members else ({}, [], [])
    found: dict[tuple[int, tuple[tuple[str, str], ...]], list[float]] = {}
    for t, member, scores in zip(trainings, members, history, strict=True):
        seen = measures.of_curve(scores, bench.ends(member), claim.target, member.steps)
        worth = measures.worth(by, seen[by]) - 1e6 * seen["diverged"]
        found.setdefault((t.arm, t.settings), []).append(worth)
    return [
        max(grid, key=lambda s, a=a: np.mean(found[a, s])) if len(grid) > 1 else grid[0]  # type: ignore[misc]
        for a, grid in enumerate(grids)
    ]


def reachable(bench: Bench) -> float:
    """A target for data that the claim's author has not seen: 95 % of the accuracy that the first
    arm reaches on validation rows with its best settings."""
    claim = bench.setup.claim
    arm = claim.arms[0]
    grid = grid_of({**claim.tune, **arm.tune}, arm.set)
    trials = range(min(TRIALS, len(bench.draws.repetitions)))
    members = [
        bench.member(Training(0, settings, r), bench.validation(arm))
        for settings in grid
        for r in trials
    ]
    _, history, _ = bench.train(members, "ladder")
    each = [
        measures.of_curve(scores, bench.ends(m), claim.target, m.steps)["accuracy"]
        for m, scores in zip(members, history, strict=True)
    ]
    return 0.95 * float(np.array(each).reshape(len(grid), -1).mean(axis=1).max())


def grid_of(
    tune: Mapping[str, Sequence[str]], fixed: Mapping[str, str]
) -> list[tuple[tuple[str, str], ...]]:
    """Every combination of the values to try; what an arm sets itself is not tried.

    >>> grid_of({"lr": ("0.1", "0.2"), "init": ("He()",)}, {"init": "Zero()"})
    [(('lr', '0.1'),), (('lr', '0.2'),)]
    """
    free = {name: values for name, values in tune.items() if name not in fixed}
    return [tuple(zip(free, some, strict=True)) for some in itertools.product(*free.values())]


def _by_probabilities(
    bench: Bench, arm: ArmSpec, training: Training, member: Member, trained: Trained | None
) -> dict[str, float]:
    """Measures of the best epoch's weights on the decision rows."""
    probabilities = chances(bench, arm, training.repetition, member.recipe, trained)
    labels = bench.data.labels[bench.decision(arm, training.repetition)]
    return measures.of_probabilities(labels, probabilities, bench.ends(member))


def chances(
    bench: Bench, arm: ArmSpec, repetition: int, recipe: Recipe, trained: Trained | None
) -> Floats:
    """Probabilities (n, C) for the decision rows of a repetition; nan where it diverged."""
    fold = bench.folds[key_of(arm), repetition]
    seed = bench.draws.repetitions[repetition].seed
    return bench.arena.arm(recipe, [Cell(fold, seed)], [trained]).probabilities[0]


def _curves(
    arms: Sequence[ArmSpec], history: Sequence[Sequence[EpochScore]], count: int
) -> dict[str, dict[str, Floats]]:
    """Accuracy and loss by epoch, (n, E) for every arm; nan after a training ended."""
    longest = max((len(h) for h in history), default=0)
    found: dict[str, dict[str, Floats]] = {}
    for name, column in (
        ("accuracy", "val_accuracy"),
        ("log_loss", "val_loss"),
        ("train_loss", "train_loss"),
        ("train_accuracy", "train_accuracy"),
    ):
        found[name] = {}
        for a, arm in enumerate(arms):
            rows = np.full((count, longest), np.nan)
            for r in range(count):
                some = history[a * count + r]
                rows[r, : len(some)] = [getattr(s, column) for s in some]
            found[name][arm.name] = rows
    return found


def _notes(
    claim: Claim,
    values: Mapping[str, Mapping[str, Floats]],
    chosen: Sequence[tuple[tuple[str, str], ...]],
) -> list[str]:
    """What the reader should know: trainings that diverged, choices on the edge of their grid."""
    notes = []
    for name, wild in values["diverged"].items():
        if wild.any():
            notes.append(f"{name}: {int(wild.sum())} of {len(wild)} trainings diverged")
    for arm, settings in zip(claim.arms, chosen, strict=True):
        grid = {**claim.tune, **arm.tune}
        for field, value in settings:
            tried = grid[field]
            if field == "lr" and len(tried) > 1 and value in (tried[0], tried[-1]):
                notes.append(f"{arm.name}: its best rate, {value}, is an end of what was tried")
    return notes


def seed_of_block(seed: int) -> int:
    """The seed that everything in a block of repetitions is made from."""
    return stream_seed(seed, "claims") % 2**31
