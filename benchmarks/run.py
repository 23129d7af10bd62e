"""The harness: every contender in a process of its own, one at a time, in turn over the repeats."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.contenders import PARTS, Contender, of_part
from benchmarks.report import plots, render
from benchmarks.summary import OURS, failed_agreement, rows_of
from benchmarks.tasks import sized

ROOT = Path(__file__).parent.parent
REPEATS = {"seeds": 7, "letter": 3, "cnn": 3, "scaling": 3}
LIMIT = 600  # seconds for one contender


def machine() -> dict[str, Any]:
    """What the numbers depend on; no names of machines."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": model, "cores": cores, "system": platform.system()}


def measure(contender: Contender, data: Path, repeat: int, quick: bool) -> dict[str, Any]:
    """Run one contender; a dictionary with its outcome, or with the error that ended it."""
    command = [sys.executable, "-m", "benchmarks.worker", contender.part, contender.name]
    command += ["--data", str(data), "--seed", str(1000 * repeat)] + ["--quick"] * quick
    environment = {**os.environ, **contender.environment}
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {LIMIT} s"}
    total = time.monotonic() - began
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"error": lines[-1][:200].replace(str(ROOT), ".")}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "name": contender.name,
        "title": contender.title or contender.name,
        "cores": contender.cores,
        "of": sized(contender.task, quick).trainings,
        "repeat": repeat,
        "total": total,
        **found,
    }


def run_part(part: str, data: Path, repeats: int, quick: bool) -> dict[str, Any]:
    """All contenders of a part: A B C, A B C, ...; one that fails is not asked again."""
    records: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    versions: dict[str, str] = {}
    for repeat in range(repeats):
        for contender in of_part(part, quick):
            if contender.name in failed:
                continue
            found = measure(contender, data, repeat, quick)
            words = f"{part:8} {repeat + 1}/{repeats}  {contender.name:12}"
            if "error" in found:
                failed[contender.name] = found["error"]
                print(f"{words} FAILED: {found['error']}", flush=True)
                continue
            versions |= found.pop("versions")
            records.append(found)
            print(f"{words} {found['seconds']:8.2f} s {found['peak_mb']:6.0f} MB", flush=True)
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "repeats": repeats,
        "quick": quick,
        "versions": dict(sorted(versions.items())),
        "failed": failed,
        "rows": rows_of(records),
        "records": records,
    }


def prepare(part: str, folder: Path) -> Path:
    """Write the data of a part once, so that no contender's memory holds another's reader."""
    path = folder / f"{part}.npz"
    if part != "scaling":
        name = of_part(part, False)[0].task.data
        subprocess.run([sys.executable, "-m", "benchmarks.ours", name, path], cwd=ROOT, check=True)
    return path


def rounded(value: Any) -> Any:
    """Numbers with five significant digits: more would only be noise in the file."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list | tuple) else value


def main() -> int:
    """Exit code 1 where trainwell itself failed or accuracies do not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", default="all", choices=("all", *PARTS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes: do the scripts run?")
    parser.add_argument("--repeats", type=int, help="of every part; else " + str(REPEATS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "results.json"
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for part in PARTS if given.what == "all" else (given.what,):
        repeats = given.repeats or (1 if given.quick else REPEATS[part])
        with tempfile.TemporaryDirectory() as folder:
            data = prepare(part, Path(folder))
            results[part] = rounded(run_part(part, data, repeats, given.quick))
        results = {p: results[p] for p in PARTS if p in results}
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (given.out / "results.md").write_text(render(results), encoding="utf-8")
    plots(results, given.out)
    print("\n" + render(results))
    absent = [p for p, f in results.items() if any(n.split()[0] == OURS for n in f["failed"])]
    different = [] if given.quick else failed_agreement(results)
    for line in different:
        print(f"accuracies differ, so the times say nothing: {line}")
    return 1 if absent or different else 0


if __name__ == "__main__":
    sys.exit(main())
