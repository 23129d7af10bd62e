"""Fetching sample sets from their original sources, and verifying what arrived.

What is verified is the content, not the compressed bytes, which differ between mirrors:
the bytes inside an IDX file; the cells of a table (a comma between cells, a newline between
rows); name, length and bytes of every clip, sorted by name.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from trainwell.data.sample_list import (
    FSDD_SPEAKERS,
    LETTER_COLUMNS,
    SATELLITE_CLASSES,
    SATELLITE_COLUMNS,
    Sample,
    find_sample,
    sample_names,
)
from trainwell.errors import DataError, did_you_mean
from trainwell.files import cache_dir


def download(name: str, urls: Sequence[str] | None = None) -> Path:
    """Fetch the files of a sample set into the cache and return the cache folder.

    urls: other addresses of the same files, in the order of `Sample.urls`.
    Raises DataError when the sample has no plain source, the network fails, or the content is
    not the expected one. A file appears under its name only after it was verified.
    """
    sample = find_sample(name)
    if sample is None:
        raise DataError(f'"{name}"', "is no sample data set", did_you_mean(name, sample_names()))
    folder = cache_dir()
    sources = tuple(urls) if urls is not None else sample.urls
    if not sample.files:
        return folder
    if not sources:
        raise DataError(
            sample.name,
            f"there is no plain file to download it from (source: {sample.source})",
            f"Put it at $TRAINWELL_DATA/{sample.files[0]}, or at {folder / sample.files[0]}: "
            f'rows separated by commas, names in the first line, label "{sample.target}" last.',
        )
    if sample.kind == "images":
        for file, url, expected in zip(sample.files, sources, sample.sha256, strict=True):
            if not (folder / file).is_file():
                content = _fetch(sample, url)
                _verify(sample, url, expected, hashlib.sha256(_gunzip(url, content)).hexdigest())
                _write(folder / file, content)
        return folder
    contents = [_fetch(sample, url) for url in sources]
    if sample.kind == "audio":
        stored, digest = _pack_fsdd(sources[0], contents[0])
    else:
        stored, digest = _pack_table(sample, contents)
    _verify(sample, sources[0], sample.sha256[0], digest)
    _write(folder / sample.files[0], stored)
    return folder


def _fetch(sample: Sample, url: str) -> bytes:
    """The bytes behind an address, by way of a temporary file that is always removed."""
    import pooch

    with tempfile.TemporaryDirectory(prefix="trainwell-") as folder:
        path = Path(folder) / "download"
        try:
            pooch.HTTPDownloader(chunk_size=1 << 16, timeout=30)(url, str(path), None)
        except OSError as error:  # every error of requests is one
            raise DataError(
                url,
                f"could not be downloaded ({error})",
                "Check the network and run the command again, or put the files "
                f"{', '.join(sample.files)} into a folder and name it in TRAINWELL_DATA.",
            ) from error
        return path.read_bytes()


def _verify(sample: Sample, url: str, expected: str, got: str) -> None:
    if got != expected:
        raise DataError(
            url,
            f"is not the sample set {sample.name} as it was: expected content with sha256 "
            f"{expected}, got {got}. The download was removed",
            f"Run the command again, or put {', '.join(sample.files)} into a folder and name it "
            "in TRAINWELL_DATA.",
        )


def _gunzip(url: str, content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            url, f"expected a gzip file, got something else ({error})", "Run the command again."
        ) from error


def _write(path: Path, content: bytes) -> None:
    """Write aside, then rename: a file that is there is whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DataError(
            str(path.parent),
            f"cannot be written to ({error})",
            "Name another folder in TRAINWELL_CACHE.",
        ) from error


def table_digest(rows: Sequence[Sequence[str]]) -> str:
    """sha256 of the cells of a table, header included."""
    return hashlib.sha256("\n".join(",".join(row) for row in rows).encode()).hexdigest()


def _pack_table(sample: Sample, contents: Sequence[bytes]) -> tuple[bytes, str]:
    """The source's rows in our form (header, label last, classes by name) as .csv.gz."""
    text = "\n".join(content.decode("utf-8", "replace") for content in contents)
    lines = [line for line in text.splitlines() if line.strip()]
    if sample.name == "letter":
        cells = [line.split(",") for line in lines]
        rows = [list(LETTER_COLUMNS), *([*row[1:], row[0]] for row in cells)]
    else:
        names = dict(SATELLITE_CLASSES)
        cells = [line.split() for line in lines]
        rows = [
            list(SATELLITE_COLUMNS),
            *([*row[:-1], names.get(row[-1], row[-1])] for row in cells),
        ]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return gzip.compress(out.getvalue().encode(), mtime=0), table_digest(rows)


def clips_digest(clips: dict[str, bytes]) -> str:
    """sha256 over name, length and bytes of every clip, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(clips):
        digest.update(name.encode() + b"\0" + len(clips[name]).to_bytes(8, "big") + clips[name])
    return digest.hexdigest()


def _pack_fsdd(url: str, content: bytes) -> tuple[bytes, str]:
    """The clips of the four speakers out of the project's archive, as one small .tar.gz."""
    clips: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                file = (
                    archive.extractfile(member)
                    if member.isfile() and name.endswith(".wav")
                    else None
                )
                if file and name.split("_")[1:2] and name.split("_")[1] in FSDD_SPEAKERS:
                    clips[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            url, f"expected a .tar.gz archive, got something else ({error})", "Run it again."
        ) from error
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name in sorted(clips):
            info = tarfile.TarInfo(f"fsdd/{name}")
            info.size = len(clips[name])
            packed.addfile(info, io.BytesIO(clips[name]))
    return out.getvalue(), clips_digest(clips)
