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
from trainwell.techniques.optim.rules import Optimizer
from trainwell.techniques.preprocess import Preprocess
from trainwell.techniques.regularize import Regularizer
from trainwell.techniques.schedules import Schedule

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


@dataclass(frozen=True)
class Entry:
    """One technique: its name, family, the slides that speak of it, its first line."""

    name: str
    family: str
    slide: str
    says: str
    page: str  # the whole documentation


def catalogue() -> list[Entry]:
    """Every technique of every family.

    >>> next(e for e in catalogue() if e.name == "StepDecay").slide
    'Learning rate'
    """
    return [_entry(family, cls) for family, union in FAMILIES.items() for cls in members(union)]


def _entry(family: str, cls: type) -> Entry:
    page = inspect.getdoc(cls) or ""
    slides = re.findall(r'[Ss]lides? ((?:"[^"]+"(?:, )?)+)', page)
    named = dict.fromkeys(s for group in slides for s in re.findall(r'"([^"]+)"', group))
    first = page.splitlines()[0] if page else ""
    return Entry(cls.__name__, family, "; ".join(named), first, f"{signature(cls)}\n\n{page}")


def signature(cls: type) -> str:
    """How a technique is written with its defaults.

    >>> from trainwell.techniques.schedules import StepDecay
    >>> signature(StepDecay)
    'StepDecay(factor=0.5, every=5)'
    """
    return repr(cls())


def find(name: str) -> Entry:
    """One technique by name; raises UserError with the nearest right name."""
    entries = {e.name.lower(): e for e in catalogue()}
    if name.lower() not in entries:
        hint = did_you_mean(name, [e.name for e in entries.values()])
        raise UserError(f'technique "{name}"', "there is none of that name", hint)
    return entries[name.lower()]
