"""Healthy networks of many kinds, and the same with one fault planted in each, for the doctor.

Every case is (network, loss, X, y, further arguments of `check`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Case = tuple[nn.Module, Callable[..., Any], Tensor, Tensor, dict[str, Any]]
CE = nn.CrossEntropyLoss()


def clouds(classes: int = 4, columns: int = 12, rows: int = 300, seed: int = 0) -> Any:
    """Standardised table with overlapping classes."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % classes
    centres = 1.5 * torch.randn(classes, columns, generator=g)
    x = centres[y] + torch.randn(rows, columns, generator=g)
    return (x - x.mean(0)) / x.std(0), y


def pictures(rows: int = 240, size: int = 12, seed: int = 0) -> Any:
    """One bright bar per picture: its row says the class (3)."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % 3
    x = 0.5 * torch.randn(rows, 1, size, size, generator=g)
    for i, c in enumerate(y.tolist()):
        x[i, :, 3 * c + 1 : 3 * c + 3] += 2
    return (x - x.mean()) / x.std(), y


def sequences(rows: int = 240, length: int = 9, seed: int = 0) -> Any:
    """Tones of three frequencies in noise, two features."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % 3
    t = torch.arange(length) / length * 2 * math.pi
    wave = torch.sin(t * (y[:, None] + 1) + torch.rand(rows, 1, generator=g))
    x = torch.stack([wave, wave.cos()], 2) + 0.3 * torch.randn(rows, length, 2, generator=g)
    return (x - x.mean((0, 1))) / x.std((0, 1)), y


def words(rows: int = 240, length: int = 6, levels: int = 20, seed: int = 0) -> Any:
    """Integers of which the class's own come more often."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % 3
    x = torch.randint(0, levels, (rows, length), generator=g)
    x[:, :3] = y[:, None] * 5 + torch.randint(0, 5, (rows, 3), generator=g)
    return x, y


class Call(nn.Module):
    """Modules with a function of them as the forward pass."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def mlp(*widths: int, act: Callable[[], nn.Module] = nn.ReLU, norm: Any = None) -> nn.Sequential:
    """Linear layers with activations between."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths[:-1]):
        layers += [nn.Linear(a, b), *([norm(b)] if norm else []), act()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def cnn(norm: bool = True) -> nn.Sequential:
    """Two convolutions and a linear layer."""
    middle = [nn.BatchNorm2d(8)] if norm else []
    more = [nn.BatchNorm2d(16)] if norm else []
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), *middle, nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), *more, nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 9, 3),
    )  # fmt: skip


class Block(nn.Module):
    """A residual block, activation inside alone."""

    def __init__(self, width: int, zero: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        if zero:
            nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(x)))


class ConvBlock(nn.Module):
    """As in ResNets."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.two = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm, self.again = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.again.weight)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.again(self.two(functional.relu(self.norm(self.one(x))))))


class Attention(nn.Module):
    """Attention written by hand, over the steps of a sequence."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(2, width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out, self.head = nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        scores = self.q(h) @ self.k(h).transpose(1, 2) / math.sqrt(h.shape[2])
        h = h + self.out(scores.softmax(-1) @ self.v(h))
        return self.head(functional.gelu(h).mean(1))


class Recurrent(nn.Module):
    """GRU or LSTM with a linear head on the last step."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn, self.head = kind(2, 24, batch_first=True), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Tied(nn.Module):
    """One layer used three times, and its transpose on the way back."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.into, self.same = nn.Linear(width, 32), nn.Linear(32, 32)
        self.back, self.head = nn.Linear(32, width), nn.Linear(width, classes)
        self.back.weight = nn.Parameter(self.into.weight.T.contiguous())
        self.twice = self.same

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.into(x))
        for _ in range(2):
            h = functional.relu(self.same(h))
        return self.head(functional.relu(self.back(functional.relu(self.twice(h)))))


def focal(out: Tensor, y: Tensor) -> Tensor:
    """A loss of one's own."""
    nll = functional.cross_entropy(out, y, reduction="none")
    return ((1 - (-nll).exp()) ** 2 * nll).mean()


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
    return Call(
        lambda s, x: s.head(s.encoder(s.embed(x)).mean(1)),
        embed=nn.Linear(2, 16), encoder=nn.TransformerEncoder(layer, 2), head=nn.Linear(16, 3),
    )  # fmt: skip


def frozen() -> nn.Module:
    """A trained backbone that stays as it is, and a new head."""
    backbone = mlp(12, 32, 32).append(nn.ReLU())
    return nn.Sequential(backbone.requires_grad_(False), nn.Linear(32, 4))


def he(model: nn.Module) -> nn.Module:
    """He weights and zero biases."""
    for m in model.modules():
        if isinstance(m, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            nn.init.zeros_(m.bias)
    return model


def _two(seed: int) -> Any:
    x, y = clouds(2, seed=seed)
    return x, y.float()[:, None]


def _many(seed: int) -> Any:
    x, y = clouds(4, seed=seed)
    return x, torch.stack([y % 2, (y > 1).long(), (y == 0).long()], 1).float()


def healthy(seed: int) -> dict[str, Case]:
    """Sound networks, by name; drawn anew for every seed."""
    torch.manual_seed(seed)
    x, y = clouds(seed=seed)
    px, py = pictures(seed=seed)
    sx, sy = sequences(seed=seed)
    wx, wy = words(seed=seed)
    bx, by = _two(seed)
    mx, my = _many(seed)
    hot = functional.one_hot(y, 4).float()
    deep = nn.Sequential(nn.Linear(12, 32), *[Block(32) for _ in range(4)], nn.Linear(32, 4))
    zeros = nn.Sequential(
        nn.Linear(12, 32), nn.ReLU(), Block(32, True), nn.ReLU(), Block(32, True), nn.Linear(32, 4)
    )
    bag = Call(
        lambda s, t: s.head(functional.relu(s.hidden(s.embed(t).flatten(1)))),
        embed=nn.Embedding(20, 8), hidden=nn.Linear(48, 32), head=nn.Linear(32, 3),
    )  # fmt: skip
    resnet = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        ConvBlock(12), nn.MaxPool2d(2), ConvBlock(12), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(12, 3),
    )  # fmt: skip
    grouped = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.InstanceNorm2d(16, affine=True), nn.ReLU(),
        nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip
    wide = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))
    functions = Call(
        lambda s, t: s.c(functional.leaky_relu(s.b(functional.relu(s.a(t), inplace=True)))),
        a=nn.Linear(12, 32), b=nn.Linear(32, 32), c=nn.Linear(32, 4),
    )  # fmt: skip
    logged = nn.Sequential(mlp(12, 32, 4), nn.LogSoftmax(1))
    vector = Call(lambda s, t: s.net(t).squeeze(1), net=mlp(12, 32, 1))
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 1.5]))
    return {
        "mlp": (mlp(12, 32, 32, 4), CE, x, y, {}),
        "mlp with He": (he(mlp(12, 64, 64, 4)), CE, x, y, {}),
        "mlp with batch norm": (mlp(12, 32, 32, 4, norm=nn.BatchNorm1d), CE, x, y, {}),
        "mlp with layer norm": (mlp(12, 32, 32, 4, norm=nn.LayerNorm), CE, x, y, {}),
        "gelu": (mlp(12, 32, 32, 4, act=nn.GELU), CE, x, y, {}),
        "tanh": (mlp(12, 32, 32, 4, act=nn.Tanh), CE, x, y, {}),
        "sigmoid": (mlp(12, 32, 4, act=nn.Sigmoid), CE, x, y, {}),
        "deep relu": (he(mlp(12, 48, 48, 48, 48, 4)), CE, x, y, {}),
        "linear": (nn.Linear(12, 4), CE, x, y, {}),
        "functions": (functions, functional.cross_entropy, x, y, {}),
        "dropout": (wide, CE, x, y, {"classes": 4}),
        "residual": (deep, CE, x, y, {}),
        "zero residual": (zeros, CE, x, y, {}),
        "tied": (Tied(12, 4), CE, x, y, {}),
        "frozen": (frozen(), CE, x, y, {}),
        "cnn": (cnn(), CE, px, py, {}),
        "cnn without norm": (cnn(False), CE, px, py, {}),
        "resnet": (resnet, CE, px, py, {}),
        "group and instance norm": (grouped, CE, px, py, {}),
        "gru": (Recurrent(nn.GRU), CE, sx, sy, {}),
        "lstm": (Recurrent(nn.LSTM), CE, sx, sy, {}),
        "transformer": (transformer(), CE, sx, sy, {}),
        "attention": (Attention(16), CE, sx, sy, {}),
        "embedding": (bag, CE, wx, wy, {}),
        "one logit": (mlp(12, 32, 1), nn.BCEWithLogitsLoss(), bx, by, {}),
        "one logit in one dimension": (vector, nn.BCEWithLogitsLoss(), bx, by[:, 0], {}),
        "two logits": (he(mlp(12, 32, 2)), CE, bx, by[:, 0].long(), {}),
        "sigmoid and BCE": (nn.Sequential(mlp(12, 32, 1), nn.Sigmoid()), nn.BCELoss(), bx, by, {}),
        "multilabel": (mlp(12, 32, 3), nn.BCEWithLogitsLoss(), mx, my, {}),
        "log softmax": (logged, nn.NLLLoss(), x, y, {}),
        "smoothing": (mlp(12, 32, 4), smooth, x, y, {}),
        "class weights": (mlp(12, 32, 4), weighted, x, y, {}),
        "focal": (mlp(12, 32, 4), focal, x, y, {}),
        "lambda": (mlp(12, 32, 4), lambda o, t: functional.cross_entropy(o, t), x, y, {}),
        "one-hot": (mlp(12, 32, 4), CE, x, hot, {}),
    }


class Wrong(torch.autograd.Function):
    """A ReLU whose backward pass is wrong by half."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 0.5 * grad * (x > 0)


class Mixing(nn.Module):
    """Takes the mean of the batch where that of the features was meant."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(12, 32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x - x.mean(0))


class Inconsistent(nn.Module):
    """Something else in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(12, 32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x if self.training else x.flip(1))


class Detached(nn.Module):
    """The first layer is cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(functional.relu(self.a(x)).detach())


def _filled(model: nn.Module, fill: Callable[[Tensor], Any], biases: bool = True) -> nn.Module:
    for m in model.modules():
        if isinstance(m, nn.Linear | nn.Conv2d):
            fill(m.weight)
            if biases:
                nn.init.zeros_(m.bias)
    return model


def _norms(model: nn.Module, momentum: float) -> nn.Module:
    for m in model.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.momentum = momentum
    return model


def _unused() -> nn.Module:
    return Call(lambda s, t: s.net(t), net=mlp(12, 32, 4), extra=nn.Linear(3, 3))


def _biased(model: nn.Module) -> nn.Module:
    nn.init.constant_(model[0].bias, -20.0)  # type: ignore[index, arg-type]
    return model


def _sgd(model: nn.Module, **options: Any) -> dict[str, Any]:
    return {"optimizer": torch.optim.SGD(model.parameters(), **options)}


def planted(seed: int) -> dict[str, tuple[set[str], str, Case]]:
    """One fault each, by name: codes that may be said, the least level, the case."""
    torch.manual_seed(seed)
    x, y = clouds(seed=seed)
    px, py = pictures(seed=seed)
    sx, sy = sequences(seed=seed)
    bx, by = _two(seed)
    add = nn.Sequential
    bce, logits = nn.BCELoss(), nn.BCEWithLogitsLoss()
    relu = nn.ReLU
    some = mlp(12, 32, 4)
    partly = torch.optim.Adam(some[2].parameters())
    uphill, zero_rate, decays = mlp(12, 32, 4), mlp(12, 32, 4), mlp(12, 32, 4)
    one_pixel = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), relu(), nn.MaxPool2d(12), nn.Conv2d(8, 16, 3, padding=1),
        relu(), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip
    cnn_linear = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), relu(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 16, 3),
    )  # fmt: skip
    random = Call(
        lambda s, t: s.b(functional.dropout(functional.relu(s.a(t)), 0.5)),
        a=nn.Linear(12, 32), b=nn.Linear(32, 4),
    )  # fmt: skip
    blind = Call(lambda s, t: s.net(t * 0), net=mlp(12, 32, 4))
    wrong = Call(lambda s, t: s.b(Wrong.apply(s.a(t))), a=nn.Linear(12, 32), b=nn.Linear(32, 4))
    early = nn.Sequential(
        nn.Linear(12, 32), nn.Dropout(0.3), nn.BatchNorm1d(32), relu(), nn.Linear(32, 4)
    )
    small = _filled(mlp(12, 64, 64, 64, 4), lambda w: nn.init.normal_(w, std=0.01))
    heads = _filled(mlp(12, 64, 4), lambda w: nn.init.normal_(w, std=1.0))
    across = Call(lambda s, t: s.head(s.rnn(t)[0][:, -1]), rnn=nn.GRU(2, 24), head=nn.Linear(24, 3))
    soft = nn.Softmax(1)
    return {
        "logits to NLL": ({"N01"}, "fault", (mlp(12, 32, 4), nn.NLLLoss(), x, y, {})),
        "probabilities to NLL": (
            {"N01"}, "fault", (add(mlp(12, 32, 4), soft), nn.NLLLoss(), x, y, {}),
        ),
        "logits to BCE": ({"N01"}, "fault", (mlp(12, 32, 1), bce, bx, by, {})),
        "logits to log": (
            {"N01"}, "fault",
            (mlp(12, 32, 4), lambda o, t: -o[torch.arange(len(t)), t].log().mean(), x, y, {}),
        ),
        "squared error": ({"N01"}, "warning", (mlp(12, 32, 1), nn.MSELoss(), bx, by, {})),
        "labels of the wrong type": ({"N01"}, "fault", (mlp(12, 32, 1), logits, bx, by.long(), {})),
        "too few outputs": ({"N02"}, "fault", (mlp(12, 32, 3), CE, x, y, {})),
        "too many outputs": ({"N02"}, "fault", (mlp(12, 32, 7), CE, x, y, {"classes": 4})),
        "softmax on one unit": (
            {"N02"}, "fault", (add(mlp(12, 32, 1), soft), bce, bx, by, {}),
        ),
        "softmax twice": ({"N03"}, "fault", (add(mlp(12, 32, 4), soft), CE, x, y, {})),
        "softmax in the loss": (
            {"N03"}, "fault",
            (mlp(12, 32, 4), lambda o, t: functional.cross_entropy(o.softmax(1), t), x, y, {}),
        ),
        "softmax by hand": (
            {"N03"}, "fault",
            (Call(lambda s, t: s.n(t).exp() / s.n(t).exp().sum(1, True), n=mlp(12, 32, 4)),
             CE, x, y, {}),
        ),
        "sigmoid twice": (
            {"N04"}, "fault", (add(mlp(12, 32, 1), nn.Sigmoid()), logits, bx, by, {}),
        ),
        "relu on logits": ({"N04"}, "fault", (add(mlp(12, 32, 4), relu()), CE, x, y, {})),
        "tanh on logits": ({"N04"}, "fault", (add(mlp(12, 32, 4), nn.Tanh()), CE, x, y, {})),
        "no activation": ({"N05"}, "fault", (mlp(12, 32, 32, 4, act=nn.Identity), CE, x, y, {})),
        "no activation between convolutions": ({"N05"}, "fault", (cnn_linear, CE, px, py, {})),
        "batch norm alone": (
            {"N05"}, "fault",
            (mlp(12, 32, 4, act=nn.Identity, norm=nn.BatchNorm1d), CE, x, y, {}),
        ),
        "deep sigmoid": (
            {"N06", "I03"}, "note", (mlp(12, 32, 32, 32, 32, 4, act=nn.Sigmoid), CE, x, y, {}),
        ),
        "hidden softmax": (
            {"N06"}, "note", (mlp(12, 32, 4, act=lambda: nn.Softmax(1)), CE, x, y, {}),
        ),
        "strong dropout": (
            {"N07"}, "note",
            (nn.Sequential(nn.Linear(12, 64), relu(), nn.Dropout(0.8), nn.Linear(64, 4)),
             CE, x, y, {}),
        ),
        "dropped outputs": ({"N07"}, "note", (add(mlp(12, 32, 4), nn.Dropout(0.3)), CE, x, y, {})),
        "dropout before batch norm": ({"N07"}, "note", (early, CE, x, y, {})),
        "dropout at prediction": ({"N07"}, "fault", (random, CE, x, y, {})),
        "narrow": ({"N08"}, "warning", (mlp(12, 2, 4), CE, x, y, {})),
        "one pixel": ({"N08"}, "warning", (one_pixel, CE, px, py, {})),
        "wrong shape": ({"N08"}, "fault", (mlp(10, 32, 4), CE, x, y, {})),
        "rows mixed": ({"N09"}, "fault", (Mixing(), CE, x, y, {})),
        "batch axis": ({"N09"}, "fault", (across, CE, sx, sy, {})),
        "broadcast": (
            {"N09"}, "fault",
            (mlp(12, 32, 1), lambda o, t: ((o - t) ** 2).mean(), bx, by[:, 0], {}),
        ),
        "sum": ({"N10"}, "note", (mlp(12, 32, 4), nn.CrossEntropyLoss(reduction="sum"), x, y, {})),
        "no reduction": (
            {"N10"}, "fault", (mlp(12, 32, 4), nn.CrossEntropyLoss(reduction="none"), x, y, {}),
        ),
        "statistics that stay": ({"N11"}, "fault", (_norms(cnn(), 0.0), CE, px, py, {})),
        "statistics that forget": ({"N11"}, "warning", (_norms(cnn(), 1.0), CE, px, py, {})),
        "eval is another network": ({"N11"}, "warning", (Inconsistent(), CE, x, y, {})),
        "nothing learns": ({"N12"}, "fault", (mlp(12, 32, 4).requires_grad_(False), CE, x, y, {})),
        "detached": ({"N12"}, "fault", (Detached(), CE, x, y, {})),
        "unused": ({"N12"}, "fault", (_unused(), CE, x, y, {})),
        "not in the optimizer": ({"N12"}, "fault", (some, CE, x, y, {"optimizer": partly})),
        "negative loss": (
            {"N13"}, "fault",
            (mlp(12, 32, 4), lambda o, t: -functional.cross_entropy(o, t), x, y, {}),
        ),
        "maximising": (
            {"N13"}, "fault", (uphill, CE, x, y, _sgd(uphill, lr=0.1, maximize=True)),
        ),
        "rate of zero": ({"N13"}, "fault", (zero_rate, CE, x, y, _sgd(zero_rate, lr=0.0))),
        "decay on biases": (
            {"N14"}, "note", (decays, CE, x, y, _sgd(decays, lr=0.1, weight_decay=1e-3)),
        ),
        "wrong gradient": ({"N15"}, "fault", (wrong, CE, x, y, {})),
        "zero weights": ({"I01"}, "fault", (_filled(mlp(12, 32, 4), nn.init.zeros_), CE, x, y, {})),
        "constant weights": (
            {"I01"}, "fault",
            (_filled(mlp(12, 32, 4), lambda w: nn.init.constant_(w, 0.1), False), CE, x, y, {}),
        ),
        "constant maps": (
            {"I01"}, "fault",
            (_filled(cnn(False), lambda w: nn.init.constant_(w, 0.05)), CE, px, py, {}),
        ),
        "large weights": (
            {"I02"}, "fault",
            (_filled(mlp(12, 64, 64, 4), lambda w: nn.init.uniform_(w, -1, 1)), CE, x, y, {}),
        ),
        "small weights": ({"I03"}, "fault", (small, CE, x, y, {})),
        "dead units": ({"I04"}, "fault", (_biased(mlp(12, 32, 4)), CE, x, y, {})),
        "strong opinions": ({"I05", "I02"}, "warning", (heads, CE, x, y, {})),
        "unscaled": ({"D01"}, "fault", (mlp(12, 32, 4), CE, 100 * x + 300, y, {})),
        "shrunk twice": ({"D02"}, "warning", (mlp(12, 32, 4), CE, x / 255, y, {})),
        "blind": ({"F09"}, "fault", (blind, CE, x, y, {})),
        "blind cannot learn": ({"F08"}, "fault", (blind, CE, x, y, {})),
        "rate too high": ({"R02"}, "warning", (mlp(12, 32, 4), CE, x, y, {"lr": 30.0})),
        "rate too low": ({"R03"}, "warning", (mlp(12, 32, 4), CE, x, y, {"lr": 1e-7})),
        "missing values": (
            {"D04"}, "fault", (mlp(12, 32, 4), CE, x.masked_fill(x > 2, math.nan), y, {}),
        ),
    }  # fmt: skip
