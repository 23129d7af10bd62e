"""Verbs that use a finished run: predict and report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from trainwell.cli.options import Json, Quiet, Trust
from trainwell.errors import visible

SHOWN = 50  # skipped files that are named


def predict(
    model: Annotated[Path, typer.Argument(help="A run folder, or its model folder.")],
    data: Annotated[str, typer.Argument(metavar="INPUT", help="A table, a folder, or one file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="CSV file to write; default: print it."),
    ] = None,
    trust: Trust = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Label new rows, pictures or clips with a trained model.

    Large inputs are read and written piece by piece. The column "unusual" names what of an input
    lies far outside of the training rows.
    """
    from trainwell.prediction import predict_to
    from trainwell.progress import Progress

    with Progress(quiet=quiet) as progress:
        found = predict_to(model, data, out or sys.stdout, trust, progress)
    skipped = [f"skipped {s.where}: {s.why}" for s in found.skipped[:SHOWN]]
    if len(found.skipped) > SHOWN:
        skipped.append(f"and {len(found.skipped) - SHOWN} more files skipped")
    for line in [*found.notes, *skipped]:
        typer.echo(visible(line), err=True)
    if out is not None:
        typer.echo(f"{found.count} predictions in {out}")
    if found.unusual:
        typer.echo(f"unlike the training rows: {found.unusual} of {found.count}", err=True)
    if found.accuracy is not None:
        typer.echo(f"right where the input holds the label: {found.accuracy:.4f}", err=True)
    if as_json:
        result = {
            "predictions": found.count,
            "out": None if out is None else str(out),
            "accuracy": found.accuracy,
            "unusual": found.unusual,
            "skipped": [{"where": s.where, "why": s.why} for s in found.skipped],
        }
        typer.echo(json.dumps(result))


def report(
    run: Annotated[
        Path, typer.Argument(help="A run folder; or a folder of runs, for a gallery of them.")
    ],
    svg: Annotated[bool, typer.Option("--svg", help="Write each picture as SVG.")] = False,
    png: Annotated[bool, typer.Option("--png", help="Write each picture as PNG.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of the pictures; default: RUN/pictures.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a run's report again, write its pictures for slides, or a gallery of runs."""
    from trainwell.report.gallery import write_gallery
    from trainwell.report.page import write_report
    from trainwell.report.slides import write_pictures
    from trainwell.run import load_run, whole

    if run.is_dir() and not (run / "run.json").exists():
        gallery = write_gallery(run)
        typer.echo(str(gallery))
        if as_json:
            typer.echo(json.dumps({"gallery": str(gallery)}))
        return
    folder = load_run(run).folder
    with whole(folder / "run.json"):  # all else is read by now, or said to be damaged
        path = write_report(folder)
    typer.echo(str(path))
    pictures: list[Path] = []
    if svg:
        pictures += write_pictures(folder, out or folder / "pictures", "svg")
    if png:
        pictures += write_pictures(folder, out or folder / "pictures", "png")
    for picture in pictures:
        typer.echo(str(picture))
    if as_json:
        typer.echo(json.dumps({"report": str(path), "pictures": [str(p) for p in pictures]}))
