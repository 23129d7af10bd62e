"""The public names and their signatures are those written down; changing them is a decision.

After such a decision: python tests/test_api.py > tests/api.txt
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
import typer.main

import trainwell

KEPT = Path(__file__).parent / "api.txt"


def described() -> Iterator[str]:
    """A line for each public name, verb and option."""
    from trainwell.cli import app

    for name in sorted(trainwell.__all__):
        found = getattr(trainwell, name)
        try:
            parameters = inspect.signature(found).parameters.values()
        except ValueError:  # exceptions of the standard library have none
            parameters = ()
        shown = ", ".join(
            p.name + ("" if p.default is inspect.Parameter.empty else f"={p.default!r}")
            for p in parameters
            if p.name != "self"
        )
        yield f"tw.{name}({shown})"
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    yield from _verbs("trainwell", group.commands)


def _verbs(before: str, commands: dict[str, click.Command]) -> Iterator[str]:
    for verb, command in sorted(commands.items()):
        inner = getattr(command, "commands", None)
        if inner:
            yield from _verbs(f"{before} {verb}", inner)
            continue
        options = [o for p in command.params for o in p.opts if p.param_type_name == "option"]
        words = [str(p.name) for p in command.params if p.param_type_name == "argument"]
        yield " ".join([before, verb, *words, *sorted(options)])


def test_the_public_interface_is_the_one_written_down() -> None:
    assert list(described()) == KEPT.read_text(encoding="utf-8").splitlines()


def test_public_functions_have_a_page() -> None:
    for name in trainwell.__all__:
        assert len(inspect.getdoc(getattr(trainwell, name)) or "") > 30, name


if __name__ == "__main__":
    print("\n".join(described()))  # noqa: T201 (the list is what it is for)
