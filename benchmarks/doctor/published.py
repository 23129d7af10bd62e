"""Rules of published tools over the same evidence, as pure functions that return symptoms.

Written from their descriptions, with their constants. The tools look at every batch, or every third
epoch; what is recorded here is every epoch, so a rule that needs more is approximated as its line
in `HONESTLY` says, or not evaluated. Each training is judged alone, as those tools do; a run of
three shows a symptom where two of the three do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainwell.doctor.evidence import Evidence

Floats = npt.NDArray[np.float64]

# Tool, rule: how it is evaluated here.
HONESTLY: tuple[tuple[str, str, str], ...] = (
    ("AUTOTRAINER", "gate", "as published; train accuracy on clean rows, every third epoch"),
    ("AUTOTRAINER", "vanishing, exploding", "as published; gradients of one batch in eval mode"),
    ("AUTOTRAINER", "dying ReLU", "share of zero gradient entries: mean over layers, not weights"),
    ("AUTOTRAINER", "oscillating", "as published, on accuracy once an epoch"),
    ("AUTOTRAINER", "slow", "as published"),
    ("AUTOTRAINER", "data (AD)", "abs(mean) of hidden outputs in place of mean of abs"),
    ("AUTOTRAINER", "output activation, loss", "not evaluated: outputs are logits by construction"),
    ("AUTOTRAINER", "overfit", "not evaluated: disabled in the release"),
    ("DeepLocalize", "NaN or Inf", "as published, once an epoch"),
    ("DeepLocalize", "mean exactly 0", "outputs or gradients of a layer, in half of the epochs"),
    ("DeepLocalize", "unchanged", "loss, or norm of weights, equal over five epochs"),
    ("DeepDiagnosis", "numerical error, unchanged, loss", "as published"),
    ("DeepDiagnosis", "accuracy equal over 20 epochs", "as published, but not at 100 %"),
    ("DeepDiagnosis", "saturated", "|tanh| > 0.98 on 90 % of rows in place of pre-activation > 5"),
    ("DeepDiagnosis", "dead", "70 % of units silent on all rows in place of 70 % of outputs"),
    ("DeepDiagnosis", "vanishing", "as published"),
    ("DeepDiagnosis", "out of range", "not evaluated: outputs are logits by construction"),
    ("UMLAUT", "inputs outside [-1, 1]", "by pre-processing: standardised, or a table as it is"),
    ("UMLAUT", "learning rate, dropout, overfitting, too good", "as published"),
    ("UMLAUT", "image type and shape, NaN input, layers", "not evaluated: none of it occurs here"),
    ("SageMaker", "vanishing, exploding, all zero, update ratio", "as published, once an epoch"),
    ("SageMaker", "dead ReLU", "units never active in place of active on under 1 % of inputs"),
    ("SageMaker", "saturated", "|tanh| > 0.98 in place of pre-activation beyond 9.5: speaks more"),
    ("SageMaker", "loss not decreasing", "over one epoch (0.1 %) in place of ten steps"),
    ("SageMaker", "overfit, overtraining, imbalance, confusion", "as published"),
    ("SageMaker", "unchanged tensor", "norm of weights equal over three epochs"),
    ("SageMaker", "poor initialisation, images, stalled", "not evaluated: needs the first steps"),
)

# What a symptom would have a person mend, in our codes: for "right cause".
MEANS: Mapping[str, frozenset[str]] = {
    "vanishing": frozenset({"R04", "N06", "R13", "I03", "R07"}),
    "exploding": frozenset({"R05", "R01", "R02", "I02", "I05"}),
    "numerical error": frozenset({"R01", "R02", "R05"}),
    "dying": frozenset({"R06", "I04", "R02"}),
    "oscillating": frozenset({"R08", "R02", "R12", "R09"}),
    "slow": frozenset({"R03", "R10", "R14", "R12"}),
    "data": frozenset({"D01", "I02", "I05"}),
    "zero": frozenset({"I01", "R06", "R04"}),
    "unchanged": frozenset({"I01", "R06", "R03", "R14"}),
    "saturated": frozenset({"R07", "R04", "I02"}),
    "loss not decreasing": frozenset({"R03", "R02", "R09", "R08"}),
    "inputs": frozenset({"D01"}),
    "rate high": frozenset({"R02", "R05", "R06"}),
    "rate low": frozenset({"R03"}),
    "overfit": frozenset({"F01"}),
    "too good": frozenset({"F06", "D13", "D05"}),
    "dropout": frozenset({"N07", "F03"}),
    "update ratio": frozenset({"R02", "R03", "I01"}),
    "imbalance": frozenset({"D08", "F05"}),
    "confusion": frozenset({"F05"}),
}


@dataclass(frozen=True, eq=False)
class One:
    """One training out of the evidence: series (E,), layers' measures (E + 1,)."""

    train_loss: Floats
    val_loss: Floats
    train_accuracy: Floats
    val_accuracy: Floats
    weights: tuple[Mapping[str, Floats], ...]
    units: tuple[Mapping[str, Floats], ...]
    diverged: bool
    evidence: Evidence

    @property
    def broken(self) -> bool:
        """Whether something was not finite."""
        gradients = [w["gradient"] for w in self.weights]
        return self.diverged or any(bool(np.isinf(g).any()) for g in (self.train_loss, *gradients))


def _trainings(evidence: Evidence) -> list[One]:
    found = []
    for m in range(evidence.members):
        series = {n: s[m][~np.isnan(s[m])] for n, s in evidence.series.items()}
        empty = np.empty(0)
        sides: dict[str, list[Mapping[str, Floats]]] = {"weight": [], "units": []}
        for layer in evidence.layers:
            sides[layer.kind].append({n: v[m] for n, v in layer.measures.items()})
        names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
        found.append(
            One(
                *(series.get(n, empty) for n in names),
                tuple(sides["weight"]),
                tuple(sides["units"]),
                bool(evidence.diverged[m]) if evidence.diverged else False,
                evidence,
            )
        )
    return found


def autotrainer(one: One) -> set[str]:
    """AUTOTRAINER (ICSE 2021), with the constants of its release; looks at every third epoch."""
    epochs = len(one.train_accuracy)
    found = {"exploding"} if one.broken or (one.train_loss >= 1e3).any() else set()
    if any((np.abs(u["mean"]) >= 10).any() for u in one.units):
        found.add("data")
    swings = _swings(one.train_accuracy, 0.03)
    if epochs >= 5 and swings >= 0.2 * epochs:
        found.add("oscillating")
    for epoch in range(3, epochs + 1, 3):
        if epoch < 0.3 * (one.evidence.setup.epochs or epochs):
            continue
        accuracy = (one.train_accuracy[:epoch], one.val_accuracy[:epoch])
        poor = max(float(a.max()) for a in accuracy) < 0.7
        slow = max(float(np.diff(a).max(initial=-1.0)) for a in accuracy) < 0.01
        if not (poor or slow) or len(one.weights) < 2:
            continue
        first, last = (one.weights[i]["gradient"][epoch] for i in (0, -1))
        ratio = first / last if last > 0 else 1.0
        if ratio < 1e-3 and first < 1e-4:
            found.add("vanishing")
        if ratio > 70:
            found.add("exploding")
        if np.mean([w["zero"][epoch] for w in one.weights]) >= 0.7:
            found.add("dying")
        if poor and slow and "data" not in found:
            found.add("slow")
    return found


def _swings(values: Floats, least: float) -> int:
    """How many times a local maximum lies above the next local minimum by `least`."""
    turns, kept = np.sign(np.diff(values)), values
    ends = [i for i in range(1, len(values) - 1) if turns[i - 1] != turns[i]]
    peaks = [(i, turns[i - 1] > 0) for i in ends if turns[i - 1] != 0]
    return sum(
        high and not low and kept[i] - kept[j] >= least
        for (i, high), (j, low) in itertools.pairwise(peaks)
    )


def deeplocalize(one: One) -> set[str]:
    """DeepLocalize (ICSE 2021)."""
    found = {"numerical error"} if one.broken else set()
    means = [u["mean"] for u in one.units] + [w["magnitude"] for w in one.weights]
    if any((m[~np.isnan(m)] == 0).mean() >= 0.5 for m in means if (~np.isnan(m)).any()):
        found.add("zero")
    watched = [one.train_loss, *(w["weight"] for w in one.weights)]
    if any(_same(v, 5) for v in watched):
        found.add("unchanged")
    return found


def _same(values: Floats, count: int) -> bool:
    """Whether `count` values after one another are equal."""
    run = 1
    for before, now in itertools.pairwise(values):
        run = run + 1 if now == before else 1
        if run >= count:
            return True
    return False


def deepdiagnosis(one: One) -> set[str]:
    """DeepDiagnosis (ICSE 2022)."""
    found = {"numerical error"} if one.broken else set()
    if any(_same(w["weight"], 5) for w in one.weights):
        found.add("unchanged")
    if any((u["saturated"] > 0.5).any() for u in one.units):
        found.add("saturated")
    if any((u["dead"] >= 0.7).any() for u in one.units):
        found.add("dying")
    unfinished = one.train_accuracy[one.train_accuracy < 1]
    if _same(one.train_loss, 5) or _same(unfinished, 20):
        found.add("loss not decreasing")
    if any((w["magnitude"] < 1e-7).any() for w in one.weights):
        found.add("vanishing")
    return found


def umlaut_training(one: One) -> set[str]:
    """UMLAUT (CHI 2021) without its rule about the inputs, which every standardised set breaks."""
    setup, found = one.evidence.setup, set()
    if setup.lr is not None and setup.lr > 0.01:
        found.add("rate high")
    if setup.lr is not None and setup.lr < 1e-7:
        found.add("rate low")
    rising, falling = np.diff(one.val_loss) > 0, np.diff(one.train_loss) <= 0
    if (rising & falling).any():
        found.add("overfit")
    late = one.val_accuracy[3:]
    if (late > 0.95).any() or (late > one.train_accuracy[3:] + 0.05).any():
        found.add("too good")
    if (setup.dropout or 0.0) > 0.5:
        found.add("dropout")
    return found


def umlaut(one: One) -> set[str]:
    """UMLAUT (CHI 2021) with all rules that can be evaluated."""
    setup = one.evidence.setup
    way = setup.preprocess or ""
    outside = "Raw" not in way and "MinMax" not in way
    unscaled = "Raw" in way and setup.kind == "table"
    return umlaut_training(one) | ({"inputs"} if outside or unscaled else set())


def sagemaker(one: One) -> set[str]:
    """Built-in rules of SageMaker Debugger with their defaults."""
    evidence, found = one.evidence, set()
    if one.broken:
        found.add("numerical error")
    if any((w["magnitude"] < 1e-7).any() for w in one.weights):
        found.add("vanishing")
    if any((u["dead"] > 0.5).any() for u in one.units):
        found.add("dying")
    if any((u["saturated"] > 0.5).any() for u in one.units):
        found.add("saturated")
    if any(((w["update"] > 10) | (w["update"] < 1e-8)).any() for w in one.weights):
        found.add("update ratio")
    if any((w["zero"] == 1).any() or (w["weight"] == 0).any() for w in one.weights):
        found.add("zero")
    if any(_same(w["weight"], 3) for w in one.weights):
        found.add("unchanged")
    if (np.diff(one.train_loss) > -1e-3 * one.train_loss[:-1]).any():
        found.add("loss not decreasing")
    with np.errstate(divide="ignore", invalid="ignore"):
        if ((one.val_loss - one.train_loss) / one.train_loss > 0.1).any():
            found.add("overfit")
    if _patience(one.train_loss, 5) or _patience(one.val_loss, 10):
        found.add("overfit")
    counts = [c for c in evidence.class_counts if c]
    if counts and max(counts) / min(counts) > 10:
        found.add("imbalance")
    if evidence.confusion is not None:
        rates = evidence.confusion / np.maximum(evidence.confusion.sum(axis=1, keepdims=True), 1)
        if (rates.diagonal() < 0.9).any():
            found.add("confusion")
    return found


def _patience(losses: Floats, count: int) -> bool:
    """Whether the smallest loss so far is not beaten for `count` epochs."""
    if not len(losses):
        return False
    best = np.minimum.accumulate(losses)
    since = np.arange(len(losses)) - np.array([losses[: i + 1].argmin() for i in range(len(best))])
    return bool((since >= count).any())


TOOLS: Mapping[str, Callable[[One], set[str]]] = {
    "AUTOTRAINER": autotrainer,
    "DeepLocalize": deeplocalize,
    "DeepDiagnosis": deepdiagnosis,
    "UMLAUT": umlaut,
    "UMLAUT without its input rule": umlaut_training,
    "SageMaker Debugger": sagemaker,
}


def symptoms(evidence: Evidence) -> dict[str, set[str]]:
    """By tool, what at least half of the trainings show."""
    trainings = _trainings(evidence)
    found: dict[str, set[str]] = {}
    with np.errstate(invalid="ignore"):
        for name, tool in TOOLS.items():
            each = [tool(one) for one in trainings]
            every = set().union(*each)
            found[name] = {s for s in every if 2 * sum(s in e for e in each) > len(each)}
    return found
