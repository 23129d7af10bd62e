"""Which files of a folder are examples, and what their place or name says about them."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import (
    AudioSchema,
    BoolArray,
    Dataset,
    ImageSchema,
    IntArray,
    Skipped,
)
from trainwell.data.target import MOST_CLASSES, class_order
from trainwell.errors import DataError, did_you_mean, visible

TRAIN_PARTS = ("train", "training")
VALIDATION_PARTS = ("val", "valid", "validation", "dev")
TEST_PARTS = ("test", "testing")
MIN_GROUPS = 3
HIDDEN = (".", "__MACOSX")
_FIELD = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True)
class Example:
    """A file and what is known of it before it is opened; `name` is its path in the folder."""

    path: Path
    name: str
    label: str
    group: str = ""
    test: bool = False


@dataclass(frozen=True)
class Folder:
    """All examples of a folder, sorted by name; notes say how the labels were found."""

    examples: tuple[Example, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


def list_files(root: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], list[Skipped]]:
    """Files below `root` with one of the suffixes, sorted, and the other ones with the reason.

    Hidden files and folders are passed over in silence. Links to files are followed, links to
    folders are not: they may lead in a circle.
    """
    files, skipped = [], []

    def cannot(error: OSError) -> None:
        folder = Path(error.filename)
        why = f"the folder cannot be read ({error.strerror})"
        skipped.append(Skipped(shown(folder, root), why))

    for place, folders, names in os.walk(root, onerror=cannot):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        for name in folders:
            if (link := Path(place, name)).is_symlink():
                why = "it is a link to a folder, which is not followed; move the folder here"
                skipped.append(Skipped(shown(link, root), why))
        for path in (Path(place, name) for name in names if not name.startswith(HIDDEN)):
            if path.suffix.lower() not in suffixes:
                if path.name not in ("Thumbs.db", "desktop.ini"):
                    why = f"its name does not end in {suffixes[0]} or the like"
                    skipped.append(Skipped(shown(path, root), why))
            elif why := _no_file(path):
                skipped.append(Skipped(shown(path, root), why))
            else:
                files.append(path)
    return sorted(files), sorted(skipped, key=lambda item: item.where)


def _no_file(path: Path) -> str:
    """Why this is no file whose bytes can be read to an end, or ""."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return "" if stat.S_ISREG(mode) else "it is no file but a pipe, a device or the like"


def shown(path: Path, root: Path) -> str:
    """The path below `root` in characters that can be printed and written anywhere."""
    return visible(path.relative_to(root).as_posix(), keep="")


def scan(
    root: Path,
    suffixes: tuple[str, ...],
    *,
    pattern: str | None = None,
    group: str | None = None,
    who: str = "subject",
) -> Folder:
    """The labelled files of a folder.

    Labels come from the pattern's {label}, else from the folders (a folder per class, perhaps
    below train/ and test/), else from file names such as label_who_3.wav, if all look so.
    group: a field of the pattern; files that share its value form a group.
    Raises DataError when no label can be found, or the pattern has no such field.
    """
    files, skipped = list_files(root, suffixes)
    if not files:
        found = f" ({len(skipped)} files of other kinds)" if skipped else ""
        raise DataError(
            str(root),
            f"expected files ending in {', '.join(suffixes[:4])}, ..., found none{found}",
            "Name a folder that holds one folder of files per class.",
        )
    notes: tuple[str, ...] = ()
    parts = part_folders(root, files)
    flat = all(path.parent == files[0].parent for path in files) or (
        parts is not None and all(path.parent.parent == root for path in files)
    )
    if pattern is None and flat and (files[0].parent == root or parts is not None):
        pattern, proposed, notes = detect_pattern(files, root, who)
        group = group or proposed
    elif pattern is None and group is not None:
        raise DataError(
            f"--group {group}",
            "for files, groups are taken from file names, and no pattern is given",
            "Say how the files are named, for instance "
            f'--pattern "{{label}}_{{{group}}}_{{index}}".',
        )
    labelled, unlabelled = _label(root, files, parts, pattern, group)
    notes += _part_notes(root, files, parts)
    notes += _empty_classes(root, parts, labelled) if pattern is None else ()
    if not labelled:
        raise DataError(
            str(root),
            f'no file name fits the pattern "{pattern}" (first file: {files[0].name})'
            if pattern
            else "no file lies in the folder of a class",
            "Correct the pattern, or sort the files into one folder per class.",
        )
    return Folder(tuple(labelled), (*skipped, *unlabelled), notes)


def part_folders(root: Path, files: list[Path]) -> dict[str, str] | None:
    """Name of each part folder and its role, if the folder is divided into train and test.

    That is so when there is a folder named train, and beside it either another part or nothing:
    "train" among "car" and "plane" is a class.
    """
    roles = dict.fromkeys(TRAIN_PARTS, "train")
    roles |= dict.fromkeys(VALIDATION_PARTS, "validation") | dict.fromkeys(TEST_PARTS, "test")
    insides = [path.relative_to(root).parts for path in files]
    tops = {inside[0] for inside in insides if len(inside) > 1}
    found = {top: roles[top.lower()] for top in tops if top.lower() in roles}
    several = len(set(found.values())) > 1
    return found if "train" in found.values() and (several or len(found) == len(tops)) else None


def _label(
    root: Path,
    files: list[Path],
    parts: dict[str, str] | None,
    pattern: str | None,
    group: str | None,
) -> tuple[list[Example], list[Skipped]]:
    """Every file with its label and group; files that have none, with the reason."""
    expression = compile_pattern(pattern, group) if pattern else None
    examples: list[Example] = []
    skipped: list[Skipped] = []
    for path in files:
        inside, name = path.relative_to(root), shown(path, root)
        if parts and inside.parts[0] not in parts:
            skipped.append(Skipped(name, "it lies beside the folders train and test"))
            continue
        test = parts is not None and parts[inside.parts[0]] == "test"
        below = inside.parts[1:] if parts else inside.parts
        label, who = below[0] if len(below) > 1 else "", ""
        if expression and pattern:
            match = expression.fullmatch(matched_name(path, root, pattern))
            if not match:
                skipped.append(Skipped(name, f'its name does not fit "{pattern}"'))
                continue
            label = match.groupdict().get("label") or label
            who = match.groupdict().get(group or "", "") or ""
        if not label:
            skipped.append(Skipped(name, "it does not lie in the folder of a class"))
            continue
        label, who = visible(label, keep=""), visible(who, keep="")
        examples.append(Example(path, name, label, who, test))
    return examples, skipped


def matched_name(path: Path, root: Path, pattern: str) -> str:
    """The part of a path that a pattern speaks about: as many levels, suffix only if named."""
    levels = path.relative_to(root).parts[-(pattern.count("/") + 1) :]
    name = "/".join(levels)
    return (
        name
        if Path(pattern).suffix and "{" not in Path(pattern).suffix
        else name[: -len(path.suffix)]
    )


def compile_pattern(pattern: str, group: str | None) -> re.Pattern[str]:
    """A pattern such as "{label}_{speaker}_{index}.wav" as a regular expression.

    A field stands for one or more characters, as few as fit; no field contains a "/".

    >>> compile_pattern("{label}_{who}", None).fullmatch("seven_anna").groupdict()
    {'label': 'seven', 'who': 'anna'}
    """
    fields = _FIELD.findall(pattern)
    if not fields or not all(field.isidentifier() for field in fields):
        raise DataError(
            f'pattern "{pattern}"',
            "expected fields in braces, such as {label}_{speaker}_{index}",
            "Name the parts of the file names; one of them is usually {label}.",
        )
    if len(set(fields)) < len(fields):
        raise DataError(f'pattern "{pattern}"', "names a field twice", "Give it another name.")
    if group is not None and group not in fields:
        raise DataError(
            f"--group {group}",
            f'the pattern "{pattern}" has no such field',
            did_you_mean(group, fields),
        )
    pieces = _FIELD.split(pattern)  # text, field, text, field, ..., text
    return re.compile(
        "".join(
            rf"(?P<{piece}>[^/]+?)" if odd else re.escape(piece)
            for piece, odd in zip(pieces, np.arange(len(pieces)) % 2, strict=True)
        )
    )


def detect_pattern(
    files: list[Path], root: Path, who: str
) -> tuple[str, str | None, tuple[str, ...]]:
    """The pattern of names such as 7_anna_3.wav, the field to group by, and notes.

    Raises DataError when the names do not all have the same number of parts, or the first
    part is not one of few words.
    """
    for mark in ("_", "-"):
        cut = [path.stem.split(mark) for path in files]
        width = len(cut[0])
        labels = {fields[0] for fields in cut}
        if width < 2 or any(len(fields) != width or not all(fields) for fields in cut):
            continue
        if not 2 <= len(labels) <= max(2, len(files) // 3):
            continue
        names = ["label", *(f"field{i}" for i in range(2, width + 1))]
        group = None
        if width == 3 and all(fields[2].isdigit() for fields in cut):
            names = ["label", who, "index"]
            group = who if _are_groups([(f[0], f[1]) for f in cut]) else None
        pattern = mark.join(f"{{{name}}}" for name in names)
        notes = [f'File names are read as "{pattern}"; labels are the first part.']
        if group:
            count = len({fields[1] for fields in cut})
            notes.append(f"Groups are the {count} values of the second part, taken as the {who}.")
        return pattern, group, tuple(notes)
    raise DataError(
        str(root),
        f"expected one folder per class, found {len(files)} files in one folder, whose names do "
        f"not plainly hold a label (first: {files[0].name})",
        "Sort the files into one folder per class, or say how they are named, for instance "
        f'--pattern "{{label}}_{{{who}}}_{{index}}".',
    )


def _are_groups(pairs: list[tuple[str, str]]) -> bool:
    """Whether second parts look like people: several, each with more than one label."""
    labels: dict[str, set[str]] = {}
    for label, who in pairs:
        labels.setdefault(who, set()).add(label)
    shared = sum(len(found) > 1 for found in labels.values())
    return len(labels) >= MIN_GROUPS and shared > len(labels) / 2


def _part_notes(root: Path, files: list[Path], parts: dict[str, str] | None) -> tuple[str, ...]:
    if not parts:
        return ()
    counts = Counter(path.relative_to(root).parts[0] for path in files)
    notes = []
    for top, role in sorted(parts.items()):
        if role == "validation":
            notes.append(f"The {counts[top]} files in {top}/ are used for training.")
        if role == "test":
            notes.append(f"The {counts[top]} files in {top}/ are the test part.")
    return tuple(notes)


def _empty_classes(
    root: Path, parts: dict[str, str] | None, examples: list[Example]
) -> tuple[str, ...]:
    """A note for each class folder without a usable file."""
    tops = [root / part for part in sorted(parts)] if parts else [root]
    used = {(example.test, example.label) for example in examples}
    notes = []
    for top in tops:
        test = parts is not None and parts[top.name] == "test"
        for folder in sorted(path for path in top.iterdir() if path.is_dir()):
            hidden = folder.name.startswith(HIDDEN) or folder.is_symlink()
            if not hidden and (test, visible(folder.name, keep="")) not in used:
                notes.append(f"Folder {shown(folder, root)}/ holds no usable file and is no class.")
    return tuple(notes)


def number_examples(
    examples: Iterable[Example], root: Path
) -> tuple[IntArray, tuple[str, ...], IntArray | None, tuple[str, ...], BoolArray | None]:
    """labels, classes, groups, group names and official test of the examples, as in Dataset.

    Raises DataError when there are fewer than two classes among the training files.
    """
    listed = list(examples)
    classes = class_order({example.label for example in listed if not example.test})
    unknown = [example for example in listed if example.label not in classes]
    if unknown:
        raise DataError(
            str(unknown[0].path),
            f'expected a class of the training part, got "{unknown[0].label}"',
            f"Rename or remove it. {did_you_mean(unknown[0].label, classes)}",
        )
    if len(classes) > MOST_CLASSES:
        raise DataError(
            str(root),
            f"expected at most {MOST_CLASSES} classes, got {len(classes)}",
            "Make one folder per class, and put seldom ones together.",
        )
    if len(classes) < 2:
        raise DataError(
            str(root),
            f'expected at least two classes, got only "{classes[0]}"' if classes else "no classes",
            "Make one folder per class, or name the label in a --pattern.",
        )
    numbers = {label: number for number, label in enumerate(classes)}
    labels = np.array([numbers[example.label] for example in listed], np.int64)
    names = class_order({example.group for example in listed}) if listed[0].group else ()
    members = {name: number for number, name in enumerate(names)}
    groups = np.array([members[e.group] for e in listed], np.int64) if names else None
    test = np.array([example.test for example in listed], bool)
    return labels, classes, groups, names, test if test.any() else None


def folder_dataset(
    root: Path,
    schema: ImageSchema | AudioSchema,
    inputs: npt.NDArray[Any],
    kept: Sequence[Example],
    skipped: Iterable[Skipped],
    notes: Iterable[str],
) -> Dataset:
    """The data set of the examples that could be read, `inputs` (N, ...) in their order.

    Raises DataError when there are fewer than two classes among the training files.
    """
    labels, classes, groups, group_names, test = number_examples(kept, root)
    return Dataset(
        name=visible(root.resolve().name, keep=""),
        schema=schema,
        inputs=inputs,
        labels=labels,
        classes=classes,
        names=tuple(example.name for example in kept),
        groups=groups,
        group_names=group_names,
        official_test=test,
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


def nothing_left(root: Path, skipped: Iterable[Skipped], what: str) -> DataError:
    """The error when not one file could be used."""
    listed = list(skipped)
    reasons = "; ".join(f"{item.where}: {item.why}" for item in listed[:3])
    return DataError(
        str(root),
        f"expected {what}, but none of the {len(listed)} files could be used ({reasons})",
        "Replace the files, or name another folder.",
    )
