"""From data to trained networks: plan, split, learning rate, members, out-of-fold scores."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from trainwell.budget import (
    COACHED_SHARE,
    LEAST_TO_COACH,
    TRAINING_SHARE,
    Budget,
    Size,
    default_budget,
    plan_size,
)
from trainwell.clock import now
from trainwell.data.dataset import AudioSchema, Dataset, IntArray
from trainwell.data.imbalance import Deciding, deciding_metric, imbalance_of
from trainwell.data.split import Split, make_split, sample_rows
from trainwell.doctor.evidence import Arm
from trainwell.doctor.race import race, rate_arms
from trainwell.engine.distributed import Ranks, device_of
from trainwell.engine.inputs import FoldInputs, fit_preprocess, take
from trainwell.engine.ladder import LADDER_SHARE, Ladder, climb, trials_of
from trainwell.engine.members import Examples, Member, Trained, common_steps
from trainwell.engine.parts import Store
from trainwell.engine.probes import Probe
from trainwell.engine.score import EpochScore
from trainwell.engine.threads import describe_size, threads_for
from trainwell.engine.trainer import Seen, Trainer
from trainwell.errors import Interrupted
from trainwell.files import cache_dir
from trainwell.model import Model, held_out_probabilities
from trainwell.options import (
    Options,
    budget_seconds,
    checkpoint_seconds,
    chosen_precision,
    chosen_recipe,
)
from trainwell.progress import Progress
from trainwell.recipe import (
    Linear,
    Mlp,
    Recipe,
)
from trainwell.seeding import stream_seed
from trainwell.techniques.inputs import category_blocks
from trainwell.techniques.models.size import check_size
from trainwell.techniques.regularize import L2
from trainwell.techniques.scaling import match_widths

Floats = npt.NDArray[np.float64]
RACE_MEMBERS, RACE_SHARE = 3, 0.3  # networks of a race; share of the budget it may take
STRONG_DROPOUT, STRONG_L2 = 0.5, 1e-2  # a race looks whether regularisation holds back
CLOSING_SHARE = 0.08  # of the budget, kept for scoring and writing
LEAST_SHARE = 0.15  # of the budget, for training in any case: slow reading must not leave nothing


@dataclass(eq=False)
class Work:
    """What the steps of a fit hand on to each other."""

    data: Dataset
    options: Options
    progress: Progress
    budget: Budget
    split: Split
    recipe: Recipe
    size: Size
    inputs: FoldInputs
    trainer: Trainer
    threads: int  # for everything but training, which chooses its own
    parameters: int  # trained numbers of one network
    operations: float  # floating-point, of one example through one network
    device: torch.device
    warnings: list[str]
    deciding: Deciding  # the metric by which trainings are compared
    interrupted: bool = False
    out_of_time: bool = False  # the budget ended the training of the networks
    began: float = 0.0  # seconds of the budget that were used when the networks began to train
    epoch_seconds: float = 0.0  # of one epoch of one network, as it was; 0 where none was trained


def prepare(
    data: Dataset,
    options: Options,
    progress: Progress,
    began: float,
    ranks: Ranks,
) -> Work:
    """Everything before the first training: recipe, size, split, pre-processing.

    began: `time.monotonic()` when the run began; the budget counts from there.
    """
    every = checkpoint_seconds(options)
    # From Python settings are an argument, on the command line they are options.
    recipe = chosen_recipe(data, options, options.settings_name)
    precision = chosen_precision(options, recipe)
    device = device_of(ranks)
    probe = make_split(data, seed=options.seed, folds=options.folds or 2, test=options.test)
    size, threads, parameters, cost = _sized(data, probe, recipe, options)
    budget = Budget(budget_seconds(options) or default_budget(size, options.coach), began)
    warnings = []
    if size.epochs < recipe.epochs:
        warnings.append(f"{size.epochs} epochs instead of {recipe.epochs}, to fit the time budget")
        recipe = dataclasses.replace(recipe, epochs=size.epochs)
    split = make_split(data, seed=options.seed, folds=size.folds, test=options.test)
    sizes = imbalance_of(
        np.bincount(data.labels[split.development], minlength=len(data.classes)), data.classes
    )
    for note in split.notes:
        progress.say(note)
    folds = [
        fit_preprocess(recipe, data.schema, data.inputs, f.train, split.development)
        for f in split.folds
    ]
    match_widths(folds)
    inputs = FoldInputs(data.inputs, folds, device, augmented=recipe.changes_signals)
    labels = torch.from_numpy(data.labels)
    rate = data.schema.rate if isinstance(data.schema, AudioSchema) else 0
    examples = Examples(inputs, labels, len(data.classes), device, ranks, rate)
    trainer = Trainer(
        examples,
        Store(every=every),
        options.jobs,
        remembered=cache_dir() / "timings.json",
        precision=precision,
        probing=True,
        say=progress.say,
    )
    return Work(
        data=data,
        options=options,
        progress=progress,
        budget=budget,
        split=split,
        recipe=recipe,
        size=size,
        inputs=inputs,
        trainer=trainer,
        threads=threads,
        parameters=parameters,
        operations=cost,
        device=device,
        warnings=warnings,
        deciding=deciding_metric(sizes, options.metric),
    )


def _sized(
    data: Dataset, split: Split, recipe: Recipe, options: Options
) -> tuple[Size, int, int, float]:
    """Folds, seeds and epochs that fit the time; threads, parameters and cost of this network."""
    rows = split.development
    some = sample_rows(rows, data.labels, 256, options.seed)  # only the shape matters here
    layers = fit_preprocess(recipe, data.schema, data.inputs, some, rows)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        shape = tuple(layers(take(data.inputs, slice(1))).shape[1:])
        blocks = category_blocks(layers)
        check_size(recipe.model, shape, len(data.classes), blocks)
        network = recipe.model.build(shape, len(data.classes), 0.0, blocks)
    parameters, work = describe_size(network, shape)
    convolves = any(isinstance(m, nn.Conv2d) for m in network.modules())
    # Who asks for workers gets one thread in each, here too: the same bits for every number.
    threads = 1 if options.jobs else threads_for(network, recipe.batch_size, shape)
    torch.set_num_threads(threads)
    seconds = budget_seconds(options)
    by_hand = {"epochs"} & set(options.settings) or options.recipe is not None
    chosen = bool(by_hand) or options.folds is not None or options.seeds is not None
    keep_epochs = (seconds is None and chosen) or options.coach_from is not None

    def planned(share: float, folds: int | None) -> Size:
        aim = None if seconds is None else seconds * share
        size = (len(rows), recipe.batch_size, recipe.epochs, work, convolves)
        return plan_size(*size, aim, folds, options.seeds, keep_epochs)

    size = planned(TRAINING_SHARE, options.folds)
    coached = options.coach and seconds is not None and seconds >= LEAST_TO_COACH
    if coached and options.seeds is None and size.seeds > 1:  # rather tries than more seeds
        size = planned(COACHED_SHARE, size.folds)
    return size, threads, parameters, work


def search_rate(work: Work) -> Ladder:
    """The ladder, on short trials: at most three folds (one for slow networks), fewer rows."""
    slow = not isinstance(work.recipe.model, Linear | Mlp) or len(work.split.development) > 5_000
    trials = trials_of(
        work.recipe,
        work.split.folds[: 1 if slow else 3],
        work.data.labels,
        work.options.seed,
        4 if slow else 3,
    )
    work.progress.stage("searching the learning rate")

    def show(seen: Seen) -> None:
        work.progress.update(seen.share, f"{seen.epochs} epochs of short trials")

    work.trainer.show = show
    deadline = now() + LADDER_SHARE * work.budget.seconds - work.budget.used
    with stop_at_interrupt(work.trainer):
        ladder = climb(trials, work.trainer, deadline)
    if work.trainer.stop:
        run = work.trainer.store.folder
        todo = f"; go on with: trainwell resume {run.parent}" if run else ""
        raise Interrupted(f"Interrupted while searching the learning rate{todo}")
    return ladder


def train_members(work: Work) -> tuple[list[Trained], list[EpochScore], list[Probe]]:
    """All members of the plan: seeds × folds; stops at the budget's end or at Ctrl-C."""
    recipe, steps = common_steps(work.recipe, [len(fold.train) for fold in work.split.folds])
    seeds = [stream_seed(work.options.seed, "member", s) % 2**31 for s in range(work.size.seeds)]
    members = [
        Member(recipe, number, fold.train, fold.validation, seed, steps)
        for seed in seeds
        for number, fold in enumerate(work.split.folds)
    ]
    work.began = work.budget.used
    networks = "1 network" if len(members) == 1 else f"{len(members)} networks"
    work.progress.stage(f"training {networks}")
    work.trainer.show = lambda seen: _show(work, seen, len(members))
    left = work.budget.left - CLOSING_SHARE * work.budget.seconds
    end = now() + max(left, LEAST_SHARE * work.budget.seconds)
    with stop_at_interrupt(work.trainer):
        result = work.trainer.train(members, "training", end, keep_begun=True)
    torch.set_num_threads(work.threads)
    if best := [t.accuracy for t in result.trained.values() if t.best_epoch]:
        told = f"validation accuracy at the best epochs {accuracy_words(best)}"
        work.progress.update(1.0, told)
    if result.history:
        work.epoch_seconds = (work.budget.used - work.began) / len(result.history)
    if result.stopped:
        work.interrupted = True
        work.progress.say("interrupted: keeping the best weights so far")
    elif result.late:
        work.out_of_time = True
        done = len(result.history)
        work.warnings.append(
            f"the time budget of {work.budget.seconds:.0f} s ended training after {done} of "
            f"{recipe.epochs * len(members)} epochs (all networks together); where it ends "
            "depends on the machine, so a repetition may differ"
        )
        work.progress.say(work.warnings[-1])
    order = {member: number for number, member in enumerate(sorted(result.trained))}
    if len(order) < len(members):
        missing = len(members) - len(order)
        work.warnings.append(f"{missing} of {len(members)} networks were not trained at all")
    history = [dataclasses.replace(s, member=order[s.member]) for s in result.history]
    probes = [
        dataclasses.replace(p, member=order[p.member])
        for p in result.probes
        if p.member in order  # of others there is the state before the first step alone
    ]
    return [result.trained[i] for i in order], history, probes


def race_rates(work: Work, trained: Sequence[Trained]) -> tuple[Arm, ...]:
    """Twice and half the learning rate beside the one that was used, on the first networks; and
    without strong regularisation, or augmentation, where the recipe has any.

    Nothing where it would take more than RACE_SHARE of the budget, or what is left of it.
    """
    some = [t.member for t in trained[:RACE_MEMBERS]]
    recipe = work.recipe
    arms = rate_arms(recipe.lr or 0.0)
    if recipe.dropout >= STRONG_DROPOUT or recipe.penalty(L2) >= STRONG_L2:
        arms["regularisation off"] = {"regularize": "()"}
    if recipe.augment:
        arms["no augmentation"] = {"augment": "()"}
    training = work.budget.used - work.began
    cost = training * (1 + len(arms)) * len(some) / len(trained)
    left = (1 - CLOSING_SHARE) * work.budget.seconds - work.budget.used
    alone = work.trainer.examples.ranks.size == 1
    if not alone or work.interrupted or cost > min(left, RACE_SHARE * work.budget.seconds):
        return ()
    work.progress.stage(f"is it the learning rate? side by side: {', '.join(arms)}")
    # Not the accuracies: their mean would be over unequal rates.
    work.trainer.show = lambda seen: work.progress.update(
        seen.share, f"{seen.epochs} epochs of {1 + len(arms)} arms side by side"
    )
    with stop_at_interrupt(work.trainer):
        found = race(some, arms, work.trainer, now() + left)
    torch.set_num_threads(work.threads)
    work.interrupted = work.interrupted or work.trainer.stop
    if not found:
        work.progress.say("not decided: it ended before all arms were trained")
    return found


class Stoppable(Protocol):
    """Trains, and can be asked to end at its next step."""

    stop: bool


@contextmanager
def stop_at_interrupt(trainer: Stoppable) -> Iterator[None]:
    """Ctrl-C asks the trainer (or whatever holds several) to stop at its next step; a second one
    ends the program at once.

    A KeyboardInterrupt alone may be raised inside a destructor or a library's callback, where
    Python drops it. Signals reach the main thread only; elsewhere they are left as they are.
    """

    def ask(number: int, frame: object) -> None:
        trainer.stop = True
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT) or signal.SIG_DFL
    ignored = before is signal.SIG_IGN  # as for a program that a shell runs in the background
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show(work: Work, seen: Seen, members: int) -> None:
    words = f"epoch {seen.epochs / members:.0f}/{work.recipe.epochs}, validation accuracy "
    work.progress.update(seen.share, words + accuracy_words(seen.accuracy))
    work.progress.measure(seen.epochs / members, seen.accuracy)


def accuracy_words(values: Sequence[float]) -> str:
    """The mean over networks, and their range.

    >>> accuracy_words([0.9, 0.95]), accuracy_words([0.9])
    ('0.925 (0.900 to 0.950)', '0.900')
    """
    mean, low, high = sum(values) / len(values), min(values), max(values)
    return f"{mean:.3f}" + (f" ({low:.3f} to {high:.3f})" if len(values) > 1 else "")


def out_of_fold(model: Model, data: Dataset, split: Split) -> tuple[IntArray, IntArray, Floats]:
    """Development rows that some network did not train on (n,), their folds (n,), and their
    probabilities (n, C): each row from the networks of the fold that held it out, averaged, with
    thresholds (where the recipe moves them) that were chosen without it."""
    rows, folds, found = [], [], []
    for number, fold in enumerate(split.folds):
        mine = [i for i, p in enumerate(model.parts) if p.fold % len(split.folds) == number]
        if mine:
            rows.append(fold.validation)
            folds.append(np.full(len(fold.validation), number))
            held_out = held_out_probabilities(
                model.only(mine), data.inputs, data.labels, fold.train, fold.validation
            )
            found.append(held_out)
    order = np.argsort(np.concatenate(rows))
    return np.concatenate(rows)[order], np.concatenate(folds)[order], np.concatenate(found)[order]


def best_of(trained: Sequence[Trained]) -> int:
    """The network with the lowest validation log loss."""
    return min(range(len(trained)), key=lambda i: trained[i].log_loss)
