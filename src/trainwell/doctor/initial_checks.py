"""Checks of the initial weights and of what they make of the first batch.

Slides: "Weight initialization", "Data pre-processing". Everything is measured in train mode with
nothing dropped, so that batch norm acts as in the first step. N rows.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from trainwell.doctor.finding import Check, Level, Remedy, out_of_time
from trainwell.doctor.lossprobe import value_of
from trainwell.doctor.output_checks import chance_loss, wrong_first_loss
from trainwell.doctor.specimen import NORMS, Attempt, Specimen, forward
from trainwell.doctor.tape import Event, Tape, record, units

SLIDE = "Weight initialization"
HE = Remedy("draw He weights, N(0, 1) · sqrt(2 / n)", (("init", "He()"),))
STANDARDISE = Remedy(
    "standardise each feature on the training rows", (("preprocess", "(Standardize(),)"),)
)
SYMMETRIC = 0.5  # share of unit pairs with the same weights
ALIKE = 1e-3  # relative distance below which two units are the same
GROWS, SHRINKS = 2.0, 0.25  # factor of the spread from layer to layer
HUGE = 10.0  # times the spread of the inputs
FLAT = 1e-3  # spread of the outputs over rows
DEAD_NOTE, DEAD, DEAD_MOST = 0.2, 0.4, 0.6  # share of a layer's units that stay silent
SCALE, RATIO, TINY = 10.0, 100.0, 0.05  # of inputs
ENOUGH = 32  # rows from which on silence for all of them says something
WAKE = 40  # steps after which silent units are looked at again
PAIRS = 256  # units that are compared with each other, at most


def initial_checks(s: Specimen) -> list[Attempt]:
    """I01 to I05 and the scale of the inputs."""
    tape = record(s.fresh(dropout=False), s.probe[0], train=len(s.x) > 1)
    return [
        ("I01", "constant-weights", lambda: constant_weights(s, tape)),
        ("I02", "weights-too-large", lambda: weights_too_large(s, tape)),
        ("I03", "weights-too-small", lambda: weights_too_small(s, tape)),
        ("I04", "dead-at-birth", lambda: dead_at_birth(s, tape)),
        ("I05", "wrong-first-loss", lambda: wrong_first_loss(s)),
        ("D01", "unscaled-inputs", lambda: unscaled_inputs(s)),
        ("D02", "shrunk-twice", lambda: shrunk_twice(s)),
    ]


def constant_weights(s: Specimen, tape: Tape) -> Check:
    """Units with the same weights get the same gradients and stay the same for ever.

    Layers that are all zero count only where they are still symmetric after three steps: the last
    layer of a residual branch may begin at zero.
    """
    name = "constant-weights"
    after: nn.Module | None = None
    found, most = [], 0.0
    layers = list(dict.fromkeys(e.module for e in tape.weights() if e.module is not None))
    names = {e.module: e.name for e in tape.weights()}
    for module in layers[:-1]:
        weight = module.get_parameter("weight") if _has(module) else None
        if weight is None or not weight.requires_grad:
            continue
        share = _twins(weight)
        zero = not bool(weight.any())
        if share >= SYMMETRIC and zero and not s.affords(3):
            return out_of_time("I01", name, SLIDE)
        if share >= SYMMETRIC and zero:
            after = after or _after_steps(s, 3)
            later = dict(after.named_modules()).get(names[module])
            share = _twins(later.get_parameter("weight")) if later is not None else share
        most = max(most, share)
        if share >= SYMMETRIC:
            found.append((names[module], zero))
    if not found:
        words = "The units of every hidden layer begin with weights of their own."
        return Check("I01", name, "pass", most, SYMMETRIC, words, (), SLIDE)
    which = "zero" if all(z for _, z in found) else "the same for all units"
    words = f"The weights of {_listed([n for n, _ in found])} are {which}: {most:.0%} of the pairs "
    words += "of units are twins, get the same gradient and remain one unit."
    return Check("I01", name, "fault", most, SYMMETRIC, words, (HE,), SLIDE)


def _has(module: nn.Module) -> bool:
    return isinstance(getattr(module, "weight", None), nn.Parameter)


def _twins(weight: Tensor) -> float:
    """Share of pairs of units (rows) with the same weights, up to a relative distance ALIKE."""
    rows = weight.detach().flatten(1).double()[:PAIRS]
    if len(rows) < 2:
        return 0.0
    distance = torch.cdist(rows, rows)
    size = float(rows.norm(dim=1).mean())
    same = int((distance <= ALIKE * size).sum()) - len(rows)
    return same / (len(rows) * (len(rows) - 1))


def _after_steps(s: Specimen, count: int) -> nn.Module:
    model = s.fresh(dropout=False)
    step = s.steps(model)
    for rows, _ in zip(s.batches(s.seed), range(count), strict=False):
        model.zero_grad(set_to_none=True)
        loss = s.value(forward(model, s.x[rows], train=len(rows) > 1), s.y[rows])
        torch.autograd.backward(loss)
        step(s.lr)
    return model


def _spreads(tape: Tape) -> list[tuple[Event, float]]:
    """Standard deviation over rows of what each weight layer makes, mean over its units."""
    return [(e, float(e.made_units.std(0).mean())) for e in tape.weights()]


def _runs(tape: Tape) -> list[list[tuple[Event, float]]]:
    """Weight layers in chains that no norm interrupts."""
    runs: list[list[tuple[Event, float]]] = [[]]
    spread = dict(_spreads(tape))
    for event in tape.events:
        if event.kind == "weight":
            runs[-1].append((event, spread[event]))
        elif event.kind == "norm" and runs[-1]:
            runs.append([])
    return [r for r in runs if r]


def weights_too_large(s: Specimen, tape: Tape) -> Check:
    """Spread that grows from layer to layer and a first loss far above that of chance."""
    name = "weights-too-large"
    layers = tape.weights()
    if not layers:
        return Check("I02", name, "pass", None, GROWS, "No weight layers were seen.", (), SLIDE)
    base = max(float(layers[0].given.double().std()), 1e-12) if _real(layers[0]) else 1.0
    gain, widest = 0.0, 0.0
    runs = _runs(tape)
    for run in runs:
        gain = max(gain, _gain([v for _, v in run]))
        # Unscaled inputs are another problem: what counts is the spread beside theirs.
        widest = max(widest, *(v / base for _, v in run))
    x, y = s.probe
    with torch.no_grad():
        first = value_of(s.loss, forward(s.fresh(dropout=False), x, train=len(x) > 1), y)
    chance = chance_loss(s)
    last = runs[-1][-1][1] / base
    large = (gain > GROWS or widest > HUGE or last > HUGE) and base < SCALE
    follows = math.isfinite(chance) and chance > 0 and not first <= 3 * chance
    if large and follows:
        words = f"The spread grows to {widest:.3g} times that of the inputs ({gain:.2g} times a "
        words += f"layer), and the first loss is {first:.3g} instead of {chance:.3g}."
        return Check("I02", name, "fault", widest, HUGE, words, (HE,), SLIDE)
    words = f"From layer to layer the spread grows {gain:.2g} times, to at most {widest:.2g} times "
    words += "that of the inputs."
    level: Level = "note" if large and gain > GROWS and len(layers) > 3 else "pass"
    return Check("I02", name, level, gain, GROWS, words, (HE,) if level != "pass" else (), SLIDE)


def _real(event: Event) -> bool:
    return event.given.is_floating_point() and event.given.numel() > 1


def _gain(spreads: list[float]) -> float:
    """Geometric mean of the growth from layer to layer."""
    if len(spreads) < 2 or min(spreads) <= 0:
        return 0.0
    return float((spreads[-1] / spreads[0]) ** (1 / (len(spreads) - 1)))


def weights_too_small(s: Specimen, tape: Tape) -> Check:
    """Spread that fades from layer to layer until the outputs are the same for all rows."""
    name = "weights-too-small"
    run = max(_runs(tape), key=len, default=[])
    spreads = [v for _, v in run]
    gain = _gain(spreads)
    flat = spreads[-1] if spreads else 0.0
    ends = bool(run) and run[-1][0] is tape.weights()[-1]
    fades = len(run) >= 3 and min(spreads) > 0 and gain < SHRINKS and flat < FLAT and ends
    if fades and not _skips(s):
        level: Level = "fault" if len(run) >= 4 else "warning"
        words = f"The spread shrinks to {gain:.2g} of itself from layer to layer, over {len(run)} "
        words += f"layers without a norm: outputs differ by {flat:.1g} between rows."
        norm = Remedy("put batch norm before each activation")
        return Check("I03", name, level, gain, SHRINKS, words, (HE, norm), SLIDE)
    words = f"Over {len(run)} layers the spread changes {gain:.2g} times a layer."
    return Check("I03", name, "pass", gain, SHRINKS, words, (), SLIDE)


def _skips(s: Specimen) -> bool:
    """Whether outputs differ between rows well before the last layer multiplies: skip paths do."""
    return float(s.out.double().std(0).mean()) > FLAT


def dead_at_birth(s: Specimen, tape: Tape) -> Check:
    """ReLU units that are silent for every row before the first step.

    Where a layer has many, some steps of training show whether they wake: of torch's own small
    weights in deep networks most do.
    """
    name = "dead-at-birth"
    silent = _silent(tape)
    worst = max((share for share, _, _ in silent), default=0.0)
    if worst > DEAD_NOTE and len(s.probe[0]) < ENOUGH:
        words = f"Not decided: {len(s.probe[0])} rows are too few to call a unit silent, at least "
        words += f"{ENOUGH} are needed."
        return Check("I04", name, "pass", None, DEAD, words, (), SLIDE)
    if worst > DEAD_NOTE and _can_learn(s) and not s.affords(WAKE):
        return out_of_time("I04", name, SLIDE)
    if worst > DEAD_NOTE and _can_learn(s):
        trained = _after_steps(s, WAKE)
        again = _silent(record(trained, s.probe[0], train=len(s.x) > 1))
        if len(again) == len(silent):
            silent = [min(pair) for pair in zip(silent, again, strict=True)]
    share, where, dead = max(silent, default=(0.0, "", 0))
    if share <= DEAD_NOTE:
        words = f"At most {worst:.0%} of a layer's ReLU units are silent for all rows."
        if worst > DEAD_NOTE:
            words = f"{worst:.0%} of a layer's ReLU units are silent at first, and soon wake."
        return Check("I04", name, "pass", worst, DEAD, words, (), SLIDE)
    level: Level = "fault" if share > DEAD_MOST else "warning" if share > DEAD else "note"
    words = f"{dead} ReLU units behind layer {where} ({share:.0%}) are zero for every row before "
    words += "the first step: they get no gradient and may never wake."
    leaky = Remedy("use leaky ReLU", ())
    centre = Remedy("give the inputs zero mean per feature", (("preprocess", "(Standardize(),)"),))
    return Check("I04", name, level, share, DEAD, words, (centre, HE, leaky), SLIDE)


def _can_learn(s: Specimen) -> bool:
    return any(p.requires_grad for p in s.model.parameters())


def _silent(tape: Tape) -> list[tuple[float, str, int]]:
    """Share, weight layer and number of silent units behind each ReLU; few are no more than chance.

    A chance of 2 % a unit is usual, so that small layers need more than one or two of them.
    """
    found = []
    for event in tape.events:
        if event.kind == "relu":
            values = event.made_units
            dead = int((values == 0).all(0).sum())
            expected = 0.02 * values.shape[1]
            sure = dead > expected + 3 * math.sqrt(expected) + 1
            found.append((dead / values.shape[1] if sure else 0.0, event.name, dead))
    return found


def unscaled_inputs(s: Specimen) -> Check:
    """What enters the first trainable layer: large features, or some much larger than others."""
    name, slide = "unscaled-inputs", "Data pre-processing"
    values = _first_input(s)
    if values is None:
        words = "A norm or an embedding comes first, or nothing that can be learned."
        return Check("D01", name, "pass", None, SCALE, words, (), slide)
    mean, std = values.mean(0), values.std(0)
    moving = std > 0
    size = float(torch.maximum(mean.abs(), std).max())
    usual = float(std[moving].median()) if bool(moving.any()) else 1.0
    ratio = float(std.max()) / max(usual, 1e-12)
    offset = float((mean.abs() > std)[moving].double().mean()) if bool(moving.any()) else 0.0
    words = f"The largest mean or spread of an input is {size:.3g}, the largest spread {ratio:.3g} "
    words += "times the usual one."
    level: Level = "pass"
    if size > SCALE or ratio > RATIO:
        level = "fault"
        words += " Such inputs set the pace: the rate that they allow is too small for the others."
    elif offset > 0.5:
        level = "note"
        words = f"{offset:.0%} of the inputs have a mean larger than their spread: zero mean is "
        words += "better."
    remedies = (STANDARDISE,) if level != "pass" else ()
    return Check("D01", name, level, size, SCALE, words, remedies, slide)


def shrunk_twice(s: Specimen) -> Check:
    """Inputs so small that they look divided twice, for instance by 255 and again by 255."""
    name, slide = "shrunk-twice", "Data pre-processing"
    values = _first_input(s)
    if values is None:
        words = "A norm or an embedding comes first, or nothing that can be learned."
        return Check("D02", name, "pass", None, TINY, words, (), slide)
    largest, widest = float(values.abs().max()), float(values.std(0).max())
    words = f"The inputs lie within ± {largest:.2g}, their spread is at most {widest:.2g}."
    if largest >= 2 * TINY or widest >= TINY or widest == 0:
        return Check("D02", name, "pass", widest, TINY, words, (), slide)
    words += " They look as if they had been divided twice."
    return Check("D02", name, "warning", widest, TINY, words, (STANDARDISE,), slide)


def _first_input(s: Specimen) -> Tensor | None:
    """What enters the first module with parameters that are trained, (N, features or channels);
    None where that is a norm, an embedding or not seen."""
    model = s.fresh()
    found: list[tuple[nn.Module, Any]] = []

    def note(module: nn.Module, given: tuple[Any, ...]) -> None:
        found.append((module, given[0].detach() if given else None))

    handles = []
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if any(p.requires_grad for p in own) or isinstance(module, NORMS):
            handles.append(module.register_forward_pre_hook(note))
    with torch.no_grad():
        forward(model, s.probe[0])
    for handle in handles:
        handle.remove()
    if not found or isinstance(found[0][0], (*NORMS, nn.Embedding)):
        return None
    given = found[0][1]
    frozen = any(not p.requires_grad for p in model.parameters())
    real = isinstance(given, Tensor) and given.is_floating_point() and len(given) > 1
    return units(given, found[0][0]).double() if real and not frozen else None


def _listed(names: list[str]) -> str:
    return ("layer " if len(names) == 1 else "layers ") + ", ".join(names)
