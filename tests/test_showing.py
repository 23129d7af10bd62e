"""Examples beside their augmented copies: what is kept for the report, and how it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers import made
from helpers.data import clips, pictures, table
from trainwell.report import page
from trainwell.report.augmented import augmented_sheet, read_augmented
from trainwell.showing import COPIES, augmented_examples, write_examples
from trainwell.techniques.augment.audio import AddNoise
from trainwell.techniques.augment.images import Shift
from trainwell.techniques.augment.mixing import MixUp
from trainwell.techniques.augment.pixels import Flip
from trainwell.techniques.augment.tables import Jitter


def test_copies_are_what_the_augmentation_makes_of_training_rows() -> None:
    data = pictures(rows=60)
    rows = np.arange(40)
    found = augmented_examples(data, (Flip(horizontal=True, probability=1.0),), rows, seed=1)
    assert found is not None and set(found["rows"]) <= set(rows)
    assert np.array_equal(found["clean"], data.inputs[found["rows"]])
    assert found["changed"].shape == (COPIES, *found["clean"].shape)
    assert np.array_equal(found["changed"][0], found["clean"][..., ::-1])
    again = augmented_examples(data, (Flip(horizontal=True, probability=1.0),), rows, seed=1)
    assert again is not None and np.array_equal(again["changed"], found["changed"])


def test_copies_differ_from_each_other_and_keep_the_type() -> None:
    data = clips(rows=36)
    found = augmented_examples(data, (AddNoise(snr_db=5.0),), np.arange(36), seed=0)
    assert found is not None and found["changed"].dtype == np.int16
    assert not np.array_equal(found["changed"][0], found["changed"][1])
    assert not np.array_equal(found["changed"][0], found["clean"])


def test_nothing_to_show(tmp_path: Path) -> None:
    assert augmented_examples(table(rows=50), (Jitter(),), np.arange(50), 0) is None
    assert augmented_examples(pictures(rows=60), (MixUp(),), np.arange(60), 0) is None
    write_examples(tmp_path, pictures(rows=60), (), np.arange(60), 0)
    assert {p.name for p in tmp_path.iterdir()} == {"examples.npz"}
    assert read_augmented(tmp_path) is None and augmented_sheet({}, None) is None


def test_the_report_shows_pictures_and_plays_clips(tmp_path: Path) -> None:
    write_examples(tmp_path, pictures(rows=60), (Shift(1.0),), np.arange(60), 0)
    facts = made.run_json()
    sheet = augmented_sheet(facts, read_augmented(tmp_path))
    assert sheet is not None and sheet["columns"] == COPIES + 1
    assert "What augmentation shows the network" in page.render(facts, augmented=sheet)
    write_examples(tmp_path, clips(rows=36), (AddNoise(),), np.arange(36), 0)
    facts["data"]["clips"] = {"rate": 8000}
    shown = page.render(facts, augmented=augmented_sheet(facts, read_augmented(tmp_path)))
    assert shown.count("<audio controls") == 3 * 4
    assert augmented_sheet(made.run_json(), read_augmented(tmp_path)) is None  # no rate is known
