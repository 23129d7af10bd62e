"""What was asked of a training, and the recipe that follows from it and from the data."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from trainwell.budget import parse_time
from trainwell.data.dataset import Dataset
from trainwell.engine.workers import parse_jobs, ray_cores
from trainwell.errors import UserError, did_you_mean
from trainwell.metrics import Metric
from trainwell.recipe import Recipe, edit, load_recipe, starting_recipe
from trainwell.recipe_check import check_against
from trainwell.techniques.named import TRUST_IT
from trainwell.techniques.optim.rules import ClosureRule
from trainwell.techniques.regularize import Dropout, InputDropout
from trainwell.techniques.schedules import Constant

TEST_SHARE = 0.2  # of the rows, sealed, where the data bring no test part


@dataclass(frozen=True)
class Options:
    """What the user asked for, besides the data; None means: decide from the data."""

    out: str | Path | None = None
    budget: str | float | None = None  # "10m", or seconds
    seed: int = 0
    folds: int | None = None
    seeds: int | None = None  # networks per fold, with different initial weights
    recipe: str | Path | Recipe | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ensemble: bool = True
    single: bool = False  # distil the ensemble into one network
    coach: bool = True  # look for remedies, and keep what is proved to help
    coach_from: str | Path | None = None  # a finished run whose networks are not trained again
    metric: Metric | None = None  # what decides; None: as the classes' sizes say
    test: float = TEST_SHARE
    jobs: int | str | None = None
    checkpoint: str | float = "30s"  # time between two checkpoints
    precision: str = "float32"
    trust: bool = False  # whether code that a recipe file names may run
    command: str = "trainwell.fit(...)"

    @property
    def settings_name(self) -> str:
        """What messages call the settings: as they were given, in Python or on the command line."""
        return "settings" if self.command.startswith("trainwell.") else "--set"


def check_options(options: Options) -> None:
    """Raise the UserError of an option that no data could make right, before any are read."""
    budget_seconds(options)
    checkpoint_seconds(options)
    if not 0 <= options.test < 1:
        problem = f"expected a share from 0 to below 1, or a file; got {options.test:g}"
        raise UserError("--test", problem)
    edit(Recipe(), options.settings, options.settings_name)
    known = get_args(Metric)
    if options.metric is not None and options.metric not in known:
        todo = did_you_mean(str(options.metric), known)
        raise UserError("--metric", f'no metric "{options.metric}"', todo)
    asked = parse_jobs(options.jobs)
    if asked is not None and asked.where == "ray":
        ray_cores()  # a cluster that does not answer is better known now
    if options.single and not options.ensemble:
        problem = "one network learns from an ensemble, and --no-ensemble leaves none"
        raise UserError("--single", problem, "Leave one of the two out.")
    for name in ("folds", "seeds"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name}", f"expected a whole number from 1 up, got {value}")
    for name, most in (("folds", 50), ("seeds", 100)):
        value = getattr(options, name)
        if value is not None and value > most:
            raise UserError(f"--{name}", f"expected at most {most}, got {value}")


def chosen_precision(options: Options, recipe: Recipe) -> torch.dtype | None:
    known = {"float32": None, "bfloat16": torch.bfloat16}
    if options.precision not in known:
        problem = f'expected float32 or bfloat16, got "{options.precision}"'
        raise UserError("--precision", problem)
    found = known[options.precision]
    if found is not None and isinstance(recipe.optimizer, ClosureRule):
        name = type(recipe.optimizer).__name__
        problem = f"{name} needs the full precision of its line search, got {options.precision}"
        raise UserError("--precision", problem, "Leave it out, or take another optimiser.")
    return found


def budget_seconds(options: Options) -> float | None:
    return None if options.budget is None else parse_time(str(options.budget))


def checkpoint_seconds(options: Options) -> float:
    return parse_time(str(options.checkpoint), "--checkpoint", least=0.01)


def chosen_recipe(data: Dataset, options: Options, where: str = "--set") -> Recipe:
    """The starting recipe for these data, changed by the user's recipe and settings, checked.

    where: what messages call the settings.
    """
    official = 0 if data.official_test is None else int(data.official_test.sum())
    recipe = start = starting_recipe(data.schema, round(0.8 * (len(data) - official)))
    if isinstance(options.recipe, Recipe):
        recipe = options.recipe
    elif options.recipe is not None:
        recipe = load_recipe(Path(options.recipe), recipe)
        if recipe.named_code and not options.trust:
            problem = f'the file names code that is not in it, "{recipe.named_code}"'
            raise UserError(
                str(options.recipe),
                problem,
                TRUST_IT,
            )
    if options.settings:
        recipe = edit(recipe, options.settings, where)
    if isinstance(recipe.optimizer, ClosureRule):
        recipe = _for_full_batches(recipe, start, named_fields(options))
    check_against(recipe, data.schema)
    return recipe


def named_fields(options: Options) -> set[str]:
    """Fields of the recipe that the user has chosen."""
    given = set(options.settings)
    if isinstance(options.recipe, Recipe):
        usual = Recipe()
        return given | {
            f.name
            for f in dataclasses.fields(Recipe)
            if getattr(options.recipe, f.name) != getattr(usual, f.name)
        }
    if options.recipe is not None:
        given |= set(tomllib.loads(Path(options.recipe).read_text(encoding="utf-8")))
    return given


def _for_full_batches(recipe: Recipe, start: Recipe, named: set[str]) -> Recipe:
    """What suits rules that need the whole loss, in the fields that nobody has chosen: one batch of
    all rows, a rate of 1 (the full step, which a line search shortens), nothing dropped."""
    kept = tuple(r for r in start.regularize if not isinstance(r, Dropout | InputDropout))
    suited = Recipe(
        batch_size=10**9, schedule=Constant(), lr=recipe.optimizer.usual_rate, regularize=kept
    )
    fields = ("batch_size", "schedule", "lr", "regularize")
    return dataclasses.replace(recipe, **{f: getattr(suited, f) for f in fields if f not in named})
