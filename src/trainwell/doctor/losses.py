"""Losses of a loop that is watched: those of training steps, and those of validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trainwell.doctor.seen import Mark

if TYPE_CHECKING:
    from torch import Tensor, nn

_MOST = 4096  # losses on an accelerator that are kept before they are fetched


class Losses:
    """Sums since the last sample, and a mark per validation.

    On the CPU a loss is a number at once; on an accelerator nothing is fetched before the next
    sampled step, since that would wait for it.
    """

    def __init__(self, model: nn.Module) -> None:
        import torch

        self._model = model
        self._kind, self._records = torch.Tensor, torch.is_grad_enabled
        self._sum, self._good = 0.0, 0
        self._waiting: list[Tensor] = []
        self._batch: list[tuple[Tensor, Tensor]] = []
        self._val: list[tuple[Any, Any, int]] = []  # loss, right rows or None, rows
        self.count = 0  # training losses since the last sample
        self.total = 0  # training losses ever
        self.last = 0.0
        self.rows = 0  # of a batch
        self.classes: int | None = None
        self.outputs: Tensor | None = None  # of the network, in the step whose loss is not finite
        self.marks: list[Mark] = []
        self.trained_in_train = self.trained_in_eval = 0
        self.eval_trains = False  # steps are made of losses in eval mode
        self.pending = False  # losses that may be of training after all
        self.validated_in_train = self.validated_in_eval = 0

    def note(self, args: Any, value: Any, sampled: bool, step: int) -> bool:
        """A loss was computed; returns whether it was one of training."""
        if not isinstance(value, self._kind):
            return False
        training = self._model.training
        if not self._records():
            self._validated(args, value, training)
            return False
        if not (training or self.eval_trains or not self.trained_in_train):
            self.pending = True  # unless a step follows, eval mode means validation
            self._validated(args, value, training)
            return False
        if self._val:
            self.close_validation(step)
        if training:
            self.trained_in_train += 1
        else:
            self.trained_in_eval += 1
        if sampled:
            self._look_at(args)
        if value.is_cpu:
            number = value.item() if value.ndim == 0 else float(value.detach().float().mean())
            self.train(number)
            if number - number != 0:
                self.outputs = args[0].detach() if args and hasattr(args[0], "detach") else None
        else:
            self.count += 1
            self.total += 1
            self._waiting.append(value.detach() if value.ndim == 0 else value.detach().mean())
            if len(self._waiting) >= _MOST:
                self._fetch()
        return True

    def stepped(self) -> None:
        """A step was made of a loss in eval mode: these are of training."""
        self.pending, self.eval_trains = False, True
        self.trained_in_eval += 1
        self._val.pop()

    def train(self, value: float) -> None:
        """A training loss as a number."""
        self.count += 1
        self.total += 1
        self.last = value
        if value - value == 0:  # neither nan nor infinite
            self._sum += value
            self._good += 1

    def _look_at(self, args: Any) -> None:
        """Batch size, classes and accuracy, where the criterion takes logits and class numbers."""
        pair = _pair(args)
        if pair is None:
            return
        logits, target = pair
        self.rows = len(target)
        if _classifies(logits, target):
            self.classes = logits.shape[1]
            self._batch.append((logits.detach(), target))

    def _validated(self, args: Any, value: Tensor, training: bool) -> None:
        if training:
            self.validated_in_train += 1
        else:
            self.validated_in_eval += 1
        pair, right, rows = _pair(args), None, 1
        if pair is not None:
            logits, target = pair
            rows = len(target)
            if _classifies(logits, target):
                right = (logits.argmax(1) == target).sum()
        self._val.append((value.detach().float().mean(), right, rows))

    def close_validation(self, step: int) -> None:
        """Make a mark of the validation losses since the last step of training."""
        seen, self._val, self.pending = self._val, [], False
        if not seen:
            return
        rows = sum(n for _, _, n in seen)
        loss = sum(float(v) * n for v, _, n in seen) / rows
        known = all(r is not None for _, r, _ in seen)
        accuracy = sum(int(r) for _, r, _ in seen) / rows if known else math.nan
        self.marks.append(Mark(step, val_loss=loss, val_accuracy=accuracy, rows=rows))

    def take(self) -> tuple[float, int]:
        """Mean loss since the last call, nan where none was finite, and of how many."""
        self._fetch()
        count, self.count = self.count, 0
        mean = self._sum / self._good if self._good else math.nan
        if count and not math.isfinite(self.last):
            mean = math.nan
        self._sum, self._good = 0.0, 0
        return mean, count

    def _fetch(self) -> None:
        import torch

        if self._waiting:
            values = torch.stack([w.float() for w in self._waiting]).tolist()
            self._waiting.clear()
            self.last = values[-1]
            good = [v for v in values if math.isfinite(v)]
            self._sum += sum(good)
            self._good += len(good)

    def take_accuracy(self) -> tuple[float, int]:
        """Share of right rows in the sampled step's batches, and how many they were."""
        seen, self._batch = self._batch, []
        rows = sum(len(t) for _, t in seen)
        if not rows:
            return math.nan, 0
        return sum(int((a.argmax(1) == t).sum()) for a, t in seen) / rows, rows


def _pair(args: Any) -> tuple[Tensor, Tensor] | None:
    """Outputs and targets, where a criterion was called with both."""
    import torch

    if len(args) < 2 or not all(isinstance(a, torch.Tensor) for a in args[:2]):
        return None
    if args[0].ndim < 1 or args[1].ndim < 1 or not len(args[1]):
        return None
    return args[0], args[1]


def _classifies(logits: Tensor, target: Tensor) -> bool:
    """Whether these are scores (N, C) and class numbers (N,)."""
    return (
        logits.ndim == 2
        and logits.shape[1] > 1
        and target.ndim == 1
        and not target.is_floating_point()
    )
