"""The rule about labels that have nothing to do with the inputs: D10.

M members, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trainwell.data.dataset import IntArray
from trainwell.data.imbalance import UNEVEN
from trainwell.doctor import reading, series
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Finding, Measure, Remedy, Where
from trainwell.doctor.thresholds import Thresholds


def never_better_than_chance(evidence: Evidence, limits: Thresholds) -> reading.Mask:
    """Members (M,) whose validation loss never surely fell below that of a guess, and whose best
    accuracy can be that of the most frequent class."""
    base, usual = reading.chance(evidence), reading.majority(evidence)
    loss, error = reading.curves(evidence, "val_loss"), reading.curves(evidence, "val_error")
    accuracy = reading.curves(evidence, "val_accuracy")
    if base is None or usual is None or not evidence.has("val_loss"):
        return np.zeros(evidence.members, np.bool_)
    found = []
    for k, curve in enumerate(loss):
        finite = np.where(np.isfinite(curve), curve, np.inf)
        best = int(np.argmin(finite)) if finite.size else 0
        lowest = finite[best] if finite.size else np.inf
        slack = error[k, best] if error.size and np.isfinite(error[k, best]) else 0.0
        no_better = lowest >= base * (1 - limits.pinned) - limits.rise_errors * slack
        right = accuracy[k, best] if accuracy.size else math.nan
        rows = evidence.val_rows or 100
        by_chance = not right * rows > rows * usual + 2.6 * math.sqrt(rows * usual * (1 - usual))
        found.append(bool(no_better and by_chance and np.isfinite(curve).any()))
    return np.array(found, np.bool_)


def finds_classes(table: IntArray | None) -> bool:
    """Whether a confusion matrix (C, C), rows true, shows a balanced accuracy surely above 1 / C.

    Of uneven classes accuracy may well be that of a guess, and the log loss too when a remedy for
    imbalance has moved the outputs, while rare classes are found.
    """
    if table is None:
        return False
    table = np.asarray(table)
    rows = table.sum(axis=1)
    there = rows > 0
    found, rows = table.diagonal()[there], rows[there]
    share = (found + 1) / (rows + 2)  # drawn in, so that few rows do not look certain
    error = math.sqrt(float((share * (1 - share) / rows).sum())) / len(rows)
    return bool((found / rows).mean() - 2.6 * error > 1 / len(rows))


def is_uneven(evidence: Evidence) -> bool:
    """Whether the largest class has so many rows for one of the smallest that accuracy misleads."""
    rows: Sequence[int] = evidence.class_counts
    if not rows and evidence.confusion is not None:
        rows = evidence.confusion.sum(axis=1).tolist()
    there = [n for n in rows if n > 0]
    return bool(there) and max(there) > UNEVEN * min(there)


def predicted_by_one_input(evidence: Evidence) -> bool:
    """Whether the checks found one input that predicts the class well: labels fit their rows."""
    checks = {c.name: c for c in evidence.checks if c.value is not None}
    return "leaking-column" in checks and checks["leaking-column"].level != "pass"


def uneven_at_chance(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether uneven classes, of which accuracy says nothing, are not told apart by anything.

    Against it: a mean of the trainings' best losses below that of a guess (one fold has too few
    rare rows to show it; all of them together judge every row), or simple models and single inputs
    that do better than with shuffled labels. For it, besides: decisions on held-out rows whose
    balanced accuracy is that of a guess, or simple models no better than with shuffled labels.
    """
    checks = {c.name: c for c in evidence.checks if c.value is not None}
    simple = checks.get("misaligned-labels")
    if simple is not None and simple.level == "pass":
        return False
    if series.average(reading.best_level(evidence)) < 1 - limits.pinned:
        return False
    if evidence.confusion is not None and evidence.confusion.any():
        return not finds_classes(evidence.confusion)
    return simple is not None and (simple.value or 0.0) > (simple.threshold or 0.0)


def labels_not_learnable(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """D10: the labels have nothing to do with the inputs.

    What it sees: validation never better than a guess from the class frequencies, although the
    network learned its training rows by heart, or although simple models do no better either.
    Why it matters: no network can learn labels of other rows.
    Evidence: best validation loss within `pinned` of the labels' entropy and accuracy within the
    interval of the most frequent class, in `agree` of the members; training loss below
    `memorised` × chance, or reference models at chance; no single input that predicts the class
    well. Of uneven classes accuracy shows nothing: see `uneven_at_chance`.
    When it is wrong: data whose classes need another representation altogether.
    Remedies: join rows and labels by key; shuffle both alike.
    Slide: "Shuffle".
    """
    mask, uneven = never_better_than_chance(evidence, limits), is_uneven(evidence)
    usual = reading.majority(evidence)
    if usual is None or not series.most(mask, limits.agree) or finds_classes(evidence.confusion):
        return None
    if predicted_by_one_input(evidence) or (uneven and not uneven_at_chance(evidence, limits)):
        return None
    learned = reading.level(evidence, limits) < limits.memorised
    by_heart = series.most(learned & mask, limits.agree)
    best = max(evidence.reference.values(), default=None)
    rows = evidence.val_rows or 100
    reach = usual + 2.6 * math.sqrt(usual * (1 - usual) / rows)
    if best is not None and best > reach:
        return None
    # Of uneven classes simple models are as often right as a guess, whatever they find.
    hopeless = best is not None and not uneven
    if not by_heart and not hopeless:
        return None
    told, measures = _no_better(evidence, limits, reach)
    words = f"Validation was never better than a guess from the class frequencies ({told})"
    words += reading.of_members(mask)
    if by_heart:
        words += ", although the network learns its training rows by heart"
    if hopeless:
        words += "; simple models find nothing either"
    words += ". The labels seem to belong to other rows."
    return Finding(
        "D10",
        "labels-not-learnable",
        "fault",
        0.9 if hopeless and by_heart else 0.8,
        words,
        measures,
        (
            Remedy("join inputs and labels by a key, not by their order"),
            Remedy("shuffle inputs and labels with the same permutation"),
        ),
        Where("loss"),
        "Shuffle",
    )


def _no_better(
    evidence: Evidence, limits: Thresholds, reach: float
) -> tuple[str, tuple[Measure, ...]]:
    """What validation reached beside a guess, in words and as numbers: accuracy, or where classes
    are uneven log loss and balanced accuracy. reach: the accuracy that would be more than a guess.
    """
    base = reading.chance(evidence)
    if not is_uneven(evidence) or base is None:
        usual = reading.majority(evidence) or math.nan
        found = reading.final_accuracy(evidence, "val_accuracy", limits)
        reached = found.value if found else math.nan
        low, high = (found.low, found.high) if found else (None, None)
        words = f"{reading.percent(reached)} right, a guess {reading.percent(usual)}"
        return words, (Measure("validation_accuracy", reached, low, high, reach),)
    share = series.average(reading.best_level(evidence))
    words = f"log loss {share * base:.3f} at best, a guess {base:.3f}"
    measures = [Measure("validation_loss_over_chance", share, threshold=1 - limits.pinned)]
    if evidence.confusion is not None and evidence.confusion.sum():
        counts = evidence.confusion.sum(axis=1)
        recall = evidence.confusion.diagonal()[counts > 0] / counts[counts > 0]
        words += f"; balanced accuracy {reading.percent(float(recall.mean()))}, a guess "
        words += reading.percent(1 / len(recall))
        measures.append(Measure("balanced_accuracy", float(recall.mean())))
    return words, tuple(measures)
