"""Verbs that examine: check and diagnose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainwell.cli.options import (
    Data,
    Group,
    ImageSize,
    Json,
    Kind,
    Pattern,
    RecipeFile,
    Seed,
    Settings,
    Target,
    Trust,
    test_part,
)
from trainwell.errors import visible


def check(
    data: Data,
    target: Target = None,
    group: Group = None,
    kind: Kind = None,
    pattern: Pattern = None,
    image_size: ImageSize = None,
    test: Annotated[
        str, typer.Option(metavar="PART", help="Test part: a file, folder or share; 0: none.")
    ] = "0.2",
    seed: Seed = 0,
    recipe: RecipeFile = None,
    settings: Settings = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Check data and network in seconds, before any long training."""
    from trainwell.checking import check_data
    from trainwell.recipe import parse_settings

    found = check_data(
        data,
        target=target,
        group=group,
        kind=kind,
        pattern=pattern,
        image_size=image_size,
        test=test_part(test),
        seed=seed,
        recipe=recipe,
        settings=parse_settings(settings or []),
        trust=trust,
    )
    typer.echo(visible(str(found)))
    if as_json:
        typer.echo(json.dumps(found.to_json()))


def diagnose(
    what: Annotated[
        list[Path],
        typer.Argument(
            help="A run folder; or histories of Keras, Lightning, TensorBoard, any CSV: "
            "one of each repetition."
        ),
    ],
    classes: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of classes, where a history does not say.", min=2),
    ] = None,
    val_rows: Annotated[
        int | None,
        typer.Option("--val-rows", metavar="N", help="Number of validation rows.", min=1),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a finished training, and what to do."""
    from trainwell.diagnosing import diagnose as diagnose_training

    found = diagnose_training(what, classes=classes, val_rows=val_rows)
    typer.echo(visible(str(found)))
    if as_json:
        typer.echo(json.dumps(found.to_json()))
