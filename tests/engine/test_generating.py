"""Generated samples in training: of training rows alone, shown in training alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.data import examples, labelled, pictures
from trainwell.arms import Arena, cells_of
from trainwell.data.split import Fold, make_split
from trainwell.engine.generating import (
    Generated,
    generate,
    makers_of,
    read_samples,
    samples_to_bytes,
    with_samples,
)
from trainwell.engine.members import Examples, Member
from trainwell.engine.sampling import Sampler
from trainwell.engine.share import class_counts
from trainwell.recipe import Recipe
from trainwell.techniques.augment.generated import Gan, SampleMaker
from trainwell.techniques.augment.images import Shift
from trainwell.techniques.augment.sample_checks import Distances, SampleReport
from trainwell.techniques.augment.samples import Rows, Samples
from trainwell.techniques.balance import Oversample
from trainwell.techniques.models.mlp import Mlp


def report(**other: Any) -> SampleReport:
    none = Distances.of(np.zeros(0))
    usual: dict[str, Any] = {
        "technique": "Echo",
        "real": 1,
        "wanted": 1,
        "drawn": 1,
        "doubted": 0,
        "copies": 0,
        "kept": 1,
        "kept_by_class": (1,),
        "nearest_real": none,
        "nearest_made": none,
        "copy_distance": 0.0,
        "known": 1.0,
        "taught": 1.0,
    }
    return SampleReport(**usual | other)


@dataclass(frozen=True)
class Echo(SampleMaker):
    """Gives its training rows back, plus a thousand: what was given can be read from them."""

    ratio: float = 1.0
    kinds = ("table",)
    given: list[Any] = field(default_factory=list, compare=False)

    def make(self, rows: Rows, seed: int) -> Samples:
        self.given.append(rows.inputs)
        count = round(self.ratio * len(rows.labels))
        x, y = np.resize(rows.inputs, (count, 1)) + 1000, np.resize(rows.labels, count)
        return Samples(x, y, report(), (), np.stack([x[:1], x[:1]]))


@pytest.fixture
def folds() -> tuple[Fold, ...]:
    rows = np.arange(60)
    return tuple(Fold(rows[rows % 3 != f], rows[rows % 3 == f]) for f in range(3))


def prepared(folds: Any, maker: Echo, weights: bool = False) -> Examples:
    """Examples of one number each, their row's, with the samples of every fold."""
    data = labelled(np.arange(60) // 3 % 2)
    recipe = Recipe(preprocess=())
    plain = examples(data, recipe, np.arange(60))
    layers = plain.inputs.layers * 3
    inputs = type(plain.inputs)(data.inputs, layers, torch.device("cpu"))
    own = torch.linspace(0.5, 1.5, 60) if weights else None
    plain = dataclasses.replace(plain, inputs=inputs, weights=own)
    return with_samples(plain, data, folds, generate(data, folds, (maker,), 0), augmented=False)


def test_samples_are_made_of_training_rows_and_shown_to_their_own_fold(folds: Any) -> None:
    maker = Echo(ratio=0.5)
    shared = prepared(folds, maker)
    assert len(shared.labels) == 60 + 3 * 20
    for number, (fold, given) in enumerate(zip(folds, maker.given, strict=True)):
        assert set(given[:, 0]) == set(fold.train)
        member = Member(Recipe(batch_size=8), number, fold.train, fold.validation, 1)
        shown = shared.shown(member)
        assert np.array_equal(shown[:40], fold.train)
        rows = torch.from_numpy(shown)[None]
        values = shared.inputs.gather(torch.tensor([number]), rows)[0, :, 0]
        assert set(values[40:].tolist()) <= {r + 1000.0 for r in fold.train}
        assert not set(values.tolist()) & {float(r) for r in fold.validation}
        counts = class_counts(member, shared)
        assert counts.tolist() == np.bincount(shared.labels[shown].numpy(), minlength=2).tolist()


def test_an_epoch_keeps_its_length_and_shows_both_kinds_of_rows(folds: Any) -> None:
    shared = prepared(folds, Echo(ratio=3.0))
    member = Member(Recipe(batch_size=8), 1, folds[1].train, folds[1].validation, 5)
    sampler = Sampler(member, shared)
    epochs = [sampler.epoch(e).rows.numpy() for e in range(30)]
    assert all(len(rows) == member.batch * member.steps == 40 for rows in epochs)
    everything = np.concatenate(epochs)
    assert 0.2 < (everything < 60).mean() < 0.3  # one of four is real
    assert set(everything) == set(shared.shown(member))
    assert all(len(set(rows)) == 40 for rows in epochs)


def test_a_part_of_the_rows_gets_the_same_part_of_the_samples(folds: Any) -> None:
    shared = prepared(folds, Echo(ratio=1.0))
    part = Member(Recipe(), 0, folds[0].train[:10], folds[0].validation, 1)
    assert len(shared.shown(part)) == 20


def test_a_sample_weighs_as_much_as_rows_do_on_average(folds: Any) -> None:
    shared = prepared(folds, Echo(), weights=True)
    assert shared.weights is not None and len(shared.weights) == len(shared.labels)
    assert (shared.weights[60:] == 1).all() and shared.weights[:60].mean() == pytest.approx(1)


def test_oversampling_counts_samples(folds: Any) -> None:
    shared = prepared(folds, Echo(ratio=1.0))
    recipe = Recipe(batch_size=8, balance=Oversample())
    member = Member(recipe, 0, folds[0].train, folds[0].validation, 1)
    rows = Sampler(member, shared).epoch(1).rows.numpy()
    assert np.bincount(shared.labels.numpy()[rows]).tolist() == [20, 20]
    assert (rows >= 60).any()


def test_refused_samples_leave_everything_as_it_was(folds: Any) -> None:
    @dataclass(frozen=True)
    class Nothing(Echo):
        def make(self, rows: Rows, seed: int) -> Samples:
            found = Echo().make(rows, seed)
            return dataclasses.replace(found, inputs=found.inputs[:0], labels=found.labels[:0])

    data = labelled(np.arange(60) // 3 % 2)
    plain = examples(data, Recipe(), np.arange(60))
    made = generate(data, folds, (Nothing(),), 0)
    assert made.nothing and with_samples(plain, data, folds, made, augmented=False) is plain


def test_finished_samples_are_read_again(folds: Any, tmp_path: Path) -> None:
    data, maker = labelled(np.arange(60) // 3 % 2), Echo()
    first = generate(data, folds, (maker,), 0, tmp_path)
    assert len(maker.given) == 3
    again = generate(data, folds, (maker,), 0, tmp_path)
    assert len(maker.given) == 3
    for one, other in zip(first.samples[0], again.samples[0], strict=True):
        assert np.array_equal(one.inputs, other.inputs) and one.inputs.dtype == other.inputs.dtype
        assert one.report.to_json() == other.report.to_json()
    (tmp_path / "samples-0-1.npz").write_bytes(b"cut off")
    generate(data, folds, (maker,), 0, tmp_path)
    assert len(maker.given) == 4


def test_files_keep_looks_and_pairs(tmp_path: Path) -> None:
    looks = ((5, np.zeros((2, 1, 3, 3), np.uint8)), (9, np.ones((2, 1, 3, 3), np.uint8)))
    pairs = np.full((2, 1, 1, 3, 3), 7, np.uint8)
    whole = Samples(looks[0][1], np.array([0, 1]), report(refused="no, <b>"), looks, pairs)
    (tmp_path / "s.npz").write_bytes(samples_to_bytes(whole))
    found = read_samples(tmp_path / "s.npz")
    assert found is not None and [s for s, _ in found.looks] == [5, 9]
    assert np.array_equal(found.looks[1][1], looks[1][1]) and np.array_equal(found.pairs, pairs)
    assert found.report.refused == "no, <b>" and "no samples are added" in found.report.words


def test_arms_with_and_without_samples_have_trainers_of_their_own() -> None:
    data = pictures(rows=90)
    split = make_split(data, seed=0, folds=2, test=0.0)
    arena = Arena(data, split, steady=True)
    plain = Recipe(model=Mlp((8,)), lr=0.01, epochs=2)
    gan = dataclasses.replace(plain, augment=(Gan(steps=20, width=16, agree=0.0), Shift()))
    both = dataclasses.replace(gan, augment=gan.augment[:1])
    assert makers_of(plain) == () and makers_of(gan) == makers_of(both) == gan.augment[:1]
    arms = arena.train([plain, gan, both], cells_of(2, 1, seed=0))
    assert len(arena.trainers) == 3 and len(arena.samples) == 1  # samples were made once
    assert all(np.isfinite(arm.log_loss).all() for arm in arms)
    made = next(iter(arena.samples.values()))
    assert isinstance(made, Generated) and len(made.reports) == 2
