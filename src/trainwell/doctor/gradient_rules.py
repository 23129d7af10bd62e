"""Rules about signals and units: R04, R05, R06, R07, R13.

M members, E epochs. Small gradients or silent units alone are no disease: a rule here asks also
that training stands still or got worse.
"""

from __future__ import annotations

import numpy as np

from trainwell.doctor import reading, series, signals
from trainwell.doctor.evidence import Evidence, Floats
from trainwell.doctor.finding import Finding, Level, Measure, Remedy, Where
from trainwell.doctor.initial_rules import HE, weights_begin_too_large
from trainwell.doctor.layer_numbers import place_of
from trainwell.doctor.network_remedies import batch_norm, leaky_relu, relu
from trainwell.doctor.reading import Mask
from trainwell.doctor.thresholds import Thresholds

INIT, ACTIVATION = "Weight initialization", "Activation and loss function"
SHALLOWER = Remedy("fewer layers")


def vanishing_gradient(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R04: the first layers get (almost) no gradient.

    What it sees: gradients of the first layer far below those of the last, and a loss near chance.
    Why it matters: layers that do not learn hand random features, or nothing, to the others.
    Evidence: ratio of mean absolute gradients, first over last layer, below `vanished` in `agree`
    of the members at the start or at the end.
    When it is wrong: a network that has learned everything has small gradients too; its loss is
    low, and the rule is silent.
    Remedies: ReLU; He; batch norm; fewer layers.
    Slide: "Activation and loss function".
    """
    ratios = signals.gradient_ratios(evidence)
    if not ratios.shape[1] or not reading.is_stuck(evidence, limits):
        return None
    with np.errstate(invalid="ignore"):
        start, end = ratios[:, 0], reading.middle(ratios[:, -3:])
        mask = (start < limits.vanished) | (end < limits.vanished)
    weights = reading.measured(reading.weight_layers(evidence), "gradient")
    with np.errstate(invalid="ignore"):
        nothing = (weights[:, :, 0] == 0).all(axis=0) if weights.size else mask & False
    mask = mask | nothing
    if not series.most(mask, limits.agree) or series.most(reading.broken(evidence), limits.agree):
        return None
    both = np.where(start < limits.vanished, start, end)[mask]
    least = float(np.nanmedian(both)) if np.isfinite(both).any() else 0.0
    return Finding(
        "R04",
        "vanishing-gradient",
        "fault",
        0.7 + 0.25 * float(mask.mean()) - (0.1 if len(mask) == 1 else 0.0),
        f"Gradients of the first layer are {least:.1g} times those of the last"
        f"{reading.of_members(mask)}, and the training loss stays near what a guess costs: the "
        "first layers do not learn.",
        (Measure("first_over_last_gradient", least, threshold=limits.vanished),),
        (relu(evidence.setup), HE, batch_norm(evidence.setup), SHALLOWER),
        Where("layers"),
        ACTIVATION,
    )


def exploding_gradient(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R05: gradients that jump, and throw the loss up.

    What it sees: gradient norms above `spike` × their running median in several epochs, each with
    a loss above its running minimum by a good part of chance.
    Why it matters: one such step undoes many good ones.
    Evidence: `spikes` epochs in `agree` of the members.
    When it is wrong: gradients near zero jump without harm; without a jump of the loss: silence.
    Remedies: a smaller rate; He; batch norm; warm-up.
    Slide: "Weight initialization".
    """
    gradient = reading.measured(reading.weight_layers(evidence), "gradient")
    base, loss = reading.chance(evidence), reading.curves(evidence, "train_loss")
    if base is None or not gradient.size or loss.shape[1] < 4:
        return None
    finite = np.where(np.isfinite(gradient), gradient, 0.0)
    whole = np.sqrt((finite**2).sum(axis=0))[:, 1:]
    count = np.zeros(len(loss), np.int64)
    largest = np.zeros(len(loss))
    for k, norms in enumerate(whole[:, : loss.shape[1]]):
        low = series.running_minimum(loss[k])
        for e in range(2, len(norms)):
            usual = float(np.median(norms[max(0, e - 10) : e]))
            jumped = loss[k, e] > low[e] + limits.rebound_floor * base
            if norms[e] > limits.spike * usual > 0 and jumped:
                count[k] += 1
                largest[k] = max(largest[k], norms[e] / usual)
    mask = count >= limits.spikes
    if not series.most(mask, limits.agree):
        return None
    return Finding(
        "R05",
        "exploding-gradient",
        "warning",
        0.75,
        f"Gradients jumped to {largest.max():.0f} times their usual size, in {count[mask].min()} "
        f"epochs or more{reading.of_members(mask)}, and the loss jumped with them.",
        (Measure("spike_over_median", float(largest.max()), threshold=limits.spike),),
        (
            Remedy(
                "a fifth of the learning rate",
                (("lr", f"{evidence.setup.lr / 5:.4g}"),) if evidence.setup.lr else (),
            ),
            HE,
            batch_norm(evidence.setup),
            Remedy("begin with small steps", (("schedule", "Cosine(warmup=0.1)"),)),
        ),
        Where("layers"),
        INIT,
    )


def dying_relu(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R06: units that are silent for every row.

    What it sees: a layer with more than `dead` of its units silent, and `dead_rise` more than at
    the start.
    Why it matters: a silent unit gets no gradient and never comes back; capacity is lost.
    Evidence: the share per layer in `agree` of the members; a warning or fault only where the
    loss has not fallen well below chance.
    When it is wrong: wide layers with decay silence units that they do not need: a note.
    Remedies: half the rate; He; leaky ReLU; batch norm.
    Slide: "Weight initialization" (ReLU can easily die).
    """
    return _idle(evidence, limits, "dead")


def saturated_units(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R07: sigmoid or tanh units at the ends of their range.

    What it sees: a layer with more than `saturated` of its units at an end on 90 % of the rows.
    Why it matters: the derivative is nearly 0 there: nothing comes through to the layers before.
    Evidence: the share per layer in `agree` of the members; a warning or fault only where the
    loss has not fallen well below chance.
    When it is wrong: a network that has learned its data may saturate: a note.
    Remedies: scale the inputs; smaller initial weights; ReLU.
    Slide: "Activation and loss function".
    """
    return _idle(evidence, limits, "saturated")


def _idle(evidence: Evidence, limits: Thresholds, name: str) -> Finding | None:
    layers = reading.unit_layers(evidence)
    values = reading.measured(layers, name)
    values = np.where(np.isfinite(values), values, np.nan)
    layers = [layer for layer in layers if name in layer.measures]
    if not values.size or values.shape[2] < 2:
        return None
    first, last = values[:, :, 0], _last(values)
    bound = limits.dead if name == "dead" else limits.saturated
    with np.errstate(invalid="ignore"):
        each = last >= bound
        if name == "dead":
            each &= last - first >= limits.dead_rise
    shares = each.mean(axis=1)
    worst = int(np.argmax(np.where(shares >= limits.agree, np.nan_to_num(last).mean(1), -1.0)))
    if shares[worst] < limits.agree:
        return None
    mask: Mask = each[worst]
    over = series.over_members(last[worst][mask], limits.confidence)
    assert over is not None
    level = _weight(evidence, limits)
    began = series.average(first[worst])
    code, title, words = (
        ("R06", "dying-relu", "are silent for every row")
        if name == "dead"
        else ("R07", "saturated-units", "sit at an end of their range on nearly all rows")
    )
    slower = evidence.setup.lr
    remedies: tuple[Remedy, ...] = (
        Remedy("halve the learning rate", (("lr", f"{slower / 2:.4g}"),) if slower else ()),
        HE,
        leaky_relu(evidence.setup),
        batch_norm(evidence.setup),
    )
    if name == "saturated":
        remedies = (
            Remedy("bring the inputs to zero mean and unit spread"),
            HE,
            relu(evidence.setup),
            batch_norm(evidence.setup),
        )
    place = place_of(layers[worst].name, (layer.name for layer in layers))
    return Finding(
        code,
        title,
        level,
        0.85 if level != "note" else 0.5,
        f"In hidden layer {place}, {reading.percent(over.value)} of the units {words} at the "
        f"end ({reading.percent(began)} at the start){reading.of_members(mask)}"
        + (", though the loss fell all the same." if level == "note" else "."),
        (Measure(f"{name}_share", over.value, *_ends(over.low, over.high), bound),),
        remedies,
        Where("layers", layer=layers[worst].name),
        INIT if name == "dead" else ACTIVATION,
    )


def _last(values: Floats) -> Floats:
    """The last number of every layer and member (L, M); nan where there is none."""
    found = np.full(values.shape[:2], np.nan)
    for place in range(1, values.shape[2]):
        found = np.where(np.isnan(values[:, :, place]), found, values[:, :, place])
    return found


def _weight(evidence: Evidence, limits: Thresholds) -> Level:
    """A symptom is a fault where nothing was learned, a note where training works."""
    if reading.is_stuck(evidence, limits):
        return "fault"
    levels = reading.level(evidence, limits)
    return "warning" if series.most(levels >= limits.learned, limits.agree) else "note"


def _ends(low: float, high: float) -> tuple[float | None, float | None]:
    """An interval of shares; None where one training says nothing of it."""
    if not np.isfinite(low):
        return None, None
    return max(0.0, low), min(1.0, high)


def deep_without_normalisation(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """R13: many layers, no normalisation, and a training that suffers from it.

    What it sees: `deep` weight layers or more without batch or layer norm or residual connections,
    with signals that fade, blow up or stop, or a loss near chance.
    Why it matters: each layer multiplies signal and gradient by its own scale.
    Evidence: the number of layers; the other finding.
    When it is wrong: deep networks that learn are left alone.
    Remedies: batch norm before the non-linearity; fewer layers.
    Slide: "Batch normalization".
    """
    depth = evidence.setup.depth
    if depth is None or depth < limits.deep or evidence.setup.normalised is not False:
        return None
    rules = (vanishing_gradient, exploding_gradient, dying_relu, weights_begin_too_large)
    suffers = [f for f in (rule(evidence, limits) for rule in rules) if f and f.level != "note"]
    if not suffers and not reading.is_stuck(evidence, limits):
        return None
    why = suffers[0].name.replace("-", " ") if suffers else "a loss near what a guess costs"
    return Finding(
        "R13",
        "deep-without-normalisation",
        "warning",
        0.7,
        f"{depth} layers of weights follow each other without normalisation, and training suffers: "
        f"{why}.",
        (Measure("weight_layers", float(depth), threshold=float(limits.deep)),),
        (batch_norm(evidence.setup), SHALLOWER),
        Where("layers"),
        "Batch normalization",
    )
