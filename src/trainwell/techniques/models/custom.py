"""A network that somebody else has written: any `nn.Module` of any file or package."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainwell.callstring import check_fields
from trainwell.errors import UserError
from trainwell.techniques.named import check_form, found, place_of

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Custom:
    """A network of your own: a function that returns an `nn.Module`, by the name of its place.

    `factory` is "module:function" for an installed module or one in the current folder, or
    "path/to/file.py:function". The function takes the shape of one example (without the batch) and
    the number of classes, also `dropout` if it has a parameter of that name, and returns a module
    that maps (B, *shape) float32 to logits (B, classes). A class works as well. From Python
    `Custom.of(function)` writes the text.
    What the engine does with it: weights (parameters of two or more dimensions) are drawn anew by
    the recipe's `init`, biases begin at zero, other parameters as built; what does not require a
    gradient stays as built. A module with a method `initial_values(generator)`, which gives tensors
    by parameter name, starts with those. Dropout of the recipe sets the rate of every
    `nn.Dropout`; without it their own counts. Without random numbers of its own such a network
    trains many members at once, by vmap or, if it is a plain `nn.Sequential`, stacked.
    A recipe with Custom runs the code that it names, so take such recipes only from people you
    trust; a saved model with Custom is not opened unless asked with trust=True.
    Shapes: (B, *shape), result (B, classes). Source: slide "Ensemble" ("several networks with
    different architecture").

    >>> import torch
    >>> Custom("trainwell.techniques.models.custom:example").build((4,), 3, dropout=0.0)
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=4, out_features=3, bias=True)
    )
    """

    factory: str = "trainwell.techniques.models.custom:example"

    def __post_init__(self) -> None:
        check_fields(self)
        check_form(self.factory, "Custom", "factory")

    @classmethod
    def of(cls, factory: Callable[..., Any]) -> Custom:
        """The model of a function or class that other processes can import as well.

        A function of the script that runs is named by the script's file, which is read again then:
        what the script does should stand under `if __name__ == "__main__":`.

        >>> Custom.of(example)
        Custom(factory='trainwell.techniques.models.custom:example')
        """
        return cls(place_of(factory, "Custom", "factory"))

    def build(
        self,
        shape: tuple[int, ...],
        classes: int,
        dropout: float,
        blocks: tuple[tuple[int, int], ...] = (),
    ) -> nn.Module:
        """The function's network for examples of `shape`, checked by running it.

        Raises UserError that says what is wrong with the place, the function or the network.
        """
        from torch import nn

        function = found(self.factory, _where(self.factory), "the network")
        try:
            takes = inspect.signature(function).parameters
            extra = {"dropout": dropout} if "dropout" in takes else {}
            network = function(shape, classes, **extra)
        except Exception as error:
            problem = f"called with {shape}, {classes} it raised {type(error).__name__}: {error}"
            todo = "It must take the shape of one example and the number of classes."
            raise _mistake(self.factory, problem, todo) from error
        if not isinstance(network, nn.Module):
            problem = f"returned {type(network).__name__}, not an nn.Module"
            raise _mistake(self.factory, problem, "Return the network itself.")
        _check(self.factory, network, shape, classes)
        return network


def example(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A linear classifier: the smallest factory there is."""
    import math

    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def _mistake(factory: str, problem: str, todo: str) -> UserError:
    return UserError(_where(factory), problem, todo)


def _where(factory: str) -> str:
    return f'model Custom("{factory}")'


# --- what a network must be like ---------------------------------------------------------------


def _check(factory: str, network: nn.Module, shape: tuple[int, ...], classes: int) -> None:
    """Raise UserError where the engine could not train this network, or would train it wrongly."""
    import torch

    def refuse(problem: str, todo: str) -> UserError:
        return _mistake(factory, problem, todo)

    zeros = torch.zeros((2, *shape))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            first, again = (network.eval()(zeros) for _ in range(2))
    except Exception as error:
        problem = f"a batch of shape {(2, *shape)} raised {type(error).__name__}: {error}"
        raise refuse(problem, "The network must fit the shape it is built for.") from error
    found = tuple(first.shape) if isinstance(first, torch.Tensor) else type(first).__name__
    if found != (2, classes):
        problem = f"gives {found} for a batch of 2, expected {(2, classes)}"
        raise refuse(problem, "Return one number (logit) per example and class.")
    if not torch.equal(first.nan_to_num(), again.nan_to_num()):
        problem = "gives other numbers for the same input when it does not train"
        raise refuse(problem, "Draw random numbers only where self.training is true.")
    tensors = [*network.named_parameters(), *network.named_buffers()]
    wrong = [
        n
        for n, t in tensors
        if (t.is_floating_point() or t.is_complex()) and t.dtype != torch.float32
    ]
    if wrong:
        raise refuse(f'"{wrong[0]}" is not float32', "Build the network in float32.")
    if not any(p.requires_grad for p in network.parameters()):
        raise refuse("nothing in it can be trained", "Give it parameters that require a gradient.")
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.momentum is None:
            raise refuse(f'batch norm "{name}" has momentum None', "Give it a number, as 0.1.")
    _check_training(network, zeros, refuse)
    network.train()


def _check_training(
    network: nn.Module, zeros: Tensor, refuse: Callable[[str, str], UserError]
) -> None:
    """One forward pass in training mode, on a copy."""
    import torch

    try:
        trained = copy.deepcopy(network).train()
    except Exception as error:
        problem = f"cannot be copied: {type(error).__name__}: {error}"
        raise refuse(problem, "Keep tensors as parameters or buffers.") from error
    calls: dict[str, int] = {}
    for name, module in trained.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_pre_hook(
                lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1})
            )
    before = dict(trained.named_buffers())
    kept = {n for n in trained.state_dict() if n in before and before[n].is_floating_point()}
    lost = {n: before[n].clone() for n in before if n not in kept}
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            logits = trained(torch.randn(zeros.shape))
    except Exception as error:
        problem = f"in training it raised {type(error).__name__}: {error}"
        raise refuse(problem, "The network must take a batch of two.") from error
    if not (isinstance(logits, torch.Tensor) and logits.requires_grad):
        raise refuse("no gradient reaches its output", "Do not detach the result.")
    often = [name for name, count in calls.items() if count > 1]
    if often:
        problem = f'dropout layer "{often[0]}" is used more than once in a pass'
        raise refuse(problem, "Make an nn.Dropout for each place.")
    for name, buffer in trained.named_buffers():
        if name.endswith("num_batches_tracked"):
            continue
        if buffer is not before.get(name):
            raise refuse(f'buffer "{name}" is replaced in training', "Change it in place: copy_().")
        if name in lost and not torch.equal(buffer, lost[name]):
            problem = f'buffer "{name}" changes in training and would be lost'
            raise refuse(problem, "Keep it as a persistent buffer in float32.")
