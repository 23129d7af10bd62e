"""How a network is admitted to the checks: copied, run once, its loss asked; then all checks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainwell.doctor.finding import Check, Remedy
from trainwell.doctor.initial_checks import initial_checks
from trainwell.doctor.lossprobe import Loss, nature
from trainwell.doctor.network_checks import network_checks
from trainwell.doctor.output_checks import output_checks
from trainwell.doctor.specimen import (
    Attempt,
    Specimen,
    chosen_rows,
    count_classes,
    forward,
    probe_rows,
)
from trainwell.doctor.tiny_batch import short_trainings
from trainwell.doctor.training_checks import training_checks
from trainwell.errors import UserError


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
        checks += [_made(attempt) for attempt in attempts]
    return checks


def _made(attempt: Attempt) -> Check:
    code, name, make = attempt
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

    x, y: all rows that were given; the network is copied and never changed.
    """
    try:
        copied = copy.deepcopy(model)
    except Exception as error:
        problem = f"the network cannot be copied ({_said(error)})"
        raise UserError("check", problem, "Give it before it has computed anything.") from None
    home, kind = next(
        ((p.device, p.dtype) for p in copied.parameters()), (torch.device("cpu"), torch.float32)
    )
    rows = chosen_rows(len(x), y, seed)
    x, y = x[rows.to(x.device)].to(home), y[rows.to(y.device)].to(home)
    x = x.to(kind) if x.is_floating_point() else x  # real numbers as the network's own
    y = y.to(kind) if y.is_floating_point() else y
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        bad = float((~torch.isfinite(x)).double().mean())
        words = f"{bad:.1%} of the inputs are NaN or infinite."
        remedy = Remedy("impute missing values before training")
        return Check("D04", "not-finite-inputs", "fault", bad, 0.0, words, (remedy,))
    trouble: list[Check] = []
    try:
        out = forward(copied, x[: probe_rows(x)]).detach()
    except Exception as error:
        if x.is_floating_point():
            return _cannot_run("the network", x, error)
        try:
            out = forward(copied, x[: probe_rows(x)].float()).detach()
            x = x.float()
        except Exception:
            return _cannot_run("the network", x, error)
    if not out.is_floating_point():
        words = f"The network gives {out.dtype} numbers: no gradient flows through whole numbers."
        remedy = Remedy("return the outputs before argmax or rounding")
        return Check("N12", "parameters-not-learning", "fault", 1.0, 0.0, words, (remedy,))
    counted = count_classes(y, classes)
    refused = _refused(loss, out, y)
    if refused is not None:
        wide = _width_fault(out, y, counted)
        if wide is not None:
            return wide
        changed = _accepted(loss, out, y, counted)
        says = "The loss cannot be computed"
        outside = float(((out < 0) | (out > 1)).double().mean())
        value, todo = None, "see what the loss wants: its shape and type of targets"
        if changed is not None:
            todo = f"give the targets as {changed[0]}"
        elif outside and isinstance(loss, nn.BCELoss):
            value = outside
            says = (
                f"The loss wants probabilities and {outside:.0%} of the outputs lie outside [0, 1]"
            )
            todo = "use BCEWithLogitsLoss, or end with a sigmoid"
        shapes = f"outputs {tuple(out.shape)}, targets {tuple(y.shape)} of {y.dtype}"
        words = f"{says} ({shapes}): {_said(refused)}"
        code, name = "N01", "output-loss-mismatch"
        failed = Check(code, name, "fault", value, None, words, (Remedy(todo),))
        if changed is None:
            return failed
        trouble.append(failed)
        y = changed[1]
    copied.eval()
    specimen = Specimen(
        model=copy.deepcopy(model),
        loss=loss,
        x=x,
        y=y,
        out=out,
        nature=nature(loss, out, y[: len(out)]),
        classes=counted,
        stated=classes is not None,
        seed=seed,
    )
    return specimen, trouble


def _cannot_run(what: str, x: Tensor, error: Exception) -> Check:
    words = (
        f"With inputs {tuple(x[: probe_rows(x)].shape)} of {x.dtype} {what} raised {_said(error)}"
    )
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
    words = f"The targets are class numbers from {low} to {int(y.max())}, the network has {width} "
    words += "outputs: the loss cannot be computed."
    remedy = Remedy(f"give the last layer {classes} outputs, and count classes from 0")
    return Check("N02", "wrong-width", "fault", width, classes, words, (remedy,))


def _accepted(loss: Loss, out: Tensor, y: Tensor, classes: int | None) -> tuple[str, Tensor] | None:
    """A form of the targets that the loss takes, in words and as a tensor."""
    forms: list[tuple[str, Callable[[], Tensor]]] = [
        ("floats, y.float()", lambda: y.float()),
        ("floats in the outputs' shape", lambda: y.float().reshape(len(y), *out.shape[1:])),
        ("class numbers, y.long()", lambda: y.long()),
        ("class numbers in one dimension, y.squeeze(1).long()", lambda: y.squeeze(1).long()),
        (
            "one-hot floats, one_hot(y, C).float()",
            lambda: nn.functional.one_hot(y.long(), classes or 2).float(),
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
