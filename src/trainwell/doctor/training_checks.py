"""Checks of what some steps of training do to a network, made on copies of it.

Slides: "Learning rate", "Batch normalization", "Regularization". N rows.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from trainwell.doctor.finding import Check, Level, Remedy, out_of_time
from trainwell.doctor.lossprobe import wanted
from trainwell.doctor.specimen import BATCH, Attempt, Specimen, forward

REPEATED = 0.01  # relative change of a mean when the batch is given twice
APART = 0.5  # distance of train and eval outputs, beside the spread over rows
STEPS = 3
BATCHES = 8
PASSES = 8  # through a network that is random in train mode
DIRECTIONS = 5  # along which a gradient is checked
WRONG, DOUBTFUL = 1e-2, 1e-4  # relative error of a gradient


def training_checks(s: Specimen) -> list[Attempt]:
    """N10 to N13 and N15."""
    return [
        ("N10", "loss-reduction", lambda: loss_reduction(s)),
        ("N11", "train-eval-inconsistent", lambda: train_eval_inconsistent(s)),
        ("N12", "parameters-not-learning", lambda: parameters_not_learning(s)),
        ("N13", "wrong-sign", lambda: wrong_sign(s)),
        ("N15", "wrong-gradient", lambda: wrong_gradient(s)),
    ]


def loss_reduction(s: Specimen) -> Check:
    """A loss that doubles with the batch is a sum: the rate then depends on the batch size."""
    name, slide = "loss-reduction", "Learning rate"
    y = s.y[: len(s.out)]
    raw = s.loss(s.out, y)
    if isinstance(raw, Tensor) and raw.numel() != 1:
        words = f"The loss gives {raw.numel()} numbers; training needs one."
        remedy = Remedy('take the mean: reduction="mean"')
        return Check("N10", name, "fault", raw.numel(), 1, words, (remedy,), slide)
    once = float(raw)
    twice = float(s.loss(torch.cat([s.out, s.out]), torch.cat([y, y])))
    ratio = twice / once if once else 1.0
    level: Level = "note" if abs(ratio - 1) > REPEATED else "pass"
    words = f"The same rows given twice change the loss by a factor of {ratio:.3g}."
    if level == "note":
        words += " It is a sum over rows: the best learning rate depends on the batch size."
    remedies = (Remedy('reduction="mean"'),) if level == "note" else ()
    return Check("N10", name, level, ratio, 1.0, words, remedies, slide)


def train_eval_inconsistent(s: Specimen) -> Check:
    """Running statistics that never move or forget at once, and outputs that differ in eval mode.

    Statistics are gathered anew in one pass, so that the usual slow start does not count.
    """
    name, slide = "train-eval-inconsistent", "Batch normalization"
    x = s.x[: 2 * BATCH]
    model = s.fresh(dropout=False)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    tracking = [m for m in norms if m.running_mean is not None]
    if len(x) < 4:
        return Check("N11", name, "pass", None, APART, "Too few rows to tell.", (), slide)
    if not s.affords(STEPS):
        return out_of_time("N11", name, slide)
    before = [_of(m).clone() for m in tracking]
    with torch.no_grad():
        forward(model, x, train=True)
    moved = [not torch.equal(_of(m), b) for m, b in zip(tracking, before, strict=True)]
    remedy = Remedy("give batch norm momentum 0.1, and call model.train() and model.eval()")
    if tracking and not all(moved):
        still = moved.count(False)
        words = f"{still} of {len(moved)} batch norms do not update their running statistics in "
        words += "train mode: predictions will use what they began with."
        return Check("N11", name, "fault", still, 0, words, (remedy,), slide)
    fast = [m.momentum for m in tracking if m.momentum is not None and m.momentum >= 0.9]
    if fast:
        words = f"Batch norm with momentum {max(fast):g} remembers little more than the last batch;"
        words += " torch's momentum is the weight of the new batch, usual is 0.1."
        return Check("N11", name, "warning", max(fast), 0.9, words, (remedy,), slide)
    for m in tracking:
        m.reset_running_stats()
        m.momentum = None  # a plain mean of what follows
    with torch.no_grad():
        forward(model, x, train=True)
        twice = [forward(model, x, train=True, seed=k).double() for k in range(2)]
        random = not torch.equal(*twice)
        more = range(2, PASSES if random else 2)
        passes = torch.stack(twice + [forward(model, x, train=True, seed=k).double() for k in more])
        calm = forward(model, x).double()
    if calm.shape != passes[0].shape:
        words = f"In train mode outputs have shape {tuple(passes[0].shape)}, in eval mode "
        words += f"{tuple(calm.shape)}."
        return Check("N11", name, "warning", None, APART, words, (remedy,), slide)
    mean = passes.mean(0)
    spread = float((mean - mean.mean(0)).norm())
    noise = float((passes - mean).norm()) / len(passes)
    floor = 1e-3 * float(mean.norm())
    distance = float((calm - mean).norm())
    value = distance / max(spread + 3 * noise + floor, 1e-12)
    if value > APART:
        words = "On the same rows the outputs in eval mode differ from those in train mode by "
        words += f"{value:.0%} of their spread, with nothing dropped and fresh statistics."
        return Check("N11", name, "warning", value, APART, words, (remedy,), slide)
    words = f"Train and eval mode differ by {value:.1%} of the spread over rows."
    return Check("N11", name, "pass", value, APART, words, (), slide)


def _of(norm: Any) -> Tensor:
    """The running variance, which moves even where the mean is zero by nature."""
    found: Tensor = norm.running_var
    return found


def parameters_not_learning(s: Specimen) -> Check:
    """Parameters without a gradient, or that some steps leave as they were."""
    name, slide = "parameters-not-learning", "Learning rate"
    model = s.fresh()
    named = dict(model.named_parameters())
    trained = {n: p for n, p in named.items() if p.requires_grad}
    if not named:
        words = "The network has no parameters."
        return Check("N12", name, "fault", 0, None, words, (), slide)
    if not trained:
        words = f"None of the {len(named)} parameters requires a gradient: nothing can be learned."
        remedy = Remedy("model.requires_grad_(True), and no torch.no_grad() around the network")
        return Check("N12", name, "fault", 1.0, 0.0, words, (remedy,), slide)
    if not s.affords(STEPS):
        return out_of_time("N12", name, slide)
    start = {n: p.detach().clone() for n, p in trained.items()}
    step = s.steps(model)
    touched: set[str] = set()
    finite = True
    for rows, _ in zip(s.batches(s.seed), range(STEPS), strict=False):
        model.zero_grad(set_to_none=True)
        loss = s.value(forward(model, s.x[rows], train=len(rows) > 1), s.y[rows])
        if not loss.requires_grad:
            words = "The loss does not depend on any parameter by way of gradients: something in "
            words += "the network or the loss cuts it off (detach, .data, numpy, argmax)."
            remedy = Remedy("let torch compute everything between parameters and loss")
            return Check("N12", name, "fault", 1.0, 0.0, words, (remedy,), slide)
        torch.autograd.backward(loss)
        touched |= {n for n, p in trained.items() if p.grad is not None}
        finite &= all(
            bool(torch.isfinite(p.grad).all()) for p in trained.values() if p.grad is not None
        )
        step(None)
    cut = [n for n in trained if n not in touched]
    still = [n for n, p in trained.items() if torch.equal(p, start[n]) and n in touched]
    still = [n for n in still if trained[n].ndim > 1]  # a bias before a norm has none by nature
    frozen = len(named) - len(trained)
    if cut:
        words = f"{len(cut)} of {len(trained)} parameters get no gradient ({_some(cut)}): they are "
        words += "never used, or cut off by detach()."
        remedy = Remedy("use them in forward(), remove them, or set requires_grad=False on purpose")
        return Check("N12", name, "fault", len(cut) / len(trained), 0.0, words, (remedy,), slide)
    if still:
        words = f"{len(still)} weights are the same to the bit after {STEPS} steps ({_some(still)})"
        words += ": their gradient is zero, or the optimizer does not hold them."
        remedy = Remedy("give the optimizer all parameters; look at the initial weights")
        return Check(
            "N12", "zero-gradient", "fault", len(still) / len(trained), 0.0, words, (remedy,), slide
        )
    if not finite:
        words = "Gradients are not finite within the first steps."
        remedy = Remedy("look for missing or huge inputs; lower the rate", ())
        return Check("N12", name, "fault", None, 0.0, words, (remedy,), slide)
    words = f"All {len(trained)} parameters get gradients and move."
    if frozen:
        words = f"{frozen} of {len(named)} parameters are frozen; all others learn."
        return Check("N12", name, "note", frozen / len(named), 0.0, words, (), slide)
    return Check("N12", name, "pass", 0.0, 0.0, words, (), slide)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def wrong_sign(s: Specimen) -> Check:
    """Whether less loss means more of the true class, and whether steps go downhill.

    A step of the optimizer is shrunk to a small one and tried on its own batch, on 8 batches.
    """
    name, slide = "wrong-sign", "Learning rate"
    flip = Remedy("remove the minus sign; minimise the loss, maximize=False, a rate above zero")
    if s.lr is not None and s.lr <= 0:
        words = f"The learning rate is {s.lr:g}: nothing is learned, or uphill."
        return Check("N13", name, "fault", s.lr, 0.0, words, (flip,), slide)
    y = s.y[: len(s.out)]
    desired = wanted(s.out, y)
    if desired is not None:
        out = s.out.clone().requires_grad_()
        (grad,) = torch.autograd.grad(s.value(out, y), out)
        towards = desired - desired.mean(1, keepdim=True) if _wide(desired) else desired
        push = -(grad * towards).flatten(1).sum(1) if grad.ndim > 1 else -grad * towards
        share = float((push < 0).double().mean())
        if share > 0.9:
            words = f"For {share:.0%} of the rows a lower loss means less of the true class."
            return Check("N13", name, "fault", share, 0.1, words, (flip,), slide)
    if not s.affords(BATCHES):
        return out_of_time("N13", name, slide)
    rises = 0
    for rows, _ in zip(s.batches(s.seed), range(BATCHES), strict=False):
        model = s.fresh(dropout=False)
        trained = [p for p in model.parameters() if p.requires_grad]
        if not trained:
            return Check("N13", name, "pass", None, None, "Nothing is trained.", (), slide)
        loss = s.value(forward(model, s.x[rows], train=len(rows) > 1), s.y[rows])
        torch.autograd.backward(loss)
        before = [p.detach().clone() for p in trained]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in trained]
        s.steps(model)(None)
        moved = [p.detach() - b for p, b in zip(trained, before, strict=True)]
        slope = sum(
            float((g.double() * m.double()).sum()) for g, m in zip(grads, moved, strict=True)
        )
        rises += slope > 0
    value = rises / BATCHES
    if rises >= BATCHES - 1:
        words = f"On {rises} of {BATCHES} batches the optimizer steps uphill: the loss rises."
        return Check("N13", name, "fault", value, 0.875, words, (flip,), slide)
    words = f"Steps go downhill on {BATCHES - rises} of {BATCHES} batches."
    return Check("N13", name, "pass", value, 0.875, words, (), slide)


def _wide(desired: Tensor) -> bool:
    return desired.ndim > 1 and desired.shape[1] > 1


def optimizer_checks(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[list[Check], list[str]]:
    """What can be read off an optimizer: parameters that it lacks or that are not the network's,
    decay on biases. Returns also the names of parameters that it lacks."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    own = {id(p): n for n, p in model.named_parameters()}
    missing = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in held]
    strange = len([i for i in held if i not in own])
    found = []
    if missing or strange:
        words = f"The optimizer lacks {len(missing)} of the network's parameters"
        words += f" ({_some(missing)})" if missing else ""
        words += f" and holds {strange} that are not the network's." if strange else "."
        level: Level = "fault" if missing else "note"
        remedy = Remedy("make it from model.parameters(), after the network is complete")
        value = len(missing) / max(len(own), 1)
        found.append(
            Check("N12", "not-in-optimizer", level, value, 0.0, words, (remedy,), "Learning rate")
        )
    decayed = [
        own[id(p)]
        for group in optimizer.param_groups
        if group.get("weight_decay", 0)
        for p in group["params"]
        if p.ndim <= 1 and id(p) in own
    ]
    found.append(decay_on_biases(decayed))
    return found, missing


def decay_on_biases(names: list[str]) -> Check:
    """Weight decay is for weights: not for biases and norm parameters."""
    name, slide = "decay-on-biases", "Regularization"
    if not names:
        words = "No biases or norm parameters decay."
        return Check("N14", name, "pass", 0, 0, words, (), slide)
    words = f"Weight decay acts on {len(names)} biases or norm parameters ({_some(names)})."
    remedy = Remedy("put them into a group of their own with weight_decay=0")
    return Check("N14", name, "note", len(names), 0, words, (remedy,), slide)


def wrong_gradient(s: Specimen) -> Check:
    """The gradient of custom autograd functions against centred differences in double precision."""
    name, slide = "wrong-gradient", "Newton's method"
    count = min(len(s.x), 3)
    x, y = s.x[:count], s.y[:count]
    plain = s.value(forward(s.fresh(dropout=False), x), y)
    if not plain.requires_grad or not _custom(plain):
        words = "All gradients are torch's own."
        return Check("N15", name, "pass", None, WRONG, words, (), slide)
    if not s.affords(2 * DIRECTIONS):
        return out_of_time("N15", name, slide)
    model = s.fresh(dropout=False).double()
    x = x.double() if x.is_floating_point() else x
    y = y.double() if y.is_floating_point() else y
    trained = [p for p in model.parameters() if p.requires_grad]
    loss = s.value(forward(model, x), y)
    grads = torch.autograd.grad(loss, trained, allow_unused=True)
    generator = torch.Generator().manual_seed(s.seed)
    errors, flat = [], True
    start = copy.deepcopy(model.state_dict())
    for _ in range(DIRECTIONS):
        along = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in trained]
        along = [a.to(p) for a, p in zip(along, trained, strict=True)]
        pairs = zip(grads, along, strict=True)
        told = sum(float((g * a).sum()) for g, a in pairs if g is not None)
        ends = []
        for sign in (1, -1):
            model.load_state_dict(start)
            with torch.no_grad():
                for p, a in zip(trained, along, strict=True):
                    p.add_(a, alpha=sign * 1e-6)
                ends.append(float(s.value(forward(model, x), y)))
        seen = (ends[0] - ends[1]) / 2e-6
        flat &= seen == 0
        errors.append(abs(seen - told) / max(abs(seen), abs(told), 1e-9))
    error = sorted(errors)[DIRECTIONS // 2]
    level: Level = "fault" if error > WRONG else "warning" if error > DOUBTFUL else "pass"
    words = f"Centred differences and the gradient of a custom function differ by {error:.2g}."
    if flat and level != "pass":
        level = "note"
        words += " The function is flat: its backward pass seems to be made up on purpose."
    remedies = (Remedy("mend backward()"),) if level != "pass" else ()
    return Check("N15", name, level, error, WRONG, words, remedies, slide)


def _custom(loss: Tensor) -> bool:
    """Whether an autograd function that was written in Python takes part."""
    waiting: list[Any] = [loss.grad_fn]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        waiting += [n for n, _ in node.next_functions]
    return False
