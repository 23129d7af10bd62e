"""Adagrad against SGD where some features are rare: words that occur once in hundreds of rows.

Every row has one word of a vocabulary, with frequencies ∝ 1 / rank, and noise features; the word
decides the class. One pass over the rows, softmax regression, each rule with its best rate on
validation rows; recognised is judged on the rarest half of the words that occurred in training.
Shapes: V words, n rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwell.claims.rules import Measured
from trainwell.claims.trials import Setup
from trainwell.seeding import stream_seed
from trainwell.techniques.optim.first_order import Adagrad, Adam, RmsProp, Sgd

Floats = npt.NDArray[np.float64]
WORDS, CLASSES, BATCH, WRONG = 400, 5, 16, 0.2
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def run(setup: Setup) -> Measured:
    """Accuracy on rare and on frequent words with each rule."""
    size = setup.size
    accuracy: dict[str, list[float]] = {}
    for r in range(size.repetitions):
        stream = torch.Generator().manual_seed(stream_seed(setup.seed, "words", r) % 2**31)
        truth = torch.randint(CLASSES, (WORDS,), generator=stream)
        train, choosing = (drawn(n, truth, stream) for n in (size.rows, size.validation))
        times = torch.bincount(train[0], minlength=WORDS)
        order = times.argsort(descending=True)
        order = order[times[order] > 0]
        half = len(order) // 2
        for name in ("SGD", "Adagrad", "RMSprop", "Adam"):
            fits = [fitted(name, rate, *train) for rate in RATES]
            # The classes of new rows are as often wrong as those of training rows.
            won = max(
                fits, key=lambda w: float(said(w, choosing[0]).eq(choosing[1]).float().mean())
            )
            hits = said(won, order).eq(truth[order]).double()
            accuracy.setdefault(f"{name}, rare", []).append(float(hits[half:].mean()))
            accuracy.setdefault(f"{name}, frequent", []).append(float(hits[:half].mean()))
    return Measured({"accuracy": {name: np.array(v) for name, v in accuracy.items()}})


def drawn(rows: int, truth: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Words (n,) and classes (n,), a share of which is wrong."""
    chance = 1 / torch.arange(1, WORDS + 1).float()
    words = torch.multinomial(chance, rows, replacement=True, generator=stream)
    noise = torch.randint(CLASSES, (rows,), generator=stream)
    wrong = torch.rand(rows, generator=stream) < WRONG
    return words, torch.where(wrong, noise, truth[words])


def fitted(name: str, rate: float, words: Tensor, labels: Tensor) -> Tensor:
    """Weights (V + 1, C) after one pass; the last row is the bias."""
    w = torch.zeros(1, (WORDS + 1) * CLASSES)
    state = [torch.zeros_like(w), torch.zeros_like(w)]
    step = _rule(name, torch.full((1, 1), rate), torch.ones(w.shape[1]))
    for t in range(len(words) // BATCH):
        some, y = words[t * BATCH : (t + 1) * BATCH], labels[t * BATCH : (t + 1) * BATCH]
        table = w.reshape(WORDS + 1, CLASSES)
        error = (table[some] + table[WORDS]).softmax(dim=1)
        error[torch.arange(len(y)), y] -= 1.0
        g = torch.zeros_like(table)
        g.index_add_(0, some, error / len(y))
        g[WORDS] = error.mean(dim=0)
        step(w, g.reshape(1, -1), state, t)
    return w.reshape(WORDS + 1, CLASSES)


def said(w: Tensor, words: Tensor) -> Tensor:
    """The class (n,) that is said for words (n,)."""
    return (w[words] + w[WORDS]).argmax(dim=1)


def _rule(
    name: str, rate: Tensor, one: Tensor
) -> Callable[[Tensor, Tensor, list[Tensor], int], None]:
    if name == "Adagrad":
        return lambda w, g, s, t: Adagrad.update(w, g, (s[0],), rate, t, one, eps=1e-10)
    if name == "RMSprop":
        return lambda w, g, s, t: RmsProp.update(w, g, (s[0],), rate, t, one, decay=0.9, eps=1e-8)
    if name == "Adam":
        return lambda w, g, s, t: Adam.update(
            w, g, (s[0], s[1]), rate, t, one, beta1=0.9, beta2=0.999, eps=1e-8
        )
    return lambda w, g, s, t: Sgd.update(w, g, (), rate, t, one)
