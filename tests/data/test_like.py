"""New rows: a row means what it meant in training, whatever other rows stand beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trainwell.data.dataset import TableSchema, schema_from_json, schema_to_json
from trainwell.data.read import read, read_like
from trainwell.errors import DataError

IDS = 10**12 + np.arange(40) % 10


def write(folder: Path, text: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_precision_is_that_of_training(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": IDS, "b": np.arange(40) % 3, "y": np.arange(40) % 2})
    data = read(frame, target="y")
    assert isinstance(data.schema, TableSchema) and data.schema.precision == "float64"
    schema = schema_from_json(schema_to_json(data.schema))
    assert schema == data.schema
    for source in (frame[3:4], write(tmp_path, f"id,b,y\n{IDS[3]},0,1\n")):
        new = read_like(source, schema, data.classes)
        assert new.inputs.dtype == np.float64
        np.testing.assert_array_equal(new.inputs, data.inputs[3:4])
    small = read(frame[["b", "y"]].assign(c=np.arange(40) % 7), target="y")
    new = read_like(pd.DataFrame({"b": IDS[:9], "c": IDS[:9]}), small.schema, small.classes)
    assert new.inputs.dtype == np.float32


def test_the_precision_of_arrays() -> None:
    values = np.stack([IDS, np.arange(40)], axis=1).astype(np.float64)
    data = read((values, np.arange(40) % 2))
    new = read_like(values[3:4], data.schema, data.classes)
    assert data.inputs.dtype == new.inputs.dtype == np.float64
    np.testing.assert_array_equal(new.inputs, data.inputs[3:4])
    data = read((values % 7, np.arange(40) % 2))
    assert read_like(values, data.schema, data.classes).inputs.dtype == np.float32


def test_schemas_of_older_files_have_no_precision() -> None:
    stored = schema_to_json(read((np.eye(4), [0, 1, 0, 1])).schema)
    del stored["precision"], stored["comma_columns"]
    schema = schema_from_json(stored)
    assert isinstance(schema, TableSchema) and schema.precision == "float32"


def test_a_number_too_large_for_the_precision_of_training() -> None:
    frame = pd.DataFrame({"a": np.arange(8.0) % 5, "y": [0, 1] * 4})
    schema = read(frame, target="y").schema
    with pytest.raises(DataError, match=r'row 1, column "a": .* of the size .* got 1e\+300'):
        read_like(pd.DataFrame({"a": [1.0, 1e300]}), schema, ("0", "1"))


def test_codes_with_leading_zeros_stay_words(tmp_path: Path) -> None:
    rows = "".join(f"{['007', 'A12', '3.0'][i % 3]},{i % 4},{'pq'[i % 2]}\n" for i in range(40))
    data = read(write(tmp_path, "code,v,y\n" + rows))
    for code, level in (("007", 0), ("3.0", 1), ("A12", 2)):
        new = read_like(write(tmp_path, f"code,v\n{code},1\n"), data.schema, data.classes)
        assert new.inputs[0].tolist() == [level, 1] and not new.notes
    new = read_like(write(tmp_path, "code,v\n7,1\n"), data.schema, data.classes)
    assert np.isnan(new.inputs[0, 0]) and '"7" did not occur in training' in new.notes[0]


def test_labels_of_new_rows_are_read_as_in_training(tmp_path: Path) -> None:
    for label, classes, found in (
        (["007", "008"], ("7", "8"), ("8",)),
        (["1.0", "2.0"], ("1", "2"), ("2",)),
        (["true", "false"], ("False", "True"), ("False",)),
        (["x1", "x2"], ("x1", "x2"), ("x2",)),
    ):
        rows = "".join(f"{i % 7},{label[i % 2]}\n" for i in range(40))
        data = read(write(tmp_path, "v,y\n" + rows))
        assert data.classes == classes
        new = read_like(write(tmp_path, f"v,y\n1,{label[1]}\n"), data.schema, data.classes)
        assert new.labels == found
    frame = pd.DataFrame({"v": np.arange(40) % 7, "y": ["007", "012"] * 20})
    data = read(frame, target="y")
    new = read_like(write(tmp_path, "v,y\n1,007\n"), data.schema, data.classes)
    assert new.labels == ("007",)


def test_categories_that_are_numbers(tmp_path: Path) -> None:
    kinds = pd.Categorical([3.0, 1.0] * 20)
    data = read(pd.DataFrame({"k": kinds, "v": range(5, 85, 2), "y": [0, 1] * 20}), target="y")
    new = read_like(write(tmp_path, "k,v\n3.0,1\n1,2\n"), data.schema, data.classes)
    assert new.inputs[:, 0].tolist() == [1, 0]
