"""Data larger than the memory a process may take, from the file to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.openings import but_openings

resource = pytest.importorskip("resource")  # not on Windows
ROWS, SIDE = 24_000, 200  # 960 MB of pictures
ROOM = 400 << 20  # bytes above what the libraries take

# Limits the data of the process (private memory; read-only maps of files are free), then fits.
FIT = """
import pathlib, re, resource, sys, warnings
warnings.simplefilter("error")
import torch
import sklearn.linear_model, sklearn.model_selection, pandas, scipy.sparse.csgraph
from trainwell.cli import main
import trainwell.fitting
torch.set_num_threads(2)
torch.randn(512, 512) @ torch.randn(512, 512)  # threads are there, with their stacks
status = pathlib.Path("/proc/self/status").read_text()
taken = int(re.search(r"VmData:\\s+(\\d+) kB", status)[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (taken + {room}, taken + {room}))
sys.argv = ["trainwell", *{arguments!r}]
main()
"""


def write_pictures(folder: Path) -> int:
    """X.npy, mostly holes on the disk, and y.npy; returns the bytes of X. No two rows are equal."""
    shape = (ROWS, SIDE, SIDE)
    x = np.lib.format.open_memmap(folder / "X.npy", mode="w+", dtype=np.uint8, shape=shape)
    y = np.arange(ROWS) % 2
    rng = np.random.default_rng(0)
    x[:, 0, :8] = rng.integers(0, 256, (ROWS, 8))
    x[:, 0, 8:16] = 40 + 150 * y[:, None]  # what tells the classes apart
    x.flush()
    np.save(folder / "y.npy", y)
    return x.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts maps elsewhere")
def test_fit_on_pictures_larger_than_memory(tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "run"
    folder.mkdir()
    assert write_pictures(folder) > 2 * ROOM
    options = ["--folds", "1", "--seeds", "1", "--jobs", "2", "--no-coach", "--out", str(out)]
    for change in ("epochs=1", "lr=0.01", "model=Linear()", "batch_size=64"):
        options += ["--set", change]
    code = FIT.format(room=ROOM, arguments=["fit", str(folder), *options])
    # What is tested is what the software holds. Without this, glibc keeps freed blocks of some
    # megabytes in its heap, and how well it fills the gaps depends on the sizes.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert result["data"]["rows"] == ROWS and result["data"]["duplicates"] == 0
    assert result["test"]["accuracy"]["value"] > 0.9
    assert [b["name"] for b in result["baselines"]] == ["majority", "linear"]
    assert not but_openings(result["warnings"])
    # Pages of the file that are in use count, but are let go again.
    assert result["peak_mb"] < 900
