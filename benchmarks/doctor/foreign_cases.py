"""Loops and networks that are not ours: mistakes of plain PyTorch, and healthy loops without them.

Each loop is written as people write them. A run is one training; its evidence comes from watching
the loop, its checks from looking at network, loss and some rows before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.doctor.data import Draw, Material, draw
from trainwell.seeding import stream_seed

SEEDS = 8

DIGITS = Material("digits", 900, 3, 600)
LETTER = Material("letter", 1600, 4, 2000)
SATELLITE = Material("satellite", 1500, 5, 2000)
CANCER = Material("breast_cancer", 400, 4, 169)


@dataclass(frozen=True)
class Loop:
    """A training in plain PyTorch: what it trains on, and every choice that may be wrong.

    codes: right answers; empty: healthy. parameters: which weights the optimiser is given. step:
    what happens between loss and update.
    """

    name: str
    material: Material
    build: Callable[[int, int], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    lr: float
    epochs: int = 20
    batch: int = 32
    codes: tuple[str, ...] = ()
    twin: str = ""
    parameters: Callable[[nn.Module], list[nn.Parameter]] = lambda m: list(m.parameters())
    zero: bool = True  # gradients are cleared before each step
    sign: float = 1.0
    momentum: float = 0.9
    scale: float = 1.0  # inputs are standardised, then multiplied
    shuffled: bool = False  # labels are joined to the wrong rows

    @property
    def faulty(self) -> bool:
        """Whether a mistake was made."""
        return bool(self.codes)


# ------------------------------------------------------------------ networks


def mlp(inputs: int, classes: int) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, classes)
    )


def normed(inputs: int, classes: int) -> nn.Module:
    """Two hidden layers with batch norm."""
    return nn.Sequential(
        nn.Linear(inputs, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def tanh(inputs: int, classes: int) -> nn.Module:
    """One hidden layer of tanh units."""
    return nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, classes))


def log_softmax(inputs: int, classes: int) -> nn.Module:
    """As `mlp`, with log probabilities for NLLLoss."""
    return nn.Sequential(mlp(inputs, classes), nn.LogSoftmax(dim=1))


def convolution(inputs: int, classes: int) -> nn.Module:
    """Pictures of 8 × 8 pixels, given as rows."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24 * 16, classes),
    )


def one_unit(inputs: int, classes: int) -> nn.Module:
    """A single logit for two classes."""
    return nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))


def ending(build: Callable[[int, int], nn.Module], last: Callable[[], nn.Module]) -> Callable:  # type: ignore[type-arg]
    """The network with one more layer at its end."""
    return lambda inputs, classes: nn.Sequential(build(inputs, classes), last())


def linear_only(inputs: int, classes: int) -> nn.Module:
    """Hidden layers without any non-linearity."""
    return nn.Sequential(nn.Linear(inputs, 64), nn.Linear(64, 64), nn.Linear(64, classes))


class Mixed(nn.Module):
    """Reads the batch along the wrong axis: numbers of different rows land in one row."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to logits."""
        found: Tensor = self.network(x.t().reshape(x.shape))  # meant: x.reshape(len(x), -1)
        return found


class Detached(nn.Module):
    """A part of the network whose result is cut off from its gradient."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to logits."""
        found: Tensor = self.head(self.body(x).detach())
        return found


def small(inputs: int, classes: int) -> nn.Module:
    """What `Detached` would be without its mistake."""
    return nn.Sequential(
        nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, classes)
    )


def zeroed(inputs: int, classes: int) -> nn.Module:
    """All weights begin at zero."""
    network = mlp(inputs, classes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return network


def dropped(inputs: int, classes: int) -> nn.Module:
    """Dropout of the outputs."""
    return nn.Sequential(mlp(inputs, classes), nn.Dropout(0.7))


# ------------------------------------------------------------------ losses


def binary(outputs: Tensor, labels: Tensor) -> Tensor:
    """One logit against labels 0 and 1."""
    return functional.binary_cross_entropy_with_logits(outputs, labels.float())


CE, NLL = nn.CrossEntropyLoss(), nn.NLLLoss()
SUMMED = nn.CrossEntropyLoss(reduction="sum")


def _last_only(network: nn.Module) -> list[nn.Parameter]:
    """Only the last layer's weights: the others are forgotten."""
    return list(network.parameters())[-2:]


def _first_only(network: nn.Module) -> list[nn.Parameter]:
    """Only the first layer's weights."""
    return list(network.parameters())[:2]


def loops() -> tuple[Loop, ...]:
    """Healthy loops, then those with one mistake each."""
    digits = Loop("plain.digits", DIGITS, mlp, CE, 0.05)
    letter = Loop("plain.letter", LETTER, mlp, CE, 0.1, 30)
    norm = Loop("norm.letter", LETTER, normed, CE, 0.1, 25)
    satellite = Loop("plain.satellite", SATELLITE, mlp, CE, 0.03)
    tanhs = Loop("tanh.satellite", SATELLITE, tanh, CE, 0.05)
    log = Loop("log.digits", DIGITS, log_softmax, NLL, 0.05)
    conv = Loop("conv.digits", DIGITS, convolution, CE, 0.03, 15)
    one = Loop("one.cancer", CANCER, one_unit, binary, 0.03)
    narrow = Loop("narrow.letter", LETTER, small, CE, 0.05, 30)
    healthy = (digits, letter, norm, satellite, tanhs, log, conv, one, narrow)

    def wrong(base: Loop, name: str, codes: str, **changes: object) -> Loop:
        place = base.name.partition(".")[2] if base is not norm else "norm"
        found = replace(base, name=f"{name}.{place}", codes=tuple(codes.split()), twin=base.name)
        return replace(found, **changes)  # type: ignore[arg-type]

    softmax = ending(mlp, lambda: nn.Softmax(dim=1))
    rectified = ending(mlp, nn.ReLU)
    faulty = (
        wrong(digits, "softmax-twice", "N03", build=softmax),
        wrong(letter, "softmax-twice", "N03", build=softmax),
        wrong(satellite, "softmax-twice", "N03", build=softmax),
        wrong(letter, "relu-on-logits", "N04", build=rectified),
        wrong(satellite, "relu-on-logits", "N04", build=rectified),
        wrong(letter, "no-nonlinearity", "N05 F02", build=linear_only),
        wrong(digits, "no-nonlinearity", "N05 F02", build=linear_only),
        wrong(digits, "mixed-samples", "N09", build=lambda i, c: Mixed(mlp(i, c))),
        wrong(letter, "mixed-samples", "N09", build=lambda i, c: Mixed(mlp(i, c))),
        wrong(narrow, "frozen", "N12", parameters=_last_only),
        wrong(digits, "frozen-last", "N12", parameters=_first_only),
        wrong(letter, "frozen-last", "N12", parameters=_first_only),
        wrong(narrow, "detached", "N12", build=Detached),
        wrong(digits, "no-zero-grad", "N12 R02", zero=False),
        wrong(letter, "no-zero-grad", "N12 R02", zero=False),
        wrong(norm, "no-zero-grad", "N12 R02", zero=False),
        wrong(digits, "wrong-sign", "N13", sign=-1.0),
        wrong(satellite, "wrong-sign", "N13", sign=-1.0),
        wrong(conv, "wrong-sign-conv", "N13", sign=-1.0),
        wrong(satellite, "summed-loss", "N10 R02 R01", loss=SUMMED),
        wrong(letter, "summed-loss", "N10 R02 R01", loss=SUMMED),
        wrong(digits, "nll-on-logits", "N01", loss=NLL),
        wrong(satellite, "nll-on-logits", "N01", loss=NLL),
        wrong(digits, "zero-weights", "I01", build=zeroed),
        wrong(letter, "zero-weights", "I01", build=zeroed),
        wrong(letter, "unscaled", "D01 I02 I05", scale=300.0),
        wrong(tanhs, "unscaled", "D01 R07 I02", scale=300.0),
        wrong(satellite, "shrunk", "D02", scale=1e-3),
        wrong(digits, "wrong-labels", "D10 F09", shuffled=True),
        wrong(norm, "wrong-labels", "D10 F09", shuffled=True),
        wrong(letter, "dropped-outputs", "N07", build=dropped),
        wrong(satellite, "rate-high", "R02 R01 R06", lr=3.0),
        wrong(letter, "rate-low", "R03 R10", lr=0.0003),
    )
    return (*healthy, *faulty)


# ------------------------------------------------------------------ one training


@dataclass(frozen=True, eq=False)
class Rows:
    """Tensors of one draw: training, validation and test rows, standardised."""

    x: tuple[Tensor, Tensor, Tensor]
    y: tuple[Tensor, Tensor, Tensor]
    classes: int


def rows_of(loop: Loop, seed: int) -> Rows:
    """What the loop trains on, with its mistakes about data."""
    drawn: Draw = draw(loop.material, seed)
    fold, n = drawn.split.folds[0], drawn.development
    raw = drawn.data.inputs.reshape(len(drawn.data), -1).astype(np.float32)
    mean, spread = raw[fold.train].mean(0), raw[fold.train].std(0)
    x = torch.from_numpy((raw - mean) / np.where(spread > 0, spread, 1) * np.float32(loop.scale))
    labels = drawn.data.labels.copy()
    if loop.shuffled:
        labels[:n] = labels[np.random.default_rng(seed).permutation(n)]
    y = torch.from_numpy(labels)
    parts = (fold.train, fold.validation, np.arange(n, len(labels)))
    some = [torch.from_numpy(p) for p in parts]
    found = tuple(x[p] for p in some), tuple(y[p] for p in some)
    return Rows(*found, len(drawn.data.classes))  # type: ignore[arg-type]


def start(loop: Loop, rows: Rows, seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The network with its first weights, and the optimiser."""
    torch.manual_seed(stream_seed(seed, "foreign") % 2**31)
    model = loop.build(rows.x[0].shape[1], rows.classes)
    return model, torch.optim.SGD(loop.parameters(model), lr=loop.lr, momentum=loop.momentum)


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Share of rows that are right; one logit is compared with zero."""
    guess = (outputs > 0).long() if outputs.ndim == 1 else outputs.argmax(dim=1)
    return float((guess == labels).float().mean())


def train_loop(
    loop: Loop,
    rows: Rows,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    seed: int,
    told: Callable[[float, float, float], None],
) -> float:
    """Train; `told` gets validation loss and accuracy and training accuracy after each epoch.

    The test accuracy of the weights of the best validation epoch is handed back.
    """
    stream = torch.Generator().manual_seed(stream_seed(seed, "order") % 2**31)
    x, y = rows.x[0], rows.y[0]
    best, kept = -1.0, 0.0
    for _ in range(loop.epochs):
        model.train()
        order = torch.randperm(len(x), generator=stream)
        for step in range(len(x) // loop.batch):
            batch = order[step * loop.batch : (step + 1) * loop.batch]
            if loop.zero:
                optimizer.zero_grad()
            loss = loop.loss(model(x[batch]), y[batch])
            (loop.sign * loss).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            outputs = model(rows.x[1])
            val_loss, val_accuracy = (
                float(loop.loss(outputs, rows.y[1])),
                accuracy(outputs, rows.y[1]),
            )
            train_accuracy = accuracy(model(x[: len(rows.x[1])]), y[: len(rows.x[1])])
            if val_accuracy > best:
                best, kept = val_accuracy, accuracy(model(rows.x[2]), rows.y[2])
        told(val_loss, val_accuracy, train_accuracy)
    return kept
