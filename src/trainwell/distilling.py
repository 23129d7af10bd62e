"""`fit --single`: one network that learns what the ensemble knows, and what that costs.

An ensemble of M networks takes M times the memory and time of one. The student is trained on half
the label and half the ensemble's out-of-fold probabilities. Where each class has the same say (by
the metric that decides, or by the recipe) it is trained on the probabilities alone: they hold what
a remedy for uneven classes has moved, and labels would teach the classes' shares back in. What it
loses is measured on the rows that judge, pair by pair, in the metric that decides and in log loss.
Slide: "Ensemble".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trainwell import model as models
from trainwell.clock import now
from trainwell.data.dataset import IntArray
from trainwell.engine.inputs import FoldInputs
from trainwell.engine.members import Member, Trained, common_steps
from trainwell.engine.trainer import Seen, Trainer
from trainwell.ensemble.calibrate import temperature
from trainwell.ensemble.distil import soft_targets
from trainwell.ensemble.measures import row_weights, share_of, weighs_classes
from trainwell.ensemble.rows import together
from trainwell.ensemble.wording import SHARES, change_of_loss, interval_of, is_shown, points
from trainwell.kinds import Kind
from trainwell.metrics import Metric
from trainwell.model import Model
from trainwell.recipe import Recipe
from trainwell.seeding import stream_seed
from trainwell.techniques.balance import Oversample
from trainwell.techniques.losses import CrossEntropy
from trainwell.training import CLOSING_SHARE, Work, stop_at_interrupt
from trainwell.voting import Voting, groups_of
from trainwell.voting_table import gained

Floats = npt.NDArray[np.float64]
SHARE = 0.5  # of the teacher in a student's targets
FOLD = 0  # the one whose validation rows choose the student's epoch
TIMED_ROWS, TIMINGS = 256, 3


@dataclass(frozen=True, eq=False)
class Student:
    """One network in place of several.

    model: the student; teacher: what it learned from; labelled: a network of the same kind that
    learned from labels alone, on the same rows; fold: whose rows it was not trained on; metric:
    what decides in the run.
    """

    trained: Trained
    kind: str
    model: Model
    teacher: Model
    labelled: Model
    fold: int
    metric: Metric = "accuracy"


def distil(work: Work, voting: Voting) -> Student | None:
    """Train the student; None, with words about it, where there is nothing to distil.

    Its recipe is that of the kind with most weight. The epoch is chosen on the validation rows of
    one fold, whose labels the teachers of its training rows have seen: judge it on test rows.
    """
    if len(voting.model.parts) < 2:
        work.warnings.append("the model is one network already: nothing to distil")
        return None
    if work.trainer.examples.ranks.size > 1:
        work.warnings.append("of several processes none distils: --single was left out")
        return None
    number = _leader(voting)
    kind = voting.candidates.kinds[number]
    metric = voting.metric
    balanced = weighs_classes(metric) or kind.recipe.balance is not None
    recipe = plain(kind.recipe, balanced)
    data, fold = work.data, work.split.folds[FOLD]
    teacher = np.full((len(data), len(data.classes)), np.nan)
    teacher[voting.candidates.rows] = said(voting)
    share = 1.0 if balanced else SHARE
    targets = torch.from_numpy(soft_targets(teacher, data.labels, share))
    examples = replace(work.trainer.examples, inputs=_inputs(work, kind, recipe), targets=targets)
    trainer = Trainer(
        examples,
        work.trainer.store,
        work.options.jobs,
        precision=work.trainer.precision,
        steady=True,
        show=lambda seen: _show(work, seen),
    )
    seed = stream_seed(work.options.seed, "student") % 2**31
    recipe, steps = common_steps(recipe, [len(fold.train)])
    member = Member(recipe, FOLD, fold.train, fold.validation, seed, steps)
    deadline = now() + (1 - CLOSING_SHARE / 2) * work.budget.seconds - work.budget.used
    work.progress.stage("distilling the ensemble into one network")
    with stop_at_interrupt(trainer):
        result = trainer.train([member], "student", deadline)
    torch.set_num_threads(work.threads)
    work.interrupted = work.interrupted or trainer.stop
    trained = result.trained.get(0)
    if trained is None or not trained.best_epoch:
        work.warnings.append(
            "the budget ended before the single network was trained: kept as it is"
        )
        return None
    if result.late:
        work.warnings.append("the time budget ended the training of the single network early")
    alone = models.assemble(data.schema, data.classes, kind.layers, [trained])
    rows = fold.validation
    truth = data.labels[rows]
    own = row_weights(truth, metric)
    heat = temperature(alone.probabilities(data.inputs, rows), truth, weights=own)
    part = replace(alone.parts[0], temperature=heat, kind=f"{kind.name}, distilled")
    whole = voting.candidates.plain[number]
    same = next(i for i, p in enumerate(whole.parts) if p.fold == FOLD)
    labelled = whole.only([same])
    return Student(
        trained, kind.name, replace(alone, parts=(part,)), voting.model, labelled, FOLD, metric
    )


def _leader(voting: Voting) -> int:
    """The kind with most weight in what is kept, that has a network in the student's fold."""
    weights: dict[str, float] = {}
    for part in voting.model.parts:
        weights[part.kind] = weights.get(part.kind, 0.0) + part.weight
    names = [kind.name for kind in voting.candidates.kinds]
    able = [
        k for k, m in enumerate(voting.candidates.plain) if any(p.fold == FOLD for p in m.parts)
    ]
    return max(able, key=lambda k: weights.get(names[k], 0.0))


def plain(recipe: Recipe, balanced: bool = False) -> Recipe:
    """The recipe with the loss that soft targets are learned by, and without class balancing.

    balanced: the targets are; then rows of rare classes are shown more often. What is learned from
    a row stays the teacher's answer, but it is learned where rare classes are, too, and the epoch
    is chosen by a loss in which each class has the same say.
    """
    balance = Oversample() if balanced else Recipe().balance
    return replace(recipe, loss=CrossEntropy(), balance=balance)


def said(voting: Voting) -> Floats:
    """What is kept says out of fold (n, C) of the candidates' rows."""
    candidates = voting.candidates
    if voting.kept == "ensemble":
        assert voting.selection is not None
        return voting.selection(candidates.voices)
    own = [v for v, k in enumerate(candidates.owners) if k == voting.alone]
    heard: Floats = together(candidates.voices[own], [0] * len(own))[0]
    return heard


def _inputs(work: Work, kind: Kind, recipe: Recipe) -> FoldInputs:
    """The examples as this kind is shown them."""
    own = work.inputs
    if all(a is b for a, b in zip(own.layers, kind.layers, strict=True)):
        return own
    return FoldInputs(work.data.inputs, kind.layers, work.device, augmented=recipe.changes_signals)


def student_table(work: Work, student: Student, rows: IntArray, part: str) -> dict[str, Any]:
    """What one network in place of several costs: scores, size, time; paired intervals over rows.

    part: "test", or "validation" where there is no test part; then it is judged on the validation
    rows of its fold, which chose its epoch.
    """
    data, seed = work.data, work.options.seed
    teacher = student.teacher
    if part != "test":
        rows = work.split.folds[student.fold].validation
        count = len(work.split.folds)
        own = [i for i, p in enumerate(teacher.parts) if p.fold % count == student.fold]
        teacher = teacher.only(own)
    labels, groups = data.labels[rows], groups_of(data, rows)
    one, many, labelled = (
        m.probabilities(data.inputs, rows) for m in (student.model, teacher, student.labelled)
    )
    metric = student.metric
    cost = gained(one, many, labels, seed, groups, metric)
    taught = gained(one, labelled, labels, seed, groups, metric)
    size = student.teacher.parameters / max(student.model.parameters, 1)
    return {
        "kind": student.kind,
        "part": part,
        "cost": cost,
        "over_labels_alone": taught,
        "parameters": {"one": student.model.parameters, "ensemble": student.teacher.parameters},
        "seconds_per_example": {
            "one": _seconds(student.model, data.inputs, rows),
            "ensemble": _seconds(student.teacher, data.inputs, rows),
        },
        "metric": share_of(metric),
        "words": f"one network instead of {len(student.teacher.parts)}, {size:.1f} times smaller; "
        f"on {part} rows {cost_words(cost, metric)}{_or_labels(taught, metric)}",
    }


def cost_words(cost: Mapping[str, Any], metric: Metric) -> str:
    """The cost in the metric that decides and in log loss, each with what it shows."""
    share, loss = interval_of(cost[share_of(metric)]), interval_of(cost["log_loss"])
    told = {"better": "a gain", "worse": "a loss", "not shown": "a difference is not shown"}
    return (
        f"{points(share)} points of {SHARES[share_of(metric)]}: {told[is_shown(share)]}; "
        f"{change_of_loss(loss)}: {told[is_shown(loss)]}"
    )


def _or_labels(taught: Mapping[str, Any], metric: Metric) -> str:
    """Words where a network that learned from labels alone is shown to be better."""
    other = interval_of(taught[share_of(metric)])
    if is_shown(other) != "worse":
        return ""
    return (
        "; one network that learned from labels alone is better by "
        f"{-100 * other.value:.2f} points: --no-ensemble keeps the best such one"
    )


def _seconds(model: Model, inputs: npt.NDArray[Any], rows: IntArray) -> float:
    """Seconds per example, the best of some repetitions."""
    some = rows[:TIMED_ROWS]
    return min(_timed(lambda: model.probabilities(inputs, some)) for _ in range(TIMINGS)) / len(
        some
    )


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _show(work: Work, seen: Seen) -> None:
    work.progress.update(seen.share, f"{seen.epochs} epochs of the student")
