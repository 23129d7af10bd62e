"""The verb that hands a model on: export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainwell.cli.options import Json, Trust


def export(
    run: Annotated[Path, typer.Argument(help="A run folder, or its model folder.")],
    onnx: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="ONNX file to write, with predict.py beside it."),
    ] = None,
    torch: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For a plain PyTorch module and predict.py."),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Data to check with; default: those of the run."),
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Write a model for use without trainwell, and check that it predicts the same."""
    from trainwell.errors import UserError
    from trainwell.export.write import Exported, export_onnx, export_torch

    if onnx is None and torch is None:
        problem = "expected --onnx FILE, --torch FOLDER or both, got neither"
        raise UserError("export", problem, "Example: trainwell export RUN --onnx model.onnx")
    done: dict[str, Exported] = {}
    if onnx is not None:
        done["onnx"] = export_onnx(run, onnx, check=check, trust=trust)
    if torch is not None:
        done["torch"] = export_torch(run, torch, check=check, trust=trust)
    for found in done.values():
        typer.echo(f"written  {', '.join(map(str, found.files))}")
        typer.echo(f"checked  {found.parity}")
    if as_json:
        result: dict[str, object] = {}
        for name, found in done.items():
            place = onnx if name == "onnx" else torch
            result |= found.to_json() if not result else {}
            result[name] = str(place)
        if len(done) == 2:
            result["torch_max_difference"] = done["torch"].parity.max_difference
        typer.echo(json.dumps(result))
