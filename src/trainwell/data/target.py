"""Which column holds the labels, and how labels become class numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from trainwell.data.columns import WordArray, is_number_series, parse_numbers, to_words
from trainwell.data.dataset import IntArray
from trainwell.data.rows import Rows
from trainwell.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

# Names that mean "the label", plainest first.
LABEL_NAMES = (
    ("target", "label", "labels", "class", "classes", "y"),
    ("species", "status", "outcome", "diagnosis", "category", "result", "response", "output"),
)
FEW = 20  # so many different numbers or fewer are taken for classes without being asked
MOST_CLASSES = 1000  # more would take a probability for each of them and row, and say nothing


def find_column(rows: Rows, name: str, option: str) -> str:
    """The column called `name`; case matters only where two names differ by nothing else."""
    names = list(map(str, rows.frame.columns))
    if name in names:
        return name
    alike = [other for other in names if other.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    raise DataError(
        f"{option} {name}", f"{rows.name} has no such column", did_you_mean(name, names)
    )


def class_order(words: set[str]) -> tuple[str, ...]:
    """Classes in their order: numbers by value, words by alphabet.

    >>> class_order({"10", "9"}), class_order({"b", "A"})
    (('9', '10'), ('A', 'b'))
    """
    try:
        return tuple(sorted(words, key=lambda word: (float(word), word)))
    except ValueError:
        return tuple(sorted(words, key=lambda word: (word.casefold(), word)))


def encode_labels(
    series: pd.Series[Any], what: str, name: str, place: Callable[[int], str]
) -> tuple[IntArray, tuple[str, ...]]:
    """Class numbers (N,) and class names.

    what: the labels in words (`column "species"`); place: where a row stands.
    Raises DataError for a missing label, labels that are partly numbers and partly words,
    too many different values to be classes, or one class only.
    """
    words = to_words(series)
    _no_missing(words, what, name, place)
    known = set(words.tolist())
    if known & {"inf", "-inf"} and is_number_series(series):
        row = next(row for row, word in enumerate(words) if word in ("inf", "-inf"))
        raise DataError(
            f"{place(row)}, {what}", f"expected a finite number, got {words[row]}", "Correct it."
        )
    if not is_number_series(series):
        _one_kind(words, what, place)
    _are_classes(known, len(words), f"{name}, {what}")
    classes = class_order(known)
    numbers = {word: number for number, word in enumerate(classes)}
    return np.array([numbers[word] for word in words], np.int64), classes


def _no_missing(words: WordArray, what: str, name: str, place: Callable[[int], str]) -> None:
    missing = [row for row, word in enumerate(words) if word is None]
    if missing:
        where = "; ".join(place(row) for row in missing[:3]) + ("; ..." if missing[3:] else "")
        raise DataError(
            f"{name}, {what}",
            f"expected a label in every row, got none in {len(missing)} of {len(words)} ({where})",
            "Remove these rows or fill the labels in.",
        )


def _one_kind(words: WordArray, what: str, place: Callable[[int], str]) -> None:
    """Labels are numbers or words, not both: a mix is nearly always a slip."""
    numeric = ~np.isnan(parse_numbers(words))
    if numeric.all() or not numeric.any():
        return
    fewer = numeric if numeric.sum() * 2 < len(words) else ~numeric
    row, other = int(np.flatnonzero(fewer)[0]), int(np.flatnonzero(~fewer)[0])
    kind, rest = ("number", "words") if numeric[row] else ("word", "numbers")
    raise DataError(
        f"{place(row)}, {what}",
        f'expected labels of one kind, got the {kind} "{words[row]}" among {rest} such as '
        f'"{words[other]}" ({int(fewer.sum())} of {len(words)} rows)',
        "Correct these labels, or write all of them as words.",
    )


def _are_classes(known: set[str], rows: int, where: str) -> None:
    if len(known) < 2:
        raise DataError(
            where,
            f'expected at least two classes, got only "{next(iter(known))}"',
            "Add rows of other classes, or choose another column with --target.",
        )
    kind = "words"
    too_many = len(known) > MOST_CLASSES or (len(known) > 2 and len(known) > rows / 2)
    with suppress(ValueError):
        whole = all(float(word).is_integer() for word in known)
        kind = "numbers"
        too_many |= len(known) > (max(FEW, min(MOST_CLASSES, rows // 5)) if whole else FEW)
    if too_many:
        raise DataError(
            where,
            f"expected classes, got {len(known)} different {kind} in {rows} rows",
            "Classification needs classes: choose another column with --target, or put the "
            "values into a few classes (for instance low, medium, high).",
        )


def choose_target(rows: Rows) -> tuple[str, str]:
    """The column that is plainly the label, and a note that says why.

    Raises DataError, listing the candidates, when no column is.
    """
    names = list(map(str, rows.frame.columns))
    for words in LABEL_NAMES:
        named = [name for name in names if name.lower() in words]
        if len(named) == 1:
            return named[0], f'Labels are taken from column "{named[0]}", by its name.'
        if named:
            raise _unsure(rows, named)
    few = {name: kind for name in names if (kind := _looks_like_classes(rows.frame[name]))}
    first, last = names[0], names[-1]
    wordy = [name for name, kind in few.items() if kind == "words"]
    if few.get(last) == "words" or (last in few and first not in wordy):
        return last, f'Labels are taken from column "{last}", the last one.'
    # Tables published without names often have the label in front.
    if first == "column 1" and wordy == [first] and last not in few:
        return first, f'Labels are taken from column "{first}", the only one of few words.'
    raise _unsure(rows, list(few) or names)


def _looks_like_classes(series: pd.Series[Any]) -> str:
    """ "words" or "numbers" for a column of few different values, else ""."""
    distinct = series.nunique()
    if distinct < 2:
        return ""
    if is_number_series(series):
        whole = bool((series.dropna() % 1 == 0).all())
        return "numbers" if whole and distinct <= min(FEW, max(2, len(series) // 5)) else ""
    return "words" if distinct <= max(2, min(100, len(series) // 3)) else ""


def _unsure(rows: Rows, candidates: list[str]) -> DataError:
    listed = ", ".join(f'"{name}"' for name in candidates[:10])
    return DataError(
        rows.name,
        f"expected one column that is plainly the label, found none; it may be {listed}"
        + (", ..." if len(candidates) > 10 else ""),
        f'Name it with --target, for instance --target "{candidates[-1]}".',
    )
