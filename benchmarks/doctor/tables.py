"""Tables of the zoo as Markdown and JSON: rates with intervals, causes, moments, other tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.doctor.judge import DOCTOR, Judged
from benchmarks.doctor.published import HONESTLY
from benchmarks.doctor.truth import Truth, counted
from trainwell.stats import wilson

RESAMPLES = 2000
HALVES = ("development", "held-out")
TITLES = {
    "development": "Development half (thresholds were chosen here)",
    "held-out": "Held-out half (untouched)",
    "both": "Both halves",
}
TOOL_HEAD = (
    "who",
    "any alarm on a faulty run",
    "right cause (first two)",
    "alarm on a healthy run",
)


def rate(judged: Sequence[Judged], hit: Callable[[Judged], bool]) -> dict[str, Any]:
    """Share of runs with `hit`: Wilson's interval, and the bootstrap's over configurations.

    Runs of one configuration are alike, so Wilson's, which takes them for independent, is too
    narrow; the bootstrap draws whole configurations.
    """
    groups: dict[str, list[bool]] = {}
    for one in judged:
        groups.setdefault(one.case, []).append(hit(one))
    hits, runs = sum(map(sum, groups.values())), len(judged)
    found = wilson(hits, runs)
    result: dict[str, Any] = {"hits": hits, "runs": runs, "configurations": len(groups)}
    result |= {"value": found.value, "wilson": [found.low, found.high], "clustered": None}
    if runs:
        counts = np.array([(sum(g), len(g)) for g in groups.values()])
        chosen = np.random.default_rng(0).integers(0, len(counts), (RESAMPLES, len(counts)))
        drawn = counts[chosen].sum(axis=1)
        low, high = np.percentile(drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
        result["clustered"] = [float(low), float(high)]
    return result


def _cell(found: Mapping[str, Any]) -> str:
    """ "87 % [80, 92] [78, 95], 104 of 120"."""
    if not found["runs"]:
        return "-"
    wil, own = (
        f"[{100 * low:.0f}, {100 * high:.0f}]"
        for low, high in (found["wilson"], found["clustered"])
    )
    return f"{100 * found['value']:.1f} % {wil} {own}, {found['hits']} of {found['runs']}"


def tool_scores(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Of the doctor and each published tool: detection, right cause, false alarms, J."""
    faulty, healthy = [j for j in judged if j.faulty], [j for j in judged if not j.faulty]
    found = {}
    for tool in judged[0].alarms if judged else ():

        def alarmed(one: Judged, tool: str = tool) -> bool:
            return bool(one.alarms[tool])

        def right(one: Judged, tool: str = tool) -> bool:
            return one.right[tool]

        scores = {
            "detection": rate(faulty, alarmed),
            "right": rate(faulty, right),
            "false alarms": rate(healthy, alarmed),
        }
        scores["J"] = scores["detection"]["value"] - scores["false alarms"]["value"]
        found[tool] = scores
    return found


def families(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Detection and right cause by family of faults, and by severity within it."""
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({j.family for j in judged if j.faulty}):
        mine = [j for j in judged if j.family == name]
        found[name] = {
            "runs": len(mine),
            "detection": rate(mine, lambda j: bool(j.alarms[DOCTOR])),
            "right": rate(mine, lambda j: j.right[DOCTOR]),
            "first": dict(Counter(_first(j) for j in mine).most_common()),
        }
    return found


def _first(one: Judged) -> str:
    return one.alarms[DOCTOR][0] if one.alarms[DOCTOR] else "silent"


def _moments(judged: Sequence[Judged]) -> dict[str, Any]:
    known = np.array([j.moment for j in judged if j.faulty and np.isfinite(j.moment)])
    if not len(known):
        return {"runs": 0}
    quarter, half, three = np.percentile(known, (25, 50, 75))
    return {
        "runs": len(known),
        "before training": float((known == 0).mean()),
        "first quarter": float((known <= 0.25).mean()),
        "quartiles": [float(quarter), float(half), float(three)],
    }


def summary(
    judged: Sequence[Judged], truth: Mapping[str, Truth], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What results.json holds of our own trainings, or of foreign loops."""
    found: dict[str, Any] = {"facts": dict(facts), "truth": counted(list(truth.values()))}
    for half in (*HALVES, "both"):
        mine = [j for j in judged if half in ("both", j.half)]
        if mine:
            found[half] = {
                "tools": tool_scores(mine),
                "families": families(mine),
                "moments": _moments(mine),
                "healthy alarms": _alarms(mine),
            }
    found["configurations"] = {name: t.to_json() for name, t in sorted(truth.items())}
    return found


def _alarms(judged: Sequence[Judged]) -> dict[str, int]:
    """Codes of alarms on healthy runs."""
    return dict(Counter(c for j in judged if not j.faulty for c in j.alarms[DOCTOR]).most_common())


def as_markdown(found: Mapping[str, Any]) -> str:
    """The tables for people."""
    lines = ["# Zoo of planted faults: results", "", *_facts(found), ""]
    for half in (*HALVES, "both"):
        if half in found:
            lines += [f"## {TITLES[half]}", ""]
            lines += [*_tools(found[half]["tools"]), "", *_moment_lines(found[half]["moments"])]
            lines += ["", *_families(found[half]["families"]), ""]
            alarms = found[half]["healthy alarms"]
            said = ", ".join(f"{c} {n}" for c, n in alarms.items()) or "none"
            lines += [f"Alarms on healthy runs, by code: {said}.", ""]
    if "foreign" in found:
        lines += _foreign(found["foreign"])
    lines += ["## Configurations", "", *_configurations(found["configurations"]), ""]
    lines += [
        "## How the published rules are evaluated",
        "",
        "| tool | rule | here |",
        "|---|---|---|",
    ]
    lines += [f"| {t} | {r} | {w} |" for t, r, w in HONESTLY]
    return "\n".join(lines) + "\n"


def _foreign(found: Mapping[str, Any]) -> list[str]:
    """Loops in plain PyTorch: network and loss are looked at before, the loop is watched."""
    counts, facts = found["truth"], found["facts"]
    lines = ["## Loops in plain PyTorch", ""]
    lines.append(
        f"{facts['planted']} loops with one mistake and {facts['sound']} without; "
        f"{counts['fault']} mistakes are proved faults, {counts['equivalent']} do no such harm. "
        "A run is one training."
    )
    for half in (*HALVES, "both"):
        if half in found:
            lines += ["", f"### {TITLES[half]}", "", *_tools(found[half]["tools"]), ""]
            lines += _families(found[half]["families"])
            alarms = found[half]["healthy alarms"]
            said = ", ".join(f"{c} {n}" for c, n in alarms.items()) or "none"
            lines += ["", f"Alarms on healthy loops, by code: {said}."]
    return [*lines, "", *_configurations(found["configurations"]), ""]


def _facts(found: Mapping[str, Any]) -> list[str]:
    counts, facts = found["truth"], found["facts"]
    words = (
        f"{facts['planted']} planted and {facts['sound']} healthy configurations were trained.",
        f"Of the planted ones {counts['fault']} are proved faults: worse than their twin on test",
        "rows by at least two points, paired t test and sign flips p < 0.05, Cohen's d ≥ 0.5.",
        f"{counts['equivalent']} do no such harm and count nowhere, nor do {counts['spared runs']}",
        "runs of proved faults that did as well as their twin.",
        f"{counts['unsound']} configurations that were meant to be healthy are not (a raced arm or",
        "a simple model is clearly better) and count nowhere either.",
    )
    about = (
        "A run is three trainings. Intervals of 95 %: Wilson's, then a bootstrap over",
        f"configurations. {facts['machine']}",
    )
    return [" ".join(words), "", " ".join(about)]


def _tools(scores: Mapping[str, Any]) -> list[str]:
    lines = [f"| {' | '.join(TOOL_HEAD)} | J |"]
    lines.append("|---|---|---|---|---|")
    for tool, s in scores.items():
        cells = " | ".join(_cell(s[k]) for k in ("detection", "right", "false alarms"))
        lines.append(f"| {tool} | {cells} | {s['J']:.2f} |")
    return lines


def _moment_lines(moments: Mapping[str, Any]) -> list[str]:
    if not moments["runs"]:
        return ["Time to detection was not measured."]
    low, half, high = (f"{100 * q:.0f} %" for q in moments["quartiles"])
    words = (
        f"Time to the right cause, in {moments['runs']} runs where it was found: median {half} of "
        f"the training (quartiles {low} and {high}); {100 * moments['before training']:.0f} % of "
        f"them before training, {100 * moments['first quarter']:.0f} % in its first quarter."
    )
    return [words]


def _families(found: Mapping[str, Any]) -> list[str]:
    lines = ["| planted | alarm | right cause | first finding |", "|---|---|---|---|"]
    for name, f in found.items():
        first = ", ".join(f"{code} {count}" for code, count in f["first"].items())
        lines.append(f"| {name} | {_cell(f['detection'])} | {_cell(f['right'])} | {first} |")
    return lines


def _configurations(found: Mapping[str, Any]) -> list[str]:
    lines = [
        "| configuration | half | verdict | points lost to twin | p (t) | p (flips) | d | runs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, t in found.items():
        hit = f"{sum(t['hit'])} of {len(t['hit'])}"
        loss, p_t, p_flip, effect = t["loss"], t["p_t"], t["p_flip"], t["effect"]
        numbers = f"{100 * loss:.1f} | {p_t:.2g} | {p_flip:.2g} | {effect:.1f}"
        lines.append(f"| {name} | {t['half']} | {t['verdict']} | {numbers} | {hit} |")
    return lines
