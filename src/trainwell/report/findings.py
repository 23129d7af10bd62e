"""Findings in the report: numbered, worst first, and marked in the pictures that show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.doctor.layer_numbers import layer_words
from trainwell.report import plots
from trainwell.report.numbers import known

Json = Mapping[str, Any]
Floats = npt.NDArray[np.float64]
LEVEL_WORDS = {"fault": "Fault", "warning": "Warning", "note": "Note"}
SAFE_RATIOS = (1e-5, 1e-1)  # update over weight, the ends of the shades; 1e-3 is usual


def _findings(facts: Json) -> list[tuple[int, Json]]:
    """Findings with their numbers; what is none is left out, as in files that were changed."""
    found = facts.get("findings")
    listed = found if isinstance(found, list | tuple) else []
    return [(n, f) for n, f in enumerate(listed, start=1) if isinstance(f, Mapping)]


def numbered(facts: Json) -> list[dict[str, Any]]:
    """Findings as the page shows them: number, level in words, name in words, the evidence."""
    found = []
    for number, finding in _findings(facts):
        level = str(finding.get("level") or "note")
        remedies, evidence = finding.get("remedies"), finding.get("evidence")
        found.append(
            {
                "number": number,
                "level": level,
                "level_words": LEVEL_WORDS.get(level, level.capitalize()),
                "code": finding.get("code") or "",
                "name": _name(finding),
                "words": finding.get("words") or "",
                "remedies": [str(r) for r in remedies] if isinstance(remedies, list) else [],
                "evidence": _evidence_rows(evidence) if isinstance(evidence, Mapping) else [],
                "slide": finding.get("slide") or "",
                "picture": str(_where(finding).get("picture") or ""),
            }
        )
    return found


def _name(finding: Json) -> str:
    return str(finding.get("name") or finding.get("code") or "").replace("-", " ")


def _where(finding: Json) -> Json:
    where = finding.get("where")
    return where if isinstance(where, Mapping) else {}


def _evidence_rows(evidence: Json) -> list[tuple[str, str]]:
    """Each measure in words: value (low to high), and what it was compared with."""
    rows = []
    for name, measure in evidence.items():
        if not isinstance(measure, Mapping):
            rows.append((str(name), str(measure)))
            continue
        value, low, high, limit = (
            known(measure.get(k)) for k in ("value", "low", "high", "threshold")
        )
        words = "not finite" if value is None else f"{value:.3g}"
        if low is not None and high is not None:
            words += f" ({low:.3g} to {high:.3g})"
        if limit is not None:
            words += f", threshold {limit:.3g}"
        rows.append((str(name).replace("_", " "), words))
    return rows


def regions(facts: Json, picture: str) -> list[plots.Region]:
    """The epochs that findings mark in a picture with an axis of epochs."""
    found = []
    for number, finding in _findings(facts):
        epochs = _where(finding).get("epochs")
        if _where(finding).get("picture") != picture or not isinstance(epochs, list | tuple):
            continue
        ends = [e for e in map(known, epochs) if e is not None]
        if len(ends) == len(epochs) == 2:
            found.append(plots.Region(str(number), ends[0], ends[1], _name(finding)))
    return found


def class_marks(facts: Json, picture: str) -> dict[int, str]:
    """Numbers of findings by class, for the pictures with one row per class."""
    found: dict[int, str] = {}
    for number, finding in _findings(facts):
        classes = _where(finding).get("classes")
        if _where(finding).get("picture") == picture and isinstance(classes, list | tuple):
            found |= {int(k): str(number) for k in map(known, classes) if k is not None}
    return found


def layer_marks(facts: Json) -> dict[str, str]:
    """Numbers of findings by layer."""
    return {
        str(_where(finding)["layer"]): str(number)
        for number, finding in _findings(facts)
        if _where(finding).get("layer") is not None
    }


def layer_pictures(facts: Json, probes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Silent or saturated units, and update over weight, by layer and epoch: mean over members."""
    marks, found = layer_marks(facts), {}
    layers = layer_words((str(row["layer"]), _has_weights(row)) for row in probes)
    units, labels = _table(probes, ("dead", "saturated"))
    if labels:
        words = [
            [_told(layers[label], j, v, "{:.0%} of its units") for j, v in enumerate(row)]
            for label, row in zip(labels, units, strict=True)
        ]
        found["units"] = plots.heat(
            [layers[label] for label in labels],
            units,
            np.clip(np.nan_to_num(units), 0, 1),
            words,
            name="layers-units",
            title="Units that are silent or saturated, by layer and epoch",
            desc="the darker, the larger the share of units",
            marks={i: marks[label] for i, label in enumerate(labels) if label in marks},
        )
    updates, labels = _table(probes, ("update",))
    if labels:
        low, high = (math.log10(v) for v in SAFE_RATIOS)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(np.where(updates > 0, updates, np.nan))
        shades = np.clip((logs - low) / (high - low), 0, 1)
        words = [
            [_told(layers[label], j, v, "update / weight {:.2g}") for j, v in enumerate(row)]
            for label, row in zip(labels, updates, strict=True)
        ]
        found["updates"] = plots.heat(
            [layers[label] for label in labels],
            updates,
            np.nan_to_num(shades),
            words,
            name="layers-updates",
            title="Size of an update over the size of the weights, by layer and epoch",
            desc="from 1e-5 (light) to 1e-1 (dark); 1e-3 is usual",
            marks={i: marks[label] for i, label in enumerate(labels) if label in marks},
        )
    return found


def _has_weights(row: Mapping[str, Any]) -> bool:
    return known(row.get("weight")) is not None


def initial_rows(facts: Json) -> list[dict[str, Any]]:
    """The table of the initial weights, layers by number instead of by the name of a module."""
    rows = [r for r in facts.get("initial") or [] if isinstance(r, Mapping)]
    words = layer_words((str(r.get("layer")), _has_weights(r)) for r in rows)
    return [dict(r) | {"layer": words[str(r.get("layer"))]} for r in rows]


def _told(label: str, epoch: int, value: float, form: str) -> str:
    return f"{label}, epoch {epoch}\n{form.format(value)}" if math.isfinite(value) else ""


def _table(probes: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[Floats, list[str]]:
    """The larger of some measures by layer and epoch (L, E + 1), the mean over members.

    Layers in the order of the network; epochs that fewer than half of the members reached are
    left out.
    """
    seen: dict[str, dict[int, list[float]]] = {}
    for row in probes:
        values = [v for n in names if isinstance(v := row.get(n), float) and math.isfinite(v)]
        if values:
            epoch = int(row["epoch"])
            seen.setdefault(str(row["layer"]), {}).setdefault(epoch, []).append(max(values))
    if not seen:
        return np.zeros((0, 0)), []
    most = max(len(v) for layer in seen.values() for v in layer.values())
    last = max(e for layer in seen.values() for e, v in layer.items() if 2 * len(v) >= most)
    table = np.full((len(seen), last + 1), np.nan)
    for i, layer in enumerate(seen.values()):
        for epoch, values in layer.items():
            if epoch <= last:
                table[i, epoch] = sum(values) / len(values)
    return table, list(seen)
