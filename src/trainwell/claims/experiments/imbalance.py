"""Support vector machines and a network where one of two classes has few training rows.

Each tries three strengths (a network: rates) and takes the one with the best balanced accuracy on
validation rows. Decision rows have both classes in the proportion of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwell.claims.rules import Measured
from trainwell.claims.stacked import Training, standardized, trained
from trainwell.claims.trials import Setup
from trainwell.data.dataset import IntArray

Floats = npt.NDArray[np.float64]
STRENGTHS = (0.01, 1.0, 100.0)  # C of the SVM
LOW = (1e-4, 1e-3, 0.01)  # C of the linear one, whose inputs are many
RATES = (0.01, 0.03, 0.1)
Fit = Callable[[float], Callable[[Floats], IntArray]]


def run(setup: Setup) -> Measured:
    """Recall of the common and the rare class, and balanced accuracy, of each classifier."""
    rows = [int(n) for n in setup.claim.settings["per_class"]]
    draws = setup.draws()
    data = draws.data
    flat = np.nan_to_num(data.inputs.reshape(len(data), -1).astype(np.float64))
    found: dict[str, dict[str, list[float]]] = {"recall": {}, "balanced_accuracy": {}}
    for repetition in draws.repetitions:
        order = np.random.default_rng(repetition.seed).permutation(repetition.train)
        train = np.concatenate([order[data.labels[order] == c][:n] for c, n in enumerate(rows)])
        parts = (train, draws.validation, repetition.decision)
        scaled = standardized(flat[parts[0]], [flat[p] for p in parts[1:]])
        x, validation, decision = (s.double().numpy() for s in scaled)
        y, seen, judged = (data.labels[p] for p in parts)
        for name, (fit, tried) in classifiers(x, y, repetition.seed).items():
            some = [fit(value) for value in tried]
            worths = [np.mean(recalls(seen, f(validation))) for f in some]
            common, rare = recalls(judged, some[int(np.argmax(worths))](decision))
            for part, value in (("common", common), ("rare", rare)):
                found["recall"].setdefault(f"{name}, {part}", []).append(value)
            found["recall"].setdefault(f"{name}, apart", []).append(common - rare)
            found["balanced_accuracy"].setdefault(name, []).append((common + rare) / 2)
    values = {m: {k: np.array(v) for k, v in some.items()} for m, some in found.items()}
    return Measured(values, draws.test_share)


def recalls(labels: IntArray, said: IntArray) -> tuple[float, float]:
    """The share of each of the two classes that is recognised.

    >>> recalls(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    (1.0, 0.5)
    """
    return float((said[labels == 0] == 0).mean()), float((said[labels == 1] == 1).mean())


def classifiers(x: Floats, y: IntArray, seed: int) -> dict[str, tuple[Fit, Sequence[float]]]:
    """Each classifier: what fits it with a number to choose, and the numbers that are tried."""

    def svm(kernel: str, weights: str | None) -> Fit:
        from sklearn.svm import SVC

        def fit(strength: float) -> Callable[[Floats], IntArray]:
            made = SVC(C=strength, kernel=kernel, class_weight=weights).fit(x, y)
            return lambda new: np.asarray(made.predict(new))

        return fit

    return {
        "SVM": (svm("rbf", None), STRENGTHS[1:2]),
        "SVM, tuned": (svm("rbf", None), STRENGTHS),
        "SVM, weighted": (svm("rbf", "balanced"), STRENGTHS),
        "linear SVM": (svm("linear", None), LOW),
        "linear SVM, weighted": (svm("linear", "balanced"), LOW),
        "network": (network(x, y, seed), RATES),
    }


def network(x: Floats, y: IntArray, seed: int) -> Fit:
    """A network of one hidden layer with plain cross-entropy."""

    def stacked(inputs: Floats) -> Tensor:
        return torch.from_numpy(inputs.astype(np.float32))[None]

    def fit(rate: float) -> Callable[[Floats], IntArray]:
        how = Training(hidden=(32,), rate=rate, steps=200)
        nets = trained(stacked(x), torch.from_numpy(y)[None], 2, how, seed)
        return lambda new: np.asarray(nets.logits(stacked(new))[0].argmax(dim=1).numpy())

    return fit
