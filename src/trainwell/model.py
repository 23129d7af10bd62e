"""A trained model: networks with their pre-processing inside, from raw inputs to probabilities.

On disk it is a folder with `model.json` (what it is) and `weights.safetensors` (its numbers). No
pickle: loading a model that somebody sent cannot run code, unless one asks for a network whose code
lies elsewhere (Custom) to be trusted.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainwell.data.bulk import release
from trainwell.data.dataset import IntArray, Schema, schema_from_json, schema_to_json
from trainwell.data.ranges import Ranges, ranges_from_json
from trainwell.engine.inputs import examples_at_once, take
from trainwell.engine.members import Trained
from trainwell.engine.stack import layout, named_rows
from trainwell.errors import RecipeError, UserError
from trainwell.files import write_whole
from trainwell.recipe import Recipe, edit, fields_as_text
from trainwell.techniques.balance import LogitAdjust, ThresholdMove
from trainwell.techniques.inputs import category_blocks, describe, rebuild
from trainwell.techniques.models import Custom
from trainwell.techniques.models.size import blueprint
from trainwell.techniques.named import TRUST_IT

FORMAT = 2  # of what is written; 1 knew no weights, temperatures and kinds
READABLE = (1, 2)
CHUNK = 512  # examples predicted at once
# What reading a damaged file may raise.
DAMAGED = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError)


@dataclass(frozen=True, eq=False)
class Part:
    """One network of the model, the fold whose pre-processing it uses, and its seed.

    weight: what its voice counts in the vote, above 0; temperature: its outputs are divided by it;
    kind: networks of one kind (recipe) are weighed together.
    """

    network: nn.Module
    fold: int
    seed: int
    recipe: Recipe
    offsets: Tensor | None = None  # (C,), added to the outputs: moved thresholds; None: zeros
    weight: float = 1.0
    temperature: float = 1.0
    kind: str = ""

    def probabilities(self, x: Tensor) -> Tensor:
        """(B, C) in float64 for pre-processed inputs (B, ...)."""
        logits: Tensor = self.network(x).double()
        moved = logits if self.offsets is None else logits + self.offsets
        return (moved / self.temperature).softmax(dim=1)


@dataclass(frozen=True, eq=False)
class Model:
    """One network or several whose probabilities are averaged, for inputs of one schema.

    folds: pre-processing, fold by fold; where kinds of networks are pre-processed in different ways
    those of the second way follow the folds of the first.
    """

    schema: Schema
    classes: tuple[str, ...]
    folds: tuple[nn.Sequential, ...]
    parts: tuple[Part, ...]
    ranges: Ranges | None = None  # of the training rows; None: a model from before they were kept

    def member_probabilities(
        self, inputs: npt.NDArray[Any], rows: IntArray | None = None
    ) -> npt.NDArray[np.float64]:
        """Probabilities (M, n, C) of every network for raw inputs (N, *schema.shape).

        rows: the n rows that are wanted; None: all.
        """
        count = len(inputs) if rows is None else len(rows)
        out = np.empty((len(self.parts), count, len(self.classes)))
        for start, stop, each in self._by_chunks(inputs, rows, count):
            for m, found in enumerate(each):
                out[m, start:stop] = found
        return out

    def probabilities(
        self, inputs: npt.NDArray[Any], rows: IntArray | None = None
    ) -> npt.NDArray[np.float64]:
        """Probabilities (n, C): the weighted mean over the networks; arguments as above."""
        count = len(inputs) if rows is None else len(rows)
        total = np.zeros((count, len(self.classes)))
        for start, stop, each in self._by_chunks(inputs, rows, count):
            for part, found in zip(self.parts, each, strict=True):
                total[start:stop] += part.weight * found
        return total / sum(part.weight for part in self.parts)

    def vote(self, members: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probabilities (n, C) from those of every network (M, n, C): their weighted mean."""
        total = np.zeros(members.shape[1:])
        for part, found in zip(self.parts, members, strict=True):
            total += part.weight * found
        return total / sum(part.weight for part in self.parts)

    def _by_chunks(
        self, inputs: npt.NDArray[Any], rows: IntArray | None, count: int
    ) -> Iterator[tuple[int, int, Iterator[npt.NDArray[np.float64]]]]:
        """Where each chunk starts and stops, and its probabilities by one network after another."""
        step = min(CHUNK, examples_at_once(inputs))
        for start in range(0, count, step):
            stop = min(start + step, count)
            raw = take(inputs, slice(start, stop) if rows is None else rows[start:stop])
            yield start, stop, self._each(raw)
            release(inputs)

    @torch.inference_mode()
    def _each(self, raw: Tensor) -> Iterator[npt.NDArray[np.float64]]:
        """Probabilities (b, C) of a batch by every network in turn."""
        ready: dict[int, Tensor] = {}
        for part in self.parts:
            if part.fold not in ready:
                ready[part.fold] = self.folds[part.fold](raw)
            yield part.probabilities(ready[part.fold]).numpy()

    def only(self, parts: Sequence[int]) -> Model:
        """The same model with some of its networks."""
        return replace(self, parts=tuple(self.parts[i] for i in parts))

    @property
    def parameters(self) -> int:
        """Trained numbers of all networks together."""
        return sum(p.numel() for part in self.parts for p in part.network.parameters())


def assemble(
    schema: Schema,
    classes: Sequence[str],
    folds: Sequence[nn.Sequential],
    trained: Sequence[Trained],
    ranges: Ranges | None = None,
) -> Model:
    """The model made of trained members and their folds' pre-processing.

    ranges: of the training rows, for marks on inputs far outside of them.
    """
    shape = _shape_after(folds[0], schema)  # all folds give the same
    parts = []
    for t in trained:
        blocks = category_blocks(folds[t.member.fold])
        network = _network(t.member.recipe, shape, len(classes), blocks)
        parameters, statistics = layout(network)
        state = dict(named_rows(t.theta, parameters)) | dict(named_rows(t.buffers, statistics))
        network.load_state_dict(state, strict=False)  # counters of batches are not kept
        parts.append(Part(network, t.member.fold, t.member.seed, t.member.recipe))
    return Model(schema, tuple(classes), tuple(folds), tuple(parts), ranges)


def joined(models: Sequence[Model]) -> Model:
    """One model with the networks of several, for the same inputs and classes.

    Pre-processing that two of them share is kept once.
    """
    folds: list[nn.Sequential] = []
    parts: list[Part] = []
    places: list[tuple[int, tuple[nn.Sequential, ...]]] = []
    for model in models:
        place = next((p for p, own in places if _same(own, model.folds)), None)
        if place is None:
            place = len(folds)
            places.append((place, model.folds))
            folds += model.folds
        parts += [replace(part, fold=part.fold + place) for part in model.parts]
    known = (model.ranges for model in models if model.ranges is not None)
    return Model(models[0].schema, models[0].classes, tuple(folds), tuple(parts), next(known, None))


def _same(one: Sequence[nn.Module], other: Sequence[nn.Module]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def balanced(
    model: Model,
    trained: Sequence[Trained],
    inputs: npt.NDArray[Any],
    labels: IntArray,
) -> Model:
    """The model with the offsets that its recipes' remedies for class imbalance ask for.

    trained: the members that the model's parts were made of. Thresholds are chosen on the rows that
    a network did not train on; shares of the classes are those of its training rows.
    """
    moving = (LogitAdjust, ThresholdMove)
    if not any(isinstance(t.member.recipe.balance, moving) for t in trained):
        return model
    parts = [
        replace(part, offsets=_offsets(model.only([i]), t, inputs, labels))
        for i, (part, t) in enumerate(zip(model.parts, trained, strict=True))
    ]
    return replace(model, parts=tuple(parts))


def _offsets(
    alone: Model, trained: Trained, inputs: npt.NDArray[Any], labels: IntArray
) -> Tensor | None:
    """Offsets (C,) in float64 of one network, or None where its recipe asks for none."""
    member, balance = trained.member, trained.member.recipe.balance
    counts = np.bincount(labels[member.train], minlength=len(alone.classes))
    if isinstance(balance, LogitAdjust) and balance.when == "prediction":
        return -balance.offsets(torch.from_numpy(counts)).double()
    if not isinstance(balance, ThresholdMove):
        return None
    logits = _logits(alone, inputs, member.validation)
    return torch.from_numpy(balance.moved(logits, labels[member.validation], counts))


def _logits(alone: Model, inputs: npt.NDArray[Any], rows: IntArray) -> npt.NDArray[np.float64]:
    """Log probabilities (n, C) of a model of one network, without offsets and temperature."""
    plain = replace(alone, parts=(replace(alone.parts[0], offsets=None, temperature=1.0),))
    found: npt.NDArray[np.float64] = np.log(np.maximum(plain.probabilities(inputs, rows), 1e-300))
    return found


def held_out_probabilities(
    model: Model, inputs: npt.NDArray[Any], labels: IntArray, train: IntArray, rows: IntArray
) -> npt.NDArray[np.float64]:
    """Probabilities (n, C) of the networks of one fold for `rows` that they were not trained on."""
    if not any(isinstance(part.recipe.balance, ThresholdMove) for part in model.parts):
        return model.probabilities(inputs, rows)  # pre-processed once for all of them
    alone = [model.only([i]) for i in range(len(model.parts))]
    each = [_crossed_probabilities(one, inputs, labels, train, rows) for one in alone]
    return model.vote(np.stack(each))


def _crossed_probabilities(
    alone: Model, inputs: npt.NDArray[Any], labels: IntArray, train: IntArray, rows: IntArray
) -> npt.NDArray[np.float64]:
    """Probabilities (n, C) of a model of one network for `rows` that it was not trained on.

    Thresholds that were chosen on such rows would flatter the score on them. Each half of them
    (classes shared out evenly) is therefore judged with thresholds from the other half.
    """
    balance = alone.parts[0].recipe.balance
    if not isinstance(balance, ThresholdMove):
        return alone.probabilities(inputs, rows)
    logits, own = _logits(alone, inputs, rows), labels[rows]
    counts = np.bincount(labels[train], minlength=len(alone.classes))
    half = np.empty(len(rows), np.int64)
    half[np.argsort(own, kind="stable")] = np.arange(len(rows)) % 2
    moved = logits.copy()
    for side in (0, 1):
        here, other = half == side, half != side
        if other.any():
            moved[here] += balance.moved(logits[other], own[other], counts)
    moved /= alone.parts[0].temperature
    chances = np.exp(moved - moved.max(axis=1, keepdims=True))
    found: npt.NDArray[np.float64] = chances / chances.sum(axis=1, keepdims=True)
    return found


def save(model: Model, folder: Path) -> None:
    """Write the model into a folder (created if needed); each file appears whole or not at all."""
    from safetensors.torch import save as to_bytes

    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for f, fold in enumerate(model.folds):
        tensors |= {f"fold{f}.{n}": t.contiguous() for n, t in fold.state_dict().items()}
    for m, part in enumerate(model.parts):
        state = part.network.state_dict()
        tensors |= {f"network{m}.{n}": t.clone().contiguous() for n, t in state.items()}
        if part.offsets is not None:
            tensors[f"offsets{m}"] = part.offsets
    card = {
        "format": FORMAT,
        "schema": schema_to_json(model.schema),
        "classes": list(model.classes),
        "folds": [[describe(layer) for layer in fold] for fold in model.folds],
        "networks": [
            {
                "fold": p.fold,
                "seed": p.seed,
                "weight": p.weight,
                "temperature": p.temperature,
                "kind": p.kind,
                "recipe": fields_as_text(p.recipe),
            }
            for p in model.parts
        ],
        "ranges": None if model.ranges is None else model.ranges.to_json(),
    }
    text = json.dumps(card, indent=1).encode()
    # The weights know their card, so that files of two models cannot be mixed up, and themselves.
    # One entry: the order of several is left to chance, and the same model has the same bytes.
    metadata = {"card": f"{hashlib.sha256(text).hexdigest()} {_digest(tensors)}"}
    write_whole(folder / "weights.safetensors", to_bytes(tensors, metadata))
    write_whole(folder / "model.json", text)


def load(path: Path, trust: bool = False) -> Model:
    """Read a model from its folder, or from the run folder around it.

    trust: whether code that the model names may run, which networks of one's own (Custom) need.
    Raises UserError with the file and what is wrong with it.
    """
    from safetensors import SafetensorError, safe_open

    folder = path / "model" if (path / "model").is_dir() else path
    where = folder / "model.json"
    if not where.is_file():
        todo = "Name a run folder, or its model folder, as written by trainwell fit."
        raise UserError(str(path), "holds no model (model.json)", todo)
    try:
        text = where.read_bytes()
        card = json.loads(text)
        if card["format"] not in READABLE:
            todo = "Use the trainwell version that wrote it, or train again."
            expected = " or ".join(map(str, READABLE))
            raise UserError(str(where), f"format {card['format']}, expected {expected}", todo)
        schema = schema_from_json(card["schema"])
        with safe_open(folder / "weights.safetensors", framework="pt") as file:
            card_digest, *known = (file.metadata() or {}).get("card", "").split(" ")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        recipes = [edit(Recipe(), entry["recipe"], "model.json") for entry in card["networks"]]
        named = [r.model.factory for r in recipes if isinstance(r.model, Custom)]
        if named and not trust:
            problem = f'the model runs code that is not in its files, "{named[0]}"'
            todo = TRUST_IT
            raise UserError(str(where), problem, todo)
        model = _from_card(card, schema, recipes, tensors)
        if card_digest != hashlib.sha256(text).hexdigest():
            raise ValueError("model.json is not the one that was written with the weights")
        if known and known != [_digest(tensors)]:
            raise ValueError("the weights are not those that were written")
        return model
    except UserError as error:
        if isinstance(error, RecipeError):
            raise UserError(str(where), f"cannot be understood: {error}", "Train again.") from None
        raise
    except (*DAMAGED, SafetensorError) as error:
        problem = f"the model is damaged or incomplete ({type(error).__name__}: {error})"
        raise UserError(str(folder), problem, "Copy it again, or train again.") from None


def _digest(tensors: dict[str, Tensor]) -> str:
    """sha256 of names and numbers: the file's format itself does not notice a changed bit."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        found.update(f"{name} {tuple(tensors[name].shape)} {flat.dtype}".encode())
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()


def _from_card(
    card: dict[str, Any], schema: Schema, recipes: Sequence[Recipe], tensors: dict[str, Tensor]
) -> Model:
    folds = []
    for f, layers in enumerate(card["folds"]):
        built = [
            rebuild(d, _under(tensors, f"fold{f}.{i}."))  # buffers of layer i
            for i, d in enumerate(layers)
        ]
        folds.append(nn.Sequential(*built).eval())
    parts, shapes = [], dict[int, tuple[int, ...]]()
    if not card["networks"] or any(e["fold"] not in range(len(folds)) for e in card["networks"]):
        raise ValueError("no networks, or one of a fold that is not there")
    for m, (entry, recipe) in enumerate(zip(card["networks"], recipes, strict=True)):
        fold = folds[entry["fold"]]
        shape = shapes.setdefault(entry["fold"], _shape_after(fold, schema))
        blocks = category_blocks(fold)
        weights = _under(tensors, f"network{m}.")
        count = len(card["classes"])
        _same_shapes(blueprint(recipe.model, shape, count, blocks, recipe.dropout), weights)
        network = _network(recipe, shape, count, blocks)
        network.load_state_dict(weights)
        offsets = tensors.get(f"offsets{m}")
        # Models of format 1 have neither: all networks count alike.
        weight, heat = float(entry.get("weight", 1.0)), float(entry.get("temperature", 1.0))
        if not (0 < weight < math.inf and 0 < heat < math.inf):
            raise ValueError(f"network {m} has the weight {weight:g} and temperature {heat:g}")
        kind = str(entry.get("kind", ""))
        parts.append(
            Part(network, entry["fold"], entry["seed"], recipe, offsets, weight, heat, kind)
        )
    ranges = ranges_from_json(card.get("ranges"))
    return Model(schema, tuple(card["classes"]), tuple(folds), tuple(parts), ranges)


def _same_shapes(plan: nn.Module | None, weights: dict[str, Tensor]) -> None:
    """Raise ValueError where a card asks for a network that its weights are not of.

    A changed card could otherwise ask for more memory than there is.
    """
    for name, tensor in plan.state_dict().items() if plan is not None else ():
        if name in weights and weights[name].shape != tensor.shape:
            got = tuple(weights[name].shape)
            raise ValueError(f"{name} has the shape {got}, the recipe says {tuple(tensor.shape)}")


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _shape_after(fold: nn.Sequential, schema: Schema) -> tuple[int, ...]:
    """Shape of one example behind the pre-processing."""
    dtype = {"table": torch.float32, "images": torch.uint8, "audio": torch.int16}[schema.kind]
    with torch.inference_mode():
        return tuple(fold(torch.zeros((1, *schema.shape), dtype=dtype)).shape[1:])


def _network(
    recipe: Recipe, shape: tuple[int, ...], classes: int, blocks: tuple[tuple[int, int], ...]
) -> nn.Module:
    """The network as the engine builds it; its initial weights are then replaced."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what is not trained was drawn so, too
        return recipe.model.build(shape, classes, recipe.dropout, blocks).eval()
