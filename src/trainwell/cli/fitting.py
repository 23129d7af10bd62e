"""Verbs that train: fit and resume."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trainwell.cli.options import (
    METRICS,
    Budget,
    Group,
    ImageSize,
    Jobs,
    Json,
    Kind,
    Metric,
    Pattern,
    Quiet,
    RecipeFile,
    Seed,
    Settings,
    Target,
    Trust,
    test_part,
)
from trainwell.errors import Interrupted, UserError, visible
from trainwell.terminal import summary

if TYPE_CHECKING:
    from trainwell.run import Run


def fit(
    data: Annotated[
        str | None, typer.Argument(help="A path, or a sample set's name; not with --coach-from.")
    ] = None,
    target: Target = None,
    group: Group = None,
    kind: Kind = None,
    pattern: Pattern = None,
    image_size: ImageSize = None,
    test: Annotated[
        str, typer.Option(metavar="PART", help="Test part: a file, folder or share; 0: none.")
    ] = "0.2",
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of the run; must be empty.")
    ] = None,
    budget: Budget = None,
    seed: Seed = 0,
    folds: Annotated[
        int | None, typer.Option(metavar="N", help="Folds; 1 holds out one part.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Networks per fold.")] = None,
    recipe: RecipeFile = None,
    settings: Settings = None,
    coach: Annotated[
        bool,
        typer.Option("--coach/--no-coach", help="Try remedies, and keep what is proved to help."),
    ] = True,
    metric: Annotated[
        Metric | None,
        typer.Option(metavar="NAME", help=f"What decides: {METRICS}."),
    ] = None,
    coach_from: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Begin with networks of this finished run.")
    ] = None,
    no_ensemble: Annotated[
        bool, typer.Option("--no-ensemble", help="Keep the best single network.")
    ] = False,
    single: Annotated[
        bool, typer.Option("--single", help="Distil the ensemble; say the cost.")
    ] = False,
    jobs: Jobs = None,
    checkpoint: Annotated[
        str, typer.Option(metavar="TIME", help="Between two checkpoints.")
    ] = "30s",
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(metavar="TYPE", help="bfloat16: mixed precision."),
    ] = "float32",
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve a live page to this machine.")
    ] = False,
    watch_port: Annotated[
        int, typer.Option(metavar="N", help="Port of that page; 0: a free one.", min=0, max=65535)
    ] = 0,
    show_recipe: Annotated[
        bool, typer.Option("--show-recipe", help="Print the whole recipe and stop.")
    ] = False,
    trust: Trust = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a classifier on labelled data and measure it honestly."""
    from trainwell.fitting import fit as fit_data
    from trainwell.fitting import planned_recipe
    from trainwell.recipe import fields_as_text, parse_settings, to_toml

    changes = parse_settings(settings or [])
    if data is None and (coach_from is None or show_recipe):
        raise UserError("fit", "missing argument DATA", "Name data, or a run with --coach-from.")
    if show_recipe:
        found = planned_recipe(
            data,
            target=target,
            group=group,
            kind=kind,
            pattern=pattern,
            image_size=image_size,
            recipe=recipe,
            settings=changes,
        )
        typer.echo(to_toml(found), nl=False)
        if as_json:
            typer.echo(json.dumps({"recipe": fields_as_text(found)}))
        return
    run = fit_data(
        data,
        target=target,
        group=group,
        kind=kind,
        pattern=pattern,
        image_size=image_size,
        test=test_part(test),
        out=out,
        budget=budget,
        seed=seed,
        folds=folds,
        seeds=seeds,
        recipe=recipe,
        settings=changes,
        ensemble=not no_ensemble,
        single=single,
        coach=coach,
        metric=metric,
        coach_from=coach_from,
        jobs=jobs,
        checkpoint=checkpoint,
        precision=precision,
        trust=trust,
        quiet=quiet,
        watch=watch_port if watch else None,
        command=shlex.join(["trainwell", *sys.argv[1:]]),
    )
    _finished(run, as_json)


def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a run that was interrupted.")],
    budget: Annotated[
        str | None, typer.Option(help="Another time budget, all parts of the run together.")
    ] = None,
    jobs: Annotated[str | None, typer.Option(help="Other workers: a number, ray or ray:N.")] = None,
    trust: Trust = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted or killed; the result is the same to the bit."""
    from trainwell.resuming import resume as resume_run

    _finished(resume_run(run, budget=budget, jobs=jobs, trust=trust, quiet=quiet), as_json)


def is_new(result: Mapping[str, Any], settings: Mapping[str, str]) -> bool:
    """Whether settings would change a run's recipe, and to none that its coach has tried."""
    from trainwell.recipe import would_change

    made = [d for d in result["decisions"] if d["outcome"] != "not trained"]
    tried = [d.get("changes") or {} for d in made]
    return all(would_change(result["recipe"] | known, settings) for known in ({}, *tried))


def _finished(run: Run, as_json: bool) -> None:
    """Print what a run has found."""
    typer.echo(visible(summary(run.result, run.report, partial(is_new, run.result))))
    if as_json:
        typer.echo(json.dumps(run.result))
    if run.result["interrupted"]:
        problem = f"Interrupted; the best so far is saved in {run.folder}."
        raise Interrupted(f"{problem} Go on with: trainwell resume {shlex.quote(str(run.folder))}")
