"""K copies of any `nn.Module`, by `torch.func.vmap` over `functional_call`.

The way for networks that have no stacked form. Dropout and batch norm are exchanged for modules
of the same arithmetic that vmap can run: masks come from the members' own streams, and running
statistics are written into the members' rows.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from trainwell.engine.alone import Alone
from trainwell.engine.distributed import Cut
from trainwell.engine.stack import DropoutMasks, exchanged, layout, rows_of, view
from trainwell.errors import UserError


class Vmapped:
    """K networks on rows of given matrices; the same methods as `Stack`."""

    def __init__(
        self,
        network: nn.Module,
        theta: Tensor,
        buffers: Tensor,
        grad: Tensor,
        dropout: Sequence[float],
        cut: Cut | None = None,
    ) -> None:
        """theta and grad (K, P) and buffers (K, Q) are used in place; dropout: rates (K,).

        cut: in training, inputs are this rank's rows of a batch; see `distributed`. Raises
        UserError for a network with batch norm then: vmap cannot wait for other processes.
        """
        if cut is not None and any(isinstance(m, _BatchNorm) for m in network.modules()):
            problem = "networks with batch norm that run by vmap cannot be cut over processes"
            raise UserError("model", problem, "Train in one process, or without batch norm.")
        self.members = len(theta)
        parameters, statistics = layout(network)
        self.leaves = [view(theta, s).detach().requires_grad_() for s in parameters]
        self.grads = [view(grad, s) for s in parameters]
        self.network = exchanged(copy.deepcopy(network), _for_vmap).to(theta.device)
        self.named = {s.name: leaf for s, leaf in zip(parameters, self.leaves, strict=True)}
        self.named |= {s.name: view(buffers, s) for s in statistics}
        self.masks = {
            name: DropoutMasks(name, [rate or layer.p for rate in dropout], theta.device, cut)
            for name, layer in self.network.named_modules()
            if isinstance(layer, _MaskedDropout)
        }
        self.shapes: dict[str, torch.Size] = {}

    def start_epoch(self, seeds: Sequence[int], epoch: int, steps: int, done: int = 0) -> None:
        """Begin the members' random streams of an epoch, of which some steps may be done."""
        for masks in self.masks.values():
            masks.start_epoch(seeds, epoch, steps, done)

    def forward(self, x: Tensor, train: bool) -> Tensor:
        """Logits (K, B, C) of inputs (K, B, ...)."""
        self.network.train(train)
        masks = self._draw(x) if train else {}
        # Random numbers of the module's own would come from one stream for all: refused.
        return vmap(self._one, randomness="error")(self.named | masks, x)

    def _one(self, named: dict[str, Tensor], x: Tensor) -> Tensor:
        logits: Tensor = functional_call(self.network, named, (x,))
        return logits

    def _draw(self, x: Tensor) -> dict[str, Tensor]:
        """The masks of this step, by the name of the buffer that the module reads."""
        if self.masks and not self.shapes:
            self.shapes = self._dropout_shapes(x[0, :2])
        found = {}
        for name, shape in self.shapes.items():  # drawn with the batch last, as in a Stack
            mask = self.masks[name].next(torch.Size((self.members, *shape, x.shape[1])))
            found[f"{name}.mask"] = mask.movedim(-1, 1)
        return found

    def _dropout_shapes(self, x: Tensor) -> dict[str, torch.Size]:
        """Shape of one example where it passes each dropout layer, found by a forward pass."""
        shapes: dict[str, torch.Size] = {}

        def noting(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            return lambda module, given, output: shapes.update({name: output.shape[1:]})

        layers = {name: self.network.get_submodule(name) for name in self.masks}
        hooks = [layer.register_forward_hook(noting(name)) for name, layer in layers.items()]
        self.network.eval()
        with torch.no_grad():
            self._one({n: v[0] for n, v in self.named.items()}, x)
        self.network.train()
        for hook in hooks:
            hook.remove()
        return shapes

    def gradient(self, loss: Tensor) -> None:
        """Write d loss / d θ, loss being the sum over members, into the gradient's rows."""
        found = torch.autograd.grad(loss, self.leaves, allow_unused=True)
        for into, grad in zip(self.grads, found, strict=True):
            if grad is None:  # the network does not use this parameter
                into.zero_()
            else:
                into.copy_(grad)


def can_vmap(network: nn.Module, example: Tensor) -> bool:
    """Whether vmap can run this network on examples such as `example` (...), forward and back.

    torch refuses, among others, random numbers of the module's own and values that steer it. What
    it does not refuse is compared with the module alone: some modules hold their weights in a
    second place, where vmap does not put those of the members. Where it would take the members one
    by one after all, the plain module is quicker.
    """
    stream = torch.Generator().manual_seed(0)
    parameters, statistics = layout(network)
    rows = rows_of(network, parameters).repeat(2, 1)
    rows += 0.1 * torch.randn(rows.shape, generator=stream)
    running = rows_of(network, statistics).repeat(2, 1)
    x = torch.randn((2, 4, *example.shape), generator=stream)
    try:
        return _agree(network, rows, running, x)
    except (RuntimeError, TypeError, ValueError, NotImplementedError, AssertionError, UserWarning):
        return False


def _agree(network: nn.Module, rows: Tensor, running: Tensor, x: Tensor) -> bool:
    """Whether two members give by vmap what each gives alone; raises where vmap cannot."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "There is a performance drop", UserWarning)
        pair = Vmapped(network, rows, running, torch.zeros_like(rows), [0.0, 0.0])
        found = pair.forward(x, train=False)
        for k in range(2):
            one = slice(k, k + 1)
            alone = Alone(network, rows[one], running[one], torch.zeros_like(rows[one]), [0.0])
            if not torch.allclose(found[one], alone.forward(x[one], False), 1e-3, 1e-4, True):
                return False
        pair.start_epoch([0, 1], 0, 1)
        pair.gradient(pair.forward(x, train=True).sum())
    return True


class _MaskedDropout(nn.Module):
    """Dropout whose mask is handed in by name; without one it does nothing."""

    mask: Tensor | None

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.register_buffer("mask", torch.ones(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x if self.mask is None or not self.training else x * self.mask


class _MemberNorm(nn.Module):
    """Batch norm whose running statistics are changed in place, also under vmap."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        assert norm.momentum is not None
        self.weight, self.bias = norm.weight, norm.bias
        self.momentum, self.eps = norm.momentum, norm.eps
        self.register_buffer("running_mean", norm.running_mean)
        self.register_buffer("running_var", norm.running_var)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            mean, var = self.running_mean, self.running_var
            return functional.batch_norm(x, mean, var, self.weight, self.bias, False, 0, self.eps)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        with torch.no_grad():
            var, mean = torch.var_mean(x, axes)
            self.running_mean.mul_(1 - self.momentum).add_(mean, alpha=self.momentum)
            self.running_var.mul_(1 - self.momentum).add_(var, alpha=self.momentum)
        return functional.batch_norm(x, None, None, self.weight, self.bias, True, 0, self.eps)


def _for_vmap(name: str, module: nn.Module) -> nn.Module | None:
    """What stands in for a dropout or batch-norm layer."""
    if isinstance(module, nn.Dropout):
        return _MaskedDropout(module.p)
    if isinstance(module, _BatchNorm) and module.track_running_stats:
        return _MemberNorm(module)
    return None
