"""The whole way with projections: fit, saved, loaded, the same predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainwell.data.read import read
from trainwell.fitting import fit
from trainwell.model import Model, load
from trainwell.techniques.scaling import Projection

QUICK: dict[str, Any] = {"epochs": 2, "lr": 0.02, "model": "Mlp(hidden=(32,))"}
CHAINS = [
    "Pca(components=0.9), Standardize, PerSample",
    "Whiten(kind=zca), Robust",
    "Center, MinMax, Whiten(kind=pca, components=20)",
]


def outputs(model: Model) -> list[int]:
    return [
        layer.matrix.shape[1]
        for fold in model.folds
        for layer in fold
        if isinstance(layer, Projection)
    ]


@pytest.mark.parametrize("chain", CHAINS)
def test_a_model_from_disk_predicts_the_same(chain: str, tmp_path: Path) -> None:
    settings = QUICK | {"preprocess": chain}
    out = tmp_path / "run"
    run = fit("digits", out=out, folds=3, seeds=1, settings=settings, jobs=1, coach=False)
    assert run.result["test"]["accuracy"]["value"] > 0.6
    model, data = load(run.folder), read("digits")
    assert len(set(outputs(model))) == 1
    # Out-of-fold probabilities were made by the model in memory.
    stored = np.load(run.folder / "oof.npz")
    for number in range(len(model.folds)):
        mine = stored["folds"] == number
        own = [i for i, part in enumerate(model.parts) if part.fold == number]
        found = model.only(own).probabilities(data.inputs, stored["rows"][mine])
        np.testing.assert_allclose(found, stored["probabilities"][mine], atol=1e-6)
