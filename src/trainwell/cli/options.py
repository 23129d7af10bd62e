"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from trainwell.errors import UserError

Data = Annotated[str, typer.Argument(help="A table, a folder, an .npz, or a sample set's name.")]
Target = Annotated[str | None, typer.Option(metavar="NAME", help="Column that holds the label.")]
Group = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column or file-name field whose rows stay together."),
]
Kind = Annotated[
    Literal["table", "images", "audio"] | None,
    typer.Option(metavar="KIND", help="What the data are: table, images or audio."),
]
Pattern = Annotated[
    str | None, typer.Option(metavar="TEXT", help="File names: {label}_{speaker}_{index}.wav.")
]
ImageSize = Annotated[
    int | None, typer.Option(metavar="N", help="Longer side of pictures.", min=4, max=1024)
]
RecipeFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Recipe file (TOML).")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change the recipe; repeatable."),
]
Metric = Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
METRICS = ", ".join(get_args(Metric))
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of everything random.", min=0)]
Budget = Annotated[
    str | None, typer.Option(metavar="TIME", help="Time to use, such as 90s or 10m.")
]
Jobs = Annotated[str | None, typer.Option(metavar="N", help="Worker processes, or ray or ray:N.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run code that a file names (Custom networks).")
]


def test_part(text: str) -> float | Path:
    """A share such as 0.2, or a path."""
    from trainwell.data.sources import is_there

    if is_there(text):
        return Path(text)
    try:
        return float(text)
    except ValueError:
        problem = f'expected a share such as 0.2, or a file or folder that exists; got "{text}"'
        raise UserError("--test", problem) from None
