"""Classifiers of different kinds, the weakest of them far below the best, as an ensemble.

A network, nearest neighbours, a random forest and nearest class means, each fitted on the training
rows; temperatures, weights and the best single one come from validation rows, decision rows judge.
Shapes: M members, n rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from trainwell.claims.experiments.ensembles import chances
from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Training, trained
from trainwell.claims.stacked_rows import stacked_rows
from trainwell.claims.trials import Setup
from trainwell.data.dataset import IntArray
from trainwell.ensemble.calibrate import scaled, temperatures
from trainwell.ensemble.combine import soft_vote
from trainwell.ensemble.greedy import greedy

Floats = npt.NDArray[np.float64]
WEAK = "class means"


def run(setup: Setup) -> Measured:
    """Accuracy of each member, of blind and chosen ensembles, and of them without the weakest."""
    rows = stacked_rows(setup)
    nets = trained(*rows.train, rows.classes, Training(steps=setup.size.steps or 300), rows.seed)
    count = len(rows.train[0])
    seen_by_net, judged_by_net = (
        chances(nets, part[0], count)[:, 0] for part in (rows.validation, rows.decision)
    )
    accuracy: dict[str, list[float]] = {}
    for r in range(count):
        x, y = _numpy(rows.train[0][r]), _labels(rows.train[1][r])
        others = kinds(x, y, rows.seed + r, rows.classes)
        seen, judged = (
            {"network": net[r]}
            | {name: kind.predict_proba(_numpy(part[0][r])) for name, kind in others.items()}  # type: ignore[attr-defined]
            for net, part in ((seen_by_net, rows.validation), (judged_by_net, rows.decision))
        )
        labels = (_labels(rows.validation[1][r]), _labels(rows.decision[1][r]))
        for name, value in scored(seen, judged, labels, rows.seed + r).items():
            accuracy.setdefault(name, []).append(value)
    values = {name: np.array(v) for name, v in accuracy.items()}
    return Measured({"accuracy": values}, rows.test_share, rows.decided, frozenset({"accuracy"}))


def kinds(x: Floats, y: IntArray, seed: int, classes: int) -> dict[str, object]:
    """Fitted classifiers that are no networks."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier

    return {
        "neighbours": KNeighborsClassifier(5, weights="distance").fit(x, y),
        "forest": RandomForestClassifier(60, random_state=seed % 2**31, n_jobs=1).fit(x, y),
        WEAK: ClassMeans(np.stack([x[y == c].mean(axis=0) for c in range(classes)])),
    }


class ClassMeans:
    """Nearest class mean, with probabilities that fall with the squared distance."""

    def __init__(self, means: Floats) -> None:
        self.means = means

    def predict_proba(self, x: Floats) -> Floats:
        """Softmax (n, C) of minus the squared distance over its spread."""
        distance = ((x[:, None] - self.means) ** 2).mean(axis=2)
        z = -distance / max(float(distance.std()), 1e-12)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))


def scored(
    seen: dict[str, Floats],
    judged: dict[str, Floats],
    labels: tuple[IntArray, IntArray],
    seed: int,
) -> dict[str, float]:
    """Accuracy on decision rows of members and ensembles; all choices from validation rows."""
    names, choosing, deciding = list(seen), labels[0], labels[1]

    def right(probabilities: Floats) -> float:
        return float((probabilities.argmax(axis=1) == deciding).mean())

    single = {name: right(judged[name]) for name in names}
    on_validation = [float((seen[n].argmax(axis=1) == choosing).mean()) for n in names]
    best = names[int(np.argmax(on_validation))]

    def chosen(some: Sequence[str]) -> Floats:
        before = np.stack([_floor(seen[n]) for n in some])
        after = np.stack([_floor(judged[n]) for n in some])
        by = temperatures(before, choosing)
        weights = greedy(scaled(before, by), choosing, seed=seed)
        return soft_vote(scaled(after, by), weights)

    strong = [n for n in names if n != WEAK]
    order = [names[i] for i in np.argsort(on_validation)[::-1]]
    pair = [n for n in order if n != WEAK][:2]
    return single | {
        "best single": single[best],
        "blind mean": right(np.mean([judged[n] for n in names], axis=0)),
        "blind mean of three": right(np.mean([judged[n] for n in strong], axis=0)),
        "chosen": right(chosen(names)),
        "chosen of three": right(chosen(strong)),
        "two": right(chosen(pair)),
        "three": right(chosen([*pair, WEAK])),
    }


def _floor(probabilities: Floats) -> Floats:
    """Probabilities of which none is 0: neighbours and forests say 0 where they have seen none."""
    kept = np.maximum(probabilities, 1e-3)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def _numpy(x: torch.Tensor) -> Floats:
    return np.asarray(x.double().numpy())


def _labels(y: torch.Tensor) -> IntArray:
    return np.asarray(y.numpy())
