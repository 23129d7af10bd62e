"""All checks of a network before its training: anybody's (`check`), or a recipe's (`preflight`)."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainwell.data.dataset import Dataset
from trainwell.data.split import Split, sample_rows
from trainwell.doctor.admission import admit, all_checks
from trainwell.doctor.checkup import Checkup
from trainwell.doctor.finding import Check
from trainwell.doctor.intake import looked_at, rows_of, targets_of
from trainwell.doctor.lossprobe import Loss
from trainwell.doctor.specimen import (
    Step,
    StepMaker,
    adam_steps,
    steps_of,
    undisturbed,
)
from trainwell.doctor.training_checks import decay_on_biases, optimizer_checks
from trainwell.engine.inputs import FoldInputs, fit_preprocess, take
from trainwell.engine.members import Examples, Member, initial_row
from trainwell.engine.population import build
from trainwell.engine.stack import layout, named_rows
from trainwell.errors import UserError
from trainwell.recipe import Recipe
from trainwell.techniques.optim.matrix import Muon
from trainwell.techniques.optim.rules import ClosureRule
from trainwell.techniques.regularize import L1, L2

GRACE = 3.0  # seconds that slow networks are given at least for what is no training
RECIPE_ROWS = 1000  # training rows on which a recipe's network is looked at, at most
RECIPE_BYTES = 24 << 20  # of these rows as numbers; several copies of them are held


def check(
    model: nn.Module,
    loss: Loss,
    X: Any,
    y: Any,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    classes: int | None = None,
    lr: float | None = None,
    seconds: float = 10.0,
    seed: int = 0,
) -> Checkup:
    """Look for what is broken in a network and its loss before training begins.

    model: any nn.Module; it comes back unchanged to the bit, experiments are made on copies.
    loss: any function of (outputs, targets) that gives a number. X (N, ...), y (N, ...): training
    rows as the network and the loss take them, tensors or arrays; a few hundred are enough, at most
    2000 are used. Names of classes in y become their places in sorted order. optimizer: the one
    that will train it, to see that it holds all parameters. classes: C, where the targets do not
    say. lr: the rate that will be used; without it, that of the optimizer.

    seconds: when they are over, no short training goes on. All else is some dozens of passes and
    steps, of usual networks less than a second. Where one step takes more than 0.15 seconds, they
    too are left out once the time is up (three seconds at least, the first passes aside), and only
    what has been begun is finished. What was left out says so. A network in 16 bits is looked at
    as a copy in float32.

    Raises UserError where there is nothing to look at: no rows, sparse or meta tensors, a
    ScriptModule. What goes wrong inside the network or the loss is a check that failed, never a
    traceback.

    >>> net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1))
    >>> X, y = torch.randn(60, 4), torch.arange(60) % 3
    >>> check(net, nn.CrossEntropyLoss(), X, y, seconds=0).findings()[0].name
    'softmax-twice'
    """
    began = time.monotonic()
    model = looked_at(model, loss, optimizer)
    inputs, targets = rows_of(X), targets_of(y)
    if len(inputs) != len(targets):
        problem = f"X has {len(inputs)} rows and y has {len(targets)}"
        raise UserError("check", problem, "Give one target for each row.")
    checks: list[Check] = []
    steps: StepMaker = adam_steps
    own_rate, kind = None, "Adam"
    if optimizer is not None:
        found, _ = optimizer_checks(model, optimizer)
        checks += found
        kind, steps = type(optimizer).__name__, _like(model, optimizer)
        own_rate = float(optimizer.param_groups[0]["lr"])
    with undisturbed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = admit(model, loss, inputs, targets, classes, seed)
        if isinstance(made, Check):
            return Checkup.of([*checks, made], time.monotonic() - began)
        specimen, troubles = made
        specimen = dataclasses.replace(
            specimen,
            lr=own_rate if lr is None else lr,
            steps=steps,
            optimizer=kind,
            until=began + seconds,
            latest=max(began + seconds, time.monotonic() + GRACE),
        )
        checks += [*troubles, *all_checks(specimen)]
    return Checkup.of(checks, time.monotonic() - began)


def _like(model: nn.Module, optimizer: torch.optim.Optimizer) -> StepMaker:
    """Steps as the user's optimizer makes them, on a copy of the network."""
    places = {id(p): n for n, p in model.named_parameters()}
    kind: Any = type(optimizer)
    groups = [
        {k: v for k, v in group.items() if k != "params"}
        | {"names": [places[id(p)] for p in group["params"] if id(p) in places]}
        for group in optimizer.param_groups
    ]

    def make(copied: nn.Module) -> Step:
        named = dict(copied.named_parameters())
        wanted = []
        for group in groups:
            mine = {k: v for k, v in group.items() if k != "names"}
            mine["params"] = [named[n] for n in group["names"]]
            if mine["params"]:
                wanted.append(mine)
        try:
            return steps_of(kind(wanted))
        except Exception:  # one with arguments of its own: what it does is not known
            return adam_steps(copied)

    return make


def preflight(
    data: Dataset, recipe: Recipe, split: Split, seed: int = 0, seconds: float = 8.0
) -> Checkup:
    """Look for what is broken in a recipe's network before it is trained on these data.

    The network, its pre-processing, its initial weights, loss and optimiser are those of the first
    fold's training; up to 1000 of its training rows (24 MiB) are looked at. Penalties, class
    weights, augmentation and schedule are left out. seconds: as for `check`. Raises UserError for
    a network that cannot be built.
    """
    began = time.monotonic()
    example = 4 * math.prod(data.schema.shape)
    most = min(RECIPE_ROWS, max(64, RECIPE_BYTES // example))
    rows = sample_rows(split.folds[0].train, data.labels, most, seed)
    inputs = take(data.inputs, rows).numpy()
    labels = torch.from_numpy(data.labels[rows])
    every = np.arange(len(rows))
    with undisturbed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = fit_preprocess(recipe, data.schema, inputs, every, every)
        folded = FoldInputs(inputs, [layers], torch.device("cpu"))
        examples = Examples(folded, labels, len(data.classes), torch.device("cpu"))
        member = Member(recipe, 0, every, every[:0], seed)
        network = initial_network(member, examples)
        x = folded.gather(torch.tensor([0]), torch.from_numpy(every)[None])[0]
        made = admit(network, recipe_loss(recipe), x, labels, len(data.classes), seed)
        if isinstance(made, Check):
            return Checkup.of([made], time.monotonic() - began)
        specimen, checks = made
        specimen = dataclasses.replace(
            specimen,
            lr=recipe.lr,
            steps=rule_steps(recipe),
            optimizer=type(recipe.optimizer).__name__,
            until=began + seconds,
            latest=max(began + seconds, time.monotonic() + GRACE),
            regularisers={"input dropout": recipe.input_dropout},
        )
        decays = recipe.penalty(L1, on_biases=True) + recipe.penalty(L2, on_biases=True)
        biases = [n for n, p in network.named_parameters() if p.ndim < 2] if decays else []
        checks = [*checks, decay_on_biases(biases), *all_checks(specimen)]
    return Checkup.of(checks, time.monotonic() - began)


def initial_network(member: Member, examples: Examples) -> nn.Module:
    """The member's network with the weights with which its training begins."""
    network = build(member, examples)
    slots = layout(network)[0]
    row = initial_row(member, network, slots, examples)
    named = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in named_rows(row, slots):
            named[name].copy_(value)
    return network


def recipe_loss(recipe: Recipe) -> Loss:
    """The recipe's loss as a function of outputs (N, C) and labels (N,), without class weights."""
    options: Mapping[str, Any] = {"smoothing": recipe.smoothing} if recipe.smoothing else {}

    def loss(outputs: Tensor, y: Tensor) -> Tensor:
        return recipe.loss(outputs[None], y[None], **options)[0]

    return loss


def rule_steps(recipe: Recipe) -> StepMaker:
    """Steps of the recipe's own rule, at its usual rate where no other is given.

    Rules that ask for the loss again and again have no steps along a gradient: Adam's instead.
    """
    rule = recipe.optimizer
    if isinstance(rule, ClosureRule):
        return adam_steps
    usual = rule.usual_rate if recipe.lr is None else recipe.lr

    def make(model: nn.Module) -> Step:
        slots = layout(model)[0]
        named = dict(model.named_parameters())
        width = slots[-1].stop
        theta, grad = torch.zeros(1, width), torch.zeros(1, width)
        state = tuple(torch.zeros_like(theta) for _ in rule.state)
        weights = torch.zeros(width)
        for slot in slots:
            weights[slot.start : slot.stop] = float(slot.decays)
        hyper = {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}
        if isinstance(rule, Muon):
            hyper["matrices"] = [(s.start, s.stop, tuple(s.shape)) for s in slots if s.decays]
        done = 0

        @torch.no_grad()
        def step(rate: float | None) -> None:
            nonlocal done
            for slot in slots:
                parameter = named[slot.name]
                part = slice(slot.start, slot.stop)
                theta[0, part] = parameter.flatten()
                grad[0, part] = 0 if parameter.grad is None else parameter.grad.flatten()
            lr = torch.tensor([[usual if rate is None else rate]])
            rule.update(theta, grad, state, lr, done, weights, **hyper)
            done += 1
            for name, value in named_rows(theta[0], slots):
                named[name].copy_(value)

        return step

    return make
