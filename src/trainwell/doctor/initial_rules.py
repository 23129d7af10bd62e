"""Rules about the initial weights as a training shows them: I01, I02, I03.

M members, E epochs. What the first weights make of the data, and whether it has cost anything.
"""

from __future__ import annotations

import numpy as np

from trainwell.doctor import reading, series, signals
from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Finding, Level, Measure, Remedy, Where
from trainwell.doctor.layer_numbers import place_of
from trainwell.doctor.network_remedies import batch_norm
from trainwell.doctor.reading import Mask
from trainwell.doctor.thresholds import Thresholds

SLIDE = "Weight initialization"
HE = Remedy("initial weights scaled to the fan-in", (("init", "He()"),))


def weights_begin_equal(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """I01: the weights of a layer begin at zero.

    What it sees: a layer whose weights have norm 0 before the first step.
    Why it matters: all units of a layer compute the same and get the same gradient, or none.
    Evidence: the norm at the start; a fault where most members stay near chance.
    When it is wrong: a last layer that begins at zero alone may learn, hence the second condition.
    Remedies: He.
    Slide: "Weight initialization" (will NOT work if all weights are initially set to zero).
    """
    layers = reading.weight_layers(evidence)
    weight = reading.measured(layers, "weight")
    if not weight.size:
        return None
    zero = (weight[:, :, 0] == 0).mean(axis=1) >= limits.agree
    if not zero.any() or not reading.is_stuck(evidence, limits):
        return None
    begun = [layer.name for layer, z in zip(layers, zero, strict=True) if z]
    names = ", ".join(place_of(name, (layer.name for layer in layers)) for name in begun)
    return Finding(
        "I01",
        "weights-begin-at-zero",
        "fault",
        0.97,
        f"Weights of layer {names} begin at zero, so that its units can never become different, "
        "and the loss stays at what a guess costs.",
        (Measure("norm_of_weights", 0.0, threshold=0.0),),
        (HE,),
        Where("layers", layer=begun[0]),
        SLIDE,
    )


def weights_begin_too_small(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """I03: signals fade from layer to layer before the first step.

    What it sees: a spread of activations below `faint` in some layer, or one that shrinks below
    `shrink` per layer, and a loss that stays near chance or starts late.
    Why it matters: the last layers see the same for every row, the first get no gradient.
    Evidence: spread at the start; loss over chance.
    When it is wrong: with normalisation signals are scaled again; then the loss falls: silence.
    Remedies: He; batch norm.
    Slide: "Weight initialization".
    """
    if weights_begin_equal(evidence, limits) or not signals.fades_at_start(evidence, limits):
        return None
    levels = reading.level(evidence, limits)
    mask = levels >= limits.linear_level
    if not series.most(mask, limits.agree):
        return None
    spread = reading.measured(reading.unit_layers(evidence), "spread")
    least = float(np.nanmin(spread[:, :, 0])) if np.isfinite(spread).any() else 0.0
    stuck = reading.is_stuck(evidence, limits)
    return Finding(
        "I03",
        "initial-weights-too-small",
        "fault" if stuck else "warning",
        0.9,
        f"Before the first step activations of a layer have a spread of only {least:.2g}: signals "
        f"fade on their way, and the training loss ended at "
        f"{reading.percent(series.average(levels[mask]))} of what a guess costs.",
        (
            Measure("least_spread", least, threshold=limits.faint),
            Measure("spread_per_layer", series.average(signals.spread_ratios(evidence)))
            if len(spread) > 1
            else Measure("spread_per_layer", 1.0),
        ),
        (HE, batch_norm(evidence.setup)),
        Where("layers"),
        SLIDE,
    )


def weights_begin_too_large(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """I02: signals blow up from layer to layer before the first step.

    What it sees: a spread of activations that grows above `grow` per layer, or units that are
    saturated before the first step; and a loss that was far above chance or stays near it.
    Why it matters: the first loss is huge, the first steps kill units or throw weights away.
    Evidence: spread and saturation at the start; first loss over chance.
    When it is wrong: normalisation undoes it; then the loss does not show it: silence.
    Remedies: He for ReLU, Xavier for tanh; batch norm.
    Slide: "Weight initialization" (uniform between (-1, 1) is not good if the fan-in is large).
    """
    base = reading.chance(evidence)
    loss = reading.curves(evidence, "train_loss")
    if base is None or not loss.size:
        return None
    units = reading.unit_layers(evidence)
    ratios = signals.spread_ratios(evidence)
    full = reading.measured(units, "saturated")
    with np.errstate(invalid="ignore"):
        growing = ratios > limits.grow
        born = (full[:, :, 0] >= limits.saturated).any(axis=0) if full.size else growing & False
        wide = _at_the_ends(evidence, limits)
        first = loss[:, 0] / base
        hurt = (first > limits.first_loss) | (reading.level(evidence, limits) >= limits.stuck)
    hurt |= reading.broken(evidence)
    mask = (growing | wide | born) & hurt
    if not series.most(mask, limits.agree):
        return None
    grown = series.average(ratios) if np.isfinite(ratios).any() else 1.0
    begins = series.average(first[mask]) if np.isfinite(first[mask]).any() else np.inf
    what = (
        f"activations grow {grown:.2g} times from layer to layer"
        if growing[mask].any()
        else "units begin at the end of their range"
    )
    best = reading.best_level(evidence)
    level: Level = "note"
    if series.most(best >= limits.poor, limits.agree):
        level = "fault" if series.most(best >= limits.learned, limits.agree) else "warning"
    return Finding(
        "I02",
        "initial-weights-too-large",
        level,
        0.85,
        f"Before the first step {what}, and after the first epoch the loss was {begins:.2g} times "
        f"that of a guess{reading.of_members(mask)}.",
        (
            Measure("growth_per_layer", grown, threshold=limits.grow),
            Measure("first_loss_over_chance", begins, threshold=limits.first_loss),
        ),
        (
            HE,
            Remedy("Xavier for tanh and sigmoid units", (("init", "Xavier()"),)),
            batch_norm(evidence.setup),
        ),
        Where("layers"),
        SLIDE,
    )


def _at_the_ends(evidence: Evidence, limits: Thresholds) -> Mask:
    """Members (M,) whose tanh or sigmoid units begin with (nearly) the spread of two ends."""
    widest = {"tanh": 1.0, "sigmoid": 0.5}.get(evidence.setup.activation or "")
    spread = reading.measured(reading.unit_layers(evidence), "spread")
    if widest is None or not spread.size:
        return np.zeros(evidence.members, np.bool_)
    return np.asarray((spread[:, :, 0] >= limits.two_ends * widest).any(axis=0))
