"""Data to predict, read in the form that a model was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.data.dataset import AudioSchema, ImageSchema, NewData, Schema, Skipped, TableSchema
from trainwell.data.folders import (
    compile_pattern,
    list_files,
    matched_name,
    nothing_left,
)
from trainwell.data.npyfile import is_array_folder, load_arrays
from trainwell.data.samples import find_sample, load_sample
from trainwell.data.sources import ARRAY_SUFFIXES, existing_path, is_frame, is_there
from trainwell.errors import DataError, visible


def read_like(
    source: Any,
    schema: Schema,
    classes: tuple[str, ...],
    *,
    pattern: str | None = None,
    group: str | None = None,
) -> NewData:
    """Examples to predict: a table, folder (of files, or of X.npy), single picture or clip, .npz,
    array or DataFrame.

    Labels are given back where the source holds them: a target column, the second array, or
    folders (or file names, by `pattern`) called like the classes. So are groups, where an .npz
    file holds them or `group` names a column, or a field of the pattern, that is there.
    Raises DataError when the source has not the form of the training data.
    """
    if isinstance(source, np.ndarray | tuple):
        return _arrays_like(source, schema)
    if is_frame(source):
        return _table_like(source, schema, "DataFrame", classes, group)
    if isinstance(source, str) and not is_there(source) and find_sample(source):
        return _sample_like(source, schema)
    path = existing_path(source)
    if is_array_folder(path) if path.is_dir() else path.suffix.lower() in ARRAY_SUFFIXES:
        return _npz_like(path, schema)
    if schema.kind == "table":
        if path.is_dir():
            raise DataError(str(path), "expected a table, got a folder", "Name a CSV file.")
        return _table_like(path, schema, str(path), classes, group)
    return _files_like(path, schema, classes, pattern, group)


def _table_like(
    source: Any, schema: Schema, where: str, classes: tuple[str, ...], group: str | None
) -> NewData:
    from trainwell.data.table import read_table_like

    if not isinstance(schema, TableSchema):
        raise DataError(
            where,
            f"expected {schema.kind} as in training, got a table",
            "Name a file or folder of them.",
        )
    return read_table_like(source, schema, classes, group)


def _arrays_like(source: Any, schema: Schema) -> NewData:
    from trainwell.data.arrays import read_arrays_like

    inputs, labels = (source, None) if isinstance(source, np.ndarray) else source[:2]
    return read_arrays_like(inputs, labels, schema, "arrays")


def _npz_like(path: Path, schema: Schema) -> NewData:
    from trainwell.data.arrays import read_arrays_like

    arrays = load_arrays(path)
    for inputs, labels in (("x", "y"), ("x_test", "y_test")):
        if inputs in arrays:
            groups = arrays.get("groups") if inputs == "x" else None
            return read_arrays_like(arrays[inputs], arrays.get(labels), schema, path.name, groups)
    large = [array for array in arrays.values() if array.ndim >= 2]
    if len(large) == 1:
        return read_arrays_like(large[0], None, schema, path.name)
    raise DataError(
        path.name,
        f"expected inputs called X, got the arrays {', '.join(arrays) or '(none)'}",
        "Save the inputs as X (and the labels, if known, as y).",
    )


def _sample_like(name: str, schema: Schema) -> NewData:
    """A sample set as new data; it has to have the very form of the training data."""
    sample = load_sample(name)
    if sample.schema != schema:
        raise DataError(
            name,
            f"has not the form of the training data ({sample.kind} {sample.schema.shape}; "
            f"training had {schema.kind} {schema.shape})",
            "Name data of the same form.",
        )
    labels = tuple(sample.classes[code] for code in sample.labels)
    return NewData(sample.inputs, sample.names, labels, notes=sample.notes)


def _files_like(
    path: Path,
    schema: ImageSchema | AudioSchema,
    classes: tuple[str, ...],
    pattern: str | None,
    group: str | None,
) -> NewData:
    """Pictures or clips: one file, or all files below a folder."""
    from trainwell.data.audio import read_audio_like
    from trainwell.data.images import read_images_like

    files, names, other = files_like(path, schema)
    root = path if path.is_dir() else path.parent
    if isinstance(schema, ImageSchema):
        new = read_images_like(files, names, schema, str(path))
    else:
        new = read_audio_like(files, names, schema, str(path))
    labels = dict(zip(names, labels_of(files, root, classes, pattern), strict=True))
    found = tuple(labels[name] for name in new.names)
    members: tuple[str, ...] | None = None
    if pattern is not None and group is not None:
        expression = compile_pattern(pattern, group)
        paths = dict(zip(names, files, strict=True))
        matches = [
            expression.fullmatch(matched_name(paths[name], root, pattern)) for name in new.names
        ]
        members = tuple(match[group] if match else "" for match in matches)
    return replace(
        new,
        labels=found if any(found) else None,
        skipped=(*other, *new.skipped),
        groups=members,
    )


def files_like(
    path: Path, schema: ImageSchema | AudioSchema
) -> tuple[list[Path], list[str], list[Skipped]]:
    """The pictures or clips of a path, their names, and the files that are none.

    Raises DataError when there is none.
    """
    from trainwell.data.audio import AUDIO_SUFFIXES
    from trainwell.data.images import IMAGE_SUFFIXES

    suffixes = IMAGE_SUFFIXES if schema.kind == "images" else AUDIO_SUFFIXES
    root = path if path.is_dir() else path.parent
    files, other = list_files(path, suffixes) if path.is_dir() else ([path], [])
    if not files:
        raise nothing_left(path, other, f"{schema.kind} as in training")
    if path.is_file() and path.suffix.lower() not in suffixes:
        raise DataError(
            str(path),
            f"expected {schema.kind} as in training, got a file ending in {path.suffix}",
            f"Name a file ending in {', '.join(suffixes[:4])} or the like, or a folder of them.",
        )
    return files, [file.relative_to(root).as_posix() for file in files], list(other)


def labels_of(
    files: list[Path], root: Path, classes: tuple[str, ...], pattern: str | None
) -> list[str]:
    """The label of each file, "" where neither its name nor a folder above it says one."""
    if pattern is not None:
        expression = compile_pattern(pattern, None)
        matches = [expression.fullmatch(matched_name(file, root, pattern)) for file in files]
        if any(match and "label" in match.groupdict() for match in matches):
            return [visible(match["label"], keep="") if match else "" for match in matches]
    known = set(classes)
    found = []
    for file in files:
        # The nearest folder that is called like a class; a folder of one class may be the root.
        above = [*reversed(file.relative_to(root).parts[:-1]), root.resolve().name]
        above = [visible(name, keep="") for name in above]
        found.append(next((name for name in above if name in known), ""))
    for mark in "_-":
        begins = [visible(file.stem.split(mark)[0], keep="") for file in files]
        if not any(found) and all(begin in known for begin in begins):
            return begins  # named like 7_anna_3.wav
    return found
