"""Audits planted augmentations and counts right verdicts.

python -m benchmarks.audit.run [--half development|held-out|both] [--only TEXT] [--matrix]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.audit.cases import Group, groups
from trainwell.arms import Arena, cells_of
from trainwell.auditing.auditor import Auditor, Plan
from trainwell.auditing.subjects import subject_of
from trainwell.auditing.trials import Trials
from trainwell.engine.threads import same_threads
from trainwell.progress import Progress

RESULTS = Path(__file__).parents[1] / "results"


def judge(group: Group, seed: int = 0) -> list[dict[str, Any]]:
    """The verdicts on a group's cases, each at its own strength."""
    began = time.time()
    scene = group.build()
    cases = group.cases(scene)
    folds = len(scene.split.folds)
    seeds = 1 if folds >= 10 else 3
    plan = Plan((1.0,), (), tuple(cells_of(folds, seeds, seed)))
    arena = Arena(scene.data, scene.split, seed, jobs=1, steady=True)
    subjects = [subject_of(c.thing, i) for i, c in enumerate(cases)]
    with same_threads(), Progress(quiet=True) as progress:
        auditor = Auditor(Trials(arena, scene.recipe), plan, subjects, progress, combine=False)
        audited = auditor.run()
    each = (time.time() - began) / max(1, len(cases))
    rows = []
    for case, one in zip(cases, audited, strict=True):
        rows.append(
            {
                "scene": scene.name,
                "family": group.family,
                "half": group.half,
                "case": case.name,
                "kind": case.kind,
                "right": list(case.right),
                "verdict": one.verdict.word,
                "ok": one.verdict.word in case.right,
                "words": one.verdict.words,
                "seconds": round(each, 1),
                **{k: v for k, v in one.to_json().items() if k in NUMBERS},
            }
        )
    return rows


NUMBERS = (
    "gain",
    "p",
    "label_agreement",
    "affinity",
    "told_apart",
    "coverage",
    "moved",
    "copied",
    "near_held_out",
)


def main() -> None:
    """Run the cases that were asked for, and write results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("development", "held-out", "both"), default="both")
    parser.add_argument("--only", default="", help="names of scenes hold this text")
    parser.add_argument("--matrix", action="store_true", help="the matrix alone")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    path = asked.out / "audit.json"
    known = json.loads(path.read_text()) if path.is_file() else {"cases": [], "matrix": []}
    if asked.matrix:
        from benchmarks.audit.matrix import matrix

        known["matrix"] = matrix()
    else:
        for group in groups():
            if asked.half not in ("both", group.half) or asked.only not in group.name:
                continue
            rows = judge(group)
            for row in rows:
                mark = "ok   " if row["ok"] else "WRONG"
                print(
                    f"{mark} {row['half'][:4]} {row['scene']}: {row['case']}: {row['verdict']}"
                    f" ({row['words'][:110]}) {row['seconds']} s",
                    flush=True,
                )
            mine = {(r["half"], r["scene"]) for r in rows}
            known["cases"] = [r for r in known["cases"] if (r["half"], r["scene"]) not in mine]
            known["cases"] += rows
    asked.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    from benchmarks.audit.tables import as_markdown

    (asked.out / "audit.md").write_text(as_markdown(known), encoding="utf-8")


if __name__ == "__main__":
    main()
