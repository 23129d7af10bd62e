"""From trained networks to a finished run: scores, yardsticks, run.json and the report.

The sealed test part is opened here, once.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell import metrics, results
from trainwell import model as models
from trainwell.baselines import baselines
from trainwell.clock import now
from trainwell.data.dataset import IntArray
from trainwell.data.imbalance import Imbalance, imbalance_of, imbalance_table, too_few, unmeasured
from trainwell.distilling import Student, student_table
from trainwell.doctor.collect import CONTEXT
from trainwell.doctor.diagnose import diagnose
from trainwell.doctor.evidence import Evidence, context
from trainwell.engine.generating import Generated
from trainwell.engine.ladder import Ladder
from trainwell.engine.members import Trained
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.threads import cores
from trainwell.ensemble.calibrate import scaled
from trainwell.memory import peak_megabytes
from trainwell.mistakes import pictured, worst_mistakes
from trainwell.recipe import fields_as_text
from trainwell.report.page import write_report
from trainwell.run import Run, openings_so_far, write_arrays, write_json
from trainwell.techniques.balance import Focal
from trainwell.training import Work, out_of_fold
from trainwell.version import __version__
from trainwell.voting import Voting, groups_of
from trainwell.voting_table import Opened, voting_table

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judgement:
    """The rows that judge the model, and what it says of them.

    part: "test", or "validation" where there is no test part. members (M, n, C) is None then: each
    row is judged by other networks. probabilities (n, C) are those of the whole model.
    """

    part: str
    rows: IntArray
    members: Floats | None
    probabilities: Floats


@dataclass(frozen=True, eq=False)
class Outcome:
    """What training gave: the ladder, every network with its history, and the models made of them:
    the one of all networks, and the one that is kept; and what the doctor looks at."""

    ladder: Ladder | None
    trained: Sequence[Trained]
    history: Sequence[EpochScore]
    probes: Sequence[Probe]
    whole: models.Model
    model: models.Model
    evidence: Evidence
    decisions: Sequence[Mapping[str, Any]] = ()  # of the coach
    voting: Voting | None = None  # where several kinds of networks were candidates
    student: Student | None = None  # the one network that is kept in place of an ensemble
    generated: Generated | None = None  # samples, where the recipe asks for some
    coach: Mapping[str, Any] = field(default_factory=dict)  # as a whole
    race: Mapping[str, Any] | None = None  # of learning rates, with the recipe as it was given

    @property
    def judged(self) -> models.Model:
        """The networks whose mean judges rows out of fold: of the ensemble, where it is kept."""
        return self.voting.model if self.voting is not None else self.whole


def judge(
    work: Work, folder: Path, started: float, counted: Mapping[str, Any], outcome: Outcome
) -> Run:
    """From the trained model to the finished run: scores, yardsticks, files, report."""
    data, split, progress = work.data, work.split, work.progress
    progress.stage("scoring")
    oof_rows, oof_folds, oof = out_of_fold(outcome.judged, data, split)
    judged = Judgement("validation", oof_rows, None, oof)
    opened = 0
    if len(split.sealed):
        rows = split.sealed.open("final score")
        members = outcome.model.member_probabilities(data.inputs, rows)
        judged = Judgement("test", rows, members, outcome.model.vote(members))
        run = work.trainer.store.once("name", lambda: uuid.uuid4().hex)
        opened = openings_so_far(data.inputs, data.labels, rows, run)
        if opened > 1:
            work.warnings.append(
                f"these test rows were opened {opened} times on this machine, this run included: "
                "what was chosen by their score is no longer measured by it"
            )
            progress.say(work.warnings[-1])
    alone = results.one_group(data, judged.rows)
    if alone:
        work.warnings.append(alone)
    partly = _unmeasured(work, judged)
    if partly:
        work.warnings.append(partly["words"])
    validation = results.scores(data, oof_rows, oof, work.options.seed)
    progress.stage("training yardsticks")
    train_score = results.train_scores(outcome.trained, outcome.history, outcome.whole, data)
    yardsticks: list[dict[str, Any]] = []
    try:
        yardsticks = _yardsticks(work, judged)
    except KeyboardInterrupt:  # the network is trained and must not be lost
        work.interrupted = True
    except (ValueError, MemoryError, FloatingPointError) as error:
        work.warnings.append(f"the yardsticks could not be trained ({error})")
    evidence = dataclasses.replace(
        outcome.evidence,
        confusion=metrics.confusion(data.labels[oof_rows], oof.argmax(axis=1), len(data.classes)),
    )
    diagnosis = diagnose(evidence)
    progress.stage("writing the results")
    result = (
        _identity(work, folder)
        | _measured(work, judged, partly)
        | {"test_openings_here": opened}
        | {"ensemble": _ensemble(work, judged, outcome)}
        | {"validation": validation, "train": train_score}
        | {"baselines": yardsticks, "data": results.data_table(data, counted, split.development)}
        | _training(work, outcome)
        | diagnosis.to_json()
        | {"checks": [check.to_json() for check in evidence.checks]}
        | _circumstances(work, started)
    )
    write_json(folder / CONTEXT, context(evidence))
    write_json(folder / "findings.json", result["findings"])
    write_json(folder / "decisions.json", result["decisions"])
    tested = judged.part == "test"
    test_rows = judged.rows if tested else judged.rows[:0]
    arrays: dict[str, npt.NDArray[Any]] = {
        "rows": oof_rows,
        "folds": oof_folds,
        "labels": data.labels[oof_rows],
        "probabilities": oof.astype(np.float32),
        "test_rows": test_rows,
        "test_labels": data.labels[test_rows],
        "test_probabilities": (judged.probabilities if tested else oof[:0]).astype(np.float32),
    }
    write_arrays(folder / "oof.npz", arrays | _voices(work, outcome, judged))
    shown = pictured(data, result["mistakes"])
    if shown is not None:
        write_arrays(folder / "mistakes.npz", {"inputs": shown})
    write_json(folder / "run.json", result)  # last: a folder with run.json is complete
    write_report(folder)
    return Run(folder, result)


def _voices(work: Work, outcome: Outcome, judged: Judgement) -> dict[str, npt.NDArray[Any]]:
    """What an ensemble over several runs needs of this one: voices out of fold (V, n, C) with their
    kinds (V,), test probabilities of every network (M, t, C), both uncalibrated, and groups."""
    found: dict[str, npt.NDArray[Any]] = {}
    if work.data.groups is not None:
        found["groups"] = work.data.groups
    voting = outcome.voting
    if voting is None or outcome.student is not None:
        return found
    candidates = voting.candidates
    names = {part.kind for part in voting.model.parts}
    kinds = [candidates.kinds[k].name for k in candidates.owners]
    used = [v for v, name in enumerate(kinds) if name in names]
    found["voice_rows"] = candidates.rows
    found["voice_kinds"] = np.array([kinds[v] for v in used])
    found["voices"] = candidates.voices[used].astype(np.float32)
    if judged.members is not None:
        cold = [1 / part.temperature for part in outcome.model.parts]
        found["test_members"] = scaled(judged.members, cold).astype(np.float32)
    return found


def _yardsticks(work: Work, judged: Judgement) -> list[dict[str, Any]]:
    """Baselines on the very rows that judge the network.

    With a test part they train on everything outside it; without one, on every fold in turn.
    """
    data, seed = work.data, work.options.seed
    uneven, metric = sizes_of(work).imbalanced, work.deciding.name
    rows, said = judged.rows, judged.probabilities
    if judged.part == "test":
        found = baselines(data, work.inputs.layers[0], work.split.development, rows, seed, uneven)
        return results.baseline_table(data, rows, said, found, judged.part, metric, seed)
    parts = [
        baselines(data, layers, fold.train, fold.validation, seed, uneven)
        for layers, fold in zip(work.inputs.layers, work.split.folds, strict=True)
    ]
    every = np.concatenate([fold.validation for fold in work.split.folds])
    order = np.argsort(every)
    order = order[np.isin(every[order], rows)]  # folds without a network judge nothing
    together = [
        dataclasses.replace(
            same[0], probabilities=np.concatenate([b.probabilities for b in same])[order]
        )
        for same in zip(*parts, strict=False)
    ]
    return results.baseline_table(data, rows, said, together, judged.part, metric, seed)


def _identity(work: Work, folder: Path) -> dict[str, Any]:
    return {
        "name": work.data.name,
        "kind": work.data.kind,
        "run": str(folder),
        "version": __version__,
        "command": work.options.command,
        "data_digest": work.trainer.store.state["decisions"].get("data"),
        "seed": work.options.seed,
        "classes": list(work.data.classes),
    }


def _ensemble(work: Work, judged: Judgement, outcome: Outcome) -> dict[str, Any]:
    """What the networks gain together, and what was chosen among several kinds of them."""
    data, seed, voting = work.data, work.options.seed, outcome.voting
    found: dict[str, Any] = {"members": len(outcome.model.parts)}
    if judged.members is not None:
        labels = data.labels[judged.rows]
        found = results.ensemble_table(labels, judged.members, judged.probabilities, "test", seed)
    if voting is None:
        return found
    opened = None
    if judged.members is not None:
        everyone = voting.candidates.everything
        known = outcome.model is voting.candidates.plain[0] and len(voting.candidates.plain) == 1
        said = judged.members if known else everyone.member_probabilities(data.inputs, judged.rows)
        labels, groups = data.labels[judged.rows], groups_of(data, judged.rows)
        opened = Opened(labels, groups, said)
    rows = voting.candidates.rows
    found |= voting_table(voting, data.labels[rows], groups_of(data, rows), seed, opened)
    if outcome.student is not None:
        found["single"] = student_table(work, outcome.student, judged.rows, judged.part)
    return found


def _measured(work: Work, judged: Judgement, partly: Mapping[str, Any] | None) -> dict[str, Any]:
    """Everything measured on the part that judges; partly: classes that it cannot measure."""
    data, seed = work.data, work.options.seed
    is_test = judged.part == "test"
    return {
        "test": results.scores(data, judged.rows, judged.probabilities, seed) if is_test else None,
        "test_openings": len(work.split.sealed.openings),
        "confusion_part": judged.part,
        "metric": work.deciding.to_json(),
        "imbalance": _imbalance(work, judged) | {"unmeasured": partly},
        **results.class_table(data, judged.rows, judged.probabilities),
        "reliability": results.reliability_table(data.labels[judged.rows], judged.probabilities),
        "mistakes": worst_mistakes(data, judged.rows, judged.probabilities, work.split.development),
    }


def sizes_of(work: Work) -> Imbalance:
    """How uneven the classes are outside the test part."""
    data, rows = work.data, work.split.development
    return imbalance_of(np.bincount(data.labels[rows], minlength=len(data.classes)), data.classes)


def _imbalance(work: Work, judged: Judgement) -> dict[str, Any]:
    """Sizes outside the test part, and which classes the part that judges cannot measure."""
    data = work.data
    counts = np.bincount(data.labels[judged.rows], minlength=len(data.classes))
    balance = work.recipe.balance
    even = "" if balance is None or isinstance(balance, Focal) else repr(balance)
    return imbalance_table(sizes_of(work), too_few(counts, data.classes), judged.part, even)


def _unmeasured(work: Work, judged: Judgement) -> dict[str, Any] | None:
    """Which classes have no row in the part that judges, and what would give them some."""
    data = work.data
    counts = np.bincount(data.labels[judged.rows], minlength=len(data.classes))
    classes = "that class" if (counts == 0).sum() == 1 else "those classes"
    todo = f"give more rows of {classes}"
    if data.groups is not None:
        todo = f"give more groups with {classes}"
    if judged.part == "test" and data.official_test is not None:
        todo = f"give a test part with rows of {classes}"
    elif judged.part == "test":
        todo += ", or --test with a larger share"
    return unmeasured(counts, data.classes, judged.part, todo)


def _training(work: Work, outcome: Outcome) -> dict[str, Any]:
    return {
        "split": results.split_table(work.split),
        "recipe": fields_as_text(work.recipe),
        "ladder": results.ladder_table(outcome.ladder) if outcome.ladder else None,
        "members": results.member_table(outcome.trained),
        "parameters": outcome.model.parameters,
        "network": {"parameters": work.parameters, "operations": round(work.operations)},
        "initial": results.initial_table(outcome.probes),
        "coached_from": work.options.coach_from and str(work.options.coach_from),
        "race": outcome.race,
        "coach": dict(outcome.coach),
        "decisions": list(outcome.decisions),
        "generated": [] if outcome.generated is None else outcome.generated.to_json(),
        "warnings": work.warnings,
        "interrupted": work.interrupted,
        "out_of_time": work.out_of_time,
    }


def _circumstances(work: Work, started: float) -> dict[str, Any]:
    """Machine and times: what may differ when the same command runs again."""
    return {
        "environment": results.environment(work.trainer, cores()),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(started)),
        "seconds": round(now() - started, 2),
        "peak_mb": peak_megabytes() + work.trainer.workers_mb,
    }
