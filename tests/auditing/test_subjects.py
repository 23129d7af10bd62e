"""What can be audited, and at which strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.data import pictures, table
from trainwell.auditing.subjects import (
    Given,
    SampleMaker,
    Samples,
    as_inputs,
    proposed,
    scaled,
    subject_named,
    subject_of,
)
from trainwell.callstring import members
from trainwell.errors import UserError
from trainwell.recipe import starting_recipe
from trainwell.techniques.augment import Augment
from trainwell.techniques.augment.audio import AddNoise, Tempo
from trainwell.techniques.augment.base import Augmentation
from trainwell.techniques.augment.generated import SampleMaker as Made
from trainwell.techniques.augment.images import Rotate, Shift
from trainwell.techniques.augment.own import Own

EXACT = [c for c in members(Augment) if issubclass(c, Augmentation)]
SHAPES = {"pictures": (6, 1, 12, 12), "clips": (6, 2000), "features": (6, 10, 12)}
ROUNDED = {"Crop", "Erase", "SpecAugment", "Scale"}  # whole numbers, areas; a factor 1 + s f


@pytest.mark.parametrize("cls", [c for c in EXACT if c.__name__ not in ROUNDED])
def test_a_scaled_augmentation_is_one_of_that_strength(cls):
    shape = SHAPES.get(cls.acts_on, (6, 10))
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    x = x - 0.5 if cls.acts_on == "clips" else x
    one = scaled(cls(), 0.5)(x, seed=3, rate=8000)
    assert torch.allclose(one, cls()(x, seed=3, strength=0.5, rate=8000), atol=2e-4)


@pytest.mark.parametrize("cls", [c for c in members(Augment) if issubclass(c, Made)])
def test_samples_that_a_network_makes_have_one_strength(cls):
    subject = subject_of(cls())
    assert not subject.can_scale and subject.strength == 1.0


CHANGES = [c for c in members(Augment) if not issubclass(c, Made)]


@pytest.mark.parametrize("cls", CHANGES)
def test_every_augmentation_becomes_a_subject_whose_strength_can_change(cls):
    subject = subject_of(cls())
    assert subject.name.lower() in (cls.__name__.lower(), "example")
    assert subject.can_scale
    assert subject.at(0.5).strength == 0.5
    assert subject.at(0.5).augment != subject.augment
    assert subject_named(subject.setting).augment == subject.augment


def test_what_somebody_names_is_understood():
    assert subject_named("rotate").augment == (Rotate(),)
    assert subject_named("(Shift(1), Rotate(5))").name == "Shift(pixels=1) + Rotate(degrees=5)"
    assert subject_of([Shift(), Rotate()]).augment == (Shift(), Rotate())
    own = subject_of(lambda x: x, 3)
    assert own.in_memory
    assert own.setting == ""
    assert not subject_of(Own()).in_memory
    with pytest.raises(UserError, match='Did you mean "Rotate"'):
        subject_named("Rotat")
    with pytest.raises(UserError, match="no function of a batch"):
        subject_of(3)
    with pytest.raises(UserError, match="cannot combine"):
        subject_of([Samples("s", np.zeros((1, 2)), np.zeros(1, int))])


def test_loudness_and_tempo_scale_as_their_strength_does():
    assert scaled(AddNoise(20), 2).snr_db == pytest.approx(20 - 6.02, abs=0.01)
    assert scaled(Tempo(1.21), 0.5).rate == pytest.approx(1.1)


def test_proposals_suit_the_data():
    for data in (pictures(), table()):
        recipe = starting_recipe(data.schema, 60)
        names = [s.name for s in proposed(data.schema, recipe)]
        assert "MixUp" in names
        assert ("Rotate" in names) == (data.kind == "images")


def test_samples_are_checked():
    data = table(rows=60)
    rows = np.arange(20)
    good = Samples("good", data.inputs[:5], data.labels[:5])
    x, y = as_inputs(good, data, rows, 0)
    assert x.shape == (5, 5)
    assert y.dtype == np.int64
    seen = []

    def make(data, rows, seed):
        seen.append((len(rows), seed))
        return data.inputs[rows], data.labels[rows]

    maker = SampleMaker("m", make)
    assert len(as_inputs(maker, data, rows, 7)[1]) == 20
    assert seen == [(20, 7)]
    for inputs, labels, words in (
        (data.inputs[:5, :3], data.labels[:5], "expected inputs"),
        (data.inputs[:5], data.labels[:4], "expected inputs"),
        (data.inputs[:5], data.labels[:5] + 9, "class numbers from 0 to 2"),
        (data.inputs[:5].astype(int), data.labels[:5], "those of the data float32"),
    ):
        with pytest.raises(UserError, match=words):
            as_inputs(Samples("bad", inputs, labels), data, rows, 0)


def test_a_given_function_may_be_anything_that_can_be_called():
    twice = Given("twice", call=lambda x: 2 * x)
    x = torch.ones(3, 2)
    assert torch.equal(twice(x), 2 * x)
    assert torch.equal(twice(x, strength=0), x)
    with pytest.raises(UserError, match="not a function"):
        Given("no", call=3)
