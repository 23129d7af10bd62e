"""Verbs that list what there is: data and techniques."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from trainwell.cli.options import Json
from trainwell.errors import UserError
from trainwell.terminal import sections, table


def data(
    name: Annotated[
        str | None, typer.Argument(help="A sample set: fetch it if needed and describe it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the sample data sets, or download one (with its checksum)."""
    from trainwell.data.samples import SAMPLES, Sample, download, find_sample, is_present
    from trainwell.errors import did_you_mean

    chosen: tuple[Sample, ...] = SAMPLES
    if name is not None:
        sample = find_sample(name)
        if sample is None:
            hint = did_you_mean(name, [s.name for s in SAMPLES])
            raise UserError(f'"{name}"', "is no sample data set", hint)
        if not is_present(sample.name):
            typer.echo(f"fetching {sample.name}, {sample.size_mb:g} MB ...", err=True)
            typer.echo(f"in {download(sample.name)}", err=True)
        chosen = (sample,)
    rows = [
        {
            "name": s.name,
            "kind": s.kind,
            "rows": s.rows,
            "classes": s.classes,
            "size_mb": s.size_mb,
            "present": is_present(s.name),
            "licence": s.licence,
            "what": s.what,
        }
        for s in chosen
    ]
    typer.echo(table(rows, ("name", "kind", "rows", "classes", "size_mb", "present", "licence")))
    if name is not None:
        typer.echo(f"\n{chosen[0].what}\nsource: {chosen[0].source}")
    if as_json:
        typer.echo(json.dumps({"samples": rows}))


def techniques(
    name: Annotated[str | None, typer.Argument(help="Print the page of this technique.")] = None,
    as_json: Json = False,
) -> None:
    """List all techniques in the order of the lecture's slides, or print one's page."""
    from trainwell.catalogue import by_slide, find

    found = {"": [find(name)]} if name else by_slide()
    rows = {
        slide: [
            {"name": e.name, "family": e.family, "slide": e.slide, "says": e.says} for e in entries
        ]
        for slide, entries in found.items()
    }
    if name is not None:
        typer.echo(found[""][0].page)
    else:
        typer.echo(sections(rows, ("name", "family", "says")))
    if as_json:
        typer.echo(json.dumps({"techniques": [row for some in rows.values() for row in some]}))
