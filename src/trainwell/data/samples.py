"""Loading the sample data sets: from $TRAINWELL_DATA, the cache, or scikit-learn."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.clips import stack_clips
from trainwell.data.dataset import AudioSchema, BoolArray, Dataset, ImageSchema
from trainwell.data.download import clips_digest, download, table_digest
from trainwell.data.sample_list import (
    FASHION_CLASSES,
    FSDD_SPEAKERS,
    SAMPLES,
    Sample,
    find_sample,
    sample_names,
)
from trainwell.errors import DataError, did_you_mean
from trainwell.files import cache_dir

_DAMAGED = (OSError, EOFError, zlib.error, tarfile.TarError, csv.Error, ValueError)

__all__ = [
    "SAMPLES",
    "Sample",
    "download",
    "find_sample",
    "is_present",
    "load_sample",
    "sample_names",
]


def _sample(name: str) -> Sample:
    sample = find_sample(name)
    if sample is None:
        hint = did_you_mean(name, sample_names())
        raise DataError(f'"{name}"', "is no sample data set", hint)
    return sample


def _folder(sample: Sample) -> Path | None:
    """The folder that holds all files of the sample, or None."""
    named = os.environ.get("TRAINWELL_DATA")
    folders = ([Path(named)] if named else []) + [cache_dir()]
    return next((f for f in folders if all((f / file).is_file() for file in sample.files)), None)


def is_present(name: str) -> bool:
    """Whether `load_sample(name)` works without a download."""
    sample = _sample(name)
    return not sample.files or _folder(sample) is not None


def load_sample(name: str) -> Dataset:
    """The sample set `name`, downloaded first where needed.

    Raises DataError for an unknown name, a failed download, or a file that is damaged or whose
    content is not that of the data set it is named after.
    """
    sample = _sample(name)
    if not sample.files:
        return _embedded(sample)
    folder = _folder(sample) or download(sample.name)
    paths = [folder / file for file in sample.files]
    try:
        dataset, digests = _load_files(sample, paths)
    except _DAMAGED as error:
        raise DataError(
            str(paths[0] if len(paths) == 1 else paths[0].parent),
            f"cannot be read as the sample set {sample.name} ({error})",
            "Remove the file: it is then fetched again.",
        ) from error
    if len(dataset) != sample.rows or len(dataset.classes) != sample.classes:
        raise DataError(
            str(paths[0]),
            f"expected {sample.rows} rows of {sample.classes} classes, got {len(dataset)} rows "
            f"of {len(dataset.classes)} classes",
            f"This is not the sample set {sample.name}: give the file another name.",
        )
    for path, expected, got in zip(paths, sample.sha256, digests, strict=True):
        if got != expected:
            raise DataError(
                str(path),
                f"is not the sample set {sample.name} as it was: expected content with sha256 "
                f"{expected}, got {got}",
                "Remove the file: it is then fetched again."
                if sample.urls
                else f"Put the original there (source: {sample.source}).",
            )
    return dataset


def _load_files(sample: Sample, paths: Sequence[Path]) -> tuple[Dataset, list[str]]:
    """The data, and the checksum of the content of every file (see download.py)."""
    if sample.kind == "images":
        contents = [gzip.decompress(path.read_bytes()) for path in paths]
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        parts = [read_idx(c, path.name) for c, path in zip(contents, paths, strict=True)]
        return _load_idx(sample, parts), digests
    if sample.kind == "audio":
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(paths[0].read_bytes()))) as archive:
            clips = {
                member.name.rpartition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
                for member in archive
                if member.isfile() and member.name.endswith(".wav")
            }
        return _load_fsdd(sample, clips), [clips_digest(clips)]
    with gzip.open(paths[0], "rt", encoding="utf-8", newline="") as file:
        digest = table_digest(list(csv.reader(file)))
    return _load_csv(sample, paths[0]), [digest]


def last_rows(sample: Sample, rows: int) -> BoolArray | None:
    """(N,) True for the official test part, or None where the sample has none."""
    return np.arange(rows) >= rows - sample.test_rows if sample.test_rows else None


def read_idx(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of bytes: big-endian sizes in front, then the values."""
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{name} is no IDX file of bytes")
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _load_idx(sample: Sample, parts: Sequence[npt.NDArray[np.uint8]]) -> Dataset:
    train, train_labels, test, test_labels = parts
    images = np.concatenate([train, test])[:, None]
    digits = tuple(str(digit) for digit in range(10))
    return Dataset(
        name=sample.name,
        schema=ImageSchema(1, *images.shape[2:]),
        inputs=images,
        labels=np.concatenate([train_labels, test_labels]).astype(np.int64),
        classes=FASHION_CLASSES if sample.name == "fashion_mnist" else digits,
        names=tuple(
            f"{part}, picture {number}"
            for part, count in (("train", len(train)), ("t10k", len(test)))
            for number in range(count)
        ),
        official_test=last_rows(sample, len(images)),
    )


def _wav_samples(content: bytes) -> npt.NDArray[np.int16]:
    import wave

    with wave.open(io.BytesIO(content)) as clip:
        if (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) != (8000, 1, 2):
            raise ValueError("expected clips of 8000 Hz, 16 bit, mono")
        return np.frombuffer(clip.readframes(clip.getnframes()), "<i2").astype(np.int16)


def _load_fsdd(sample: Sample, found: dict[str, bytes]) -> Dataset:
    names = sorted(found)
    fields = [name.removesuffix(".wav").split("_") for name in names]
    inputs, notes = stack_clips([_wav_samples(found[name]) for name in names], 8000)
    return Dataset(
        name=sample.name,
        schema=AudioSchema(8000, inputs.shape[1]),
        inputs=inputs,
        labels=np.array([int(digit) for digit, _, _ in fields], np.int64),
        classes=tuple(str(digit) for digit in range(10)),
        names=tuple(names),
        groups=np.array([FSDD_SPEAKERS.index(speaker) for _, speaker, _ in fields], np.int64),
        group_names=FSDD_SPEAKERS,
        notes=("Groups are the four speakers.", *notes),
    )


def _load_csv(sample: Sample, path: Path) -> Dataset:
    from trainwell.data.table import read_table

    table = read_table(path, target=sample.target)
    test = last_rows(sample, len(table))
    return replace(table, name=sample.name, official_test=test)


def _embedded(sample: Sample) -> Dataset:
    """A sample that scikit-learn carries: no file, no download."""
    from sklearn import datasets

    if sample.name == "digits":
        digits = datasets.load_digits()
        # Pixels are counted 0..16; × 15 spreads them over the range of a byte.
        pixels = (digits.images * 15).astype(np.uint8)[:, None]
        return Dataset(
            name=sample.name,
            schema=ImageSchema(1, 8, 8),
            inputs=pixels,
            labels=digits.target.astype(np.int64),
            classes=tuple(str(digit) for digit in range(10)),
            names=tuple(f"picture {number}" for number in range(len(pixels))),
        )
    loaders: dict[str, Any] = {
        "iris": datasets.load_iris,
        "wine": datasets.load_wine,
        "breast_cancer": datasets.load_breast_cancer,
    }
    return _embedded_table(sample, loaders[sample.name]())


def _embedded_table(sample: Sample, bunch: Any) -> Dataset:
    """A table of scikit-learn; the labels are words, in a column called "class"."""
    import pandas as pd

    from trainwell.data.table import read_table

    frame = pd.DataFrame(bunch.data, columns=list(map(str, bunch.feature_names)))
    frame["class"] = np.asarray(bunch.target_names, object)[bunch.target]
    return read_table(frame, target="class", name=sample.name)
