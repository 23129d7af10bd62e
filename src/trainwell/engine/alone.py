"""One network on rows of the population's matrices: the plain module, as its author wrote it.

Members that run one by one need no stacking: their parameters are views of their row of θ, so
that a step costs what it costs in a loop written by hand. Any `nn.Module` can run this way.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from trainwell.engine.distributed import Cut
from trainwell.engine.jointnorm import JointNorm
from trainwell.engine.stack import ELEMENTWISE, DropoutMasks, can_stack, exchanged, layout, view
from trainwell.seeding import stream_seed


class Alone:
    """One network; the same methods as `Stack`, with K = 1."""

    def __init__(
        self,
        network: nn.Module,
        theta: Tensor,
        buffers: Tensor,
        grad: Tensor,
        dropout: Sequence[float],
        cut: Cut | None = None,
    ) -> None:
        """theta and grad (1, P) and buffers (1, Q) are used in place; dropout: one rate.

        cut: in training, inputs are this rank's rows of a batch; see `distributed`.
        """
        # Numbers that a module draws itself must not be the same for the rows of every rank.
        self.salt = (cut.ranks.rank,) if cut is not None else ()
        parameters, statistics = layout(network)
        # Networks of known layers draw no random numbers of their own.
        self.draws = not can_stack(network)
        self.network = copy.deepcopy(network).to(theta.device)
        self.masks: list[DropoutMasks] = []

        def other(name: str, module: nn.Module) -> nn.Module | None:
            if isinstance(module, nn.Dropout):
                self.masks.append(DropoutMasks(name, [dropout[0] or module.p], theta.device, cut))
                return _StreamDropout(self.masks[-1])
            if isinstance(module, _BatchNorm):
                module.num_batches_tracked = None  # it counts for nobody
                return None if cut is None else JointNorm(module, cut)
            return None

        self.network = exchanged(self.network, other)
        places = _places(self.network)
        self.leaves = []
        for slot in parameters:
            leaf = nn.Parameter(view(theta, slot)[0].detach())
            for owner, last in places[slot.name]:
                # Not into its dictionary: recurrent layers have a second list of their weights.
                setattr(owner, last, leaf)
            self.leaves.append(leaf)
        for slot in statistics:
            for owner, last in places[slot.name]:
                owner._buffers[last] = view(buffers, slot)[0]
        self.grads = [view(grad, slot)[0] for slot in parameters]
        self.parameters = parameters[-1].stop if parameters else 0  # numbers, without padding
        self.slots = parameters
        self.seed = self.epoch = self.step = 0
        self.holding = False

    def start_epoch(self, seeds: Sequence[int], epoch: int, steps: int, done: int = 0) -> None:
        """Begin the member's random streams of an epoch, of which some steps may be done."""
        self.seed, self.epoch, self.step = seeds[0], epoch, done
        for masks in self.masks:
            masks.start_epoch(seeds, epoch, steps, done)

    def forward(self, x: Tensor, train: bool) -> Tensor:
        """Logits (1, B, C) of inputs (1, B, ...)."""
        return self._passed(self.network, x, train)

    def _passed(self, network: Callable[[Tensor], Tensor], x: Tensor, train: bool) -> Tensor:
        if self.network.training != train:
            self.network.train(train)
        x = x[0]
        if x.ndim == 4:
            # Pooling and small convolutions are 1.3 to 1.6 times faster with channels last.
            x = x.contiguous(memory_format=torch.channels_last)
        if not (train and self.draws):
            return network(x)[None]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, "module", self.epoch, self.step, *self.salt))
            self.step += not self.holding
            return network(x)[None]

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        """Logits (B, C) in training at weights of the caller's, θ (P,), for inputs (1, B, ...).

        Derivatives of any order by θ can be taken.
        """
        named = {s.name: theta[s.start : s.stop].view(s.shape) for s in self.slots}
        return self._passed(lambda some: functional_call(self.network, named, (some,)), x, True)[0]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, random numbers are those of one step, however often the network is asked."""
        self.holding = True
        for masks in self.masks:
            masks.hold(True)
        try:
            yield
        finally:
            self.holding = False
            self.step += 1
            for masks in self.masks:
                masks.hold(False)

    def activations(self, x: Tensor) -> Iterator[tuple[str, nn.Module, Tensor]]:
        """Name, layer and output of every activation, in eval mode: (1, F, B), or maps."""
        found: list[tuple[str, nn.Module, Tensor]] = []

        def noting(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            def note(layer: nn.Module, given: Any, output: Tensor) -> None:
                maps = output.ndim == 4
                found.append((name, layer, output if maps else output.flatten(1).T[None]))

            return note

        layers = [(n, m) for n, m in self.network.named_modules() if isinstance(m, ELEMENTWISE)]
        hooks = [layer.register_forward_hook(noting(name)) for name, layer in layers]
        self.forward(x, train=False)
        for hook in hooks:
            hook.remove()
        yield from found

    def gradient(self, loss: Tensor) -> None:
        """Write d loss / d θ into the gradient's row."""
        found = torch.autograd.grad(loss, self.leaves, allow_unused=True)
        for into, grad in zip(self.grads, found, strict=True):
            if grad is None:  # the network does not use this parameter
                into.zero_()
            else:
                into.copy_(grad)


class _StreamDropout(nn.Module):
    """Dropout whose masks come from the member's stream, drawn with the batch last."""

    def __init__(self, masks: DropoutMasks) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        mask = self.masks.next(torch.Size((1, *x.shape[1:], len(x))))
        return x * mask[0].movedim(-1, 0)


def _places(network: nn.Module) -> dict[str, list[tuple[nn.Module, str]]]:
    """Every place of a parameter or buffer, by any of its names: a tied one has several."""
    places: dict[int, list[tuple[nn.Module, str]]] = {}
    found: dict[str, list[tuple[nn.Module, str]]] = {}
    for path, module in network.named_modules(remove_duplicate=False):
        for last, value in (*module._parameters.items(), *module._buffers.items()):
            if value is not None:
                here = places.setdefault(id(value), [])
                here.append((module, last))
                found[f"{path}.{last}" if path else last] = here
    return found
