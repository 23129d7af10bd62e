"""Predictions written as they are made: the same lines, whole or not at all, with marks."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trainwell as tw
from trainwell.data import stream
from trainwell.errors import UserError
from trainwell.model import Model, load, save
from trainwell.prediction import predict, predict_to
from trainwell.progress import Progress


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    settings = {"epochs": 1, "model": "Linear()", "lr": 0.01}
    out = tmp_path_factory.mktemp("run") / "iris"
    run = tw.fit("iris", settings=settings, folds=2, seeds=1, out=out)
    return load(run.folder)


def iris(rows: int) -> pd.DataFrame:
    from sklearn.datasets import load_iris

    found = load_iris(as_frame=True).data
    return pd.concat([found] * (rows // len(found) + 1), ignore_index=True)[:rows]


def test_the_same_lines_as_at_once(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHARACTERS", 1000)
    frame = iris(400)
    frame.iloc[300, 2] = 1e6
    frame.to_csv(tmp_path / "new.csv", index=False)
    shown = io.StringIO()
    with Progress(stream=shown) as progress:
        done = predict_to(model, tmp_path / "new.csv", tmp_path / "o.csv", progress=progress)
    assert done.count == 400 and done.unusual == 1 and "predicting" in shown.getvalue()
    text = (tmp_path / "o.csv").read_text(encoding="utf-8")
    assert text == predict(model, tmp_path / "new.csv").to_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    marked = [(row["input"], row["unusual"]) for row in rows if row["unusual"]]
    assert marked == [("new.csv, line 302", "petal length (cm)")]


def test_what_is_begun_is_not_left_behind(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHARACTERS", 1000)
    lines = iris(200).to_csv(index=False).splitlines()
    (tmp_path / "new.csv").write_text("\n".join([*lines, "1,2,three,4"]) + "\n")
    with pytest.raises(UserError, match="line 202"):
        predict_to(model, tmp_path / "new.csv", tmp_path / "o.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["new.csv"]
    with pytest.raises(UserError, match="cannot be written"):
        predict_to(model, iris(3), tmp_path / "new.csv" / "o.csv")


def test_models_from_before_ranges_were_kept_still_predict(model: Model, tmp_path: Path) -> None:
    save(model, tmp_path)
    assert load(tmp_path).ranges is not None
    save(replace(model, ranges=None), tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["ranges"] is None
    found = predict(tmp_path, iris(5))
    assert found.unusual is None and "unusual" not in found.to_csv().splitlines()[0]
    np.testing.assert_array_equal(found.probabilities, predict(model, iris(5)).probabilities)


def test_unknown_truth_is_neither_right_nor_wrong(model: Model, tmp_path: Path) -> None:
    frame = iris(4)
    frame[model.schema.target] = [model.classes[0], "", "", model.classes[0]]  # type: ignore[union-attr]
    frame.to_csv(tmp_path / "new.csv", index=False)
    found = predict(model, tmp_path / "new.csv")
    assert found.right[1] == 2
    assert predict_to(model, tmp_path / "new.csv", io.StringIO()).known == 2
