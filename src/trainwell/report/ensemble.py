"""The report's section on the ensemble: kinds, weights, contributions, diversity, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainwell.ensemble.wording import SHARES, change_of_loss, interval_of, lower_or_higher
from trainwell.ensemble.wording import points as shown_points
from trainwell.files import write_whole
from trainwell.report import svg
from trainwell.report.figures import both
from trainwell.report.numbers import finite
from trainwell.report.svg import Scale

Json = Mapping[str, Any]
ROW = 30.0  # height of a kind's row
WAYS = {
    "recipe": "the recipe",
    "other seeds": "other initial weights",
    "part of the rows": "partial samples",
    "architecture": "another architecture",
    "coach": "tried by the coach",
    "run": "of a run",
}


def view(ensemble: Any) -> dict[str, Any] | None:
    """What templates/ensemble.html shows of the field "ensemble"; None where it has no kinds."""
    from markupsafe import Markup

    if not isinstance(ensemble, Mapping) or not ensemble.get("kinds"):
        return None
    kinds = ensemble["kinds"]
    helpers = ensemble.get("weaker_that_help") or []
    share, rows, some = _share(ensemble), ensemble.get("rows"), ensemble.get("way_rows")
    return {
        "ensemble": ensemble,
        "kinds": [_row(kind, ensemble) for kind in kinds],
        "members": Markup(members(ensemble)),
        "diversity": Markup(diversity(ensemble.get("diversity") or {})),
        "ways": [_way(way, share) for way in ensemble.get("ways") or []],
        "way_rows": f"{some:,} of {rows:,} rows, drawn at random"
        if finite(some) and finite(rows) and some < rows
        else "",
        "weaker": ", ".join(f"“{name}”" for name in helpers),
        "part": "sealed test" if ensemble.get("part") == "test" else "validation",
        "share": SHARES[share],
        "deciding": _deciding(ensemble),
        "test": _gain(ensemble.get("test"), share),
        "over": _gain(ensemble.get("over_best_network"), share),
        "single": _single(ensemble.get("single")),
    }


def _share(ensemble: Json) -> str:
    """The share of right answers that differences are told in."""
    name = str(ensemble.get("metric"))
    return name if name in SHARES else "accuracy"


def _by_loss(ensemble: Json) -> bool:
    """Whether log loss decides who helps and what is kept; runs from before said it by log loss."""
    return str(ensemble.get("decided") or "log_loss") == "log_loss"


def _deciding(ensemble: Json) -> str:
    """The name of the measure that decides."""
    return "log loss" if _by_loss(ensemble) else SHARES[_share(ensemble)]


def write_page(found: Json, folder: Path) -> Path:
    """Write ensemble.html of an ensemble over runs into its folder; found: as ensemble.json."""
    from trainwell.report.page import environment, headline

    page = environment().get_template("ensemble_page.html")
    path = folder / "ensemble.html"
    text = page.render(found=found, voting=view(found["ensemble"]), head=headline(found))
    write_whole(path, text.encode("utf-8"))
    return path


def _row(kind: Json, ensemble: Json) -> dict[str, Any]:
    validation, judged = kind.get("validation") or {}, kind.get("judged") or {}
    contribution, share = kind.get("contribution") or {}, _share(ensemble)
    brings = [_change(contribution.get("log_loss"), bool(ensemble.get("balanced")))]
    brings.append(_points_of(contribution.get(share), share))
    if not _by_loss(ensemble):
        brings.reverse()
    return {
        "name": str(kind["name"]),
        "way": WAYS.get(str(kind.get("way")), str(kind.get("way"))),
        "changes": ", ".join(f"{k} = {v}" for k, v in (kind.get("changes") or {}).items()),
        "networks": str(kind.get("networks")),
        "weight": f"{kind['weight']:.2f}" if kind["weight"] else "–",
        "temperature": f"{kind['temperature']:.2f}",
        "validation": percent((validation.get(share) or {}).get("value")),
        "loss": decimals(validation.get("log_loss")),
        "judged": percent((judged.get(share) or {}).get("value")),
        "judged_loss": decimals(judged.get("log_loss")),
        "brings": [lines for lines in brings if lines],
        "verdict": str(contribution.get("verdict") or "–"),
    }


def _change(saved: Any, balanced: bool) -> list[str]:
    """A difference of log losses and its interval, a line each."""
    if not isinstance(saved, Mapping) or not finite(saved.get("value")):
        return []
    return _lines(change_of_loss(interval_of(saved), balanced))


def _points_of(won: Any, share: str) -> list[str]:
    """A difference of shares and its interval, a line each."""
    if not isinstance(won, Mapping) or not finite(won.get("value")):
        return []
    return _lines(f"{SHARES[share]} {shown_points(interval_of(won))}")


def _lines(words: str) -> list[str]:
    value, bracket, ends = words.partition(" [")
    return [value, f"[{ends}"] if bracket else [value]


def _way(way: Json, share: str) -> dict[str, str]:
    return {
        "name": str(way["name"]),
        "says": str(way.get("says") or ""),
        "share": percent(way.get(share)),
        "log_loss": decimals(way.get("log_loss")),
        "gain": points(way.get("gain")),
        "saved": saving(way.get("saved")),
    }


def _gain(found: Any, share: str) -> dict[str, str] | None:
    """What a difference between two models says, in words."""
    if not isinstance(found, Mapping):
        return None
    return {
        "share": f"{points(found.get(share))} points of {SHARES[share]}",
        "log_loss": f"log loss {saving(found.get('log_loss'))}",
        "n": f"{found.get('n') or 0:,}",
        "kind": str(found.get("kind") or ""),
        "networks": str(found.get("networks") or ""),
    }


def _single(found: Any) -> dict[str, str] | None:
    """What one network instead of several costs, in words."""
    if not isinstance(found, Mapping):
        return None
    seconds, size = found["seconds_per_example"], found["parameters"]
    times, share = seconds["ensemble"] / max(seconds["one"], 1e-12), _share(found)
    taught = found["over_labels_alone"]
    return {
        "words": str(found["words"]),
        "size": f"{size['one']:,} instead of {size['ensemble']:,} parameters",
        "time": f"{1e6 * seconds['one']:.3g} µs per example, {times:.1f} times faster",
        "taught": f"{points(taught.get(share))} points of {SHARES[share]}",
    }


def percent(value: Any) -> str:
    """A share as per cent.

    >>> percent(0.9833), percent(None)
    ('98.3 %', '–')
    """
    return f"{100 * value:.1f} %" if finite(value) else "–"


def decimals(value: Any) -> str:
    """A log loss."""
    return f"{value:.4f}" if finite(value) else "–"


def points(interval: Any) -> str:
    """A difference of shares in points, with its interval.

    >>> points({"value": 0.012, "low": 0.001, "high": 0.02})
    '+1.20 [+0.10, +2.00]'
    """
    if not isinstance(interval, Mapping) or not finite(interval.get("value")):
        return "–"
    return shown_points(interval_of(interval))


def saving(interval: Any) -> str:
    """A saving of log loss with its interval.

    >>> saving({"value": -0.0014, "low": -0.003, "high": 0.001})
    '0.0014 higher [0.0010 lower to 0.0030 higher]'
    """
    if not isinstance(interval, Mapping) or not finite(interval.get("value")):
        return "–"
    return lower_or_higher(interval_of(interval))


# ---- pictures -------------------------------------------------------------------------------


def members(ensemble: Json) -> str:
    """Every kind: its score alone, its weight as a bar, its contribution, with intervals; scores
    and contributions in the measure that decides."""
    told = "; ".join(
        f"{k['name']}: {_deciding(ensemble)} alone {_amount(_score(k, ensemble), ensemble)}, "
        f"weight {k['weight']:.2f}"
        for k in ensemble["kinds"]
    )

    def draw(name: str, width: float) -> str:
        return _members(ensemble, name, width, told)

    return both(draw, "ensemble")


def _score(kind: Json, ensemble: Json) -> Any:
    """The deciding score alone: on the rows that judge where there are such, else out of fold."""
    found = (kind.get("judged") or kind.get("validation")) or {}
    if "alone" in found:
        return found["alone"]
    return {"value": found.get("log_loss")} if _by_loss(ensemble) else found.get(_share(ensemble))


def _amount(interval: Any, ensemble: Json) -> str:
    return decimals(_value(interval)) if _by_loss(ensemble) else percent(_value(interval))


def _brings(kind: Json, ensemble: Json) -> Any:
    """What a kind brings to the vote in the measure that decides; above 0 is better."""
    key = "log_loss" if _by_loss(ensemble) else _share(ensemble)
    return (kind.get("contribution") or {}).get(key)


def _value(interval: Any) -> Any:
    return interval.get("value") if isinstance(interval, Mapping) else None


def _members(ensemble: Json, name: str, width: float, told: str) -> str:
    kinds, wide, by_loss = ensemble["kinds"], width > 500, _by_loss(ensemble)
    letters = 22 if wide else 12
    left = 12 + 7.0 * max(len(svg.shorten(str(k["name"]), letters)) for k in kinds)
    room = width - left - 12
    gap = 22.0
    widths = [0.38 * room, 0.2 * room, 0.42 * room]
    starts = [left + 10, left + 10 + widths[0], left + 10 + widths[0] + widths[1]]
    top, bottom = 26.0, 26.0 + ROW * len(kinds)
    scores = [_score(k, ensemble) for k in kinds]
    gains = [_brings(k, ensemble) for k in kinds]
    alone = _scale(scores, starts[0], starts[0] + widths[0] - gap, None)
    brought = _scale(gains, starts[2], starts[2] + widths[2] - gap, 0.0)
    most = max((float(k["weight"]) for k in kinds), default=1.0) or 1.0
    number = 28.0 if wide else 0.0  # room for the weight beside its bar
    weight = Scale(0, most, starts[1], starts[1] + widths[1] - gap - number)
    what, unit = _deciding(ensemble), "lower by" if by_loss else "points"
    titles = (f"{what}, alone", "weight", f"brings, {unit}")
    titles = titles if wide else ("alone", "weight", "brings")
    parts = [svg.text(x, 14, t, "tick") for x, t in zip(starts, titles, strict=True)]
    parts.append(svg.line(brought(0.0), top, brought(0.0), bottom, "axis"))
    for i, kind in enumerate(kinds):
        y = top + ROW * (i + 0.5)
        label = svg.shorten(str(kind["name"]), letters)
        parts.append(svg.text(left, y + 4.5, label, "label", "end", str(kind["name"])))
        part = "val" if kind["weight"] else "muted"
        tip = f"{what} {_amount(scores[i], ensemble)} alone"
        parts += _whisker(scores[i], alone, y, part, tip)
        x = weight(0.0)
        share = f"weight {kind['weight']:.2f}"
        parts.append(svg.rect(x, y - 7, weight(float(kind["weight"])) - x, 14, "bar", share))
        if kind["weight"] and wide:
            end = weight(float(kind["weight"])) + 5
            parts.append(svg.text(end, y + 4.5, f"{kind['weight']:.2f}", "tick"))
        verdict = (kind.get("contribution") or {}).get("verdict")
        amount = saving(gains[i]) if by_loss else f"{points(gains[i])} points"
        parts += _whisker(gains[i], brought, y, part, f"{what} {amount}: {verdict}")
    for scale, difference in ((alone, False), (brought, True)):
        ticks = scale.ticks(4 if wide else 2)
        for t in ticks:
            shown = _tick(t, by_loss, difference)
            parts.append(svg.text(scale(t), bottom + 16, shown, "tick", "middle"))
    title = "Kinds of networks: score alone, weight, contribution"
    return svg.document(name, width, bottom + 24, title, told, parts)


def _tick(value: float, by_loss: bool, difference: bool) -> str:
    """A number on an axis: log loss as it is, shares in per cent, differences of them in points."""
    if difference and not value:
        return "0"
    if by_loss:
        return f"{value:+.3g}" if difference else f"{value:.3g}"
    return f"{100 * value:+.3g}" if difference else f"{100 * value:g} %"


def _scale(intervals: Sequence[Any], left: float, right: float, must: float | None) -> Scale:
    """An axis that holds all values and finite ends, and `must`."""
    found = [must] if must is not None else []
    for interval in intervals:
        if isinstance(interval, Mapping):
            found += [v for k in ("value", "low", "high") if finite(v := interval.get(k))]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    if high - low < 1e-3:
        low, high = low - 1e-3, high + 1e-3
    return Scale(low, high, left, right)


def _whisker(interval: Any, scale: Scale, y: float, part: str, tip: str) -> list[str]:
    if not isinstance(interval, Mapping) or not finite(interval.get("value")):
        return []
    parts = []
    low, high = interval.get("low"), interval.get("high")
    if finite(low) and finite(high):
        parts.append(svg.line(scale(float(low)), y, scale(float(high)), y, f"whisker {part}"))
    parts.append(svg.circle(scale(float(interval["value"])), y, 4.5, f"dot {part}", tip))
    return parts


def diversity(found: Json) -> str:
    """Pairs of kinds: above the diagonal how often they disagree, below how often both err."""
    names, apart, both_wrong = (found.get(k) for k in ("names", "disagreement", "double_fault"))
    if not names or len(names) < 2 or not apart or not both_wrong:
        return ""
    letters, cell = 18, 46.0
    left = 12 + 6.6 * max(len(svg.shorten(str(n), letters)) for n in names)
    size = len(names)
    values = [
        [apart[i][j] if j > i else both_wrong[i][j] if j < i else None for j in range(size)]
        for i in range(size)
    ]
    most = max((v for row in values for v in row if finite(v)), default=1.0) or 1.0
    parts = []
    for i, name in enumerate(names):
        y = 8 + 28.0 * i
        label = svg.shorten(str(name), letters)
        parts.append(svg.text(left - 8, y + 17, label, "label", "end", str(name)))
        parts.append(
            svg.text(left + cell * (i + 0.5), 22 + 28.0 * size, str(i + 1), "tick", "middle")
        )
        for j in range(size):
            value = values[i][j]
            if not finite(value):
                continue
            shade = 0.05 + 0.75 * float(value) / most
            what = "disagree" if j > i else "both err"
            tip = f"{names[i]} and {names[j]}: {what} in {percent(value)}"
            x = left + cell * j
            parts.append(svg.rect(x + 1, y, cell - 2, 26, "cell", tip, shade))
            css = "count on" if shade > 0.55 else "count"
            parts.append(svg.text(x + cell / 2, y + 17, f"{100 * float(value):.1f}", css, "middle"))
    title = "Pairs of kinds: disagreement above the diagonal, double fault below"
    told = f"disagreement over mean error {decimals(found.get('ratio'))}"
    width = left + cell * size + 8
    return svg.document("diversity", width, 30 + 28.0 * size, title, told, parts)
