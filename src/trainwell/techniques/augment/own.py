"""A transform that somebody else has written: any function of a batch."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge

from trainwell.callstring import check_fields
from trainwell.errors import UserError
from trainwell.techniques.augment.base import Augmentation, Place
from trainwell.techniques.augment.resample import values
from trainwell.techniques.named import check_form, found, place_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Own(Augmentation):
    """Change inputs by a function of your own: any function from a batch to a batch.

    Equation: x' = f(x). `function` is "module:function" for an installed module or one in the
    current folder, or "path/to/file.py:function"; from Python `Own.of(function)` writes the text.
    The function gets a batch as a tensor, pictures (B, C, H, W) in [0, 1], clips (B, T) in [-1, 1],
    or the columns of a table (B, D) in their own units with words as 0 and 1, and returns one of
    the same shape (a tensor or a numpy array); it may change its argument. If it has a parameter
    `strength` it gets a number (0 must change nothing), likewise `rate`, the samples per second of
    clips. Without `strength`, a strength below 1 is the share of examples that are changed. Random
    numbers of torch, numpy and Python are seeded anew for every batch of every member, so that
    equal commands give equal bits; over several devices each draws for its own part of a batch.
    Default strength 1: as the function is written.
    A recipe with Own runs the code that it names, so take such recipes only from people you trust.
    Use it for what changes your inputs but no label; `trainwell augment` says whether that is so.
    Source: slide "Data augmentation" ("there is no standard method to perform data augmentation").

    >>> import torch
    >>> Own("trainwell.techniques.augment.own:example", strength=0)(torch.ones(2, 3))
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """

    function: str = "trainwell.techniques.augment.own:example"
    strength: Annotated[float, Ge(0)] = 1.0
    acts_on: ClassVar[Place] = "inputs"

    def __post_init__(self) -> None:
        check_fields(self)
        check_form(self.function, "Own", "function")

    @classmethod
    def of(cls, function: Callable[..., Any], strength: float = 1.0) -> Own:
        """The augmentation of a function that other processes can import as well.

        >>> Own.of(example)
        Own(function='trainwell.techniques.augment.own:example', strength=1.0)
        """
        return cls(place_of(function, "Own", "function"), strength)

    @property
    def where(self) -> str:
        """What messages call it."""
        return f'augment Own("{self.function}")'

    def found(self) -> Callable[..., Any]:
        """The function itself. Raises UserError where there is none."""
        return found(self.function, self.where, "the changed batch")

    @property
    def takes_strength(self) -> bool:
        """Whether more than strength 1 is more: without, it is the share of examples changed."""
        return "strength" in _parameters(self.found())

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """The seed of the batch (B,), the same for all; and a number in [0, 1) for each example."""
        import torch

        seed = torch.randint(2**31, (1,), generator=generator)
        return seed.expand(shape[0]).clone(), torch.rand(shape[0], generator=generator)

    def apply(
        self,
        x: Tensor,
        drawn: tuple[Tensor, ...],
        strength: float | Tensor = 1.0,
        rate: int = 16_000,
    ) -> Tensor:
        """The changed inputs; see Augmentation. Batches of several members are kept apart."""
        import torch

        seeds, chances = drawn
        x, function = values(x), self.found()
        takes = _parameters(function)
        amount = torch.as_tensor(strength, device=x.device, dtype=torch.float32) * self.strength
        amount = amount.expand(len(x))
        extra = {"rate": rate} if "rate" in takes else {}
        made, start = x.clone(), 0
        for seed, count in zip(*_runs(seeds), strict=True):
            batch = slice(start, start + count)
            start += count
            if "strength" not in takes:
                changed = self._called(function, x[batch], seed, extra)
                chosen = (chances[batch] < amount[batch]).view(-1, *[1] * (x.dim() - 1))
                made[batch] = torch.where(chosen, changed, x[batch])
                continue
            for one in torch.unique(amount[batch]).tolist():
                if one:
                    mine = (amount[batch] == one).nonzero()[:, 0] + batch.start
                    told = extra | {"strength": one}
                    made[mine] = self._called(function, x[mine], seed, told)
        return made

    def _called(
        self, function: Callable[..., Any], x: Tensor, seed: int, extra: dict[str, Any]
    ) -> Tensor:
        """What the function makes of a batch, checked."""
        import torch

        try:
            with seeded(seed):
                made = torch.as_tensor(function(x.clone(), **extra))
        except Exception as error:
            problem = (
                f"a batch of shape {tuple(x.shape)} raised {type(error).__name__}: "
                f"{str(error) or 'no words'}"
            )
            todo = "The function must take a batch of inputs and return the changed batch."
            raise UserError(self.where, problem, todo) from error
        made = made.to(x.device, x.dtype)
        if made.shape != x.shape:
            problem = f"gives shape {tuple(made.shape)} for a batch of shape {tuple(x.shape)}"
            raise UserError(self.where, problem, "Return a batch of the same shape.")
        if not (made.isfinite() | ~x.isfinite()).all():
            problem = "gives values that are not finite"
            raise UserError(self.where, problem, "Return finite numbers.")
        return made.detach()


def example(x: Tensor, strength: float = 1.0) -> Tensor:
    """A little Gaussian noise: the smallest transform there is."""
    import torch

    return x + 0.05 * strength * torch.randn_like(x)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch, numpy and Python begin at a seed, and go on undisturbed later."""
    import numpy as np
    import torch

    plain, old = random.getstate(), np.random.get_state()  # noqa: NPY002 (others' code uses it)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(old)  # noqa: NPY002


def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # written in C
        return frozenset()


def _runs(seeds: Tensor) -> tuple[list[int], list[int]]:
    """Seeds of the members' batches and their sizes."""
    import torch

    each, counts = torch.unique_consecutive(seeds, return_counts=True)
    return each.tolist(), counts.tolist()
