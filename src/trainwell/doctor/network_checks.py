"""Checks of what a network is made of, each by what it does and not by what it is called.

Slides: "Activation and loss function", "Dropout". N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from trainwell.doctor.finding import Check, Level, Remedy, out_of_time
from trainwell.doctor.specimen import DROPOUTS, Attempt, Specimen, forward
from trainwell.doctor.tape import Event, Tape, record, weight_layers

SLIDE = "Activation and loss function"
AFFINE = 1e-3  # relative departure from f((a + b) / 2) = (f(a) + f(b)) / 2 that rounding explains
SAME = 1e-5  # relative change that rounding explains
ROWS = 16  # rows of an experiment inside the network
DROP_HIDDEN, DROP_INPUT = 0.5, 0.2  # rates above which dropout is unusual
DEEP = 4  # hidden layers from which on sigmoid and tanh lose the signal
RELU = Remedy("put a ReLU (or leaky ReLU) between the two layers")


def network_checks(s: Specimen) -> list[Attempt]:
    """N05 to N09."""
    tape = record(s.fresh(), s.probe[0])
    return [
        ("N05", "missing-nonlinearity", lambda: missing_nonlinearity(s, tape)),
        ("N06", "unsuited-activation", lambda: unsuited_activation(s, tape)),
        ("N07", "dropout-misuse", lambda: dropout_misuse(s)),
        ("N08", "bottleneck", lambda: bottleneck(s, tape)),
        ("N09", "samples-mixed", lambda: samples_mixed(s)),
        ("N09", "broadcast-loss", lambda: broadcast_loss(s)),
    ]


def missing_nonlinearity(s: Specimen, tape: Tape) -> Check:
    """Two weight layers with nothing but linear maps between them are one layer.

    Seen by experiment, in eval mode: the first layer's outputs are replaced by a, b and their mean.
    The pair collapses where the second layer's inputs follow on a straight line, depend on nothing
    else, and nothing else in the network uses the first layer's outputs.
    """
    name, layers = "missing-nonlinearity", tape.weights()
    found, least, late = [], float("inf"), False
    for number, (first, second) in enumerate(pairwise(layers)):
        late = not s.affords(1 + number)
        if late:
            break
        bend = _bend(s, number, first, second)
        if bend is None:
            continue
        least = min(least, bend)
        if bend < AFFINE:
            found.append((first, second))
    value = least if least < float("inf") else None
    if not found and late:
        return out_of_time("N05", name, SLIDE)
    if not found:
        words = "What lies between two weight layers is not linear."
        return Check("N05", name, "pass", value, AFFINE, words, (), SLIDE)
    names = ", ".join(f"{a.name} and {b.name}" for a, b in found)
    words = (
        f"Between the layers {names} there are linear maps alone (bend {least:.1g}): each pair can "
        "do no more than one layer."
    )
    meant = all(_deliberate(a, b) for a, b in found)
    if meant:
        words += " The first is narrow or works channel by channel, so this may be meant."
    return Check("N05", name, "note" if meant else "fault", least, AFFINE, words, (RELU,), SLIDE)


def _deliberate(first: Event, second: Event) -> bool:
    """Whether a pair of linear layers saves weights: low rank, or one channel at a time."""
    grouped = any(getattr(e.module, "groups", 1) > 1 for e in (first, second))
    inner = first.made_units.shape[1]
    around = min(first.given_units.shape[1], second.made_units.shape[1])
    return grouped or inner < around / 2


def _bend(s: Specimen, number: int, first: Event, second: Event) -> float | None:
    """Relative departure from a straight line between weight calls `number` and the next; None
    where the second layer's inputs do not come from the first layer alone."""
    x = s.x[:ROWS]
    model = s.fresh(dropout=False)
    made = first.made[:ROWS]
    if len(made) != len(x) or not made.is_floating_point():
        return None
    generator = torch.Generator().manual_seed(s.seed)
    scale = 3 * max(float(made.std()), 1e-3)
    noise = torch.randn((2, *made.shape), generator=generator).to(made)
    a, b = scale * noise[0], scale * noise[1]

    def reaches(put: Tensor, rows: Tensor) -> Tensor:
        seen = _run(model, rows, {number: put}, number + 1)[0]
        return seen.double()

    at_a, at_b, between = reaches(a, x), reaches(b, x), reaches((a + b) / 2, x)
    size = float((at_a - at_b).norm())
    if at_a.shape != at_b.shape or size < 1e-6 * float(at_a.norm()):
        return None  # the second layer does not follow the first
    other = reaches(a, x.flip(0))
    if float((other - at_a).norm()) > SAME * size:
        return None  # something else than the first layer's outputs reaches it as well
    held = second.made[:ROWS]
    if len(held) == len(x):
        out_a = _run(model, x, {number: a, number + 1: held}, None)[1]
        out_b = _run(model, x, {number: b, number + 1: held}, None)[1]
        if float((out_a - out_b).norm()) > SAME * float(out_a.norm()) + 1e-12:
            return None  # what the first layer makes is used elsewhere, too
    return float((between - (at_a + at_b) / 2).norm()) / size


def _run(
    model: nn.Module, x: Tensor, put: dict[int, Tensor], watch: int | None
) -> tuple[Tensor, Tensor]:
    """A pass with the outputs of some weight calls replaced: inputs of call `watch`, outputs."""
    seen: list[Tensor] = []
    calls = 0

    def before(module: nn.Module, given: tuple[Any, ...]) -> None:
        if calls == watch and given and isinstance(given[0], Tensor):
            seen.append(given[0].detach().clone())

    def after(module: nn.Module, given: Any, made: Any) -> Tensor | None:
        nonlocal calls
        calls += 1
        return put[calls - 1].clone() if calls - 1 in put else None

    with _on_weight_layers(model, before, after), torch.no_grad():
        out = forward(model, x).detach()
    return (seen[0] if seen else out), out


@contextmanager
def _on_weight_layers(
    model: nn.Module, before: Callable[..., Any], after: Callable[..., Any]
) -> Iterator[None]:
    handles = []
    for module in weight_layers(model):
        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def unsuited_activation(s: Specimen, tape: Tape) -> Check:
    """Sigmoid or tanh in a deep chain, softmax between layers: signals fade."""
    name = "unsuited-activation"
    layers = tape.weights()
    fading = normed = 0
    kinds, softmaxes = set(), 0
    for event in layers[:-1]:
        behind = tape.behind(event)
        normed += any(e.kind == "norm" for e in behind)
        mine = {e.kind for e in behind if e.made.shape == event.made.shape}
        fading += bool(mine & {"sigmoid", "tanh"})
        kinds |= mine & {"sigmoid", "tanh"}
        softmaxes += "softmax" in mine and event.made.ndim == 2
    if softmaxes:
        words = f"A softmax stands behind {softmaxes} hidden layer(s): its units compete, and "
        words += "gradients are small."
        remedy = Remedy("use ReLU or leaky ReLU in hidden layers, with He weights")
        return Check("N06", name, "note", softmaxes, 0, words, (remedy,), SLIDE)
    if fading >= DEEP and not normed:
        words = f"{fading} hidden layers end with {' and '.join(sorted(kinds))} and no norm: "
        words += "gradients shrink from layer to layer."
        remedy = Remedy("use ReLU or leaky ReLU with He weights, or batch norm before each")
        return Check("N06", name, "note", fading, DEEP, words, (remedy,), SLIDE)
    words = "No chain of saturating activations."
    return Check("N06", name, "pass", fading, DEEP, words, (), SLIDE)


def dropout_misuse(s: Specimen) -> Check:
    """Dropout that is active at prediction, on the outputs, before batch norm, or very strong."""
    name, slide = "dropout-misuse", "Dropout"
    x = s.x[: 2 * ROWS]
    with torch.no_grad():
        first, again = (forward(s.fresh(), x, seed=seed) for seed in (1, 2))
    change = float((first - again).norm()) / max(float((first - first.mean(0)).norm()), 1e-12)
    if change > SAME:
        words = f"Two predictions for the same rows differ by {change:.0%} of their spread, in eval"
        words += " mode: something is still random."
        remedy = Remedy("use nn.Dropout, or functional.dropout(..., training=self.training)")
        return Check("N07", name, "fault", change, SAME, words, (remedy,), slide)
    says = []
    rates = [m.p for m in s.model.modules() if isinstance(m, DROPOUTS)]
    rate = max(rates, default=0.0)
    if rate > DROP_HIDDEN:
        says.append(f"units are dropped with probability {rate:g}, usual is at most 0.5")
    inputs = s.regularisers.get("input dropout", 0.0)
    order = _leaf_calls(s)
    weights = [i for i, m in enumerate(order) if m in weight_layers(s.model)]
    for i, module in enumerate(order):
        if isinstance(module, DROPOUTS) and module.p:
            if weights and i > weights[-1]:
                says.append("the outputs themselves are dropped")
            elif weights and i < weights[0] and not isinstance(order[0], nn.Embedding):
                inputs = max(inputs, module.p)
            follows = order[i + 1] if i + 1 < len(order) else None
            if isinstance(follows, nn.modules.batchnorm._BatchNorm):
                says.append("dropout stands right before batch norm, whose variance then shifts")
    if inputs > DROP_INPUT:
        says.append(f"inputs are dropped with probability {inputs:g}, usual is at most 0.2")
    if not says:
        words = "Dropout is where it belongs, and off at prediction." if rates else "No dropout."
        return Check("N07", name, "pass", rate, DROP_HIDDEN, words, (), slide)
    words = "; ".join(dict.fromkeys(says)).capitalize() + "."
    remedy = Remedy("drop hidden units, with probability up to 0.5, behind the activation")
    return Check("N07", name, "note", max(rate, inputs), DROP_HIDDEN, words, (remedy,), slide)


def _leaf_calls(s: Specimen) -> list[nn.Module]:
    """Modules of the pristine network without parts of their own, in the order of their work."""
    order: list[nn.Module] = []
    copied = s.fresh()
    pairs = zip(copied.modules(), s.model.modules(), strict=True)
    handles = [
        m.register_forward_hook(lambda _m, _i, _o, original=original: order.append(original))
        for m, original in pairs
        if not list(m.children())
    ]
    with torch.no_grad():
        forward(copied, s.x[:2])
    for handle in handles:
        handle.remove()
    return order


def bottleneck(s: Specimen, tape: Tape) -> Check:
    """A hidden layer narrower than the classes, or a map of one pixel before a convolution."""
    name, layers = "bottleneck", tape.weights()
    convolutions = [e for e in layers if e.given.ndim >= 4]
    small = [
        e
        for e in convolutions[1:]
        if all(n == 1 for n in e.given.shape[2:])
        and max(getattr(e.module, "kernel_size", (1,))) > 1
    ]
    if small:
        kernel = getattr(small[0].module, "kernel_size", ())
        words = f"Layer {small[0].name} has a kernel of {'×'.join(map(str, kernel))} for maps that"
        words += " have one pixel left: it sees padding."
        remedy = Remedy("pool less, or use fewer convolutional layers")
        return Check("N08", name, "warning", 1, 1, words, (remedy,), SLIDE)
    classes = s.classes or 0
    least = min(classes, 5)
    narrow = []
    for event in layers[:-1]:
        behind = {e.kind for e in tape.behind(event)}
        width = event.made_units.shape[1]
        if width < least and behind & {"relu", "sigmoid", "tanh"} and event.made.ndim == 2:
            narrow.append((width, event.name))
    widths = [e.made_units.shape[1] for e in layers[:-1]]
    if narrow:
        width, where = min(narrow)
        words = f"Hidden layer {where} has {width} unit{'s' if width > 1 else ''} for {classes} "
        words += "classes: what it does not let through is lost."
        remedy = Remedy(f"make it wider, at least {max(16, 2 * classes)} units")
        return Check("N08", name, "warning", width, least, words, (remedy,), SLIDE)
    value = min(widths, default=None)
    return Check("N08", name, "pass", value, least, "No layer is too narrow.", (), SLIDE)


def samples_mixed(s: Specimen) -> Check:
    """Rows of a batch that change each other's outputs in eval mode: a wrong reshape or axis."""
    name, slide = "samples-mixed", "Performance plot"
    x, half = s.x[:ROWS], min(ROWS, len(s.x)) // 2
    if half < 1:
        return Check("N09", name, "pass", None, SAME, "One row cannot be mixed.", (), slide)
    model = s.fresh()
    other = x.clone()
    other[half:] = x[:half].flip(0)[: len(x) - half] if len(x) == 2 * half else x[:1]
    with torch.no_grad():
        out = forward(model, x).double()
        changed = forward(model, other).double()
        backwards = forward(model, x.flip(0)).double()
        random = not torch.equal(out, forward(model, x, seed=1).double())
    if len(out) != len(x):
        words = f"{len(x)} rows gave {len(out)} outputs: the first dimension must stay the batch."
        remedy = Remedy("keep the batch in the first dimension, x.flatten(1) instead of a view")
        return Check("N09", name, "fault", len(out) / len(x), 1.0, words, (remedy,), slide)
    spread = max(float((out - out.mean(0)).norm()), 1e-12)
    value = float((out[:half] - changed[:half]).norm()) / spread
    turned = float((out.flip(0) - backwards).norm()) / spread
    most = value if random else max(value, turned)
    tolerance = SAME + 1e-6 * float(out.norm()) / spread
    if most > tolerance:
        words = f"Changing other rows of the batch changes a row's outputs by {value:.1%} of their "
        words += f"spread, turning the batch around by {turned:.1%}: rows are mixed."
        free = any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is None
            for m in s.model.modules()
        )
        says = "keep the batch in the first dimension (flatten(1), batch_first=True)"
        remedies: tuple[Remedy, ...] = (Remedy(says),)
        if free:
            remedies = (Remedy("let batch norm track running statistics"), *remedies)
        return Check("N09", name, "fault", most, tolerance, words, remedies, slide)
    words = "Each row's outputs depend on that row alone."
    return Check("N09", name, "pass", most, tolerance, words, (), slide)


def broadcast_loss(s: Specimen) -> Check:
    """Outputs [N, 1] and targets [N]: the loss may compare every row with every other."""
    name, slide = "broadcast-loss", "Activation and loss function"
    x, y = s.x[:ROWS], s.y[:ROWS]
    out = s.out[: len(x)].clone().requires_grad_()
    level: Level = "pass"
    words = f"Outputs {tuple(out.shape)} and targets {tuple(y.shape)} fit each other."
    value = None
    alike = out.numel() == y.numel() and out.shape != y.shape and len(y) > 1
    if alike and y.is_floating_point():
        swapped = y.clone()
        swapped[1:] = y[1:].flip(0)
        grads = []
        for target in (y, 1 - swapped):
            changed = target.clone()
            changed[0] = y[0]
            grads.append(torch.autograd.grad(s.value(out, changed), out)[0][0])
        value = float((grads[0] - grads[1]).norm()) / max(float(grads[0].norm()), 1e-12)
        if value > 1e-4:
            level = "fault"
            words = f"Outputs have shape {tuple(s.out[:2].shape)[1:]} a row and targets "
            words += f"{tuple(y[:2].shape)[1:]}: the loss compares all pairs of rows, and the "
            words += f"gradient of a row changes by {value:.0%} with the targets of others."
    remedy = Remedy("give both the same shape, for instance outputs.squeeze(1)")
    remedies = (remedy,) if level == "fault" else ()
    return Check("N09", name, level, value, 1e-4, words, remedies, slide)
