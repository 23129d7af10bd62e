"""The command line. Results go to standard output, progress and messages to standard error.

Exit codes: 0 done; 1 our fault (a bug); 2 the user's mistake; 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from trainwell.cli.augmenting import augment
from trainwell.cli.checking import check, diagnose
from trainwell.cli.claims import claims
from trainwell.cli.comparing import compare
from trainwell.cli.ensembling import ensemble
from trainwell.cli.exporting import export
from trainwell.cli.fitting import fit, resume
from trainwell.cli.listing import data, techniques
from trainwell.cli.using import predict, report
from trainwell.errors import Interrupted, UserError, did_you_mean, visible
from trainwell.version import __version__

# What the system refuses and no program can mend: names too long, permissions, full disks.
OUTSIDE = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    help="Train neural-network classifiers on your own labelled data, "
    "and see with error bars why the result is good.",
    epilog="Start with: trainwell fit digits",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"trainwell {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options of the program itself; its help is the one given to `app`."""


app.command(epilog="Example: trainwell fit flowers.csv --target species --budget 5m")(fit)
app.command(epilog="Example: trainwell resume runs/digits-20260101-120000")(resume)
app.command(epilog="Example: trainwell check flowers.csv --target species")(check)
app.command(epilog='Example: trainwell compare start "regularize=(L2(1e-3),)" digits')(compare)
app.command(epilog="Example: trainwell augment digits --budget 2m")(augment)
app.add_typer(claims, name="claims")
app.command(epilog="Example: trainwell diagnose runs/digits-20260101-120000")(diagnose)
app.command(epilog="Example: trainwell ensemble runs/mlp runs/cnn --out runs/both")(ensemble)
app.command(epilog="Example: trainwell predict runs/iris-20260101-120000 new.csv -o out.csv")(
    predict
)
app.command(epilog="Example: trainwell export runs/iris-20260101-120000 --onnx iris.onnx")(export)
app.command(epilog="Example: trainwell report runs/digits-20260101-120000")(report)
app.command(epilog="Example: trainwell data mnist")(data)
app.command(epilog="Example: trainwell techniques StepDecay")(techniques)


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
        _fail(f"error: {_plain(error.format_message())}{usage}", 2)
    except (Interrupted, KeyboardInterrupt, typer.Abort) as error:
        _fail(str(error) or "Interrupted.", 130, error)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has closed it; nothing is wrong
        sys.exit(0)
    except OSError as error:
        if error.errno not in OUTSIDE:
            _fail(f"error: this is a bug in trainwell. {_keep_traceback(error)}", 1, error)
        _fail(f"error: {visible(str(error.filename or 'a file'))}: {error.strerror}.", 2, error)
    except Exception as error:
        _fail(f"error: this is a bug in trainwell. {_keep_traceback(error)}", 1, error)
    sys.exit(0)


def _plain(message: str) -> str:
    """Typer's words for a value that is not among those known, with the one that was meant.

    >>> print(_plain("'--kind': Value error, 'tabel' is not one of 'table', 'images'."))
    '--kind': no "tabel". Did you mean "table"? Choices: table, images.
    """
    found = re.fullmatch(r"(.*: )Value error, '(.*)' is not one of (.*)\.", message, re.DOTALL)
    if found is None:
        return message
    where, word, choices = found.groups()
    known = re.findall(r"'(.*?)'", choices)
    return f'{where}no "{word}". {did_you_mean(word, known)}'


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
