"""One contender in a process of its own; the last line of the output is its result as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
import warnings
from pathlib import Path

from benchmarks.contenders import find
from benchmarks.tasks import load, peak_mb, sized


def main() -> None:
    """Run `python -m benchmarks.worker PART CONTENDER --data FILE --seed N [--quick]`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part")
    parser.add_argument("name")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers, on our versions of their dependencies
    contender = find(given.part, given.name)
    module, _, function = contender.code.partition(":")
    run = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    task = sized(contender.task, given.quick)
    few = None if contender.few is None else min(contender.few, task.trainings)
    if given.part == "scaling":
        outcome = run(task, contender.number, given.seed, given.quick)
    else:
        x, y = load(given.data)
        outcome = run(task, x, y, given.seed, few)
    if not outcome.peak_mb:
        outcome.peak_mb = peak_mb()
    outcome.versions["python"] = sys.version.split()[0]
    print(json.dumps(dataclasses.asdict(outcome)))


if __name__ == "__main__":
    main()
