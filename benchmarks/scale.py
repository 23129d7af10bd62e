"""How time and memory grow with rows, pictures, clips, classes and columns.

    python -m benchmarks.scale            # every size, some 20 minutes on two cores
    python -m benchmarks.scale --only pictures --least 100000 --budget 6m

Each case is one `trainwell fit` in a process of its own with a time budget, on data made for it:
classes that a network can tell apart, and noise. Written to benchmarks/results/scale.json and
scale.md; docs/scaling.md quotes them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.report import svg

RESULTS = Path(__file__).parent / "results"
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "scale.svg"
BUDGET = "60s"
TRAINING = re.compile(r"searching|training \d")  # stages; yardsticks are none of them
Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class Axis:
    """One thing that grows: its sizes, and how data of a size are made (inputs, labels)."""

    name: str
    what: str
    kind: str
    sizes: tuple[int, ...]
    make: Callable[[int, np.random.Generator], Arrays]


def rows(size: int, rng: np.random.Generator) -> Arrays:
    """size × 100 numbers, ten classes whose centres lie apart in ten directions."""
    labels = rng.integers(0, 10, size)
    inputs = rng.standard_normal((size, 100), dtype=np.float32)
    inputs[np.arange(size), labels] += 3
    return inputs, labels


def pictures(size: int, rng: np.random.Generator) -> Arrays:
    """Grey pictures of 64 × 64: noise, and a bright square in one of ten places."""
    labels = rng.integers(0, 10, size)
    inputs = rng.integers(0, 128, (size, 64, 64), dtype=np.uint8)
    for k in range(10):
        top, left = 6 + 26 * (k // 5), 4 + 12 * (k % 5)
        inputs[labels == k, top : top + 10, left : left + 10] += 90
    return inputs, labels


def clips(size: int, rng: np.random.Generator) -> Arrays:
    """Clips of one second at 8 kHz: noise, and a tone of one of ten heights."""
    labels = rng.integers(0, 10, size)
    seconds = np.arange(8000) / 8000
    tones = 3000 * np.sin(2 * np.pi * np.outer(300 * 1.2 ** np.arange(10), seconds))
    inputs = np.empty((size, 8000), np.int16)
    for start in range(0, size, 1000):
        part = slice(start, start + 1000)
        noise = rng.normal(0, 1500, (len(labels[part]), 8000))
        inputs[part] = np.clip(tones[labels[part]] + noise, -32000, 32000)
    return inputs, labels


def classes(size: int, rng: np.random.Generator) -> Arrays:
    """Twenty rows of each class, 20 numbers, centres drawn at random."""
    labels = np.repeat(np.arange(size), 20)
    centres = rng.normal(0, 3, (size, 20))
    return (centres[labels] + rng.normal(size=(len(labels), 20))).astype(np.float32), labels


def columns(size: int, rng: np.random.Generator) -> Arrays:
    """2000 rows, five of whose columns tell two classes apart."""
    labels = rng.integers(0, 2, 2000)
    inputs = rng.standard_normal((2000, size), dtype=np.float32)
    inputs[:, :5] += 1.2 * labels[:, None]
    return inputs, labels


AXES = (
    Axis("rows", "rows of 100 numbers", "table", (10_000, 100_000, 1_000_000), rows),
    Axis("pictures", "pictures of 64 × 64", "images", (1_000, 10_000, 100_000), pictures),
    Axis("clips", "clips of a second", "audio", (100, 1_000, 10_000), clips),
    Axis("classes", "classes of 20 rows", "table", (10, 100, 1_000), classes),
    Axis("columns", "columns of 2000 rows", "table", (100, 1_000, 10_000), columns),
)


def write_data(axis: Axis, size: int, folder: Path) -> Path:
    """The data as a file that fit reads: arrays, or for sound wave files of one folder."""
    inputs, labels = axis.make(size, np.random.default_rng(size))
    if axis.kind != "audio":
        path = folder / f"{axis.name}{size}.npz"
        np.savez(path, X=inputs, y=labels)
        return path
    import soundfile

    path = folder / f"{axis.name}{size}"
    for number, (clip, label) in enumerate(zip(inputs, labels, strict=True)):
        place = path / str(label)
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{number:05}.wav", clip, 8000, subtype="PCM_16")
    return path


def stages(log: Path) -> dict[str, float]:
    """Seconds of each stage, from the times in log.txt."""
    marks = []
    for line in log.read_text(encoding="utf-8").splitlines():
        stamp, _, words = line.partition(" ")
        if len(stamp) == 8 and not words.startswith(" "):
            marks.append((datetime.strptime(stamp, "%H:%M:%S"), words))
    found: dict[str, float] = {}
    for (start, words), (end, _) in zip(marks, [*marks[1:], marks[-1]], strict=True):
        found[words] = found.get(words, 0.0) + (end - start).seconds
    return found


def measure(axis: Axis, size: int, budget: str, folder: Path) -> dict[str, Any]:
    """One fit; what it took."""
    data = write_data(axis, size, folder)
    out = folder / f"run-{axis.name}-{size}"
    command = [sys.executable, "-m", "trainwell", "fit", str(data), "--kind", axis.kind]
    command += ["--budget", budget, "--no-coach", "--no-ensemble", "--out", str(out), "--json"]
    started = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    seconds = time.time() - started
    if done.returncode:
        failed = {"axis": axis.name, "size": size, "budget": budget}
        return failed | {"failed": done.stderr[-400:]}
    result = json.loads(done.stdout.splitlines()[-1])
    spent = stages(out / "log.txt")
    training = sum(s for w, s in spent.items() if TRAINING.match(w))
    return {
        "axis": axis.name,
        "size": size,
        "budget": budget,
        "seconds": round(seconds, 1),
        "training": training,
        "peak_mb": round(result["peak_mb"]),
        "data_mb": round(_bytes(data) / 2**20, 1),
        "accuracy": result["test"]["accuracy"],
        "epochs": max(m["epochs"] for m in result["members"]),
        "networks": len(result["members"]),
        "stages": spent,
    }


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files)


def table(found: list[dict[str, Any]]) -> str:
    """All cases as Markdown."""
    head = (
        "Every line is one `trainwell fit --no-coach --no-ensemble` on data made for it; two "
        "cores, 24 GiB.\nOther: everything but the search for a rate and the training.\n\n"
        "| what | size | data, MB | budget | seconds | other | peak MB | networks × epochs "
        "| accuracy |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    words = {a.name: a.what for a in AXES}
    lines = []
    for f in found:
        start = f"| {words[f['axis']]} | {f['size']:,} "
        if "failed" in f:
            lines.append(f"{start}| | {f['budget']} | failed: {f['failed'][-120:]!r} | | | | |")
            continue
        score = f["accuracy"]
        ends = f"{100 * score['value']:.1f} % ({100 * score['low']:.1f}–{100 * score['high']:.1f})"
        lines.append(
            f"{start}| {f['data_mb']:,} | {f['budget']} | {f['seconds']:.0f} "
            f"| {f['seconds'] - f['training']:.0f} "
            f"| {f['peak_mb']:,} | {f['networks']} × {f['epochs']} | {ends} |"
        )
    return head + "\n".join(lines) + "\n"


LOOK = (
    ".axis{stroke:#777}.grid{stroke:#ddd}.l{fill:none;stroke-width:2}.m{font-weight:bold}"
    "text{font:12.5px sans-serif;fill:#333}svg{background:#fff}"
)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555")  # for all kinds of eyes


def picture(found: list[dict[str, Any]]) -> str:
    """Memory, and seconds besides training, over the megabytes of the data; both axes in powers."""
    done = [f for f in found if "failed" not in f]
    values = {
        "peak memory, MB": lambda f: f["peak_mb"],
        "seconds besides training": lambda f: max(1.0, f["seconds"] - f["training"]),
    }
    parts = [f"<style>{LOOK}</style>"]
    for number, (words, value) in enumerate(values.items()):
        left, right, bottom = 60 + 400 * number, 400 + 400 * number, 300
        low, high = (2, 4) if number == 0 else (0, 2)
        parts.append(svg.text(left, 22, words, "m"))

        def across(mb: float, left: float = left, right: float = right) -> float:
            return left + (right - left) * (math.log10(max(mb, 0.01)) + 2) / 5

        def up(y: float, low: int = low, high: int = high, bottom: int = bottom) -> float:
            return bottom - (bottom - 40) * (math.log10(y) - low) / (high - low)

        for power in range(low, high + 1):
            parts.append(svg.line(left, up(10**power), right, up(10**power), "grid"))
            parts.append(svg.text(left - 6, up(10**power) + 4, f"{10**power:,}", anchor="end"))
        for power in range(-2, 4):
            x = across(10**power)
            parts.append(svg.text(x, bottom + 18, f"{10.0**power:g}", anchor="middle"))
        parts.append(svg.line(left, bottom, right, bottom, "axis"))
        parts.append(svg.text(right, bottom + 36, "data, MB", anchor="end"))
        for axis, colour in zip(AXES, COLOURS, strict=True):
            mine = [f for f in done if f["axis"] == axis.name]
            points = [(across(f["data_mb"]), up(value(f))) for f in mine]
            style = f'style="stroke:{colour}"'
            parts.append(svg.path(points, "l").replace("<path", f"<path {style}"))
            for (x, y), f in zip(points, mine, strict=True):
                tip = f"{f['size']:,} {axis.what}: {value(f):,.0f}"
                dot = svg.circle(x, y, 4, "d", tip)
                parts.append(dot.replace("<circle", f'<circle style="fill:{colour}"'))
    for place, (axis, colour) in enumerate(zip(AXES, COLOURS, strict=True)):
        x = 60 + 160 * place
        parts.append(
            svg.circle(x, 356, 5, "d").replace("<circle", f'<circle style="fill:{colour}"')
        )
        parts.append(svg.text(x + 10, 360, axis.name))
    drawn = svg.document("scale", 860, 375, "Memory and time by size of the data", "", parts)
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[a.name for a in AXES])
    parser.add_argument("--most", type=int, default=10**9, help="leave out larger sizes")
    parser.add_argument("--least", type=int, default=0, help="leave out smaller sizes")
    parser.add_argument("--budget", default=BUDGET)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    kept = options.out / "scale.json"
    found = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else []
    for axis in AXES:
        for size in axis.sizes:
            if (options.only and axis.name != options.only) or size > options.most:
                continue
            if size < options.least:
                continue
            with tempfile.TemporaryDirectory() as folder:
                one = measure(axis, size, options.budget, Path(folder))
            found = [f for f in found if (f["axis"], f["size"]) != (axis.name, size)] + [one]
            order = [a.name for a in AXES]
            found.sort(key=lambda f: (order.index(f["axis"]), f["size"]))
            print({k: v for k, v in one.items() if k != "stages"}, flush=True)
            options.out.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            (options.out / "scale.md").write_text(table(found), encoding="utf-8")
            IMAGE.write_text(picture(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
