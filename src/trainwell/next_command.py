"""The command to type next: that of a run, with the first remedy that would change its recipe."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Changes = Callable[[Mapping[str, str]], bool]


def anything(settings: Mapping[str, str]) -> bool:
    """Take it that settings change a recipe."""
    return True


def next_command(
    found: Sequence[Mapping[str, Any]], command: str, changes: Changes = anything
) -> str:
    """The command that trains again with the first remedy that changes the recipe, or ""."""
    for finding in found:
        for remedy in finding["remedies"]:
            _, sign, options = str(remedy).partition(": --set ")
            settings = dict(word.split("=", 1) for word in shlex.split(options) if "=" in word)
            if sign and command.startswith("trainwell fit") and changes(settings):
                return _with_settings(command, f"--set {options}")
    return ""


def longer(result: Mapping[str, Any]) -> str:
    """The command again, with a budget in which all epochs have room; "" where there is none.

    >>> run = {"command": "trainwell fit d.csv --budget 1m", "seconds": 60.0}
    >>> longer(run | {"recipe": {"epochs": "8"}, "members": [{"epochs": 3}, {"epochs": 3}]})
    'trainwell fit d.csv --budget 4m'
    """
    command = str(result["command"])
    if not command.startswith("trainwell fit"):
        return ""
    members = result["members"]
    planned = len(members) * int(result["recipe"]["epochs"])
    share = sum(m["epochs"] for m in members) / max(planned, 1)
    needed = 1.2 * result["seconds"] / max(share, 0.05)
    kept: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        if word in ("--budget", "--out"):
            next(words, None)
        elif not word.startswith(("--budget=", "--out=")):
            kept.append(word)
    return shlex.join([*kept, "--budget", f"{math.ceil(needed / 60)}m"])


def _with_settings(command: str, options: str) -> str:
    """A command with settings added: those of the same name, and --out, are left out.

    >>> _with_settings("trainwell fit d.csv --out a --set lr=0.1 --set epochs=5", "--set lr=0.05")
    'trainwell fit d.csv --set epochs=5 --set lr=0.05'
    """
    new = shlex.split(options)
    names = {word.partition("=")[0] for word in new if "=" in word}
    kept: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        if word == "--out":
            next(words, None)
        elif word == "--set":
            value = next(words, "")
            if value.partition("=")[0].strip() not in names:
                kept += [word, value]
        elif not word.startswith(("--out=", *(f"--set={n}=" for n in names))):
            kept.append(word)
    return shlex.join([*kept, *new])
