"""From a run's numbers to the pictures of its page; a picture without numbers is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trainwell.report import findings, plots
from trainwell.report.coaching import chosen_rates, gains, rates
from trainwell.report.numbers import known
from trainwell.report.reliability import reliability
from trainwell.terminal import metric_words

Json = Mapping[str, Any]
WIDE, NARROW = 720.0, 350.0
SINGLES = 30  # networks whose own curves can be looked at


def all_figures(
    facts: Json,
    history: Sequence[Mapping[str, float]],
    examples: tuple[Any, Any] | None,
    probes: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Every picture of the page by name, as markup that is safe: plots escape all words."""
    from markupsafe import Markup

    found = {
        "baselines": baselines(facts),
        "loss": curve(facts, history, "loss"),
        "accuracy": curve(facts, history, "accuracy"),
        "ladder": ladder(facts),
        "confusion": confusion(facts),
        "recall": recall(facts),
        "counts": counts(facts),
        "reliability": reliability_diagram(facts),
        "gains": coach_gains(facts),
        "coach_rates": coach_rates(facts),
        **findings.layer_pictures(facts, probes),
    }
    shown: dict[str, Any] = {name: Markup(picture) for name, picture in found.items() if picture}
    if sheet := contact_sheet(facts, examples):
        shown["sheet"] = sheet
    return shown


def both(draw: Callable[[str, float], str], name: str) -> str:
    """A picture in two widths; the page shows one of them."""
    wide, narrow = draw(f"{name}-w", WIDE), draw(f"{name}-n", NARROW)
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def _row(label: str, interval: Any, part: plots.Part, digits: int = 1) -> plots.Row:
    scores = interval if isinstance(interval, Mapping) else {}
    value, low, high = (known(scores.get(k)) for k in ("value", "low", "high"))
    note = "" if value is None else f"{100 * value:.{digits}f} %"
    return plots.Row(label, value, low, high, part, note)


def baselines(facts: Json) -> str:
    """The deciding share (accuracy by default) of the network and of each baseline."""
    part = "test" if facts.get("test") else "validation"
    first = str((facts.get("metric") or {}).get("name") or "accuracy")
    first = "accuracy" if first == "log_loss" else first
    own = (facts.get(part) or {}).get(first)
    if not own:
        return ""
    rows = [_row("network", own, "val")]
    rows += [
        _row(str(other.get("name")), (other.get(part) or {}).get(first), "muted")
        for other in facts.get("baselines") or []
    ]
    told = "; ".join(f"{r.label} {r.note}" for r in rows if r.note)

    def draw(name: str, width: float) -> str:
        named = metric_words(first)
        title = f"{named[0].upper()}{named[1:]} on {part} rows with 95 % intervals"
        return plots.intervals(rows, name=name, title=title, desc=told, width=width)

    return both(draw, "baselines")


def curve(facts: Json, history: Sequence[Mapping[str, float]], measure: str) -> str:
    """Loss or accuracy by epoch: mean and range over the members that were still training."""
    series = [
        _series("training", "train", history, f"train_{measure}"),
        _series("validation", "val", history, f"val_{measure}"),
    ]
    if not any(np.isfinite(s.mean).any() for s in series):
        return ""
    members = facts.get("members") or []
    best = [b for m in members if (b := known(m.get("best_epoch"))) is not None]
    ends = [
        f"{s.label} ends at {s.mean[np.isfinite(s.mean)][-1]:.3g}" for s in series if s.mean.size
    ]
    return plots.curves(
        series,
        name=f"curve-{measure}",
        title=f"{measure.capitalize()} by epoch",
        desc="; ".join(ends),
        percent=measure == "accuracy",
        best=best,
        regions=findings.regions(facts, measure),
        singles=[
            *_singles("train", history, f"train_{measure}"),
            *_singles("val", history, f"val_{measure}"),
        ],
    )


def _singles(
    part: plots.Part, history: Sequence[Mapping[str, float]], column: str
) -> list[plots.Single]:
    """The lines of the first SINGLES networks, where there are several."""
    found: dict[int, list[tuple[float, float]]] = {}
    for row in history:
        member, epoch = row.get("member", math.nan), row.get("epoch", math.nan)
        value = row.get(column, math.nan)
        if all(map(math.isfinite, (member, epoch, value))) and 0 <= member < SINGLES:
            found.setdefault(int(member), []).append((epoch, value))
    if len(found) < 2:
        return []
    arrays = {k: np.array(sorted(points)) for k, points in found.items()}
    return [plots.Single(k, part, a[:, 0], a[:, 1]) for k, a in sorted(arrays.items())]


def chosen_networks(history: Sequence[Mapping[str, float]]) -> list[int]:
    """Numbers of the networks whose single lines the curves hold."""
    members = {row.get("member", math.nan) for row in history}
    found = sorted(int(m) for m in members if math.isfinite(m) and 0 <= m < SINGLES)
    return found if len(found) > 1 else []


def _series(
    label: str, part: plots.Part, history: Sequence[Mapping[str, float]], column: str
) -> plots.Series:
    """Mean, smallest and largest value over members, by epoch.

    Epochs that fewer than half of the members reached are left out: the mean of the few that
    train longest would bend the end of the curve.
    """
    seen: dict[float, list[float]] = {}
    for row in history:
        epoch, value = row.get("epoch", math.nan), row.get(column, math.nan)
        if math.isfinite(epoch) and math.isfinite(value):
            seen.setdefault(epoch, []).append(value)
    most = max(map(len, seen.values()), default=0)
    epochs = sorted(e for e, values in seen.items() if 2 * len(values) >= most)
    return plots.Series(
        label,
        part,
        np.array(epochs),
        np.array([sum(seen[e]) / len(seen[e]) for e in epochs]),
        np.array([min(seen[e]) for e in epochs]),
        np.array([max(seen[e]) for e in epochs]),
    )


def ladder(facts: Json) -> str:
    """Validation loss by learning rate."""
    rates = (facts.get("ladder") or {}).get("rates") or []
    rungs = []
    for rate in rates:
        loss = rate.get("log_loss") or {}
        value, low, high = (known(loss.get(k)) for k in ("value", "low", "high"))
        lr = known(rate.get("lr"))
        if lr is not None:
            rungs.append(plots.Rung(lr, value, low, high, bool(rate.get("diverged"))))
    if not any(r.value is not None for r in rungs):
        return ""
    chosen = known((facts.get("ladder") or {}).get("chosen"))
    return plots.ladder(
        rungs,
        chosen,
        name="ladder",
        title="Validation log loss by learning rate",
        desc=f"{len(rungs)} learning rates from {rungs[0].lr:g} to {rungs[-1].lr:g}, "
        f"chosen {'none' if chosen is None else format(chosen, 'g')}",
    )


def confusion(facts: Json) -> str:
    """The confusion matrix."""
    table, classes = facts.get("confusion"), [str(c) for c in facts.get("classes") or []]
    if not table or len(table) != len(classes):
        return ""
    right, total = sum(row[i] for i, row in enumerate(table)), sum(map(sum, table))
    return plots.confusion(
        table,
        classes,
        name="confusion",
        title="Confusion matrix",
        desc=f"{right} of {total} rows lie on the diagonal; the table below gives each class.",
        width=380.0 if len(classes) <= 12 else WIDE,
    )


def recall(facts: Json) -> str:
    """Recall by class."""
    found = facts.get("per_class") or []
    marks = findings.class_marks(facts, "recall")
    rows = [
        replace(_row(str(c.get("class")), c.get("recall"), "val"), mark=marks.get(i, ""))
        for i, c in enumerate(found)
    ]
    if not rows:
        return ""
    told = "; ".join(f"{r.label} {r.note or 'no examples'}" for r in rows)

    def draw(name: str, width: float) -> str:
        return plots.recall(rows, name=name, title="Recall by class", desc=told, width=width)

    return draw("recall", NARROW) if len(rows) <= 12 else both(draw, "recall")


def reliability_diagram(facts: Json) -> str:
    """How often the network is right where it is this sure."""
    bins = facts.get("reliability") or []
    told = "; ".join(
        f"{100 * b['confidence']:.0f} % sure, {100 * b['accuracy']['value']:.0f} % right"
        for b in bins
    )
    if not bins:
        return ""
    return reliability(bins, name="reliability", title="Reliability diagram", desc=told)


def coach_gains(facts: Json) -> str:
    """What each remedy of the coach gained."""
    decisions = facts.get("decisions") or []
    loss = (facts.get("metric") or {}).get("name") == "log_loss"

    def draw(name: str, width: float) -> str:
        title, desc = "Gain of each remedy", "The table has all."
        return gains(decisions, name=name, title=title, desc=desc, width=width, loss=loss)

    return both(draw, "gains") if draw("gains", WIDE) else ""


def coach_rates(facts: Json) -> str:
    """Scores of short trainings by rate, where the coach chose it."""
    found = chosen_rates(facts)
    if found is None:
        return ""
    title = "Score of short trainings by learning rate"
    return rates(found, name="coach-rates", title=title, desc=f"chosen {found['chosen']:g}")


def counts(facts: Json) -> str:
    """Examples per class."""
    found = (facts.get("data") or {}).get("counts") or {}
    pairs = [(str(k), int(v)) for k, v in found.items()]
    told = "; ".join(f"{k} {v}" for k, v in pairs)
    if not pairs:
        return ""
    return plots.bars(pairs, name="counts", title="Examples per class", desc=told)


def contact_sheet(
    facts: Json, examples: tuple[Any, Any] | None, columns: int = 10, most: int = 12
) -> dict[str, Any] | None:
    """Up to ten pictures of each of the first twelve classes, a class per row."""
    if examples is None:
        return None
    images, labels = np.asarray(examples[0]), np.asarray(examples[1])
    classes = [str(c) for c in facts.get("classes") or []]
    if images.ndim != 4 or len(images) != len(labels) or images.shape[1] not in (1, 3, 4):
        return None
    kinds = [k for k in np.unique(labels).tolist() if 0 <= k < len(classes)][:most]
    if not kinds:
        return None
    columns = min(columns, max(int((labels == k).sum()) for k in kinds))
    blank = np.zeros((columns, *images.shape[1:]), np.uint8)
    rows = [np.concatenate([images[labels == k], blank])[:columns] for k in kinds]
    there = [np.arange(columns) < int((labels == k).sum()) for k in kinds]
    return {
        "source": plots.thumbnails(np.concatenate(rows), columns, there=np.concatenate(there)),
        "names": [classes[k] for k in kinds],
        "pixelated": max(images.shape[2:]) < 48,
        "left_out": len(classes) - len(kinds),
        "columns": columns,
    }
