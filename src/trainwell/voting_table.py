"""From a vote to the field "ensemble" of run.json. Pure functions; nothing is trained here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell import metrics, stats
from trainwell.coach.remedies import difference
from trainwell.data.dataset import IntArray
from trainwell.data.split import sample_rows
from trainwell.ensemble import combine
from trainwell.ensemble.calibrate import scaled, temperatures
from trainwell.ensemble.diversity import (
    Contribution,
    contributions,
    diversity,
    weaker_that_help,
)
from trainwell.ensemble.greedy import greedy
from trainwell.ensemble.measures import (
    alone,
    equal_rows,
    measure_of,
    row_gains,
    row_weights,
    share_of,
    weighs_classes,
)
from trainwell.ensemble.rows import (
    Combination,
    Learner,
    cross_fitted,
    paired,
    row_hits,
    row_losses,
    together,
)
from trainwell.voting import Voting, words

Floats = npt.NDArray[np.float64]
WAY_ROWS = 2_000  # on which ways of combining are compared, at most: a stack takes long to learn
WAY_FOLDS = 5
MOST_STACK = 400  # inputs of a stack, at most


@dataclass(frozen=True, eq=False)
class Opened:
    """The sealed rows: labels and groups (t,), and what every network of every kind
    (`candidates.everything`) says of them (M, t, C)."""

    labels: IntArray
    groups: IntArray | None
    said: Floats


def voting_table(
    voting: Voting,
    labels: IntArray,
    groups: IntArray | None,
    seed: int,
    opened: Opened | None = None,
) -> dict[str, Any]:
    """Kinds, weights, ways of combining, diversity, contributions, verdict.

    labels, groups (n,): of the candidates' rows. Where the sealed rows were opened contributions
    and the final difference are measured there, else out of fold, where they are flattered.
    "metric" is the share of right answers that differences are told in, besides log loss;
    "decided": the measure of these two by which the vote is kept, members help, and are weaker.
    "balanced": whether each class has the same say in "difference" and in contributions.
    """
    chosen, candidates = voting.selection, voting.candidates
    over = {} if opened is None else over_best_network(voting, opened)
    if chosen is None:
        return {"verdict": "one kind", "kept": "recipe", "words": words(voting)} | over
    names = [kind.name for kind in candidates.kinds]
    heard = chosen.voices(candidates.voices)
    part, judges, truth, units = "validation", heard, labels, groups
    if opened is not None:
        part, truth, units = "test", opened.labels, opened.groups
        heat = chosen.temperatures[list(candidates.kind_of_network)]
        judges = together(scaled(opened.said, heat), candidates.kind_of_network)
    brought = contributions(
        judges,
        truth,
        chosen.weights,
        metric=chosen.metric,
        decided=chosen.decided,
        best=chosen.best,
        seed=seed,
        groups=units,
    )
    share = share_of(chosen.metric)
    table: dict[str, Any] = over | {
        "metric": share,
        "decided": "log_loss" if chosen.decided == "log loss" else share,
        "balanced": weighs_classes(chosen.metric),
        "verdict": chosen.verdict,
        "kept": voting.kept,
        "words": words(voting),
        "best": names[chosen.best],
        "difference": {share: chosen.share.to_json(), "log_loss": chosen.gain.to_json()},
        "rows": len(labels),
        "part": part,
        "kinds": _kinds(voting, heard, labels, judges, truth, brought),
        "weaker_that_help": [names[m] for m in weaker_that_help(brought)],
        "ways": _ways(voting, labels, groups, seed),
        "way_rows": min(len(labels), WAY_ROWS),
        "diversity": _diversity(heard, labels, names),
    }
    if voting.rival is not None:
        table["best_over_recipe"] = {
            "verdict": voting.rival.verdict,
            "kind": names[voting.rival.best],
            share: voting.rival.share.to_json(),
            "log_loss": voting.rival.gain.to_json(),
        }
    if opened is not None:
        ensemble = combine.soft_vote(judges, chosen.weights)
        best = judges[chosen.best]
        table["test"] = gained(ensemble, best, truth, seed, units, chosen.metric)
    return table


def over_best_network(voting: Voting, opened: Opened) -> dict[str, Any]:
    """What the kept networks gain over the best single one of all kinds, on sealed rows.

    The best one is named by its validation loss, on the fold that it was not trained on; nothing
    where that is not known.
    """
    candidates = voting.candidates
    losses = [t.log_loss for kind in candidates.kinds for t in kind.trained]
    owners = candidates.kind_of_network
    if len(losses) != len(owners) or len(losses) < 2:
        return {}
    best = int(np.argmin(losses))
    if voting.kept == "ensemble":
        assert voting.selection is not None
        heat = voting.selection.temperatures[list(owners)]
        heard = together(scaled(opened.said, heat), owners)
        kept = combine.soft_vote(heard, voting.selection.weights)
    else:
        kept = together(opened.said, owners)[voting.alone]
    found = gained(kept, opened.said[best], opened.labels, 0, opened.groups, voting.metric)
    told = {"kind": candidates.kinds[owners[best]].name, "networks": len(losses)}
    return {"over_best_network": told | found}


def gained(
    one: Floats,
    other: Floats,
    labels: IntArray,
    seed: int,
    groups: IntArray | None = None,
    metric: metrics.Metric = "accuracy",
) -> dict[str, Any]:
    """What one (n, C) gains over another on the same rows: accuracy, the share that goes with the
    deciding metric where that is another, and log loss saved (all rows alike)."""
    columns = row_gains(one, other, labels, "accuracy")[:, ::-1]
    names, hits = ["accuracy", "log_loss"], [equal_rows(labels, "accuracy"), None]
    if weighs_classes(metric):
        columns = np.column_stack([columns, row_gains(one, other, labels, metric)[:, 1]])
        names.append(metric)
        hits.append(equal_rows(labels, metric))
    found = paired(columns, seed, groups, hits=hits)
    told = {name: i.to_json() for name, i in zip(names, found, strict=True)}
    return told | {"n": len(labels)}


def _kinds(
    voting: Voting,
    heard: Floats,
    labels: IntArray,
    judges: Floats,
    truth: IntArray,
    brought: Sequence[Contribution],
) -> list[dict[str, Any]]:
    """One entry per kind: what it is, its scores alone, weight, temperature, contribution."""
    chosen = voting.selection
    assert chosen is not None
    recipe, share = voting.candidates.kinds[0].recipe, share_of(chosen.metric)
    of = {c.member: c for c in brought}
    found = []
    for k, kind in enumerate(voting.candidates.kinds):
        known = ~np.isnan(heard[k, :, 0])
        own = of.get(k)
        found.append(
            {
                "name": kind.name,
                "way": kind.way,
                "changes": difference(recipe, kind.recipe),
                "networks": len(voting.candidates.plain[k].parts),
                "weight": float(chosen.weights[k]),
                "temperature": float(chosen.temperatures[k]),
                "validation": _alone(heard[k, known], labels[known], chosen.metric),
                "judged": _alone(judges[k], truth, chosen.metric) if judges is not heard else None,
                "contribution": None
                if own is None
                else {
                    share: own.share.to_json(),
                    "log_loss": own.log_loss.to_json(),
                    "verdict": own.verdict,
                    "weaker": own.weaker,
                },
            }
        )
    return found


def _alone(probabilities: Floats, labels: IntArray, metric: metrics.Metric) -> dict[str, Any]:
    """Scores of one voice: accuracy and log loss of all rows alike, and "alone", the measure that
    decides in this run with its interval."""
    right = float(row_hits(probabilities, labels).sum())
    loss, share = alone(probabilities, labels, metric)
    found = {
        "accuracy": stats.wilson(right, len(labels)).to_json(),
        "log_loss": metrics.log_loss(labels, probabilities),
        "alone": (loss if measure_of(metric) == "log loss" else share).to_json(),
    }
    return found | {share_of(metric): share.to_json()}


def _diversity(heard: Floats, labels: IntArray, names: Sequence[str]) -> dict[str, Any]:
    """How unlike the kinds err, pair by pair."""
    found = diversity(heard, labels)
    tables = {
        name: [[float(v) if math.isfinite(v) else None for v in row] for row in matrix]
        for name, matrix in (
            ("disagreement", found.disagreement),
            ("double_fault", found.double_fault),
            ("q", found.q),
        )
    }
    return {"names": list(names), **tables, "ratio": found.ratio}


def _ways(
    voting: Voting, labels: IntArray, groups: IntArray | None, seed: int
) -> list[dict[str, Any]]:
    """Ways of combining the kinds against the best of them, out of fold.

    What a way learns it learns on other rows than those that it is judged on; so do the best kind
    and its temperature. On WAY_ROWS rows at most, drawn at random.
    """
    candidates, metric = voting.candidates, voting.metric
    share = share_of(metric)
    some = sample_rows(np.arange(len(labels)), labels, WAY_ROWS, seed)
    members, truth = together(candidates.voices[:, some], candidates.owners), labels[some]
    units = None if groups is None else groups[some]
    folds = WAY_FOLDS if units is None else min(WAY_FOLDS, len(np.unique(units)))

    def crossed(learn: Learner) -> Floats:
        found = cross_fitted(learn, members, truth, folds=folds, seed=seed, groups=units)
        return np.asarray(found[0])

    best = crossed(_best(metric))
    ways: list[tuple[str, str, Learner]] = [
        ("soft vote", "mean of all kinds", lambda m, y: combine.soft_vote),
        ("calibrated soft vote", "mean of all kinds, each scaled", _calibrated(metric)),
        ("majority", "each kind votes for a class", lambda m, y: _majority),
        ("log-odds majority", "votes weigh ln((1-e)(C-1)/e)", _log_odds),
        ("greedy", "weights and temperatures by greedy selection", _greedy(seed, metric)),
    ]
    if members.shape[0] * members.shape[2] <= MOST_STACK:
        ways.insert(4, ("stacking", "logistic regression on the kinds' outputs", combine.fit_stack))
    found = []
    for name, says, learn in ways:
        said = crossed(learn)
        votes = "majority" in name  # a vote for a class has no log loss
        gain = gained(said, best, truth, seed, units, metric)
        found.append(
            {
                "name": name,
                "says": says,
                share: _share(said, truth, metric),
                "log_loss": None if votes else float(row_losses(said, truth).mean()),
                "gain": gain[share],
                "saved": None if votes else gain["log_loss"],
            }
        )
    nothing = {
        "name": "best kind",
        "says": "no combination",
        share: _share(best, truth, metric),
        "log_loss": float(row_losses(best, truth).mean()),
        "gain": None,
        "saved": None,
    }
    return [nothing, *found]


def _share(probabilities: Floats, labels: IntArray, metric: metrics.Metric) -> float:
    return float(alone(probabilities, labels, metric)[1].value)


def _best(metric: metrics.Metric) -> Learner:
    """The kind with the lowest log loss, scaled."""

    def learn(members: Floats, labels: IntArray) -> Combination:
        weights = row_weights(labels, metric)
        heat = temperatures(members, labels, weights=weights)
        losses = row_losses(scaled(members, heat), labels)
        k = int(np.nanmean(losses if weights is None else weights * losses, axis=1).argmin())
        return lambda new: combine.soft_vote(scaled(new, heat), np.arange(len(heat)) == k)

    return learn


def _calibrated(metric: metrics.Metric) -> Learner:
    def learn(members: Floats, labels: IntArray) -> Combination:
        heat = temperatures(members, labels, weights=row_weights(labels, metric))
        return lambda new: combine.soft_vote(scaled(new, heat))

    return learn


def _greedy(seed: int, metric: metrics.Metric) -> Learner:
    def learn(members: Floats, labels: IntArray) -> Combination:
        own = row_weights(labels, metric)
        heat = temperatures(members, labels, weights=own)
        weights = greedy(scaled(members, heat), labels, seed=seed, row_weights=own)
        return lambda new: combine.soft_vote(scaled(new, heat), weights)

    return learn


def _majority(members: Floats) -> Floats:
    return np.eye(members.shape[2])[combine.majority_vote(members)]


def _log_odds(members: Floats, labels: IntArray) -> Combination:
    weights = combine.log_odds_weights(members, labels)
    return lambda new: np.eye(new.shape[2])[combine.majority_vote(new, weights)]
