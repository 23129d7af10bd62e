"""Which column of somebody's log is what: names in words, and what was made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Key = Literal["epoch", "step", "member"]

_LOSS = {"loss", "nll", "xent", "crossentropy", "cost", "logloss", "objective"}
_ACCURACY = {"acc", "accuracy"}
_ERROR = {"err", "error"}
_TRAIN = {"train", "training", "tr", "trn"}
_VAL = {"val", "valid", "validation", "dev", "eval", "evaluation"}
_TEST = {"test", "testing", "holdout", "heldout"}
_EPOCH = {"epoch", "epochs"}
_STEP = {"step", "steps", "iteration", "iterations", "iter", "iters", "batches", "update"}
_MEMBER = {"member", "run", "seed", "fold", "trial", "replicate"}
# Words that make another quantity of it: the best so far, a spread, the k best classes, ...
_OTHER = {
    *("best", "std", "stddev", "min", "max", "var", "time", "gap", "balanced", "f1", "delta"),
    *("regularization", "aux", "diff", "vs", "seconds", "count", "n", "rows", "se"),
}
# Words of Keras, PyTorch and others that say how it was computed, not what.
_FILLING = {
    *("sparse", "categorical", "binary", "cross", "entropy", "ce", "mean", "avg", "average"),
    *("total", "running", "rate", "percent", "pct", "multiclass", "metrics", "metric", "score"),
    *("log", "logs", "global", "top", "1", "top1", "losses", "set", "data", "in", "of", "the"),
}
_NAMED = 20  # columns that are not used, by name
OUR_HISTORY = frozenset({"member", "epoch", "train_loss", "val_loss", "val_error"})


@dataclass(frozen=True)
class Meaning:
    """What a column holds.

    part "": its name does not say of which rows. grain: of one step, or of a whole epoch.
    """

    what: Literal["loss", "accuracy", "error", "lr", "epoch", "step", "member", "val_error"]
    part: Literal["", "train", "val", "test"] = ""
    grain: Literal["", "epoch", "step"] = ""


def words_of(name: str) -> tuple[str, ...]:
    """The words of a column's name, in lower case.

    >>> words_of("trainLoss"), words_of("Loss/val (%)")
    (('train', 'loss'), ('loss', 'val'))
    """
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return tuple(re.findall(r"[a-z]+[0-9]*|[0-9]+", apart.lower()))


def meaning(name: str) -> Meaning | None:
    """What a column of this name holds; None where that is not clear.

    >>> meaning("train_loss_epoch")
    Meaning(what='loss', part='train', grain='epoch')
    >>> meaning("val_sparse_categorical_accuracy").part
    'val'
    >>> meaning("top5_acc"), meaning("time")
    (None, None)
    """
    said = words_of(name)
    words = set(said)
    if "lr" in words or {"learning", "rate"} <= words:
        return Meaning("lr")
    if words & _OTHER:
        return None
    rest = words - _FILLING
    if {"cross", "entropy"} <= words and not rest & (_LOSS | _ACCURACY | _ERROR):
        rest |= {"loss"}
    parts = [p for p, n in (("train", _TRAIN), ("val", _VAL), ("test", _TEST)) if rest & n]
    rest -= _TRAIN | _VAL | _TEST
    things = [
        w for w, n in (("loss", _LOSS), ("accuracy", _ACCURACY), ("error", _ERROR)) if rest & n
    ]
    rest -= _LOSS | _ACCURACY | _ERROR
    if len(things) > 1 or len(parts) > 1:
        return None
    if things:
        grain = "step" if rest & (_STEP | {"batch"}) else "epoch" if rest & _EPOCH else ""
        if rest - _STEP - _EPOCH - {"batch"}:
            return None
        return Meaning(things[0], parts[0] if parts else "", grain)  # type: ignore[arg-type]
    if parts or not said:
        return None
    for kind, names in (("epoch", _EPOCH), ("step", _STEP), ("member", _MEMBER)):
        if rest & names and not rest - names - {"no", "number", "id", "idx", "index", "nr"}:
            return Meaning(kind)  # type: ignore[arg-type]
    return None


@dataclass(frozen=True)
class Columns:
    """Columns that are used, by the series or key they give, and those that are not.

    error: series whose columns hold an error rate, to be turned into an accuracy.
    """

    keys: Mapping[Key, str]
    series: Mapping[str, str]
    errors: frozenset[str]
    ignored: tuple[str, ...]

    def in_words(self) -> str:
        """One sentence on what was taken as what.

        >>> understand(["epoch", "loss", "val_err", "seconds"]).in_words()
        'loss as train_loss, val_err as val_accuracy (1 - error); ignored: seconds'
        """
        used = [
            f"{column} as {name}{' (1 - error)' if name in self.errors else ''}"
            for name, column in self.series.items()
        ]
        text = ", ".join(used) or "no column"
        if not self.ignored:
            return text
        left = len(self.ignored) - _NAMED
        more = f" and {left} more" if left > 0 else ""
        return f"{text}; ignored: {', '.join(self.ignored[:_NAMED])}{more}"


def understand(names: Iterable[str]) -> Columns:
    """Decide what each of a log's columns is.

    "loss" alone is of the training rows, and so is "accuracy" (Keras), unless every other column
    names its rows: then it is of the validation rows (fastai). A test set stands in for a
    validation set that is missing. Means over an epoch go before values of single steps.
    """
    all_names = list(dict.fromkeys(names))
    known = {n: m for n in all_names if (m := meaning(n)) is not None}
    if set(all_names) >= OUR_HISTORY:  # there val_error is a standard error
        known["val_error"] = Meaning("val_error")
    keys: dict[Key, str] = {}
    for name, m in known.items():
        if m.what in ("epoch", "step", "member"):
            keys.setdefault(m.what, name)
    told = {m.part for m in known.values() if m.what == "loss"}
    bare = "val" if {"train", "val"} <= told and "" not in told else "train"
    has_val = any(m.part == "val" for m in known.values())
    choices: dict[str, list[tuple[tuple[int, ...], str, str]]] = {}
    for place, (name, m) in enumerate(known.items()):
        if m.what in ("lr", "val_error"):
            choices.setdefault(m.what, []).append(((0, place), name, m.what))
        elif m.what in ("loss", "accuracy", "error"):
            part = m.part or bare
            if part == "test" and has_val:
                continue
            series = (
                f"{'val' if part == 'test' else part}_{'loss' if m.what == 'loss' else 'accuracy'}"
            )
            grain = ("epoch", "", "step").index(m.grain)
            rank = (grain, m.what == "error", not m.part, place)
            choices.setdefault(series, []).append((rank, name, m.what))
    chosen: dict[str, str] = {}
    errors: set[str] = set()
    for name in ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_error"):
        if name in choices:
            _, column, what = min(choices[name])
            chosen[name] = column
            if what == "error":
                errors.add(name)
    used = {*keys.values(), *chosen.values()}
    return Columns(keys, chosen, frozenset(errors), tuple(n for n in all_names if n not in used))
