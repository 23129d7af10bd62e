"""From labelled examples to one model, in memory: networks of all folds, averaged.

No files, no sealed test part, no display: every row trains, and the folds choose learning rate and
epoch. Each network learns from all folds but one and keeps the weights of its best epoch on that
one; the model averages them (a cross-validation committee, Krogh and Vedelsby 1995). All of it
follows from the rows, their weights and the seed: the order of the rows does not matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from trainwell.budget import TRAINING_SHARE, plan_size
from trainwell.clock import now
from trainwell.data.dataset import AudioSchema, Dataset, Numbered
from trainwell.data.keys import row_hashes
from trainwell.data.ranges import fit_ranges
from trainwell.data.split import Fold, make_split
from trainwell.engine.distributed import Ranks, device_of
from trainwell.engine.generating import generate, makers_of, with_samples
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.ladder import LADDER_SHARE, Ladder, climb, trials_of
from trainwell.engine.members import Examples, Member, common_steps
from trainwell.engine.threads import describe_size, same_threads
from trainwell.engine.trainer import Result, Trainer
from trainwell.errors import DataError, UserError
from trainwell.model import Model, assemble, balanced
from trainwell.recipe import Linear, Mlp, Recipe
from trainwell.seeding import stream_seed
from trainwell.techniques.scaling import match_widths

Floats = npt.NDArray[np.float64]
MOST_COPIES, MANY_ROWS = 10, 10_000  # rows after repetition: at most so many times as before, or so


@dataclass(frozen=True, eq=False)
class Committee:
    """The model, the recipe with its learning rate, and how that was found (None: given)."""

    model: Model
    recipe: Recipe
    ladder: Ladder | None
    late: bool  # the budget ended the training early


def settle(data: Dataset, weights: Floats | None) -> tuple[Dataset, Floats | None]:
    """The same examples in an order of their own, weights (N,) turned into repetitions.

    Rows that are equal, label included, become one with the sum of their weights; that one is
    repeated ⌊sum⌋ times (at least once), and what is left is a weight of each copy. Whole weights
    and repeated rows therefore give the very same examples, and weights None. Sums far above what
    an epoch needs are scaled down first. Rows of weight 0 must have been removed.

    >>> from trainwell.data.arrays import read_arrays
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([0, 1, 1])
    >>> twice = [0, 1, 1, 2]
    >>> one, _ = settle(read_arrays(x, y), np.array([1.0, 2.0, 1.0]))
    >>> two, _ = settle(read_arrays(x[twice], y[twice]), None)
    >>> np.array_equal(one.inputs, two.inputs)
    True
    """
    hashes = row_hashes(data.inputs)
    order = np.lexsort((data.labels, hashes[:, 1], hashes[:, 0]))
    ranked, labels = hashes[order], data.labels[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (ranked[1:] != ranked[:-1]).any(axis=1) | (labels[1:] != labels[:-1])
    own = np.ones(len(order)) if weights is None else weights[order]
    totals = np.add.reduceat(own, np.flatnonzero(begins))
    unit = max(1.0, totals.sum() / max(MOST_COPIES * len(totals), MANY_ROWS))
    # 2.9999999 is a 3 that was computed.
    copies = np.maximum(1, np.floor(totals / unit * (1 + 1e-9))).astype(np.int64)
    rows, each = np.repeat(order[begins], copies), np.repeat(totals / copies, copies)
    alike = np.ptp(each) <= 1e-9 * each.max()
    settled = dataclasses.replace(
        data, inputs=data.inputs[rows], labels=data.labels[rows], names=Numbered("row", len(rows))
    )
    return settled, None if alike else each / each.mean()


def train_committee(
    data: Dataset,
    weights: Floats | None,
    recipe: Recipe,
    *,
    folds: int = 5,
    networks: int = 1,
    seed: int = 0,
    budget: float | None = None,
) -> Committee:
    """Train folds × networks networks on settled examples with weights (N,), mean 1, or None.

    A recipe without a rate gets one from a ladder. budget: seconds; epochs are cut to fit them on a
    nominal machine, and the clock ends what takes longer all the same. Raises UserError where every
    training diverges.
    """
    began = now()
    parts = _folds(data, folds, seed)
    everything = np.arange(len(data))
    layers = [fit_preprocess(recipe, data.schema, data.inputs, f.train, everything) for f in parts]
    match_widths(layers)
    device = device_of(Ranks())
    inputs = FoldInputs(data.inputs, layers, device, augmented=recipe.changes_signals)
    examples = Examples(
        inputs,
        torch.from_numpy(data.labels),
        len(data.classes),
        device,
        rate=data.schema.rate if isinstance(data.schema, AudioSchema) else 0,
        weights=None if weights is None else torch.from_numpy(weights.astype(np.float32)),
    )
    if makers := makers_of(recipe):
        made = generate(data, parts, makers, seed)
        examples = with_samples(examples, data, parts, made, recipe.changes_signals)
    trainer = Trainer(examples, steady=True)
    with same_threads():
        if budget is not None:
            recipe = _fitted(recipe, examples, len(parts), networks, budget)
        ladder = None
        if recipe.lr is None:
            end = None if budget is None else began + LADDER_SHARE * budget
            ladder = climb(_trials(data, recipe, parts, seed), trainer, end)
            recipe = dataclasses.replace(recipe, lr=ladder.chosen)
        end = None if budget is None else began + budget
        result = trainer.train(
            _members(recipe, parts, networks, seed), "training", end, keep_begun=True
        )
    model = _model(data, layers, result, recipe)
    return Committee(model, recipe, ladder, trainer.late)


def _folds(data: Dataset, folds: int, seed: int) -> tuple[Fold, ...]:
    """The division of all rows; where they are too few to hold any out, all train and validate."""
    try:
        return make_split(data, seed=seed, folds=folds, test=0.0).folds
    except DataError:
        everything = np.arange(len(data))
        return (Fold(everything, everything),)


def _fitted(recipe: Recipe, examples: Examples, folds: int, networks: int, budget: float) -> Recipe:
    """The recipe with as many epochs as the budget allows, by counting operations."""
    shape = examples.inputs.shape
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        network = recipe.model.build(shape, examples.classes, 0.0, examples.inputs.blocks)
    work = describe_size(network, shape)[1]
    convolves = any(isinstance(m, torch.nn.Conv2d) for m in network.modules())
    aim, rows = TRAINING_SHARE * budget, len(examples.labels)
    size = plan_size(rows, recipe.batch_size, recipe.epochs, work, convolves, aim, folds, networks)
    return dataclasses.replace(recipe, epochs=size.epochs)


def _trials(data: Dataset, recipe: Recipe, parts: Sequence[Fold], seed: int) -> list[Member]:
    """Short trainings that try rates: at most three folds (one for slow networks), fewer rows."""
    slow = not isinstance(recipe.model, Linear | Mlp) or len(data) > 5_000
    return trials_of(recipe, parts[: 1 if slow else 3], data.labels, seed, 4 if slow else 3)


def _members(recipe: Recipe, parts: Sequence[Fold], networks: int, seed: int) -> list[Member]:
    """Every network of every fold; folds of nearly one size take the steps of the smallest, so that
    all train as one population."""
    recipe, steps = common_steps(recipe, [len(fold.train) for fold in parts])
    seeds = [stream_seed(seed, "member", s) % 2**31 for s in range(networks)]
    return [
        Member(recipe, number, fold.train, fold.validation, own, steps)
        for own in seeds
        for number, fold in enumerate(parts)
    ]


def _model(
    data: Dataset, layers: Sequence[torch.nn.Sequential], result: Result, recipe: Recipe
) -> Model:
    """The model of all networks that can be used."""
    usable = [t for _, t in sorted(result.trained.items()) if t.best_epoch]
    if not usable and result.late:
        raise UserError("budget", "ended before the first epoch did", "Give more time.")
    if not usable:
        problem = f"every training diverged (learning rate {recipe.lr:g})"
        raise UserError("training", problem, "Give a smaller rate as lr.")
    ranges = fit_ranges(data.schema, data.inputs, np.arange(len(data)))
    whole = assemble(data.schema, data.classes, layers, usable, ranges)
    return balanced(whole, usable, data.inputs, data.labels)
