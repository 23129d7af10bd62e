"""What trainwell raises, and how a message is built.

    TrainwellError
    ├── UserError        the user's mistake: exit code 2, one message, no traceback
    │   ├── DataError    a file, row or column that cannot be used
    │   └── RecipeError  a recipe that cannot be used; lists every mistake at once
    └── Interrupted      Ctrl-C; what was finished is saved, exit code 130

A message has four parts: where (file, row, column, option), what was expected, what was got,
and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class TrainwellError(Exception):
    """The base of everything raised on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions come back from worker processes; as usual they would be made anew from their
        # text alone, which is not what `__init__` takes.
        return _again, (type(self), self.args, self.__dict__)


def _again(
    kind: type[TrainwellError], args: tuple[Any, ...], values: dict[str, Any]
) -> TrainwellError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(values)
    return error


class UserError(TrainwellError):
    """A mistake the user can mend; the message says where, what was got and what to do.

    >>> str(UserError("data.csv, line 17", 'expected a number, got "n/a"', "Remove the row."))
    'data.csv, line 17: expected a number, got "n/a". Remove the row.'
    """

    def __init__(self, where: str, problem: str, todo: str = "") -> None:
        self.where, self.problem, self.todo = where, problem, todo
        text = f"{where}: {problem.rstrip('.')}." if where else f"{problem.rstrip('.')}."
        super().__init__(visible(f"{text} {todo}".strip()))


class DataError(UserError):
    """Data that cannot be read or cannot be trained on."""


class RecipeError(UserError):
    """One or more mistakes in a recipe, all reported at once.

    >>> print(RecipeError("recipe.toml", ["lr must be > 0, got -1", 'no field "epoch"']))
    recipe.toml: 2 mistakes:
      - lr must be > 0, got -1
      - no field "epoch"
    """

    def __init__(self, where: str, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        lines = "\n".join(f"  - {m}" for m in self.mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__(where, "", "")
        self.args = (visible(f"{where}: {count}:\n{lines}"),)


class Unfinished(UserError):
    """Something outside ended the run: a full disk, workers that died. `resume` can go on."""


class Interrupted(TrainwellError):
    """The user pressed Ctrl-C; the message says what was saved."""


def visible(text: str, keep: str = "\n\t") -> str:
    r"""The text with every character that is not shown as itself written out.

    Names of files and cells of tables come from others: escape sequences would reach the terminal,
    marks of direction would turn a line around, and halves of letters cannot be written at all.

    >>> visible("a\x1b[2Jb"), visible("two\nlines", keep="")
    ('a\\x1b[2Jb', 'two\\nlines')
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The nearest right word and the list of choices, as one sentence.

    >>> did_you_mean("StepDecy", ["Constant", "StepDecay"])
    'Did you mean "StepDecay"? Choices: Constant, StepDecay.'
    """
    listed = list(choices)
    lower = {c.lower(): c for c in listed}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    hint = f'Did you mean "{lower[near[0]]}"? ' if near else ""
    shown = ", ".join(listed[:30]) + (", ..." if len(listed) > 30 else ".")
    return f"{hint}Choices: {shown}"
