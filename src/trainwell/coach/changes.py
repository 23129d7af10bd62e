"""Families of changes: from a recipe to recipes with one change, each with a rate of its own.

Slides: "Performance plot", "Regularization", "Data augmentation", "Weight initialization", "Batch
normalization", "Learning rate", "Adaptive learning rate", "Data pre-processing".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from trainwell.data.dataset import Schema
from trainwell.recipe import Recipe
from trainwell.techniques.augment import Augment
from trainwell.techniques.augment.audio import AddNoise, SpecAugment, Tempo
from trainwell.techniques.augment.images import Elastic, Rotate, Shift
from trainwell.techniques.augment.mixing import MixUp
from trainwell.techniques.augment.tables import Jitter
from trainwell.techniques.balance import Balance, ClassWeights, LogitAdjust, Oversample
from trainwell.techniques.init import He, Lsuv, Orthogonal, Xavier
from trainwell.techniques.losses import CrossEntropy
from trainwell.techniques.models import AudioCnn, Cnn, Linear, Mlp, Model, ResNet
from trainwell.techniques.optim.first_order import Adam, Nesterov
from trainwell.techniques.preprocess import LogMel, Robust, Standardize
from trainwell.techniques.regularize import (
    L1,
    L2,
    Dropout,
    InputDropout,
    LabelSmoothing,
    MaxNorm,
    Regularizer,
)
from trainwell.techniques.schedules import Constant, Cosine


@dataclass(frozen=True)
class Candidate:
    """A recipe with one change, why it is tried, and in which words.

    anew: it changes nearly everything, and so explains nothing: tried where smaller changes fail.
    """

    name: str
    recipe: Recipe
    because: str  # code of a finding, or "rate", "gap", "no gap", "unusual", "usual"
    anew: bool = False


def with_regularizer(recipe: Recipe, *new: Regularizer) -> Recipe:
    """The recipe with regularisers of these kinds replaced by the new ones; its rate is freed."""
    kinds = tuple(type(r) for r in new)
    kept = tuple(r for r in recipe.regularize if not isinstance(r, kinds))
    return replace(recipe, regularize=(*kept, *new), lr=None)


def stronger_regularisation(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Slide "Regularization": L2, dropout, both, max norm, smoothed labels, noise on the inputs."""
    l2 = max(recipe.penalty(L2), 1e-4)
    drop = min(0.5, max(0.3, 2 * recipe.dropout))
    strong = with_regularizer(recipe, L2(10 * l2), Dropout(drop))
    yield Candidate(f"L2 ten times as strong ({10 * l2:g}), dropout {drop:g}", strong, because)
    yield Candidate(f"dropout {drop:g}", with_regularizer(recipe, Dropout(drop)), because)
    yield Candidate(f"L2 {10 * l2:g}", with_regularizer(recipe, L2(10 * l2)), because)
    yield Candidate(
        "inputs dropped with probability 0.2", with_regularizer(recipe, InputDropout(0.2)), because
    )
    yield Candidate("max norm 3", with_regularizer(recipe, MaxNorm(3.0)), because)
    yield Candidate(
        "labels smoothed by 0.1", with_regularizer(recipe, LabelSmoothing(0.1)), because
    )


def weaker_regularisation(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Less dropout and decay, and none at all."""
    if recipe.dropout > 0.2:
        milder = with_regularizer(recipe, Dropout(0.2))
        yield Candidate("dropout 0.2", milder, because)
    if recipe.penalty(L2) > 1e-4 or recipe.penalty(L1):
        kept = tuple(r for r in recipe.regularize if not isinstance(r, L1 | L2))
        light = replace(recipe, regularize=(*kept, L2(1e-5)), lr=None)
        yield Candidate("L2 1e-5", light, because)
    if recipe.regularize:
        yield Candidate("no regularisation", replace(recipe, regularize=(), lr=None), because)


def augmented(recipe: Recipe, because: str, schema: Schema) -> Iterator[Candidate]:
    """Slide "Data augmentation": what the kind of data allows without changing a label."""
    if recipe.augment:
        return
    choices: dict[str, tuple[tuple[Augment, ...], ...]] = {
        "images": ((Shift(), Rotate()), (Elastic(),), (MixUp(),)),
        "audio": ((AddNoise(), Tempo()), (SpecAugment(),), (MixUp(),)),
        "table": ((MixUp(),), (Jitter(),)),
    }
    for some in choices[schema.kind]:
        name = "augmentation: " + ", ".join(type(a).__name__ for a in some)
        yield Candidate(name, replace(recipe, augment=some, lr=None), because)


def plain(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Slide "Data augmentation", its word of warning: without it, where there is some."""
    if recipe.augment:
        bare = replace(recipe, augment=(), lr=None)
        yield Candidate("no augmentation", bare, because)


def annealed_anew(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """A schedule that ends when the training ends."""
    whole = replace(recipe, schedule=Cosine(warmup=0.05), lr=None)
    yield Candidate("a rate annealed over the whole training", whole, because)


def usual_network(recipe: Recipe, because: str, usual: Recipe) -> Iterator[Candidate]:
    """Slide "Performance plot": the network that is usual for so many rows, where this one is
    smaller. Doubling a network of two units would take as many rounds as there are doublings."""
    model = _usual_model(recipe.model, usual)
    if model != recipe.model and _size(model) > _size(recipe.model):
        found = replace(recipe, model=model, lr=None)
        yield Candidate(f"the network that is usual here, {_widths(model)}", found, because)


def _usual_model(model: Model, usual: Recipe) -> Model:
    """The usual network of the same kind."""
    if isinstance(model, Linear | Mlp):
        hidden = usual.model.hidden if isinstance(usual.model, Mlp) else (128, 128)
        return Mlp(hidden=hidden)
    if isinstance(model, Cnn) and isinstance(usual.model, Cnn):
        count = max(2, min(len(model.channels), len(usual.model.channels)))
        return replace(usual.model, channels=usual.model.channels[:count], depth=1)
    return model


def _widths(model: Model) -> str:
    """A network in a few words."""
    if isinstance(model, Mlp):
        return "-".join(map(str, model.hidden)) + " units"
    return "-".join(map(str, getattr(model, "channels", ()))) + " maps"


def _size(model: Model) -> int:
    """The width of its narrowest place: what limits a network."""
    if isinstance(model, Mlp):
        return min(model.hidden)
    if isinstance(model, Cnn | AudioCnn | ResNet):
        return min(model.channels)
    return 0


def begin_anew(recipe: Recipe, because: str, usual: Recipe) -> Iterator[Candidate]:
    """Everything as it is usual for such data, but the kind of network, the epochs and what is
    heard of a clip: where several things are wrong at once, no single change shows a gain."""
    heard = tuple(p for p in recipe.preprocess if isinstance(p, LogMel))
    scaled_inputs = Standardize(per="channel") if heard else Standardize()
    found = replace(
        usual,
        model=_usual_model(recipe.model, usual),
        preprocess=(*heard, scaled_inputs) if heard or not usual.augment else usual.preprocess,
        balance=recipe.balance,
        epochs=recipe.epochs,
        patience=recipe.patience,
        lr=None,
    )
    yield Candidate("begin anew with what is usual for such data", found, because, anew=True)


def larger(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Slide "Performance plot": no gap means a larger model; wider, then deeper."""
    model = recipe.model
    if isinstance(model, Linear):
        yield Candidate("a hidden layer", replace(recipe, model=Mlp((64, 64)), lr=None), because)
    elif isinstance(model, Mlp):
        wide = tuple(max(2 * w, 32) for w in model.hidden)
        wider = replace(model, hidden=wide)
        yield Candidate("twice as wide", replace(recipe, model=wider, lr=None), because)
        deep = replace(model, hidden=(*model.hidden, model.hidden[-1]))
        yield Candidate("one layer deeper", replace(recipe, model=deep, lr=None), because)
    elif isinstance(model, Cnn | AudioCnn | ResNet):
        channels = tuple(max(2 * c, 16) for c in model.channels)
        wider_maps = replace(model, channels=channels)
        yield Candidate("twice as many maps", replace(recipe, model=wider_maps, lr=None), because)
    if isinstance(model, Cnn | AudioCnn):
        deeper = replace(model, depth=model.depth + 1)
        yield Candidate("one layer deeper", replace(recipe, model=deeper, lr=None), because)


def smaller(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Half as wide: less capacity to learn rows by heart."""
    model = recipe.model
    if isinstance(model, Mlp) and min(model.hidden) >= 16:
        half = replace(model, hidden=tuple(w // 2 for w in model.hidden))
        yield Candidate("half as wide", replace(recipe, model=half, lr=None), because)
    elif isinstance(model, Cnn | AudioCnn | ResNet) and min(model.channels) >= 16:
        fewer = replace(model, channels=tuple(c // 2 for c in model.channels))
        yield Candidate("half as many maps", replace(recipe, model=fewer, lr=None), because)


def longer(recipe: Recipe, because: str, usual: Recipe | None = None) -> Iterator[Candidate]:
    """More epochs, with patience and schedule that allow them; as many as are usual, too."""
    lengths = {recipe.epochs * 3, recipe.epochs * 10}
    if usual is not None and usual.epochs > recipe.epochs:
        lengths.add(usual.epochs)
    for epochs in sorted(lengths):
        if epochs <= 400:
            patience = max(recipe.patience, epochs // 3)
            more = replace(recipe, epochs=epochs, patience=patience, schedule=Cosine(warmup=0.05))
            yield Candidate(f"{epochs} epochs", replace(more, lr=None), because)


def other_rates(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """A rate from a ladder of its own: what is wrong by a factor of 100 is found at once."""
    yield Candidate("a learning rate from a ladder", replace(recipe, lr=None), because)


def sound_start(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Slides "Weight initialization" and "Batch normalization": He, batch norm, ReLU.

    All three at once first, as one remedy: a deep network of saturating units is mended by none of
    them alone.
    """
    model = recipe.model
    if isinstance(model, Mlp | Cnn | AudioCnn):
        normed = replace(model, norm="batch")
        standard = replace(recipe, model=replace(normed, activation="relu"), init=He(), lr=None)
        yield Candidate("ReLU, batch norm and He's initial weights", standard, because)
    yield Candidate("He's initial weights", replace(recipe, init=He(), lr=None), because)
    if isinstance(model, Mlp | Cnn | AudioCnn):
        yield Candidate("batch norm", replace(recipe, model=normed, lr=None), because)
        leaky = replace(recipe, model=replace(model, activation="leaky_relu"), lr=None)
        yield Candidate("leaky ReLU", leaky, because)


def scaled(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Slide "Data pre-processing": zero mean and unit variance; robust where outliers rule."""
    heard = tuple(p for p in recipe.preprocess if isinstance(p, LogMel))
    per = Standardize(per="channel") if heard else Standardize()
    yield Candidate(
        "standardised inputs", replace(recipe, preprocess=(*heard, per), lr=None), because
    )
    yield Candidate(
        "inputs scaled by median and quartiles",
        replace(recipe, preprocess=(*heard, Robust()), lr=None),
        because,
    )


def annealed(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Slide "Learning rate": anneal it over time."""
    if isinstance(recipe.schedule, Constant):
        cosine = replace(recipe, schedule=Cosine(warmup=0.05), lr=None)
        yield Candidate("an annealed learning rate", cosine, because)


def back_to_the_usual(recipe: Recipe, because: str, usual: Recipe) -> Iterator[Candidate]:
    """Every choice that few would make, made as most would: schedule, order of the rows, loss,
    the optimiser's own settings, batches, strong penalties. What is unusual is suspected first."""
    if not isinstance(recipe.schedule, Constant | Cosine):
        yield from annealed_anew(recipe, because)
    if recipe.shuffle != "every_epoch":
        mixed = replace(recipe, shuffle="every_epoch", lr=None)
        yield Candidate("rows shuffled in every epoch", mixed, because)
    if not isinstance(recipe.loss, CrossEntropy):
        entropy = replace(recipe, loss=CrossEntropy(), lr=None)
        yield Candidate("cross-entropy as the loss", entropy, because)
    plain_rule = type(recipe.optimizer)()
    if recipe.optimizer != plain_rule:
        default = replace(recipe, optimizer=plain_rule, lr=None)
        yield Candidate(f"{type(plain_rule).__name__} with its defaults", default, because)
    if recipe.penalty(L1) or recipe.penalty(L2) >= 1e-2 or recipe.dropout > 0.5:
        mild = replace(recipe, regularize=(L2(1e-4), Dropout(0.2)), lr=None)
        yield Candidate("L2 1e-4 and dropout 0.2 in place of what is strong", mild, because)
    if not isinstance(recipe.init, He | Xavier | Orthogonal | Lsuv):
        yield Candidate("He's initial weights", replace(recipe, init=He(), lr=None), because)
    if recipe.batch_size < 8:
        batches = replace(recipe, batch_size=usual.batch_size, lr=None)
        yield Candidate(f"batches of {usual.batch_size}", batches, because)


def larger_batches(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Less noise in every step."""
    if recipe.batch_size < 64:
        size = max(16, 4 * recipe.batch_size)
        yield Candidate(f"batches of {size}", replace(recipe, batch_size=size, lr=None), because)


def other_optimizer(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Slide "Adaptive learning rate": Adam as the default; momentum beside it."""
    if recipe.optimizer != Adam():
        yield Candidate("Adam", replace(recipe, optimizer=Adam(), lr=None), because)
    elif not isinstance(recipe.optimizer, Nesterov):
        yield Candidate("Nesterov", replace(recipe, optimizer=Nesterov(), lr=None), because)


def balanced(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Slide "Class imbalance": outputs adjusted by the classes' shares, weights, oversampling."""
    remedies: tuple[Balance, ...] = (LogitAdjust(), ClassWeights(), Oversample())
    for remedy in remedies:
        if recipe.balance != remedy:
            changed = replace(recipe, balance=remedy, lr=None)
            yield Candidate(f"balance: {remedy!r}", changed, because)
