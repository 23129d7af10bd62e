"""The verb augment."""

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
    Jobs,
    Json,
    Kind,
    Pattern,
    Quiet,
    RecipeFile,
    Seed,
    Settings,
    Target,
    Trust,
    test_part,
)
from trainwell.errors import Interrupted, UserError
from trainwell.terminal import audited


def augment(
    data: Data,
    target: Target = None,
    group: Group = None,
    kind: Kind = None,
    pattern: Pattern = None,
    image_size: ImageSize = None,
    test: Annotated[
        str, typer.Option(metavar="PART", help="Test part, which stays sealed: file or share.")
    ] = "0.2",
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help='This alone: "Rotate(20)"; repeatable.')
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE:NAME", help="Your function of a batch; --trust."),
    ] = None,
    strengths: Annotated[
        str, typer.Option(metavar="LIST", help="Times an augmentation's own strength.")
    ] = "0.5,1,2",
    folds: Annotated[int, typer.Option(metavar="N", help="Folds.")] = 5,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Trainings per fold; default: 10 in all.")
    ] = None,
    rows: Annotated[int, typer.Option(metavar="N", help="Rows that take part, at most.")] = 3000,
    budget: Budget = None,
    seed: Seed = 0,
    recipe: RecipeFile = None,
    settings: Settings = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For augment.html and augment.json.")
    ] = None,
    jobs: Jobs = None,
    trust: Trust = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Do augmentations help on these data, are they like them, do they keep the labels?"""
    from trainwell.auditing.audit import audit
    from trainwell.auditing.contact import sheets
    from trainwell.recipe import parse_settings
    from trainwell.report.augmentation import write_augmentation
    from trainwell.run import check_folder, new_folder, write_json

    check_folder(out)
    found = audit(
        data,
        list(only) if only else None,
        target=target,
        group=group,
        kind=kind,
        pattern=pattern,
        image_size=image_size,
        test=test_part(test),
        strengths=_numbers(strengths),
        folds=folds,
        seeds=seeds,
        rows=rows,
        budget=budget,
        seed=seed,
        recipe=recipe,
        settings=parse_settings(settings or []),
        own=own or (),
        jobs=jobs,
        trust=trust,
        quiet=quiet,
    )
    result = found.to_json()
    folder = new_folder(out, "augment")  # now: a mistake leaves nothing behind
    write_json(folder / "augment.json", result)
    page = write_augmentation(result, sheets(found), folder)
    typer.echo(audited(result, page))
    if as_json:
        typer.echo(json.dumps(result))
    if found.interrupted:
        raise Interrupted(f"Interrupted; what was audited so far is in {folder}.")


def _numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        problem = f'expected numbers separated by commas, got "{text}"'
        raise UserError("--strengths", problem, "Write for instance 0.5,1,2.") from None
