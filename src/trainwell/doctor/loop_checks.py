"""What is wrong with a training loop itself: gradients, parameters and modes that it forgot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trainwell.doctor.evidence import Setup
from trainwell.doctor.finding import Check, Level, Remedy
from trainwell.doctor.losses import Losses
from trainwell.doctor.seen import Sample

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


_SURE = 3  # sampled steps that must agree
_NAMES = {
    "SGD": "Sgd",
    "RMSprop": "RmsProp",
    "LBFGS": "Lbfgs",
    "Adadelta": "AdaDelta",
}
_ACTIVATIONS = {"LeakyReLU": "leaky_relu"}


@dataclass
class Facts:
    """What sampled steps have shown of the loop; counted while it runs.

    zeroed: of the step that is sampled now; None: not yet known.
    """

    zeroed: bool | None = None
    judged: int = 0
    not_zeroed: int = 0
    looked: int = 0
    without: dict[str, int] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)

    def note(self, sample: Sample, model: nn.Module, called: set[str]) -> None:
        """Count what the step that has just been sampled shows."""
        if sample.step > 1 and self.zeroed is not None:
            self.judged += 1
            self.not_zeroed += not self.zeroed
        self.looked += 1
        self.called |= called
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and parameter.grad is None:
                self.without[name] = self.without.get(name, 0) + 1


def setup_of_loop(model: nn.Module, optimizers: Sequence[Optimizer], rows: int) -> Setup:
    """What model and optimizer say about how the training is set up."""
    from torch import nn

    group: dict[str, Any] = optimizers[0].param_groups[0]
    momentum = group.get("momentum", (group.get("betas") or (None,))[0])
    kind = type(optimizers[0]).__name__
    name = _NAMES.get(kind, kind)
    if name == "Sgd" and momentum:
        name = "Nesterov" if group.get("nesterov") else "Momentum"
    modules = list(model.modules())
    weighted = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    depth = sum(isinstance(m, weighted) for m in modules)
    depth += sum(m.num_layers for m in modules if isinstance(m, nn.RNNBase))
    bent = [
        type(m).__name__ for m in modules if type(m).__module__ == "torch.nn.modules.activation"
    ]
    # Sums that jump over layers stand in a forward of one's own; in plain rows there are none.
    plain = all(
        isinstance(m, nn.Sequential) or type(m).__module__.startswith("torch.nn") for m in modules
    )
    normalised = True if any(_normalises(m) for m in modules) else False if plain else None
    rates = [m.p for m in modules if isinstance(m, nn.Dropout)]
    return Setup(
        optimizer=name,
        lr=float(group["lr"]),
        momentum=None if momentum is None else float(momentum),
        eps=group.get("eps"),
        batch_size=rows or None,
        depth=depth or None,
        activation=_ACTIVATIONS.get(bent[0], bent[0].lower()) if bent else None,
        normalised=normalised,
        dropout=max(rates, default=None),
        l2=group.get("weight_decay"),
    )


def _normalises(module: nn.Module) -> bool:
    file = type(module).__module__.rpartition(".")[2]
    return file in ("batchnorm", "normalization", "instancenorm")


def loop_checks(
    facts: Facts,
    samples: Sequence[Sample],
    losses: Losses,
    model: nn.Module,
    optimizers: Sequence[Optimizer],
) -> tuple[Check, ...]:
    """All checks of a loop, from what was seen so far; silent where too little was seen."""
    held = {id(p) for o in optimizers for g in o.param_groups for p in g["params"]}
    found = [
        _zeroed(facts),
        _without_gradient(facts, model, held),
        _not_held(model, held),
        _unchanged(samples),
        _modes(losses, model),
        _recorded(samples, losses),
    ]
    return tuple(check for check in found if check is not None)


def not_finite(
    step: int, what: str, weights: str | None, layer: str | None, outputs: Tensor | None
) -> Check:
    """The check that says that a loss or a gradient is nan or infinite, and where it begins.

    weights: the first parameter that is not finite; layer: the first layer with such outputs;
    outputs: of the network, where the criterion was seen with them.
    """
    if what == "gradient":
        where = f"the first is that of {weights}, while the loss was still finite"
    elif weights is not None:
        where = f"the first weights that are not finite are {weights}"
    elif layer is not None:
        where = f"all weights were finite, the first output that is not is that of layer {layer}"
    elif outputs is not None and bool(outputs.isfinite().all()):
        where = "weights and outputs were finite: it is the loss itself or its targets"
    elif outputs is not None:
        where = "all weights were finite, outputs were not: look at the inputs of this batch"
    else:
        where = "all weights were finite: look at the inputs of this batch and at the loss"
    remedies = (
        Remedy("go back to the weights before, and check inputs for nan and infinities"),
        Remedy("divide the learning rate by 5"),
        Remedy("give logits to a loss that takes logits; clip gradients"),
    )
    words = f"At step {step} the {what} was not finite; {where}. From there on nothing is learned."
    return Check("R01", "loss-not-finite", "fault", float(step), None, words, remedies)


def _zeroed(facts: Facts) -> Check | None:
    if not facts.judged:
        return None
    bad = facts.judged >= _SURE and facts.not_zeroed == facts.judged
    words = (
        f"In all {facts.judged} sampled steps the gradient of the step before was still there: "
        "gradients add up over the whole training."
        if bad
        else "Gradients are put to zero before each step."
    )
    remedies = (Remedy("call optimizer.zero_grad() before loss.backward()"),) if bad else ()
    share = facts.not_zeroed / facts.judged
    level: Level = "fault" if bad else "pass"
    return Check("N12", "gradients-not-zeroed", level, share, 1.0, words, remedies)


def _without_gradient(facts: Facts, model: nn.Module, held: set[int]) -> Check | None:
    if facts.looked < _SURE:
        return None
    never = [n for n, c in facts.without.items() if c == facts.looked]
    known = dict(model.named_parameters())
    never = [n for n in never if n in known and id(known[n]) in held and known[n].requires_grad]
    name = "parameters-without-gradient"
    if not never:
        words = "Every parameter of the optimizer gets a gradient."
        return Check("N12", name, "pass", 0.0, 0.0, words)
    cut = [n for n in never if n.rpartition(".")[0] in facts.called]
    if cut:
        words = f"{_listed(cut)} took part in the forward pass and never got a gradient: the way "
        words += "back is cut behind them (detach, argmax, no_grad, .data or a numpy array)."
        remedy = Remedy("compute the loss from the tensors that the layers return")
        return Check("N12", name, "fault", float(len(cut)), 0.0, words, (remedy,))
    words = f"{_listed(never)} never took part in a forward pass."
    return Check("N12", name, "note", float(len(never)), 0.0, words)


def _not_held(model: nn.Module, held: set[int]) -> Check:
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    out = [n for n, p in trainable.items() if id(p) not in held]
    total = sum(p.numel() for p in trainable.values())
    share = sum(trainable[n].numel() for n in out) / max(1, total)
    name = "parameters-not-in-optimizer"
    if not out:
        words = "The optimizer holds every trainable parameter."
        return Check("N12", name, "pass", 0.0, 0.0, words)
    if len(out) == len(trainable):
        words = "The optimizer holds no parameter of this model: nothing of it is trained."
        remedy = Remedy("make the optimizer from model.parameters(), after the model is final")
        return Check("N12", name, "fault", 1.0, 0.0, words, (remedy,))
    words = f"{_listed(out)} ({100 * share:.3g} % of the trainable weights) are not in the "
    words += "optimizer and stay as they are."
    remedies = (
        Remedy("add them to the optimizer"),
        Remedy("if they are to stay frozen, say so: parameter.requires_grad_(False)"),
    )
    return Check("N12", name, "warning", share, 0.0, words, remedies)


def _unchanged(samples: Sequence[Sample]) -> Check | None:
    seen = [s for s in samples if s.weights]
    if len(seen) < _SURE:
        return None
    if all(s.lr == 0 for s in seen):
        words = f"The learning rate was 0 in all {len(seen)} sampled steps."
        remedy = Remedy("set a learning rate, for instance 0.001 with Adam")
        return Check("N13", "learning-rate-zero", "fault", 0.0, 0.0, words, (remedy,))
    names = dict.fromkeys(n for s in seen for n in s.weights)
    stuck = []
    for name in names:
        steps = [(s.weights[name], s.lr) for s in seen if name in s.weights]
        moved = [w.update != 0 for w, lr in steps if lr > 0 and w.gradient > 0]
        if len(moved) >= _SURE and not any(moved):
            stuck.append(name)
    if not stuck:
        words = "The weights of every layer move."
        return Check("N12", "weights-unchanged", "pass", 0.0, 0.0, words)
    words = f"Weights of {_listed(stuck)} have a gradient, and did not move in a sampled step."
    remedies = (Remedy("train weights in float32: small steps are lost in 16 bits"),)
    return Check("N12", "weights-unchanged", "fault", float(len(stuck)), 0.0, words, remedies)


def _modes(losses: Losses, model: nn.Module) -> Check | None:
    from torch import nn

    modules = list(model.modules())
    drops = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in modules)
    norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules)
    if (not drops and not norms) or not losses.total:
        return None
    what = " and ".join(n for n, there in (("dropout", drops), ("batch norm", norms)) if there)
    trained, wrong = losses.trained_in_train, losses.trained_in_eval
    name, share = "train-and-eval-mode-mixed-up", wrong / max(1, trained + wrong)
    if trained and share > 0.1:
        words = f"{100 * share:.0f} % of the training steps ran in eval mode, in which {what} "
        words += "do not act as in training."
        remedy = Remedy("call model.train() at the beginning of each epoch")
        return Check("N11", name, "warning", share, 0.1, words, (remedy,))
    if wrong and not trained:
        words = f"The whole training ran in eval mode, in which {what} do not act as in training."
        remedy = Remedy("call model.train() before the loop, unless this is meant")
        return Check("N11", name, "note", share, 0.1, words, (remedy,))
    if losses.validated_in_train:
        words = f"{losses.validated_in_train} validation losses were computed in train mode, with "
        words += f"{what} acting as in training."
        remedy = Remedy("call model.eval() before validation and model.train() after it")
        seen = losses.validated_in_train / (losses.validated_in_train + losses.validated_in_eval)
        return Check("N11", name, "warning", seen, 0.0, words, (remedy,))
    words = "Training ran in train mode, validation in eval mode."
    return Check("N11", name, "pass", share, 0.1, words)


def _recorded(samples: Sequence[Sample], losses: Losses) -> Check | None:
    if not samples or not samples[-1].step:
        words = "No step of the optimizer was seen: nothing can be said."
        todo = Remedy("hand over the optimizer whose step() the loop calls")
        return Check("F07", "no-step-seen", "note", 0.0, 1.0, words, (todo,))
    if losses.total:
        return None
    words = "No loss was seen, so that nothing can be said about how it falls."
    todo = Remedy("call watch.loss in place of the loss function, or watch.record(loss)")
    return Check("F07", "loss-not-recorded", "note", 0.0, 1.0, words, (todo,))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
