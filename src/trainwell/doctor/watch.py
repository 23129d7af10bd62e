"""Watch a training loop of PyTorch that somebody else wrote, and say what goes wrong in it.

    with tw.watch(model, optimizer, loss) as watch:
        ...  # the loop as it is
    print(watch.report())

Nothing in the loop changes: the weights have the same bits with and without it, and no random
number is drawn. A few steps are sampled, the more seldom the longer it runs: measured were 4 % of a
training of half a second with steps of 0.3 ms, and nothing that could be told from noise in one of
some seconds (benchmarks/doctor/overhead.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from trainwell.doctor.evidence import Evidence
from trainwell.doctor.finding import Check
from trainwell.doctor.loop_checks import Facts, loop_checks, not_finite, setup_of_loop
from trainwell.doctor.losses import Losses
from trainwell.doctor.pace import Pace, own_time
from trainwell.doctor.seen import Mark, Sample, evidence_of
from trainwell.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from trainwell.doctor.diagnose import Diagnosis

_LINES = 5  # said while it runs, at most
_CHECKED = (4, 10)  # after so many samples the loop itself is looked at while it runs


def watch(
    model: nn.Module,
    optimizer: Optimizer | Sequence[Optimizer],
    loss: Callable[..., Any] | None = None,
    *,
    every: int | None = None,
    classes: int | None = None,
    say: Callable[[str], None] | None = print,
) -> Watch:
    """Watch a loop that trains `model` with `optimizer`, as a context manager.

    loss: the criterion. A module is watched where it is called; of a plain function call
    `watch.loss` in its place, or hand numbers to `watch.record`. every: sample every so many
    steps; None: as often as costs little. classes: their number, if the loss does not show it.
    say: what tells a new problem at once (a few lines at most); None: nothing is said.

    Losses of a criterion that is called under `torch.no_grad()` or after `model.eval()` are taken
    as validation. Say `watch.validation(loss, accuracy)` where that is not so.
    """
    return Watch(model, optimizer, loss, every=every, classes=classes, say=say)


class Watch:
    """What `watch` hands back: hooks while it is open, evidence and a diagnosis at any time.

    trouble: what stopped the watching, if its own code failed; the training goes on without it.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        loss: Callable[..., Any] | None = None,
        *,
        every: int | None = None,
        classes: int | None = None,
        say: Callable[[str], None] | None = print,
    ) -> None:
        from torch import nn, optim

        from trainwell.doctor.live import Live
        from trainwell.doctor.sampling import Hooks

        given: list[Any] = [*optimizer] if isinstance(optimizer, Sequence) else [optimizer]
        self._optimizers: list[Optimizer] = given
        fine = given and all(isinstance(o, optim.Optimizer) for o in given)
        if not isinstance(model, nn.Module) or not fine:
            problem = "expected a model and an optimizer of PyTorch, got "
            problem += f"{type(model).__name__} and {type(optimizer).__name__}"
            raise UserError("watch", problem, "Call it as watch(model, optimizer, loss).")
        if loss is not None and not callable(loss):
            problem = f"expected a loss that can be called, got {type(loss).__name__}"
            raise UserError("watch", problem, "Hand over the criterion, not its value.")
        if every is not None and every < 1:
            raise UserError("watch", f"every must be at least 1, got {every}", "Leave it out.")
        self.trouble: Exception | None = None
        self._model, self._loss, self._say = model, loss, say
        self._hooks = Hooks()
        self._live = Live(model, self._optimizers, self._before_step, self._backward)
        self._pace = Pace(every)
        self._losses = Losses(model)
        self._facts = Facts()
        self._classes = classes
        self._steps = 0
        self._samples: list[Sample] = []
        self._marks: list[Mark] = []
        self._said: set[str] = set()
        self._broken: Check | None = None
        self._closed = True

    # Opening and closing

    def __enter__(self) -> Self:
        """Put the hooks in place."""
        from torch import nn

        if isinstance(self._loss, nn.Module):
            self._hooks.add(self._loss.register_forward_hook(self._on_loss))
        for optimizer in self._optimizers[:-1]:
            self._hooks.add(optimizer.register_step_post_hook(self._after_part))
        self._hooks.add(self._optimizers[-1].register_step_post_hook(self._after))
        self._closed = False
        self._pace.begin()
        self._guarded(self._arm)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove every hook, whatever ended the loop; say what is new."""
        self.close()

    def close(self) -> None:
        """Remove every hook; said once more what the loop did wrong."""
        self._hooks.remove()
        self._live.disarm()
        if not self._closed:
            self._closed = True
            self._guarded(self._end)

    def _end(self) -> None:
        self._close_validation()
        if self._losses.count and self._samples:  # the steps since the last sample
            loss, count = self._losses.take()
            last = self._samples[-1]
            if last.step == self._steps:
                loss = (loss * count + (last.loss if last.losses else 0.0) * last.losses) / (
                    count + last.losses
                )
                count += last.losses
                self._samples.pop()
            # Layers as they were measured last: the end is not far from it.
            tail = replace(last, step=self._steps, loss=loss, losses=count, lr=self._rate())
            self._samples.append(tail)
        self._tell(self._checks())

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run own code; where it fails, stop watching and let the training go on."""
        try:
            work()
        except Exception as error:  # whatever it is, it must not end somebody's training
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.trouble = error
        self._hooks.remove()
        self._live.disarm()
        if self._say is not None:
            self._say(f"watch has stopped ({type(error).__name__}: {error}); training goes on")

    # What the user may call

    @property
    def samples(self) -> Sequence[Sample]:
        """The sampled steps so far."""
        return tuple(self._samples)

    @property
    def loss(self) -> Callable[..., Any]:
        """The loss to call in the loop: the module itself, or a function that also notes values."""
        from torch import nn

        if self._loss is None:
            todo = "Hand it to watch(model, optimizer, loss), or use watch.record(loss)."
            raise UserError("watch.loss", "no loss was given", todo)
        if isinstance(self._loss, nn.Module):
            return self._loss
        return self._noted

    def _noted(self, *args: Any, **settings: Any) -> Any:
        assert self._loss is not None
        value = self._loss(*args, **settings)
        self._on_loss(None, args, value)
        return value

    def record(self, value: Tensor | float) -> None:
        """Note the training loss of a step, where no criterion is watched."""
        self._losses.train(_as_number(value))
        if not math.isfinite(self._losses.last):
            self._guarded(self._not_finite)

    def validation(self, loss: float = math.nan, accuracy: float = math.nan) -> None:
        """Note scores on held-out rows, after any number of steps."""
        self._mark(Mark(self._steps, val_loss=_as_number(loss), val_accuracy=_as_number(accuracy)))

    def epoch(
        self,
        val_loss: float = math.nan,
        val_accuracy: float = math.nan,
        train_loss: float = math.nan,
        train_accuracy: float = math.nan,
    ) -> None:
        """Note the end of an epoch, with what was scored in it."""
        mark = Mark(
            self._steps,
            _as_number(train_loss),
            _as_number(train_accuracy),
            _as_number(val_loss),
            _as_number(val_accuracy),
            epoch=True,
        )
        self._mark(mark)

    def evidence(self) -> Evidence:
        """All that was seen, for rules to look at: a point per mark, or per sampled step."""
        marks = self._marks or self._losses.marks
        losses = self._losses
        diverged = self._broken is not None and not math.isfinite(losses.last)
        return evidence_of(
            self._samples,
            [m for m in marks if m.step],
            setup_of_loop(self._model, self._optimizers, losses.rows),
            self._checks(),
            self._classes or losses.classes,
            diverged,
        )

    def report(self) -> Diagnosis:
        """The diagnosis of what was seen so far; while it is open, of a training that goes on."""
        from trainwell.doctor.diagnose import diagnose
        from trainwell.doctor.thresholds import THRESHOLDS

        return diagnose(self.evidence(), THRESHOLDS, ended=self._closed)

    # Losses

    def _on_loss(self, module: object, args: Any, value: Any) -> None:
        try:
            trained = self._losses.note(args, value, self._live.armed, self._steps)
        except Exception as error:  # as in `_guarded`, which would cost a call at each step
            self._give_up(error)
            return
        if trained and self._broken is None and not math.isfinite(self._losses.last):
            self._guarded(self._not_finite)

    def _close_validation(self) -> None:
        self._losses.close_validation(self._steps)

    def _mark(self, mark: Mark) -> None:
        self._close_validation()
        self._marks.append(mark)

    def _not_finite(self) -> None:
        """The loss is nan or infinite: say so at once, with the first layer."""
        from trainwell.doctor.sampling import first_not_finite

        if self._broken is not None:
            return
        weights = first_not_finite(self._model, gradients=False)
        layer = None if weights else self._live.first_broken()
        self._broken = not_finite(self._steps + 1, "loss", weights, layer, self._losses.outputs)
        self._tell([self._broken])

    # Steps

    def _arm(self) -> None:
        start = own_time()
        self._facts.zeroed = None
        self._live.arm()
        self._pace.spent(start)

    def _backward(self, zeroed: bool) -> None:
        """The first backward pass of a sampled step, and whether gradients were zero before it."""
        if self._facts.zeroed is None:
            self._facts.zeroed = zeroed

    def _before_step(self, optimizer: Optimizer, args: Any, settings: Any) -> None:
        start = own_time()
        self._guarded(lambda: self._live.before(optimizer, _has_closure(args, settings)))
        self._pace.spent(start)

    def _after_part(self, optimizer: Optimizer, args: Any, settings: Any) -> None:
        """A step of an optimizer that is not the last of several."""
        if self._live.armed:
            self._guarded(lambda: self._live.after(optimizer, _has_closure(args, settings)))

    def _after(self, optimizer: Optimizer, args: Any, settings: Any) -> None:
        """After each step: count it; finish a sample, or put hooks in place for the next."""
        self._steps += 1
        if self._losses.pending:
            self._losses.stepped()
        if self._live.armed:
            start = own_time()
            self._guarded(lambda: self._live.after(optimizer, _has_closure(args, settings)))
            self._guarded(self._finish)
            self._pace.spent(start)
            self._pace.plan(self._steps, len(self._samples))
            self._guarded(self._speak)
        if self._steps + 1 >= self._pace.next_step and self.trouble is None:
            self._pace.arrived()
            self._guarded(self._arm)

    def _finish(self) -> None:
        """Turn what was seen of this step into numbers."""
        weights, units = self._live.weights(), self._live.units()
        accuracy, rows = self._losses.take_accuracy()
        loss, count = self._losses.take()
        self._samples.append(
            Sample(self._steps, loss, count, self._rate(), accuracy, rows, weights, units)
        )
        self._facts.note(self._samples[-1], self._model, self._live.called())
        self._pace.spent_seconds(self._live.seconds())
        bad = next((n for n, w in weights.items() if not math.isfinite(w.gradient)), None)
        if not math.isfinite(self._losses.last):
            self._not_finite()
        elif bad and self._broken is None:
            self._broken = not_finite(self._steps, "gradient", bad, None, None)
            self._tell([self._broken])
        self._live.disarm()

    # Speaking

    def _rate(self) -> float:
        return float(self._optimizers[0].param_groups[0]["lr"])

    def _checks(self) -> tuple[Check, ...]:
        found = loop_checks(self._facts, self._samples, self._losses, self._model, self._optimizers)
        return (*((self._broken,) if self._broken else ()), *found)

    def _speak(self) -> None:
        """Say what is new: of the loop early on, of the training now and then."""
        if self._say is None:
            return
        if len(self._samples) in _CHECKED:
            self._tell(self._checks())
        if self._pace.may_diagnose():
            from trainwell.doctor.urgent import urgent

            start = time.perf_counter()
            found = urgent(self.evidence())
            self._pace.diagnosed(start)
            for finding in found:
                self._line(finding.name, f"{finding.code} {finding.name}: {finding.words}")

    def _tell(self, checks: Sequence[Check]) -> None:
        for check in checks:
            if check.level in ("fault", "warning"):
                self._line(check.name, f"{check.code} {check.name}: {check.words}")

    def _line(self, name: str, text: str) -> None:
        if self._say is not None and name not in self._said and len(self._said) < _LINES:
            self._said.add(name)
            self._say(f"watch, step {self._steps}: {text}")


def _as_number(value: Tensor | float) -> float:
    """A score as a number; one that has a gradient is let go of it."""
    detach = getattr(value, "detach", None)
    return float(detach() if detach is not None else value)


def _has_closure(args: Sequence[Any], settings: dict[str, Any]) -> bool:
    return settings.get("closure") is not None or (len(args) > 1 and args[1] is not None)
