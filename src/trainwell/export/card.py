"""What an exported model says about itself: classes, inputs, recipe, versions, test score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trainwell.data.dataset import AudioSchema, ImageSchema, Schema, schema_to_json
from trainwell.model import Model
from trainwell.recipe import fields_as_text
from trainwell.version import __version__

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "n")


def card(model: Model, folder: Path) -> dict[str, Any]:
    """Plain data for JSON; scores are those of the run around the model, where there is one."""
    result = _result(folder)
    test = result.get("test") or {}
    return {
        "format": 1,
        "name": result.get("name"),
        "kind": model.schema.kind,
        "classes": list(model.classes),
        "inputs": inputs_of(model.schema),
        "output": {"name": "probabilities", "type": "float32", "shape": ["batch", "classes"]},
        "schema": schema_to_json(model.schema),
        "ranges": _ranges(model),
        "networks": [
            {"fold": p.fold, "seed": p.seed, "recipe": fields_as_text(p.recipe)}
            for p in model.parts
        ],
        "test": {name: test[name] for name in SCORES if name in test} or None,
        "versions": {"trainwell": __version__, "torch": torch.__version__},
    }


def _ranges(model: Model) -> dict[str, Any] | None:
    """What is usual in a table, so that the script can mark what is not; of other data None."""
    table = model.schema.kind == "table" and model.ranges is not None
    return model.ranges.to_json() if table and model.ranges is not None else None


def _result(folder: Path) -> Mapping[str, Any]:
    """The run's result, empty where the model's folder came alone."""
    for place in (folder, folder.parent):
        try:
            found: Mapping[str, Any] = json.loads((place / "run.json").read_text(encoding="utf-8"))
            return found
        except (OSError, ValueError):
            continue
    return {}


def inputs_of(schema: Schema) -> list[dict[str, Any]]:
    """Name, type and shape of each raw input, with the columns of a table.

    >>> inputs_of(ImageSchema(1, 28, 28))
    [{'name': 'pixels', 'type': 'uint8', 'shape': ['batch', 28, 28, 1]}]
    """
    if isinstance(schema, ImageSchema):
        shape = ["batch", schema.height, schema.width, schema.channels]
        return [{"name": "pixels", "type": "uint8", "shape": shape}]
    if isinstance(schema, AudioSchema):
        return [{"name": "samples", "type": "int16", "shape": ["batch", schema.samples]}]
    numbers = [f.name for f in schema.features if not f.levels]
    words = [f.name for f in schema.features if f.levels]
    sides = (("numbers", schema.precision, numbers), ("words", "string", words))
    return [
        {"name": name, "type": kind, "shape": ["batch", len(columns)], "columns": columns}
        for name, kind, columns in sides
        if columns
    ]


def feed(schema: Schema, inputs: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Inputs (N, *schema.shape), as the data layer reads them, in the form the graph takes."""
    if isinstance(schema, ImageSchema):
        return {"pixels": np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))}
    if isinstance(schema, AudioSchema):
        return {"samples": np.ascontiguousarray(inputs)}
    numbers = [j for j, f in enumerate(schema.features) if not f.levels]
    words = [j for j, f in enumerate(schema.features) if f.levels]
    found: dict[str, npt.NDArray[Any]] = {}
    if numbers:
        found["numbers"] = np.ascontiguousarray(inputs[:, numbers].astype(schema.precision))
    if words:
        found["words"] = np.empty((len(inputs), len(words)), object)
        for place, j in enumerate(words):
            levels = np.array([*schema.features[j].levels, ""], object)
            codes = np.nan_to_num(inputs[:, j], nan=len(levels) - 1).astype(np.int64)
            found["words"][:, place] = levels[codes]
    return found
