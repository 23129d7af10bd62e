"""How a network is admitted to the checks: copied, run once, its loss asked; then all checks."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trainwell.doctor.finding import Check, Remedy, out_of_time
from trainwell.doctor.initial_checks import initial_checks
from trainwell.doctor.lossprobe import Loss, nature
from trainwell.doctor.network_checks import network_checks
from trainwell.doctor.output_checks import output_checks
from trainwell.doctor.specimen import (
    LEAST,
    SLOW,
    Attempt,
    Specimen,
    adam_steps,
    chosen_rows,
    count_classes,
    forward,
    probe_rows,
)
from trainwell.doctor.tiny_batch import short_trainings
from trainwell.doctor.training_checks import training_checks
from trainwell.errors import UserError

NARROW = (torch.float16, torch.bfloat16)
SURELY_SLOW = 3 * SLOW  # seconds of a step that need no second look
TRIAL, PASS_SECONDS, FEWEST = 8, 1.0, 32  # rows and seconds of a pass, fewest rows to look at

# Checks of what has been seen already: also slow networks have time for them.
PASSLESS = frozenset(
    (
        *("output-loss-mismatch", "wrong-width", "softmax-twice", "activation-on-logits"),
        *("broadcast-loss", "loss-reduction", "unsuited-activation", "bottleneck"),
        *("weights-too-small", "constant-weights"),
    )
)


def all_checks(s: Specimen) -> list[Check]:
    """Every check of a specimen; one that cannot be made says why."""
    groups = (output_checks, network_checks, initial_checks, training_checks, short_trainings)
    learns = any(p.requires_grad for p in s.model.parameters())
    checks: list[Check] = []
    for group in groups if learns else groups[:4]:
        try:
            attempts = group(s)
        except Exception as error:
            words = f"{group.__doc__} None of it could be measured: {_said(error)}"
            checks.append(Check("N08", "not-measured", "note", None, None, words))
            continue
        checks += [_made(s, attempt) for attempt in attempts]
    return checks


def _made(s: Specimen, attempt: Attempt) -> Check:
    code, name, make = attempt
    if name not in PASSLESS and not s.affords(1):
        return out_of_time(code, name)
    try:
        return make()
    except Exception as error:
        words = f"Could not be measured: {_said(error)}"
        return Check(code, name, "note", None, None, words)


def _said(error: Exception) -> str:
    """An error in one line."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:200]}"


def admit(
    model: nn.Module, loss: Loss, x: Tensor, y: Tensor, classes: int | None, seed: int
) -> tuple[Specimen, list[Check]] | Check:
    """A specimen and what was found while making it, or the check that failed at once.

    x, y: all rows that were given; the network is copied and never changed. One in 16 bits is
    looked at in float32, where small steps are not lost.
    """
    try:
        copied = _copy(model)
    except Exception as error:
        problem = f"the network cannot be copied ({_said(error)})"
        raise UserError("check", problem, "Give it before it has computed anything.") from None
    narrow = next((p.dtype for p in copied.parameters() if p.dtype in NARROW), None)
    if narrow is None:
        return _admit(copied, loss, x, y, classes, seed)
    made = _admit(copied.float(), _widened(loss), x, y, classes, seed)
    kind = str(narrow).removeprefix("torch.")
    trouble = [made] if isinstance(made, Check) else made[1]
    if trouble and trouble[0].code != "D04" and _runs(_copy(model), loss, x, y):
        words = f"The network computes in {kind}, and a copy in float32 does not run. Nothing was "
        words += "measured, since in 16 bits rounding looks like a fault."
        remedy = Remedy("give a float32 network, and compute in 16 bits with torch.autocast")
        return Check("N08", "not-measured", "note", None, None, words, (remedy,))
    if isinstance(made, Check):
        return made
    words = f"Weights are held in {kind}, where small steps are lost; all was measured on a copy "
    words += "in float32."
    remedy = Remedy("hold weights in float32, and compute in 16 bits with torch.autocast")
    said = Check("N08", "sixteen-bit-weights", "note", None, None, words, (remedy,))
    return made[0], [said, *made[1]]


def _copy(model: nn.Module) -> nn.Module:
    """A deep copy; torch itself cannot copy buffers whose size is not yet known."""
    kind: Any = nn.parameter.UninitializedBuffer
    unknown = [b for b in model.buffers() if isinstance(b, kind)]
    anew: dict[int, Any] = {id(b): kind(device=b.device, dtype=b.dtype) for b in unknown}
    return copy.deepcopy(model, anew)


def _widened(loss: Loss) -> Loss:
    """A loss whose own tensors, such as weights of classes, are float32."""
    return copy.deepcopy(loss).float() if isinstance(loss, nn.Module) else loss


def _runs(model: nn.Module, loss: Loss, x: Tensor, y: Tensor) -> bool:
    """Whether the network and the loss work as they were given."""
    home, kind = _home(model)
    try:
        rows = x[:LEAST].to(home, kind) if x.is_floating_point() else x[:LEAST].to(home)
        targets = y[:LEAST].to(home, kind) if y.is_floating_point() else y[:LEAST].to(home)
        return _refused(loss, forward(model, rows), targets) is None
    except Exception:
        return False


def _home(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where the network's numbers are, and what they are."""
    none = (torch.device("cpu"), torch.float32)
    return next(((p.device, p.dtype) for p in model.parameters()), none)


def _admit(
    copied: nn.Module, loss: Loss, x: Tensor, y: Tensor, classes: int | None, seed: int
) -> tuple[Specimen, list[Check]] | Check:
    """The same for a copy, which may be changed."""
    lazy = any(nn.parameter.is_lazy(t) for t in (*copied.parameters(), *copied.buffers()))
    home, kind = _home(copied)
    rows = chosen_rows(len(x), y, seed)
    x, y = x[rows.to(x.device)].to(home), y[rows.to(y.device)].to(home)
    x = x.to(kind) if x.is_floating_point() else x  # real numbers as the network's own
    y = y.to(kind) if y.is_floating_point() else y
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        bad = float((~torch.isfinite(x)).double().mean())
        words = f"{bad:.1%} of the inputs are NaN or infinite."
        remedy = Remedy("impute missing values before training")
        return Check("D04", "not-finite-inputs", "fault", bad, 0.0, words, (remedy,))
    pristine = _copy(copied)
    count = _rows_to_look_at(copied, x)
    try:
        out = forward(copied, x[:count]).detach()
    except Exception as error:
        if x.is_floating_point():
            return _cannot_run("the network", x[:count], error)
        try:
            out = forward(copied, x[:count].float()).detach()
            x = x.float()
        except Exception:
            return _cannot_run("the network", x[:count], error)
    if lazy:  # layers that learn their size from the first rows have weights only now
        pristine = copied
    if not out.is_floating_point():
        words = f"The network gives {out.dtype} numbers: no gradient flows through whole numbers."
        remedy = Remedy("return the outputs before argmax or rounding")
        return Check("N12", "parameters-not-learning", "fault", 1.0, 0.0, words, (remedy,))
    counted = count_classes(y, classes, getattr(loss, "ignore_index", None))
    trouble: list[Check] = []
    refused = _refused(loss, out, y)
    if refused is not None:
        wide = _width_fault(out, y, counted)
        if wide is not None:
            return wide
        failed, changed = _mismatch(loss, out, y, refused)
        if changed is None:
            return failed
        trouble.append(failed)
        y = changed
    specimen = Specimen(
        model=pristine,
        loss=loss,
        x=x,
        y=y,
        out=out,
        nature=nature(loss, out, y[: len(out)]),
        classes=counted,
        stated=classes is not None,
        seed=seed,
    )
    return dataclasses.replace(specimen, pace=_pace(specimen)), trouble


def _rows_to_look_at(model: nn.Module, x: Tensor) -> int:
    """How many rows make a pass of no more than about a second; at least 32."""
    most = probe_rows(x)
    try:
        trial = _copy(model)
        for _ in range(2):  # the first pass of a process takes longer
            began = time.monotonic()
            forward(trial, x[:TRIAL])
            took = time.monotonic() - began
            if took * most < TRIAL * PASS_SECONDS:
                return most
    except Exception:  # it will fail again, and then be reported
        return most
    return min(most, max(FEWEST, int(TRIAL * PASS_SECONDS / took)))


def _pace(s: Specimen) -> float:
    """Seconds of one step on a copy; 0 where none can be made."""
    rows = next(s.batches(s.seed))
    took = 0.0
    try:
        for _ in range(2):  # the first pass of a process takes longer
            began = time.monotonic()
            model = s.fresh()
            step = adam_steps(model)
            torch.autograd.backward(
                s.value(forward(model, s.x[rows], train=len(rows) > 1), s.y[rows])
            )
            step(None)
            took = time.monotonic() - began
            if took < SLOW or took > SURELY_SLOW:
                break
    except Exception:  # reported by the check that meets it
        return took
    return took


def _mismatch(
    loss: Loss, out: Tensor, y: Tensor, refused: Exception
) -> tuple[Check, Tensor | None]:
    """The check that says what the loss wants instead, and the targets in that form."""
    changed = _accepted(loss, out, y)
    says = "The loss cannot be computed"
    outside = float(((out < 0) | (out > 1)).double().mean())
    value, todo = None, "see what the loss wants: its shape and type of targets"
    if changed is not None:
        todo = f"give the targets as {changed[0]}"
    elif outside and isinstance(loss, nn.BCELoss):
        value = outside
        says = f"The loss wants probabilities and {outside:.0%} of the outputs lie outside [0, 1]"
        todo = "use BCEWithLogitsLoss, or end with a sigmoid"
    shapes = f"outputs {tuple(out.shape)}, targets {tuple(y[: len(out)].shape)} of {y.dtype}"
    words = f"{says} ({shapes}): {_said(refused)}"
    failed = Check("N01", "output-loss-mismatch", "fault", value, None, words, (Remedy(todo),))
    return failed, None if changed is None else changed[1]


def _cannot_run(what: str, x: Tensor, error: Exception) -> Check:
    words = f"With inputs {tuple(x.shape)} of {x.dtype} {what} raised {_said(error)}"
    remedy = Remedy("mend forward() or the shape and type of the inputs")
    return Check("N08", "cannot-run", "fault", None, None, words, (remedy,))


def _refused(loss: Loss, out: Tensor, y: Tensor) -> Exception | None:
    """What the loss says against these outputs and targets, if anything."""
    try:
        found = loss(out, y[: len(out)])
        return None if isinstance(found, Tensor) else TypeError(f"it returned {type(found)}")
    except Exception as error:
        return error


def _width_fault(out: Tensor, y: Tensor, classes: int | None) -> Check | None:
    """Class numbers that are beyond the outputs."""
    if y.is_floating_point() or classes is None or out.ndim < 2 or y.ndim != out.ndim - 1:
        return None
    width = out.shape[1]
    low = int(y.min())
    if width >= classes and low >= 0:
        return None
    kinds, high = len(torch.unique(y)), int(y.max())
    words = f"The targets are {kinds} class numbers from {low:,} to {high:,}, the network has "
    words += f"{width} outputs: the loss cannot be computed."
    remedy = Remedy(f"give the last layer {classes} outputs, and count classes from 0")
    if low < 0 or classes > 2 * kinds:  # numbers that only name classes
        remedy = Remedy(
            f"number the {kinds} classes from 0 on, for instance with torch.unique(y, "
            f"return_inverse=True)[1], and give the last layer {kinds} outputs"
        )
    return Check("N02", "wrong-width", "fault", width, classes, words, (remedy,))


def _accepted(loss: Loss, out: Tensor, y: Tensor) -> tuple[str, Tensor] | None:
    """A form of the targets that the loss takes, in words and as a tensor."""
    forms: list[tuple[str, Callable[[], Tensor]]] = [
        ("floats, y.float()", lambda: y.float()),
        ("floats in the outputs' shape", lambda: y.float().reshape(len(y), *out.shape[1:])),
        ("class numbers, y.long()", lambda: y.long()),
        ("class numbers in one dimension, y.squeeze(1).long()", lambda: y.squeeze(1).long()),
        (
            "one-hot floats, one_hot(y, C).float()",
            lambda: nn.functional.one_hot(y.long(), out.shape[1]).float(),
        ),
    ]
    for says, form in forms:
        try:
            made = form()
        except Exception:
            continue
        if _refused(loss, out, made) is None and math.isfinite(
            float(loss(out, made[: len(out)]).mean())
        ):
            return says, made
    return None
