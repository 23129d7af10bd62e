"""Short trainings that every sound network passes: a tiny batch, its inputs, the learning rate.

Slides: "Performance plot", "Learning rate". N rows, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainwell.doctor.finding import Check, Level, Remedy, out_of_time
from trainwell.doctor.lossprobe import correct
from trainwell.doctor.specimen import BATCH, Attempt, Specimen, StepMaker, adam_steps, forward
from trainwell.doctor.tape import weight_layers

SLIDE = "Performance plot"
TINY, MOST_STEPS, LOOK = 20, 500, 10  # rows, steps, steps between two looks
NEARLY = 0.9  # of the tiny batch's rows
PASSED = 0.05  # of the first loss, where targets are no classes
FEWEST = 8  # rows between which inputs are exchanged
ROUNDS, PAIRED_STEPS, SURE = 10, 20, 4.0  # of paired trainings; standard errors
RATES, RUNGS, STEPS = (1e-6, 10.0), 22, 2  # of the range test
FALLS, RISES = 0.02, 1.3  # relative change of the loss that counts
OUTSIDE = 3.0  # times outside of the bracket


def short_trainings(s: Specimen) -> list[Attempt]:
    """F08, F09 and the bracket of R02."""
    return [
        ("F08", "cannot-overfit-tiny-batch", lambda: cannot_overfit(s)),
        ("F09", "ignores-its-input", lambda: ignores_its_input(s)),
        ("R02", "learning-rate-bracket", lambda: learning_rate_bracket(s)),
    ]


def tiny_rows(s: Specimen) -> Tensor:
    """Numbers of up to TINY rows with different inputs."""
    seen: dict[bytes, int] = {}
    for number, row in enumerate(s.x[: 4 * TINY].cpu()):
        seen.setdefault(row.contiguous().numpy().tobytes(), number)
    return torch.tensor(list(seen.values())[:TINY])


def cannot_overfit(s: Specimen) -> Check:
    """A sound network learns 20 rows by heart; where it cannot, something is broken.

    Nothing is dropped. Tried are Adam at 0.001 and 0.01 and the optimizer given, at its rate and a
    fifth of it; at most 500 steps each.
    """
    name = "cannot-overfit-tiny-batch"
    rows = tiny_rows(s)
    x, y = s.x[rows], s.y[rows]
    if len(weight_layers(s.model)) < 2 and not any(
        isinstance(m, nn.RNNBase) for m in s.model.modules()
    ):
        words = "One linear layer need not be able to learn every batch by heart."
        return Check("F08", name, "pass", None, 1.0, words, (), SLIDE)
    best, tried, steps = 0.0, [], 0
    plans: list[tuple[StepMaker, float | None]] = [(adam_steps, 1e-3), (adam_steps, 1e-2)]
    if s.steps is not adam_steps or s.lr is not None:
        plans += [(s.steps, s.lr), (s.steps, None if s.lr is None else s.lr / 5)]
    for make, rate in plans:
        if not s.in_time:
            return out_of_time("F08", name, SLIDE)
        done, steps = _overfit(s, x, y, make, rate)
        best = max(best, done)
        tried.append("its own rate" if rate is None else f"{rate:g}")
        if best >= 1:
            break
        if math.isnan(done):
            return out_of_time("F08", name, SLIDE)
    if best >= 1:
        words = f"{len(x)} rows are learned by heart in {steps} steps."
        return Check("F08", name, "pass", best, 1.0, words, (), SLIDE)
    level: Level = "note" if best >= NEARLY else "fault"
    words = f"With rates {', '.join(tried)} and {MOST_STEPS} steps each only {best:.0%} of "
    words += f"{len(x)} rows are learned by heart."
    if level == "fault":
        words += " That is a bug, not a matter of settings: see the checks above."
    remedy = Remedy("mend what the other checks name; else look at labels, loss and forward()")
    return Check("F08", name, level, best, 1.0, words, (remedy,), SLIDE)


def _overfit(
    s: Specimen, x: Tensor, y: Tensor, make: StepMaker, rate: float | None
) -> tuple[float, int]:
    """Share of rows that are right in the end, and the steps; nan where time ended it."""
    model = s.fresh(dropout=False)
    step = make(model)
    first, share = None, 0.0
    for number in range(1, MOST_STEPS + 1):
        model.zero_grad(set_to_none=True)
        out = forward(model, x, train=len(x) > 1, seed=number)
        loss = s.value(out, y)
        if not loss.requires_grad or not bool(torch.isfinite(loss)):
            return share, number
        torch.autograd.backward(loss)
        step(rate)
        first = float(loss) if first is None else first
        if number % LOOK == 0:
            hit = correct(out.detach(), y, s.nature.wants)
            gone = 1 - float(loss) / first if first else 1.0
            done = float(hit.double().mean()) if hit is not None else 1.0 * (gone > 1 - PASSED)
            share = max(share, done)
            if share >= 1:
                return share, number
        if not s.in_time:
            return math.nan, number
    return share, MOST_STEPS


def ignores_its_input(s: Specimen) -> Check:
    """Outputs that are the same for all rows, and training that is as good on exchanged inputs.

    Pairs of short trainings (same initial weights and targets), with the inputs as they are and
    with inputs exchanged between rows; more of both until the difference is clear.
    """
    name = "ignores-its-input"
    if len(s.x) < FEWEST:
        words = f"Not decided: {len(s.x)} rows are too few to exchange inputs between them."
        return Check("F09", name, "pass", None, 0.0, words, (), SLIDE)
    steps, best = 0, None
    model = s.fresh(dropout=False)
    x = s.probe[0]
    with torch.no_grad():
        other = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(s.seed))]
        before, after = forward(model, x).double(), forward(model, other).double()
    change = float((before - after).norm()) / max(float(before.norm()), 1e-12)
    constant = change < 1e-7 and len(x) > 1
    differences: list[float] = []
    sides = [_Side(s, False), _Side(s, True)]
    remedy = Remedy("look at forward() and at how inputs and labels were joined")
    if not constant or any(p.requires_grad for p in model.parameters()):
        for _ in range(ROUNDS):
            if not s.in_time or not s.affords(2 * PAIRED_STEPS):
                break
            real, exchanged = (side.train(PAIRED_STEPS) for side in sides)
            steps += PAIRED_STEPS
            differences = [e - r for e, r in zip(exchanged, real, strict=True)]
            best = _clear(differences)
            if best is not None and best > 0:
                words = f"After {steps} steps the loss is lower than with inputs exchanged between "
                words += "rows."
                return Check("F09", name, "pass", best, 0.0, words, (), SLIDE)
    if constant and differences:
        with torch.no_grad():
            trained = sides[0].model
            before, after = forward(trained, x).double(), forward(trained, other).double()
        change = float((before - after).norm()) / max(float(before.norm()), 1e-12)
        if change < 1e-7:
            words = f"The outputs are the same for all {len(x)} rows (they differ by {change:.1g}),"
            words += f" before and after {steps} steps: the inputs do not reach them."
            return Check("F09", name, "fault", change, 1e-7, words, (remedy,), SLIDE)
    if not differences:
        return out_of_time("F09", name, SLIDE)
    mean = sum(differences) / len(differences)
    if not math.isfinite(mean):
        words = "The loss is not finite in the first steps: nothing can be compared."
        return Check("F09", name, "note", None, 0.0, words, (remedy,), SLIDE)
    words = f"In {steps} steps the loss was no lower than with inputs exchanged between rows "
    words += f"(difference {mean:.2g}): the inputs say little about the targets, or are not used."
    return Check("F09", name, "note", mean, 0.0, words, (remedy,), SLIDE)


class _Side:
    """A training that goes on when asked, with inputs as they are or exchanged between rows."""

    def __init__(self, s: Specimen, exchanged: bool) -> None:
        self.s, self.model = s, s.fresh(dropout=False)
        self.step = adam_steps(self.model)
        self.rows = s.batches(s.seed)
        order = torch.randperm(len(s.x), generator=torch.Generator().manual_seed(s.seed + 1))
        self.order = order if exchanged else torch.arange(len(s.x))

    def train(self, steps: int) -> list[float]:
        """Losses of so many further steps."""
        losses = []
        for rows, _ in zip(self.rows, range(steps), strict=False):
            self.model.zero_grad(set_to_none=True)
            x = self.s.x[self.order[rows]]
            loss = self.s.value(forward(self.model, x, train=len(rows) > 1), self.s.y[rows])
            if loss.requires_grad:
                torch.autograd.backward(loss)
                self.step(None)
            losses.append(float(loss))
        return losses


def _clear(differences: Sequence[float]) -> float | None:
    """The mean of these differences where it is above their noise, else None."""
    values = torch.tensor(differences, dtype=torch.float64)
    if not bool(torch.isfinite(values).all()):
        return None
    error = float(values.std()) / math.sqrt(len(values))
    mean = float(values.mean())
    return mean if mean > SURE * error else None


def learning_rate_bracket(s: Specimen) -> Check:
    """The rate from which on the loss falls, and that at which it rises: one short climb.

    The rate grows from 1e-6 to 10, three rungs a decade and two steps a rung. A rate falls if the
    loss of a rung lies 2 % below the first, and rises at 1.3 times the lowest.
    """
    name, slide = "learning-rate-bracket", "Learning rate"
    model = s.fresh(dropout=False)
    step = s.steps(model)
    losses, rates = [], []
    rows = s.batches(s.seed, 2 * BATCH)
    for rung in range(RUNGS):
        if not s.in_time:
            return out_of_time("R02", name, slide)
        rate = RATES[0] * (RATES[1] / RATES[0]) ** (rung / (RUNGS - 1))
        seen = []
        for batch, _ in zip(rows, range(STEPS), strict=False):
            model.zero_grad(set_to_none=True)
            loss = s.value(forward(model, s.x[batch], train=len(batch) > 1), s.y[batch])
            seen.append(float(loss))
            if not loss.requires_grad or not math.isfinite(seen[-1]):
                break
            torch.autograd.backward(loss)
            step(rate)
        losses.append(sum(seen) / len(seen))
        rates.append(rate)
        least = min(losses)
        if not math.isfinite(losses[-1]) or losses[-1] > RISES * max(losses[0], 1e-3):
            break
    first = sum(losses[:4]) / len(losses[:4])
    noise = max(FALLS, float(torch.tensor(losses[:8]).std()) / max(abs(first), 1e-12))
    falling = [r for r, v in zip(rates, losses, strict=True) if v < first * (1 - 2 * noise)]
    low = falling[0] if falling else None
    at = losses.index(min(losses))
    high = next(
        (r for r, v in zip(rates[at:], losses[at:], strict=True) if not v <= RISES * least + 0.02),
        None,
    )
    return _bracket(s, low, high)


def _bracket(s: Specimen, low: float | None, high: float | None) -> Check:
    name, slide = "learning-rate-bracket", "Learning rate"
    if low is None:
        words = f"No rate between {RATES[0]:g} and {RATES[1]:g} lowers the loss in a short climb."
        return Check("R02", name, "note", s.lr, None, words, (), slide)
    top = RATES[1] if high is None else high
    words = f"With {s.optimizer} the loss falls from a rate of {low:.1g} on and rises from "
    words += f"{top:.1g} on" if high is not None else f"no rate up to {top:g} on"
    middle = f"{top / 10:.1g}"
    remedy = Remedy("begin with a tenth of the rate at which it rises", (("lr", middle),))
    if s.lr is None:
        return Check("R02", name, "pass", None, high, words + ".", (), slide)
    if s.lr > OUTSIDE * top:
        words += f"; {s.lr:g} is {s.lr / top:.3g} times that."
        return Check("R02", name, "warning", s.lr, top, words, (remedy,), slide)
    if 0 < s.lr < low / (10 * OUTSIDE):
        words += f"; {s.lr:g} is {low / s.lr:.0f} times smaller than the first of them."
        return Check("R03", name, "warning", s.lr, low, words, (remedy,), slide)
    if s.lr < low / OUTSIDE:
        words += f"; {s.lr:g} is low: training will be slow."
        return Check("R03", name, "note", s.lr, low, words, (remedy,), slide)
    words += f"; {s.lr:g} was given."
    return Check("R02", name, "pass", s.lr, top, words, (), slide)
