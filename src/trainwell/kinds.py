"""Kinds of networks that an ensemble may be made of, and how more of them are trained in a fit.

The lecture names three ways: the same network from other initial weights, the same on partial
training samples, and other architectures (slide "Ensemble"). A kind is one recipe, trained in
every fold; its networks together have one voice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from trainwell.budget import TRAINING_SHARE, training_seconds
from trainwell.clock import now
from trainwell.coach.remedies import difference
from trainwell.coach.run import After
from trainwell.data.dataset import Schema
from trainwell.data.split import sample_rows
from trainwell.engine.inputs import take
from trainwell.engine.ladder import choose, trials_of, try_rates
from trainwell.engine.members import Member, Trained, common_steps
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.threads import operations
from trainwell.engine.trainer import Seen, Trainer
from trainwell.errors import UserError
from trainwell.recipe import Recipe
from trainwell.recipe_check import check_against
from trainwell.seeding import stream_seed
from trainwell.techniques.inputs import category_blocks
from trainwell.techniques.models.audio import AudioCnn
from trainwell.techniques.models.cnn import Cnn
from trainwell.techniques.models.mlp import Linear, Mlp
from trainwell.techniques.models.resnet import ResNet
from trainwell.techniques.optim.rules import ClosureRule
from trainwell.training import CLOSING_SHARE, Work, stop_at_interrupt

Way = Literal["recipe", "other seeds", "part of the rows", "architecture", "coach", "run"]
PART = 0.8  # of the training rows that a kind on partial samples sees
RATES = (0.3, 1.0, 3.0)  # times the recipe's, tried for another architecture
LEAST_SECONDS = 15.0  # of budget below which nothing more is trained
MORE_SHARE = 0.1  # of a given budget for other kinds, besides what training has left of its share
MORE_TIMES, MORE_LEAST = 1.5, 5.0  # without one: times the recipe's training, or these seconds
CHOOSING_SHARE = 0.07  # of the budget, kept for the choice itself
TRAINED = ("adopted", "not shown", "no difference that matters", "worse")  # outcomes of proofs
SAFETY = 0.8  # of the time that is left may be planned


@dataclass(frozen=True, eq=False)
class Kind:
    """A recipe's trained networks, and the pre-processing of every fold.

    name: what tables call it; way: where it comes from; beaten: a coach has shown the recipe that
    it has adopted to be better, so that this kind may vote but not take its place.
    """

    name: str
    way: Way
    recipe: Recipe
    trained: tuple[Trained, ...]
    layers: tuple[nn.Sequential, ...]
    history: tuple[EpochScore, ...] = ()  # members by their place in `trained`
    probes: tuple[Probe, ...] = ()
    beaten: bool = False


@dataclass(frozen=True)
class Other:
    """A kind that could be trained: recipe (its rate may have to be tried), share of the rows."""

    name: str
    way: Way
    recipe: Recipe
    share: float = 1.0


def others(recipe: Recipe, schema: Schema) -> list[Other]:
    """What may be trained besides a recipe, the most promising first.

    Architectures are those that differ most from the recipe's at a like price. Second-order rules
    and networks of one's own (Custom) get other seeds and partial samples only.

    >>> from trainwell.data.dataset import TableSchema
    >>> [o.name for o in others(Recipe(model=Mlp((8,)), lr=0.1), TableSchema((), "y"))]
    ['tanh units', 'other seeds', 'deeper', '80 % of the rows', 'no hidden layer']
    """
    same = [
        Other("other seeds", "other seeds", recipe),
        Other(f"{100 * PART:.0f} % of the rows", "part of the rows", recipe, PART),
    ]
    if isinstance(recipe.model, Linear):
        same = same[1:]  # without hidden layer every start ends at the same weights
    built = [] if isinstance(recipe.optimizer, ClosureRule) else _architectures(recipe, schema)
    kinds = [k for pair in zip(built, same, strict=False) for k in pair]
    return [*kinds, *built[len(same) :], *same[len(built) :]]


def _architectures(recipe: Recipe, schema: Schema) -> list[Other]:
    """Other networks for the same inputs that the recipe's other choices suit."""
    model = recipe.model
    found: list[tuple[str, Linear | Mlp | Cnn | ResNet]] = []
    if isinstance(model, Mlp):
        other: Literal["relu", "tanh"] = "relu" if model.activation == "tanh" else "tanh"
        last = model.hidden[-1:] or (64,)
        found = [
            (f"{other} units", dataclasses.replace(model, activation=other)),
            ("deeper", dataclasses.replace(model, hidden=(*model.hidden, *last))),
            ("no hidden layer", Linear()),
        ]
    elif isinstance(model, Linear):
        found = [("a hidden layer", Mlp(hidden=(64,)))]
    elif isinstance(model, Cnn):
        narrow = tuple(max(4, c // 2) for c in model.channels)
        found = [("half the channels", dataclasses.replace(model, channels=narrow))]
        if schema.kind == "images":
            found.append(("no convolutions", Mlp(hidden=(256, 128))))
        found.append(("residual", ResNet(channels=model.channels)))
    elif isinstance(model, ResNet | AudioCnn):
        found = [("plain convolutions", Cnn(channels=model.channels))]
    kinds = []
    for name, changed in found:
        candidate = dataclasses.replace(recipe, model=changed)
        try:
            check_against(candidate, schema)
        except UserError:
            continue  # a choice of the recipe that fits its own network only
        kinds.append(Other(name, "architecture", candidate))
    return kinds


def affordable(work: Work, wanted: Sequence[Other]) -> list[Other]:
    """Those of the wanted kinds that fit the budget, in order; decided once for a run.

    First by counting operations, so that the same command plans the same work everywhere: with a
    budget, what training has left of its share and MORE_SHARE; without one, MORE_TIMES as long.
    Then by the clock: what would not end in time, by how long training took, is not begun.
    """

    def decide() -> list[str]:
        given = work.options.budget is not None
        own = work.size.seconds
        aim = (
            (TRAINING_SHARE + MORE_SHARE) * work.budget.seconds - own
            if given
            else max(MORE_LEAST, MORE_TIMES * own)
        )
        left = SAFETY * (
            (1 - CLOSING_SHARE - CHOOSING_SHARE) * work.budget.seconds - work.budget.used
        )
        pace = (work.budget.used - work.began) / max(own, 1e-9)  # seconds per nominal second
        chosen, planned = [], 0.0
        for other in wanted:
            cost = _seconds(work, other)
            if planned + cost <= aim and pace * (planned + cost) <= left:
                chosen.append(other.name)
                planned += cost
        return chosen

    idle = work.interrupted or work.trainer.late or work.budget.seconds < LEAST_SECONDS
    if idle or work.trainer.examples.ranks.size > 1:
        return []
    names = work.trainer.store.once("other kinds", decide)
    return [other for other in wanted if other.name in names]


def _seconds(work: Work, other: Other) -> float:
    """Seconds on the nominal machine: one network per fold, and the search for its rate."""
    network, shape = built(work, other.recipe, work.inputs.layers[0])
    cost = operations(network, shape)
    convolves = any(isinstance(m, nn.Conv2d) for m in network.modules())
    rows, folds = len(work.split.development), len(work.split.folds)
    batch = other.recipe.batch_size
    epoch = training_seconds(rows, batch, cost, convolves, folds, 1) * other.share
    search = len(RATES) / 3 / folds if other.way == "architecture" else 0.0
    return epoch * other.recipe.epochs * (1 + search)


def built(work: Work, recipe: Recipe, fold: nn.Sequential) -> tuple[nn.Module, tuple[int, ...]]:
    """A recipe's network behind the pre-processing of a fold, untrained; the shape of its input."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        shape = tuple(fold(take(work.data.inputs, slice(1))).shape[1:])
        blocks = category_blocks(fold)
        return recipe.model.build(shape, len(work.data.classes), 0.0, blocks), shape


def train_others(work: Work, wanted: Sequence[Other]) -> list[Kind]:
    """Train one network per fold of each of these kinds; those that were not finished are left out.

    Other architectures try three rates first, on short trainings on the first fold.
    """
    if not wanted:
        return []
    trainer = Trainer(
        dataclasses.replace(work.trainer.examples, inputs=work.inputs),  # a coach may change them
        work.trainer.store,
        work.options.jobs,
        precision=work.trainer.precision,
        probing=True,
        steady=True,  # measuring what is quickest would take longer than it gains
        show=lambda seen: _show(work, seen),
    )
    deadline = now() + (1 - CLOSING_SHARE - CHOOSING_SHARE) * work.budget.seconds - work.budget.used
    kinds = "kind" if len(wanted) == 1 else "kinds"
    work.progress.stage(f"training {len(wanted)} other {kinds} of networks")
    with stop_at_interrupt(trainer):
        ready = [_with_rate(work, trainer, other, deadline) for other in wanted]
        folds = work.split.folds
        members = [m for other in ready for m in _members(work, other)]
        result = trainer.train(members, "training-others", deadline)
    torch.set_num_threads(work.threads)
    work.interrupted = work.interrupted or trainer.stop
    found = []
    for number, other in enumerate(ready):
        mine = range(number * len(folds), (number + 1) * len(folds))
        networks = [result.trained.get(i) for i in mine]
        usable = [t for t in networks if t is not None and t.best_epoch]
        if len(usable) < len(folds):
            work.warnings.append(f"the kind of networks “{other.name}” was not trained to the end")
            continue
        place = {m: i for i, m in enumerate(mine)}
        found.append(
            Kind(
                other.name,
                other.way,
                other.recipe,
                tuple(usable),
                tuple(work.inputs.layers),
                tuple(
                    dataclasses.replace(s, member=place[s.member])
                    for s in result.history
                    if s.member in place
                ),
                tuple(
                    dataclasses.replace(p, member=place[p.member])
                    for p in result.probes
                    if p.member in place
                ),
            )
        )
    return found


def _with_rate(work: Work, trainer: Trainer, other: Other, deadline: float) -> Other:
    """The kind with a rate of its own where its network is another; else the recipe's."""
    rate = work.recipe.lr
    if other.way != "architecture" or rate is None:
        return other
    folds, seed = work.split.folds[:1], work.options.seed
    trials = trials_of(other.recipe, folds, work.data.labels, seed, 3)
    wanted = [float(f"{rate * f:.3g}") for f in RATES]
    stage = f"rates-of-{other.name.replace(' ', '-')}"
    rungs, _ = try_rates(wanted, trials, trainer, stage, deadline)
    tried = [r for r in rungs if np.isfinite(r.log_loss)]
    return dataclasses.replace(
        other, recipe=dataclasses.replace(other.recipe, lr=choose(tried).lr if tried else rate)
    )


def _members(work: Work, other: Other) -> list[Member]:
    """One training per fold."""
    seed = stream_seed(work.options.seed, "kind", other.name) % 2**31
    rows = [
        fold.train
        if other.share == 1
        else sample_rows(fold.train, work.data.labels, round(other.share * len(fold.train)), seed)
        for fold in work.split.folds
    ]
    recipe, steps = common_steps(other.recipe, [len(r) for r in rows])
    return [
        Member(recipe, number, train, fold.validation, seed, steps)
        for number, (train, fold) in enumerate(zip(rows, work.split.folds, strict=True))
    ]


def kinds_of_coach(after: After | None, recipe: Recipe) -> list[Kind]:
    """What a coach has trained in all folds: other recipes, and the same one from other seeds.

    Named by what they change: "as given" is the recipe before the coach, "placebo" the kept one
    with other seeds, anything else what the coach called it when it tried it.
    """
    found: list[Kind] = []
    if after is None or after.arena is None:
        return found
    for arm, (name, beaten) in zip(after.arms, _told(after, recipe), strict=True):
        usable = tuple(t for t in arm.trained if t is not None and t.best_epoch)
        if len(usable) < len(arm.trained):
            continue
        found.append(
            Kind(
                name,
                "other seeds" if arm.recipe == recipe else "coach",
                arm.recipe,
                usable,
                tuple(after.arena.trainer(arm.recipe).examples.inputs.layers),
                arm.history,
                arm.probes,
                beaten,
            )
        )
    return found


def _told(after: After, recipe: Recipe) -> list[tuple[str, bool]]:
    """For each of a coach's arms what to call it, and whether what was kept is shown to be better.

    Beaten are the recipes that the coach began with and went through, with whatever seeds, and
    those that it has shown to be worse than one of these.
    """
    arms, decisions = after.arms, after.decisions
    moved = any(d["outcome"] == "adopted" for d in decisions)
    given = arms[0].recipe if moved and arms else recipe  # the arm before all others is the first
    bases = [given, recipe, *(arm.recipe for arm in arms)]
    found, names = [], {given: "as given"} if moved else {}
    beaten = {given} if moved else set()
    for arm in arms:
        own = arm.recipe
        tries = [
            d
            for d in decisions
            if any(own != b and difference(b, own) == d["changes"] for b in bases)
        ]
        if own == recipe:
            found.append(("placebo", False))
        elif own in names and arm is not arms[0]:
            found.append((f"{names[own]}, placebo", own in beaten))
        else:
            name = names.setdefault(own, _short(tries[-1]["tried"]) if tries else "of the coach")
            if any(d["outcome"] in ("adopted", "worse") for d in tries):
                beaten.add(own)
            found.append((name, own in beaten))
    return found


def _short(tried: str) -> str:
    """A coach's name of a change as tables have room for it.

    >>> _short("balance: LogitAdjust(tau=1.0)"), _short("augmentation: MixUp"), _short("40 epochs")
    ('LogitAdjust(tau=1.0)', 'MixUp', '40 epochs')
    """
    return tried.removeprefix("balance: ").removeprefix("augmentation: ")


def distinct(kinds: Sequence[Kind]) -> tuple[Kind, ...]:
    """The kinds with names that no two share: networks are told apart by them."""
    seen: dict[str, int] = {}
    found = []
    for kind in kinds:
        seen[kind.name] = seen.get(kind.name, 0) + 1
        again = f"{kind.name}, {seen[kind.name]}" if seen[kind.name] > 1 else kind.name
        found.append(dataclasses.replace(kind, name=again))
    return tuple(found)


def _show(work: Work, seen: Seen) -> None:
    work.progress.update(seen.share, f"{seen.epochs} epochs of other kinds")
