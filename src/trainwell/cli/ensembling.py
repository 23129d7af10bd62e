"""The verb that makes one model of several runs: ensemble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainwell.cli.options import Json, Seed, Trust


def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="To write; must be empty.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the vote where it is not shown to be better, too.")
    ] = False,
    seed: Seed = 0,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Let the networks of several runs on the same data vote, if that is better."""
    from trainwell.ensembling import ensemble_runs
    from trainwell.terminal import ensembled

    found = ensemble_runs(runs, out=out, keep=keep, seed=seed, trust=trust)
    typer.echo(ensembled(found.result, found.page))
    if as_json:
        typer.echo(json.dumps(found.result))
