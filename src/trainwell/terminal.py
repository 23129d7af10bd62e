"""What the command line prints: tables, and what a person wants to know of a run first."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainwell.next_command import Changes, anything, longer, next_command


def summary(result: Mapping[str, Any], report_path: Path, changes: Changes = anything) -> str:
    """What a person wants to know first: the answer, the yardsticks, where the report is.

    changes: whether settings would change the recipe of this run; others are not proposed.
    """
    part = "test" if result["test"] else "validation"
    scores, first = result[part], _first(result)
    partly = unmeasured(result)
    share = str(partly.get("share", ""))
    lines = [
        "",
        _answer(result),
        *textwrap.wrap(str(partly.get("words", "")), 96, break_on_hyphens=False),
        "",
    ]
    rows = [{"": "network", **_cells(scores, first, share)}]
    rows += [
        {"": b["name"], **_cells(b[part], first, share)} for b in result["baselines"] if b[part]
    ]
    lines.append(table(rows, tuple(rows[0])))
    lines += better_baseline(result)
    lines += imbalance(result)
    notes = [w for w in result["warnings"] if w != partly.get("words")]
    told = [line for w in notes for line in textwrap.wrap(f"note:    {w}", 96, **_UNDER)]
    told += _race(result.get("race"))
    told += _coach(result) + _voted(result.get("ensemble") or {})
    lines += ["", *told] if told else []
    heavy = [f for f in result["findings"] if f["level"] != "note"]
    late = bool(result.get("out_of_time"))
    command = longer(result) if late else next_command(heavy, result["command"], changes)
    if heavy:
        lines += ["", findings(heavy, "" if late else command, most=5)]
    if late:
        lines += ["", "first    raise --budget or leave it out: time was up before the last epoch"]
        lines += [f"next     {command}"] if command else []
    if light := len(result["findings"]) - len(heavy):
        lines.append(f"{light} note{'s' if light > 1 else ''} in the report")
    lines += ["", f"report   {report_path}"]
    lines.append(f"predict  trainwell predict {shlex.quote(result['run'])} FILE -o out.csv")
    return "\n".join(lines)


def _first(result: Mapping[str, Any]) -> str:
    """The metric that decided."""
    return str((result.get("metric") or {}).get("name", "accuracy"))


def _answer(result: Mapping[str, Any]) -> str:
    """The headline: what was reached in the metric that decides, and on which rows."""
    part = "test" if result["test"] else "validation"
    scores, what = result[part], "sealed test" if result["test"] else "validation"
    first = _first(result)
    a, on = scores[first], f"on {scores['n']} {what} examples"
    share = unmeasured(result).get("share", "")
    of = f" of {share}" if share else ""
    words, ends = f"{a['value']:.1%} right {on}", f"{a['low']:.1%} to {a['high']:.1%}"
    if first == "log_loss":
        words, ends = f"log loss{of} {a['value']:.3f} {on}", f"{a['low']:.3f} to {a['high']:.3f}"
    elif first != "accuracy":
        words = f"{metric_words(first)}{of} {a['value']:.1%} {on}"
    elif share:
        words = f"rows{of} {a['value']:.1%} right {on}"
    return f"{result['name']}: {words} (95 % interval {ends})"


def unmeasured(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Which classes the rows that judge cannot measure, as run.json holds it; empty for none."""
    found = (result.get("imbalance") or {}).get("unmeasured")
    return found if isinstance(found, Mapping) and found.get("share") else {}


def metric_words(metric: str) -> str:
    """A metric as it is spoken of.

    >>> metric_words("macro_f1")
    'macro F1'
    """
    return metric.replace("_", " ").replace("f1", "F1")


def better_baseline(result: Mapping[str, Any]) -> list[str]:
    """Words about the best baseline, where it is shown to be better than the network."""
    part = "test" if result["test"] else "validation"
    found = [
        (b["against"]["difference"]["value"], b)
        for b in result["baselines"]
        if b.get(part) and (b.get("against") or {}).get("verdict") == "worse"
    ]
    if not found:
        return []
    best = min(found, key=lambda f: f[0])[1]
    gain = best["against"]["difference"]
    value, low, high = (-100 * gain[k] for k in ("value", "high", "low"))
    metric = best["against"]["metric"]
    of = "" if metric == "accuracy" else f" of {metric_words(metric)}"
    todo = "try another network (--set model=...)"
    if result.get("out_of_time"):
        todo = "give the network more time"
    elif any(f["level"] != "note" for f in result.get("findings") or []):
        todo = "look at what is found below"
    words = (
        f"{best['name']} is better by {value:.1f} points{of} ({low:.1f} to {high:.1f}): "
        f"use it, or {todo}"
    )
    return ["", *textwrap.wrap(words, 96)]


def comparison(result: Mapping[str, Any], page: Path) -> str:
    """Two arms, their means, and the verdict on B - A."""
    a, b = ([c[arm] for c in result["cells"]] for arm in "ab")
    rates = {arm: float(result["recipes"][arm]["lr"]) for arm in "ab"}
    rows = [
        {
            "": arm.upper(),
            "recipe": " ".join(str(result[arm]).split()),
            result["metric"]: f"{sum(values) / len(values):.4f}",
            "learning rate": f"{rates[arm]:g}",
            "trainings": len(values),
        }
        for arm, values in (("a", a), ("b", b))
    ]
    said = textwrap.wrap(
        f"B is {result['words']}" if result["verdict"] in ("better", "worse") else result["words"],
        96,
    )
    if result["rows_p"] is not None:
        test, p = result["rows_test"], result["rows_p"]
        told = f"all held-out rows, each by the mean of its networks: {test}, p = {p:.2g}"
        said += textwrap.wrap(told, 96)
    for note in result["notes"]:
        said += textwrap.wrap(f"warning: {note}", 96)
    said += textwrap.wrap(result["tuned"], 96)
    return "\n".join(["", table(rows, tuple(rows[0])), "", *said, "", f"page     {page}"])


def ensembled(result: Mapping[str, Any], page: Path) -> str:
    """The kinds of networks of several runs, their weights, and the verdict."""
    found = result["ensemble"]
    share = found["metric"]
    rows = [
        {
            "": kind["name"],
            "networks": kind["networks"],
            "weight": f"{kind['weight']:.2f}",
            f"{share.replace('_', ' ')} out of fold": f"{kind['validation'][share]['value']:.4f}",
            "log loss": f"{kind['validation']['log_loss']:.4f}",
        }
        for kind in found["kinds"]
    ]
    partly = str(unmeasured(result).get("words", ""))
    lines = ["", _answer(result), *textwrap.wrap(partly, 96), ""]
    if result["no_test"]:
        told = f"validation rows and not test rows: {result['no_test']}"
        lines += [*textwrap.wrap(told, 96), ""]
    lines += [table(rows, tuple(rows[0])), "", *textwrap.wrap(found["words"], 96), ""]
    lines.append(f"page     {page}")
    lines.append(f"predict  trainwell predict {shlex.quote(result['run'])} FILE -o out.csv")
    return "\n".join(lines)


def _voted(ensemble: Mapping[str, Any]) -> list[str]:
    """What came of the vote, and of one network in its place."""
    if not ensemble.get("kinds"):
        return []
    lines = textwrap.wrap(f"ensemble {ensemble['words']}", 96, subsequent_indent=" " * 9)
    if ensemble.get("single"):
        told = f"single   {ensemble['single']['words']}"
        lines += textwrap.wrap(told, 96, subsequent_indent=" " * 9)
    return lines


def runs_compared(result: Mapping[str, Any], page: Path | None = None) -> str:
    """Finished runs, their scores, and the verdict on each against the first."""
    first = {"difference": "", "p": "", "verdict": "the others are compared with it"}
    told = [
        {
            "difference": difference_of_runs(c["difference"], result["metric"]),
            "p": f"{c['p']:.2g}",
            "verdict": c["verdict"],
        }
        for c in result["comparisons"]
    ]
    name = str(result["metric"]).replace("_", " ")
    rows = [
        {"run": s["run"], name: f"{s['value']:.3f} [{s['low']:.3f}, {s['high']:.3f}]"} | t
        for s, t in zip(result["scores"], [first, *told], strict=True)
    ]
    lines = ["", table(rows, tuple(rows[0])), "", *textwrap.wrap(result["note"], 96)]
    return "\n".join(lines if page is None else [*lines, "", f"page  {page}"])


def difference_of_runs(ends: Mapping[str, float], metric: str) -> str:
    """A difference with its interval: points, or nats of log loss, where less is better.

    >>> difference_of_runs({"value": 0.01, "low": -0.004, "high": 0.024}, "accuracy")
    '+1.0 points [-0.4, +2.4]'
    """
    scale, digits, unit = (1, 3, "nats") if metric == "log_loss" else (100, 1, "points")
    value, low, high = (f"{scale * ends[k]:+.{digits}f}" for k in ("value", "low", "high"))
    return f"{value} {unit} [{low}, {high}]"


def audited(result: Mapping[str, Any], page: Path) -> str:
    """Every audited augmentation with its gain and verdict, and what to use."""
    rows = [
        {
            "augmentation": a["name"],
            "strength": f"{a['strength']:g}",
            "gain": _points(a["gain"]),
            "labels kept": _percent(a["label_agreement"]),
            "affinity": _percent(a["affinity"]),
            "told apart": _percent(a["told_apart"]),
            "verdict": a["verdict"],
        }
        for a in result["augmentations"]
    ]
    said = [""]
    if rows:
        said += [table(rows, tuple(rows[0])), ""]
    for note in result["notes"]:
        said += textwrap.wrap(f"note: {note}", 96)
    if result["use"] != "()":
        said.append(f'use      --set "augment={result["use"]}"')
    return "\n".join([*said, f"page     {page}"])


def _points(interval: Mapping[str, Any] | None) -> str:
    """A difference of shares in points with its interval.

    >>> _points({"value": 0.012, "low": -0.003, "high": 0.027})
    '+1.2 (-0.3 to +2.7)'
    """
    if interval is None or interval["value"] is None:
        return "-"
    value, low, high = (interval[k] for k in ("value", "low", "high"))
    ends = "unknown" if low is None else f"{100 * low:+.1f} to {100 * high:+.1f}"
    return f"{100 * value:+.1f} ({ends})"


def _percent(interval: Mapping[str, Any] | None) -> str:
    known = interval is not None and interval["value"] is not None
    return f"{100 * interval['value']:.1f} %" if interval is not None and known else "-"


def _coach(result: Mapping[str, Any]) -> list[str]:
    """What the coach found in the recipe as it was given, what it adopted with everything that
    changed, and how much it tried; or why it did not run."""
    told, decisions = result.get("coach") or {}, result.get("decisions") or []
    adopted = [d for d in decisions if d["outcome"] == "adopted"]
    said = []
    first = told.get("first") or {}
    if adopted and first:  # else these findings stand below, among those of the run
        names = ", ".join(f"{_named(f)} ({f['code']})" for f in first["findings"])
        gone = f", {first['diverged']} of {first['networks']} networks diverged"
        gone = gone if first["diverged"] else ""
        reached = f"the recipe as given reached {first['score_words']} in validation{gone}"
        said.append(f"{reached}; found: {names or 'nothing'}")
    said += [f"{d['tried']}: {d.get('told') or d['words']}" for d in adopted]
    if told.get("words"):
        said.append(told["words"])
    return [line for words in said for line in textwrap.wrap(f"coach    {words}", 96, **_UNDER)]


def _named(finding: Mapping[str, Any]) -> str:
    return str(finding["name"]).replace("-", " ")


def _race(race: Mapping[str, Any] | None) -> list[str]:
    """Whether another learning rate was shown to be better."""
    if not race:
        return []
    return textwrap.wrap(f"rates    {race['words']}", 96, subsequent_indent=" " * 9)


def imbalance(result: Mapping[str, Any], most: int = 8) -> list[str]:
    """Where classes are uneven: what that means, and the recall of each class with its rows."""
    found = result.get("imbalance") or {}
    if not found.get("imbalanced"):
        return []
    lines = ["", *textwrap.wrap(found["words"], 96), ""]
    rows = sorted((c for c in result["per_class"] if c["n"]), key=lambda c: c["n"])
    shown = [{"class": c["class"], "rows": c["n"], "found": _cell_of(c["recall"])} for c in rows]
    if shown:
        lines.append(table(shown[:most], tuple(shown[0])))
    if len(shown) > most:
        lines.append(f"and {len(shown) - most} larger classes, in the report")
    return lines


def _cell_of(score: Mapping[str, Any], share: bool = True) -> str:
    """A score with its interval, as far as there are any; shares as they are rounded elsewhere.

    >>> _cell_of({"value": 0.9075, "low": 0.9, "high": 1.0}), f"{0.9075:.1%}"
    ('0.908 [0.900, 1.000]', '90.8%')
    """
    ends = [score.get(e) for e in ("value", "low", "high")]
    if share:
        ends = [None if e is None else float(f"{100 * e:.1f}") / 100 for e in ends]
    value, low, high = ("-" if e is None else f"{e:.3f}" for e in ends)
    return value if value == "-" else f"{value} [{low}, {high}]"


def _cells(scores: Mapping[str, Any], first: str, share: str) -> dict[str, str]:
    """Scores by the titles of their columns, the one that decides first; share: "1 of 2 classes"
    where means over classes are of those only."""
    of = f", {share}" if share else ""
    names = {"accuracy": "accuracy", "balanced_accuracy": f"balanced{of}", "log_loss": "log loss"}
    if first == "macro_f1":
        names["macro_f1"] = f"macro F1{of}"
    ordered = {first: names[first], **names}
    found = {}
    for key, title in ordered.items():
        found[title] = _cell_of(scores[key], share=key != "log_loss")
    return found


LEVEL_WORDS = {"fault": "FAULT", "warning": "WARN", "note": "NOTE", "pass": "PASS"}


def findings(found: Sequence[Mapping[str, Any]], command: str = "", most: int = 8) -> str:
    """Findings on one screen: worst first, the reason, the first remedy, the command to type next.

    found: as `Finding.to_json` gives them; command: the next one to type, or "".
    """
    lines = []
    for finding in found[:most]:
        title = f"{LEVEL_WORDS[finding['level']]:5}  {finding['name'].replace('-', ' ')}"
        lines.append(f"{title} ({finding['code']})")
        lines += textwrap.wrap(finding["words"], 96, initial_indent="       ", **_WRAP)
        if finding["remedies"]:
            first = f"do: {finding['remedies'][0]}"
            lines += textwrap.wrap(first, 96, initial_indent="       ", **_WRAP)
    if len(found) > most:
        lines.append(f"and {len(found) - most} more of less weight: findings.json, report")
    if command:
        lines.append(f"next     {command}")
    return "\n".join(lines)


_WRAP: Any = {
    "subsequent_indent": "       ",
    "break_long_words": False,
    "break_on_hyphens": False,
}
_UNDER: Any = _WRAP | {"subsequent_indent": " " * 9}


def table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Aligned columns of text, numbers to the right."""
    cells = [[_cell(row[c]) for c in columns] for row in rows]
    widths = [max(len(c), *(len(r[i]) for r in cells)) for i, c in enumerate(columns)]
    right = [all(isinstance(row[c], int | float) for row in rows) for c in columns]

    def line(values: list[str]) -> str:
        padded = [
            v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line([c.replace("_", " ") for c in columns]), *map(line, cells)])


def sections(rows: Mapping[str, list[dict[str, Any]]], columns: tuple[str, ...]) -> str:
    """Tables under titles, with the same widths of columns in all."""
    first, *lines = table([row for some in rows.values() for row in some], columns).splitlines()
    text, start = [first], 0
    for title, some in rows.items():
        text += ["", title, *(f"  {line}" for line in lines[start : start + len(some)])]
        start += len(some)
    text[0] = f"  {first}"
    return "\n".join(text)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
