"""Read-only measurements of a population after an epoch: gradients, updates, activations.

Nothing here changes what training does: with probes on or off the weights have the same bits.
Gradients are those of one batch of training rows, activations those of up to ROWS training rows,
both in eval mode and the same rows in every epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainwell.engine.population import Population
from trainwell.engine.share import Share
from trainwell.engine.stack import view
from trainwell.engine.vmapped import Vmapped

ROWS = 256  # training rows on which activations are measured, at most
SATURATED = 0.98  # of a tanh unit's range; a sigmoid's is taken to the same scale


@dataclass(frozen=True)
class Probe:
    """What was measured in one layer of one member after one epoch; nan where it has no meaning.

    Epoch 0 is before the first step: what the initial weights make of the data.

    Weight layers have the first three numbers and the last two, activation layers the others.
    """

    member: int
    epoch: int  # counted from 1; 0: the initial weights
    layer: str  # its place in the network, for instance "3"
    gradient: float = float("nan")  # norm of the loss's gradient by the layer's weights
    weight: float = float("nan")  # norm of the weights
    update: float = float("nan")  # norm of the epoch's last update over that of the weights
    mean: float = float("nan")  # of the activations
    spread: float = float("nan")  # their standard deviation
    dead: float = float("nan")  # share of units that are zero (ReLU) for every row
    saturated: float = float("nan")  # share of units at the end of their range on 90 % of rows
    zero: float = float("nan")  # share of the gradient's entries that are exactly zero
    magnitude: float = float("nan")  # mean absolute value of the gradient's entries


def measure(population: Population) -> list[Probe]:
    """All probes of all members; `population.before` holds θ before the epoch's last step."""
    found: list[Probe] = []
    for share, rows in zip(population.shares, population.slices, strict=True):
        ids = population.ids[rows]
        found += _weights(population, share, rows, ids)
        found += _activations(population, share, rows, ids)
    return sorted(found, key=lambda p: (p.member, _order(p.layer)))


def _order(layer: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (10**9, part) for part in layer.split(".")]


def _weights(p: Population, share: Share, rows: slice, ids: Sequence[int]) -> list[Probe]:
    """Norms of gradient, weights and last update of every weight."""
    batch = _sampled(p, rows, share.members[0].batch)
    examples = p.examples
    x = examples.inputs.gather(share.folds, batch)
    y = examples.labels[batch].to(p.device)
    logits = share.network.forward(x, train=False)
    share.network.gradient(share.loss(logits, y).sum())  # into rows that the next step overwrites
    before = p.theta if p.before is None else p.before
    found = []
    for slot in share.weight_slots:
        theta, grad = view(p.theta[rows], slot), view(p.grad[rows], slot)
        update = theta - view(before[rows], slot)
        sizes = [t.flatten(1).norm(dim=1).tolist() for t in (grad, theta, update)]
        zero = (grad == 0).flatten(1).float().mean(dim=1).tolist()
        magnitude = grad.abs().flatten(1).mean(dim=1).tolist()
        name = slot.name.rpartition(".")[0]
        for k, member in enumerate(ids):
            gradient, weight, step = (size[k] for size in sizes)
            ratio = step / weight if weight and p.epochs else float("nan")
            found.append(
                Probe(
                    member,
                    p.epochs,
                    name,
                    gradient=gradient,
                    weight=weight,
                    update=ratio,
                    zero=zero[k],
                    magnitude=magnitude[k],
                )
            )
    return found


def _sampled(p: Population, rows: slice, most: int) -> Tensor:
    """Training rows (K, n) of some members, n ≤ most, from all over their samples.

    Samples are in the order of the data, which may be sorted by class.
    """
    sample, mask = p.train_sample
    count = int(mask[rows].sum(dim=1).min())
    return sample[rows, torch.linspace(0, count - 1, min(most, count)).long()]


@torch.no_grad()
def _activations(p: Population, share: Share, rows: slice, ids: Sequence[int]) -> list[Probe]:
    """Mean, spread, dead and saturated units of every activation."""
    if isinstance(share.network, Vmapped):  # vmap shows no values inside
        return []
    x = p.examples.inputs.gather(share.folds, _sampled(p, rows, ROWS))
    found = []
    for name, layer, values in share.network.activations(x):
        units = _units(values, len(ids))  # (K, units, rows)
        mean, spread = units.mean(dim=(1, 2)), units.flatten(1).std(dim=1)
        dead = _dead(layer, units)
        saturated = _saturated(layer, units)
        for k, member in enumerate(ids):
            numbers = (float(v[k]) for v in (mean, spread, dead, saturated))
            blank = (float("nan"),) * 3
            found.append(Probe(member, p.epochs, name, *blank, *numbers))
    return found


def _units(values: Tensor, members: int) -> Tensor:
    """(K, F, B) as it is; maps (B, K·C, H, W) as (K, C, B·H·W): every place is a row."""
    if values.ndim != 4:
        return values.flatten(1, -2)
    batch, channels, height, width = values.shape
    maps = values.reshape(batch, members, channels // members, height * width)
    return maps.permute(1, 2, 0, 3).flatten(2)


def _dead(layer: nn.Module, units: Tensor) -> Tensor:
    """Share of units without any activity; only a ReLU can be that."""
    if not isinstance(layer, nn.ReLU):
        return torch.full((len(units),), float("nan"))
    active = (units != 0).any(dim=2)  # NaN counts as activity: it is another fault
    return 1 - active.float().mean(dim=1)


def _saturated(layer: nn.Module, units: Tensor) -> Tensor:
    """Share of units that are at an end of their range for at least nine rows of ten."""
    if isinstance(layer, nn.Sigmoid):
        units = 2 * units - 1
    elif not isinstance(layer, nn.Tanh):
        return torch.full((len(units),), float("nan"))
    often = (units.abs() > SATURATED).float().mean(dim=2) >= 0.9
    return often.float().mean(dim=1)


def rows_of_csv(probes: Sequence[Probe]) -> Iterator[list[str]]:
    """Header and lines of probes.csv."""
    names = list(Probe.__dataclass_fields__)
    yield names
    for probe in probes:
        values = (getattr(probe, name) for name in names)
        yield [f"{v:.6g}" if isinstance(v, float) and v == v else _text(v) for v in values]


def _text(value: object) -> str:
    return "" if isinstance(value, float) else str(value)
