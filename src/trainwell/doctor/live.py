"""Hooks of one sampled step of somebody's loop, and the numbers that they give."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainwell.doctor.sampling import (
    Forward,
    Hooks,
    Units,
    entries,
    hooked,
    numbers,
    sizes,
    slots_of,
)
from trainwell.doctor.seen import ROWS, WINDOW, Unit, Weight

_MEASURED = 6  # numbers per weight of a step that was seen from begin to end


class Live:
    """What a sampled step shows: `arm` before it, `before` and `after` around the optimizer's step.

    before_step: the hook that calls `before`. backward: told, in a backward pass, whether
    gradients were zero before it.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        before_step: Callable[[Optimizer, Any, Any], None],
        backward: Callable[[bool], None],
    ) -> None:
        self._model, self._optimizers = model, optimizers
        self._before_step, self._told = before_step, backward
        self._slots, self._layers = slots_of(model), hooked(model)
        self.armed = False  # whether the step that comes, or runs, is sampled
        self._hooks = Hooks()
        self._forward: Forward | None = None
        self._kept: dict[str, Tensor] = {}  # weights before the step
        self._found: dict[str, list[Tensor]] = {}
        self._windows: dict[str, deque[tuple[Tensor, int]]] = {}

    def arm(self) -> None:
        """Put hooks in place for the next step."""
        held = {id(p) for o in self._optimizers for g in o.param_groups for p in g["params"]}
        good = [s.parameter for s in self._slots if s.parameter.requires_grad]
        last = next((p for p in good[::-1] if id(p) in held), None)  # first in the way back
        self._forward = Forward(self._model, self._layers, last, self._told)
        self.armed = True
        for optimizer in self._optimizers:
            self._hooks.add(optimizer.register_step_pre_hook(self._before_step))

    def disarm(self) -> None:
        """Take all hooks away again, and let what they kept go."""
        self._hooks.remove()
        self.armed = False
        if self._forward is not None:
            self._forward.remove()
            self._forward = None
        self._kept.clear()
        self._found.clear()

    def called(self) -> set[str]:
        """Layers that took part in the forward pass."""
        return {name for name, _ in self._forward.outputs} if self._forward else set()

    def seconds(self) -> float:
        """Own time in forward passes."""
        return self._forward.seconds if self._forward else 0.0

    def first_broken(self) -> str | None:
        """The first layer of this step with outputs that are not finite, if it is sampled."""
        return self._forward.first_broken() if self._forward else None

    def before(self, optimizer: Optimizer, closure: bool) -> None:
        """Keep the weights, and measure gradients unless a closure computes them in the step."""
        mine = {id(p) for g in optimizer.param_groups for p in g["params"]}
        for slot in self._slots:
            if id(slot.parameter) in mine:
                self._kept[slot.name] = entries(slot.parameter.detach()).clone()
                if not closure:
                    self._measure(slot.name, slot.parameter, optimizer)

    def _measure(self, name: str, parameter: nn.Parameter, optimizer: Optimizer) -> None:
        grad = parameter.grad
        if grad is None or grad.is_sparse:
            return
        values = sizes(entries(grad.detach()))
        scale = getattr(optimizer, "grad_scale", None)  # of GradScaler, for fused optimizers
        if scale is not None:
            values = [values[0] / scale, values[1], values[2] / scale]
        self._found[name] = values

    @torch.no_grad()
    def after(self, optimizer: Optimizer, closure: bool) -> None:
        """Measure how far the step moved the weights."""
        mine = {id(p) for g in optimizer.param_groups for p in g["params"]}
        names, before, now = [], [], []
        for slot in self._slots:
            if id(slot.parameter) not in mine or slot.name not in self._kept:
                continue
            if closure:
                self._measure(slot.name, slot.parameter, optimizer)
            if slot.name in self._found:
                names.append(slot.name)
                before.append(self._kept[slot.name])
                now.append(entries(slot.parameter.detach()))
        if not names:
            return
        norms = torch._foreach_norm
        moved = torch._foreach_sub(now, before)
        for name, *three in zip(names, norms(before), norms(now), norms(moved), strict=True):
            self._found[name] += three

    def weights(self) -> dict[str, Weight]:
        """Weight layers by name."""
        full = {s.name: self._found.get(s.name, []) for s in self._slots}
        full = {n: f for n, f in full.items() if len(f) == _MEASURED}
        flat = numbers(list(itertools.chain(*full.values())))
        picked = {s.name for s in self._slots if s.rows_are_picked}
        found = {}
        for place, name in enumerate(full):
            begin = _MEASURED * place
            gradient, filled, total, before, weight, update = flat[begin : begin + _MEASURED]
            count = self._kept[name].numel()
            zero = math.nan if name in picked else 1 - filled / count
            ratio = update / weight if weight else math.nan
            found[name] = Weight(gradient, zero, total / count, before, weight, ratio)
        return found

    def units(self) -> dict[str, Unit]:
        """Units by activation; several calls of a step (accumulation) are taken together."""
        by_name: dict[str, list[Units]] = {}
        for seen in self._forward.units if self._forward else ():
            by_name.setdefault(seen.name, []).append(seen)
        return {name: self._unit(name, several) for name, several in by_name.items()}

    def _unit(self, name: str, several: Sequence[Units]) -> Unit:
        means = numbers([s.mean for s in several])
        spreads = numbers([s.spread for s in several])
        ends = numbers([s.saturated for s in several if s.saturated is not None])
        active = [s.active for s in several if s.active is not None]
        dead = math.nan
        if active:
            window = self._windows.setdefault(name, deque())
            window.append((_either(active), sum(s.rows for s in several)))
            rows = sum(n for _, n in window)
            while len(window) > WINDOW and rows - window[0][1] >= ROWS:
                rows -= window.popleft()[1]
            if rows >= ROWS:
                dead = 1 - float(_either([a for a, _ in window]).float().mean())
        count = len(several)
        saturated = sum(ends) / len(ends) if ends else math.nan
        return Unit(sum(means) / count, sum(spreads) / count, dead, saturated)


def _either(several: Sequence[Tensor]) -> Tensor:
    return several[0] if len(several) == 1 else torch.stack(list(several)).any(dim=0)
