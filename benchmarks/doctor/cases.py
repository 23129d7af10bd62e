"""Configurations of the zoo: what healthy and faulty trainings are made of, as plain values.

A faulty configuration is a healthy one with one planted change. Whether the change does harm is
not decided here but measured (truth.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.doctor.data import Material
from trainwell.recipe import Recipe, edit

MEMBERS = 3  # trainings in one run
HEALTHY_RUNS, FAULTY_RUNS = 5, 4


@dataclass(frozen=True)
class Case:
    """One configuration.

    codes: of problems that name the planted fault, any of them is right; empty: healthy.
    family: of faults, for tables and for dividing into halves. twin: name of the healthy
    configuration; twin_material: what the twin trains on, where the plant lies in the data and the
    twin is not the base itself. metric: of truth.
    """

    name: str
    material: Material
    recipe: Recipe
    family: str = "healthy"
    codes: tuple[str, ...] = ()
    severity: str = ""
    twin: str = ""
    metric: str = "accuracy"  # or "balanced" or "overstated"
    runs: int = HEALTHY_RUNS

    @property
    def faulty(self) -> bool:
        """Whether a fault was planted."""
        return bool(self.codes)

    @property
    def group(self) -> str:
        """Data and family: what must not straddle the halves."""
        return f"{self.material.pool}/{self.family}"


def recipe_of(**fields: str) -> Recipe:
    """A recipe without regularisation and early stop, with some fields as text."""
    plain = {"regularize": "()", "schedule": "Cosine(warmup=0.05)"}
    recipe = edit(Recipe(), plain | fields, "zoo")
    return dataclasses.replace(recipe, patience=recipe.epochs)


def planted(
    base: Case,
    family: str,
    codes: str,
    severity: str,
    changes: Mapping[str, str],
    material: Material | None = None,
    metric: str = "accuracy",
    name: str = "",
) -> Case:
    """The base with changed fields of its recipe, or with other material.

    codes: separated by spaces. The rate, batch and epochs stay unless they are changed.
    """
    recipe = edit(base.recipe, changes, family)
    recipe = dataclasses.replace(recipe, patience=recipe.epochs)
    return Case(
        f"{name or family}-{severity}.{base.name}",
        material or base.material,
        recipe,
        family,
        tuple(codes.split()),
        severity,
        base.name,
        metric,
        FAULTY_RUNS,
    )


def halves(cases: Sequence[Case]) -> dict[str, str]:
    """ "development" or "held-out" for every configuration, by name.

    Within each family the groups (data and family) alternate in an order that a hash decides, so
    that both halves have every family that has two groups. Odd families start on either side.
    """
    found: dict[str, str] = {}
    sides = ("development", "held-out")
    families = sorted({c.family for c in cases})
    turn = 0
    for family in families:
        groups = sorted({c.group for c in cases if c.family == family}, key=_hash)
        if family == "healthy":  # each is a configuration of its own
            own = sorted((c.name for c in cases if c.family == family), key=_hash)
            found |= {name: sides[i % 2] for i, name in enumerate(own)}
            continue
        side = {g: sides[(turn + i) % 2] for i, g in enumerate(groups)}
        turn += len(groups)
        found |= {c.name: side[c.group] for c in cases if c.family == family}
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
