"""The verbs of the claims lab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from trainwell.cli.options import Group, ImageSize, Json, Kind, Pattern, Quiet, Seed, Target
from trainwell.errors import UserError

claims = typer.Typer(
    help="Sentences of the lecture, reproduced or refuted by experiments.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Folder = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Of the results.")]
OUT = Path("claims-results")


@claims.command("list", epilog="Example: trainwell claims list")
def list_(as_json: Json = False) -> None:
    """List all claims, slide by slide."""
    from trainwell.claims.claim import all_claims
    from trainwell.terminal import sections

    rows: dict[str, list[dict[str, str]]] = {}
    for c in all_claims():
        rows.setdefault(c.slide, []).append({"name": c.name, "slide": c.slide, "says": c.says})
    typer.echo(sections(rows, ("name", "says")))
    if as_json:
        typer.echo(json.dumps({"claims": [row for some in rows.values() for row in some]}))


@claims.command(epilog="Example: trainwell claims show more_data")
def show(name: str, out: Folder = OUT, as_json: Json = False) -> None:
    """What a claim says, how it is tried, the rule that decides, and the last result."""
    from trainwell.claims.claim import find_claim
    from trainwell.claims.text import described

    claim = find_claim(name)
    path = out / f"{claim.name}.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    facts = described(claim, result)
    typer.echo(facts["text"])
    if as_json:
        typer.echo(json.dumps(facts))


@claims.command(epilog="Example: trainwell claims run more_data --data my.csv")
def run(
    name: Annotated[str | None, typer.Argument(help="A claim's name, or a TOML file.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Try all claims.")] = False,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Your own data instead of the claim's.")
    ] = None,
    target: Target = None,
    group: Group = None,
    kind: Kind = None,
    pattern: Pattern = None,
    image_size: ImageSize = None,
    size: Annotated[
        Literal["quick", "full"], typer.Option(metavar="SIZE", help="quick or full.")
    ] = "quick",
    repetitions: Annotated[
        int | None, typer.Option(metavar="N", help="Instead of the claim's number.", min=2, max=500)
    ] = None,
    seed: Seed = 0,
    out: Folder = OUT,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Claims at a time, with --all.", min=1)
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Try a claim (or all): reproduced, refuted, or not decided, with a page and its picture."""
    from trainwell.claims.running import Job, run_all, run_one

    if every == (name is not None):
        problem = "expected the name of a claim, or --all"
        raise UserError("claims run", problem, "See them with: trainwell claims list")
    if out.exists() and not out.is_dir():
        raise UserError(str(out), "is a file, not a folder", "Choose another with --out.")
    job = Job(data, target, group, kind, pattern, image_size, size, seed, repetitions, out)
    if name is not None:
        result = run_one(name, job, quiet)
        typer.echo(f"{result['verdict']}\n{result['paragraph']}\n{result['page']}")
        if as_json:
            typer.echo(json.dumps(result))
        return
    say = (lambda words: None) if quiet else (lambda words: typer.echo(words, err=True))
    found = run_all(job, jobs, say)
    typer.echo("\n".join(f"{f['name']}: {f['verdict']}" for f in found["claims"]))
    if as_json:
        typer.echo(json.dumps(found))


@claims.command(epilog="Example: trainwell claims report claims-results")
def report(
    folder: Annotated[Path, typer.Argument(help="Folder with results.")] = OUT,
    into: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Markdown file that gets the table between its marks."),
    ] = None,
    as_json: Json = False,
) -> None:
    """One page with all results of a folder: the table of verdicts, pictures, paragraphs."""
    from trainwell.claims.page import put_table, read_findings, table_markdown, write_summary

    found = read_findings(folder)
    paths = write_summary(found, folder)
    if into is not None:
        put_table(found, into)
    typer.echo(table_markdown(found))
    typer.echo("\n".join(map(str, paths)))
    if as_json:
        rows = [{"name": f["name"], "verdict": f["verdict"]} for f in found]
        typer.echo(json.dumps({"claims": rows, "pages": [str(p) for p in paths]}))
