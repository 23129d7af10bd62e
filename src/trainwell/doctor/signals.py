"""Signals between layers as probes measured them: do they fade, blow up, or stop?"""

from __future__ import annotations

import numpy as np

from trainwell.doctor import reading, series
from trainwell.doctor.evidence import Evidence, Floats
from trainwell.doctor.reading import Mask
from trainwell.doctor.thresholds import Thresholds


def spread_ratios(evidence: Evidence) -> Floats:
    """Spread of activations per layer at the start (M,): geometric mean of the steps from layer to
    layer; nan for fewer than two layers of units.

    Layers of units count from the first on; the scale of the inputs is not known.
    """
    spread = reading.measured(reading.unit_layers(evidence), "spread")
    if len(spread) < 2:
        return np.full(evidence.members, np.nan)
    first, last = spread[0, :, 0], spread[-1, :, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = (last / first) ** (1 / (len(spread) - 1))
    return found


def fades_at_start(evidence: Evidence, limits: Thresholds) -> bool:
    """Whether signals are lost before the first step: weights that are zero or far too small."""
    weight = reading.measured(reading.weight_layers(evidence), "weight")
    if weight.size and series.most(np.asarray((weight[:, :, 0] == 0).any(axis=0)), limits.agree):
        return True
    spread = reading.measured(reading.unit_layers(evidence), "spread")
    faint = np.asarray((spread[:, :, :1] < limits.faint).any(axis=(0, 2)))
    if series.most(faint, limits.agree):
        return True
    fading: Mask = np.less(spread_ratios(evidence), limits.shrink)
    return len(spread) >= 3 and series.most(fading, limits.agree)


def gradient_ratios(evidence: Evidence) -> Floats:
    """Gradient of the first over that of the last weight layer (M, E + 1), per weight where
    mean absolute entries were measured, else by norms; (M, 0) for fewer than two layers."""
    layers = reading.weight_layers(evidence)
    size = reading.measured(layers, "magnitude")
    if len(size) < 2 or not np.isfinite(size).any():
        size = reading.measured(layers, "gradient")
    if len(size) < 2:
        return np.zeros((evidence.members, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = size[0] / size[-1]
    return found


def first_broken_layer(evidence: Evidence) -> str | None:
    """The first layer with a number that is not finite: "data" where that was so before the first
    step; None where all were finite or nothing was measured.

    Layers' infinities are told from what was not measured by weights, which are always measured.
    """
    for layer in reading.unit_layers(evidence):
        values = layer.measures.get("mean")
        if values is None or not values.size:
            continue
        known = np.isfinite(layer.measures.get("spread", values)[:, 0])
        if np.isinf(values[:, 0]).any() or (~known).any():
            return "data"
    for layer in reading.weight_layers(evidence):
        gradient, weight = layer.measures.get("gradient"), layer.measures.get("weight")
        if gradient is None or weight is None:
            continue
        lost = ~np.isfinite(gradient) & np.isfinite(weight)
        if lost[:, :1].any():
            return "data"
        if lost.any() or np.isinf(weight).any():
            return layer.name
    return None
