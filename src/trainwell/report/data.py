"""The data card: facts in plain words, a line per column of a table, a sound per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainwell.report.media import playable
from trainwell.report.mistakes import spectrogram_uri
from trainwell.report.numbers import finite
from trainwell.report.words import plain

Json = Mapping[str, Any]

# Facts about the data, in the order of the page; the others are drawn or listed elsewhere.
DATA_NAMES = {
    "rows": "Rows",
    "official_test_rows": "Rows of the official test part",
    "shape": "Shape of one example",
    "features": "Features",
    "picture": "Picture",
    "clips": "Clips",
    "range": "Smallest to largest value",
    "imbalance": "Largest to smallest class",
    "duplicates": "Rows that repeat an earlier one",
    "repeats": "The first of them",
    "conflicting_rows": "Rows with a twin of another label",
    "official_test_duplicates": "Official test rows that occur in training",
    "missing_cells": "Missing cells",
    "missing": "Missing cells by column",
    "constant_features": "Constant features",
    "groups": "Groups",
}
DATA_ELSEWHERE = ("counts", "skipped", "notes", "columns", "examples")
# Of tables (whose columns have their own ranges and units) and of sound (see `clip_words`).
LEFT_OUT = {
    "table": ("range", "shape"),
    "sound": ("range", "shape", "features"),
    "pictures": ("shape",),
    "": (),
}
TYPES = {"number": "number", "boolean": "yes or no", "category": "word", "date": "date"}


def data_rows(data: Json) -> list[tuple[str, str]]:
    """Facts about the data as (name, value), without those drawn or listed elsewhere."""
    ordered = [k for k in DATA_NAMES if k in data] + [
        k for k in data if k not in DATA_NAMES and k not in DATA_ELSEWHERE
    ]
    kinds = {"columns": "table", "clips": "sound", "picture": "pictures"}
    left_out = LEFT_OUT[next((kind for key, kind in kinds.items() if key in data), "")]
    rows = []
    for key in ordered:
        value = data[key]
        if key in left_out or (key == "repeats" and not value):
            continue
        name = DATA_NAMES.get(key, key.replace("_", " ").capitalize())
        rows.append((name, _words(key, value)))
    return rows


def _words(key: str, value: Any) -> str:
    """One fact in words."""
    if key == "shape" and isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    if key == "range" and isinstance(value, list | tuple):
        return " to ".join(map(plain, value))
    if key == "imbalance" and finite(value):
        return f"{value:.2f} : 1"
    if key == "repeats" and isinstance(value, list | tuple):
        file, names = without_file([name for pair in value for name in pair])
        pairs = zip(names[::2], names[1::2], strict=True)
        return file + "; ".join(f"{again} repeats {first}" for first, again in pairs)
    if key == "picture" and isinstance(value, Mapping):
        kinds = {1: "grey", 3: "in colour"}
        channels = value.get("channels")
        kind = kinds.get(channels or 0, f"of {channels} channels")
        return f"{plain(value.get('width'))} × {plain(value.get('height'))} pixels, {kind}"
    if key == "clips" and isinstance(value, Mapping):
        return clip_words(value)
    if key == "groups" and isinstance(value, Mapping):
        more = ", …)" if len(value) > 6 else ")"
        return f"{len(value):,} ({plain(dict(list(value.items())[:6]))}{more}"
    return plain(value)


def without_file(names: Sequence[str]) -> tuple[str, list[str]]:
    """The file that all places are in, and the places inside it.

    >>> without_file(["d.csv, line 3", "d.csv, line 17"])
    ('in d.csv ', ['line 3', 'line 17'])
    >>> without_file(["a.png", "b.png"])
    ('', ['a.png', 'b.png'])
    """
    files = {name.rpartition(", ")[0] for name in names}
    if len(files) != 1 or files == {""}:
        return "", list(names)
    return f"in {files.pop()} ", [name.rpartition(", ")[2] for name in names]


def clip_words(clips: Json) -> str:
    """Length and rate of the clips in a sentence.

    >>> clip_words({"rate": 8000, "samples": 5000, "seconds": 0.625, "silent": 0})
    'each cut or filled up to 0.625 s (5,000 samples, 8,000 a second)'
    """
    told = (
        f"each cut or filled up to {plain(clips.get('seconds'))} s "
        f"({plain(clips.get('samples'))} samples, {plain(clips.get('rate'))} a second)"
    )
    ends = [clips.get(f"{word}_seconds") for word in ("shortest", "median", "longest")]
    if all(map(finite, ends)):
        low, middle, high = (f"{e:.2f}" for e in ends if finite(e))
        told += f"; the sound in them lasts {low} to {high} s, half of them at most {middle} s"
    if clips.get("silent"):
        told += f"; {plain(clips['silent'])} are silent"
    return told


def column_rows(data: Json) -> dict[str, Any] | None:
    """A line per column of a table: name, type, range or levels, missing cells, a few examples."""
    columns = [c for c in data.get("columns") or [] if isinstance(c, Mapping)]
    if not columns:
        return None
    examples = [dict(e) for e in data.get("examples") or [] if isinstance(e, Mapping)]
    _, places = without_file([str(e.get("where")) for e in examples])
    examples = [e | {"where": place} for e, place in zip(examples, places, strict=True)]
    rows = []
    for place, column in enumerate(columns):
        cells = [e["values"][place] if place < len(e["values"]) else "" for e in examples]
        rows.append(
            {
                "name": column.get("name"),
                "type": TYPES.get(str(column.get("type")), column.get("type")),
                "holds": _holds(column),
                "missing": column.get("missing"),
                "cells": cells,
            }
        )
    return {"rows": rows, "examples": examples, "more": int(data.get("features") or 0) > len(rows)}


def _holds(column: Json) -> str:
    """Range of numbers and dates; number of words and the most frequent ones."""
    if isinstance(column.get("frequent"), Mapping):
        shown = plain(column["frequent"])
        levels = column.get("levels") or 0
        more = ", …" if levels > len(column["frequent"]) else ""
        return f"{plain(levels)}: {shown}{more}"
    low, high = column.get("low"), column.get("high")
    if low is None or high is None:
        return "no value"
    return f"always {plain(low)}" if low == high else f"{plain(low)} to {plain(high)}"


def sounds(facts: Json, examples: tuple[Any, Any] | None) -> list[dict[str, Any]]:
    """One clip per class with its spectrogram; [] where the data are no sound."""
    rate = int(((facts.get("data") or {}).get("clips") or {}).get("rate") or 0)
    if examples is None or not rate:
        return []
    clips, labels = np.asarray(examples[0]), np.asarray(examples[1])
    classes = [str(c) for c in facts.get("classes") or []]
    if clips.ndim != 2 or len(clips) != len(labels):
        return []
    return [
        {
            "label": classes[label],
            "picture": spectrogram_uri(clip, rate),
            "sound": playable(clip, rate, len(clips)),
        }
        for clip, label in zip(clips, labels.tolist(), strict=True)
        if 0 <= label < len(classes)
    ]
