"""How large a network would be, found without making it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainwell.errors import UserError
from trainwell.memory import available_memory
from trainwell.techniques.models.custom import Custom

if TYPE_CHECKING:
    from torch import nn

    from trainwell.techniques.models import Model

TRAINED = 16  # bytes per trained number: itself, its gradient, and two moments of an optimiser


def blueprint(
    model: Model,
    shape: tuple[int, ...],
    classes: int,
    blocks: tuple[tuple[int, int], ...] = (),
    dropout: float = 0.0,
) -> nn.Module | None:
    """The network without its numbers: shapes only, no memory; None for code of the user's own.

    Arguments are those of the model's `build`.

    >>> from trainwell.techniques.models import Linear
    >>> [tuple(p.shape) for p in blueprint(Linear(), (4,), 3).parameters()]
    [(3, 4), (3,)]
    """
    import torch

    if isinstance(model, Custom):
        return None
    try:
        with torch.device("meta"):
            return model.build(shape, classes, dropout, blocks)
    except NotImplementedError:  # what a layer does in its making needs numbers
        return None


def check_size(
    model: Model,
    shape: tuple[int, ...],
    classes: int,
    blocks: tuple[tuple[int, int], ...] = (),
) -> None:
    """Raise UserError where the network would not fit into the memory there is, before it is made.

    Only the numbers to train are counted, of one network: what is let through may still be slow.
    """
    found = blueprint(model, shape, classes, blocks)
    count = sum(p.numel() for p in found.parameters()) if found is not None else 0
    needed, free = count * TRAINED, available_memory()
    if needed > free:
        problem = f"{model!r} has {count:,} numbers to train, which take {needed / 1e9:.1f} GB of "
        problem += f"memory with gradients and optimiser; {free / 1e9:.1f} GB are free"
        raise UserError("model", problem, "Take fewer or narrower layers.")
