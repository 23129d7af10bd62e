"""The main job: from labelled data to a trained, honestly measured classifier.

read → look → split → learning rate → train → out-of-fold scores → open the sealed test part once →
yardsticks → write the run folder, the model and the report.
"""

from __future__ import annotations

import dataclasses
import errno
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.assembling import all_lost, assembled, told_replaced
from trainwell.checking import checkup
from trainwell.clock import now
from trainwell.coach.finished import check_same_data, request_from, taken, tried_before
from trainwell.coach.run import coached, kept_from
from trainwell.data.dataset import Dataset, Kind
from trainwell.data.facts import facts
from trainwell.data.read import read
from trainwell.doctor.collect import collect, described
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Check
from trainwell.doctor.race import race_table
from trainwell.doctor.rate_rules import suspects_rate
from trainwell.doctor.thresholds import THRESHOLDS
from trainwell.engine.distributed import joined, leave
from trainwell.engine.ladder import Ladder
from trainwell.engine.members import Trained
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.threads import describe_size, same_threads
from trainwell.errors import Interrupted, Unfinished, UserError
from trainwell.generating import add_samples, write_pictures
from trainwell.judging import Outcome, judge
from trainwell.kinds import built, kinds_of_coach
from trainwell.metrics import Metric
from trainwell.options import TEST_SHARE, Options, check_options, chosen_recipe
from trainwell.progress import Progress
from trainwell.recipe import Recipe
from trainwell.report.generated import FILE as PICTURES
from trainwell.report.live import watched
from trainwell.request import Request, as_call, begin, data_digest
from trainwell.results import ladder_table
from trainwell.run import (
    Run,
    check_folder,
    held,
    new_folder,
)
from trainwell.training import (
    Work,
    prepare,
    race_rates,
    search_rate,
    train_members,
)
from trainwell.voters import voted

Floats = npt.NDArray[np.float64]
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
CHECK_SHARE, CHECK_SECONDS = 0.03, (1.0, 5.0)  # of the budget; at least and at most
LEAST_TO_CHECK = 15.0  # seconds of budget below which nothing is checked


def fit(
    source: Any = None,
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
    single: bool = False,
    coach: bool = True,
    coach_from: str | Path | None = None,
    metric: Metric | None = None,
    jobs: int | str | None = None,
    checkpoint: str | float = "30s",
    precision: str = "float32",
    trust: bool = False,
    quiet: bool = True,
    watch: int | None = None,
    command: str | None = None,
) -> Run:
    """Train a classifier on labelled data and measure it honestly; returns the run.

    source: a path, a sample set's name, a DataFrame, or arrays (X, y) or (X, y, groups).
    target, group: column names (group also a field of `pattern`); rows of a group stay together.
    test: share of rows to seal, 0 for none, or a file or folder with the test part.
    settings: fields of the recipe to change, for instance {"lr": 0.01}.
    ensemble: also train a few other kinds of networks, and let several vote where that is shown to
    be better; False: keep the best single network. single: distil the ensemble into one network,
    and say what that costs.
    coach: after training, try remedies for what the doctor finds, and the lecture's usual advice;
    keep what paired trainings prove to be better. Every try is in decisions.json.
    coach_from: a finished run; its data, split, recipe and networks are taken as they are, and
    only the coach is run. `source` is needed only where the data came from memory.
    metric: what decides, and is told first: "accuracy", "balanced_accuracy", "macro_f1" or
    "log_loss"; None: balanced accuracy where the largest class has more than 3 rows for one of the
    smallest, else accuracy.
    jobs: worker processes, "ray" or "ray:8" for a cluster; None: what was measured to be quickest.
    checkpoint: time between two checkpoints, from which `resume` goes on to the same bits.
    precision: "bfloat16" computes layers in mixed precision (for GPUs that are fast at it).
    trust: whether code that a recipe file names may run (networks of one's own, Custom).
    watch: port of a page on this machine that grows while training goes on; 0 takes a free one.
    Raises UserError for everything the user can mend. After Ctrl-C the best weights so far are
    scored and written, and `run.result["interrupted"]` is True.
    """
    request = Request(
        source=source,
        target=target,
        group=group,
        kind=kind,
        pattern=pattern,
        image_size=image_size,
        test=test,
        out=out,
        budget=budget,
        seed=seed,
        folds=folds,
        seeds=seeds,
        recipe=recipe,
        settings=settings or {},
        ensemble=ensemble,
        single=single,
        coach=coach,
        coach_from=coach_from,
        metric=metric,
        jobs=jobs,
        checkpoint=checkpoint,
        precision=precision,
        trust=trust,
    )
    command = command or as_call(request)
    if coach_from is not None:
        request = request_from(request)
    elif source is None:
        raise UserError("fit", "no data were given", "Name a file, a folder or a sample set.")
    return carry_out(replace(request, command=command), quiet, watch=watch)


def carry_out(
    request: Request, quiet: bool, folder: Path | None = None, watch: int | None = None
) -> Run:
    """Do what was asked; with `folder`, go on with the run that was begun there.

    Of several processes the first one speaks and writes; the others end when training is over.
    """
    started, began = now(), time.monotonic()
    options = request.options
    with (
        joined() as ranks,
        same_threads(),
        Progress(quiet=quiet or not ranks.first) as progress,
        watched(progress, watch if ranks.first else None) as view,
        ExitStack() as held_by_us,
    ):
        check_options(options)
        if folder is None and ranks.first:
            check_folder(request.out)
        progress.stage("reading the data")
        data = request.read()
        if ranks.size > 1:
            ranks.check_same("the data", data_digest(data))
        say_data(progress, data)
        view.name = data.name
        work = prepare(data, options, progress, began, ranks)
        begun = folder is not None
        if folder is None:
            folder = ranks.agree(new_folder(request.out, data.name) if ranks.first else Path())
        held_by_us.enter_context(held(folder if ranks.first else None))
        try:
            if ranks.first:
                progress.log = folder / "log.txt"
                work.trainer.store = begin(folder, request, data, work.trainer.store.every)
            if begun:
                work.budget.started -= work.trainer.store.state["used"]
                progress.say("going on where the run was left")
            run = _steps(work, folder, started)
            view.report = run.report
            if not (work.interrupted or work.trainer.late):
                work.trainer.store.remove()
            return run
        except KeyboardInterrupt:
            if not (folder / "checkpoint" / "request.json").exists():
                raise
            raise Interrupted(f"Interrupted. Go on with: trainwell resume {folder}") from None
        except OSError as error:
            if ranks.first and not folder.is_dir():
                problem = "the run folder was removed while the run went on"
                raise UserError(str(folder), problem, "Give the command again.") from None
            if error.errno not in NO_ROOM:
                error.run_folder = folder  # type: ignore[attr-defined]
                raise
            problem = f"cannot be written ({error.strerror}: {error.filename or folder})"
            todo = f"Make room; then go on with: trainwell resume {folder}"
            raise Unfinished(str(folder), problem, todo) from None
        except Unfinished:
            raise
        except UserError:  # a mistake: another attempt may use the same folder
            work.trainer.store.remove()
            (folder / "request.json").unlink(missing_ok=True)
            raise
        except Exception as error:
            error.run_folder = folder  # type: ignore[attr-defined]  # where log.txt is
            raise


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
    return chosen_recipe(data, Options(recipe=recipe, settings=settings or {}, trust=True))


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
    numbers, cost = (f"{v:,.0f}".replace(",", " ") for v in (work.parameters, work.operations))
    progress.say(
        f"network {type(work.recipe.model).__name__}: {numbers} parameters, "
        f"{cost} operations per example"
    )
    if work.deciding.asked or work.deciding.name != "accuracy":
        name = work.deciding.name.replace("_", " ")
        progress.say(f"what decides: {name} ({work.deciding.why})")
    checks = _looked_at(work)
    generated = add_samples(work)
    if generated is not None:
        write_pictures(folder / PICTURES, generated)
    begun = None
    if work.options.coach_from is not None:
        check_same_data(work)
        begun = taken(work)
    ladder = search_rate(work) if work.recipe.lr is None else None
    if ladder is not None:
        work.recipe = dataclasses.replace(work.recipe, lr=ladder.chosen)
        progress.say(f"learning rate {ladder.chosen:g}")
        if not ladder.in_time:
            words = "the time budget ended the search for a learning rate early"
            work.warnings.append(f"{words}; a repetition may choose another one")
    if begun is None:
        trained, history, probes = train_members(work)
    else:
        progress.say(begun.words)
        trained, history, probes = begun.trained, begun.history, begun.probes
        work.began = work.budget.used
    leave(work.trainer.examples.ranks)
    at_once = all_lost(trained) and not kept_from(work)  # no epoch of any network: nothing to save
    if not at_once:
        kept, moved, notes = assembled(work, folder, trained, history, probes)
    try:
        if begun is None:
            evidence = _examined(work, ladder, trained, history, probes, checks)
        else:
            evidence = dataclasses.replace(begun.evidence, checks=checks)
        race = race_table(evidence)
        earlier = None
        if begun is not None:
            earlier = tried_before(Path(str(work.options.coach_from)), work.recipe)
        after = coached(work, trained, history, probes, evidence, earlier)
        evidence = after.evidence
        if at_once or after.trained[0] is not trained[0]:
            notes = told_replaced(after, trained)
            trained, history, probes = after.trained, after.history, after.probes
            kept, moved, more = assembled(work, folder, trained, history, probes)
            notes += more
            work.parameters, work.operations = describe_size(
                *built(work, work.recipe, work.inputs.layers[0])
            )
        work.warnings += notes
        outcome = Outcome(
            ladder,
            trained,
            history,
            probes,
            moved,
            moved.only(kept),
            evidence,
            after.decisions,
            generated=generated,
            coach=after.told,
            race=race,
        )
        if work.options.ensemble:
            outcome = voted(work, folder, outcome, kinds_of_coach(after, work.recipe))
        return judge(work, folder, started, counted, outcome)
    except KeyboardInterrupt:
        where = folder / "model"
        raise Interrupted(f"Interrupted while scoring; the model is saved in {where}.") from None


def _looked_at(work: Work) -> tuple[Check, ...]:
    """Checks of data and network before training; what cannot be checked is said."""
    if work.budget.seconds < LEAST_TO_CHECK:
        return ()  # such a budget is for training
    work.progress.stage("checking data and network")
    seconds = min(CHECK_SECONDS[1], max(CHECK_SECONDS[0], CHECK_SHARE * work.budget.seconds))
    try:
        found = checkup(work.data, work.recipe, work.split, work.options.seed, seconds)
    except (ValueError, RuntimeError, MemoryError, FloatingPointError) as error:
        work.warnings.append(f"data and network could not be checked ({error})")
        return ()
    for check in found.checks:
        if check.level in ("fault", "warning"):
            work.progress.say(f"{check.name.replace('-', ' ')}: {check.words}")
    return found.checks


def _examined(
    work: Work,
    ladder: Ladder | None,
    trained: Sequence[Trained],
    history: Sequence[EpochScore],
    probes: Sequence[Probe],
    checks: tuple[Check, ...],
) -> Evidence:
    """What the doctor looks at; a race is run where the curves do not say if the rate is right."""
    evidence = dataclasses.replace(
        described(collect(trained, history, probes), work.data, work.split),
        ladder=ladder_table(ladder) if ladder else None,
        checks=checks,
    )
    if suspects_rate(evidence, THRESHOLDS):
        evidence = dataclasses.replace(evidence, race=race_rates(work, trained))
        if told := race_table(evidence):
            work.progress.say(told["words"])
    return evidence
