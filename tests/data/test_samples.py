"""Sample sets: loading, and downloading from a server on this very machine."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainwell.data import samples
from trainwell.data.download import cache_dir, download
from trainwell.data.read import read, read_like
from trainwell.data.sample_list import SAMPLES, SATELLITE_CLASSES, find_sample
from trainwell.errors import DataError

HERE = Path(os.environ.get("TRAINWELL_DATA", "/nowhere"))
TRAIN_COUNTS = {"mnist": 60000, "fashion_mnist": 60000, "letter": 16000, "shuttle": 43500}


def needs(name: str) -> None:
    sample = find_sample(name)
    assert sample is not None
    if not all((HERE / file).is_file() for file in sample.files):
        pytest.skip(f"{name} is not in $TRAINWELL_DATA")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which its files are served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no other data folder."""
    monkeypatch.setenv("TRAINWELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TRAINWELL_DATA", raising=False)
    return tmp_path / "cache"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_every_sample_is_as_described(sample: Any) -> None:
    needs(sample.name)
    assert samples.is_present(sample.name)
    data = read(sample.name)
    assert data.name == sample.name and data.kind == sample.kind
    assert (len(data), len(data.classes)) == (sample.rows, sample.classes)
    assert data.inputs.shape == (sample.rows, *data.schema.shape)
    assert len(data.names) == sample.rows and (data.counts > 0).all()
    if sample.name in TRAIN_COUNTS:
        assert data.official_test is not None
        assert (~data.official_test).sum() == TRAIN_COUNTS[sample.name]
    assert (data.official_test is not None) == bool(sample.official_test)


def test_known_rows() -> None:
    iris = read("iris")
    assert iris.inputs[0].tolist() == pytest.approx([5.1, 3.5, 1.4, 0.2])
    assert iris.classes == ("setosa", "versicolor", "virginica")
    digits = read("digits")
    assert digits.inputs.dtype == np.uint8 and digits.inputs.max() == 240


def test_mnist_and_fsdd_content() -> None:
    needs("mnist")
    mnist = read("mnist")
    assert mnist.inputs.shape == (70000, 1, 28, 28) and mnist.labels[:5].tolist() == [5, 0, 4, 1, 9]
    needs("fsdd")
    fsdd = read("fsdd")
    assert fsdd.groups is not None and np.bincount(fsdd.groups).tolist() == [500] * 4
    assert fsdd.names[0] == "0_jackson_0.wav" and fsdd.counts.tolist() == [200] * 10


def test_sample_as_new_data() -> None:
    iris = read("iris")
    new = read_like("iris", iris.schema, iris.classes)
    assert new.labels is not None and new.labels[0] == "setosa"
    with pytest.raises(DataError, match="has not the form of the training data"):
        read_like("digits", iris.schema, iris.classes)


def test_unknown_names(cache: Path) -> None:
    for call in (samples.load_sample, samples.is_present, download):
        with pytest.raises(
            DataError, match=r'"minst": is no sample data set. Did you mean "mnist"'
        ):
            call("minst")


def test_cache_folder(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == cache
    monkeypatch.delenv("TRAINWELL_CACHE")
    assert cache_dir().name == "trainwell"


def test_by_hand_only(cache: Path) -> None:
    with pytest.raises(
        DataError, match=r"no plain file to download.*\$TRAINWELL_DATA/credit.csv.gz"
    ):
        read("credit")


def test_download_of_pictures(server: tuple[Path, str], cache: Path) -> None:
    needs("fashion_mnist")
    folder, address = server
    sample = find_sample("fashion_mnist")
    assert sample is not None
    urls = []
    for file in sample.files:
        name = Path(file).name
        # Compressed anew: other bytes, same content.
        with gzip.open(HERE / file) as stored:
            (folder / name).write_bytes(gzip.compress(stored.read(), 1))
        urls.append(f"{address}/{name}")
    assert not samples.is_present("fashion_mnist")
    assert download("fashion_mnist", urls) == cache
    assert samples.is_present("fashion_mnist") and len(read("fashion_mnist")) == 70000
    assert not [p for p in cache.rglob("*") if p.name.startswith(".")]


@pytest.mark.parametrize("name", ["letter", "satellite"])
def test_download_of_tables(server: tuple[Path, str], cache: Path, name: str) -> None:
    needs(name)
    folder, address = server
    with gzip.open(HERE / f"{name}.csv.gz", "rt") as stored:
        rows = [line.rstrip("\n").split(",") for line in stored][1:]
    if name == "letter":
        parts = ["\n".join(",".join([r[-1], *r[:-1]]) for r in rows)]
    else:
        codes = {word: code for code, word in SATELLITE_CLASSES}
        lines = [" ".join([*r[:-1], codes[r[-1]]]) for r in rows]
        parts = ["\n".join(lines[:4435]) + " \n", "\n".join(lines[4435:])]
    for number, part in enumerate(parts):
        (folder / str(number)).write_text(part)
    download(name, [f"{address}/{number}" for number in range(len(parts))])
    data = read(name)
    assert data.official_test is not None and len(data) == len(rows)


def test_download_of_clips(server: tuple[Path, str], cache: Path) -> None:
    needs("fsdd")
    folder, address = server
    with (
        tarfile.open(HERE / "fsdd" / "fsdd-4-speakers.tar.gz") as stored,
        tarfile.open(folder / "master.tar.gz", "w:gz", compresslevel=1) as upstream,
    ):
        for member in stored:
            member.name = f"free-spoken-digit-dataset-master/recordings/{Path(member.name).name}"
            upstream.addfile(member, stored.extractfile(member))
        other = tarfile.TarInfo("free-spoken-digit-dataset-master/recordings/0_lucas_0.wav")
        other.size = 3
        upstream.addfile(other, io.BytesIO(b"abc"))
    download("fsdd", [f"{address}/master.tar.gz"])
    assert len(read("fsdd")) == 2000


def test_wrong_content_is_refused_and_leaves_nothing(server: tuple[Path, str], cache: Path) -> None:
    folder, address = server
    (folder / "x.gz").write_bytes(gzip.compress(b"other"))
    (folder / "x").write_bytes(b"other")
    url = f"{address}/x.gz"
    with pytest.raises(DataError, match=r"expected content with sha256 ba8910.*, got [0-9a-f]{64}"):
        download("mnist", [url] * 4)
    with pytest.raises(DataError, match=r"expected a gzip file, got something else"):
        download("mnist", [f"{address}/x"] * 4)
    with pytest.raises(DataError, match=r"expected content with sha256 7d2d97"):
        download("letter", [f"{address}/x"])
    with pytest.raises(DataError, match=r"expected a .tar.gz archive"):
        download("fsdd", [url])
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_no_network(server: tuple[Path, str], cache: Path) -> None:
    with pytest.raises(DataError, match=r"could not be downloaded .*404.*TRAINWELL_DATA"):
        download("letter", [f"{server[1]}/absent"])


def test_cache_that_cannot_be_written(
    server: tuple[Path, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("letter")
    cache.write_text("a file where the folder should be")
    with gzip.open(HERE / "letter.csv.gz", "rt") as stored:
        rows = [line.rstrip("\n").split(",") for line in stored][1:]
    (server[0] / "x").write_text("\n".join(",".join([r[-1], *r[:-1]]) for r in rows))
    with pytest.raises(DataError, match=r"cannot be written to.*TRAINWELL_CACHE"):
        download("letter", [f"{server[1]}/x"])


def test_what_has_to_be_put_there_by_hand_is_said() -> None:
    for sample in SAMPLES:
        assert ("by hand" in sample.what) == bool(sample.files and not sample.urls)


def test_a_found_file_with_other_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWELL_DATA", str(tmp_path))
    rows = [f"{i % 7},{['good', 'bad'][i % 2]}" for i in range(4454)]
    text = "\n".join(["a,Status", *rows]) + "\n"
    (tmp_path / "credit.csv.gz").write_bytes(gzip.compress(text.encode()))
    message = r"credit.csv.gz: is not the sample set credit .* expected content with sha256 17eb"
    with pytest.raises(DataError, match=message):
        read("credit")
    for part, count in (("train", 60000), ("t10k", 10000)):
        labels = np.arange(count) % 10
        sizes = np.array([count, 2, 2], ">i4").tobytes()
        for name, content in (
            ("images-idx3", b"\0\0\x08\x03" + sizes + bytes(4 * count)),
            ("labels-idx1", b"\0\0\x08\x01" + sizes[:4] + labels.astype(np.uint8).tobytes()),
        ):
            path = tmp_path / "mnist" / f"{part}-{name}-ubyte.gz"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(content, 1))
    with pytest.raises(DataError, match=r"is not the sample set mnist .* sha256 ba8910.*Remove"):
        read("mnist")


def test_damaged_or_foreign_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWELL_DATA", str(tmp_path))
    (tmp_path / "fsdd").mkdir()
    (tmp_path / "fsdd" / "fsdd-4-speakers.tar.gz").write_bytes(gzip.compress(b"x" * 999))
    with pytest.raises(DataError, match=r"cannot be read as the sample set fsdd"):
        read("fsdd")
    text = "a,Status\n" + "".join(f"{i % 7},{['good', 'bad'][i % 2]}\n" for i in range(30))
    (tmp_path / "credit.csv.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DataError, match=r"expected 4454 rows of 2 classes, got 30 rows of 2"):
        read("credit")
