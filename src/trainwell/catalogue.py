"""The list of all techniques, made from the unions of the families; nothing is registered."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

from trainwell.callstring import members
from trainwell.errors import UserError, did_you_mean
from trainwell.recipe import Model
from trainwell.techniques.augment import Augment
from trainwell.techniques.balance import Balance
from trainwell.techniques.init import Init
from trainwell.techniques.losses import Loss
from trainwell.techniques.models.pages import ACTIVATIONS, NORMS
from trainwell.techniques.optim.rules import Optimizer
from trainwell.techniques.preprocess import Preprocess
from trainwell.techniques.regularize import Regularizer
from trainwell.techniques.schedules import Schedule
from trainwell.techniques.shuffle import ORDERS

# Families in the order of the lecture; the name is the recipe's field. Each is a class or a union
# of classes; that a field may also be None (balance) stands in the recipe.
FAMILIES: dict[str, Any] = {
    "augment": Augment,
    "preprocess": Preprocess,
    "init": Init,
    "model": Model,
    "regularize": Regularizer,
    "schedule": Schedule,
    "optimizer": Optimizer,
    "loss": Loss,
    "balance": Balance,
}


# Choices that are words, with their pages: options of models, and fields of the recipe.
WORDS: dict[str, dict[str, str]] = {
    "norm": NORMS,
    "activation": ACTIVATIONS,
    "shuffle": ORDERS,
}

# The lecture, slide by slide; slides of one title count as one.
SLIDES = (
    "Data augmentation",
    "Data pre-processing",
    "Shuffle",
    "Weight initialization",
    "Batch normalization",
    "Regularization",
    "Dropout",
    "Learning rate",
    "Newton's method",
    "Adaptive learning rate",
    "Activation and loss function",
    "Performance plot",
    "Class imbalance",
    "Ensemble",
)


@dataclass(frozen=True)
class Entry:
    """One technique: its name, family, the slides that speak of it, its first line."""

    name: str
    family: str
    slide: str  # of several, the first one is where it is listed
    says: str
    page: str  # the whole documentation


def catalogue() -> list[Entry]:
    """Every technique of every family, and the choices that are words: norms, activations, order.

    >>> next(e for e in catalogue() if e.name == "StepDecay").slide
    'Learning rate'
    """
    classes = [_of_class(family, c) for family, union in FAMILIES.items() for c in members(union)]
    words = [
        _entry(name, family, f"{family}={name!r}\n\n{page}", page)
        for family, pages in WORDS.items()
        for name, page in pages.items()
    ]
    return classes + words


def by_slide() -> dict[str, list[Entry]]:
    """The catalogue in the order of the lecture; every entry stands once, under its first slide.

    >>> [e.name for e in by_slide()["Shuffle"]]
    ['every_epoch', 'once', 'never', 'by_class']
    """
    found: dict[str, list[Entry]] = {slide: [] for slide in SLIDES}
    for entry in catalogue():
        found[entry.slide.split("; ")[0]].append(entry)
    return {slide: entries for slide, entries in found.items() if entries}


def _of_class(family: str, cls: type) -> Entry:
    page = inspect.getdoc(cls) or ""
    return _entry(cls.__name__, family, f"{signature(cls)}\n\n{page}", page)


def _entry(name: str, family: str, whole: str, page: str) -> Entry:
    """What a page says of itself: its first line, and the slides that its source names."""
    slides = re.findall(r'[Ss]lides? ((?:"[^"]+"(?:,\s+|\s+and\s+)?)+)', page)
    named = dict.fromkeys(s for group in slides for s in re.findall(r'"([^"]+)"', group))
    slide = "; ".join(" ".join(s.split()) for s in named)
    return Entry(name, family, slide, page.splitlines()[0] if page else "", whole)


def signature(cls: type) -> str:
    """How a technique is written with its defaults.

    >>> from trainwell.techniques.schedules import StepDecay
    >>> signature(StepDecay)
    'StepDecay(factor=0.5, every=5)'
    """
    return repr(cls())


def find(name: str) -> Entry:
    """One technique by name; raises UserError with the nearest right name."""
    entries = {e.name.lower(): e for e in reversed(catalogue())}  # of equal names the first
    if name.lower() not in entries:
        hint = did_you_mean(name, [e.name for e in entries.values()])
        raise UserError(f'technique "{name}"', "there is none of that name", hint)
    return entries[name.lower()]
