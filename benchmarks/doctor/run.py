"""The zoo: trains healthy and faulty configurations, and judges what the doctor says of them.

    python -m benchmarks.doctor.run [--stage all|train|checks|judge] [--quick]
    python -m benchmarks.doctor.run --stage judge --half development
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.doctor.zoo import all_cases, train_all

HERE = Path(__file__).parent


def main() -> None:
    """Run the stages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=("all", "train", "checks", "judge"), default="all")
    parser.add_argument("--quick", action="store_true", help="a handful of small configurations")
    parser.add_argument("--half", choices=("development", "held-out", "both"), default="both")
    parser.add_argument("--only", default="", help="names of configurations hold this text")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    home = Path(".zoo-quick" if given.quick else ".zoo")
    cases = [c for c in all_cases(given.quick) if given.only in c.name]
    if given.stage in ("all", "train"):
        train_all(cases, home, given.processes)


if __name__ == "__main__":
    main()
