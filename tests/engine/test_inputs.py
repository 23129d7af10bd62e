"""Pre-processing per fold: from training rows only, kept or batch by batch, types kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from helpers.data import CPU, clips, fold_inputs, labelled, pictures, table
from trainwell.data.dataset import Column, Dataset, TableSchema
from trainwell.engine import inputs as module
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.recipe import Recipe
from trainwell.techniques.preprocess import LogMel, MinMax, Pca, PerSample, Raw, Standardize, Whiten
from trainwell.techniques.scaling import match_widths

CHANNEL = (Standardize(per="channel"),)


def mixed_table() -> Dataset:
    """Numbers with missing cells, and a category."""
    rng = np.random.default_rng(3)
    x = rng.normal(5, 2, (60, 3)).astype(np.float32)
    x[rng.random(60) < 0.2, 0] = np.nan
    x[:, 2] = rng.integers(0, 4, 60)
    x[:3, 2] = np.nan
    columns = (
        Column("a", "number"),
        Column("b", "number"),
        Column("c", "category", ("p", "q", "r", "s")),
    )
    made = labelled(np.arange(60) % 2, x)
    return dataclasses.replace(made, schema=TableSchema(columns, "y"))


CASES: list[tuple[str, Dataset, Recipe]] = [
    ("table", table(60), Recipe()),
    ("mixed", mixed_table(), Recipe()),
    ("pictures", pictures(60), Recipe(preprocess=CHANNEL)),
    ("clips", clips(60), Recipe(preprocess=(LogMel(bands=10), *CHANNEL))),
    ("raw", pictures(60), Recipe(preprocess=(Raw(),))),
    ("range", pictures(60), Recipe(preprocess=(PerSample(), MinMax()))),
    ("zca", pictures(60), Recipe(preprocess=(*CHANNEL, Whiten()))),
    ("pca", table(60), Recipe(preprocess=(Standardize(), Pca(3), Standardize()))),
]
cases = pytest.mark.parametrize(("name", "data", "recipe"), CASES, ids=[c[0] for c in CASES])


@cases
def test_fitted_on_training_rows_only(name: str, data: Dataset, recipe: Recipe) -> None:
    train, rows = np.arange(0, 60, 2), np.arange(60)
    before = fit_preprocess(recipe, data.schema, data.inputs, train, rows)
    changed = data.inputs.copy()
    changed[1::2] = changed[1::2][::-1]  # held-out rows take each other's values
    changed[1::2, :1] = 0  # and other ones
    after = fit_preprocess(recipe, data.schema, changed, train, train)
    states = before.state_dict(), after.state_dict()
    if name == "mixed":  # development rows say which columns get an indicator
        states[0].pop("0.indicated")
        states[1].pop("0.indicated")
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


@cases
def test_training_rows_do_matter(name: str, data: Dataset, recipe: Recipe) -> None:
    rows = np.arange(60)
    states = [
        fit_preprocess(recipe, data.schema, data.inputs, train, rows).state_dict()
        for train in (rows[::2], rows[1::2])
    ]
    differ = [not torch.equal(states[0][k], states[1][k]) for k in states[0]]
    assert any(differ) == (name != "raw")


@cases
def test_kept_and_batch_by_batch_are_equal(
    name: str, data: Dataset, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    trains = [np.arange(0, 40), np.arange(20, 60)]
    folds = torch.tensor([0, 1, 1])
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, 60, (3, 7)))
    kept = fold_inputs(data, recipe, trains)
    assert kept.bank is not None
    monkeypatch.setattr(module, "KEEP_BYTES", 0)
    monkeypatch.setattr(module, "KEEP_SPECTROGRAMS", 0)
    live = fold_inputs(data, recipe, trains)
    assert live.bank is None
    assert live.raw.dtype == data.inputs.dtype  # the data's own type
    a, b = kept.gather(folds, rows), live.gather(folds, rows)
    assert a.shape == b.shape == (3, 7, *kept.shape)
    assert a.dtype == b.dtype == torch.float32
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    direct = kept.layers[1](torch.from_numpy(data.inputs)[rows[2]])
    torch.testing.assert_close(a[2], direct, rtol=1e-5, atol=1e-5)


def test_pictures_stay_bytes_and_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pictures(30)
    monkeypatch.setattr(module, "KEEP_BYTES", 0)
    found = fold_inputs(data, Recipe(preprocess=CHANNEL), [np.arange(20)])
    assert found.raw.dtype == np.uint8
    assert np.shares_memory(found.raw, data.inputs)
    sound = fold_inputs(clips(9), Recipe(preprocess=(LogMel(bands=8),)), [np.arange(6)])
    assert sound.raw.dtype == np.float32  # spectrograms, made once for all folds and epochs
    monkeypatch.setattr(module, "KEEP_SPECTROGRAMS", 0)
    sound = fold_inputs(clips(9), Recipe(preprocess=(LogMel(bands=8),)), [np.arange(6)])
    assert sound.raw.dtype == np.int16


def test_the_layers_of_the_model_stay_where_they_are() -> None:
    """Training on another device moves copies; the layers that are saved stay on the CPU."""
    data = pictures(30)
    layers = fit_preprocess(
        Recipe(preprocess=CHANNEL), data.schema, data.inputs, np.arange(20), np.arange(30)
    )
    found = FoldInputs(data.inputs, [layers], torch.device("meta"))
    assert {b.device.type for b in found.folds[0].buffers()} == {"meta"}
    assert {b.device.type for b in found.layers[0].buffers()} == {"cpu"}


def test_small_data_are_kept_and_large_ones_not(monkeypatch: pytest.MonkeyPatch) -> None:
    data = table(50, columns=5)
    trains = [np.arange(30), np.arange(20, 50)]
    needed = 2 * 50 * 5 * 4
    for limit, kept in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(module, "KEEP_BYTES", limit)
        assert (fold_inputs(data, Recipe(), trains).bank is not None) == kept


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data = table(50)
    whole = fold_inputs(data, Recipe(), [np.arange(40)])
    monkeypatch.setattr(module, "CHUNK", 7)
    parts = fold_inputs(data, Recipe(), [np.arange(40)])
    assert whole.bank is not None and parts.bank is not None
    torch.testing.assert_close(whole.bank, parts.bank, rtol=1e-5, atol=1e-5)


def test_one_width_although_a_fold_misses_nothing() -> None:
    """A column with missing cells in some development row gets its indicator in every fold."""
    data = mixed_table()
    complete = np.flatnonzero(~np.isnan(data.inputs[:, 0]))
    folds = [
        fit_preprocess(Recipe(), data.schema, data.inputs, rows, np.arange(60))
        for rows in (complete, np.arange(60), np.arange(30))
    ]
    shared = FoldInputs(data.inputs, folds, CPU)
    assert shared.shape == (2 + 1 + 4,)
    assert shared.bank is not None
    assert shared.bank.isfinite().all()


# --- projections: one width for all folds --------------------------------------------------------


def test_folds_that_keep_different_numbers_of_directions() -> None:
    """PCA by a share of the variance, then z-scores: networks of all folds have one shape."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 8)) * np.array([3, 3, 3, 1, 1, 1, 1, 1])
    x[:40, :2] *= 30  # the first rows need fewer directions
    data = labelled(np.arange(80) % 2, x)
    recipe = Recipe(preprocess=(Pca(0.9), Standardize()))
    trains = [np.arange(40), np.arange(40, 80), np.arange(0, 80, 2)]
    folds = [fit_preprocess(recipe, data.schema, data.inputs, t, np.arange(80)) for t in trains]
    alone = [fold(torch.from_numpy(data.inputs)) for fold in folds]
    widths = [y.shape[1] for y in alone]
    assert len(set(widths)) > 1
    match_widths(folds)
    shared = FoldInputs(data.inputs, folds, CPU)
    assert shared.shape == (max(widths),)
    assert shared.bank is not None
    for bank, y in zip(shared.bank.split(80), alone, strict=True):
        torch.testing.assert_close(bank[:, : y.shape[1]], y, rtol=1e-5, atol=1e-5)
        assert (bank[:, y.shape[1] :] == 0).all()
