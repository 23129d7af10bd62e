"""The verb compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

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
    Seed,
    Target,
    Trust,
    test_part,
)
from trainwell.errors import Interrupted, UserError
from trainwell.terminal import comparison, runs_compared

OF_RUNS = ("what", "metric", "out", "quiet", "as_json")  # what finished runs can be asked


def compare(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="A B DATA | RUN RUN...",
            help='Two recipes (a file, "start", or changes: "NAME=VALUE; NAME=VALUE") and data; '
            "or finished runs on the same data.",
        ),
    ],
    target: Target = None,
    group: Group = None,
    kind: Kind = None,
    pattern: Pattern = None,
    image_size: ImageSize = None,
    test: Annotated[
        str, typer.Option(metavar="PART", help="Test part, which stays sealed: file or share.")
    ] = "0.2",
    folds: Annotated[int, typer.Option(metavar="N", help="Folds.", min=1, max=50)] = 5,
    seeds: Annotated[int, typer.Option(metavar="N", help="Seeds per fold, at most.", min=1)] = 4,
    metric: Annotated[
        Metric | None, typer.Option(metavar="NAME", help=f"What to compare: {METRICS}.")
    ] = None,
    budget: Budget = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For compare.html and compare.json.")
    ] = None,
    jobs: Jobs = None,
    trust: Trust = False,
    quiet: Quiet = False,
    as_json: Json = False,
    *,
    context: typer.Context,
) -> None:
    """Is recipe B better than recipe A, or one finished run than another? With a verdict."""
    if len(what) > 1 and all((Path(w) / "run.json").is_file() for w in what):
        _refuse_unused(context)
        _compare_runs([Path(w) for w in what], metric, out, as_json)
        return
    if len(what) != 3:
        problem = f"expected two recipes and data, or finished runs; got {len(what)} words"
        todo = 'For example: trainwell compare start "lr=0.01" digits'
        raise UserError("compare", problem, todo)
    recipe_a, recipe_b, data = what
    from trainwell.comparing import compare as compare_recipes
    from trainwell.comparing import looks_up_to
    from trainwell.report.comparison import write_comparison
    from trainwell.run import check_folder, new_folder, write_json

    check_folder(out)
    found = compare_recipes(
        recipe_a,
        recipe_b,
        data,
        target=target,
        group=group,
        kind=kind,
        pattern=pattern,
        image_size=image_size,
        test=test_part(test),
        folds=folds,
        looks=looks_up_to(seeds),
        metric=metric,
        budget=budget,
        seed=seed,
        jobs=jobs,
        trust=trust,
        quiet=quiet,
    )
    result = found.to_json()
    folder = new_folder(out, "compare")  # now: a mistake leaves nothing behind
    write_json(folder / "compare.json", result)
    page = write_comparison(result, folder)
    typer.echo(comparison(result, page))
    if as_json:
        typer.echo(json.dumps(result))
    if found.interrupted:
        raise Interrupted(f"Interrupted; what the complete seeds say is in {folder}.")


def _refuse_unused(context: typer.Context) -> None:
    """Raise the UserError that names an option which finished runs leave no room for."""
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name not in OF_RUNS and source is not None and source.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            problem = "finished runs are compared as they are; this option trains or reads anew"
            raise UserError(option, problem, "Leave it out, or give two recipes and data.")


def _compare_runs(runs: list[Path], metric: Metric | None, out: Path | None, as_json: bool) -> None:
    """Finished runs on the rows that judged them."""
    from trainwell.comparing_runs import compare_runs
    from trainwell.report.comparison import write_runs_compared
    from trainwell.run import check_folder, new_folder, write_json

    check_folder(out)
    result = compare_runs(runs, metric)
    page = None
    if out is not None:
        folder = new_folder(out, "compare")
        write_json(folder / "compare.json", result)
        page = write_runs_compared(result, folder)
    typer.echo(runs_compared(result, page))
    if as_json:
        typer.echo(json.dumps(result))
