"""The recipe: a frozen, flat value that names every choice of a training.

Edit it with `dataclasses.replace`, or by text: `--set lr=0.05` on the command line,
`schedule = "StepDecay(every=5)"` in a TOML file. All mistakes are reported at once, before any
work.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from annotated_types import Gt, Interval

from trainwell.callstring import check_fields, conform, parse
from trainwell.data.dataset import AudioSchema, ImageSchema, Schema, TableSchema
from trainwell.errors import RecipeError, did_you_mean
from trainwell.techniques.augment import Augment
from trainwell.techniques.augment.base import SIGNALS
from trainwell.techniques.augment.own import Own
from trainwell.techniques.balance import Balance
from trainwell.techniques.init import He, Init
from trainwell.techniques.losses import CrossEntropy, Loss
from trainwell.techniques.models import Cnn, Custom, Linear, Mlp, Model
from trainwell.techniques.optim.first_order import Adam, Momentum
from trainwell.techniques.optim.rules import Optimizer
from trainwell.techniques.preprocess import LogMel, Preprocess, Standardize
from trainwell.techniques.regularize import (
    L1,
    L2,
    Dropout,
    InputDropout,
    LabelSmoothing,
    MaxNorm,
    Regularizer,
)
from trainwell.techniques.schedules import Cosine, Schedule
from trainwell.techniques.shuffle import Shuffle

MOST = 10**9  # epochs, rows of a batch: as good as without end


@dataclass(frozen=True)
class Recipe:
    """Every choice of one training.

    lr None means: find it with a ladder of rates in steps of 1-2-5 on validation rows.
    patience counts epochs without a better validation score, after which training stops early; the
    best epoch's weights are kept. shuffle says in which order an epoch shows the rows; all but
    "every_epoch" are for seeing why that is right (slide "Shuffle").

    >>> Recipe().schedule
    Cosine(warmup=0.05)
    """

    model: Model = Mlp()
    init: Init = He()
    preprocess: tuple[Preprocess, ...] = (Standardize(),)
    augment: tuple[Augment, ...] = ()
    loss: Loss = CrossEntropy()
    balance: Balance | None = None
    regularize: tuple[Regularizer, ...] = (L2(1e-4), Dropout(0.2))
    optimizer: Optimizer = Adam()
    schedule: Schedule = Cosine(warmup=0.05)
    lr: Annotated[float, Gt(0)] | None = None
    shuffle: Shuffle = "every_epoch"
    batch_size: Annotated[int, Interval(ge=2, le=MOST)] = 64
    epochs: Annotated[int, Interval(ge=1, le=MOST)] = 60
    patience: Annotated[int, Interval(ge=1, le=MOST)] = 20

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def dropout(self) -> float:
        """Share of hidden units dropped; 0 without Dropout."""
        return max((r.drop for r in self.regularize if isinstance(r, Dropout)), default=0.0)

    def penalty(self, kind: type[L1] | type[L2], on_biases: bool = False) -> float:
        """Strength of all penalties of a kind on weights, or on biases and norm parameters."""
        found = (r for r in self.regularize if isinstance(r, kind))
        return sum((r.strength for r in found if r.biases or not on_biases), 0.0)

    @property
    def input_dropout(self) -> float:
        """Share of inputs dropped; 0 without InputDropout."""
        found = (r.drop for r in self.regularize if isinstance(r, InputDropout))
        return max(found, default=0.0)

    @property
    def max_norm(self) -> float:
        """Largest norm of the weights into one unit; infinite without MaxNorm."""
        return min((r.limit for r in self.regularize if isinstance(r, MaxNorm)), default=math.inf)

    @property
    def changes_signals(self) -> bool:
        """Whether inputs are changed before their pre-processing."""
        return any(getattr(a, "acts_on", "") in SIGNALS for a in self.augment)

    @property
    def named_code(self) -> str | None:
        """Where code lies that this recipe names and would run (Custom, Own); None without any."""
        own = [a.function for a in self.augment if isinstance(a, Own)]
        return self.model.factory if isinstance(self.model, Custom) else next(iter(own), None)

    @property
    def smoothing(self) -> float:
        """Share of the label spread over all classes; 0 without LabelSmoothing."""
        found = (r.amount for r in self.regularize if isinstance(r, LabelSmoothing))
        return max(found, default=0.0)

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits that name this recipe."""
        return hashlib.sha256(to_toml(self).encode()).hexdigest()[:10]


def fields_as_text(recipe: Recipe) -> dict[str, str]:
    """Every field by name, in the syntax that `parse` reads.

    >>> fields_as_text(Recipe())["optimizer"]
    'Adam(beta1=0.9, beta2=0.999, eps=1e-08)'
    """
    return {f.name: repr(getattr(recipe, f.name)) for f in dataclasses.fields(recipe)}


def to_toml(recipe: Recipe) -> str:
    """A recipe file; `from_toml` gives the recipe back. A rate to be searched is lr = "None"."""
    lines = []
    for spec in dataclasses.fields(recipe):
        value = getattr(recipe, spec.name)
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        text = repr(value) if plain else '"' + repr(value).replace('"', "'") + '"'
        lines.append(f"{spec.name} = {text}")
    return "\n".join(lines) + "\n"


def edit(recipe: Recipe, changes: Mapping[str, Any], where: str) -> Recipe:
    """The recipe with some fields replaced; values are texts to parse, or values.

    Raises RecipeError with every mistake at once.

    >>> edit(Recipe(), {"schedule": "StepDecay(every=3)", "lr": "0.1"}, "--set").lr
    0.1
    """
    hints = get_type_hints(Recipe, include_extras=True)
    mistakes: list[str] = []
    values: dict[str, Any] = {}
    for name, given in changes.items():
        if name not in hints:
            mistakes.append(f'no field "{name}". {did_you_mean(name, hints)}')
            continue
        if isinstance(given, list) and all(isinstance(part, str) for part in given):
            given = f"({''.join(part + ', ' for part in given)})"  # a TOML list of techniques
        read = parse if isinstance(given, str) else conform
        values[name], wrong = read(given, hints[name], name)
        mistakes += wrong
    if mistakes:
        raise RecipeError(where, mistakes)
    return dataclasses.replace(recipe, **values)


def from_toml(text: str, base: Recipe, where: str) -> Recipe:
    """The recipe of a file: fields that it does not name come from `base`."""
    try:
        changes = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(where, [f"not valid TOML: {error}"]) from None
    return edit(base, changes, where)


def load_recipe(path: Path, base: Recipe) -> Recipe:
    """Read a recipe file (TOML)."""
    try:
        return from_toml(path.read_text(encoding="utf-8"), base, str(path))
    except FileNotFoundError:
        raise RecipeError(str(path), ["the file does not exist"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"cannot be read: {error}"]) from None


def parse_settings(settings: Iterable[str], where: str = "--set") -> dict[str, str]:
    """`NAME=VALUE` texts of the command line as a mapping.

    >>> parse_settings(["lr=0.1", "schedule=StepDecay(every=5)"])
    {'lr': '0.1', 'schedule': 'StepDecay(every=5)'}
    """
    found: dict[str, str] = {}
    mistakes: list[str] = []
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not value.strip():
            mistakes.append(f'expected NAME=VALUE, got "{setting}"')
        elif name.strip() in found:
            mistakes.append(f'"{name.strip()}" is set twice')
        found[name.strip()] = value.strip()
    if mistakes:
        raise RecipeError(where, mistakes)
    return found


def would_change(fields: Mapping[str, str], settings: Mapping[str, str]) -> bool:
    """Whether settings make another recipe of the one that `fields_as_text` gave.

    >>> would_change({"init": "He()"}, {"init": "He()"}), would_change({"lr": "0.1"}, {"lr": "0.2"})
    (False, True)
    """
    try:
        recipe = edit(Recipe(), fields, "recipe")
        return edit(recipe, settings, "settings") != recipe
    except RecipeError:  # written by another version: nothing is known
        return any(fields.get(name) != value for name, value in settings.items())


def starting_recipe(schema: Schema, rows: int) -> Recipe:
    """A recipe that is good without tuning, for data of this kind and number of training rows.

    Batches grow with the data so that an epoch has some tens to hundreds of steps; epochs shrink so
    that small data see enough steps and large data end in minutes.
    """
    batch = int(min(128, max(16, 2 ** round(math.log2(max(rows, 1) / 40)))))
    if isinstance(schema, TableSchema):
        width = 64 if rows < 1000 else 128 if rows < 5000 else 256
        return Recipe(
            model=Mlp(hidden=(width, width)),
            regularize=(L2(1e-3 if rows < 1000 else 1e-4), Dropout(0.2)),
            batch_size=batch,
            epochs=_epochs(rows, batch, steps=8000, least=10, most=80),
            patience=20,
        )
    size = min(schema.height, schema.width) if isinstance(schema, ImageSchema) else 40
    channels = (32, 64) if size <= 12 else (16, 32, 64)
    preprocess: tuple[Preprocess, ...] = (Standardize(per="channel"),)
    if isinstance(schema, AudioSchema):
        preprocess = (LogMel(), *preprocess)
    return Recipe(
        model=Cnn(channels=channels),
        preprocess=preprocess,
        regularize=(L2(1e-4), Dropout(0.2)),
        batch_size=batch,
        epochs=_epochs(rows, batch, steps=4500, least=8, most=30 if size <= 12 else 24),
        patience=15,
    )


def _epochs(rows: int, batch: int, steps: int, least: int, most: int) -> int:
    return max(least, min(most, round(steps * batch / max(rows, 1))))


__all__ = [
    "L2",
    "Adam",
    "Cnn",
    "CrossEntropy",
    "Dropout",
    "He",
    "Linear",
    "LogMel",
    "Mlp",
    "Model",
    "Momentum",
    "Recipe",
    "Standardize",
    "edit",
    "fields_as_text",
    "from_toml",
    "load_recipe",
    "parse_settings",
    "starting_recipe",
    "to_toml",
]
