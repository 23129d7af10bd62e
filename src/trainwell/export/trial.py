"""Inputs on which an exported model is compared with the one it was made of."""

from __future__ import annotations

import ast
import shlex
from typing import Any

import numpy as np
import numpy.typing as npt

from trainwell.data.dataset import AudioSchema, ImageSchema, Schema, TableSchema
from trainwell.errors import UserError
from trainwell.model import Model
from trainwell.techniques.inputs import TableEncoder

Array = npt.NDArray[Any]
REAL, MADE = 2000, 1000  # inputs of each origin, at most


def made_up(model: Model, count: int = MADE, seed: int = 0) -> Array:
    """Inputs (count, *schema.shape) of every sort: usual ones, and as far out as their type goes.

    Tables: half near the training rows, half far out, with missing cells and words that training
    did not see. Pictures: noise, smooth shapes, one colour, black and white. Clips: noise and tones
    of every loudness, silence, clipped waves, a single click.
    """
    rng = np.random.default_rng(seed)
    if isinstance(model.schema, TableSchema):
        return _rows(model, model.schema, count, rng)
    if isinstance(model.schema, ImageSchema):
        return _pictures(model.schema.shape, count, rng)
    return _clips(model.schema, count, rng)


def _rows(model: Model, schema: TableSchema, count: int, rng: np.random.Generator) -> Array:
    encoder = model.folds[0][0]
    assert isinstance(encoder, TableEncoder), "tables begin with it"
    middle = np.zeros(len(schema.features))
    middle[encoder.numbers.numpy()] = encoder.medians.numpy()
    size = 10.0 ** rng.uniform(-2, 2, (count, len(middle)))
    far = np.arange(count) >= count // 2
    most = 30 if schema.precision == "float32" else 300
    size[far] = 10.0 ** rng.uniform(-2, most, (int(far.sum()), len(middle)))
    rows = middle + rng.normal(size=size.shape).clip(-5, 5) * size
    for j, feature in enumerate(schema.features):
        if feature.levels:
            rows[:, j] = rng.integers(0, len(feature.levels), count)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    return rows.astype(schema.precision)


def _pictures(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> Array:
    found = rng.integers(0, 256, (count, *shape))
    smooth = rng.normal(size=(count, *shape)).cumsum(axis=-1).cumsum(axis=-2)
    low, high = smooth.min((1, 2, 3), keepdims=True), smooth.max((1, 2, 3), keepdims=True)
    smooth = (smooth - low) / np.maximum(high - low, 1e-9) * 255
    kind = np.arange(count) % 4
    found[kind == 1] = smooth[kind == 1].astype(np.int64)
    found[kind == 2] = rng.integers(0, 256, (count, shape[0], 1, 1))[kind == 2]
    found[kind == 3] = (found[kind == 3] > 127) * 255
    found[:2] = np.array([0, 255])[: len(found[:2]), None, None, None]
    return found.astype(np.uint8)


def _clips(schema: AudioSchema, count: int, rng: np.random.Generator) -> Array:
    time = np.arange(schema.samples) / schema.rate
    loud = 32767 * 10.0 ** -rng.uniform(0, 4, (count, 1))
    pitch = 10.0 ** rng.uniform(1.5, np.log10(schema.rate / 2), (count, 1))
    tones = np.sin(2 * np.pi * pitch * time)
    kind = np.arange(count)[:, None] % 4
    wave = np.where(kind == 0, rng.normal(size=tones.shape) / 3, tones)
    wave = np.where(kind == 2, tones + rng.normal(size=tones.shape) / 10, wave)
    wave = np.where(kind == 3, 20 * tones * np.exp(-8 * time), wave)
    found = np.clip(wave * loud, -32768, 32767)
    found[0] = 0.0  # silence
    if count > 1:
        found[1], found[1, schema.samples // 2] = 0.0, 32767.0
    return np.round(found).astype(np.int16)


def real(schema: Schema, classes: tuple[str, ...], source: Any, count: int = REAL) -> Array:
    """Up to `count` inputs of data that can be read in the form of the model, evenly spread."""
    from trainwell.data.read import read_like

    inputs = read_like(source, schema, classes).inputs
    rows = np.unique(np.linspace(0, len(inputs) - 1, min(count, len(inputs)), dtype=int))
    return np.ascontiguousarray(inputs[rows])


def trained_on(command: str) -> str | None:
    """The data that a run's command names, None where it does not say.

    >>> trained_on("trainwell fit digits --seed 1"), trained_on("trainwell.fit('a.csv', seeds=2)")
    ('digits', 'a.csv')
    """
    try:
        if command.startswith("trainwell.fit("):
            call = ast.parse(command, mode="eval").body
            found = call.args[0] if isinstance(call, ast.Call) and call.args else None
            return found.value if isinstance(found, ast.Constant) else None  # type: ignore[return-value]
        words = shlex.split(command)
    except (SyntaxError, ValueError):
        return None
    # The data stand first, or behind an option and its value.
    option = [word.startswith("-") for word in words]
    places = [i for i in range(2, len(words)) if not option[i] and not option[i - 1]]
    return words[places[0]] if words[1:2] == ["fit"] and places else None


def trials(model: Model, command: str | None, source: Any = None) -> tuple[Array, int, str]:
    """Inputs of every sort, how many of them are real, and words about where these came from.

    source: data to take them from; None: those the run was trained on, if they can still be read.
    """
    synthetic = made_up(model)
    named = source if source is not None else trained_on(command or "")
    if named is None:
        return synthetic, 0, "no real inputs: the run does not say which data it had"
    try:
        found = real(model.schema, model.classes, named)
    except (UserError, OSError) as error:
        if source is not None:
            raise
        return synthetic, 0, f"no real inputs: {named} cannot be read any more ({error})"
    return np.concatenate([found, synthetic]), len(found), f"{len(found)} inputs of {named}"
