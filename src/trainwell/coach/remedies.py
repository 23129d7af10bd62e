"""What may be tried next: from findings and a recipe to recipes with one change, causes first.

Slides: "Performance plot" (a big gap: more regularisation; no gap: more capacity), "Learning rate"
(factors 2 and 5, annealing), "Data augmentation", "Class imbalance" and the others in their order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from trainwell.data.dataset import Schema
from trainwell.doctor.finding import Finding
from trainwell.errors import RecipeError
from trainwell.recipe import Recipe, edit
from trainwell.recipe_check import check_against
from trainwell.techniques.augment import Augment
from trainwell.techniques.augment.audio import AddNoise, SpecAugment, Tempo
from trainwell.techniques.augment.images import Elastic, Rotate, Shift
from trainwell.techniques.augment.mixing import MixUp
from trainwell.techniques.augment.tables import Jitter
from trainwell.techniques.balance import Balance, ClassWeights, LogitAdjust, Oversample
from trainwell.techniques.init import He
from trainwell.techniques.models import AudioCnn, Cnn, Linear, Mlp, ResNet
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

GAP_CODES = ("F01", "R11")  # more regularisation
CAPACITY_CODES = ("F02", "N08")  # more capacity
LESS_CODES = ("F03", "N07")  # less regularisation
LENGTH_CODES = ("R10", "R14")  # longer
RATE_CODES = ("R01", "R02", "R03", "R05")
IMBALANCE_CODES = ("D08", "F05")


@dataclass(frozen=True)
class Candidate:
    """A recipe with one change, why it is tried, and in which words."""

    name: str
    recipe: Recipe
    because: str  # code of a finding, or "rate", "gap", "no gap", "usual"


def candidates(
    findings: Sequence[Finding], recipe: Recipe, schema: Schema, gap: float, error: float
) -> list[Candidate]:
    """Everything worth trying, in the order in which it should be tried.

    First the remedies of findings, in their order (causes before symptoms, the lecture's order
    within one). Then, since a silent doctor is no proof that nothing helps, the lecture's usual
    advice: with a gap more regularisation and augmentation, without one more capacity.

    gap: training minus validation accuracy; error: training error, both shares. Recipes that do
    not suit the data, or are the same as an earlier one, are left out.
    """
    wanted = [
        *_from_findings(findings, recipe),
        *_usual(recipe, schema, gap, error),
    ]
    seen = {recipe}
    found = []
    for candidate in wanted:
        same = replace(candidate.recipe, lr=recipe.lr) == recipe
        if candidate.recipe in seen or (same and candidate.because not in (*RATE_CODES, "rate")):
            continue
        seen.add(candidate.recipe)
        try:
            check_against(candidate.recipe, schema)
        except RecipeError:
            continue
        found.append(candidate)
    return found


def _from_findings(findings: Sequence[Finding], recipe: Recipe) -> Iterator[Candidate]:
    for finding in findings:
        for remedy in finding.remedies:
            if remedy.settings:
                try:
                    changed = edit(recipe, dict(remedy.settings), finding.code)
                except RecipeError:
                    continue
                yield Candidate(remedy.says, _freed(changed, recipe), finding.code)
        for make in _by_code(finding.code):
            yield from make(recipe, finding.code)


def _freed(changed: Recipe, before: Recipe) -> Recipe:
    """The recipe as it is tried: every arm but one that changes the rate itself tunes its own."""
    return changed if changed.lr != before.lr else replace(changed, lr=None)


Maker = Callable[[Recipe, str], Iterator[Candidate]]


def _by_code(code: str) -> tuple[Maker, ...]:
    """Makers of candidates for codes whose remedies are a family rather than one setting."""
    if code in GAP_CODES:
        return (stronger_regularisation, smaller)
    if code in CAPACITY_CODES:
        return (larger, longer, weaker_regularisation)
    if code in LESS_CODES:
        return (weaker_regularisation,)
    if code == "R14":
        return (annealed_anew, longer)
    if code in LENGTH_CODES:
        return (longer,)
    if code == "D14":
        return (plain,)
    if code in IMBALANCE_CODES:
        return (balanced,)
    if code in RATE_CODES:
        return (other_rates,)
    if code in ("R04", "R06", "R07", "R13", "I01", "I02", "I03", "I04", "I05", "F04"):
        return (sound_start,)
    if code in ("N05", "N06"):
        return (sound_start,)
    if code in ("D01", "D02"):
        return (scaled,)
    if code in ("R08", "R09"):
        return (annealed, larger_batches)
    if code in ("R12",):
        return (other_optimizer,)
    return ()


def _usual(recipe: Recipe, schema: Schema, gap: float, error: float) -> Iterator[Candidate]:
    """The lecture's advice by the gap, for a training without (further) findings.

    The learning rate is cleared first: one that is a little off hides behind every other change,
    since each candidate tunes its own.
    """
    if gap > 0.005 or error > 0.005:
        yield from other_rates(recipe, "rate")
    yield from plain(recipe, "usual")
    if error > 0.005 and (recipe.dropout >= 0.5 or recipe.penalty(L2) >= 1e-2):
        yield from weaker_regularisation(recipe, "no gap")
    if gap > 0.005:
        yield from augmented(recipe, "gap", schema)
        yield from stronger_regularisation(recipe, "gap")
    if error > 0.005:
        yield from larger(recipe, "no gap")
        yield from longer(recipe, "no gap")
        yield from weaker_regularisation(recipe, "no gap")
    yield from annealed(recipe, "usual")
    yield from other_optimizer(recipe, "usual")
    if schema.kind == "table":
        yield from scaled(recipe, "usual")


# ---- families of changes ----------------------------------------------------------------------


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


def longer(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """More epochs, with patience and schedule that allow them."""
    for factor in (3, 10):
        epochs = recipe.epochs * factor
        if epochs <= 400:
            patience = max(recipe.patience, epochs // 3)
            more = replace(recipe, epochs=epochs, patience=patience, schedule=Cosine(warmup=0.05))
            yield Candidate(f"{epochs} epochs", replace(more, lr=None), because)


def other_rates(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """A rate from a ladder of its own: what is wrong by a factor of 100 is found at once."""
    yield Candidate("a learning rate from a ladder", replace(recipe, lr=None), because)


def sound_start(recipe: Recipe, because: str) -> Iterator[Candidate]:
    """Slides "Weight initialization" and "Batch normalization": He, batch norm, ReLU."""
    yield Candidate("He's initial weights", replace(recipe, init=He(), lr=None), because)
    model = recipe.model
    if isinstance(model, Mlp | Cnn | AudioCnn):
        normed = replace(model, norm="batch")
        yield Candidate("batch norm", replace(recipe, model=normed, lr=None), because)
        both = replace(recipe, model=replace(normed, activation="relu"), init=He(), lr=None)
        yield Candidate("ReLU, batch norm and He's initial weights", both, because)
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


def difference(before: Recipe, after: Recipe) -> dict[str, str]:
    """The fields in which a recipe differs, as text.

    >>> difference(Recipe(), Recipe(epochs=5))
    {'epochs': '5'}
    """
    return {
        f.name: repr(getattr(after, f.name))
        for f in dataclasses.fields(Recipe)
        if getattr(after, f.name) != getattr(before, f.name)
    }
