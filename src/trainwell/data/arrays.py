"""NumPy arrays, .npz files and folders of .npy files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import Store, chunks, converted, is_mapped, joined
from trainwell.data.clips import MOST_RATE, stack_clips
from trainwell.data.dataset import (
    AudioSchema,
    Column,
    Dataset,
    ImageSchema,
    IntArray,
    Kind,
    NewData,
    Numbered,
    Schema,
    TableSchema,
)
from trainwell.data.npyfile import load_arrays
from trainwell.data.table import narrowed, precision_of, with_precision
from trainwell.data.target import class_order, encode_labels
from trainwell.errors import DataError

Array = npt.NDArray[Any]
_KEYS_TODO = (
    "Save the arrays as X and y (and groups, if there are any), or as x_train, y_train, x_test "
    "and y_test."
)


def read_npz(
    path: Path,
    *,
    kind: Kind | None = None,
    rate: int | None = None,
    limit: int | None = None,
) -> Dataset:
    """A labelled .npz file, or a folder of .npy files: X and y, or x_train, y_train, x_test,
    y_test; groups and rate too.

    limit: bytes from which arrays are mapped instead of held in memory (None: chosen).
    """
    arrays = load_arrays(path, limit)
    rate = _rate(path.name, arrays["rate"]) if rate is None and "rate" in arrays else rate
    groups = arrays.get("groups")
    if {"x_train", "y_train"} <= arrays.keys():
        inputs, labels, test = arrays["x_train"], arrays["y_train"], None
        if {"x_test", "y_test"} <= arrays.keys():
            _same_form(path.name, inputs, arrays["x_test"])
            test = np.arange(len(inputs) + len(arrays["x_test"])) >= len(inputs)
            inputs = joined([inputs, arrays["x_test"]], limit)
            labels = np.concatenate([labels, arrays["y_test"]])
        return read_arrays(
            inputs, labels, groups, path.name, kind=kind, rate=rate, test=test, limit=limit
        )
    inputs, labels = _two_arrays(path.name, arrays)
    return read_arrays(inputs, labels, groups, path.name, kind=kind, rate=rate, limit=limit)


def _rate(name: str, value: Array) -> int:
    """Samples per second, as a file says it."""
    if value.size == 1 and value.dtype.kind in "iuf" and 1 <= value.reshape(-1)[0] <= MOST_RATE:
        return int(value.reshape(-1)[0])
    raise DataError(
        f"{name}, rate",
        f"expected samples per second, one number from 1 to {MOST_RATE}, got "
        + (f"{value.reshape(-1)[0]}" if value.size == 1 else f"the shape {value.shape}"),
        "Save the rate as one whole number.",
    )


def _same_form(name: str, train: Array, test: Array) -> None:
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{name}, x_test",
            f"expected examples of the shape {train.shape[1:]} as in x_train, got {test.shape[1:]}",
            "Write both parts in the same way.",
        )


def _two_arrays(name: str, arrays: Mapping[str, Array]) -> tuple[Array, Array]:
    """Inputs and labels of a file that holds X and y, or exactly two arrays."""
    if {"x", "y"} <= arrays.keys():
        return arrays["x"], arrays["y"]
    others = [key for key in arrays if key not in ("groups", "rate")]
    if len(others) == 2:
        one, two = (arrays[key] for key in others)
        if one.ndim >= 2 and two.ndim == 1:
            return one, two
        if two.ndim >= 2 and one.ndim == 1:
            return two, one
    raise DataError(
        name,
        f"expected inputs and labels, got the arrays {', '.join(arrays) or '(none)'}",
        _KEYS_TODO,
    )


def read_arrays(
    inputs: Any,
    labels: Any,
    groups: Any = None,
    name: str = "arrays",
    *,
    kind: Kind | None = None,
    rate: int | None = None,
    test: npt.NDArray[np.bool_] | None = None,
    limit: int | None = None,
) -> Dataset:
    """Labelled arrays. inputs: (N, D) numbers; (N, H, W), (N, C, H, W) or (N, H, W, C) uint8;
    or waveforms (N, T) with kind="audio" and their rate. labels, groups: (N,).
    limit: bytes up to which inputs that have to be converted are held in memory (None: chosen).

    Raises DataError for shapes or types that are none of these, and for arrays of objects.
    """
    import pandas as pd

    checked, schema = understand(inputs, name, kind, rate, limit)
    targets = _column(labels, f"{name}, labels", len(checked))
    numbers, classes = encode_labels(
        pd.Series(targets), "labels", name, lambda row: f"{name}, row {row}"
    )
    members: IntArray | None = None
    member_names: tuple[str, ...] = ()
    if groups is not None:
        words = _group_words(groups, name, len(checked))
        member_names = class_order(set(words))
        places = {word: place for place, word in enumerate(member_names)}
        members = np.array([places[word] for word in words], np.int64)
    return Dataset(
        name=name,
        schema=schema,
        inputs=checked,
        labels=numbers,
        classes=classes,
        names=Numbered("row", len(checked)),
        groups=members,
        group_names=member_names,
        official_test=test,
    )


def read_arrays_like(
    inputs: Any, labels: Any, schema: Schema, name: str, groups: Any = None
) -> NewData:
    """Arrays to predict, in the form of the training data.

    A table takes (N, D) with the D columns of the training data, in their order.
    """
    from trainwell.data.dialect import MISSING

    rate = schema.rate if schema.kind == "audio" else None
    checked, own = understand(inputs, name, schema.kind, rate)
    notes: tuple[str, ...] = ()
    if schema.kind == "audio" and own.shape != schema.shape:
        checked, notes = stack_clips(list(checked), schema.rate, schema.samples)
    elif own.shape != schema.shape:
        raise DataError(
            name,
            f"expected examples of the shape {schema.shape} as in training, got {own.shape}",
            "Bring the array into the form of the training data.",
        )
    elif schema.kind == "table":
        values = np.asarray(inputs)
        checked = with_precision(values, schema, lambda row: f"{name}, row {row}")
    known: tuple[str, ...] | None = None
    if labels is not None:
        words = _column(labels, f"{name}, labels", len(checked)).tolist()
        texts = [str(int(w)) if isinstance(w, float) and w.is_integer() else str(w) for w in words]
        known = tuple("" if text.lower() in MISSING else text for text in texts)
    names = Numbered("row", len(checked))
    members = None if groups is None else _group_words(groups, name, len(checked))
    return NewData(checked, names, labels=known, notes=notes, groups=members)


def _group_words(groups: Any, name: str, rows: int) -> tuple[str, ...]:
    return tuple(map(str, _column(groups, f"{name}, groups", rows).tolist()))


def _column(values: Any, where: str, rows: int) -> Array:
    """Labels or groups as an array (N,)."""
    column = np.asarray(values)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise DataError(
            where,
            f"expected one value per row, got an array of the shape {column.shape}",
            "Give class numbers or words (from one-hot rows: argmax over the columns).",
        )
    if len(column) != rows:
        raise DataError(
            where, f"expected {rows} values, one per row, got {len(column)}", "Check both arrays."
        )
    return column


def understand(
    values: Any, name: str, kind: Kind | None, rate: int | None, limit: int | None = None
) -> tuple[Array, Schema]:
    """The inputs as the layer below takes them, and their schema."""
    inputs = np.asarray(values)
    if inputs.dtype.kind not in "biuf" or inputs.ndim < 2 or inputs.ndim > 4:
        got = "Python objects" if inputs.dtype == object else f"type {inputs.dtype}"
        raise DataError(
            name,
            f"expected numbers of the shape (rows, columns), or pictures, got {got} of the shape "
            f"{inputs.shape}",
            "Convert the inputs to numbers; tables with words can be given as a DataFrame or CSV.",
        )
    if not inputs.size:
        raise DataError(name, f"expected rows of data, got the shape {inputs.shape}", "Add rows.")
    if inputs.ndim == 2:
        if kind == "audio":
            return _as_audio(inputs, name, rate, limit)
        return _as_table(inputs, name, limit)
    if kind not in (None, "images"):
        raise DataError(
            name,
            f"expected a 2-dimensional array for {kind}, got the shape {inputs.shape}",
            "Give (rows, columns), or leave the kind to be found.",
        )
    return _as_images(inputs, name)


def _as_table(inputs: Array, name: str, limit: int | None) -> tuple[Array, Schema]:
    start, known = 0, False
    for chunk in chunks(inputs):
        known = known or chunk.dtype.kind != "f" or not np.isnan(chunk).all()
        if chunk.dtype.kind == "f" and np.isinf(chunk).any():
            row, column = np.argwhere(np.isinf(chunk))[0]
            raise DataError(
                f"{name}, row {start + row}, column x{column}",
                f"expected a finite number, got {chunk[row, column]}",
                "Correct it, or put NaN if the value is not known.",
            )
        start += len(chunk)
    if not known:
        raise DataError(name, "the inputs hold no value, every one is NaN", "Check the array.")
    columns = tuple(Column(f"x{j}", "number") for j in range(inputs.shape[1]))
    if inputs.dtype.kind == "f" and inputs.dtype.itemsize < 4:
        return converted(inputs, np.float32, limit), TableSchema(columns, "y")
    taken = narrowed(inputs, limit)
    return taken, TableSchema(columns, "y", precision=precision_of(taken))


def _as_audio(
    inputs: Array, name: str, rate: int | None, limit: int | None
) -> tuple[Array, Schema]:
    if rate is None:
        raise DataError(
            name,
            "expected the sample rate of the waveforms, got none",
            'Give it as rate=..., or save it in the .npz file as "rate".',
        )
    if inputs.dtype.kind != "f" and inputs.dtype != np.int16:
        raise DataError(
            name, f"expected waveforms in int16 or float, got {inputs.dtype}", "Convert them."
        )
    schema = AudioSchema(rate, inputs.shape[1])
    if inputs.dtype == np.int16:
        return inputs, schema
    clips = Store(inputs.shape[1:], np.int16, len(inputs), limit)
    for chunk in chunks(inputs):
        if not np.isfinite(chunk).all() or np.abs(chunk).max() > 1:
            raise DataError(
                name,
                "expected waveforms between -1 and 1, got other values",
                "Divide them by the largest, or give int16.",
            )
        clips.append(np.clip(np.round(chunk * 32768.0), -32768, 32767).astype(np.int16))
    return clips.array(), schema


def _as_images(inputs: Array, name: str) -> tuple[Array, Schema]:
    """(N, H, W), (N, C, H, W) or (N, H, W, C) uint8 as (N, C, H, W), C = 1 to 4."""
    if inputs.dtype != np.uint8:
        raise DataError(
            name,
            f"expected pictures in uint8 (0..255), got {inputs.dtype} from {inputs.min()} to "
            f"{inputs.max()}",
            "Scale to 0..255 and convert, for instance (X * 255).round().astype('uint8').",
        )
    if inputs.ndim == 3:
        inputs = inputs[:, None]
    # Grey and RGB are likelier than two or four channels, on whichever axis they are found.
    for axis, usual in ((1, (1, 3)), (3, (1, 3)), (1, (2, 4)), (3, (2, 4))):
        if inputs.shape[axis] in usual:
            inputs = inputs if axis == 1 else inputs.transpose(0, 3, 1, 2)
            break
    else:
        raise DataError(
            name,
            f"expected pictures of 1 to 4 channels, got an array of the shape {inputs.shape}",
            "Give (N, H, W), (N, C, H, W) or (N, H, W, C) with C = 1 to 4.",
        )
    channels, height, width = inputs.shape[1:]
    if not is_mapped(inputs):  # what does not fit into memory is put in order batch by batch
        inputs = np.ascontiguousarray(inputs)
    return inputs, ImageSchema(channels, height, width)
