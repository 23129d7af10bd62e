"""What every reader returns: inputs in their own type, labels, groups and where rows came from.

Shapes: N examples, D features, C classes (or channels, where said), H × W pixels, T samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from trainwell.data.keys import row_keys

Kind = Literal["table", "images", "audio"]
ColumnType = Literal["number", "boolean", "category", "date"]
Precision = Literal["float32", "float64"]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
# What a date column becomes, in this order. Hours only matter where the data have times.
DATE_PARTS = ("days", "month", "weekday", "hour")


@dataclass(frozen=True)
class Column:
    """One column of a table as the user wrote it.

    `levels` are the words of a category; a date has the one form its dates are written in.
    """

    name: str
    type: ColumnType
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feature:
    """One column of the input matrix; `levels` empty means a number, else codes 0..L-1."""

    name: str
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSchema:
    """Columns of a table, without target and group; inputs are float (N, D), NaN = missing.

    ignored: columns of the training table that are no input (group, constant, free text).
    precision: type of the inputs in training, and so of every row to predict.
    comma_columns: columns whose numbers were written with a decimal comma in training.
    """

    columns: tuple[Column, ...]
    target: str
    kind: Literal["table"] = "table"
    ignored: tuple[str, ...] = ()
    precision: Precision = "float32"
    comma_columns: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[Feature, ...]:
        """Columns of the input matrix: a date gives one for each of DATE_PARTS."""
        found: list[Feature] = []
        for column in self.columns:
            if column.type == "date":
                found += [Feature(f"{column.name}:{part}") for part in DATE_PARTS]
            else:
                found.append(Feature(column.name, column.levels))
        return tuple(found)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (D,)."""
        return (len(self.features),)


@dataclass(frozen=True)
class ImageSchema:
    """Pictures of one size; inputs are uint8 (N, C, H, W) with C = 1 (grey) or 3 (RGB).

    Arrays may have two or four channels as well.
    """

    channels: int
    height: int
    width: int
    kind: Literal["images"] = "images"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (C, H, W)."""
        return (self.channels, self.height, self.width)


@dataclass(frozen=True)
class AudioSchema:
    """Mono clips of one length; inputs are int16 (N, T), zero-padded or cut to T samples."""

    rate: int  # samples per second
    samples: int  # T
    kind: Literal["audio"] = "audio"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (T,)."""
        return (self.samples,)


Schema = TableSchema | ImageSchema | AudioSchema


def schema_to_json(schema: Schema) -> dict[str, Any]:
    """Plain data for a JSON file; `schema_from_json` gives the schema back."""
    return asdict(schema)


def schema_from_json(data: Mapping[str, Any]) -> Schema:
    """The inverse of `schema_to_json`.

    >>> schema_from_json(schema_to_json(ImageSchema(1, 28, 28)))
    ImageSchema(channels=1, height=28, width=28, kind='images')
    """
    if data["kind"] == "table":
        columns = tuple(Column(c["name"], c["type"], tuple(c["levels"])) for c in data["columns"])
        return TableSchema(
            columns,
            data["target"],
            ignored=tuple(data.get("ignored", ())),
            precision=data.get("precision", "float32"),
            comma_columns=tuple(data.get("comma_columns", ())),
        )
    if data["kind"] == "images":
        return ImageSchema(data["channels"], data["height"], data["width"])
    return AudioSchema(data["rate"], data["samples"])


@dataclass(frozen=True)
class Skipped:
    """A file or row that could not be used, and why."""

    where: str
    why: str


class Numbered(Sequence[str]):
    """Names that only count ("row 0", "row 1", ...): made when asked for, so they take no memory.

    >>> names = Numbered("row", 3)
    >>> names[1], names[-1], names[:2], len(names)
    ('row 1', 'row 2', ('row 0', 'row 1'), 3)
    """

    def __init__(self, word: str, count: int) -> None:
        self.word, self.numbers = word, range(count)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...

    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(f"{self.word} {number}" for number in self.numbers[place])
        return f"{self.word} {self.numbers[place]}"


@dataclass(frozen=True)
class Dataset:
    """Labelled examples, all rows, before any split.

    inputs: (N, *schema.shape) in the data's own type (float32/float64, uint8 or int16); data
        that do not fit into memory lie in a mapped file and are not to be changed.
    labels: (N,) class numbers 0..C-1 into `classes`.
    groups: (N,) group numbers, or None; rows of one group never straddle a split.
    group_names: name of each group number.
    official_test: (N,) True for rows of a test part that came with the data, or None.
    names: where each row came from ("digits.csv, line 17", "cat/003.png").
    skipped: what could not be used; notes: what the reader decided, in words for the user.
    """

    name: str
    schema: Schema
    inputs: npt.NDArray[Any]
    labels: IntArray
    classes: tuple[str, ...]
    names: Sequence[str]
    groups: IntArray | None = None
    group_names: tuple[str, ...] = ()
    official_test: BoolArray | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def keys(self) -> IntArray:
        """A number per row (N,), equal for rows with equal inputs (see keys.row_keys)."""
        return row_keys(self.inputs)

    @property
    def kind(self) -> Kind:
        """table, images or audio."""
        return self.schema.kind

    @property
    def counts(self) -> IntArray:
        """Rows per class, shape (C,)."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    def groups_of(self, rows: IntArray) -> IntArray | None:
        """Group numbers (n,) of some rows, None where the data have no groups."""
        return None if self.groups is None else self.groups[rows]


@dataclass(frozen=True)
class NewData:
    """Examples to predict, read in the form a model was trained on.

    inputs: (N, *schema.shape); names: where each row came from.
    labels: (N,) class names where the input happens to hold them, else None.
    groups: (N,) names of groups, "" where a row has none, where they were asked for and are there.
    unknown: (N,) columns that hold a word training did not know, "" where none does; of tables.
    """

    inputs: npt.NDArray[Any]
    names: Sequence[str]
    labels: tuple[str, ...] | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    unknown: tuple[str, ...] | None = None
