"""What a column of a table is, and how its values become numbers."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import BoolArray, Column, IntArray
from trainwell.data.dialect import MISSING_AMONG_NUMBERS, NUMBER, is_missing
from trainwell.data.rows import Rows
from trainwell.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
WordArray = npt.NDArray[np.object_]  # str, or None where the value is missing
NONE = np.empty(0, np.int64)  # rows with an unknown word
TRUE = frozenset({"true", "yes", "t", "y"})
FALSE = frozenset({"false", "no", "f", "n"})
PAIRS = (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"))
# So many of the values being numbers, the others are slips; in a short column, one slip only.
MOSTLY, MOSTLY_BUT_ONE = 0.95, 0.8
_ISO = r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?(Z|[+-]\d{2}:?\d{2}))?)?"
# A sign or none, a currency or none, digits perhaps in threes, a fraction, a unit or none.
_AMOUNT = re.compile(r"([+-]?)(?:[$€£¥] ?)?(\d{1,3}(?:,\d{3})+|\d+)(\.\d*)?(?: ?[%€£])?", re.ASCII)
_TIME = r"( \d{1,2}:\d{2}(:\d{2})?)?"
# The form of a date, and its name in pandas. A date column keeps the name in `levels`.
DATE_FORMS = (
    (re.compile(_ISO), "ISO8601"),
    (re.compile(r"\d{4}/\d{1,2}/\d{1,2}" + _TIME), "%Y/%m/%d"),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}" + _TIME), "%d.%m.%Y"),
    (re.compile(r"\d{1,2}/\d{1,2}/\d{4}" + _TIME), "%m/%d/%Y"),
    (re.compile(r"\d{1,2}/\d{1,2}/\d{4}" + _TIME), "%d/%m/%Y"),
)


def to_words(series: pd.Series[Any]) -> WordArray:
    """Every value as a stripped word, (N,), None where missing; whole numbers have no point."""
    import pandas as pd

    try:
        codes, values = pd.factorize(series)
    except TypeError:  # lists and the like, which have no place in a table but may be met
        codes, values = pd.factorize(series.map(str))
    words = np.empty(len(values) + 1, object)  # the last one, None, is for the code -1
    for code, value in enumerate(values):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        word = str(value).strip()
        words[code] = None if is_missing(word) else word
    return words[codes]


def as_known(words: WordArray, known: Collection[str]) -> WordArray:
    """The words (N,), where need be in the form in which they are known.

    Only where every known word is a number or a truth value in the form that pandas gives them:
    then training read them as such, and "007" and "7.0" were 7.

    >>> as_known(np.array(["007", "8"], object), {"7", "9"}).tolist()
    ['7', '8']
    >>> as_known(np.array(["007", "8"], object), {"7", "A12"}).tolist()
    ['007', '8']
    """
    if not all(_typed(word) == word for word in known):
        return words
    forms = {word: _typed(word) for word in set(words.tolist()) - {None, *known}}
    taken = {word: form for word, form in forms.items() if form in known}
    return np.array([taken.get(word, word) for word in words], object) if taken else words


def _typed(word: str) -> str | None:
    """A number or truth value as pandas would read and write it, None for any other word."""
    if word.lower() in ("true", "false"):
        return word.capitalize()
    if not NUMBER.fullmatch(word):
        return None
    value = float(word)
    return str(int(value)) if value.is_integer() else str(value)


def is_number_series(series: pd.Series[Any]) -> bool:
    """Whether pandas already holds the column as (real) numbers; booleans are none."""
    from pandas.api import types

    return types.is_numeric_dtype(series.dtype) and not (
        types.is_bool_dtype(series.dtype) or types.is_complex_dtype(series.dtype)
    )


def parse_numbers(words: WordArray) -> FloatArray:
    """Words as numbers, (N,); NaN where a word is missing or no number."""
    import pandas as pd

    texts = pd.Series([None if w is None else _bare(w) for w in words], dtype=object)
    return pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)


def _bare(word: str) -> str | None:
    """A word as it may be parsed for a number: "$1,234.50" is 1234.50, and "5 %" is 5.

    "1_000" and "nan" are numbers to Python, not to us.
    """
    if (word.isalpha() and not word.lower().startswith("inf")) or "_" in word:
        return None
    amount = _AMOUNT.fullmatch(word)
    return "".join(amount.groups("")).replace(",", "") if amount else word


def infer_column(series: pd.Series[Any], name: str, rows: Rows) -> Column:
    """The type of a column from all its values.

    Raises DataError when nearly all values are numbers and a few are something else.
    """
    from pandas.api import types

    if types.is_bool_dtype(series.dtype):
        return Column(name, "boolean")
    if is_number_series(series):
        return Column(name, "number")
    if types.is_datetime64_any_dtype(series.dtype):
        return Column(name, "date", ("ISO8601",))
    words = to_words(series)
    known = {word for word in words if word is not None}
    lower = {word.lower() for word in known}
    if lower and any(lower <= set(pair) for pair in PAIRS):
        return Column(name, "boolean")
    if not hasattr(series.dtype, "categories"):
        some = not np.isnan(parse_numbers(np.array(list(known), object))).all()
        if some and _are_numbers(words, name, rows):
            return Column(name, "number")
        form = date_form(known)
        if form:
            return Column(name, "date", (form,))
    return Column(name, "category", tuple(sorted(known, key=lambda w: (w.casefold(), w))))


def _are_numbers(words: WordArray, name: str, rows: Rows) -> bool:
    """Whether a column of words holds numbers, markers of missing values aside."""
    given = np.array([w is not None and w.lower() not in MISSING_AMONG_NUMBERS for w in words])
    numeric = ~np.isnan(parse_numbers(words))
    wrong = given & ~numeric
    if not given.any() or not numeric.any():
        return False
    if not wrong.any():
        return True
    if numeric.sum() / given.sum() >= (MOSTLY_BUT_ONE if wrong.sum() == 1 else MOSTLY):
        count = f"{int(numeric.sum())} of {int(given.sum())} values are numbers"
        raise _not_a("number", name, rows, words, wrong, count)
    return False


def _not_a(
    kind: str, name: str, rows: Rows, words: WordArray, wrong: BoolArray, why: str
) -> DataError:
    """The error for a cell that does not fit its column."""
    first = int(np.flatnonzero(wrong)[0])
    more = f", and {int(wrong.sum()) - 1} more such cells" if wrong.sum() > 1 else ""
    return DataError(
        f'{rows.place(first)}, column "{name}"',
        f'expected a {kind}, got "{words[first]}" ({why}){more}',
        "Correct the cell, or leave it empty if the value is not known.",
    )


def date_form(known: set[str]) -> str | None:
    """The name of the one form in which all words are dates, or None.

    >>> date_form({"3/4/2024", "13/4/2024"}), date_form({"2024-04-03", "soon"})
    ('%d/%m/%Y', None)
    """
    for pattern, form in DATE_FORMS:
        if known and all(pattern.fullmatch(word) for word in known):
            dates = parse_dates(np.array(sorted(known), object), form)
            if not np.isnat(dates).any():
                return form
    return None


def date_note(series: pd.Series[Any], column: Column) -> str:
    """What was assumed about a column of dates that have two meanings, or an empty string."""
    if column.type != "date" or column.levels != ("%m/%d/%Y",):
        return ""
    words = np.array(sorted({word for word in to_words(series) if word is not None}), object)
    other = parse_dates(words, "%d/%m/%Y")
    if np.isnat(other).any() or (other == parse_dates(words, "%m/%d/%Y")).all():
        return ""
    return (
        f'Column "{column.name}": dates such as {words[0]} are read as month/day/year; '
        "day/month/year would fit all of them too. Writing them like 2024-12-31 leaves no doubt."
    )


def parse_dates(words: WordArray, form: str) -> npt.NDArray[np.datetime64]:
    """Words as times, (N,); not-a-time where a word is missing or no date of this form."""
    import pandas as pd

    texts = pd.Series(words, dtype=object)
    if form == "ISO8601":
        return _naive(pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True))
    found = pd.to_datetime(texts, format=form, errors="coerce")
    for time in (" %H:%M", " %H:%M:%S"):
        found = found.fillna(pd.to_datetime(texts, format=form + time, errors="coerce"))
    return _naive(found)


def _naive(times: pd.Series[Any]) -> npt.NDArray[np.datetime64]:
    """Times without a zone, counted in UTC."""
    if getattr(times.dtype, "tz", None) is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return times.to_numpy("datetime64[s]")


def encode_column(
    series: pd.Series[Any], column: Column, rows: Rows
) -> tuple[FloatArray, IntArray]:
    """The values of a column as numbers (N, k), NaN where missing, and the rows (u,) whose word
    training did not know; these count as missing.

    k is 4 for a date (DATE_PARTS), else 1; a category gives the place of its word in `levels`.
    Raises DataError, naming the cell, where a value is not of the column's type.
    """
    if column.type == "date":
        return _encode_date(series, column, rows), NONE
    if column.type == "category":
        codes = {word: float(code) for code, word in enumerate(column.levels)}
        words = as_known(to_words(series), column.levels)
        values = np.array([codes.get(w, np.nan) if w is not None else np.nan for w in words])
        new = [row for row, w in enumerate(words) if w is not None and w not in codes]
        return values[:, None], np.array(new, np.int64)
    if column.type == "boolean":
        return _encode_boolean(series, column, rows)[:, None], NONE
    return _encode_number(series, column, rows)[:, None], NONE


def _encode_number(series: pd.Series[Any], column: Column, rows: Rows) -> FloatArray:
    from pandas.api import types

    if is_number_series(series) or types.is_bool_dtype(series.dtype):
        values = series.to_numpy(np.float64, na_value=np.nan)
    else:
        words = to_words(series)
        values = parse_numbers(words)
        wrong = np.isnan(values) & np.array(
            [w is not None and w.lower() not in MISSING_AMONG_NUMBERS for w in words], bool
        )
        if wrong.any():
            raise _not_a("number", column.name, rows, words, wrong, "the column holds numbers")
    infinite = np.isinf(values)
    if infinite.any():
        first = int(np.flatnonzero(infinite)[0])
        raise DataError(
            f'{rows.place(first)}, column "{column.name}"',
            f"expected a finite number, got {values[first]} ({int(infinite.sum())} such cells)",
            "Correct the cell, or leave it empty if the value is not known.",
        )
    return values


def _encode_boolean(series: pd.Series[Any], column: Column, rows: Rows) -> FloatArray:
    words = to_words(series)
    codes = dict.fromkeys(TRUE | {"1"}, 1.0) | dict.fromkeys(FALSE | {"0"}, 0.0)
    values = np.array([codes.get(w.lower(), np.nan) if w is not None else np.nan for w in words])
    wrong = np.isnan(values) & np.array([w is not None for w in words], bool)
    if wrong.any():
        why = "the column holds yes and no"
        raise _not_a("truth value", column.name, rows, words, wrong, why)
    return values


def _encode_date(series: pd.Series[Any], column: Column, rows: Rows) -> FloatArray:
    """Dates as (N, 4): days since 1970, month, weekday (Monday 0), hour with its fraction."""
    import pandas as pd
    from pandas.api import types

    if types.is_datetime64_any_dtype(series.dtype):
        times = _naive(series)
    else:
        words = to_words(series)
        times = parse_dates(words, column.levels[0] if column.levels else "ISO8601")
        wrong = np.isnat(times) & np.array([w is not None for w in words], bool)
        if wrong.any():
            form = f"the column holds dates of the form {column.levels[0]}"
            raise _not_a("date", column.name, rows, words, wrong, form)
    parts = pd.Series(times).dt
    days = np.floor(times.astype("datetime64[s]").astype(np.int64) / 86400)
    hours = parts.hour.to_numpy(np.float64) + parts.minute.to_numpy(np.float64) / 60
    month, weekday = (part.to_numpy(np.float64) for part in (parts.month, parts.day_of_week))
    values = np.stack([days, month, weekday, hours], axis=1)
    values[np.isnat(times)] = np.nan
    return values
