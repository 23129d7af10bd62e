"""The ensemble inside a fit: which kinds of networks vote, and what each voice counts.

Everything is chosen on out-of-fold rows of the development part: each network speaks only of rows
that it was not trained on. The ensemble is kept only if it beats its best kind there, on rows that
did not choose it; else the recipe's own networks stay, or those of another kind that is shown to be
better. All of it goes by the metric that decides in the run: what a coach has proved by that metric
no vote may undo by another. Slide: "Ensemble".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainwell import model as models
from trainwell.data.dataset import Dataset, IntArray
from trainwell.data.split import Split, sample_rows
from trainwell.ensemble.measures import share_of, weighs_classes
from trainwell.ensemble.select import LEAST_ROWS, Selection, Winner, best_against, select
from trainwell.ensemble.wording import SHARES, change_of_loss, is_shown, points
from trainwell.kinds import Kind, affordable, distinct, others, train_others
from trainwell.metrics import Metric
from trainwell.model import Model, held_out_probabilities
from trainwell.options import named_fields
from trainwell.seeding import stream_seed
from trainwell.techniques.balance import ThresholdMove
from trainwell.training import Work

Floats = npt.NDArray[np.float64]
MOST_ROWS = 20_000  # that choose weights; more change nothing and take long
Kept = Literal["recipe", "ensemble", "another kind", "best kind"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Kinds of networks, as models, and what they say of rows that they were not trained on.

    plain: one model per kind, its networks alike. rows (n,): development rows that some network may
    judge; voices (V, n, C): the networks of a kind and a seed, all folds together, nan where none
    may judge; owners (V,): the kind of each voice. The first kind is the run's recipe.
    """

    kinds: tuple[Kind, ...]
    plain: tuple[Model, ...]
    rows: IntArray
    voices: Floats
    owners: tuple[int, ...]

    @property
    def everything(self) -> Model:
        """All networks of all kinds, alike."""
        return models.joined(self.plain)

    @property
    def kind_of_network(self) -> tuple[int, ...]:
        """The kind of each network of `everything`."""
        return tuple(k for k, model in enumerate(self.plain) for _ in model.parts)


@dataclass(frozen=True, eq=False)
class Voting:
    """What was decided, and what it was decided on.

    selection: the ensemble; rival: whether the best kind alone that may take the recipe's place
    beats it (None: one kind, or too few rows); kept: what the run keeps; model: that, ready to
    predict; metric: what decides in the run.
    """

    candidates: Candidates
    selection: Selection | None
    rival: Winner | None
    kept: Kept
    model: Model
    metric: Metric = "accuracy"

    @property
    def best(self) -> int:
        """The kind with the lowest log loss out of fold."""
        return self.selection.best if self.selection else 0

    @property
    def alone(self) -> int:
        """The kind that is kept where no ensemble is."""
        if self.kept == "another kind" and self.rival is not None:
            return self.rival.best
        return 0 if self.kept == "recipe" else self.best


def vote(work: Work, recipe: Kind, tried: Sequence[Kind]) -> Voting:
    """Train other kinds as far as the budget allows, and choose who votes.

    recipe: the run's own networks; tried: kinds that are already trained, from a coach.
    """
    seeds = any(kind.way == "other seeds" for kind in tried)
    possible = others(work.recipe, work.data.schema)
    wanted = affordable(work, [o for o in possible if not (seeds and o.way == "other seeds")])
    kinds = distinct((recipe, *tried, *train_others(work, wanted)))
    work.progress.stage("choosing the ensemble")
    candidates = candidates_of(kinds, work.data, work.split)
    labels, groups = work.data.labels[candidates.rows], groups_of(work.data, candidates.rows)
    seed = stream_seed(work.options.seed, "ensemble") % 2**31
    named = "model" in named_fields(work.options)  # who names a network gets it
    found = decide(candidates, labels, groups, seed, work.deciding.name, replaceable=not named)
    if found.selection is not None:
        work.progress.say(words(found))
    return found


def candidates_of(kinds: Sequence[Kind], data: Dataset, split: Split) -> Candidates:
    """The kinds as models, and their voices out of fold; each fold is read once per kind."""
    plain = []
    for kind in kinds:
        model = models.assemble(data.schema, data.classes, kind.layers, kind.trained)
        model = models.balanced(model, kind.trained, data.inputs, data.labels)
        named = tuple(replace(part, kind=kind.name) for part in model.parts)
        plain.append(replace(model, parts=named))
    own = {part.fold for part in plain[0].parts}  # folds whose rows the recipe may judge
    folds = [f for number, f in enumerate(split.folds) if number in own]
    rows = np.sort(np.concatenate([f.validation for f in folds]))
    seeds = [list(dict.fromkeys(p.seed for p in model.parts)) for model in plain]
    owners = tuple(k for k, some in enumerate(seeds) for _ in some)
    voices = np.full((len(owners), len(rows), len(data.classes)), np.nan)
    first = 0
    for model, some in zip(plain, seeds, strict=True):
        for number in sorted(own):
            mine = [i for i, p in enumerate(model.parts) if p.fold == number]
            if mine:
                fold = split.folds[number]
                said = _held_out(model.only(mine), data, fold.train, fold.validation)
                where = np.searchsorted(rows, fold.validation)
                for i, p in zip(mine, said, strict=True):
                    voices[first + some.index(model.parts[i].seed), where] = p
        first += len(some)
    return Candidates(tuple(kinds), tuple(plain), rows, voices, owners)


def _held_out(model: Model, data: Dataset, train: IntArray, rows: IntArray) -> Floats:
    """Probabilities (M, n, C) of every network of a fold for rows that it was not trained on."""
    if not any(isinstance(part.recipe.balance, ThresholdMove) for part in model.parts):
        return model.member_probabilities(data.inputs, rows)
    each = [
        held_out_probabilities(model.only([i]), data.inputs, data.labels, train, rows)
        for i in range(len(model.parts))
    ]
    return np.stack(each)


def decide(
    candidates: Candidates,
    labels: IntArray,
    groups: IntArray | None,
    seed: int,
    metric: Metric = "accuracy",
    replaceable: bool = True,
) -> Voting:
    """Choose weights and temperatures, and what is kept; nothing is trained here.

    labels, groups (n,): of the candidates' rows. metric: what decides in the run: with balanced
    accuracy or macro F1 classes have the same say in the log loss, too, and the vote must be shown
    to beat the recipe by it as well. replaceable: whether another kind alone may take the recipe's
    place where it is shown to be better; one that a coach has beaten never may.
    """
    recipe = candidates.plain[0]
    if len(candidates.kinds) < 2 or len(labels) < LEAST_ROWS:
        return Voting(candidates, None, None, "recipe", recipe, metric)
    some = np.arange(len(labels))
    if groups is None:
        some = sample_rows(some, labels, MOST_ROWS, seed)
    truth, voices = labels[some], candidates.voices[:, some]
    known = None if groups is None else groups[some]
    owners, reference = candidates.owners, 0 if weighs_classes(metric) else None
    chosen = select(
        voices,
        truth,
        metric=metric,
        reference=reference,
        seed=seed,
        groups=known,
        kinds=owners,
    )
    able = [k for k, kind in enumerate(candidates.kinds) if not kind.beaten]
    rival = best_against(
        voices, truth, 0, metric=metric, among=able, seed=seed, groups=known, kinds=owners
    )
    if chosen.verdict == "kept":
        return Voting(candidates, chosen, rival, "ensemble", weighted(candidates, chosen), metric)
    if rival.verdict == "kept" and rival.best and replaceable:
        alone = candidates.plain[rival.best]
        return Voting(candidates, chosen, rival, "another kind", alone, metric)
    return Voting(candidates, chosen, rival, "recipe", recipe, metric)


def groups_of(data: Dataset, rows: IntArray) -> IntArray | None:
    """The groups of some rows, None where there are none, or one only: see results.one_group."""
    groups = data.groups_of(rows)
    return None if groups is None or len(np.unique(groups)) < 2 else groups


def weighted(candidates: Candidates, chosen: Selection) -> Model:
    """The model in which every kind with a weight votes; a kind's weight is shared out evenly."""
    used = []
    for k, plain in enumerate(candidates.plain):
        weight = float(chosen.weights[k]) / len(plain.parts)
        if weight > 0:
            heat = float(chosen.temperatures[k])
            parts = tuple(replace(p, weight=weight, temperature=heat) for p in plain.parts)
            used.append(replace(plain, parts=parts))
    return models.joined(used)


def words(voting: Voting) -> str:
    """The verdict as a sentence."""
    chosen, kinds = voting.selection, voting.candidates.kinds
    if chosen is None:
        return "one kind of networks, nothing to choose from"
    best, used = kinds[chosen.best].name, int((chosen.weights > 0).sum())
    end = {
        "ensemble": "it is kept" if chosen.verdict == "kept" else "it is kept as asked",
        "recipe": "the recipe's own networks are kept" + _better(voting),
        "another kind": f"“{kinds[voting.alone].name}” alone is shown to beat the recipe, "
        "and is kept",
        "best kind": f"“{best}” alone is kept",
    }[voting.kept]
    if used == 1 and chosen.weights[chosen.best] > 0:
        return f"of {len(kinds)} kinds of networks the vote wants “{best}” alone; {end}"
    said = {
        "kept": "is better than",
        "worse": "is worse than",
        "not shown": "is not shown to be better than",
    }[chosen.verdict]
    measure = "log loss" if chosen.decided == "log loss" else SHARES[share_of(chosen.metric)]
    return (
        f"the weighted vote of {used} of {len(kinds)} kinds of networks {said} the best kind "
        f"alone (“{best}”) by {measure} on rows that chose neither: {told(chosen)}; {end}"
    )


def told(chosen: Selection) -> str:
    """Both measures: the one that decided first, the other one with what it shows."""
    loss = change_of_loss(chosen.gain, weighs_classes(chosen.metric))
    share = f"{SHARES[share_of(chosen.metric)]} {points(chosen.share)} points"
    if chosen.decided == "log loss":
        return f"{loss}; {share}, {is_shown(chosen.share)}"
    return f"{share}; {loss}, {is_shown(chosen.gain)}"


def _better(voting: Voting) -> str:
    """Words where another kind is better than the recipe, and the user has named the network."""
    rival = voting.rival
    if rival is None or rival.verdict != "kept" or not rival.best:
        return ""
    kind = voting.candidates.kinds[rival.best]
    todo = f'--set "model={kind.recipe.model!r}"'
    return f", as asked, though “{kind.name}” alone is shown to be better: {todo}"
