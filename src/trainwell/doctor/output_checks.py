"""Checks of what comes out of a network against what the loss wants of it.

Slide: "Activation and loss function". W outputs for a row, C classes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.lossprobe import value_of, wanted
from trainwell.doctor.specimen import Attempt, Specimen, forward

SLIDE = "Activation and loss function"
ROW_SUM = 1e-4  # how near to 1 the outputs of a row sum where a softmax made them
FIRST_LOSS_NOTE, FIRST_LOSS = 0.5, 2.0  # relative distance of the first loss from that of chance
VIEWS = {"View", "UnsafeView", "Squeeze", "Unsqueeze", "Select", "Slice", "Reshape", "T", "Clone"}
VIEWS |= {"Transpose", "Permute", "Expand", "ToCopy", "Alias", "ReshapeAlias"}
LAST = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softmax": "softmax"}
LAST |= {"LogSoftmax": "log_softmax", "ClampMin": "relu", "LogSigmoid": "logsigmoid"}
LINEAR_OUTPUT = Remedy("return the outputs of the last linear layer as they are")


def last_operation(out: Tensor) -> str:
    """The non-linear function that made the outputs, "" where it is none that is known."""
    node: Any = out.grad_fn
    while node is not None:
        name = node.name().rstrip("0123456789").removesuffix("Backward")
        if name not in VIEWS or name in LAST:
            return LAST.get(name, "")
        node = next((n for n, _ in node.next_functions if n is not None), None)
    return ""


def made_by(s: Specimen) -> str:
    """ "softmax", "log_softmax", "sigmoid", "tanh", "relu" or "": what the outputs look like.

    Asked of the graph of the outputs where there is one, and else, or where a softmax was written
    by hand, of the numbers: rows that sum to 1, rows whose exponentials do.
    """
    model = s.fresh(dropout=False)
    named = last_operation(forward(model, s.probe[0]))
    if named in ("sigmoid", "tanh", "relu", "log_softmax"):
        return named
    out = s.out
    if out.ndim > 1 and out.shape[1] > 1:
        if bool((out >= 0).all()) and row_sum_error(out) < ROW_SUM:
            return "softmax"
        if row_sum_error(out.exp()) < ROW_SUM:
            return "log_softmax"
        return ""
    return named


def row_sum_error(out: Tensor) -> float:
    """Largest distance of a row's sum from 1."""
    return float((out.double().sum(1) - 1).abs().max())


def output_checks(s: Specimen) -> list[Attempt]:
    """N01 to N04: all that concerns the outputs and the loss."""
    made = made_by(s)
    return [
        ("N01", "output-loss-mismatch", lambda: output_loss_mismatch(s, made)),
        ("N02", "wrong-width", lambda: wrong_width(s, made)),
        ("N03", "softmax-twice", lambda: softmax_twice(s, made)),
        ("N04", "activation-on-logits", lambda: activation_on_logits(s, made)),
    ]


def wrong_width(s: Specimen, made: str) -> Check:
    """Outputs as many as classes; one unit behind a softmax says the same for every row."""
    name, slide = "wrong-width", SLIDE
    width = s.out.shape[1] if s.out.ndim > 1 else 1
    wants, classes = s.nature.wants, s.classes
    if width == 1 and (made in ("softmax", "log_softmax") or wants in ("logits",)):
        spread = float(s.out.max() - s.out.min())
        words = (
            f"There is one output and the softmax of one number is always 1: over {len(s.out)} "
            f"rows the outputs differ by {spread:.2g}, so that nothing can be learned."
        )
        remedy = Remedy(f"give the last layer {classes or 2} outputs, or use BCEWithLogitsLoss")
        return Check("N02", name, "fault", 1.0, classes or 2, words, (remedy,), slide)
    classifies = wants in ("logits", "log-probabilities", "probabilities")
    if not classifies or classes is None or s.y.is_floating_point():
        words = f"{width} output{'s' if width > 1 else ''} for targets of shape {_shape(s.y)}."
        return Check("N02", name, "pass", width, None, words, (), slide)
    if width == classes:
        words = f"{width} outputs for {classes} classes."
        return Check("N02", name, "pass", width, classes, words, (), slide)
    remedy = Remedy(f"give the last layer {classes} outputs")
    kinds = len(torch.unique(s.y))
    if not s.stated and classes > max(width, 2 * kinds):
        words = f"The largest of {kinds} class numbers is {classes - 1:,} and the network has "
        words += f"{width} outputs: some classes cannot be predicted."
        remedy = Remedy(f"number the {kinds} classes from 0 on")
        return Check("N02", name, "fault", width, classes, words, (remedy,), slide)
    if width < classes:
        words = f"The network has {width} outputs for {classes} classes: some cannot be predicted."
        return Check("N02", name, "fault", width, classes, words, (remedy,), slide)
    plenty = len(s.y) >= 20 * width
    level: Level = "fault" if s.stated else "warning" if plenty else "note"
    where = "" if s.stated else f" in {len(s.y)} rows"
    words = (
        f"The network has {width} outputs and there are {classes} classes{where}: "
        f"{width - classes} outputs stand for nothing."
    )
    return Check("N02", name, level, width, classes, words, (remedy,), slide)


def softmax_twice(s: Specimen, made: str) -> Check:
    """A softmax before a loss that has one inside: the loss cannot come near zero."""
    name, wants = "softmax-twice", s.nature.wants
    width = s.out.shape[1] if s.out.ndim > 1 else 1
    floor = math.log(1 + (width - 1) / math.e)
    inside = wants == "logits" and width > 1
    if inside and abs(s.nature.floor - floor) < 2e-3 * max(floor, 1):
        words = (
            f"The loss takes a softmax of what is already a softmax: for outputs that are as right "
            f"as can be it is still {s.nature.floor:.3f}, which is log(1 + {width - 1}/e)."
        )
        remedy = Remedy("take the softmax out of the loss function")
        return Check("N03", name, "fault", s.nature.floor, 0.0, words, (remedy,), SLIDE)
    if made == "softmax" and width > 1 and wants in ("logits", "binary-logits"):
        error = row_sum_error(s.out)
        rest = f"the loss cannot fall below {floor:.3f}" if inside else "a sigmoid follows"
        words = (
            f"The outputs of every row sum to 1 (within {error:.1g}): they are probabilities, but "
            f"the loss takes its own softmax of logits, so {rest} and gradients are small."
        )
        if not inside:
            words = words.replace("its own softmax", "its own sigmoid")
        remedy = Remedy("remove the softmax from the network; predictions stay the same")
        return Check("N03", name, "fault", 1.0, 1.0, words, (remedy, LINEAR_OUTPUT), SLIDE)
    if made == "log_softmax" and inside:
        words = "A log-softmax before a loss that takes one as well changes nothing: superfluous."
        remedy = Remedy("remove it, or use NLLLoss")
        return Check("N03", name, "note", 1.0, None, words, (remedy,), SLIDE)
    words = "No softmax stands before a loss that takes its own."
    return Check("N03", name, "pass", None, None, words, (), SLIDE)


def activation_on_logits(s: Specimen, made: str) -> Check:
    """ReLU, sigmoid or tanh on outputs that a loss takes for logits."""
    name = "activation-on-logits"
    share = float((s.out == 0).double().mean())
    takes_logits = s.nature.wants in ("logits", "binary-logits", "log-probabilities")
    if takes_logits and made in ("relu", "sigmoid", "tanh", "logsigmoid"):
        low, high = float(s.out.min()), float(s.out.max())
        seen = {
            "relu": f"{share:.0%} of them are exactly zero, where no gradient flows, none is below",
        }.get(made, f"they lie between {low:.2g} and {high:.2g} and can never leave that range")
        words = f"A {made} stands on the outputs, which the loss takes for logits: {seen}."
        remedy = Remedy(f"remove the {made} behind the last layer")
        value = share if made == "relu" else high - low
        return Check("N04", name, "fault", value, 0.0, words, (remedy, LINEAR_OUTPUT), SLIDE)
    words = "No non-linear function stands between the last layer and a loss that wants logits."
    return Check("N04", name, "pass", None, None, words, (), SLIDE)


def output_loss_mismatch(s: Specimen, made: str) -> Check:
    """The table of outputs and losses that belong together; everything else is a fault."""
    name, wants, out = "output-loss-mismatch", s.nature.wants, s.out
    found: tuple[Level, float, str, str] | None = None
    if wants == "log-probabilities" and made != "log_softmax" and out.ndim > 1:
        error = row_sum_error(out.exp())
        kind = "probabilities" if made == "softmax" else "no log-probabilities"
        says = "The loss wants log-probabilities; the exponentials of a row miss the sum 1 by up "
        says += f"to {error:.3g}: the outputs are {kind}, and the loss has no lower bound."
        found = ("fault", error, says, "use CrossEntropyLoss, or end with log_softmax(dim=1)")
    elif wants == "probabilities" and made != "softmax":
        error = row_sum_error(out) if out.ndim > 1 else math.nan
        says = f"The loss takes the logarithm of probabilities; rows miss the sum 1 by {error:.3g}."
        found = ("fault", error, says, "use CrossEntropyLoss on the raw outputs")
    elif wants == "binary-probabilities":
        outside = float(((out < 0) | (out > 1)).double().mean())
        if outside or made in ("relu", "tanh", "log_softmax"):
            says = f"The loss wants probabilities; {outside:.0%} of the outputs lie outside [0, 1]."
            found = ("fault", outside, says, "use BCEWithLogitsLoss, or end with a sigmoid")
    elif wants == "values" and wanted(out, s.y[: len(out)]) is not None and s.classes is not None:
        says = "A squared or absolute error compares outputs with class labels: it trains, but "
        says += "gives no probabilities. Cross-entropy is the default."
        found = ("warning", 1.0, says, "use CrossEntropyLoss, or BCEWithLogitsLoss for one output")
    elif wants == "logits" and s.nature.bounded and s.nature.floor < 1e-3:
        says = "The loss of outputs that are certain and wrong is bounded: gradients fade there."
        says += " Cross-entropy is the default."
        found = ("warning", 1.0, says, "use CrossEntropyLoss")
    if found is None:
        words = (
            f"The loss wants {wants}" if wants != "unknown" else "What the loss wants is unknown"
        )
        words += f"; the network ends with {made or 'a linear layer, as it seems'}."
        return Check("N01", name, "pass", None, None, words, (), SLIDE)
    level, value, words, todo = found
    settings = (("loss", "CrossEntropy()"),) if level == "warning" else ()
    return Check("N01", name, level, value, 0.0, words, (Remedy(todo, settings),), SLIDE)


def wrong_first_loss(s: Specimen) -> Check:
    """The first loss against that of outputs without an opinion: log C for cross-entropy."""
    name, slide = "wrong-first-loss", "Weight initialization"
    x, y = s.probe
    with torch.no_grad():
        out = forward(s.fresh(dropout=False), x, train=len(x) > 1)
    first, chance = value_of(s.loss, out, y), chance_loss(s)
    if not math.isfinite(chance) or chance <= 0:
        words = f"The first loss is {first:.3g}; that of chance is not known for this loss."
        return Check("I05", name, "pass", first, None, words, (), slide)
    if not math.isfinite(first):
        words = f"The first loss is {first}: the outputs are not finite before any step."
        remedy = Remedy("look for missing or huge values in the inputs, then use He weights")
        return Check("I05", name, "fault", None, chance, words, (remedy,), slide)
    with torch.no_grad():
        each = [
            value_of(s.loss, o, t)
            for o, t in zip(torch.split(out, 32), torch.split(y, 32), strict=True)
        ]
    noise = 2 * float(torch.tensor(each).std()) / math.sqrt(len(each)) if len(each) > 2 else 0.0
    distance = abs(first - chance) / chance
    sure = (abs(first - chance) - noise) / chance
    level: Level = "pass"
    if first > chance and sure > FIRST_LOSS_NOTE:
        level = "warning" if sure > FIRST_LOSS else "note"
    words = f"The first loss is {first:.3g} (± {noise:.2g}), that of equal outputs {chance:.3g}."
    if level != "pass":
        words += " The network begins with strong opinions that it must first unlearn."
    remedy = Remedy("draw He weights and divide those of the last layer by ten", ())
    return Check("I05", name, level, distance, FIRST_LOSS, words, (remedy,), slide)


def chance_loss(s: Specimen) -> float:
    """The loss of outputs that say nothing: log C for cross-entropy; nan where that is unknown."""
    wants, out = s.nature.wants, s.out
    y = s.y[: len(out)]
    width = out.shape[1] if out.ndim > 1 else 1
    even = {
        "logits": 0.0,
        "binary-logits": 0.0,
        "log-probabilities": -math.log(width),
        "probabilities": 1 / width,
        "binary-probabilities": 0.5,
    }.get(wants)
    return math.nan if even is None else value_of(s.loss, torch.full_like(out, even), y)


def _shape(values: Tensor) -> str:
    return str(tuple(values.shape))
