"""The main job: from labelled data to a trained, honestly measured classifier.

read → look → split → learning rate → train → out-of-fold scores → open the sealed test part once →
yardsticks → write the run folder, the model and the report.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import trainwell
from trainwell import model as models
from trainwell import results
from trainwell.baselines import baselines
from trainwell.data.dataset import Dataset, IntArray, Kind
from trainwell.data.facts import facts
from trainwell.data.read import read
from trainwell.data.split import sample_rows
from trainwell.engine.ladder import Ladder
from trainwell.engine.population import Trained
from trainwell.engine.threads import cores
from trainwell.engine.train import EpochScore
from trainwell.errors import Interrupted, UserError
from trainwell.progress import Progress
from trainwell.recipe import Recipe, fields_as_text, to_toml
from trainwell.report.page import write_report
from trainwell.run import (
    Run,
    new_folder,
    openings_so_far,
    peak_megabytes,
    write_history,
    write_json,
)
from trainwell.seeding import stream_seed
from trainwell.training import (
    TEST_SHARE,
    Options,
    Work,
    best_of,
    check_options,
    chosen_recipe,
    out_of_fold,
    prepare,
    search_rate,
    train_members,
)

Floats = npt.NDArray[np.float64]
THUMBNAILS = 40  # pictures kept for the report


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
    the one of all networks, and the one that is kept."""

    ladder: Ladder | None
    trained: Sequence[Trained]
    history: Sequence[EpochScore]
    whole: models.Model
    model: models.Model


def fit(
    source: Any,
    *,
    target: str | None = None,
    group: str | None = None,
    kind: Kind | None = None,
    pattern: str | None = None,
    image_size: int | None = None,
    test: float | str | Path = TEST_SHARE,
    out: str | Path | None = None,
    budget: str | float | None = None,
    seed: int = 0,
    folds: int | None = None,
    seeds: int | None = None,
    recipe: str | Path | Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
    ensemble: bool = True,
    jobs: int | None = None,
    quiet: bool = True,
    command: str | None = None,
) -> Run:
    """Train a classifier on labelled data and measure it honestly; returns the run.

    source: a path, a sample set's name, a DataFrame, or arrays (X, y) or (X, y, groups).
    target, group: column names (group also a field of `pattern`); rows of a group stay together.
    test: share of rows to seal, 0 for none, or a file or folder with the test part.
    settings: fields of the recipe to change, for instance {"lr": 0.01}.
    Raises UserError for everything the user can mend. After Ctrl-C the best weights so far are
    scored and written, and `run.result["interrupted"]` is True.
    """
    started, began = time.time(), time.monotonic()
    given = {
        "target": target,
        "group": group,
        "kind": kind,
        "pattern": pattern,
        "image_size": image_size,
        "test": None if test == TEST_SHARE else test,
        "budget": budget,
        "seed": seed or None,
        "folds": folds,
        "seeds": seeds,
        "recipe": recipe,
        "settings": settings,
        "ensemble": None if ensemble else False,
        "jobs": jobs,
    }
    command = command or _as_call(source, given)
    share = float(test) if isinstance(test, int | float) else TEST_SHARE
    test_file = None if isinstance(test, int | float) else test
    chosen = Options(
        out, budget, seed, folds, seeds, recipe, settings or {}, ensemble, share, jobs, command
    )
    with _same_threads(), Progress(quiet=quiet) as progress:
        check_options(chosen)
        progress.stage("reading the data")
        data = read(
            source,
            target=target,
            group=group,
            kind=kind,
            pattern=pattern,
            test=test_file,
            image_size=image_size,
        )
        say_data(progress, data)
        work = prepare(data, chosen, progress, began)
        folder = new_folder(out, data.name)
        progress.log = folder / "log.txt"
        try:
            return _steps(work, folder, started)
        except Exception as error:
            error.run_folder = folder  # type: ignore[attr-defined]  # where log.txt is
            raise


@contextmanager
def _same_threads() -> Iterator[None]:
    """A fit chooses torch's threads; afterwards they are as the caller had them."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _as_call(source: Any, given: Mapping[str, Any]) -> str:
    """The call from Python that does the same again."""
    what = repr(str(source)) if isinstance(source, str | Path) else f"<{type(source).__name__}>"
    options = [f"{name}={value!r}" for name, value in given.items() if value is not None]
    return f"trainwell.fit({', '.join([what, *options])})"


def planned_recipe(
    source: Any,
    *,
    target: str | None = None,
    group: str | None = None,
    kind: Kind | None = None,
    pattern: str | None = None,
    image_size: int | None = None,
    recipe: str | Path | Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe that `fit` would start with on these data; lr None means it would be searched."""
    data = read(
        source, target=target, group=group, kind=kind, pattern=pattern, image_size=image_size
    )
    return chosen_recipe(data, Options(recipe=recipe, settings=settings or {}))


def say_data(progress: Progress, data: Dataset) -> None:
    shape = " × ".join(map(str, data.schema.shape))
    what = {"table": "rows", "images": "pictures", "audio": "clips"}[data.kind]
    progress.say(f"{data.name}: {len(data)} {what} of {shape}, {len(data.classes)} classes")
    for note in data.notes:
        progress.say(note)
    for skipped in data.skipped[:10]:
        progress.say(f"skipped {skipped.where}: {skipped.why}")
    if len(data.skipped) > 10:
        progress.say(f"and {len(data.skipped) - 10} more files skipped; all are in run.json")


def _steps(work: Work, folder: Path, started: float) -> Run:
    """The steps after preparation, in order; each later one uses only what came before."""
    progress = work.progress
    for warning in work.warnings:
        progress.say(warning)
    progress.stage("looking at the data")
    counted = facts(work.data)
    ladder = search_rate(work) if work.recipe.lr is None else None
    if ladder is not None:
        work.recipe = dataclasses.replace(work.recipe, lr=ladder.chosen)
        progress.say(f"learning rate {ladder.chosen:g}")
        if not ladder.in_time:
            words = "the time budget ended the search for a learning rate early"
            work.warnings.append(f"{words}; a repetition may choose another one")
    trained, history = train_members(work)
    whole, model = _models(work, trained)
    _save(work, folder, history, model)
    outcome = Outcome(ladder, trained, history, whole, model)
    try:
        return _judge(work, folder, started, counted, outcome)
    except KeyboardInterrupt:
        where = folder / "model"
        raise Interrupted(f"Interrupted while scoring; the model is saved in {where}.") from None


def _judge(
    work: Work, folder: Path, started: float, counted: Mapping[str, Any], outcome: Outcome
) -> Run:
    """From the trained model to the finished run: scores, yardsticks, files, report."""
    data, split, progress = work.data, work.split, work.progress
    progress.stage("scoring")
    oof_rows, oof_folds, oof = out_of_fold(outcome.whole, data, split)
    judged = Judgement("validation", oof_rows, None, oof)
    if len(split.sealed):
        rows = split.sealed.open("final score")
        inputs = data.inputs[rows]
        members = outcome.model.member_probabilities(inputs)
        judged = Judgement("test", rows, members, members.mean(axis=0))
        opened = openings_so_far(inputs, data.labels[rows])
        if opened > 1:
            progress.say(
                f"these test rows were opened {opened} times on this machine: what was chosen by "
                "their score is no longer measured by it"
            )
    alone = results.one_group(data, judged.rows)
    if alone:
        work.warnings.append(alone)
    validation = results.scores(data, oof_rows, oof, work.options.seed)
    progress.stage("training yardsticks")
    train_score = results.train_scores(outcome.trained, outcome.history)
    yardsticks: list[dict[str, Any]] = []
    try:
        yardsticks = _yardsticks(work, judged)
    except KeyboardInterrupt:  # the network is trained and must not be lost
        work.interrupted = True
    except (ValueError, MemoryError, FloatingPointError) as error:
        work.warnings.append(f"the yardsticks could not be trained ({error})")
    progress.stage("writing the results")
    result = (
        _identity(work, folder)
        | _measured(work, judged, outcome.model)
        | {"validation": validation, "train": train_score}
        | {"baselines": yardsticks, "data": results.data_table(data, counted)}
        | _training(work, outcome)
        | _circumstances(work, started)
    )
    write_json(folder / "findings.json", result["findings"])
    write_json(folder / "decisions.json", result["decisions"])
    tested = judged.part == "test"
    test_rows = judged.rows if tested else judged.rows[:0]
    np.savez_compressed(
        folder / "oof.npz",
        rows=oof_rows,
        folds=oof_folds,
        labels=data.labels[oof_rows],
        probabilities=oof.astype(np.float32),
        test_rows=test_rows,
        test_labels=data.labels[test_rows],
        test_probabilities=(judged.probabilities if tested else oof[:0]).astype(np.float32),
    )
    write_json(folder / "run.json", result)  # last: a folder with run.json is complete
    write_report(folder)
    return Run(folder, result)


def _models(work: Work, trained: Sequence[Trained]) -> tuple[models.Model, models.Model]:
    """The model of all networks, and the one that is kept: the same, or the best single network."""
    usable = [t for t in trained if t.best_epoch]
    if not usable and work.interrupted:
        raise Interrupted("Interrupted before the first epoch was finished: nothing to keep.")
    if not usable:
        problem = f"every training diverged (learning rate {work.recipe.lr:g})"
        raise UserError("training", problem, "Give a smaller rate with --set lr=...")
    lost = len(trained) - len(usable)
    if lost:
        work.warnings.append(f"{lost} of {len(trained)} networks diverged and were left out")
    late = sum(t.diverged for t in usable)
    if late:
        work.warnings.append(
            f"{late} of {len(trained)} networks diverged: their weights are from before; "
            "give a smaller rate with --set lr=..."
        )
    whole = models.assemble(work.data.schema, work.data.classes, work.inputs.layers, usable)
    if work.options.ensemble or len(usable) == 1:
        return whole, whole
    work.warnings.append(
        f"validation scores are those of all {len(usable)} networks; the one that is kept had the "
        "lowest validation loss on its own fold"
    )
    return whole, whole.only([best_of(usable)])


def _yardsticks(work: Work, judged: Judgement) -> list[dict[str, Any]]:
    """Baselines on the very rows that judge the network.

    With a test part they train on everything outside it; without one, on every fold in turn.
    """
    data, seed = work.data, work.options.seed
    if judged.part == "test":
        rows = judged.rows
        found = baselines(data, work.inputs.layers[0], work.split.development, rows, seed)
        return results.baseline_table(data, rows, found, judged.part, seed)
    parts = [
        baselines(data, layers, fold.train, fold.validation, seed)
        for layers, fold in zip(work.inputs.layers, work.split.folds, strict=True)
    ]
    rows = np.concatenate([fold.validation for fold in work.split.folds])
    together = [
        dataclasses.replace(same[0], probabilities=np.concatenate([b.probabilities for b in same]))
        for same in zip(*parts, strict=False)
    ]
    return results.baseline_table(data, rows, together, judged.part, seed)


def _identity(work: Work, folder: Path) -> dict[str, Any]:
    return {
        "name": work.data.name,
        "kind": work.data.kind,
        "run": str(folder),
        "version": trainwell.__version__,
        "command": work.options.command,
        "seed": work.options.seed,
        "classes": list(work.data.classes),
    }


def _measured(work: Work, judged: Judgement, model: models.Model) -> dict[str, Any]:
    """Everything measured on the part that judges."""
    data, seed = work.data, work.options.seed
    labels = data.labels[judged.rows]
    ensemble: dict[str, Any] = {"members": len(model.parts)}
    if judged.members is not None:
        ensemble = results.ensemble_table(
            labels, judged.members, judged.probabilities, "test", seed
        )
    is_test = judged.part == "test"
    return {
        "test": results.scores(data, judged.rows, judged.probabilities, seed) if is_test else None,
        "test_openings": len(work.split.sealed.openings),
        "confusion_part": judged.part,
        "ensemble": ensemble,
        **results.class_table(data, judged.rows, judged.probabilities),
    }


def _training(work: Work, outcome: Outcome) -> dict[str, Any]:
    return {
        "split": results.split_table(work.split),
        "recipe": fields_as_text(work.recipe),
        "ladder": results.ladder_table(outcome.ladder) if outcome.ladder else None,
        "members": results.member_table(outcome.trained),
        "parameters": outcome.model.parameters,
        "findings": [],
        "decisions": [],
        "warnings": work.warnings,
        "interrupted": work.interrupted,
    }


def _circumstances(work: Work, started: float) -> dict[str, Any]:
    """Machine and times: what may differ when the same command runs again."""
    return {
        "environment": results.environment(work.threads, cores(), work.device),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(started)),
        "seconds": round(time.time() - started, 2),
        "peak_mb": peak_megabytes(),
    }


def _save(work: Work, folder: Path, history: Sequence[EpochScore], model: models.Model) -> None:
    """What training gave, written before anything is scored, so that nothing can lose it."""
    (folder / "recipe.toml").write_text(to_toml(work.recipe), encoding="utf-8")
    write_history(folder / "history.csv", history)
    models.save(model, folder / "model")
    if work.data.kind == "images":
        seed = stream_seed(work.options.seed, "thumbnails")
        rows = sample_rows(work.split.development, work.data.labels, THUMBNAILS, seed)
        np.savez_compressed(
            folder / "examples.npz", images=work.data.inputs[rows], labels=work.data.labels[rows]
        )
