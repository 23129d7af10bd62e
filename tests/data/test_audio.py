"""Folders of clips: rates, lengths, channels, file names, damaged files."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trainwell.data.audio import load_clip
from trainwell.data.clips import common_length, fit_clip, stack_clips
from trainwell.data.dataset import AudioSchema
from trainwell.data.read import read, read_like
from trainwell.errors import DataError


def tone(seconds: float = 0.1, rate: int = 8000, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def save(path: Path, wave: np.ndarray, rate: int = 8000, subtype: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype=subtype)
    return path


def test_16_bit_mono_comes_back_exactly(tmp_path: Path) -> None:
    samples = np.array([0, 1, -1, 32767, -32768, 12345], np.int16)
    assert load_clip(save(tmp_path / "a.wav", samples), 8000).tolist() == samples.tolist()
    assert load_clip(save(tmp_path / "a.flac", samples), 8000).tolist() == samples.tolist()


def test_channels_are_averaged_and_floats_clipped(tmp_path: Path) -> None:
    stereo = np.stack([np.full(8, 0.5), np.full(8, -0.25)], axis=1)
    assert load_clip(save(tmp_path / "s.wav", stereo, subtype="FLOAT"), 8000)[0] == 4096
    loud = save(tmp_path / "l.wav", np.array([2.0, -2.0]), subtype="FLOAT")
    assert load_clip(loud, 8000).tolist() == [32767, -32768]


def test_mixed_rates_formats_and_lengths(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "low" / f"{i}.wav", tone(0.1 + i / 100))
    save(tmp_path / "high" / "a.flac", tone(0.1, 44100), 44100)
    save(tmp_path / "high" / "b.ogg", tone(0.1, 16000), 16000)
    data = read(tmp_path)
    assert data.schema == AudioSchema(8000, 960)
    assert data.inputs.dtype == np.int16 and data.classes == ("high", "low")
    # The same tone, whichever way it was written.
    want = tone(0.1)[200:600] * 32768
    assert np.abs(data.inputs[0, 200:600] - want).max() < 400
    assert data.inputs[2, 800:].tolist() == [0] * 160
    assert any(
        "8000, 16000, 44100 samples per second are resampled to 8000" in n for n in data.notes
    )


def test_above_16_kHz_is_brought_to_16_kHz(tmp_path: Path) -> None:
    for label in "ab":
        save(tmp_path / label / "1.wav", tone(0.1, 48000), 48000)
    assert read(tmp_path).schema == AudioSchema(16000, 1600)


def test_length_of_clips() -> None:
    assert common_length([100, 150], 8000) == 150
    assert common_length([100] * 99 + [1000], 8000) == 100
    assert common_length([10**6], 8000) == 80000
    quiet_loud = np.concatenate([np.zeros(50), np.full(20, 9), np.zeros(50)]).astype(np.int16)
    assert fit_clip(quiet_loud, 20).tolist() == [9] * 20
    # Where the loud part is shorter than the cut, it lies as central as can be.
    assert fit_clip(np.zeros(9, np.int16), 3).tolist() == [0, 0, 0]
    stacked, notes = stack_clips([quiet_loud, quiet_loud[:5]], 10, 20)
    assert stacked.shape == (2, 20)
    assert "1 of 2 clips are longer than 2.00 s" in notes[0] and "added silence" in notes[1]


def test_names_are_read_when_all_lie_in_one_folder(tmp_path: Path) -> None:
    for i in range(24):
        save(tmp_path / f"{i % 2}_{['anna', 'ben', 'carl'][i % 3]}_{i}.wav", tone())
    data = read(tmp_path)
    assert data.classes == ("0", "1")
    assert data.group_names == ("anna", "ben", "carl")
    assert '"{label}_{speaker}_{index}"' in data.notes[0]
    assert "Groups are the 3 values of the second part, taken as the speaker." in data.notes
    named = read(tmp_path, pattern="{label}_{speaker}_{index}.wav", group="index")
    assert len(named.group_names) == 24


def test_no_groups_where_the_second_part_tells_the_label(tmp_path: Path) -> None:
    for i in range(24):
        save(tmp_path / f"{['dog', 'cat'][i % 2]}_{'abcd'[i % 4]}_{i}.wav", tone())
    assert read(tmp_path).groups is None


def test_bad_clips_are_skipped_with_the_reason(tmp_path: Path) -> None:
    for label in "ab":
        save(tmp_path / label / "good.wav", tone())
    save(tmp_path / "a" / "empty.wav", np.zeros(0))
    save(tmp_path / "a" / "nan.wav", np.array([np.nan, 0.1]), subtype="FLOAT")
    (tmp_path / "a" / "zero.wav").touch()
    (tmp_path / "a" / "text.wav").write_text("no sound")
    data = read(tmp_path)
    why = {item.where: item.why for item in data.skipped}
    assert len(data) == 2
    assert why["a/empty.wav"] == "it holds no sound (length 0)"
    assert why["a/nan.wav"] == "it holds samples that are not finite numbers"
    assert why["a/zero.wav"] == "the file is empty"
    assert "cannot be read as a sound clip" in why["a/text.wav"]


def test_all_clips_bad(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.wav").write_text("x")
    with pytest.raises(DataError, match=r"none of the 2 files could be used \(a/1.wav: it cannot"):
        read(tmp_path)


def test_new_clips_take_the_rate_and_length_of_training(tmp_path: Path) -> None:
    schema = AudioSchema(8000, 1000)
    path = save(tmp_path / "yes" / "x.wav", tone(0.5, 16000), 16000)
    new = read_like(path, schema, ("no", "yes"))
    assert new.inputs.shape == (1, 1000) and new.labels == ("yes",)
    flat = read_like(tmp_path, schema, ("no",))
    assert flat.labels is None
    with pytest.raises(DataError, match=r"expected images as in training"):
        from trainwell.data.dataset import ImageSchema

        read_like(path, ImageSchema(1, 8, 8), ())
    (tmp_path / "bad.wav").touch()
    with pytest.raises(DataError, match="the file is empty"):
        read_like(tmp_path / "bad.wav", schema, ())


def test_new_clips_with_the_label_in_their_names(tmp_path: Path) -> None:
    for name in ("yes_1", "no_1", "yes_2"):
        save(tmp_path / f"{name}.wav", tone())
    new = read_like(tmp_path, AudioSchema(8000, 100), ("no", "yes"))
    assert new.labels == ("no", "yes", "yes")
    new = read_like(tmp_path, AudioSchema(8000, 100), ("1", "2"), pattern="{who}_{label}")
    assert new.labels == ("1", "1", "2")


def test_folder_of_clips_gives_what_the_sample_gives(tmp_path: Path) -> None:
    path = Path(os.environ.get("TRAINWELL_DATA", "/nowhere")) / "fsdd" / "fsdd-4-speakers.tar.gz"
    if not path.is_file():
        pytest.skip("fsdd is not in $TRAINWELL_DATA")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    data, sample = read(tmp_path / "fsdd"), read("fsdd")
    np.testing.assert_array_equal(data.inputs, sample.inputs)
    assert data.schema == sample.schema and data.names == sample.names
    assert data.labels.tolist() == sample.labels.tolist()
    assert data.groups is not None and sample.groups is not None
    assert data.groups.tolist() == sample.groups.tolist()
    assert data.group_names == sample.group_names
