"""One door for all data: paths, sample names, frames and arrays become a Dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.data.bulk import joined
from trainwell.data.columns import as_known
from trainwell.data.dataset import Dataset, IntArray, Kind
from trainwell.data.like import read_like
from trainwell.data.npyfile import is_array_folder
from trainwell.data.rows import is_table_file
from trainwell.data.samples import find_sample, load_sample
from trainwell.data.sources import existing_path, folder_kind, is_frame, is_there
from trainwell.data.target import class_order
from trainwell.errors import DataError, did_you_mean

__all__ = ["read", "read_like"]

TEST_GROUP = "(test part)"


def read(
    source: Any,
    *,
    target: str | None = None,
    group: str | None = None,
    kind: Kind | None = None,
    pattern: str | None = None,
    test: str | Path | None = None,
    image_size: int | None = None,
    rate: int | None = None,
) -> Dataset:
    """Labelled data of any kind.

    source: a path (table, .npz, or folder of pictures, of clips, or of X.npy and y.npy), the
        name of a sample set, a DataFrame, or arrays (X, y) or (X, y, groups).
    target, group: columns of a table; group is also a field of a file name pattern.
    test: a file or folder of the same form, appended as the official test part.
    image_size: longer side of pictures; rate: samples per second of waveforms in arrays.
    Raises DataError when there is no such data, an option does not fit it, or reading fails.
    """
    data = _read_one(source, target, group, kind, pattern, image_size, rate)
    if kind is not None and data.kind != kind:
        raise DataError(
            f"--kind {kind}", f"{data.name} holds {data.kind}", f"Leave it out or say {data.kind}."
        )
    return data if test is None else with_test(data, Path(test), pattern, group)


def _read_one(
    source: Any,
    target: str | None,
    group: str | None,
    kind: Kind | None,
    pattern: str | None,
    image_size: int | None,
    rate: int | None,
) -> Dataset:
    if isinstance(source, tuple) or is_frame(source):
        _no_options(str(type(source).__name__), {"pattern": pattern, "image_size": image_size})
    if isinstance(source, tuple):
        from trainwell.data.arrays import read_arrays

        _no_options("arrays", {"target": target, "group": group})
        if len(source) not in (2, 3):
            raise DataError(
                "arrays", f"expected (X, y) or (X, y, groups), got {len(source)} items", ""
            )
        return read_arrays(*source, kind=kind, rate=rate)
    if is_frame(source):
        from trainwell.data.table import read_table

        return read_table(source, target=target, group=group)
    if isinstance(source, str) and not is_there(source) and find_sample(source):
        _no_options(
            f"sample set {source}",
            {"target": target, "group": group, "pattern": pattern, "image_size": image_size},
        )
        return load_sample(source)
    path = existing_path(source)
    if path.is_dir():
        return _read_folder(path, target, group, kind, pattern, image_size, rate)
    _no_options(path.name, {"pattern": pattern, "image_size": image_size})
    if path.suffix.lower() == ".npz":
        from trainwell.data.arrays import read_npz

        _no_options(path.name, {"target": target, "group": group})
        return read_npz(path, kind=kind, rate=rate)
    if not is_table_file(path):
        raise DataError(
            str(path),
            "expected a table, an .npz file with labels, or a folder, got a single "
            f"{path.suffix} file",
            "Name the folder that holds one folder of files per class.",
        )
    from trainwell.data.table import read_table

    return read_table(path, target=target, group=group)


def _read_folder(
    path: Path,
    target: str | None,
    group: str | None,
    kind: Kind | None,
    pattern: str | None,
    image_size: int | None,
    rate: int | None,
) -> Dataset:
    _no_options(f"folder {path.name}", {"target": target})
    if is_array_folder(path):
        from trainwell.data.arrays import read_npz

        options = {"group": group, "pattern": pattern, "image_size": image_size}
        _no_options(f"folder of arrays {path.name}", options)
        return read_npz(path, kind=kind, rate=rate)
    if (kind or folder_kind(path)) == "audio":
        from trainwell.data.audio import read_audio

        _no_options(f"folder of clips {path.name}", {"image_size": image_size})
        return read_audio(path, pattern=pattern, group=group)
    from trainwell.data.images import read_images

    return read_images(path, pattern=pattern, group=group, image_size=image_size)


def _no_options(where: str, given: Mapping[str, object]) -> None:
    """Raise DataError when an option was given that this kind of source has no use for."""
    for name, value in given.items():
        if value is not None:
            option = name.replace("_", "-")
            raise DataError(f"--{option} {value}", f"has no meaning for {where}", "Leave it out.")


def with_test(
    data: Dataset, path: Path, pattern: str | None = None, group: str | None = None
) -> Dataset:
    """The data with the examples of another file or folder as official test part.

    Groups, where the data have them, go on in the test part if it says its groups; rows that
    have none are of a group of their own.
    Raises DataError when there is a test part already, or the other file has no labels, labels
    that training lacks, or another form.
    """
    if data.official_test is not None:
        raise DataError(
            f"--test {path}",
            f"{data.name} has a test part already ({int(data.official_test.sum())} rows)",
            "Leave the option out, or remove that part.",
        )
    new = read_like(path, data.schema, data.classes, pattern=pattern, group=group)
    if new.labels is None:
        raise DataError(
            f"--test {path}", "expected labels in the test part, got none", "Add the labels."
        )
    codes = {name: code for code, name in enumerate(data.classes)}
    for where, label in zip(new.names, new.labels, strict=True):
        if label not in codes:
            got = f'the label "{label}"' if label else "no label"
            mend = "row" if data.kind == "table" else "file (its folder is called like its class)"
            raise DataError(
                f"{path}: {where}",
                f"expected a class of the training data, got {got}",
                f"Correct or remove the {mend}. {did_you_mean(label, data.classes)}",
            )
    labels = np.array([codes[label] for label in new.labels], np.int64)
    groups, group_names, notes = data.groups, data.group_names, new.notes
    if groups is not None:
        found = new.groups or _groups_by_name(data, groups, new.names)
        members, group_names = _numbered(found or ("",) * len(labels), group_names)
        groups = np.concatenate([groups, members])
        alone = int((members == len(group_names) - 1).sum()) if TEST_GROUP in group_names else 0
        if alone:
            notes += (f"{alone} rows of {path} are of no group; taken as one of their own.",)
    return replace(
        data,
        inputs=joined([data.inputs, new.inputs]),
        labels=np.concatenate([data.labels, labels]),
        names=(*data.names, *(f"{path.name}: {name}" for name in new.names)),
        groups=groups,
        group_names=group_names,
        official_test=np.arange(len(data) + len(labels)) >= len(data),
        skipped=(*data.skipped, *new.skipped),
        notes=(*data.notes, *notes, f"The {len(labels)} rows of {path} are the test part."),
    )


def _numbered(found: tuple[str, ...], names: tuple[str, ...]) -> tuple[IntArray, tuple[str, ...]]:
    """Numbers (N,) of the groups found, "" being TEST_GROUP, and all names: new ones come last."""
    words = as_known(np.array(found, object), names).tolist()
    names += class_order(set(words) - {*names, ""})
    names += (TEST_GROUP,) if "" in words else ()
    numbers = {name: number for number, name in enumerate(names)} | {"": len(names) - 1}
    return np.array([numbers[word] for word in words], np.int64), names


def _groups_by_name(
    data: Dataset, groups: IntArray, names: Sequence[str]
) -> tuple[str, ...] | None:
    """Groups of files from that part of their names that was the group in training, or None."""
    members = [data.group_names[group] for group in groups]
    for mark in "_-":
        cut = [Path(name).stem.split(mark) for name in data.names]
        width = min(map(len, cut))
        if data.kind == "table" or width < 2 or width < max(map(len, cut)):
            continue
        for place in range(width):
            if [fields[place] for fields in cut] == members:
                new = [Path(name).stem.split(mark) for name in names]
                return tuple(f[place] if len(f) == width else "" for f in new)
    return None
