"""The command line. Results go to standard output, progress and messages to standard error.

Exit codes: 0 done; 1 our fault (a bug); 2 the user's mistake; 130 interrupted.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from trainwell.errors import Interrupted, UserError
from trainwell.terminal import comparison, sections, summary, table

if TYPE_CHECKING:
    from trainwell.run import Run

app = typer.Typer(
    help="Train neural-network classifiers on your own labelled data, "
    "and see with error bars why the result is good.",
    epilog="Start with: trainwell fit digits",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Options that several verbs have.
Data = Annotated[str, typer.Argument(help="A table, a folder, an .npz, or a sample set's name.")]
Target = Annotated[str | None, typer.Option(help="Column that holds the label.")]
Group = Annotated[
    str | None, typer.Option(help="Column or file-name field whose rows stay together.")
]
Kind = Annotated[Literal["table", "images", "audio"] | None, typer.Option(help="Kind of data.")]
Pattern = Annotated[
    str | None, typer.Option(help="File names, such as {label}_{speaker}_{index}.wav.")
]
ImageSize = Annotated[
    int | None, typer.Option(help="Longer side of pictures, in pixels.", min=4, max=1024)
]
RecipeFile = Annotated[Path | None, typer.Option(help="Recipe file (TOML).")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Change the recipe: NAME=VALUE.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0)]
Budget = Annotated[str | None, typer.Option(help="Time to use, such as 90s or 10m.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run code that a file names (Custom networks).")
]


@app.command(epilog="Example: trainwell fit flowers.csv --target species --budget 5m")
def fit(
    data: Data,
    target: Target = None,
    group: Group = None,
    kind: Kind = None,
    pattern: Pattern = None,
    image_size: ImageSize = None,
    test: Annotated[
        str, typer.Option(help="Test part: a file, a folder, or a share; 0 for none.")
    ] = "0.2",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; must be empty.")] = None,
    budget: Budget = None,
    seed: Seed = 0,
    folds: Annotated[int | None, typer.Option(help="Folds; 1 holds out one part.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Networks per fold.")] = None,
    recipe: RecipeFile = None,
    settings: Settings = None,
    coach: Annotated[
        bool,
        typer.Option("--coach/--no-coach", help="Try remedies, and keep what is proved to help."),
    ] = False,
    no_ensemble: Annotated[
        bool, typer.Option("--no-ensemble", help="Keep the best single network.")
    ] = False,
    jobs: Annotated[
        str | None,
        typer.Option(help="Worker processes, or ray or ray:N; default: what is quickest here."),
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="Time between two checkpoints.")] = "30s",
    precision: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="bfloat16: mixed precision.")
    ] = "float32",
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
        test=_test_option(test),
        out=out,
        budget=budget,
        seed=seed,
        folds=folds,
        seeds=seeds,
        recipe=recipe,
        settings=changes,
        ensemble=not no_ensemble,
        coach=coach,
        jobs=jobs,
        checkpoint=checkpoint,
        precision=precision,
        trust=trust,
        quiet=quiet,
        command=shlex.join(["trainwell", *sys.argv[1:]]),
    )
    _finished(run, as_json)


@app.command(epilog="Example: trainwell resume runs/digits-20260101-120000")
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


def _finished(run: Run, as_json: bool) -> None:
    """Print what a run has found."""
    from functools import partial

    from trainwell.recipe import would_change

    changes = partial(would_change, run.result["recipe"])
    typer.echo(summary(run.result, run.report, changes))
    if as_json:
        typer.echo(json.dumps(run.result))
    if run.result["interrupted"]:
        problem = f"Interrupted; the best so far is saved in {run.folder}."
        raise Interrupted(f"{problem} Go on with: trainwell resume {shlex.quote(str(run.folder))}")


@app.command(epilog="Example: trainwell check flowers.csv --target species")
def check(
    data: Data,
    target: Target = None,
    group: Group = None,
    kind: Kind = None,
    pattern: Pattern = None,
    image_size: ImageSize = None,
    test: Annotated[
        str, typer.Option(help="Test part: a file, a folder, or a share; 0 for none.")
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
        test=_test_option(test),
        seed=seed,
        recipe=recipe,
        settings=parse_settings(settings or []),
        trust=trust,
    )
    typer.echo(str(found))
    if as_json:
        typer.echo(json.dumps(found.to_json()))


@app.command(epilog='Example: trainwell compare start "regularize=(L2(1e-3),)" digits')
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
    metric: Annotated[
        Literal["accuracy", "balanced_accuracy", "log_loss"], typer.Option(help="What to compare.")
    ] = "accuracy",
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
        test=_test_option(test),
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


@app.command(epilog="Example: trainwell diagnose runs/digits-20260101-120000")
def diagnose(
    what: Annotated[
        list[Path],
        typer.Argument(
            help="A run folder; or histories of Keras, Lightning, TensorBoard, any CSV: "
            "one of each repetition."
        ),
    ],
    classes: Annotated[
        int | None, typer.Option(help="Number of classes, where a history does not say.", min=2)
    ] = None,
    val_rows: Annotated[
        int | None, typer.Option("--val-rows", help="Number of validation rows.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a finished training, and what to do."""
    from trainwell.diagnosing import diagnose as diagnose_training

    found = diagnose_training(what, classes=classes, val_rows=val_rows)
    typer.echo(str(found))
    if as_json:
        typer.echo(json.dumps(found.to_json()))


@app.command(epilog="Example: trainwell predict runs/iris-20260101-120000 new.csv -o out.csv")
def predict(
    model: Annotated[Path, typer.Argument(help="A run folder, or its model folder.")],
    data: Annotated[str, typer.Argument(metavar="INPUT", help="A table, a folder, or one file.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV file to write; default: print it.")
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Label new rows, pictures or clips with a trained model."""
    from trainwell.prediction import predict as predict_data
    from trainwell.prediction import write_csv

    found = predict_data(model, data, trust=trust)
    for line in [*found.notes, *(f"skipped {s.where}: {s.why}" for s in found.skipped)]:
        typer.echo(line, err=True)
    if out is None:
        typer.echo(found.to_csv(), nl=False)
    else:
        write_csv(found, out)
        typer.echo(f"{len(found.names)} predictions in {out}")
    if found.accuracy is not None:
        typer.echo(f"right where the input holds the label: {found.accuracy:.4f}", err=True)
    if as_json:
        result = {
            "predictions": len(found.names),
            "out": None if out is None else str(out),
            "accuracy": found.accuracy,
            "skipped": [{"where": s.where, "why": s.why} for s in found.skipped],
        }
        typer.echo(json.dumps(result))


@app.command(epilog="Example: trainwell report runs/digits-20260101-120000")
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")], as_json: Json = False
) -> None:
    """Draw the HTML report of a run again, from the files of its folder."""
    from trainwell.report.page import write_report
    from trainwell.run import load_run

    path = write_report(load_run(run).folder)
    typer.echo(str(path))
    if as_json:
        typer.echo(json.dumps({"report": str(path)}))


@app.command(epilog="Example: trainwell data mnist")
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


@app.command(epilog="Example: trainwell techniques StepDecay")
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


def _test_option(text: str) -> float | Path:
    """A share such as 0.2, or a path."""
    if Path(text).exists():
        return Path(text)
    try:
        return float(text)
    except ValueError:
        problem = f'expected a share such as 0.2, or a file or folder that exists; got "{text}"'
        raise UserError("--test", problem) from None


def main() -> NoReturn:
    """Run the command line and end the process with the right exit code."""
    try:
        _run()
    except SystemExit as end:
        if os.environ.get("WORLD_SIZE", "1") not in ("", "1") and isinstance(end.code, int):
            # Of several processes each has threads of torch.distributed that may still be ending;
            # now and then the interpreter's own end then aborts ("terminate called without an
            # active exception"). All is written: nothing is lost by ending at once.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise


def _run() -> NoReturn:
    """Run the command line; always ends with SystemExit."""
    # Threads of a convolution wait for each other by spinning. When another program wants the same
    # cores, torch's default of 300 000 turns was measured to make a step 17 times slower (33 to
    # 564 ms); 5 000 turns cost a few per cent on an idle machine. Read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        if app(standalone_mode=False, prog_name="trainwell") == 130:
            raise KeyboardInterrupt  # typer turns Ctrl-C into this number
    except UserError as error:
        _fail(f"error: {error}", 2, error)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        usage = f"\nTry: {context.command_path} --help" if context else ""
        _fail(f"error: {error.format_message()}{usage}", 2)
    except (Interrupted, KeyboardInterrupt, typer.Abort) as error:
        _fail(str(error) or "Interrupted.", 130, error)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has closed it; nothing is wrong
        sys.exit(0)
    except Exception as error:
        _fail(f"error: this is a bug in trainwell. {_keep_traceback(error)}", 1, error)
    sys.exit(0)


def _keep_traceback(error: Exception) -> str:
    """Write the traceback where it can be reported from, and say where."""
    text = f"{shlex.join(sys.argv)}\n{traceback.format_exc()}"
    folder = getattr(error, "run_folder", None)  # set by fit once there is a run folder
    path = (folder or Path()) / "log.txt"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        return text
    return f"Please report it with the file {path.resolve()}."


def _fail(message: str, code: int, error: BaseException | None = None) -> NoReturn:
    if not getattr(error, "tell", True):  # another process of this training has told it
        sys.exit(code)
    print(message, file=sys.stderr, flush=True)  # noqa: T201 (the message is the purpose)
    sys.exit(code)
