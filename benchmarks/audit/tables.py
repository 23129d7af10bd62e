"""The results of the audit's benchmark as a page of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainwell.stats import wilson

HALVES = ("development", "held-out")


def counted(rows: Sequence[dict[str, Any]]) -> str:
    """Right verdicts of all, with a Wilson interval."""
    if not rows:
        return "–"
    right = sum(r["ok"] for r in rows)
    i = wilson(right, len(rows))
    return f"{right} of {len(rows)} ({i.low:.0%} to {i.high:.0%})"


def as_markdown(found: dict[str, Any]) -> str:
    """The whole page."""
    rows, lines = found["cases"], ["# The augmentation audit on planted cases", ""]
    lines += [
        "`python -m benchmarks.audit.run`; truth stands in `benchmarks/audit/cases.py`.",
        "Intervals are Wilson's, 95 %.",
        "",
        "| cases | development | held out, run once | both |",
        "|---|---|---|---|",
    ]
    kinds = ("helpful", "useless", "harmful", "label-breaking", "leaking")
    picks: list[tuple[str, list[dict[str, Any]]]] = [("all", rows)]
    picks += [(f, [r for r in rows if r["family"] == f]) for f in ("pictures", "sound", "tables")]
    picks += [(k, [r for r in rows if r["kind"] == k]) for k in kinds]
    for name, some in picks:
        halves = [counted([r for r in some if r["half"] == h]) for h in HALVES]
        lines.append(f"| {name} | {halves[0]} | {halves[1]} | {counted(some)} |")
    if found.get("matrix"):
        lines += _matrix(found["matrix"])
    lines += ["", "## Every case", ""]
    lines += [
        "| half | scene | case | right is | verdict | gain, points | labels kept |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        verdict = r["verdict"] if r["ok"] else f"**{r['verdict']}**"
        kept = r["label_agreement"]
        lines.append(
            f"| {r['half']} | {r['scene']} | {r['case']} | {' or '.join(r['right'])} | {verdict} | "
            f"{_points(r['gain'])} | {'–' if kept is None else format(kept['value'], '.1%')} |"
        )
    seconds = sum(r["seconds"] for r in rows)
    lines += ["", f"{len(rows)} cases, {seconds:.0f} seconds on one core."]
    return "\n".join(lines) + "\n"


def _matrix(cells: Sequence[dict[str, Any]]) -> list[str]:
    tests = list(dict.fromkeys(c["test"] for c in cells if c["test"] != "all"))
    lines = ["", "## Training augmentation against test corruption", ""]
    lines += [
        "Gain in points over no augmentation, 1000 training rows of halved MNIST, held-out rows",
        "changed as the column says; 95 % intervals of paired folds.",
        "",
        "| trained with | " + " | ".join(f"test {t}" for t in tests) + " |",
        "|---|" + "---|" * len(tests),
    ]
    for train in dict.fromkeys(c["train"] for c in cells if c["train"] != "all"):
        mine = {c["test"]: c for c in cells if c["train"] == train}
        texts = [
            f"**{_points(mine[t]['gain'])}**" if mine[t]["diagonal"] else _points(mine[t]["gain"])
            for t in tests
            if t in mine
        ]
        lines.append(f"| {train} | " + " | ".join(texts) + " |")
    for extra in (c for c in cells if c["train"] == "all"):
        lines += ["", f"Diagonal minus the rest: {_points(extra['gain'])} points."]
    return lines


def _points(i: dict[str, Any] | None) -> str:
    if i is None or i["value"] is None:
        return "–"
    low, high = (float("nan") if i[k] is None else 100 * i[k] for k in ("low", "high"))
    return f"{100 * i['value']:+.1f} ({low:+.1f} to {high:+.1f})"
