"""The coach in the report: what it found and tried, as tables; gains and rates as pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainwell.report import svg
from trainwell.report.numbers import known
from trainwell.report.svg import Scale

Json = Mapping[str, Any]
ROW = 26.0
MATTERS = 0.5  # points; less is no difference that matters
MATTERS_NATS = 0.01  # of log loss
SHORT = ("screened out", "not proved", "not trained", "refused")  # no comparison in full


def view(facts: Json) -> dict[str, Any]:
    """What the page shows of the coach: words, the recipe as it was given, rows of two tables.

    full: remedies that were compared with the recipe in full trainings; short: the others.
    """
    told = _mapping(facts.get("coach"))
    rows = [_shown(d) for d in _decisions(facts)]
    first = _mapping(told.get("first"))
    adopted = [r for r in rows if r["outcome"] == "adopted"]
    loss = _loss(facts)
    return {
        "words": told.get("words") or "",
        "first": first if adopted else {},
        "found": [_mapping(f) for f in first.get("findings") or []] if adopted else [],
        "adopted": adopted,
        "full": [r for r in rows if r["compared"]],
        "short": [r for r in rows if not r["compared"]],
        "saw": list(dict.fromkeys((r["reason"], r["saw"]) for r in rows if r["saw"])),
        "unit": "nats" if loss else "points",
        "scale": 1 if loss else 100,
        "format": "%+.3f" if loss else "%+.1f",
    }


def _decisions(facts: Json) -> list[Json]:
    found = facts.get("decisions")
    return [d for d in found if isinstance(d, Mapping)] if isinstance(found, list | tuple) else []


def _mapping(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


def _loss(facts: Json) -> bool:
    return _mapping(facts.get("metric")).get("name") == "log_loss"


def _shown(d: Json) -> dict[str, Any]:
    """A decision as a row; older files lack some of it."""
    outcome, words = str(d.get("outcome") or ""), str(d.get("words") or "")
    gain = _mapping(d.get("difference"))
    compared = known(gain.get("value")) is not None or outcome not in SHORT
    words = words.removeprefix(f"{outcome}: ")
    return {
        "outcome": outcome,
        "compared": compared,
        "reason": d.get("reason") or d.get("because") or "",
        "saw": d.get("saw") or "",
        "tried": d.get("tried") or "",
        "told": d.get("told") or words,
        "words": words,
        "gain": {k: known(gain.get(k)) for k in ("value", "low", "high")},
        "placebo": known(d.get("placebo")),
        "cost": known(d.get("cost")),
        "reached": known(d.get("reached")),
    }


def chosen_rates(facts: Json) -> dict[str, Any] | None:
    """The short trainings in which the coach chose the rate of the run's recipe, by epochs and
    rate; None where it did not.

    That is the last remedy whose every change the recipe has, if it set the rate: adopted, or
    chosen as the best kind of networks afterwards.
    """
    recipe = _mapping(facts.get("recipe"))
    for d in reversed(_decisions(facts)):
        changes = _mapping(d.get("changes"))
        rates = d.get("rates")
        held = "lr" in changes and all(recipe.get(k) == v for k, v in changes.items())
        if not held or not isinstance(rates, list | tuple) or len(rates) < 2:
            continue
        sign = -1.0 if _loss(facts) else 1.0
        rows = []
        for one in map(_mapping, rates):
            lr, epochs, score = (known(one.get(k)) for k in ("lr", "epochs", "score"))
            if lr is not None and epochs is not None:
                rows.append({"lr": lr, "epochs": epochs, "score": score and sign * score})
        rows.sort(key=lambda r: (r["epochs"], r["lr"]))
        try:
            chosen = float(changes["lr"])
        except (TypeError, ValueError):
            continue
        return {"rows": rows, "chosen": chosen, "tried": d.get("tried") or "", "loss": _loss(facts)}
    return None


def rates(found: Json, *, name: str, title: str, desc: str, width: float = 356) -> str:
    """Score by learning rate (log axis), a line for each length of the short trainings."""
    rows = [r for r in found["rows"] if r["score"] is not None and r["lr"] > 0]
    if not rows:
        return ""
    height, left, right, top = 236.0, 44.0, width - 16, 30.0
    bottom = height - 34
    rungs, scores = [r["lr"] for r in rows], [r["score"] for r in rows]
    x = Scale(min(rungs) / 1.3, max(rungs) * 1.3, left, right, log=True)
    pad = 0.08 * (max(scores) - min(scores)) or 0.01
    y = Scale(min(scores) - pad, max(scores) + pad, bottom, top)
    ticks = y.ticks(4)
    parts = [svg.line(left, y(t), right, y(t), "grid") for t in ticks]
    parts += [
        svg.text(left - 6, y(t) + 4, words, "tick", "end")
        for t, words in zip(ticks, svg.tick_words(ticks, not found["loss"]), strict=True)
    ]
    parts.append(svg.line(left, bottom, right, bottom, "axis"))
    parts += [svg.text(x(t), bottom + 16, f"{t:g}", "tick", "middle") for t in x.ticks(4)]
    parts.append(svg.text(right, bottom + 31, "learning rate", "tick", "end"))
    lengths = sorted({r["epochs"] for r in rows})
    for epochs in lengths:
        mine = [r for r in rows if r["epochs"] == epochs]
        part = "val" if epochs == lengths[-1] else "muted"
        points = [(x(r["lr"]), y(r["score"])) for r in mine]
        parts.append(svg.path(points, f"line {part}"))
        for r, (a, b) in zip(mine, points, strict=True):
            is_chosen = part == "val" and math.isclose(r["lr"], found["chosen"], rel_tol=1e-6)
            score = f"{r['score']:.3f}" if found["loss"] else f"{100 * r['score']:.1f} %"
            told = f"rate {r['lr']:g}: {score} after {epochs:.0f} epochs"
            parts.append(svg.circle(a, b, 5 if is_chosen else 3.5, f"dot {part}", told))
            if is_chosen:
                parts.append(svg.text(a, top - 12, f"chosen {r['lr']:g}", "name val", "middle"))
                parts.append(svg.line(a, top - 6, a, b - 6, "guide"))
    return svg.document(name, width, height, title, desc, parts)


def gains(
    decisions: Sequence[Mapping[str, Any]],
    *,
    name: str,
    title: str,
    desc: str,
    width: float = 720,
    loss: bool = False,
) -> str:
    """One row per remedy that was compared: gain in points with its interval, and the placebo.
    loss: gains are of the log loss, in nats.

    decisions: of run.json. Shaded: what would not matter. Remedies without a comparison (screened
    out, not trained) are left to the table. No comparison: no picture.
    """
    rows = [d for d in decisions if known((d.get("difference") or {}).get("value")) is not None]
    if not rows:
        return ""
    letters = int(width / 16)
    labels = [svg.shorten(name, letters) for name in _told_apart(rows)]
    left = 14 + 6.9 * max(map(len, labels))
    unit = 1.0 if loss else 100.0
    matters = MATTERS_NATS if loss else MATTERS
    values = [unit * v for d in rows for v in _ends(d)]
    values += [unit * p for d in rows if (p := known(d.get("placebo"))) is not None]
    low, high = min(-2 * matters, *values), max(2 * matters, *values)
    pad = 0.04 * (high - low)
    x = Scale(low - pad, high + pad, left, width - (132 if width > 500 else 92))
    bottom = 8 + ROW * len(rows)
    parts = [svg.rect(x(-matters), 4, x(matters) - x(-matters), bottom - 4, "shade muted")]
    parts += [svg.line(x(t), 4, x(t), bottom, "grid") for t in x.ticks(5)]
    parts.append(svg.line(x(0), 4, x(0), bottom, "axis"))
    for i, (d, label) in enumerate(zip(rows, labels, strict=True)):
        parts += _row(d, label, x, 8 + ROW * (i + 0.5), left, width, loss)
    ticks = x.ticks(5 if width > 500 else 3)
    for t, words in zip(ticks, svg.tick_words(ticks), strict=True):
        parts.append(svg.text(x(t), bottom + 16, words, "tick", "middle"))
    named = "nats gained" if loss else "points gained"
    parts.append(svg.text(width, bottom + 16, named, "tick", "end"))
    return svg.document(name, width, bottom + 24, title, desc, parts)


def _told_apart(rows: Sequence[Json]) -> list[str]:
    """What was tried; without the setting's name ("balance: ") where all changed the same one."""
    names = [str(d.get("tried")) for d in rows]
    first = names[0].partition(": ")[0] + ": "
    same = all(name.startswith(first) for name in names)
    return [name.removeprefix(first) for name in names] if same else names


def _row(
    d: Json, label: str, x: Scale, y: float, left: float, width: float, loss: bool
) -> list[str]:
    difference = d["difference"]
    unit, digits, named = (1.0, 3, "nats") if loss else (100.0, 1, "points")
    part = "val" if d.get("outcome") == "adopted" else "muted"
    ends = _ends(d)
    told = f"{d.get('tried')}: {unit * difference['value']:+.{digits}f} {named}"
    if len(ends) == 3:
        told += f" ({unit * ends[0]:+.{digits}f} to {unit * ends[2]:+.{digits}f})"
    parts = [svg.text(left - 10, y + 4.5, label, "label", "end")]
    if len(ends) == 3:
        parts.append(svg.line(x(unit * ends[0]), y, x(unit * ends[2]), y, f"whisker {part}"))
    parts.append(svg.circle(x(unit * difference["value"]), y, 4.5, f"dot {part}", told))
    placebo = known(d.get("placebo"))
    if placebo is not None:
        at = x(unit * placebo)
        parts.append(svg.line(at, y - 6, at, y + 6, "whisker train"))
    words = str(d.get("outcome") or "").replace("no difference that matters", "no difference")
    words = words if width > 500 else words.partition(",")[0]
    parts.append(svg.text(width, y + 4.5, words, "number", "end"))
    return parts


def _ends(d: Mapping[str, Any]) -> list[float]:
    """Low end, value and high end as far as they are known."""
    found = [known(d["difference"].get(k)) for k in ("low", "value", "high")]
    return [v for v in found if v is not None]
