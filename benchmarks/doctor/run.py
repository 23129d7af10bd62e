"""The zoo: trains healthy and faulty configurations, and judges what the doctor says of them.

python -m benchmarks.doctor.run [--stage all|train|checks|foreign|judge] [--quick]
python -m benchmarks.doctor.run --stage judge --half development
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.doctor.cases import Case
from benchmarks.doctor.checks import check_all
from benchmarks.doctor.foreign_cases import SEEDS
from benchmarks.doctor.foreign_runs import foreign_truths, judge_foreign, train_foreign
from benchmarks.doctor.judge import diagnose, judge, say_development, truths
from benchmarks.doctor.tables import as_markdown, summary, tool_scores
from benchmarks.doctor.truth import Truth, counted
from benchmarks.doctor.zoo import all_cases, train_all

STAGES = ("all", "train", "checks", "foreign", "judge")
HERE = Path(__file__).parent


def main() -> None:
    """Run the stages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=STAGES, default="all")
    parser.add_argument("--quick", action="store_true", help="a handful of small configurations")
    parser.add_argument("--half", choices=("development", "held-out", "both"), default="both")
    parser.add_argument("--only", default="", help="names of configurations hold this text")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="checks and loops anew")
    parser.add_argument("--no-moments", action="store_true", help="no time to detection")
    given = parser.parse_args()
    home = Path(".zoo-quick" if given.quick else ".zoo")
    cases = all_cases(given.quick)
    some = [c for c in cases if given.only in c.name]
    if given.stage in ("all", "train"):
        train_all(some, home, given.processes)
    if given.stage in ("all", "checks"):
        check_all(some, home, given.processes, given.again)
    if given.stage in ("all", "foreign"):
        train_foreign(home, 2 if given.quick else SEEDS, given.again)
    if given.stage in ("all", "judge"):
        truth = truths(cases, home)
        if given.half == "development":
            look(some, truth, home, given.processes)
        else:
            report(cases, truth, home, given.half, given.processes, not given.no_moments)


def look(cases: Sequence[Case], truth: dict[str, Truth], home: Path, processes: int) -> None:
    """Say what is missed and what is a false alarm, in the development half alone."""
    mine = {name: t for name, t in truth.items() if t.half == "development"}
    judged = judge(cases, mine, home, "development", processes=processes)
    if diagnose is None:
        print("this version has no rules: only checks speak")
    loops = {name: t for name, t in foreign_truths(home).items() if t.half == "development"}
    foreign = judge_foreign(home, loops, "development")
    say_development([*judged, *foreign])
    print(f"\n{counted(list(mine.values()))}; loops {counted(list(loops.values()))}")
    for tool, s in tool_scores(foreign).items():
        print(f"{tool + ' on loops':32s} {_counts(s)}")
    for tool, s in tool_scores(judged).items():
        print(f"{tool:32s} {_counts(s)}")


def _counts(scores: dict[str, Any]) -> str:
    numbers = (
        f"{name} {scores[name]['hits']}/{scores[name]['runs']}"
        for name in ("detection", "right", "false alarms")
    )
    return f"{' '.join(numbers)} J {scores['J']:.2f}"


def report(
    cases: Sequence[Case],
    truth: dict[str, Truth],
    home: Path,
    half: str,
    processes: int,
    moments: bool,
) -> None:
    """Judge everything; write results.md and results.json (beside the evidence for quick runs)."""
    began = time.perf_counter()
    judged = judge(cases, truth, home, half, moments, processes)
    trained = [c for c in cases if c.name in truth]
    facts = {
        "planted": sum(c.faulty for c in trained),
        "sound": sum(not c.faulty for c in trained),
        "machine": f"Python {platform.python_version()}, {platform.machine()}.",
        "rules": diagnose is not None,
    }
    found = summary(judged, truth, facts)
    loops = foreign_truths(home)
    if loops:
        kinds = Counter(not bool(t.verdict == "healthy") for t in loops.values())
        own = {"planted": kinds[True], "sound": kinds[False]}
        found["foreign"] = summary(judge_foreign(home, loops, half), loops, own)
    out = home if home.name.endswith("quick") or half != "both" else HERE
    (out / "results.md").write_text(as_markdown(found), encoding="utf-8")
    (out / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    truth_file = {name: t.to_json() for name, t in truth.items()}
    (home / "truth.json").write_text(json.dumps(truth_file, indent=1), encoding="utf-8")
    for tool, s in found[half]["tools"].items():
        numbers = (
            f"{n} {100 * s[n]['value']:.0f} %" for n in ("detection", "right", "false alarms")
        )
        print(f"{tool:32s} {', '.join(numbers)}, J {s['J']:.2f}")
    print(f"written to {out / 'results.md'} in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
