"""The verb compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainwell.cli.options import (
    Budget,
    Data,
    Group,
    ImageSize,
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
from trainwell.terminal import comparison


def compare(
    recipe_a: Annotated[
        str, typer.Argument(help='A recipe file, "start", or changes: "NAME=VALUE; NAME=VALUE".')
    ],
    recipe_b: Annotated[str, typer.Argument(help="The recipe that is compared with it.")],
    data: Data,
    target: Target = None,
    group: Group = None,
    kind: Kind = None,
    pattern: Pattern = None,
    image_size: ImageSize = None,
    test: Annotated[
        str, typer.Option(help="Test part, which stays sealed: a file, a folder, or a share.")
    ] = "0.2",
    folds: Annotated[int, typer.Option(help="Folds.", min=1, max=50)] = 5,
    seeds: Annotated[
        int, typer.Option(help="Seeds per fold, at most; it ends earlier when it can.", min=1)
    ] = 4,
    metric: Annotated[Metric, typer.Option(help="What to compare.")] = "accuracy",
    budget: Budget = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for compare.html and compare.json.")
    ] = None,
    jobs: Annotated[str | None, typer.Option(help="Worker processes, or ray or ray:N.")] = None,
    trust: Trust = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Is recipe B better than recipe A? Paired trainings, an interval and a verdict."""
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
