"""Coverage-guided fuzzing of the readers: `make fuzz`, or one target for some seconds:

    .venv-fuzz/bin/python -m benchmarks.fuzz table 60

A target gets bytes and must end with a value or with a UserError; anything else is a crash, whose
bytes are kept in `.fuzz/crash-...`. Cases that reach new code are kept in `.fuzz/TARGET`, so that
the next run goes on from there. Atheris instruments trainwell's own modules; what C libraries do
with the bytes (Pillow, libsndfile) is not seen by it, and tests/test_fuzz.py changes bytes blindly.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["trainwell"]):
    from trainwell.callstring import parse
    from trainwell.data.download import _pack_fsdd
    from trainwell.data.npyfile import load_arrays
    from trainwell.data.read import read
    from trainwell.diagnosing import diagnose
    from trainwell.errors import UserError
    from trainwell.model import load
    from trainwell.recipe import Recipe, from_toml, to_toml
    from trainwell.request import load_request

FOLDER = Path(tempfile.mkdtemp(prefix="trainwell-fuzz-"))
SECONDS = 60
TABLE = b"a,b,class\n1,2.5,x\n2,1e3,y\n,n/a,x\n4,-1,y\n5,2024-01-02,x\n6,1,y\n"
HISTORY = b"epoch,train_loss,val_loss\n1,1.0,1.1\n2,0.5,nan\n3,0.4,0.9\n"
CARD = b'{"format": 1, "schema": {"kind": "table"}, "classes": ["a"], "folds": [], "networks": []}'


def table(data: bytes) -> None:
    """A CSV file, gzip or not, in any encoding."""
    path = FOLDER / "t.csv"
    path.write_bytes(data)
    read(path)


def arrays(data: bytes) -> None:
    """An .npz or .npy file."""
    path = FOLDER / "t.npz"
    path.write_bytes(data)
    load_arrays(path)
    read(path)


def recipe(data: bytes) -> None:
    """A recipe file; what is understood is written and read again."""
    found = from_toml(data.decode("utf-8", "replace"), Recipe(), "r.toml")
    assert from_toml(to_toml(found), Recipe(), "again") == found


def callstring(data: bytes) -> None:
    """The value of a field; the first byte chooses which."""
    fields = ("model", "augment", "optimizer", "schedule", "regularize", "preprocess", "balance")
    name = fields[data[0] % len(fields)] if data else fields[0]
    parse(data[1:].decode("utf-8", "replace"), HINTS[name], name)


def card(data: bytes) -> None:
    """The card of a model, beside whatever weights."""
    (FOLDER / "model.json").write_bytes(data)
    (FOLDER / "weights.safetensors").write_bytes(WEIGHTS)
    load(FOLDER)


def history(data: bytes) -> None:
    """A history that another program wrote."""
    path = FOLDER / "h.csv"
    path.write_bytes(data)
    diagnose(path)


def request(data: bytes) -> None:
    """What a run keeps to go on."""
    place = FOLDER / "run" / "checkpoint"
    place.mkdir(parents=True, exist_ok=True)
    (place / "request.json").write_bytes(data)
    load_request(place.parent)


def archive(data: bytes) -> None:
    """A downloaded .tar.gz, before its checksum is known."""
    _pack_fsdd("here", data)


def seeds() -> dict[str, list[bytes]]:
    """Good inputs to begin with."""
    out = io.BytesIO()
    np.savez(out, X=np.zeros((6, 2)), y=np.arange(6) % 2)
    one = io.BytesIO()
    np.save(one, np.zeros((3, 2)))
    texts = [b"\x00Mlp(hidden=(8, 8))", b"\x01(Jitter(0.1), MixUp())", b"\x03StepDecay(every=5)"]
    return {
        "table": [TABLE, TABLE.replace(b",", b";"), TABLE.decode().encode("utf-16")],
        "arrays": [out.getvalue(), one.getvalue()],
        "recipe": [to_toml(Recipe()).encode(), b"lr = 0.1\nepochs = 3"],
        "callstring": texts,
        "card": [CARD],
        "history": [HISTORY, b'[{"epoch": 1, "loss": 2}]', b'{"loss": [1, 2], "val_loss": [2, 3]}'],
        "request": [b'{"format": 1, "source": "t.csv", "folds": 2, "settings": {"lr": "0.1"}}'],
        "archive": [b"\x1f\x8b"],
    }


TARGETS: dict[str, Callable[[bytes], None]] = {
    f.__name__: f for f in (table, arrays, recipe, callstring, card, history, request, archive)
}
HINTS: dict[str, object] = {}
WEIGHTS = b""


def prepare() -> None:
    """What targets need and modules do not have ready."""
    from typing import get_type_hints

    from safetensors.numpy import save

    global WEIGHTS
    HINTS.update(get_type_hints(Recipe, include_extras=True))
    WEIGHTS = save({"network0.1.weight": np.zeros((2, 2), np.float32)})


def guarded(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The target with its one allowed error."""

    def once(data: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                target(data)
            except UserError as error:
                assert str(error).strip()

    return once


def main() -> None:
    name, seconds = (
        (*sys.argv[1:], str(SECONDS))[:2] if len(sys.argv) > 1 else ("all", str(SECONDS))
    )
    if name == "all":  # each in a process of its own: libFuzzer ends the process
        failed = [
            target
            for target in TARGETS
            if subprocess.run(
                [sys.executable, "-m", "benchmarks.fuzz", target, str(SECONDS)], check=False
            ).returncode
        ]
        sys.exit(f"crashes in: {', '.join(failed)}" if failed else 0)
    corpus = Path(".fuzz") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds()[name]):
        (corpus / f"seed{number}").write_bytes(content)
    prepare()
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20", "-rss_limit_mb=4096"]
    options += ["-print_final_stats=1", f"-artifact_prefix=.fuzz{os.sep}"]
    atheris.Setup([sys.argv[0], str(corpus), *options], guarded(TARGETS[name]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
